/* Building a tokenizer, and reading from it. A model opens in well under a tenth of a second, of
 * which a vocabulary of 128 k tokens and 280 k merges may take a part only: so there is one
 * allocation a table, none a token. Texts are kept as the bytes that they stand for, so that words
 * are looked up and tokens are written out as they are. */
#include "text/tokenizer_state.h"

#include "base/error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_COUNT_MAX = 1 << 24, MERGE_COUNT_MAX = 1 << 25, MERGE_BATCH = 16 };
#define TEXT_BYTES_MAX ((size_t)1 << 30)

/* Texts of byte-level BPE stand for bytes by GPT-2's table; SIZE_MAX when this one does not. `out`
 * has room for `size` bytes. */
static size_t decode_stand_ins(const char *text, size_t size, char *out) {
    size_t written = 0;
    for (size_t at = 0; at < size;) {
        uint8_t lead = (uint8_t)text[at];
        int byte = -1;
        if (lead < 0x80) {
            byte = covey__code_to_byte(lead);
            at++;
        } else if (lead >= 0xC2 && lead <= 0xC5 && at + 1 < size) {
            byte = covey__code_to_byte((lead & 0x1Fu) << 6 | ((uint8_t)text[at + 1] & 0x3Fu));
            at += 2;
        }
        if (byte < 0) {
            return SIZE_MAX;
        }
        out[written++] = (char)byte;
    }
    return written;
}

/* "<0x0A>": the byte; -1 for other texts. */
static int byte_of_name(const char *text, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    if (size != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>' || !text[3] || !text[4]) {
        return -1;
    }
    const char *high = strchr(digits, text[3]), *low = strchr(digits, text[4]);
    return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

/* Whether plain text can become tokens of this type. */
static bool is_plain(const covey__tokenizer *t, uint8_t type) {
    return type == COVEY__TOKEN_NORMAL || type == COVEY__TOKEN_USER_DEFINED ||
           (type == COVEY__TOKEN_UNUSED && t->sentencepiece);
}

static bool is_special(uint8_t type) {
    return type == COVEY__TOKEN_CONTROL || type == COVEY__TOKEN_UNKNOWN ||
           type == COVEY__TOKEN_USER_DEFINED;
}

static void *take(covey__tokenizer *t, size_t count, size_t size) {
    t->bytes += count * size;
    return covey__calloc(t->env, count ? count : 1, size);
}

static covey_status check_counts(const covey__vocabulary *v, covey_error *error) {
    if (v->token_count == 0 || v->token_count > TOKEN_COUNT_MAX) {
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, TOKEN_COUNT_MAX, (int64_t)v->token_count,
                                 "tokenizer: %zu tokens (tokenizer.ggml.tokens), expected 1 to %d",
                                 v->token_count, TOKEN_COUNT_MAX);
    }
    if (v->merge_count > MERGE_COUNT_MAX) {
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, MERGE_COUNT_MAX, (int64_t)v->merge_count,
                                 "tokenizer: %zu merges (tokenizer.ggml.merges), at most %d",
                                 v->merge_count, MERGE_COUNT_MAX);
    }
    const int32_t ids[] = {v->bos,     v->eos,     v->eot, v->eom,
                           v->unknown, v->padding, v->cls, v->separator};
    static const char *const names[] = {"bos",     "eos",     "eot", "eom",
                                        "unknown", "padding", "cls", "seperator"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        if (ids[i] < -1 || (ids[i] >= 0 && (size_t)ids[i] >= v->token_count)) {
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "tokenizer: %s token %d (tokenizer.ggml.%s_token_id) is not one of "
                               "the %zu tokens",
                               names[i], ids[i], names[i], v->token_count);
        }
    }
    return COVEY_OK;
}

static covey_status find_kind(covey__tokenizer *t, const covey__vocabulary *v, covey_error *error) {
    if (v->model.size == 5 && memcmp(v->model.data, "llama", 5) == 0) {
        t->sentencepiece = true;
        return COVEY_OK;
    }
    if (v->model.size == 4 && memcmp(v->model.data, "gpt2", 4) == 0) {
        covey__pretokenizer_traits traits = {COVEY__PRETOKENIZER_GPT2, false, false};
        covey_status status =
            covey__pretokenizer_find(v->pretokenizer.data, v->pretokenizer.size, &traits, error);
        t->pretokenizer = traits.kind;
        t->whole_words_first = traits.whole_words_first;
        return status;
    }
    if (v->model.size == 4 && memcmp(v->model.data, "bert", 4) == 0) {
        t->wordpiece = true;
        return COVEY_OK;
    }
    char shown[64];
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "tokenizer: model \"%s\" (tokenizer.ggml.model) is not one of those "
                       "supported: gpt2, llama, bert",
                       covey__printable(v->model.data, v->model.size, shown, sizeof shown));
}

