/* What the files of guided generation share.
 *
 * A front end (JSON Schema, GBNF) makes a tree for each rule; the trees become one program, a
 * nondeterministic automaton over bytes whose edges read a byte or call a rule. A machine runs the
 * program for one generation: it makes a deterministic automaton lazily, whose states are sets of
 * (program state, stack), and keeps it in bounded memory. A mask is one walk of the vocabulary's
 * trie through that automaton. docs/guide.md explains why.
 *
 *   guide_tree.c     trees and sets of characters      guide_program.c  trees to a program
 *   guide_check.c    costs, left recursion, dead ends  guide_machine.c  the lazy automaton
 *   guide_trie.c     the vocabulary                    guide_mask.c     masks, forced tokens
 *   guide_names.c    no name twice in an object        guide.c          the public calls
 *   guide_gbnf.c     GBNF                              guide_schema*.c, guide_number.c,
 *                                                      guide_pattern.c, guide_format.c: schemas */
#ifndef COVEY_ENGINE_GUIDE_H
#define COVEY_ENGINE_GUIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include <covey/guide.h>
#include <covey/model.h>

#include "base/arena.h"
#include "base/error.h"
#include "text/tokenizer.h"

/* ---- Limits: what a hostile schema or grammar runs into ---- */

#define COVEY__GUIDE_TEXT_MAX   (1u << 20)  /* bytes of a schema or grammar */
#define COVEY__GUIDE_ARENA_MAX  (96u << 20) /* of trees, while compiling */
#define COVEY__GUIDE_STATES_MAX (1u << 18)  /* of a program */
#define COVEY__GUIDE_EDGES_MAX  (1u << 19)
#define COVEY__GUIDE_RULES_MAX  (1u << 14)
#define COVEY__GUIDE_REPEAT_MAX 65536 /* counts in {m,n}, minItems, maxLength, ... */
#define COVEY__GUIDE_DEPTH_MAX  60    /* containers of JSON within each other */
#define COVEY__GUIDE_CALLS_MAX  512   /* calls of GBNF rules within each other */

/* ---- Trees ---- */

typedef struct covey__guide_range {
    uint32_t first, last; /* code points, both in it */
} covey__guide_range;

/* Characters: ranges in order that do not touch; surrogates are never in one. */
typedef struct covey__guide_set {
    const covey__guide_range *ranges;
    size_t count;
} covey__guide_set;

typedef enum covey__guide_kind {
    COVEY__GUIDE_EMPTY,
    COVEY__GUIDE_NOTHING, /* no text at all */
    COVEY__GUIDE_BYTES,
    COVEY__GUIDE_SET,
    COVEY__GUIDE_SEQUENCE,
    COVEY__GUIDE_CHOICE,
    COVEY__GUIDE_REPEAT,
    COVEY__GUIDE_CALL,
    COVEY__GUIDE_MEMBERS /* of a JSON object: children are pairs (name with colon, value), in order,
                            parted by commas; those not required may be left out */
} covey__guide_kind;

#define COVEY__GUIDE_NO_END UINT32_MAX

typedef struct covey__guide_node covey__guide_node;
struct covey__guide_node {
    covey__guide_kind kind;
    uint32_t min, max; /* of a repeat; max may be COVEY__GUIDE_NO_END */
    uint32_t rule;     /* of a call */
    bool required;     /* of a member's name */
    uint64_t weight;   /* about how many states it takes */
    const char *bytes;
    size_t size; /* of bytes; of children */
    covey__guide_set set;
    covey__guide_node **children;
    covey__guide_node *rest, *comma; /* of members: one more, any number of times, or NULL; what
                                        parts two */
};

typedef struct covey__guide_rule {
    covey__guide_node *body;
    const char *name; /* for messages */
    uint32_t depth;   /* what a call of it adds to the depth */
} covey__guide_rule;

