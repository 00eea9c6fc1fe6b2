/* Values of the template interpreter, and the state of one rendering. */
#ifndef COVEY_TEXT_TEMPLATE_VALUE_H
#define COVEY_TEXT_TEMPLATE_VALUE_H

#include "text/template_tree.h"

typedef enum covey__value_kind {
    COVEY__VALUE_UNDEFINED,
    COVEY__VALUE_NONE,
    COVEY__VALUE_BOOL,
    COVEY__VALUE_INTEGER,
    COVEY__VALUE_FLOAT,
    COVEY__VALUE_STRING,
    COVEY__VALUE_LIST,
    COVEY__VALUE_DICT,
    COVEY__VALUE_NAMESPACE, /* a dict that can be written to */
    COVEY__VALUE_LOOP,
    COVEY__VALUE_MACRO,
    COVEY__VALUE_FUNCTION /* one of the environment's own, by its name */
} covey__value_kind;

typedef struct covey__value covey__value;

typedef struct covey__dict_entry covey__dict_entry;
typedef struct covey__dict {
    covey__dict_entry *entries;
    size_t count, capacity;
} covey__dict;

typedef struct covey__loop {
    const covey__value *items;
    size_t count, index, depth;
    const covey__node *node; /* of a recursive loop, which can be called; else NULL */
} covey__loop;

struct covey__frame;

/* Strings keep which of their bytes came from the template. `spans` NULL: all of `trusted`. */
struct covey__value {
    covey__value_kind kind;
    bool trusted;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *data;
            size_t size;
            const covey__text_span *spans;
            size_t span_count;
        } string;
        struct {
            const covey__value *items;
            size_t count;
            bool tuple; /* a list in all but how it is written out, and as what "%" takes apart */
        } list;
        covey__dict *dict;
        const covey__loop *loop;
        struct {
            const covey__node *node;
            struct covey__frame *frame; /* of a call block: where it stands; else NULL */
        } macro;
        covey__text function;
    } as;
};

struct covey__dict_entry {
    covey__value key; /* a string */
    covey__value value;
};

/* ---- one rendering ---- */

typedef struct covey__variable {
    covey__text name;
    covey__value value;
} covey__variable;

/* Variables of one scope; the outer ones are seen through it, but not written to. */
typedef struct covey__frame {
    struct covey__frame *outer;
    covey__variable *variables;
    size_t count, capacity;
} covey__frame;

/* How messages with tool calls are given to a template. */
typedef struct covey__call_form {
    bool none_content;   /* content that is empty is none, not "" */
    bool text_arguments; /* arguments are JSON text, not an object */
} covey__call_form;

typedef struct covey__render {
    const covey__env *env;
    covey__arena arena;
    covey__frame *frame, *global;
    covey__rendered *out;
    uint64_t steps;
    const struct covey__caller *callers; /* call blocks that are open */
    covey__value captured; /* what a filter block printed, for the first of its filters */
    size_t loop_depth;
    uint32_t line;  /* of what is being evaluated */
    uint32_t stack; /* bytes that what is being evaluated takes: see covey__render_enter */
    enum { COVEY__FLOW_ON, COVEY__FLOW_BREAK, COVEY__FLOW_CONTINUE } flow;
    int64_t now_ms;
    covey__call_form form;
    covey_error *error;
} covey__render;

/* Counts one step and those for `bytes` of work. */
covey_status covey__render_step(covey__render *render, size_t bytes) COVEY_MUST_USE;
/* Counts `bytes` of the stack, up to COVEY__TEMPLATE_STACK_MAX; covey__render_leave takes them
 * back. What fails need not leave: rendering ends with it. */
covey_status covey__render_enter(covey__render *render, uint32_t bytes) COVEY_MUST_USE;
static inline void covey__render_leave(covey__render *render, uint32_t bytes) {
    render->stack -= bytes;
}
void *covey__render_alloc(covey__render *render, size_t count, size_t size);
covey_status covey__render_no_memory(covey__render *render);
/* Fails at the current line. */
covey_status covey__render_fail(covey__render *render, const char *format, ...) COVEY_PRINTF(2, 3);
covey_status covey__render_unsupported(covey__render *render, const char *what, covey__text name);

/* template_input.c */
covey_status covey__set_globals(covey__render *render,
                                const covey__template_input *input) COVEY_MUST_USE;
/* In which form the template shows tool calls; for input that is from an API and has some. */
covey_status covey__template_call_form(const covey__template *compiled,
                                       const covey__template_input *input, covey__call_form *form,
                                       covey_error *error) COVEY_MUST_USE;

