/* Statements to trees. What Jinja has and a chat template has no use for (inheritance, includes, …)
 * is refused here, when the template is read. */
#include "text/template_tree.h"

#include <string.h>

static covey_status parse_body(covey__parser *p, covey__node **first, const char *const *ends,
                               covey__text *end);

static covey_status end_block(covey__parser *p) {
    return covey__parser_expect(p, COVEY__LEX_BLOCK_END, NULL);
}

static covey_status take_name(covey__parser *p, covey__text *name) {
    *name = p->at->text;
    return covey__parser_expect(p, COVEY__LEX_NAME, NULL);
}

/* if, elif, else: each branch hangs on the one before, so that they run in a loop. */
static covey_status parse_if(covey__parser *p, covey__node *node) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const last_ends[] = {"endif", NULL};
    covey__node *branch = node;
    uint32_t depth = 0;
    for (;;) {
        covey__text end;
        COVEY__TRY(covey__parse_tuple(p, &branch->a));
        COVEY__TRY(end_block(p));
        COVEY__TRY(parse_body(p, &branch->list, ends, &end));
        COVEY__TRY(covey__node_close(p, branch));
        depth = branch->depth > depth ? branch->depth : depth;
        bool elif = covey__text_is(end, "elif");
        if (elif || covey__text_is(end, "else")) {
            COVEY__TRY(covey__node_new(p, elif ? COVEY__NODE_IF : COVEY__NODE_BLOCK, &branch->c));
            branch = branch->c;
        }
        if (elif) {
            continue;
        }
        COVEY__TRY(end_block(p));
        if (branch->kind == COVEY__NODE_BLOCK) {
            COVEY__TRY(parse_body(p, &branch->list, last_ends, &end));
            COVEY__TRY(end_block(p));
            COVEY__TRY(covey__node_close(p, branch));
            depth = branch->depth > depth ? branch->depth : depth;
        }
        node->depth = depth + 1;
        return COVEY_OK;
    }
}

static covey_status parse_for(covey__parser *p, covey__node *node) {
    static const char *const ends[] = {"else", "endfor", NULL};
    static const char *const last_ends[] = {"endfor", NULL};
    covey__text end;
    COVEY__TRY(covey__node_new(p, COVEY__NODE_LIST, &node->b));
    covey__node **last = &node->b->list;
    bool bracket = covey__parser_skip(p, COVEY__LEX_OPERATOR, "(");
    do {
        COVEY__TRY(covey__node_new(p, COVEY__NODE_NAME, last));
        COVEY__TRY(take_name(p, &(*last)->text));
        last = &(*last)->next;
    } while (covey__parser_skip(p, COVEY__LEX_OPERATOR, ","));
    if (bracket) {
        COVEY__TRY(covey__parser_expect(p, COVEY__LEX_OPERATOR, ")"));
    }
    COVEY__TRY(covey__parser_expect(p, COVEY__LEX_NAME, "in"));
    COVEY__TRY(covey__parse_or(p, &node->a));
    if (covey__parser_skip(p, COVEY__LEX_NAME, "if")) {
        COVEY__TRY(covey__parse_expression(p, &node->c));
    }
    node->integer = covey__parser_skip(p, COVEY__LEX_NAME, "recursive");
    COVEY__TRY(end_block(p));
    COVEY__TRY(parse_body(p, &node->list, ends, &end));
    COVEY__TRY(end_block(p));
    if (covey__text_is(end, "else")) {
        COVEY__TRY(covey__node_new(p, COVEY__NODE_BLOCK, &node->d));
        COVEY__TRY(parse_body(p, &node->d->list, last_ends, &end));
        COVEY__TRY(end_block(p));
        COVEY__TRY(covey__node_close(p, node->d));
    }
    return covey__node_close(p, node);
}