/* Trees under construction. The first failure sticks; builders then give NULL and take it. */
typedef struct covey__guide_builder {
    const covey__env *env;
    covey__arena arena;
    covey__guide_rule *rules;
    uint32_t rule_count, rule_capacity;
    uint32_t depth_max;
    bool unique_names; /* objects with names of the model's choice: see guide_names.c */
    covey_status status;
    covey_error *error;
} covey__guide_builder;

void covey__guide_builder_init(covey__guide_builder *builder, const covey__env *env,
                               covey_error *error);
void covey__guide_builder_free(covey__guide_builder *builder);
/* Keeps the first failure; gives NULL. */
covey__guide_node *covey__guide_refuse(covey__guide_builder *builder, covey_status status,
                                       const char *format, ...) COVEY_PRINTF(3, 4);
void *covey__guide_room(covey__guide_builder *builder, size_t count, size_t size);

covey__guide_node *covey__guide_empty(covey__guide_builder *builder);
covey__guide_node *covey__guide_nothing(covey__guide_builder *builder);
covey__guide_node *covey__guide_bytes(covey__guide_builder *builder, const char *bytes,
                                      size_t size); /* copied */
covey__guide_node *covey__guide_text(covey__guide_builder *builder, const char *text);
/* `ranges` in any order, touching or not; with `negated`, every other character. */
covey__guide_node *covey__guide_chars(covey__guide_builder *builder,
                                      const covey__guide_range *ranges, size_t count, bool negated);
covey__guide_set covey__guide_set_of(covey__guide_builder *builder,
                                     const covey__guide_range *ranges, size_t count, bool negated);
bool covey__guide_set_has(covey__guide_set set, uint32_t code);
covey__guide_node *covey__guide_sequence(covey__guide_builder *builder,
                                         covey__guide_node *const *of, size_t count);
covey__guide_node *covey__guide_choice(covey__guide_builder *builder, covey__guide_node *const *of,
                                       size_t count);
covey__guide_node *covey__guide_repeat(covey__guide_builder *builder, covey__guide_node *of,
                                       uint32_t min, uint32_t max);
covey__guide_node *covey__guide_call(covey__guide_builder *builder, uint32_t rule);
/* `pairs`: name, value, name, value, ... */
covey__guide_node *covey__guide_members(covey__guide_builder *builder,
                                        covey__guide_node *const *pairs, size_t pair_count,
                                        covey__guide_node *comma, covey__guide_node *rest);
/* A new rule without a body; COVEY__GUIDE_NO_END on failure. `name` is copied. */
uint32_t covey__guide_rule_new(covey__guide_builder *builder, const char *name, size_t size,
                               uint32_t depth);

/* ---- Front ends: rule 0 is the answer ---- */

void covey__guide_gbnf(covey__guide_builder *builder, const char *text, size_t size);
void covey__guide_schema(covey__guide_builder *builder, const char *text, size_t size,
                         covey_guide_spaces spaces);

/* ---- Programs ---- */

#define COVEY__GUIDE_NONE UINT32_MAX
#define COVEY__GUIDE_PLAIN                                                                         \
    (UINT32_MAX - 1)                    /* a jump's rule: any plain character leads there too      \
                                         */
#define COVEY__GUIDE_FAR     (1u << 30) /* a cost that is never paid */
#define COVEY__GUIDE_RUN_MAX 255

typedef struct covey__guide_edge {
    uint8_t low, high; /* bytes */
    uint32_t target;
    uint32_t pushed; /* state to come back to from target's rule, or NONE */
} covey__guide_edge;

typedef struct covey__guide_jump {
    uint32_t target; /* state; where a call returns to */
    uint32_t rule;   /* NONE: without reading or calling */
} covey__guide_jump;

typedef struct covey__guide_state {
    uint32_t edges, jumps; /* first of its own; the next state's is the end */
    uint32_t cost;         /* fewest bytes to the end of its rule */
    uint32_t best;         /* the edge that begins them, of a state with edges; NONE */
    uint16_t height;       /* least depth that it still needs */
    uint8_t run;           /* plain characters that it surely takes */
    bool final;            /* the rule may end here */
    bool only_final;       /* and nothing else can happen */
    bool plain_ends;       /* any plain character ends the rule */
    bool within;           /* between bytes of a character, any rest of which is taken */
} covey__guide_state;

