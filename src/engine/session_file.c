/* Sessions in files: docs/formats/session.md. A file is written beside its place and put there
 * whole. It is read in one go, bounded by what the model and the session's options allow; nothing
 * of it is used before it was checked, and the session is given out only after the digest over all
 * of it was. The digest tells damage, not who wrote the file: so numbers are checked to be what the
 * kernels want, and a restored session leaves nothing in the prefix tree. */
#include "base/file.h"
#include "base/sha256.h"
#include "engine/engine.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define MAGIC        "COVEYSES"
#define FORMAT       1
#define HEADER_BYTES 112
#define HAS_LOGITS   1u
#define HAS_NOTE     2u
#define SAMPLE_BYTES ((size_t)1024)
#define SAMPLES      4

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define IS_LITTLE_ENDIAN false
#else
#define IS_LITTLE_ENDIAN true
#endif

/* ---- What a file is bound to ---- */

static void hash_samples(covey__sha256 *hash, const covey__gguf_tensor *tensor) {
    size_t bytes = (size_t)tensor->bytes;
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t size = bytes < SAMPLE_BYTES ? bytes : SAMPLE_BYTES;
        size_t at = (bytes - size) / (SAMPLES - 1) * i;
        covey__sha256_update(hash, tensor->data + at, size);
    }
}

/* Of all bytes before the weights, of the file's size, and of samples of each tensor: another model
 * differs in one of them, and so does this one trained further. */
covey_status covey__model_sampled_identity(const covey_model *model, uint8_t identity[32],
                                           covey_error *error) {
    covey_status status = covey__gguf_check_file(model->gguf, error);
    if (status != COVEY_OK) return status;
    covey__sha256 hash;
    uint64_t size = covey__gguf_size(model->gguf);
    covey__sha256_init(&hash);
    covey__sha256_update(&hash, &size, sizeof size);
    covey__sha256_update(&hash, covey__gguf_bytes(model->gguf),
                         (size_t)covey__gguf_data_offset(model->gguf));
    for (size_t i = 0; i < covey__gguf_tensor_count(model->gguf); i++)
        hash_samples(&hash, covey__gguf_tensor_at(model->gguf, i));
    covey__sha256_final(&hash, identity);
    return COVEY_OK;
}

covey_status covey__model_file_digest(const covey_model *model, uint8_t digest[32],
                                      covey_error *error) {
    covey_status status = covey__gguf_check_file(model->gguf, error);
    if (status != COVEY_OK) return status;
    covey__sha256_of(covey__gguf_bytes(model->gguf), (size_t)covey__gguf_size(model->gguf), digest);
    return COVEY_OK;
}

/* The digest that the opener gave, or one of samples. */
covey_status covey__model_identity(const covey_model *model, uint8_t identity[32],
                                   covey_error *error) {
    if (!model->has_identity) return covey__model_sampled_identity(model, identity, error);
    memcpy(identity, model->identity, 32);
    return COVEY_OK;
}

/* ---- The header ---- */

typedef struct header {
    uint32_t format, arithmetic, kv, flags, layers, kv_heads, head_dim, vocabulary;
    uint32_t token_count, ready;
    uint8_t identity[32], key[32];
} header;

static void put_u32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get_u32(const uint8_t *in) {
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static void encode_header(const header *h, uint8_t out[HEADER_BYTES]) {
    const uint32_t words[] = {h->format,   h->arithmetic, h->kv,         h->flags,       h->layers,
                              h->kv_heads, h->head_dim,   h->vocabulary, h->token_count, h->ready};
    memcpy(out, MAGIC, 8);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) put_u32(out + 8 + 4 * i, words[i]);
    memcpy(out + 48, h->identity, 32);
    memcpy(out + 80, h->key, 32);
}

static void decode_header(const uint8_t in[HEADER_BYTES], header *h) {
    uint32_t *const words[] = {&h->format,      &h->arithmetic, &h->kv,       &h->flags,
                               &h->layers,      &h->kv_heads,   &h->head_dim, &h->vocabulary,
                               &h->token_count, &h->ready};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) *words[i] = get_u32(in + 8 + 4 * i);
    memcpy(h->identity, in + 48, 32);
    memcpy(h->key, in + 80, 32);
}

