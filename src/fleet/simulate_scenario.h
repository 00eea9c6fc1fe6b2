/* A fleet on paper: its devices, its releases, and what an update weighs (docs/simulate.md). Shared
 * by all that is simulated. */
#ifndef COVEY_FLEET_SIMULATE_SCENARIO_H
#define COVEY_FLEET_SIMULATE_SCENARIO_H

#include "base/buffer.h"
#include "base/json.h"

#define COVEY__SIM_DEVICES_MAX    20000000
#define COVEY__SIM_RELEASES_MAX   64
#define COVEY__SIM_DAYS_MAX       36500 /* seconds of it fit 32 bits */
#define COVEY__SIM_VARIANTS_MAX   8
#define COVEY__SIM_COMPONENTS_MAX 8
#define COVEY__SIM_PAIRS_MAX      8
#define COVEY__SIM_RATIOS_MAX     8
#define COVEY__SIM_NAME_SIZE      32

/* "70:1, 20:7": a share in percent, and what is so for that share. */
typedef struct covey__sim_pair {
    double percent, value;
} covey__sim_pair;
typedef struct covey__sim_pairs {
    covey__sim_pair items[COVEY__SIM_PAIRS_MAX];
    size_t count;
} covey__sim_pairs;

/* Shares of a component's bytes for a base of 1, 2, … releases back; behind the last it grows by a
 * factor a release. */
typedef struct covey__sim_ratios {
    double items[COVEY__SIM_RATIOS_MAX];
    size_t count;
    double growth;
} covey__sim_ratios;

typedef struct covey__sim_component {
    char name[COVEY__SIM_NAME_SIZE];
    uint64_t bytes;
    int64_t changes_every;    /* releases; 1: each */
    double stored;            /* share of the bytes, as its chunks are stored */
    covey__sim_ratios chunks; /* of the stored bytes, to fetch */
    covey__sim_ratios patch;  /* of the bytes; none: it gets no patches */
} covey__sim_component;

typedef struct covey__sim_variant {
    char name[COVEY__SIM_NAME_SIZE];
    double percent; /* of the devices */
    covey__sim_component components[COVEY__SIM_COMPONENTS_MAX];
    size_t component_count;
} covey__sim_variant;

typedef struct covey__sim_policy {
    const char *name, *summary; /* static */
    bool chunks;                /* chunks that are here are not fetched */
    int32_t depth;              /* publish makes patches from so many releases back */
    bool chains;                /* a device may take two, one after the other */
} covey__sim_policy;
extern const covey__sim_policy covey__sim_policies[];
extern const size_t covey__sim_policy_count;
#define COVEY__SIM_POLICIES_MAX 8

typedef struct covey__sim_scenario {
    int64_t devices, seed, releases, keep_releases, document_bytes;
    double every_days, jitter_days, after_days;
    double window_minutes, server_mbit, patched_first_days;
    double patch_failure_percent, minimum_saving_percent, make_mb_per_s, price_per_gb;
    covey__sim_pairs presence; /* value: mean days between two times online */
    covey__sim_pairs links;    /* value: Mbit/s */
    covey__sim_pairs stages;   /* percent: reached so far; value: days until the next */
    covey__sim_variant variants[COVEY__SIM_VARIANTS_MAX];
    size_t variant_count;
    const covey__sim_policy *policies[COVEY__SIM_POLICIES_MAX];
    size_t policy_count;
    char what[96]; /* where the variants come from, for people */
} covey__sim_scenario;

/* What an untouched scenario is made of before the presets are applied. */
typedef struct covey__sim_settings {
    covey__sim_scenario scenario;
    char type[16], tuning[16];
    double size_mb;
    bool has_variants;
} covey__sim_settings;

void covey__sim_settings_init(covey__sim_settings *settings);
/* Members that a document names replace what was there. `name` is said in errors. */
covey_status covey__sim_settings_read(const covey__env *env, const char *name, const char *json,
                                      size_t size, covey__sim_settings *settings,
                                      covey_error *error) COVEY_MUST_USE;
/* Applies the preset and checks the whole: the scenario is right then. */
covey_status covey__sim_settings_finish(covey__sim_settings *settings,
                                        covey_error *error) COVEY_MUST_USE;

/* The share for a base `back` releases back (1 or more), at most 1. */
double covey__sim_ratio(const covey__sim_ratios *ratios, int32_t back);

#endif
