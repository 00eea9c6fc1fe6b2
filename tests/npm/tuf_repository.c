/* Makes a repository of The Update Framework with the code that publishers use, for other clients
 * to read (tests/e2e/tuf_opinion.sh). usage: tuf_repository FOLDER
 * FOLDER gets metadata/, targets/ and wanted.json: names of targets with what they hold, or null
 * for what no client may find. The root's keys are rotated twice; delegations are nested. */
#include "support/support.h"
#include "trust/tuf_make.h"

#include "base/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KEYS      9
#define EXPIRES   INT64_C(4102444800000) /* 2100-01-01 */
#define BYTES_MAX (1u << 20)

typedef struct maker {
    covey__env env;
    const char *folder;
    covey__arena arena;
    covey__key keys[KEYS];
    covey__public_key known[KEYS];
    covey__buffer wanted;
} maker;

static void must(covey_status status, const covey_error *error) {
    if (status == COVEY_OK) return;
    fprintf(stderr, "tuf_repository: %s\n", error->message);
    exit(1);
}

static void save(const maker *m, const char *name, const void *data, size_t size) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", m->folder, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void make_folder(const maker *m, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", m->folder, name);
    if (mkdir(path, 0755) != 0) {
        perror(path);
        exit(1);
    }
}

/* Signs `document` with keys first to last, saves it as `name`, and describes it in `file`, under
 * the name that a snapshot or timestamp has for it (NULL: none). */
static void publish(const maker *m, covey__buffer *document, const int *signers, const char *name,
                    covey__tuf_make_file *file) {
    covey_error error = {.message = ""};
    char path[300];
    must(covey__buffer_check(document, &error, name), &error);
    for (; *signers >= 0; signers++) {
        covey__buffer with;
        covey__buffer_init(&with, &m->env, BYTES_MAX);
        must(covey__tuf_sign(&m->env, document->data, document->size, m->keys + *signers, &with,
                             &error),
             &error);
        covey__buffer_free(document);
        *document = with;
    }
    snprintf(path, sizeof path, "metadata/%s", name);
    save(m, path, document->data, document->size);
    if (file != NULL) {
        file->length = document->size;
        covey__sha256_of(document->data, document->size, file->sha256);
    }
    covey__buffer_free(document);
}

/* A target for a role's document, whose bytes are "NAME, version 2"; noted in wanted.json. */
static covey__tuf_make_target target(maker *m, const char *name, bool allowed) {
    covey__tuf_make_target made = {.name = name, .custom = "{\"note\": [1, \"two\"]}"};
    char text[200], path[400], hex[65];
    made.length = (uint64_t)snprintf(text, sizeof text, "%s, version 2", name);
    covey__sha256_of(text, made.length, made.sha256);
    covey__hex(made.sha256, 32, hex);
    const char *slash = strrchr(name, '/');
    int folder = slash != NULL ? (int)(slash + 1 - name) : 0;
    snprintf(path, sizeof path, "targets/%.*s%s.%s", folder, name, hex, name + folder);
    save(m, path, text, made.length);
    (void)covey__buffer_format(&m->wanted, "%s\"%s\": ", m->wanted.size > 1 ? ",\n" : "", name);
    (void)covey__buffer_format(&m->wanted, allowed ? "\"%s\"" : "null", text);
    return made;
}

static void make_roots(const maker *m) {
    static const int signers[3][6] = {{0, 1, -1}, {1, 2, 3, -1}, {2, 3, -1}};
    for (int version = 1; version <= 3; version++) {
        covey_error error = {.message = ""};
        covey__buffer out;
        char name[40];
        const covey__tuf_signers roles[4] = {{m->known + (version == 1 ? 0 : 1), 3, 2},
                                             {m->known + 4, 1, 1},
                                             {m->known + 4, 1, 1},
                                             {m->known + 5, version == 1 ? 1 : 2, 1}};
        covey__buffer_init(&out, &m->env, BYTES_MAX);
        must(
            covey__tuf_make_root(&m->env, (covey__tuf_head){version, EXPIRES}, roles, &out, &error),
            &error);
        snprintf(name, sizeof name, "%d.root.json", version);
        publish(m, &out, signers[version - 1], name, NULL);
    }
}

static void make_targets(const maker *m, const covey__tuf_make_content *content, const int *signers,
                         covey__tuf_make_file *file) {
    covey_error error = {.message = ""};
    covey__buffer out;
    char name[100];
    covey__buffer_init(&out, &m->env, BYTES_MAX);
    must(covey__tuf_make_targets(&m->env, (covey__tuf_head){file->version, EXPIRES}, content, &out,
                                 &error),
         &error);
    snprintf(name, sizeof name, "%d.%s", (int)file->version, file->name);
    publish(m, &out, signers, name, file);
}

