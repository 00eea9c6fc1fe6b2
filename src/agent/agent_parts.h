/* The agent's inner side: what its files share.
 *
 *   machine.c         the update's life as a pure function
 *   agent_object.h    what an agent holds in memory
 *   agent.c           open, close, rollback; where changes are stored
 *   agent_step.c      what is due now
 *   agent_phases.c    the phases of an update
 *   agent_describe.c  the state in a struct, for people
 *   agent_state.c     state.json, the journal
 *   agent_wire.c      check-in and reports; agent_lines.c carries them
 *   agent_enroll.c    enrollment
 *   agent_trust.c     metadata: the first root, refreshes, which releases are signed
 *   agent_steering.c  statements of the publisher: taken, held, obeyed
 *   agent_plan.c      what to fetch, from where, and whether it may be fetched now
 *   agent_space.c     room for it, and what is given up for that
 *   agent_survey.c    what of it is lacking an index; agent_sources.c lists it, agent_aside.c
 *                     keeps downloads that ended early
 *   agent_ways.c      by which way each component comes, and the rollout's budget
 *   agent_patch.c     patches into files
 *   agent_fetch.c     files chunk by chunk, from files here or the network
 *   agent_blobs.c     the download engine (agent_download.h) with this device's mirrors and rate
 *   agent_check.c     its bytes against their digests, in slices
 *   agent_stage.c     verify, stage, probe, activate, clean
 *   agent_slots.c     the ensemble to serve
 *   agent_trial.c     whether it proves itself; trial.c says when it is slow
 *   agent_keys.c      secrets in owner-only files
 *   agent_audit.c     the audit log; audit_diff.c says what of a change is in it
 *   agent_audit_show.c  the log and the rules that hold here, for the user
 *   agent_signers.c   who signed, by the metadata in the store
 *   agent_consent.c   what an ensemble asks its user for
 *   agent_opt_out.c   what the user switched off
 *   agent_pause.c     the user's pause, and how a step is ended from elsewhere
 *   agent_private.c   this device's key pair, and content keys of private ensembles
 *
 * The state folder:
 *
 *   state.json         what is true; replaced atomically, so it is also the journal: a phase
 *                      is written down before it is begun, and each can be done again
 *   lock               held by whoever changes anything; readers need none
 *   policy.json        the user's settings, if any
 *   secrets/NAME       owner-only
 *   root.json          the first root of trust, unless the app's is; root.next.json on its way
 *   trust/             the metadata, a store of covey/tuf.h; floor.json its floor
 *   steering.json      statements of the publisher
 *   ensembles/DIGEST/  a whole ensemble, verified, with DIGEST.seal and DIGEST.index/N beside it
 *   update/            the update at hand: release.json, DIGEST/ with files
 *                      that grow, DIGEST.index/N, partial.HEX: the begin of a blob;
 *                      patches.json, N.S.patch and N.S.head of patches that are applied, between:
 *                      what lies between two of them
 *   partial/           the same of downloads that were set aside
 *   cache/             indexes of the built-in ensemble; may be deleted at any time */
#ifndef COVEY_AGENT_AGENT_PARTS_H
#define COVEY_AGENT_AGENT_PARTS_H

#include "agent/agent_object.h"

#define COVEY__AGENT_OFF "off" /* in shown_digest: statements left nothing to serve */

/* ---- agent_audit.c */
/* Stores the state, and what the change is worth to the audit log with it (audit.h): what is stored
 * now is compared with what is to be stored, so every change is told. `state` has its audit member
 * set. Under the lock. */
covey_status covey__agent_save(covey_agent *agent, covey__agent_state *state,
                               covey_error *error) COVEY_MUST_USE;
/* The same with an entry about something that the state does not show. `entry` may be NULL. */
covey_status covey__agent_save_noting(covey_agent *agent, covey__agent_state *state,
                                      const covey__audit_entry *entry,
                                      covey_error *error) COVEY_MUST_USE;