/* Names with commas between, the first of which is taken already: a LIST. */
static covey_status parse_names(covey__parser *p, covey__text first, covey__node **out) {
    COVEY__TRY(covey__node_new(p, COVEY__NODE_LIST, out));
    covey__node **last = &(*out)->list;
    COVEY__TRY(covey__node_new(p, COVEY__NODE_NAME, last));
    (*last)->text = first;
    while (covey__parser_skip(p, COVEY__LEX_OPERATOR, ",")) {
        last = &(*last)->next;
        COVEY__TRY(covey__node_new(p, COVEY__NODE_NAME, last));
        COVEY__TRY(take_name(p, &(*last)->text));
    }
    return COVEY_OK;
}

/* {% set a, b = … %}, also with brackets around the names. */
static covey_status parse_set_names(covey__parser *p, covey__node *node, bool bracket) {
    COVEY__TRY(parse_names(p, node->text, &node->d));
    if (bracket) {
        COVEY__TRY(covey__parser_expect(p, COVEY__LEX_OPERATOR, ")"));
    }
    COVEY__TRY(covey__parser_expect(p, COVEY__LEX_OPERATOR, "="));
    COVEY__TRY(covey__parse_tuple(p, &node->a));
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

/* Filters of what a block prints, onto a node that stands for it. */
static covey_status parse_captured(covey__parser *p, bool first, covey__node **out) {
    COVEY__TRY(covey__node_new(p, COVEY__NODE_CAPTURED, out));
    COVEY__TRY(covey__node_close(p, *out));
    return covey__parse_filters(p, first, out);
}

static covey_status parse_set(covey__parser *p, covey__node *node) {
    static const char *const ends[] = {"endset", NULL};
    covey__text end;
    bool bracket = covey__parser_skip(p, COVEY__LEX_OPERATOR, "(");
    COVEY__TRY(take_name(p, &node->text));
    if (bracket || covey__parser_is(p, COVEY__LEX_OPERATOR, ",")) {
        return parse_set_names(p, node, bracket);
    }
    if (covey__parser_skip(p, COVEY__LEX_OPERATOR, ".")) {
        COVEY__TRY(covey__node_new(p, COVEY__NODE_NAME, &node->b));
        node->b->text = node->text;
        COVEY__TRY(take_name(p, &node->text));
    }
    if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "=")) {
        COVEY__TRY(covey__parse_tuple(p, &node->a));
        COVEY__TRY(end_block(p));
        return covey__node_close(p, node);
    }
    if (node->b) {
        return covey__parser_expect(p, COVEY__LEX_OPERATOR, "=");
    }
    node->kind = COVEY__NODE_CAPTURE;
    COVEY__TRY(parse_captured(p, false, &node->a));
    COVEY__TRY(end_block(p));
    COVEY__TRY(parse_body(p, &node->list, ends, &end));
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

/* Behind "(": names, with their defaults, as a LIST of KEYWORDs in b. */
static covey_status parse_parameters(covey__parser *p, covey__node *node) {
    for (covey__node **last = &node->b->list; !covey__parser_skip(p, COVEY__LEX_OPERATOR, ")");
         last = &(*last)->next) {
        COVEY__TRY(covey__node_new(p, COVEY__NODE_KEYWORD, last));
        COVEY__TRY(take_name(p, &(*last)->text));
        if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "=")) {
            COVEY__TRY(covey__parse_expression(p, &(*last)->a));
        }
        COVEY__TRY(covey__node_close(p, *last));
        if (!covey__parser_skip(p, COVEY__LEX_OPERATOR, ",") &&
            !covey__parser_is(p, COVEY__LEX_OPERATOR, ")")) {
            return covey__parser_expect(p, COVEY__LEX_OPERATOR, ")");
        }
    }
    return covey__node_close(p, node->b);
}

