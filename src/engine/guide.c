/* The public calls of guides, and runs: what one generation holds of a guide. A guide itself never
 * changes; runs that ended wait in its pool, with their automaton and their masks, for the next
 * generation on the same vocabulary. Neighbours: the front ends, guide_program.c; generate.c is
 * what uses runs. */
#include "engine/guide_run.h"

#include <string.h>

#include "base/runtime.h"
#include "engine/engine.h"

#define IDLE_MAX 4

/* ---- Making ---- */

static void free_run(covey__guide_run *run) {
    if (!run) return;
    const covey__env *env = run->guide->env;
    covey__guide_machine_free(run->machine);
    covey__token_trie_drop(run->trie);
    covey__tokenizer_scratch_free(run->scratch);
    covey__free(env, run->masks);
    covey__free(env, run);
}

/* The runs that wait: those that work keep what they have. */
static void trim(void *user) {
    covey__guide_pool *pool = user;
    pthread_mutex_lock(&pool->lock);
    covey__guide_run *idle = pool->idle;
    pool->idle = NULL;
    pool->idle_count = 0;
    pthread_mutex_unlock(&pool->lock);
    for (covey__guide_run *next; idle; idle = next) {
        next = idle->next;
        free_run(idle);
    }
}

static covey_status make_pool(covey_guide *guide, covey_runtime *runtime, covey_error *error) {
    guide->pool = covey__calloc(guide->env, 1, sizeof *guide->pool);
    if (!guide->pool) return covey__no_memory(error, "guide", sizeof *guide->pool);
    int failed = pthread_mutex_init(&guide->pool->lock, NULL);
    if (!failed) {
        guide->pool->runtime = runtime;
        guide->pool->trim = (covey__trim_hook){.trim = trim, .user = guide->pool};
        covey__runtime_trim_add(runtime, &guide->pool->trim);
        return COVEY_OK;
    }
    covey__free(guide->env, guide->pool);
    guide->pool = NULL;
    return covey__fail_errno(error, failed, "guide: a lock");
}

typedef struct source {
    const char *text;
    size_t size;
    bool is_schema;
    const char *prefix;
} source;

static covey_status compile(covey_guide *guide, const source *from,
                            const covey_guide_options *options, covey_error *error) {
    covey__guide_builder builder;
    covey__guide_builder_init(&builder, guide->env, error);
    if (from->is_schema)
        covey__guide_schema(&builder, from->text, from->size, options->spaces);
    else
        covey__guide_gbnf(&builder, from->text, from->size);
    covey_status status = covey__guide_program_new(&builder, &guide->program);
    covey__guide_builder_free(&builder);
    return status;
}

static covey_status make(covey_runtime *runtime, const source *from,
                         const covey_guide_options *options, covey_guide **out,
                         covey_error *error) {
    if (!runtime || !from->text || !out)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "%s: runtime, text and guide must be given", from->prefix);
    *out = NULL;
    covey_guide_options full = COVEY_GUIDE_OPTIONS_INIT;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    if (full.spaces != COVEY_GUIDE_SPACES_ONE && full.spaces != COVEY_GUIDE_SPACES_NONE)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "%s: spaces: expected ONE or NONE, found %d", from->prefix,
                           (int)full.spaces);
    if (from->size > COVEY__GUIDE_TEXT_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__GUIDE_TEXT_MAX,
                                 (int64_t)from->size, "%s: expected at most %u bytes, found %zu",
                                 from->prefix, COVEY__GUIDE_TEXT_MAX, from->size);
    const covey__env *env = covey__runtime_env(runtime);
    covey_guide *guide = covey__calloc(env, 1, sizeof *guide);
    if (!guide) return covey__no_memory(error, from->prefix, sizeof *guide);
    guide->env = env;
    guide->open_ended = full.open_ended;
    covey_status status = make_pool(guide, runtime, error);
    if (status == COVEY_OK) status = compile(guide, from, &full, error);
    if (status != COVEY_OK) {
        covey_guide_free(guide);
        return covey__prefix(error, status, "%s", from->prefix);
    }
    *out = guide;
    return COVEY_OK;
}

