/* What the files of guided generation share: trees and programs; machines and runs are in
 * guide_run.h.
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

#include <covey/guide.h>
#include "base/arena.h"
#include "base/error.h"
#include "text/utf8.h"

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

/* ---- Quantifiers, of grammars and of regular expressions ---- */

typedef struct covey__guide_quantifier {
    uint32_t min, max; /* max may be COVEY__GUIDE_NO_END */
    size_t size;       /* bytes of its text; 0: there is none */
    bool wrong;        /* {...} that is none of {m}, {m,} and {m,n} with m at most n */
} covey__guide_quantifier;
#define COVEY__GUIDE_BAD_COUNTS "expected {m}, {m,} or {m,n} with m at most n"
/* What `text` begins with: *, +, ? or {...}. `spaces`: white space and comments may stand in the
 * braces. */
covey__guide_quantifier covey__guide_quantifier_of(const char *text, size_t size, bool spaces);

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

#endif
