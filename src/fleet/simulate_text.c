/* What a simulation found, for people and for programs. Units are decimal (1 GB is 10^9 bytes), as
 * traffic is sold.
 *
 * Invariant: both forms say the seed and what the fleet was, so that a result can be made again.
 *
 * Neighbours: simulate_updates.c makes the results; docs/simulate.md shows a table.
 */
#include "fleet/simulate_updates.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"

/* Three digits, whatever the size: "7.77", "77.7", "777". */
static const char *three(double value, char out[32]) {
    (void)snprintf(out, 32, "%.*f", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value);
    return out;
}

static const char *bytes_text(double bytes, char out[32]) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    char number[32];
    for (; bytes >= 999.5 && unit < 6; unit++) bytes /= 1000;
    if (unit == 0)
        (void)snprintf(out, 32, "%.0f B", bytes);
    else
        (void)snprintf(out, 32, "%s %s", three(bytes, number), units[unit]);
    return out;
}

static const char *seconds_text(double seconds, char out[32]) {
    char number[32];
    if (seconds < 120)
        (void)snprintf(out, 32, "%.0f s", seconds);
    else if (seconds < 7200)
        (void)snprintf(out, 32, "%s min", three(seconds / 60, number));
    else
        (void)snprintf(out, 32, "%s h", three(seconds / 3600, number));
    return out;
}

static const char *days_text(double days, char out[32]) {
    if (days < 0)
        (void)snprintf(out, 32, "-");
    else
        (void)snprintf(out, 32, "%.1f", days);
    return out;
}

static const char *percent_text(double part, double whole, char out[32]) {
    (void)snprintf(out, 32, "%.1f %%", whole > 0 ? 100 * part / whole : 0.0);
    return out;
}

