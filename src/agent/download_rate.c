/* How fast: download_rate.h. Integers only, so that a year of small steps adds up to what it
 * should. */
#include "agent/download_rate.h"

#define SECOND_US    INT64_C(1000000)
#define EARNED_US    (10 * SECOND_US) /* time that counts at most, at one look */
#define BURST_BYTES  16384            /* what a bucket holds at least: a read of a connection */
#define WINDOW_US    (15 * SECOND_US)
#define SAMPLE_US    (SECOND_US / 2)
#define KNOWN_US     (2 * SECOND_US) /* before that a speed is a guess */
#define SMOOTHING_US (4 * SECOND_US)

/* ---- The ceiling ------------------------------------------------------------------------------
 */

void covey__rate_set(covey__rate *rate, int64_t bytes_per_second_max) {
    if (bytes_per_second_max < 0) bytes_per_second_max = 0;
    if (bytes_per_second_max > COVEY__RATE_MAX) bytes_per_second_max = COVEY__RATE_MAX;
    if (rate->bytes_per_second_max == bytes_per_second_max) return;
    rate->bytes_per_second_max = bytes_per_second_max;
    rate->tokens = 0; /* a debt at another speed says nothing */
    rate->at_us = 0;
}

/* Adds what was earned since the last look. The time of a byte that is not whole yet stays. */
static void earn(covey__rate *rate, int64_t now_us) {
    int64_t speed = rate->bytes_per_second_max;
    if (rate->at_us == 0 || now_us < rate->at_us) rate->at_us = now_us;
    int64_t took_us = now_us - rate->at_us;
    if (took_us > EARNED_US) {
        took_us = EARNED_US;
        rate->at_us = now_us - took_us;
    }
    int64_t earned = took_us * speed / SECOND_US;
    if (earned == 0) return;
    rate->at_us += earned * SECOND_US / speed;
    rate->tokens += earned;
    int64_t most = speed / 10 > BURST_BYTES ? speed / 10 : BURST_BYTES;
    if (rate->tokens > most) rate->tokens = most;
}

void covey__rate_spend(covey__rate *rate, uint64_t bytes, int64_t now_us) {
    if (rate->bytes_per_second_max == 0) return;
    earn(rate, now_us);
    int64_t spent = bytes > (uint64_t)COVEY__RATE_MAX ? COVEY__RATE_MAX : (int64_t)bytes;
    rate->tokens -= spent;
    if (rate->tokens < -COVEY__RATE_MAX) rate->tokens = -COVEY__RATE_MAX;
}

int64_t covey__rate_wait_us(covey__rate *rate, int64_t now_us) {
    if (rate->bytes_per_second_max == 0) return 0;
    earn(rate, now_us);
    if (rate->tokens >= 0) return 0;
    int64_t seconds = -rate->tokens / rate->bytes_per_second_max;
    int64_t rest = -rate->tokens % rate->bytes_per_second_max;
    if (seconds > 1000000) return 1000000 * SECOND_US;
    return seconds * SECOND_US + rest * SECOND_US / rate->bytes_per_second_max + 1;
}

/* ---- Speed and time left ----------------------------------------------------------------------
 */

void covey__progress_init(covey__progress *progress) {
    *progress = (covey__progress){.left_ms = -1};
}

static int32_t slot_of(const covey__progress *progress, int32_t index) {
    return (progress->first + index) % COVEY__PROGRESS_SAMPLES;
}

/* Keeps one look each half second, and none that is older than the window. */
static void sample(covey__progress *progress, uint64_t done, int64_t now_us) {
    if (progress->count) {
        int32_t last = slot_of(progress, progress->count - 1);
        if (done < progress->samples[last].bytes || now_us < progress->samples[last].at_us)
            progress->count = 0; /* bytes were thrown away, or another update began */
        else if (now_us < progress->samples[last].at_us + SAMPLE_US)
            return;
    }
    if (progress->count == COVEY__PROGRESS_SAMPLES) {
        progress->first = slot_of(progress, 1);
        progress->count--;
    }
    int32_t at = slot_of(progress, progress->count++);
    progress->samples[at].at_us = now_us;
    progress->samples[at].bytes = done;
    while (progress->count > 2 &&
           progress->samples[slot_of(progress, 1)].at_us <= now_us - WINDOW_US) {
        progress->first = slot_of(progress, 1);
        progress->count--;
    }
}

static int64_t speed_of(const covey__progress *progress, uint64_t done, int64_t now_us) {
    if (!progress->count) return 0;
    int32_t oldest = slot_of(progress, 0);
    int64_t took_us = now_us - progress->samples[oldest].at_us;
    if (took_us < KNOWN_US || done <= progress->samples[oldest].bytes) return 0;
    double bytes = (double)(done - progress->samples[oldest].bytes);
    double speed = bytes * (double)SECOND_US / (double)took_us;
    return speed < 1 ? 1 : speed > 1e15 ? (int64_t)1e15 : (int64_t)speed;
}

void covey__progress_update(covey__progress *progress, uint64_t done, uint64_t total,
                            int64_t ceiling, int64_t now_us, int64_t *bytes_per_second,
                            int64_t *left_ms) {
    sample(progress, done, now_us);
    int64_t speed = speed_of(progress, done, now_us);
    if (ceiling > 0 && speed > ceiling) speed = ceiling; /* a burst before it was set */
    *bytes_per_second = speed;
    int64_t took_us = now_us - progress->told_us, told_ms = progress->left_ms;
    progress->told_us = now_us;
    if (done >= total) {
        *left_ms = progress->left_ms = speed ? 0 : -1;
        return;
    }
    progress->left_ms = -1;
    if (speed) {
        double fresh = (double)(total - done) * 1000.0 / (double)speed;
        double most = 1e12; /* 30 years */
        double next = fresh < most ? fresh : most;
        if (told_ms >= 0 && took_us >= 0) { /* follows what it said, and bends to what it sees */
            double expected = (double)told_ms - (double)took_us / 1000.0;
            double weight = took_us < SMOOTHING_US ? (double)took_us / (double)SMOOTHING_US : 1.0;
            if (expected < 0) expected = 0;
            next = expected + (next - expected) * weight;
        }
        progress->left_ms = (int64_t)next;
    }
    *left_ms = progress->left_ms;
}