/* targets: "products" for product/PLACE/FILE, which delegates to "team"; "all" for everything. */
static void make_all_targets(maker *m, covey__tuf_make_file files[4]) {
    static const char *const product[] = {"product/*/*"}, *const place[] = {"product/[a-m]*/*"};
    static const char *const any[] = {"*"};
    const covey__tuf_make_delegation to_team = {"team", {m->known + 7, 1, 1}, false, place, 1};
    const covey__tuf_make_delegation top[] = {{"products", {m->known + 6, 2, 2}, true, product, 1},
                                              {"all", {m->known + 8, 1, 1}, false, any, 1}};
    const covey__tuf_make_target own = target(m, "README", true);
    const covey__tuf_make_target of_products = target(m, "product/north/file", true);
    const covey__tuf_make_target of_team[] = {target(m, "product/east/file", true),
                                              target(m, "product/west/file", false)};
    const covey__tuf_make_target of_all[] = {target(m, "anything.txt", true),
                                             target(m, "product/south/file", false)};
    make_targets(m, &(covey__tuf_make_content){&own, 1, top, 2}, (int[]){6, -1}, files);
    make_targets(m, &(covey__tuf_make_content){&of_products, 1, &to_team, 1}, (int[]){7, 6, -1},
                 files + 1);
    make_targets(m, &(covey__tuf_make_content){of_team, 2, NULL, 0}, (int[]){7, -1}, files + 2);
    make_targets(m, &(covey__tuf_make_content){of_all, 2, NULL, 0}, (int[]){8, -1}, files + 3);
}

static void make_rest(const maker *m, const covey__tuf_make_file files[4]) {
    covey_error error = {.message = ""};
    covey__buffer out;
    covey__tuf_make_file snapshot = {.name = "snapshot.json", .version = 7};
    covey__buffer_init(&out, &m->env, BYTES_MAX);
    must(covey__tuf_make_snapshot(&m->env, (covey__tuf_head){7, EXPIRES}, files, 4, &out, &error),
         &error);
    publish(m, &out, (int[]){4, -1}, "7.snapshot.json", &snapshot);
    covey__buffer_init(&out, &m->env, BYTES_MAX);
    must(covey__tuf_make_timestamp(&m->env, (covey__tuf_head){9, EXPIRES}, INT64_C(1700000000000),
                                   &snapshot, &out, &error),
         &error);
    publish(m, &out, (int[]){4, -1}, "timestamp.json", NULL);
}

int main(int argc, char **argv) {
    maker m = {.folder = argc == 2 ? argv[1] : NULL};
    covey_error error = {.message = ""};
    covey__tuf_make_file files[4] = {{.name = "targets.json", .version = 5},
                                     {.name = "products.json", .version = 2},
                                     {.name = "team.json", .version = 1},
                                     {.name = "all.json", .version = 3}};
    if (m.folder == NULL) {
        fprintf(stderr, "usage: tuf_repository FOLDER\n");
        return 2;
    }
    covey__env_init(&m.env);
    m.env.crypto = covey__crypto_openssl();
    covey__arena_init(&m.arena, &m.env, 64u << 10);
    covey__buffer_init(&m.wanted, &m.env, BYTES_MAX);
    (void)covey__buffer_text(&m.wanted, "{");
    for (int i = 0; i < KEYS; i++) {
        const uint8_t seed[32] = {'t', 'u', 'f', (uint8_t)i};
        must(covey__key_from_seed(&m.env, seed, m.keys + i, &error), &error);
        must(covey__public_key_make(&m.arena, COVEY_KEY_ED25519, m.keys[i].public_key, 32,
                                    m.known + i, &error),
             &error);
    }
    static const char *const folders[] = {"",
                                          "metadata",
                                          "targets",
                                          "targets/product",
                                          "targets/product/north",
                                          "targets/product/east",
                                          "targets/product/west",
                                          "targets/product/south"};
    for (size_t i = 1; i < sizeof folders / sizeof *folders; i++) make_folder(&m, folders[i]);
    make_roots(&m);
    make_all_targets(&m, files);
    make_rest(&m, files);
    (void)covey__buffer_text(&m.wanted, "}\n");
    must(covey__buffer_check(&m.wanted, &error, "wanted.json"), &error);
    save(&m, "wanted.json", m.wanted.data, m.wanted.size);
    covey__buffer_free(&m.wanted);
    covey__arena_free(&m.arena);
    return 0;
}
