/* The search for a target: a walk over delegations in pre-order, the first that matches before the
 * next (specification, 5.6.7). It ends at the first role that describes the target, behind a
 * terminating delegation, at a role that cannot be had or does not hold, and at its bounds. What
 * lies past a bound might have spoken before what comes next, so a bound that is met is a failure
 * and not a way around. Neighbours: tuf_refresh.c loads a role; tuf_text.c matches. */
#include "base/error.h"
#include "base/sha256.h"
#include "trust/tuf_client.h"
#include "trust/tuf_text.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

typedef struct walk {
    covey_tuf *tuf;
    const char *name;
    char hash[65]; /* SHA-256 of the name */
    const char **visited;
    size_t visited_count;
    bool ended; /* by a terminating delegation */
    const covey__tuf_entry *found;
    const char *found_role;
} walk;

void covey__tuf_drop_delegated(covey_tuf *tuf) {
    for (covey__tuf_delegated *at = tuf->delegated, *next; at != NULL; at = next) {
        next = at->next;
        covey__tuf_free(at->document);
        covey__free(tuf->env, at->name);
        covey__free(tuf->env, at);
    }
    tuf->delegated = NULL;
    tuf->delegated_count = 0;
}

/* The role verified under this delegation, from memory or loaded. */
static covey_status load(covey_tuf *tuf, const covey__tuf_role *role, const char *name,
                         const covey__tuf_delegated **out, covey_error *error) {
    for (covey__tuf_delegated *at = tuf->delegated; at != NULL; at = at->next) {
        if (at->role == role && strcmp(at->name, name) == 0) {
            *out = at;
            return COVEY_OK;
        }
    }
    covey__tuf_delegated *made = covey__calloc(tuf->env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "a delegated role", sizeof *made);
    made->role = role;
    made->name = covey__strdup(tuf->env, name);
    covey_status status = COVEY_OK;
    if (made->name == NULL) {
        status = covey__no_memory(error, "a delegated role", strlen(name));
    } else {
        covey__tuf_role named = *role; /* a bin's role has no name of its own */
        named.name = made->name;
        status = covey__tuf_load_targets(tuf, &named, &made->document, error);
        if (status == COVEY_OK)
            status = covey__tuf_floor_raise(&tuf->floor, &named, made->document->version, error);
    }
    if (status != COVEY_OK) {
        covey__tuf_free(made->document);
        covey__free(tuf->env, made->name);
        covey__free(tuf->env, made);
        return covey__tuf_blame(tuf, name, status, error);
    }
    made->next = tuf->delegated;
    tuf->delegated = made;
    tuf->delegated_count++;
    *out = made;
    return COVEY_OK;
}

static bool speaks_for(const covey__tuf_role *role, const walk *w) {
    for (size_t i = 0; i < role->pattern_count; i++) {
        const char *pattern = role->patterns[i];
        if (role->by_hash ? strncasecmp(w->hash, pattern, strlen(pattern)) == 0
                          : covey__tuf_glob(pattern, w->name))
            return true;
    }
    return false;
}

static bool was_visited(const walk *w, const char *name) {
    for (size_t i = 0; i < w->visited_count; i++) {
        if (strcmp(w->visited[i], name) == 0) return true;
    }
    return false;
}

static covey_status visit(walk *w, const covey__tuf_document *document, const char *name,
                          uint32_t depth, covey_error *error);

/* One delegation that matches. */
static covey_status follow(walk *w, const covey__tuf_role *role, const char *name, uint32_t depth,
                           covey_error *error) {
    covey_tuf *tuf = w->tuf;
    const covey__tuf_delegated *delegated = NULL;
    if (was_visited(w, name)) return COVEY_OK;
    if (depth > tuf->options.depth_max)
        return covey__tuf_blame(
            tuf, name,
            covey__fail_sizes(error, COVEY_ERROR_LIMIT, tuf->options.depth_max, depth,
                              "delegations are followed at most %" PRIu32 " deep",
                              tuf->options.depth_max),
            error);
    if (w->visited_count == tuf->options.role_count_max)
        return covey__tuf_blame(
            tuf, name,
            covey__fail_sizes(error, COVEY_ERROR_LIMIT, tuf->options.role_count_max,
                              (int64_t)w->visited_count + 1,
                              "at most %" PRIu32 " roles are asked for one target",
                              tuf->options.role_count_max),
            error);
    covey_status status = load(tuf, role, name, &delegated, error);
    if (status != COVEY_OK) return status;
    return visit(w, delegated->document, delegated->name, depth, error);
}

