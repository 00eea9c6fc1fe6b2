/* The loop of proof.h. Each core has a worker, a process with the case as it is before anything
 * ran. It forks a runner, which acts on an armed disk and hands states of that disk back through
 * shared memory, one at a time; for each new one the worker forks a process that starts again from
 * it. So nothing of a disturbed process but its disk reaches the next. */
#include "support/proof.h"

#include "support/support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STATE_BYTES   (16u << 20) /* of shared memory for one state */
#define ACTIONS_MAX   20000
#define WORKERS_MAX   16
#define LOST_MAX      5 /* so many are told, then it ends */
#define CHILD_SECONDS 60

typedef enum mode { KILLED, POWER, SHORT, TORN, FAIL_IO, FAIL_SPACE, TWICE, MODES } mode;

static const char *const mode_names[MODES] = {"killed", "power lost", "short", "torn",
                                              "EIO",    "ENOSPC",     "twice"};

typedef struct shared {
    int64_t points[MODES][DISK_KINDS];
    int64_t states, runs, lost;
    int64_t action_count;
    uint8_t kinds[ACTIONS_MAX];
    char unannounced[600];
} shared;

typedef struct channel { /* from a runner to its worker */
    disk_action action;
    char subject[200];
    disk_fate fate;
    uint64_t seed;
    mode mode;
    size_t size;
    uint8_t data[STATE_BYTES];
} channel;

typedef struct worker {
    const proof_case *test;
    shared *all;
    channel *sent;
    int number, count, stride, lost_max;
    int64_t only; /* one action alone; 0: all */
    char act_root[320], again_root[320];
    disk_image start, end; /* before, and as an undisturbed run leaves it */
    uint64_t *seen;
    size_t seen_count, seen_capacity;
    int to_worker, to_runner; /* in a runner */
    /* of the runner's */
    uint64_t version;
    int64_t sent_count;
    disk_image state;
    int64_t sample; /* one of so many; 0: all */
} worker;

/* ---- States that were seen --------------------------------------------------------------------
 */

static uint64_t hash_of(const void *data, size_t size) {
    const unsigned char *bytes = data;
    uint64_t hash = 0x9e3779b97f4a7c15u ^ size, word;
    for (; size >= 8; size -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    for (; size; size--, bytes++) hash = (hash ^ *bytes) * 0xc4ceb9fe1a85ec53u;
    return (hash ^ hash >> 29) | 1;
}

static bool is_new(worker *w, uint64_t hash) {
    if (2 * (w->seen_count + 1) > w->seen_capacity) {
        size_t before = w->seen_capacity;
        uint64_t *old = w->seen;
        w->seen_capacity = before ? 2 * before : 4096;
        w->seen = calloc(w->seen_capacity, sizeof *w->seen);
        w->seen_count = 0;
        for (size_t i = 0; i < before; i++)
            if (old[i]) (void)is_new(w, old[i]);
        free(old);
    }
    size_t at = hash % w->seen_capacity;
    for (; w->seen[at]; at = (at + 1) % w->seen_capacity)
        if (w->seen[at] == hash) return false;
    w->seen[at] = hash;
    w->seen_count++;
    return true;
}

/* ---- Children ---------------------------------------------------------------------------------
 */

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void leave(void) {
    fflush(NULL);
    _exit(0);
}

static void remove_folder(const char *path) {
    test_folder folder;
    if (access(path, F_OK)) return;
    snprintf(folder.path, sizeof folder.path, "%s", path);
    test_folder_remove(&folder);
}

static bool waited_well(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) printf("ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool same_tree(const proof_case *test, const disk_image *want, const disk_image *found) {
    size_t a = 0, b = 0;
    disk_entry wanted = {0}, got = {0};
    bool more_wanted = disk_image_next(want, &a, &wanted);
    bool more_got = disk_image_next(found, &b, &got);
    while (more_wanted || more_got) {
        int order = !more_wanted ? 1 : !more_got ? -1 : strcmp(wanted.path, got.path);
        const char *path = order > 0 ? got.path : wanted.path;
        if (order && !(test->may_stay && test->may_stay(path))) {
            printf("%s: %s\n", path, order > 0 ? "is left over" : "is missing");
            return false;
        }
        bool bytes = !order && (!test->same_bytes || test->same_bytes(path));
        if (bytes && (wanted.size != got.size || memcmp(wanted.data, got.data, got.size))) {
            printf("%s: differs from an undisturbed run's\n", path);
            return false;
        }
        if (order <= 0) more_wanted = disk_image_next(want, &a, &wanted);
        if (order >= 0) more_got = disk_image_next(found, &b, &got);
    }
    return true;
}

/* Starts again from a state. */
static bool again(worker *w, const disk_image *state) {
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        const disk_plan none = {0};
        disk_image left = {0};
        alarm(CHILD_SECONDS);
        disk_arm(w->again_root, state, &none);
        w->test->again(w->test->user, w->again_root);
        disk_crash(DISK_KEPT, 0, &left);
        if (!same_tree(w->test, &w->end, &left)) {
            fflush(NULL);
            _exit(1);
        }
        leave();
    }
    bool well = child > 0 && waited_well(child);
    remove_folder(w->again_root);
    __atomic_fetch_add(&w->all->runs, 1, __ATOMIC_RELAXED);
    return well;
}