covey_status covey__eval(covey__render *render, const covey__node *node,
                         covey__value *out) COVEY_MUST_USE;
covey_status covey__run_list(covey__render *render, const covey__node *first) COVEY_MUST_USE;
covey_status covey__frame_set(covey__render *render, covey__frame *frame, covey__text name,
                              covey__value value) COVEY_MUST_USE;
/* A loop over a value: what {% for %} does, and what calling a recursive loop does. */
covey_status covey__run_loop(covey__render *render, const covey__node *node,
                             const covey__value *over) COVEY_MUST_USE;
covey_status covey__run_loop_captured(covey__render *render, const covey__node *node,
                                      const covey__value *over, covey__value *out) COVEY_MUST_USE;
/* What `list` prints, as a string. */
covey_status covey__run_captured(covey__render *render, const covey__node *first,
                                 covey__value *out) COVEY_MUST_USE;

/* Arguments of a call, filter or test, evaluated. */
enum { COVEY__ARGUMENTS_MAX = 16 };
typedef struct covey__arguments {
    covey__value values[COVEY__ARGUMENTS_MAX];
    covey__text names[COVEY__ARGUMENTS_MAX]; /* empty for those by position */
    bool foreign[COVEY__ARGUMENTS_MAX];      /* names that a mapping brought: no one's to trust */
    size_t count, positional_count;
} covey__arguments;
covey_status covey__eval_arguments(covey__render *render, const covey__node *first,
                                   covey__arguments *arguments) COVEY_MUST_USE;
/* The name of an argument as a string. */
covey__value covey__argument_key(const covey__arguments *arguments, size_t index);
/* An argument by place or name; NULL when it was not given. */
const covey__value *covey__argument(const covey__arguments *arguments, size_t index,
                                    const char *name);

/* A call block that is open. */
typedef struct covey__caller {
    const struct covey__caller *outer;
    const covey__frame *frame;
} covey__caller;
/* A call, with what {% call %} gives to the macro, or an undefined value. */
covey_status covey__eval_call(covey__render *render, const covey__node *node,
                              const covey__value *caller, covey__value *out) COVEY_MUST_USE;
covey_status covey__call_macro(covey__render *render, const covey__value *called,
                               const covey__arguments *arguments, const covey__value *caller,
                               covey__value *out) COVEY_MUST_USE;

/* template_value.c */
covey__value covey__value_none(void);
covey__value covey__value_undefined(void);
covey__value covey__value_bool(bool value);
covey__value covey__value_integer(int64_t value);
covey__value covey__value_float(double value);
covey__value covey__value_text(const char *data, size_t size, bool trusted);
covey__value covey__value_list(const covey__value *items, size_t count);
covey__value covey__value_tuple(const covey__value *items, size_t count);
static inline bool covey__is_string(const covey__value *value) {
    return value->kind == COVEY__VALUE_STRING;
}
static inline bool covey__is_number(const covey__value *value) {
    return value->kind == COVEY__VALUE_BOOL || value->kind == COVEY__VALUE_INTEGER ||
           value->kind == COVEY__VALUE_FLOAT;
}
static inline bool covey__is_dict(const covey__value *value) {
    return value->kind == COVEY__VALUE_DICT || value->kind == COVEY__VALUE_NAMESPACE;
}
bool covey__value_is_true(const covey__value *value);
const char *covey__value_kind_name(const covey__value *value);
double covey__value_number(const covey__value *value);
covey_status covey__value_equal(covey__render *render, const covey__value *a, const covey__value *b,
                                bool *equal) COVEY_MUST_USE;
covey_status covey__value_contains(covey__render *render, const covey__value *container,
                                   const covey__value *item, bool *found) COVEY_MUST_USE;
/* As Python's str(): numbers, strings, true, none; undefined is empty. */
covey_status covey__value_print(covey__render *render, const covey__value *value,
                                covey__value *out) COVEY_MUST_USE;
/* Elements that a loop over the value sees; a dict's keys, a string's characters. */
covey_status covey__value_items(covey__render *render, const covey__value *value,
                                const covey__value **items, size_t *count) COVEY_MUST_USE;
covey_status covey__value_length(covey__render *render, const covey__value *value,
                                 int64_t *length) COVEY_MUST_USE;
covey_status covey__value_from_json(covey__render *render, const covey__json *json,
                                    covey__value *out) COVEY_MUST_USE;
covey_status covey__dict_new(covey__render *render, covey__value_kind kind,
                             covey__value *out) COVEY_MUST_USE;
covey_status covey__dict_set(covey__render *render, covey__dict *dict, const covey__value *key,
                             const covey__value *value) COVEY_MUST_USE;
