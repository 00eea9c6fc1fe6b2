/* Merging: a word begins as its smallest symbols (bytes in byte-level BPE, characters in
 * SentencePiece), and the best pair of neighbours becomes one symbol until none is left. Best is
 * the lowest rank (an entry's place among the merges, or the score of what the pair makes), then
 * the leftmost. A short word is searched again for each merge. A long one keeps its pairs in a
 * heap, so that a megabyte without a space costs n log n; entries of pairs that have changed since
 * stay in it and are recognised by their rank when they come up. */
#include "text/tokenizer_state.h"

#include "base/error.h"
#include <string.h>

enum { SHORT_WORD = 48 };
#define NONE UINT32_MAX

void covey__merger_free(covey__merger *m) {
    covey__free(m->env, m->start);
    covey__free(m->env, m->heap);
    m->start = NULL;
    m->heap = NULL;
    m->capacity = 0;
}

/* One block holds the six arrays; the heap is made only once a long word needs it. */
static covey_status make_room(covey__merger *m, size_t symbols, bool heap, covey_error *error) {
    if (symbols <= m->capacity && (!heap || m->heap)) {
        return COVEY_OK;
    }
    size_t capacity = symbols < m->capacity ? m->capacity : symbols + symbols / 2;
    capacity = capacity < 64 ? 64 : capacity;
    covey__merger_free(m);
    m->start = covey__calloc(m->env, capacity + 1, 6 * sizeof *m->start);
    m->heap = heap ? covey__calloc(m->env, capacity, 2 * sizeof *m->heap) : NULL;
    if (!m->start || (heap && !m->heap)) {
        covey__merger_free(m);
        return covey__no_memory(error, "tokenizer: merging a word", capacity * 40);
    }
    m->capacity = (uint32_t)capacity;
    m->id = (int32_t *)m->start + (capacity + 1);
    m->rank = m->start + 2 * (capacity + 1);
    m->merged = m->start + 3 * (capacity + 1);
    m->previous = m->start + 4 * (capacity + 1);
    m->next = m->start + 5 * (capacity + 1);
    return COVEY_OK;
}

covey_status covey__merger_reserve(covey__merger *merger, size_t size, covey_error *error) {
    return make_room(merger, size, size > SHORT_WORD, error);
}

/* Fills rank and merged of the pair of symbols whose text is word[start, end). */
static void rate_pair(covey__merger *m, uint32_t left, int32_t right_id, uint32_t end) {
    const covey__tokenizer *t = m->tokenizer;
    m->rank[left] = NONE;
    if (!t->sentencepiece) {
        if (m->id[left] < 0 || right_id < 0) {
            return;
        }
        const covey__merge *merge =
            covey__merge_table_get(&t->merges, (uint32_t)m->id[left], (uint32_t)right_id);
        if (merge) {
            m->rank[left] = merge->rank;
            m->merged[left] = merge->merged;
        }
        return;
    }
    const char *text = m->word + m->start[left];
    uint32_t size = end - m->start[left];
    if (size > t->text_size_max) {
        return;
    }
    int32_t id =
        covey__text_table_get(&t->by_text, &t->texts, covey__text_hash(text, size), text, size);
    if (id >= 0) {
        m->rank[left] = t->ranks[id];
        m->merged[left] = (uint32_t)id;
    }
}

static covey_status cut_symbols(covey__merger *m, const char *word, size_t size,
                                covey_error *error) {
    const covey__tokenizer *t = m->tokenizer;
    covey_status status = make_room(m, size, size > SHORT_WORD, error);
    if (status != COVEY_OK) {
        return status;
    }
    m->word = word;
    m->count = 0;
    for (size_t at = 0; at < size;) {
        size_t bytes = 1;
        int32_t id;
        if (t->sentencepiece) {
            bytes = covey__utf8_decode(word + at, size - at).size;
            id = covey__text_table_get(&t->by_text, &t->texts, covey__text_hash(word + at, bytes),
                                       word + at, bytes);
        } else {
            id = t->byte_ids[(uint8_t)word[at]];
        }
        m->start[m->count] = (uint32_t)at;
        m->id[m->count++] = id;
        at += bytes;
    }
    m->start[m->count] = (uint32_t)size;
    return COVEY_OK;
}

