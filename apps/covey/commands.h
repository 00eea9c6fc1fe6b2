/* The commands of the program covey: each takes its own name as argv[0] and returns an exit status
 * (docs/exit-statuses in --help): 0 done, 1 failed, 2 used wrongly. */
#ifndef COVEY_APPS_COMMANDS_H
#define COVEY_APPS_COMMANDS_H

int covey_cmd_bundle(int argc, char **argv);
int covey_cmd_inspect(int argc, char **argv);
int covey_cmd_bench(int argc, char **argv);
int covey_cmd_quantize(int argc, char **argv);
int covey_cmd_train(int argc, char **argv);

#endif
