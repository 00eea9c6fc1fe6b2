/* Directions of a change by subspace iteration (Halko, Martinsson and Tropp, "Finding structure
 * with randomness", SIAM Review 53, 2011) over a sample of rows. First a few rows and directions,
 * held against the same rows turned out of step: noise looks alike then, and most tensors are done
 * with that. Else more rows, and more directions while the last ones stand out of the noise. How
 * many are worth their bytes is tried out: some rows are coded with and without them. Then the
 * rows' numbers are made from all rows. Nothing here must be exact. */
#include "delta/patch_factor.h"

#include "base/error.h"
#include "delta/residual.h"
#include "delta/tensor_blocks.h"
#include "delta/tensor_numbers.h"

#include <math.h>
#include <string.h>

#define LOOK_ROWS    128
#define LOOK_GAIN    1.08 /* what directions hold of a change, over what they hold of noise */
#define SAMPLE_ROWS  512
#define SAMPLE_BYTES ((size_t)8 << 20)
#define ROWS_BYTES   ((size_t)12 << 20)  /* of the rows' numbers while they are floats */
#define TRIAL_BYTES  ((size_t)128 << 10) /* of rows that are coded on trial */
#define WIDTH        COVEY__FACTOR_WIDTH

typedef struct finder {
    const covey__env *env;
    uint8_t type;
    const covey__block_layout *layout;
    const uint8_t *old, *fresh;
    size_t rows, columns, row_bytes;
    size_t sampled;                      /* rows in `change` */
    float *change;                       /* sampled x columns: what moved, in weight units */
    float *v;                            /* columns x rank: directions, orthonormal */
    float *u;                            /* rows x rank */
    size_t rank;                         /* a multiple of WIDTH */
    double held[COVEY__FACTOR_RANK_MAX]; /* of the sample's energy, by direction */
    const covey__residual_kernel *kernel;
    double step; /* mean step size of new codes */
} finder;

/* ---- What changed -----------------------------------------------------------------------------
 */

/* Where it is no number there is nothing to learn from it. */
static float finite_half(uint16_t u) {
    return (u & 0x7c00) == 0x7c00 ? 0.0f : half(u);
}

/* A block's weights times `sign`, added to `out`; its steps are summed up. */
static void add_block(const covey__block_layout *layout, const uint8_t *data, float sign,
                      covey__block_batch *batch, float *out, double *steps) {
    int subs = layout->subs ? layout->subs : 1, width = layout->weights / subs;
    layout->take(data, 0, batch);
    float d = finite_half(batch->d[0]), m = layout->has_m ? finite_half(batch->m[0]) : 0.0f;
    for (int s = 0; s < subs; s++) {
        float step = layout->subs ? d * (float)batch->scale[s][0] : d;
        float offset = layout->has_mins ? m * (float)batch->min[s][0] : -m;
        if (steps) *steps += fabsf(step) * (float)width;
        step *= sign;
        offset *= sign;
        for (int i = 0; i < width; i++)
            out[s * width + i] += step * (float)batch->codes[s * width + i] - offset;
    }
}

static void row_change(const finder *f, size_t row, covey__block_batch *batch, float *out,
                       double *steps) {
    const covey__block_layout *layout = f->layout;
    memset(out, 0, f->columns * sizeof *out);
    for (size_t b = 0; b < f->columns / layout->weights; b++) {
        size_t at = row * f->row_bytes + b * layout->bytes;
        add_block(layout, f->fresh + at, 1.0f, batch, out + b * layout->weights, steps);
        add_block(layout, f->old + at, -1.0f, batch, out + b * layout->weights, NULL);
    }
}

/* `rows` rows from all over the tensor, fewer where these are too large. */
static covey_status sample(finder *f, size_t rows, covey_error *error) {
    covey__block_batch *batch = covey__alloc(f->env, sizeof *batch);
    double steps = 0;
    if (rows > f->rows) rows = f->rows;
    while (rows > 1 && rows * f->columns * sizeof(float) > SAMPLE_BYTES) rows /= 2;
    covey__free(f->env, f->change);
    f->change = covey__alloc(f->env, rows * f->columns * sizeof(float));
    if (!batch || !f->change) {
        covey__free(f->env, batch);
        return covey__no_memory(error, "rows of a tensor", rows * f->columns * sizeof(float));
    }
    for (size_t i = 0; i < rows; i++)
        row_change(f, i * f->rows / rows, batch, f->change + i * f->columns, &steps);
    f->sampled = rows;
    f->step = steps / (double)(rows * f->columns);
    covey__free(f->env, batch);
    return COVEY_OK;
}