typedef struct covey__guide_program {
    const covey__env *env;
    covey__guide_state *states; /* one more than state_count */
    covey__guide_edge *edges;
    covey__guide_jump *jumps;
    struct covey__guide_entry {
        uint32_t start, order; /* order: callers within the same place come first */
        uint16_t depth;
    } * rules;
    uint32_t state_count, edge_count, jump_count, rule_count, depth_max;
    uint32_t class_count;
    uint8_t classes[256];     /* of bytes that no edge tells apart */
    uint8_t class_first[256]; /* a byte of each */
    bool unique_names;
} covey__guide_program;

covey_status covey__guide_program_new(covey__guide_builder *builder,
                                      covey__guide_program *program) COVEY_MUST_USE;
/* What guide_check.c adds: costs, heights, runs, order; refuses left recursion and what has no
 * end. */
covey_status covey__guide_program_check(covey__guide_program *program,
                                        const covey__guide_builder *builder) COVEY_MUST_USE;
void covey__guide_program_free(covey__guide_program *program);

/* ---- Machines ---- */

/* A set is a state of the deterministic automaton: every (program state, stack) that the text so
 * far may have led to. Set 0 has none: the text is not allowed. */
typedef struct covey__guide_frame {
    uint32_t state, stack; /* where to come back to */
} covey__guide_frame;

typedef struct covey__guide_stack {
    uint32_t first, count; /* of its frames: any of them may be returned to */
    uint32_t cost;         /* fewest bytes from a return to the end of the text */
    uint32_t twin;         /* next in its hash chain */
    uint32_t depth;
} covey__guide_stack;

typedef struct covey__guide_at {
    uint32_t first, count; /* of its configurations */
    uint32_t cost;         /* fewest bytes to the end of the text */
    uint32_t twin;
    int16_t forced; /* the one byte that can follow; -1 where there are several, or it may end */
    uint8_t run;    /* plain characters that it surely takes */
    bool accepts;   /* the text may end here */
    bool within;    /* within a character */
    bool loops_known;
    uint32_t mask;  /* slot in the cache; NONE */
    uint64_t loops; /* groups of characters (guide_trie.c), each of which leads back here */
} covey__guide_at;

typedef struct covey__guide_machine {
    const covey__guide_program *program;
    const covey__env *env;
    covey__guide_stack *stacks;
    covey__guide_frame *frames;
    covey__guide_at *sets;
    uint64_t *configs; /* state << 32 | stack, in order within a set */
    uint32_t *next;    /* [set][class]; NONE: not known yet */
    uint32_t *stack_chains, *set_chains;
    uint32_t stack_count, frame_count, set_count, config_count, set_capacity;
    bool full;            /* no room: collect, then try again */
    bool too_many;        /* a limit that collecting does not help against */
    uint64_t work;        /* configurations looked at since it was set to 0 */
    uint64_t collections; /* so far: sets held elsewhere are stale when it has grown */
    struct covey__guide_scratch *scratch;
} covey__guide_machine;

/* Bytes that a machine for the program holds. */
size_t covey__guide_machine_bytes(const covey__guide_program *program);
covey_status covey__guide_machine_new(const covey__guide_program *program,
                                      covey__guide_machine **machine,
                                      covey_error *error) COVEY_MUST_USE;
void covey__guide_machine_free(covey__guide_machine *machine);
/* The set of the empty text; NONE as below. */
uint32_t covey__guide_start(covey__guide_machine *machine);
/* The set behind a byte, or NONE when the machine is full: covey__guide_collect, then again. */
uint32_t covey__guide_step_slow(covey__guide_machine *machine, uint32_t set, uint8_t class);
static inline uint32_t covey__guide_step(covey__guide_machine *machine, uint32_t set,
                                         uint8_t byte) {
    uint8_t class = machine->program->classes[byte];
    uint32_t next = machine->next[(size_t)set * machine->program->class_count + class];
    return next != COVEY__GUIDE_NONE ? next : covey__guide_step_slow(machine, set, class);
}
/* Forgets all sets but those given, whose numbers change in place; `moved` (may be NULL) hears of
 * each that was kept and each that was dropped (to NONE). False when that frees too little. */
