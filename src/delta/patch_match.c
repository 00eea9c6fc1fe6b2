/* Matching two files. Of two GGUFs, a tensor is matched with the one of its name, type and row
 * length; a tensor that has another name but the same bytes is copied; all else of them, and files
 * that are no GGUF, are matched as bytes: what is equal at both ends, then content-defined chunks
 * (chunk_maker.c) that are equal wherever they moved, and what remains is left to zstd with the old
 * bytes near the place as its prefix. Invariant: the matches cover the new file in order, without
 * gaps. Neighbour: patch_make.c cuts the matches into parts. */
#include "delta/patch_match.h"

#include "base/error.h"
#include "delta/chunk_maker.h"
#include "delta/patch_head.h"
#include "gguf/gguf.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_BYTES  COVEY__PATCH_PART_MAX /* compressed whole: copies would cost more */
#define COPY_MIN     (16u << 10)           /* equal bytes that are worth a part of their own */
#define HARD_BYTES   (32u << 20)           /* of a range: more of it is compressed less hard */
#define MIDDLE_BYTES (512u << 20)

typedef struct matcher {
    const covey__env *env;
    covey__match_file old, fresh;
    covey__match_list *list;
    covey_error *error;
} matcher;

/* What a range of the new file is looked for in. */
typedef struct range_pair {
    uint64_t new_offset, new_size, old_offset, old_size;
} range_pair;

void covey__match_list_free(covey__match_list *list) {
    covey__free(list->env, list->items);
    list->items = NULL;
    list->count = list->capacity = 0;
}

static covey_status add(matcher *m, const covey__match *match) {
    covey__match_list *list = m->list;
    if (match->size == 0) return COVEY_OK;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        covey__match *items = covey__resize(list->env, list->items, capacity * sizeof *items);
        if (items == NULL) return covey__no_memory(m->error, "matches", capacity * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *match;
    return COVEY_OK;
}

/* --- Bytes --- */

static covey__pack_effort effort_for(uint64_t size) {
    if (size <= HARD_BYTES) return COVEY__PACK_HARD;
    return size <= MIDDLE_BYTES ? COVEY__PACK_MIDDLE : COVEY__PACK_QUICK;
}

/* Adds a match for a range; `like` has the fields that are the same for all of it. The first one
 * of a tensor alone is named. */
static covey_status add_range(matcher *m, covey__match *like, covey__match_kind kind,
                              const range_pair *r) {
    covey__match match = *like;
    if (r->new_size == 0) return COVEY_OK;
    match.kind = kind;
    match.new_offset = r->new_offset;
    match.size = r->new_size;
    match.old_offset = r->old_size == 0 ? 0 : r->old_offset;
    match.old_size = r->old_size;
    like->named = false;
    return add(m, &match);
}

static uint64_t equal_ahead(const uint8_t *a, const uint8_t *b, uint64_t size) {
    uint64_t at = 0;
    while (size - at >= 4096 && memcmp(a + at, b + at, 4096) == 0) at += 4096;
    while (at < size && a[at] == b[at]) at++;
    return at;
}

static uint64_t equal_behind(const uint8_t *a_end, const uint8_t *b_end, uint64_t size) {
    uint64_t at = 0;
    while (size - at >= 4096 && memcmp(a_end - at - 4096, b_end - at - 4096, 4096) == 0) at += 4096;
    while (at < size && a_end[-(int64_t)at - 1] == b_end[-(int64_t)at - 1]) at++;
    return at;
}

/* Chunks by content: fixed-size keys to look up. */
static int by_digest(const void *a, const void *b) {
    const covey__chunk *const *x = a, *const *y = b;
    return memcmp((*x)->sha256, (*y)->sha256, 32);
}

static const covey__chunk *find_chunk(const covey__chunk **sorted, size_t count,
                                      const covey__chunk *wanted) {
    const covey__chunk **found =
        count == 0 ? NULL : bsearch(&wanted, sorted, count, sizeof *sorted, by_digest);
    return found == NULL ? NULL : *found;
}

/* Grows an equal stretch to both sides as far as the bytes are equal and not yet taken. */
static void grow(const matcher *m, const range_pair *r, uint64_t taken, range_pair *equal) {
    uint64_t left = equal->new_offset - taken, old_left = equal->old_offset - r->old_offset;
    uint64_t back = equal_behind(m->fresh.data + equal->new_offset, m->old.data + equal->old_offset,
                                 left < old_left ? left : old_left);
    equal->new_offset -= back;
    equal->old_offset -= back;
    equal->new_size += back;
    uint64_t right = r->new_offset + r->new_size - equal->new_offset - equal->new_size;
    uint64_t old_right = r->old_offset + r->old_size - equal->old_offset - equal->new_size;
    equal->new_size += equal_ahead(m->fresh.data + equal->new_offset + equal->new_size,
                                   m->old.data + equal->old_offset + equal->new_size,
                                   right < old_right ? right : old_right);
    equal->old_size = equal->new_size;
}

/* The range with chunks of both sides: equal ones become copies, the rest bytes beside the old
 * bytes that follow the last copy. */
static covey_status match_chunks(matcher *m, covey__match *like, const range_pair *r,
                                 const covey__chunk_index *fresh, const covey__chunk **sorted,
                                 size_t count) {
    uint64_t taken = r->new_offset, near = r->old_offset;
    uint64_t end = r->new_offset + r->new_size, old_end = r->old_offset + r->old_size;
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < fresh->chunk_count; i++) {
        const covey__chunk *chunk = &fresh->chunks[i];
        if (r->new_offset + chunk->offset < taken) continue; /* within what grew over it */
        const covey__chunk *same = find_chunk(sorted, count, chunk);
        if (same == NULL) continue;
        range_pair equal = {r->new_offset + chunk->offset, chunk->size,
                            r->old_offset + same->offset, chunk->size};
        grow(m, r, taken, &equal);
        uint64_t stop = equal.old_offset > near ? equal.old_offset : old_end;
        range_pair gap = {taken, equal.new_offset - taken, near, stop - near};
        status = add_range(m, like, COVEY__MATCH_BYTES, &gap);
        if (status == COVEY_OK) status = add_range(m, like, COVEY__MATCH_COPY, &equal);
        taken = equal.new_offset + equal.new_size;
        near = equal.old_offset + equal.old_size;
    }
    range_pair rest = {taken, end - taken, near, old_end - near};
    return status == COVEY_OK ? add_range(m, like, COVEY__MATCH_BYTES, &rest) : status;
}

