/* A step in three jobs of the pool, each cut into pieces that threads claim as they come free, so
 * that a thread which the system holds up delays no other for long. First the sequences, dealt to
 * a fixed number of slots, each with gradients of its own; then the sum of the slots by ranges of
 * the parameters, with its norm; then the update by the same ranges. Slots and ranges depend on
 * the options alone, and sums run in their order: the number of threads does not move a bit. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "train/train_step.h"

#define MICRO_TOKENS   1024
#define SLOTS_MAX      8
#define SLOT_TOKENS    512                 /* a slot should have at least so many */
#define SLOT_BYTES_MAX ((size_t)512 << 20) /* all slots' gradients */
#define RANGES         32
#define RANGE_STEP     16

typedef struct sequence {
    size_t first_turn, turn_count; /* in the step's list of turns */
    size_t tokens;
} sequence;

/* What one thread gathers before it runs: a batch in the making. */
typedef struct bench {
    covey__net_worker *worker;
    int32_t *tokens, *targets;
    size_t *starts;
    size_t token_count, sequence_count;
    bool *right;
    float *gradients; /* of the slot that runs now */
    double loss;
    uint64_t counted, exact;
} bench;

typedef struct slot {
    size_t first, end; /* of the step's sequences */
    float *gradients;
    double loss;
} slot;

struct covey__trainer {
    covey__trainer_setup setup;
    covey_train_options options;
    covey__train_state state;
    uint64_t tokens_total;
    size_t micro_tokens;
    int32_t threads;
    bench *benches;
    uint32_t *order; /* of state.position.epoch, once order_ready */
    bool order_ready;
    uint32_t *turns; /* of this step */
    size_t turn_count, turn_capacity;
    sequence *sequences;
    size_t sequence_count, sequence_capacity;
    slot slots[SLOTS_MAX];
    size_t slot_count;
    atomic_size_t next; /* piece of the job to claim */
    double squares[RANGES];
    float factor;
    covey__adam_step adam;
    const covey__train_corpus *evaluated;
};

covey__train_state *covey__trainer_state(covey__trainer *trainer) {
    return &trainer->state;
}

uint64_t covey__trainer_tokens_total(const covey__trainer *trainer) {
    return trainer->tokens_total;
}

static covey_status new_bench(covey__trainer *t, bench *b, covey_error *error) {
    const covey__env *env = t->setup.env;
    b->tokens = covey__calloc(env, t->micro_tokens, sizeof *b->tokens);
    b->targets = covey__calloc(env, t->micro_tokens, sizeof *b->targets);
    b->starts = covey__calloc(env, t->micro_tokens + 1, sizeof *b->starts);
    b->right = covey__calloc(env, t->micro_tokens, sizeof *b->right);
    if (!b->tokens || !b->targets || !b->starts || !b->right)
        return covey__no_memory(error, "train: batch", t->micro_tokens * sizeof *b->starts);
    return covey__net_worker_new(env, t->setup.net, t->setup.kernels, t->micro_tokens,
                                 t->setup.tokens_max, &b->worker, error);
}

/* How many slots: enough to keep threads busy, not more than pays or fits. */
static size_t slots_for(const covey__trainer *t) {
    size_t bytes = t->setup.net->parameter_count * sizeof(float);
    size_t count = (size_t)t->options.batch_tokens / SLOT_TOKENS;
    if (count > SLOTS_MAX) count = SLOTS_MAX;
    if (count > SLOT_BYTES_MAX / bytes) count = SLOT_BYTES_MAX / bytes;
    return count > 0 ? count : 1;
}

static covey_status reserve_slots(covey__trainer *t, covey_error *error) {
    size_t bytes = t->setup.net->parameter_count * sizeof(float);
    t->slot_count = slots_for(t);
    for (size_t i = 0; i < t->slot_count; i++) {
        t->slots[i].gradients = covey__alloc_aligned(t->setup.env, bytes);
        if (!t->slots[i].gradients) return covey__no_memory(error, "train: gradients", bytes);
    }
    return COVEY_OK;
}

static covey_status reserve(covey__trainer *t, covey_error *error) {
    const covey__env *env = t->setup.env;
    size_t count = t->setup.net->parameter_count, turns = t->setup.corpus->turn_count;
    size_t step_tokens = (size_t)t->options.batch_tokens + (size_t)t->options.context_tokens;
    t->turn_capacity = t->sequence_capacity = step_tokens / 3 + 2; /* a turn has 3 tokens or more */
    t->benches = covey__calloc(env, (size_t)t->threads, sizeof *t->benches);
    t->order = covey__calloc(env, turns, sizeof *t->order);
    t->turns = covey__calloc(env, t->turn_capacity, sizeof *t->turns);
    t->sequences = covey__calloc(env, t->sequence_capacity, sizeof *t->sequences);
    t->state.first = covey__alloc_aligned(env, count * sizeof(float));
    t->state.second = covey__alloc_aligned(env, count * sizeof(float));
    if (!t->benches || !t->order || !t->turns || !t->sequences || !t->state.first ||
        !t->state.second)
        return covey__no_memory(error, "train: optimizer", 2 * count * sizeof(float));
    for (int32_t i = 0; i < t->threads; i++) {
        covey_status status = new_bench(t, &t->benches[i], error);
        if (status != COVEY_OK) return status;
    }
    return reserve_slots(t, error);
}

