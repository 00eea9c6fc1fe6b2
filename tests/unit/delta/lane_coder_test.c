/* The coder: what is coded comes back, by every instruction set that this machine has and with
 * equal states; streams are about as long as their tables say; a stream that is cut or damaged is
 * never read beyond its end and never taken for a whole one. */
#include "support/support.h"

#include "delta/lane_coder.h"

#include <math.h>
#include <string.h>

#define ROWS   32
#define TABLES (16 * ROWS)
#define STEPS  3000

typedef enum form { FORM_STEP, FORM_ROW, FORM_PAIR, FORM_COUNT } form;

typedef struct material {
    covey__lane_table *tables;
    covey__lane_row *rows;
    uint16_t contexts[STEPS * 32], row[STEPS * 2];
    uint8_t columns[STEPS * 32], symbols[STEPS * 32], decoded[STEPS * 32];
    uint32_t masks[STEPS], found[STEPS * 2];
    size_t steps;
    form form;
} material;

static covey__env env;

static material *new_material(void) {
    covey__env_init(&env);
    material *m = covey__calloc(&env, 1, sizeof *m);
    assert_non_null(m);
    m->tables = covey__alloc_aligned(&env, TABLES * sizeof *m->tables);
    m->rows = covey__alloc_aligned(&env, ROWS * sizeof *m->rows);
    assert_true(m->tables != NULL && m->rows != NULL);
    return m;
}

static void free_material(material *m) {
    covey__free_aligned(&env, m->tables);
    covey__free_aligned(&env, m->rows);
    covey__free(&env, m);
}

/* A symbol as likely as the table says. */
static uint8_t draw_symbol(const covey__lane_table *table, uint64_t *seed) {
    uint32_t slot = (uint32_t)(test_random(seed) >> 20) & 0x7fff;
    uint8_t s = 0;
    while (slot >= table->end[s]) s++;
    return s;
}

typedef enum masks { MASKS_FULL, MASKS_SPARSE, MASKS_ANY } masks;

static uint32_t draw_mask(masks kind, uint64_t *seed) {
    uint32_t a = (uint32_t)(test_random(seed) >> 8), b = (uint32_t)(test_random(seed) >> 8);
    switch (kind) {
    case MASKS_FULL:
        return UINT32_MAX;
    case MASKS_SPARSE:
        return a & b & (uint32_t)(test_random(seed) >> 8) & (uint32_t)(test_random(seed) >> 8);
    default:
        return a % 8 == 0 ? UINT32_MAX : a % 8 == 1 ? 0 : a % 8 == 2 ? 1u << (b & 31) : b;
    }
}

/* Bytes from `least` to 255 - least: 0 gives tables that are as skewed as can be. With `wild`
 * symbols are drawn without asking the table. */
static void fill(material *m, form kind, masks mask_kind, size_t steps, int least, bool wild,
                 uint64_t seed) {
    uint8_t bytes[TABLES * 3];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(least + (int)(test_random(&seed) % (uint64_t)(256 - 2 * least)));
    covey__lane_tables_make(bytes, sizeof bytes, m->tables, TABLES);
    covey__lane_rows_make(m->tables, m->rows, ROWS);
    m->steps = steps;
    m->form = kind;
    for (size_t i = 0; i < steps; i++) {
        m->masks[i] = draw_mask(mask_kind, &seed);
        for (size_t h = 0; h < 2; h++)
            m->row[2 * i + h] =
                (uint16_t)(test_random(&seed) % (kind == FORM_PAIR ? TABLES : ROWS));
        for (size_t k = 32 * i; k < 32 * i + 32; k++) {
            uint16_t row = m->row[2 * i + (k % 32 >= 16)];
            m->columns[k] = (uint8_t)(test_random(&seed) % 16);
            m->contexts[k] = kind == FORM_STEP  ? (uint16_t)(test_random(&seed) % TABLES)
                             : kind == FORM_ROW ? (uint16_t)(16 * row + m->columns[k])
                                                : row;
            m->symbols[k] = wild ? (uint8_t)(test_random(&seed) >> 60) & 3
                                 : draw_symbol(&m->tables[m->contexts[k]], &seed);
        }
    }
}

