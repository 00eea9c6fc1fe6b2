/* The agent: keeps a device's ensemble up to date. It owns a state folder with slots and a journal,
 * speaks to a control plane, and proves what it fetched before it is used. It starts no thread: the
 * app calls covey_agent_step when it has time, from one thread at a time. Several processes may
 * share a state folder: one at a time updates, all may read.
 *
 *   check-in → plan → fetch → verify → stage → probe → activate (trial) → commit
 *                                        └ any failure ─→ keep or return to `previous`, report why
 */
#ifndef COVEY_AGENT_H
#define COVEY_AGENT_H

#include <covey/ensemble.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_agent covey_agent;

/* Proves a staged ensemble, or the current one after the library or the system changed: runs its
 * probes, or has another process do so. COVEY_ERROR_REFUSED: they did not pass, and the release is
 * refused here for ever. COVEY_ERROR_BUSY: not now. COVEY_ERROR_NO_MEMORY, _IO, _TIMEOUT,
 * _CANCELLED: they did not run to their end; tried again later. Called in covey_agent_step, which
 * holds the state folder's lock meanwhile. */
typedef covey_status (*covey_agent_probe_fn)(void *user, covey_ensemble *ensemble,
                                             covey_probe_result *result, covey_error *error);

typedef enum covey_agent_event_kind {
    COVEY_AGENT_EVENT_PROGRESS = 0, /* on the way; a phase's end follows */
    COVEY_AGENT_EVENT_DONE = 1,
    COVEY_AGENT_EVENT_WAITING = 2, /* for space, network, settings or another process */
    COVEY_AGENT_EVENT_FAILED = 3,  /* to be tried again */
    COVEY_AGENT_EVENT_DAMAGED = 4, /* what differs will be fetched again */
    COVEY_AGENT_EVENT_REFUSED = 5  /* this device will not take the release */
} covey_agent_event_kind;

/* What the agent did, as it does it: for a progress line or a log. Strings are valid for the call.
 */
typedef struct covey_agent_event {
    size_t size;
    const char *phase;   /* "check-in", "plan", "fetch", "verify", "stage", "probe", "activate",
                            "commit", "return", "idle" */
    const char *release; /* "assistant@1.1.0", or "" */
    const char *message; /* one plain sentence */
    uint64_t bytes_done, bytes_total; /* 0 where it counts nothing */
    covey_agent_event_kind kind;
    int64_t bytes_per_second; /* over the last seconds, at most the user's ceiling; 0: not known */
    int64_t left_ms;          /* until bytes_total at that speed; -1: not known */
} covey_agent_event;
typedef void (*covey_agent_event_fn)(void *user, const covey_agent_event *event);

typedef struct covey_agent_options {
    size_t size;
    const char *state_dir;      /* created owner-only */
    const char *builtin_dir;    /* the ensemble shipped with the app, read-only; NULL for none */
    const char *app_version;    /* semantic version (else INVALID_ARGUMENT), checked against what
                                 * ensembles need; NULL: "0.0.0" */
    covey_agent_probe_fn probe; /* NULL: covey_ensemble_probe */
    void *probe_user;
    covey_agent_event_fn event; /* may be NULL */
    void *event_user;
    const char *root_path; /* the root of trust shipped with the app, TUF metadata; NULL: the file
                            * root.json beside the folder builtin_dir, where there is one */
    bool tells_answers;    /* the app tells of its answers with covey_agent_answered: a trial proves
                            * itself by them. Else it has once covey_agent_current gave it and the
                            * next step came, or the agent was closed */
} covey_agent_options;
#define COVEY_AGENT_OPTIONS_INIT                                                                   \
    { sizeof(covey_agent_options), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false }

/* Opens the state folder and brings it to rest: what was interrupted is completed or undone. Needs
 * no network. A folder that a newer library wrote is left as it is: the built-in ensemble answers,
 * and each step returns COVEY_ERROR_UNSUPPORTED. So is one that may not be read, with
 * COVEY_ERROR_DENIED; without a built-in ensemble that is returned here. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_open(covey_runtime *runtime,
                                                       const covey_agent_options *options,
                                                       covey_agent **agent, covey_error *error);
/* Closes it, and commits a trial that served. NULL is allowed. */
COVEY_API void covey_agent_close(covey_agent *agent);

/* Makes this device known to a control plane at `url` with a one-time token. `root` is the root of
 * trust: a file with a root's metadata, or the 64 hex digits of its SHA-256; a path of 64 hex
 * digits begins with "./". NULL keeps the one that this device has, else the one that came with the
 * app, else trusts the control plane's on first use. A `root` other than the one in hand begins
 * trust anew: what was seen of the one before is forgotten. DENIED when the control plane serves no
 * such root. May be called again, for another control plane too: an update under way ends, what is
 * installed stays. Waits for a step that another process is in. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_enroll(covey_agent *agent, const char *url,
                                                         const char *token, const char *root,
                                                         covey_error *error);

typedef enum covey_agent_state {
    COVEY_AGENT_IDLE = 0,    /* nothing to do until next_step_ms */
    COVEY_AGENT_WORKING = 1, /* call again: an update is under way */
    COVEY_AGENT_WAITING =
        2, /* an update waits for space, network, consent, or a retry: see message */
    COVEY_AGENT_UNENROLLED = 3 /* serves what it has; knows no control plane */
} covey_agent_state;

