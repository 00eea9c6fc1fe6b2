/* The simulation. Devices come online as a Poisson process each, with a mean of their own, so that
 * shares of frequent and rare devices make any curve of adoption with any tail; when one is online
 * it fetches for the length of a window and goes on the next time. A release overtakes what is on
 * its way in, as on real devices. The server's line, where it is bounded, is a queue: who asks
 * first is served first.
 *
 * Invariants: every draw is a hash of seed, device and the draw's number, so one seed gives one
 * result, and policies meet the same devices. Events are taken from slots of time in order; within
 * a slot their order is fixed but means nothing, so a result is as fine as a slot. Memory is
 * bounded by the number of devices and of slots, not by the number of events. What would end behind
 * the last day is not counted.
 *
 * Neighbours: simulate_ways.c knows what an update weighs; simulate_text.c shows the result.
 */
#include "fleet/simulate_updates.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "fleet/simulate_ways.h"

#define SLOTS_MAX    65536
#define SLOT_MIN_S   900
#define DAY_S        86400.0
#define NONE         UINT32_MAX
#define BUCKET_BITS  6 /* 64 buckets an octave */
#define BUCKET_COUNT (64u << BUCKET_BITS)

typedef struct device {
    uint32_t at;    /* s: its next time online */
    uint32_t draws; /* so far */
    uint8_t have, target, presence, link, variant;
    bool failed, patched, chained; /* of the update under way */
    uint64_t left, total;          /* bytes of it */
} device;

/* Devices that are online in one slot of time, 256 bytes. In a list of devices each would wait for
 * the memory of the one before. */
#define BLOCK_DEVICES 62
typedef struct block {
    uint32_t next, count;
    uint32_t devices[BLOCK_DEVICES];
} block;

typedef struct bucket {
    uint64_t count, bytes;
} bucket;

typedef struct run {
    const covey__env *env;
    const covey__sim_scenario *scenario;
    const covey__sim_policy *policy;
    covey__sim_ways ways;
    covey__sim_result *result;
    device *devices;
    block *blocks;
    uint32_t *heads;   /* a list of blocks a slot, or NONE; all but the first are full */
    uint32_t free;     /* a list of blocks */
    uint64_t *served;  /* bytes a slot */
    uint32_t *adopted; /* [release][slot since it was published], first taken then */
    bucket *buckets;   /* of completed updates, by bytes */
    uint32_t slot_count, slot_s;
    uint32_t published[COVEY__SIM_RELEASES_MAX + 1]; /* s; [0]: before all */
    uint32_t end_s;
    double server_free_s; /* when the server's line is free again */
} run;

/* ---- draws ------------------------------------------------------------------------------- */

/* Draws that are not numbered: of the device itself, and of its place in each rollout. */
enum { DRAW_PRESENCE = 1, DRAW_LINK, DRAW_VARIANT, DRAW_STAGE = 16 };

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014), over what the draw is for. */
static uint64_t mix(uint64_t x) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Above 0, at most 1. */
static double draw(const run *r, uint64_t who, uint64_t number) {
    uint64_t x = mix(mix((uint64_t)r->scenario->seed ^ (who << 32)) ^ number);
    return (double)((x >> 11) + 1) * 0x1p-53;
}

static double next_draw(const run *r, device *d) {
    return draw(r, (uint64_t)(d - r->devices) + 1, UINT64_C(1) << 32 | d->draws++);
}

static double own_draw(const run *r, const device *d, uint64_t what) {
    return draw(r, (uint64_t)(d - r->devices) + 1, what);
}

static uint8_t pick(const covey__sim_pairs *pairs, double u) {
    double sum = 0;
    size_t i = 0;
    for (; i + 1 < pairs->count; i++) {
        sum += pairs->items[i].percent / 100;
        if (u <= sum) break;
    }
    return (uint8_t)i;
}

static uint8_t pick_variant(const covey__sim_scenario *scenario, double u) {
    double sum = 0;
    size_t i = 0;
    for (; i + 1 < scenario->variant_count; i++) {
        sum += scenario->variants[i].percent / 100;
        if (u <= sum) break;
    }
    return (uint8_t)i;
}

/* ---- time -------------------------------------------------------------------------------- */

/* When a rollout reaches a device: its draw decides the stage, and where devices with a patch go
 * first, so does what it has. */