static double energy_of(const float *x, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
    return sum;
}

/* ---- Directions -------------------------------------------------------------------------------
 */

static double dot_of(const float *a, const float *b, size_t count) {
    double sums[4] = {0};
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t k = 0; k < 4; k++) sums[k] += (double)a[i + k] * b[i + k];
    for (; i < count; i++) sums[0] += (double)a[i] * b[i];
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

/* Columns of a (count x rank) made orthonormal in turn; one that is nothing becomes 0. `turned` has
 * room for as many numbers. */
static void orthonormal(float *a, size_t count, size_t rank, float *turned) {
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < rank; r++) turned[r * count + i] = a[i * rank + r];
    for (size_t r = 0; r < rank; r++) {
        float *own = turned + r * count;
        for (size_t s = 0; s < r; s++) {
            const float *other = turned + s * count;
            float by = (float)dot_of(own, other, count);
            for (size_t i = 0; i < count; i++) own[i] -= by * other[i];
        }
        double size = dot_of(own, own, count);
        float by = size > 1e-30 ? (float)(1 / sqrt(size)) : 0.0f;
        for (size_t i = 0; i < count; i++) own[i] *= by;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < rank; r++) a[i * rank + r] = turned[r * count + i];
}

/* u is room for sampled x rank, `next` and `turned` for columns x rank each. */
static void iterate(finder *f, int times, float *next, float *turned) {
    for (int t = 0; t < times; t++) {
        memset(next, 0, f->columns * f->rank * sizeof *next);
        f->kernel->project(f->change, f->sampled, f->v, f->columns, f->rank, f->u);
        f->kernel->spread(f->change, f->sampled, f->u, f->columns, f->rank, next);
        orthonormal(next, f->columns, f->rank, turned);
        memcpy(f->v, next, f->columns * f->rank * sizeof *next);
    }
}

/* Directions by what they hold of the sample, strongest first. */
static void put_in_order(finder *f) {
    for (size_t r = 0; r < f->rank; r++) f->held[r] = 0;
    for (size_t i = 0; i < f->sampled; i++)
        for (size_t r = 0; r < f->rank; r++)
            f->held[r] += (double)f->u[i * f->rank + r] * f->u[i * f->rank + r];
    for (size_t r = 0; r < f->rank; r++) {
        size_t best = r;
        for (size_t s = r + 1; s < f->rank; s++)
            if (f->held[s] > f->held[best]) best = s;
        if (best == r) continue;
        double swap = f->held[r];
        f->held[r] = f->held[best];
        f->held[best] = swap;
        for (size_t i = 0; i < f->columns; i++) {
            float value = f->v[i * f->rank + r];
            f->v[i * f->rank + r] = f->v[i * f->rank + best];
            f->v[i * f->rank + best] = value;
        }
    }
}

/* More directions, `rank` in all, beside those that are there; iterates over the sample. */
static covey_status directions(finder *f, size_t rank, int times, covey_error *error) {
    uint64_t state = 0x9e3779b97f4a7c15u;
    size_t count = f->columns * rank;
    float *v = covey__alloc(f->env, count * sizeof *v);
    float *next = covey__alloc(f->env, 2 * count * sizeof *next);
    covey__free(f->env, f->u);
    f->u = covey__alloc(f->env, f->sampled * rank * sizeof *f->u);
    if (!v || !next || !f->u) {
        covey__free(f->env, v);
        covey__free(f->env, next);
        return covey__no_memory(error, "directions of a tensor", 3 * count * sizeof *v);
    }
    for (size_t i = 0; i < count; i++) {
        size_t column = i / rank, r = i % rank;
        state = state * 6364136223846793005u + 1442695040888963407u;
        v[i] = r < f->rank ? f->v[column * f->rank + r] : (float)(int32_t)(state >> 32) * 4.6e-10f;
    }
    covey__free(f->env, f->v);
    f->v = v;
    f->rank = rank;
    orthonormal(f->v, f->columns, rank, next);
    iterate(f, times, next, next + count);
    f->kernel->project(f->change, f->sampled, f->v, f->columns, rank, f->u);
    put_in_order(f);
    covey__free(f->env, next);
    return COVEY_OK;
}

