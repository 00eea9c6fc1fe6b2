/* What a program must know of itself before it runs: how many bytes it takes at least to the end of
 * a rule, how deep that must go, which rules begin with which, how many plain characters a state
 * surely takes. Parts from which no end is reached are cut out, so that a machine never walks into
 * one. Refused are left recursion (a machine would call for ever) and a program without any text.
 * Costs are a least fixed point over the program's edges; its passes are counted. */
#include "engine/guide.h"

#include <string.h>

#define WORK_MAX (1u << 27) /* of one fixed point: well under a second */

static uint32_t add(uint32_t a, uint32_t b) {
    uint32_t sum = a + b;
    return sum < COVEY__GUIDE_FAR ? sum : COVEY__GUIDE_FAR;
}

/* ---- Costs ---- */

static uint32_t edge_cost(const covey__guide_program *p, const covey__guide_edge *e) {
    uint32_t cost = add(1, p->states[e->target].cost);
    return e->pushed == COVEY__GUIDE_NONE ? cost : add(cost, p->states[e->pushed].cost);
}

static uint32_t jump_cost(const covey__guide_program *p, const covey__guide_jump *j) {
    if (j->rule == COVEY__GUIDE_PLAIN) return COVEY__GUIDE_FAR;
    uint32_t cost = p->states[j->target].cost;
    return j->rule == COVEY__GUIDE_NONE ? cost : add(cost, p->states[p->rules[j->rule].start].cost);
}

static bool lower_cost(covey__guide_program *p, uint32_t s) {
    covey__guide_state *state = &p->states[s];
    uint32_t least = state->final ? 0 : COVEY__GUIDE_FAR, edge_least = COVEY__GUIDE_FAR;
    for (uint32_t i = state->edges; i < state[1].edges; i++) {
        uint32_t cost = edge_cost(p, &p->edges[i]);
        if (cost < edge_least) {
            edge_least = cost;
            state->best = i;
        }
    }
    if (edge_least < least) least = edge_least;
    for (uint32_t i = state->jumps; i < state[1].jumps; i++) {
        uint32_t cost = jump_cost(p, &p->jumps[i]);
        if (cost < least) least = cost;
    }
    bool lower = least < state->cost;
    state->cost = least;
    return lower;
}

/* ---- Heights ---- */

#define HIGH UINT16_MAX

static uint16_t higher(uint32_t a, uint32_t b) {
    uint32_t most = a > b ? a : b;
    return most < HIGH ? (uint16_t)most : HIGH;
}

static bool lower_height(covey__guide_program *p, uint32_t s) {
    covey__guide_state *state = &p->states[s];
    uint16_t least = state->final ? 0 : HIGH;
    for (uint32_t i = state->edges; i < state[1].edges; i++) {
        const covey__guide_edge *e = &p->edges[i];
        uint16_t height = p->states[e->target].height;
        if (e->pushed != COVEY__GUIDE_NONE) height = higher(height, p->states[e->pushed].height);
        if (height < least) least = height;
    }
    for (uint32_t i = state->jumps; i < state[1].jumps; i++) {
        const covey__guide_jump *j = &p->jumps[i];
        if (j->rule == COVEY__GUIDE_PLAIN) continue;
        uint16_t height = p->states[j->target].height;
        if (j->rule != COVEY__GUIDE_NONE) {
            uint32_t inner = p->states[p->rules[j->rule].start].height;
            height = higher(height, inner + p->rules[j->rule].depth);
        }
        if (height < least) least = height;
    }
    bool lower = least < state->height;
    state->height = least;
    return lower;
}

/* ---- Runs of plain characters ---- */

/* Grows from 0; only ways on which the depth is no trouble count. */
static bool raise_run(covey__guide_program *p, uint32_t s) {
    covey__guide_state *state = &p->states[s];
    uint32_t most = state->run;
    for (uint32_t i = state->jumps; i < state[1].jumps; i++) {
        const covey__guide_jump *j = &p->jumps[i];
        const covey__guide_state *next = &p->states[j->target];
        uint32_t run = next->run;
        if (next->height > state->height) continue;
        if (j->rule == COVEY__GUIDE_PLAIN)
            run = j->target == s ? COVEY__GUIDE_RUN_MAX : run + 1;
        else if (j->rule != COVEY__GUIDE_NONE && !p->states[p->rules[j->rule].start].plain_ends)
            continue;
        else if (j->rule != COVEY__GUIDE_NONE)
            run++;
        if (run > most) most = run;
    }
    if (most > COVEY__GUIDE_RUN_MAX) most = COVEY__GUIDE_RUN_MAX;
    bool higher_now = most > state->run;
    state->run = (uint8_t)most;
    return higher_now;
}

