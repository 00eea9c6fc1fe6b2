/* The update's life as a table: every phase with every event, and the invariants of machine.h. */
#include "support/support.h"

#include "agent/machine.h"

#include <stdio.h>
#include <string.h>

static covey__agent_state base(covey__phase phase) {
    covey__agent_state state = {0};
    snprintf(state.url, sizeof state.url, "http://x");
    snprintf(state.current.name, 65, "assistant");
    snprintf(state.current.version, 65, "1.0.0");
    snprintf(state.current.digest, 65, "aaaa");
    if (phase == COVEY__PHASE_NONE) return state;
    state.update.phase = phase;
    snprintf(state.update.name, 65, "assistant");
    snprintf(state.update.version, 65, "1.1.0");
    snprintf(state.update.release_digest, 65, "rrrr");
    snprintf(state.update.digest, 65, "bbbb");
    return state;
}

static covey__agent_actions put(covey__agent_state *state, covey__event_kind kind,
                                const char *message) {
    covey__agent_event_in event = {.kind = kind,
                                   .message = message,
                                   .outcome = "ok",
                                   .release = "assistant@1.1.0",
                                   .now_ms = 1000,
                                   .random = 12345};
    covey__agent_actions actions;
    covey__machine(state, &event, &actions);
    return actions;
}

static bool target(covey__agent_state *state, const char *version, const char *digest) {
    covey__agent_update wanted = {0};
    snprintf(wanted.name, 65, "assistant");
    snprintf(wanted.version, 65, "%s", version);
    snprintf(wanted.release_digest, 65, "%s", digest);
    covey__agent_event_in event = {
        .kind = COVEY__EVENT_TARGET, .target = &wanted, .builtin_version = "1.0.0"};
    covey__agent_actions actions;
    return covey__machine(state, &event, &actions);
}

static void test_phases_follow_each_other(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_PLAN);
    for (int phase = COVEY__PHASE_PLAN; phase < COVEY__PHASE_ACTIVATE; phase++) {
        assert_int_equal(state.update.phase, phase);
        assert_string_equal(state.current.digest, "aaaa");
        covey__agent_actions actions = put(&state, COVEY__EVENT_DONE, NULL);
        assert_false(actions.current_changed);
    }
    covey__agent_actions actions = put(&state, COVEY__EVENT_DONE, NULL);
    assert_true(actions.current_changed);
    assert_string_equal(state.current.digest, "bbbb");
    assert_string_equal(state.previous.digest, "aaaa");
    assert_true(state.current.trial);
    assert_int_equal(state.update.phase, COVEY__PHASE_NONE);
    assert_int_equal(state.outbox_count, 6);
}

/* A patch that failed ends nothing: it is told, remembered, and the phase goes on at once. */
static void test_patches_that_fail_are_told_and_remembered(void **unused) {
    (void)unused;
    covey__agent_actions actions;
    covey__agent_state state = base(COVEY__PHASE_FETCH);
    state.update.attempts = 3;
    state.update.retry_at_ms = 99;
    for (int i = 0; i < COVEY__GIVEN_UP_MAX + 2; i++) {
        char patch[65];
        snprintf(patch, sizeof patch, "%064d", i);
        covey__agent_event_in event = {
            .kind = COVEY__EVENT_FELL_BACK, .patch = patch, .message = "fell back: why"};
        assert_true(covey__machine(&state, &event, &actions));
    }
    assert_int_equal(state.update.phase, COVEY__PHASE_FETCH);
    assert_int_equal(state.update.attempts, 0);
    assert_int_equal(state.update.retry_at_ms, 0);
    assert_int_equal(state.update.given_up_count, COVEY__GIVEN_UP_MAX);
    assert_int_equal(state.update.given_up[0][63], '2'); /* the oldest are forgotten */
    assert_int_equal(state.outbox_count, COVEY__GIVEN_UP_MAX + 2);
    assert_string_equal(state.last.outcome, "failed");
    assert_string_equal(state.last.message, "fell back: why");
}