/* What share of the sample's energy WIDTH directions hold. */
static covey_status look(finder *f, double all, double *share, covey_error *error) {
    f->rank = 0;
    covey_status status = directions(f, WIDTH, 2, error);
    *share = 0;
    for (size_t r = 0; r < f->rank && !status; r++) *share += f->held[r] / all;
    return status;
}

/* Turns each row by an amount of its own: what rows had in common is gone, all else stays. */
static covey_status turn_rows(finder *f, covey_error *error) {
    uint64_t state = 88172645463325252u;
    float *row = covey__alloc(f->env, f->columns * sizeof *row);
    if (!row) return covey__no_memory(error, "a row", f->columns * sizeof *row);
    for (size_t i = 0; i < f->sampled; i++) {
        float *own = f->change + i * f->columns;
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t by = (size_t)(state >> 33) % f->columns;
        memcpy(row, own + by, (f->columns - by) * sizeof *row);
        memcpy(row + f->columns - by, own, by * sizeof *row);
        memcpy(own, row, f->columns * sizeof *row);
    }
    covey__free(f->env, row);
    return COVEY_OK;
}

/* Whether the change has few directions. */
static covey_status has_structure(finder *f, bool *has, covey_error *error) {
    double found = 0, noise = 0;
    *has = false;
    covey_status status = sample(f, LOOK_ROWS, error);
    double all = status ? 0 : energy_of(f->change, f->sampled * f->columns);
    if (status || f->sampled < 2 * WIDTH || !(all > 0) || !(f->step > 0)) return status;
    status = look(f, all, &found, error);
    if (!status) status = turn_rows(f, error);
    if (!status) status = look(f, all, &noise, error);
    f->rank = 0;
    *has = !status && found > noise * LOOK_GAIN;
    return status;
}

/* The largest squared singular value of noise is what is left over all of them times this
 * (Marchenko and Pastur). The weakest quarter of what was found must be above it for more to be
 * worth a look. */
static bool wants_more(const finder *f, double all, size_t rank_max) {
    double rows = (double)f->sampled, columns = (double)f->columns, left = all, weakest = 0;
    if (f->rank >= rank_max || f->sampled < 4 * f->rank) return false;
    for (size_t r = 0; r < f->rank; r++) left -= f->held[r];
    for (size_t r = f->rank * 3 / 4; r < f->rank; r++) weakest += f->held[r];
    double edge = (sqrt(rows) + sqrt(columns)) * (sqrt(rows) + sqrt(columns)) / (rows * columns);
    return weakest / ((double)f->rank / 4) > 1.1 * edge * (left > 0 ? left : 0);
}

/* `count` rows' numbers, from the row `first` on, to f->u; what these rows hold to `held`. */
static covey_status project_rows(finder *f, size_t first, size_t count, double *held,
                                 double *energy, covey_error *error) {
    covey__block_batch *batch = covey__alloc(f->env, sizeof *batch);
    float *row = covey__alloc(f->env, f->columns * sizeof *row);
    covey__free(f->env, f->u);
    f->u = covey__alloc(f->env, count * f->rank * sizeof *f->u);
    covey_status status = COVEY_OK;
    *energy = 0;
    for (size_t r = 0; r < f->rank; r++) held[r] = 0;
    if (!batch || !row || !f->u)
        status = covey__no_memory(error, "rows of a tensor", count * f->rank * sizeof *f->u);
    for (size_t i = 0; i < count && !status; i++) {
        float *u = f->u + i * f->rank;
        row_change(f, first + i, batch, row, NULL);
        *energy += energy_of(row, f->columns);
        f->kernel->project(row, 1, f->v, f->columns, f->rank, u);
        for (size_t r = 0; r < f->rank; r++) held[r] += (double)u[r] * u[r];
    }
    covey__free(f->env, batch);
    covey__free(f->env, row);
    return status;
}

/* ---- Levels -----------------------------------------------------------------------------------
 */

/* How many directions, strongest first, and how many levels their numbers get (1: the usual). */
typedef struct choice {
    size_t rank;
    double fineness;
} choice;

static int8_t level(float x) {
    float rounded = rintf(x);
    return (int8_t)(rounded > 127 ? 127 : rounded < -127 ? -127 : rounded);
}

/* The greatest sizes of a direction's numbers. */
static double most_of(const float *a, size_t count, size_t stride) {
    float most = 0;
    for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(a[i * stride]));
    return (double)most;
}

