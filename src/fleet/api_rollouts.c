/* Rollouts (docs/api.md): begun, changed, shown.
 *
 * Invariant: after a change is answered, every check-in that begins later sees it: the running set
 * is loaded again before the answer goes out.
 *
 * Neighbours: cohort.c gives rollouts their meaning; fleet_server.c loads the running set;
 * rollout_patches.c says which devices can go on by a patch.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fleet/cohort.h"
#include "fleet/rollout_patches.h"
#include "fleet/routes.h"

#define NOTE_BYTES_MAX 200
#define BYTES_MAX      ((INT64_C(1) << 53) - 1) /* exact in every JSON reader */

static void write_percent(covey__json_writer *w, int64_t milli) {
    char text[16];
    covey__percent_format(milli, text);
    covey__json_name(w, "percent");
    covey__json_put_raw(w, text, strlen(text));
}

static void write_rollout(covey__json_writer *w, const covey__rollout_row *row) {
    char id[32], release[COVEY__RELEASE_TEXT_SIZE];
    (void)snprintf(id, sizeof(id), "r-%" PRId64, row->key);
    (void)snprintf(release, sizeof(release), "%s@%s", row->release.name, row->release.version);
    covey__json_begin_object(w);
    covey__json_member_string(w, "id", id);
    covey__json_member_string(w, "release", release);
    write_percent(w, row->percent_milli);
    covey__json_name(w, "classes");
    covey__json_begin_array(w);
    for (int32_t i = 0; i < COVEY__CLASS_COUNT; i++) {
        if (row->classes >> i & 1) covey__json_put_string(w, covey__class_name(i));
    }
    covey__json_end_array(w);
    covey__json_member_string(w, "state", covey__rollout_state_name(row->state));
    covey__json_member_string(w, "note", row->note);
    covey__json_member_i64(w, "bytes_max", row->bytes_max);
    covey__json_member_bool(w, "patched_first", row->patched_first);
    covey__json_member_i64(w, "created_ms", row->created_ms);
    covey__json_member_i64(w, "changed_ms", row->changed_ms);
    covey__json_name(w, "devices");
    covey__json_begin_object(w);
    covey__json_member_i64(w, "offered", row->offered_count);
    covey__json_member_i64(w, "done", row->done_count);
    covey__json_member_i64(w, "failed", row->failed_count);
    covey__json_member_i64(w, "refused", row->refused_count);
    covey__json_end_object(w);
    covey__json_end_object(w);
}

typedef struct find {
    int64_t key; /* 0: all */
    covey__json_writer *w;
    bool found;
} find;

static covey_status write_found(void *user, const covey__rollout_row *row) {
    find *f = user;
    if (f->key != 0 && row->key != f->key) return COVEY_OK;
    f->found = true;
    if (f->w != NULL) write_rollout(f->w, row);
    return COVEY_OK;
}

static covey_status find_rollout(covey__exchange *x, find *f, covey_error *error) {
    covey__store *store = x->server->store;
    return store->driver->rollout_each(store, true, write_found, f, error);
}

int covey__api_rollouts_list(covey__exchange *x) {
    covey_error error = {0};
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "rollouts");
    covey__json_begin_array(&w);
    find all = {.w = &w};
    covey_status status = find_rollout(x, &all, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    return 200;
}

/* "r-12" to 12; 0 when it is none. */
static int64_t parse_id(const char *text) {
    int64_t key = 0;
    if (strncmp(text, "r-", 2) != 0 || strlen(text) > 17) return 0;
    for (const char *c = text + 2; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') return 0;
        key = key * 10 + (*c - '0');
    }
    return key;
}

static int no_such(covey__exchange *x) {
    return covey__answer_error(x, 404, "not_found", "there is no such rollout");
}