static double reached_s(const run *r, const device *d, int32_t release) {
    const covey__sim_pairs *stages = &r->scenario->stages;
    double days = 0, wait_days = r->scenario->patched_first_days;
    if (stages->count > 1) {
        double percent = own_draw(r, d, DRAW_STAGE + (uint64_t)release) * 100;
        for (size_t i = 0; i + 1 < stages->count && percent > stages->items[i].percent; i++)
            days += stages->items[i].value;
    }
    if (wait_days > days && r->policy->depth > 0 &&
        !covey__sim_ways_patched(&r->ways, d->variant, d->have, release))
        days = wait_days;
    return r->published[release] + days * DAY_S;
}

/* The newest release that is offered to the device at `now`; what it has when there is none. */
static int32_t offered(const run *r, const device *d, double now) {
    int32_t release = (int32_t)r->scenario->releases;
    for (; release > d->have; release--)
        if (r->published[release] <= now && reached_s(r, d, release) <= now) break;
    return release;
}

static void put(run *r, uint32_t slot, uint32_t which) {
    uint32_t *head = &r->heads[slot];
    if (*head == NONE || r->blocks[*head].count == BLOCK_DEVICES) {
        block *b = &r->blocks[r->free];
        uint32_t taken = r->free;
        r->free = b->next;
        b->next = *head;
        b->count = 0;
        *head = taken;
    }
    block *b = &r->blocks[*head];
    b->devices[b->count++] = which;
}

/* Puts the device where it is online next, at `now` or later with something on offer. */
static void sleep_on(run *r, device *d, double now) {
    double first = INFINITY;
    for (int32_t i = d->have + 1; i <= r->scenario->releases && r->published[i] < first; i++) {
        double s = reached_s(r, d, i);
        if (s < first) first = s;
    }
    if (first < now) first = now;
    double mean_s = r->scenario->presence.items[d->presence].value * DAY_S;
    double at = first - log(next_draw(r, d)) * mean_s;
    if (!(at < r->end_s)) return; /* not before the end */
    d->at = (uint32_t)ceil(at);   /* never before the rollout reaches it */
    put(r, d->at / r->slot_s, (uint32_t)(d - r->devices));
}

/* ---- one time online --------------------------------------------------------------------- */

static void begin_update(run *r, device *d, int32_t target) {
    const covey__sim_scenario *scenario = r->scenario;
    const covey__sim_way *way = covey__sim_ways_get(&r->ways, d->variant, d->have, target);
    double works = 1 - scenario->patch_failure_percent / 100;
    r->result->bytes_abandoned += d->total - d->left; /* of the one before, if any */
    d->target = (uint8_t)target;
    d->failed = d->patched = d->chained = false;
    d->total = (uint64_t)scenario->document_bytes;
    for (size_t c = 0; c < scenario->variants[d->variant].component_count; c++) {
        d->total += way[c].bytes;
        if (way[c].patches == 0) continue;
        d->patched = true;
        d->chained |= way[c].patches == 2;
        if (next_draw(r, d) <= (way[c].patches == 2 ? works * works : works)) continue;
        d->failed = true;
        d->total += way[c].fallback;
        r->result->bytes_fallback += way[c].fallback;
    }
    d->left = d->total;
}

static uint32_t bucket_of(uint64_t bytes) {
    uint32_t top = 63 - (uint32_t)__builtin_clzll(bytes | 1);
    if (top < BUCKET_BITS) return (uint32_t)bytes;
    return (top - BUCKET_BITS + 1) << BUCKET_BITS |
           (uint32_t)((bytes >> (top - BUCKET_BITS)) & ((1u << BUCKET_BITS) - 1));
}

static void end_update(run *r, device *d, double now) {
    covey__sim_result *result = r->result;
    bucket *b = &r->buckets[bucket_of(d->total)];
    b->count++;
    b->bytes += d->total;
    result->updates++;
    result->by_patch += d->patched;
    result->by_chain += d->chained;
    result->fallbacks += d->failed;
    for (int32_t i = d->have + 1; i <= d->target; i++) {
        uint32_t slot = (uint32_t)((now - r->published[i]) / r->slot_s);
        r->adopted[(size_t)i * r->slot_count + slot]++;
    }
    d->have = d->target;
    d->total = d->left = 0;
}

