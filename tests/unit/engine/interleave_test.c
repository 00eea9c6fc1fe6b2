/* The contract over sessions: whatever is done to eight sessions of one model, in any order and
 * from several threads, the logits of each have the bits of a solo run over its tokens. Steps are
 * drawn from a printed seed: open, append in pieces, append to many, generate, fork, truncate,
 * slide, cancel, save and restore, close, trim, under budgets of idle pages from nothing to plenty.
 * The solo run is a session of a model of its own, alone, that is brought to the same tokens. */
#include "synthetic.h"

#include <covey/adapter.h>

#define SLOTS       8
#define CONTEXT_MAX 200
#define ADAPTERS    2
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STEPS 1000 /* of each of five games, and an eighth of it of two */
#else
#define STEPS 4000
#endif

typedef struct slot {
    covey_session *session, *solo;
    covey_session_options options;
    covey_token tokens[CONTEXT_MAX];
    size_t count;
} slot;

/* One thread and its slots. */
typedef struct player {
    covey_model *model, *solo_model;
    covey_runtime *solo_runtime;
    slot slots[SLOTS];
    size_t slot_count;
    uint64_t random;
    size_t steps, step;
    bool has_q8_0;
    covey_adapter_use uses[ADAPTERS], solo_uses[ADAPTERS]; /* of each model */
    bool has_adapters;
    char path[300];
} player;

static uint32_t draw(player *p, uint32_t below) {
    return next_random(&p->random) % below;
}

static void check_status(const player *p, covey_status found, covey_status expected,
                         const covey_error *error) {
    if (found != expected)
        fail_msg("step %zu: expected %s, found %s: %s", p->step, covey_status_name(expected),
                 covey_status_name(found), error->message);
}

/* Brings the solo session to the slot's tokens and compares. */
static void check_slot(player *p, slot *s, const char *what) {
    covey_error error = {.message = ""};
    size_t held = 0, same = 0, vocabulary = 0;
    const covey_token *tokens = covey__session_tokens(s->session, &held);
    if (held != s->count || memcmp(tokens, s->tokens, held * sizeof *tokens) != 0)
        fail_msg("step %zu: %s: the session's tokens are not those appended", p->step, what);
    const float *logits = covey_session_logits(s->session, &vocabulary);
    if (!logits) return;
    tokens = covey__session_tokens(s->solo, &held);
    while (same < held && same + 1 < s->count && tokens[same] == s->tokens[same]) same++;
    must(covey_session_truncate(s->solo, same, &error), &error);
    append(s->solo, s->tokens + same, s->count - same);
    if (memcmp(logits, covey_session_logits(s->solo, NULL), vocabulary * sizeof *logits) != 0)
        fail_msg("step %zu: %s: the logits after %zu tokens differ from a solo run (kv %d, alone "
                 "%d)",
                 p->step, what, s->count, (int)s->options.kv_type, (int)s->options.alone);
}

/* ---- Tokens: pieces of a few texts, so that sessions begin alike ---- */

static size_t draw_tokens(player *p, const slot *s, covey_token *tokens, size_t most) {
    size_t count = draw(p, 4) == 0 ? 1 + draw(p, 40) : 1 + draw(p, 8);
    if (s->count == 0) count = 20 + draw(p, 90);
    if (count > most) count = most;
    uint32_t text = draw(p, 3), turn = 16 + draw(p, 120); /* where it leaves the text */
    uint32_t vocabulary = (uint32_t)p->model->hyper.vocabulary_size;
    for (size_t i = 0; i < count; i++) {
        size_t at = s->count + i;
        tokens[i] =
            (covey_token)(at < turn ? (at * 7 + (at > 45 ? text : 0)) % vocabulary : draw(p, 4));
    }
    return count;
}

/* ---- Steps ---- */

static void open_solo(player *p, slot *s) {
    covey_error error = {.message = ""};
    covey_session_options options = s->options;
    options.alone = true;
    options.batch_tokens = 0;
    options.adapters = p->solo_uses;
    must(covey_session_open(p->solo_model, &options, &s->solo, &error), &error);
}