/* The same target again may bring another budget or other patches; neither begins anew. */
static void test_a_target_renews_its_budget_and_patches(void **unused) {
    (void)unused;
    covey__agent_actions actions;
    covey__agent_state state = base(COVEY__PHASE_FETCH);
    state.update.spent_bytes = 7;
    state.update.waiting_said = true;
    state.update.retry_at_ms = 5000;
    state.update.given_up_count = 1;
    covey__agent_update wanted = state.update;
    covey__agent_event_in event = {.kind = COVEY__EVENT_TARGET, .target = &wanted};
    assert_false(covey__machine(&state, &event, &actions));
    wanted.bytes_max = 1000;
    assert_true(covey__machine(&state, &event, &actions));
    assert_int_equal(state.update.bytes_max, 1000);
    assert_int_equal(state.update.retry_at_ms, 0);
    assert_false(state.update.waiting_said);
    assert_int_equal(state.update.given_up_count, 1);
    memset(wanted.patches, 'a', 64);
    wanted.patches_size = 9;
    assert_true(covey__machine(&state, &event, &actions));
    assert_int_equal(state.update.patches_size, 9);
    assert_int_equal(state.update.given_up_count, 0);
    wanted.patches[0] = 0; /* not looked up this time: what is known stays */
    assert_false(covey__machine(&state, &event, &actions));
    assert_int_equal(state.update.spent_bytes, 7);
    assert_int_equal(state.update.phase, COVEY__PHASE_FETCH);
    assert_false(actions.clean);
}

/* Nothing but ACTIVATE's end may change what serves, whatever comes in whatever phase. */
static void test_no_other_event_changes_current(void **unused) {
    (void)unused;
    static const covey__event_kind kinds[] = {
        COVEY__EVENT_TARGET_NONE, COVEY__EVENT_FAILED,       COVEY__EVENT_WAITING,
        COVEY__EVENT_DAMAGED,     COVEY__EVENT_REFUSED,      COVEY__EVENT_PROBE_START,
        COVEY__EVENT_TRIAL_START, COVEY__EVENT_CURRENT_GOOD, COVEY__EVENT_TRIAL_SLOW,
        COVEY__EVENT_TRIAL_OVER,  COVEY__EVENT_TRIAL_CLOSED};
    for (int phase = COVEY__PHASE_NONE; phase <= COVEY__PHASE_ACTIVATE; phase++) {
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            covey__agent_state state = base((covey__phase)phase);
            covey__agent_actions actions = put(&state, kinds[i], "why");
            assert_false(actions.current_changed);
            assert_string_equal(state.current.digest, "aaaa");
        }
    }
}

static void test_targets(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_NONE);
    assert_false(target(&state, "1.0.0", "x")); /* the same version */
    assert_false(target(&state, "0.9.0", "x")); /* an older one: no server may choose it */
    assert_true(target(&state, "1.1.0", "x"));
    assert_int_equal(state.update.phase, COVEY__PHASE_PLAN);
    state.update.phase = COVEY__PHASE_FETCH;
    assert_false(target(&state, "1.1.0", "x")); /* repeated: the update goes on */
    assert_int_equal(state.update.phase, COVEY__PHASE_FETCH);
    assert_true(target(&state, "1.2.0", "y")); /* another: begins anew */
    assert_int_equal(state.update.phase, COVEY__PHASE_PLAN);
    assert_string_equal(state.update.version, "1.2.0");
    put(&state, COVEY__EVENT_TARGET_NONE, NULL);
    assert_int_equal(state.update.phase, COVEY__PHASE_NONE);
    memset(&state.current, 0, sizeof state.current); /* the built-in 1.0.0 serves */
    assert_false(target(&state, "1.0.0", "x"));
    assert_true(target(&state, "1.0.1", "x"));
}

