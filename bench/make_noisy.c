/* The fine-tune of a synthetic model: every F16 matrix with Gaussian noise added. The noise of a
 * row has PERCENT (1) hundredths of the row's root mean square; what is not F16 stays as it is, and
 * so do the metadata: the two files differ in weights alone. The seed is fixed. Memory holds a row
 * and the table that noise is drawn from. bench/make-noisy builds and runs it.
 *
 * usage: make_noisy BASE.f16.gguf OUT.gguf [PERCENT] */
#include "bench_random.h"

#include "base/env.h"
#include "gguf/gguf.h"
#include "kernel/kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#define QUANTILES 65536
#define PIECE     ((size_t)1 << 20)

static float quantiles[QUANTILES]; /* of a Gaussian of variance 1/2, as many as 16 bits name */
static float widened[QUANTILES];   /* the value of each F16 */

/* The middle of each of so many equal shares of the distribution, by Newton's method from the one
 * before. */
static void set_tables(void) {
    double at = 0.0;
    for (int i = QUANTILES / 2; i < QUANTILES; i++) {
        double tail = 1.0 - ((double)i + 0.5) / QUANTILES;
        for (int step = 0; step < 8; step++)
            at += (0.5 * erfc(at) - tail) * sqrt(3.14159265358979324) * exp(at * at);
        quantiles[i] = (float)at;
        quantiles[QUANTILES - 1 - i] = (float)-at;
    }
    for (uint32_t i = 0; i < QUANTILES; i++) widened[i] = covey__f16_to_f32((uint16_t)i);
}

/* Two draws of variance 1/2 make one of variance 1, in 2^32 steps. */
static void add_noise(const uint16_t *row, uint16_t *out, size_t count, double share,
                      uint64_t *seed) {
    double squares = 0.0;
    for (size_t i = 0; i < count; i++) squares += (double)widened[row[i]] * widened[row[i]];
    float size = (float)(share * sqrt(squares / (double)count));
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits = i % 2 == 0 ? bench_random(seed) : bits >> 32;
        float noise = quantiles[bits & 0xffff] + quantiles[bits >> 16 & 0xffff];
        out[i] = covey__f32_to_f16(widened[row[i]] + size * noise);
    }
}

static bool write_noisy(FILE *out, const covey__gguf_tensor *t, double share, uint64_t *seed) {
    size_t width = (size_t)t->dimensions[0];
    uint16_t *row = malloc(width * sizeof *row);
    bool good = row != NULL;
    for (uint64_t first = 0; first < t->element_count && good; first += width) {
        add_noise((const uint16_t *)(const void *)t->data + first, row, width, share, seed);
        good = fwrite(row, sizeof *row, width, out) == width;
    }
    free(row);
    return good;
}

static bool write_bytes(FILE *out, const uint8_t *bytes, uint64_t count) {
    for (uint64_t at = 0; at < count; at += PIECE) {
        size_t size = count - at < PIECE ? (size_t)(count - at) : PIECE;
        if (fwrite(bytes + at, 1, size, out) != size) return false;
    }
    return true;
}

/* Each tensor at its place in the base's file. */
static bool write_file(FILE *out, const covey__gguf *base, double share) {
    uint64_t seed = 20261120, size = covey__gguf_size(base);
    bool good = write_bytes(out, covey__gguf_bytes(base), covey__gguf_data_offset(base));
    for (size_t i = 0; i < covey__gguf_tensor_count(base) && good; i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(base, i);
        good = fseeko(out, (off_t)t->file_offset, SEEK_SET) == 0 &&
               (t->type == COVEY__TYPE_F16 ? write_noisy(out, t, share, &seed)
                                           : write_bytes(out, t->data, t->bytes));
    }
    /* The last tensor is padded. */
    return good && fseeko(out, 0, SEEK_END) == 0 && (uint64_t)ftello(out) <= size &&
           write_bytes(out, covey__gguf_bytes(base) + ftello(out), size - (uint64_t)ftello(out));
}

int main(int argc, char **argv) {
    covey_error error = {.message = ""};
    covey__gguf *base = NULL;
    covey__env env;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: make_noisy BASE.f16.gguf OUT.gguf [PERCENT]\n");
        return 2;
    }
    covey__env_init(&env);
    if (covey__gguf_open_path(&env, argv[1], &base, &error) != COVEY_OK) {
        fprintf(stderr, "make_noisy: %s\n", error.message);
        return 1;
    }
    set_tables();
    FILE *out = fopen(argv[2], "wb");
    bool good = out != NULL && write_file(out, base, (argc > 3 ? atof(argv[3]) : 1.0) / 100.0);
    if (out != NULL) good = fclose(out) == 0 && good;
    if (!good) fprintf(stderr, "make_noisy: cannot write %s\n", argv[2]);
    covey__gguf_close(base);
    return good ? 0 : 1;
}