covey_status covey__trainer_new(const covey__trainer_setup *setup, covey__trainer **trainer,
                                covey_error *error) {
    *trainer = NULL;
    covey__trainer *t = covey__calloc(setup->env, 1, sizeof *t);
    if (!t) return covey__no_memory(error, "train: trainer", sizeof *t);
    t->setup = *setup;
    t->options = *setup->options;
    t->threads = covey__pool_threads(setup->pool);
    t->micro_tokens = setup->tokens_max > MICRO_TOKENS ? setup->tokens_max : MICRO_TOKENS;
    t->tokens_total = t->options.tokens_max
                          ? t->options.tokens_max
                          : (uint64_t)(t->options.epochs * (double)setup->corpus->token_count);
    t->state.seed = t->options.seed;
    t->state.batch_tokens = (uint64_t)t->options.batch_tokens;
    t->state.context_tokens = (uint64_t)t->options.context_tokens;
    covey__corpus_digest(setup->corpus, t->state.corpus_digest);
    covey_status status = reserve(t, error);
    if (status != COVEY_OK) {
        covey__trainer_free(t);
        return status;
    }
    *trainer = t;
    return COVEY_OK;
}

void covey__trainer_free(covey__trainer *trainer) {
    if (!trainer) return;
    const covey__env *env = trainer->setup.env;
    for (int32_t i = 0; trainer->benches && i < trainer->threads; i++) {
        bench *b = &trainer->benches[i];
        covey__net_worker_free(b->worker);
        covey__free(env, b->tokens);
        covey__free(env, b->targets);
        covey__free(env, b->starts);
        covey__free(env, b->right);
    }
    for (size_t i = 0; i < SLOTS_MAX; i++) covey__free_aligned(env, trainer->slots[i].gradients);
    covey__free(env, trainer->benches);
    covey__free(env, trainer->order);
    covey__free(env, trainer->turns);
    covey__free(env, trainer->sequences);
    covey__free_aligned(env, trainer->state.first);
    covey__free_aligned(env, trainer->state.second);
    covey__free(env, trainer);
}

/* ---- Batches ---- */

/* Appends a turn to the bench's last sequence; where `all`, every token but its first counts. */
static void put_turn(bench *b, const covey__train_corpus *corpus, size_t turn, bool all) {
    size_t size = covey__corpus_turn_size(corpus, turn), at = b->token_count;
    const int32_t *tokens = corpus->tokens + corpus->turns[turn].start;
    size_t first = all ? 1 : corpus->turns[turn].answer;
    memcpy(b->tokens + at, tokens, size * sizeof *tokens);
    for (size_t i = 0; i < size; i++) b->targets[at + i] = -1;
    for (size_t i = first; i < size; i++) b->targets[at + i - 1] = tokens[i];
    b->token_count += size;
}

static covey__net_batch close_batch(bench *b) {
    b->starts[b->sequence_count] = b->token_count;
    return (covey__net_batch){b->tokens, b->targets, b->token_count, b->starts, b->sequence_count};
}

static void run_train(covey__trainer *t, bench *b) {
    if (b->sequence_count == 0) return;
    covey__net_batch batch = close_batch(b);
    b->loss += covey__net_train(b->worker, &batch, t->factor, b->gradients);
    b->token_count = b->sequence_count = 0;
}

/* The next piece of a job of `count`, or false when all are claimed. */
static bool claim(covey__trainer *t, size_t count, size_t *piece) {
    *piece = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
    return *piece < count;
}

static void run_job(covey__trainer *t, covey__pool_fn job) {
    atomic_store(&t->next, 0);
    covey__pool_run(t->setup.pool, job, t);
}

static void train_job(void *user, int32_t thread, int32_t threads) {
    (void)threads;
    covey__trainer *t = user;
    bench *b = &t->benches[thread];
    for (size_t piece; claim(t, t->slot_count, &piece);) {
        slot *mine = &t->slots[piece];
        b->loss = 0.0;
        b->gradients = mine->gradients;
        for (size_t i = mine->first; i < mine->end; i++) {
            const sequence *s = &t->sequences[i];
            if (b->token_count + s->tokens > t->micro_tokens) run_train(t, b);
            b->starts[b->sequence_count++] = b->token_count;
            for (size_t j = 0; j < s->turn_count; j++)
                put_turn(b, t->setup.corpus, t->turns[s->first_turn + j], t->options.train_on_all);
        }
        run_train(t, b);
        mine->loss = b->loss;
    }
}