/* ---- Fixed points ---- */

/* Who must be looked at again when a state changes: those with an edge or a jump to it, and, where
 * a rule starts, all who call it. */
typedef struct settling {
    covey__guide_program *p;
    uint32_t *first, *users; /* lists by state, one behind the other */
    uint32_t *queue;         /* a ring; each state is in it once at most */
    bool *queued;
} settling;

static void count_user(settling *s, uint32_t of, uint32_t user, bool put) {
    if (put)
        s->users[s->first[of]++] = user;
    else
        s->first[of]++;
}

static void go_through_users(settling *s, bool put) {
    const covey__guide_program *p = s->p;
    for (uint32_t user = 0; user < p->state_count; user++) {
        const covey__guide_state *state = &p->states[user];
        for (uint32_t i = state->edges; i < state[1].edges; i++) {
            count_user(s, p->edges[i].target, user, put);
            if (p->edges[i].pushed != COVEY__GUIDE_NONE)
                count_user(s, p->edges[i].pushed, user, put);
        }
        for (uint32_t i = state->jumps; i < state[1].jumps; i++) {
            const covey__guide_jump *j = &p->jumps[i];
            count_user(s, j->target, user, put);
            if (j->rule < p->rule_count) count_user(s, p->rules[j->rule].start, user, put);
        }
    }
}

static void list_users(settling *s) {
    uint32_t count = s->p->state_count;
    memset(s->first, 0, (count + 1) * sizeof *s->first);
    go_through_users(s, false);
    for (uint32_t i = 0, sum = 0; i <= count; i++) {
        uint32_t own = s->first[i];
        s->first[i] = sum;
        sum += own;
    }
    go_through_users(s, true);
    memmove(s->first + 1, s->first, count * sizeof *s->first); /* each now stands at its end */
    s->first[0] = 0;
}

/* Rules that a plain character alone is enough for: a call of one is one character of a run. */
static void mark_plain_ends(covey__guide_program *p) {
    for (uint32_t s = 0; s < p->state_count; s++)
        for (uint32_t i = p->states[s].jumps; i < p->states[s + 1].jumps; i++)
            if (p->jumps[i].rule == COVEY__GUIDE_PLAIN && p->states[p->jumps[i].target].only_final)
                p->states[s].plain_ends = true;
}

/* Steps until nothing changes; false when that takes too long. */
static bool settle(settling *s, bool (*step)(covey__guide_program *, uint32_t)) {
    covey__guide_program *p = s->p;
    uint32_t count = p->state_count, head = 0, waiting = count;
    uint64_t work = 0;
    for (uint32_t i = 0; i < count; i++) {
        s->queue[i] = count - 1 - i; /* ends come from behind, mostly */
        s->queued[i] = true;
    }
    while (waiting > 0 && work < WORK_MAX) {
        uint32_t at = s->queue[head];
        head = head + 1 == count ? 0 : head + 1;
        waiting--;
        s->queued[at] = false;
        work += 1 + p->states[at + 1].edges - p->states[at].edges + p->states[at + 1].jumps -
                p->states[at].jumps;
        if (!step(p, at)) continue;
        for (uint32_t i = s->first[at]; i < s->first[at + 1]; i++, work++) {
            uint32_t user = s->users[i];
            if (s->queued[user]) continue;
            s->queued[user] = true;
            s->queue[(head + waiting++) % count] = user;
        }
    }
    return waiting == 0;
}

/* ---- Dead ends ---- */

/* Takes out what reaches no end. */
static void prune(covey__guide_program *p) {
    uint32_t edges = 0, jumps = 0, edge_first = 0, jump_first = 0;
    for (uint32_t s = 0; s < p->state_count; s++) {
        uint32_t edge_end = p->states[s + 1].edges, jump_end = p->states[s + 1].jumps;
        p->states[s].edges = edges;
        p->states[s].jumps = jumps;
        for (uint32_t i = edge_first; i < edge_end; i++)
            if (edge_cost(p, &p->edges[i]) < COVEY__GUIDE_FAR) {
                if (p->states[s].best == i) p->states[s].best = edges;
                p->edges[edges++] = p->edges[i];
            }
        for (uint32_t i = jump_first; i < jump_end; i++) {
            const covey__guide_jump *j = &p->jumps[i];
            bool alive = j->rule == COVEY__GUIDE_PLAIN
                             ? p->states[j->target].cost < COVEY__GUIDE_FAR
                             : jump_cost(p, j) < COVEY__GUIDE_FAR;
            if (alive) p->jumps[jumps++] = *j;
        }
        edge_first = edge_end;
        jump_first = jump_end;
    }
    p->states[p->state_count].edges = p->edge_count = edges;
    p->states[p->state_count].jumps = p->jump_count = jumps;
}

