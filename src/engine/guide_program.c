/* Trees of rules to one program: states with edges that read a byte (or a range of them) and jumps
 * that read nothing or call a rule. State 0 is where every rule ends. A character of several bytes
 * is an edge for its first byte that pushes where to go on, into states for the rest that all
 * places share: so a set of characters costs one state wherever it stands. Counts are copies, one
 * state each. Neighbours: guide_tree.c makes the trees, guide_check.c completes the program. */
#include "engine/guide.h"

#include <string.h>

#define END           0u /* the state */
#define SUFFIX_SLOTS  4096u
#define ENTRIES_BEGIN 256u

typedef struct raw_edge {
    uint32_t from, target, pushed;
    uint8_t low, high;
} raw_edge;

typedef struct raw_jump {
    uint32_t from, target, rule;
} raw_jump;

/* Bytes that end a character: pairs of bounds. */
typedef struct suffix {
    uint8_t bounds[6];
    uint8_t count; /* of pairs; 0: a free slot */
    uint32_t state;
} suffix;

typedef struct compiler {
    covey__guide_builder *builder;
    const covey__guide_rule *rules;
    covey__guide_state *states;
    raw_edge *edges;
    raw_jump *jumps;
    uint32_t state_count, state_capacity, edge_count, edge_capacity, jump_count, jump_capacity;
    suffix suffixes[SUFFIX_SLOTS];
    uint32_t suffix_count;
    bool failed;
} compiler;

/* ---- Growing ---- */

static bool grow(compiler *c, void **items, uint32_t count, uint32_t *capacity, size_t size,
                 uint32_t most, const char *what) {
    if (c->failed) return false;
    if (count < *capacity) return true;
    if (count >= most) {
        covey__guide_refuse(
            c->builder, COVEY_ERROR_LIMIT,
            "the automaton is too large: expected at most %u %s; smaller counts, or "
            "fewer alternatives, make it smaller",
            most, what);
        c->failed = true;
        return false;
    }
    uint32_t wanted = *capacity ? 2 * *capacity : ENTRIES_BEGIN;
    if (wanted > most) wanted = most;
    void *grown = covey__resize(c->builder->env, *items, wanted * size);
    if (!grown) {
        c->builder->status = covey__no_memory(c->builder->error, "the guide", wanted * size);
        c->failed = true;
        return false;
    }
    *items = grown;
    *capacity = wanted;
    return true;
}

static uint32_t new_state(compiler *c) {
    void *items = c->states;
    if (!grow(c, &items, c->state_count, &c->state_capacity, sizeof *c->states,
              COVEY__GUIDE_STATES_MAX, "states"))
        return END;
    c->states = items;
    c->states[c->state_count] = (covey__guide_state){.best = COVEY__GUIDE_NONE};
    return c->state_count++;
}

static void edge(compiler *c, uint32_t from, uint8_t low, uint8_t high, uint32_t target,
                 uint32_t pushed) {
    void *items = c->edges;
    if (!grow(c, &items, c->edge_count, &c->edge_capacity, sizeof *c->edges, COVEY__GUIDE_EDGES_MAX,
              "edges"))
        return;
    c->edges = items;
    c->edges[c->edge_count++] = (raw_edge){from, target, pushed, low, high};
}

static void jump(compiler *c, uint32_t from, uint32_t target, uint32_t rule) {
    void *items = c->jumps;
    if (!grow(c, &items, c->jump_count, &c->jump_capacity, sizeof *c->jumps, COVEY__GUIDE_EDGES_MAX,
              "jumps"))
        return;
    c->jumps = items;
    c->jumps[c->jump_count++] = (raw_jump){from, target, rule};
}

/* ---- Characters ---- */

/* Whether these bytes end every character that could stand here, whatever its beginning. */
static bool takes_any_rest(const uint8_t *bounds, uint8_t count) {
    for (uint8_t i = 0; i < count; i++)
        if (bounds[2 * i] != 0x80 || bounds[2 * i + 1] != 0xbf) return false;
    return true;
}

