/* Building an ensemble, by the publisher. Everything is made in a folder beside the one that was
 * asked for and renamed at the end, so that OUT is a whole ensemble or is not there. The order:
 * check what the person wrote, copy, open the model as it was copied, bind the adapters to it,
 * record bits probes with them, write probes, encrypt what is to be encrypted, write the manifest,
 * then open the result as a device does and run all of its probes. */
#include <covey/bundle.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "bundle/manifest_build.h"
#include "bundle/model_template.h"
#include "bundle/probes.h"
#include "engine/adapter.h"
#include "engine/engine.h"
#include "library/bundle_encrypt.h"
#include "library/probe_run.h"
#include "policy/policy.h"

#include "base/json.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PIECE_BYTES      (1u << 20)
#define DOCUMENT_MAX     (4u << 20)
#define TASK_LINES_MAX   (64u << 20)
#define PART_COUNT_MAX   (5 + COVEY_ADAPTERS_MAX)
#define BITS_DEFAULT     3
#define BITS_MAX         64
#define SCORE_TOKENS_MAX 96

typedef struct build {
    covey_runtime *runtime;
    const covey__env *env;
    const covey_bundle_options *options;
    char *folder; /* the one beside OUT */
    covey_model *model;
    covey_model_info info;
    covey_adapter_offer adapters[COVEY_ADAPTERS_MAX]; /* on `model` */
    size_t adapter_count;
    covey__probes *probes;
    covey__manifest_part parts[PART_COUNT_MAX];
    size_t part_count;
    char variant[65];
    uint64_t memory_bytes;
    covey__content_key key;     /* with content_key_file */
    uint8_t model_identity[32]; /* what adapters are bound to and sessions go by */
    covey_progress_fn progress; /* may be NULL */
    void *progress_user;
} build;

static covey_status read_text(const build *b, const char *path, size_t size_max,
                              covey__buffer *text, covey_error *error) {
    covey__buffer_init(text, b->env, size_max);
    return covey__file_read(b->env, path, text, error);
}

static covey_status tell(const build *b, const char *what, uint64_t done, uint64_t total,
                         covey_error *error) {
    if (b->progress == NULL || b->progress(b->progress_user, what, done, total)) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_CANCELLED, "stopped by the caller");
}

static covey_status copy_file(const build *b, const char *from, const char *to,
                              covey_error *error) {
    const covey__env *env = b->env;
    int in = -1, out = -1;
    uint64_t size;
    uint8_t *piece = covey__alloc(env, PIECE_BYTES);
    if (piece == NULL) return covey__no_memory(error, "piece", PIECE_BYTES);
    covey_status status = covey__file_size(env, from, &size, error);
    if (status == COVEY_OK)
        status = covey__file_open(env, from, O_RDONLY | O_CLOEXEC, 0, &in, error);
    if (status == COVEY_OK)
        status =
            covey__file_open(env, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644, &out, error);
    for (uint64_t at = 0; status == COVEY_OK && at < size;) {
        uint64_t left = size - at;
        size_t count = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        status = covey__file_read_at(env, in, from, at, piece, count, error);
        if (status == COVEY_OK)
            status = covey__file_write_at(env, out, to, at, piece, count, error);
        at += count;
        if (status == COVEY_OK) status = tell(b, "MiB copied", at >> 20, size >> 20, error);
    }
    if (status == COVEY_OK) status = covey__file_sync(env, out, to, error);
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    covey__free(env, piece);
    return status;
}

/* A component's file into the folder; `to` gets the path there and is the caller's to free. */
static covey_status add_part(build *b, const char *role, const char *file, char **to,
                             covey_error *error) {
    *to = covey__path_join(b->env, b->folder, file);
    if (*to == NULL) return covey__no_memory(error, "path", strlen(file));
    b->parts[b->part_count++] = (covey__manifest_part){.role = role, .file = file};
    return COVEY_OK;
}