/* States from which a rule can only end: a call that returns to one needs no place to return to. */
static bool mark_only_final(covey__guide_program *p, uint32_t s) {
    covey__guide_state *state = &p->states[s];
    if (state->only_final || state->edges != state[1].edges) return false;
    bool only = state->final || state->jumps != state[1].jumps;
    for (uint32_t i = state->jumps; i < state[1].jumps && only; i++)
        only = p->jumps[i].rule == COVEY__GUIDE_NONE && p->states[p->jumps[i].target].only_final;
    state->only_final = only;
    return only;
}

/* ---- Left recursion ---- */

typedef struct walker {
    covey__guide_program *p;
    uint32_t *seen;   /* by state: the last rule (and one more) that reached it without reading */
    uint32_t *stack;  /* states still to be looked at */
    uint32_t *calls;  /* rules that a rule begins with, one list behind the other */
    uint32_t *called; /* by rule: the last rule (and one more) whose list has it */
    uint32_t call_count, call_capacity;
    struct {
        uint32_t rule, next, end; /* of its list */
    } * path;
    uint8_t *colors; /* 0 new, 1 on the path, 2 done */
    uint32_t order;
} walker;

static bool put_call(walker *w, uint32_t by, uint32_t rule) {
    if (w->called[rule] == by + 1) return true;
    w->called[rule] = by + 1;
    if (w->call_count == w->call_capacity) return false;
    w->calls[w->call_count++] = rule;
    return true;
}

/* The rules that `rule` may begin with, behind what the list holds. False when it is full. */
static bool list_calls(walker *w, uint32_t rule) {
    const covey__guide_program *p = w->p;
    uint32_t count = 0;
    w->stack[count++] = p->rules[rule].start;
    w->seen[p->rules[rule].start] = rule + 1;
    while (count > 0) {
        const covey__guide_state *state = &p->states[w->stack[--count]];
        for (uint32_t i = state->jumps; i < state[1].jumps; i++) {
            const covey__guide_jump *j = &p->jumps[i];
            bool goes_on = j->rule == COVEY__GUIDE_NONE;
            if (j->rule == COVEY__GUIDE_PLAIN) continue;
            if (!goes_on) {
                if (!put_call(w, rule, j->rule)) return false;
                goes_on = p->states[p->rules[j->rule].start].cost == 0;
            }
            if (!goes_on || w->seen[j->target] == rule + 1) continue;
            w->seen[j->target] = rule + 1;
            w->stack[count++] = j->target;
        }
    }
    return true;
}

static covey_status left_recursion(const covey__guide_builder *builder, uint32_t rule,
                                   uint32_t through) {
    char first[80], second[80];
    const char *a = builder->rules[rule].name, *b = builder->rules[through].name;
    return covey__fail(builder->error, COVEY_ERROR_UNSUPPORTED,
                       "left recursion: the rule \"%s\" can begin with itself, by way of \"%s\"; "
                       "let something be read before it calls itself",
                       covey__printable(a, strlen(a), first, sizeof first),
                       covey__printable(b, strlen(b), second, sizeof second));
}

static covey_status too_tangled(const covey__guide_builder *builder) {
    return covey__fail(
        builder->error, COVEY_ERROR_LIMIT,
        "the rules call each other in too many ways; fewer of them, or simpler ones, "
        "are needed");
}

static covey_status visit(walker *w, uint32_t root, const covey__guide_builder *builder) {
    uint32_t depth = 0, rule = root;
    for (;;) {
        if (w->colors[rule] == 0) {
            uint32_t first = w->call_count;
            w->colors[rule] = 1;
            if (!list_calls(w, rule)) return too_tangled(builder);
            w->path[depth].rule = rule;
            w->path[depth].next = first;
            w->path[depth++].end = w->call_count;
        }
        while (depth > 0 && w->path[depth - 1].next == w->path[depth - 1].end) {
            uint32_t done = w->path[--depth].rule;
            w->colors[done] = 2;
            w->p->rules[done].order = w->order--;
        }
        if (depth == 0) return COVEY_OK;
        rule = w->calls[w->path[depth - 1].next++];
        if (w->colors[rule] == 1) return left_recursion(builder, rule, w->path[depth - 1].rule);
    }
}