typedef struct covey_agent_outcome {
    size_t size;
    covey_agent_state state;
    int64_t next_step_ms; /* when to call again, from now */
    bool current_changed; /* covey_agent_current names another ensemble than before this step */
    char message[256];
    bool stopped; /* what covey_agent_current gave before this step was stopped by a statement of
                   * its publisher, or switched off by its user: it should not answer any more, in
                   * open conversations either */
} covey_agent_outcome;
#define COVEY_AGENT_OUTCOME_INIT                                                                   \
    { sizeof(covey_agent_outcome), COVEY_AGENT_IDLE, 0, false, "", false }

/* Does what is due for up to about `budget_ms` (0: one action), then returns with nothing held but
 * connections. Blobs that are under way then go on in the next step. A check-in is one action: it
 * takes as long as its exchanges, each of which gives up after 30 s of silence at most.
 * Failures of an update are outcomes, not errors; an error means that the state folder itself
 * cannot be used. `check_now` asks the control plane even if it is not time yet. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_step(covey_agent *agent, int64_t budget_ms,
                                                       bool check_now, covey_agent_outcome *outcome,
                                                       covey_error *error);

/* The ensemble to serve now: current, or the built-in one. It is checked as every start must
 * (manifest, seals, needs); one that fails, or that its publisher stopped, is left for the
 * previous. DENIED with "off by steering" and the reason when nothing is left that may serve. A
 * trial commits once it served: at the next step, or when the agent is closed, in the process that
 * opened it. One that three processes opened without getting there is left. Close the ensemble when
 * its last conversation ends. Its model is opened by path: open it soon, since two updates later
 * the folder may be gone; a model that is open stays whole. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_current(covey_agent *agent,
                                                          covey_ensemble **ensemble,
                                                          covey_error *error);

/* Says that `ensemble`, which covey_agent_current gave, cannot be served, and why: its model does
 * not open, say. What may pass (no memory, a failing disk, busy) changes nothing but that a trial
 * does not commit by it. Anything else leaves the ensemble for the previous one: ask
 * covey_agent_current again. Does nothing when another is current by now, or when it was the
 * built-in one. Waits for a step that another process is in. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_leave_current(covey_agent *agent,
                                                                const covey_ensemble *ensemble,
                                                                const covey_error *why,
                                                                covey_error *error);

/* Returns to the local previous ensemble by the user's wish. The version left is not offered again.
 * DENIED when a statement of the publisher forbids to return there. Waits for a step that another
 * process is in. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_rollback(covey_agent *agent, covey_error *error);

/* What is in a slot; all "" when it is empty. Frozen: it stands within covey_agent_summary. */
typedef struct covey_agent_slot_info {
    char name[65], version[65], variant[65];
    char digest[65];
} covey_agent_slot_info;

typedef struct covey_agent_summary {
    size_t size;
    covey_agent_slot_info builtin, current, previous, staged;
    bool trial;              /* current has not proved itself by use yet */
    char control_plane[512]; /* its URL; "" when not enrolled */
    char problem[256];       /* why the last check-in failed; "" when it did not */
    int64_t last_checkin_ms; /* since 1970; 0: never */
    int32_t reports_waiting; /* that have not reached the control plane */
    char last_phase[16];     /* the last step of an update; "" when there was none */
    char last_release[132], last_outcome[16], last_message[256];
    int64_t drain_deadline_ms;   /* the user's setting (policy.json, else the default): how long an
                                  * open conversation may stay with the ensemble before */
    char held_back[256];         /* why nothing new is believed now; "" when that is not so */
    int64_t metadata_version;    /* of the trusted timestamp; 0: none */
    int64_t metadata_expires_ms; /* since 1970: the first of the trusted documents to expire */
    int64_t steering_serial;     /* of the steering document held; 0: none */
    char off[256];               /* why nothing serves, by a statement of the publisher; else "" */
    int32_t statement_count;     /* that hold here; those beyond the array are counted alone */
    char statements[8][200];     /* "kill k-7: version 1.2.0: why", one a line of text */
    char opted_out[256];         /* what the user switched off; "" for nothing */
    char degrade[16];            /* what stands in for the model: "off", "builtin", "cloud"; "" */
    int32_t ask_count;           /* what the staged ensemble asks consent for */
    int32_t trial_good, trial_failed; /* answers of the current one while it was on trial */
    int32_t trial_answers;            /* good ones that prove it, by the policy */
    int64_t trial_time_ms;            /* or so long a time */
    bool
        without_probes; /* the current one had none: that its model opened is all that was proved */
    int32_t refused_count; /* releases that are refused here; those beyond the array are counted */
    char refused[8][200];  /* "assistant@1.1.0: why", the newest first */
    bool paused;           /* its user paused updates */
} covey_agent_summary;
#define COVEY_AGENT_SUMMARY_INIT                                                                   \
    { .size = sizeof(covey_agent_summary) }

