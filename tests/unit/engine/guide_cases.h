/* Tables of guides with texts that they allow and texts that they do not, and what runs them. */
#ifndef COVEY_TESTS_ENGINE_GUIDE_CASES_H
#define COVEY_TESTS_ENGINE_GUIDE_CASES_H

#include "synthetic.h"

#include "engine/guide_run.h"

#define CASE_TEXTS 14

typedef struct guide_case {
    const char *guide;
    const char *right[CASE_TEXTS];
    const char *wrong[CASE_TEXTS];
} guide_case;

typedef struct refused_case {
    const char *guide;
    covey_status status;
    const char *message; /* a part of it */
} refused_case;

static covey_runtime *case_runtime;

static inline int open_cases(void **state) {
    (void)state;
    case_runtime = open_runtime(1, NULL);
    return 0;
}

static inline int close_cases(void **state) {
    (void)state;
    covey_runtime_close(case_runtime);
    return 0;
}

static inline covey_status new_guide(bool is_schema, const char *text, covey_guide **guide,
                                     covey_error *error) {
    return is_schema
               ? covey_guide_new_json_schema(case_runtime, text, strlen(text), NULL, guide, error)
               : covey_guide_new_gbnf(case_runtime, text, strlen(text), NULL, guide, error);
}

static inline void check_text(const covey_guide *guide, const guide_case *c, const char *text,
                              bool right) {
    covey_error error = {.message = ""};
    size_t matched = 0;
    bool whole = false;
    must(covey_guide_match(guide, text, strlen(text), &matched, &whole, &error), &error);
    if (whole != right)
        fail_msg("%s: expected %s to be %s (%zu bytes matched)", c->guide, text,
                 right ? "right" : "wrong", matched);
    if (right) assert_int_equal(matched, strlen(text));
}

static inline size_t run_cases(bool is_schema, const guide_case *cases, size_t count) {
    size_t texts = 0;
    for (size_t i = 0; i < count; i++) {
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        if (new_guide(is_schema, cases[i].guide, &guide, &error) != COVEY_OK)
            fail_msg("%s: %s", cases[i].guide, error.message);
        for (size_t t = 0; t < CASE_TEXTS && cases[i].right[t]; t++, texts++)
            check_text(guide, &cases[i], cases[i].right[t], true);
        for (size_t t = 0; t < CASE_TEXTS && cases[i].wrong[t]; t++, texts++)
            check_text(guide, &cases[i], cases[i].wrong[t], false);
        covey_guide_free(guide);
    }
    return texts;
}

static inline void run_refused(bool is_schema, const refused_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        covey_status status = new_guide(is_schema, cases[i].guide, &guide, &error);
        if (status == COVEY_OK) fail_msg("%s: was not refused", cases[i].guide);
        if (status != cases[i].status || !strstr(error.message, cases[i].message))
            fail_msg("%s: expected %s with \"%s\", found %s: %s", cases[i].guide,
                     covey_status_name(cases[i].status), cases[i].message,
                     covey_status_name(status), error.message);
        assert_null(guide);
    }
}

#endif
