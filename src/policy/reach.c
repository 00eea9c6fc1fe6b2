/* The reach of an ensemble, and what of one is new against another. The comparison is a difference
 * of sets of lines, so it can be shown as it is decided: a question to the user is the lines
 * themselves. It errs to asking: whatever of a tool is not known to only describe it is in a line,
 * and any change of a line is a new line. Nothing here reads a file or a clock. */
#include "policy/reach.h"

#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/sort.h"

#include <stdio.h>
#include <string.h>

#define ARENA_BYTES_MAX (32u << 20)
#define TOOL_NAME_MAX   64u
#define TOOL_COUNT_MAX  256u
#define LINE_KEPT       400u /* of a line that is cut */
#define VALUE_MAX       (256u << 10)

void covey__reach_init(covey__reach *reach, const covey__env *env) {
    memset(reach, 0, sizeof *reach);
    covey__arena_init(&reach->arena, env, ARENA_BYTES_MAX);
}

void covey__reach_free(covey__reach *reach) {
    covey__arena_free(&reach->arena);
    memset(reach, 0, sizeof *reach);
}

bool covey__reach_has(const covey__reach *reach, const char *line) {
    for (size_t i = 0; i < reach->count; i++)
        if (strcmp(reach->lines[i], line) == 0) return true;
    return false;
}

static covey_status grow(covey__reach *reach, covey_error *error) {
    size_t capacity = reach->capacity == 0 ? 32 : reach->capacity * 2;
    const char **lines = covey__arena_calloc(&reach->arena, capacity, sizeof *lines);
    if (lines == NULL)
        return covey__arena_fail(&reach->arena, capacity * sizeof *lines, error, "lines");
    if (reach->count != 0) memcpy(lines, reach->lines, reach->count * sizeof *lines);
    reach->lines = lines;
    reach->capacity = capacity;
    return COVEY_OK;
}

/* A line that is too long, or holds what a terminal would obey, is cut and told apart by its
 * digest. */
static const char *plain_line(covey__reach *reach, const char *text, size_t size) {
    char kept[LINE_KEPT + 1], digest_hex[65], cut[LINE_KEPT + 80];
    uint8_t digest[32];
    bool plain = size <= COVEY__REACH_LINE_MAX;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) plain = false;
    if (plain) return covey__arena_strndup(&reach->arena, text, size);
    covey__sha256_of(text, size, digest);
    covey__hex(digest, 32, digest_hex);
    covey__printable(text, size, kept, sizeof kept);
    int length = snprintf(cut, sizeof cut, "%s... %s", kept, digest_hex);
    return covey__arena_strndup(&reach->arena, cut, (size_t)length);
}

static covey_status add_text(covey__reach *reach, const char *text, size_t size,
                             covey_error *error) {
    const char *line = plain_line(reach, text, size);
    if (line == NULL) return covey__arena_fail(&reach->arena, size + 1, error, "a line");
    if (covey__reach_has(reach, line)) return COVEY_OK;
    if (reach->count == COVEY__REACH_COUNT_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "reach: more than %u lines",
                           COVEY__REACH_COUNT_MAX);
    covey_status status = reach->count == reach->capacity ? grow(reach, error) : COVEY_OK;
    if (status != COVEY_OK) return status;
    reach->lines[reach->count++] = line;
    return COVEY_OK;
}

covey_status covey__reach_add(covey__reach *reach, const char *line, covey_error *error) {
    return add_text(reach, line, strlen(line), error);
}

/* ---- A value in one form ---- */

static bool only_describes(const covey__json *member) {
    bool text = member->kind == COVEY__JSON_STRING;
    return (text && strcmp(member->name, "description") == 0) ||
           (text && strcmp(member->name, "title") == 0) ||
           (member->kind == COVEY__JSON_ARRAY && strcmp(member->name, "examples") == 0);
}

/* Its value is data, in which a member "description" describes nothing. */
static bool holds_data(const covey__json *member) {
    static const char *const names[] = {"enum", "const", "default"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(member->name, names[i]) == 0) return true;
    return false;
}

