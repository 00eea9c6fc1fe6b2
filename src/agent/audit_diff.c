/* From a change of the state to what the audit log says of it. Nothing is told twice: an entry is
 * made exactly when the state that is stored differs in what it is about. */
#include "agent/audit.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct found {
    covey__audit_entry *entries;
    size_t count;
} found;

/* The next entry; the last one is used again when there are too many. */
static covey__audit_entry *add(found *all, const char *event) {
    if (all->count < COVEY__AUDIT_DIFF_MAX) all->count++;
    covey__audit_entry *entry = &all->entries[all->count - 1];
    memset(entry, 0, sizeof *entry);
    entry->event = event;
    return entry;
}

static void put(char *out, size_t capacity, const char *text) {
    covey__printable(text, strlen(text), out, capacity);
}

static void put_slot(char *out, size_t capacity, const covey__agent_slot *slot) {
    char release[132] = "the built-in one";
    if (slot->digest[0]) covey__release_name(release, slot->name, slot->version);
    put(out, capacity, release);
}

static void put_number(char *out, size_t capacity, int64_t number) {
    if (number) snprintf(out, capacity, "%" PRId64, number);
}

static void diff_trust(const covey__agent_state *before, const covey__agent_state *after,
                       found *all) {
    const covey__agent_trust *old = &before->trust, *now = &after->trust;
    bool enrolled = now->root_sha256[0] && strcmp(old->root_sha256, now->root_sha256);
    if (after->url[0] &&
        (strcmp(before->url, after->url) || strcmp(before->device_id, after->device_id))) {
        covey__audit_entry *entry = add(all, "enrolled");
        put(entry->from, sizeof entry->from, before->url);
        put(entry->to, sizeof entry->to, after->url);
        memcpy(entry->digest, now->root_sha256, sizeof entry->digest);
    } else if (enrolled) {
        covey__audit_entry *entry = add(all, "trust-began");
        memcpy(entry->digest, now->root_sha256, sizeof entry->digest);
    }
    if (now->root > 0 && old->root != now->root) {
        covey__audit_entry *entry = add(all, "root");
        put_number(entry->from, sizeof entry->from, old->root);
        put_number(entry->to, sizeof entry->to, now->root);
        entry->role = "root";
    }
    bool same = !strcmp(old->steering_product, now->steering_product);
    if (now->steering_serial && (!same || old->steering_serial != now->steering_serial)) {
        covey__audit_entry *entry = add(all, "steering");
        put_number(entry->from, sizeof entry->from, same ? old->steering_serial : 0);
        put_number(entry->to, sizeof entry->to, now->steering_serial);
        entry->role = "steering";
    }
    if (now->problem[0] && strcmp(old->problem, now->problem)) {
        bool steering = !strcmp(now->problem, "steering"), denied = !strcmp(now->problem, "denied");
        put(add(all, steering ? "steering-refused"
                     : denied ? "not-taken"
                              : "held-back")
                ->why,
            256, now->message);
    }
}

static bool is_same(const covey__agent_update *a, const covey__agent_update *b) {
    return !strcmp(a->release_digest, b->release_digest) && !strcmp(a->name, b->name) &&
           !strcmp(a->version, b->version);
}

static bool was_refused(const covey__agent_state *before, const covey__agent_refusal *one) {
    for (int32_t i = 0; i < before->refused_count; i++)
        if (!strcmp(before->refused[i].release, one->release)) return true;
    return false;
}

/* What its user wants tried again; other refusals that are gone have no place any more, or were
 * another system's. */
static void diff_retried(const covey__agent_state *before, const covey__agent_state *after,
                         found *all) {
    const covey__agent_report *last = &after->last;
    if (!strcmp(before->last.id, last->id) || last->phase != COVEY__PHASE_CHECKIN) return;
    for (int32_t i = 0; i < before->refused_count; i++) {
        if (strcmp(before->refused[i].release, last->release) ||
            was_refused(after, &before->refused[i]))
            continue;
        covey__audit_entry *entry = add(all, "retry");
        put(entry->to, sizeof entry->to, last->release);
        put(entry->why, sizeof entry->why, last->message);
    }
}

/* Returns how many there are. */
static int diff_refused(const covey__agent_state *before, const covey__agent_state *after,
                        found *all) {
    int count = 0;
    for (int32_t i = 0; i < after->refused_count; i++) {
        const covey__agent_refusal *one = &after->refused[i];
        if (was_refused(before, one)) continue;
        bool denied =
            !strncmp(one->message, COVEY__CONSENT_DENIED, sizeof COVEY__CONSENT_DENIED - 1);
        covey__audit_entry *entry = add(all, denied ? "consent-denied" : "refused");
        put(entry->to, sizeof entry->to, one->release);
        put(entry->why, sizeof entry->why, one->message);
        count++;
    }
    return count;
}