static covey_status match_middle(matcher *m, covey__match *like, const range_pair *r) {
    covey__chunk_index *fresh = NULL, *old = NULL;
    const covey__chunk **sorted = NULL;
    if (r->old_size <= COVEY__PATCH_PREFIX_MAX || r->new_size <= SMALL_BYTES)
        return add_range(m, like, COVEY__MATCH_BYTES,
                         r); /* zstd sees all of it, or little is new */
    covey_status status = covey__chunk_index_make_memory(
        m->env, m->fresh.data + r->new_offset, (size_t)r->new_size, &fresh, m->error, NULL, NULL);
    if (status == COVEY_OK)
        status = covey__chunk_index_make_memory(m->env, m->old.data + r->old_offset,
                                                (size_t)r->old_size, &old, m->error, NULL, NULL);
    if (status == COVEY_OK) {
        sorted = covey__calloc(m->env, old->chunk_count + 1, sizeof *sorted);
        if (sorted == NULL) status = covey__no_memory(m->error, "chunks", old->chunk_count);
    }
    if (status == COVEY_OK) {
        for (size_t i = 0; i < old->chunk_count; i++) sorted[i] = &old->chunks[i];
        qsort(sorted, old->chunk_count, sizeof *sorted, by_digest);
        status = match_chunks(m, like, r, fresh, sorted, old->chunk_count);
    }
    covey__free(m->env, sorted);
    covey__chunk_index_free(fresh);
    covey__chunk_index_free(old);
    return status;
}

/* A range of bytes: what is equal at both ends, then the middle. */
static covey_status match_bytes(matcher *m, covey__match *like, const range_pair *r) {
    const uint8_t *fresh = m->fresh.data + r->new_offset, *old = m->old.data + r->old_offset;
    like->effort = like->type == COVEY__MATCH_NO_TYPE ? effort_for(r->new_size) : like->effort;
    uint64_t least = r->new_size < r->old_size ? r->new_size : r->old_size;
    uint64_t ahead = least == 0 ? 0 : equal_ahead(fresh, old, least);
    if (ahead == r->new_size && ahead > 0)
        return add_range(m, like, COVEY__MATCH_COPY,
                         &(range_pair){r->new_offset, ahead, r->old_offset, ahead});
    if (r->new_size <= SMALL_BYTES && r->old_size <= COVEY__PATCH_PREFIX_MAX)
        return add_range(m, like, COVEY__MATCH_BYTES, r);
    if (ahead < COPY_MIN) ahead = 0;
    uint64_t behind = equal_behind(fresh + r->new_size, old + r->old_size, least - ahead);
    if (behind < COPY_MIN) behind = 0;
    range_pair front = {r->new_offset, ahead, r->old_offset, ahead};
    range_pair middle = {r->new_offset + ahead, r->new_size - ahead - behind, r->old_offset + ahead,
                         r->old_size - ahead - behind};
    range_pair back = {r->new_offset + r->new_size - behind, behind,
                       r->old_offset + r->old_size - behind, behind};
    covey_status status = add_range(m, like, COVEY__MATCH_COPY, &front);
    if (status == COVEY_OK && middle.new_size > 0) status = match_middle(m, like, &middle);
    if (status == COVEY_OK) status = add_range(m, like, COVEY__MATCH_COPY, &back);
    return status;
}