static covey_status order_rules(covey__guide_program *p, const covey__guide_builder *builder) {
    const covey__env *env = p->env;
    walker w = {.p = p, .order = p->rule_count - 1, .call_capacity = COVEY__GUIDE_EDGES_MAX};
    w.seen = covey__calloc(env, p->state_count, sizeof *w.seen);
    w.stack = covey__calloc(env, p->state_count, sizeof *w.stack);
    w.calls = covey__alloc(env, w.call_capacity * sizeof *w.calls);
    w.called = covey__calloc(env, p->rule_count, sizeof *w.called);
    w.path = covey__calloc(env, p->rule_count, sizeof *w.path);
    w.colors = covey__calloc(env, p->rule_count, 1);
    covey_status status = COVEY_OK;
    if (!w.seen || !w.stack || !w.calls || !w.called || !w.path || !w.colors)
        status = covey__no_memory(builder->error, "the guide", w.call_capacity);
    for (uint32_t i = 0; status == COVEY_OK && i < p->rule_count; i++)
        if (w.colors[i] == 0) status = visit(&w, i, builder);
    covey__free(env, w.seen);
    covey__free(env, w.stack);
    covey__free(env, w.calls);
    covey__free(env, w.called);
    covey__free(env, w.path);
    covey__free(env, w.colors);
    return status;
}

/* ---- All of it ---- */

static void classify_bytes(covey__guide_program *p) {
    bool begins[257] = {true};
    for (uint32_t i = 0; i < p->edge_count; i++) {
        begins[p->edges[i].low] = true;
        begins[p->edges[i].high + 1] = true;
    }
    p->class_count = 0;
    for (int byte = 0; byte < 256; byte++) {
        if (begins[byte]) p->class_first[p->class_count++] = (uint8_t)byte;
        p->classes[byte] = (uint8_t)(p->class_count - 1);
    }
}

static covey_status settle_all(settling *s, const covey__guide_builder *builder) {
    covey__guide_program *p = s->p;
    for (uint32_t i = 0; i < p->state_count; i++) {
        p->states[i].cost = COVEY__GUIDE_FAR;
        p->states[i].height = HIGH;
    }
    list_users(s);
    if (!settle(s, lower_cost)) return too_tangled(builder);
    const covey__guide_state *start = &p->states[p->rules[0].start];
    if (start->cost >= COVEY__GUIDE_FAR)
        return covey__fail(builder->error, COVEY_ERROR_INVALID_ARGUMENT,
                           "nothing satisfies it: every way runs into a contradiction or has no "
                           "end");
    prune(p);
    list_users(s);
    if (!settle(s, lower_height)) return too_tangled(builder);
    if (start->height + p->rules[0].depth > p->depth_max)
        return covey__fail_sizes(builder->error, COVEY_ERROR_LIMIT, p->depth_max, start->height,
                                 "every answer is nested too deeply: expected at most %u levels, "
                                 "found %u",
                                 p->depth_max, start->height);
    if (!settle(s, mark_only_final)) return too_tangled(builder);
    mark_plain_ends(p);
    return settle(s, raise_run) ? COVEY_OK : too_tangled(builder);
}

covey_status covey__guide_program_check(covey__guide_program *p,
                                        const covey__guide_builder *builder) {
    const covey__env *env = p->env;
    settling s = {.p = p};
    size_t users = 2 * ((size_t)p->edge_count + p->jump_count) + 1;
    s.first = covey__alloc(env, (p->state_count + 1) * sizeof *s.first);
    s.users = covey__alloc(env, users * sizeof *s.users);
    s.queue = covey__alloc(env, p->state_count * sizeof *s.queue);
    s.queued = covey__alloc(env, p->state_count * sizeof *s.queued);
    covey_status status;
    if (s.first && s.users && s.queue && s.queued)
        status = settle_all(&s, builder);
    else
        status = covey__no_memory(builder->error, "the guide", users);
    covey__free(env, s.first);
    covey__free(env, s.users);
    covey__free(env, s.queue);
    covey__free(env, s.queued);
    if (status == COVEY_OK) status = order_rules(p, builder);
    if (status == COVEY_OK) classify_bytes(p);
    return status;
}