static void open_slot(player *p, slot *s) {
    covey_error error = {.message = ""};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    options.context_tokens = (int32_t)(90 + draw(p, CONTEXT_MAX - 90));
    options.batch_tokens = (int32_t)(1 + draw(p, 70));
    options.kv_type = (covey_kv_type)(1 + draw(p, p->has_q8_0 ? 3 : 2));
    options.alone = draw(p, 8) == 0;
    options.context_policy = draw(p, 2) ? COVEY_CONTEXT_SLIDE : COVEY_CONTEXT_ERROR;
    options.keep_tokens = (int32_t)draw(p, 50);
    options.adapters = p->uses;
    options.adapter_count = p->has_adapters ? draw(p, ADAPTERS + 1) : 0;
    s->options = options;
    s->count = 0;
    must(covey_session_open(p->model, &options, &s->session, &error), &error);
    open_solo(p, s);
}

static void close_slot(slot *s) {
    covey_session_close(s->session);
    covey_session_close(s->solo);
    s->session = s->solo = NULL;
}

/* One token by the definition: in a full context the older half of what is not kept goes first. */
static void expect_token(slot *s, covey_token token) {
    size_t keep = (size_t)s->options.keep_tokens;
    if (s->count == (size_t)s->options.context_tokens) {
        size_t rest = (s->count - keep) / 2;
        memmove(s->tokens + keep, s->tokens + s->count - rest, rest * sizeof *s->tokens);
        s->count = keep + rest;
    }
    s->tokens[s->count++] = token;
}

/* What an append must come to; the tokens are counted as the slot's if it succeeds. */
static covey_status expect_append(slot *s, const covey_token *tokens, size_t count) {
    if (s->count + count > (size_t)s->options.context_tokens &&
        s->options.context_policy != COVEY_CONTEXT_SLIDE)
        return COVEY_ERROR_CONTEXT_SIZE;
    for (size_t i = 0; i < count; i++) expect_token(s, tokens[i]);
    return COVEY_OK;
}

static void append_slot(player *p, slot *s) {
    covey_error error = {.message = ""};
    covey_token tokens[CONTEXT_MAX];
    size_t count = draw_tokens(p, s, tokens, (size_t)s->options.context_tokens);
    bool fits = s->count + count <= (size_t)s->options.context_tokens;
    if (fits && draw(p, 20) == 0) {
        covey_session_cancel(s->session);
        check_status(p, covey_session_append(s->session, tokens, count, &error),
                     COVEY_ERROR_CANCELLED, &error);
        check_slot(p, s, "cancel");
    }
    covey_status expected = expect_append(s, tokens, count);
    check_status(p, covey_session_append(s->session, tokens, count, &error), expected, &error);
    check_slot(p, s, "append");
}

static void append_some(player *p) {
    covey_error error = {.message = ""};
    static _Thread_local covey_token tokens[SLOTS][CONTEXT_MAX];
    covey_session_part parts[SLOTS];
    size_t part_count = 0, owners[SLOTS];
    for (size_t i = 0; i < p->slot_count; i++) {
        slot *s = &p->slots[i];
        if (!s->session || draw(p, 3) == 0) continue;
        size_t left = (size_t)s->options.context_tokens - s->count;
        size_t count = draw_tokens(p, s, tokens[i], draw(p, 3) ? 1 : left);
        if (left == 0) continue;
        owners[part_count] = i;
        parts[part_count++] = (covey_session_part){s->session, tokens[i], count, COVEY_OK};
    }
    if (part_count == 0) return;
    size_t cancelled = draw(p, 10) == 0 ? draw(p, (uint32_t)part_count) : part_count;
    if (cancelled < part_count) covey_session_cancel(parts[cancelled].session);
    covey_status status = covey_session_append_many(parts, part_count, &error);
    check_status(p, status, cancelled < part_count ? COVEY_ERROR_CANCELLED : COVEY_OK, &error);
    for (size_t i = 0; i < part_count; i++) {
        slot *s = &p->slots[owners[i]];
        assert_int_equal(parts[i].status, i == cancelled ? COVEY_ERROR_CANCELLED : COVEY_OK);
        if (i != cancelled) {
            memcpy(s->tokens + s->count, parts[i].tokens, parts[i].token_count * sizeof *s->tokens);
            s->count += parts[i].token_count;
        }
        check_slot(p, s, "append to many");
    }
}