covey_status covey_guide_new_json_schema(covey_runtime *runtime, const char *schema,
                                         size_t schema_size, const covey_guide_options *options,
                                         covey_guide **guide, covey_error *error) {
    source from = {schema, schema_size, true, "schema"};
    return make(runtime, &from, options, guide, error);
}

covey_status covey_guide_new_gbnf(covey_runtime *runtime, const char *grammar, size_t grammar_size,
                                  const covey_guide_options *options, covey_guide **guide,
                                  covey_error *error) {
    source from = {grammar, grammar_size, false, "grammar"};
    return make(runtime, &from, options, guide, error);
}

/* ---- Runs ---- */

void covey_guide_free(covey_guide *guide) {
    if (!guide) return;
    const covey__env *env = guide->env;
    if (guide->pool) {
        covey__runtime_trim_remove(guide->pool->runtime, &guide->pool->trim);
        trim(guide->pool);
        pthread_mutex_destroy(&guide->pool->lock);
        covey__free(env, guide->pool);
    }
    covey__guide_program_free(&guide->program);
    covey__free(env, guide);
}

/* The model's lock is held only to look and to hold: what is found cannot be trimmed between. */
static covey__token_trie *hold_trie(covey_model *model, covey__token_trie *made) {
    pthread_mutex_lock(&model->kv.lock);
    if (made && !model->token_trie) model->token_trie = covey__token_trie_hold(made);
    covey__token_trie *found = model->token_trie ? covey__token_trie_hold(model->token_trie) : NULL;
    pthread_mutex_unlock(&model->kv.lock);
    return found;
}

covey_status covey__guide_trie_of(covey_model *model, covey__token_trie **trie,
                                  covey_error *error) {
    *trie = hold_trie(model, NULL);
    if (*trie) return COVEY_OK;
    covey__token_trie *made = NULL;
    covey_status status = covey__token_trie_new(model->env, model->tokenizer, &made, error);
    if (status != COVEY_OK) return status;
    *trie = hold_trie(model, made); /* another thread's, if one was faster */
    covey__token_trie_drop(made);
    return COVEY_OK;
}

/* A run of the pool on this vocabulary; one on another leaves the pool instead. */
static covey__guide_run *take_idle(const covey_guide *guide, const covey__token_trie *trie) {
    covey__guide_run *found = NULL;
    pthread_mutex_lock(&guide->pool->lock);
    for (covey__guide_run **link = &guide->pool->idle; *link; link = &(*link)->next) {
        if ((*link)->trie != trie) continue;
        found = *link;
        *link = found->next;
        guide->pool->idle_count--;
        break;
    }
    pthread_mutex_unlock(&guide->pool->lock);
    return found;
}

static covey__guide_run *new_run(const covey_guide *guide, covey__token_trie *trie,
                                 covey_error *error) {
    size_t words = (COVEY__GUIDE_MASKS_MAX + 1) * (size_t)trie->words;
    covey__guide_run *run = covey__calloc(guide->env, 1, sizeof *run);
    if (!run) {
        covey_status status = covey__no_memory(error, "guide", sizeof *run);
        (void)status;
        return NULL;
    }
    run->guide = guide;
    run->trie = covey__token_trie_hold(trie);
    run->masks = covey__alloc(guide->env, words * sizeof *run->masks);
    memset(run->mask_sets, 0xff, sizeof run->mask_sets);
    covey_status status = COVEY_OK;
    if (!run->masks) status = covey__no_memory(error, "guide: masks", words * sizeof *run->masks);
    if (status == COVEY_OK)
        status = covey__guide_machine_new(&guide->program, &run->machine, error);
    if (status == COVEY_OK)
        status = covey__tokenizer_scratch_new(guide->env, COVEY__GUIDE_FORCED_MAX + 1,
                                              &run->scratch, error);
    if (status == COVEY_OK) return run;
    free_run(run);
    return NULL;
}

