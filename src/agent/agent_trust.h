/* Whom a device believes and what its publisher's statements do on it: the part of the agent's
 * inner side (agent_parts.h) that agent_enroll.c, agent_trust.c and agent_steering.c make. */
#ifndef COVEY_AGENT_AGENT_TRUST_H
#define COVEY_AGENT_AGENT_TRUST_H

#include <covey/agent.h>
#include <covey/tuf.h>

#include "agent/machine.h"
#include "base/buffer.h"
#include "base/json.h"
#include "bundle/steering.h"

/* ---- agent_enroll.c: covey_agent_enroll */
/* Whether `url` is a base to which paths can be added, and holds no password. */
bool covey__agent_url_valid(const char *url);

/* ---- agent_trust.c */
/* Versions of metadata that a control plane says it serves; 0: none. */
typedef struct covey__served_metadata {
    int64_t root, timestamp;
} covey__served_metadata;
covey_status covey__trust_read_served(const covey__json *answer, covey__served_metadata *served,
                                      covey_error *error) COVEY_MUST_USE;
/* A first root named by a person: a file, or a SHA-256 in hex. `bytes` stays empty for the latter,
 * and `sha256` is set in both. */
covey_status covey__trust_name_root(const covey_agent *agent, const char *root,
                                    covey__buffer *bytes, char sha256[65],
                                    covey_error *error) COVEY_MUST_USE;
/* Fetches the root with that SHA-256 from the newest back; with "" the newest, whose SHA-256 is
 * then set. DENIED when none has it. */
covey_status covey__trust_fetch_root(covey_agent *agent, const char *metadata_url, int64_t newest,
                                     covey__buffer *bytes, char sha256[65],
                                     covey_error *error) COVEY_MUST_USE;
/* Whether a root is in hand: the device's own or the app's. */
covey_status covey__trust_has_root(const covey_agent *agent, bool *has_root,
                                   covey_error *error) COVEY_MUST_USE;
/* Puts bytes aside that become the first root once state.json names their SHA-256. */
covey_status covey__trust_put_root(const covey_agent *agent, const covey__buffer *bytes,
                                   covey_error *error) COVEY_MUST_USE;
/* Makes the folder agree with state.json: when that names another first root than the folder's, the
 * one put aside takes its place, and what was seen of the one before goes. */
covey_status covey__trust_settle(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* What a check-in's answer is worth. */
typedef struct covey__verdict {
    bool take;                             /* the event may go to the machine */
    covey_error denied;                    /* what event->denied points to */
    char signed_by[COVEY__SIGNED_BY_SIZE]; /* what event->signed_by points to */
    char patches[65]; /* SHA-256 of the release's patch index, where the metadata names one; "" */
    int64_t patches_size;
} covey__verdict;
/* Holds a check-in's answer against the metadata: refreshes when that is due, takes new steering,
 * and puts what statements say of the target into `event`. Fails only where the state cannot be
 * stored: whatever a repository does, the state says why nothing new is believed. */
covey_status covey__trust_judge(covey_agent *agent, const covey__served_metadata *served,
                                covey__agent_event_in *event, covey__verdict *verdict,
                                covey_error *error) COVEY_MUST_USE;

/* ---- agent_steering.c */
/* Reads the file, if it is another than the one in memory. A file that is lost or damaged changes
 * nothing in memory. */
void covey__steering_load(covey_agent *agent);
/* Takes the document that a trusted role names: fetched when its hash is new, checked against the
 * one held, stored. DENIED, FORMAT, ...: what was held goes on holding. */
covey_status covey__steering_take(covey_agent *agent, const char *product,
                                  const covey_tuf_target *target,
                                  covey_error *error) COVEY_MUST_USE;
/* What statements say of the event's target, put into the event; its `denied` points into `why`. */
void covey__steering_judge(const covey_agent *agent, covey__agent_event_in *event,
                           covey_error *why);
/* Whether nothing may return to `slot` (NULL: to the built-in one), and why. */
bool covey__steering_forbids_return(const covey_agent *agent, const covey__agent_slot *slot,
                                    covey_error *why);
/* Whether this very ensemble is stopped. */
bool covey__steering_stops(const covey_agent *agent, const char *name, const char *version,
                           const char *variant, covey_error *why);
/* Ends what statements forbid: the current ensemble, the update at hand. `*acted`: there was one.
 */
covey_status covey__steering_obey(covey_agent *agent, bool *acted,
                                  covey_error *error) COVEY_MUST_USE;
/* The name of the ensembles here: current's, else the built-in one's; "" on a bare device. */
const char *covey__agent_product(const covey_agent *agent);
/* Whether statements left nothing to serve, and why. */
bool covey__agent_is_off(const covey_agent *agent, covey_error *why);
/* Calls for each statement that holds here, those with an end of support of what serves too. */
typedef void (*covey__statement_fn)(void *user, const covey__steering_statement *statement,
                                    const char *subject);
void covey__steering_each(const covey_agent *agent, covey__statement_fn each, void *user);

#endif