static covey_status add_model(build *b, covey_error *error) {
    const covey_bundle_options *o = b->options;
    char *to = NULL;
    covey__buffer text;
    covey__buffer_init(&text, b->env, DOCUMENT_MAX);
    covey_status status = add_part(b, "model", "model.gguf", &to, error);
    if (status == COVEY_OK && o->chat_template != NULL) {
        status = covey__file_read(b->env, o->chat_template, &text, error);
        if (status == COVEY_OK)
            status = covey__template_set(b->env, o->model, to, text.data == NULL ? "" : text.data,
                                         text.size, error);
    } else if (status == COVEY_OK) {
        status = copy_file(b, o->model, to, error);
    }
    covey__buffer_free(&text);
    covey__free(b->env, to);
    return status == COVEY_OK ? status : covey__prefix(error, status, "model");
}

/* Small documents are checked for what they are before they are copied. */
static covey_status check_document(const build *b, const char *role, const covey__buffer *text,
                                   covey_error *error) {
    covey__policy policy;
    covey__arena arena;
    const covey__json *root;
    const char *data = text->data == NULL ? "" : text->data;
    if (strcmp(role, "policy") == 0)
        return covey__policy_parse(b->env, data, text->size, &policy, error);
    if (strcmp(role, "tools") != 0) return COVEY_OK;
    covey__arena_init(&arena, b->env, 64u << 20);
    covey_status status =
        covey__json_parse(&arena, data, text->size, COVEY__JSON_LIMITS_DEFAULT, &root, error);
    covey__arena_free(&arena);
    return status;
}

static covey_status add_document(build *b, const char *role, const char *file, const char *from,
                                 covey_error *error) {
    char *to = NULL;
    covey__buffer text;
    if (from == NULL) return COVEY_OK;
    covey_status status = read_text(b, from, DOCUMENT_MAX, &text, error);
    if (status == COVEY_OK) status = check_document(b, role, &text, error);
    if (status == COVEY_OK) status = add_part(b, role, file, &to, error);
    if (status == COVEY_OK)
        status =
            covey__file_replace(b->env, to, text.data == NULL ? "" : text.data, text.size, error);
    covey__free(b->env, to);
    covey__buffer_free(&text);
    return status == COVEY_OK ? status : covey__prefix(error, status, "%s", role);
}

static covey_status open_model(build *b, covey_error *error) {
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    char *path = covey__path_join(b->env, b->folder, "model.gguf");
    if (path == NULL) return covey__no_memory(error, "path", 1);
    source.path = path;
    covey_status status = COVEY_OK;
    if (b->options->content_key_file != NULL) {
        /* As devices will know it: the digest of its file, which is yet to be encrypted, says
         * nothing of what adapters are bound to. */
        status = covey__encrypted_identity(b->env, &b->key, path, b->model_identity, error);
        source.identity = b->model_identity;
    }
    if (status == COVEY_OK) status = covey_model_open(b->runtime, &source, &b->model, error);
    covey__free(b->env, path);
    if (status != COVEY_OK) return status;
    b->info = (covey_model_info)COVEY_MODEL_INFO_INIT;
    covey_model_describe(b->model, &b->info);
    if (!b->info.generates)
        return covey__fail(
            error, COVEY_ERROR_UNSUPPORTED,
            "model: expected one that answers prompts, for the probes of an ensemble "
            "are answers; found an encoder (%s), which is served from its file",
            b->info.architecture);
    const char *variant = b->options->variant != NULL ? b->options->variant : b->info.quantization;
    snprintf(b->variant, sizeof b->variant, "%s", variant);
    for (char *c = b->variant; b->options->variant == NULL && *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return COVEY_OK;
}

/* ---- Adapters ---- */

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Their names must not meet those of other components, and tell which is which. */
static covey_status check_adapters(const covey_bundle_options *o, covey_error *error) {
    static const char *const taken[] = {"model.gguf", "tools.json", "template.jinja", "policy.json",
                                        "probes.json"};
    if (o->adapter_count > COVEY_ADAPTERS_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "bundle: at most %d adapters, found %zu",
                           COVEY_ADAPTERS_MAX, o->adapter_count);
    for (size_t i = 0; i < o->adapter_count; i++) {
        const covey_bundle_adapter *one = &o->adapters[i];
        const char *name = one->path == NULL ? "" : last_part(one->path);
        bool again = false;
        for (size_t k = 0; k < sizeof taken / sizeof *taken; k++)
            again |= strcasecmp(name, taken[k]) == 0;
        for (size_t k = 0; k < i; k++)
            again |= strcasecmp(name, last_part(o->adapters[k].path)) == 0;
        if (!covey__component_name_valid(name) || again)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "bundle: adapter \"%s\": %s; rename the file", name,
                               again ? "another component has this name"
                                     : "its name may have letters, digits, '.', '_' and '-'");
        if (one->scale != 0.0f && !covey__adapter_scale_valid(one->scale))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "bundle: adapter \"%s\": the scale is a number of at most 1000 "
                               "either way",
                               name);
    }
    return COVEY_OK;
}