static covey_status read_types(covey__tokenizer *t, const covey__vocabulary *v,
                               covey_error *error) {
    for (size_t i = 0; i < v->token_count; i++) {
        int32_t type = v->types ? v->types[i] : COVEY__TOKEN_NORMAL;
        if (type < COVEY__TOKEN_NORMAL || type > COVEY__TOKEN_BYTE) {
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "tokenizer: token %zu has the type %d (tokenizer.ggml.token_type), "
                               "expected 1 to 6",
                               i, type);
        }
        bool named_byte = t->sentencepiece && !v->types &&
                          byte_of_name(v->tokens[i].data, v->tokens[i].size) >= 0;
        t->types[i] = named_byte ? COVEY__TOKEN_BYTE : (uint8_t)type;
    }
    return COVEY_OK;
}

/* Whether a space stands in the text after something else than spaces. */
static bool has_inner_space(const char *text, size_t size) {
    bool inside = false;
    for (size_t at = 0; at < size;) {
        if (size - at >= COVEY__SPACE_MARK_SIZE &&
            memcmp(text + at, COVEY__SPACE_MARK, COVEY__SPACE_MARK_SIZE) == 0) {
            if (inside) {
                return true;
            }
            at += COVEY__SPACE_MARK_SIZE;
        } else {
            inside = true;
            at++;
        }
    }
    return false;
}

static covey_status read_texts(covey__tokenizer *t, const covey__vocabulary *v,
                               covey_error *error) {
    size_t total = 0;
    for (size_t i = 0; i < v->token_count; i++) {
        if (!covey__add_size(total, v->tokens[i].size, &total) || total > TEXT_BYTES_MAX) {
            return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)TEXT_BYTES_MAX,
                                     (int64_t)total, "tokenizer: the tokens' texts are too long");
        }
    }
    t->texts.data = take(t, total, 1);
    t->texts.ends = take(t, v->token_count + 1, sizeof *t->texts.ends);
    t->types = take(t, v->token_count, sizeof *t->types);
    t->whole = take(t, v->token_count, sizeof *t->whole);
    t->ends_turn = take(t, v->token_count, sizeof *t->ends_turn);
    if (!t->texts.data || !t->texts.ends || !t->types || !t->whole || !t->ends_turn) {
        return covey__no_memory(error, "tokenizer: texts", t->bytes);
    }
    t->texts.count = v->token_count;
    covey_status status = read_types(t, v, error);
    if (status != COVEY_OK) {
        return status;
    }
    uint32_t end = 0;
    t->spaces_begin_pieces = true;
    for (size_t i = 0; i < v->token_count; i++) {
        size_t size = SIZE_MAX;
        if (!t->sentencepiece && !t->wordpiece && t->types[i] == COVEY__TOKEN_NORMAL) {
            size = decode_stand_ins(v->tokens[i].data, v->tokens[i].size, t->texts.data + end);
        }
        if (size == SIZE_MAX) {
            size = v->tokens[i].size;
            if (size > 0) {
                memcpy(t->texts.data + end, v->tokens[i].data, size);
            }
        }
        if (is_plain(t, t->types[i])) {
            t->text_size_max = size > t->text_size_max ? (uint32_t)size : t->text_size_max;
            if (t->sentencepiece && has_inner_space(t->texts.data + end, size)) {
                t->spaces_begin_pieces = false;
            }
        }
        end += (uint32_t)size;
        t->texts.ends[i + 1] = end;
    }
    return COVEY_OK;
}

static int32_t find_plain(const covey__tokenizer *t, const char *text, size_t size) {
    return covey__text_table_get(&t->by_text, &t->texts, covey__text_hash(text, size), text, size);
}

static covey_status index_texts(covey__tokenizer *t, covey_error *error) {
    covey_status status = covey__text_table_init(t->env, &t->by_text, t->texts.count, error);
    if (status != COVEY_OK) {
        return status;
    }
    t->bytes += (t->by_text.mask + 1) * sizeof *t->by_text.slots;
    for (uint32_t id = 0; id < t->texts.count; id++) {
        if (is_plain(t, t->types[id]) && covey__token_text(&t->texts, id).size > 0) {
            covey__text_table_put(&t->by_text, &t->texts, id);
        }
    }
    for (int byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        t->byte_ids[byte] = find_plain(t, &text, 1);
    }
    for (uint32_t id = 0; t->sentencepiece && id < t->texts.count; id++) {
        covey__text text = covey__token_text(&t->texts, id);
        int byte = t->types[id] == COVEY__TOKEN_BYTE ? byte_of_name(text.data, text.size) : -1;
        if (byte >= 0) {
            t->byte_ids[byte] = (int32_t)id;
        }
    }
    return COVEY_OK;
}