/* "1,000,000" */
static const char *count_text(int64_t count, char out[32]) {
    char digits[32];
    int size = snprintf(digits, sizeof(digits), "%" PRId64, count), at = 0;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static void show_traffic(const covey__sim_scenario *scenario, const covey__sim_result *results,
                         covey__buffer *out) {
    char a[32], b[32], c[32], d[32], e[32], f[32], g[32], h[32];
    (void)covey__buffer_format(out, "%-15s %17s  %26s  %21s\n", "", "bytes served",
                               "bytes of an update", "days until it reached");
    (void)covey__buffer_format(out, "%-15s %8s %8s  %8s %8s %8s  %7s %6s %6s\n", "policy", "in all",
                               "of first", "mean", "median", "p95", "50 %", "90 %", "99 %");
    for (size_t i = 0; i < scenario->policy_count; i++) {
        const covey__sim_result *r = &results[i];
        (void)covey__buffer_format(
            out, "%-15s %8s %8s  %8s %8s %8s  %7s %6s %6s\n", scenario->policies[i]->name,
            bytes_text((double)r->bytes_served, a),
            percent_text((double)r->bytes_served, (double)results[0].bytes_served, b),
            bytes_text(r->mean, c), bytes_text(r->p50, d), bytes_text(r->p95, e),
            days_text(r->days_to[0], f), days_text(r->days_to[1], g), days_text(r->days_to[2], h));
    }
}

static void show_origin(const covey__sim_scenario *scenario, const covey__sim_result *results,
                        covey__buffer *out) {
    char a[32], b[32], c[32], d[32], e[32], f[32], g[32], h[32];
    const bool priced = scenario->price_per_gb > 0;
    (void)covey__buffer_format(out, "\n%-15s %17s  %20s  %24s  %9s\n", "", "kept at the origin",
                               "patches to make", "updates by patches", "busiest");
    (void)covey__buffer_format(out, "%-15s %8s %8s  %5s %5s %8s  %7s %7s %8s  %9s%s\n", "policy",
                               "releases", "patches", "made", "kept", "core", "any", "two",
                               "failed", "Mbit/s", priced ? "       cost" : "");
    for (size_t i = 0; i < scenario->policy_count; i++) {
        const covey__sim_result *r = &results[i];
        double updates = (double)r->updates;
        (void)covey__buffer_format(
            out, "%-15s %8s %8s  %5" PRIu64 " %5" PRIu64 " %8s  %7s %7s %8s  %9s",
            scenario->policies[i]->name, bytes_text((double)r->release_bytes, a),
            bytes_text((double)r->patch_bytes, b), r->patches_made,
            r->patches_made - r->patches_dropped, seconds_text(r->make_seconds, c),
            percent_text((double)r->by_patch, updates, d),
            percent_text((double)r->by_chain, updates, e), count_text((int64_t)r->fallbacks, f),
            count_text((int64_t)(r->peak_mbit + 0.5), g));
        if (priced)
            (void)covey__buffer_format(out, " %10s", count_text((int64_t)(r->cost + 0.5), h));
        (void)covey__buffer_byte(out, '\n');
    }
}

void covey__sim_updates_text(const covey__sim_scenario *scenario, const covey__sim_result *results,
                             covey__buffer *out) {
    char devices[32];
    (void)covey__buffer_format(
        out, "%s devices, %" PRId64 " releases, one every %g days; %s; seed %" PRId64 "\n\n",
        count_text(scenario->devices, devices), scenario->releases, scenario->every_days,
        scenario->what, scenario->seed);
    show_traffic(scenario, results, out);
    show_origin(scenario, results, out);
    for (size_t i = 0, told = 0; i < scenario->policy_count && told == 0; i++) {
        told = results[i].days_to[COVEY__SIM_ADOPTIONS - 1] < 0;
        if (told > 0)
            (void)covey__buffer_text(
                out, "\n-: most releases were not there when the run ended; see --after-days\n");
    }
    (void)covey__buffer_text(out, "\npolicies: ");
    for (size_t i = 0; i < scenario->policy_count; i++) {
        (void)covey__buffer_format(out, "%s%s: %s\n", i == 0 ? "" : "          ",
                                   scenario->policies[i]->name, scenario->policies[i]->summary);
    }
}

static void put_days(covey__json_writer *w, const double days[COVEY__SIM_ADOPTIONS]) {
    static const char *const names[COVEY__SIM_ADOPTIONS] = {"50", "90", "99"};
    covey__json_name(w, "days_to_percent");
    covey__json_begin_object(w);
    for (int i = 0; i < COVEY__SIM_ADOPTIONS; i++) {
        covey__json_name(w, names[i]);
        if (days[i] < 0)
            covey__json_put_null(w);
        else
            covey__json_put_f64(w, days[i]);
    }
    covey__json_end_object(w);
}

static void put_numbers(covey__json_writer *w, const covey__sim_result *r) {
    covey__json_member_u64(w, "bytes_served", r->bytes_served);
    covey__json_member_u64(w, "bytes_abandoned", r->bytes_abandoned);
    covey__json_member_u64(w, "bytes_fallback", r->bytes_fallback);
    covey__json_member_u64(w, "updates", r->updates);
    covey__json_member_u64(w, "updates_by_patch", r->by_patch);
    covey__json_member_u64(w, "updates_by_chain", r->by_chain);
    covey__json_member_u64(w, "updates_fallen_back", r->fallbacks);
    covey__json_member_f64(w, "update_bytes_mean", r->mean);
    covey__json_member_f64(w, "update_bytes_p50", r->p50);
    covey__json_member_f64(w, "update_bytes_p95", r->p95);
    covey__json_member_f64(w, "peak_mbit", r->peak_mbit);
    covey__json_member_u64(w, "origin_release_bytes", r->release_bytes);
    covey__json_member_u64(w, "origin_patch_bytes", r->patch_bytes);
    covey__json_member_u64(w, "patches_made", r->patches_made);
    covey__json_member_u64(w, "patches_dropped", r->patches_dropped);
    covey__json_member_f64(w, "patch_core_seconds", r->make_seconds);
    covey__json_member_f64(w, "cost", r->cost);
}

static void put_policy(covey__json_writer *w, const covey__sim_scenario *scenario,
                       const covey__sim_policy *policy, const covey__sim_result *r) {
    covey__json_begin_object(w);
    covey__json_member_string(w, "policy", policy->name);
    put_numbers(w, r);
    put_days(w, r->days_to);
    covey__json_name(w, "releases");
    covey__json_begin_array(w);
    for (int64_t i = 0; i < scenario->releases; i++) {
        covey__json_begin_object(w);
        covey__json_member_f64(w, "published_day", r->releases[i].published_day);
        put_days(w, r->releases[i].days_to);
        covey__json_member_f64(w, "percent_at_end", r->releases[i].percent_at_end);
        covey__json_end_object(w);
    }
    covey__json_end_array(w);
    covey__json_end_object(w);
}

void covey__sim_updates_json(const covey__sim_scenario *scenario, const covey__sim_result *results,
                             covey__buffer *out) {
    covey__json_writer w;
    covey__json_writer_init(&w, out, false);
    covey__json_begin_object(&w);
    covey__json_member_i64(&w, "format", 1);
    covey__json_member_string(&w, "fleet", scenario->what);
    covey__json_member_i64(&w, "devices", scenario->devices);
    covey__json_member_i64(&w, "releases", scenario->releases);
    covey__json_member_f64(&w, "every_days", scenario->every_days);
    covey__json_member_i64(&w, "seed", scenario->seed);
    covey__json_member_f64(&w, "slot_minutes", results[0].slot_minutes);
    covey__json_name(&w, "policies");
    covey__json_begin_array(&w);
    for (size_t i = 0; i < scenario->policy_count; i++)
        put_policy(&w, scenario, scenario->policies[i], &results[i]);
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    (void)covey__buffer_byte(out, '\n');
}