static covey_status parse_macro(covey__parser *p, covey__node *node) {
    static const char *const ends[] = {"endmacro", NULL};
    covey__text end;
    COVEY__TRY(take_name(p, &node->text));
    COVEY__TRY(covey__parser_expect(p, COVEY__LEX_OPERATOR, "("));
    COVEY__TRY(covey__node_new(p, COVEY__NODE_LIST, &node->b));
    COVEY__TRY(parse_parameters(p, node));
    COVEY__TRY(end_block(p));
    COVEY__TRY(parse_body(p, &node->list, ends, &end));
    if (!covey__parser_is(p, COVEY__LEX_BLOCK_END, NULL)) {
        (void)covey__parser_skip(p, COVEY__LEX_NAME, NULL); /* {% endmacro name %} */
    }
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

/* {% call(parameters) macro(…) %}: what stands inside is what the macro's caller() gives. */
static covey_status parse_call(covey__parser *p, covey__node *node) {
    static const char *const ends[] = {"endcall", NULL};
    covey__text end;
    COVEY__TRY(covey__node_new(p, COVEY__NODE_LIST, &node->b));
    if (covey__parser_skip(p, COVEY__LEX_OPERATOR, "(")) {
        COVEY__TRY(parse_parameters(p, node));
    }
    COVEY__TRY(covey__parse_expression(p, &node->a));
    if (node->a->kind != COVEY__NODE_CALL) {
        return covey__template_fail(p->error, COVEY_ERROR_FORMAT, node->line,
                                    "{%% call %%} expects the call of a macro");
    }
    COVEY__TRY(end_block(p));
    COVEY__TRY(parse_body(p, &node->list, ends, &end));
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

static covey_status parse_filter(covey__parser *p, covey__node *node) {
    static const char *const ends[] = {"endfilter", NULL};
    covey__text end;
    COVEY__TRY(parse_captured(p, true, &node->a));
    COVEY__TRY(end_block(p));
    COVEY__TRY(parse_body(p, &node->list, ends, &end));
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

static covey_status parse_with(covey__parser *p, covey__node *node) {
    static const char *const ends[] = {"endwith", NULL};
    covey__text end;
    COVEY__TRY(covey__node_new(p, COVEY__NODE_LIST, &node->b));
    covey__node **last = &node->b->list;
    while (!covey__parser_is(p, COVEY__LEX_BLOCK_END, NULL)) {
        COVEY__TRY(covey__node_new(p, COVEY__NODE_KEYWORD, last));
        COVEY__TRY(take_name(p, &(*last)->text));
        COVEY__TRY(covey__parser_expect(p, COVEY__LEX_OPERATOR, "="));
        COVEY__TRY(covey__parse_expression(p, &(*last)->a));
        COVEY__TRY(covey__node_close(p, *last));
        last = &(*last)->next;
        if (!covey__parser_skip(p, COVEY__LEX_OPERATOR, ",")) {
            break;
        }
    }
    COVEY__TRY(covey__node_close(p, node->b));
    COVEY__TRY(end_block(p));
    COVEY__TRY(parse_body(p, &node->list, ends, &end));
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

static covey_status parse_do(covey__parser *p, covey__node *node) {
    COVEY__TRY(covey__parse_tuple(p, &node->a));
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

/* Hugging Face marks what the assistant said with it, for training: here it is its content. */
static covey_status parse_generation(covey__parser *p, covey__node *node) {
    static const char *const ends[] = {"endgeneration", NULL};
    covey__text end;
    COVEY__TRY(end_block(p));
    COVEY__TRY(parse_body(p, &node->list, ends, &end));
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

static covey_status parse_flow(covey__parser *p, covey__node *node) {
    COVEY__TRY(end_block(p));
    return covey__node_close(p, node);
}

static covey_status parse_statement(covey__parser *p, covey__node **out) {
    static const struct {
        const char *name;
        covey__node_kind kind;
        covey_status (*parse)(covey__parser *p, covey__node *node);
    } statements[] = {
        {"if", COVEY__NODE_IF, parse_if},
        {"for", COVEY__NODE_FOR, parse_for},
        {"set", COVEY__NODE_SET, parse_set},
        {"macro", COVEY__NODE_MACRO, parse_macro},
        {"call", COVEY__NODE_CALLER, parse_call},
        {"filter", COVEY__NODE_FILTERED, parse_filter},
        {"with", COVEY__NODE_WITH, parse_with},
        {"do", COVEY__NODE_DO, parse_do},
        {"generation", COVEY__NODE_BLOCK, parse_generation},
        {"break", COVEY__NODE_BREAK, parse_flow},
        {"continue", COVEY__NODE_CONTINUE, parse_flow},
    };
    covey__text name;
    COVEY__TRY(covey__node_new(p, COVEY__NODE_BLOCK, out));
    COVEY__TRY(take_name(p, &name));
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (covey__text_is(name, statements[i].name)) {
            (*out)->kind = statements[i].kind;
            return statements[i].parse(p, *out);
        }
    }
    bool end = name.size > 3 && memcmp(name.data, "end", 3) == 0;
    if (end || covey__text_is(name, "else") || covey__text_is(name, "elif")) {
        return covey__template_fail(p->error, COVEY_ERROR_FORMAT, (*out)->line,
                                    "{%% %.*s %%} stands where nothing is open that it could end",
                                    (int)(name.size < 40 ? name.size : 40), name.data);
    }
    return covey__template_unsupported(p->error, (*out)->line, "the statement", name);
}

static covey_status parse_print(covey__parser *p, covey__node **out) {
    COVEY__TRY(covey__node_new(p, COVEY__NODE_PRINT, out));
    COVEY__TRY(covey__parse_tuple(p, &(*out)->a));
    COVEY__TRY(covey__parser_expect(p, COVEY__LEX_PRINT_END, NULL));
    return covey__node_close(p, *out);
}

/* Whether the block that begins here has one of the names; then it is taken up to its name. */
static bool take_end(covey__parser *p, const char *const *ends, covey__text *end) {
    if (p->at->kind != COVEY__LEX_BLOCK_BEGIN || p->at[1].kind != COVEY__LEX_NAME) {
        return false;
    }
    for (; *ends; ends++) {
        if (covey__text_is(p->at[1].text, *ends)) {
            *end = p->at[1].text;
            p->at += 2;
            return true;
        }
    }
    return false;
}

/* Statements up to a block named in `ends`; `ends` empty: up to the template's end. */
static covey_status parse_body(covey__parser *p, covey__node **first, const char *const *ends,
                               covey__text *end) {
    uint32_t line = p->at->line;
    if (++p->depth > COVEY__TEMPLATE_DEPTH_MAX) {
        return covey__template_fail(p->error, COVEY_ERROR_LIMIT, line, "nested more than %d deep",
                                    COVEY__TEMPLATE_DEPTH_MAX);
    }
    for (covey__node **last = first; !take_end(p, ends, end); last = &(*last)->next) {
        if (p->at->kind == COVEY__LEX_END) {
            p->depth--;
            return *ends ? covey__template_fail(p->error, COVEY_ERROR_FORMAT, line,
                                                "expected {%% %s %%} before the template's end",
                                                ends[0])
                         : COVEY_OK;
        }
        if (p->at->kind == COVEY__LEX_TEXT) {
            COVEY__TRY(covey__node_new(p, COVEY__NODE_TEXT, last));
            (*last)->text = p->at++->text;
            (*last)->depth = 1;
        } else if (covey__parser_skip(p, COVEY__LEX_PRINT_BEGIN, NULL)) {
            COVEY__TRY(parse_print(p, last));
        } else {
            COVEY__TRY(covey__parser_expect(p, COVEY__LEX_BLOCK_BEGIN, NULL));
            COVEY__TRY(parse_statement(p, last));
        }
    }
    p->depth--;
    return COVEY_OK;
}

covey_status covey__template_parse(covey__arena *arena, const covey__lexeme *lexemes,
                                   covey__node **body, covey_error *error) {
    static const char *const ends[] = {NULL};
    covey__parser p = {.arena = arena, .at = lexemes, .error = error};
    covey__text end;
    COVEY__TRY(covey__node_new(&p, COVEY__NODE_BLOCK, body));
    COVEY__TRY(parse_body(&p, &(*body)->list, ends, &end));
    return covey__node_close(&p, *body);
}
