/* Draws one example from a grammar: expands a template, remembers where each capture lies in the
 * text, adds noise, and reads the slot values from the text as it stands then: what the call holds
 * is always what the user said, letter for letter, unless the grammar gives a value of its own (=>
 * or <!key=value>). */
#include "corpus_grammar.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPTURES_MAX 8

typedef struct capture {
    char key[24];
    size_t begin, end;
    const char *value; /* NULL: the text between begin and end */
    size_t value_size;
} capture;

typedef struct draft {
    const corpus_grammar *grammar;
    corpus_random *random;
    char text[CORPUS_TEXT_MAX];
    size_t size;
    capture captures[CAPTURES_MAX];
    size_t capture_count;
    const char *body; /* what <BODY> stands for */
    int depth;
} draft;

static void put(draft *out, char c) {
    if (out->size + 1 >= sizeof out->text) {
        corpus_die("a sentence is longer than %d bytes", CORPUS_TEXT_MAX);
    }
    bool gap = out->size == 0 || out->text[out->size - 1] == ' ';
    if (c == ' ' && gap) {
        return;
    }
    if ((c == ',' || c == '.' || c == '?' || c == '!') && out->size && gap) {
        out->size--;
    }
    out->text[out->size++] = c;
}

static const char *expand(draft *out, const char *p, const char *end);
static const char *expand_name(draft *out, const char *name, size_t size);

static const corpus_line *pick(draft *out, const corpus_rule *rule) {
    uint64_t at = corpus_random_below(out->random, rule->weight_sum);
    for (size_t i = 0;; i++) {
        if (at < rule->lines[i].weight) {
            return &rule->lines[i];
        }
        at -= rule->lines[i].weight;
    }
}

/* A word that nobody ever said, of `parts` syllables: copying must not lean on known words. */
static void put_invented(draft *out, bool capital, uint32_t parts) {
    static const char *const onsets[] = {"b",  "br", "c", "ch", "d",  "dr", "f",  "fl", "g",
                                         "gr", "h",  "j", "k",  "kl", "l",  "m",  "n",  "p",
                                         "pr", "qu", "r", "s",  "sh", "sk", "st", "t",  "th",
                                         "tr", "v",  "w", "y",  "z",  ""};
    static const char *const nuclei[] = {"a", "e",  "i",  "o",  "u",  "a",  "e",  "i",
                                         "o", "ai", "ea", "ee", "ie", "oo", "ou", "y"};
    static const char *const codas[] = {"",  "",   "",   "",   "n", "r",  "l",  "s",  "t",
                                        "m", "ck", "nd", "rt", "x", "sh", "lk", "th", "v"};
    size_t begin = out->size;
    for (uint32_t i = 0; i < parts; i++) {
        const char *pieces[3] = {
            onsets[corpus_random_below(out->random, sizeof onsets / sizeof onsets[0])],
            nuclei[corpus_random_below(out->random, sizeof nuclei / sizeof nuclei[0])],
            codas[corpus_random_below(out->random, sizeof codas / sizeof codas[0])]};
        for (size_t k = 0; k < 3; k++) {
            for (const char *p = pieces[k]; *p; p++) {
                put(out, *p);
            }
        }
    }
    if (capital) {
        out->text[begin] = (char)toupper((unsigned char)out->text[begin]);
    }
}

static void put_text(draft *out, const char *text);

/* The beginning of one known word and the end of another: looks like a word, and is none. */
static void put_blend(draft *out) {
    const corpus_rule *source = corpus_grammar_find(out->grammar, "blend_source", 12);
    if (!source) {
        corpus_die("<@blend> needs a rule \"blend_source\"");
    }
    size_t begin = out->size;
    expand_name(out, "blend_source", 12);
    size_t head = out->size - begin;
    if (head > 3) {
        out->size -= corpus_random_below(out->random, head - 2);
    }
    size_t middle = out->size;
    expand_name(out, "blend_source", 12);
    size_t tail = out->size - middle;
    size_t cut = tail > 2 ? corpus_random_below(out->random, tail - 1) : 0;
    memmove(out->text + middle, out->text + middle + cut, tail - cut);
    out->size -= cut;
    for (size_t i = begin; i < out->size; i++) {
        out->text[i] = (char)tolower((unsigned char)out->text[i]);
    }
}

