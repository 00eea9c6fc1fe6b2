/* Tokens and nodes of the template interpreter; template_value.h has its values. The way through
 * the files: template_lex.c cuts the text into tokens and settles white space, template_parse.c and
 * template_expression.c make a tree of them, template_render.c walks its statements,
 * template_eval.c its expressions, with values from template_value.c, and operators, filters, tests
 * and methods from the files named after them. */
#ifndef COVEY_TEXT_TEMPLATE_TREE_H
#define COVEY_TEXT_TEMPLATE_TREE_H

#include "base/arena.h"
#include "base/error.h"
#include "text/template.h"

/* Bounds. Depth is that of the tree, and with it the C stack of compiling; what rendering takes of
 * the stack is counted (covey__render_enter). Steps bound time, for copying and searching text
 * takes steps by its length. */
enum {
    COVEY__TEMPLATE_BYTES_MAX = 256 * 1024,
    COVEY__TEMPLATE_DEPTH_MAX = 64,
    COVEY__TEMPLATE_STACK_MAX = 208 * 1024, /* as counted; with what stands around it, 256 KiB */
    COVEY__TEMPLATE_STEPS_MAX = 4 * 1000 * 1000,
    COVEY__TEMPLATE_STEPS_A_MESSAGE = 1000,
    COVEY__TEMPLATE_STEPS_A_PROBE = 500 * 1000,
    COVEY__TEMPLATE_BYTES_A_STEP = 64
};
/* What a step inwards takes of the C stack, in bytes: a little more than what compilers make of it.
 * They are constants, so that a template is too deep everywhere or nowhere. */
enum {
    COVEY__STACK_VALUE = 448, /* an expression, or a value within another */
    COVEY__STACK_CALL = 1664, /* arguments, and what takes them */
    COVEY__STACK_MACRO = 832, /* what a macro, a call block or a loop that calls itself adds */
    COVEY__STACK_LIST = 640   /* statements within another */
};
#define COVEY__TEMPLATE_OUTPUT_MAX ((size_t)64 << 20)
#define COVEY__TEMPLATE_MEMORY_MAX ((size_t)256 << 20)

/* Returns from the calling function unless all is well. */
#define COVEY__TRY(call)                                                                           \
    do {                                                                                           \
        covey_status try_status = (call);                                                          \
        if (try_status != COVEY_OK) {                                                              \
            return try_status;                                                                     \
        }                                                                                          \
    } while (0)

/* ---- tokens ---- */

typedef enum covey__lexeme_kind {
    COVEY__LEX_END, /* of the template */
    COVEY__LEX_TEXT,
    COVEY__LEX_BLOCK_BEGIN,
    COVEY__LEX_BLOCK_END,
    COVEY__LEX_PRINT_BEGIN,
    COVEY__LEX_PRINT_END,
    COVEY__LEX_NAME,
    COVEY__LEX_STRING,  /* `text` is decoded */
    COVEY__LEX_INTEGER, /* `text` is as written */
    COVEY__LEX_FLOAT,
    COVEY__LEX_OPERATOR
} covey__lexeme_kind;

typedef struct covey__lexeme {
    covey__lexeme_kind kind;
    uint32_t line;
    covey__text text;
} covey__lexeme;

/* `lexemes` is in the arena and ends with COVEY__LEX_END. */
covey_status covey__template_lex(covey__arena *arena, const char *text, size_t size,
                                 covey__lexeme **lexemes, covey_error *error) COVEY_MUST_USE;

/* ---- the tree ---- */

