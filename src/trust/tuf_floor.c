/* The floor's file: one small JSON document, replaced atomically. It is no secret and not signed:
 * it guards against servers, not against who owns the device's disk. A floor that is lost comes
 * back by itself, for each accepted document raises it. Neighbours: tuf_refresh.c, tuf_find.c. */
#include "trust/tuf_floor.h"
#include "base/error.h"
#include "base/file.h"
#include "base/utc.h"

#include <string.h>

struct covey__tuf_floor_role {
    covey__tuf_floor_role *next;
    const char *name;
    int64_t version;
    const char **key_ids;
    size_t key_count;
};

/* Where the role is, or belongs. */
static covey__tuf_floor_role **place_of(covey__tuf_floor *floor, const char *name) {
    covey__tuf_floor_role **at = &floor->first;
    while (*at != NULL && strcmp((*at)->name, name) < 0) at = &(*at)->next;
    return at;
}

static const covey__tuf_floor_role *find(const covey__tuf_floor *floor, const char *name) {
    const covey__tuf_floor_role *at = floor->first;
    while (at != NULL && strcmp(at->name, name) < 0) at = at->next;
    return at != NULL && strcmp(at->name, name) == 0 ? at : NULL;
}

/* A new role in its place, with room for so many keys; NULL when memory is refused. */
static covey__tuf_floor_role *add(covey__tuf_floor *floor, const char *name, size_t key_count) {
    covey__tuf_floor_role *role = covey__arena_alloc(&floor->arena, sizeof *role);
    if (role == NULL) return NULL;
    role->name = covey__arena_strndup(&floor->arena, name, strlen(name));
    role->key_ids = covey__arena_calloc(&floor->arena, key_count + 1, sizeof *role->key_ids);
    if (role->name == NULL || role->key_ids == NULL) return NULL;
    covey__tuf_floor_role **at = place_of(floor, name);
    role->next = *at;
    *at = role;
    floor->role_count++;
    return role;
}

static covey_status read_role(covey__tuf_floor *floor, const covey__json *node,
                              covey_error *error) {
    const covey__json *ids;
    int64_t version;
    covey_status status =
        covey__json_i64(node, "version", "roles[]", 1, INT64_MAX, &version, error);
    if (status == COVEY_OK)
        status = covey__json_member(node, "keyids", "roles[]", COVEY__JSON_ARRAY, &ids, error);
    if (status != COVEY_OK) return status;
    if (ids->size > COVEY__TUF_ROLE_KEY_COUNT_MAX ||
        floor->role_count == COVEY__TUF_FLOOR_ROLE_COUNT_MAX || find(floor, node->name) != NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT, "roles: too many, or one twice");
    covey__tuf_floor_role *role = add(floor, node->name, ids->size);
    if (role == NULL) return covey__arena_fail(&floor->arena, sizeof *role, error, "floor");
    role->version = version;
    for (const covey__json *id = ids->child; id != NULL; id = id->next) {
        if (id->kind != COVEY__JSON_STRING)
            return covey__fail(error, COVEY_ERROR_FORMAT, "keyids: expected strings");
        const char *copy = covey__arena_strndup(&floor->arena, id->text, id->size);
        if (copy == NULL) return covey__arena_fail(&floor->arena, id->size, error, "floor");
        role->key_ids[role->key_count++] = copy;
    }
    return COVEY_OK;
}

