/* covey_train: checks the options, gets the vocabulary, reads the corpora, and then steps,
 * evaluates and saves until the tokens are trained. The parts are in train_*.c; here is only their
 * order and who owns what. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "train/train_step.h"

typedef struct run {
    const covey__env *env;
    covey_runtime *runtime;
    covey_train_options options;
    covey__gguf *source; /* of vocabulary, and of weights where it has them; NULL: all new */
    bool resumed;
    covey__train_vocabulary vocabulary;
    bool has_vocabulary;
    covey__train_corpus corpus, eval;
    covey__net net;
    covey__trainer *trainer;
    covey_train_progress progress;
    int64_t started_us, saved_us;
    uint64_t started_tokens;
    double recent_loss;
    char name[128];
} run;

static covey_status tell(run *r, covey_train_phase phase, uint64_t done, uint64_t total) {
    if (!r->options.progress) return COVEY_OK;
    r->progress.phase = phase;
    r->progress.done = done;
    r->progress.total = total;
    return r->options.progress(r->options.progress_user, &r->progress);
}

static covey_status bad_option(covey_error *error, const char *what) {
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "train: %s", what);
}

static covey_status check_options(const covey_train_options *o, covey_error *error) {
    if (o->corpus_count == 0 || !o->corpus_paths) return bad_option(error, "no corpus was given");
    if (!o->out_path) return bad_option(error, "no path for the model was given");
    if (o->out_type != COVEY_WEIGHT_F32 && o->out_type != COVEY_WEIGHT_F16)
        return bad_option(error, "models are trained to F32 or F16; quantize them afterwards");
    if (o->from_path && o->vocabulary_path)
        return bad_option(error, "a model to begin from has its own vocabulary");
    if (!(o->epochs > 0.0 && o->epochs < 1e6) && o->tokens_max == 0)
        return bad_option(error, "epochs must be above 0");
    if (o->context_tokens < 3 || o->context_tokens > COVEY__TRAIN_CONTEXT_MAX)
        return bad_option(error, "the context must be 3 to 4096 tokens");
    if (o->batch_tokens < 1 || o->batch_tokens > 1 << 24)
        return bad_option(error, "a batch must be 1 to 16777216 tokens");
    if (!(o->rate > 0.0 && o->rate < 1.0) || !(o->rate_min >= 0.0 && o->rate_min <= o->rate))
        return bad_option(error,
                          "rates must be above 0 and below 1, the least not above the first");
    if (!(o->beta1 >= 0.0f && o->beta1 < 1.0f) || !(o->beta2 >= 0.0f && o->beta2 < 1.0f))
        return bad_option(error, "beta1 and beta2 must be 0 or more and below 1");
    if (!(o->weight_decay >= 0.0f && o->weight_decay < 100.0f) || !(o->clip_norm >= 0.0f))
        return bad_option(error, "weight decay and clip norm cannot be negative");
    if (!(o->single_share >= 0.0f && o->single_share <= 1.0f))
        return bad_option(error, "the share of single turns must be 0 to 1");
    if (o->warmup_steps < 0 || o->eval_steps < 0 || !(o->checkpoint_seconds >= 0.0))
        return bad_option(error, "steps and seconds cannot be negative");
    if (o->resume && !o->checkpoint_path)
        return bad_option(error, "to resume, name the checkpoint");
    return COVEY_OK;
}

/* ---- Vocabulary ---- */

typedef struct counting {
    run *r;
    covey__word_counts *counts;
} counting;

static covey_status count_words(void *user, const char *said, size_t said_size, const char *answer,
                                size_t answer_size, covey_error *error) {
    counting *c = user;
    covey_status status = covey__word_counts_add(c->counts, said, said_size, error);
    if (status != COVEY_OK) return status;
    return covey__word_counts_add(c->counts, answer, answer_size, error);
}

static covey_status tell_counting(void *user, uint64_t done, uint64_t total) {
    counting *c = user;
    return tell(c->r, COVEY_TRAIN_READ, done, total);
}

