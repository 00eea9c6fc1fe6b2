/* The agent's inner side: what its files share.
 *
 *   machine.c         the update's life as a pure function
 *   agent.c           open, step, rollback
 *   agent_describe.c  the state in a struct, for people
 *   agent_state.c     state.json, the journal
 *   agent_wire.c      enrollment, check-in, reports
 *   agent_plan.c      what to fetch, from where, and whether it may be fetched now
 *   agent_fetch.c     chunks, from files here or the network
 *   agent_stage.c     verify, stage, probe, activate, clean
 *   agent_slots.c     the ensemble to serve
 *   agent_keys.c      secrets in owner-only files
 *
 * The state folder:
 *
 *   state.json         what is true; replaced atomically, so it is also the journal: a phase
 *                      is written down before it is begun, and each can be done again
 *   lock               held by whoever changes anything; readers need none
 *   policy.json        the user's settings, if any
 *   secrets/NAME       owner-only
 *   ensembles/DIGEST/  a whole ensemble, verified, with DIGEST.seal and DIGEST.index/N beside it
 *   update/            the update at hand: release.json, signature.json, DIGEST/ with files
 *                      that grow, N.index
 *   cache/             indexes of the built-in ensemble; may be deleted at any time */
#ifndef COVEY_AGENT_AGENT_PARTS_H
#define COVEY_AGENT_AGENT_PARTS_H

#include <covey/agent.h>

#include "agent/agent.h"
#include "agent/machine.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "bundle/release.h"
#include "delta/chunk_plan.h"
#include "policy/policy.h"
#include "trust/signature.h"

#define COVEY__AGENT_POLL_DEFAULT_MS 900000

/* What a process keeps of the update at hand between steps; made again from the folder when lost.
 */
typedef struct covey__fetching {
    bool ready;
    char digest[65];
    covey__release *release;
    const covey__release_variant *variant;
    covey__manifest *manifest;
    covey__chunk_index **indexes; /* one a component */
    covey__chunk_plan **plans;
    covey__chunk_source *sources; /* files here with known indexes */
    char **source_paths;
    covey__chunk_index **source_indexes;
    size_t source_count;
    /* where the fetch stands */
    size_t component, chunk;
    int descriptor;                   /* of the component's file; -1 */
    uint64_t bytes_done, bytes_total; /* fetched over the network */
    uint64_t bytes_local;             /* taken from files here */
    int64_t started_us;
} covey__fetching;

struct covey_agent {
    covey_runtime *runtime;
    const covey__env *env;
    covey_agent_options options; /* strings are our copies */
    char *state_dir, *builtin_dir, *app_version;
    covey__agent_state state;
    covey_ensemble *builtin; /* opened once, for its version and digest; may be NULL */
    covey__fetching fetching;
    char served_digest[65]; /* what covey_agent_current opened last in this process */
    char shown_digest[65];  /* what current was when the last step ended */
    bool authentic; /* the plan at hand came as far as a release that a trusted key signed */
    uint32_t retry_after_ms; /* of the last answer; 0 if it named none */
    int64_t prove_at_us;     /* probes of the current one that could not run: not before */
};

/* ---- agent_state.c */
covey_status covey__state_load(const covey__env *env, const char *state_dir,
                               covey__agent_state *state, covey_error *error) COVEY_MUST_USE;
covey_status covey__state_save(const covey__env *env, const char *state_dir,
                               const covey__agent_state *state, covey_error *error) COVEY_MUST_USE;
/* The member "slots", as a check-in and the status document have it. */
void covey__state_write_slots(const covey_agent *agent, covey__json_writer *json);
/* The public status document. */
covey_status covey__state_write_status(const covey_agent *agent, covey__buffer *out,
                                       covey_error *error) COVEY_MUST_USE;

/* ---- agent.c */
/* Puts an event to the machine and stores the state if it changed. */
covey_status covey__agent_event(covey_agent *agent, covey__agent_event_in *event,
                                covey__agent_actions *actions, covey_error *error) COVEY_MUST_USE;
