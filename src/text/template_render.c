/* Statements of a template, and its border to the outside: compile, render, and render to tokens.
 *
 * What is printed goes to the rendering's output as text with spans: a byte is trusted when the
 * template wrote it, and is not when it came from a message, a tool or a variable. A variable that
 * is set within a loop's body is gone with that pass of the loop, as in Jinja; `if` has no scope of
 * its own. */
#include "text/template_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

covey_status covey__render_fail(covey__render *r, const char *format, ...) {
    char message[COVEY_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return covey__template_fail(r->error, COVEY_ERROR_INVALID_ARGUMENT, r->line, "%s", message);
}

covey_status covey__render_unsupported(covey__render *r, const char *what, covey__text name) {
    return covey__template_unsupported(r->error, r->line, what, name);
}

covey_status covey__render_no_memory(covey__render *r) {
    if (r->arena.bytes >= COVEY__TEMPLATE_MEMORY_MAX / 2) {
        return covey__template_fail(r->error, COVEY_ERROR_LIMIT, r->line,
                                    "rendering takes more than %zu bytes",
                                    COVEY__TEMPLATE_MEMORY_MAX);
    }
    return covey__no_memory(r->error, "template: rendering", r->arena.bytes);
}

covey_status covey__render_step(covey__render *r, size_t bytes) {
    uint64_t steps = 1 + bytes / COVEY__TEMPLATE_BYTES_A_STEP;
    if (steps > r->steps) {
        return covey__template_fail(r->error, COVEY_ERROR_LIMIT, r->line,
                                    "rendering takes more steps than a template may");
    }
    r->steps -= steps;
    return COVEY_OK;
}

covey_status covey__render_enter(covey__render *r, uint32_t bytes) {
    if ((r->stack += bytes) > COVEY__TEMPLATE_STACK_MAX) {
        return covey__template_fail(r->error, COVEY_ERROR_LIMIT, r->line,
                                    "calls, blocks or values are nested too deep: they would take "
                                    "more than %d KiB of the stack",
                                    COVEY__TEMPLATE_STACK_MAX / 1024);
    }
    return COVEY_OK;
}

void *covey__render_alloc(covey__render *r, size_t count, size_t size) {
    return covey__arena_calloc(&r->arena, count, size);
}

/* ---- output ---- */

static covey_status add_output_span(covey__rendered *out, const covey__env *env, bool trusted,
                                    covey_error *error) {
    if (out->span_count > 0 && out->spans[out->span_count - 1].trusted == trusted) {
        out->spans[out->span_count - 1].end = out->text.size;
        return COVEY_OK;
    }
    if (out->span_count == out->span_capacity) {
        size_t capacity = out->span_capacity ? 2 * out->span_capacity : 16;
        covey__text_span *more = covey__resize(env, out->spans, capacity * sizeof *more);
        if (!more) {
            return covey__no_memory(error, "template: output", capacity * sizeof *more);
        }
        out->spans = more;
        out->span_capacity = capacity;
    }
    out->spans[out->span_count++] = (covey__text_span){out->text.size, trusted};
    return COVEY_OK;
}

static covey_status print_part(covey__render *r, const char *data, size_t size, bool trusted) {
    if (size == 0) {
        return COVEY_OK;
    }
    COVEY__TRY(covey__render_step(r, size));
    (void)covey__buffer_append(&r->out->text, data, size);
    COVEY__TRY(covey__buffer_check(&r->out->text, r->error, "template: output"));
    return add_output_span(r->out, r->env, trusted, r->error);
}

static covey_status print_string(covey__render *r, const covey__value *string) {
    const char *data = string->as.string.data;
    if (!string->as.string.spans) {
        return print_part(r, data, string->as.string.size, string->trusted);
    }
    size_t from = 0;
    for (size_t i = 0; i < string->as.string.span_count; i++) {
        const covey__text_span *span = &string->as.string.spans[i];
        COVEY__TRY(print_part(r, data + from, span->end - from, span->trusted));
        from = span->end;
    }
    return COVEY_OK;
}

void covey__rendered_free(covey__rendered *rendered) {
    covey__free(rendered->text.env, rendered->spans);
    rendered->spans = NULL;
    rendered->span_count = rendered->span_capacity = 0;
    covey__buffer_free(&rendered->text);
}

/* The output so far as a value in the arena. */
static covey_status output_value(covey__render *r, const covey__rendered *output,
                                 covey__value *out) {
    size_t size = output->text.size, count = output->span_count;
    char *data = covey__render_alloc(r, size + 1, 1);
    covey__text_span *spans = covey__render_alloc(r, count + 1, sizeof *spans);
    if (!data || !spans) {
        return covey__render_no_memory(r);
    }
    *out = covey__value_text(data, size, true);
    if (size > 0) {
        memcpy(data, output->text.data, size);
        memcpy(spans, output->spans, count * sizeof *spans);
        out->trusted = spans[0].trusted;
        out->as.string.spans = count > 1 ? spans : NULL;
        out->as.string.span_count = count;
    }
    return COVEY_OK;
}

covey_status covey__run_captured(covey__render *r, const covey__node *first, covey__value *out) {
    covey__rendered *outer = r->out, inner = {0};
    covey__buffer_init(&inner.text, r->env, COVEY__TEMPLATE_OUTPUT_MAX);
    r->out = &inner;
    covey_status status = covey__run_list(r, first);
    r->out = outer;
    status = status == COVEY_OK ? output_value(r, &inner, out) : status;
    covey__rendered_free(&inner);
    return status;
}

/* ---- statements ---- */

covey_status covey__frame_set(covey__render *r, covey__frame *frame, covey__text name,
                              covey__value value) {
    for (size_t i = 0; i < frame->count; i++) {
        covey__variable *variable = &frame->variables[i];
        if (variable->name.size == name.size &&
            memcmp(variable->name.data, name.data, name.size) == 0) {
            variable->value = value;
            return COVEY_OK;
        }
    }
    if (frame->count == frame->capacity) {
        size_t capacity = frame->capacity ? 2 * frame->capacity : 8;
        covey__variable *more = covey__render_alloc(r, capacity, sizeof *more);
        if (!more) {
            return covey__render_no_memory(r);
        }
        if (frame->count > 0) {
            memcpy(more, frame->variables, frame->count * sizeof *more);
        }
        frame->variables = more;
        frame->capacity = capacity;
    }
    frame->variables[frame->count++] = (covey__variable){name, value};
    return covey__render_step(r, frame->count);
}

static covey_status run_if(covey__render *r, const covey__node *node) {
    for (; node; node = node->c) {
        covey__value condition;
        if (node->kind == COVEY__NODE_BLOCK) {
            return covey__run_list(r, node->list);
        }
        r->line = node->line;
        COVEY__TRY(covey__eval(r, node->a, &condition));
        if (covey__value_is_true(&condition)) {
            return covey__run_list(r, node->list);
        }
    }
    return COVEY_OK;
}

/* Binds an element to the loop's names: several take an element apart. */
static covey_status bind_names(covey__render *r, const covey__node *names,
                               const covey__value *element) {
    if (!names->next) {
        return covey__frame_set(r, r->frame, names->text, *element);
    }
    const covey__value *parts;
    size_t count, index = 0;
    COVEY__TRY(covey__value_items(r, element, &parts, &count));
    for (; names && index < count; names = names->next) {
        COVEY__TRY(covey__frame_set(r, r->frame, names->text, parts[index++]));
    }
    return names || index < count
               ? covey__render_fail(r, "an element has %zu parts, not as many as there are names",
                                    count)
               : COVEY_OK;
}

/* The elements that a loop's own condition lets through. */
static covey_status filter_elements(covey__render *r, const covey__node *node,
                                    const covey__value **items, size_t *count) {
    covey__value *kept = covey__render_alloc(r, *count + 1, sizeof *kept);
    size_t used = 0;
    if (!kept) {
        return covey__render_no_memory(r);
    }
    for (size_t i = 0; i < *count; i++) {
        covey__value holds;
        r->frame->count = 0;
        COVEY__TRY(bind_names(r, node->b->list, &(*items)[i]));
        COVEY__TRY(covey__eval(r, node->c, &holds));
        if (covey__value_is_true(&holds)) {
            kept[used++] = (*items)[i];
        }
    }
    *items = kept;
    *count = used;
    return COVEY_OK;
}

static covey_status run_passes(covey__render *r, const covey__node *node, const covey__value *items,
                               size_t count) {
    if (node->c) {
        COVEY__TRY(filter_elements(r, node, &items, &count));
    }
    for (size_t i = 0; i < count && r->flow != COVEY__FLOW_BREAK; i++) {
        /* A loop's state is a value that may be kept beyond its pass: each has its own. */
        covey__loop *state = covey__render_alloc(r, 1, sizeof *state);
        if (!state) {
            return covey__render_no_memory(r);
        }
        *state = (covey__loop){items, count, i, r->loop_depth, node->integer ? node : NULL};
        covey__value loop = {.kind = COVEY__VALUE_LOOP, .as.loop = state};
        r->frame->count = 0;
        r->line = node->line;
        COVEY__TRY(bind_names(r, node->b->list, &items[i]));
        COVEY__TRY(covey__frame_set(r, r->frame, (covey__text){"loop", 4}, loop));
        r->flow = COVEY__FLOW_ON;
        COVEY__TRY(covey__run_list(r, node->list));
    }
    r->flow = COVEY__FLOW_ON;
    r->frame->count = 0;
    return count == 0 && node->d ? covey__run_list(r, node->d->list) : COVEY_OK;
}

covey_status covey__run_loop(covey__render *r, const covey__node *node, const covey__value *over) {
    const covey__value *items;
    size_t count;
    COVEY__TRY(covey__value_items(r, over, &items, &count));
    covey__frame inner = {.outer = r->frame};
    r->frame = &inner;
    covey_status status = run_passes(r, node, items, count);
    r->frame = inner.outer;
    return status;
}

covey_status covey__run_loop_captured(covey__render *r, const covey__node *node,
                                      const covey__value *over, covey__value *out) {
    covey__rendered *outer = r->out, inner = {0};
    COVEY__TRY(covey__render_enter(r, COVEY__STACK_MACRO));
    covey__buffer_init(&inner.text, r->env, COVEY__TEMPLATE_OUTPUT_MAX);
    r->out = &inner;
    r->loop_depth++;
    covey_status status = covey__run_loop(r, node, over);
    r->loop_depth--;
    r->out = outer;
    status = status == COVEY_OK ? output_value(r, &inner, out) : status;
    covey__rendered_free(&inner);
    covey__render_leave(r, COVEY__STACK_MACRO);
    return status;
}

static covey_status run_for(covey__render *r, const covey__node *node) {
    covey__value over;
    size_t depth = r->loop_depth;
    r->line = node->line;
    COVEY__TRY(covey__eval(r, node->a, &over));
    r->loop_depth = 0;
    covey_status status = covey__run_loop(r, node, &over);
    r->loop_depth = depth;
    return status;
}

/* What a block prints, through its filters. */
static covey_status run_filtered(covey__render *r, const covey__node *node, covey__value *out) {
    COVEY__TRY(covey__run_captured(r, node->list, &r->captured));
    r->line = node->line;
    return covey__eval(r, node->a, out);
}

static covey_status run_set(covey__render *r, const covey__node *node) {
    covey__value value, of;
    r->line = node->line;
    if (node->kind == COVEY__NODE_CAPTURE) {
        COVEY__TRY(run_filtered(r, node, &value));
    } else {
        COVEY__TRY(covey__eval(r, node->a, &value));
    }
    if (node->d) {
        return bind_names(r, node->d->list, &value);
    }
    if (!node->b) {
        return covey__frame_set(r, r->frame, node->text, value);
    }
    COVEY__TRY(covey__eval(r, node->b, &of));
    if (of.kind != COVEY__VALUE_NAMESPACE) {
        return covey__render_fail(r, "%s cannot be written to: only a namespace can",
                                  covey__value_kind_name(&of));
    }
    covey__value key = covey__value_text(node->text.data, node->text.size, true);
    return covey__dict_set(r, of.as.dict, &key, &value);
}

static covey_status print_value(covey__render *r, const covey__value *value) {
    covey__value text;
    COVEY__TRY(covey__value_print(r, value, &text));
    return print_string(r, &text);
}

static covey_status run_caller(covey__render *r, const covey__node *node) {
    covey__caller caller = {r->callers, r->frame};
    covey__value body = {.kind = COVEY__VALUE_MACRO}, value;
    body.as.macro.node = node;
    body.as.macro.frame = r->frame;
    r->line = node->line;
    r->callers = &caller;
    COVEY__TRY(covey__render_enter(r, COVEY__STACK_CALL));
    covey_status status = covey__eval_call(r, node->a, &body, &value);
    covey__render_leave(r, COVEY__STACK_CALL);
    r->callers = caller.outer;
    return status == COVEY_OK ? print_value(r, &value) : status;
}

static covey_status run_with(covey__render *r, const covey__node *node) {
    covey__frame inner = {.outer = r->frame};
    covey_status status = COVEY_OK;
    r->line = node->line;
    for (const covey__node *one = node->b->list; one && status == COVEY_OK; one = one->next) {
        covey__value value;
        status = covey__eval(r, one->a, &value);
        status = status == COVEY_OK ? covey__frame_set(r, &inner, one->text, value) : status;
    }
    r->frame = &inner;
    status = status == COVEY_OK ? covey__run_list(r, node->list) : status;
    r->frame = inner.outer;
    return status;
}

static covey_status run_print(covey__render *r, const covey__node *node) {
    covey__value value;
    r->line = node->line;
    COVEY__TRY(covey__eval(r, node->a, &value));
    return node->kind == COVEY__NODE_DO ? COVEY_OK : print_value(r, &value);
}

static covey_status run_one(covey__render *r, const covey__node *node) {
    covey__value value = {.kind = COVEY__VALUE_MACRO};
    value.as.macro.node = node;
    value.as.macro.frame = NULL;
    switch (node->kind) {
    case COVEY__NODE_TEXT:
        return print_part(r, node->text.data, node->text.size, true);
    case COVEY__NODE_PRINT:
    case COVEY__NODE_DO:
        return run_print(r, node);
    case COVEY__NODE_IF:
        return run_if(r, node);
    case COVEY__NODE_FOR:
        return run_for(r, node);
    case COVEY__NODE_SET:
    case COVEY__NODE_CAPTURE:
        return run_set(r, node);
    case COVEY__NODE_BREAK:
        r->flow = COVEY__FLOW_BREAK;
        return COVEY_OK;
    case COVEY__NODE_CONTINUE:
        r->flow = COVEY__FLOW_CONTINUE;
        return COVEY_OK;
    case COVEY__NODE_BLOCK:
        return covey__run_list(r, node->list);
    case COVEY__NODE_MACRO:
        return covey__frame_set(r, r->frame, node->text, value);
    case COVEY__NODE_CALLER:
        return run_caller(r, node);
    case COVEY__NODE_WITH:
        return run_with(r, node);
    case COVEY__NODE_FILTERED:
        COVEY__TRY(run_filtered(r, node, &value));
        return print_value(r, &value);
    default:
        return covey__fail(r->error, COVEY_ERROR_INTERNAL, "template: node %d is no statement",
                           (int)node->kind);
    }
}

covey_status covey__run_list(covey__render *r, const covey__node *first) {
    COVEY__TRY(covey__render_enter(r, COVEY__STACK_LIST));
    for (const covey__node *node = first; node && r->flow == COVEY__FLOW_ON; node = node->next) {
        COVEY__TRY(covey__render_step(r, 0));
        COVEY__TRY(run_one(r, node));
    }
    covey__render_leave(r, COVEY__STACK_LIST);
    return COVEY_OK;
}

/* ---- the border ---- */

covey_status covey__template_compile(const covey__env *env, const char *text, size_t size,
                                     covey__template **compiled, covey_error *error) {
    *compiled = NULL;
    if (size > COVEY__TEMPLATE_BYTES_MAX) {
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, COVEY__TEMPLATE_BYTES_MAX, (int64_t)size,
                                 "template: %zu bytes, at most %d are taken", size,
                                 COVEY__TEMPLATE_BYTES_MAX);
    }
    covey__template *made = covey__calloc(env, 1, sizeof *made);
    if (!made) {
        return covey__no_memory(error, "template", sizeof *made);
    }
    made->env = env;
    covey__arena_init(&made->arena, env, COVEY__TEMPLATE_MEMORY_MAX);
    covey__lexeme *lexemes;
    covey_status status = covey__template_lex(&made->arena, text, size, &lexemes, error);
    if (status == COVEY_OK) {
        status = covey__template_parse(&made->arena, lexemes, &made->body, error);
    }
    if (status != COVEY_OK) {
        covey__template_free(made);
        return status;
    }
    *compiled = made;
    return COVEY_OK;
}

