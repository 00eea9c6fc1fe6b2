/* A new ensemble on trial: the answers that it gave, and what its user wants tried again
 * (docs/agent.md, "The trial"). Included by covey/agent.h. */
#ifndef COVEY_AGENT_TRIAL_API_H
#define COVEY_AGENT_TRIAL_API_H

#include <covey/agent.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An answer that an ensemble gave, or did not. */
typedef struct covey_agent_answer {
    size_t size;
    const char *digest;  /* the ensemble's, borrowed for the call */
    covey_status status; /* how it ended. NUMERIC, FORMAT, MISMATCH and INTERNAL are failures of
                          * the ensemble; what a caller, a client or the memory ended counts
                          * neither way */
    int32_t prompt_token_count; /* that were computed: without those that were reused */
    int32_t answer_token_count;
    int64_t first_token_us; /* from the request on */
    int64_t decode_us;      /* after it */
    int32_t at_once;        /* answers computed at that time, this one included */
    int32_t others_percent; /* of the machine's processor time that other programs took then */
    bool disturbed; /* computed beside another ensemble's or on a hot device: it counts, but its
                     * times are not compared */
} covey_agent_answer;
#define COVEY_AGENT_ANSWER_INIT                                                                    \
    { sizeof(covey_agent_answer), NULL, COVEY_OK, 0, 0, 0, 0, 1, 0, false }

/* Tells of answers; the next step makes what is to be made of them. With `tells_answers`, a trial
 * stays after so many good answers or so long a time as the policy says (docs/formats/policy.md,
 * "trial"), and is left after three that ended in an engine's error, or when it is slower than the
 * policy allows (docs/agent.md). What the current ensemble measures here is kept for the trial that
 * follows it. `why` says what the last failed one failed with, or is NULL. Touches no file; one
 * thread at a time with the agent's other calls. */
COVEY_API void covey_agent_answered(covey_agent *agent, const covey_agent_answer *answers,
                                    size_t count, const char *why);

/* Forgets that this device refused a release, so that it is taken again when it is offered: the
 * user's word. `release` is a version or NAME@VERSION. NOT_FOUND when no such one is refused. Waits
 * for a step that another process is in. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_retry(covey_agent *agent, const char *release,
                                                        covey_error *error);

/* Pauses updates by the user's word, or lets them go on: no phase of an update is performed
 * meanwhile, and what was fetched is kept. It is stored, so it holds for every process and over
 * restarts. Check-ins go on, and so does what statements of the publisher stop. Waits for a step
 * that another process is in. */
COVEY_API COVEY_MUST_USE covey_status covey_agent_pause(covey_agent *agent, bool paused,
                                                        covey_error *error);

/* While set, steps end at once: one that another thread is in ends its exchanges of blobs within a
 * tenth of a second and keeps what came. Any thread, and signal handlers too. */
COVEY_API void covey_agent_interrupt(covey_agent *agent, bool interrupted);

#ifdef __cplusplus
}
#endif
#endif
