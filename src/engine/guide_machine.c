/* The lazy automaton that runs a program. A set is all configurations (state, stack) that the text
 * so far allows; the set behind a byte is made when it is first asked for, interned, and kept. A
 * stack is interned too: it is the set of frames that its rule may return to, so that callers of
 * one rule at one place share the stack, ambiguity does not multiply, and the same place in the
 * next element of an array is the same set again. Frames point to older stacks only. All memory is
 * taken at the start; when it is full, covey__guide_collect keeps what is still needed.
 *
 * A rule that is called at a place gets the frames of all its callers there before it is entered:
 * rules are entered in the order that guide_check.c gives, which exists since no rule begins with
 * itself. That a called rule may be empty is known from its cost, so a rule that was just entered
 * is never returned from at the same place. */
#include "engine/guide_run.h"

#include <string.h>

#define STACKS_MAX         8192u
#define FRAMES_MAX         32768u
#define SETS_MAX           8192u
#define NEXT_BYTES         (2u << 20)
#define CONFIGS_MAX        65536u
#define CONFIGS_OF_SET_MAX 8192u
#define SEEN_SLOTS         (4 * CONFIGS_OF_SET_MAX)
#define PENDING_MAX        8192u
#define CHAINS             8192u
#define ROOT               0u /* the stack from which a return is the end of the text */

typedef struct pending {
    covey__guide_frame frame;
    uint32_t next; /* of the same rule; NONE */
} pending;

struct covey__guide_scratch {
    uint64_t work[CONFIGS_OF_SET_MAX];
    uint32_t work_count, work_done;
    uint64_t seen[SEEN_SLOTS];
    uint32_t seen_stamps[SEEN_SLOTS], stamp;
    pending pending[PENDING_MAX];
    uint32_t pending_count;
    uint32_t heap[COVEY__GUIDE_RULES_MAX], heap_count; /* rules called, the lowest order first */
    uint32_t *pending_of;                              /* by rule; NONE */
    uint64_t frames[PENDING_MAX];
    uint32_t kept[SETS_MAX], marks[STACKS_MAX]; /* while collecting */
    bool ends;                                  /* the text may end here */
};

typedef covey__guide_machine machine;

static size_t set_capacity(const covey__guide_program *program) {
    size_t sets = NEXT_BYTES / (program->class_count * sizeof(uint32_t));
    return sets < SETS_MAX ? sets : SETS_MAX;
}

size_t covey__guide_machine_bytes(const covey__guide_program *program) {
    size_t sets = set_capacity(program);
    return sizeof(machine) + sizeof(struct covey__guide_scratch) +
           STACKS_MAX * sizeof(covey__guide_stack) + FRAMES_MAX * sizeof(covey__guide_frame) +
           CONFIGS_MAX * sizeof(uint64_t) + 2 * CHAINS * sizeof(uint32_t) +
           sets * (sizeof(covey__guide_at) + program->class_count * sizeof(uint32_t)) +
           program->rule_count * sizeof(uint32_t);
}

void covey__guide_machine_free(covey__guide_machine *m) {
    if (!m) return;
    const covey__env *env = m->env;
    if (m->scratch) covey__free(env, m->scratch->pending_of);
    covey__free(env, m->scratch);
    covey__free(env, m->stacks);
    covey__free(env, m->frames);
    covey__free(env, m->sets);
    covey__free(env, m->configs);
    covey__free(env, m->next);
    covey__free(env, m->stack_chains);
    covey__free(env, m->set_chains);
    covey__free(env, m);
}

/* ---- Interning ---- */

static uint32_t chain_of(const uint64_t *words, uint32_t count, uint32_t seed) {
    uint64_t hash = seed + count;
    for (uint32_t i = 0; i < count; i++) hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ull;
    return (uint32_t)(hash >> 40) & (CHAINS - 1);
}

static uint64_t pack(uint32_t state, uint32_t stack) {
    return (uint64_t)state << 32 | stack;
}

