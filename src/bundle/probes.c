/* The probes document (docs/formats/ensemble.md, "Probes"): reader, writer, the lines that people
 * keep task probes in, and how an answer is compared. It comes from outside like every component:
 * counts and token ids are bounded here, ids against the vocabulary where the model is known
 * (library/probe.c). All memory is the arena's. */
#include "bundle/probes.h"

#include "base/error.h"
#include "base/sha256.h"
#include "bundle/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX   (128u << 20)
#define BITS_COUNT_MAX    1024
#define TASK_COUNT_MAX    16384
#define TOKEN_COUNT_MAX   65536
#define MESSAGE_COUNT_MAX 64

static const char *match_name(covey__match match) {
    return match == COVEY__MATCH_JSON ? "json" : "exact";
}

static covey_status parse_tokens(covey__arena *arena, const covey__json *node, const char *name,
                                 const char *path, const covey_token **out, size_t *count,
                                 covey_error *error) {
    const covey__json *list;
    covey_status status = covey__field_list(node, name, path, TOKEN_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    covey_token *tokens = covey__arena_calloc(arena, list->size, sizeof *tokens);
    if (tokens == NULL) return covey__no_memory(error, path, list->size * sizeof *tokens);
    size_t i = 0;
    for (const covey__json *item = list->child; item != NULL; item = item->next) {
        int64_t value;
        if (!covey__json_to_i64(item, &value) || value < 0 || value > INT32_MAX)
            return covey__fail(error, COVEY_ERROR_FORMAT, "%s[%zu]: a token id expected", path, i);
        tokens[i++] = (covey_token)value;
    }
    *out = tokens;
    *count = list->size;
    return COVEY_OK;
}

static covey_status parse_logits(covey__arena *arena, const covey__json *node, const char *path,
                                 covey__bits_probe *probe, covey_error *error) {
    const covey__json *list;
    covey_status status =
        covey__field_list(node, "logits_sha256", path, TOKEN_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    if (list->size != probe->token_count)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: %zu digests expected, %zu found", path,
                           probe->token_count, list->size);
    uint8_t(*digests)[32] = covey__arena_calloc(arena, list->size, sizeof *digests);
    if (digests == NULL) return covey__no_memory(error, path, list->size * sizeof *digests);
    size_t i = 0;
    for (const covey__json *item = list->child; item != NULL; item = item->next)
        if (item->kind != COVEY__JSON_STRING ||
            !covey__unhex(item->text, item->size, digests[i++], 32))
            return covey__fail(error, COVEY_ERROR_FORMAT, "%s: 64 hex digits expected", path);
    probe->logits = (const uint8_t(*)[32])digests;
    return COVEY_OK;
}

static const char *const kv_names[] = {
    [COVEY_KV_F32] = "f32", [COVEY_KV_F16] = "f16", [COVEY_KV_Q8_0] = "q8_0"};

/* Probes of before there was a choice were recorded with F32, and do not say so. */
static covey_status parse_kv(const covey__json *node, const char *path, covey__bits_probe *probe,
                             covey_error *error) {
    const char *name = NULL;
    probe->kv = COVEY_KV_F32;
    if (covey__json_get(node, "kv") == NULL) return COVEY_OK;
    covey_status status = covey__json_string(node, "kv", path, &name, error);
    if (status != COVEY_OK) return status;
    for (int type = COVEY_KV_F32; type <= COVEY_KV_Q8_0; type++)
        if (strcmp(kv_names[type], name) == 0) {
            probe->kv = (covey_kv_type)type;
            return COVEY_OK;
        }
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "%s: expected \"f32\", \"f16\" or \"q8_0\", found \"%.40s\"", path, name);
}

