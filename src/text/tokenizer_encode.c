/* Text to ids. The text is walked once: special tokens are found first (the leftmost, the longest
 * there), what lies between two of them is cut into words, and each word becomes tokens. Control
 * tokens are found only where all of their text is trusted; user-defined ones everywhere, as their
 * vocabularies want it.
 *
 * Most words of real text are tokens themselves. Whether a token comes out when its own text is
 * merged never changes, so the answer is kept in `whole` the first time, and such a word costs one
 * look-up from then on. Threads may write that cache at once: all write the same. */
#include "text/tokenizer_state.h"

#include "base/buffer.h"
#include "base/error.h"
#include <string.h>

struct covey__tokenizer_scratch {
    covey__merger merger;
    covey__buffer piece; /* SentencePiece: a piece with its spaces marked */
};

typedef struct encoder {
    const covey__tokenizer *tokenizer;
    covey__token_sink sink;
    covey__tokenizer_scratch *scratch;
    covey_error *error;
} encoder;

static void scratch_init(covey__tokenizer_scratch *scratch, const covey__env *env) {
    memset(scratch, 0, sizeof *scratch);
    scratch->merger.env = env;
    covey__buffer_init(&scratch->piece, env, INT32_MAX);
}

static void scratch_clear(covey__tokenizer_scratch *scratch) {
    covey__merger_free(&scratch->merger);
    covey__buffer_free(&scratch->piece);
}

void covey__tokenizer_scratch_free(covey__tokenizer_scratch *scratch) {
    if (!scratch) {
        return;
    }
    const covey__env *env = scratch->merger.env;
    scratch_clear(scratch);
    covey__free(env, scratch);
}

covey_status covey__tokenizer_scratch_new(const covey__env *env, size_t size,
                                          covey__tokenizer_scratch **out, covey_error *error) {
    /* Every byte may be a space, which is marked, and one more may come before the text. */
    size_t piece = COVEY__SPACE_MARK_SIZE * (size + 1);
    covey__tokenizer_scratch *scratch = covey__alloc(env, sizeof *scratch);
    *out = NULL;
    if (!scratch) {
        return covey__no_memory(error, "tokenizer", sizeof *scratch);
    }
    scratch_init(scratch, env);
    (void)covey__buffer_reserve(&scratch->piece, piece);
    covey_status status = covey__buffer_check(&scratch->piece, error, "tokenizer: a piece");
    if (status == COVEY_OK) {
        status = covey__merger_reserve(&scratch->merger, piece, error);
    }
    if (status != COVEY_OK) {
        covey__tokenizer_scratch_free(scratch);
        return status;
    }
    *out = scratch;
    return COVEY_OK;
}

static void emit(encoder *e, int32_t id) {
    covey__token_put(&e->sink, id);
}

/* A symbol that no token has the text of: its bytes, each as its own token where there is one. What
 * the vocabulary cannot say at all is its unknown token, or nothing. */
static void emit_bytes(encoder *e, const char *text, size_t size) {
    const covey__tokenizer *t = e->tokenizer;
    for (size_t i = 0; i < size; i++) {
        int32_t id = t->byte_ids[(uint8_t)text[i]];
        if (id >= 0 || t->specials_of.unknown >= 0) {
            emit(e, id >= 0 ? id : t->specials_of.unknown);
        }
    }
}

static covey_status encode_word(encoder *e, const char *word, size_t size) {
    const covey__tokenizer *t = e->tokenizer;
    int32_t id = -1;
    uint8_t whole = COVEY__WHOLE_NO;
    if (size <= t->text_size_max) {
        id =
            covey__text_table_get(&t->by_text, &t->texts, covey__text_hash(word, size), word, size);
    }
    if (id >= 0) {
        whole = atomic_load_explicit(&t->whole[id], memory_order_relaxed);
        if (whole == COVEY__WHOLE_YES || t->whole_words_first) {
            emit(e, id);
            return COVEY_OK;
        }
    }
    covey__merger *m = &e->scratch->merger;
    covey_status status = covey__merger_run(m, word, size, e->error);
    if (status != COVEY_OK) {
        return status;
    }
    if (id >= 0 && whole == COVEY__WHOLE_UNKNOWN) {
        bool yes = m->count == 1 && m->id[0] == id;
        atomic_store_explicit(&t->whole[id], yes ? COVEY__WHOLE_YES : COVEY__WHOLE_NO,
                              memory_order_relaxed);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->id[i] >= 0) {
            emit(e, m->id[i]);
        } else {
            emit_bytes(e, word + m->start[i], m->start[i + 1] - m->start[i]);
        }
    }
    return COVEY_OK;
}