static void sort_words(uint64_t *words, uint32_t count) {
    static const uint32_t gaps[] = {2161, 929, 401, 109, 41, 19, 5, 1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (uint32_t i = gaps[g]; i < count; i++) {
            uint64_t word = words[i];
            uint32_t at = i;
            for (; at >= gaps[g] && words[at - gaps[g]] > word; at -= gaps[g])
                words[at] = words[at - gaps[g]];
            words[at] = word;
        }
}

static uint32_t unique_words(uint64_t *words, uint32_t count) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || words[i] != words[kept - 1]) words[kept++] = words[i];
    return kept;
}

static bool same_frames(const machine *m, const covey__guide_stack *stack, const uint64_t *words,
                        uint32_t count) {
    if (stack->count != count) return false;
    for (uint32_t i = 0; i < count; i++) {
        covey__guide_frame frame = m->frames[stack->first + i];
        if (pack(frame.state, frame.stack) != words[i]) return false;
    }
    return true;
}

static uint32_t add_cost(uint32_t a, uint32_t b) {
    return a + b < COVEY__GUIDE_FAR ? a + b : COVEY__GUIDE_FAR;
}

/* The stack with these frames (sorted, each once), of a rule that adds `deeper`. */
static uint32_t intern_stack(machine *m, const uint64_t *words, uint32_t count, uint32_t deeper) {
    uint32_t depth = 0, cost = COVEY__GUIDE_FAR;
    for (uint32_t i = 0; i < count; i++) {
        const covey__guide_stack *under = &m->stacks[(uint32_t)words[i]];
        uint32_t whole = add_cost(m->program->states[words[i] >> 32].cost, under->cost);
        if (under->depth > depth) depth = under->depth;
        if (whole < cost) cost = whole;
    }
    depth += deeper;
    uint32_t chain = chain_of(words, count, depth);
    for (uint32_t id = m->stack_chains[chain]; id != COVEY__GUIDE_NONE; id = m->stacks[id].twin)
        if (m->stacks[id].depth == depth && same_frames(m, &m->stacks[id], words, count)) return id;
    if (m->stack_count == STACKS_MAX || count > FRAMES_MAX - m->frame_count) {
        m->full = true;
        return ROOT;
    }
    uint32_t id = m->stack_count++;
    m->stacks[id] =
        (covey__guide_stack){m->frame_count, count, cost, m->stack_chains[chain], depth};
    m->stack_chains[chain] = id;
    for (uint32_t i = 0; i < count; i++)
        m->frames[m->frame_count++] =
            (covey__guide_frame){(uint32_t)(words[i] >> 32), (uint32_t)words[i]};
    return id;
}

/* A configuration was looked at, with so many edges or jumps. */
static void count_work(machine *m, uint32_t edges) {
    m->work += 1 + edges / 4;
    if (m->work > COVEY__GUIDE_WORK_MAX) m->too_many = true;
}

/* ---- Closing a set: everything that can be reached without reading ---- */

static void add(machine *m, uint32_t state, uint32_t stack) {
    struct covey__guide_scratch *s = m->scratch;
    if (m->stacks[stack].depth + m->program->states[state].height > m->program->depth_max) return;
    uint64_t word = pack(state, stack);
    uint32_t slot = (uint32_t)(word * 0x9E3779B97F4A7C15ull >> 40) & (SEEN_SLOTS - 1);
    for (; s->seen_stamps[slot] == s->stamp; slot = (slot + 1) & (SEEN_SLOTS - 1))
        if (s->seen[slot] == word) return;
    if (s->work_count == CONFIGS_OF_SET_MAX) {
        m->too_many = true;
        return;
    }
    s->seen[slot] = word;
    s->seen_stamps[slot] = s->stamp;
    s->work[s->work_count++] = word;
}

static uint32_t order_of(const machine *m, uint32_t rule) {
    return m->program->rules[rule].order;
}

static void put_heap(machine *m, uint32_t rule) {
    struct covey__guide_scratch *s = m->scratch;
    uint32_t at = s->heap_count++;
    for (; at > 0; at = (at - 1) / 2) {
        uint32_t up = s->heap[(at - 1) / 2];
        if (order_of(m, up) <= order_of(m, rule)) break;
        s->heap[at] = up;
    }
    s->heap[at] = rule;
}