static void tell_lost(worker *w) {
    const channel *sent = w->sent;
    static const char *const fates[DISK_FATES] = {"all that was written is there",
                                                  "what was not synced is gone",
                                                  "names without bytes",
                                                  "bytes without names",
                                                  "any of it",
                                                  "the target of a rename is gone",
                                                  "both names of a rename"};
    printf("%s: LOST after %s at action %lld (%s%s %s), %s, seed %llu\n", w->test->name,
           mode_names[sent->mode], (long long)sent->action.number,
           sent->action.halfway ? "half of " : "", disk_kind_name(sent->action.kind), sent->subject,
           fates[sent->fate], (unsigned long long)sent->seed);
    fflush(NULL);
    __atomic_fetch_add(&w->all->lost, 1, __ATOMIC_RELAXED);
}

static void try_twice(worker *w, const disk_image *first);

/* A state came from the runner. */
static void take_state(worker *w) {
    if (w->all->lost >= w->lost_max) return;
    disk_image state = {w->sent->data, w->sent->size, STATE_BYTES};
    if (!is_new(w, hash_of(state.data, state.size))) return;
    __atomic_fetch_add(&w->all->states, 1, __ATOMIC_RELAXED);
    if (!again(w, &state)) tell_lost(w);
    bool sampled = w->test->twice && w->sent->mode != TWICE &&
                   w->seen_count % (size_t)(w->test->twice * w->stride) == 0;
    if (!sampled || w->all->lost) return;
    disk_image first = {malloc(state.size), state.size, state.size};
    memcpy(first.data, state.data, state.size);
    try_twice(w, &first);
    disk_image_free(&first);
}

/* Forks `run` and takes the states that it sends. */
static bool run_child(worker *w, void (*run)(worker *w, const disk_plan *plan),
                      const disk_plan *plan) {
    int up[2], down[2];
    char byte;
    fflush(NULL);
    if (pipe(up) || pipe(down)) abort();
    pid_t child = fork();
    if (!child) {
        close(up[0]);
        close(down[1]);
        w->to_worker = up[1];
        w->to_runner = down[0];
        alarm(20 * CHILD_SECONDS);
        run(w, plan);
        leave();
    }
    close(up[1]);
    close(down[0]);
    while (read(up[0], &byte, 1) == 1) {
        take_state(w);
        if (write(down[1], "", 1) != 1) break;
    }
    close(up[0]);
    close(down[1]);
    bool well = child > 0 && waited_well(child);
    remove_folder(w->act_root);
    return well;
}