static void test_refused_is_not_taken_again(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_PROBE);
    put(&state, COVEY__EVENT_REFUSED, "score 0.4");
    assert_int_equal(state.update.phase, COVEY__PHASE_NONE);
    assert_true(covey__is_refused(&state, "assistant@1.1.0"));
    assert_false(target(&state, "1.1.0", "rrrr"));
    assert_string_equal(state.outbox[0].outcome, "refused");
    assert_string_equal(state.outbox[0].message, "score 0.4");
}

static void test_damage_is_repaired_a_few_times(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_PROBE);
    for (int i = 0; i < COVEY__REPAIRS_MAX; i++) {
        put(&state, COVEY__EVENT_DAMAGED, "digest differs");
        assert_int_equal(state.update.phase, COVEY__PHASE_FETCH);
        state.update.phase = COVEY__PHASE_PROBE;
    }
    put(&state, COVEY__EVENT_DAMAGED, "digest differs");
    assert_int_equal(state.update.phase, COVEY__PHASE_NONE);
    assert_true(covey__is_refused(&state, "assistant@1.1.0"));
}

static void test_trial_that_never_serves_is_left(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_ACTIVATE);
    put(&state, COVEY__EVENT_DONE, NULL);
    for (int i = 0; i < COVEY__TRIAL_STARTS_MAX; i++) {
        put(&state, COVEY__EVENT_TRIAL_START, NULL);
        assert_string_equal(state.current.digest, "bbbb");
    }
    put(&state, COVEY__EVENT_TRIAL_START, NULL);
    assert_string_equal(state.current.digest, "aaaa");
    assert_true(covey__is_refused(&state, "assistant@1.1.0"));
    put(&state, COVEY__EVENT_TRIAL_START, NULL); /* not a trial: starts are not counted */
    assert_string_equal(state.current.digest, "aaaa");
}

static void test_probes_that_kill_are_given_up(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_PROBE);
    for (int i = 0; i < COVEY__PROBE_STARTS_MAX; i++) put(&state, COVEY__EVENT_PROBE_START, NULL);
    assert_int_equal(state.update.phase, COVEY__PHASE_PROBE);
    put(&state, COVEY__EVENT_PROBE_START, NULL);
    assert_int_equal(state.update.phase, COVEY__PHASE_NONE);
    /* Probes that failed and came back are not counted: the process lived. */
    state = base(COVEY__PHASE_PROBE);
    for (int i = 0; i < 10; i++) {
        put(&state, COVEY__EVENT_PROBE_START, NULL);
        put(&state, COVEY__EVENT_FAILED, "no memory");
    }
    assert_int_equal(state.update.phase, COVEY__PHASE_PROBE);
}

static void test_commit_and_return(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_ACTIVATE);
    put(&state, COVEY__EVENT_DONE, NULL);
    put(&state, COVEY__EVENT_CURRENT_GOOD, NULL);
    assert_false(state.current.trial);
    assert_string_equal(state.outbox[state.outbox_count - 1].outcome, "ok");
    put(&state, COVEY__EVENT_CURRENT_BAD, "digest differs");
    assert_string_equal(state.current.version, "1.0.0");
    assert_string_equal(state.previous.digest, "");
    assert_false(target(&state, "1.1.0", "rrrr"));
    put(&state, COVEY__EVENT_ROLLBACK, "user"); /* to the built-in one */
    assert_string_equal(state.current.digest, "");
    put(&state, COVEY__EVENT_ROLLBACK, "user"); /* and no further */
    assert_string_equal(state.current.digest, "");
}

/* An update that comes before the last one ever served does not cost the way back. */
static void test_trial_is_nothing_to_return_to(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_ACTIVATE);
    put(&state, COVEY__EVENT_DONE, NULL); /* 1.1.0 on trial, 1.0.0 behind it */
    assert_true(target(&state, "1.2.0", "z"));
    snprintf(state.update.digest, 65, "cccc");
    state.update.phase = COVEY__PHASE_ACTIVATE;
    put(&state, COVEY__EVENT_DONE, NULL);
    assert_string_equal(state.current.digest, "cccc");
    assert_string_equal(state.previous.version, "1.0.0");
    put(&state, COVEY__EVENT_CURRENT_BAD, "crashes");
    assert_string_equal(state.current.version, "1.0.0");
    assert_false(state.current.trial);
}

