/* The search for the scale of a group of weights. For given levels the best scale (and least value)
 * is a least squares problem with a closed solution; for a given scale the best levels are the
 * nearest ones. The two are taken in turn from several starts, and the best end is kept: Lloyd's
 * method (Least squares quantization in PCM, 1982) with levels on a line. Sums run in a fixed
 * order, so the same weights give the same bytes on every device. */
#include "kernel/encode_fit.h"

#include <float.h>
#include <math.h>

#define STARTS 9 /* of each search, around the scale that just reaches the extremes */
#define ROUNDS 2 /* of levels and scale in turn, for each start */

float covey__levels_affine(const float *x, const float *importance, int n, int top,
                           covey__affine fit, float *levels) {
    float inverse = fit.d > 0.0f ? 1.0f / fit.d : 0.0f, high = (float)top;
    float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int i = 0; i < n; i++) levels[i] = covey__level((x[i] + fit.m) * inverse, 0.0f, high);
    for (int i = 0; i < n; i++) {
        float off = fit.d * levels[i] - fit.m - x[i];
        part[i % 4] += importance[i] * off * off;
    }
    return (part[0] + part[1]) + (part[2] + part[3]);
}

float covey__levels_symmetric(const float *x, const float *importance, int n, int low, int high,
                              float scale, float *levels) {
    float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int i = 0; i < n; i++)
        levels[i] = inverse != 0.0f ? covey__level(x[i] * inverse, (float)low, (float)high) : 0.0f;
    for (int i = 0; i < n; i++) {
        float off = scale * levels[i] - x[i];
        part[i % 4] += importance[i] * off * off;
    }
    return (part[0] + part[1]) + (part[2] + part[3]);
}

/* The least squares line through the levels. False when they are all alike. */
static bool solve(const float *x, const float *importance, const float *levels, int n,
                  covey__affine *fit) {
    float w = 0.0f, wx = 0.0f, wl = 0.0f, wll = 0.0f, wlx = 0.0f;
    for (int i = 0; i < n; i++) {
        float wi = importance[i], li = levels[i];
        w += wi;
        wx += wi * x[i];
        wl += wi * li;
        wll += wi * li * li;
        wlx += wi * li * x[i];
    }
    float determinant = w * wll - wl * wl;
    if (!(determinant > 0.0f)) return false;
    float d = (w * wlx - wx * wl) / determinant;
    float c = (wll * wx - wl * wlx) / determinant;
    if (c > 0.0f) {
        c = 0.0f;
        d = wlx / wll;
    }
    if (!(d > 0.0f)) return false;
    *fit = (covey__affine){d, -c};
    return true;
}

covey__affine covey__fit_affine(const float *x, const float *importance, int n, int top) {
    float low = 0.0f, high = x[0], levels[COVEY__GROUP_VALUES_MAX], least = FLT_MAX;
    for (int i = 0; i < n; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    covey__affine best = {0.0f, -low};
    if (!(high > low)) return best;
    for (int start = 0; start < STARTS; start++) {
        float steps = (float)top + 0.25f * (float)(start - STARTS / 2);
        covey__affine fit = {(high - low) / steps, -low};
        for (int round = 0; round <= ROUNDS; round++) {
            float error = covey__levels_affine(x, importance, n, top, fit, levels);
            if (error < least) {
                least = error;
                best = fit;
            }
            if (round == ROUNDS || !solve(x, importance, levels, n, &fit)) break;
        }
    }
    return best;
}

static float solve_scale(const float *x, const float *importance, const float *levels, int n) {
    float lx = 0.0f, ll = 0.0f;
    for (int i = 0; i < n; i++) {
        lx += importance[i] * levels[i] * x[i];
        ll += importance[i] * levels[i] * levels[i];
    }
    return ll > 0.0f ? lx / ll : 0.0f;
}

float covey__fit_symmetric(const float *x, const float *importance, int n, int low, int high) {
    float extreme = 0.0f, levels[COVEY__GROUP_VALUES_MAX], least = FLT_MAX, best = 0.0f;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    if (extreme == 0.0f || !isfinite(extreme)) return 0.0f;
    for (int start = 0; start < 2 * STARTS; start++) {
        /* The value farthest out becomes the lowest level, or the highest. */
        float reach = start < STARTS ? (float)low : (float)high;
        float off = 0.2f * (float)(start % STARTS - STARTS / 2);
        float scale = extreme / (reach < 0.0f ? reach - off : reach + off);
        for (int round = 0; round <= ROUNDS; round++) {
            float error = covey__levels_symmetric(x, importance, n, low, high, scale, levels);
            if (error < least) {
                least = error;
                best = scale;
            }
            scale = solve_scale(x, importance, levels, n);
            if (round == ROUNDS || scale == 0.0f) break;
        }
    }
    return best;
}