/* Fetches what a window lets through. */
static void go_online(run *r, device *d) {
    const covey__sim_scenario *scenario = r->scenario;
    int32_t target = offered(r, d, d->at);
    if (d->total == 0 || target != d->target) begin_update(r, d, target);
    double bytes_per_s = scenario->links.items[d->link].value * 1e6 / 8;
    double window = bytes_per_s * scenario->window_minutes * 60, ends;
    uint64_t amount = (double)d->left < window ? d->left : (uint64_t)window;
    ends = d->at + (double)amount / bytes_per_s;
    if (scenario->server_mbit > 0) {
        double begins = r->server_free_s > d->at ? r->server_free_s : d->at;
        r->server_free_s = begins + (double)amount * 8 / (scenario->server_mbit * 1e6);
        if (r->server_free_s > ends) ends = r->server_free_s;
    }
    if (!(ends < r->end_s)) return;
    d->left -= amount;
    r->result->bytes_served += amount;
    r->served[(uint32_t)ends / r->slot_s] += amount;
    if (d->left == 0) end_update(r, d, ends);
    sleep_on(r, d, ends);
}

/* ---- the whole --------------------------------------------------------------------------- */

/* Days of the releases, and slots of time over all of them. */
static void set_times(run *r) {
    const covey__sim_scenario *scenario = r->scenario;
    double day = 0;
    for (int32_t i = 1; i <= scenario->releases; i++) {
        double jitter = scenario->jitter_days * (2 * draw(r, 0, (uint64_t)i) - 1);
        day = scenario->every_days * i + jitter;
        r->published[i] = (uint32_t)(day * DAY_S);
        r->result->releases[i - 1].published_day = r->published[i] / DAY_S;
    }
    r->end_s = (uint32_t)((day + scenario->after_days) * DAY_S) + 1;
    r->slot_s = (r->end_s - 1) / SLOTS_MAX + 1;
    if (r->slot_s < SLOT_MIN_S) r->slot_s = SLOT_MIN_S;
    r->slot_count = r->end_s / r->slot_s + 1;
    r->result->slot_minutes = r->slot_s / 60.0;
}

static covey_status allocate(run *r, covey_error *error) {
    size_t devices = (size_t)r->scenario->devices, slots = r->slot_count;
    /* At most one is not full in each slot, and one is being emptied. */
    size_t blocks = devices / BLOCK_DEVICES + slots + 2;
    size_t adopted = ((size_t)r->scenario->releases + 1) * slots;
    r->devices = covey__calloc(r->env, devices, sizeof(*r->devices));
    r->heads = covey__alloc(r->env, slots * sizeof(*r->heads));
    r->blocks = covey__alloc(r->env, blocks * sizeof(*r->blocks));
    r->served = covey__calloc(r->env, slots, sizeof(*r->served));
    r->adopted = covey__calloc(r->env, adopted, sizeof(*r->adopted));
    r->buckets = covey__calloc(r->env, BUCKET_COUNT, sizeof(*r->buckets));
    if (r->devices == NULL || r->heads == NULL || r->blocks == NULL || r->served == NULL ||
        r->adopted == NULL || r->buckets == NULL)
        return covey__no_memory(error, "devices", devices * sizeof(*r->devices));
    memset(r->heads, 0xff, slots * sizeof(*r->heads));
    for (size_t i = 0; i < blocks; i++) r->blocks[i].next = (uint32_t)i + 1;
    return COVEY_OK;
}

static void make_devices(run *r) {
    for (int64_t i = 0; i < r->scenario->devices; i++) {
        device *d = &r->devices[i];
        d->presence = pick(&r->scenario->presence, own_draw(r, d, DRAW_PRESENCE));
        d->link = pick(&r->scenario->links, own_draw(r, d, DRAW_LINK));
        d->variant = pick_variant(r->scenario, own_draw(r, d, DRAW_VARIANT));
        sleep_on(r, d, 0);
    }
}

static void empty(run *r, uint32_t list) {
    while (list != NONE) {
        block *b = &r->blocks[list];
        uint32_t next = b->next;
        for (uint32_t i = 0; i < b->count; i++) __builtin_prefetch(&r->devices[b->devices[i]]);
        for (uint32_t i = 0; i < b->count; i++) go_online(r, &r->devices[b->devices[i]]);
        b->next = r->free;
        r->free = list;
        list = next;
    }
}

