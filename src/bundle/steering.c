/* Steering documents (docs/formats/steering.md): the reader, the rule of succession, and the
 * judgements. The document was signed by the steering role and reached through the metadata; it is
 * read here as if a stranger had written it all the same.
 *
 * Invariants: nothing a document says makes a device do more than it would without it, `downgrade`
 * aside, which opens one way to what is signed and neither killed nor under a minimum. A document
 * that covey__steering_follows takes has every kill and minimum of the one before.
 *
 * Neighbours: the agent holds a document and asks; fleet/client_steer.c checks a new one by the
 * same functions before it is signed. The control plane does not look into them: it may offer what
 * devices then refuse. */
#include "bundle/steering.h"

#include "base/error.h"
#include "base/semver.h"
#include "base/sha256.h"
#include "base/utc.h"
#include "bundle/draw.h"
#include "bundle/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES_MAX 240

typedef struct document {
    covey__steering public; /* first: covey__steering_free casts back */
    covey__arena arena;
} document;

static const struct {
    const char *name;
    covey__steering_kind kind;
    bool sticky;
} kinds[] = {
    {"kill", COVEY__STEERING_KILL, true},
    {"minimum", COVEY__STEERING_MINIMUM, true},
    {"flag", COVEY__STEERING_FLAG, false},
    {"pin", COVEY__STEERING_PIN, false},
    {"downgrade", COVEY__STEERING_DOWNGRADE, false},
    {"end-of-support", COVEY__STEERING_END_OF_SUPPORT, false},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

const char *covey__steering_kind_name(covey__steering_kind kind) {
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (kinds[i].kind == kind) return kinds[i].name;
    return "unknown";
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

static covey_status parse_text(const covey__json *node, const char *name, const char *path,
                               size_t bytes_max, const char **out, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.%s", path, name);
    covey_status status = covey__json_string(node, name, field, out, error);
    if (status != COVEY_OK) return status;
    if (**out == 0 || strlen(*out) > bytes_max)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: 1 to %zu bytes expected, %zu found",
                           field, bytes_max, strlen(*out));
    return COVEY_OK;
}

static covey_status parse_names(const covey__json *node, const char *name, const char *path,
                                const char **names, size_t *count, covey_error *error) {
    const covey__json *list;
    char field[COVEY__FIELD_PATH_SIZE];
    if (covey__json_get(node, name) == NULL) return COVEY_OK;
    covey__field_path(field, "%s.%s", path, name);
    covey_status status =
        covey__field_list(node, name, field, COVEY__STEERING_NAME_COUNT, &list, error);
    if (status != COVEY_OK) return status;
    for (const covey__json *item = list->child; item != NULL; item = item->next) {
        if (item->kind != COVEY__JSON_STRING || item->size == 0 || strlen(item->text) != item->size)
            return covey__fail(error, COVEY_ERROR_FORMAT, "%s: names expected", field);
        names[(*count)++] = item->text;
    }
    return COVEY_OK;
}

static covey_status parse_cohort(const covey__json *node, const char *path,
                                 covey__steering_statement *out, covey_error *error) {
    const covey__json *cohort, *percent;
    const char *salt;
    char field[COVEY__FIELD_PATH_SIZE];
    if (covey__json_get(node, "cohort") == NULL) return COVEY_OK;
    covey__field_path(field, "%s.cohort", path);
    covey_status status =
        covey__json_member(node, "cohort", field, COVEY__JSON_OBJECT, &cohort, error);
    if (status != COVEY_OK) return status;
    covey__field_path(field, "%s.cohort.salt", path);
    status = covey__json_string(cohort, "salt", field, &salt, error);
    if (status == COVEY_OK && !covey__unhex(salt, strlen(salt), out->salt, sizeof out->salt))
        status = covey__fail(error, COVEY_ERROR_FORMAT, "%s: 32 hex digits expected", field);
    covey__field_path(field, "%s.cohort.percent", path);
    if (status == COVEY_OK)
        status = covey__json_member(cohort, "percent", field, COVEY__JSON_NUMBER, &percent, error);
    if (status == COVEY_OK && !covey__percent_parse(percent->text, &out->percent_milli))
        status = covey__fail(error, COVEY_ERROR_FORMAT,
                             "%s: 0 to 100 with at most three decimals expected", field);
    out->has_cohort = true;
    return status;
}

static covey_status parse_scope(const covey__json *node, const char *path,
                                covey__steering_statement *out, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.app", path);
    covey_status status = covey__field_range(node, "app", field, &out->app, error);
    if (status == COVEY_OK)
        status = parse_names(node, "classes", path, out->classes, &out->class_count, error);
    if (status == COVEY_OK) status = parse_cohort(node, path, out, error);
    return status;
}

/* A range that no later version escapes would kill what is not made yet. */
static bool has_upper_bound(const char *range) {
    for (const char *c = range; *c; c++) {
        bool first = c == range || c[-1] == ' ';
        if (first && (*c == '<' || *c == '=')) return true;
    }
    return false;
}

static covey_status parse_range(const covey__json *node, const char *path,
                                covey__steering_statement *out, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.versions", path);
    if (covey__json_get(node, "versions") == NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: a range of versions expected", field);
    covey_status status = covey__field_range(node, "versions", field, &out->versions, error);
    if (status == COVEY_OK && out->kind == COVEY__STEERING_KILL && !has_upper_bound(out->versions))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s: a kill needs an upper bound (<, <= or =); a later release could "
                           "not mend it",
                           field);
    return status;
}

static covey_status parse_version(const covey__json *node, const char *path,
                                  covey__steering_statement *out, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.version", path);
    return covey__field_version(node, "version", field, &out->version, error);
}

static covey_status parse_flag(const covey__json *node, const char *path,
                               covey__steering_statement *out, covey_error *error) {
    char field[COVEY__FIELD_PATH_SIZE];
    covey__field_path(field, "%s.flag", path);
    return covey__field_name(node, "flag", field, &out->flag, error);
}

static covey_status parse_at(const covey__json *node, const char *path,
                             covey__steering_statement *out, covey_error *error) {
    const char *at;
    covey_status status = parse_text(node, "at", path, COVEY__UTC_SIZE - 1, &at, error);
    if (status == COVEY_OK && !covey__utc_parse(at, &out->at_ms))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%s.at: a time such as 2027-03-01T00:00:00Z expected", path);
    return status;
}

static covey_status parse_kind(const covey__json *node, const char *path,
                               covey__steering_statement *out, covey_error *error) {
    covey_status status = COVEY_OK;
    switch (out->kind) {
    case COVEY__STEERING_KILL:
        status = parse_range(node, path, out, error);
        if (status == COVEY_OK)
            status = parse_names(node, "variants", path, out->variants, &out->variant_count, error);
        return status;
    case COVEY__STEERING_MINIMUM:
    case COVEY__STEERING_PIN:
        return parse_version(node, path, out, error);
    case COVEY__STEERING_FLAG:
        return parse_flag(node, path, out, error);
    case COVEY__STEERING_DOWNGRADE:
        status = parse_range(node, path, out, error);
        return status == COVEY_OK ? parse_version(node, path, out, error) : status;
    case COVEY__STEERING_END_OF_SUPPORT:
        status = parse_range(node, path, out, error);
        return status == COVEY_OK ? parse_at(node, path, out, error) : status;
    case COVEY__STEERING_UNKNOWN:
        break;
    }
    return status;
}

/* The statement's own text, by which two documents are compared. */
static covey_status keep_text(covey__arena *arena, const covey__json *node,
                              covey__steering_statement *out, covey_error *error) {
    covey__buffer text;
    covey__json_writer writer;
    covey__buffer_init(&text, arena->env, COVEY__STEERING_BYTES_MAX);
    covey__json_writer_init(&writer, &text, false);
    covey__json_put_node(&writer, node);
    covey_status status = covey__buffer_check(&text, error, "a statement");
    if (status == COVEY_OK) {
        out->text = covey__arena_strndup(arena, text.data, text.size);
        if (out->text == NULL)
            status = covey__arena_fail(arena, text.size + 1, error, "a statement");
    }
    covey__buffer_free(&text);
    return status;
}

static bool id_valid(const char *id) {
    size_t size = strlen(id);
    return size >= 1 && size <= 64 &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}

static covey_status parse_statement(covey__arena *arena, const covey__json *node, const char *path,
                                    covey__steering_statement *out, covey_error *error) {
    const char *kind;
    int64_t issued_ms;
    out->versions = out->app = "*";
    out->version = out->flag = "";
    out->kind = COVEY__STEERING_UNKNOWN;
    if (node->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%s: an object expected", path);
    covey_status status = parse_text(node, "kind", path, TEXT_BYTES_MAX, &kind, error);
    if (status == COVEY_OK) status = parse_text(node, "id", path, 64, &out->id, error);
    if (status == COVEY_OK && !id_valid(out->id))
        status = covey__fail(error, COVEY_ERROR_FORMAT,
                             "%s.id: letters, digits, '.', '_' and '-' expected", path);
    if (status == COVEY_OK) status = keep_text(arena, node, out, error);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind, kinds[i].name) == 0) out->kind = kinds[i].kind;
    if (out->kind == COVEY__STEERING_UNKNOWN) return COVEY_OK;
    status = parse_text(node, "reason", path, TEXT_BYTES_MAX, &out->reason, error);
    if (status == COVEY_OK)
        status = parse_text(node, "author", path, TEXT_BYTES_MAX, &out->author, error);
    if (status == COVEY_OK)
        status = parse_text(node, "issued", path, COVEY__UTC_SIZE - 1, &out->issued, error);
    if (status == COVEY_OK && !covey__utc_parse(out->issued, &issued_ms))
        status = covey__fail(error, COVEY_ERROR_FORMAT,
                             "%s.issued: a time such as 2026-11-20T10:00:00Z expected", path);
    if (status == COVEY_OK) status = parse_scope(node, path, out, error);
    if (status == COVEY_OK) status = parse_kind(node, path, out, error);
    return status;
}