static covey_status tell_learning(void *user, size_t done, size_t total) {
    counting *c = user;
    return tell(c->r, COVEY_TRAIN_VOCABULARY, done, total);
}

static covey_status learn_vocabulary(run *r, int32_t size, covey_error *error) {
    counting c = {.r = r};
    covey_status status = covey__word_counts_new(r->env, &c.counts, error);
    if (status == COVEY_OK)
        status = covey__corpus_walk(r->env, r->options.corpus_paths, r->options.corpus_count, error,
                                    count_words, tell_counting, &c);
    if (status == COVEY_OK) {
        status = covey__train_vocabulary_learn(r->env, c.counts, size, &r->vocabulary, error,
                                               tell_learning, &c);
        r->has_vocabulary = status == COVEY_OK;
    }
    covey__word_counts_free(c.counts);
    return status;
}

/* A checkpoint where one is to be resumed, else a model or a vocabulary to begin from. */
static covey_status open_source(run *r, covey_error *error) {
    const covey_train_options *o = &r->options;
    const char *path = o->from_path ? o->from_path : o->vocabulary_path;
    r->resumed = o->resume && covey__file_exists(o->checkpoint_path);
    if (r->resumed) path = o->checkpoint_path;
    if (!path) return COVEY_OK;
    covey_status status = covey__gguf_open_path(r->env, path, &r->source, error);
    if (status == COVEY_OK) {
        status = covey__train_vocabulary_load(r->env, r->source, &r->vocabulary, error);
        r->has_vocabulary = status == COVEY_OK;
    }
    if (status != COVEY_OK) covey__prefix(error, status, "train: %s", path);
    return status;
}

static void choose_name(run *r) {
    covey__gguf_text text;
    const char *name = r->options.name ? r->options.name : "covey";
    size_t size = strlen(name);
    if (!r->options.name && r->source && covey__gguf_has(r->source, "general.name") &&
        covey__gguf_string(r->source, "general.name", &text, NULL) == COVEY_OK && text.size > 0) {
        name = text.data;
        size = text.size;
    }
    if (size > sizeof r->name - 1) size = sizeof r->name - 1;
    memcpy(r->name, name, size);
    r->name[size] = 0;
}

/* ---- Corpora ---- */

typedef struct reading {
    run *r;
    covey__train_corpus *corpus;
} reading;

static covey_status read_turn(void *user, const char *said, size_t said_size, const char *answer,
                              size_t answer_size, covey_error *error) {
    reading *reader = user;
    size_t before = reader->corpus->token_count;
    covey_status status = covey__corpus_add(reader->corpus, &reader->r->vocabulary, said, said_size,
                                            answer, answer_size, error);
    size_t size = reader->corpus->token_count - before;
    if (status == COVEY_OK && size > (size_t)reader->r->options.context_tokens)
        return covey__fail_sizes(
            error, COVEY_ERROR_CONTEXT_SIZE, reader->r->options.context_tokens, (int64_t)size,
            "the turn has %zu tokens, the context %" PRId32 "; raise it or leave the turn out",
            size, reader->r->options.context_tokens);
    return status;
}

static covey_status tell_reading(void *user, uint64_t done, uint64_t total) {
    reading *reader = user;
    return tell(reader->r, COVEY_TRAIN_READ, done, total);
}

static covey_status read_corpora(run *r, covey_error *error) {
    const covey_train_options *o = &r->options;
    reading reader = {r, &r->corpus};
    covey_status status = covey__corpus_walk(r->env, o->corpus_paths, o->corpus_count, error,
                                             read_turn, tell_reading, &reader);
    if (status == COVEY_OK && o->eval_path) {
        reader.corpus = &r->eval;
        status =
            covey__corpus_walk(r->env, &o->eval_path, 1, error, read_turn, tell_reading, &reader);
    }
    if (status == COVEY_OK && r->corpus.turn_count == 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "train: the corpus has no turns");
    return status;
}

/* ---- The network and the trainer ---- */