/* ---- Runners ----------------------------------------------------------------------------------
 */

static void send_state(worker *w, mode how, const disk_action *action, disk_fate fate,
                       uint64_t seed) {
    char byte;
    disk_crash(fate, seed, &w->state);
    if (w->state.size > STATE_BYTES) abort();
    w->sent->mode = how;
    w->sent->action = *action;
    snprintf(w->sent->subject, sizeof w->sent->subject, "%s", action->subject);
    w->sent->fate = fate;
    w->sent->seed = seed;
    w->sent->size = w->state.size;
    memcpy(w->sent->data, w->state.data, w->state.size);
    if (write(w->to_worker, "", 1) != 1 || read(w->to_runner, &byte, 1) != 1) _exit(1);
}

/* The states between two actions that a process that dies, or a power cut, leaves there. */
static void send_states(worker *w, const disk_action *action) {
    uint64_t seed = (uint64_t)action->number;
    bool torn = action->halfway && action->kind == DISK_RENAME;
    mode killed = action->halfway ? SHORT : KILLED;
    if (torn) {
        send_state(w, TORN, action, DISK_TORN_GONE, seed);
        if (!disk_is_folder(action->subject)) send_state(w, TORN, action, DISK_TORN_BOTH, seed);
        send_state(w, TORN, action, DISK_NAMES, seed);
        return;
    }
    send_state(w, killed, action, DISK_KEPT, seed);
    for (disk_fate fate = DISK_LOST; fate <= DISK_RANDOM; fate++)
        send_state(w, action->halfway ? SHORT : POWER, action, fate, seed);
}

static bool is_mine(const worker *w, int64_t number) {
    if (w->only) return number == w->only && w->number == 0;
    return number % w->stride == 0 && number / w->stride % w->count == w->number;
}

static void count_point(worker *w, mode how, disk_kind kind) {
    __atomic_fetch_add(&w->all->points[how][kind], 1, __ATOMIC_RELAXED);
}

static void on_each(void *user, const disk_action *action) {
    worker *w = user;
    if (!is_mine(w, action->number)) return;
    bool rename = action->kind == DISK_RENAME;
    if (action->halfway) {
        count_point(w, rename ? TORN : SHORT, action->kind);
    } else {
        count_point(w, KILLED, action->kind);
        count_point(w, POWER, action->kind);
        if (disk_version() == w->version) return; /* the same states as before the last action */
        w->version = disk_version();
    }
    send_states(w, action);
}

static void run_recording(worker *w, const disk_plan *plan) {
    disk_plan each = {.each = on_each, .user = w};
    (void)plan;
    w->version = UINT64_MAX;
    disk_arm(w->act_root, &w->start, &each);
    w->test->act(w->test->user, w->act_root, PROOF_WHOLE);
    if (w->number == 0) { /* the power goes once all is done */
        disk_action last = {w->all->action_count + 1, DISK_STEP, "the end", false};
        send_states(w, &last);
    }
}

static void run_failing(worker *w, const disk_plan *plan) {
    disk_kind kind = (disk_kind)w->all->kinds[plan->at - 1];
    disk_action action = {plan->at, kind, "", false};
    mode how = plan->cut ? SHORT : plan->error == EIO ? FAIL_IO : FAIL_SPACE;
    disk_arm(w->act_root, &w->start, plan);
    w->test->act(w->test->user, w->act_root, plan->error == ENOSPC ? PROOF_ON : PROOF_ONCE);
    send_state(w, how, &action, DISK_KEPT, 0);
    if (kind == DISK_SYNC || kind == DISK_SYNC_FOLDER) send_state(w, how, &action, DISK_LOST, 0);
    (void)disk_disarm();
    if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check()) _exit(1);
}

