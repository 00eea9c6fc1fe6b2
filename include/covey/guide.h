/* Guides: what an answer must look like, as a JSON Schema or as a GBNF grammar. A guide is compiled
 * once, is immutable, and knows no model: any number of sessions, of any models, may generate under
 * it at one time (covey_generation_options.guide). Whatever the model, the text is then one that
 * the guide allows, or a beginning of one where tokens_max or the context ended it.
 *
 * docs/guide.md says what of JSON Schema and of GBNF is understood. What is not is refused by name
 * and place: nothing is ignored. */
#ifndef COVEY_GUIDE_H
#define COVEY_GUIDE_H

#include <covey/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_guide covey_guide;

/* White space between the parts of JSON. Strings are never touched by it. */
typedef enum covey_guide_spaces {
    COVEY_GUIDE_SPACES_ONE = 0, /* at most one space behind ':' and ',', as the model likes */
    COVEY_GUIDE_SPACES_NONE = 1 /* none: the fewest tokens, and the most that need no pass */
} covey_guide_spaces;

typedef struct covey_guide_options {
    size_t size;
    covey_guide_spaces spaces; /* of JSON Schema alone */
    bool open_ended; /* do not close in time: without it, an answer that would not fit is closed by
                        the shortest text that completes it, so that it is always whole where that
                        fits at all */
} covey_guide_options;
#define COVEY_GUIDE_OPTIONS_INIT                                                                   \
    { sizeof(covey_guide_options), COVEY_GUIDE_SPACES_ONE, false }

/* Compiles a JSON Schema (2020-12, the stated subset). Properties come in the schema's order.
 * `options` may be NULL. COVEY_ERROR_FORMAT: not JSON, or a keyword's value is none that it may
 * have; COVEY_ERROR_UNSUPPORTED names the keyword and its place; COVEY_ERROR_LIMIT: larger than a
 * stated bound; COVEY_ERROR_INVALID_ARGUMENT: no value satisfies it. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_guide_new_json_schema(
    covey_runtime *runtime, const char *schema, size_t schema_size,
    const covey_guide_options *options, covey_guide **guide, covey_error *error);

/* Compiles a grammar in GBNF, as llama.cpp's grammars/README.md defines it; the rule "root" is the
 * answer. Errors name line and column. As above. */
COVEY_API COVEY_MUST_USE covey_status covey_guide_new_gbnf(covey_runtime *runtime,
                                                           const char *grammar, size_t grammar_size,
                                                           const covey_guide_options *options,
                                                           covey_guide **guide, covey_error *error);

/* Frees it, once no generation uses it. NULL is allowed. Any thread. */
COVEY_API void covey_guide_free(covey_guide *guide);

/* How many bytes of `text` some allowed answer begins with; `whole` (may be NULL) says whether all
 * of `text` is an allowed answer. For checking what came from elsewhere. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_guide_match(const covey_guide *guide, const char *text,
                                                        size_t text_size, size_t *matched,
                                                        bool *whole, covey_error *error);

#ifdef __cplusplus
}
#endif
#endif
