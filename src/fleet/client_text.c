/* Answers of the API as text for people: short tables, and one device told in full. Machines ask
 * for JSON instead, so this form may change.
 *
 * Invariant: what a server sends is printed through covey__printable, so it cannot steer a
 * terminal.
 *
 * Neighbours: client.c; docs/api.md has the members.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "fleet/client.h"

#define CELL_MAX 200

/* A member as text: strings as they are, numbers as written, all else "-". */
static const char *cell(const covey__json *object, const char *name, char out[CELL_MAX]) {
    const covey__json *value = covey__json_get(object, name);
    if (value != NULL && value->size > 0 &&
        (value->kind == COVEY__JSON_STRING || value->kind == COVEY__JSON_NUMBER)) {
        return covey__printable(value->text, value->size, out, CELL_MAX);
    }
    (void)snprintf(out, CELL_MAX, "-");
    return out;
}

static int64_t number(const covey__json *object, const char *name) {
    const covey__json *value = covey__json_get(object, name);
    int64_t out = 0;
    if (value != NULL && value->kind == COVEY__JSON_NUMBER) (void)covey__json_to_i64(value, &out);
    return out;
}

static const char *size_text(int64_t bytes, char out[32]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024.0 && unit < 4; unit++) value /= 1024.0;
    (void)snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

static const char *time_text(int64_t ms, char out[32]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (ms <= 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &parts) == 0) {
        (void)snprintf(out, 32, "never");
    }
    return out;
}

static const char *ago_text(int64_t now_ms, int64_t ms, char out[32]) {
    int64_t seconds = (now_ms - ms) / 1000;
    if (ms <= 0)
        (void)snprintf(out, 32, "never");
    else if (seconds < 120)
        (void)snprintf(out, 32, "%" PRId64 " s ago", seconds > 0 ? seconds : 0);
    else if (seconds < 7200)
        (void)snprintf(out, 32, "%" PRId64 " min ago", seconds / 60);
    else if (seconds < 172800)
        (void)snprintf(out, 32, "%" PRId64 " h ago", seconds / 3600);
    else
        (void)snprintf(out, 32, "%" PRId64 " days ago", seconds / 86400);
    return out;
}

static void show_releases(const covey__json *root, covey__buffer *out) {
    const covey__json *list = covey__json_get(root, "releases");
    char name[CELL_MAX], version[CELL_MAX], digest[CELL_MAX], bytes[32], when[32];
    if (list == NULL || list->size == 0)
        (void)covey__buffer_text(out, "No release was published.\n");
    for (const covey__json *r = list != NULL ? list->child : NULL; r != NULL; r = r->next) {
        (void)covey__buffer_format(
            out, "%s@%s  %s in all  published %s  %.16s\n", cell(r, "name", name),
            cell(r, "version", version), size_text(number(r, "bytes"), bytes),
            time_text(number(r, "published_ms"), when), cell(r, "digest", digest));
    }
}

static void show_rollout(const covey__json *r, covey__buffer *out) {
    char id[CELL_MAX], release[CELL_MAX], percent[CELL_MAX], state[CELL_MAX], text[CELL_MAX];
    const covey__json *classes = covey__json_get(r, "classes");
    const covey__json *devices = covey__json_get(r, "devices");
    (void)covey__buffer_format(out, "%s  %s  %s  %s %% of ", cell(r, "id", id),
                               cell(r, "release", release), cell(r, "state", state),
                               cell(r, "percent", percent));
    if (classes == NULL || classes->size == 0) (void)covey__buffer_text(out, "all classes");
    for (const covey__json *c = classes != NULL ? classes->child : NULL; c != NULL; c = c->next) {
        if (c->kind != COVEY__JSON_STRING) continue;
        (void)covey__buffer_format(out, "%s%s", c == classes->child ? "" : ",",
                                   covey__printable(c->text, c->size, text, sizeof(text)));
    }
    const covey__json *first = covey__json_get(r, "patched_first");
    char bytes[32];
    if (first != NULL && first->kind == COVEY__JSON_BOOL && first->boolean)
        (void)covey__buffer_text(out, ", those with a patch first");
    if (number(r, "bytes_max") > 0)
        (void)covey__buffer_format(out, ", at most %s a device",
                                   size_text(number(r, "bytes_max"), bytes));
    (void)covey__buffer_format(out,
                               "  devices: %" PRId64 " offered, %" PRId64 " done, %" PRId64
                               " failed, %" PRId64 " refused\n",
                               number(devices, "offered"), number(devices, "done"),
                               number(devices, "failed"), number(devices, "refused"));
}