/* The stream, with COVEY__LANE_PAST bytes behind its size. */
static void encode(const material *m, covey__buffer *out) {
    covey__lane_encoder encoder;
    covey__lane_encoder_init(&encoder, &env, STEPS * 33 * 4 + 200);
    for (size_t i = 0; i < m->steps; i++)
        covey__lane_encoder_step(&encoder, 0, m->contexts + 32 * i, m->masks[i],
                                 m->symbols + 32 * i);
    covey__buffer_init(out, &env, 1 << 20);
    covey_error error;
    assert_int_equal(covey__lane_encoder_finish(&encoder, m->tables, TABLES, out, &error),
                     COVEY_OK);
    covey__lane_encoder_free(&encoder);
    assert_non_null(covey__buffer_reserve(out, COVEY__LANE_PAST));
}

/* Decodes into m->decoded from exactly the bytes that may be read, at an odd address. */
static covey_status decode(material *m, covey__lane_run_fn run, const char *data, size_t size,
                           covey__lane_decoder *decoder) {
    uint8_t *copy = covey__alloc(&env, size + COVEY__LANE_PAST + 1);
    assert_non_null(copy);
    memcpy(copy + 1, data, size);
    memset(copy + 1 + size, 0xa5, COVEY__LANE_PAST);
    memset(m->decoded, 0xee, sizeof m->decoded);
    covey_error error;
    covey_status status = covey__lane_decoder_init(decoder, copy + 1, size, &error);
    if (status == COVEY_OK) {
        covey__lane_run job = {.tables = m->tables,
                               .rows = m->form == FORM_ROW ? m->rows : NULL,
                               .row = m->row,
                               .pair = m->form == FORM_PAIR,
                               .contexts = m->contexts,
                               .columns = m->columns,
                               .masks = m->masks,
                               .symbols = m->decoded,
                               .found = m->found,
                               .steps = m->steps};
        run(decoder, &job);
        status = covey__lane_decoder_finish(decoder, &error);
    }
    covey__free(&env, copy);
    return status;
}

static bool symbols_match(const material *m) {
    for (size_t k = 0; k < 32 * m->steps; k++) {
        bool active = m->masks[k / 32] >> k % 32 & 1;
        uint8_t symbol = active ? m->symbols[k] : 0;
        const uint32_t *found = &m->found[k / 32 * 2];
        if (m->decoded[k] != symbol) return false;
        if ((found[0] >> k % 32 & 1) != (symbol != 0)) return false;
        if ((found[1] >> k % 32 & 1) != (symbol == 3)) return false;
    }
    return true;
}

/* The functions of this machine, without repetition; returns how many. */
static size_t all_sets(covey__lane_run_fn sets[COVEY__ISA_COUNT], const char **names) {
    size_t count = 0;
    for (int isa = 0; isa < COVEY__ISA_COUNT; isa++) {
        if (!covey__cpu_has((covey__isa)isa)) continue;
        covey__lane_run_fn run = covey__lane_run_get((covey__isa)isa);
        size_t i = 0;
        while (i < count && sets[i] != run) i++;
        if (i < count) continue;
        names[count] = covey__isa_name((covey__isa)isa);
        sets[count++] = run;
    }
    return count;
}

static void everything_comes_back(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 2, 3, 17, 500, STEPS};
    covey__lane_run_fn sets[COVEY__ISA_COUNT];
    const char *names[COVEY__ISA_COUNT];
    size_t count = all_sets(sets, names);
    assert_ptr_equal(sets[0], covey__lane_run_scalar);
    for (size_t i = 0; i < count; i++) print_message("coder by %s\n", names[i]);
    material *m = new_material();
    uint64_t seed = 1;
    for (int kind = 0; kind < FORM_COUNT; kind++)
        for (int spread = MASKS_FULL; spread <= MASKS_ANY; spread++)
            for (int skew = 0; skew < 4; skew++)
                for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
                    fill(m, (form)kind, (masks)spread, lengths[l], skew < 2 ? 0 : 60 * skew - 60,
                         skew == 0, seed++);
                    covey__buffer stream;
                    encode(m, &stream);
                    for (size_t i = 0; i < count; i++) {
                        covey__lane_decoder decoder;
                        assert_int_equal(decode(m, sets[i], stream.data, stream.size, &decoder),
                                         COVEY_OK);
                        assert_true(symbols_match(m));
                    }
                    covey__buffer_free(&stream);
                }
    free_material(m);
}

