/* Memory that making and applying take beside mapped files stays under 64 MiB: of a model that is
 * larger than that, most of which moved a little and some of which is all new. Looked at from
 * inside while they work, so what any library allocates counts. */
#include "patch_pair.h"

#include "gguf/gguf.h"

#include <stdio.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#define COLUMNS 2048
#define ROWS    1024
#define TENSORS 40 /* of 2.2 MB */

#if defined(__SANITIZE_ADDRESS__)
#define IS_MEASURED false /* a sanitizer takes more than we do */
#else
#define IS_MEASURED true
#endif

/* Bytes of this process that no file holds; 0 where the system does not tell. */
static uint64_t anonymous(void) {
    unsigned long long kilobytes = 0;
    char line[128];
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %llu", &kilobytes) == 1) break;
    if (status != NULL) fclose(status);
    return kilobytes * 1024;
}

static void fill(uint8_t *data, size_t size, uint64_t seed, uint64_t noise) {
    for (size_t i = 0; i + 34 <= size; i += 34) {
        data[i] = 0;
        data[i + 1] = 0x1c;
        for (size_t k = 2; k < 34; k++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            int value = (int)(int8_t)(seed >> 56) / 2;
            if (noise != 0) {
                noise = noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                value += (int)(noise >> 60) == 0 ? 1 : (int)(noise >> 60) == 1 ? -1 : 0;
            }
            data[i + k] = (uint8_t)value;
        }
    }
}

static void make_model(const covey__env *env, const char *path, bool fresh) {
    covey__gguf_writer *writer;
    covey_error error;
    char name[32];
    const uint64_t matrix[2] = {COLUMNS, ROWS};
    size_t bytes = COLUMNS * ROWS / 32 * 34;
    uint8_t *data = malloc(bytes);
    assert_int_equal(covey__gguf_writer_new(env, path, &writer, &error), COVEY_OK);
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    for (int i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        assert_int_equal(covey__gguf_add_tensor(writer, name, COVEY__TYPE_Q8_0, 2, matrix, &error),
                         COVEY_OK);
    }
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    for (int i = 0; i < TENSORS; i++) {
        /* each eighth one has nothing of the old; its codes alone take many symbols */
        uint64_t seed = (uint64_t)i + (fresh && i % 8 == 3 ? 1000 : 1);
        fill(data, bytes, seed, fresh ? (uint64_t)i + 7 : 0);
        assert_int_equal(covey__gguf_write_data(writer, data, bytes, &error), COVEY_OK);
    }
    assert_int_equal(covey__gguf_finish(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);
    free(data);
}

/* What was freed goes back to the system, so that it is not taken for what comes next. */
static uint64_t start(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
    return anonymous();
}

typedef struct watch {
    uint64_t before, peak, calls;
} watch;

static covey_status look(void *user, uint64_t done, uint64_t total) {
    watch *w = user;
    uint64_t now = anonymous();
    (void)done, (void)total;
    w->calls++;
    if (now > w->before + w->peak) w->peak = now - w->before;
    return COVEY_OK;
}

static void both_stay_under_64_mib(void **state) {
    (void)state;
    patch_pair p;
    covey_error error = {0};
    covey__patch_stats stats;
    patch_pair_begin(&p);
    make_model(&p.test.env, p.old_path, false);
    make_model(&p.test.env, p.new_path, true);
    watch making = {.before = start()};
    covey__patch_options options = {.progress = look, .progress_user = &making};
    covey_status status = covey__patch_make(&p.test.env, p.old_path, p.new_path, p.patch_path,
                                            &options, &stats, &error);
    if (status != COVEY_OK) fail_msg("make: %s", error.message);
    watch applying = {.before = start()};
    options.progress_user = &applying;
    status = covey__patch_apply_files(&p.test.env, p.old_path, p.patch_path, p.out_path, &options,
                                      &error);
    if (status != COVEY_OK) fail_msg("apply: %s", error.message);
    print_message("%llu bytes from %llu; making took %llu, applying %llu bytes of memory\n",
                  (unsigned long long)stats.patch_size, (unsigned long long)stats.new_size,
                  (unsigned long long)making.peak, (unsigned long long)applying.peak);
    assert_true(stats.new_size > (64u << 20));
    assert_true(making.calls > 50 && applying.calls > 10);
    assert_true(!IS_MEASURED || making.peak < (64u << 20));
    assert_true(!IS_MEASURED || applying.peak < (32u << 20));
    patch_pair_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_stay_under_64_mib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
