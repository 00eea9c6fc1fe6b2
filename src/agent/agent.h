/* The agent as other layers see it: the public calls of covey/agent.h, and its opening without a
 * default for the probes, since the agent never links the engine. covey_agent_open in src/library
 * fills the default in. */
#ifndef COVEY_AGENT_AGENT_H
#define COVEY_AGENT_AGENT_H

#include <covey/agent.h>

/* As covey_agent_open; without a probe function every update is refused at its probes. */
covey_status covey__agent_open(covey_runtime *runtime, const covey_agent_options *options,
                               covey_agent **agent, covey_error *error) COVEY_MUST_USE;

#endif