static covey_status parse_bits(covey__arena *arena, const covey__json *node, size_t number,
                               covey__bits_probe *probe, covey_error *error) {
    char path[COVEY__FIELD_PATH_SIZE];
    int64_t arithmetic;
    covey__field_path(path, "bits[%zu].name", number);
    covey_status status = covey__field_name(node, "name", path, &probe->name, error);
    covey__field_path(path, "bits[%zu].arithmetic_version", number);
    if (status == COVEY_OK)
        status =
            covey__json_i64(node, "arithmetic_version", path, 1, INT32_MAX, &arithmetic, error);
    if (status != COVEY_OK) return status;
    probe->arithmetic_version = (int32_t)arithmetic;
    covey__field_path(path, "bits[%zu].kv", number);
    status = parse_kv(node, path, probe, error);
    if (status != COVEY_OK) return status;
    covey__field_path(path, "bits[%zu].prompt", number);
    status = parse_tokens(arena, node, "prompt", path, &probe->prompt, &probe->prompt_count, error);
    if (status != COVEY_OK) return status;
    covey__field_path(path, "bits[%zu].tokens", number);
    status = parse_tokens(arena, node, "tokens", path, &probe->tokens, &probe->token_count, error);
    if (status != COVEY_OK) return status;
    covey__field_path(path, "bits[%zu].logits_sha256", number);
    return parse_logits(arena, node, path, probe, error);
}

static covey_status parse_messages(covey__arena *arena, const covey__json *node, const char *path,
                                   covey__task_probe *probe, covey_error *error) {
    const covey__json *list;
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.messages", path);
    covey_status status =
        covey__field_list(node, "messages", field, MESSAGE_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    covey_message *messages = covey__arena_calloc(arena, list->size, sizeof *messages);
    if (messages == NULL) return covey__no_memory(error, field, list->size * sizeof *messages);
    size_t i = 0;
    for (const covey__json *item = list->child; item != NULL; item = item->next, i++) {
        covey__field_path(field, "%s.messages[%zu].role", path, i);
        status = covey__json_string(item, "role", field, &messages[i].role, error);
        covey__field_path(field, "%s.messages[%zu].content", path, i);
        if (status == COVEY_OK)
            status = covey__json_string(item, "content", field, &messages[i].content, error);
        if (status != COVEY_OK) return status;
    }
    probe->messages = messages;
    probe->message_count = list->size;
    return COVEY_OK;
}

static covey_status parse_match(const covey__json *node, const char *path, covey__match *match,
                                covey_error *error) {
    const char *text;
    char field[COVEY__FIELD_PATH_SIZE];
    *match = COVEY__MATCH_EXACT;
    if (covey__json_get(node, "match") == NULL) return COVEY_OK;
    covey__field_path(field, "%s.match", path);
    covey_status status = covey__json_string(node, "match", field, &text, error);
    if (status != COVEY_OK) return status;
    if (strcmp(text, "json") == 0) {
        *match = COVEY__MATCH_JSON;
    } else if (strcmp(text, "exact") != 0) {
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "%s: \"exact\" or \"json\" expected",
                           field);
    }
    return COVEY_OK;
}

/* A "json" probe whose expectation is no JSON could never pass: it contradicts itself. */
static covey_status check_expect(const covey__env *env, const char *path,
                                 const covey__task_probe *probe, covey_error *error) {
    if (probe->match != COVEY__MATCH_JSON) return COVEY_OK;
    covey__arena arena;
    const covey__json *root;
    size_t size = strlen(probe->expect);
    covey__arena_init(&arena, env, 4u << 20);
    covey_status status =
        covey__json_parse(&arena, probe->expect, size, COVEY__JSON_LIMITS_DEFAULT, &root, error);
    covey__arena_free(&arena);
    return status == COVEY_OK ? status : covey__prefix(error, status, "%s.expect", path);
}