/* Scores as numbers whose order is the scores' turned round: the best is the lowest. */
static covey_status rank_scores(covey__tokenizer *t, const covey__vocabulary *v,
                                covey_error *error) {
    t->ranks = take(t, v->token_count, sizeof *t->ranks);
    if (!t->ranks) {
        return covey__no_memory(error, "tokenizer: ranks", v->token_count * sizeof *t->ranks);
    }
    for (size_t i = 0; i < v->token_count; i++) {
        float score = v->scores ? v->scores[i] : 0.0f;
        uint32_t bits;
        if (isnan(score)) {
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "tokenizer: token %zu has no number as its score "
                               "(tokenizer.ggml.scores)",
                               i);
        }
        score = score == 0.0f ? 0.0f : score; /* one zero, not two */
        memcpy(&bits, &score, sizeof bits);
        t->ranks[i] = bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
    }
    return COVEY_OK;
}

/* A merge whose three texts were found and hashed, but not yet looked up: a batch of them waits for
 * memory together. */
typedef struct {
    const char *text; /* left and right, joined */
    size_t left_size, size;
    uint64_t left_hash, right_hash, hash;
    uint32_t rank;
} pending_merge;

static void settle_merges(covey__tokenizer *t, const pending_merge *pending, size_t count) {
    covey__merge merges[MERGE_BATCH];
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const pending_merge *p = &pending[i];
        size_t right_size = p->size - p->left_size;
        int32_t left =
            covey__text_table_get(&t->by_text, &t->texts, p->left_hash, p->text, p->left_size);
        int32_t right = covey__text_table_get(&t->by_text, &t->texts, p->right_hash,
                                              p->text + p->left_size, right_size);
        int32_t merged = covey__text_table_get(&t->by_text, &t->texts, p->hash, p->text, p->size);
        if (left >= 0 && right >= 0 && merged >= 0) {
            merges[found] =
                (covey__merge){(uint32_t)left, (uint32_t)right, p->rank, (uint32_t)merged};
            covey__merge_table_prefetch(&t->merges, (uint32_t)left, (uint32_t)right);
            found++;
        }
    }
    for (size_t i = 0; i < found; i++) {
        covey__merge_table_put(&t->merges, merges[i]);
    }
}

/* Reads "left right" into `out`; false when it is not of that form. */
static bool read_merge(const covey__text *merge, char *out, pending_merge *pending) {
    const char *space = merge->size > 2 ? memchr(merge->data + 1, ' ', merge->size - 2) : NULL;
    if (!space) {
        return false;
    }
    size_t left = (size_t)(space - merge->data);
    size_t left_size = decode_stand_ins(merge->data, left, out);
    if (left_size == SIZE_MAX) {
        return false;
    }
    size_t right_size = decode_stand_ins(space + 1, merge->size - left - 1, out + left_size);
    if (right_size == SIZE_MAX) {
        return false;
    }
    pending->text = out;
    pending->left_size = left_size;
    pending->size = left_size + right_size;
    pending->left_hash = covey__text_hash(out, left_size);
    pending->right_hash = covey__text_hash(out + left_size, right_size);
    pending->hash = covey__text_hash(out, pending->size);
    return true;
}