/* ---- The step's sequences ---- */

static void turn_epoch(covey__trainer *t) {
    if (t->state.position.turn >= t->setup.corpus->turn_count) {
        t->state.position.epoch++;
        t->state.position.turn = 0;
        t->order_ready = false;
    }
    if (t->order_ready) return;
    covey__corpus_shuffle(t->setup.corpus, t->state.seed, t->state.position.epoch, t->order);
    t->order_ready = true;
}

/* Draws one sequence: a single turn, or as many as fit and the epoch still has. */
static sequence draw(covey__trainer *t) {
    covey__corpus_position *p = &t->state.position;
    const covey__train_corpus *corpus = t->setup.corpus;
    turn_epoch(t);
    uint64_t bits = covey__train_random(t->state.seed, 3, p->sequence++);
    bool single = (double)(bits >> 11) / 9007199254740992.0 < (double)t->options.single_share;
    sequence s = {.first_turn = t->turn_count};
    while (p->turn < corpus->turn_count) {
        uint32_t turn = t->order[p->turn];
        size_t size = covey__corpus_turn_size(corpus, turn);
        if (s.turn_count > 0 && (single || s.tokens + size > (size_t)t->options.context_tokens))
            break;
        t->turns[t->turn_count++] = turn;
        s.tokens += size;
        s.turn_count++;
        p->turn++;
    }
    return s;
}

static uint64_t counted_tokens(const covey__trainer *t) {
    uint64_t counted = 0;
    for (size_t i = 0; i < t->turn_count; i++) {
        size_t size = covey__corpus_turn_size(t->setup.corpus, t->turns[i]);
        counted +=
            size - (t->options.train_on_all ? 1 : t->setup.corpus->turns[t->turns[i]].answer);
    }
    return counted;
}

/* Cuts the step's sequences into slots of about the same number of tokens. */
static void deal(covey__trainer *t, uint64_t tokens) {
    uint64_t dealt = 0;
    size_t at = 0;
    for (size_t i = 0; i < t->slot_count; i++) {
        t->slots[i].first = at;
        uint64_t until = tokens * (i + 1) / t->slot_count;
        while (at < t->sequence_count &&
               (dealt + t->sequences[at].tokens / 2 < until || i + 1 == t->slot_count))
            dealt += t->sequences[at++].tokens;
        t->slots[i].end = at;
    }
}

static uint64_t draw_step(covey__trainer *t) {
    uint64_t tokens = 0;
    t->turn_count = t->sequence_count = 0;
    while (tokens < (uint64_t)t->options.batch_tokens) {
        sequence s = draw(t);
        t->sequences[t->sequence_count++] = s;
        tokens += s.tokens;
    }
    deal(t, tokens);
    return tokens;
}

/* ---- The update ---- */

static size_t range_start(const covey__trainer *t, size_t range) {
    size_t count = t->setup.net->parameter_count;
    return range == RANGES ? count : count / RANGES * range / RANGE_STEP * RANGE_STEP;
}

/* Adds all slots' gradients into the first, which alone is not cleared. */
static void sum_job(void *user, int32_t thread, int32_t threads) {
    (void)thread, (void)threads;
    covey__trainer *t = user;
    float *sum = t->slots[0].gradients;
    for (size_t piece; claim(t, RANGES, &piece);) {
        size_t from = range_start(t, piece), count = range_start(t, piece + 1) - from;
        for (size_t i = 1; i < t->slot_count; i++) {
            t->setup.kernels->add(sum + from, t->slots[i].gradients + from, count);
            memset(t->slots[i].gradients + from, 0, count * sizeof(float));
        }
        t->squares[piece] = t->setup.kernels->square_sum(sum + from, count);
    }
}

static void update_tensor(const covey__trainer *t, const covey__net_tensor *tensor, size_t from,
                          size_t to) {
    size_t begin = tensor->offset, end = begin + (size_t)tensor->rows * (size_t)tensor->columns;
    if (begin < from) begin = from;
    if (end > to) end = to;
    if (begin >= end) return;
    covey__adam_step step = t->adam;
    if (tensor->vector) step.decay = 0.0f;
    t->setup.kernels->adam(&step, t->slots[0].gradients + begin, end - begin,
                           t->setup.net->weights + begin, t->state.first + begin,
                           t->state.second + begin);
}

static void update_job(void *user, int32_t thread, int32_t threads) {
    (void)thread, (void)threads;
    covey__trainer *t = user;
    for (size_t piece; claim(t, RANGES, &piece);) {
        size_t from = range_start(t, piece), to = range_start(t, piece + 1);
        for (size_t i = 0; i < covey__net_tensor_count(t->setup.net); i++) {
            covey__net_tensor tensor = covey__net_tensor_at(t->setup.net, i);
            update_tensor(t, &tensor, from, to);
        }
        memset(t->slots[0].gradients + from, 0, (to - from) * sizeof(float));
    }
}

