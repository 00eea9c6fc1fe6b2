/* The CPU's abilities: consistent with each other, with the names, and with the system's list. */
#include "support/support.h"

#include "base/cpu.h"

#include <stdio.h>
#include <string.h>

static void abilities_follow_each_other(void **state) {
    (void)state;
    covey__cpu cpu = covey__cpu_read();
    assert_true(!cpu.avx512 || cpu.avx2);
    assert_true(!cpu.avx512_vnni || cpu.avx512);
    assert_true(!cpu.avx_vnni || cpu.avx2);
    covey__isa best = covey__cpu_best();
    assert_true(covey__cpu_has(best));
    assert_int_equal(best == COVEY__ISA_AVX512, cpu.avx512_vnni);
    assert_int_equal(best == COVEY__ISA_AVX_VNNI, cpu.avx_vnni && !cpu.avx512_vnni);
    assert_true(covey__cpu_has(COVEY__ISA_SCALAR));
    assert_int_equal(covey__cpu_has(COVEY__ISA_AVX2), cpu.avx2);
    assert_int_equal(covey__cpu_has(COVEY__ISA_AVX_VNNI), cpu.avx_vnni);
#if defined(COVEY_SSE41)
    assert_int_equal(covey__cpu_has(COVEY__ISA_SSE41), cpu.sse41);
#endif
    assert_false(cpu.neon_dotprod && !cpu.neon);
    assert_false(cpu.neon_i8mm && !cpu.neon_dotprod);
    assert_int_equal(covey__cpu_has(COVEY__ISA_NEON), cpu.neon);
    assert_int_equal(covey__cpu_has(COVEY__ISA_NEON_DOTPROD), cpu.neon_dotprod);
    assert_int_equal(covey__cpu_has(COVEY__ISA_NEON_I8MM), cpu.neon_i8mm);
    assert_int_equal(covey__cpu_has(COVEY__ISA_WASM), cpu.wasm_simd);
    assert_false(covey__cpu_has(COVEY__ISA_COUNT));
}

static void names(void **state) {
    (void)state;
    assert_string_equal(covey__isa_name(COVEY__ISA_SCALAR), "scalar");
    assert_string_equal(covey__isa_name(COVEY__ISA_AVX2), "avx2");
    assert_string_equal(covey__isa_name(COVEY__ISA_AVX512), "avx512");
    assert_string_equal(covey__isa_name(COVEY__ISA_AVX_VNNI), "avx-vnni");
    for (covey__isa each = COVEY__ISA_SSE41; each < COVEY__ISA_COUNT; each++)
        assert_string_not_equal(covey__isa_name(each), "unknown");
    assert_string_equal(covey__isa_name(COVEY__ISA_COUNT), "unknown");
}

#if defined(__x86_64__)
/* Linux lists what CPU and kernel both support: an independent witness. */
static void the_system_agrees(void **state) {
    (void)state;
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[8192];
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
        found = strncmp(line, "flags", 5) == 0;
    if (file != NULL) fclose(file);
    if (!found) {
        print_message("skipped: no flags in /proc/cpuinfo\n");
        skip();
    }
    strcpy(strchr(line, '\n') != NULL ? strchr(line, '\n') : line, " ");
    covey__cpu cpu = covey__cpu_read();
    assert_int_equal(cpu.sha, strstr(line, " sha_ni ") != NULL);
    assert_int_equal(cpu.avx2, strstr(line, " avx2 ") != NULL && strstr(line, " f16c ") != NULL);
    assert_int_equal(cpu.avx512,
                     strstr(line, " avx512f ") != NULL && strstr(line, " avx512bw ") != NULL &&
                         strstr(line, " avx512dq ") != NULL && strstr(line, " avx512vl ") != NULL);
    assert_int_equal(cpu.avx512_vnni, cpu.avx512 && strstr(line, " avx512_vnni ") != NULL);
    assert_int_equal(cpu.avx_vnni, cpu.avx2 && strstr(line, " avx_vnni ") != NULL);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abilities_follow_each_other),
        cmocka_unit_test(names),
#if defined(__x86_64__)
        cmocka_unit_test(the_system_agrees),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
