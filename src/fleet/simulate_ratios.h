/* How small an update of a quantized model is: the one place of these figures. `simulate` takes its
 * defaults from here, docs/simulate.md says where each comes from. All are shares of the model's
 * file. */
#ifndef COVEY_FLEET_SIMULATE_RATIOS_H
#define COVEY_FLEET_SIMULATE_RATIOS_H

typedef struct covey__sim_preset {
    const char *type;   /* of quantization */
    const char *tuning; /* how much a release changes the weights */
    double stored;      /* its chunks, compressed */
    double patch;       /* a patch from the release before */
} covey__sim_preset;

/* stored: zstd over the files of the pair of 3 M Llamas. patch: `covey delta make` over that pair
 * (middle: AdamW, 3e-5, one epoch), and over it with its step scaled to what rates of 1e-5 (light)
 * and of 1e-4 for two epochs (strong) were measured to do to the weights. */
static const covey__sim_preset covey__sim_presets[] = {
    {"q8_0", "light", 0.89, 0.16},    {"q8_0", "middle", 0.89, 0.25},
    {"q8_0", "strong", 0.89, 0.50},   {"q4_0", "light", 0.80, 0.077},
    {"q4_0", "middle", 0.80, 0.12},   {"q4_0", "strong", 0.80, 0.32},
    {"q4_k_m", "light", 0.86, 0.084}, {"q4_k_m", "middle", 0.86, 0.12},
    {"q4_k_m", "strong", 0.86, 0.32}};
#define COVEY__SIM_PRESET_COUNT (sizeof(covey__sim_presets) / sizeof(*covey__sim_presets))

/* A fine-tune changes every tensor, so of the chunks of the release before none is here. */
#define COVEY__SIM_CHUNKS 1.0
/* A patch over one release more is larger by this factor: 1.19 to 1.25 where a second step of the
 * same size is independent of the first, 1.33 to 1.45 where it goes on in its direction. */
#define COVEY__SIM_PATCH_GROWTH 1.25
/* Making patches, in 10^6 bytes of the new file a second and core. */
#define COVEY__SIM_MAKE_MB_PER_S 60.0
/* Metadata, manifest and chunk index of an update, in bytes: an index has 72 bytes for each of the
 * 850 chunks or so of a model of 807 MB, signed documents a few thousand in all. */
#define COVEY__SIM_DOCUMENT_BYTES 70000

#endif