/* A prefix of the steps leaves the lanes anywhere: all sets leave them at the same place. */
static void states_are_equal_on_the_way(void **state) {
    (void)state;
    covey__lane_run_fn sets[COVEY__ISA_COUNT];
    const char *names[COVEY__ISA_COUNT];
    size_t count = all_sets(sets, names);
    material *m = new_material();
    for (int kind = 0; kind < FORM_COUNT; kind++) {
        fill(m, (form)kind, MASKS_ANY, 400, 0, false, 77 + (uint64_t)kind);
        covey__buffer stream;
        encode(m, &stream);
        covey__lane_decoder expected, found;
        for (m->steps = 1; m->steps < 400; m->steps += 7) {
            assert_int_equal(decode(m, sets[0], stream.data, stream.size, &expected),
                             COVEY_ERROR_FORMAT);
            for (size_t i = 1; i < count; i++) {
                assert_int_equal(decode(m, sets[i], stream.data, stream.size, &found),
                                 COVEY_ERROR_FORMAT);
                assert_memory_equal(found.state, expected.state, sizeof found.state);
                assert_int_equal(found.end - found.at, expected.end - expected.at);
                assert_true(found.over == expected.over && symbols_match(m));
            }
        }
        covey__buffer_free(&stream);
    }
    free_material(m);
}

static void streams_are_as_long_as_their_tables_say(void **state) {
    (void)state;
    static const int least[] = {0, 60, 100, 127};
    material *m = new_material();
    static uint32_t counts[TABLES][4];
    for (size_t i = 0; i < 4; i++)
        for (int spread = MASKS_FULL; spread <= MASKS_ANY; spread++) {
            fill(m, FORM_STEP, (masks)spread, STEPS, least[i], false, 900 + i);
            memset(counts, 0, sizeof counts);
            for (size_t s = 0; s < m->steps; s++)
                covey__lane_count(counts, m->contexts + 32 * s, m->masks[s], m->symbols + 32 * s);
            double bits = 0;
            for (size_t t = 0; t < TABLES; t++)
                bits += covey__lane_table_cost(&m->tables[t], counts[t]);
            covey__buffer stream;
            encode(m, &stream);
            double found = (double)(stream.size - COVEY__LANE_HEAD) * 8;
            if (fabs(found - bits) > bits * 0.005 + 32 * 16)
                fail_msg("%.0f bits, not %.0f", found, bits);
            covey__buffer_free(&stream);
        }
    free_material(m);
}

static void counting_records_is_counting_steps(void **state) {
    (void)state;
    material *m = new_material();
    fill(m, FORM_STEP, MASKS_ANY, 300, 0, false, 4);
    static uint32_t direct[TABLES][4], recorded[TABLES + 7][4];
    memset(direct, 0, sizeof direct);
    memset(recorded, 0, sizeof recorded);
    covey__lane_encoder encoder;
    covey__lane_encoder_init(&encoder, &env, 1 << 20);
    uint64_t symbols = 0;
    for (size_t s = 0; s < m->steps; s++) {
        covey__lane_count(direct, m->contexts + 32 * s, m->masks[s], m->symbols + 32 * s);
        covey__lane_encoder_step(&encoder, 7, m->contexts + 32 * s, m->masks[s],
                                 m->symbols + 32 * s);
        symbols += (uint64_t)__builtin_popcount(m->masks[s]);
    }
    covey__lane_encoder_count(&encoder, recorded, TABLES + 7);
    assert_memory_equal(recorded[7], direct, sizeof direct);
    assert_true(encoder.symbols == symbols);
    covey__lane_encoder_free(&encoder);
    free_material(m);
}