/* The recovery from a first kill is killed: at actions drawn by the number of the state. */
static void on_each_twice(void *user, const disk_action *action) {
    worker *w = user;
    if (action->halfway || disk_version() == w->version) return;
    w->version = disk_version();
    uint64_t state = w->seen_count * 1000003 + (uint64_t)action->number;
    if (test_random(&state) % (uint64_t)w->sample) return;
    count_point(w, TWICE, action->kind);
    send_state(w, TWICE, action, (disk_fate)(test_random(&state) % (DISK_RANDOM + 1)), state);
}

static void run_twice(worker *w, const disk_plan *plan) {
    disk_plan each = {.each = on_each_twice, .user = w};
    (void)plan;
    w->version = UINT64_MAX;
    disk_arm(w->act_root, &w->start, &each);
    w->test->again(w->test->user, w->act_root);
}

static void try_twice(worker *w, const disk_image *first) {
    worker inner = *w;
    inner.start = *first;
    inner.state = (disk_image){0};
    inner.sample = 25;
    snprintf(inner.act_root, sizeof inner.act_root, "%s.2", w->act_root);
    inner.sent =
        mmap(NULL, sizeof *inner.sent, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (inner.sent == MAP_FAILED) abort();
    if (!run_child(&inner, run_twice, NULL) && !w->all->lost) tell_lost(w);
    w->seen = inner.seen;
    w->seen_count = inner.seen_count;
    w->seen_capacity = inner.seen_capacity;
    munmap(inner.sent, sizeof *inner.sent);
}

/* ---- Workers ----------------------------------------------------------------------------------
 */

static bool can_be_full(disk_kind kind) {
    switch (kind) {
    case DISK_CREATE:
    case DISK_WRITE:
    case DISK_RESIZE:
    case DISK_SYNC:
    case DISK_SYNC_FOLDER:
    case DISK_RENAME:
    case DISK_LINK:
    case DISK_MKDIR:
    case DISK_ASK: /* there: no answer in time */
    case DISK_STEP:
        return true;
    default:
        return false;
    }
}

static void fail_at(worker *w, int64_t number, mode how) {
    disk_kind kind = (disk_kind)w->all->kinds[number - 1];
    disk_plan plan = {.at = number, .error = how == FAIL_IO ? EIO : ENOSPC, .cut = how == SHORT};
    if (how == SHORT && number % 2) plan.error = EIO;
    count_point(w, how, kind);
    if (run_child(w, run_failing, &plan)) return;
    printf("%s: LOST as action %lld (%s) failed, %s\n", w->test->name, (long long)number,
           disk_kind_name(kind), mode_names[how]);
    fflush(NULL);
    __atomic_fetch_add(&w->all->lost, 1, __ATOMIC_RELAXED);
}

static void work(worker *w) {
    if (!run_child(w, run_recording, NULL)) {
        printf("%s: the undisturbed run did not come to its end\n", w->test->name);
        __atomic_fetch_add(&w->all->lost, 1, __ATOMIC_RELAXED);
    }
    for (int64_t number = 1; !w->test->only_ends && number <= w->all->action_count; number++) {
        disk_kind kind = (disk_kind)w->all->kinds[number - 1];
        if (!is_mine(w, number)) continue;
        if (w->all->lost >= w->lost_max) return;
        fail_at(w, number, FAIL_IO);
        if (can_be_full(kind)) fail_at(w, number, FAIL_SPACE);
        if (kind == DISK_WRITE || kind == DISK_RECEIVE) fail_at(w, number, SHORT);
    }
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static void on_each_counted(void *user, const disk_action *action) {
    worker *w = user;
    if (action->halfway) return;
    if (action->number > ACTIONS_MAX) abort();
    w->all->action_count = action->number;
    w->all->kinds[action->number - 1] = (uint8_t)action->kind;
}

/* Once undisturbed: counts the actions; then started again, which leaves the tree to compare with.
 */
static void run_counting(worker *w, const disk_plan *plan) {
    disk_plan each = {.each = on_each_counted, .user = w};
    static const disk_plan none;
    disk_action action = {0, DISK_STEP, "the end", false};
    (void)plan;
    disk_arm(w->act_root, &w->start, &each);
    w->test->act(w->test->user, w->act_root, PROOF_WHOLE);
    snprintf(w->all->unannounced, sizeof w->all->unannounced, "%s", disk_unannounced());
    disk_crash(DISK_KEPT, 0, &w->end);
    (void)disk_disarm();
    remove_folder(w->act_root);
    disk_arm(w->act_root, &w->end, &none);
    w->test->again(w->test->user, w->act_root);
    disk_image real = {0};
    disk_image_of(w->act_root, &real);
    disk_crash(DISK_KEPT, 0, &w->end);
    if (!same_tree(&(proof_case){.name = w->test->name}, &real, &w->end))
        fail_msg("the simulated disk and the folder are not the same");
    send_state(w, KILLED, &action, DISK_KEPT, 0);
}

static bool prepare(worker *w) {
    int up[2], down[2];
    char byte;
    if (pipe(up) || pipe(down)) abort();
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        w->to_worker = up[1];
        w->to_runner = down[0];
        close(up[0]);
        close(down[1]);
        alarm(CHILD_SECONDS);
        run_counting(w, NULL);
        leave();
    }
    close(up[1]);
    close(down[0]);
    bool came = read(up[0], &byte, 1) == 1;
    if (came) {
        w->end = (disk_image){malloc(w->sent->size), w->sent->size, w->sent->size};
        memcpy(w->end.data, w->sent->data, w->sent->size);
        came = write(down[1], "", 1) == 1;
    }
    close(up[0]);
    close(down[1]);
    bool well = child > 0 && waited_well(child);
    remove_folder(w->act_root);
    return came && well;
}

static void print_table(const worker *w, double seconds) {
    const shared *all = w->all;
    printf("| %-16s |", "action");
    for (int m = 0; m < MODES; m++) printf(" %10s |", mode_names[m]);
    printf("\n| ---------------- |");
    for (int m = 0; m < MODES; m++) printf(" ---------: |");
    int64_t sums[MODES] = {0};
    for (int k = 0; k < DISK_KINDS; k++) {
        int64_t any = 0;
        for (int m = 0; m < MODES; m++) any += all->points[m][k];
        if (!any) continue;
        printf("\n| %-16s |", disk_kind_name((disk_kind)k));
        for (int m = 0; m < MODES; m++) printf(" %10lld |", (long long)all->points[m][k]);
        for (int m = 0; m < MODES; m++) sums[m] += all->points[m][k];
    }
    printf("\n| %-16s |", "all");
    for (int m = 0; m < MODES; m++) printf(" %10lld |", (long long)sums[m]);
    printf("\n%s: %lld actions, ", w->test->name, (long long)all->action_count);
    if (w->stride > 1) printf("every %dth of them disturbed, ", w->stride);
    printf("%lld states of the disk, %lld starts from them, lost: %lld (%.1f s on %d cores)\n\n",
           (long long)all->states, (long long)all->runs, (long long)all->lost, seconds, w->count);
    fflush(stdout);
}

static bool is_sanitized(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return __lsan_do_recoverable_leak_check != NULL;
#endif
}

static void *share(size_t size) {
    void *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED) abort();
    return made;
}