/* A copy that is bound to the ensemble's model. What the file says of its base is held against the
 * model as it was given: the copy's template may differ, and with it the digest. */
static covey_status add_adapter(build *b, covey_model *given, const covey_bundle_adapter *one,
                                const uint8_t model_sha256[32], covey_error *error) {
    const char *name = last_part(one->path);
    char *to = NULL;
    covey_adapter *adapter = NULL;
    covey_adapter_offer *offer = &b->adapters[b->adapter_count];
    covey_status status = covey_adapter_open(given, one->path, &adapter, error);
    covey_adapter_close(adapter);
    if (status == COVEY_OK) status = add_part(b, "adapter", name, &to, error);
    if (status == COVEY_OK)
        status = covey__adapter_bind_to(given, one->path, to, model_sha256, error);
    if (status == COVEY_OK)
        status = covey__adapter_open_vouched(b->model, to, &offer->adapter, error);
    covey__free(b->env, to);
    if (status != COVEY_OK) return covey__prefix(error, status, "adapter \"%s\"", name);
    offer->scale = one->scale == 0.0f ? 1.0f : one->scale;
    offer->on_request = one->on_request;
    b->parts[b->part_count - 1].scale = offer->scale;
    b->parts[b->part_count - 1].on_request = offer->on_request;
    b->adapter_count++;
    return COVEY_OK;
}

static covey_status add_adapters(build *b, covey_error *error) {
    const covey_bundle_options *o = b->options;
    covey_model *given = NULL;
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    uint8_t sha256[32];
    if (o->adapter_count == 0) return COVEY_OK;
    source.path = o->model;
    covey_status status = covey_model_open(b->runtime, &source, &given, error);
    if (status == COVEY_OK && o->content_key_file != NULL)
        memcpy(sha256, b->model_identity, sizeof sha256);
    else if (status == COVEY_OK)
        status = covey__model_file_digest(b->model, sha256, error);
    for (size_t i = 0; i < o->adapter_count && status == COVEY_OK; i++)
        status = add_adapter(b, given, &o->adapters[i], sha256, error);
    covey_model_close(given);
    return status;
}

static void close_adapters(build *b) {
    for (size_t i = 0; i < b->adapter_count; i++) covey_adapter_close(b->adapters[i].adapter);
}

static covey__probed probed_of(const build *b) {
    covey__probed probed = {.model = b->model};
    covey__probed_use(&probed, b->adapters, b->adapter_count);
    return probed;
}

/* The files, which are mapped, and what a session of default length takes. */
static covey_status estimate_memory(build *b, covey_error *error) {
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    const covey__probed probed = probed_of(b);
    uint64_t session = 0, size = 0;
    covey_status status = COVEY_OK;
    b->memory_bytes = b->options->needs_memory_bytes;
    if (b->memory_bytes != 0) return COVEY_OK;
    for (size_t i = 0; i < b->part_count && status == COVEY_OK; i++) {
        const char *role = b->parts[i].role;
        if (strcmp(role, "model") != 0 && strcmp(role, "adapter") != 0) continue;
        char *path = covey__path_join(b->env, b->folder, b->parts[i].file);
        if (path == NULL) return covey__no_memory(error, "path", 1);
        status = covey__file_size(b->env, path, &size, error);
        covey__free(b->env, path);
        if (status == COVEY_OK && !covey__add_u64(size, b->memory_bytes, &b->memory_bytes))
            status = covey__fail(error, COVEY_ERROR_LIMIT, "needs.memory_bytes: too large");
    }
    options.adapters = probed.adapters;
    options.adapter_count = probed.adapter_count;
    if (status == COVEY_OK) status = covey_session_plan(b->model, &options, &session, error);
    if (status == COVEY_OK && !covey__add_u64(session, b->memory_bytes, &b->memory_bytes))
        status = covey__fail(error, COVEY_ERROR_LIMIT, "needs.memory_bytes: too large");
    return status;
}

