/* What an agent is in memory: what it holds between steps. What is true is in state.json
 * (machine.h); all else here is made again in the next process. The functions of its parts are in
 * agent_parts.h. */
#ifndef COVEY_AGENT_AGENT_OBJECT_H
#define COVEY_AGENT_AGENT_OBJECT_H

#include <covey/agent.h>

#include "agent/agent.h"
#include "agent/agent_trust.h"
#include "agent/audit.h"
#include "agent/download_mirrors.h"
#include "agent/download_rate.h"
#include "agent/machine.h"
#include "agent/trial.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "bundle/release.h"
#include "delta/chunk_plan.h"
#include "policy/policy.h"
#include "policy/reach.h"

#define COVEY__AGENT_POLL_DEFAULT_MS 900000
#define COVEY__ROOT_BYTES_MAX        512000

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
    struct covey__fetch_file *files; /* one a component; NULL: it has not begun */
    size_t file_count, file;
    uint64_t bytes_done, bytes_total; /* fetched over the network */
    uint64_t bytes_kept;              /* of them, what an interrupted fetch had brought */
    uint64_t bytes_local;             /* taken from files here */
    uint64_t bytes_counted;           /* of bytes_done, those in update.spent_bytes */
    struct covey__ways *ways;         /* agent_ways.h */
    int64_t started_us;
    uint64_t room_bytes;   /* on the disk, beyond the components: what their ways need meanwhile */
    uint32_t block_bytes;  /* of the file system */
    uint64_t bytes_shared; /* taken from files here without a copy */
    bool reserved;         /* there is room for all of it (agent_space.c) */
    bool unpromised;       /* but the file system keeps none */
} covey__fetching;

/* Where blobs come from and what of them is under way (agent_blobs.h). */
typedef struct covey__agent_blobs {
    covey__mirrors mirrors;
    covey__rate rate;
    struct covey__download *download; /* NULL: nothing was fetched yet */
    struct covey__fetch_file *files;  /* that it fetches; NULL: none */
    size_t file_count, *file;
    uint64_t useful_before, kept_before; /* what the engine had counted when they began */
    /* one blob */
    uint8_t sha256[32];
    uint8_t *content; /* arrived; NULL: not yet */
    bool asked;
    /* for people */
    uint32_t noted; /* bit set of mirrors whose wrong bytes were reported */
    char note[256]; /* to be reported; "": nothing */
    covey__progress progress;
    int64_t bytes_per_second, left_ms; /* as they were told last; 0, -1: unknown */
    uint64_t told_bytes;
    int64_t told_us, looked_us;
    uint64_t looked_bytes;
} covey__agent_blobs;

struct covey_agent {
    covey_runtime *runtime;
    const covey__env *env;
    covey_agent_options options; /* strings are our copies */
    char *state_dir, *builtin_dir, *app_version;
    char *root_path;           /* the root that came with the app; NULL: none did */
    covey__steering *steering; /* held; NULL: none */
    char steering_sha256[65];  /* of its bytes; "": none */
    char steering_damaged[65]; /* of a file that was no such document, so that it is said once */
    covey__agent_state state;
    covey_ensemble *builtin; /* opened once, for its version and digest; may be NULL */
    covey__fetching fetching;
    bool caches_given;       /* their room went to an update */
    char staged_checked[65]; /* digest of a staged ensemble whose bytes were just checked */
    covey__phase timed;      /* the phase at hand since timed_us (monotonic) */
    int64_t timed_us;
    struct covey__checking *checking; /* where the check of the update's files stands; or NULL */
    struct covey__survey *survey;     /* where the look through the files here stands; or NULL */
    char served_digest[65];           /* what covey_agent_current opened last in this process */
    char shown_digest[65];   /* what served when the last step ended: "" the built-in one, or OFF */
    covey__agent_slot shown; /* its name, version and variant */
    bool authentic; /* the plan at hand came as far as a release that a trusted key signed */
    uint32_t retry_after_ms; /* of the last answer; 0 if it named none */
    covey__agent_blobs blobs;
    covey_http_lines *lines;      /* to the control plane; NULL: none yet */
    covey__stop_flag interrupted; /* steps end at once */
    int64_t deadline_us;          /* of the phase at hand (monotonic); 0: none is performed */
    bool out_of_time;             /* what failed with CANCELLED did so for the deadline */
    int64_t prove_at_us;          /* probes of the current one that could not run: not before */
    /* what was told of the current one's answers since the last step */
    int32_t told_good, told_failed;
    char told_why[256];
    int64_t told_since_us;  /* the oldest of them; 0: none */
    int64_t trial_since_us; /* when this process began to serve the trial; 0: it does not */
    covey__gauge gauge;
    covey__pace pace; /* COVEY__PACE_SLOW once a trial is */
    char pace_message[256];
    int32_t slower_max_percent, busy_max_percent; /* by the policy when it was last read */
    covey__speed speeds[COVEY__LOADS];            /* of what serves; stored now and then */
    bool speeds_changed;
    int64_t speeds_saved_us;
};

#endif
