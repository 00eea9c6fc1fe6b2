/* Directions of a change by subspace iteration (Halko, Martinsson and Tropp, "Finding structure
 * with randomness", SIAM Review 53, 2011) over a sample of rows. First a few rows and directions:
 * noise has none, and most tensors are done with that. Else more of both, then the rows' numbers
 * from all rows, then the columns' once more from these. How many directions are worth their bytes
 * is reckoned from how far codes move. Nothing here must be exact. */
#include "delta/patch_factor.h"

#include "base/error.h"
#include "delta/tensor_blocks.h"

#include <math.h>
#include <string.h>

#define LOOK_ROWS    64
#define LOOK_RANK    16
#define SAMPLE_ROWS  512
#define SAMPLE_BYTES ((size_t)8 << 20)
#define WIDTH        16 /* directions are handled by sixteen: a vector of floats */

typedef struct finder {
    const covey__env *env;
    const covey__block_layout *layout;
    const uint8_t *old, *fresh;
    size_t rows, columns, row_bytes;
    size_t sampled; /* rows in `change` */
    float *change;  /* sampled x columns: what moved, in weight units */
    float *v;       /* columns x rank: directions, orthonormal */
    float *u;       /* rows x rank */
    size_t rank;    /* a multiple of WIDTH */
    double step;    /* mean step size of new codes */
} finder;

/* ---- What changed -----------------------------------------------------------------------------
 */

static float half(uint16_t u) {
    float size = (u & 0x7c00) ? ldexpf((float)((u & 1023) | 1024), ((u >> 10) & 31) - 25)
                              : ldexpf((float)(u & 1023), -24);
    if ((u & 0x7c00) == 0x7c00) size = 0.0f; /* no number: nothing to learn from it */
    return u & 0x8000 ? -size : size;
}