static covey_status parse_task(covey__arena *arena, const covey__json *node, const char *path,
                               covey__task_probe *probe, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.name", path);
    covey_status status = covey__field_name(node, "name", field, &probe->name, error);
    if (status == COVEY_OK) status = parse_messages(arena, node, path, probe, error);
    covey__field_path(field, "%s.expect", path);
    if (status == COVEY_OK)
        status = covey__json_string(node, "expect", field, &probe->expect, error);
    if (status == COVEY_OK) status = parse_match(node, path, &probe->match, error);
    return status == COVEY_OK ? check_expect(arena->env, path, probe, error) : status;
}

static covey_status parse_bits_list(covey__probes *probes, const covey__json *root,
                                    covey_error *error) {
    const covey__json *list;
    if (covey__json_get(root, "bits") == NULL) return COVEY_OK;
    covey_status status = covey__field_list(root, "bits", "bits", BITS_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    probes->bits = covey__arena_calloc(&probes->arena, list->size, sizeof *probes->bits);
    if (probes->bits == NULL) return covey__no_memory(error, "bits", list->size);
    for (const covey__json *node = list->child; node != NULL; node = node->next) {
        size_t number = probes->bits_count;
        status = parse_bits(&probes->arena, node, number, &probes->bits[number], error);
        if (status != COVEY_OK) return status;
        probes->bits_count++;
    }
    return COVEY_OK;
}

static covey_status parse_task_list(covey__probes *probes, const covey__json *root,
                                    covey_error *error) {
    const covey__json *task, *list;
    int64_t tokens_max;
    if (covey__json_get(root, "task") == NULL) return COVEY_OK;
    covey_status status =
        covey__json_member(root, "task", "task", COVEY__JSON_OBJECT, &task, error);
    if (status == COVEY_OK)
        status =
            covey__json_f64(task, "min_score", "task.min_score", &probes->task_score_min, error);
    if (status == COVEY_OK)
        status = covey__json_i64(task, "tokens_max", "task.tokens_max", 1, TOKEN_COUNT_MAX,
                                 &tokens_max, error);
    if (status == COVEY_OK)
        status = covey__field_list(task, "items", "task.items", TASK_COUNT_MAX, &list, error);
    if (status != COVEY_OK) return status;
    probes->task_tokens_max = (int32_t)tokens_max;
    if (!(probes->task_score_min >= 0.0 && probes->task_score_min <= 1.0))
        return covey__fail(error, COVEY_ERROR_FORMAT, "task.min_score: 0 to 1 expected");
    probes->tasks = covey__arena_calloc(&probes->arena, list->size, sizeof *probes->tasks);
    if (probes->tasks == NULL) return covey__no_memory(error, "task.items", list->size);
    for (const covey__json *node = list->child; node != NULL; node = node->next) {
        char path[COVEY__FIELD_PATH_SIZE];
        covey__field_path(path, "task.items[%zu]", probes->task_count);
        status = parse_task(&probes->arena, node, path, &probes->tasks[probes->task_count], error);
        if (status != COVEY_OK) return status;
        probes->task_count++;
    }
    return COVEY_OK;
}

covey_status covey__probes_new(const covey__env *env, covey__probes **probes, covey_error *error) {
    covey__probes *made = covey__calloc(env, 1, sizeof *made);
    *probes = made;
    if (made == NULL) return covey__no_memory(error, "bundle: probes", sizeof *made);
    covey__arena_init(&made->arena, env, ARENA_BYTES_MAX);
    made->task_tokens_max = 96;
    return COVEY_OK;
}

covey_status covey__probes_parse(const covey__env *env, const char *text, size_t size,
                                 covey__probes **probes, covey_error *error) {
    const covey__json *root;
    covey__json_limits limits = {COVEY__PROBES_BYTES_MAX, 16, 1u << 20};
    covey_status status = covey__probes_new(env, probes, error);
    if (status != COVEY_OK) return status;
    covey__probes *made = *probes;
    status = covey__json_parse(&made->arena, text, size, limits, &root, error);
    if (status == COVEY_OK) status = covey__field_format(root, COVEY__PROBES_FORMAT, error);
    if (status == COVEY_OK) status = parse_bits_list(made, root, error);
    if (status == COVEY_OK) status = parse_task_list(made, root, error);
    if (status == COVEY_OK && made->bits_count == 0 && made->task_count == 0)
        status = covey__fail(error, COVEY_ERROR_FORMAT, "holds neither \"bits\" nor \"task\"");
    if (status == COVEY_OK) return COVEY_OK;
    covey__probes_free(made);
    *probes = NULL;
    return covey__prefix(error, status, "bundle: probes");
}

void covey__probes_free(covey__probes *probes) {
    if (probes == NULL) return;
    const covey__env *env = probes->arena.env;
    covey__arena_free(&probes->arena);
    covey__free(env, probes);
}

static void write_tokens(covey__json_writer *writer, const char *name, const covey_token *tokens,
                         size_t count) {
    covey__json_name(writer, name);
    covey__json_begin_array(writer);
    for (size_t i = 0; i < count; i++) covey__json_put_i64(writer, tokens[i]);
    covey__json_end_array(writer);
}

static void write_bits(covey__json_writer *writer, const covey__bits_probe *probe) {
    char hex[65];
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "name", probe->name);
    covey__json_member_i64(writer, "arithmetic_version", probe->arithmetic_version);
    if (probe->kv != COVEY_KV_F32) covey__json_member_string(writer, "kv", kv_names[probe->kv]);
    write_tokens(writer, "prompt", probe->prompt, probe->prompt_count);
    write_tokens(writer, "tokens", probe->tokens, probe->token_count);
    covey__json_name(writer, "logits_sha256");
    covey__json_begin_array(writer);
    for (size_t i = 0; i < probe->token_count; i++) {
        covey__hex(probe->logits[i], 32, hex);
        covey__json_put_string(writer, hex);
    }
    covey__json_end_array(writer);
    covey__json_end_object(writer);
}