static void rate_at(covey__merger *m, uint32_t left) {
    rate_pair(m, left, m->id[left + 1], m->start[left + 2]);
}

static void merge_short(covey__merger *m) {
    for (uint32_t i = 0; i + 1 < m->count; i++) {
        rate_at(m, i);
    }
    while (m->count > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < m->count; i++) {
            best = m->rank[i] < m->rank[best] ? i : best;
        }
        if (m->rank[best] == NONE) {
            return;
        }
        m->id[best] = (int32_t)m->merged[best];
        m->count--;
        for (uint32_t i = best + 1; i < m->count; i++) {
            m->id[i] = m->id[i + 1];
            m->start[i] = m->start[i + 1];
            m->rank[i] = m->rank[i + 1];
            m->merged[i] = m->merged[i + 1];
        }
        m->start[m->count] = m->start[m->count + 1];
        if (best + 1 < m->count) {
            rate_at(m, best);
        }
        if (best > 0) {
            rate_at(m, best - 1);
        }
    }
}

static void heap_push(covey__merger *m, uint64_t key) {
    size_t at = m->heap_count++;
    while (at > 0 && m->heap[(at - 1) / 2] > key) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = key;
}

static uint64_t heap_pop(covey__merger *m) {
    uint64_t top = m->heap[0], key = m->heap[--m->heap_count];
    size_t at = 0;
    for (size_t child = 1; child < m->heap_count; child = 2 * at + 1) {
        if (child + 1 < m->heap_count && m->heap[child + 1] < m->heap[child]) {
            child++;
        }
        if (m->heap[child] >= key) {
            break;
        }
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = key;
    return top;
}

/* Rates the pair of a linked symbol and its next, and offers it. A merge takes one entry out and
 * puts two in at most, and there are fewer merges than symbols: twice the symbols is room enough.
 */
static void offer_pair(covey__merger *m, uint32_t left, uint32_t word_size) {
    uint32_t right = m->next[left];
    m->rank[left] = NONE;
    if (right == NONE) {
        return;
    }
    uint32_t after = m->next[right];
    rate_pair(m, left, m->id[right], after == NONE ? word_size : m->start[after]);
    if (m->rank[left] != NONE) {
        heap_push(m, (uint64_t)m->rank[left] << 32 | left);
    }
}

static void merge_long(covey__merger *m) {
    uint32_t word_size = m->start[m->count];
    m->heap_count = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        m->previous[i] = i ? i - 1 : NONE;
        m->next[i] = i + 1 < m->count ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        offer_pair(m, i, word_size);
    }
    while (m->heap_count > 0) {
        uint64_t key = heap_pop(m);
        uint32_t left = (uint32_t)key;
        if (m->rank[left] != (uint32_t)(key >> 32)) {
            continue; /* the pair has changed, or the symbol is gone */
        }
        uint32_t right = m->next[left];
        m->id[left] = (int32_t)m->merged[left];
        m->rank[right] = NONE;
        m->next[left] = m->next[right];
        if (m->next[left] != NONE) {
            m->previous[m->next[left]] = left;
        }
        offer_pair(m, left, word_size);
        if (m->previous[left] != NONE) {
            offer_pair(m, m->previous[left], word_size);
        }
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i != NONE; i = m->next[i]) {
        m->start[count] = m->start[i];
        m->id[count++] = m->id[i];
    }
    m->start[count] = word_size;
    m->count = count;
}

covey_status covey__merger_run(covey__merger *merger, const char *word, size_t size,
                               covey_error *error) {
    covey_status status = cut_symbols(merger, word, size, error);
    if (status != COVEY_OK) {
        return status;
    }
    if (merger->count <= SHORT_WORD) {
        merge_short(merger);
    } else {
        merge_long(merger);
    }
    return COVEY_OK;
}