/* Under ASan this also shows that no set reads beyond what it may. */
static void damaged_streams_are_refused(void **state) {
    (void)state;
    covey__lane_run_fn sets[COVEY__ISA_COUNT];
    const char *names[COVEY__ISA_COUNT];
    size_t count = all_sets(sets, names);
    material *m = new_material();
    uint64_t seed = 11;
    for (int kind = 0; kind < FORM_COUNT; kind++) {
        fill(m, (form)kind, MASKS_ANY, 200, 60, false, 50 + (uint64_t)kind);
        covey__buffer stream;
        encode(m, &stream);
        covey__lane_decoder first, other;
        for (size_t cut = 0; cut < stream.size; cut += cut < 140 ? 1 : 37)
            for (size_t i = 0; i < count; i++)
                assert_int_equal(decode(m, sets[i], stream.data, cut, &other), COVEY_ERROR_FORMAT);
        assert_int_equal(decode(m, sets[0], stream.data, stream.size + 2, &other),
                         COVEY_ERROR_FORMAT);
        for (int trial = 0; trial < 300; trial++) {
            size_t at = test_random(&seed) % stream.size;
            char bit = (char)(1 << test_random(&seed) % 8);
            stream.data[at] ^= bit;
            assert_int_equal(decode(m, sets[0], stream.data, stream.size, &first),
                             COVEY_ERROR_FORMAT);
            for (size_t i = 1; i < count; i++)
                assert_int_equal(decode(m, sets[i], stream.data, stream.size, &other),
                                 COVEY_ERROR_FORMAT);
            stream.data[at] ^= bit;
        }
        covey__buffer_free(&stream);
    }
    free_material(m);
}

/* Each lane wants a word in each step, but there are none. */
static void steps_without_words_stay_at_the_end(void **state) {
    (void)state;
    covey__lane_run_fn sets[COVEY__ISA_COUNT];
    const char *names[COVEY__ISA_COUNT];
    size_t count = all_sets(sets, names);
    material *m = new_material();
    for (int kind = 0; kind < FORM_COUNT; kind++) {
        fill(m, (form)kind, MASKS_FULL, 100, 127, false, 3);
        char stream[COVEY__LANE_HEAD + 6];
        for (size_t words = 0; words <= 3; words++) {
            for (size_t i = 0; i < sizeof stream; i++) stream[i] = (char)(i % 4 == 2);
            for (size_t i = 0; i < count; i++) {
                covey__lane_decoder decoder;
                assert_int_equal(decode(m, sets[i], stream, COVEY__LANE_HEAD + 2 * words, &decoder),
                                 COVEY_ERROR_FORMAT);
                assert_true(decoder.over);
                assert_ptr_equal(decoder.at, decoder.end);
            }
        }
    }
    free_material(m);
}

static void small_states_are_refused(void **state) {
    (void)state;
    char stream[COVEY__LANE_HEAD + COVEY__LANE_PAST] = {0};
    covey__lane_decoder decoder;
    covey_error error;
    for (size_t lane = 0; lane < 32; lane++) stream[4 * lane + 2] = 1;
    const uint8_t *bytes = (const uint8_t *)stream;
    assert_int_equal(covey__lane_decoder_init(&decoder, bytes, COVEY__LANE_HEAD, &error), COVEY_OK);
    assert_int_equal(covey__lane_decoder_finish(&decoder, &error), COVEY_OK);
    stream[4 * 31 + 2] = 0;
    stream[4 * 31 + 1] = (char)0xff;
    assert_int_equal(covey__lane_decoder_init(&decoder, bytes, COVEY__LANE_HEAD, &error),
                     COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "lane 31"));
}