/* One that answered well is, though it had not proved itself yet. */
static void test_trial_that_answered_is_returned_to(void **unused) {
    (void)unused;
    for (int failed = 0; failed < 2; failed++) {
        covey__agent_state state = base(COVEY__PHASE_ACTIVATE);
        put(&state, COVEY__EVENT_DONE, NULL);
        state.current.good = 1;
        state.current.failed = failed;
        assert_true(target(&state, "1.2.0", "z"));
        snprintf(state.update.digest, 65, "cccc");
        state.update.phase = COVEY__PHASE_ACTIVATE;
        put(&state, COVEY__EVENT_DONE, NULL);
        assert_string_equal(state.previous.version, failed ? "1.0.0" : "1.1.0");
    }
}

/* Verdicts on a target come with the event: what statements forbid is not begun and ends, and an
 * older version is begun where they permit it, and only then. */
static void test_statements_on_targets(void **unused) {
    (void)unused;
    static const struct {
        const char *version, *denied;
        bool downgrade, begins;
    } cases[] = {
        {"1.1.0", NULL, false, true},    {"1.1.0", "steering k-1", false, false},
        {"0.9.0", NULL, false, false},   {"0.9.0", NULL, true, true},
        {"0.9.0", "below", true, false}, {"1.0.0", NULL, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__agent_state state = base(COVEY__PHASE_NONE);
        covey__agent_update wanted = {.name = "assistant", .release_digest = "qq"};
        covey__agent_event_in event = {.kind = COVEY__EVENT_TARGET,
                                       .target = &wanted,
                                       .denied = cases[i].denied,
                                       .downgrade = cases[i].downgrade};
        covey__agent_actions actions;
        snprintf(wanted.version, 65, "%s", cases[i].version);
        assert_int_equal(covey__machine(&state, &event, &actions), cases[i].begins);
        assert_int_equal(state.update.phase != COVEY__PHASE_NONE, cases[i].begins);
    }
    covey__agent_state state = base(COVEY__PHASE_FETCH);
    assert_true(put(&state, COVEY__EVENT_UPDATE_STOPPED, "steering k-1").clean);
    assert_int_equal(state.update.phase, COVEY__PHASE_NONE);
    assert_string_equal(state.outbox[0].outcome, "refused");
    assert_int_equal(state.refused_count, 0); /* the statement holds by itself */
}

static void test_stopped_current(void **unused) {
    (void)unused;
    for (int denied = 0; denied < 2; denied++) {
        covey__agent_state state = base(COVEY__PHASE_ACTIVATE);
        put(&state, COVEY__EVENT_DONE, NULL); /* 1.1.0, and 1.0.0 behind it */
        covey__agent_event_in event = {.kind = COVEY__EVENT_CURRENT_STOPPED,
                                       .message = "off by steering k-1",
                                       .previous_denied = denied ? "below a minimum" : NULL};
        covey__agent_actions actions;
        assert_true(covey__machine(&state, &event, &actions));
        assert_true(actions.current_changed);
        assert_string_equal(state.current.version, denied ? "" : "1.0.0");
        assert_string_equal(state.previous.digest, "");
        assert_string_equal(state.stopped, "off by steering k-1");
        assert_int_equal(state.refused_count, 0);
    }
}

/* What a device finds wrong at a check-in goes to the outbox under the name of what serves. */
static void test_told_at_a_checkin(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_NONE);
    covey__agent_event_in event = {.kind = COVEY__EVENT_TOLD,
                                   .outcome = "failed",
                                   .release = "assistant@1.0.0",
                                   .message = "held back"};
    covey__agent_actions actions;
    assert_true(covey__machine(&state, &event, &actions));
    assert_int_equal(state.outbox_count, 1);
    assert_string_equal(covey__phase_name(state.outbox[0].phase), "check-in");
    assert_int_equal(covey__phase_from("check-in"), COVEY__PHASE_CHECKIN);
}