/* Merges of texts that are no tokens cannot happen, and are left out. */
static covey_status read_merges(covey__tokenizer *t, const covey__vocabulary *v,
                                covey_error *error) {
    covey_status status = covey__merge_table_init(t->env, &t->merges, v->merge_count, error);
    if (status != COVEY_OK) {
        return status;
    }
    t->bytes += (t->merges.mask + 1) * sizeof *t->merges.slots;
    size_t room = 2 * (size_t)t->text_size_max + 1; /* decoding takes two bytes to one at most */
    room = 2 * room;
    char *texts = covey__calloc(t->env, MERGE_BATCH, room);
    if (!texts) {
        return covey__no_memory(error, "tokenizer: merges", MERGE_BATCH * room);
    }
    pending_merge pending[MERGE_BATCH];
    size_t count = 0;
    for (size_t i = 0; i < v->merge_count && status == COVEY_OK; i++) {
        if (v->merges[i].size > room) {
            continue; /* longer than any token */
        }
        pending_merge *p = &pending[count];
        if (!read_merge(&v->merges[i], texts + count * room, p)) {
            char shown[64];
            status = covey__fail(
                error, COVEY_ERROR_FORMAT,
                "tokenizer: merge %zu (tokenizer.ggml.merges) is \"%s\", expected two texts and "
                "one space between",
                i, covey__printable(v->merges[i].data, v->merges[i].size, shown, sizeof shown));
            break;
        }
        p->rank = (uint32_t)i + 1;
        covey__text_table_prefetch(&t->by_text, p->left_hash);
        covey__text_table_prefetch(&t->by_text, p->right_hash);
        covey__text_table_prefetch(&t->by_text, p->hash);
        if (++count == MERGE_BATCH) {
            settle_merges(t, pending, count);
            count = 0;
        }
    }
    settle_merges(t, pending, count);
    covey__free(t->env, texts);
    return status;
}

static int compare_specials(const void *a, const void *b) {
    const covey__special *one = a, *two = b;
    size_t size = one->size < two->size ? one->size : two->size;
    int order = memcmp(one->data, two->data, size);
    if (order == 0) {
        order = (one->size > two->size) - (one->size < two->size);
    }
    return order ? order : (one->id > two->id) - (one->id < two->id);
}

/* Control tokens that end a turn go by these names in the vocabularies that do not say so
 * otherwise.
 */
static bool is_end_name(const covey__special *special) {
    static const char *const names[] = {
        "<|eot_id|>",    "<|eom_id|>",      "<|im_end|>", "<|end|>",    "<end_of_turn>",
        "<|endoftext|>", "<|end_of_text|>", "<EOT>",      "<|return|>", "<end_of_utterance>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == special->size &&
            memcmp(names[i], special->data, special->size) == 0) {
            return true;
        }
    }
    return false;
}

static covey_status read_specials(covey__tokenizer *t, covey_error *error) {
    size_t count = 0;
    for (size_t i = 0; i < t->texts.count; i++) {
        count += is_special(t->types[i]);
    }
    t->specials = take(t, count, sizeof *t->specials);
    if (!t->specials) {
        return covey__no_memory(error, "tokenizer: special tokens", count * sizeof *t->specials);
    }
    for (uint32_t id = 0; id < t->texts.count; id++) {
        covey__text text = covey__token_text(&t->texts, id);
        if (is_special(t->types[id]) && text.size > 0) {
            covey__special special = {text.data, (uint32_t)text.size, id};
            t->specials[t->special_count++] = special;
            t->special_begins[(uint8_t)text.data[0]] = true;
            t->ends_turn[id] = is_end_name(&special);
        }
    }
    qsort(t->specials, t->special_count, sizeof *t->specials, compare_specials);
    const int32_t ends[] = {t->specials_of.eos, t->specials_of.eot, t->specials_of.eom};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (ends[i] >= 0) {
            t->ends_turn[ends[i]] = true;
        }
    }
    return COVEY_OK;
}

static covey_status build(covey__tokenizer *t, const covey__vocabulary *v, covey_error *error) {
    t->add_space_prefix = v->add_space_prefix;
    t->special_strip_right = v->special_strip_right;
    t->lower_case = v->lower_case;
    t->strip_accents = v->strip_accents;
    t->specials_of = (covey__tokenizer_specials){(int32_t)v->token_count,
                                                 v->bos,
                                                 v->eos,
                                                 v->eot,
                                                 v->eom,
                                                 v->unknown,
                                                 v->padding,
                                                 v->cls,
                                                 v->separator,
                                                 v->add_bos,
                                                 v->add_eos,
                                                 v->add_separator};
    covey_status status = read_texts(t, v, error);
    status = status == COVEY_OK ? index_texts(t, error) : status;
    if (status == COVEY_OK) {
        status = t->wordpiece       ? COVEY_OK
                 : t->sentencepiece ? rank_scores(t, v, error)
                                    : read_merges(t, v, error);
    }
    return status == COVEY_OK ? read_specials(t, error) : status;
}

covey_status covey__tokenizer_new(const covey__env *env, const covey__vocabulary *vocabulary,
                                  covey__tokenizer **tokenizer, covey_error *error) {
    *tokenizer = NULL;
    covey_status status = check_counts(vocabulary, error);
    if (status != COVEY_OK) {
        return status;
    }
    covey__tokenizer *t = covey__calloc(env, 1, sizeof *t);
    if (!t) {
        return covey__no_memory(error, "tokenizer", sizeof *t);
    }
    t->env = env;
    t->bytes = sizeof *t;
    status = find_kind(t, vocabulary, error);
    status = status == COVEY_OK ? build(t, vocabulary, error) : status;
    if (status != COVEY_OK) {
        covey__tokenizer_free(t);
        return status;
    }
    *tokenizer = t;
    return COVEY_OK;
}