/* Both sides of each direction get levels of one absolute size, as fine as what stays over asks.
 * f->u has `rows` rows. */
static covey_status quantize(const finder *f, size_t rows, const double *held, double energy,
                             const choice *c, covey__factor *out, covey_error *error) {
    size_t rank = c->rank;
    double left = energy, scale;
    for (size_t r = 0; r < rank; r++) left -= held[r];
    if (left < energy * 1e-4) left = energy * 1e-4;
    double finest = 2.5 * c->fineness * sqrt((double)rank * held[0] / left); /* rms, in levels */
    finest = finest < 2.5 ? 2.5 : finest > 42 ? 42 : finest;
    scale = sqrt(held[0] / ((double)rows * (double)f->columns)) / (finest * finest);
    for (size_t r = 0; r < rank; r++) /* no level is over 127 */
        scale = fmax(scale, most_of(f->u + r, rows, f->rank) *
                                most_of(f->v + r, f->columns, f->rank) / (127.0 * 127.0));
    out->u = covey__alloc(f->env, rows * rank);
    out->v = covey__alloc(f->env, f->columns * rank);
    if (!out->u || !out->v) return covey__no_memory(error, "factors", rows * rank);
    for (size_t r = 0; r < rank; r++) {
        double most_u = most_of(f->u + r, rows, f->rank);
        double most_v = most_of(f->v + r, f->columns, f->rank);
        double most = scale > 0 ? sqrt(most_u * most_v / scale) : 0; /* levels on both sides */
        double by_u = most_u > 0 ? most / most_u : 0, by_v = most_v > 0 ? most / most_v : 0;
        for (size_t i = 0; i < rows; i++)
            out->u[i * rank + r] = level(f->u[i * f->rank + r] * (float)by_u);
        for (size_t i = 0; i < f->columns; i++)
            out->v[r * f->columns + i] = level(f->v[i * f->rank + r] * (float)by_v);
    }
    out->factor = (covey__tensor_factor){.columns = (uint32_t)f->columns,
                                         .rank = (uint8_t)rank,
                                         .scale = (float)scale,
                                         .v = out->v,
                                         .u = out->u};
    return COVEY_OK;
}

/* ---- What they are worth ----------------------------------------------------------------------
 */

/* Some rows of the tensor, coded on trial. */
typedef struct trial {
    size_t first, rows;
    double held[COVEY__FACTOR_RANK_MAX], energy;
    double bits; /* of the whole tensor, as far as these rows tell */
    choice best; /* that takes them */
} trial;

/* Bits of bytes by how often each value stands there. */
static double bits_of_bytes(const int8_t *bytes, size_t count) {
    uint32_t counts[256] = {0};
    double bits = 0;
    for (size_t i = 0; i < count; i++) counts[(uint8_t)bytes[i]]++;
    for (size_t i = 0; i < 256; i++)
        if (counts[i]) bits -= counts[i] * log2((double)counts[i] / (double)count);
    return bits;
}

/* Tries a choice; the best one so far is kept. `*better`: it is this one. */
static covey_status try_one(const finder *f, trial *t, choice c, bool *better, covey_error *error) {
    covey__factor made = {0};
    covey__tensor_coder *coder = NULL;
    covey__tensor_part part = {.type = f->type,
                               .old = f->old + t->first * f->row_bytes,
                               .fresh = (uint8_t *)(uintptr_t)f->fresh + t->first * f->row_bytes,
                               .size = t->rows * f->row_bytes};
    *better = false;
    covey_status status = covey__tensor_coder_new(f->env, f->kernel->isa, &coder, error);
    if (!status && c.rank) {
        status = quantize(f, t->rows, t->held, t->energy, &c, &made, error);
        part.factor = &made.factor;
    }
    if (!status) status = covey__tensor_starts(coder, &part, error);
    if (!status) status = covey__tensor_count(coder, &part, error);
    if (!status) {
        double bits = covey__tensor_coder_bits(coder) * (double)f->rows / (double)t->rows;
        if (c.rank) bits += bits_of_bytes(made.v, c.rank * f->columns);
        *better = c.rank == 0 || bits < t->bits;
        if (*better) t->bits = bits;
        if (*better) t->best = c;
    }
    covey__factor_free(f->env, &made);
    covey__tensor_coder_free(coder);
    return status;
}

