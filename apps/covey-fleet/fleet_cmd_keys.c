/* covey-fleet keys: who may sign what. Keys are made and kept where people are, never on the
 * control plane, which has the online key alone (docs/trust.md). */
#include "covey-fleet/fleet_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM_WORDS_MAX 16

/* ---- init and new -------------------------------------------------------------------------- */

static int keys_init(int argc, char **argv) {
    static const char name[] = "covey-fleet keys init";
    fleet_folder of = {0};
    int64_t root_keys = 3, threshold = 2;
    app_texts products = {.count = 0};
    bool plain = false;
    const app_option options[] = {
        {"product", 'p', APP_TEXTS, &products, "NAME", "an ensemble's name: it gets its own key", 0,
         0},
        {"root-keys", 0, APP_INT, &root_keys, "N", "keys of the root (3)", 1, 16},
        {"threshold", 0, APP_INT, &threshold, "N", "of them must sign a new root (2)", 1, 16},
        {"passphrase-file", 0, APP_TEXT, &of.passphrase_file, "FILE",
         "whose first line is the passphrase (else the terminal is asked twice)", 0, 0},
        {"no-passphrase", 0, APP_FLAG, &plain, NULL,
         "keys that whoever reads the file can use: for tests and demos only", 0, 0},
        {0}};
    const app_command command = {
        name,
        "DIR",
        "Makes a key folder: the root's keys (2 of 3 must sign), one for targets, one for\n"
        "steering, one a product, all encrypted with a passphrase, and online.key, plain, for the\n"
        "control plane. DIR/metadata has the first signed documents, DIR/root.json is what an app\n"
        "ships with. Give the root keys to different people; nothing is ever overwritten.",
        "  covey-fleet keys init keys --product assistant",
        options,
        1,
        1};
    app_positional folder;
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &folder, &exit_status)) return exit_status;
    covey_fleet_keys_make_options make = COVEY_FLEET_KEYS_MAKE_OPTIONS_INIT;
    make.folder = folder.items[0];
    of.folder = folder.items[0];
    of.once = true;
    make.root_keys = (int32_t)root_keys;
    make.threshold = (int32_t)threshold;
    make.products = products.items;
    make.product_count = products.count;
    make.passphrase = plain ? NULL : fleet_passphrase;
    make.passphrase_user = &of;
    covey_status status = fleet_runtime(&runtime, false, &error);
    if (status == COVEY_OK) status = covey_fleet_keys_make(runtime, &make, &error);
    explicit_bzero(of.known, sizeof(of.known));
    covey_runtime_close(runtime);
    if (status != COVEY_OK) return fleet_failed(name, &error);
    printf("%s: keys of root (%d of %d), targets, steering", folder.items[0], make.threshold,
           make.root_keys);
    for (size_t i = 0; i < products.count; i++) printf(", %s", products.items[i]);
    printf("\n%s/online.key is for the control plane: covey-fleet serve --online-key\n"
           "%s/root.json is for the app\n",
           folder.items[0], folder.items[0]);
    if (plain) printf("The keys have no passphrase: for tests and demos only.\n");
    return APP_EXIT_DONE;
}

static int keys_new(int argc, char **argv) {
    static const char name[] = "covey-fleet keys new";
    fleet_folder of = {0};
    bool plain = false;
    const app_option options[] = {
        {"passphrase-file", 0, APP_TEXT, &of.passphrase_file, "FILE",
         "whose first line is the passphrase (else the terminal is asked twice)", 0, 0},
        {"no-passphrase", 0, APP_FLAG, &plain, NULL,
         "a key that whoever reads the file can use: for tests and demos only", 0, 0},
        {0}};
    const app_command command = {
        name,
        "FILE",
        "Makes one key on the machine of whoever will hold it, and prints its public half, which\n"
        "\"covey-fleet keys add ROLE --public\" takes as a file.",
        "  covey-fleet keys new mine.key >mine.pub",
        options,
        1,
        1};
    app_positional file;
    covey_error error = {0};
    covey_runtime *runtime = NULL;
    char public_key[65] = "";
    int exit_status;
    if (!app_options_read(&command, argc, argv, &file, &exit_status)) return exit_status;
    covey_status status = fleet_runtime(&runtime, false, &error);
    if (status == COVEY_OK) {
        status = covey_fleet_key_make(runtime, file.items[0], plain ? NULL : fleet_passphrase, &of,
                                      public_key, &error);
    }
    covey_runtime_close(runtime);
    if (status != COVEY_OK) return fleet_failed(name, &error);
    printf("%s\n", public_key);
    return APP_EXIT_DONE;
}