/* What a file of this session would say. */
static covey_status make_header(const covey_session *session, header *h, covey_error *error) {
    const covey__hyper *hyper = &session->model->hyper;
    *h = (header){.format = FORMAT,
                  .arithmetic = COVEY__ARITHMETIC_VERSION,
                  .kv = (uint32_t)session->kv + 1,
                  .flags = session->has_logits ? HAS_LOGITS : 0,
                  .layers = (uint32_t)hyper->layer_count,
                  .kv_heads = (uint32_t)hyper->kv_head_count,
                  .head_dim = (uint32_t)hyper->head_dim,
                  .vocabulary = (uint32_t)hyper->vocabulary_size,
                  .token_count = (uint32_t)session->token_count,
                  .ready = (uint32_t)session->ready};
    covey__session_key(session, h->key);
    return covey__model_identity(session->model, h->identity, error);
}

static uint64_t body_bytes(const covey_model *model, const header *h, uint64_t page_bytes) {
    uint64_t bytes = (uint64_t)h->token_count * sizeof(covey_token);
    if (h->flags & HAS_LOGITS) bytes += (uint64_t)model->hyper.vocabulary_size * sizeof(float);
    return bytes + (uint64_t)covey__pages_of(h->ready) * page_bytes;
}

/* ---- Writing ---- */

typedef struct writer {
    covey__replacement file;
    covey__sha256 hash;
    uint64_t at;
} writer;

static covey_status put(writer *w, const void *data, size_t size, covey_error *error) {
    covey__sha256_update(&w->hash, data, size);
    covey_status status = covey__file_write_at(w->file.env, w->file.descriptor, w->file.path, w->at,
                                               data, size, error);
    w->at += size;
    return status;
}

/* Clears the slots of the last page that hold nothing of the session, so that a file says no more
 * than its tokens, and equal sessions make equal files. */
static void clear_rest(const covey_session *session, char *page) {
    const covey_model *model = session->model;
    const covey__hyper *hyper = &model->hyper;
    float zeros[COVEY__HEAD_DIM_MAX];
    memset(zeros, 0, sizeof zeros);
    size_t k_bytes = covey__page_k_bytes(session->kv, hyper->head_dim);
    for (int32_t layer = 0; layer < hyper->layer_count; layer++)
        for (int32_t h = 0; h < hyper->kv_head_count; h++) {
            char *at = page + covey__kv_offset(model, session->kv, layer, h);
            for (size_t slot = session->ready % COVEY__PAGE_KEYS; slot < COVEY__PAGE_KEYS; slot++)
                covey__page_put(session->kv, at, at + k_bytes, hyper->head_dim, (int32_t)slot,
                                zeros, zeros);
        }
}

static covey_status put_pages(writer *w, const covey_session *session, covey_error *error) {
    const covey__env *env = session->model->env;
    size_t bytes = session->page_bytes;
    int32_t whole = (int32_t)(session->ready / COVEY__PAGE_KEYS);
    covey_status status = COVEY_OK;
    for (int32_t i = 0; i < whole && status == COVEY_OK; i++)
        status = put(w, session->pages[i], bytes, error);
    if (status != COVEY_OK || session->ready % COVEY__PAGE_KEYS == 0) return status;
    void *base = NULL;
    char *last = covey__reserve(env, bytes, &base);
    if (!last) return covey__no_memory(error, "a page", bytes);
    memcpy(last, session->pages[whole], bytes);
    clear_rest(session, last);
    status = put(w, last, bytes, error);
    covey__free(env, base);
    return status;
}

/* What the caller keeps with the session. */
typedef struct note {
    const void *data;
    size_t size;
} note;

static covey_status put_note(writer *w, const note *n, covey_error *error) {
    uint8_t size[4];
    if (n->size == 0) return COVEY_OK;
    put_u32(size, (uint32_t)n->size);
    covey_status status = put(w, size, sizeof size, error);
    return status == COVEY_OK ? put(w, n->data, n->size, error) : status;
}