/* --- Tensors --- */

typedef struct tensor_list {
    const covey__gguf_tensor **items;
    size_t count;
} tensor_list;

static int by_name(const void *a, const void *b) {
    const covey__gguf_tensor *x = *(const covey__gguf_tensor *const *)a;
    const covey__gguf_tensor *y = *(const covey__gguf_tensor *const *)b;
    size_t least = x->name.size < y->name.size ? x->name.size : y->name.size;
    int order = memcmp(x->name.data, y->name.data, least);
    return order != 0 ? order : (x->name.size > y->name.size) - (x->name.size < y->name.size);
}

static int by_place(const void *a, const void *b) {
    const covey__gguf_tensor *x = *(const covey__gguf_tensor *const *)a;
    const covey__gguf_tensor *y = *(const covey__gguf_tensor *const *)b;
    return (x->file_offset > y->file_offset) - (x->file_offset < y->file_offset);
}

static covey_status list_tensors(const covey__env *env, const covey__gguf *gguf,
                                 int (*order)(const void *, const void *), tensor_list *list,
                                 covey_error *error) {
    list->count = covey__gguf_tensor_count(gguf);
    list->items = covey__calloc(env, list->count + 1, sizeof *list->items);
    if (list->items == NULL)
        return covey__no_memory(error, "tensors", list->count * sizeof *list->items);
    for (size_t i = 0; i < list->count; i++) list->items[i] = covey__gguf_tensor_at(gguf, i);
    qsort(list->items, list->count, sizeof *list->items, order);
    return COVEY_OK;
}

/* An old tensor with another name and the same bytes; NULL when there is none. */
static const covey__gguf_tensor *find_renamed(const matcher *m, const tensor_list *olds,
                                              const covey__gguf_tensor *wanted) {
    for (size_t i = 0; i < olds->count; i++) {
        const covey__gguf_tensor *t = olds->items[i];
        if (t->bytes == wanted->bytes &&
            memcmp(m->old.data + t->file_offset, m->fresh.data + wanted->file_offset,
                   (size_t)wanted->bytes) == 0)
            return t;
    }
    return NULL;
}

static bool is_float(uint32_t type) {
    return type == COVEY__TYPE_F32 || type == COVEY__TYPE_F16 || type == COVEY__TYPE_BF16;
}

static covey_status match_tensor(matcher *m, const tensor_list *olds,
                                 const covey__gguf_tensor *tensor) {
    covey__match like = {.type = (uint8_t)tensor->type,
                         .named = true,
                         .name = tensor->name.data,
                         .name_size = tensor->name.size,
                         .columns = tensor->dimensions[0],
                         .effort = is_float(tensor->type) ? COVEY__PACK_MIDDLE : COVEY__PACK_QUICK};
    const covey__gguf_tensor **found =
        olds->count == 0 ? NULL
                         : bsearch(&tensor, olds->items, olds->count, sizeof *olds->items, by_name);
    const covey__gguf_tensor *old = found == NULL ? NULL : *found;
    range_pair r = {tensor->file_offset, tensor->bytes, 0, 0};
    if (old == NULL || old->type != tensor->type || old->dimensions[0] != tensor->dimensions[0]) {
        old = find_renamed(m, olds, tensor);
        if (old == NULL) return add_range(m, &like, COVEY__MATCH_BYTES, &r);
        r.old_offset = old->file_offset;
        r.old_size = old->bytes;
        return add_range(m, &like, COVEY__MATCH_COPY, &r);
    }
    /* rows that both have; a tensor that grew has more behind them */
    r.old_offset = old->file_offset;
    r.old_size = r.new_size = old->bytes < tensor->bytes ? old->bytes : tensor->bytes;
    covey_status status = add_range(m, &like, COVEY__MATCH_TENSOR, &r);
    range_pair more = {tensor->file_offset + r.new_size, tensor->bytes - r.new_size, 0, 0};
    return status == COVEY_OK ? add_range(m, &like, COVEY__MATCH_BYTES, &more) : status;
}

