/* covey audit, opt-out, consent: what the update channel may do here, what it did, and the user's
 * word about it. */
#include "covey/commands.h"

#include "common/json_text.h"
#include "common/options.h"
#include "covey/context.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- audit ------------------------------------------------------------------------------------
 */

typedef struct printing {
    bool json, verify_only;
    int last_kind; /* -1 before the first */
    size_t count;  /* of this kind */
} printing;

static void put_time(int64_t time_ms, char out[32]) {
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm utc;
    snprintf(out, 32, "not logged yet");
    if (time_ms && gmtime_r(&seconds, &utc)) strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void put_member(const char *name, const char *text) {
    if (!*text) return;
    printf(",\"%s\":", name);
    app_put_json_text(stdout, text);
}

static void put_json_change(const covey_agent_audit_item *item) {
    printf("{\"seq\":%" PRIu64 ",\"time_ms\":%" PRId64 ",\"event\":", item->seq, item->time_ms);
    app_put_json_text(stdout, item->event);
    put_member("from", item->from);
    put_member("to", item->to);
    put_member("digest", item->digest);
    put_member("signed_by", item->signed_by);
    put_member("why", item->text);
    fputs("}", stdout);
}

/* The lists follow one another: "may", "may_not", "changes". */
static const char *const json_names[] = {"may", "may_not", "changes"};

static void open_lists(printing *p, int kind) {
    while (p->last_kind < kind) {
        if (p->last_kind >= 0) fputs("\n],\n", stdout);
        printf("\"%s\":[", json_names[++p->last_kind]);
        p->count = 0;
    }
}

/* Sentences of the two kinds come mixed: the first pass prints the one, the second the other. */
typedef struct pass {
    printing *p;
    covey_agent_audit_kind kind;
} pass;

static void print_change(const covey_agent_audit_item *item) {
    char time[32];
    put_time(item->time_ms, time);
    printf("%-20s  %-16s  ", time, item->event);
    if (*item->from) printf("%s -> ", item->from);
    printf("%s\n", item->to);
    if (*item->digest) printf("%22sdigest %s\n", "", item->digest);
    if (*item->signed_by) printf("%22ssigned by %s\n", "", item->signed_by);
    if (*item->text) printf("%22s%s\n", "", item->text);
}

static void print_item(void *user, const covey_agent_audit_item *item) {
    pass *at = user;
    static const char *const titles[] = {"This channel may:", "This channel may not:", "Changes:"};
    if (item->kind != at->kind) return;
    if (at->p->json) {
        open_lists(at->p, (int)item->kind);
        fputs(at->p->count++ ? ",\n  " : "\n  ", stdout);
        if (item->kind == COVEY_AGENT_AUDIT_CHANGE)
            put_json_change(item);
        else
            app_put_json_text(stdout, item->text);
        return;
    }
    if (at->p->last_kind != (int)item->kind) printf("%s\n", titles[item->kind]);
    at->p->last_kind = (int)item->kind;
    if (item->kind == COVEY_AGENT_AUDIT_CHANGE)
        print_change(item);
    else
        printf("  - %s\n", item->text);
}

static void print_verdict(const printing *p, const covey_agent_audit_report *report) {
    if (p->json) {
        printf("\"log\":{\"intact\":%s,\"entries\":%" PRIu64 ",\"first_seq\":%" PRIu64,
               report->intact ? "true" : "false", report->entry_count, report->first_seq);
        if (!report->intact)
            printf(",\"broken_segment\":%u,\"broken_line\":%" PRIu64,
                   (unsigned)report->broken_segment, report->broken_line);
        printf(",\"put_aside\":%s", report->has_broken ? "true" : "false");
        put_member("problem", report->problem);
        printf("}\n}\n");
    } else if (report->intact) {
        printf("The log is intact: %" PRIu64 " entries, each chained to the one before.\n",
               report->entry_count);
    } else if (report->broken_segment) {
        printf("THE LOG IS BROKEN in segment %u, line %" PRIu64 ": %s\n",
               (unsigned)report->broken_segment, report->broken_line, report->problem);
    } else {
        printf("THE LOG IS BROKEN: %s\n", report->problem);
    }
    if (!p->json && report->has_broken)
        printf("A log that was broken before is kept beside it, in audit.log.broken.\n");
}

static int audit_all(app_context *context, printing *p) {
    covey_error error = {0};
    covey_agent_audit_report report = COVEY_AGENT_AUDIT_REPORT_INIT;
    int first = p->verify_only ? (int)COVEY_AGENT_AUDIT_CHANGE + 1 : (int)COVEY_AGENT_AUDIT_MAY;
    if (!app_open_agent(context, NULL, NULL, &error)) return app_failed(context, &error);
    if (p->json) puts("{");
    for (int kind = first; kind <= (int)COVEY_AGENT_AUDIT_CHANGE; kind++) {
        pass at = {p, (covey_agent_audit_kind)kind};
        if (covey_agent_audit(context->agent, &report, &error, print_item, &at))
            return app_failed(context, &error);
    }
    if (p->verify_only && covey_agent_audit(context->agent, &report, &error, NULL, NULL))
        return app_failed(context, &error);
    if (p->json && !p->verify_only) {
        open_lists(p, COVEY_AGENT_AUDIT_CHANGE);
        fputs("\n],\n", stdout);
    }
    print_verdict(p, &report);
    return report.intact ? APP_EXIT_DONE : APP_EXIT_FAILED;
}

int covey_cmd_audit(int argc, char **argv) {
    app_context context = {.command = "covey audit"};
    printing p = {.last_kind = -1};
    const app_option options[] = {{"verify", 0, APP_FLAG, &p.verify_only, NULL,
                                   "verify the log and show nothing of it", 0, 0},
                                  {"json", 0, APP_FLAG, &p.json, NULL, "print it as JSON", 0, 0},
                                  APP_OPTION_STATE(context),
                                  APP_OPTION_BUILTIN(context),
                                  APP_OPTION_VERBOSE(context),
                                  {0}};
    const app_command command = {
        "covey audit",
        "",
        "Shows what the update channel may change on this device and what it may not, every change "
        "that it made or\n"
        "refused (when, from, to, digest, who signed), and verifies the hash-chained log that says "
        "so.\n\n"
        "exit status: 0 the log is intact, 1 it is broken or cannot be read, 2 used wrongly",
        "  covey audit\n  covey audit --verify && echo intact",
        options,
        0,
        0};
    static app_positional words;
    int status;
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    status = audit_all(&context, &p);
    app_close(&context);
    return status;
}

/* ---- opt-out ----------------------------------------------------------------------------------
 */

static void print_standing(bool json, const covey_agent_summary *s) {
    if (json) {
        fputs("{\"opted_out\":", stdout);
        app_put_json_text(stdout, s->opted_out);
        fputs(",\"degrade\":", stdout);
        app_put_json_text(stdout, s->degrade);
        puts("}");
        return;
    }
    if (!s->opted_out[0]) {
        printf("Nothing is switched off on this device.\n");
        return;
    }
    printf("Switched off on this device: %s.\n", s->opted_out);
    if (!s->degrade[0])
        printf("%s\n", strstr(s->opted_out, "the model") ? "No model is on this device."
                                                         : "The model goes on answering.");
    else
        printf("In place of the model: %s.\n",
               !strcmp(s->degrade, "builtin") ? "the one built into the app"
               : !strcmp(s->degrade, "cloud") ? "nothing here; the app may ask its cloud"
                                              : "nothing");
}

/* "updates", "all" or "feature:NAME" from the words; false when they are none. */
static bool read_what(const app_positional *words, char out[128]) {
    const char *first = words->count ? words->items[0] : "";
    bool feature = !strcmp(first, "feature");
    if (words->count != (feature ? 2u : 1u)) return false;
    if (!feature && strcmp(first, "updates") && strcmp(first, "all")) return false;
    return snprintf(out, 128, feature ? "feature:%s" : "%s", words->items[feature]) < 128;
}

int covey_cmd_opt_out(int argc, char **argv) {
    app_context context = {.command = "covey opt-out"};
    bool back = false, json = false;
    char what[128];
    covey_agent_summary summary = COVEY_AGENT_SUMMARY_INIT;
    const app_option options[] = {
        {"back", 0, APP_FLAG, &back, NULL, "switch it on again", 0, 0},
        {"json", 0, APP_FLAG, &json, NULL, "print what is switched off as JSON", 0, 0},
        APP_OPTION_STATE(context),
        APP_OPTION_BUILTIN(context),
        APP_OPTION_VERBOSE(context),
        {0}};
    const app_command command = {
        "covey opt-out",
        "updates | feature NAME | all",
        "Stops updates of the model, a feature of the app, or the model and its updates (all). It "
        "is the user's word:\n"
        "nothing that the publisher signs brings it back. What stands in, the built-in ensemble, "
        "the app's cloud or\n"
        "nothing, is as the ensemble's policy and yours say (docs/formats/policy.md). Statements "
        "that stop a bad\n"
        "ensemble still arrive. The control plane learns that something is switched off, not what.",
        "  covey opt-out updates\n  covey opt-out feature web-search\n  covey opt-out all --back",
        options,
        1,
        2};
    static app_positional words;
    int status;
    covey_error error = {0};
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    if (!read_what(&words, what)) {
        fprintf(
            stderr,
            "covey opt-out: expected updates, feature NAME, or all; see covey opt-out --help\n");
        return APP_EXIT_USAGE;
    }
    status = APP_EXIT_DONE;
    if (!app_open_agent(&context, NULL, NULL, &error) ||
        covey_agent_opt_out(context.agent, what, !back, &error) ||
        covey_agent_describe(context.agent, &summary, &error))
        status = app_failed(&context, &error);
    else
        print_standing(json, &summary);
    app_close(&context);
    return status;
}

/* ---- consent ----------------------------------------------------------------------------------
 */

static void print_ask(void *user, const char *line) {
    (void)user;
    printf("  - %s\n", line);
}

/* What waits, when it is only asked. */
static int show_asks(app_context *context) {
    char digest[65];
    size_t count = covey_agent_asks(context->agent, digest, NULL, NULL);
    if (!count) {
        printf("Nothing waits for consent.\n");
        return APP_EXIT_DONE;
    }
    printf("The ensemble %.12s waits for your consent. New in it:\n", digest);
    (void)covey_agent_asks(context->agent, digest, print_ask, NULL);
    printf("covey consent give, or covey consent deny, decides.\n");
    return APP_EXIT_WAITING;
}

int covey_cmd_consent(int argc, char **argv) {
    app_context context = {.command = "covey consent"};
    const char *digest = NULL;
    const app_option options[] = {
        {"digest", 0, APP_TEXT, &digest, "HEX", "only if it is this ensemble that waits", 0, 0},
        APP_OPTION_STATE(context),
        APP_OPTION_BUILTIN(context),
        APP_OPTION_VERBOSE(context),
        {0}};
    const app_command command = {
        "covey consent",
        "[give | deny]",
        "An ensemble that may do more than the present one, or lets more leave this device, waits "
        "for your consent.\n"
        "Without a word: shows what it asks for. give: it is activated, and what you gave is not "
        "asked again.\n"
        "deny: it is not installed, and not asked again for the same ensemble.\n\n"
        "exit status: 0 done, or nothing waits, 1 failed, 2 used wrongly, 4 something waits",
        "  covey consent\n  covey consent give",
        options,
        0,
        1};
    static app_positional words;
    int status;
    covey_error error = {0};
    if (!app_options_read(&command, argc, argv, &words, &status)) return status;
    const char *word = words.count ? words.items[0] : "";
    bool given = !strcmp(word, "give");
    if (*word && !given && strcmp(word, "deny")) {
        fprintf(stderr, "covey consent: expected give or deny, found \"%s\"\n", word);
        return APP_EXIT_USAGE;
    }
    status = APP_EXIT_DONE;
    if (!app_open_agent(&context, NULL, NULL, &error))
        status = app_failed(&context, &error);
    else if (!*word)
        status = show_asks(&context);
    else if (covey_agent_consent(context.agent, digest, given, &error))
        status = app_failed(&context, &error);
    else
        puts(given ? "Given. It is activated at the next step." : "Denied. It is not installed.");
    app_close(&context);
    return status;
}