static covey_status write_all(writer *w, const covey_session *session, const note *n,
                              covey_error *error) {
    header h;
    uint8_t head[HEADER_BYTES], digest[32];
    covey_status status = make_header(session, &h, error);
    if (status != COVEY_OK) return status;
    if (n->size > 0) h.flags |= HAS_NOTE;
    encode_header(&h, head);
    covey__sha256_init(&w->hash);
    status = put(w, head, sizeof head, error);
    if (status == COVEY_OK)
        status = put(w, session->tokens, session->token_count * sizeof *session->tokens, error);
    if (status == COVEY_OK && session->has_logits)
        status = put(w, session->logits,
                     (size_t)session->model->hyper.vocabulary_size * sizeof(float), error);
    if (status == COVEY_OK) status = put_pages(w, session, error);
    if (status == COVEY_OK) status = put_note(w, n, error);
    if (status != COVEY_OK) return status;
    covey__sha256_final(&w->hash, digest);
    return covey__file_write_at(w->file.env, w->file.descriptor, w->file.path, w->at, digest,
                                sizeof digest, error);
}

covey_status covey_session_save(const covey_session *session, const char *path,
                                covey_error *error) {
    return covey_session_save_with_note(session, path, NULL, 0, error);
}

covey_status covey_session_save_with_note(const covey_session *session, const char *path,
                                          const void *data, size_t size, covey_error *error) {
    const note n = {data, size};
    if (!session || !path || (!data && size > 0))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: save: session, path and note must be given");
    if (size > COVEY_NOTE_BYTES_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY_NOTE_BYTES_MAX, (int64_t)size,
                                 "session: save: note: expected at most %d bytes, found %zu",
                                 COVEY_NOTE_BYTES_MAX, size);
    if (!IS_LITTLE_ENDIAN)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "session: save: the format is little-endian, as this machine is not");
    writer w = {.at = 0};
    covey_status status = covey__replace_begin(session->model->env, path, true, &w.file, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "session: save");
    status = write_all(&w, session, &n, error);
    if (status == COVEY_OK)
        status = covey__replace_commit(&w.file, error);
    else
        covey__replace_abort(&w.file);
    return status == COVEY_OK ? status : covey__prefix(error, status, "session: save");
}

/* ---- Reading ---- */

/* A file, or memory that stands for one. */
typedef struct source {
    const covey__env *env;
    const char *path;
    int descriptor;
    const uint8_t *memory; /* NULL: the descriptor */
    uint64_t at, size;
    covey__sha256 hash;
    char *note; /* allocated; NULL: none */
    size_t note_size;
} source;

static covey_status take(source *s, void *out, size_t size, covey_error *error) {
    if (size > s->size - s->at)
        return covey__fail(error, COVEY_ERROR_FORMAT, "the file ends too early");
    covey_status status = COVEY_OK;
    if (s->memory)
        memcpy(out, s->memory + s->at, size);
    else
        status = covey__file_read_at(s->env, s->descriptor, s->path, s->at, out, size, error);
    if (status != COVEY_OK) return status;
    covey__sha256_update(&s->hash, out, size);
    s->at += size;
    return COVEY_OK;
}

static covey_status mismatch(covey_error *error, const char *what) {
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "it was saved on %s; start the conversation anew", what);
}

static covey_status check_header(const header *found, const header *own, covey_error *error) {
    if (found->arithmetic != own->arithmetic)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "it was saved under arithmetic version %" PRIu32 ", this library has "
                           "%" PRIu32,
                           found->arithmetic, own->arithmetic);
    if (memcmp(found->identity, own->identity, 32) != 0 || found->layers != own->layers ||
        found->kv_heads != own->kv_heads || found->head_dim != own->head_dim ||
        found->vocabulary != own->vocabulary)
        return mismatch(error, "another model");
    if (found->kv != own->kv) return mismatch(error, "another KV type than was asked for");
    if (memcmp(found->key, own->key, 32) != 0)
        return mismatch(error, "other adapters, or another kind of context");
    if (found->flags & ~(HAS_LOGITS | HAS_NOTE) || found->ready > found->token_count ||
        (found->flags & HAS_LOGITS && (found->ready != found->token_count || found->ready == 0)))
        return covey__fail(error, COVEY_ERROR_FORMAT, "the header contradicts itself");
    return COVEY_OK;
}