static uint32_t suffix_state(compiler *c, const uint8_t *bounds, uint8_t count) {
    if (count == 0 || c->failed) return END;
    uint32_t hash = count;
    for (uint8_t i = 0; i < 2 * count; i++) hash = hash * 0x9E3779B1u + bounds[i];
    uint32_t slot = hash >> 7 & (SUFFIX_SLOTS - 1);
    for (; c->suffixes[slot].count; slot = (slot + 1) & (SUFFIX_SLOTS - 1))
        if (c->suffixes[slot].count == count &&
            !memcmp(c->suffixes[slot].bounds, bounds, 2u * count))
            return c->suffixes[slot].state;
    uint32_t state = new_state(c);
    if (c->failed) return END;
    c->states[state].within = takes_any_rest(bounds, count);
    if (c->suffix_count < SUFFIX_SLOTS / 2) { /* else it is not shared, and nothing else changes */
        suffix *kept = &c->suffixes[slot];
        memcpy(kept->bounds, bounds, 2u * count);
        kept->count = count;
        kept->state = state;
        c->suffix_count++;
    }
    uint32_t next = suffix_state(c, bounds + 2, (uint8_t)(count - 1));
    edge(c, state, bounds[0], bounds[1], next, COVEY__GUIDE_NONE);
    return state;
}

static uint8_t encode(uint32_t code, uint8_t out[4]) {
    char bytes[4];
    size_t size = covey__utf8_encode(code, bytes);
    memcpy(out, bytes, size);
    return (uint8_t)size;
}

/* Code points of one length whose bytes vary independently: one edge. */
static void put_product(compiler *c, uint32_t first, uint32_t last, uint32_t from, uint32_t to) {
    uint8_t low[4], high[4], bounds[6];
    uint8_t size = encode(first, low);
    encode(last, high);
    for (uint8_t i = 1; i < size; i++) {
        bounds[2 * (i - 1)] = low[i];
        bounds[2 * (i - 1) + 1] = high[i];
    }
    if (size == 1)
        edge(c, from, low[0], high[0], to, COVEY__GUIDE_NONE);
    else
        edge(c, from, low[0], high[0], suffix_state(c, bounds, (uint8_t)(size - 1)), to);
}

/* Cuts a range where the number of bytes changes, and so that what is left is a product. */
static void put_range(compiler *c, uint32_t first, uint32_t last, uint32_t from, uint32_t to) {
    static const uint32_t last_of_length[] = {0x7f, 0x7ff, 0xffff, 0x10ffff};
    while (first <= last && !c->failed) {
        int length = 0;
        while (first > last_of_length[length]) length++;
        uint32_t end = last < last_of_length[length] ? last : last_of_length[length];
        for (int i = 1; i <= length; i++) {
            uint32_t mask = (1u << 6 * i) - 1;
            if ((first & ~mask) == (end & ~mask)) continue;
            if (first & mask) {
                end = first | mask;
                i = 0; /* once more, for the shorter range */
            } else if ((end & mask) != mask) {
                end = (end & ~mask) - 1;
                i = 0;
            }
        }
        put_product(c, first, end, from, to);
        first = end + 1;
    }
}

/* All plain characters: what most text in strings is made of (guide_trie.c). */
static bool takes_plain(covey__guide_set set) {
    static const covey__guide_range plain[] = {
        {0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x7e}, {0x80, 0xd7ff}, {0xe000, 0x10ffff}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        bool held = false;
        for (size_t j = 0; j < set.count && !held; j++)
            held = set.ranges[j].first <= plain[i].first && set.ranges[j].last >= plain[i].last;
        if (!held) return false;
    }
    return true;
}

static void put_set(compiler *c, covey__guide_set set, uint32_t from, uint32_t to) {
    for (size_t i = 0; i < set.count; i++)
        put_range(c, set.ranges[i].first, set.ranges[i].last, from, to);
    /* A jump to a rule that does not exist marks it until guide_check.c has counted. */
    if (takes_plain(set)) jump(c, from, to, COVEY__GUIDE_PLAIN);
}

/* ---- Trees ---- */

static void put(compiler *c, const covey__guide_node *node, uint32_t from, uint32_t to);