typedef void (*covey__guide_moved_fn)(void *user, uint32_t from, uint32_t to);
bool covey__guide_collect(covey__guide_machine *machine, uint32_t *roots, size_t root_count,
                          covey__guide_moved_fn moved, void *user);
covey_status covey__guide_exhausted(const covey__guide_machine *machine, covey_error *error);

/* ---- The vocabulary ---- */

/* A node of the trie, in depth-first order: its subtree is the nodes up to `skip`. */
typedef struct covey__trie_node {
    uint32_t skip;
    uint32_t first; /* rank of its first token; those of its subtree follow */
    uint8_t byte, depth;
    uint8_t chars;   /* most plain characters that a token goes on for, behind the one here */
    bool within;     /* a character is not whole here */
    uint64_t groups; /* of the characters here and below */
} covey__trie_node;

/* Groups of characters: lower case, upper case, digits, all beyond ASCII, controls; every other
 * character of ASCII is a group of its own. */
#define COVEY__GUIDE_GROUP_NON_ASCII 40
#define COVEY__GUIDE_GROUP_BROKEN    63 /* bytes that are no whole characters */
int covey__guide_group_of(uint8_t byte);

/* Tokens that are whole plain characters come first (up to plain_nodes and plain_tokens), all
 * others behind them. Shared by all guides' runs on a model; counted. */
typedef struct covey__token_trie {
    const covey__env *env;
    atomic_int references;
    covey__trie_node *nodes; /* one more than node_count, so that each has a next */
    uint32_t node_count, plain_nodes, plain_tokens, token_count;
    uint32_t *ids;          /* by rank */
    uint32_t words;         /* of a mask: a bit for each id of the vocabulary */
    uint32_t *plain, *ends; /* masks: the plain tokens, the ones that end a turn */
    uint32_t roots[2][256]; /* node of a first byte, plain or not; NONE */
    bool every_byte;        /* any byte can be said */
    size_t bytes;           /* of memory */
} covey__token_trie;

covey_status covey__token_trie_new(const covey__env *env, const covey__tokenizer *tokenizer,
                                   covey__token_trie **trie, covey_error *error) COVEY_MUST_USE;
covey__token_trie *covey__token_trie_hold(covey__token_trie *trie);
void covey__token_trie_drop(covey__token_trie *trie);
/* The longest token that `bytes` begins with, and its size; -1. */
int32_t covey__token_trie_longest(const covey__token_trie *trie, const char *bytes, size_t size,
                                  size_t *token_size);
/* Nodes that `bytes` lead to in the two parts; NONE where there are none. */
void covey__token_trie_find(const covey__token_trie *trie, const char *bytes, size_t size,
                            uint32_t nodes[2]);

/* ---- Names ---- */

#define COVEY__GUIDE_NAMES_MAX 512 /* in all objects that are open */
#define COVEY__GUIDE_OPEN_MAX  160 /* containers, those within constants too */

typedef struct covey__guide_names {
    bool in_string, escaped, is_name, expects_name;
    uint16_t depth, count;
    uint64_t hash;                         /* of the string so far */
    uint16_t first[COVEY__GUIDE_OPEN_MAX]; /* of an object's names; NAMES_MAX + 1: an array */
    uint64_t hashes[COVEY__GUIDE_NAMES_MAX];
} covey__guide_names;

/* Reads a byte of allowed JSON; false when it would end a name that its object has already. */
bool covey__guide_names_feed(covey__guide_names *names, uint8_t byte);
void covey__guide_names_copy(covey__guide_names *to, const covey__guide_names *from);

/* ---- A run: the guide of one generation ---- */