static void generate(player *p, slot *s) {
    covey_error error = {.message = ""};
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    options.sampling = &sampling;
    size_t room = (size_t)s->options.context_tokens - s->count, held = 0;
    bool slides = s->options.context_policy == COVEY_CONTEXT_SLIDE;
    if (!covey_session_logits(s->session, NULL) || (room < 12 && !slides)) return;
    options.tokens_max = (int32_t)(1 + draw(p, 10));
    sampling.temperature = 2.0f;
    sampling.seed = p->step;
    check_slot(p, s, "before a generation");
    options.draft_tokens = (int32_t)draw(p, 6) - 1;
    must(covey_session_generate(s->session, &options, NULL, &error, NULL, NULL), &error);
    options.draft_tokens = -1;
    must(covey_session_generate(s->solo, &options, NULL, &error, NULL, NULL), &error);
    const covey_token *tokens = covey__session_tokens(s->solo, &held);
    assert_true(held <= CONTEXT_MAX);
    memcpy(s->tokens, tokens, held * sizeof *tokens);
    s->count = held;
    check_slot(p, s, "generate");
}

static void truncate_slot(player *p, slot *s) {
    covey_error error = {.message = ""};
    s->count = draw(p, (uint32_t)s->count + 1);
    must(covey_session_truncate(s->session, s->count, &error), &error);
    check_slot(p, s, "truncate");
}

static void fork_slot(player *p, slot *from, slot *to) {
    covey_error error = {.message = ""};
    must(covey_session_fork(from->session, &to->session, &error), &error);
    to->options = from->options;
    open_solo(p, to);
    to->count = from->count;
    memcpy(to->tokens, from->tokens, from->count * sizeof *to->tokens);
    check_slot(p, to, "fork");
}

/* To a file, and back in its place, or into another slot. */
static void save_slot(player *p, slot *s) {
    covey_error error = {.message = ""};
    covey_session_options options = s->options;
    const slot before = *s;
    must(covey_session_save(s->session, p->path, &error), &error);
    if (draw(p, 2)) append_slot(p, s); /* the file holds what was before */
    covey_session_close(s->session);
    options.kv_type = COVEY_KV_DEFAULT; /* the file's */
    must(covey_session_restore(p->model, &options, p->path, &s->session, &error), &error);
    s->count = before.count; /* what the session held when it was saved, not what the file says */
    memcpy(s->tokens, before.tokens, before.count * sizeof *s->tokens);
    check_slot(p, s, "restore");
}

/* Other adapters for the session, which is empty then, or the same, which change nothing. */
static void adapt_slot(player *p, slot *s) {
    covey_error error = {.message = ""};
    size_t count = p->has_adapters ? draw(p, ADAPTERS + 1) : 0;
    bool same = count == s->options.adapter_count;
    must(covey_session_set_adapters(s->session, p->uses, count, &error), &error);
    s->options.adapter_count = count;
    if (!same) {
        s->count = 0;
        covey_session_close(s->solo);
        open_solo(p, s);
    }
    check_slot(p, s, "other adapters");
    append_slot(p, s);
}

static void play_slot(player *p, slot *s) {
    slot *other = &p->slots[draw(p, (uint32_t)p->slot_count)];
    if (!s->session) {
        open_slot(p, s);
        append_slot(p, s);
        return;
    }
    uint32_t choice = draw(p, 100);
    if (choice < 40)
        append_slot(p, s);
    else if (choice < 55)
        append_some(p);
    else if (choice < 65)
        generate(p, s);
    else if (choice < 75)
        truncate_slot(p, s);
    else if (choice < 85 && !other->session)
        fork_slot(p, s, other);
    else if (choice < 92)
        close_slot(s);
    else if (choice < 94)
        covey_runtime_trim(p->model->runtime);
    else if (choice < 97)
        adapt_slot(p, s);
    else
        save_slot(p, s);
}

