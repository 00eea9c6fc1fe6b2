/* The update's life as a pure function: (state, event) to (state, what to do about it). It reads no
 * clock, no file and no network, so that every path through it can be tested as a table.
 *
 *            target                done        done       done      done       done
 *   NONE ───────────→ PLAN ──────────→ FETCH ─────→ VERIFY ───→ STAGE ───→ PROBE ───→ ACTIVATE ──→
 * NONE, current on trial ↑                 │ failed: again later   ↑───────────────┴─ damaged ──┘
 * │ trial good: committed └─────────────────┴─ refused, or the target is gone
 * ──────────────────────────────────          └ bad: back to previous
 *
 * Invariants:
 *  1. `current` changes in ACTIVATE, in a return and in a rollback, and nowhere else; each is one
 * change of state, so one replacement of state.json.
 *  2. `previous` is the last ensemble before `current` that served here, or nothing; the built-in
 * ensemble stands behind both.
 *  3. A release that was refused, is of another name, or is not newer than the current one, never
 * becomes an update by a server's word. An older one does where a signed statement permits it; what
 * statements forbid does not, whatever its version. They are judged before: the event brings the
 * verdict.
 *  4. A trial ends in one of these: so many good answers, so long a time, an orderly proof of an
 * app that tells nothing of its answers: it stays. Three starts in a row without a good answer, ten
 * runs that did not end in order, three answers that ended in an engine's error, slowness: it is
 * left, and its digest is refused until its user wants it tried again. What is counted is counted
 * in this state, when it happens: no report, and no retry of one, moves any of it.
 *  5. A phase that failed is tried again after a random time below an exponentially growing bound.
 */
#ifndef COVEY_AGENT_MACHINE_H
#define COVEY_AGENT_MACHINE_H

#include <covey/base.h>

#define COVEY__OUTBOX_MAX        64
#define COVEY__REFUSED_MAX       16
#define COVEY__TRIAL_STARTS_MAX  3  /* in a row, without a good answer */
#define COVEY__TRIAL_RUNS_MAX    10 /* that did not end in order, good answers or not */
#define COVEY__TRIAL_FAILED_MAX  3  /* answers that ended in an engine's error */
#define COVEY__PROBE_STARTS_MAX  3
#define COVEY__REPAIRS_MAX       3
#define COVEY__GONE_MAX          12 /* answers "not found" in a row, about a quarter of an hour */
#define COVEY__RETRY_FIRST_MS    1000
#define COVEY__RETRY_MAX_MS      900000
#define COVEY__PLATFORM_SIZE     256
#define COVEY__SIGNED_BY_SIZE    420
#define COVEY__OPTED_OUT_SIZE    256
#define COVEY__AGENT_MIRRORS_MAX 8
#define COVEY__GIVEN_UP_MAX      8 /* patches of an update that failed here */

enum { COVEY__CONSENT_NONE, COVEY__CONSENT_ASKED, COVEY__CONSENT_GIVEN };
#define COVEY__CONSENT_DENIED "its user did not consent" /* how such a refusal begins */

/* The audit log's head, and entries that are true but not in the log yet: they are stored in the
 * same replacement as what they tell of. */
#define COVEY__AUDIT_PENDING_MAX 8
#define COVEY__AUDIT_ENTRY_SIZE  1500
typedef struct covey__agent_audit {
    int64_t head_seq;     /* 0: nothing was logged yet */
    char head_sha256[65]; /* "" with 0 */
    int32_t pending_count;
    char pending[COVEY__AUDIT_PENDING_MAX][COVEY__AUDIT_ENTRY_SIZE]; /* objects, oldest first */
} covey__agent_audit;

typedef enum covey__phase {
    COVEY__PHASE_NONE,
    COVEY__PHASE_PLAN,
    COVEY__PHASE_FETCH,
    COVEY__PHASE_VERIFY,
    COVEY__PHASE_STAGE,
    COVEY__PHASE_PROBE,
    COVEY__PHASE_ACTIVATE,
    COVEY__PHASE_COMMIT, /* in reports only */
    COVEY__PHASE_RETURN, /* in reports only */
    COVEY__PHASE_CHECKIN /* in reports only */
} covey__phase;
const char *covey__phase_name(covey__phase phase); /* "plan", …; "idle" for NONE */
/* COVEY__PHASE_NONE for a name that is not one. */
covey__phase covey__phase_from(const char *name);

/* How fast an ensemble answers here (trial.h), by how many answers were computed at once: 1, 2 to
 * 3, 4 to 7, more. Medians in nanoseconds a token; 0: not measured. */
#define COVEY__LOADS 4
typedef struct covey__speed {
    int64_t prompt_ns, decode_ns;
} covey__speed;

