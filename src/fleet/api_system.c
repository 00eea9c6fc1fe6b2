/* Health and metrics: what a supervisor and Prometheus ask. Totals only, so neither needs a token.
 *
 * Neighbours: telemetry/metrics.h writes the format.
 */
#include <stdio.h>

#include "fleet/routes.h"

static void write_warning(void *user, const char *role, const char *text) {
    (void)role;
    covey__json_put_string(user, text);
}

int covey__api_health(covey__exchange *x) {
    bool draining = atomic_load(&x->server->draining);
    covey__json_writer w;
    if (draining) return covey__answer_error(x, 503, "draining", "the server is about to stop");
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_member_string(&w, "status", "ok");
    covey__json_member_string(&w, "version", COVEY_VERSION);
    covey__json_name(&w, "warnings");
    covey__json_begin_array(&w);
    covey__metadata_house_warnings(&x->server->house, covey__now_ms(x->env), write_warning, &w);
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    return 200;
}

static void one(covey__buffer *out, const char *name, const char *type, const char *help,
                uint64_t value) {
    covey__metrics_family(out, name, type, help);
    covey__metrics_sample(out, name, NULL, value);
}

typedef struct role_samples {
    covey__buffer *out;
    int64_t now_ms;
    bool expiry;
} role_samples;

static void sample_role(void *user, const covey__metadata_role *role) {
    const role_samples *s = user;
    char label[COVEY__METADATA_ROLE_SIZE + 16];
    int64_t left_ms = role->expires_ms - s->now_ms;
    (void)snprintf(label, sizeof(label), "role=\"%s\"", role->name);
    if (s->expiry) {
        covey__metrics_sample(s->out, "covey_fleet_metadata_expires_seconds", label,
                              left_ms > 0 ? (uint64_t)left_ms / 1000 : 0);
    } else {
        covey__metrics_sample(s->out, "covey_fleet_metadata_version", label,
                              (uint64_t)role->version);
    }
}

static void metadata_metrics(covey__exchange *x) {
    role_samples s = {&x->answer, covey__now_ms(x->env), true};
    covey__metrics_family(&x->answer, "covey_fleet_metadata_expires_seconds", "gauge",
                          "Until a role's metadata expires; 0 when it has");
    covey__metadata_each(x->server->house.metadata, sample_role, &s);
    s.expiry = false;
    covey__metrics_family(&x->answer, "covey_fleet_metadata_version", "gauge",
                          "Versions of the metadata that is served");
    covey__metadata_each(x->server->house.metadata, sample_role, &s);
}

int covey__api_metrics(covey__exchange *x) {
    covey_error error = {0};
    covey_fleet_server *server = x->server;
    covey__fleet_metrics *m = &server->metrics;
    covey__buffer *out = &x->answer;
    covey__store_counts counts;
    covey_status status = server->store->driver->counts(server->store, &counts, &error);
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__metrics_family(out, "covey_fleet_answers_total", "counter", "Answers by status class");
    for (int i = 1; i < 6; i++) {
        char label[16];
        (void)snprintf(label, sizeof(label), "status=\"%dxx\"", i);
        covey__metrics_sample(out, "covey_fleet_answers_total", label,
                              covey__counter_get(&m->answers[i]));
    }
    one(out, "covey_fleet_checkins_total", "counter", "Check-ins of devices",
        covey__counter_get(&m->checkins));
    one(out, "covey_fleet_offers_total", "counter", "Check-ins that were offered a release",
        covey__counter_get(&m->offers));
    one(out, "covey_fleet_enrollments_total", "counter", "Enrollments that gave a token",
        covey__counter_get(&m->enrollments));
    covey__metrics_family(out, "covey_fleet_reports_total", "counter",
                          "Update events by whether they were new");
    covey__metrics_sample(out, "covey_fleet_reports_total", "outcome=\"accepted\"",
                          covey__counter_get(&m->reports_accepted));
    covey__metrics_sample(out, "covey_fleet_reports_total", "outcome=\"known\"",
                          covey__counter_get(&m->reports_known));
    one(out, "covey_fleet_blob_received_bytes_total", "counter", "Bytes of blobs taken in",
        covey__counter_get(&m->blob_bytes_in));
    one(out, "covey_fleet_blob_sent_bytes_total", "counter", "Bytes of blobs handed out",
        covey__counter_get(&m->blob_bytes_out));
    one(out, "covey_fleet_devices", "gauge", "Devices enrolled", (uint64_t)counts.devices);
    one(out, "covey_fleet_devices_revoked", "gauge", "Devices whose token was revoked",
        (uint64_t)counts.devices_revoked);
    one(out, "covey_fleet_releases", "gauge", "Releases published", (uint64_t)counts.releases);
    metadata_metrics(x);
    covey__metrics_histogram(out, "covey_fleet_request_seconds", "From head to answer",
                             &m->request);
    return 200;
}
