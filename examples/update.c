/* Keeps an ensemble up to date: update STATE_DIR [URL TOKEN]. An app calls covey_agent_step when it
 * has time. */
#include <covey/agent.h>
#include <stdio.h>

int main(int argc, char **argv) {
    covey_runtime *runtime = NULL;
    covey_agent *agent = NULL;
    covey_error error = {0};
    covey_agent_options options = COVEY_AGENT_OPTIONS_INIT;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    options.state_dir = argc > 1 ? argv[1] : "covey-state";
    if (covey_runtime_open(NULL, &runtime, &error) ||
        covey_agent_open(runtime, &options, &agent, &error))
        goto out;
    if (argc > 3 && covey_agent_enroll(agent, argv[2], argv[3], NULL, &error)) goto out;
    do {
        if (covey_agent_step(agent, 100, true, &outcome, &error)) goto out;
        if (outcome.current_changed) puts("a new ensemble is active");
    } while (outcome.state == COVEY_AGENT_WORKING);
    printf("%s\n", outcome.state == COVEY_AGENT_UNENROLLED ? "this device knows no control plane"
                                                           : outcome.message);
out:
    if (error.status) fprintf(stderr, "update: %s\n", error.message);
    covey_agent_close(agent);
    covey_runtime_close(runtime);
    return error.status != COVEY_OK;
}