static uint32_t take_heap(machine *m) {
    struct covey__guide_scratch *s = m->scratch;
    uint32_t first = s->heap[0], last = s->heap[--s->heap_count], at = 0;
    for (uint32_t child; (child = 2 * at + 1) < s->heap_count; at = child) {
        if (child + 1 < s->heap_count &&
            order_of(m, s->heap[child + 1]) < order_of(m, s->heap[child]))
            child++;
        if (order_of(m, s->heap[child]) >= order_of(m, last)) break;
        s->heap[at] = s->heap[child];
    }
    s->heap[at] = last;
    return first;
}

static void put_frame(machine *m, uint32_t rule, uint32_t state, uint32_t stack) {
    struct covey__guide_scratch *s = m->scratch;
    if (m->stacks[stack].depth + m->program->states[state].height > m->program->depth_max) return;
    if (s->pending_count == PENDING_MAX) {
        m->too_many = true;
        return;
    }
    if (s->pending_of[rule] == COVEY__GUIDE_NONE) put_heap(m, rule);
    s->pending[s->pending_count] = (pending){.frame = {state, stack}, .next = s->pending_of[rule]};
    s->pending_of[rule] = s->pending_count++;
}

/* A call that returns to an end returns to where its caller returns: no frame for it, so that
 * recursion at the end of a rule costs no depth. */
static void call(machine *m, uint32_t rule, uint32_t back, uint32_t stack) {
    if (!m->program->states[back].only_final) {
        put_frame(m, rule, back, stack);
    } else if (stack == ROOT) {
        put_frame(m, rule, back, ROOT);
    } else {
        covey__guide_stack of = m->stacks[stack];
        for (uint32_t i = 0; i < of.count; i++)
            put_frame(m, rule, m->frames[of.first + i].state, m->frames[of.first + i].stack);
    }
}

static void give_back(machine *m, uint32_t stack) {
    if (stack == ROOT) {
        m->scratch->ends = true;
        return;
    }
    covey__guide_stack of = m->stacks[stack];
    for (uint32_t i = 0; i < of.count; i++)
        add(m, m->frames[of.first + i].state, m->frames[of.first + i].stack);
}

/* Follows jumps from all that was added. `entered`: from a rule that was just entered. */
static void follow(machine *m, bool entered) {
    struct covey__guide_scratch *s = m->scratch;
    const covey__guide_program *p = m->program;
    while (s->work_done < s->work_count && !m->full && !m->too_many) {
        uint64_t word = s->work[s->work_done++];
        uint32_t stack = (uint32_t)word;
        const covey__guide_state *state = &p->states[word >> 32];
        count_work(m, state[1].jumps - state->jumps);
        if (state->final && !entered) give_back(m, stack);
        for (uint32_t i = state->jumps; i < state[1].jumps; i++) {
            const covey__guide_jump *j = &p->jumps[i];
            if (j->rule == COVEY__GUIDE_PLAIN) continue;
            bool goes_on = j->rule == COVEY__GUIDE_NONE;
            if (!goes_on) {
                call(m, j->rule, j->target, stack);
                goes_on = p->states[p->rules[j->rule].start].cost == 0;
            }
            if (goes_on) add(m, j->target, stack);
        }
    }
}

static void enter_rules(machine *m) {
    struct covey__guide_scratch *s = m->scratch;
    while (s->heap_count > 0) {
        uint32_t rule = take_heap(m), count = 0;
        for (uint32_t i = s->pending_of[rule]; i != COVEY__GUIDE_NONE; i = s->pending[i].next)
            s->frames[count++] = pack(s->pending[i].frame.state, s->pending[i].frame.stack);
        s->pending_of[rule] = COVEY__GUIDE_NONE;
        if (m->full || m->too_many) continue; /* only to leave the scratch clean */
        sort_words(s->frames, count);
        count = unique_words(s->frames, count);
        uint32_t stack = intern_stack(m, s->frames, count, m->program->rules[rule].depth);
        if (m->full) continue;
        add(m, m->program->rules[rule].start, stack);
        follow(m, true);
    }
}

/* ---- Sets ---- */

/* Plain characters that a configuration surely takes: those of its state, and where one ends the
 * rule, those behind it. */