#define COVEY__GUIDE_MASKS_MAX  64  /* kept by a run */
#define COVEY__GUIDE_FORCED_MAX 256 /* bytes of one forced stretch */
#define COVEY__GUIDE_PLAN_MAX   8192

typedef struct covey__guide_run {
    const covey_guide *guide;
    const covey__tokenizer *tokenizer;
    covey__token_trie *trie; /* held */
    covey__guide_machine *machine;
    uint32_t set;
    covey__guide_names names, trial, before;
    uint32_t *masks; /* [MASKS_MAX][words], then one that was narrowed */
    uint32_t mask_sets[COVEY__GUIDE_MASKS_MAX];
    uint64_t mask_used[COVEY__GUIDE_MASKS_MAX], clock;
    bool narrowed;                     /* the last mask lacks what was rejected */
    uint32_t path[258];                /* of a walk */
    char bytes[COVEY__GUIDE_PLAN_MAX]; /* of a plan or a forced stretch */
    covey_token tokens[COVEY__GUIDE_PLAN_MAX];
    covey_token forced[COVEY__GUIDE_FORCED_MAX + 8];
    uint64_t walked;               /* nodes of the last mask that was made; for the bench */
    struct covey__guide_run *next; /* of the guide's idle ones */
} covey__guide_run;

/* Runs that wait for the next generation: what changes of a guide. */
typedef struct covey__guide_pool {
    pthread_mutex_t lock;
    covey__guide_run *idle;
    uint32_t idle_count;
} covey__guide_pool;

struct covey_guide {
    const covey__env *env;
    covey__guide_program program;
    bool open_ended;
    covey__guide_pool *pool;
};

/* The trie of a model, made when it is first asked for. Not held. */
covey_status covey__guide_trie_of(covey_model *model, covey__token_trie **trie,
                                  covey_error *error) COVEY_MUST_USE;
/* All memory that it needs is taken here. `trie` is held. */
covey_status covey__guide_run_begin(const covey_guide *guide, const covey__tokenizer *tokenizer,
                                    covey__token_trie *trie, covey__guide_run **run,
                                    covey_error *error) COVEY_MUST_USE;
/* The guide keeps a few for the next generation. NULL is allowed. */
void covey__guide_run_end(covey__guide_run *run);

/* A bit for each token that may come next; valid until the next call on the run. */
covey_status covey__guide_mask(covey__guide_run *run, const uint32_t **mask,
                               covey_error *error) COVEY_MUST_USE;
/* Whether a token of the mask may really come: NO_NAME when it would end a name that its object has
 * already, NO_ROOM when the text could not be closed within `room` more tokens (INT32_MAX: never
 * mind). */
typedef enum covey__guide_answer {
    COVEY__GUIDE_YES,
    COVEY__GUIDE_NO_NAME,
    COVEY__GUIDE_NO_ROOM
} covey__guide_answer;
covey__guide_answer covey__guide_allows(covey__guide_run *run, covey_token token, int32_t room);
/* Takes a token out of the last mask; NULL when none is left. */
const uint32_t *covey__guide_reject(covey__guide_run *run, const uint32_t *mask, covey_token token);
/* Goes behind a token; an error when it is not allowed. */
covey_status covey__guide_take(covey__guide_run *run, covey_token token,
                               covey_error *error) COVEY_MUST_USE;
/* Tokens that cannot be but so, at most `most` and so that the text can still be closed within
 * `room` tokens: they are taken. Borrowed as the mask is. */
size_t covey__guide_forced(covey__guide_run *run, int32_t most, int32_t room,
                           const covey_token **tokens);
/* The shortest text that completes the answer, as tokens; 0 when there is none of at most `room`.
 * They are not taken. */
size_t covey__guide_plan(covey__guide_run *run, int32_t room, const covey_token **tokens);
/* Whether the shortest completion surely fits. */
bool covey__guide_fits(covey__guide_run *run, int32_t room);
/* The text may end here; nothing may follow. */
bool covey__guide_accepts(const covey__guide_run *run);
bool covey__guide_at_end(const covey__guide_run *run);

#endif
