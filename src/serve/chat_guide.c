/* What an answer must look like, from a request: response_format, a grammar, or a tool that must be
 * called. At most one of them. */
#include "serve/chat.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_string(const covey__json *node, const char *text) {
    return node && node->kind == COVEY__JSON_STRING && !strcmp(node->text, text);
}

static covey_status from_schema(covey_runtime *runtime, const covey__json *schema,
                                covey_guide **guide, covey_error *error) {
    covey__buffer text;
    covey__json_writer json;
    covey__buffer_init(&text, covey__runtime_env(runtime), COVEY__SERVE_BODY_MAX);
    covey__json_writer_init(&json, &text, false);
    covey__json_put_node(&json, schema);
    covey_status status = covey__buffer_check(&text, error, "response_format");
    if (!status)
        status = covey_guide_new_json_schema(runtime, text.data, text.size, NULL, guide, error);
    covey__buffer_free(&text);
    return status;
}

static covey_status from_format(covey_runtime *runtime, const covey__json *format,
                                covey_guide **guide, covey_error *error) {
    static const char any[] = "{\"type\":\"object\"}";
    const covey__json *type = covey__json_get(format, "type");
    if (is_string(type, "text")) return COVEY_OK;
    if (is_string(type, "json_object"))
        return covey_guide_new_json_schema(runtime, any, sizeof any - 1, NULL, guide, error);
    if (!is_string(type, "json_schema"))
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "response_format.type: expected \"text\", \"json_object\" or "
                           "\"json_schema\"");
    const covey__json *schema = covey__json_get(covey__json_get(format, "json_schema"), "schema");
    if (!schema)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "response_format.json_schema.schema: expected a JSON Schema");
    return from_schema(runtime, schema, guide, error);
}

/* The guide speaks of one schema for all calls, which the caller has never seen: what it says of a
 * tool's parameters is said of that tool, counted as in the request. */
static covey_status fail_of_tool(const covey__tools *tools, covey_status status,
                                 covey_error *error) {
    static const char call[] = "schema: #/anyOf/", arguments[] = "/properties/arguments";
    char said[sizeof error->message], *end = said;
    size_t index = 0;
    snprintf(said, sizeof said, "%s", error->message);
    if (!strncmp(said, call, sizeof call - 1)) index = strtoul(said + sizeof call - 1, &end, 10);
    if (end == said || strncmp(end, arguments, sizeof arguments - 1) != 0)
        return covey__prefix(error, status, "tools");
    const covey__json *tool = tools->list->child;
    for (; tools->name && tool; tool = tool->next, index++) /* the one call there is */
        if (is_string(covey__json_get(covey__json_get(tool, "function"), "name"), tools->name))
            break;
    snprintf(error->message, sizeof error->message, "tools[%zu].function.parameters: schema: #%s",
             index, end + sizeof arguments - 1);
    return status;
}

covey_status covey__chat_calls_read(covey_runtime *runtime, const covey__tools *tools,
                                    covey_guide **guide, covey_error *error) {
    covey__buffer text;
    covey__buffer_init(&text, covey__runtime_env(runtime), COVEY__SERVE_BODY_MAX);
    covey__tools_put_schema(tools, &text);
    covey_status status = covey__buffer_check(&text, error, "tools");
    if (!status)
        status = covey_guide_new_json_schema(runtime, text.data, text.size, NULL, guide, error);
    covey__buffer_free(&text);
    return status ? fail_of_tool(tools, status, error) : COVEY_OK;
}

covey_status covey__chat_guide_read(covey_runtime *runtime, const covey__json *format,
                                    const covey__json *grammar, const covey__tools *tools,
                                    covey_guide **guide, covey_error *error) {
    bool forced = tools->choice == COVEY__TOOLS_REQUIRED;
    bool formatted = format && !is_string(covey__json_get(format, "type"), "text");
    *guide = NULL;
    if (forced + formatted + (grammar != NULL) > 1)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "response_format, grammar and a required tool say each what the answer "
                           "looks like; give one of them");
    if (forced) return covey__chat_calls_read(runtime, tools, guide, error);
    if (format) {
        covey_status status = from_format(runtime, format, guide, error);
        return status ? covey__prefix(error, status, "response_format") : COVEY_OK;
    }
    if (!grammar) return COVEY_OK;
    if (grammar->kind != COVEY__JSON_STRING)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "grammar: expected GBNF text");
    covey_status status =
        covey_guide_new_gbnf(runtime, grammar->text, grammar->size, NULL, guide, error);
    return status; /* its prefix is the member's name */
}