/* A device may come back to the slot that is being emptied. */
static void pass_time(run *r) {
    for (uint32_t slot = 0; slot < r->slot_count; slot++) {
        while (r->heads[slot] != NONE) {
            uint32_t list = r->heads[slot];
            r->heads[slot] = NONE;
            empty(r, list);
        }
    }
}

/* The bytes below which a share of the completed updates is: within a bucket, its mean. */
static double percentile(const run *r, double share) {
    double below = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        const bucket *b = &r->buckets[i];
        below += (double)b->count;
        if (b->count > 0 && below >= share * (double)r->result->updates)
            return (double)b->bytes / (double)b->count;
    }
    return 0;
}

static void sum_updates(run *r) {
    covey__sim_result *result = r->result;
    uint64_t bytes = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) bytes += r->buckets[i].bytes;
    result->mean = result->updates > 0 ? (double)bytes / (double)result->updates : 0;
    result->p50 = percentile(r, 0.50);
    result->p95 = percentile(r, 0.95);
    for (uint32_t i = 0; i < r->slot_count; i++) {
        double mbit = (double)r->served[i] * 8 / 1e6 / r->slot_s;
        if (mbit > result->peak_mbit) result->peak_mbit = mbit;
    }
    result->release_bytes = r->ways.release_bytes;
    result->patch_bytes = r->ways.patch_bytes;
    result->patches_made = r->ways.patches_made;
    result->patches_dropped = r->ways.patches_dropped;
    result->make_seconds = (double)r->ways.made_from_bytes / 1e6 / r->scenario->make_mb_per_s;
    result->cost = (double)result->bytes_served / 1e9 * r->scenario->price_per_gb;
}

static const double adoptions[COVEY__SIM_ADOPTIONS] = {0.50, 0.90, 0.99};

static void sum_release(const run *r, int32_t release, covey__sim_release_result *out) {
    const uint32_t *adopted = &r->adopted[(size_t)release * r->slot_count];
    double wanted[COVEY__SIM_ADOPTIONS], sum = 0;
    for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++) {
        wanted[i] = adoptions[i] * (double)r->scenario->devices;
        out->days_to[i] = -1;
    }
    for (uint32_t slot = 0; slot < r->slot_count; sum += adopted[slot++]) {
        for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++) {
            if (out->days_to[i] >= 0 || sum + adopted[slot] < wanted[i]) continue;
            double inside = (wanted[i] - sum) / adopted[slot];
            out->days_to[i] = (slot + inside) * r->slot_s / DAY_S;
        }
    }
    out->percent_at_end = 100 * sum / (double)r->scenario->devices;
}

/* The median release's days; one that was never reached counts as the slowest. */
static double median_days(const covey__sim_result *result, int64_t releases, int which) {
    double days[COVEY__SIM_RELEASES_MAX];
    for (int64_t i = 0; i < releases; i++) {
        double value = result->releases[i].days_to[which];
        int64_t at = i;
        if (value < 0) value = INFINITY;
        for (; at > 0 && days[at - 1] > value; at--) days[at] = days[at - 1];
        days[at] = value;
    }
    double middle = days[releases / 2];
    return isfinite(middle) ? middle : -1;
}

covey_status covey__simulate_updates(const covey__env *env, const covey__sim_scenario *scenario,
                                     const covey__sim_policy *policy, covey__sim_result *result,
                                     covey_error *error) {
    run r = {.env = env, .scenario = scenario, .policy = policy, .result = result};
    memset(result, 0, sizeof(*result));
    set_times(&r);
    covey_status status = covey__sim_ways_make(env, scenario, policy, &r.ways, error);
    if (status == COVEY_OK) status = allocate(&r, error);
    if (status == COVEY_OK) {
        make_devices(&r);
        pass_time(&r);
        sum_updates(&r);
        for (int32_t i = 1; i <= scenario->releases; i++)
            sum_release(&r, i, &result->releases[i - 1]);
        for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++)
            result->days_to[i] = median_days(result, scenario->releases, i);
    }
    covey__sim_ways_free(&r.ways);
    covey__free(env, r.devices);
    covey__free(env, r.heads);
    covey__free(env, r.blocks);
    covey__free(env, r.served);
    covey__free(env, r.adopted);
    covey__free(env, r.buckets);
    return status;
}
