/* The automaton against a second reading of the same grammars. Random grammars are trees here: they
 * are printed as GBNF for the guide, and read by a recognizer that knows sets of positions and
 * nothing of stacks. Both must say the same of every text. */
#include "guide_cases.h"

#define NODES_MAX 400
#define RULES     5
#define LENGTH    40 /* of texts: a set of positions is one word */

typedef enum kind { LITERAL, CLASS, OTHER, SEQUENCE, CHOICE, REPEAT, CALL, NOTHING_READ } kind;

typedef struct tree {
    kind kind;
    int low, high; /* counts; high 99: no end */
    int left, right;
    char text[4];
} tree;

typedef struct grammar {
    tree nodes[NODES_MAX];
    int count;
    int rules[RULES];
    uint64_t random;
    char printed[20000];
    size_t size;
    /* the recognizer's */
    const char *text;
    size_t length;
    uint64_t ends[NODES_MAX][LENGTH + 1];
    char state[NODES_MAX][LENGTH + 1]; /* 0 unknown, 1 on its way, 2 known */
} grammar;

static uint32_t below(grammar *g, uint32_t bound) {
    return next_random(&g->random) % bound;
}

/* ---- Grammars ---- */

static int make(grammar *g, int depth) {
    int id = g->count++;
    assert_true(id < NODES_MAX);
    tree *t = &g->nodes[id];
    *t = (tree){.kind = (kind)below(g, depth > 0 ? 8 : 3)};
    if (depth > 0 && below(g, 3) == 0) t->kind = CALL;
    switch (t->kind) {
    case LITERAL:
        for (uint32_t i = 0, size = 1 + below(g, 2); i < size; i++)
            t->text[i] = (char)('a' + below(g, 3));
        break;
    case CLASS:
    case OTHER:
        t->text[0] = (char)('a' + below(g, 3));
        break;
    case SEQUENCE:
    case CHOICE: {
        int left = make(g, depth - 1), right = make(g, depth - 1);
        g->nodes[id].left = left;
        g->nodes[id].right = right;
        break;
    }
    case REPEAT: {
        static const int counts[][2] = {{0, 99}, {1, 99}, {0, 1}, {2, 3}, {0, 2}, {2, 99}};
        uint32_t which = below(g, 6);
        t->low = counts[which][0];
        t->high = counts[which][1];
        int left = make(g, depth - 1);
        g->nodes[id].left = left;
        break;
    }
    case CALL:
        t->left = (int)below(g, RULES);
        break;
    case NOTHING_READ:
        break;
    }
    return id;
}

static void say(grammar *g, const char *format, ...) COVEY_PRINTF(2, 3);
static void say(grammar *g, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int size = vsnprintf(g->printed + g->size, sizeof g->printed - g->size, format, args);
    va_end(args);
    g->size += (size_t)size;
    assert_true(g->size < sizeof g->printed);
}

static void print(grammar *g, int id) {
    const tree *t = &g->nodes[id];
    switch (t->kind) {
    case LITERAL:
        say(g, "\"%s\"", t->text);
        break;
    case CLASS:
        say(g, "[%s-%s]", t->text, t->text);
        break;
    case OTHER:
        say(g, "[^%s\\x00-`d-\\U0010ffff]", t->text);
        break; /* the other two letters */
    case SEQUENCE:
    case CHOICE:
        say(g, "(");
        print(g, t->left);
        say(g, t->kind == CHOICE ? " | " : " ");
        print(g, t->right);
        say(g, ")");
        break;
    case REPEAT:
        say(g, "(");
        print(g, t->left);
        say(g, t->high == 99 ? "){%d,}" : "){%d,%d}", t->low, t->high);
        break;
    case CALL:
        say(g, t->left ? "r%d" : "root", t->left);
        break;
    case NOTHING_READ:
        say(g, "\"\"");
        break;
    }
}

static void make_grammar(grammar *g, uint64_t seed) {
    g->count = 0;
    g->size = 0;
    g->random = seed * 0x9E3779B97F4A7C15ull + 3;
    for (int i = 0; i < RULES; i++) g->rules[i] = make(g, 3);
    for (int i = 0; i < RULES; i++) {
        say(g, i ? "r%d ::= " : "root ::= ", i);
        print(g, g->rules[i]);
        say(g, "\n");
    }
}

/* ---- The recognizer: positions behind a node that begins at one ---- */

static uint64_t ends_of(grammar *g, int id, size_t at);

static uint64_t ends_from(grammar *g, int id, uint64_t positions) {
    uint64_t all = 0;
    for (size_t at = 0; at <= g->length; at++)
        if (positions >> at & 1) all |= ends_of(g, id, at);
    return all;
}

static uint64_t repeated(grammar *g, const tree *t, size_t at) {
    uint64_t here = UINT64_C(1) << at, all = t->low == 0 ? here : 0;
    for (int i = 1; i <= t->high && i <= LENGTH + 4 && here; i++) {
        here = ends_from(g, t->left, here);
        if (i >= t->low) all |= here;
    }
    return all;
}

