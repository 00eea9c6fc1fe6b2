/* Exchanges with the control plane, one at a time, on connections that are kept as long as blobs'
 * are. Unlike a blob's they are not carried over from step to step: they are small, and end by
 * their own time limits. Who interrupts a step ends them within a tenth of a second, where the
 * transport has several exchanges at once. */
#include "agent/agent_blobs.h"

#include "base/error.h"

#define LOOK_MS 100 /* between two looks at whether the step is interrupted */

static covey_status wait_for(covey_agent *agent, void *sink_user, covey_error *error) {
    const covey_transport *t = agent->env->transport;
    for (;;) {
        void *ended = NULL;
        covey_status status = t->wait(agent->lines, LOOK_MS, &ended, error);
        if (ended) return status;
        if (!status && atomic_load(&agent->interrupted))
            status = covey__fail(error, COVEY_ERROR_CANCELLED, "interrupted");
        if (!status) continue;
        t->cancel(agent->lines, sink_user);
        return status;
    }
}

covey_status covey__agent_carry(covey_agent *agent, const covey_http_request *request,
                                covey_http_response *response, covey_http_sink sink,
                                void *sink_user, covey_error *error) {
    const covey_transport *t = agent->env->transport;
    covey_status status = COVEY_OK;
    if (!t)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "agent: this program was built without a transport");
    bool several = t->open && t->begin && t->wait && t->cancel && t->close;
    if (covey__fault(agent->env, "net.begin", request->url))
        return covey__fail(error, COVEY_ERROR_NETWORK, "the request failed on purpose");
    if (several && !agent->lines) status = t->open(t->user, &agent->lines, error);
    if (!status && several) {
        status = t->begin(agent->lines, request, response, sink, sink_user, error);
        if (!status) status = wait_for(agent, sink_user, error);
    } else if (!status) {
        status = t->fetch(t->user, request, response, sink, sink_user, error);
    }
    if (!status && covey__fault(agent->env, "net.end", request->url))
        return covey__fail(error, COVEY_ERROR_NETWORK, "the answer was lost on purpose");
    return status;
}

void covey__agent_hang_up(covey_agent *agent) {
    if (agent->lines) agent->env->transport->close(agent->lines);
    agent->lines = NULL;
}