static uint8_t run_of(const machine *m, const covey__guide_state *state,
                      const covey__guide_stack *stack) {
    uint32_t run = state->run;
    if (!state->within && !state->plain_ends) return state->run;
    for (uint32_t i = 0; i < stack->count; i++) {
        uint32_t behind = m->program->states[m->frames[stack->first + i].state].run;
        behind += state->plain_ends;
        if (behind > run) run = behind;
    }
    return run < COVEY__GUIDE_RUN_MAX ? (uint8_t)run : COVEY__GUIDE_RUN_MAX;
}

static void describe(machine *m, covey__guide_at *set) {
    const covey__guide_program *p = m->program;
    int forced = -1;
    bool several = false;
    set->cost = set->accepts ? 0 : COVEY__GUIDE_FAR;
    for (uint32_t i = 0; i < set->count; i++) {
        uint64_t word = m->configs[set->first + i];
        const covey__guide_state *state = &p->states[word >> 32];
        const covey__guide_stack *stack = &m->stacks[(uint32_t)word];
        const covey__guide_edge *best = &p->edges[state->best];
        uint32_t cost = add_cost(1 + p->states[best->target].cost, stack->cost);
        if (best->pushed != COVEY__GUIDE_NONE) cost = add_cost(cost, p->states[best->pushed].cost);
        if (cost < set->cost) set->cost = cost;
        for (uint32_t e = state->edges; e < state[1].edges && !several; e++) {
            int low = p->edges[e].low;
            several = low != p->edges[e].high || (forced >= 0 && forced != low);
            forced = low;
        }
        uint8_t run = run_of(m, state, stack);
        if (state->within) set->within = true;
        if (run > set->run) set->run = run;
    }
    set->forced = several || set->accepts ? -1 : (int16_t)forced;
}

/* The set of what was followed: its configurations that read something, and whether it ends. */
static uint32_t intern_set(machine *m) {
    struct covey__guide_scratch *s = m->scratch;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->work_count; i++) {
        const covey__guide_state *state = &m->program->states[s->work[i] >> 32];
        if (state->edges != state[1].edges) s->work[count++] = s->work[i];
    }
    if (count == 0 && !s->ends) return 0;
    sort_words(s->work, count);
    uint32_t chain = chain_of(s->work, count, s->ends);
    for (uint32_t id = m->set_chains[chain]; id != COVEY__GUIDE_NONE; id = m->sets[id].twin) {
        const covey__guide_at *set = &m->sets[id];
        if (set->count == count && set->accepts == s->ends &&
            !memcmp(m->configs + set->first, s->work, count * sizeof *s->work))
            return id;
    }
    if (m->set_count == m->set_capacity || count > CONFIGS_MAX - m->config_count) {
        m->full = true;
        return COVEY__GUIDE_NONE;
    }
    uint32_t id = m->set_count++;
    m->sets[id] = (covey__guide_at){.first = m->config_count,
                                    .count = count,
                                    .twin = m->set_chains[chain],
                                    .accepts = s->ends,
                                    .mask = COVEY__GUIDE_NONE};
    m->set_chains[chain] = id;
    memcpy(m->configs + m->config_count, s->work, count * sizeof *s->work);
    m->config_count += count;
    describe(m, &m->sets[id]);
    size_t classes = m->program->class_count;
    memset(m->next + id * classes, 0xff, classes * sizeof *m->next);
    return id;
}

static void begin(machine *m) {
    struct covey__guide_scratch *s = m->scratch;
    if (++s->stamp == 0) {
        memset(s->seen_stamps, 0, sizeof s->seen_stamps);
        s->stamp = 1;
    }
    s->work_count = s->work_done = s->pending_count = 0;
    s->ends = false;
    m->full = false;
}

static uint32_t finish(machine *m) {
    follow(m, false);
    enter_rules(m);
    if (m->full || m->too_many) return COVEY__GUIDE_NONE;
    return intern_set(m);
}

uint32_t covey__guide_start(covey__guide_machine *m) {
    begin(m);
    call(m, 0, 0, ROOT); /* state 0 is the end of every rule */
    if (m->program->states[m->program->rules[0].start].cost == 0) m->scratch->ends = true;
    return finish(m);
}