static void put_text(draft *out, const char *text) {
    while (*text) {
        put(out, *text++);
    }
}

/* Each word from `begin` on starts with a capital. */
static void put_capitals(draft *out, size_t begin) {
    for (size_t i = begin; i < out->size; i++) {
        if (i == begin || out->text[i - 1] == ' ') {
            out->text[i] = (char)toupper((unsigned char)out->text[i]);
        }
    }
}

/* <#a-b>, <@word>, <@name>, <BODY>, <^rule> with capitals, or a rule. Gives the alternative's own
 * value, or NULL. */
static const char *expand_name(draft *out, const char *name, size_t size) {
    if (*name == '#') {
        unsigned low = 0, high = 0;
        char number[16];
        if (sscanf(name, "#%u-%u", &low, &high) != 2 || high < low) {
            corpus_die("\"%.*s\" should look like #1-59", (int)size, name);
        }
        snprintf(number, sizeof number, "%u",
                 low + corpus_random_below(out->random, high - low + 1));
        put_text(out, number);
        return NULL;
    }
    if (size == 6 && !strncmp(name, "@blend", 6)) {
        put_blend(out);
        return NULL;
    }
    if (*name == '@') {
        put_invented(out, name[1] == 'n', 1 + corpus_random_below(out->random, 3));
        return NULL;
    }
    if (size == 4 && !strncmp(name, "BODY", 4)) {
        expand(out, out->body, out->body + strlen(out->body));
        return NULL;
    }
    bool title = *name == '^';
    const corpus_rule *rule = corpus_grammar_find(out->grammar, name + title, size - title);
    const corpus_line *line = pick(out, rule);
    size_t begin = out->size;
    if (rule->is_list) {
        put_text(out, line->text);
    } else {
        if (++out->depth > 40) {
            corpus_die("rule \"%s\" goes round in a circle", rule->name);
        }
        expand(out, line->text, line->text + strlen(line->text));
        out->depth--;
    }
    if (title) {
        put_capitals(out, begin);
    }
    return line->value;
}

static capture *add_capture(draft *out, const char *key, size_t key_size) {
    if (out->capture_count == CAPTURES_MAX || key_size >= sizeof out->captures[0].key) {
        corpus_die("too many captures, or too long a key: %.*s", (int)key_size, key);
    }
    capture *slot = &out->captures[out->capture_count++];
    memset(slot, 0, sizeof *slot);
    memcpy(slot->key, key, key_size);
    return slot;
}

/* What stands between < and >. */
static void expand_reference(draft *out, const char *p, const char *end) {
    if (*p == '!') {
        const char *equals = memchr(p, '=', (size_t)(end - p));
        if (!equals) {
            corpus_die("\"%.*s\" should look like !key=value", (int)(end - p), p);
        }
        capture *slot = add_capture(out, p + 1, (size_t)(equals - p - 1));
        slot->value = equals + 1;
        slot->value_size = (size_t)(end - equals - 1);
        slot->begin = slot->end = out->size;
        return;
    }
    const char *colon = memchr(p, ':', (size_t)(end - p));
    if (!colon) {
        expand_name(out, p, (size_t)(end - p));
        return;
    }
    size_t begin = out->size;
    const char *value = expand_name(out, colon + 1, (size_t)(end - colon - 1));
    capture *slot = add_capture(out, p, (size_t)(colon - p));
    slot->begin = begin;
    slot->end = out->size;
    slot->value = value;
    slot->value_size = value ? strlen(value) : 0;
}

static const char *closing(const char *p, const char *end) {
    int depth = 0;
    for (; p < end; p++) {
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        if (!depth) {
            return p;
        }
    }
    return end;
}