static int compare_names(const void *a, const void *b) {
    const covey__json *x = a, *y = b;
    size_t shorter = x->name_size < y->name_size ? x->name_size : y->name_size;
    int order = memcmp(x->name, y->name, shorter);
    if (order != 0) return order;
    return x->name_size < y->name_size ? -1 : x->name_size > y->name_size;
}

/* The members of an object sorted by name, in the arena. */
static const covey__json **sorted_members(covey__reach *reach, const covey__json *object) {
    size_t i = 0;
    const covey__json **members =
        covey__arena_calloc(&reach->arena, 2 * object->size + 1, sizeof *members);
    if (members == NULL) return NULL;
    for (const covey__json *member = object->child; member != NULL; member = member->next)
        members[i++] = member;
    covey__sort_pointers((const void **)members, (const void **)members + object->size,
                         object->size, compare_names);
    return members;
}

static void put_value(covey__reach *reach, const covey__json *node, bool data,
                      covey__json_writer *out);

static void put_object(covey__reach *reach, const covey__json *node, bool data,
                       covey__json_writer *out) {
    const covey__json **members = sorted_members(reach, node);
    covey__json_begin_object(out);
    if (members == NULL) out->out->status = COVEY_ERROR_NO_MEMORY;
    for (size_t i = 0; members != NULL && i < node->size; i++) {
        if (!data && only_describes(members[i])) continue;
        covey__json_name(out, members[i]->name);
        put_value(reach, members[i], data || holds_data(members[i]), out);
    }
    covey__json_end_object(out);
}

/* As deep as the parser's limit. */
static void put_value(covey__reach *reach, const covey__json *node, bool data,
                      covey__json_writer *out) {
    if (node->kind == COVEY__JSON_OBJECT) {
        put_object(reach, node, data, out);
    } else if (node->kind == COVEY__JSON_ARRAY) {
        covey__json_begin_array(out);
        for (const covey__json *item = node->child; item != NULL; item = item->next)
            put_value(reach, item, data, out);
        covey__json_end_array(out);
    } else {
        covey__json_put_node(out, node);
    }
}

/* ---- Tools ---- */

static bool is_kind(const covey__json *node, covey__json_kind kind) {
    return node != NULL && node->kind == kind;
}

static bool name_valid(const covey__json *name) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return is_kind(name, COVEY__JSON_STRING) && name->size != 0 && name->size <= TOOL_NAME_MAX &&
           strspn(name->text, allowed) == name->size;
}

/* A list of tools as chats have them, each with a name of its own. */
static bool is_known(const covey__json *list) {
    if (list->kind != COVEY__JSON_ARRAY || list->size > TOOL_COUNT_MAX) return false;
    for (const covey__json *tool = list->child; tool != NULL; tool = tool->next) {
        const covey__json *function = covey__json_get(tool, "function");
        const covey__json *parameters = covey__json_get(function, "parameters");
        const covey__json *properties = covey__json_get(parameters, "properties");
        const covey__json *name = covey__json_get(function, "name");
        if (!name_valid(name) || (parameters != NULL && parameters->kind != COVEY__JSON_OBJECT) ||
            (properties != NULL && properties->kind != COVEY__JSON_OBJECT))
            return false;
        for (const covey__json *other = list->child; other != tool; other = other->next)
            if (strcmp(covey__json_get(covey__json_get(other, "function"), "name")->text,
                       name->text) == 0)
                return false;
    }
    return true;
}

static covey_status add_value_line(covey__reach *reach, const char *name, const char *middle,
                                   const covey__json *node, covey_error *error) {
    covey__buffer line;
    covey__json_writer out;
    covey__buffer_init(&line, reach->arena.env, VALUE_MAX);
    covey__buffer_format(&line, "says that the tool %s %s", name, middle);
    if (node->name != NULL) covey__buffer_append(&line, node->name, node->name_size);
    covey__buffer_text(&line, ": ");
    covey__json_writer_init(&out, &line, false);
    put_value(reach, node, false, &out);
    covey_status status = covey__buffer_check(&line, error, "a line");
    if (status == COVEY_OK) status = add_text(reach, line.data, line.size, error);
    covey__buffer_free(&line);
    return status;
}