static covey_status parse_statements(covey__arena *arena, const covey__json *root,
                                     covey__steering *out, covey_error *error) {
    const covey__json *list;
    covey_status status =
        covey__json_member(root, "statements", "statements", COVEY__JSON_ARRAY, &list, error);
    if (status != COVEY_OK) return status;
    if (list->size > COVEY__STEERING_COUNT_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__STEERING_COUNT_MAX,
                                 (int64_t)list->size, "statements: at most %d expected, %zu found",
                                 COVEY__STEERING_COUNT_MAX, list->size);
    covey__steering_statement *made =
        covey__arena_calloc(arena, list->size > 0 ? list->size : 1, sizeof *made);
    if (made == NULL) return covey__arena_fail(arena, list->size, error, "statements");
    size_t count = 0;
    for (const covey__json *item = list->child; item != NULL; item = item->next, count++) {
        char path[COVEY__FIELD_PATH_SIZE];
        covey__field_path(path, "statements[%zu]", count);
        status = parse_statement(arena, item, path, &made[count], error);
        for (size_t i = 0; status == COVEY_OK && i < count; i++)
            if (strcmp(made[i].id, made[count].id) == 0)
                status = covey__fail(error, COVEY_ERROR_FORMAT, "%s.id: \"%s\" stands twice", path,
                                     made[i].id);
        if (status != COVEY_OK) return status;
    }
    out->statements = made;
    out->statement_count = count;
    return COVEY_OK;
}