/* An ensemble in a slot. Empty when digest is "". */
typedef struct covey__agent_slot {
    char name[65], version[65], variant[65];
    char digest[65];  /* the ensemble's */
    bool trial;       /* current only: not proved by use yet */
    int32_t starts;   /* of a trial; else of probes that were to prove it again and never ended */
    char proved[128]; /* library, system and instruction set under which its probes last passed */
    int32_t runs;     /* starts of a trial that did not end in order */
    int32_t good,
        failed; /* answers of a trial: whole ones, and those that an engine's error ended */
    bool without_probes; /* it had none: that its model opened is all that was proved */
    covey__speed speeds[COVEY__LOADS];
} covey__agent_slot;

typedef struct covey__agent_update {
    covey__phase phase;
    char rollout[33];
    char name[65], version[65];
    char release_digest[65];
    int64_t release_size;
    char variant[65];
    char digest[65];      /* of the ensemble, once the release was read */
    int64_t fetch_bytes;  /* to come over the network, by the plan */
    int64_t total_bytes;  /* of all components */
    int32_t attempts;     /* failures in a row of this phase */
    int32_t repairs;      /* times a file was damaged after it had been fetched */
    int32_t probe_starts; /* probes begun; those that never ended took the process with them */
    int64_t retry_at_ms;  /* not before; 0 at once */
    bool waiting_said;    /* that it waits was reported */
    int32_t consent;      /* COVEY__CONSENT_...: where the user's consent stands */
    char signed_by[COVEY__SIGNED_BY_SIZE]; /* "ROLE KEYID, KEYID": who signed that */
    bool without_probes;                   /* it has none, as was seen when they were to run */
    /* patches (docs/formats/patch-index.md) */
    char patches[65]; /* the patch index's SHA-256, by the metadata; "": there is none */
    int64_t patches_size;
    char given_up[COVEY__GIVEN_UP_MAX][65]; /* patch files, by SHA-256, that failed here */
    int32_t given_up_count;
    int64_t bytes_max;   /* the rollout's budget for this device; 0: none */
    int64_t spent_bytes; /* that came over the network for it, as far as is known */
    char how[160];       /* what of them came by which way, once all are here */
} covey__agent_update;

typedef struct covey__agent_report {
    char id[48];
    int64_t time_ms;
    covey__phase phase;
    char outcome[12]; /* "ok", "failed", "refused", "waiting" */
    char release[132];
    char rollout[33];
    char message[256];
    int64_t bytes, elapsed_ms;
} covey__agent_report;

typedef struct covey__agent_refusal {
    char release[132]; /* name@version */
    char message[256];
    char under[COVEY__PLATFORM_SIZE]; /* library, system and app that it does not fit; "": it is
                                         refused until its user wants it tried again */
    char
        digest[65]; /* of the ensemble, which is refused whatever release names it; "": not known */
} covey__agent_refusal;

/* What is known of the metadata (docs/trust.md); the documents are in the store. */
typedef struct covey__agent_trust {
    char metadata_url[512];  /* "" on a device that was enrolled where there was none */
    char root_sha256[65];    /* of the first root, root.json of the state folder; "": the app's */
    int64_t root, timestamp; /* versions that are trusted; 0: none */
    int64_t expires_ms;      /* when the first of the trusted documents expires */
    char problem[24];        /* the status that the last refresh or search ended with; "" */
    char message[256];       /* why nothing new is believed; "" */
    int64_t steering_serial; /* the highest seen, of this product */
    char steering_product[65];
} covey__agent_trust;

typedef struct covey__agent_state {
    /* enrollment; not enrolled while url is "" */
    char url[512], blobs_url[512], device_id[33];
    char mirrors[COVEY__AGENT_MIRRORS_MAX][512]; /* where else blobs lie */
    int32_t mirror_count;
    bool paused; /* by the user: no phase of an update is performed */
    int64_t poll_ms;
    int64_t next_checkin_ms, last_checkin_ms; /* 0: at once, never */
    int32_t checkin_failures;
    char checkin_message[256]; /* why the last check-in failed; "" when it did not */
    covey__agent_trust trust;
    /* slots */
    char stopped[256]; /* why the last current one was stopped; "" since another is */
    covey__agent_slot current, previous; /* current empty: the built-in ensemble serves */
    char builtin_digest[65];             /* the built-in ensemble's that these are of */
    covey__speed builtin_speeds[COVEY__LOADS];
    covey__agent_update update;
    covey__agent_refusal refused[COVEY__REFUSED_MAX]; /* oldest first */
    int32_t refused_count;
    /* reports that have not arrived yet, oldest first */
    covey__agent_report outbox[COVEY__OUTBOX_MAX];
    int32_t outbox_count;
    int64_t outbox_dropped;
    int64_t report_serial;
    int64_t next_report_ms;
    covey__agent_report last; /* of any update, for status */
    /* what the user switched off, as it was last seen: "updates, model, search"; "" for nothing.
     * It holds while policy.json cannot be read. */
    char opted_out[COVEY__OPTED_OUT_SIZE];
    bool model_off;
    covey__agent_audit audit;
} covey__agent_state;