static void write_task(covey__json_writer *writer, const covey__task_probe *probe) {
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "name", probe->name);
    covey__json_name(writer, "messages");
    covey__json_begin_array(writer);
    for (size_t i = 0; i < probe->message_count; i++) {
        covey__json_begin_object(writer);
        covey__json_member_string(writer, "role", probe->messages[i].role);
        covey__json_member_string(writer, "content", probe->messages[i].content);
        covey__json_end_object(writer);
    }
    covey__json_end_array(writer);
    covey__json_member_string(writer, "expect", probe->expect);
    covey__json_member_string(writer, "match", match_name(probe->match));
    covey__json_end_object(writer);
}

covey_status covey__probes_write(const covey__probes *probes, covey__buffer *out,
                                 covey_error *error) {
    covey__json_writer writer;
    covey__json_writer_init(&writer, out, false);
    covey__json_begin_object(&writer);
    covey__json_member_i64(&writer, "format", COVEY__PROBES_FORMAT);
    if (probes->bits_count > 0) {
        covey__json_name(&writer, "bits");
        covey__json_begin_array(&writer);
        for (size_t i = 0; i < probes->bits_count; i++) write_bits(&writer, &probes->bits[i]);
        covey__json_end_array(&writer);
    }
    if (probes->task_count > 0) {
        covey__json_name(&writer, "task");
        covey__json_begin_object(&writer);
        covey__json_member_f64(&writer, "min_score", probes->task_score_min);
        covey__json_member_i64(&writer, "tokens_max", probes->task_tokens_max);
        covey__json_name(&writer, "items");
        covey__json_begin_array(&writer);
        for (size_t i = 0; i < probes->task_count; i++) write_task(&writer, &probes->tasks[i]);
        covey__json_end_array(&writer);
        covey__json_end_object(&writer);
    }
    covey__json_end_object(&writer);
    covey__buffer_byte(out, '\n');
    return covey__buffer_check(out, error, "bundle: probes");
}
