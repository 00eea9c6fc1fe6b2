/* The plain driver of the fuzz targets. It feeds every seed file of the folders given to the
 * target, then mutations of them, for a bounded number of runs and seconds, in the same order each
 * time for the same random seed, which it prints. So the targets run in the normal tests, with
 * sanitizers or without.
 *
 *   NAME_fuzz FOLDER... [-seed N] [-runs N] [-seconds N]     mutate
 *   NAME_fuzz FILE...                                        feed these files once
 *
 * A crash prints the seed and run to repeat it with; the input is written to $COVEY_FUZZ_CRASH
 * where that is set. To fuzz for long, build the target with clang -fsanitize=fuzzer in place of
 * this file: COVEY_LIBFUZZER leaves main out. */
#include "fuzz/fuzz_target.h"

#if !defined(COVEY_LIBFUZZER)
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SEEDS_MAX  1024
#define INPUT_MAX  (1u << 20)
#define GROWTH_MAX 4096 /* bytes that mutation adds at most */

typedef struct input {
    uint8_t *data;
    size_t size;
} input;

typedef struct driver {
    input seeds[SEEDS_MAX];
    size_t seed_count;
    uint64_t state; /* of the generator */
    uint64_t seed, runs_max;
    double seconds_max;
    bool mutate;
} driver;

static void die(const char *what, const char *path) {
    fprintf(stderr, "fuzz: %s: %s: %s\n", path, what, strerror(errno));
    exit(2);
}

static uint64_t next_random(driver *d) {
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t below(driver *d, size_t bound) {
    return bound > 0 ? (size_t)(next_random(d) % bound) : 0;
}

static void add_seed(driver *d, const char *path) {
    if (d->seed_count == SEEDS_MAX) return;
    FILE *file = fopen(path, "rb");
    if (file == NULL) die("open", path);
    uint8_t *data = malloc(INPUT_MAX);
    if (data == NULL) die("memory", path);
    size_t size = fread(data, 1, INPUT_MAX, file);
    fclose(file);
    uint8_t *fitted = realloc(data, size > 0 ? size : 1);
    d->seeds[d->seed_count++] = (input){fitted != NULL ? fitted : data, size};
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_folder(driver *d, const char *folder) {
    struct dirent **names;
    int count = scandir(folder, &names, NULL, by_name);
    if (count < 0) die("list", folder);
    for (int i = 0; i < count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.') add_seed(d, path);
        free(names[i]);
    }
    free(names);
}

/* One change in place; `size` may grow up to `capacity`. */
static size_t mutate_once(driver *d, uint8_t *data, size_t size, size_t capacity) {
    static const uint8_t interesting[] = {0, 1, 2, 8, 9, 32, 0x7f, 0x80, 0xff, '"', '\\', '{', '['};
    size_t at = below(d, size), length = 1 + below(d, 16);
    switch (below(d, 7)) {
    case 0: /* flip a bit */
        if (size > 0) data[at] ^= (uint8_t)(1u << below(d, 8));
        return size;
    case 1: /* set a byte */
        if (size > 0) data[at] = interesting[below(d, sizeof interesting)];
        return size;
    case 2: /* cut the end */
        return at;
    case 3: /* take bytes out */
        if (length > size - at) length = size - at;
        memmove(data + at, data + at + length, size - at - length);
        return size - length;
    case 4: /* double a piece */
        if (length > size - at) length = size - at;
        if (size + length > capacity) return size;
        memmove(data + at + length, data + at, size - at);
        return size + length;
    case 5: { /* a little-endian number becomes an extreme one */
        static const uint64_t numbers[] = {
            0, 1, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff, 0x100000000};
        uint64_t number = numbers[below(d, sizeof numbers / sizeof *numbers)];
        size_t width = below(d, 2) == 0 ? 4 : 8;
        for (size_t i = 0; i < width && at + i < size; i++)
            data[at + i] = (uint8_t)(number >> 8 * i);
        return size;
    }
    default: { /* the end of another seed */
        input other = d->seeds[below(d, d->seed_count)];
        size_t from = below(d, other.size), take = other.size - from;
        if (take > capacity - at) take = capacity - at;
        if (take > 0) memcpy(data + at, other.data + from, take);
        return at + take;
    }
    }
}

static void keep_input(const uint8_t *data, size_t size) {
    const char *path = getenv("COVEY_FUZZ_CRASH");
    if (path == NULL) return;
    FILE *file = fopen(path, "wb");
    if (file == NULL) die("open", path);
    fwrite(data, 1, size, file);
    fclose(file);
}

/* The target gets memory of exactly the input's size, so that sanitizers see each step beyond. */
static void feed(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) die("memory", "input");
    if (size > 0) memcpy(copy, data, size);
    keep_input(copy, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint64_t run_mutations(driver *d) {
    double end = seconds_now() + d->seconds_max;
    uint8_t *data = malloc(INPUT_MAX + GROWTH_MAX);
    if (data == NULL) die("memory", "mutations");
    uint64_t run = 0;
    for (; run < d->runs_max && seconds_now() < end; run++) {
        d->state = d->seed + run * 0x2545f4914f6cdd1du; /* so that each run stands alone */
        input seed = d->seeds[below(d, d->seed_count)];
        size_t size = seed.size;
        if (size > 0) memcpy(data, seed.data, size);
        for (size_t i = 1 + below(d, 6); i > 0; i--)
            size = mutate_once(d, data, size, seed.size + GROWTH_MAX);
        feed(data, size);
    }
    free(data);
    return run;
}

static void read_arguments(driver *d, int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        struct stat info;
        if (arguments[i][0] == '-' && i + 1 < count) {
            const char *name = arguments[i], *value = arguments[++i];
            if (strcmp(name, "-seed") == 0) d->seed = strtoull(value, NULL, 10);
            if (strcmp(name, "-runs") == 0) d->runs_max = strtoull(value, NULL, 10);
            if (strcmp(name, "-seconds") == 0) d->seconds_max = strtod(value, NULL);
            continue;
        }
        if (stat(arguments[i], &info) != 0) die("stat", arguments[i]);
        if (S_ISDIR(info.st_mode)) {
            add_folder(d, arguments[i]);
            d->mutate = true;
        } else {
            add_seed(d, arguments[i]);
        }
    }
}

int main(int count, char **arguments) {
    static driver d = {.seed = 20261120, .runs_max = 100000, .seconds_max = 4.0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    read_arguments(&d, count, arguments);
    if (d.seed_count == 0) {
        fprintf(stderr, "fuzz: no seed file found; usage: %s FOLDER|FILE...\n", arguments[0]);
        return 2;
    }
    printf("fuzz: %zu seeds, random seed %" PRIu64 "\n", d.seed_count, d.seed);
    for (size_t i = 0; i < d.seed_count; i++) feed(d.seeds[i].data, d.seeds[i].size);
    if (d.mutate) printf("fuzz: %" PRIu64 " mutations\n", run_mutations(&d));
    for (size_t i = 0; i < d.seed_count; i++) free(d.seeds[i].data);
    return 0;
}
#endif
