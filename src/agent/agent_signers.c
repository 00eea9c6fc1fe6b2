/* Who signed what this device believes, for its user: read from the metadata in the store, whose
 * signatures are verified once more here, key by key. Nothing is decided by it. */
#include "agent/agent_parts.h"

#include "base/error.h"
#include "trust/tuf_document.h"

#include <stdio.h>
#include <string.h>

#define DOCUMENT_BYTES_MAX (5u << 20)

static covey__tuf_document *read_document(const covey_agent *agent, const char *role,
                                          covey__tuf_type type) {
    char name[COVEY_TUF_FILE_NAME_SIZE];
    covey__tuf_document *document = NULL;
    covey__buffer text;
    covey_tuf_file_name(role, name);
    covey__buffer_init(&text, agent->env, DOCUMENT_BYTES_MAX);
    char *path = covey__agent_path(agent, "trust/%s.json", name);
    if (!path || covey__file_read(agent->env, path, &text, NULL) ||
        covey__tuf_parse(agent->env, type, text.data ? text.data : "", text.size, &document, NULL))
        document = NULL;
    covey__buffer_free(&text);
    covey__free(agent->env, path);
    return document;
}

/* Appends to a text that is cut where it is full. */
static void append(char *out, size_t capacity, const char *separator, const char *text) {
    size_t size = strlen(out), more = strlen(separator) + strlen(text);
    if (size + more < capacity) {
        strcpy(out + size, separator);
        strcat(out + size, text);
    } else if (size + 6 < capacity && (size < 4 || strcmp(out + size - 4, " ..."))) {
        strcat(out, " ...");
    }
}

static void list_signers(const covey_agent *agent, const covey__tuf_document *document,
                         const covey__tuf_role *role, char *out) {
    const char *separator = " ";
    for (size_t i = 0; i < role->key_count; i++) {
        covey__tuf_role one = *role;
        one.key_ids += i;
        one.keys += i;
        one.key_count = 1;
        one.threshold = 1;
        if (covey__tuf_verify(agent->env, document, &one, NULL)) continue;
        append(out, COVEY__SIGNED_BY_SIZE, separator, role->key_ids[i]);
        separator = ", ";
    }
}

static const covey__tuf_role *find_role(const covey__tuf_document *targets, const char *name) {
    for (size_t i = 0; targets && i < targets->role_count; i++)
        if (!strcmp(targets->roles[i].name, name)) return &targets->roles[i];
    return NULL;
}

void covey__trust_signers(const covey_agent *agent, const char *role,
                          char out[COVEY__SIGNED_BY_SIZE]) {
    static const char *const top[COVEY__TUF_TOP_COUNT] = {"root", "timestamp", "snapshot",
                                                          "targets"};
    int type = 0;
    while (type < COVEY__TUF_TOP_COUNT && strcmp(role, top[type])) type++;
    bool is_top = type < COVEY__TUF_TOP_COUNT;
    /* The document that says whose keys count, and the one that they signed. */
    covey__tuf_document *above = read_document(agent, is_top ? "root" : "targets",
                                               is_top ? COVEY__TUF_ROOT : COVEY__TUF_TARGETS);
    covey__tuf_document *document =
        read_document(agent, role, is_top ? (covey__tuf_type)type : COVEY__TUF_TARGETS);
    const covey__tuf_role *found = !above   ? NULL
                                   : is_top ? &above->top[type]
                                            : find_role(above, role);
    covey__printable(role, strlen(role), out, 80);
    if (found && document) list_signers(agent, document, found, out);
    covey__tuf_free(document);
    covey__tuf_free(above);
}

static void tell_role(const covey__tuf_role *role, const char *name, covey__role_fn each,
                      void *user) {
    char keys[400] = "", patterns[400] = "", brief[20], plain[200];
    for (size_t i = 0; i < role->key_count; i++) {
        covey__printable(role->key_ids[i], strlen(role->key_ids[i]), brief, 13);
        append(keys, sizeof keys, i ? ", " : "", brief);
    }
    for (size_t i = 0; i < role->pattern_count; i++) {
        covey__printable(role->patterns[i], strlen(role->patterns[i]), plain, sizeof plain);
        append(patterns, sizeof patterns, i ? ", " : "", plain);
    }
    covey__printable(name, strlen(name), plain, sizeof plain);
    each(user, plain, patterns, role->threshold, (int64_t)role->key_count, keys);
}

void covey__trust_each_role(const covey_agent *agent, covey__role_fn each, void *user) {
    covey__tuf_document *root = read_document(agent, "root", COVEY__TUF_ROOT);
    covey__tuf_document *targets = read_document(agent, "targets", COVEY__TUF_TARGETS);
    for (int i = 0; root && i < COVEY__TUF_TOP_COUNT; i++)
        tell_role(&root->top[i], covey__tuf_type_name((covey__tuf_type)i), each, user);
    for (size_t i = 0; targets && i < targets->role_count; i++)
        tell_role(&targets->roles[i], targets->roles[i].name, each, user);
    covey__tuf_free(targets);
    covey__tuf_free(root);
}