static void test_retries_grow_and_stay_bounded(void **unused) {
    (void)unused;
    uint64_t seed = 7;
    for (int32_t failures = 1; failures < 40; failures++) {
        int64_t bound = failures < 11 ? 1000LL << (failures - 1) : COVEY__RETRY_MAX_MS;
        for (int i = 0; i < 50; i++) {
            int64_t delay = covey__retry_delay(failures, test_random(&seed));
            assert_true(delay >= 1 && delay <= COVEY__RETRY_MAX_MS && delay <= bound);
        }
    }
    /* Jitter is full: a herd that failed together comes back spread over the whole time. */
    int low = 0, high = 0;
    for (int i = 0; i < 400; i++) {
        int64_t delay = covey__retry_delay(8, test_random(&seed));
        low += delay < 32000;
        high += delay > 96000;
    }
    assert_true(low > 50 && high > 50);
}

static void test_outbox_is_bounded_and_counts_what_it_drops(void **unused) {
    (void)unused;
    covey__agent_state state = base(COVEY__PHASE_FETCH);
    for (int i = 0; i < 1000; i++) put(&state, COVEY__EVENT_FAILED, "x");
    assert_int_equal(state.outbox_count, COVEY__OUTBOX_MAX);
    assert_int_equal(state.outbox_count + state.outbox_dropped, 250); /* every fourth is told */
    for (int i = 1; i < state.outbox_count; i++)
        assert_string_not_equal(state.outbox[i].id, state.outbox[i - 1].id);
}

/* A trial of 1.1.0 ("bbbb") over 1.0.0 ("aaaa"). */
static covey__agent_state trial(void) {
    covey__agent_state state = base(COVEY__PHASE_ACTIVATE);
    put(&state, COVEY__EVENT_DONE, NULL);
    return state;
}

static void answered(covey__agent_state *state, int good, int failed, bool undecided) {
    covey__agent_event_in event = {.kind = COVEY__EVENT_TRIAL_ANSWERED,
                                   .good = good,
                                   .failed = failed,
                                   .answers_min = 10,
                                   .undecided = undecided,
                                   .message = failed ? "NaN" : NULL};
    covey__agent_actions actions;
    covey__machine(state, &event, &actions);
}

enum outcome { STAYS_TRIAL, COMMITTED, RETURNED };

static enum outcome outcome_of(const covey__agent_state *state) {
    if (!strcmp(state->current.digest, "aaaa")) return RETURNED;
    return state->current.trial ? STAYS_TRIAL : COMMITTED;
}

/* Each letter is an event: s a start, c an orderly end, g nine good answers, + one, - a failed one,
 * d nine good ones in doubt, t the time is over, l it is slow; o an update of reports that were
 * sent twice, which must count for nothing. */