/* The rollout as the answer, with `ok` as its status. */
static int answer_rollout(covey__exchange *x, int64_t key, int ok) {
    covey_error error = {0};
    covey__json_writer w;
    covey__json_writer_init(&w, &x->answer, false);
    find one = {.key = key, .w = &w};
    if (key == 0) return no_such(x);
    covey_status status = find_rollout(x, &one, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    return one.found ? ok : no_such(x);
}

int covey__api_rollout_get(covey__exchange *x) {
    return answer_rollout(x, parse_id(x->parameter), 200);
}

static covey_status read_percent(const covey__json *root, int64_t *milli, covey_error *error) {
    const covey__json *node = covey__json_get(root, "percent");
    if (node == NULL) return COVEY_OK;
    if (node->kind == COVEY__JSON_NUMBER && covey__percent_parse(node->text, milli)) {
        return COVEY_OK;
    }
    return covey__fail(error, COVEY_ERROR_FORMAT,
                       "percent: expected 0 to 100 with at most three decimals");
}

static covey_status read_classes(const covey__json *root, uint32_t *classes, covey_error *error) {
    const covey__json *list = covey__json_get(root, "classes");
    if (list == NULL) return COVEY_OK;
    bool right = list->kind == COVEY__JSON_ARRAY;
    for (const covey__json *each = right ? list->child : NULL; each != NULL; each = each->next) {
        int32_t found = each->kind == COVEY__JSON_STRING ? covey__class_parse(each->text) : -1;
        if (found < 0) right = false;
        if (found >= 0) *classes |= UINT32_C(1) << found;
    }
    if (right) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT,
                       "classes: expected a list of tiny, small, medium, large");
}

/* The budget of bytes a device, and whether those with a patch go first; what is absent stays. */
static covey_status read_patches(const covey__json *root, int64_t *bytes_max, bool *patched_first,
                                 covey_error *error) {
    covey_status status = COVEY_OK;
    if (covey__json_get(root, "bytes_max") != NULL)
        status = covey__json_i64(root, "bytes_max", "bytes_max", 0, BYTES_MAX, bytes_max, error);
    if (status == COVEY_OK && covey__json_get(root, "patched_first") != NULL)
        status = covey__json_bool(root, "patched_first", "patched_first", patched_first, error);
    return status;
}

static covey_status read_rollout(const covey__json *root, covey__rollout_row *row, char *name,
                                 char *version, covey_error *error) {
    static const char *const members[] = {"release",   "percent",       "classes", "note",
                                          "bytes_max", "patched_first", NULL};
    const char *release;
    covey_status status = covey__json_only(root, "", members, error);
    if (status == COVEY_OK) {
        status = covey__json_string(root, "release", "release", &release, error);
    }
    if (status != COVEY_OK) return status;
    if (!covey__release_split(release, name, version)) {
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "release: expected name@version such as assistant@1.1.0");
    }
    status = read_percent(root, &row->percent_milli, error);
    if (status == COVEY_OK) status = read_classes(root, &row->classes, error);
    if (status == COVEY_OK)
        status = read_patches(root, &row->bytes_max, &row->patched_first, error);
    if (status == COVEY_OK && covey__json_get(root, "note") != NULL) {
        status = covey__json_string(root, "note", "note", &row->note, error);
    }
    if (status == COVEY_OK && strlen(row->note) > NOTE_BYTES_MAX) {
        status = covey__fail(error, COVEY_ERROR_LIMIT, "note: at most %d bytes", NOTE_BYTES_MAX);
    }
    return status;
}

static covey_status note_key(void *user, const covey__release_row *row) {
    *(int64_t *)user = row->key;
    return COVEY_OK;
}

/* Stores it and tells check-ins of it; `from` is room for who goes first. */
static covey_status begin_rollout(covey__exchange *x, covey__rollout_row *row, const char *name,
                                  const char *version, covey__buffer *from, covey_error *error) {
    covey__store *store = x->server->store;
    covey_status status = COVEY_OK;
    if (row->patched_first)
        status = covey__rollout_patched_from(x->server, name, version, from, error);
    row->patched_from = from->data;
    row->created_ms = covey__now_ms(x->env);
    if (status == COVEY_OK) status = covey__random(x->env, row->salt, sizeof(row->salt), error);
    if (status == COVEY_OK) status = store->driver->rollout_add(store, row, error);
    return status;
}

