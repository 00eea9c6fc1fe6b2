/* The next token from the logits, in the order that covey/session.h gives. Weights are whole
 * numbers (exp of the scaled logit, times 2^40), so their sums are exact in any order, and the
 * same token is drawn everywhere. Candidates come from a heap one by one, the most likely first
 * and the lowest id in a tie: what is far below is never sorted. */
#include "engine/engine.h"

#include <math.h>
#include <string.h>

#define WEIGHT_ONE 0x1p40f

covey_status covey__sampling_check(const covey_sampling *sampling, covey_error *error) {
    const char *what = NULL;
    if (!(sampling->temperature >= 0.0f) || !isfinite(sampling->temperature))
        what = "temperature: expected a number from 0";
    else if (sampling->top_k < 0)
        what = "top_k: expected 0 (off) or more";
    else if (!(sampling->top_p > 0.0f && sampling->top_p <= 1.0f))
        what = "top_p: expected more than 0 and at most 1 (off)";
    else if (!(sampling->min_p >= 0.0f && sampling->min_p <= 1.0f))
        what = "min_p: expected 0 (off) to 1";
    else if (!(sampling->repetition_penalty > 0.0f) || !isfinite(sampling->repetition_penalty))
        what = "repetition_penalty: expected more than 0; 1 is off";
    else if (sampling->repetition_last < 0)
        what = "repetition_last: expected 0 or more tokens";
    return what ? covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "sampling: %s", what) : COVEY_OK;
}

