/* What runs a program: the lazy automaton, the vocabulary's trie, and the run that joins both for
 * one generation. guide.h has the programs, docs/guide.md the why. */
#ifndef COVEY_ENGINE_GUIDE_RUN_H
#define COVEY_ENGINE_GUIDE_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include <covey/model.h>

#include "base/runtime.h"
#include "engine/guide.h"
#include "text/tokenizer.h"

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

#define COVEY__GUIDE_WORK_MAX (1u << 24) /* a fraction of a second; then it is too many */
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
    uint32_t set, marked;
    covey__guide_names names, trial, before, marked_names;
    uint32_t *masks; /* [MASKS_MAX][words], then one that was narrowed */
    uint32_t mask_sets[COVEY__GUIDE_MASKS_MAX];
    uint64_t mask_used[COVEY__GUIDE_MASKS_MAX], clock;
    bool narrowed;                     /* the last mask lacks what was rejected */
    uint32_t path[258];                /* of a walk */
    char bytes[COVEY__GUIDE_PLAN_MAX]; /* of a plan or a forced stretch */
    covey_token tokens[COVEY__GUIDE_PLAN_MAX];
    covey_token forced[COVEY__GUIDE_FORCED_MAX + 8];
    covey__tokenizer_scratch *scratch; /* for a forced stretch */
    uint64_t walked;                   /* nodes of the last mask that was made; for the bench */
    struct covey__guide_run *next;     /* of the guide's idle ones */
} covey__guide_run;

/* Runs that wait for the next generation: what changes of a guide. covey_runtime_trim frees them.
 */
typedef struct covey__guide_pool {
    pthread_mutex_t lock;
    covey_runtime *runtime;
    covey__trim_hook trim;
    covey__guide_run *idle;
    uint32_t idle_count;
} covey__guide_pool;

struct covey_guide {
    const covey__env *env;
    covey__guide_program program;
    bool open_ended;
    covey__guide_pool *pool;
};

/* The trie of a model, made when it is first asked for, and again after covey_runtime_trim. Held
 * for the caller, who drops it. */
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
/* Marks the place, and goes back to the one that was marked last: for tokens that are only tried. A
 * run begins marked at its start. */
void covey__guide_mark(covey__guide_run *run);
void covey__guide_back(covey__guide_run *run);
/* The text may end here; nothing may follow. */
bool covey__guide_accepts(const covey__guide_run *run);
bool covey__guide_at_end(const covey__guide_run *run);

#endif