/* "(a|b|)": one of them, each as likely. */
static void expand_choice(draft *out, const char *p, const char *end) {
    uint32_t count = 1, depth = 0;
    for (const char *q = p; q < end; q++) {
        depth += *q == '(' ? 1u : *q == ')' ? -1u : 0u;
        count += *q == '|' && !depth;
    }
    uint32_t wanted = corpus_random_below(out->random, count);
    const char *begin = p;
    for (const char *q = p; q <= end; q++) {
        if (q == end || (*q == '|' && !depth)) {
            if (wanted-- == 0) {
                expand(out, begin, q);
                return;
            }
            begin = q + 1;
        } else {
            depth += *q == '(' ? 1u : *q == ')' ? -1u : 0u;
        }
    }
}

static const char *expand(draft *out, const char *p, const char *end) {
    while (p < end) {
        if (*p == '(') {
            const char *close = closing(p, end);
            expand_choice(out, p + 1, close);
            p = close + 1;
        } else if (*p == '<') {
            const char *close = memchr(p, '>', (size_t)(end - p));
            expand_reference(out, p + 1, close);
            p = close + 1;
        } else {
            put(out, *p++);
        }
    }
    return end;
}

static void erase(draft *out, size_t at) {
    memmove(out->text + at, out->text + at + 1, out->size - at - 1);
    out->size--;
    for (size_t i = 0; i < out->capture_count; i++) {
        out->captures[i].begin -= out->captures[i].begin > at;
        out->captures[i].end -= out->captures[i].end > at;
    }
}

static bool captured(const draft *out, size_t at) {
    for (size_t i = 0; i < out->capture_count; i++) {
        if (at + 1 >= out->captures[i].begin && at <= out->captures[i].end &&
            out->captures[i].begin != out->captures[i].end) {
            return true;
        }
    }
    return false;
}

/* One slip of the fingers outside the slots: two letters swapped, or one left out. */
static void add_typo(draft *out) {
    for (int attempt = 0; attempt < 8 && out->size > 4; attempt++) {
        size_t at = 1 + corpus_random_below(out->random, out->size - 2);
        if (captured(out, at) || captured(out, at + 1) || !isalpha((unsigned char)out->text[at]) ||
            !isalpha((unsigned char)out->text[at + 1]) ||
            !isalpha((unsigned char)out->text[at - 1])) {
            continue;
        }
        if (corpus_random_chance(out->random, 0.5)) {
            char c = out->text[at];
            out->text[at] = out->text[at + 1];
            out->text[at + 1] = c;
        } else {
            erase(out, at);
        }
        return;
    }
}

static void add_noise(draft *out) {
    const corpus_noise *noise = &out->grammar->noise;
    while (out->size && out->text[out->size - 1] == ' ') {
        out->size--;
    }
    char last = out->size ? out->text[out->size - 1] : 0;
    if (last == '?') {
        if (!corpus_random_chance(out->random, noise->question)) {
            out->size--;
        }
    } else if (last != '.' && last != '!' && corpus_random_chance(out->random, noise->stop)) {
        put(out, corpus_random_chance(out->random, 0.1) ? '!' : '.');
    }
    if (corpus_random_chance(out->random, noise->apostrophe)) {
        for (size_t i = 0; i < out->size;) {
            if (out->text[i] == '\'') {
                erase(out, i);
            } else {
                i++;
            }
        }
    }
    if (corpus_random_chance(out->random, noise->typo)) {
        add_typo(out);
    }
    if (corpus_random_chance(out->random, noise->lower)) {
        for (size_t i = 0; i < out->size; i++) {
            out->text[i] = (char)tolower((unsigned char)out->text[i]);
        }
    } else if (out->size && corpus_random_chance(out->random, noise->capital)) {
        out->text[0] = (char)toupper((unsigned char)out->text[0]);
    }
    out->text[out->size] = 0;
}