uint32_t covey__guide_step_slow(covey__guide_machine *m, uint32_t set, uint8_t class) {
    const covey__guide_program *p = m->program;
    uint8_t byte = p->class_first[class];
    covey__guide_at from = m->sets[set];
    begin(m);
    for (uint32_t i = 0; i < from.count && !m->full && !m->too_many; i++) {
        uint64_t word = m->configs[from.first + i];
        const covey__guide_state *state = &p->states[word >> 32];
        count_work(m, state[1].edges - state->edges);
        for (uint32_t e = state->edges; e < state[1].edges; e++) {
            const covey__guide_edge *edge = &p->edges[e];
            uint32_t stack = (uint32_t)word;
            if (byte < edge->low || byte > edge->high) continue;
            if (edge->pushed != COVEY__GUIDE_NONE && !p->states[edge->pushed].only_final) {
                uint64_t frame = pack(edge->pushed, stack);
                if (m->stacks[stack].depth + p->states[edge->pushed].height > p->depth_max)
                    continue;
                stack = intern_stack(m, &frame, 1, 0);
                if (m->full) break;
            }
            add(m, edge->target, stack);
        }
    }
    uint32_t next = finish(m);
    if (next != COVEY__GUIDE_NONE) m->next[(size_t)set * p->class_count + class] = next;
    return next;
}

/* ---- Collecting ---- */

/* Marks the stacks under the kept sets. Frames point to older stacks: one walk downwards. */
static void mark_stacks(machine *m, const uint32_t *kept, uint32_t *marks) {
    memset(marks, 0, STACKS_MAX * sizeof *marks);
    marks[ROOT] = 1;
    for (uint32_t id = 1; id < m->set_count; id++)
        for (uint32_t i = 0; kept[id] && i < m->sets[id].count; i++)
            marks[(uint32_t)m->configs[m->sets[id].first + i]] = 1;
    for (uint32_t id = m->stack_count; id-- > 1;)
        for (uint32_t i = 0; marks[id] && i < m->stacks[id].count; i++)
            marks[m->frames[m->stacks[id].first + i].stack] = 1;
}

static void move_stacks(machine *m, uint32_t *marks) {
    uint32_t count = 0, frame_count = 0;
    memset(m->stack_chains, 0xff, CHAINS * sizeof *m->stack_chains);
    for (uint32_t id = 0; id < m->stack_count; id++) {
        if (!marks[id]) continue;
        covey__guide_stack stack = m->stacks[id];
        uint64_t *words = m->scratch->frames;
        for (uint32_t i = 0; i < stack.count; i++) {
            covey__guide_frame frame = m->frames[stack.first + i];
            frame.stack = marks[frame.stack];
            m->frames[frame_count + i] = frame;
            words[i] = pack(frame.state, frame.stack);
        }
        stack.first = frame_count;
        frame_count += stack.count;
        marks[id] = count; /* from now on: its new number */
        uint32_t chain = chain_of(words, stack.count, stack.depth);
        if (id != ROOT) {
            stack.twin = m->stack_chains[chain];
            m->stack_chains[chain] = count;
        }
        m->stacks[count++] = stack;
    }
    m->stack_count = count;
    m->frame_count = frame_count;
}

static void move_sets(machine *m, uint32_t *kept, const uint32_t *stacks,
                      covey__guide_moved_fn moved, void *user) {
    size_t classes = m->program->class_count;
    uint32_t count = 1, config_count = 0;
    memset(m->set_chains, 0xff, CHAINS * sizeof *m->set_chains);
    for (uint32_t id = 1; id < m->set_count; id++) {
        if (moved) moved(user, id, kept[id] ? count : COVEY__GUIDE_NONE);
        if (!kept[id]) continue;
        covey__guide_at set = m->sets[id];
        for (uint32_t i = 0; i < set.count; i++) {
            uint64_t word = m->configs[set.first + i];
            m->configs[config_count + i] = pack((uint32_t)(word >> 32), stacks[(uint32_t)word]);
        }
        set.first = config_count;
        config_count += set.count;
        uint32_t chain = chain_of(m->configs + set.first, set.count, set.accepts);
        set.twin = m->set_chains[chain];
        m->set_chains[chain] = count;
        memset(m->next + count * classes, 0xff, classes * sizeof *m->next);
        kept[id] = count;
        m->sets[count++] = set;
    }
    m->set_count = count;
    m->config_count = config_count;
}

