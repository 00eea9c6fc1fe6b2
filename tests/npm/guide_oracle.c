/* Generates answers under random JSON Schemas with a model of random weights, for
 * e2e/guide_oracle.sh to have them checked by another validator. usage: guide_oracle SEED COUNT
 * MODEL > cases.jsonl     MODEL is written, and may be removed then A line is {"schema": ...,
 * "text": "..."}; every text is a whole answer. */
#include "unit/engine/guide_schemas.h"

#include <covey/guide.h>

#include "base/json.h"

static char text[1 << 16];
static size_t text_size;

static bool hear(void *user, const char *part, size_t size) {
    (void)user;
    if (size > sizeof text - text_size) return false;
    memcpy(text + text_size, part, size);
    text_size += size;
    return true;
}

static void write_model(const char *path) {
    synthetic s = {.layers = 1,
                   .width = 32,
                   .ffn = 64,
                   .heads = 1,
                   .kv_heads = 1,
                   .head_dim = 32,
                   .context = 2048,
                   .type = COVEY__TYPE_F32,
                   .output_type = COVEY__TYPE_F32,
                   .seed = 9};
    covey__env_init(&plain_env);
    write_synthetic(&s, path);
}

static void print_case(const char *schema) {
    covey__buffer out;
    covey__json_writer json;
    covey__buffer_init(&out, &plain_env, 1u << 20);
    covey__json_writer_init(&json, &out, false);
    covey__json_begin_object(&json);
    covey__json_name(&json, "schema");
    covey__json_put_raw(&json, schema, strlen(schema));
    covey__json_name(&json, "text");
    covey__json_put_text(&json, text, text_size);
    covey__json_end_object(&json);
    covey_error error = {.message = ""};
    must(covey__buffer_check(&out, &error, "a case"), &error);
    puts(out.data);
    covey__buffer_free(&out);
}

static bool generate(covey_model *model, const covey_guide *guide, uint64_t seed) {
    const covey_token prompt[] = {1, 'a' + 3};
    covey_error error = {.message = ""};
    covey_sampling sampling = COVEY_SAMPLING_INIT;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    options.sampling = &sampling;
    covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
    covey_session *session = open_session(model, 700, 0);
    append(session, prompt, 2);
    sampling.temperature = seed % 3 == 0 ? 1.0f : 40.0f;
    sampling.seed = seed;
    options.tokens_max = 600;
    options.guide = guide;
    text_size = 0;
    must(covey_session_generate(session, &options, &result, &error, hear, NULL), &error);
    covey_session_close(session);
    return result.guide_complete;
}

int main(int argc, char **argv) {
    static writer w;
    if (argc != 4) return 2;
    w.all_formats = true;
    uint64_t seed = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10);
    write_model(argv[3]);
    covey_runtime *runtime = open_runtime(1, NULL);
    covey_model *model = open_model(runtime, argv[3]);
    for (uint64_t i = 0; i < count; i++) {
        covey_guide *guide = NULL;
        write_schema(&w, seed + i);
        if (covey_guide_new_json_schema(runtime, w.text, w.size, NULL, &guide, NULL)) continue;
        for (uint64_t k = 0; k < 3; k++)
            if (generate(model, guide, 3 * (seed + i) + k))
                print_case(w.text);
            else
                fprintf(stderr, "guide_oracle: seed %llu: not whole\n",
                        (unsigned long long)(seed + i));
        covey_guide_free(guide);
    }
    covey_model_close(model);
    covey_runtime_close(runtime);
    return 0;
}
