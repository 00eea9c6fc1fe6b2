/* Task probes as people keep them, JSON lines, and how an answer is held against what was expected.
 * A line is short: "prompt" stands for one message by the user, an object in "expect" stands for
 * its JSON, and names and the kind of match have defaults. What is read is turned into the same
 * structure as the probes document's, whose checks apply when it is read back. */
#include "bundle/probes.h"

#include "base/error.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

static covey_status line_messages(covey__arena *arena, const covey__json *node,
                                  covey__task_probe *probe, covey_error *error) {
    const covey__json *list;
    const char *short_form = covey__json_get(node, "prompt") != NULL ? "prompt" : "user";
    if (covey__json_get(node, short_form) != NULL) {
        covey_message *message = covey__arena_calloc(arena, 1, sizeof *message);
        if (message == NULL) return covey__no_memory(error, "message", sizeof *message);
        message->role = "user";
        probe->messages = message;
        probe->message_count = 1;
        return covey__json_string(node, short_form, short_form, &message->content, error);
    }
    covey_status status =
        covey__json_member(node, "messages", "messages", COVEY__JSON_ARRAY, &list, error);
    if (status != COVEY_OK) return status;
    covey_message *messages = covey__arena_calloc(arena, list->size + 1, sizeof *messages);
    if (messages == NULL) return covey__no_memory(error, "messages", list->size);
    size_t i = 0;
    for (const covey__json *item = list->child; item != NULL; item = item->next, i++) {
        status = covey__json_string(item, "role", "messages[].role", &messages[i].role, error);
        if (status == COVEY_OK)
            status = covey__json_string(item, "content", "messages[].content", &messages[i].content,
                                        error);
        if (status != COVEY_OK) return status;
    }
    if (i == 0) return covey__fail(error, COVEY_ERROR_FORMAT, "messages: at least one expected");
    probe->messages = messages;
    probe->message_count = i;
    return COVEY_OK;
}

/* "expect" is a string, or any other JSON value, which then is compared as JSON. */
static covey_status line_expect(covey__arena *arena, const covey__json *node,
                                covey__task_probe *probe, covey_error *error) {
    const char *name = covey__json_get(node, "expect") != NULL ? "expect" : "assistant";
    const covey__json *expect = covey__json_get(node, name);
    const char *match = NULL;
    if (expect == NULL) return covey__fail(error, COVEY_ERROR_FORMAT, "expect: is missing");
    if (expect->kind == COVEY__JSON_STRING) {
        covey_status status = covey__json_string(node, name, name, &probe->expect, error);
        if (status != COVEY_OK) return status;
    } else {
        covey__buffer text;
        covey__json_writer writer;
        covey__buffer_init(&text, arena->env, 1u << 20);
        covey__json_writer_init(&writer, &text, false);
        covey__json_put_node(&writer, expect);
        covey_status status = covey__buffer_check(&text, error, "expect");
        if (status == COVEY_OK) {
            probe->expect = covey__arena_strndup(arena, text.data, text.size);
            if (probe->expect == NULL) status = covey__no_memory(error, "expect", text.size);
        }
        covey__buffer_free(&text);
        if (status != COVEY_OK) return status;
        probe->match = COVEY__MATCH_JSON;
    }
    if (covey__json_get(node, "match") == NULL) return COVEY_OK;
    covey_status status = covey__json_string(node, "match", "match", &match, error);
    if (status != COVEY_OK) return status;
    if (strcmp(match, "json") != 0 && strcmp(match, "exact") != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "match: \"exact\" or \"json\" expected");
    probe->match = strcmp(match, "json") == 0 ? COVEY__MATCH_JSON : COVEY__MATCH_EXACT;
    return COVEY_OK;
}