/* ---- status, push, pull, import ------------------------------------------------------------ */

typedef struct expiry {
    int32_t warnings, expired;
} expiry;

static covey_status ask_status(void *user, const fleet_session *session, covey_fleet_keys *keys,
                               char **text, covey_error *error) {
    expiry *found = user;
    covey_status status = COVEY_OK;
    if (session->client != NULL) status = covey_fleet_keys_pull(session->client, keys, error);
    if (status != COVEY_OK) return status;
    return covey_fleet_keys_status(keys, session->format, text, &found->warnings, &found->expired,
                                   error);
}

static int keys_status(int argc, char **argv) {
    static const char name[] = "covey-fleet keys status";
    fleet_folder of = {0};
    fleet_server server = {0};
    const app_option options[] = {FLEET_FOLDER_OPTIONS(of), FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {
        name,
        "",
        "Shows the roles with their versions, keys, thresholds and expiry, and which keys are\n"
        "here. With a control plane named, what it serves is taken first. Exit status: 0 good,\n"
        "4 something expires within four weeks, 1 something has expired.",
        "  covey-fleet keys status --keys keys",
        options,
        0,
        0};
    app_positional none;
    expiry found = {0, 0};
    int exit_status;
    if (!app_options_read(&command, argc, argv, &none, &exit_status)) return exit_status;
    exit_status = fleet_folder_ask(name, &of, &server, false, ask_status, &found);
    if (exit_status != APP_EXIT_DONE) return exit_status;
    return found.expired > 0    ? APP_EXIT_FAILED
           : found.warnings > 0 ? APP_EXIT_WAITING
                                : APP_EXIT_DONE;
}

static covey_status ask_push(void *user, const fleet_session *session, covey_fleet_keys *keys,
                             char **text, covey_error *error) {
    (void)user;
    return covey_fleet_keys_push(session->client, keys, text, error);
}

static int keys_push(int argc, char **argv) {
    static const char name[] = "covey-fleet keys push";
    fleet_folder of = {0};
    fleet_server server = {0};
    const app_option options[] = {FLEET_FOLDER_OPTIONS(of), FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {name,
                                 "",
                                 "Takes what the control plane serves and is newer, then sends all "
                                 "documents that it lacks.",
                                 "  covey-fleet keys push --keys keys",
                                 options,
                                 0,
                                 0};
    app_positional none;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &none, &exit_status)) return exit_status;
    return fleet_folder_ask(name, &of, &server, true, ask_push, NULL);
}

static covey_status ask_pull(void *user, const fleet_session *session, covey_fleet_keys *keys,
                             char **text, covey_error *error) {
    (void)user;
    (void)text;
    return covey_fleet_keys_pull(session->client, keys, error);
}

static int keys_pull(int argc, char **argv) {
    static const char name[] = "covey-fleet keys pull";
    fleet_folder of = {0};
    fleet_server server = {0};
    const app_option options[] = {FLEET_FOLDER_OPTIONS(of), FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {
        name,
        "",
        "Takes what the control plane serves, verified from the folder's root.json on. So a team\n"
        "begins: a folder with root.json and the team's key.",
        "  covey-fleet keys pull --keys team",
        options,
        0,
        0};
    app_positional none;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &none, &exit_status)) return exit_status;
    return fleet_folder_ask(name, &of, &server, true, ask_pull, NULL);
}

static covey_status ask_import(void *user, const fleet_session *session, covey_fleet_keys *keys,
                               char **text, covey_error *error) {
    return covey_fleet_import(session->client, keys, user, text, error);
}

static int keys_import(int argc, char **argv) {
    static const char name[] = "covey-fleet keys import";
    fleet_folder of = {0};
    fleet_server server = {0};
    const app_option options[] = {FLEET_FOLDER_OPTIONS(of), FLEET_SERVER_OPTIONS(server), {0}};
    const app_command command = {
        name,
        "FILE",
        "Takes back what was written with --export, once enough have signed it. With a control\n"
        "plane named, it is sent there too.",
        "  covey-fleet keys import new-root.json --keys keys",
        options,
        1,
        1};
    app_positional file;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &file, &exit_status)) return exit_status;
    return fleet_folder_ask(name, &of, &server, false, ask_import, file.items[0]);
}