/* A block's weights times `sign`, added to `out`; its steps are summed up. */
static void add_block(const covey__block_layout *layout, const uint8_t *data, float sign,
                      covey__block_batch *batch, float *out, double *steps) {
    int subs = layout->subs ? layout->subs : 1, width = layout->weights / subs;
    layout->take(data, 0, batch);
    float d = half(batch->d[0]), m = layout->has_m ? half(batch->m[0]) : 0.0f;
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

/* u[0..rank) = the row times v. */
static void project(const float *row, const float *v, size_t columns, size_t rank, float *u) {
    for (size_t first = 0; first < rank; first += WIDTH) {
        float sum[WIDTH] = {0};
        for (size_t c = 0; c < columns; c++)
            for (size_t r = 0; r < WIDTH; r++) sum[r] += row[c] * v[c * rank + first + r];
        memcpy(u + first, sum, sizeof sum);
    }
}

/* v += the row's column times u. */
static void spread(const float *row, const float *u, size_t columns, size_t rank, float *v) {
    for (size_t first = 0; first < rank; first += WIDTH) {
        float own[WIDTH];
        memcpy(own, u + first, sizeof own);
        for (size_t c = 0; c < columns; c++)
            for (size_t r = 0; r < WIDTH; r++) v[c * rank + first + r] += row[c] * own[r];
    }
}

/* Columns of a (count x rank) made orthonormal in turn; one that is nothing becomes 0. */
static void orthonormal(float *a, size_t count, size_t rank) {
    for (size_t r = 0; r < rank; r++) {
        for (size_t s = 0; s <= r; s++) {
            double dot = 0;
            for (size_t i = 0; i < count; i++) dot += (double)a[i * rank + r] * a[i * rank + s];
            float by = s < r ? (float)dot : dot > 1e-30 ? (float)(1 / sqrt(dot)) : 0.0f;
            for (size_t i = 0; i < count; i++)
                a[i * rank + r] =
                    s < r ? a[i * rank + r] - by * a[i * rank + s] : a[i * rank + r] * by;
        }
    }
}

static void iterate(finder *f, int times) {
    float u[COVEY__FACTOR_RANK_MAX];
    float *next = f->u; /* room for columns x rank: see directions */
    for (int t = 0; t < times; t++) {
        memset(next, 0, f->columns * f->rank * sizeof *next);
        for (size_t i = 0; i < f->sampled; i++) {
            project(f->change + i * f->columns, f->v, f->columns, f->rank, u);
            spread(f->change + i * f->columns, u, f->columns, f->rank, next);
        }
        orthonormal(next, f->columns, f->rank);
        memcpy(f->v, next, f->columns * f->rank * sizeof *next);
    }
}

/* Begins with `rank` random directions and iterates over the sample; returns what share of the
 * sample's energy they hold. */
static covey_status directions(finder *f, size_t rank, int times, double *share,
                               covey_error *error) {
    size_t most = f->rows > f->columns ? f->rows : f->columns;
    uint64_t state = 0x9e3779b97f4a7c15u;
    float u[COVEY__FACTOR_RANK_MAX];
    covey__free(f->env, f->v);
    covey__free(f->env, f->u);
    f->rank = rank;
    f->v = covey__alloc(f->env, f->columns * rank * sizeof *f->v);
    f->u = covey__alloc(f->env, most * rank * sizeof *f->u);
    if (!f->v || !f->u)
        return covey__no_memory(error, "directions of a tensor", most * rank * sizeof *f->u);
    for (size_t i = 0; i < f->columns * rank; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        f->v[i] = (float)(int32_t)(state >> 32) * 4.6e-10f;
    }
    orthonormal(f->v, f->columns, rank);
    iterate(f, times);
    double held = 0, all = energy_of(f->change, f->sampled * f->columns);
    for (size_t i = 0; i < f->sampled; i++) {
        project(f->change + i * f->columns, f->v, f->columns, rank, u);
        held += energy_of(u, rank);
    }
    *share = all > 0 ? held / all : 0;
    return COVEY_OK;
}

/* The rows' numbers from all rows; and the columns' once more, from these, by one step of least
 * squares: v = change^T u / |u|^2, for directions that the orthonormal v made nearly so. */
static covey_status all_rows(finder *f, double *energy, covey_error *error) {
    covey__block_batch *batch = covey__alloc(f->env, sizeof *batch);
    float *row = covey__alloc(f->env, f->columns * sizeof *row);
    covey_status status = COVEY_OK;
    *energy = 0;
    if (!batch || !row) status = covey__no_memory(error, "a row", f->columns * sizeof *row);
    for (size_t i = 0; i < f->rows && !status; i++) {
        row_change(f, i, batch, row, NULL);
        *energy += energy_of(row, f->columns);
        project(row, f->v, f->columns, f->rank, f->u + i * f->rank);
    }
    covey__free(f->env, batch);
    covey__free(f->env, row);
    return status;
}

/* ---- What they are worth ----------------------------------------------------------------------
 */

/* Bits a code takes when weights move by `x` steps (rms): few codes flip, or many move far. */
static double bits_of_code(double x) {
    if (x < 1e-9) return 0;
    if (x > 0.7) return log2(4.13 * x);
    double p = 0.8 * x;
    return p - p * log2(p) - (1 - p) * log2(1 - p);
}

/* How many directions, strongest first, make the patch smallest. They stand in order. */
static size_t worth(const finder *f, const double *held, double energy) {
    double weights = (double)f->rows * (double)f->columns;
    double left = energy, best = bits_of_code(sqrt(energy / weights) / f->step) * weights;
    double each = ((double)f->rows + (double)f->columns) * 6.0;
    size_t rank = 0;
    for (size_t r = 0; r < f->rank; r++) {
        left -= held[r];
        double rms = sqrt((left > 0 ? left : 0) / weights + f->step * f->step / 12);
        double bits = bits_of_code(rms / f->step) * weights + each * (double)(r + 1);
        if (bits >= best * 0.995) continue;
        best = bits;
        rank = r + 1;
    }
    return rank;
}

static int8_t level(float x) {
    float rounded = rintf(x);
    return (int8_t)(rounded > 127 ? 127 : rounded < -127 ? -127 : rounded);
}

/* Both sides of each direction get levels of one absolute size, as fine as what stays over asks. */
static covey_status quantize(const finder *f, const double *held, double energy, size_t rank,
                             covey__factor *out, covey_error *error) {
    double left = energy;
    for (size_t r = 0; r < rank; r++) left -= held[r];
    if (left < energy * 1e-4) left = energy * 1e-4;
    double finest = 7 * sqrt((double)rank * held[0] / left);
    finest = finest < 7 ? 7 : finest > 127 ? 127 : finest;
    out->u = covey__alloc(f->env, f->rows * rank);
    out->v = covey__alloc(f->env, f->columns * rank);
    if (!out->u || !out->v) return covey__no_memory(error, "factors", f->rows * rank);
    double scale = 0;
    for (size_t r = 0; r < rank; r++) {
        double most_u = 0, most_v = 0;
        for (size_t i = 0; i < f->rows; i++) most_u = fmax(most_u, fabsf(f->u[i * f->rank + r]));
        for (size_t i = 0; i < f->columns; i++) most_v = fmax(most_v, fabsf(f->v[i * f->rank + r]));
        if (r == 0) scale = most_u * most_v / (finest * finest);
        double most = sqrt(most_u * most_v / scale); /* levels on both sides */
        double by_u = most_u > 0 ? most / most_u : 0, by_v = most_v > 0 ? most / most_v : 0;
        for (size_t i = 0; i < f->rows; i++)
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

/* Directions by what they hold, strongest first: a small sort of columns in place. */
static void in_order(finder *f, double *held) {
    for (size_t r = 0; r < f->rank; r++) held[r] = 0;
    for (size_t i = 0; i < f->rows; i++)
        for (size_t r = 0; r < f->rank; r++)
            held[r] += (double)f->u[i * f->rank + r] * f->u[i * f->rank + r];
    for (size_t r = 0; r < f->rank; r++) {
        size_t best = r;
        for (size_t s = r + 1; s < f->rank; s++)
            if (held[s] > held[best]) best = s;
        if (best == r) continue;
        double swap = held[r];
        held[r] = held[best];
        held[best] = swap;
        for (size_t side = 0; side < 2; side++) {
            float *a = side ? f->v : f->u;
            for (size_t i = 0; i < (side ? f->columns : f->rows); i++) {
                float value = a[i * f->rank + r];
                a[i * f->rank + r] = a[i * f->rank + best];
                a[i * f->rank + best] = value;
            }
        }
    }
}

static covey_status find(finder *f, covey__factor *out, covey_error *error) {
    double share = 0, energy = 0, held[COVEY__FACTOR_RANK_MAX];
    covey_status status = sample(f, LOOK_ROWS, error);
    if (status) return status;
    /* Noise in a matrix of this shape: the largest squared singular value over all of them
     * (Marchenko and Pastur). Twice a rank's share of that is structure. */
    double n = (double)f->sampled, edge = 1 + sqrt(n / (double)f->columns);
    double noise = fmin(0.9, LOOK_RANK * edge * edge / n);
    if (f->sampled < LOOK_RANK || energy_of(f->change, f->sampled * f->columns) <= 0 ||
        !(f->step > 0))
        return COVEY_OK;
    status = directions(f, LOOK_RANK, 2, &share, error);
    if (status || share < noise * 1.15) return status;
    status = sample(f, SAMPLE_ROWS, error);
    if (!status) status = directions(f, 2 * LOOK_RANK, 4, &share, error);
    if (!status && f->sampled >= 256) { /* is there more to be had? */
        double wide = 0;
        if (share < 0.95) status = directions(f, COVEY__FACTOR_RANK_MAX, 4, &wide, error);
    }
    if (!status) status = all_rows(f, &energy, error);
    if (status || energy <= 0) return status;
    in_order(f, held);
    size_t rank = worth(f, held, energy);
    return rank ? quantize(f, held, energy, rank, out, error) : COVEY_OK;
}

covey_status covey__factor_find(const covey__env *env, uint8_t type, const uint8_t *old,
                                const uint8_t *fresh, size_t size, uint64_t columns,
                                covey__factor *factor, covey_error *error) {
    const covey__block_layout *layout = covey__block_layout_get(type);
    memset(factor, 0, sizeof *factor);
    if (!layout || layout->has_codebook || columns == 0 || columns % layout->weights ||
        columns > UINT32_MAX)
        return COVEY_OK;
    finder f = {.env = env, .layout = layout, .old = old, .fresh = fresh};
    f.columns = (size_t)columns;
    f.row_bytes = f.columns / layout->weights * layout->bytes;
    f.rows = size / f.row_bytes;
    if (f.rows < LOOK_RANK || f.columns < 2 * LOOK_RANK || f.row_bytes > ((size_t)1 << 20))
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