/* Ranks from 8 on upward as long as they get better, or downward; then those beside the best. */
static covey_status try_ranks(const finder *f, trial *t, covey_error *error) {
    bool better = false;
    size_t begin = f->rank < 8 ? f->rank : 8;
    covey_status status = try_one(f, t, (choice){0, 1}, &better, error);
    if (!status) status = try_one(f, t, (choice){begin, 1}, &better, error);
    for (size_t r = 2 * begin; !status && better && r <= f->rank; r *= 2)
        status = try_one(f, t, (choice){r, 1}, &better, error);
    better = t->best.rank <= begin;
    for (size_t r = begin / 2; !status && better && r > 0; r /= 2) {
        status = try_one(f, t, (choice){r, 1}, &better, error);
        better = better || t->best.rank == 0;
    }
    size_t middle = t->best.rank;
    if (!status && middle >= 4)
        status = try_one(f, t, (choice){middle - middle / 4, 1}, &better, error);
    if (!status && middle >= 2 && middle + middle / 2 <= f->rank)
        status = try_one(f, t, (choice){middle + middle / 2, 1}, &better, error);
    return status;
}

/* The choice that makes the patch smallest: rank 0 where no directions do. */
static covey_status worth(finder *f, choice *best, covey_error *error) {
    trial t = {.rows = TRIAL_BYTES / f->row_bytes};
    bool better = false;
    if (t.rows < 32) t.rows = 32;
    if (t.rows > f->rows) t.rows = f->rows;
    t.first = (f->rows - t.rows) / 2;
    covey_status status = project_rows(f, t.first, t.rows, t.held, &t.energy, error);
    if (!status && t.energy > 0 && t.held[0] > 0) status = try_ranks(f, &t, error);
    size_t rank = t.best.rank;
    if (!status && rank) status = try_one(f, &t, (choice){rank, 1.5}, &better, error);
    if (!status && rank && !better) status = try_one(f, &t, (choice){rank, 0.67}, &better, error);
    *best = t.best;
    return status;
}

static covey_status find(finder *f, covey__factor *out, covey_error *error) {
    double energy = 0, held[COVEY__FACTOR_RANK_MAX];
    size_t rank_max = COVEY__FACTOR_RANK_MAX;
    choice best = {0};
    bool has = false;
    while (rank_max > WIDTH && f->rows * rank_max * sizeof(float) > ROWS_BYTES) rank_max /= 2;
    covey_status status = has_structure(f, &has, error);
    if (status || !has) return status;
    status = sample(f, SAMPLE_ROWS, error);
    double all = status ? 0 : energy_of(f->change, f->sampled * f->columns);
    if (!status) status = directions(f, WIDTH, 4, error);
    while (!status && wants_more(f, all, rank_max)) status = directions(f, 2 * f->rank, 2, error);
    covey__free(f->env, f->change);
    f->change = NULL;
    if (!status) status = worth(f, &best, error);
    if (status || best.rank == 0) return status;
    status = project_rows(f, 0, f->rows, held, &energy, error);
    return status ? status : quantize(f, f->rows, held, energy, &best, out, error);
}

covey_status covey__factor_find(const covey__env *env, uint8_t type, const uint8_t *old,
                                const uint8_t *fresh, size_t size, uint64_t columns,
                                covey__factor *factor, covey_error *error) {
    const covey__block_layout *layout = covey__block_layout_get(type);
    memset(factor, 0, sizeof *factor);
    if (!layout || layout->has_codebook || columns == 0 || columns % layout->weights ||
        columns > UINT32_MAX)
        return COVEY_OK;
    finder f = {.env = env, .type = type, .layout = layout, .old = old, .fresh = fresh};
    f.kernel = covey__residual_kernel_get(covey__cpu_best());
    f.columns = (size_t)columns;
    f.row_bytes = f.columns / layout->weights * layout->bytes;
    f.rows = size / f.row_bytes;
    if (f.rows < 2 * WIDTH || f.columns < 2 * WIDTH || f.row_bytes > ((size_t)1 << 20))
        return COVEY_OK;
    covey_status status = find(&f, factor, error);
    covey__free(env, f.change);
    covey__free(env, f.u);
    covey__free(env, f.v);
    if (status) covey__factor_free(env, factor);
    return status;
}

void covey__factor_free(const covey__env *env, covey__factor *factor) {
    covey__free(env, factor->u);
    covey__free(env, factor->v);
    memset(factor, 0, sizeof *factor);
}