/* What stands between two tensors, or behind the last. */
static covey_status match_gap(matcher *m, uint64_t from, uint64_t to) {
    covey__match like = {.type = COVEY__MATCH_NO_TYPE, .effort = COVEY__PACK_QUICK};
    range_pair gap = {from, to - from, 0, 0};
    return add_range(m, &like, COVEY__MATCH_BYTES, &gap);
}

/* `*done` is false where tensors overlap: such a file is matched as bytes. */
static covey_status match_tensors(matcher *m, const tensor_list *olds, const tensor_list *news,
                                  const range_pair *head, bool *done) {
    uint64_t at = head->new_offset + head->new_size;
    *done = true;
    for (size_t i = 0; i < news->count; i++) {
        if (news->items[i]->file_offset < at) *done = false;
        at = news->items[i]->file_offset + news->items[i]->bytes;
    }
    if (!*done) return COVEY_OK;
    covey__match like = {.type = COVEY__MATCH_NO_TYPE};
    covey_status status = match_bytes(m, &like, head);
    at = head->new_size;
    for (size_t i = 0; status == COVEY_OK && i < news->count; i++) {
        const covey__gguf_tensor *tensor = news->items[i];
        status = match_gap(m, at, tensor->file_offset);
        if (status == COVEY_OK) status = match_tensor(m, olds, tensor);
        at = tensor->file_offset + tensor->bytes;
    }
    return status == COVEY_OK ? match_gap(m, at, m->fresh.size) : status;
}

static bool is_gguf(const covey__match_file *file) {
    return file->size >= 4 && memcmp(file->data, "GGUF", 4) == 0;
}

/* NULL when the bytes are no GGUF that this library reads. */
static covey_status open_gguf(const matcher *m, const covey__match_file *file, covey__gguf **gguf) {
    covey__map borrowed = {.data = file->data, .size = (size_t)file->size};
    covey_error ignored;
    *gguf = NULL;
    if (!is_gguf(file)) return COVEY_OK;
    covey_status status = covey__gguf_open(m->env, &borrowed, gguf, &ignored);
    if (status == COVEY_ERROR_NO_MEMORY) return covey__no_memory(m->error, "gguf", 0);
    if (status != COVEY_OK) *gguf = NULL;
    return COVEY_OK;
}

static covey_status match_ggufs(matcher *m, const covey__gguf *old, const covey__gguf *fresh,
                                bool *done) {
    tensor_list olds = {0}, news = {0};
    covey_status status = list_tensors(m->env, old, by_name, &olds, m->error);
    if (status == COVEY_OK) status = list_tensors(m->env, fresh, by_place, &news, m->error);
    if (status == COVEY_OK) {
        range_pair head = {0, covey__gguf_data_offset(fresh), 0, covey__gguf_data_offset(old)};
        if (head.new_size > m->fresh.size) head.new_size = m->fresh.size;
        if (head.old_size > m->old.size) head.old_size = m->old.size;
        status = match_tensors(m, &olds, &news, &head, done);
    }
    covey__free(m->env, olds.items);
    covey__free(m->env, news.items);
    return status;
}

covey_status covey__patch_match(const covey__env *env, const covey__match_file *old,
                                const covey__match_file *fresh, covey__match_list *list,
                                covey_error *error) {
    matcher m = {.env = env, .old = *old, .fresh = *fresh, .list = list, .error = error};
    covey__gguf *old_gguf = NULL, *new_gguf = NULL;
    bool done = false;
    *list = (covey__match_list){.env = env};
    covey_status status = open_gguf(&m, old, &old_gguf);
    if (status == COVEY_OK) status = open_gguf(&m, fresh, &new_gguf);
    if (status == COVEY_OK && old_gguf != NULL && new_gguf != NULL)
        status = match_ggufs(&m, old_gguf, new_gguf, &done);
    if (status == COVEY_OK && !done) {
        covey__match like = {.type = COVEY__MATCH_NO_TYPE};
        range_pair whole = {0, fresh->size, 0, old->size};
        status = match_bytes(&m, &like, &whole);
    }
    covey__gguf_close(old_gguf);
    covey__gguf_close(new_gguf);
    if (status != COVEY_OK) covey__match_list_free(list);
    return status;
}