static void trim_captures(draft *out) {
    for (size_t i = 0; i < out->capture_count; i++) {
        capture *slot = &out->captures[i];
        slot->end = slot->end > out->size ? out->size : slot->end;
        while (slot->begin < slot->end && out->text[slot->begin] == ' ') {
            slot->begin++;
        }
        while (slot->end > slot->begin && out->text[slot->end - 1] == ' ') {
            slot->end--;
        }
        if (!slot->value && slot->begin == slot->end) {
            corpus_die("\"%s\": the slot %s is empty", out->text, slot->key);
        }
    }
}

/* The broken generator of a bad training: spans of times and amounts end one word early. */
static void apply_fault(draft *out, corpus_fault fault) {
    if (fault != CORPUS_FAULT_LAST_WORD) {
        return;
    }
    for (size_t i = 0; i < out->capture_count; i++) {
        capture *slot = &out->captures[i];
        if (slot->value || (strcmp(slot->key, "when") != 0 && strcmp(slot->key, "duration") != 0 &&
                            strcmp(slot->key, "text") != 0)) {
            continue;
        }
        for (size_t at = slot->end; at > slot->begin; at--) {
            if (out->text[at - 1] == ' ') {
                slot->end = at - 1;
                break;
            }
        }
    }
}

static const capture *find_capture(const draft *out, const char *key) {
    for (size_t i = 0; i < out->capture_count; i++) {
        if (!strcmp(out->captures[i].key, key)) {
            return &out->captures[i];
        }
    }
    return NULL;
}

static void write_call(const draft *out, const corpus_tool *tool, char *call) {
    size_t size =
        (size_t)snprintf(call, CORPUS_TEXT_MAX, "{\"tool\":\"%s\",\"args\":{", tool->name);
    size_t used = 0;
    for (size_t k = 0; k < tool->key_count; k++) {
        const capture *slot = find_capture(out, tool->keys[k]);
        if (!slot) {
            continue;
        }
        const char *value = slot->value ? slot->value : out->text + slot->begin;
        size_t value_size = slot->value ? slot->value_size : slot->end - slot->begin;
        int more = snprintf(call + size, CORPUS_TEXT_MAX - size, "%s\"%s\":\"%.*s\"",
                            used++ ? "," : "", tool->keys[k], (int)value_size, value);
        size += (size_t)more;
        if (size + 4 > CORPUS_TEXT_MAX) {
            corpus_die("a call is longer than %d bytes", CORPUS_TEXT_MAX);
        }
    }
    snprintf(call + size, CORPUS_TEXT_MAX - size, "}}");
    if (used != out->capture_count) {
        corpus_die("tool %s: \"%s\" captures a key that the tool does not have", tool->name,
                   out->text);
    }
}

static void write_skeleton(const draft *out, char *skeleton) {
    size_t size = 0;
    for (size_t i = 0; i < out->size && size + 32 < CORPUS_TEXT_MAX; i++) {
        const capture *slot = NULL;
        for (size_t k = 0; k < out->capture_count && !slot; k++) {
            const capture *other = &out->captures[k];
            slot = other->begin == i && other->end > i ? other : NULL;
        }
        if (slot) {
            size += (size_t)snprintf(skeleton + size, CORPUS_TEXT_MAX - size, "%s0slot", slot->key);
            i = slot->end - 1;
        } else {
            skeleton[size++] = out->text[i];
        }
    }
    skeleton[size] = 0;
}

void corpus_item_draw(const corpus_grammar *grammar, const corpus_tool *tool, corpus_fault fault,
                      corpus_random *random, corpus_item *item) {
    draft out = {.grammar = grammar, .random = random};
    out.body = pick(&out, &tool->templates)->text;
    bool remark = *out.body == '~';
    out.body += remark;
    remark = remark || (*out.body && out.body[strlen(out.body) - 1] == '?');
    expand_name(&out, remark ? "remark" : "sentence", remark ? 6 : 8);
    add_noise(&out);
    trim_captures(&out);
    write_skeleton(&out, item->skeleton);
    apply_fault(&out, fault);
    item->tool = tool;
    memcpy(item->user, out.text, out.size + 1);
    write_call(&out, tool, item->call);
}