static covey_status read_line(covey__probes *probes, const char *line, size_t size,
                              covey__task_probe *probe, covey_error *error) {
    const covey__json *node;
    char name[32];
    covey__arena *arena = &probes->arena;
    covey__json_limits limits = {1u << 20, 32, 1u << 16};
    covey_status status = covey__json_parse(arena, line, size, limits, &node, error);
    if (status != COVEY_OK) return status;
    if (node->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_FORMAT, "an object expected");
    if (covey__json_get(node, "name") != NULL) {
        status = covey__json_string(node, "name", "name", &probe->name, error);
    } else {
        snprintf(name, sizeof name, "task-%zu", probes->task_count + 1);
        probe->name = covey__arena_strndup(arena, name, strlen(name));
        if (probe->name == NULL) status = covey__no_memory(error, "name", strlen(name));
    }
    if (status == COVEY_OK) status = line_messages(arena, node, probe, error);
    return status == COVEY_OK ? line_expect(arena, node, probe, error) : status;
}

static size_t count_lines(const char *text, size_t size) {
    size_t count = 1;
    for (size_t i = 0; i < size; i++) count += text[i] == '\n';
    return count;
}

static bool is_blank(const char *line, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (strchr(" \t\r", line[i]) == NULL || line[i] == '\0') return false;
    return true;
}

covey_status covey__probes_add_lines(covey__probes *probes, const char *text, size_t size,
                                     covey_error *error) {
    size_t room = probes->task_count + count_lines(text, size);
    covey__task_probe *tasks = covey__arena_calloc(&probes->arena, room, sizeof *tasks);
    if (tasks == NULL) return covey__no_memory(error, "bundle: task probes", room * sizeof *tasks);
    if (probes->task_count != 0) memcpy(tasks, probes->tasks, probes->task_count * sizeof *tasks);
    probes->tasks = tasks;
    size_t number = 0;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end == NULL ? size - at : (size_t)(end - (text + at));
        number++;
        if (!is_blank(text + at, length)) {
            covey_status status =
                read_line(probes, text + at, length, &tasks[probes->task_count], error);
            if (status != COVEY_OK)
                return covey__prefix(error, status, "bundle: task probes: line %zu", number);
            probes->task_count++;
        }
        at += length + 1;
    }
    return COVEY_OK;
}

static const char *trim(const char *text, size_t *size) {
    while (*size > 0 && memchr(" \t\r\n", text[*size - 1], 4) != NULL) (*size)--;
    while (*size > 0 && memchr(" \t\r\n", text[0], 4) != NULL) {
        text++;
        (*size)--;
    }
    return text;
}

static bool json_equal(const covey__json *a, const covey__json *b);

static bool objects_equal(const covey__json *a, const covey__json *b) {
    for (const covey__json *member = a->child; member != NULL; member = member->next) {
        const covey__json *other = covey__json_get(b, member->name);
        if (other == NULL || !json_equal(member, other)) return false;
    }
    return true;
}

/* Depth is bounded by the parser's. */
static bool json_equal(const covey__json *a, const covey__json *b) {
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case COVEY__JSON_NULL:
        return true;
    case COVEY__JSON_BOOL:
        return a->boolean == b->boolean;
    case COVEY__JSON_NUMBER:
        return covey__json_to_f64(a) == covey__json_to_f64(b);
    case COVEY__JSON_STRING:
        return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
    case COVEY__JSON_OBJECT:
        return a->size == b->size && objects_equal(a, b);
    case COVEY__JSON_ARRAY:
        break;
    }
    if (a->size != b->size) return false;
    const covey__json *x = a->child, *y = b->child;
    for (; x != NULL && y != NULL; x = x->next, y = y->next)
        if (!json_equal(x, y)) return false;
    return true;
}

bool covey__task_matches(const covey__env *env, const covey__task_probe *probe, const char *answer,
                         size_t answer_size) {
    size_t size = strlen(probe->expect);
    const char *expect = trim(probe->expect, &size);
    const char *found = trim(answer, &answer_size);
    if (probe->match == COVEY__MATCH_EXACT)
        return size == answer_size && memcmp(expect, found, size) == 0;
    covey__arena arena;
    const covey__json *a, *b;
    covey__json_limits limits = {1u << 20, 32, 1u << 16};
    covey__arena_init(&arena, env, 32u << 20);
    bool equal = covey__json_parse(&arena, expect, size, limits, &a, NULL) == COVEY_OK &&
                 covey__json_parse(&arena, found, answer_size, limits, &b, NULL) == COVEY_OK &&
                 json_equal(a, b);
    covey__arena_free(&arena);
    return equal;
}