/* ---- changes ------------------------------------------------------------------------------- */

typedef struct change_words {
    app_texts public_files;
    const char *program, *export_file;
    int64_t threshold;
    bool make_new;
    fleet_folder of;
    fleet_server server;
} change_words;

#define CHANGE_OPTIONS(c)                                                                          \
    {"export", 'x',                                                                                \
     APP_TEXT, &(c).export_file,                                                                   \
     "FILE",   "write what is to be signed there; others add their signatures",                    \
     0,        0},                                                                                 \
        FLEET_FOLDER_OPTIONS((c).of), FLEET_SERVER_OPTIONS((c).server)

#define KEY_OPTIONS(c)                                                                             \
    {"public",  0,                                                                                 \
     APP_TEXTS, &(c).public_files,                                                                 \
     "FILE",    "a public key: 64 hex digits, PEM or a TUF key object",                            \
     0,         0},                                                                                \
        {"new", 'n', APP_FLAG, &(c).make_new, NULL, "make a key in the folder", 0, 0},             \
        {"no-passphrase",                                                                          \
         0,                                                                                        \
         APP_FLAG,                                                                                 \
         &(c).of.plain,                                                                            \
         NULL,                                                                                     \
         "make it a key that whoever reads the file can use",                                      \
         0,                                                                                        \
         0},                                                                                       \
        {"program", 0,                                                                             \
         APP_TEXT,  &(c).program,                                                                  \
         "CMD",     "that signs with the first public key (a path and words; no shell)",           \
         0,         0},                                                                            \
    {                                                                                              \
        "threshold", 0, APP_INT, &(c).threshold, "N",                                              \
            "signatures that the role needs from now on", 1, 64                                    \
    }

/* A control plane that serves nothing yet is no reason to stop. */
static covey_status pull_first(covey_fleet_client *client, covey_fleet_keys *keys,
                               covey_error *error) {
    covey_status status = covey_fleet_keys_pull(client, keys, error);
    return status == COVEY_ERROR_NOT_FOUND ? COVEY_OK : status;
}

static covey_status ask_change(void *user, const fleet_session *session, covey_fleet_keys *keys,
                               char **text, covey_error *error) {
    covey_status status = COVEY_OK;
    if (session->client != NULL) status = pull_first(session->client, keys, error);
    return status == COVEY_OK ? covey_fleet_keys_apply(keys, user, text, error) : status;
}

static int apply(const char *name, change_words *c, covey_fleet_keys_change *change) {
    char *words = NULL;
    const char *program[PROGRAM_WORDS_MAX + 1] = {NULL};
    change->public_files = c->public_files.items;
    change->public_count = c->public_files.count;
    change->make_new = c->make_new;
    change->threshold = (int32_t)c->threshold;
    change->export_file = c->export_file;
    if (c->program != NULL) {
        size_t count = 0;
        words = strdup(c->program);
        if (words == NULL) abort();
        char *rest = words, *word;
        while ((word = strsep(&rest, " ")) != NULL && count < PROGRAM_WORDS_MAX)
            if (word[0] != '\0') program[count++] = word;
        change->program = program;
    }
    int exit_status = fleet_folder_ask(name, &c->of, &c->server, false, ask_change, change);
    free(words);
    return exit_status;
}

static int keys_add(int argc, char **argv) {
    static const char name[] = "covey-fleet keys add";
    change_words c = {.export_file = NULL};
    const app_option options[] = {KEY_OPTIONS(c), CHANGE_OPTIONS(c), {0}};
    const app_command command = {
        name,
        "ROLE",
        "Adds a key to a role (root, targets, online, steering or a product) and signs what that\n"
        "needs. \"keys push\" sends it.",
        "  covey-fleet keys add assistant --public colleague.pub --keys keys",
        options,
        1,
        1};
    app_positional role;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &role, &exit_status)) return exit_status;
    if (!c.make_new && c.public_files.count == 0) {
        fprintf(stderr, "%s: expected --public FILE or --new\n", name);
        return APP_EXIT_USAGE;
    }
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = role.items[0];
    return apply(name, &c, &change);
}

