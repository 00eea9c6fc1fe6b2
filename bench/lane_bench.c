/* Rates of the patch coder alone, on one core: decoding by each instruction set of this machine,
 * with tables from anywhere, from rows, and in pairs, with full and with sparse masks; and
 * encoding. Each figure is the best of a few repetitions.
 *
 * usage: lane_bench [isa] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "delta/lane_coder.h"

#define ROWS   32
#define TABLES (16 * ROWS)
#define STEPS  20000
#define TRIES  25

static covey__lane_table *tables;
static covey__lane_row *rows;
static uint16_t contexts[STEPS * 32], row[STEPS * 2];
static uint8_t columns[STEPS * 32], symbols[STEPS * 32], decoded[STEPS * 32];
static uint32_t masks[STEPS];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t draw(void) {
    static uint64_t s = 88172645463325252u;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return (uint32_t)(s >> 32);
}

static void *allocate(size_t size) {
    void *p = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!p) exit(1);
    return p;
}

typedef enum form { STEP, ROW, PAIR, FORMS } form;
static const char *const form_names[FORMS] = {"step", "row", "pair"};

static void fill(form kind, bool sparse) {
    for (size_t i = 0; i < STEPS; i++) {
        masks[i] = sparse ? draw() & draw() & draw() : UINT32_MAX;
        for (size_t h = 0; h < 2; h++)
            row[2 * i + h] = (uint16_t)(draw() % (kind == PAIR ? TABLES : ROWS));
        for (size_t k = 32 * i; k < 32 * i + 32; k++) {
            uint16_t own = row[2 * i + (k % 32 >= 16)];
            columns[k] = (uint8_t)(draw() % 16);
            contexts[k] = kind == ROW ? (uint16_t)(16 * own + columns[k]) : own;
            if (kind == STEP) contexts[k] = (uint16_t)(draw() % TABLES);
            uint32_t slot = draw() & 0x7fff;
            for (symbols[k] = 0; slot >= tables[contexts[k]].end[symbols[k]];) symbols[k]++;
        }
    }
}

static bool same_symbols(void) {
    for (size_t k = 0; k < STEPS * 32; k++)
        if ((masks[k / 32] >> k % 32 & 1) && decoded[k] != symbols[k]) return false;
    return true;
}

static void decode(covey__isa isa, form kind, bool sparse, const covey__buffer *stream,
                   uint64_t count) {
    covey__lane_run run = {.tables = tables,
                           .rows = kind == ROW ? rows : NULL,
                           .row = row,
                           .pair = kind == PAIR,
                           .contexts = contexts,
                           .columns = columns,
                           .masks = masks,
                           .symbols = decoded,
                           .steps = STEPS};
    double best = 1e9;
    for (int i = 0; i < TRIES; i++) {
        covey__lane_decoder decoder;
        double began = now();
        if (covey__lane_decoder_init(&decoder, (const uint8_t *)stream->data, stream->size, NULL))
            exit(1);
        covey__lane_run_get(isa)(&decoder, &run);
        double took = now() - began;
        if (took < best) best = took;
        if (covey__lane_decoder_finish(&decoder, NULL) || !same_symbols()) {
            fprintf(stderr, "lane_bench: %s: wrong\n", covey__isa_name(isa));
            exit(1);
        }
    }
    printf("%-8s decode %-5s %-7s %8.1f M symbols/s  %5.1f ns a step\n", covey__isa_name(isa),
           form_names[kind], sparse ? "sparse" : "full", (double)count / best * 1e-6,
           best / STEPS * 1e9);
}

static void encode(covey__lane_encoder *encoder, bool sparse, covey__buffer *out) {
    double record = 1e9, code = 1e9;
    for (int i = 0; i < TRIES / 3; i++) {
        covey__lane_encoder_clear(encoder);
        covey__buffer_clear(out);
        double began = now();
        for (size_t s = 0; s < STEPS; s++)
            covey__lane_encoder_step(encoder, 0, contexts + 32 * s, masks[s], symbols + 32 * s);
        double middle = now();
        if (covey__lane_encoder_finish(encoder, tables, TABLES, out, NULL)) exit(1);
        double end = now();
        if (middle - began < record) record = middle - began;
        if (end - middle < code) code = end - middle;
    }
    if (!covey__buffer_reserve(out, COVEY__LANE_PAST)) exit(1);
    double count = (double)encoder->symbols * 1e-6;
    printf("encode   %-7s record %8.1f  code %8.1f  both %8.1f M symbols/s\n",
           sparse ? "sparse" : "full", count / record, count / code, count / (record + code));
}

int main(int count, char **values) {
    covey__env env;
    covey__env_init(&env);
    uint8_t bytes[TABLES * 3];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(96 + draw() % 64);
    tables = allocate(TABLES * sizeof *tables);
    rows = allocate(ROWS * sizeof *rows);
    covey__lane_tables_make(bytes, sizeof bytes, tables, TABLES);
    covey__lane_rows_make(tables, rows, ROWS);
    covey__lane_encoder encoder;
    covey__buffer stream;
    covey__lane_encoder_init(&encoder, &env, 1 << 28);
    covey__buffer_init(&stream, &env, 1 << 28);
    for (int kind = STEP; kind < FORMS; kind++)
        for (int sparse = 0; sparse < 2; sparse++) {
            fill((form)kind, sparse);
            encode(&encoder, sparse, &stream);
            for (int isa = 0; isa < COVEY__ISA_COUNT; isa++) {
                if (count > 1 && strcmp(values[1], covey__isa_name((covey__isa)isa)) != 0) continue;
                if (!covey__cpu_has((covey__isa)isa)) continue;
                if (isa != COVEY__ISA_SCALAR &&
                    covey__lane_run_get((covey__isa)isa) == covey__lane_run_scalar)
                    continue;
                decode((covey__isa)isa, (form)kind, sparse, &stream, encoder.symbols);
            }
        }
    covey__lane_encoder_free(&encoder);
    covey__buffer_free(&stream);
    free(tables);
    free(rows);
    return 0;
}