/* Keeps `max` task probes, evenly spread over the file, so that every kind in it stays. */
static void thin_tasks(covey__probes *probes, int32_t max) {
    if (max <= 0 || probes->task_count <= (size_t)max) return;
    for (size_t i = 0; i < (size_t)max; i++)
        probes->tasks[i] = probes->tasks[i * probes->task_count / (size_t)max];
    probes->task_count = (size_t)max;
}

static covey_status make_probes(build *b, covey_error *error) {
    const covey_bundle_options *o = b->options;
    covey__buffer text;
    covey__buffer_init(&text, b->env, TASK_LINES_MAX);
    covey_status status = covey__probes_new(b->env, &b->probes, error);
    if (status == COVEY_OK && o->task_probes != NULL) {
        status = covey__file_read(b->env, o->task_probes, &text, error);
        if (status == COVEY_OK)
            status = covey__probes_add_lines(b->probes, text.data == NULL ? "" : text.data,
                                             text.size, error);
        if (status == COVEY_OK && b->probes->task_count == 0)
            status =
                covey__fail(error, COVEY_ERROR_FORMAT, "%s holds no task probe", o->task_probes);
    }
    covey__buffer_free(&text);
    if (status != COVEY_OK) return status;
    thin_tasks(b->probes, o->task_probe_count_max);
    b->probes->task_score_min = o->task_score_min;
    b->probes->task_tokens_max = o->task_tokens_max > 0 ? o->task_tokens_max : SCORE_TOKENS_MAX;
    int32_t count = o->bits_probe_count == 0 ? BITS_DEFAULT : o->bits_probe_count;
    const covey__probed probed = probed_of(b);
    return covey__bits_record(b->probes, &probed, count, error);
}

static covey_status write_probes(build *b, covey_error *error) {
    char *to = NULL;
    covey__buffer text;
    if (b->probes->bits_count == 0 && b->probes->task_count == 0) return COVEY_OK;
    covey__buffer_init(&text, b->env, COVEY__PROBES_BYTES_MAX);
    covey_status status = covey__probes_write(b->probes, &text, error);
    if (status == COVEY_OK) status = add_part(b, "probes", "probes.json", &to, error);
    if (status == COVEY_OK) status = covey__file_replace(b->env, to, text.data, text.size, error);
    covey__free(b->env, to);
    covey__buffer_free(&text);
    return status;
}

static covey__manifest_spec spec_of(const build *b) {
    return (covey__manifest_spec){
        .name = b->options->name,
        .version = b->options->version,
        .variant = b->variant,
        .parts = b->parts,
        .part_count = b->part_count,
        .memory_bytes = b->memory_bytes,
        .arithmetic_version = b->info.arithmetic_version,
        .app = b->options->needs_app,
        .os = b->options->needs_os,
        .os_count = b->options->needs_os_count,
    };
}

