/* Expressions to trees, by Jinja's precedence: choice, or, and, not, comparisons, + and -, ~, then
 * * / // %, **, signs, and last what is written behind a value: attributes, items, calls, filters,
 * tests. Depth is counted on the way down, so that no template exhausts the stack, and on the way
 * up, because a long chain such as a + b + … makes a deep tree without nesting. */
#include "text/template_tree.h"

#include <stdlib.h>
#include <string.h>

static const char *shown_name(const covey__lexeme *lexeme, char out[32]) {
    switch (lexeme->kind) {
    case COVEY__LEX_END:
        return "the template's end";
    case COVEY__LEX_TEXT:
        return "text";
    case COVEY__LEX_PRINT_BEGIN:
        return "{{";
    case COVEY__LEX_BLOCK_BEGIN:
        return "{%";
    case COVEY__LEX_STRING:
        return "a string";
    default:
        return covey__printable(lexeme->text.data, lexeme->text.size, out, 32);
    }
}

bool covey__parser_is(const covey__parser *p, covey__lexeme_kind kind, const char *text) {
    return p->at->kind == kind && (!text || covey__text_is(p->at->text, text));
}

bool covey__parser_skip(covey__parser *p, covey__lexeme_kind kind, const char *text) {
    bool is = covey__parser_is(p, kind, text);
    p->at += is && kind != COVEY__LEX_END;
    return is;
}

static covey_status unexpected(covey__parser *p, const char *wanted) {
    char shown[32];
    return covey__template_fail(p->error, COVEY_ERROR_FORMAT, p->at->line, "expected %s, found %s",
                                wanted, shown_name(p->at, shown));
}

covey_status covey__parser_expect(covey__parser *p, covey__lexeme_kind kind, const char *text) {
    if (covey__parser_skip(p, kind, text)) {
        return COVEY_OK;
    }
    const char *wanted = text                           ? text
                         : kind == COVEY__LEX_BLOCK_END ? "%}"
                         : kind == COVEY__LEX_PRINT_END ? "}}"
                                                        : "a name";
    return unexpected(p, wanted);
}

covey_status covey__node_new(covey__parser *p, covey__node_kind kind, covey__node **out) {
    *out = covey__arena_calloc(p->arena, 1, sizeof **out);
    if (!*out) {
        return covey__no_memory(p->error, "template: tree", sizeof **out);
    }
    (*out)->kind = kind;
    (*out)->line = p->at->line;
    return COVEY_OK;
}

static uint32_t depth_of(const covey__node *node) {
    return node ? node->depth : 0;
}

covey_status covey__node_close(covey__parser *p, covey__node *node) {
    const covey__node *children[] = {node->a, node->b, node->c, node->d};
    uint32_t depth = 0;
    for (size_t i = 0; i < 4; i++) {
        depth = depth_of(children[i]) > depth ? depth_of(children[i]) : depth;
    }
    for (const covey__node *child = node->list; child; child = child->next) {
        depth = child->depth > depth ? child->depth : depth;
    }
    node->depth = depth + 1;
    if (node->depth > COVEY__TEMPLATE_DEPTH_MAX) {
        return covey__template_fail(p->error, COVEY_ERROR_LIMIT, node->line,
                                    "nested more than %d deep", COVEY__TEMPLATE_DEPTH_MAX);
    }
    return COVEY_OK;
}

static covey_status node_of(covey__parser *p, covey__node_kind kind, covey__text text,
                            covey__node *a, covey__node *b, covey__node **out) {
    covey__node *node;
    COVEY__TRY(covey__node_new(p, kind, &node));
    node->text = text;
    node->a = a;
    node->b = b;
    node->line = a ? a->line : node->line;
    *out = node;
    return covey__node_close(p, node);
}