/* Warm-up in a straight line by steps, then half a cosine over the tokens still to train. */
static double rate_now(const covey__trainer *t) {
    const covey_train_options *o = &t->options;
    double done = (double)t->state.tokens / (double)t->tokens_total;
    double cosine = 0.5 * (1.0 + cos(3.141592653589793 * (done < 1.0 ? done : 1.0)));
    double rate = o->rate_min + (o->rate - o->rate_min) * cosine;
    if (t->state.step < o->warmup_steps)
        rate *= (double)(t->state.step + 1) / (double)o->warmup_steps;
    return rate;
}

static covey__adam_step adam_now(const covey__trainer *t, double rate, double norm) {
    const covey_train_options *o = &t->options;
    double number = (double)(t->state.step + 1), clip = (double)o->clip_norm;
    return (covey__adam_step){.beta1 = o->beta1,
                              .beta2 = o->beta2,
                              .epsilon = 1e-8f,
                              .rate = (float)(rate / (1.0 - pow((double)o->beta1, number))),
                              .second_scale = (float)(1.0 / (1.0 - pow((double)o->beta2, number))),
                              .decay = (float)(rate * (double)o->weight_decay),
                              .gradient_scale =
                                  clip > 0.0 && norm > clip ? (float)(clip / norm) : 1.0f};
}

covey_status covey__trainer_step(covey__trainer *t, covey__step_report *report,
                                 covey_error *error) {
    report->tokens = draw_step(t);
    uint64_t counted = counted_tokens(t);
    t->factor = 1.0f / (float)counted;
    run_job(t, train_job);
    run_job(t, sum_job);
    double loss = 0.0, square = 0.0;
    for (size_t i = 0; i < t->slot_count; i++) loss += t->slots[i].loss;
    for (size_t i = 0; i < RANGES; i++) square += t->squares[i];
    report->loss = loss / (double)counted;
    report->rate = rate_now(t);
    report->gradient_norm = sqrt(square);
    if (!isfinite(report->loss) || !isfinite(report->gradient_norm))
        return covey__fail(error, COVEY_ERROR_NUMERIC,
                           "train: step %lld: the loss or its gradient is not finite; lower the "
                           "learning rate or lengthen the warm-up",
                           (long long)t->state.step + 1);
    t->adam = adam_now(t, report->rate, report->gradient_norm);
    run_job(t, update_job);
    t->state.step++;
    t->state.tokens += report->tokens;
    return COVEY_OK;
}

/* ---- Evaluation ---- */

/* Turns of the bench's batch whose every target was the likeliest. */
static void run_evaluate(bench *b) {
    if (b->sequence_count == 0) return;
    covey__net_batch batch = close_batch(b);
    b->loss += covey__net_forward(b->worker, &batch, b->right, NULL);
    for (size_t s = 0; s < b->sequence_count; s++) {
        bool exact = true;
        for (size_t i = b->starts[s]; i < b->starts[s + 1]; i++) {
            if (b->targets[i] < 0) continue;
            exact = exact && b->right[i];
            b->counted++;
        }
        b->exact += exact;
    }
    b->token_count = b->sequence_count = 0;
}

static void evaluate_job(void *user, int32_t thread, int32_t threads) {
    covey__trainer *t = user;
    const covey__train_corpus *corpus = t->evaluated;
    bench *b = &t->benches[thread];
    b->loss = 0.0;
    b->counted = b->exact = 0;
    size_t from = corpus->turn_count * (size_t)thread / (size_t)threads;
    size_t to = corpus->turn_count * ((size_t)thread + 1) / (size_t)threads;
    for (size_t turn = from; turn < to; turn++) {
        if (b->token_count + covey__corpus_turn_size(corpus, turn) > t->micro_tokens)
            run_evaluate(b);
        b->starts[b->sequence_count++] = b->token_count;
        put_turn(b, corpus, turn, false);
    }
    run_evaluate(b);
}

void covey__trainer_evaluate(covey__trainer *t, const covey__train_corpus *corpus, double *loss,
                             double *exact) {
    t->evaluated = corpus;
    covey__pool_run(t->setup.pool, evaluate_job, t);
    double sum = 0.0;
    uint64_t counted = 0, whole = 0;
    for (int32_t i = 0; i < t->threads; i++) {
        sum += t->benches[i].loss;
        counted += t->benches[i].counted;
        whole += t->benches[i].exact;
    }
    *loss = counted ? sum / (double)counted : 0.0;
    *exact = corpus->turn_count ? (double)whole / (double)corpus->turn_count : 0.0;
}