typedef enum covey__node_kind {
    /* expressions */
    COVEY__NODE_NONE,
    COVEY__NODE_BOOL,         /* integer */
    COVEY__NODE_INTEGER,      /* integer */
    COVEY__NODE_FLOAT,        /* number */
    COVEY__NODE_STRING,       /* text */
    COVEY__NODE_NAME,         /* text */
    COVEY__NODE_LIST,         /* list; integer: whether it is a tuple */
    COVEY__NODE_DICT,         /* list: key, value, key, value, … */
    COVEY__NODE_ATTRIBUTE,    /* a.text */
    COVEY__NODE_ITEM,         /* a[b] */
    COVEY__NODE_SLICE,        /* a[list]: three, absent ones of kind NONE */
    COVEY__NODE_CALL,         /* a(list) */
    COVEY__NODE_KEYWORD,      /* text=a, in a list of arguments */
    COVEY__NODE_SPREAD,       /* *a, in a list of arguments */
    COVEY__NODE_SPREAD_NAMES, /* **a, in a list of arguments */
    COVEY__NODE_CAPTURED,     /* what a filter block printed: the value of its first filter */
    COVEY__NODE_FILTER,       /* a | text(list) */
    COVEY__NODE_TEST,         /* a is text(list) */
    COVEY__NODE_NOT,          /* a */
    COVEY__NODE_NEGATE,       /* a */
    COVEY__NODE_AND,          /* a, b */
    COVEY__NODE_OR,           /* a, b */
    COVEY__NODE_BINARY,       /* a text b: an operator or comparison by its sign */
    COVEY__NODE_CHOICE,       /* b if a else c; c may be NULL */
    /* statements */
    COVEY__NODE_TEXT,     /* text */
    COVEY__NODE_PRINT,    /* a */
    COVEY__NODE_IF,       /* a, list; c: NULL, another IF, or a BLOCK */
    COVEY__NODE_FOR,      /* names in b for a if c: list; d: what to do when there was nothing;
                             integer: whether it is recursive */
    COVEY__NODE_SET,      /* text = a; or b: a namespace's name, whose `text` is set; or d: names */
    COVEY__NODE_CAPTURE,  /* text = what list prints, or a, filters of it */
    COVEY__NODE_FILTERED, /* a, filters of what list prints */
    COVEY__NODE_CALLER,   /* calls a; list is its caller's body, with b: parameters, as a macro's */
    COVEY__NODE_DO,       /* a, not printed */
    COVEY__NODE_WITH,     /* text = a for each of b's: list */
    COVEY__NODE_BREAK,
    COVEY__NODE_CONTINUE,
    COVEY__NODE_BLOCK, /* list */
    COVEY__NODE_MACRO  /* text(b: parameters, KEYWORDs where they have defaults): list */
} covey__node_kind;

typedef struct covey__node covey__node;
struct covey__node {
    covey__node_kind kind;
    uint32_t line;
    uint32_t depth; /* of the tree below */
    covey__text text;
    int64_t integer;
    double number;
    covey__node *a, *b, *c, *d;
    covey__node *list; /* first of several, chained by `next` */
    covey__node *next;
};

struct covey__template {
    const covey__env *env;
    covey__arena arena;
    covey__node *body; /* a BLOCK */
};

/* The parser's place. */
typedef struct covey__parser {
    covey__arena *arena;
    const covey__lexeme *at;
    uint32_t depth;
    covey_error *error;
} covey__parser;

covey_status covey__template_parse(covey__arena *arena, const covey__lexeme *lexemes,
                                   covey__node **body, covey_error *error) COVEY_MUST_USE;
covey_status covey__parse_expression(covey__parser *parser, covey__node **out) COVEY_MUST_USE;
/* An expression without `x if y else z`: what is looped over. */
covey_status covey__parse_or(covey__parser *parser, covey__node **out) COVEY_MUST_USE;
/* Filters behind a value that was parsed; `first`: the name of one stands here without "|". */
covey_status covey__parse_filters(covey__parser *parser, bool first,
                                  covey__node **node) COVEY_MUST_USE;
/* One or more expressions with commas between: a list when there are several. */
covey_status covey__parse_tuple(covey__parser *parser, covey__node **out) COVEY_MUST_USE;
covey_status covey__node_new(covey__parser *parser, covey__node_kind kind,
                             covey__node **out) COVEY_MUST_USE;
/* Sets a node's depth after its children are in place. */
covey_status covey__node_close(covey__parser *parser, covey__node *node) COVEY_MUST_USE;
bool covey__parser_is(const covey__parser *parser, covey__lexeme_kind kind, const char *text);
bool covey__parser_skip(covey__parser *parser, covey__lexeme_kind kind, const char *text);
covey_status covey__parser_expect(covey__parser *parser, covey__lexeme_kind kind,
                                  const char *text) COVEY_MUST_USE;

static inline bool covey__text_is(covey__text text, const char *other) {
    size_t i = 0;
    while (i < text.size && other[i] && text.data[i] == other[i]) {
        i++;
    }
    return i == text.size && !other[i];
}

/* Errors with the template's line in front; `unsupported` adds what can be done. */
covey_status covey__template_fail(covey_error *error, covey_status status, uint32_t line,
                                  const char *format, ...) COVEY_PRINTF(4, 5);
covey_status covey__template_unsupported(covey_error *error, uint32_t line, const char *what,
                                         covey__text name);

#endif