static void *play(void *user) {
    player *p = user;
    for (p->step = 0; p->step < p->steps; p->step++)
        play_slot(p, &p->slots[draw(p, (uint32_t)p->slot_count)]);
    for (size_t i = 0; i < p->slot_count; i++) close_slot(&p->slots[i]);
    return NULL;
}

/* ---- The counts ---- */

static size_t count_chain(const covey__page *page) {
    size_t count = 0;
    for (; page; page = page->older) count++;
    return count;
}

/* After all sessions are closed: pages are idle or gone, and the budget holds. */
static void check_counts(const covey_model *model) {
    const covey__kv *kv = &model->kv;
    uint64_t idle = 0;
    for (int i = 0; i < COVEY__KV_TYPES; i++) {
        const covey__page_pool *pool = &kv->pools[i];
        assert_int_equal(pool->places, 0);
        assert_int_equal(pool->free, 0);
        assert_int_equal(pool->total, pool->idle);
        assert_int_equal(count_chain(pool->newest), pool->idle);
        if (pool->oldest) assert_null(pool->oldest->child);
        idle += (uint64_t)pool->idle * pool->page_bytes;
    }
    assert_true(idle == kv->idle_bytes && idle <= kv->idle_bytes_max);
    assert_int_equal(kv->sessions, 0);
}

/* ---- Games ---- */

typedef struct game {
    const char *model_path;
    const char *adapter_paths[ADAPTERS]; /* NULL: none */
    int64_t budget;
    size_t players, steps;
    int32_t threads; /* that compute; more than one on every pass, small as it is */
    bool has_q8_0;
} game;

static covey_model *open_with(covey_runtime *runtime, const game *g) {
    covey_error error = {.message = ""};
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = g->model_path;
    source.idle_kv_bytes_max = g->budget;
    covey_model *model = NULL;
    must(covey_model_open(runtime, &source, &model, &error), &error);
    if (g->threads > 1) model->parallel_bytes_min = 0;
    return model;
}

static void open_adapters(const game *g, covey_model *model, covey_adapter_use *uses) {
    covey_error error = {.message = ""};
    for (size_t i = 0; i < ADAPTERS && g->adapter_paths[i]; i++) {
        uses[i].scale = i ? -0.5f : 1.0f;
        must(covey_adapter_open(model, g->adapter_paths[i], &uses[i].adapter, &error), &error);
    }
}

static void close_adapters(const covey_adapter_use *uses) {
    for (size_t i = 0; i < ADAPTERS; i++) covey_adapter_close(uses[i].adapter);
}

/* COVEY_SEED in the environment plays other games. */
static void play_game(const game *g, uint64_t seed) {
    static player players[SLOTS];
    pthread_t threads[SLOTS];
    if (getenv("COVEY_SEED")) seed += strtoull(getenv("COVEY_SEED"), NULL, 10);
    print_message("seed %llu: budget %lld, players %zu, threads %d\n", (unsigned long long)seed,
                  (long long)g->budget, g->players, (int)g->threads);
    covey_runtime *runtime = open_runtime(g->threads, NULL);
    covey_model *model = open_with(runtime, g);
    for (size_t i = 0; i < g->players; i++) {
        player *p = &players[i];
        memset(p, 0, sizeof *p);
        p->model = model;
        p->solo_runtime = open_runtime(1, "scalar"); /* the definition */
        p->solo_model = open_model(p->solo_runtime, g->model_path);
        p->has_adapters = g->adapter_paths[0] != NULL;
        open_adapters(g, p->model, p->uses);
        open_adapters(g, p->solo_model, p->solo_uses);
        p->slot_count = SLOTS / g->players;
        p->random = seed * 0x9E3779B97F4A7C15ull + i * 77 + 1;
        p->steps = g->steps / g->players;
        p->has_q8_0 = g->has_q8_0;
        snprintf(p->path, sizeof p->path, "%s/session-%zu", folder.path, i);
    }
    if (g->players == 1) {
        play(&players[0]);
    } else {
        for (size_t i = 0; i < g->players; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, play, &players[i]), 0);
        for (size_t i = 0; i < g->players; i++) pthread_join(threads[i], NULL);
    }
    covey_kv_info info = COVEY_KV_INFO_INIT;
    covey_model_describe_kv(model, &info);
    print_message("  reused %llu of %llu prompt tokens, evicted %llu pages, %llu runs in %llu "
                  "passes\n",
                  (unsigned long long)info.reused_tokens, (unsigned long long)info.prompt_tokens,
                  (unsigned long long)info.evicted_pages, (unsigned long long)info.run_count,
                  (unsigned long long)info.pass_count);
    assert_true(info.reused_tokens > 0);
    assert_true(info.bytes == info.idle_bytes);
    check_counts(model);
    for (size_t i = 0; i < g->players; i++) {
        close_adapters(players[i].uses);
        close_adapters(players[i].solo_uses);
        covey_model_close(players[i].solo_model);
        covey_runtime_close(players[i].solo_runtime);
    }
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static const char *write_small(void) {
    const char *path = in_folder("small.gguf");
    synthetic s = {.layers = 2,
                   .width = 32,
                   .ffn = 32,
                   .heads = 2,
                   .kv_heads = 1,
                   .head_dim = 32,
                   .context = 256,
                   .type = COVEY__TYPE_Q8_0,
                   .output_type = COVEY__TYPE_Q8_0,
                   .seed = 5};
    write_synthetic(&s, path);
    return path;
}