/* A path in the state folder, in new memory; NULL when refused. `name` may have parts. */
char *covey__agent_path(const covey_agent *agent, const char *format, ...) COVEY_PRINTF(2, 3);
void covey__agent_tell(const covey_agent *agent, covey_agent_event_kind kind, const char *phase,
                       const char *release, uint64_t done, uint64_t total, const char *format, ...)
    COVEY_PRINTF(7, 8);
uint64_t covey__agent_random(const covey_agent *agent);
/* A message, cut between characters. */
void covey__agent_say(char *out, size_t capacity, const char *format, ...) COVEY_PRINTF(3, 4);
/* The clock, held to what state.json can keep. */
int64_t covey__agent_now(const covey_agent *agent);
/* Reads state.json under the lock or at opening. One that is damaged is put aside. */
covey_status covey__agent_load(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* Waits for the lock of the state folder. */
covey_status covey__agent_lock(const covey_agent *agent, bool wait, int *lock,
                               covey_error *error) COVEY_MUST_USE;
/* The release at hand, "assistant@1.1.0". Static per call site: writes to `out`. */
void covey__agent_release(const covey_agent *agent, char out[132]);
/* A fault point of an action: IO when a test wants it to fail. */
covey_status covey__agent_fault(const covey_agent *agent, const char *point,
                                covey_error *error) COVEY_MUST_USE;

/* ---- agent_wire.c */
covey_status covey__agent_checkin(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
covey_status covey__agent_send_reports(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* A whole blob into `out` (which caps it), verified against its name. */
covey_status covey__agent_get_blob(covey_agent *agent, const uint8_t sha256[32], uint64_t size,
                                   covey__buffer *out, covey_error *error) COVEY_MUST_USE;
/* A blob from byte `first` on, appended to `out`; if the server sends it whole, `out` is cleared
 * first. */
covey_status covey__agent_get_range(covey_agent *agent, const uint8_t sha256[32], uint64_t first,
                                    covey__buffer *out, covey_error *error) COVEY_MUST_USE;

/* ---- agent_plan.c */
/* Reads release, manifest and indexes from the update folder, fetching what is missing, checks all
 * of it, and plans. */
covey_status covey__agent_plan(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
void covey__fetching_free(covey_agent *agent);
/* The user's settings, or the defaults where there are none. BUSY while they cannot be read. */
covey_status covey__agent_policy(covey_agent *agent, covey__policy *policy,
                                 covey_error *error) COVEY_MUST_USE;
/* Room and the user's settings: BUSY (settings), NO_SPACE. */
covey_status covey__agent_may_fetch(covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_fetch.c */
/* Goes on until done (*done) or until the deadline (monotonic). */
covey_status covey__agent_fetch(covey_agent *agent, int64_t deadline_us, bool *done,
                                covey_error *error) COVEY_MUST_USE;

/* ---- agent_stage.c */
covey_status covey__agent_verify(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
covey_status covey__agent_stage(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
covey_status covey__agent_probe(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* Moves a staged ensemble that was damaged back to the update folder. */
covey_status covey__agent_unstage(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* Removes what no slot and no update needs. */
covey_status covey__agent_clean(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* Under what the engine runs here: a change of it wants the probes again. */
void covey__agent_proof(const covey_agent *agent, char out[128]);
/* The same with what else an ensemble may need: the app and the memory. */
void covey__agent_platform(const covey_agent *agent, char out[COVEY__PLATFORM_SIZE]);

/* ---- agent_slots.c */
covey_status covey__slot_open(covey_agent *agent, const covey__agent_slot *slot,
                              covey_ensemble **ensemble, covey_error *error) COVEY_MUST_USE;
/* Needs of an opened ensemble against this app and device. */
covey_status covey__slot_check_needs(const covey_agent *agent, const covey_ensemble *ensemble,
                                     covey_error *error) COVEY_MUST_USE;

/* ---- agent_keys.c: the runtime's keystore, or files under secrets/ */
covey_status covey__secret_get(const covey_agent *agent, const char *name, char *value,
                               size_t capacity,
                               covey_error *error) COVEY_MUST_USE; /* NUL-terminated */
covey_status covey__secret_put(const covey_agent *agent, const char *name, const char *value,
                               covey_error *error) COVEY_MUST_USE;
covey_status covey__secret_remove(const covey_agent *agent, const char *name,
                                  covey_error *error) COVEY_MUST_USE;

#endif
