/* The commands of the program covey: each takes its own name as argv[0] and returns an exit status:
 * 0 done, 1 failed, 2 used wrongly, 3 an ensemble or a release was refused, 4 an update waits. */
#ifndef COVEY_APPS_COMMANDS_H
#define COVEY_APPS_COMMANDS_H

#include <stdbool.h>

int covey_cmd_audit(int argc, char **argv);
int covey_cmd_bench(int argc, char **argv);
int covey_cmd_bundle(int argc, char **argv);
int covey_cmd_consent(int argc, char **argv);
int covey_cmd_delta(int argc, char **argv);
int covey_cmd_enroll(int argc, char **argv);
int covey_cmd_eval(int argc, char **argv);
int covey_cmd_inspect(int argc, char **argv);
int covey_cmd_opt_out(int argc, char **argv);
int covey_cmd_quantize(int argc, char **argv);
int covey_cmd_rollback(int argc, char **argv);
int covey_cmd_run(int argc, char **argv);
int covey_cmd_serve(int argc, char **argv);
int covey_cmd_status(int argc, char **argv);
int covey_cmd_token(int argc, char **argv);
int covey_cmd_train(int argc, char **argv);
int covey_cmd_update(int argc, char **argv);

/* covey bench --tokenize: an exit status. */
int covey_bench_tokenize(const char *model_path, const char *text_path, bool json);

#endif