/* The slot before held another ensemble. */
static void diff_current(const covey__agent_state *before, const covey__agent_state *after,
                         found *all) {
    const covey__agent_slot *old = &before->current, *now = &after->current;
    if (!strcmp(old->digest, now->digest)) {
        if (!old->trial || now->trial) return;
        covey__audit_entry *entry = add(all, "committed");
        put_slot(entry->to, sizeof entry->to, now);
        memcpy(entry->digest, now->digest, sizeof entry->digest);
        return;
    }
    bool installed = now->digest[0] && !strcmp(now->digest, before->update.digest);
    bool killed = !installed && after->stopped[0] && strcmp(before->stopped, after->stopped);
    covey__audit_entry *entry = add(all, installed ? "installed" : killed ? "killed" : "returned");
    put_slot(entry->from, sizeof entry->from, old);
    put_slot(entry->to, sizeof entry->to, now);
    memcpy(entry->digest, now->digest, sizeof entry->digest);
    if (installed) {
        memcpy(entry->signed_by, before->update.signed_by, sizeof entry->signed_by);
        put(entry->why, sizeof entry->why, before->update.how);
    } else
        put(entry->why, sizeof entry->why, killed ? after->stopped : after->last.message);
}

static void diff_consent(const covey__agent_state *before, const covey__agent_state *after,
                         found *all) {
    const covey__agent_update *now = &after->update;
    int32_t old = is_same(&before->update, now) ? before->update.consent : COVEY__CONSENT_NONE;
    if (now->phase == COVEY__PHASE_NONE || now->consent == old) return;
    if (now->consent == COVEY__CONSENT_NONE) return;
    covey__audit_entry *entry =
        add(all, now->consent == COVEY__CONSENT_ASKED ? "consent-asked" : "consent-given");
    covey__release_name(entry->from, now->name, now->version);
    memcpy(entry->to, entry->from, sizeof entry->from);
    entry->from[0] = 0;
    memcpy(entry->digest, now->digest, sizeof entry->digest);
    if (now->consent == COVEY__CONSENT_ASKED)
        put(entry->why, sizeof entry->why, after->last.message);
}

static void diff_update(const covey__agent_state *before, const covey__agent_state *after,
                        found *all) {
    const covey__agent_update *old = &before->update, *now = &after->update;
    bool had = old->phase != COVEY__PHASE_NONE, has = now->phase != COVEY__PHASE_NONE;
    bool moved = strcmp(before->current.digest, after->current.digest) != 0;
    int refused = diff_refused(before, after, all);
    diff_retried(before, after, all);
    diff_current(before, after, all);
    if (had && (!has || !is_same(old, now)) && !moved && !refused) {
        covey__audit_entry *entry = add(all, "update-ended");
        char release[132];
        covey__release_name(release, old->name, old->version);
        put(entry->to, sizeof entry->to, release);
        bool told =
            strcmp(before->last.id, after->last.id) && !strcmp(after->last.release, release);
        put(entry->why, sizeof entry->why,
            told ? after->last.message : "the control plane does not offer it any more");
    }
    if (has && now->given_up_count && is_same(old, now) &&
        strcmp(before->last.id, after->last.id) && !strncmp(after->last.message, "fell back", 9)) {
        covey__audit_entry *entry = add(all, "fell-back");
        covey__release_name(entry->from, now->name, now->version);
        memcpy(entry->to, entry->from, sizeof entry->from);
        entry->from[0] = 0;
        put(entry->why, sizeof entry->why, after->last.message);
    }
    if (has && (!had || !is_same(old, now))) {
        covey__audit_entry *entry = add(all, "update-begun");
        put_slot(entry->from, sizeof entry->from, &after->current);
        char release[132];
        covey__release_name(release, now->name, now->version);
        put(entry->to, sizeof entry->to, release);
        memcpy(entry->digest, now->release_digest, sizeof entry->digest);
    }
}

size_t covey__audit_diff(const covey__agent_state *before, const covey__agent_state *after,
                         covey__audit_entry entries[COVEY__AUDIT_DIFF_MAX]) {
    found all = {entries, 0};
    diff_trust(before, after, &all);
    diff_update(before, after, &all);
    diff_consent(before, after, &all);
    if (strcmp(before->opted_out, after->opted_out)) {
        covey__audit_entry *entry = add(&all, after->opted_out[0] ? "opt-out" : "opt-in");
        put(entry->from, sizeof entry->from, before->opted_out);
        put(entry->to, sizeof entry->to, after->opted_out);
    }
    return all.count;
}