bool covey__guide_collect(covey__guide_machine *m, uint32_t *roots, size_t root_count,
                          covey__guide_moved_fn moved, void *user) {
    struct covey__guide_scratch *s = m->scratch;
    if (m->too_many) return false;
    uint32_t *kept = s->kept, *marks = s->marks;
    memset(kept, 0, sizeof s->kept);
    for (size_t i = 0; i < root_count; i++) kept[roots[i]] = 1;
    kept[0] = 0;
    mark_stacks(m, kept, marks);
    move_stacks(m, marks);
    move_sets(m, kept, marks, moved, user);
    for (size_t i = 0; i < root_count; i++) roots[i] = kept[roots[i]];
    m->full = false;
    m->collections++;
    bool roomy = m->stack_count < STACKS_MAX / 2 && m->frame_count < FRAMES_MAX / 2 &&
                 m->config_count < CONFIGS_MAX / 2 && m->set_count < m->set_capacity * 3 / 4;
    if (!roomy) m->too_many = true;
    return roomy;
}

covey_status covey__guide_exhausted(const covey__guide_machine *m, covey_error *error) {
    return covey__fail(
        error, COVEY_ERROR_LIMIT,
        "guide: it is too ambiguous here: more than %u places at once, or %u stacks; "
        "a grammar with fewer ways to read one text is needed",
        CONFIGS_OF_SET_MAX, m->stack_count);
}

/* ---- Opening ---- */

static bool reserve(machine *m) {
    const covey__env *env = m->env;
    size_t classes = m->program->class_count;
    m->set_capacity = (uint32_t)set_capacity(m->program);
    m->stacks = covey__alloc(env, STACKS_MAX * sizeof *m->stacks);
    m->frames = covey__alloc(env, FRAMES_MAX * sizeof *m->frames);
    m->sets = covey__alloc(env, m->set_capacity * sizeof *m->sets);
    m->configs = covey__alloc(env, CONFIGS_MAX * sizeof *m->configs);
    m->next = covey__alloc(env, m->set_capacity * classes * sizeof *m->next);
    m->stack_chains = covey__alloc(env, CHAINS * sizeof *m->stack_chains);
    m->set_chains = covey__alloc(env, CHAINS * sizeof *m->set_chains);
    m->scratch = covey__calloc(env, 1, sizeof *m->scratch);
    if (m->scratch)
        m->scratch->pending_of =
            covey__alloc(env, m->program->rule_count * sizeof *m->scratch->pending_of);
    return m->stacks && m->frames && m->sets && m->configs && m->next && m->stack_chains &&
           m->set_chains && m->scratch && m->scratch->pending_of;
}

covey_status covey__guide_machine_new(const covey__guide_program *program,
                                      covey__guide_machine **out, covey_error *error) {
    machine *m = covey__calloc(program->env, 1, sizeof *m);
    *out = NULL;
    if (!m) return covey__no_memory(error, "guide", sizeof *m);
    m->program = program;
    m->env = program->env;
    if (!reserve(m)) {
        covey__guide_machine_free(m);
        return covey__no_memory(error, "guide", covey__guide_machine_bytes(program));
    }
    memset(m->scratch->pending_of, 0xff, program->rule_count * sizeof *m->scratch->pending_of);
    memset(m->stack_chains, 0xff, CHAINS * sizeof *m->stack_chains);
    memset(m->set_chains, 0xff, CHAINS * sizeof *m->set_chains);
    m->stacks[ROOT] = (covey__guide_stack){.twin = COVEY__GUIDE_NONE};
    m->stack_count = 1;
    m->sets[0] =
        (covey__guide_at){.forced = -1, .cost = COVEY__GUIDE_FAR, .mask = COVEY__GUIDE_NONE};
    m->set_count = 1;
    memset(m->next, 0, program->class_count * sizeof *m->next); /* the dead stay dead */
    *out = m;
    return COVEY_OK;
}