/* Elements up to `close`, chained; with `keywords`, name=value too. */
static covey_status parse_elements(covey__parser *p, const char *close, bool keywords,
                                   covey__node **first) {
    covey__node **last = first;
    while (!covey__parser_skip(p, COVEY__LEX_OPERATOR, close)) {
        covey__node *element;
        bool named = keywords && p->at->kind == COVEY__LEX_NAME &&
                     p->at[1].kind == COVEY__LEX_OPERATOR && covey__text_is(p->at[1].text, "=");
        covey__text name = p->at->text;
        bool spread = keywords && covey__parser_skip(p, COVEY__LEX_OPERATOR, "*");
        bool names = keywords && covey__parser_skip(p, COVEY__LEX_OPERATOR, "**");
        p->at += named ? 2 : 0;
        COVEY__TRY(covey__parse_expression(p, &element));
        if (named || spread || names) {
            covey__node_kind kind = named    ? COVEY__NODE_KEYWORD
                                    : spread ? COVEY__NODE_SPREAD
                                             : COVEY__NODE_SPREAD_NAMES;
            COVEY__TRY(node_of(p, kind, name, element, NULL, &element));
        }
        *last = element;
        last = &element->next;
        if (!covey__parser_skip(p, COVEY__LEX_OPERATOR, ",") &&
            !covey__parser_is(p, COVEY__LEX_OPERATOR, close)) {
            return unexpected(p, close);
        }
    }
    return COVEY_OK;
}

static covey_status parse_dict(covey__parser *p, covey__node *node) {
    covey__node **last = &node->list;
    while (!covey__parser_skip(p, COVEY__LEX_OPERATOR, "}")) {
        covey__node *key, *value;
        COVEY__TRY(covey__parse_expression(p, &key));
        COVEY__TRY(covey__parser_expect(p, COVEY__LEX_OPERATOR, ":"));
        COVEY__TRY(covey__parse_expression(p, &value));
        *last = key;
        key->next = value;
        last = &value->next;
        if (!covey__parser_skip(p, COVEY__LEX_OPERATOR, ",") &&
            !covey__parser_is(p, COVEY__LEX_OPERATOR, "}")) {
            return unexpected(p, "}");
        }
    }
    return COVEY_OK;
}

/* ( expression ) is the expression; with a comma inside, or empty, it is a list. */
static covey_status parse_parentheses(covey__parser *p, covey__node *node, covey__node **out) {
    node->integer = true; /* a tuple */
    if (covey__parser_skip(p, COVEY__LEX_OPERATOR, ")")) {
        return COVEY_OK;
    }
    covey__node *first;
    COVEY__TRY(covey__parse_expression(p, &first));
    if (covey__parser_skip(p, COVEY__LEX_OPERATOR, ")")) {
        *out = first;
        return COVEY_OK;
    }
    COVEY__TRY(covey__parser_expect(p, COVEY__LEX_OPERATOR, ","));
    node->list = first;
    return parse_elements(p, ")", false, &first->next);
}

static covey_status parse_number(covey__parser *p, covey__node *node, covey__text text) {
    char digits[64];
    if (text.size >= sizeof digits) {
        return covey__template_unsupported(p->error, node->line, "the number", text);
    }
    if (node->kind == COVEY__NODE_INTEGER) {
        for (size_t i = 0; i < text.size; i++) {
            if (__builtin_mul_overflow(node->integer, 10, &node->integer) ||
                __builtin_add_overflow(node->integer, text.data[i] - '0', &node->integer)) {
                return covey__template_unsupported(p->error, node->line, "the number", text);
            }
        }
        return COVEY_OK;
    }
    memcpy(digits, text.data, text.size);
    digits[text.size] = 0;
    covey__json number = {.kind = COVEY__JSON_NUMBER, .text = digits, .size = text.size};
    node->number = covey__json_to_f64(&number);
    return COVEY_OK;
}

static bool parse_constant(covey__text text, covey__node *node) {
    bool is_true = covey__text_is(text, "true") || covey__text_is(text, "True");
    if (is_true || covey__text_is(text, "false") || covey__text_is(text, "False")) {
        node->kind = COVEY__NODE_BOOL;
        node->integer = is_true;
        return true;
    }
    if (covey__text_is(text, "none") || covey__text_is(text, "None")) {
        node->kind = COVEY__NODE_NONE;
        return true;
    }
    return false;
}

/* Strings that stand side by side are one. */
static covey_status parse_string(covey__parser *p, covey__node *node) {
    node->text = p->at++->text;
    while (p->at->kind == COVEY__LEX_STRING) {
        size_t size = node->text.size + p->at->text.size;
        char *joined = covey__arena_alloc(p->arena, size + 1);
        if (!joined) {
            return covey__no_memory(p->error, "template: a string", size);
        }
        memcpy(joined, node->text.data, node->text.size);
        memcpy(joined + node->text.size, p->at->text.data, p->at->text.size);
        node->text = (covey__text){joined, size};
        p->at++;
    }
    return COVEY_OK;
}