static covey_status make_net(run *r, covey_error *error) {
    covey_model_shape given = COVEY_MODEL_SHAPE_INIT;
    if (r->options.shape) given = *r->options.shape;
    covey__net_shape shape = {.layers = given.layers,
                              .width = given.width,
                              .heads = given.heads,
                              .kv_heads = given.kv_heads,
                              .ff = given.ff,
                              .vocabulary = (int32_t)r->vocabulary.token_count,
                              .context = given.context,
                              .untied = given.untied,
                              .rope_base = given.rope_base,
                              .epsilon = given.norm_epsilon};
    bool from_file = r->source && covey__train_file_has_weights(r->source);
    covey_status status = COVEY_OK;
    if (!from_file && (r->resumed || r->options.from_path))
        return covey__fail(error, COVEY_ERROR_FORMAT, "train: %s has no weights to begin from",
                           r->resumed ? r->options.checkpoint_path : r->options.from_path);
    if (from_file)
        status = covey__train_file_shape(r->source, r->vocabulary.token_count, &shape, error);
    if (status == COVEY_OK && from_file) {
        status = covey__net_plan(&shape, &r->net, error);
        if (status != COVEY_OK) return status;
        status = covey__train_file_check(r->source, &r->net, error);
    }
    if (status != COVEY_OK) return covey__prefix(error, status, "train");
    status = covey__net_init(r->env, &shape, &r->net, error);
    if (status != COVEY_OK) return status;
    if (!from_file) {
        covey__net_randomize(&r->net, r->options.seed);
        return COVEY_OK;
    }
    status = covey__train_file_weights(r->source, &r->net, error);
    return status == COVEY_OK ? status : covey__prefix(error, status, "train");
}

static covey_status check_resumed(const covey__train_state *saved, const covey__train_state *own,
                                  covey_error *error) {
    if (memcmp(saved->corpus_digest, own->corpus_digest, sizeof own->corpus_digest) != 0)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "train: the checkpoint was made with another corpus");
    if (saved->seed != own->seed || saved->batch_tokens != own->batch_tokens ||
        saved->context_tokens != own->context_tokens)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "train: the checkpoint was made with seed %" PRIu64 ", batch %" PRIu64
                           " and context %" PRIu64 "; resume with these",
                           saved->seed, saved->batch_tokens, saved->context_tokens);
    return COVEY_OK;
}

static covey_status make_trainer(run *r, covey_error *error) {
    covey_train_options *o = &r->options;
    covey__trainer_setup setup = {
        .env = r->env,
        .pool = covey__runtime_pool(r->runtime),
        .kernels =
            covey__train_kernels_get((covey__isa)covey__runtime_isa_level(r->runtime), o->bfloat16),
        .net = &r->net,
        .corpus = &r->corpus,
        .options = o,
        .tokens_max = (size_t)o->context_tokens};
    covey_status status = covey__trainer_new(&setup, &r->trainer, error);
    if (status != COVEY_OK || !r->resumed) return status;
    covey__train_state *state = covey__trainer_state(r->trainer), saved = *state;
    status = covey__train_file_state(r->source, &r->net, &saved, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "train: checkpoint");
    status = check_resumed(&saved, state, error);
    if (status == COVEY_OK) *state = saved;
    return status;
}

/* ---- Training ---- */

static covey_status save_checkpoint(run *r, covey_error *error) {
    if (!r->options.checkpoint_path) return COVEY_OK;
    r->saved_us = covey__monotonic_us();
    return covey__train_file_save(r->env, r->options.checkpoint_path, r->name, &r->net,
                                  &r->vocabulary, COVEY_WEIGHT_F32,
                                  covey__trainer_state(r->trainer), error);
}

static void measure(run *r) {
    if (r->eval.turn_count == 0) return;
    covey__trainer_evaluate(r->trainer, &r->eval, &r->progress.eval_loss, &r->progress.eval_exact);
}