static covey_status read_floor(covey__tuf_floor *floor, covey__arena *tree,
                               const covey__buffer *text, covey_error *error) {
    covey__json_limits limits = {COVEY__TUF_FLOOR_BYTES_MAX, 8, 1u << 18};
    const covey__json *root, *roles, *time;
    covey_status status =
        covey__json_parse(tree, text->size > 0 ? text->data : "", text->size, limits, &root, error);
    if (status == COVEY_OK)
        status = covey__json_member(root, "roles", "", COVEY__JSON_OBJECT, &roles, error);
    if (status != COVEY_OK) return status;
    time = covey__json_get(root, "time");
    if (time != NULL &&
        (time->kind != COVEY__JSON_STRING || !covey__utc_parse(time->text, &floor->time_ms)))
        return covey__fail(error, COVEY_ERROR_FORMAT, "time: expected YYYY-MM-DDTHH:MM:SSZ");
    for (const covey__json *node = roles->child; node != NULL; node = node->next) {
        status = read_role(floor, node, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

static void forget(covey__tuf_floor *floor) {
    const covey__env *env = floor->env;
    const char *path = floor->path;
    covey__arena_free(&floor->arena);
    memset(floor, 0, sizeof *floor);
    floor->env = env;
    floor->path = path;
    covey__arena_init(&floor->arena, env, 4 * COVEY__TUF_FLOOR_BYTES_MAX);
}

covey_status covey__tuf_floor_load(covey__tuf_floor *floor, const covey__env *env, const char *path,
                                   covey_error *error) {
    memset(floor, 0, sizeof *floor);
    floor->env = env;
    floor->path = path;
    covey__arena_init(&floor->arena, env, 4 * COVEY__TUF_FLOOR_BYTES_MAX);
    if (path == NULL) return COVEY_OK;
    covey__buffer text;
    covey__arena tree;
    covey__buffer_init(&text, env, COVEY__TUF_FLOOR_BYTES_MAX);
    covey__arena_init(&tree, env, 16 * COVEY__TUF_FLOOR_BYTES_MAX);
    covey_status status = covey__file_read(env, path, &text, error);
    if (status == COVEY_OK) status = read_floor(floor, &tree, &text, error);
    bool damaged = status == COVEY_ERROR_FORMAT || status == COVEY_ERROR_LIMIT ||
                   status == COVEY_ERROR_INVALID_ARGUMENT;
    if (damaged)
        covey__log(env, COVEY_LOG_WARN, "trust",
                   "the floor of versions is damaged and begins anew");
    if (damaged || status == COVEY_ERROR_NOT_FOUND) {
        forget(floor);
        status = COVEY_OK;
    }
    covey__arena_free(&tree);
    covey__buffer_free(&text);
    return status == COVEY_OK ? status : covey__prefix(error, status, "floor");
}

static void write_floor(const covey__tuf_floor *floor, covey__buffer *text) {
    covey__json_writer writer;
    char time[COVEY__UTC_SIZE];
    covey__json_writer_init(&writer, text, true);
    covey__json_begin_object(&writer);
    if (floor->time_ms > 0) {
        covey__utc_format(floor->time_ms, time);
        covey__json_member_string(&writer, "time", time);
    }
    covey__json_name(&writer, "roles");
    covey__json_begin_object(&writer);
    for (const covey__tuf_floor_role *role = floor->first; role != NULL; role = role->next) {
        covey__json_name(&writer, role->name);
        covey__json_begin_object(&writer);
        covey__json_member_i64(&writer, "version", role->version);
        covey__json_name(&writer, "keyids");
        covey__json_begin_array(&writer);
        for (size_t i = 0; i < role->key_count; i++)
            covey__json_put_string(&writer, role->key_ids[i]);
        covey__json_end_array(&writer);
        covey__json_end_object(&writer);
    }
    covey__json_end_object(&writer);
    covey__json_end_object(&writer);
    (void)covey__buffer_byte(text, '\n');
}

covey_status covey__tuf_floor_save(covey__tuf_floor *floor, covey_error *error) {
    if (floor->path == NULL || !floor->changed) return COVEY_OK;
    covey__buffer text;
    covey__buffer_init(&text, floor->env, COVEY__TUF_FLOOR_BYTES_MAX);
    write_floor(floor, &text);
    covey_status status = covey__buffer_check(&text, error, "floor");
    if (status == COVEY_OK)
        status = covey__file_replace(floor->env, floor->path, text.data, text.size, error);
    covey__buffer_free(&text);
    if (status != COVEY_OK) return covey__prefix(error, status, "floor");
    floor->changed = false;
    return COVEY_OK;
}

void covey__tuf_floor_free(covey__tuf_floor *floor) {
    if (floor->env == NULL) return; /* never loaded */
    covey__arena_free(&floor->arena);
    memset(floor, 0, sizeof *floor);
}

static bool has_id(const char *const *ids, size_t count, const char *id) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(ids[i], id) == 0) return true;
    }
    return false;
}

static bool rotated(const covey__tuf_floor_role *known, const covey__tuf_role *role) {
    for (size_t i = 0; i < known->key_count; i++) {
        if (!has_id(role->key_ids, role->key_count, known->key_ids[i])) return true;
    }
    return false;
}

static bool is_root(const covey__tuf_role *role) {
    return strcmp(role->name, covey__tuf_type_name(COVEY__TUF_ROOT)) == 0;
}

bool covey__tuf_floor_rotated(const covey__tuf_floor *floor, const covey__tuf_role *role) {
    const covey__tuf_floor_role *known = find(floor, role->name);
    return known != NULL && rotated(known, role);
}

int64_t covey__tuf_floor_version(const covey__tuf_floor *floor, const covey__tuf_role *role) {
    const covey__tuf_floor_role *known = find(floor, role->name);
    if (known == NULL || (!is_root(role) && rotated(known, role))) return 0;
    return known->version;
}

static bool same_keys(const covey__tuf_floor_role *known, const covey__tuf_role *role) {
    return known->key_count == role->key_count && !rotated(known, role);
}

covey_status covey__tuf_floor_raise(covey__tuf_floor *floor, const covey__tuf_role *role,
                                    int64_t version, covey_error *error) {
    if (floor->path == NULL) return COVEY_OK;
    covey__tuf_floor_role **at = place_of(floor, role->name), *known = *at;
    if (known != NULL && strcmp(known->name, role->name) != 0) known = NULL;
    if (known != NULL && same_keys(known, role) && known->version >= version) return COVEY_OK;
    int64_t before = covey__tuf_floor_version(floor, role);
    if (known == NULL && floor->role_count == COVEY__TUF_FLOOR_ROLE_COUNT_MAX) {
        covey__log(floor->env, COVEY_LOG_WARN, "trust",
                   "the floor holds %d roles and takes no more", COVEY__TUF_FLOOR_ROLE_COUNT_MAX);
        return COVEY_OK;
    }
    covey__tuf_floor_role *made = add(floor, role->name, role->key_count); /* before `known` */
    for (size_t i = 0; made != NULL && i < role->key_count; i++) {
        const char *id =
            covey__arena_strndup(&floor->arena, role->key_ids[i], strlen(role->key_ids[i]));
        if (id != NULL) made->key_ids[made->key_count++] = id;
    }
    if (made == NULL || made->key_count != role->key_count)
        return covey__arena_fail(&floor->arena, role->key_count, error, "floor");
    made->version = version > before ? version : before;
    if (known != NULL) {
        made->next = known->next;
        floor->role_count--;
    }
    floor->changed = true;
    return COVEY_OK;
}

void covey__tuf_floor_set_time(covey__tuf_floor *floor, int64_t time_ms) {
    if (floor->path == NULL || floor->time_ms == time_ms) return;
    floor->time_ms = time_ms;
    floor->changed = true;
}