static covey_status follow_bin(walk *w, const covey__tuf_document *document, uint32_t depth,
                               covey_error *error) {
    covey__buffer name;
    covey__buffer_init(&name, w->tuf->env, COVEY__TUF_NAME_BYTES_MAX + 1);
    (void)covey__tuf_bin_name(&name, document->bin_prefix, document->bin_bits, w->name);
    covey_status status = covey__buffer_check(&name, error, "a bin's name");
    if (status == COVEY_OK) status = follow(w, &document->bin, name.data, depth, error);
    covey__buffer_free(&name);
    w->ended = true;
    return status;
}

static covey_status visit(walk *w, const covey__tuf_document *document, const char *name,
                          uint32_t depth, covey_error *error) {
    covey_status status = COVEY_OK;
    w->visited[w->visited_count++] = name;
    w->found = covey__tuf_entry_find(document, w->name);
    w->found_role = name;
    if (w->found != NULL) return COVEY_OK;
    if (document->bin_bits > 0) return follow_bin(w, document, depth + 1, error);
    for (size_t i = 0; status == COVEY_OK && i < document->role_count; i++) {
        const covey__tuf_role *role = document->roles + i;
        if (!speaks_for(role, w)) continue;
        status = follow(w, role, role->name, depth + 1, error);
        if (status != COVEY_OK || w->found != NULL || w->ended) return status;
        if (role->terminating) {
            w->ended = true;
            return COVEY_OK;
        }
    }
    return status;
}

static covey_status search(walk *w, covey_error *error) {
    covey_tuf *tuf = w->tuf;
    uint8_t digest[32];
    char shown[160];
    covey__sha256_of(w->name, strlen(w->name), digest);
    covey__hex(digest, sizeof digest, w->hash);
    if (tuf->delegated_count >= COVEY__TUF_CACHE_COUNT_MAX) covey__tuf_drop_delegated(tuf);
    w->visited = covey__calloc(tuf->env, tuf->options.role_count_max, sizeof *w->visited);
    if (w->visited == NULL) return covey__no_memory(error, "a search", tuf->options.role_count_max);
    covey_status status = visit(w, tuf->targets, "targets", 0, error);
    covey_status saved = covey__tuf_floor_save(&tuf->floor, status == COVEY_OK ? error : NULL);
    covey__free(tuf->env, w->visited);
    if (status == COVEY_OK) status = saved;
    if (status != COVEY_OK) return status;
    covey__printable(w->name, strlen(w->name), shown, sizeof shown);
    if (w->found == NULL)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "target \"%s\": none of the %zu roles that may speak for it does", shown,
                           w->visited_count);
    if (!covey__tuf_hashes_known(&w->found->hashes))
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "target \"%s\": expected a SHA-256 or SHA-512 among its hashes", shown);
    return COVEY_OK;
}

covey_status covey_tuf_find(covey_tuf *tuf, const char *name, covey_tuf_target *target,
                            covey_error *error) {
    covey_tuf_target found = COVEY_TUF_TARGET_INIT;
    walk w = {.tuf = tuf, .name = name};
    if (name == NULL || name[0] == '\0' || strlen(name) > COVEY__TUF_NAME_BYTES_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "tuf: expected a target's name of 1 to %d bytes",
                           COVEY__TUF_NAME_BYTES_MAX);
    if (!tuf->refreshed) {
        covey_status status = covey_tuf_refresh(tuf, 0, NULL, error);
        if (status != COVEY_OK) return status;
    }
    tuf->report.role[0] = '\0';
    covey_status status = search(&w, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "tuf");
    found.name = w.found->name;
    found.role = w.found_role;
    found.length = (uint64_t)w.found->length;
    found.has_sha256 = w.found->hashes.has_sha256;
    memcpy(found.sha256, w.found->hashes.sha256, sizeof found.sha256);
    found.sha512 = w.found->hashes.sha512;
    found.custom = w.found->custom;
    found.custom_size = w.found->custom_size;
    size_t size = target->size < sizeof found ? target->size : sizeof found;
    found.size = target->size;
    memcpy(target, &found, size);
    return COVEY_OK;
}