static bool halves_finite(const uint16_t *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if ((values[i] & 0x7c00) == 0x7c00) return false;
    return true;
}

/* Kernels want pages of finite numbers. */
static bool page_finite(const covey_session *session, const void *page, size_t page_bytes) {
    int32_t dim = session->model->hyper.head_dim;
    if (session->kv == COVEY__KV_F32) return covey__finite(page, page_bytes / sizeof(float));
    if (session->kv == COVEY__KV_F16) return halves_finite(page, page_bytes / sizeof(uint16_t));
    size_t values = (size_t)dim * COVEY__PAGE_KEYS, half = covey__page_k_bytes(session->kv, dim);
    for (size_t at = 0; at < page_bytes; at += half) /* K and V alike: values, then scales */
        if (!halves_finite((const void *)((const char *)page + at + values), values / 32))
            return false;
    return true;
}

static covey_status take_pages(source *s, covey_session *session, covey_error *error) {
    size_t bytes = session->page_bytes;
    covey__pages_prepare(session, 0, session->ready);
    for (int32_t i = 0; i < covey__pages_of(session->ready); i++) {
        covey_status status = take(s, session->pages[i], bytes, error);
        if (status != COVEY_OK) return status;
        if (!page_finite(session, session->pages[i], bytes))
            return covey__fail(error, COVEY_ERROR_FORMAT, "page %" PRId32 " is not finite", i);
    }
    return COVEY_OK;
}

static covey_status take_body(source *s, const header *h, covey_session *session,
                              covey_error *error) {
    size_t vocabulary = (size_t)session->model->hyper.vocabulary_size;
    session->token_count = h->token_count;
    session->ready = h->ready;
    covey_status status =
        take(s, session->tokens, session->token_count * sizeof *session->tokens, error);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < session->token_count; i++)
        if (session->tokens[i] < 0 || (size_t)session->tokens[i] >= vocabulary)
            return covey__fail(error, COVEY_ERROR_FORMAT, "token %zu is none of the vocabulary's",
                               i);
    if (h->flags & HAS_LOGITS) {
        status = take(s, session->logits, vocabulary * sizeof *session->logits, error);
        if (status != COVEY_OK) return status;
        if (!covey__finite(session->logits, vocabulary))
            return covey__fail(error, COVEY_ERROR_FORMAT, "the logits are not finite");
        session->has_logits = true;
    }
    return take_pages(s, session, error);
}

/* `size` is what the file's length leaves for it. */
static covey_status take_note(source *s, uint64_t size, covey_error *error) {
    uint8_t stored[4];
    covey_status status = take(s, stored, sizeof stored, error);
    if (status != COVEY_OK) return status;
    if (size == 0 || get_u32(stored) != size)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "the note has %" PRIu64 " bytes, and says %" PRIu32, size,
                           get_u32(stored));
    s->note = covey__alloc(s->env, (size_t)size);
    if (!s->note) return covey__no_memory(error, "the note", (size_t)size);
    s->note_size = (size_t)size;
    return take(s, s->note, s->note_size, error);
}

/* All after the header, into a session that was just opened. */
static covey_status read_session(source *s, const header *found, covey_session *session,
                                 covey_error *error) {
    header own;
    uint8_t digest[32], stored[32];
    uint64_t page_bytes = session->page_bytes;
    covey_status status = make_header(session, &own, error);
    if (status == COVEY_OK) status = check_header(found, &own, error);
    if (status != COVEY_OK) return status;
    if (found->token_count > (uint32_t)session->context)
        return covey__fail_sizes(error, COVEY_ERROR_CONTEXT_SIZE, session->context,
                                 found->token_count,
                                 "it holds %" PRIu32 " tokens, the context has %" PRId32
                                 ": open it with a larger context_tokens",
                                 found->token_count, session->context);
    uint64_t expected = HEADER_BYTES + body_bytes(session->model, found, page_bytes) + 32;
    uint64_t note_bytes = 0; /* its length before it included */
    if (found->flags & HAS_NOTE) {
        note_bytes = s->size > expected ? s->size - expected : 0;
        if (note_bytes < 4) expected += 4;
        if (note_bytes > COVEY_NOTE_BYTES_MAX + 4) note_bytes = 0;
    }
    if (s->size != expected + note_bytes)
        return covey__fail(error, COVEY_ERROR_FORMAT, "expected %" PRIu64 " bytes, found %" PRIu64,
                           expected, s->size);
    status = take_body(s, found, session, error);
    if (status == COVEY_OK && note_bytes > 0) status = take_note(s, note_bytes - 4, error);
    if (status != COVEY_OK) return status;
    covey__sha256_final(&s->hash, digest);
    status = take(s, stored, sizeof stored, error);
    if (status == COVEY_OK && memcmp(digest, stored, sizeof digest) != 0)
        status = covey__fail(error, COVEY_ERROR_FORMAT, "the digest differs: the file is damaged");
    return status;
}