/* What can be said to be wrong before a model is copied. */
static covey_status check_options(build *b, covey_error *error) {
    const covey_bundle_options *o = b->options;
    if (o->model == NULL || o->out == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: a model and a folder to build in must be named");
    if (!(o->task_score_min >= 0.0 && o->task_score_min <= 1.0))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: the least score of task probes is a share, 0 to 1");
    if (o->bits_probe_count < -1 || o->bits_probe_count > BITS_MAX)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: 1 to %d bits probes, 0 for the default, -1 for none", BITS_MAX);
    if (covey__file_exists(o->out))
        return covey__fail(error, COVEY_ERROR_EXISTS,
                           "bundle: %s exists; name a folder that does not, or remove it", o->out);
    covey_status status = check_adapters(o, error);
    if (status != COVEY_OK) return status;
    covey__manifest_spec spec = spec_of(b);
    spec.variant = o->variant != NULL ? o->variant : "default";
    return covey__manifest_spec_check(&spec, error);
}

static covey_status collect(build *b, covey_error *error) {
    const covey_bundle_options *o = b->options;
    covey_status status = COVEY_OK;
    if (o->content_key_file != NULL)
        status = covey__content_key_read(b->env, o->content_key_file, &b->key, error);
    if (status == COVEY_OK) status = covey__folder_make(b->env, b->folder, error);
    if (status == COVEY_OK) status = add_model(b, error);
    if (status == COVEY_OK) status = add_document(b, "tools", "tools.json", o->tools, error);
    if (status == COVEY_OK)
        status = add_document(b, "template", "template.jinja", o->chat_template, error);
    if (status == COVEY_OK) status = add_document(b, "policy", "policy.json", o->policy, error);
    if (status == COVEY_OK) status = open_model(b, error);
    if (status == COVEY_OK) status = add_adapters(b, error);
    if (status == COVEY_OK) status = estimate_memory(b, error);
    if (status == COVEY_OK) status = make_probes(b, error);
    if (status == COVEY_OK) status = write_probes(b, error);
    if (status == COVEY_OK && o->content_key_file != NULL)
        status = covey__encrypt_parts(b->env, &b->key, b->folder, b->parts, b->part_count, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "bundle");
    covey__manifest_spec spec = spec_of(b);
    return covey__manifest_write(b->env, b->folder, &spec, error);
}

static covey_status prove(build *b, covey_probe_result *result, covey_error *error,
                          covey_progress_fn progress, void *user) {
    covey_ensemble *ensemble = NULL;
    covey_status status =
        covey_ensemble_open(b->runtime, b->folder, COVEY_CHECK_DIGESTS, &ensemble, error);
    if (status != COVEY_OK) return status;
    if (b->options->content_key_file != NULL)
        status = covey_ensemble_give_key(ensemble, b->key.key, error);
    if (status == COVEY_OK) status = covey_ensemble_probe(ensemble, result, error, progress, user);
    covey_ensemble_close(ensemble);
    /* Failing bits probes are never allowed: they were recorded a moment ago on this engine. */
    bool bits_equal = result->bits_passed == result->bits_count;
    if (status == COVEY_ERROR_REFUSED && b->options->allow_failing && bits_equal) return COVEY_OK;
    return status;
}

static covey_status settle(build *b, covey_error *error) {
    covey_status status = covey__folder_sync(b->env, b->folder, error);
    return status == COVEY_OK ? covey__file_rename(b->env, b->folder, b->options->out, error)
                              : status;
}

covey_status covey_bundle_build(covey_runtime *runtime, const covey_bundle_options *options,
                                covey_probe_result *result, covey_error *error,
                                covey_progress_fn progress, void *user) {
    if (runtime == NULL || options == NULL || options->size < sizeof(size_t))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "bundle: options must be set to COVEY_BUNDLE_OPTIONS_INIT first");
    covey_bundle_options own = COVEY_BUNDLE_OPTIONS_INIT;
    memcpy(&own, options, options->size < sizeof own ? options->size : sizeof own);
    const covey__env *env = covey__runtime_env(runtime);
    char *out = options->out == NULL ? NULL : covey__strdup(env, options->out);
    if (options->out != NULL && out == NULL)
        return covey__no_memory(error, "bundle: path", strlen(options->out));
    /* "folder/" is "folder": what is built stands beside it first, and not in it. */
    for (size_t n = out == NULL ? 0 : strlen(out); n > 1 && out[n - 1] == '/'; n--) out[n - 1] = 0;
    own.out = out;
    build b = {.runtime = runtime,
               .env = env,
               .options = &own,
               .progress = progress,
               .progress_user = user};
    covey_probe_result figures = COVEY_PROBE_RESULT_INIT;
    covey_status status = check_options(&b, error);
    if (status != COVEY_OK) goto end;
    b.folder = covey__format(env, "%s.partial-%ld", out, (long)getpid());
    if (b.folder == NULL) {
        status = covey__no_memory(error, "bundle: path", strlen(out));
        goto end;
    }
    status = collect(&b, error);
    close_adapters(&b);
    covey_model_close(b.model);
    covey__probes_free(b.probes);
    if (status == COVEY_OK) status = prove(&b, &figures, error, progress, user);
    if (status == COVEY_OK) status = settle(&b, error);
    if (status != COVEY_OK) {
        covey_status ignored = covey__tree_remove(b.env, b.folder, NULL);
        (void)ignored;
    }
end:
    covey__content_key_wipe(&b.key);
    covey__free(env, b.folder);
    covey__free(env, out);
    if (result != NULL && result->size >= sizeof figures) *result = figures;
    return status;
}
