/* What of a change of the state the audit log is told: a table of changes. */
#include "support/support.h"

#include "agent/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void no_change(covey__agent_state *s) {
    s->last_checkin_ms = 7; /* time goes by: nothing to tell */
    s->next_checkin_ms = 9;
}
static void enroll_elsewhere(covey__agent_state *s) {
    strcpy(s->url, "https://other.test");
}
static void enroll_with_a_root(covey__agent_state *s) {
    strcpy(s->url, "https://other.test");
    memset(s->trust.root_sha256, 'b', 64);
}
static void new_root(covey__agent_state *s) {
    s->trust.root = 2;
}
static void new_statements(covey__agent_state *s) {
    s->trust.steering_serial = 4;
}
static void other_product(covey__agent_state *s) {
    strcpy(s->trust.steering_product, "other");
}
static void held_back(covey__agent_state *s) {
    strcpy(s->trust.problem, "expired");
    strcpy(s->trust.message, "held back: \x1b[2J expired");
}
static void refused_statements(covey__agent_state *s) {
    strcpy(s->trust.problem, "steering");
}
static void not_taken(covey__agent_state *s) {
    strcpy(s->trust.problem, "denied");
}
static void update_goes_on(covey__agent_state *s) {
    s->update.phase = COVEY__PHASE_PROBE;
    s->update.attempts = 3;
}
static void fell_back(covey__agent_state *s) {
    s->update.given_up_count = 1;
    strcpy(s->last.id, "another");
    strcpy(s->last.message, "fell back: patch of model.gguf: damaged");
}
static void other_update(covey__agent_state *s) {
    strcpy(s->update.version, "1.2.0");
}
static void no_update(covey__agent_state *s) {
    memset(&s->update, 0, sizeof s->update);
}
static void installed(covey__agent_state *s) {
    memcpy(s->current.digest, s->update.digest, 65);
    strcpy(s->current.version, "1.1.0");
    s->current.trial = true;
    no_update(s);
}
static void committed(covey__agent_state *s) {
    s->current.trial = false;
}
static void returned(covey__agent_state *s) {
    memset(&s->current, 0, sizeof s->current);
}
static void killed(covey__agent_state *s) {
    strcpy(s->stopped, "off by steering k-1: wrong");
    returned(s);
}
static void refused(covey__agent_state *s) {
    strcpy(s->refused[s->refused_count].release, "assistant@1.1.0");
    strcpy(s->refused[s->refused_count++].message, "its probes failed");
    no_update(s);
}
static void denied(covey__agent_state *s) {
    refused(s);
    strcpy(s->refused[s->refused_count - 1].message, COVEY__CONSENT_DENIED);
}
static void asked(covey__agent_state *s) {
    s->update.consent = COVEY__CONSENT_ASKED;
}
static void given(covey__agent_state *s) {
    s->update.consent = COVEY__CONSENT_GIVEN;
}
static void opted_out(covey__agent_state *s) {
    strcpy(s->opted_out, "updates");
}

/* A device with 1.0.0 on trial and 1.1.0 on its way. */
static void fill(covey__agent_state *s) {
    memset(s, 0, sizeof *s);
    strcpy(s->url, "https://fleet.test");
    strcpy(s->trust.steering_product, "assistant");
    s->trust.root = 1;
    s->trust.steering_serial = 3;
    strcpy(s->current.name, "assistant");
    strcpy(s->current.version, "1.0.0");
    memset(s->current.digest, '1', 64);
    s->current.trial = true;
    s->update.phase = COVEY__PHASE_FETCH;
    strcpy(s->update.name, "assistant");
    strcpy(s->update.version, "1.1.0");
    memset(s->update.release_digest, '2', 64);
    memset(s->update.digest, '3', 64);
    strcpy(s->update.signed_by, "assistant 44");
}

static const struct {
    void (*change)(covey__agent_state *state);
    const char *told; /* "event from to;" each */
} cases[] = {
    {no_change, ""},
    {enroll_elsewhere, "enrolled https://fleet.test https://other.test;"},
    {enroll_with_a_root, "enrolled https://fleet.test https://other.test;"},
    {new_root, "root 1 2;"},
    {new_statements, "steering 3 4;"},
    {other_product, "steering  3;"},
    {held_back, "held-back  ;"},
    {refused_statements, "steering-refused  ;"},
    {not_taken, "not-taken  ;"},
    {update_goes_on, ""},
    {fell_back, "fell-back  assistant@1.1.0;"},
    {other_update, "update-ended  assistant@1.1.0;update-begun assistant@1.0.0 assistant@1.2.0;"},
    {no_update, "update-ended  assistant@1.1.0;"},
    {installed, "installed assistant@1.0.0 assistant@1.1.0;"},
    {committed, "committed  assistant@1.0.0;"},
    {returned, "returned assistant@1.0.0 the built-in one;"},
    {killed, "killed assistant@1.0.0 the built-in one;"},
    {refused, "refused  assistant@1.1.0;"},
    {denied, "consent-denied  assistant@1.1.0;"},
    {asked, "consent-asked  assistant@1.1.0;"},
    {given, "consent-given  assistant@1.1.0;"},
    {opted_out, "opt-out  updates;"},
};

static void test_changes(void **unused) {
    (void)unused;
    covey__audit_entry entries[COVEY__AUDIT_DIFF_MAX];
    covey__agent_state *before = malloc(sizeof *before), *after = malloc(sizeof *after);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char told[2000] = "";
        fill(before);
        fill(after);
        cases[i].change(after);
        size_t count = covey__audit_diff(before, after, entries);
        for (size_t j = 0; j < count; j++) {
            size_t size = strlen(told);
            snprintf(told + size, sizeof told - size, "%s %s %s;", entries[j].event,
                     entries[j].from, entries[j].to);
            assert_null(strchr(entries[j].why, '\x1b'));
            if (!strcmp(entries[j].event, "installed"))
                assert_string_equal(entries[j].signed_by, "assistant 44");
        }
        if (strcmp(told, cases[i].told))
            fail_msg("case %zu: told \"%s\", expected \"%s\"", i, told, cases[i].told);
        /* What did not change is not told. */
        assert_int_equal(covey__audit_diff(after, after, entries), 0);
    }
    free(before);
    free(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