static covey_status parse_primary(covey__parser *p, covey__node **out) {
    covey__node *node;
    const covey__lexeme *lexeme = p->at;
    COVEY__TRY(covey__node_new(p, COVEY__NODE_NAME, &node));
    *out = node;
    node->text = lexeme->text;
    if (lexeme->kind == COVEY__LEX_STRING) {
        node->kind = COVEY__NODE_STRING;
        COVEY__TRY(parse_string(p, node));
    } else if (lexeme->kind == COVEY__LEX_INTEGER || lexeme->kind == COVEY__LEX_FLOAT) {
        node->kind = lexeme->kind == COVEY__LEX_INTEGER ? COVEY__NODE_INTEGER : COVEY__NODE_FLOAT;
        p->at++;
        COVEY__TRY(parse_number(p, node, lexeme->text));
    } else if (lexeme->kind == COVEY__LEX_NAME) {
        p->at++;
        (void)parse_constant(lexeme->text, node);
    } else if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "(")) {
        node->kind = COVEY__NODE_LIST;
        COVEY__TRY(parse_parentheses(p, node, out));
    } else if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "[")) {
        node->kind = COVEY__NODE_LIST;
        COVEY__TRY(parse_elements(p, "]", false, &node->list));
    } else if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "{")) {
        node->kind = COVEY__NODE_DICT;
        COVEY__TRY(parse_dict(p, node));
    } else {
        return unexpected(p, "an expression");
    }
    return *out == node ? covey__node_close(p, node) : COVEY_OK;
}

/* Behind "[": an index, or up to three bounds of a slice. */
static covey_status parse_subscript(covey__parser *p, covey__node *of, covey__node **out) {
    covey__node *bounds[3] = {NULL, NULL, NULL};
    size_t count = 0;
    bool slice = false;
    for (;;) {
        if (covey__parser_skip(p, COVEY__LEX_OPERATOR, ":")) {
            slice = true;
            if (++count > 2) {
                return unexpected(p, "]");
            }
        } else if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "]")) {
            break;
        } else if (bounds[count]) {
            return unexpected(p, "]");
        } else {
            COVEY__TRY(covey__parse_expression(p, &bounds[count]));
        }
    }
    if (!slice) {
        return bounds[0] ? node_of(p, COVEY__NODE_ITEM, of->text, of, bounds[0], out)
                         : unexpected(p, "an index");
    }
    for (size_t i = 0; i < 3; i++) {
        if (!bounds[i]) {
            COVEY__TRY(covey__node_new(p, COVEY__NODE_NONE, &bounds[i]));
        }
    }
    bounds[0]->next = bounds[1];
    bounds[1]->next = bounds[2];
    COVEY__TRY(node_of(p, COVEY__NODE_SLICE, of->text, of, NULL, out));
    (*out)->list = bounds[0];
    return covey__node_close(p, *out);
}

static covey_status parse_postfix(covey__parser *p, covey__node **node) {
    for (;;) {
        if (covey__parser_skip(p, COVEY__LEX_OPERATOR, ".")) {
            covey__text name = p->at->text;
            if (p->at->kind == COVEY__LEX_INTEGER) {
                covey__node *index;
                COVEY__TRY(parse_primary(p, &index));
                COVEY__TRY(node_of(p, COVEY__NODE_ITEM, name, *node, index, node));
                continue;
            }
            COVEY__TRY(covey__parser_expect(p, COVEY__LEX_NAME, NULL));
            COVEY__TRY(node_of(p, COVEY__NODE_ATTRIBUTE, name, *node, NULL, node));
        } else if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "[")) {
            COVEY__TRY(parse_subscript(p, *node, node));
        } else if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "(")) {
            COVEY__TRY(node_of(p, COVEY__NODE_CALL, (*node)->text, *node, NULL, node));
            COVEY__TRY(parse_elements(p, ")", true, &(*node)->list));
            COVEY__TRY(covey__node_close(p, *node));
        } else {
            return COVEY_OK;
        }
    }
}