static covey_status parse_root(document *made, const char *text, size_t size, covey_error *error) {
    const covey__json *root;
    covey__json_limits limits = {COVEY__STEERING_BYTES_MAX, 8, 32u << 10};
    covey_status status = covey__json_parse(&made->arena, text, size, limits, &root, error);
    if (status == COVEY_OK) status = covey__field_format(root, 1, error);
    if (status == COVEY_OK)
        status = covey__field_name(root, "product", "product", &made->public.product, error);
    if (status == COVEY_OK)
        status = covey__json_i64(root, "serial", "serial", 1, COVEY__JSON_INTEGER_MAX,
                                 &made->public.serial, error);
    if (status == COVEY_OK) status = parse_statements(&made->arena, root, &made->public, error);
    return status;
}

covey_status covey__steering_parse(const covey__env *env, const char *text, size_t size,
                                   covey__steering **steering, covey_error *error) {
    *steering = NULL;
    document *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "steering", sizeof *made);
    covey__arena_init(&made->arena, env, COVEY__STEERING_ARENA_BYTES);
    covey_status status = parse_root(made, text, size, error);
    if (status != COVEY_OK) {
        covey__steering_free(&made->public);
        return covey__prefix(error, status, "steering");
    }
    *steering = &made->public;
    return COVEY_OK;
}