static void put_bytes(compiler *c, const covey__guide_node *node, uint32_t from, uint32_t to) {
    for (size_t i = 0; i < node->size; i++) {
        uint32_t next = i + 1 == node->size ? to : new_state(c);
        uint8_t byte = (uint8_t)node->bytes[i];
        edge(c, from, byte, byte, next, COVEY__GUIDE_NONE);
        from = next;
    }
}

static void put_sequence(compiler *c, const covey__guide_node *node, uint32_t from, uint32_t to) {
    for (size_t i = 0; i < node->size; i++) {
        uint32_t next = i + 1 == node->size ? to : new_state(c);
        put(c, node->children[i], from, next);
        from = next;
    }
}

static void put_repeat(compiler *c, const covey__guide_node *node, uint32_t from, uint32_t to) {
    bool endless = node->max == COVEY__GUIDE_NO_END;
    uint32_t copies = endless ? node->min : node->max;
    for (uint32_t i = 0; i < copies && !c->failed; i++) {
        bool last = !endless && i + 1 == copies;
        uint32_t next = last ? to : new_state(c);
        if (i >= node->min) jump(c, from, to, COVEY__GUIDE_NONE);
        put(c, node->children[0], from, next);
        from = next;
    }
    if (!endless) return;
    uint32_t loop = new_state(c);
    jump(c, from, loop, COVEY__GUIDE_NONE);
    put(c, node->children[0], loop, loop);
    jump(c, loop, to, COVEY__GUIDE_NONE);
}

/* Two lanes: `none` while no member stands before, `some` behind one. */
static void put_members(compiler *c, const covey__guide_node *node, uint32_t from, uint32_t to) {
    uint32_t none = from, some = COVEY__GUIDE_NONE;
    for (size_t i = 0; i < node->size && !c->failed; i += 2) {
        const covey__guide_node *name = node->children[i];
        uint32_t begin = new_state(c), middle = new_state(c), behind = new_state(c);
        if (none != COVEY__GUIDE_NONE) jump(c, none, begin, COVEY__GUIDE_NONE);
        if (some != COVEY__GUIDE_NONE) put(c, node->comma, some, begin);
        put(c, name, begin, middle);
        put(c, node->children[i + 1], middle, behind);
        if (name->required) {
            none = COVEY__GUIDE_NONE;
        } else {
            if (some != COVEY__GUIDE_NONE) jump(c, some, behind, COVEY__GUIDE_NONE);
            uint32_t still = COVEY__GUIDE_NONE;
            if (none != COVEY__GUIDE_NONE) jump(c, none, still = new_state(c), COVEY__GUIDE_NONE);
            none = still;
        }
        some = behind;
    }
    if (node->rest) {
        uint32_t begin = new_state(c), behind = new_state(c);
        if (none != COVEY__GUIDE_NONE) jump(c, none, begin, COVEY__GUIDE_NONE);
        if (some != COVEY__GUIDE_NONE) jump(c, some, behind, COVEY__GUIDE_NONE);
        put(c, node->rest, begin, behind);
        put(c, node->comma, behind, begin);
        some = behind;
    }
    if (none != COVEY__GUIDE_NONE) jump(c, none, to, COVEY__GUIDE_NONE);
    if (some != COVEY__GUIDE_NONE) jump(c, some, to, COVEY__GUIDE_NONE);
}

static void put(compiler *c, const covey__guide_node *node, uint32_t from, uint32_t to) {
    if (c->failed || !node) return;
    switch (node->kind) {
    case COVEY__GUIDE_EMPTY:
        jump(c, from, to, COVEY__GUIDE_NONE);
        break;
    case COVEY__GUIDE_NOTHING:
        break;
    case COVEY__GUIDE_BYTES:
        put_bytes(c, node, from, to);
        break;
    case COVEY__GUIDE_SET:
        put_set(c, node->set, from, to);
        break;
    case COVEY__GUIDE_SEQUENCE:
        put_sequence(c, node, from, to);
        break;
    case COVEY__GUIDE_CHOICE:
        for (size_t i = 0; i < node->size; i++) put(c, node->children[i], from, to);
        break;
    case COVEY__GUIDE_REPEAT:
        put_repeat(c, node, from, to);
        break;
    case COVEY__GUIDE_CALL:
        jump(c, from, to, node->rule);
        break;
    case COVEY__GUIDE_MEMBERS:
        put_members(c, node, from, to);
        break;
    }
}