/* value.name as an expression sees it: undefined when absent. */
covey_status covey__value_attribute(covey__render *render, const covey__value *value,
                                    const covey__value *name, covey__value *out) COVEY_MUST_USE;
/* value[index] as an expression sees it. */
covey_status covey__value_item(covey__render *render, const covey__value *value,
                               const covey__value *index, covey__value *out) COVEY_MUST_USE;
/* Below, equal, above, of two strings or two numbers. */
int covey__value_order(const covey__value *a, const covey__value *b);
/* A copy of text that the template made. */
covey_status covey__render_text(covey__render *render, const char *text, size_t size,
                                covey__value *out) COVEY_MUST_USE;
const covey__value *covey__dict_get(const covey__dict *dict, const char *key, size_t size);

/* template_string.c */
covey_status covey__string_slice(covey__render *render, const covey__value *string, size_t from,
                                 size_t to, covey__value *out) COVEY_MUST_USE; /* bytes */
covey_status covey__string_join(covey__render *render, const covey__value *parts, size_t count,
                                covey__value *out) COVEY_MUST_USE;
typedef enum covey__string_side {
    COVEY__SIDE_LEFT = 1,
    COVEY__SIDE_RIGHT = 2,
    COVEY__SIDE_BOTH = 3
} covey__string_side;
/* `what` NULL: white space. */
covey_status covey__string_strip(covey__render *render, const covey__value *string,
                                 const covey__value *what, covey__string_side side,
                                 covey__value *out) COVEY_MUST_USE;
covey_status covey__string_replace(covey__render *render, const covey__value *string,
                                   const covey__value *old, const covey__value *with,
                                   int64_t count_max, covey__value *out) COVEY_MUST_USE;
/* `separator` NULL: runs of white space. */
covey_status covey__string_split(covey__render *render, const covey__value *string,
                                 const covey__value *separator, int64_t count_max,
                                 covey__value *out) COVEY_MUST_USE;
typedef enum covey__string_case {
    COVEY__CASE_UPPER,
    COVEY__CASE_LOWER,
    COVEY__CASE_CAPITALIZE,
    COVEY__CASE_TITLE, /* as Python's method: a letter behind what is none */
    COVEY__CASE_WORDS  /* as Jinja's filter: behind white space, "-" and opening brackets */
} covey__string_case;
covey_status covey__string_case_of(covey__render *render, const covey__value *string,
                                   covey__string_case to, covey__value *out) COVEY_MUST_USE;
/* The byte at which `part` first begins, or -1. */
int64_t covey__string_find(const covey__value *string, const covey__value *part, size_t from);
/* Python's slices: absent bounds are undefined or none. Strings count in characters. */
covey_status covey__slice(covey__render *render, const covey__value *value,
                          const covey__value bounds[3], covey__value *out) COVEY_MUST_USE;
/* One character by its index; undefined outside. */
covey_status covey__string_at(covey__render *render, const covey__value *string, int64_t index,
                              covey__value *out) COVEY_MUST_USE;

/* template_operator.c, template_filter.c, template_method.c */
covey_status covey__apply_operator(covey__render *render, covey__text sign, const covey__value *a,
                                   const covey__value *b, covey__value *out) COVEY_MUST_USE;
covey_status covey__apply_filter(covey__render *render, covey__text name, const covey__value *value,
                                 const covey__arguments *arguments,
                                 covey__value *out) COVEY_MUST_USE;
covey_status covey__apply_test(covey__render *render, covey__text name, const covey__value *value,
                               const covey__arguments *arguments, bool *out) COVEY_MUST_USE;
covey_status covey__call_method(covey__render *render, covey__text name, const covey__value *self,
                                const covey__arguments *arguments,
                                covey__value *out) COVEY_MUST_USE;
covey_status covey__call_function(covey__render *render, covey__text name,
                                  const covey__arguments *arguments,
                                  covey__value *out) COVEY_MUST_USE;
/* "%s and %d" % values, as Python has it. */
covey_status covey__string_format(covey__render *render, const covey__value *format,
                                  const covey__value *values, size_t count,
                                  covey__value *out) COVEY_MUST_USE;

/* How Python's json.dumps writes. */
typedef struct covey__json_style {
    int64_t indent; /* negative: one line */
    covey__text between, colon;
    bool ascii, sorted;
} covey__json_style;
covey_status covey__value_to_json(covey__render *render, const covey__value *value,
                                  const covey__json_style *style, covey__value *out) COVEY_MUST_USE;
/* As Python's repr writes lists and mappings. */
covey_status covey__value_to_repr(covey__render *render, const covey__value *value,
                                  covey__value *out) COVEY_MUST_USE;

#endif