/* A LoRA of rank 2 on the keys of the small model. */
static const char *write_adapter(const char *name, uint64_t seed) {
    covey_error error = {.message = ""};
    covey__gguf_writer *writer = NULL;
    const char *path = in_folder(name);
    const uint64_t shapes[2][2] = {{32, 2}, {2, 32}};
    float values[64];
    must(covey__gguf_writer_new(&plain_env, path, &writer, &error), &error);
    covey__gguf_put_string(writer, "general.type", "adapter", 7);
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    covey__gguf_put_string(writer, "adapter.type", "lora", 4);
    covey__gguf_put_f32(writer, "adapter.lora.alpha", 2.0f);
    for (int i = 0; i < 2; i++)
        must(covey__gguf_add_tensor(writer,
                                    i ? "blk.0.attn_k.weight.lora_b" : "blk.0.attn_k.weight.lora_a",
                                    COVEY__TYPE_F32, 2, shapes[i], &error),
             &error);
    must(covey__gguf_write_header(writer, &error), &error);
    for (int i = 0; i < 2; i++) {
        for (size_t v = 0; v < 64; v++) values[v] = 0.3f * next_value(&seed);
        must(covey__gguf_write_data(writer, values, sizeof values, &error), &error);
    }
    must(covey__gguf_finish(writer, &error), &error);
    covey__gguf_writer_free(writer);
    return path;
}

static void test_one_thread(void **state) {
    (void)state;
    game g = {
        .model_path = write_small(), .players = 1, .steps = STEPS, .threads = 1, .has_q8_0 = true};
    play_game(&g, 1);
    g.budget = 75000; /* some pages */
    play_game(&g, 2);
    g.budget = -1;
    play_game(&g, 3);
}

static void test_several_threads(void **state) {
    (void)state;
    game g = {
        .model_path = write_small(), .players = 4, .steps = STEPS, .threads = 1, .has_q8_0 = true};
    g.adapter_paths[0] = write_adapter("one.gguf", 11);
    g.adapter_paths[1] = write_adapter("two.gguf", 12);
    play_game(&g, 4);
    g.budget = 75000;
    g.players = 8;
    play_game(&g, 5);
    g.threads = 2;
    g.players = 3;
    g.steps = STEPS / 8;
    play_game(&g, 6);
}

static void test_stories(void **state) {
    (void)state;
    TEST_SHARED_OR_SKIP(path, "data/models/stories260K.gguf");
    game g = {.model_path = path, .budget = 500000, .players = 4, .steps = STEPS / 8, .threads = 1};
    play_game(&g, 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_several_threads),
        cmocka_unit_test(test_stories),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