static int keys_rotate(int argc, char **argv) {
    static const char name[] = "covey-fleet keys rotate";
    change_words c = {.export_file = NULL};
    const char *id = NULL;
    const app_option options[] = {{"key", 0, APP_TEXT, &id, "ID",
                                   "the one to take away (default: all that the role has)", 0, 0},
                                  KEY_OPTIONS(c),
                                  CHANGE_OPTIONS(c),
                                  {0}};
    const app_command command = {
        name,
        "ROLE",
        "Puts a new key in the place of an old one: made in the folder, unless --public brings "
        "it.\n"
        "After a theft this takes the stolen key's power away. Rotate \"online\" with the control\n"
        "plane started on the new online key first.",
        "  covey-fleet keys rotate assistant --keys keys\n"
        "  covey-fleet keys rotate root --key 1f0c22aa --keys keys",
        options,
        1,
        1};
    app_positional role;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &role, &exit_status)) return exit_status;
    if (c.public_files.count == 0) c.make_new = true;
    if (strcmp(role.items[0], "root") == 0 && id == NULL) {
        fprintf(stderr, "%s: expected --key ID: root keys are rotated one at a time\n", name);
        return APP_EXIT_USAGE;
    }
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = role.items[0];
    change.rotate = true;
    change.remove = id;
    return apply(name, &c, &change);
}

static int keys_revoke(int argc, char **argv) {
    static const char name[] = "covey-fleet keys revoke";
    change_words c = {.export_file = NULL};
    const app_option options[] = {{"threshold", 0, APP_INT, &c.threshold, "N",
                                   "signatures that the role needs from now on", 1, 64},
                                  CHANGE_OPTIONS(c),
                                  {0}};
    const app_command command = {name,
                                 "ROLE ID",
                                 "Takes a key away from a role. ID may be how the id begins.",
                                 "  covey-fleet keys revoke root 1f0c22aa --keys keys",
                                 options,
                                 2,
                                 2};
    app_positional words;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &words, &exit_status)) return exit_status;
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = words.items[0];
    change.remove = words.items[1];
    return apply(name, &c, &change);
}

static int keys_renew(int argc, char **argv) {
    static const char name[] = "covey-fleet keys renew";
    change_words c = {.export_file = NULL};
    const app_option options[] = {CHANGE_OPTIONS(c), {0}};
    const app_command command = {
        name,
        "[ROLE]",
        "Signs a role's document anew, with the same content and a new expiry in a year; without\n"
        "ROLE, every one.",
        "  covey-fleet keys renew steering --keys keys",
        options,
        0,
        1};
    app_positional role;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &role, &exit_status)) return exit_status;
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = role.count > 0 ? role.items[0] : NULL;
    change.renew = true;
    return apply(name, &c, &change);
}

static int product_add(int argc, char **argv) {
    static const char name[] = "covey-fleet keys product add";
    change_words c = {.export_file = NULL};
    const app_option options[] = {KEY_OPTIONS(c), CHANGE_OPTIONS(c), {0}};
    const app_command command = {
        name,
        "NAME",
        "Adds a product: a role that signs NAME/*/* alone, with a key of its own, made in the\n"
        "folder unless --public brings the team's. With the team's key elsewhere, --export lets\n"
        "them sign their first document.",
        "  covey-fleet keys product add translator --keys keys\n"
        "  covey-fleet keys product add translator --public team.pub --export new.json --keys keys",
        options,
        1,
        1};
    app_positional product;
    int exit_status;
    if (!app_options_read(&command, argc, argv, &product, &exit_status)) return exit_status;
    if (c.public_files.count == 0) c.make_new = true;
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = product.items[0];
    change.new_product = true;
    return apply(name, &c, &change);
}

static int keys_product(int argc, char **argv) {
    static const fleet_verb verbs[] = {{"add", product_add, "add a product with its own key"}};
    return fleet_verbs("covey-fleet keys product", verbs, 1, argc, argv);
}

int fleet_cmd_keys(int argc, char **argv) {
    static const fleet_verb verbs[] = {
        {"init", keys_init, "make a key folder with its first documents"},
        {"status", keys_status, "roles, keys, expiry"},
        {"push", keys_push, "send what the control plane lacks"},
        {"pull", keys_pull, "take what the control plane serves"},
        {"product", keys_product, "add a product with a key of its own"},
        {"new", keys_new, "make one key, for somebody else's folder"},
        {"add", keys_add, "add a key to a role"},
        {"rotate", keys_rotate, "replace a role's key"},
        {"revoke", keys_revoke, "take a key away from a role"},
        {"renew", keys_renew, "sign anew before it expires"},
        {"import", keys_import, "take back what others signed"},
    };
    return fleet_verbs("covey-fleet keys", verbs, sizeof(verbs) / sizeof(*verbs), argc, argv);
}