/* Tests that take an argument without parentheses. */
static bool takes_argument(covey__text name) {
    static const char *const names[] = {"divisibleby", "eq",          "equalto",  "ne",
                                        "gt",          "greaterthan", "ge",       "lt",
                                        "le",          "in",          "lessthan", "sameas"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (covey__text_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* Behind "is": the test's name, whether it is negated, and its arguments. */
static covey_status parse_test(covey__parser *p, covey__node **node) {
    bool negated = covey__parser_skip(p, COVEY__LEX_NAME, "not");
    covey__text name = p->at->text;
    COVEY__TRY(covey__parser_expect(p, COVEY__LEX_NAME, NULL));
    covey__node *test;
    COVEY__TRY(node_of(p, COVEY__NODE_TEST, name, *node, NULL, &test));
    if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "(")) {
        COVEY__TRY(parse_elements(p, ")", true, &test->list));
    } else if (takes_argument(name)) {
        COVEY__TRY(parse_primary(p, &test->list));
        COVEY__TRY(parse_postfix(p, &test->list));
    }
    COVEY__TRY(covey__node_close(p, test));
    *node = test;
    return negated ? node_of(p, COVEY__NODE_NOT, name, test, NULL, node) : COVEY_OK;
}

covey_status covey__parse_filters(covey__parser *p, bool first, covey__node **node) {
    for (;; first = false) {
        if (first || covey__parser_skip(p, COVEY__LEX_OPERATOR, "|")) {
            covey__text name = p->at->text;
            COVEY__TRY(covey__parser_expect(p, COVEY__LEX_NAME, NULL));
            COVEY__TRY(node_of(p, COVEY__NODE_FILTER, name, *node, NULL, node));
            if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "(")) {
                COVEY__TRY(parse_elements(p, ")", true, &(*node)->list));
                COVEY__TRY(covey__node_close(p, *node));
            }
        } else if (covey__parser_skip(p, COVEY__LEX_NAME, "is")) {
            COVEY__TRY(parse_test(p, node));
        } else if (covey__parser_is(p, COVEY__LEX_OPERATOR, "(") ||
                   covey__parser_is(p, COVEY__LEX_OPERATOR, "[") ||
                   covey__parser_is(p, COVEY__LEX_OPERATOR, ".")) {
            COVEY__TRY(parse_postfix(p, node));
        } else {
            return COVEY_OK;
        }
    }
}

static covey_status parse_unary(covey__parser *p, bool filters, covey__node **out) {
    bool minus = covey__parser_is(p, COVEY__LEX_OPERATOR, "-");
    if (minus || covey__parser_is(p, COVEY__LEX_OPERATOR, "+")) {
        covey__text sign = p->at++->text;
        if (++p->depth > COVEY__TEMPLATE_DEPTH_MAX) {
            return covey__template_fail(p->error, COVEY_ERROR_LIMIT, p->at->line,
                                        "nested more than %d deep", COVEY__TEMPLATE_DEPTH_MAX);
        }
        COVEY__TRY(parse_unary(p, false, out));
        p->depth--;
        if (minus) {
            COVEY__TRY(node_of(p, COVEY__NODE_NEGATE, sign, *out, NULL, out));
        }
    } else {
        COVEY__TRY(parse_primary(p, out));
        COVEY__TRY(parse_postfix(p, out));
    }
    return filters ? covey__parse_filters(p, false, out) : COVEY_OK;
}

/* One level of operators that bind alike, from the left; `level` 4 is a signed value. */
static covey_status parse_level(covey__parser *p, int level, covey__node **out) {
    static const char *const signs[4][5] = {
        {"+", "-", NULL}, {"~", NULL}, {"*", "/", "//", "%", NULL}, {"**", NULL}};
    if (level == 4) {
        return parse_unary(p, true, out);
    }
    COVEY__TRY(parse_level(p, level + 1, out));
    for (;;) {
        size_t i = 0;
        while (signs[level][i] && !covey__parser_is(p, COVEY__LEX_OPERATOR, signs[level][i])) {
            i++;
        }
        if (!signs[level][i]) {
            return COVEY_OK;
        }
        covey__text sign = p->at++->text;
        covey__node *right;
        COVEY__TRY(parse_level(p, level + 1, &right));
        COVEY__TRY(node_of(p, COVEY__NODE_BINARY, sign, *out, right, out));
    }
}

/* The comparison that stands here, or NULL; "not in" is one. */
static const char *take_comparison(covey__parser *p) {
    static const char *const signs[] = {"==", "!=", "<=", ">=", "<", ">"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (covey__parser_skip(p, COVEY__LEX_OPERATOR, signs[i])) {
            return signs[i];
        }
    }
    if (covey__parser_skip(p, COVEY__LEX_NAME, "in")) {
        return "in";
    }
    if (covey__parser_is(p, COVEY__LEX_NAME, "not") && p->at[1].kind == COVEY__LEX_NAME &&
        covey__text_is(p->at[1].text, "in")) {
        p->at += 2;
        return "not in";
    }
    return NULL;
}