static covey_status read_header(source *s, header *h, covey_error *error) {
    uint8_t head[HEADER_BYTES];
    covey__sha256_init(&s->hash);
    covey_status status = take(s, head, sizeof head, error);
    if (status != COVEY_OK) return status;
    if (memcmp(head, MAGIC, 8) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "it is no saved session");
    decode_header(head, h);
    if (h->format != FORMAT)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "format %" PRIu32 " is not known here; this library reads %d", h->format,
                           FORMAT);
    if (h->kv < COVEY_KV_F32 || h->kv > COVEY_KV_Q8_0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "KV type %" PRIu32 " is not known", h->kv);
    return COVEY_OK;
}

static covey_status restore(covey_model *model, const covey_session_options *options, source *s,
                            covey_session **session, covey_error *error) {
    covey_session_options full = COVEY_SESSION_OPTIONS_INIT;
    header h;
    *session = NULL;
    if (!IS_LITTLE_ENDIAN)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "the format is little-endian");
    covey_status status = read_header(s, &h, error);
    if (status != COVEY_OK) return status;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    full.size = sizeof full;
    if (full.kv_type == COVEY_KV_DEFAULT) full.kv_type = (covey_kv_type)h.kv;
    covey_session *opened = NULL;
    status = covey_session_open(model, &full, &opened, error);
    if (status != COVEY_OK) return status;
    opened->alone = true; /* nobody answers for what the file holds */
    status = read_session(s, &h, opened, error);
    if (status == COVEY_OK)
        *session = opened;
    else
        covey_session_close(opened);
    return status;
}

covey_status covey__session_restore_bytes(covey_model *model, const covey_session_options *options,
                                          const void *data, size_t size, covey_session **session,
                                          covey_error *error) {
    source s = {.env = model->env, .memory = data, .size = size};
    covey_status status = restore(model, options, &s, session, error);
    covey__free(s.env, s.note);
    return status == COVEY_OK ? status : covey__prefix(error, status, "session: restore");
}

covey_status covey_session_restore(covey_model *model, const covey_session_options *options,
                                   const char *path, covey_session **session, covey_error *error) {
    return covey_session_restore_with_note(model, options, path, session, error, NULL, NULL);
}

covey_status covey_session_restore_with_note(covey_model *model,
                                             const covey_session_options *options, const char *path,
                                             covey_session **session, covey_error *error,
                                             covey_note_fn take_it, void *user) {
    if (!model || !path || !session)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "session: restore: model, path and session must be given");
    *session = NULL;
    source s = {.env = model->env, .path = path, .descriptor = -1};
    covey_status status = covey__file_size(s.env, path, &s.size, error);
    if (status == COVEY_OK) /* not blocking: it may have become a pipe */
        status = covey__file_open(s.env, path, O_RDONLY | O_NONBLOCK, 0, &s.descriptor, error);
    if (status == COVEY_OK) {
        status = restore(model, options, &s, session, error);
        close(s.descriptor);
        if (status == COVEY_OK && s.note && take_it) take_it(user, s.note, s.note_size);
        covey__free(s.env, s.note);
        if (status != COVEY_OK && !strstr(error ? error->message : path, path))
            status = covey__prefix(error, status, "%s", path);
    }
    return status == COVEY_OK ? status : covey__prefix(error, status, "session: restore");
}