static int case_count, case_lost;

int proof_end(void) {
    printf("[  PASSED  ] %d test(s).\n", case_count - case_lost);
    if (case_lost) printf("[  FAILED  ] %d test(s), listed below:\n", case_lost);
    return case_lost ? 1 : 0;
}

static int run_case(const proof_case *test, const char *root) {
    const char *how = getenv("COVEY_EXHAUSTIVE"), *only = getenv("COVEY_EXHAUSTIVE_ONLY");
    worker w = {.test = test, .stride = is_sanitized() ? 7 : 1};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct timespec start, end;
    pid_t children[WORKERS_MAX];
    if (how && !strcmp(how, "full")) w.stride = 1;
    const char *most = getenv("COVEY_EXHAUSTIVE_LOST");
    w.lost_max = most ? atoi(most) : LOST_MAX;
    size_t name_size = strlen(test->name);
    if (only && only[name_size] == ':') w.only = atoll(only + name_size + 1);
    w.count = cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (int)cores;
    w.all = share(sizeof *w.all);
    w.sent = share(sizeof *w.sent);
    snprintf(w.act_root, sizeof w.act_root, "%s.act", root);
    disk_image_of(root, &w.start);
    remove_folder(root);
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (!prepare(&w)) {
        printf("%s: the undisturbed run failed\n", test->name);
        return 1;
    }
    int lost = 0;
    if (w.all->unannounced[0]) {
        printf("%s: a system call without a fault point: %s\n", test->name, w.all->unannounced);
        lost++;
    }
    for (w.number = 0; w.number < w.count; w.number++) {
        fflush(NULL);
        children[w.number] = fork();
        if (children[w.number]) continue;
        w.sent = share(sizeof *w.sent);
        snprintf(w.act_root, sizeof w.act_root, "%s.act%d", root, w.number);
        snprintf(w.again_root, sizeof w.again_root, "%s.again%d", root, w.number);
        work(&w);
        leave();
    }
    for (int i = 0; i < w.count; i++)
        if (!waited_well(children[i])) lost++;
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_table(&w,
                (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    lost += (int)w.all->lost;
    disk_image_free(&w.start);
    disk_image_free(&w.end);
    munmap(w.sent, sizeof *w.sent);
    munmap(w.all, sizeof *w.all);
    return lost;
}

int proof_run(const proof_case *test, const char *root) {
    const char *only = getenv("COVEY_EXHAUSTIVE_ONLY"); /* "NAME" or "NAME:ACTION" */
    size_t size = strlen(test->name);
    if (only && (strncmp(only, test->name, size) || (only[size] && only[size] != ':'))) {
        remove_folder(root);
        return 0;
    }
    int lost = run_case(test, root);
    case_count++;
    case_lost += lost != 0;
    return lost;
}

/* ---- The network ------------------------------------------------------------------------------
 */

static covey_transport inner;

typedef struct passing {
    covey_http_sink sink;
    void *user;
    bool broken;
} passing;

/* The answer in two pieces, each an action; cut or failing, the line breaks after what came. */
static covey_status pass_on(void *user, const covey_http_response *response, const void *data,
                            size_t size) {
    passing *p = user;
    const char *bytes = data;
    for (int piece = 0; piece < 2; piece++) {
        size_t part = piece ? size - size / 2 : size / 2;
        p->broken = disk_act(DISK_RECEIVE, piece ? "second half" : "first half") != 0;
        if (p->broken) return COVEY_ERROR_NETWORK;
        covey_status status = p->sink(p->user, response, bytes, part);
        if (status) return status;
        bytes += part;
    }
    return COVEY_OK;
}

static covey_status fetch(void *user, const covey_http_request *request,
                          covey_http_response *response, covey_http_sink sink, void *sink_user,
                          covey_error *error) {
    passing p = {sink, sink_user, false};
    int failed = disk_act(DISK_ASK, request->url);
    covey_status status = failed == ENOSPC ? COVEY_ERROR_TIMEOUT
                          : failed         ? COVEY_ERROR_NETWORK
                                           : COVEY_OK;
    if (!status) status = inner.fetch(user, request, response, pass_on, &p, error);
    if (!failed && !p.broken) return status;
    if (error) {
        *error = (covey_error){.status = status};
        snprintf(error->message, sizeof error->message, "the line broke");
    }
    return status;
}

void proof_transport(covey_transport *transport) {
    inner = *transport;
    transport->fetch = fetch;
}