static void test_trials(void **unused) {
    (void)unused;
    static const struct {
        const char *events;
        enum outcome outcome;
    } cases[] = {
        {"s", STAYS_TRIAL},
        {"sg", STAYS_TRIAL},
        {"sg+", COMMITTED},
        {"sgg", COMMITTED},
        {"sdd", STAYS_TRIAL}, /* enough answers, but it seemed slow */
        {"sdd+", COMMITTED},
        {"st", COMMITTED},
        {"sl", RETURNED},
        {"s+--", STAYS_TRIAL},
        {"s+---", RETURNED},
        {"s-s-s-", RETURNED}, /* over starts too */
        {"sss", STAYS_TRIAL},
        {"ssss", RETURNED},
        {"ss+sss", STAYS_TRIAL}, /* a good answer begins the count of starts anew */
        {"ss+ssss", RETURNED},
        {"scscscscscscscscscscscsc", STAYS_TRIAL}, /* orderly ends count nothing */
        {"s+s+s+s+s+s+s+s+s+", STAYS_TRIAL},
        {"s+s+sss+ss+sss+s", RETURNED}, /* eleven runs that broke off, though some answered */
        {"sooooooooo", STAYS_TRIAL},
        {"ssso", STAYS_TRIAL},
        {"sg+l", COMMITTED}, /* proved is proved */
        {"sg+---", COMMITTED},
        {"sg+ssss", COMMITTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__agent_state state = trial();
        for (const char *at = cases[i].events; *at; at++) {
            if (*at == 's') put(&state, COVEY__EVENT_TRIAL_START, NULL);
            if (*at == 'c') put(&state, COVEY__EVENT_TRIAL_CLOSED, NULL);
            if (*at == 'g') answered(&state, 9, 0, false);
            if (*at == '+') answered(&state, 1, 0, false);
            if (*at == '-') answered(&state, 0, 1, false);
            if (*at == 'd') answered(&state, 9, 0, true);
            if (*at == 't') put(&state, COVEY__EVENT_TRIAL_OVER, NULL);
            if (*at == 'l') put(&state, COVEY__EVENT_TRIAL_SLOW, "slow");
            if (*at == 'o') put(&state, COVEY__EVENT_TOLD, NULL);
        }
        if (outcome_of(&state) != cases[i].outcome)
            fail_msg("%s: outcome %d", cases[i].events, (int)outcome_of(&state));
        bool left = cases[i].outcome == RETURNED;
        assert_int_equal(covey__is_refused(&state, "assistant@1.1.0"), left);
        assert_int_equal(covey__digest_is_refused(&state, "bbbb"), left);
        if (left) assert_string_equal(state.last.outcome, "refused");
    }
}

/* What was returned from is not tried again, under another release's name neither, until its user
 * wants it. */
static void test_refused_digest(void **unused) {
    (void)unused;
    covey__agent_state state = trial();
    put(&state, COVEY__EVENT_TRIAL_SLOW, "slow");
    assert_false(target(&state, "1.1.0", "rrrr"));
    assert_true(target(&state, "1.2.0", "ssss"));
    snprintf(state.update.digest, 65, "bbbb"); /* the plan found the same ensemble in it */
    put(&state, COVEY__EVENT_DONE, NULL);
    assert_int_equal(state.update.phase, COVEY__PHASE_NONE);
    assert_true(covey__is_refused(&state, "assistant@1.2.0"));
    covey__agent_event_in retry = {.kind = COVEY__EVENT_RETRY, .release = "assistant@1.1.0"};
    covey__agent_actions actions;
    assert_true(covey__machine(&state, &retry, &actions));
    assert_false(covey__machine(&state, &retry, &actions));
    assert_true(target(&state, "1.1.0", "rrrr"));
    target(&state, "1.2.0", "ssss");
    assert_int_equal(state.update.phase, COVEY__PHASE_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases_follow_each_other),
        cmocka_unit_test(test_no_other_event_changes_current),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_refused_is_not_taken_again),
        cmocka_unit_test(test_damage_is_repaired_a_few_times),
        cmocka_unit_test(test_trial_that_never_serves_is_left),
        cmocka_unit_test(test_probes_that_kill_are_given_up),
        cmocka_unit_test(test_commit_and_return),
        cmocka_unit_test(test_trial_is_nothing_to_return_to),
        cmocka_unit_test(test_trial_that_answered_is_returned_to),
        cmocka_unit_test(test_statements_on_targets),
        cmocka_unit_test(test_stopped_current),
        cmocka_unit_test(test_told_at_a_checkin),
        cmocka_unit_test(test_patches_that_fail_are_told_and_remembered),
        cmocka_unit_test(test_a_target_renews_its_budget_and_patches),
        cmocka_unit_test(test_retries_grow_and_stay_bounded),
        cmocka_unit_test(test_outbox_is_bounded_and_counts_what_it_drops),
        cmocka_unit_test(test_trials),
        cmocka_unit_test(test_refused_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