static uint64_t ends_of(grammar *g, int id, size_t at) {
    if (g->state[id][at] == 2) return g->ends[id][at];
    if (g->state[id][at] == 1) return 0; /* only where a rule without any text begins with itself */
    g->state[id][at] = 1;
    const tree *t = &g->nodes[id];
    char next = at < g->length ? g->text[at] : 0;
    uint64_t ends = 0;
    switch (t->kind) {
    case LITERAL:
        if (strlen(t->text) <= g->length - at && !memcmp(g->text + at, t->text, strlen(t->text)))
            ends = UINT64_C(1) << (at + strlen(t->text));
        break;
    case CLASS:
        ends = next == t->text[0] ? UINT64_C(2) << at : 0;
        break;
    case OTHER:
        ends = next && next != t->text[0] ? UINT64_C(2) << at : 0;
        break;
    case SEQUENCE:
        ends = ends_from(g, t->right, ends_of(g, t->left, at));
        break;
    case CHOICE:
        ends = ends_of(g, t->left, at) | ends_of(g, t->right, at);
        break;
    case REPEAT:
        ends = repeated(g, t, at);
        break;
    case CALL:
        ends = ends_of(g, g->rules[t->left], at);
        break;
    case NOTHING_READ:
        ends = UINT64_C(1) << at;
        break;
    }
    g->state[id][at] = 2;
    return g->ends[id][at] = ends;
}

static bool recognizes(grammar *g, const char *text, size_t length) {
    g->text = text;
    g->length = length;
    memset(g->state, 0, sizeof g->state);
    return ends_of(g, g->rules[0], 0) >> length & 1;
}

/* ---- Both ---- */

static bool guide_matches(const covey_guide *guide, const char *text, size_t length) {
    covey_error error = {.message = ""};
    size_t matched;
    bool whole;
    must(covey_guide_match(guide, text, length, &matched, &whole, &error), &error);
    return whole;
}

static void compare(grammar *g, const covey_guide *guide, const char *text, size_t length) {
    bool guided = guide_matches(guide, text, length);
    if (guided != recognizes(g, text, length))
        fail_msg("%s\n\"%.*s\": the guide says %d", g->printed, (int)length, text, guided);
}

/* A random text that the guide allows, by the machine's own steps; its length. */
static size_t random_walk(grammar *g, covey__guide_machine *m, char *text) {
    uint32_t set = covey__guide_start(m);
    size_t length = 0;
    while (length < LENGTH) {
        if (m->sets[set].accepts && below(g, 5) == 0) break;
        char letter = (char)('a' + below(g, 3));
        uint32_t next = 0;
        for (int i = 0; i < 3 && next == 0; i++) {
            letter = letter == 'c' ? 'a' : (char)(letter + 1);
            next = covey__guide_step(m, set, (uint8_t)letter);
        }
        if (next == 0 || next == COVEY__GUIDE_NONE) break;
        text[length++] = letter;
        set = next;
    }
    return length;
}

static void test_random_grammars(void **state) {
    (void)state;
    static grammar g;
    int compiled = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 700; seed++) {
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        make_grammar(&g, seed);
        if (new_guide(false, g.printed, &guide, &error) != COVEY_OK) {
            if (!strstr(error.message, "left recursion") && !strstr(error.message, "nothing"))
                fail_msg("%s%s", g.printed, error.message);
            refused++;
            continue;
        }
        compiled++;
        covey__guide_machine *m = NULL;
        must(covey__guide_machine_new(&guide->program, &m, &error), &error);
        for (int i = 0; i < 4; i++) {
            char text[LENGTH + 1];
            size_t length = random_walk(&g, m, text);
            compare(&g, guide, text, length);
            if (length > 0) compare(&g, guide, text, length - 1);
            if (length > 0) text[below(&g, (uint32_t)length)] = (char)('a' + below(&g, 3));
            compare(&g, guide, text, length);
        }
        covey__guide_machine_free(m);
        covey_guide_free(guide);
    }
    assert_true(compiled > 150 && refused > 50);
}

/* Every text of up to six letters. */
static void test_all_short_texts(void **state) {
    (void)state;
    static grammar g;
    int compiled = 0;
    for (uint64_t seed = 5000; compiled < 12; seed++) {
        covey_guide *guide = NULL;
        make_grammar(&g, seed);
        if (new_guide(false, g.printed, &guide, NULL) != COVEY_OK) continue;
        compiled++;
        covey__guide_machine *m = NULL;
        must(covey__guide_machine_new(&guide->program, &m, NULL), NULL);
        for (uint32_t number = 0; number < 1093; number++) { /* 1 + 3 + ... + 3^6 */
            char text[8];
            size_t length = 0;
            for (uint32_t rest = number; rest > 0; rest = (rest - 1) / 3)
                text[length++] = (char)('a' + (rest - 1) % 3);
            uint32_t set = covey__guide_start(m);
            for (size_t i = 0; i < length && set != 0; i++)
                set = covey__guide_step(m, set, (uint8_t)text[i]);
            if (m->sets[set].accepts != recognizes(&g, text, length))
                fail_msg("%s\n\"%.*s\"", g.printed, (int)length, text);
        }
        covey__guide_machine_free(m);
        covey_guide_free(guide);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_grammars),
        cmocka_unit_test(test_all_short_texts),
    };
    return cmocka_run_group_tests(tests, open_cases, close_cases);
}