typedef enum covey__event_kind {
    COVEY__EVENT_TARGET,          /* the control plane wants `target` here */
    COVEY__EVENT_TARGET_NONE,     /* it wants nothing */
    COVEY__EVENT_DONE,            /* the phase at hand is complete */
    COVEY__EVENT_FAILED,          /* it is not; try again later */
    COVEY__EVENT_FELL_BACK,       /* a patch failed: `patch` is not tried again */
    COVEY__EVENT_WAITING,         /* space, network or the user's settings hold it up */
    COVEY__EVENT_DAMAGED,         /* a fetched file changed: fetch what differs */
    COVEY__EVENT_REFUSED,         /* this device will not take the release */
    COVEY__EVENT_PROBE_START,     /* about to run the staged ensemble's probes */
    COVEY__EVENT_TRIAL_START,     /* current, on trial, is about to serve */
    COVEY__EVENT_CURRENT_GOOD,    /* current served, or passed its probes again */
    COVEY__EVENT_CURRENT_BAD,     /* current is not fit for this device */
    COVEY__EVENT_CURRENT_DAMAGED, /* its files changed: it may be fetched again */
    COVEY__EVENT_ROLLBACK,        /* the user wants the previous one */
    COVEY__EVENT_CURRENT_STOPPED, /* its publisher stopped it */
    COVEY__EVENT_UPDATE_STOPPED,  /* the update at hand may not be installed any more */
    COVEY__EVENT_TOLD,            /* `outcome` of a check-in, for `release`, is to be reported */
    COVEY__EVENT_TRIAL_ANSWERED,  /* current gave `good` answers, and `failed` ones */
    COVEY__EVENT_TRIAL_OVER,      /* it served for as long as a trial takes */
    COVEY__EVENT_TRIAL_SLOW,      /* it is slower than the policy allows */
    COVEY__EVENT_TRIAL_CLOSED,    /* the process that served it ended in order */
    COVEY__EVENT_RETRY,           /* its user wants `release` tried again */
    COVEY__EVENT_NOTED,           /* `message` of the phase at hand is to be reported; it goes on */
    COVEY__EVENT_PAUSED,          /* its user wants no update to go on until ... */
    COVEY__EVENT_RESUMED          /* ... they say so */
} covey__event_kind;

typedef struct covey__agent_event_in {
    covey__event_kind kind;
    const covey__agent_update *target;          /* TARGET: rollout, name, version, release_digest,
                                                   release_size, patches,          patches_size, bytes_max */
    const char *builtin_name, *builtin_version; /* TARGET: of the built-in ensemble, or NULL */
    bool downgrade;                             /* TARGET: a statement permits this older version */
    const char *denied;            /* TARGET: why statements forbid it; NULL when they do not */
    const char *signed_by;         /* TARGET: who signed it, where that was looked up; or NULL */
    const char *previous_denied;   /* why nothing may return to `previous`; NULL: it may */
    const char *outcome, *release; /* TOLD; RETRY: `release` */
    const char *message;           /* why; may be NULL */
    const char *under;   /* REFUSED, CURRENT_BAD: holds for this library, system and app; or NULL */
    const char *proved;  /* CURRENT_GOOD after probes, and DONE of PROBE */
    bool without_probes; /* DONE of PROBE: there were none */
    const char *patch;   /* FELL_BACK: SHA-256 of the patch file, in hex */
    const char *how;     /* DONE of FETCH: by which ways the bytes came; or NULL */
    int32_t good, failed; /* TRIAL_ANSWERED: since the last such event */
    int32_t answers_min;  /* TRIAL_ANSWERED: good ones that prove it */
    bool undecided;       /* TRIAL_ANSWERED: it seemed slow; not proved before that is settled */
    int64_t bytes, elapsed_ms;
    int64_t now_ms;
    int64_t retry_after_ms; /* FAILED: what the server asked for, or 0 */
    bool progressed;        /* FAILED: something was gained since the failure before */
    uint64_t random;        /* for jitter and ids */
} covey__agent_event_in;

typedef struct covey__agent_actions {
    bool clean; /* files that no slot and no update needs may be gone */
    bool current_changed;
} covey__agent_actions;

/* Changes `state` in place; on no change at all returns false, and nothing needs to be stored. */
bool covey__machine(covey__agent_state *state, const covey__agent_event_in *event,
                    covey__agent_actions *actions);

/* A time below a bound that doubles with each failure (full jitter), in ms. */
int64_t covey__retry_delay(int32_t failures, uint64_t random);

/* "name@version" */
void covey__release_name(char out[132], const char *name, const char *version);
bool covey__is_refused(const covey__agent_state *state, const char *release);
/* Whether an ensemble is refused, whatever release names it. */
bool covey__digest_is_refused(const covey__agent_state *state, const char *digest);
/* Forgets refusals that held for another library, system or app than `under`. */
void covey__refusals_review(covey__agent_state *state, const char *under);

#endif