/* What the format's text says, step by step, in one lane. */
static void a_stream_made_by_hand(void **state) {
    (void)state;
    material *m = new_material();
    fill(m, FORM_STEP, MASKS_FULL, 2, 127, false, 1);
    m->tables[0] = (covey__lane_table){{16384, 24576, 28672, 32768}};
    m->masks[0] = m->masks[1] = 1u << 5;
    m->contexts[5] = m->contexts[37] = 0;
    char stream[COVEY__LANE_HEAD + 2] = {0};
    for (size_t lane = 0; lane < 32; lane++) stream[4 * lane + 2] = 1;
    /* Slot 24577 of x = 8 * 2^15 + 24577: symbol 2, f = 4096, x = 8 * 4096 + 1, below 2^16, so the
     * word 3 makes it 32769 * 2^16 + 3. Slot 3: symbol 0, x = 16384 * 65538 + 3. */
    uint32_t x = 8 * 32768 + 24577;
    for (int i = 0; i < 4; i++) stream[20 + i] = (char)(x >> 8 * i);
    stream[COVEY__LANE_HEAD] = 3;
    covey__lane_decoder decoder;
    covey__lane_run_fn sets[COVEY__ISA_COUNT];
    const char *names[COVEY__ISA_COUNT];
    for (size_t i = 0, count = all_sets(sets, names); i < count; i++) {
        assert_int_equal(decode(m, sets[i], stream, sizeof stream, &decoder), COVEY_ERROR_FORMAT);
        assert_int_equal(m->decoded[5], 2);
        assert_int_equal(m->decoded[37], 0);
        assert_int_equal(decoder.state[5], 16384u * 65538u + 3);
        assert_true(decoder.at == decoder.end && !decoder.over);
    }
    free_material(m);
}

static covey_status encode_step(const covey__env *with, void *user, covey_error *error) {
    material *m = user;
    covey__lane_encoder encoder;
    covey__lane_encoder_init(&encoder, with, 1 << 20);
    for (size_t i = 0; i < m->steps; i++)
        covey__lane_encoder_step(&encoder, 0, m->contexts + 32 * i, m->masks[i],
                                 m->symbols + 32 * i);
    covey__buffer out;
    covey__buffer_init(&out, with, 1 << 20);
    covey_status status = covey__lane_encoder_finish(&encoder, m->tables, TABLES, &out, error);
    covey__buffer_free(&out);
    covey__lane_encoder_free(&encoder);
    return status;
}

static void the_encoder_survives_failures(void **state) {
    (void)state;
    material *m = new_material();
    fill(m, FORM_STEP, MASKS_ANY, 60, 0, false, 8);
    assert_true(test_fail_each_allocation(encode_step, m) >= 3);
    covey__lane_encoder encoder;
    covey__buffer out;
    covey_error error;
    covey__buffer_init(&out, &env, 1 << 20);
    covey__lane_encoder_init(&encoder, &env, 4000);
    for (size_t i = 0; i < m->steps; i++)
        covey__lane_encoder_step(&encoder, 0, m->contexts + 32 * i, UINT32_MAX,
                                 m->symbols + 32 * i);
    assert_int_equal(covey__lane_encoder_finish(&encoder, m->tables, TABLES, &out, &error),
                     COVEY_ERROR_LIMIT);
    covey__lane_encoder_clear(&encoder);
    covey__lane_encoder_step(&encoder, TABLES, m->contexts, 1, m->symbols);
    assert_int_equal(covey__lane_encoder_finish(&encoder, m->tables, TABLES, &out, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(out.size, 0);
    covey__lane_encoder_free(&encoder);
    covey__buffer_free(&out);
    free_material(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(states_are_equal_on_the_way),
        cmocka_unit_test(streams_are_as_long_as_their_tables_say),
        cmocka_unit_test(counting_records_is_counting_steps),
        cmocka_unit_test(damaged_streams_are_refused),
        cmocka_unit_test(steps_without_words_stay_at_the_end),
        cmocka_unit_test(small_states_are_refused),
        cmocka_unit_test(a_stream_made_by_hand),
        cmocka_unit_test(the_encoder_survives_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