void covey__steering_free(covey__steering *steering) {
    if (steering == NULL) return;
    document *made = (document *)steering;
    const covey__env *env = made->arena.env;
    covey__arena_free(&made->arena);
    covey__free(env, made);
}

/* ---- Succession -------------------------------------------------------------------------------
 */

static bool is_sticky(covey__steering_kind kind) {
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (kinds[i].kind == kind) return kinds[i].sticky;
    return false;
}

static bool stands_in(const covey__steering *steering, const covey__steering_statement *wanted) {
    for (size_t i = 0; i < steering->statement_count; i++)
        if (strcmp(steering->statements[i].id, wanted->id) == 0)
            return strcmp(steering->statements[i].text, wanted->text) == 0;
    return false;
}

covey_status covey__steering_follows(const covey__steering *held, const covey__steering *next,
                                     covey_error *error) {
    if (held == NULL) return COVEY_OK;
    if (strcmp(held->product, next->product) != 0)
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "steering: it is of the product %s, not of %s", next->product,
                           held->product);
    if (next->serial == held->serial)
        return covey__fail(error, COVEY_ERROR_EXISTS,
                           "steering: serial %" PRId64 " is held already", held->serial);
    if (next->serial < held->serial)
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "steering: serial %" PRId64 " is below the one held, %" PRId64,
                           next->serial, held->serial);
    for (size_t i = 0; i < held->statement_count; i++) {
        const covey__steering_statement *statement = &held->statements[i];
        if (!is_sticky(statement->kind) || stands_in(next, statement)) continue;
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "steering: statement %s of serial %" PRId64
                           " is gone or changed in serial %" PRId64
                           "; a kill or a minimum can not be taken back",
                           statement->id, held->serial, next->serial);
    }
    return COVEY_OK;
}

/* ---- Judging ----------------------------------------------------------------------------------
 */