void covey__tokenizer_free(covey__tokenizer *t) {
    if (!t) {
        return;
    }
    const covey__env *env = t->env;
    covey__free(env, t->texts.data);
    covey__free(env, t->texts.ends);
    covey__free(env, t->types);
    covey__free(env, t->ends_turn);
    covey__free(env, t->whole);
    covey__free(env, t->ranks);
    covey__free(env, t->by_text.slots);
    covey__free(env, t->merges.slots);
    covey__free(env, t->specials);
    covey__free(env, t);
}

covey__tokenizer_specials covey__tokenizer_specials_of(const covey__tokenizer *tokenizer) {
    return tokenizer->specials_of;
}

void covey__tokenizer_around(const covey__tokenizer *tokenizer, int32_t *begin, int32_t *end) {
    const covey__tokenizer_specials *s = &tokenizer->specials_of;
    int32_t first = tokenizer->wordpiece && s->cls >= 0 ? s->cls : s->bos;
    *begin = s->add_bos ? first : -1;
    *end = s->add_separator && s->separator >= 0 ? s->separator : s->add_eos ? s->eos : -1;
}

static bool is_id(const covey__tokenizer *t, int32_t token) {
    return token >= 0 && (size_t)token < t->texts.count;
}

/* Copies with U+2581 as a space; returns the full length. */
static size_t copy_unmarked(covey__text text, char *out, size_t capacity) {
    size_t written = 0;
    for (size_t at = 0; at < text.size; written++) {
        bool mark = text.size - at >= COVEY__SPACE_MARK_SIZE &&
                    memcmp(text.data + at, COVEY__SPACE_MARK, COVEY__SPACE_MARK_SIZE) == 0;
        if (written < capacity) {
            out[written] = mark ? ' ' : text.data[at];
        }
        at += mark ? COVEY__SPACE_MARK_SIZE : 1;
    }
    return written;
}

size_t covey__tokenizer_bytes_of(const covey__tokenizer *tokenizer, int32_t token, bool special,
                                 char *bytes, size_t capacity) {
    if (!is_id(tokenizer, token)) {
        return 0;
    }
    uint8_t type = tokenizer->types[token];
    covey__text text = covey__token_text(&tokenizer->texts, (uint32_t)token);
    if (((type == COVEY__TOKEN_CONTROL || type == COVEY__TOKEN_UNKNOWN) && !special) ||
        (type == COVEY__TOKEN_UNUSED && !tokenizer->sentencepiece)) {
        return 0;
    }
    if (type == COVEY__TOKEN_BYTE) {
        int byte = byte_of_name(text.data, text.size);
        if (byte >= 0 && capacity > 0) {
            bytes[0] = (char)byte;
        }
        return byte >= 0;
    }
    bool marked = tokenizer->sentencepiece || tokenizer->wordpiece;
    if (marked && (type == COVEY__TOKEN_NORMAL || type == COVEY__TOKEN_UNUSED)) {
        return copy_unmarked(text, bytes, capacity);
    }
    size_t size = text.size < capacity ? text.size : capacity;
    if (size > 0) {
        memcpy(bytes, text.data, size);
    }
    return text.size;
}

int32_t covey__tokenizer_find(const covey__tokenizer *tokenizer, const char *text, size_t size) {
    for (size_t low = 0, high = tokenizer->special_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        covey__special sought = {text, (uint32_t)size, tokenizer->specials[middle].id};
        int order = compare_specials(&sought, &tokenizer->specials[middle]);
        if (order == 0) {
            return (int32_t)tokenizer->specials[middle].id;
        }
        low = order > 0 ? middle + 1 : low;
        high = order < 0 ? middle : high;
    }
    return size > 0 ? find_plain(tokenizer, text, size) : -1;
}

covey__token_type covey__tokenizer_type_of(const covey__tokenizer *tokenizer, int32_t token) {
    return is_id(tokenizer, token) ? (covey__token_type)tokenizer->types[token]
                                   : COVEY__TOKEN_UNUSED;
}

bool covey__tokenizer_is_end(const covey__tokenizer *tokenizer, int32_t token) {
    return is_id(tokenizer, token) && tokenizer->ends_turn[token];
}