static void note_step(run *r, const covey__step_report *report, int64_t took_us) {
    covey_train_progress *p = &r->progress;
    const covey__train_state *state = covey__trainer_state(r->trainer);
    uint64_t total = covey__trainer_tokens_total(r->trainer);
    double speed = (double)report->tokens * 1e6 / (double)(took_us > 0 ? took_us : 1);
    bool first = p->tokens_per_second == 0.0;
    p->step = state->step;
    p->loss = report->loss;
    p->rate = report->rate;
    p->gradient_norm = report->gradient_norm;
    p->tokens_per_second = first ? speed : 0.95 * p->tokens_per_second + 0.05 * speed;
    r->recent_loss = first ? report->loss : 0.95 * r->recent_loss + 0.05 * report->loss;
    double left = total > state->tokens ? (double)(total - state->tokens) : 0.0;
    p->seconds_left = left / p->tokens_per_second;
}

static covey_status one_step(run *r, covey_error *error) {
    covey__train_state *state = covey__trainer_state(r->trainer);
    uint64_t total = covey__trainer_tokens_total(r->trainer);
    covey__step_report report;
    int64_t begin = covey__monotonic_us();
    covey_status status = covey__trainer_step(r->trainer, &report, error);
    if (status != COVEY_OK) return status;
    note_step(r, &report, covey__monotonic_us() - begin);
    covey_status wish = tell(r, COVEY_TRAIN_STEP, state->tokens, total);
    if (wish == COVEY_OK && r->options.eval_steps > 0 && state->step % r->options.eval_steps == 0 &&
        r->eval.turn_count > 0) {
        measure(r);
        wish = tell(r, COVEY_TRAIN_EVALUATE, state->tokens, total);
    }
    double since = (double)(covey__monotonic_us() - r->saved_us) * 1e-6;
    bool due = r->options.checkpoint_seconds > 0.0 && since >= r->options.checkpoint_seconds;
    if (wish != COVEY_OK || due) {
        status = save_checkpoint(r, error);
        if (status != COVEY_OK) return status;
    }
    if (wish != COVEY_OK) return covey__fail(error, wish, "train: stopped");
    return COVEY_OK;
}

static covey_status train(run *r, covey_error *error) {
    covey__train_state *state = covey__trainer_state(r->trainer);
    uint64_t total = covey__trainer_tokens_total(r->trainer);
    covey_status status = COVEY_OK;
    r->started_us = r->saved_us = covey__monotonic_us();
    r->started_tokens = state->tokens;
    while (status == COVEY_OK && state->tokens < total) status = one_step(r, error);
    if (status != COVEY_OK) return status;
    measure(r);
    covey_status wish = COVEY_OK;
    if (r->eval.turn_count > 0) wish = tell(r, COVEY_TRAIN_EVALUATE, state->tokens, total);
    status = save_checkpoint(r, error);
    if (status != COVEY_OK) return status;
    if (wish != COVEY_OK) return covey__fail(error, wish, "train: stopped");
    status = covey__train_file_save(r->env, r->options.out_path, r->name, &r->net, &r->vocabulary,
                                    r->options.out_type, NULL, error);
    if (status != COVEY_OK) return status;
    (void)tell(r, COVEY_TRAIN_SAVE, state->tokens, total); /* it is done: too late to stop */
    return COVEY_OK;
}

static void fill_result(const run *r, covey_train_result *result) {
    const covey__train_state *state = covey__trainer_state(r->trainer);
    covey_train_result all = COVEY_TRAIN_RESULT_INIT;
    all.parameter_count = r->net.parameter_count;
    all.corpus_turns = r->corpus.turn_count;
    all.corpus_tokens = r->corpus.token_count;
    all.steps = state->step;
    all.tokens = state->tokens;
    all.seconds = (double)(covey__monotonic_us() - r->started_us) * 1e-6;
    all.loss = r->recent_loss;
    all.eval_loss = r->progress.eval_loss;
    all.eval_exact = r->progress.eval_exact;
    size_t size = result->size < sizeof all ? result->size : sizeof all;
    all.size = result->size;
    memcpy(result, &all, size);
}