/* Appends what is stored but not in the log yet: what a killed process left. Under the lock. */
covey_status covey__audit_settle(covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_signers.c */
/* "ROLE KEYID, KEYID": the keys of the role, by the metadata in the store, that signed its document
 * there. "" when that cannot be told. */
void covey__trust_signers(const covey_agent *agent, const char *role,
                          char out[COVEY__SIGNED_BY_SIZE]);
/* Calls for each role of the metadata in the store: who may sign what. `patterns` is one text, ""
 * for the top-level roles; `keys` their ids, abbreviated. */
typedef void (*covey__role_fn)(void *user, const char *role, const char *patterns,
                               int64_t threshold, int64_t key_count, const char *keys);
void covey__trust_each_role(const covey_agent *agent, covey__role_fn each, void *user);

/* ---- agent_consent.c */
/* Before the staged ensemble becomes current. BUSY: the user's consent is asked for, or the user
 * switched updates off; REFUSED: it was denied before. */
covey_status covey__consent_check(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* A component's plain bytes; `out` is the caller's to free, also on failure. NOT_FOUND when the
 * ensemble has none of that role. */
covey_status covey__consent_component(const covey_agent *agent, const covey_ensemble *ensemble,
                                      const char *role, covey__buffer *out,
                                      covey_error *error) COVEY_MUST_USE;
/* Opens the ensemble in a folder with the content keys that are here. */
covey_status covey__consent_open(const covey_agent *agent, const char *folder,
                                 covey_ensemble **ensemble, covey_error *error) COVEY_MUST_USE;
/* What the update at hand asks for; `missing` is the caller's to free, also on failure. */
covey_status covey__consent_asks(const covey_agent *agent, covey__reach *missing,
                                 covey_error *error) COVEY_MUST_USE;
/* Adds what the ensemble in a folder reaches. */
covey_status covey__consent_reach(const covey_agent *agent, const char *folder, covey__reach *reach,
                                  covey_error *error) COVEY_MUST_USE;

/* ---- agent_opt_out.c */
/* What the user switched off is put into the state, and the state stored when that is news.
 * `*acted`: it was. */
covey_status covey__opt_out_notice(covey_agent *agent, bool *acted,
                                   covey_error *error) COVEY_MUST_USE;
/* The policy of the ensemble that would serve; false where it has none. */
bool covey__ensembles_policy(const covey_agent *agent, covey__policy *policy);
/* Whether the user switched the model off, and what stands in for it. */
bool covey__opt_out_model(const covey_agent *agent, covey__degrade *to);
/* Why nothing local answers then; DENIED. */
covey_status covey__opt_out_fail(covey__degrade to, covey_error *error) COVEY_MUST_USE;

/* ---- agent_state.c */
covey_status covey__state_load(const covey__env *env, const char *state_dir,
                               covey__agent_state *state, covey_error *error) COVEY_MUST_USE;
covey_status covey__state_save(const covey__env *env, const char *state_dir,
                               const covey__agent_state *state, covey_error *error) COVEY_MUST_USE;
/* Gives state.json its name back where a torn rename took it. Under the lock, before anything is
 * cleaned or stored. */
covey_status covey__state_settle(const covey__env *env, const char *state_dir,
                                 covey_error *error) COVEY_MUST_USE;
/* Members that the status document has in the same form. */
void covey__state_put_update(covey__json_writer *json, const covey__agent_update *update);
void covey__state_put_report(covey__json_writer *json, const covey__agent_report *report);
void covey__state_put_refused(covey__json_writer *json, const covey__agent_state *state);

/* ---- agent_status.c */
/* The member "slots", as a check-in and the status document have it. */
void covey__state_write_slots(const covey_agent *agent, covey__json_writer *json);
/* A member `name` with the ensemble in the slot, to be ended by the caller; null, and false, for an
 * empty one. */
bool covey__state_begin_slot(covey__json_writer *json, const char *name,
                             const covey__agent_slot *slot);
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

/* Commits a trial that served in this process. */
covey_status covey__agent_commit(covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_trial.c */
/* What was told of answers, and the time of a trial. `*acted`: the state changed. */
covey_status covey__trial_step(covey_agent *agent, bool *acted, covey_error *error) COVEY_MUST_USE;
/* The process that served ends in order. Under the lock. */
covey_status covey__trial_close(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* Begins to measure what covey_agent_current gave. */
void covey__trial_serves(covey_agent *agent, const char *digest);
/* What a trial has to show here: the user's policy, else the ensemble's, else the defaults. */
void covey__trial_policy(const covey_agent *agent, covey__policy *policy);

/* ---- agent_step.c */
/* What serves now is what the caller knows of. */
void covey__agent_show(covey_agent *agent);

/* ---- agent_phases.c */
/* One phase, or a part of the fetch. */
covey_status covey__agent_advance(covey_agent *agent, int64_t deadline_us,
                                  covey_error *error) COVEY_MUST_USE;

/* ---- agent_lines.c */
/* As the transport's fetch; CANCELLED when the step is interrupted meanwhile. */
covey_status covey__agent_carry(covey_agent *agent, const covey_http_request *request,
                                covey_http_response *response, covey_http_sink sink,
                                void *sink_user, covey_error *error) COVEY_MUST_USE;
void covey__agent_hang_up(covey_agent *agent); /* closes the connections */

/* ---- agent_wire.c */
/* GET of a small file; `*http_status` is the caller's matter. */
covey_status covey__agent_get(covey_agent *agent, const char *url, covey__buffer *out,
                              int *http_status, covey_error *error) COVEY_MUST_USE;
/* POSTs `body` to the path, with the device's token where `token` is not NULL, and parses the
 * answer into the arena. */
covey_status covey__agent_post(covey_agent *agent, const char *url, const char *path,
                               const char *token, const covey__buffer *body, covey__arena *arena,
                               const covey__json **root, covey_error *error) COVEY_MUST_USE;
covey_status covey__agent_put_device(const covey_agent *agent, covey__json_writer *json,
                                     covey_error *error) COVEY_MUST_USE;
/* The member poll_ms; no server makes a device hurry. */
covey_status covey__agent_read_poll(const covey__json *root, int64_t *poll_ms,
                                    covey_error *error) COVEY_MUST_USE;
/* The member mirrors of an answer, NULL for none. What is no address is left out: the others serve
 * as well. */
void covey__agent_read_mirrors(const covey__json *list, covey__agent_state *state);
#define COVEY__AGENT_TOKEN_SIZE 160
covey_status covey__agent_checkin(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
covey_status covey__agent_send_reports(covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_blobs.c */
/* A whole blob into `out` (which caps it), verified against its name. CANCELLED with
 * agent->out_of_time when the phase's deadline came first: asked again, it goes on. */
covey_status covey__agent_get_blob(covey_agent *agent, const uint8_t sha256[32], uint64_t size,
                                   covey__buffer *out, covey_error *error) COVEY_MUST_USE;

/* ---- agent_pause.c */
/* BUSY, with why, while the user paused updates. */
covey_status covey__agent_is_paused(const covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_plan.c */
/* The blob from `path`, or from the network when it is absent there or not what it should be. */
covey_status covey__agent_stored_blob(covey_agent *agent, const char *path,
                                      const uint8_t sha256[32], uint64_t size, covey__buffer *out,
                                      covey_error *error) COVEY_MUST_USE;
/* Reads release, manifest and indexes from the update folder, fetching what is missing, checks all
 * of it, looks through the files here until the deadline (monotonic; not *done then: to be called
 * again), and plans. */
covey_status covey__agent_plan(covey_agent *agent, int64_t deadline_us, bool *done,
                               covey_error *error) COVEY_MUST_USE;
void covey__fetching_free(covey_agent *agent);
/* The user's settings, or the defaults where there are none. BUSY while they cannot be read. */
covey_status covey__agent_policy(const covey_agent *agent, covey__policy *policy,
                                 covey_error *error) COVEY_MUST_USE;
/* The user's settings, and room: BUSY (settings), NO_SPACE. */
covey_status covey__agent_may_fetch(covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_fetch.c */
/* Goes on until done (*done) or until the deadline (monotonic). */
covey_status covey__agent_fetch(covey_agent *agent, int64_t deadline_us, bool *done,
                                covey_error *error) COVEY_MUST_USE;

/* ---- agent_stage.c */
/* Both go on until done or until the deadline (monotonic): the bytes of gigabytes are hashed in
 * slices. */
covey_status covey__agent_verify(covey_agent *agent, int64_t deadline_us, bool *done,
                                 covey_error *error) COVEY_MUST_USE;
covey_status covey__agent_check_staged(covey_agent *agent, int64_t deadline_us, bool *done,
                                       covey_error *error) COVEY_MUST_USE;
covey_status covey__agent_stage(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
covey_status covey__agent_probe(covey_agent *agent, bool *without_probes,
                                covey_error *error) COVEY_MUST_USE;
/* Moves a staged ensemble that was damaged back to the update folder. */
covey_status covey__agent_unstage(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* Whether a slot or the update has this name, or one that begins with it, in ensembles/. */
bool covey__agent_wants(const covey_agent *agent, const char *name);
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

/* ---- agent_private.c: private ensembles */
/* The member "encryption_key" where this device has a key of its own, made where `make` is set. */
void covey__agent_put_key(const covey_agent *agent, bool make, covey__json_writer *json);
/* Sees to it that all content keys of a manifest are here. BUSY when one was not given to this
 * device yet. */
covey_status covey__agent_keys_fetch(covey_agent *agent, const covey__manifest *manifest,
                                     covey_error *error) COVEY_MUST_USE;
/* Gives an opened ensemble its content keys. BUSY when one is not here. */
covey_status covey__agent_keys_give(const covey_agent *agent, covey_ensemble *ensemble,
                                    covey_error *error) COVEY_MUST_USE;
/* Fetches what of them is lacking for what is installed. */
void covey__agent_keys_refresh(covey_agent *agent);

/* ---- agent_keys.c: the runtime's keystore, or files under secrets/ */
covey_status covey__secret_get(const covey_agent *agent, const char *name, char *value,
                               size_t capacity,
                               covey_error *error) COVEY_MUST_USE; /* NUL-terminated */
covey_status covey__secret_put(const covey_agent *agent, const char *name, const char *value,
                               covey_error *error) COVEY_MUST_USE;
covey_status covey__secret_remove(const covey_agent *agent, const char *name,
                                  covey_error *error) COVEY_MUST_USE;

#endif