int covey__api_rollout_add(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    const covey__json *root;
    covey__buffer from;
    char name[COVEY__RELEASE_NAME_SIZE], version[COVEY__RELEASE_NAME_SIZE];
    covey__rollout_row row = {.percent_milli = COVEY__PERCENT_ALL, .note = ""};
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    if (read_rollout(root, &row, name, version, &error) != COVEY_OK) {
        return covey__bad_field(x, &error);
    }
    covey_status status =
        store->driver->release_get(store, name, version, note_key, &row.release.key, &error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        return covey__answer_error(x, 404, "not_found", "%s@%s was not published", name, version);
    }
    covey__buffer_init(&from, x->env, COVEY__PATCHED_FROM_MAX);
    if (status == COVEY_OK) status = begin_rollout(x, &row, name, version, &from, &error);
    covey__buffer_free(&from);
    if (status == COVEY_ERROR_NOT_FOUND) {
        return covey__answer_error(x, 409, "no_patches", "%s", error.message);
    }
    if (status == COVEY_OK) status = covey__fleet_load_rollouts(x->server, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__log(x->env, COVEY_LOG_INFO, "fleet", "rollout r-%" PRId64 " of %s@%s began", row.key,
               name, version);
    return answer_rollout(x, row.key, 201);
}

static covey_status read_change(const covey__json *root, covey__rollout_change *change,
                                covey_error *error) {
    static const char *const members[] = {"percent", "state", "bytes_max", "patched_first", NULL};
    bool patched_first = true;
    covey__rollout_state parsed;
    const char *name;
    covey_status status = covey__json_only(root, "", members, error);
    if (status == COVEY_OK) status = read_percent(root, &change->percent_milli, error);
    if (status == COVEY_OK) status = read_patches(root, &change->bytes_max, &patched_first, error);
    if (status != COVEY_OK) return status;
    if (!patched_first) change->patched_first = 0;
    if (patched_first && covey__json_get(root, "patched_first") != NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "patched_first: false expected: what was offered to all stays so");
    if (covey__json_get(root, "state") == NULL) return COVEY_OK;
    status = covey__json_string(root, "state", "state", &name, error);
    if (status != COVEY_OK) return status;
    if (!covey__rollout_state_parse(name, &parsed)) {
        return covey__fail(error, COVEY_ERROR_FORMAT, "state: expected running, paused or aborted");
    }
    change->state = (int32_t)parsed;
    return COVEY_OK;
}

int covey__api_rollout_change(covey__exchange *x) {
    covey_error error = {0};
    covey__store *store = x->server->store;
    const covey__json *root;
    int64_t key = parse_id(x->parameter);
    covey__rollout_change change = COVEY__ROLLOUT_CHANGE_NONE;
    int answer = covey__read_json(x, &root);
    if (answer != 0) return answer;
    if (read_change(root, &change, &error) != COVEY_OK) return covey__bad_field(x, &error);
    find one = {.key = key};
    if (key == 0) return no_such(x);
    covey_status status =
        store->driver->rollout_change(store, key, &change, covey__now_ms(x->env), &error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        status = find_rollout(x, &one, &error);
        if (status == COVEY_OK && !one.found) return no_such(x);
        if (status == COVEY_OK) {
            return covey__answer_error(x, 409, "final_state",
                                       "this rollout was aborted, which is final: create another");
        }
    }
    if (status == COVEY_OK) status = covey__fleet_load_rollouts(x->server, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__log(x->env, COVEY_LOG_INFO, "fleet", "rollout r-%" PRId64 " changed", key);
    return answer_rollout(x, key, 200);
}