static bool comes_before(covey__candidate a, covey__candidate b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

static void sift(covey__candidate *heap, size_t count, size_t at) {
    covey__candidate moved = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && comes_before(heap[child + 1], heap[child])) child++;
        if (!comes_before(heap[child], moved)) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

/* Each token among the last ones is made less likely once, however often it stands there. */
static void penalize(const covey_sampling *sampling, covey__candidate *candidates,
                     const covey_token *history, size_t history_count, uint8_t *seen) {
    if (sampling->repetition_penalty == 1.0f) return;
    size_t last = (size_t)sampling->repetition_last;
    if (last > history_count) last = history_count;
    const covey_token *tokens = history + (history_count - last);
    for (size_t i = 0; i < last; i++) {
        size_t id = (size_t)tokens[i];
        if (seen[id / 8] & (1u << id % 8)) continue;
        seen[id / 8] |= (uint8_t)(1u << id % 8);
        float *logit = &candidates[id].logit;
        *logit = *logit > 0.0f ? *logit / sampling->repetition_penalty
                               : *logit * sampling->repetition_penalty;
    }
    for (size_t i = 0; i < last; i++) seen[(size_t)tokens[i] / 8] = 0;
}

/* The heap shrinks from its end, where what came out is put: candidate i of the order is at
 * all[count - 1 - i]. */
typedef struct order {
    covey__candidate *all;
    size_t count, taken, limit;
    float top, temperature;
} order;

static uint64_t weight(const order *o, covey__candidate candidate) {
    return (uint64_t)(covey__exp_f32((candidate.logit - o->top) / o->temperature) * WEIGHT_ONE);
}

static covey__candidate at_place(order *o, size_t place) {
    while (o->taken <= place) {
        size_t left = o->count - o->taken;
        covey__candidate best = o->all[0];
        o->all[0] = o->all[left - 1];
        o->all[left - 1] = best;
        o->taken++;
        if (left > 1) sift(o->all, left - 1, 0);
    }
    return o->all[o->count - 1 - place];
}

/* Sum of all weights that top-k leaves. */
static uint64_t total_weight(order *o) {
    uint64_t total = 0;
    if (o->limit < o->count)
        for (size_t i = 0; i < o->limit; i++) total += weight(o, at_place(o, i));
    else
        for (size_t i = 0; i < o->count; i++) total += weight(o, o->all[i]);
    return total;
}

/* Narrows the limit to what top-p and min-p leave; returns the sum of its weights. */
static uint64_t narrow(const covey_sampling *sampling, order *o, uint64_t total) {
    bool by_mass = sampling->top_p<1.0f, by_share = sampling->min_p> 0.0f;
    if (!by_mass && !by_share) return total;
    double enough = (double)sampling->top_p * (double)total;
    double least = (double)sampling->min_p * (double)weight(o, at_place(o, 0));
    uint64_t sum = 0;
    size_t place = 0;
    for (; place < o->limit; place++) {
        if (by_mass && place > 0 && (double)sum >= enough) break;
        uint64_t next = weight(o, at_place(o, place));
        if (place > 0 && ((by_share && (double)next < least) || next == 0)) break;
        sum += next;
    }
    o->limit = place;
    return sum;
}

/* floor(bound * random / 2^48) for 48 random bits: a whole number below `bound`, which is under
 * 2^62 (2^40 for each of 2^22 tokens). The product is formed in parts, as it needs 110 bits. */
static uint64_t draw_below(uint64_t bound, uint64_t seed, uint64_t position) {
    uint64_t high = (uint64_t)(covey__uniform(seed, position, 0) * 0x1p24f);
    uint64_t low = (uint64_t)(covey__uniform(seed, position, 1) * 0x1p24f);
    uint64_t bound_high = bound >> 32, bound_low = bound & 0xffffffffu;
    uint64_t middle = (bound_high * low << 8) + bound_low * high + (bound_low * low >> 24);
    return (bound_high * high << 8) + (middle >> 24);
}

static bool is_allowed(const uint32_t *allowed, size_t id) {
    return allowed[id / 32] >> id % 32 & 1;
}

static covey_token best_allowed(const float *logits, size_t count, const uint32_t *allowed) {
    size_t best = SIZE_MAX;
    for (size_t word = 0; word < (count + 31) / 32; word++)
        for (uint32_t bits = allowed[word]; bits; bits &= bits - 1) {
            size_t id = 32 * word + (size_t)__builtin_ctz(bits);
            if (best == SIZE_MAX || logits[id] > logits[best]) best = id;
        }
    return (covey_token)best;
}

/* Candidates are by id until the penalty is through; then only the allowed ones stay. */
static size_t gather(const covey_sampling *sampling, const float *logits, size_t count,
                     const covey_token *history, size_t history_count, covey__candidate *candidates,
                     uint8_t *seen, const uint32_t *allowed) {
    for (size_t i = 0; i < count; i++)
        candidates[i] = (covey__candidate){logits[i], (covey_token)i};
    penalize(sampling, candidates, history, history_count, seen);
    size_t kept = 0;
    for (size_t i = 0; allowed && i < count; i++)
        if (is_allowed(allowed, i)) candidates[kept++] = candidates[i];
    return allowed ? kept : count;
}

covey_token covey__sample(const covey_sampling *sampling, const float *logits, size_t count,
                          const covey_token *history, size_t history_count,
                          covey__candidate *candidates, uint8_t *seen, const uint32_t *allowed) {
    bool greedy = sampling->temperature == 0.0f;
    if (greedy && sampling->repetition_penalty == 1.0f)
        return allowed ? best_allowed(logits, count, allowed)
                       : (covey_token)covey__argmax(logits, count);
    count = gather(sampling, logits, count, history, history_count, candidates, seen, allowed);
    covey__candidate best = candidates[0];
    for (size_t i = 1; i < count; i++)
        if (comes_before(candidates[i], best)) best = candidates[i];
    if (greedy) return best.token;
    for (size_t i = count / 2; i-- > 0;) sift(candidates, count, i);
    order o = {candidates, count, 0, count, best.logit, sampling->temperature};
    if (sampling->top_k > 0 && (size_t)sampling->top_k < count) o.limit = (size_t)sampling->top_k;
    uint64_t sum = narrow(sampling, &o, total_weight(&o));
    uint64_t drawn = draw_below(sum, sampling->seed, history_count);
    for (size_t place = 0; place < o.limit; place++) {
        covey__candidate candidate = at_place(&o, place);
        uint64_t mass = weight(&o, candidate);
        if (drawn < mass) return candidate.token;
        drawn -= mass;
    }
    return best.token;
}