/* The strings of `permissions`; what is none is shown as it is. */
static covey_status add_permissions(covey__reach *reach, const char *name, const covey__json *owner,
                                    covey_error *error) {
    const covey__json *list = covey__json_get(owner, "permissions");
    covey__buffer line;
    covey_status status = COVEY_OK;
    if (list == NULL) return COVEY_OK;
    if (list->kind != COVEY__JSON_ARRAY) return add_value_line(reach, name, "has ", list, error);
    for (const covey__json *item = list->child; status == COVEY_OK && item != NULL;
         item = item->next) {
        if (item->kind != COVEY__JSON_STRING) {
            status = add_value_line(reach, name, "may", item, error);
            continue;
        }
        covey__buffer_init(&line, reach->arena.env, VALUE_MAX);
        covey__buffer_format(&line, "says that the tool %s may: ", name);
        covey__buffer_append(&line, item->text, item->size);
        status = covey__buffer_check(&line, error, "a line");
        if (status == COVEY_OK) status = add_text(reach, line.data, line.size, error);
        covey__buffer_free(&line);
    }
    return status;
}

/* The members of an object but some, under `name`. */
static void put_rest(covey__reach *reach, const char *name, const covey__json *object,
                     const char *const *but, covey__json_writer *out) {
    const covey__json **members = object != NULL ? sorted_members(reach, object) : NULL;
    covey__json_name(out, name);
    if (object == NULL) {
        covey__json_put_null(out);
        return;
    }
    covey__json_begin_object(out);
    if (members == NULL) out->out->status = COVEY_ERROR_NO_MEMORY;
    for (size_t i = 0; members != NULL && i < object->size; i++) {
        bool left_out = only_describes(members[i]);
        for (size_t j = 0; but[j] != NULL; j++)
            left_out = left_out || strcmp(but[j], members[i]->name) == 0;
        if (left_out) continue;
        covey__json_name(out, members[i]->name);
        put_value(reach, members[i], holds_data(members[i]), out);
    }
    covey__json_end_object(out);
}

/* All that has no line of its own. */
static covey_status add_rest(covey__reach *reach, const char *name, const covey__json *tool,
                             covey_error *error) {
    static const char *const but_tool[] = {"function", "permissions", NULL};
    static const char *const but_function[] = {"name", "parameters", "permissions", NULL};
    static const char *const but_parameters[] = {"properties", NULL};
    const covey__json *function = covey__json_get(tool, "function");
    const covey__json *parameters = covey__json_get(function, "parameters");
    const covey__json *properties = covey__json_get(parameters, "properties");
    const covey__json *additional = covey__json_get(parameters, "additionalProperties");
    bool closed = is_kind(additional, COVEY__JSON_BOOL) && !additional->boolean;
    const covey__json **names =
        !closed && properties != NULL ? sorted_members(reach, properties) : NULL;
    covey__buffer line;
    covey__json_writer out;
    covey__buffer_init(&line, reach->arena.env, VALUE_MAX);
    covey__buffer_format(&line, "says that the tool %s follows: ", name);
    covey__json_writer_init(&out, &line, false);
    covey__json_begin_object(&out);
    put_rest(reach, "tool", tool, but_tool, &out);
    put_rest(reach, "function", function, but_function, &out);
    put_rest(reach, "parameters", parameters, but_parameters, &out);
    if (names != NULL) {
        covey__json_name(&out, "named");
        covey__json_begin_array(&out);
        for (size_t i = 0; i < properties->size; i++)
            covey__json_put_text(&out, names[i]->name, names[i]->name_size);
        covey__json_end_array(&out);
    }
    covey__json_end_object(&out);
    covey_status status = covey__buffer_check(&line, error, "a line");
    if (status == COVEY_OK) status = add_text(reach, line.data, line.size, error);
    covey__buffer_free(&line);
    return status;
}