/* The state as it is stored now, for people. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_describe(covey_agent *agent,
                                                           covey_agent_summary *summary,
                                                           covey_error *error);

/* Whether the named feature is on: features are, unless a statement of the publisher switches this
 * one off here. Its reason goes to `reason` (may be NULL), "" when it is on. Asks no network; one
 * thread at a time with the agent's other calls. */
COVEY_API bool covey_agent_flag(covey_agent *agent, const char *name, char *reason,
                                size_t capacity);

/* What an app should do for a feature: true, it is on. False when the user switched it off
 * (covey_agent_opt_out) or a statement of the publisher does; then `degrade` (may be NULL) says
 * what stands in for it, "off", "builtin" or "cloud", and `reason` (may be NULL) why. The product's
 * own name is a feature too. Asks no network; one thread at a time with the agent's other calls. */
COVEY_API bool covey_agent_feature(covey_agent *agent, const char *name, char degrade[16],
                                   char *reason, size_t capacity);

/* Switches something off by the user's word, or back on: "updates", "feature:NAME", or "all" for
 * updates and the model. It is written to policy.json, where other settings stay; nothing that a
 * publisher signs brings it back. BUSY while a policy.json is there that cannot be read. Waits for
 * a step that another process is in. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_opt_out(covey_agent *agent, const char *what,
                                                          bool off, covey_error *error);

/* The user's answer to what the staged ensemble asks for: see covey_agent_asks. `digest` is the
 * ensemble's that the user was shown, or NULL for whatever waits. A denial is remembered for that
 * digest. NOT_FOUND when nothing waits, or something else does by now. Waits for a step that
 * another process is in. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_consent(covey_agent *agent, const char *digest,
                                                          bool given, covey_error *error);

/* What the ensemble that waits for consent asks for, a line of plain text each, and its digest;
 * returns how many there are, 0 when nothing waits. `each` may be NULL. One thread at a time with
 * the agent's other calls. */
typedef void (*covey_agent_ask_fn)(void *user, const char *line);
COVEY_API size_t covey_agent_asks(covey_agent *agent, char digest[65], covey_agent_ask_fn each,
                                  void *user);

typedef enum covey_agent_audit_kind {
    COVEY_AGENT_AUDIT_MAY = 0,     /* a sentence: what this channel may do here */
    COVEY_AGENT_AUDIT_MAY_NOT = 1, /* and what it may not */
    COVEY_AGENT_AUDIT_CHANGE = 2   /* an entry of the log */
} covey_agent_audit_kind;

/* Strings are valid for the call; "" where there is nothing. */
typedef struct covey_agent_audit_item {
    size_t size;
    covey_agent_audit_kind kind;
    const char *text;  /* the sentence; of a change, why */
    uint64_t seq;      /* of a change: its place in the log; 0 when it is not in it yet */
    int64_t time_ms;   /* since 1970, by this device's clock then */
    const char *event; /* "enrolled", "installed", "returned", …: docs/formats/audit-log.md */
    const char *from, *to, *digest;
    const char *signed_by; /* "ROLE KEYID, KEYID" */
} covey_agent_audit_item;
#define COVEY_AGENT_AUDIT_ITEM_INIT                                                                \
    { sizeof(covey_agent_audit_item), COVEY_AGENT_AUDIT_MAY, "", 0, 0, "", "", "", "", "" }
typedef void (*covey_agent_audit_fn)(void *user, const covey_agent_audit_item *item);

typedef struct covey_agent_audit_report {
    size_t size;
    bool intact;             /* the log is right, and goes as far as state.json knows */
    bool has_broken;         /* one that was not is beside it, put aside */
    uint32_t broken_segment; /* where the first wrong line is, counted from 1; 0: nowhere */
    uint64_t broken_line;
    uint64_t first_seq, entry_count; /* of what is kept and right */
    char problem[256];
} covey_agent_audit_report;
#define COVEY_AGENT_AUDIT_REPORT_INIT                                                              \
    { sizeof(covey_agent_audit_report), false, false, 0, 0, 0, 0, "" }

/* Shows what this channel may change on this device and what it may not, then every change it made
 * or refused, oldest first, and verifies the log. A log that was tampered with is a report, not an
 * error; what is right of it is shown. `each` may be NULL. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_audit(covey_agent *agent,
                                                        covey_agent_audit_report *report,
                                                        covey_error *error,
                                                        covey_agent_audit_fn each, void *user);

/* State as a JSON document: slots, last check-in, last update and why. Free it with
 * covey_agent_free_text. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_status(covey_agent *agent, char **json,
                                                         covey_error *error);
COVEY_API void covey_agent_free_text(covey_agent *agent, char *json);

#ifdef __cplusplus
}
#endif

#include <covey/agent_trial.h>

#endif