void covey__template_free(covey__template *compiled) {
    if (compiled) {
        covey__arena_free(&compiled->arena);
        covey__free(compiled->env, compiled);
    }
}

covey_status covey__template_render(const covey__template *compiled,
                                    const covey__template_input *input, covey__rendered *rendered,
                                    covey_error *error) {
    covey__frame global = {0};
    size_t messages = input->conversation ? input->conversation->size : input->message_count;
    covey__render r = {
        .env = compiled->env, .out = rendered, .now_ms = input->now_ms, .error = error, .line = 1};
    r.frame = r.global = &global;
    r.steps = COVEY__TEMPLATE_STEPS_MAX + (uint64_t)messages * COVEY__TEMPLATE_STEPS_A_MESSAGE;
    r.steps = input->probe ? COVEY__TEMPLATE_STEPS_A_PROBE : r.steps;
    *rendered = (covey__rendered){0};
    covey__buffer_init(&rendered->text, compiled->env, COVEY__TEMPLATE_OUTPUT_MAX);
    covey__arena_init(&r.arena, compiled->env, COVEY__TEMPLATE_MEMORY_MAX);
    covey_status status = covey__template_call_form(compiled, input, &r.form, error);
    status = status == COVEY_OK ? covey__set_globals(&r, input) : status;
    status = status == COVEY_OK ? covey__run_list(&r, compiled->body->list) : status;
    covey__arena_free(&r.arena);
    return status;
}