static bool names_hold(const char *const *names, size_t count, const char *name) {
    if (count == 0) return true;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

bool covey__steering_applies(const covey__steering_statement *statement,
                             const covey__steering_device *device) {
    if (!names_hold(statement->classes, statement->class_count, device->device_class)) return false;
    if (!covey__semver_in_range(device->app_version, statement->app)) return false;
    if (!statement->has_cohort) return true;
    if (device->device_id[0] == 0) return statement->kind != COVEY__STEERING_DOWNGRADE;
    return covey__cohort_within(covey__cohort_draw(statement->salt, device->device_id),
                                statement->percent_milli);
}

/* The next statement of a kind that applies, after `from` (NULL: the first). */
static const covey__steering_statement *next_of(const covey__steering *steering,
                                                const covey__steering_device *device,
                                                covey__steering_kind kind,
                                                const covey__steering_statement *from) {
    if (steering == NULL) return NULL;
    size_t i = from == NULL ? 0 : (size_t)(from - steering->statements) + 1;
    for (; i < steering->statement_count; i++)
        if (steering->statements[i].kind == kind &&
            covey__steering_applies(&steering->statements[i], device))
            return &steering->statements[i];
    return NULL;
}

#define EACH_OF(statement, steering, device, kind)                                                 \
    for (const covey__steering_statement *statement = next_of(steering, device, kind, NULL);       \
         statement != NULL; statement = next_of(steering, device, kind, statement))

const covey__steering_statement *covey__steering_killed(const covey__steering *steering,
                                                        const covey__steering_device *device,
                                                        const char *version, const char *variant) {
    EACH_OF(statement, steering, device, COVEY__STEERING_KILL)
    if (covey__semver_in_range(version, statement->versions) &&
        names_hold(statement->variants, statement->variant_count, variant))
        return statement;
    return NULL;
}

const covey__steering_statement *covey__steering_minimum(const covey__steering *steering,
                                                         const covey__steering_device *device) {
    const covey__steering_statement *highest = NULL;
    EACH_OF(statement, steering, device, COVEY__STEERING_MINIMUM)
    if (highest == NULL || covey__semver_compare(statement->version, highest->version) > 0)
        highest = statement;
    return highest;
}

const covey__steering_statement *covey__steering_pinned(const covey__steering *steering,
                                                        const covey__steering_device *device) {
    const covey__steering_statement *lowest = NULL;
    EACH_OF(statement, steering, device, COVEY__STEERING_PIN)
    if (lowest == NULL || covey__semver_compare(statement->version, lowest->version) < 0)
        lowest = statement;
    return lowest;
}

const covey__steering_statement *covey__steering_flag_off(const covey__steering *steering,
                                                          const covey__steering_device *device,
                                                          const char *flag) {
    EACH_OF(statement, steering, device, COVEY__STEERING_FLAG)
    if (strcmp(statement->flag, flag) == 0) return statement;
    return NULL;
}

const covey__steering_statement *
covey__steering_end_of_support(const covey__steering *steering,
                               const covey__steering_device *device, const char *version) {
    const covey__steering_statement *earliest = NULL;
    EACH_OF(statement, steering, device, COVEY__STEERING_END_OF_SUPPORT)
    if (covey__semver_in_range(version, statement->versions) &&
        (earliest == NULL || statement->at_ms < earliest->at_ms))
        earliest = statement;
    return earliest;
}

static covey_status denied(const covey__steering_statement *statement, const char *what,
                           const char *version, covey_error *error) {
    char reason[COVEY_ERROR_MESSAGE_SIZE / 2];
    return covey__fail(
        error, COVEY_ERROR_DENIED, "steering %s: %s %s: %s", statement->id, what, version,
        covey__printable(statement->reason, strlen(statement->reason), reason, sizeof reason));
}

static covey_status check_held(const covey__steering *steering,
                               const covey__steering_device *device, const char *version,
                               const char *variant, bool minimum, covey_error *error) {
    const covey__steering_statement *statement =
        covey__steering_killed(steering, device, version, variant);
    if (statement != NULL) return denied(statement, "stops version", version, error);
    statement = minimum ? covey__steering_minimum(steering, device) : NULL;
    if (statement != NULL && covey__semver_compare(version, statement->version) < 0)
        return denied(statement, "nothing may go below version", statement->version, error);
    return COVEY_OK;
}

covey_status covey__steering_may_install(const covey__steering *steering,
                                         const covey__steering_device *device, const char *from,
                                         const char *to, const char *variant, covey_error *error) {
    covey_status status = check_held(steering, device, to, variant, true, error);
    if (status != COVEY_OK) return status;
    if (from[0] != 0 && covey__semver_compare(to, from) < 0) {
        EACH_OF(statement, steering, device, COVEY__STEERING_DOWNGRADE)
        if (covey__semver_in_range(from, statement->versions) &&
            strcmp(statement->version, to) == 0)
            return COVEY_OK;
        return covey__fail(
            error, COVEY_ERROR_DENIED,
            "version %s is older than %s, and no signed statement permits to go back", to, from);
    }
    const covey__steering_statement *pin = covey__steering_pinned(steering, device);
    if (pin != NULL && covey__semver_compare(to, pin->version) > 0)
        return denied(pin, "holds this device at version", pin->version, error);
    return COVEY_OK;
}

covey_status covey__steering_may_return(const covey__steering *steering,
                                        const covey__steering_device *device, const char *version,
                                        const char *variant, bool builtin, covey_error *error) {
    return check_held(steering, device, version, variant, !builtin, error);
}