static covey_status add_tool(covey__reach *reach, const covey__json *tool, covey_error *error) {
    const covey__json *function = covey__json_get(tool, "function");
    const char *name = covey__json_get(function, "name")->text;
    const covey__json *properties =
        covey__json_get(covey__json_get(function, "parameters"), "properties");
    char line[TOOL_NAME_MAX + 32];
    snprintf(line, sizeof line, "may use the tool %s", name);
    covey_status status = covey__reach_add(reach, line, error);
    if (status == COVEY_OK) status = add_permissions(reach, name, tool, error);
    if (status == COVEY_OK) status = add_permissions(reach, name, function, error);
    for (const covey__json *item = properties != NULL ? properties->child : NULL;
         status == COVEY_OK && item != NULL; item = item->next)
        status = add_value_line(reach, name, "takes ", item, error);
    if (status == COVEY_OK) status = add_rest(reach, name, tool, error);
    return status;
}

covey_status covey__reach_add_tools(covey__reach *reach, const char *text, size_t size,
                                    covey_error *error) {
    covey__arena arena;
    const covey__json *list = NULL;
    covey__json_limits limits = {COVEY__TOOLS_BYTES_MAX, 40, 100000};
    char line[128], hex[65];
    uint8_t digest[32];
    covey__arena_init(&arena, reach->arena.env, ARENA_BYTES_MAX);
    size_t before = reach->count;
    covey_status status = covey__json_parse(&arena, text, size, limits, &list, error);
    bool known = status == COVEY_OK && is_known(list);
    for (const covey__json *tool = known ? list->child : NULL; status == COVEY_OK && tool != NULL;
         tool = tool->next)
        status = add_tool(reach, tool, error);
    covey__arena_free(&arena);
    if (status == COVEY_ERROR_NO_MEMORY || (status == COVEY_OK && known)) return status;
    reach->count = before;
    covey__sha256_of(text, size, digest);
    covey__hex(digest, 32, hex);
    snprintf(line, sizeof line, "has tools in a form that is not known here: %s", hex);
    return covey__reach_add(reach, line, error);
}

/* ---- Policy ---- */

static covey_status add_cloud(covey__reach *reach, const covey__policy *policy,
                              covey_error *error) {
    char line[COVEY__FEATURE_SIZE + 64];
    covey_status status = COVEY_OK;
    if (policy->degrade_to == COVEY__DEGRADE_CLOUD)
        status = covey__reach_add(reach, "may answer from the cloud where you opted out", error);
    for (int32_t i = 0; status == COVEY_OK && i < policy->degrade_feature_count; i++) {
        if (policy->degrade_features[i].to != COVEY__DEGRADE_CLOUD) continue;
        snprintf(line, sizeof line, "may do %s in the cloud where you opted out",
                 policy->degrade_features[i].name);
        status = covey__reach_add(reach, line, error);
    }
    return status;
}

covey_status covey__reach_add_policy(covey__reach *reach, const covey__policy *policy,
                                     covey_error *error) {
    char line[COVEY__HOST_SIZE + 32];
    covey_status status = COVEY_OK;
    if (policy->leaves_words >= COVEY__LEAVES_REDACTED)
        status = covey__reach_add(reach, "may send your words away, redacted", error);
    if (status == COVEY_OK && policy->leaves_words >= COVEY__LEAVES_ALL)
        status = covey__reach_add(reach, "may send your words away as they are", error);
    if (status == COVEY_OK && policy->leaves_numbers)
        status = covey__reach_add(reach, "may send measures away", error);
    for (int32_t i = 0; status == COVEY_OK && i < policy->leaves_to_count; i++) {
        snprintf(line, sizeof line, "may send to %s", policy->leaves_to[i]);
        status = covey__reach_add(reach, line, error);
    }
    return status == COVEY_OK ? add_cloud(reach, policy, error) : status;
}

covey_status covey__reach_missing(const covey__reach *wanted, const covey__reach *present,
                                  const covey__reach *given, covey__reach *missing,
                                  covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < wanted->count; i++)
        if (!covey__reach_has(present, wanted->lines[i]) &&
            !covey__reach_has(given, wanted->lines[i]))
            status = covey__reach_add(missing, wanted->lines[i], error);
    return status;
}