/* ---- The program ---- */

/* Edges and jumps by the state that they leave, in the order they were made. */
static void sort_out(const compiler *c, covey__guide_program *program) {
    covey__guide_state *states = program->states;
    for (uint32_t i = 0; i < c->edge_count; i++) states[c->edges[i].from + 1].edges++;
    for (uint32_t i = 0; i < c->jump_count; i++) states[c->jumps[i].from + 1].jumps++;
    for (uint32_t s = 0; s < c->state_count; s++) {
        states[s + 1].edges += states[s].edges;
        states[s + 1].jumps += states[s].jumps;
    }
    for (uint32_t i = c->edge_count; i-- > 0;) {
        const raw_edge *e = &c->edges[i];
        program->edges[--states[e->from + 1].edges] =
            (covey__guide_edge){e->low, e->high, e->target, e->pushed};
    }
    for (uint32_t i = c->jump_count; i-- > 0;)
        program->jumps[--states[c->jumps[i].from + 1].jumps] =
            (covey__guide_jump){c->jumps[i].target, c->jumps[i].rule};
    /* Each state's first now stands one place too far. */
    for (uint32_t s = 0; s < c->state_count; s++) {
        states[s].edges = states[s + 1].edges;
        states[s].jumps = states[s + 1].jumps;
    }
    states[c->state_count].edges = c->edge_count;
    states[c->state_count].jumps = c->jump_count;
}

static covey_status take(compiler *c, covey__guide_program *program) {
    const covey__env *env = c->builder->env;
    new_state(c); /* one more, so that every state has a next */
    if (c->failed) return c->builder->status;
    c->state_count--;
    program->states = c->states;
    c->states = NULL;
    program->state_count = c->state_count;
    program->edge_count = c->edge_count;
    program->jump_count = c->jump_count;
    program->edges = covey__calloc(env, c->edge_count + 1, sizeof *program->edges);
    program->jumps = covey__calloc(env, c->jump_count + 1, sizeof *program->jumps);
    if (!program->edges || !program->jumps)
        return covey__no_memory(c->builder->error, "the guide", c->edge_count);
    sort_out(c, program);
    return COVEY_OK;
}

static covey_status compile(compiler *c, covey__guide_program *program) {
    covey__guide_builder *builder = c->builder;
    new_state(c); /* END */
    for (uint32_t i = 0; i < builder->rule_count && !c->failed; i++) {
        program->rules[i].start = new_state(c);
        program->rules[i].depth = (uint16_t)builder->rules[i].depth;
    }
    for (uint32_t i = 0; i < builder->rule_count && !c->failed; i++)
        put(c, builder->rules[i].body, program->rules[i].start, END);
    if (c->failed) return builder->status;
    c->states[END].final = true;
    return take(c, program);
}

covey_status covey__guide_program_new(covey__guide_builder *builder,
                                      covey__guide_program *program) {
    const covey__env *env = builder->env;
    memset(program, 0, sizeof *program);
    if (builder->status != COVEY_OK) return builder->status;
    program->env = env;
    program->rule_count = builder->rule_count;
    program->depth_max = builder->depth_max;
    program->unique_names = builder->unique_names;
    program->rules = covey__calloc(env, builder->rule_count, sizeof *program->rules);
    compiler *c = covey__calloc(env, 1, sizeof *c);
    covey_status status;
    if (program->rules && c) {
        c->builder = builder;
        status = compile(c, program);
    } else {
        status = covey__no_memory(builder->error, "the guide", sizeof *c);
    }
    if (c) {
        covey__free(env, c->states);
        covey__free(env, c->edges);
        covey__free(env, c->jumps);
    }
    covey__free(env, c);
    if (status == COVEY_OK) status = covey__guide_program_check(program, builder);
    if (status != COVEY_OK) covey__guide_program_free(program);
    return status;
}

void covey__guide_program_free(covey__guide_program *program) {
    if (!program->env) return;
    covey__free(program->env, program->states);
    covey__free(program->env, program->edges);
    covey__free(program->env, program->jumps);
    covey__free(program->env, program->rules);
    memset(program, 0, sizeof *program);
}