static void show_rollouts(const covey__json *root, covey__buffer *out) {
    const covey__json *list = covey__json_get(root, "rollouts");
    if (list == NULL || list->size == 0) (void)covey__buffer_text(out, "There is no rollout.\n");
    for (const covey__json *r = list != NULL ? list->child : NULL; r != NULL; r = r->next) {
        show_rollout(r, out);
    }
}

/* "assistant@1.1.0 (current, trial)"; false for an empty slot. */
static bool slot_text(const covey__json *slots, const char *which, char out[3 * CELL_MAX]) {
    const covey__json *slot = covey__json_get(slots, which);
    char name[CELL_MAX], version[CELL_MAX], variant[CELL_MAX], state[CELL_MAX];
    if (slot == NULL || slot->kind != COVEY__JSON_OBJECT) return false;
    (void)snprintf(out, 3 * CELL_MAX, "%.64s@%.64s %.64s (%s, %.16s)", cell(slot, "name", name),
                   cell(slot, "version", version), cell(slot, "variant", variant), which,
                   cell(slot, "state", state));
    return true;
}

static void show_device_line(const covey__json *d, int64_t now_ms, covey__buffer *out) {
    char id[CELL_MAX], class_name[CELL_MAX], serving[3 * CELL_MAX] = "nothing", ago[32];
    char release[CELL_MAX], outcome[CELL_MAX], message[CELL_MAX];
    const covey__json *slots = covey__json_get(d, "slots");
    const covey__json *update = covey__json_get(d, "last_update");
    if (!slot_text(slots, "current", serving)) (void)slot_text(slots, "builtin", serving);
    (void)covey__buffer_format(out, "%s  %s  %s  seen %s", cell(d, "id", id),
                               cell(d, "class", class_name), serving,
                               ago_text(now_ms, number(d, "last_seen_ms"), ago));
    if (update != NULL && update->kind == COVEY__JSON_OBJECT) {
        (void)covey__buffer_format(out, "  last update: %s %s", cell(update, "release", release),
                                   cell(update, "outcome", outcome));
        if (strcmp(outcome, "ok") != 0) {
            (void)covey__buffer_format(out, ": %s", cell(update, "message", message));
        }
    }
    (void)covey__buffer_byte(out, '\n');
}

static void show_devices(const covey__json *root, int64_t now_ms, covey__buffer *out) {
    const covey__json *list = covey__json_get(root, "devices");
    const covey__json *next = covey__json_get(root, "next");
    char text[CELL_MAX];
    if (list == NULL || list->size == 0) (void)covey__buffer_text(out, "No device was found.\n");
    for (const covey__json *d = list != NULL ? list->child : NULL; d != NULL; d = d->next) {
        show_device_line(d, now_ms, out);
    }
    if (next != NULL && next->kind == COVEY__JSON_STRING) {
        (void)covey__buffer_format(out, "There may be more: --after %s\n",
                                   cell(root, "next", text));
    }
}

static void show_reports(const covey__json *reports, covey__buffer *out) {
    char when[32], phase[CELL_MAX], outcome[CELL_MAX], release[CELL_MAX], message[CELL_MAX];
    if (reports == NULL || reports->size == 0) return;
    (void)covey__buffer_text(out, "reports, newest first:\n");
    for (const covey__json *r = reports->child; r != NULL; r = r->next) {
        (void)covey__buffer_format(out, "  %s  %-8s  %-7s  %s  %s\n",
                                   time_text(number(r, "time_ms"), when), cell(r, "phase", phase),
                                   cell(r, "outcome", outcome), cell(r, "release", release),
                                   cell(r, "message", message));
    }
}