/* Bytes of a space at `text`, as SentencePiece sees it: its stand-in is one too. */
static size_t space_size(const char *text, size_t size) {
    if (text[0] == ' ') {
        return 1;
    }
    bool mark = size >= COVEY__SPACE_MARK_SIZE &&
                memcmp(text, COVEY__SPACE_MARK, COVEY__SPACE_MARK_SIZE) == 0;
    return mark ? COVEY__SPACE_MARK_SIZE : 0;
}

/* Appends one piece with its spaces marked, and returns where it ends. A piece is a run of spaces
 * and what follows up to the next: no token spans two such pieces. In a vocabulary where one does,
 * the piece is all of the text. */
static size_t take_piece(encoder *e, const char *text, size_t size) {
    bool inside = false;
    size_t at = 0;
    while (at < size) {
        size_t space = space_size(text + at, size - at);
        if (space == 0) {
            size_t from = at++;
            while (at < size && text[at] != ' ' && text[at] != COVEY__SPACE_MARK[0]) {
                at++;
            }
            (void)covey__buffer_append(&e->scratch->piece, text + from, at - from);
            inside = true;
            continue;
        }
        if (inside && e->tokenizer->spaces_begin_pieces) {
            break;
        }
        (void)covey__buffer_append(&e->scratch->piece, COVEY__SPACE_MARK, COVEY__SPACE_MARK_SIZE);
        at += space;
    }
    return at;
}

static covey_status encode_pieces(encoder *e, const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        covey__buffer_clear(&e->scratch->piece);
        if (at == 0 && e->tokenizer->add_space_prefix) {
            (void)covey__buffer_append(&e->scratch->piece, COVEY__SPACE_MARK,
                                       COVEY__SPACE_MARK_SIZE);
        }
        at += take_piece(e, text + at, size - at);
        covey_status status =
            covey__buffer_check(&e->scratch->piece, e->error, "tokenizer: a piece");
        if (status == COVEY_OK) {
            status = encode_word(e, e->scratch->piece.data, e->scratch->piece.size);
        }
        if (status != COVEY_OK) {
            return status;
        }
    }
    return COVEY_OK;
}

/* What lies between two special tokens. SentencePiece puts its space before each such stretch. */
static covey_status encode_plain(encoder *e, const char *text, size_t size) {
    const covey__tokenizer *t = e->tokenizer;
    if (t->wordpiece) {
        covey__word_piece_encode(t, text, size, &e->sink);
        return COVEY_OK;
    }
    if (t->sentencepiece) {
        return encode_pieces(e, text, size);
    }
    for (size_t at = 0; at < size;) {
        size_t word = covey__pretokenizer_next(t->pretokenizer, text + at, size - at);
        covey_status status = encode_word(e, text + at, word);
        if (status != COVEY_OK) {
            return status;
        }
        at += word;
    }
    return COVEY_OK;
}

/* The first of specials[low, high) whose byte at `depth` is `byte` or above; those that end before
 * come first. All agree in the bytes before. */