/* a < b < c is a < b and b < c. */
static covey_status parse_comparison(covey__parser *p, covey__node **out) {
    COVEY__TRY(parse_level(p, 0, out));
    covey__node *left = *out;
    bool first = true;
    for (const char *sign = take_comparison(p); sign; sign = take_comparison(p)) {
        covey__node *right, *compared;
        COVEY__TRY(parse_level(p, 0, &right));
        covey__text text = {sign, strlen(sign)};
        COVEY__TRY(node_of(p, COVEY__NODE_BINARY, text, left, right, &compared));
        if (first) {
            *out = compared;
        } else {
            COVEY__TRY(node_of(p, COVEY__NODE_AND, text, *out, compared, out));
        }
        left = right;
        first = false;
    }
    return COVEY_OK;
}

static covey_status parse_not(covey__parser *p, covey__node **out) {
    size_t count = 0;
    covey__text text = p->at->text;
    while (covey__parser_skip(p, COVEY__LEX_NAME, "not")) {
        count++;
    }
    COVEY__TRY(parse_comparison(p, out));
    for (; count > 0; count--) {
        COVEY__TRY(node_of(p, COVEY__NODE_NOT, text, *out, NULL, out));
    }
    return COVEY_OK;
}

static covey_status parse_and(covey__parser *p, covey__node **out) {
    COVEY__TRY(parse_not(p, out));
    while (covey__parser_is(p, COVEY__LEX_NAME, "and")) {
        covey__text text = p->at++->text;
        covey__node *right;
        COVEY__TRY(parse_not(p, &right));
        COVEY__TRY(node_of(p, COVEY__NODE_AND, text, *out, right, out));
    }
    return COVEY_OK;
}

covey_status covey__parse_or(covey__parser *p, covey__node **out) {
    COVEY__TRY(parse_and(p, out));
    while (covey__parser_is(p, COVEY__LEX_NAME, "or")) {
        covey__text text = p->at++->text;
        covey__node *right;
        COVEY__TRY(parse_and(p, &right));
        COVEY__TRY(node_of(p, COVEY__NODE_OR, text, *out, right, out));
    }
    return COVEY_OK;
}

covey_status covey__parse_expression(covey__parser *p, covey__node **out) {
    if (++p->depth > COVEY__TEMPLATE_DEPTH_MAX) {
        return covey__template_fail(p->error, COVEY_ERROR_LIMIT, p->at->line,
                                    "nested more than %d deep", COVEY__TEMPLATE_DEPTH_MAX);
    }
    COVEY__TRY(covey__parse_or(p, out));
    while (covey__parser_is(p, COVEY__LEX_NAME, "if")) {
        covey__text text = p->at++->text;
        covey__node *condition, *otherwise = NULL;
        COVEY__TRY(covey__parse_or(p, &condition));
        if (covey__parser_skip(p, COVEY__LEX_NAME, "else")) {
            COVEY__TRY(covey__parse_expression(p, &otherwise));
        }
        covey__node *value = *out;
        COVEY__TRY(node_of(p, COVEY__NODE_CHOICE, text, condition, value, out));
        (*out)->c = otherwise;
        COVEY__TRY(covey__node_close(p, *out));
    }
    p->depth--;
    return COVEY_OK;
}

covey_status covey__parse_tuple(covey__parser *p, covey__node **out) {
    COVEY__TRY(covey__parse_expression(p, out));
    if (!covey__parser_is(p, COVEY__LEX_OPERATOR, ",")) {
        return COVEY_OK;
    }
    covey__node *list;
    COVEY__TRY(covey__node_new(p, COVEY__NODE_LIST, &list));
    list->list = *out;
    list->integer = true; /* a tuple */
    covey__node *last = *out;
    while (covey__parser_skip(p, COVEY__LEX_OPERATOR, ",") &&
           !covey__parser_is(p, COVEY__LEX_BLOCK_END, NULL) &&
           !covey__parser_is(p, COVEY__LEX_PRINT_END, NULL)) {
        COVEY__TRY(covey__parse_expression(p, &last->next));
        last = last->next;
    }
    *out = list;
    return covey__node_close(p, list);
}