covey_status covey__guide_run_begin(const covey_guide *guide, const covey__tokenizer *tokenizer,
                                    covey__token_trie *trie, covey__guide_run **out,
                                    covey_error *error) {
    covey__guide_run *run = take_idle(guide, trie);
    if (!run) run = new_run(guide, trie, error);
    *out = NULL;
    if (!run) return COVEY_ERROR_NO_MEMORY;
    run->tokenizer = tokenizer;
    memset(&run->names, 0, sizeof run->names);
    run->machine->work = 0;
    run->set = covey__guide_start(run->machine);
    if (run->set == COVEY__GUIDE_NONE && run->machine->full) {
        for (uint32_t i = 0; i < COVEY__GUIDE_MASKS_MAX; i++) {
            run->mask_sets[i] = COVEY__GUIDE_NONE;
            run->mask_used[i] = 0;
        }
        covey__guide_collect(run->machine, NULL, 0, NULL, NULL);
        run->set = covey__guide_start(run->machine);
    }
    if (run->set == COVEY__GUIDE_NONE) {
        covey_status status = covey__guide_exhausted(run->machine, error);
        free_run(run);
        return status;
    }
    covey__guide_mark(run);
    *out = run;
    return COVEY_OK;
}

void covey__guide_run_end(covey__guide_run *run) {
    if (!run) return;
    covey__guide_pool *pool = run->guide->pool;
    covey__guide_run *leaves = run;
    if (!run->machine->too_many) {
        pthread_mutex_lock(&pool->lock);
        run->next = pool->idle;
        pool->idle = run;
        leaves = NULL;
        if (pool->idle_count == IDLE_MAX) { /* the one that waited longest */
            covey__guide_run **link = &pool->idle;
            while ((*link)->next) link = &(*link)->next;
            leaves = *link;
            *link = NULL;
        } else {
            pool->idle_count++;
        }
        pthread_mutex_unlock(&pool->lock);
    }
    free_run(leaves);
}

/* ---- Matching a text ---- */

static covey_status match(covey__guide_machine *m, const char *text, size_t size, size_t *matched,
                          bool *whole, covey_error *error) {
    covey__guide_names names;
    memset(&names, 0, sizeof names);
    uint32_t set = covey__guide_start(m);
    size_t at = 0;
    while (set != COVEY__GUIDE_NONE && at < size) {
        m->work = 0;
        uint32_t next = covey__guide_step(m, set, (uint8_t)text[at]);
        if (next == COVEY__GUIDE_NONE && covey__guide_collect(m, &set, 1, NULL, NULL))
            next = covey__guide_step(m, set, (uint8_t)text[at]);
        if (next == 0) break;
        if (next == COVEY__GUIDE_NONE) return covey__guide_exhausted(m, error);
        if (m->program->unique_names && !covey__guide_names_feed(&names, (uint8_t)text[at])) break;
        set = next;
        at++;
    }
    if (set == COVEY__GUIDE_NONE) return covey__guide_exhausted(m, error);
    *matched = at;
    *whole = at == size && m->sets[set].accepts;
    return COVEY_OK;
}

covey_status covey_guide_match(const covey_guide *guide, const char *text, size_t text_size,
                               size_t *matched, bool *whole, covey_error *error) {
    if (!guide || (!text && text_size > 0) || !matched)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "guide: guide, text and matched must be given");
    covey__guide_machine *machine;
    bool is_whole = false;
    *matched = 0;
    covey_status status = covey__guide_machine_new(&guide->program, &machine, error);
    if (status != COVEY_OK) return status;
    status = match(machine, text, text_size, matched, &is_whole, error);
    covey__guide_machine_free(machine);
    if (whole) *whole = is_whole;
    return status;
}