static size_t lower_bound(const covey__special *specials, size_t low, size_t high, size_t depth,
                          unsigned byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const covey__special *s = &specials[middle];
        if (s->size <= depth || (uint8_t)s->data[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The longest special that `text` begins with, or NULL. Those that are not user-defined must lie in
 * the first `trusted` bytes. */
static const covey__special *match_special(const covey__tokenizer *t, const char *text, size_t size,
                                           size_t trusted) {
    const covey__special *best = NULL;
    size_t low = 0, high = t->special_count;
    for (size_t depth = 0; depth < size && low < high;) {
        unsigned byte = (uint8_t)text[depth];
        low = lower_bound(t->specials, low, high, depth, byte);
        high = lower_bound(t->specials, low, high, depth, byte + 1);
        depth++;
        if (low < high && t->specials[low].size == depth &&
            (depth <= trusted || t->types[t->specials[low].id] == COVEY__TOKEN_USER_DEFINED)) {
            best = &t->specials[low];
        }
    }
    return best;
}

/* The spans of a text, walked forward. */
typedef struct {
    const covey__text_span *spans;
    size_t span_count, index, run_end; /* where the run of trusted spans that was found last ends */
} trust;

/* How many bytes from `at` on are trusted. `at` never goes back. */
static size_t trusted_from(trust *of, size_t at) {
    if (at < of->run_end) {
        return of->run_end - at;
    }
    while (of->index < of->span_count && of->spans[of->index].end <= at) {
        of->index++;
    }
    if (of->index == of->span_count || !of->spans[of->index].trusted) {
        return 0;
    }
    while (of->index < of->span_count && of->spans[of->index].trusted) {
        of->run_end = of->spans[of->index++].end;
    }
    return of->run_end - at;
}

static bool is_ascii_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool strips_right(const covey__tokenizer *t, const covey__special *special) {
    static const char *const kept[] = {"<s>", "<unk>", "<|endoftext|>"};
    bool strips = t->special_strip_right;
    for (size_t i = 0; strips && i < sizeof kept / sizeof *kept; i++) {
        strips = strlen(kept[i]) != special->size || memcmp(kept[i], special->data, special->size);
    }
    return strips;
}

static covey_status encode_all(encoder *e, const char *text, size_t size, trust *of) {
    const covey__tokenizer *t = e->tokenizer;
    size_t from = 0;
    for (size_t at = 0; at < size;) {
        const covey__special *special = NULL;
        if (t->special_begins[(uint8_t)text[at]]) {
            special = match_special(t, text + at, size - at, trusted_from(of, at));
        }
        if (!special) {
            at++;
            continue;
        }
        covey_status status = encode_plain(e, text + from, at - from);
        if (status != COVEY_OK) {
            return status;
        }
        emit(e, (int32_t)special->id);
        at += special->size;
        if (strips_right(t, special)) {
            while (at < size && is_ascii_space(text[at])) {
                at++;
            }
        }
        from = at;
    }
    return encode_plain(e, text + from, size - from);
}

static covey_status check_spans(size_t size, const covey__text_span *spans, size_t span_count,
                                covey_error *error) {
    size_t end = 0;
    for (size_t i = 0; i < span_count; i++) {
        if (spans[i].end < end || spans[i].end > size) {
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "tokenizer: span %zu ends at %zu, outside of %zu to %zu", i,
                               spans[i].end, end, size);
        }
        end = spans[i].end;
    }
    if (size > INT32_MAX) {
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, INT32_MAX, (int64_t)size,
                                 "tokenizer: the text has %zu bytes, at most %d are taken at once",
                                 size, INT32_MAX);
    }
    return COVEY_OK;
}

/* Spans that are checked, in scratch that may ask for more. */
static covey_status encode_in(covey__tokenizer_scratch *scratch, const covey__tokenizer *tokenizer,
                              const char *text, size_t size, trust *of, covey__token_sink *sink,
                              covey_error *error) {
    encoder e = {.tokenizer = tokenizer, .sink = *sink, .scratch = scratch, .error = error};
    scratch->merger.tokenizer = tokenizer;
    covey_status status = encode_all(&e, text, size, of);
    *sink = e.sink;
    if (status != COVEY_OK || sink->count <= sink->capacity) {
        return status;
    }
    return covey__fail_sizes(
        error, COVEY_ERROR_LIMIT, (int64_t)sink->capacity, (int64_t)sink->count,
        "tokenizer: the text has %zu tokens, there is room for %zu", sink->count, sink->capacity);
}

covey_status covey__tokenizer_encode_within(covey__tokenizer_scratch *scratch,
                                            const covey__tokenizer *tokenizer, const char *text,
                                            size_t size, int32_t *tokens, size_t capacity,
                                            size_t *count, covey_error *error) {
    covey__text_span all = {size, false};
    covey__token_sink sink = {tokens, capacity, 0};
    trust of = {.spans = &all, .span_count = 1};
    covey_status status = check_spans(size, &all, 1, error);
    if (status == COVEY_OK) {
        status = encode_in(scratch, tokenizer, text, size, &of, &sink, error);
    }
    *count = sink.count;
    return status;
}

covey_status covey__tokenizer_encode_spans(const covey__tokenizer *tokenizer, const char *text,
                                           size_t size, const covey__text_span *spans,
                                           size_t span_count, int32_t *tokens, size_t capacity,
                                           size_t *count, covey_error *error) {
    covey_status status = check_spans(size, spans, span_count, error);
    *count = 0;
    if (status != COVEY_OK) {
        return status;
    }
    covey__tokenizer_scratch scratch;
    scratch_init(&scratch, tokenizer->env);
    covey__token_sink sink = {tokens, capacity, 0};
    trust of = {.spans = spans, .span_count = span_count};
    status = encode_in(&scratch, tokenizer, text, size, &of, &sink, error);
    scratch_clear(&scratch);
    if (status == COVEY_OK || sink.count > capacity) {
        *count = sink.count;
    }
    return status;
}

covey_status covey__tokenizer_encode(const covey__tokenizer *tokenizer, const char *text,
                                     size_t size, bool parse_special, int32_t *tokens,
                                     size_t capacity, size_t *count, covey_error *error) {
    covey__text_span all = {size, parse_special};
    return covey__tokenizer_encode_spans(tokenizer, text, size, &all, 1, tokens, capacity, count,
                                         error);
}