/* The text of a special token in memory of at most `capacity` bytes. */
static covey__text token_text(const covey__tokenizer *tokenizer, int32_t token, char *out,
                              size_t capacity) {
    size_t size = covey__tokenizer_bytes_of(tokenizer, token, true, out, capacity);
    return (covey__text){out, size <= capacity ? size : 0};
}

/* Puts BOS in front of what was encoded, where the vocabulary wants it and the template did not
 * write it. A caller that only counts has no room: one token of ours shows which begins. */
static covey_status encode_rendered(const covey__tokenizer *tokenizer,
                                    const covey__rendered *rendered, int32_t *tokens,
                                    size_t capacity, size_t *count, covey_error *error) {
    const char *text = rendered->text.size > 0 ? rendered->text.data : "";
    covey__tokenizer_specials specials = covey__tokenizer_specials_of(tokenizer);
    int32_t first = -1;
    covey_status status = covey__tokenizer_encode_spans(
        tokenizer, text, rendered->text.size, rendered->spans, rendered->span_count,
        capacity ? tokens : &first, capacity ? capacity : 1, count, error);
    if (status != COVEY_OK && status != COVEY_ERROR_LIMIT) return status;
    if (*count > 0 && capacity > 0) first = tokens[0];
    bool has_bos = *count > 0 && first == specials.bos;
    if (!specials.add_bos || specials.bos < 0 || has_bos) {
        if (status != COVEY_OK || *count <= capacity) return status;
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)capacity, (int64_t)*count,
                                 "tokenizer: the conversation has %zu tokens, there is no room",
                                 *count);
    }
    if (*count < capacity) {
        memmove(tokens + 1, tokens, *count * sizeof *tokens);
        tokens[0] = specials.bos;
        ++*count;
        return COVEY_OK;
    }
    ++*count;
    return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)capacity, (int64_t)*count,
                             "tokenizer: the conversation has %zu tokens, there is room for %zu",
                             *count, capacity);
}

covey_status covey__template_encode(const covey__template *compiled,
                                    const covey__tokenizer *tokenizer,
                                    const covey__template_input *input, int32_t *tokens,
                                    size_t capacity, size_t *count, covey_error *error) {
    covey__tokenizer_specials specials = covey__tokenizer_specials_of(tokenizer);
    covey__template_input full = *input;
    char bos[256], eos[256];
    if (full.bos.size == 0) {
        full.bos = token_text(tokenizer, specials.bos, bos, sizeof bos);
    }
    if (full.eos.size == 0) {
        full.eos = token_text(tokenizer, specials.eos, eos, sizeof eos);
    }
    covey__rendered rendered;
    *count = 0;
    covey_status status = covey__template_render(compiled, &full, &rendered, error);
    if (status == COVEY_OK) {
        status = encode_rendered(tokenizer, &rendered, tokens, capacity, count, error);
    }
    covey__rendered_free(&rendered);
    return status;
}