static void close_run(run *r) {
    covey__trainer_free(r->trainer);
    covey__net_free(r->env, &r->net);
    covey__corpus_free(&r->corpus);
    covey__corpus_free(&r->eval);
    if (r->has_vocabulary) covey__train_vocabulary_free(&r->vocabulary);
    covey__gguf_close(r->source);
}

/* Before hours are spent on what could not be kept: opens the file as for writing, and no more. */
static covey_status check_writable(const covey__env *env, const char *path, covey_error *error) {
    covey__gguf_writer *writer;
    if (!path) return COVEY_OK;
    covey_status status = covey__gguf_writer_new(env, path, &writer, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "train");
    covey__gguf_writer_free(writer);
    return COVEY_OK;
}

covey_status covey_train(covey_runtime *runtime, const covey_train_options *options,
                         covey_train_result *result, covey_error *error) {
    if (!runtime || !options || options->size == 0)
        return bad_option(error, "a runtime and options are needed");
    run r = {.env = covey__runtime_env(runtime),
             .runtime = runtime,
             .options = COVEY_TRAIN_OPTIONS_INIT,
             .progress = {.size = sizeof(covey_train_progress),
                          .seconds_left = -1.0,
                          .eval_loss = -1.0,
                          .eval_exact = -1.0}};
    memcpy(&r.options, options,
           options->size < sizeof r.options ? options->size : sizeof r.options);
    covey__corpus_init(&r.corpus, r.env);
    covey__corpus_init(&r.eval, r.env);
    covey_model_shape shape = COVEY_MODEL_SHAPE_INIT;
    int32_t size = r.options.shape ? r.options.shape->vocabulary_size : shape.vocabulary_size;
    covey_status status = check_options(&r.options, error);
    if (status == COVEY_OK) status = check_writable(r.env, r.options.out_path, error);
    if (status == COVEY_OK) status = check_writable(r.env, r.options.checkpoint_path, error);
    if (status == COVEY_OK) status = open_source(&r, error);
    if (status == COVEY_OK && !r.source) status = learn_vocabulary(&r, size, error);
    if (status == COVEY_OK) status = read_corpora(&r, error);
    if (status == COVEY_OK) status = make_net(&r, error);
    if (status == COVEY_OK) status = make_trainer(&r, error);
    if (status == COVEY_OK) {
        choose_name(&r);
        status = train(&r, error);
    }
    if (status == COVEY_OK && result) fill_result(&r, result);
    close_run(&r);
    return status;
}

static covey_status save_vocabulary(run *r, const char *path, covey_error *error) {
    covey__gguf_writer *writer;
    covey_status status = covey__gguf_writer_new(r->env, path, &writer, error);
    if (status != COVEY_OK) return status;
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    covey__gguf_put_string(writer, "general.name", "covey", 5);
    status = covey__train_vocabulary_put(&r->vocabulary, writer, error);
    if (status == COVEY_OK) status = covey__gguf_write_header(writer, error);
    if (status == COVEY_OK) status = covey__gguf_finish(writer, error);
    covey__gguf_writer_free(writer);
    return status;
}

covey_status covey_train_vocabulary(covey_runtime *runtime, const char *const *corpus_paths,
                                    size_t corpus_count, int32_t vocabulary_size,
                                    const char *out_path, covey_error *error) {
    if (!runtime || !corpus_paths || corpus_count == 0 || !out_path)
        return bad_option(error, "a runtime, corpora and a path are needed");
    run r = {.env = covey__runtime_env(runtime),
             .runtime = runtime,
             .options = {.corpus_paths = corpus_paths, .corpus_count = corpus_count}};
    covey_status status = learn_vocabulary(&r, vocabulary_size, error);
    if (status == COVEY_OK) status = save_vocabulary(&r, out_path, error);
    if (r.has_vocabulary) covey__train_vocabulary_free(&r.vocabulary);
    return status;
}