static void show_device(const covey__json *d, int64_t now_ms, covey__buffer *out) {
    static const char *const slot_names[] = {"current", "builtin", "previous", "staged"};
    char a[CELL_MAX], b[CELL_MAX], c[CELL_MAX], e[CELL_MAX], slot[3 * CELL_MAX];
    char ago[32], when[32], line[1200];
    (void)covey__buffer_format(out, "device %s\n", cell(d, "id", a));
    (void)covey__buffer_format(out, "class %s, %s %s, %s", cell(d, "class", a), cell(d, "os", b),
                               cell(d, "os_version", c), cell(d, "architecture", e));
    (void)covey__buffer_format(out, ", %s, app %s, library %s\n", cell(d, "isa", a),
                               cell(d, "app_version", b), cell(d, "library_version", c));
    (void)covey__buffer_format(out, "enrolled %s, seen %s\n",
                               time_text(number(d, "enrolled_ms"), when),
                               ago_text(now_ms, number(d, "last_seen_ms"), ago));
    const covey__json *revoked = covey__json_get(d, "revoked");
    if (revoked != NULL && revoked->boolean) {
        (void)covey__buffer_text(out, "its token was revoked\n");
    }
    for (size_t i = 0; i < 4; i++) {
        if (slot_text(covey__json_get(d, "slots"), slot_names[i], slot)) {
            (void)covey__buffer_format(out, "slot: %s\n", slot);
        }
    }
    const covey__json *why = covey__json_get(d, "why");
    for (const covey__json *w = why != NULL ? why->child : NULL; w != NULL; w = w->next) {
        if (w->kind != COVEY__JSON_STRING) continue;
        (void)covey__buffer_format(out, "why: %s\n",
                                   covey__printable(w->text, w->size, line, sizeof(line)));
    }
    show_reports(covey__json_get(d, "reports"), out);
}

static void show_content_keys(const covey__json *root, int64_t now_ms, covey__buffer *out) {
    const covey__json *list = covey__json_get(root, "content_keys");
    char key[CELL_MAX], ago[32];
    if (list == NULL || list->size == 0)
        (void)covey__buffer_text(out, "No content key was wrapped for a device.\n");
    for (const covey__json *k = list != NULL ? list->child : NULL; k != NULL; k = k->next) {
        (void)covey__buffer_format(
            out, "%s  %" PRId64 " devices have it, %" PRId64 " lack it  last wrapped %s\n",
            cell(k, "key", key), number(k, "devices_wrapped"), number(k, "devices_lacking"),
            ago_text(now_ms, number(k, "last_ms"), ago));
    }
}

static void show_key_devices(const covey__json *root, covey__buffer *out) {
    const covey__json *list = covey__json_get(root, "devices");
    const covey__json *next = covey__json_get(root, "next");
    char id[CELL_MAX], state[CELL_MAX], key[CELL_MAX];
    if (list == NULL || list->size == 0) (void)covey__buffer_text(out, "No device was found.\n");
    for (const covey__json *d = list != NULL ? list->child : NULL; d != NULL; d = d->next) {
        (void)covey__buffer_format(out, "%s  %-7s  key %s\n", cell(d, "id", id),
                                   cell(d, "state", state), cell(d, "encryption_key", key));
    }
    if (next != NULL && next->kind == COVEY__JSON_STRING) {
        (void)covey__buffer_format(out, "There may be more: --after %s\n", cell(root, "next", id));
    }
}

covey_status covey__fleet_show(const covey__env *env, covey__shown what, int64_t now_ms,
                               const covey__buffer *answer, covey__buffer *out,
                               covey_error *error) {
    covey__arena arena;
    const covey__json *root;
    char token[CELL_MAX];
    covey__arena_init(&arena, env, 256u << 20);
    covey_status status = covey__json_parse(&arena, answer->data != NULL ? answer->data : "",
                                            answer->size, COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (status == COVEY_OK) {
        switch (what) {
        case COVEY__SHOWN_RELEASES:
            show_releases(root, out);
            break;
        case COVEY__SHOWN_ROLLOUT:
            show_rollout(root, out);
            break;
        case COVEY__SHOWN_ROLLOUTS:
            show_rollouts(root, out);
            break;
        case COVEY__SHOWN_DEVICES:
            show_devices(root, now_ms, out);
            break;
        case COVEY__SHOWN_DEVICE:
            show_device(root, now_ms, out);
            break;
        case COVEY__SHOWN_TOKEN:
            (void)covey__buffer_format(out, "%s\n", cell(root, "token", token));
            break;
        case COVEY__SHOWN_CONTENT_KEYS:
            show_content_keys(root, now_ms, out);
            break;
        case COVEY__SHOWN_KEY_DEVICES:
            show_key_devices(root, out);
            break;
        }
        status = covey__buffer_check(out, error, "answer");
    } else {
        status = covey__prefix(error, status, "the server's answer");
    }
    covey__arena_free(&arena);
    return status;
}
