/* The pass against the formulas, for each architecture: docs/arithmetic.md, "Layers", once more in
 * double precision with the C library's functions, straight from the file's tensors by name. It
 * shares no code with the engine, so a layer computed in another order, a missing norm or a turned
 * sign shows here also where llama.cpp is absent. */
#include "synthetic.h"

#include <math.h>

#include <covey/embedding.h>

#define TOKENS 40
#define WIDTH  160
#define WIDEST 416
#define HEADS  5

/* The model as its file has it, and the residual stream of each token. */
typedef struct formula {
    const synthetic *s;
    covey__gguf *gguf;
    uint32_t layer;
    bool is_encoder;
    double x[TOKENS][WIDTH];
    double q[TOKENS][WIDEST], k[TOKENS][WIDEST], v[TOKENS][WIDEST], mixed[TOKENS][WIDEST];
} formula;

static bool is(const formula *f, const char *architecture) {
    return strcmp(architecture_of(f->s), architecture) == 0;
}

/* A tensor's values; NULL where the file has none of that name. "%" stands for the layer. */
static const float *values(const formula *f, const char *name) {
    char full[96];
    if (name[0] == '%')
        snprintf(full, sizeof full, "blk.%u%s", f->layer, name + 1);
    else
        snprintf(full, sizeof full, "%s", name);
    const covey__gguf_tensor *tensor = covey__gguf_tensor_find(f->gguf, full);
    return tensor ? (const float *)(const void *)tensor->data : NULL;
}

/* Rows [first, first + rows) of a matrix, and its bias where there is one. */
static void multiply(const formula *f, const char *name, const double *x, size_t columns,
                     size_t first, size_t rows, double *out) {
    char weight[64], bias[64];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    const float *w = values(f, weight), *b = values(f, bias);
    assert_non_null(w);
    for (size_t r = 0; r < rows; r++) {
        double sum = b ? (double)b[first + r] : 0.0;
        for (size_t c = 0; c < columns; c++) sum += (double)w[(first + r) * columns + c] * x[c];
        out[r] = sum;
    }
}

static void norm(const formula *f, const char *name, const double *x, size_t n, double *out) {
    char weight[64], bias[64];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    const float *w = values(f, weight), *b = values(f, bias);
    double mean = 0.0, squares = 0.0;
    assert_non_null(w);
    for (size_t i = 0; i < n && f->is_encoder; i++) mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean) / (double)n;
    double factor = 1.0 / sqrt(squares + (f->is_encoder ? 1e-12 : 1e-5));
    for (size_t i = 0; i < n; i++)
        out[i] = (x[i] - mean) * factor * (double)w[i] + (b ? (double)b[i] : 0.0);
}

static bool sees_all(const formula *f) {
    return f->s->window == 0 || (is(f, "gemma3") && (f->layer + 1) % 6 == 0);
}

static void turn(const formula *f, double *head, size_t position) {
    size_t dim = f->s->head_dim, pairs = dim / 2;
    bool halves = !is(f, "llama") && !is(f, "smollm3"), local = is(f, "gemma3") && !sees_all(f);
    const float *factors =
        values(f, f->s->original ? "rope_factors_long.weight" : "rope_freqs.weight");
    double scale = f->s->linear_scaling > 0.0f && !local ? 1.0 / (double)f->s->linear_scaling : 1.0;
    double magnitude = f->s->original ? (double)1.19f : 1.0;
    for (size_t i = 0; i < pairs; i++) {
        double angle = (double)position * scale * pow(10000.0, -2.0 * (double)i / (double)dim);
        if (factors) angle /= (double)factors[i];
        double *a = head + (halves ? i : 2 * i), *b = halves ? a + pairs : a + 1;
        double was = *a;
        *a = magnitude * (was * cos(angle) - *b * sin(angle));
        *b = magnitude * (was * sin(angle) + *b * cos(angle));
    }
}

static void place(const formula *f, double *heads, size_t count, size_t position,
                  const char *head_norm) {
    size_t dim = f->s->head_dim;
    for (size_t h = 0; h < count; h++) {
        double *head = heads + h * dim;
        if (is(f, "qwen3") || is(f, "gemma3")) norm(f, head_norm, head, dim, head);
        if (!f->is_encoder && !(is(f, "smollm3") && f->layer % 4 == 3)) turn(f, head, position);
    }
}

static void attend(formula *f, size_t t) {
    size_t dim = f->s->head_dim, first = 0, last = f->is_encoder ? TOKENS - 1 : t;
    if (!sees_all(f) && t + 1 > f->s->window) first = t + 1 - f->s->window;
    for (size_t h = 0; h < f->s->heads; h++) {
        size_t at = h * dim, kv = h / (f->s->heads / f->s->kv_heads) * dim;
        double weights[TOKENS], sum = 0.0;
        for (size_t j = first; j <= last; j++) {
            double score = 0.0;
            for (size_t d = 0; d < dim; d++) score += f->q[t][at + d] * f->k[j][kv + d];
            sum += weights[j] = exp(score / sqrt((double)dim));
        }
        for (size_t d = 0; d < dim; d++) {
            f->mixed[t][at + d] = 0.0;
            for (size_t j = first; j <= last; j++)
                f->mixed[t][at + d] += weights[j] / sum * f->v[j][kv + d];
        }
    }
}

static void add(double *x, const double *y) {
    for (size_t i = 0; i < WIDTH; i++) x[i] += y[i];
}

static void attention_block(formula *f) {
    size_t query = (size_t)f->s->heads * f->s->head_dim,
           kv = (size_t)f->s->kv_heads * f->s->head_dim;
    double input[WIDTH], output[WIDTH];
    bool fused = is(f, "phi3");
    for (size_t t = 0; t < TOKENS; t++) {
        memcpy(input, f->x[t], sizeof input);
        if (!f->is_encoder) norm(f, "%.attn_norm", f->x[t], WIDTH, input);
        multiply(f, fused ? "%.attn_qkv" : "%.attn_q", input, WIDTH, 0, query, f->q[t]);
        multiply(f, fused ? "%.attn_qkv" : "%.attn_k", input, WIDTH, fused ? query : 0, kv,
                 f->k[t]);
        multiply(f, fused ? "%.attn_qkv" : "%.attn_v", input, WIDTH, fused ? query + kv : 0, kv,
                 f->v[t]);
        place(f, f->q[t], f->s->heads, t, "%.attn_q_norm");
        place(f, f->k[t], f->s->kv_heads, t, "%.attn_k_norm");
    }
    for (size_t t = 0; t < TOKENS; t++) {
        attend(f, t);
        multiply(f, "%.attn_output", f->mixed[t], query, 0, WIDTH, output);
        if (is(f, "gemma3")) norm(f, "%.post_attention_norm", output, WIDTH, output);
        add(f->x[t], output);
        if (f->is_encoder) norm(f, "%.attn_output_norm", f->x[t], WIDTH, f->x[t]);
    }
}

static double activation(const formula *f, double gate, double up) {
    if (f->is_encoder) return 0.5 * up * (1.0 + erf(up / sqrt(2.0)));
    if (!is(f, "gemma3")) return gate / (1.0 + exp(-gate)) * up;
    double inner = sqrt(2.0 / acos(-1.0)) * (gate + 0.044715 * gate * gate * gate);
    return 0.5 * gate * (1.0 + tanh(inner)) * up;
}

static void feed_forward_block(formula *f) {
    size_t ffn = f->s->ffn;
    double input[WIDTH], gate[WIDEST] = {0}, up[WIDEST], output[WIDTH];
    for (size_t t = 0; t < TOKENS; t++) {
        memcpy(input, f->x[t], sizeof input);
        if (!f->is_encoder) {
            norm(f, "%.ffn_norm", f->x[t], WIDTH, input);
            multiply(f, is(f, "phi3") ? "%.ffn_up" : "%.ffn_gate", input, WIDTH, 0, ffn, gate);
        }
        multiply(f, "%.ffn_up", input, WIDTH, is(f, "phi3") ? ffn : 0, ffn, up);
        for (size_t i = 0; i < ffn; i++) up[i] = activation(f, gate[i], up[i]);
        multiply(f, "%.ffn_down", up, ffn, 0, WIDTH, output);
        if (is(f, "gemma3")) norm(f, "%.post_ffw_norm", output, WIDTH, output);
        add(f->x[t], output);
        if (f->is_encoder) norm(f, "%.layer_output_norm", f->x[t], WIDTH, f->x[t]);
    }
}

static void enter(formula *f, const covey_token *tokens) {
    const float *words = values(f, "token_embd.weight");
    const float *types = values(f, "token_types.weight");
    const float *places = values(f, "position_embd.weight");
    for (size_t t = 0; t < TOKENS; t++) {
        for (size_t i = 0; i < WIDTH; i++) {
            f->x[t][i] = (double)words[(size_t)tokens[t] * WIDTH + i];
            if (is(f, "gemma3")) f->x[t][i] *= sqrt((double)WIDTH);
            if (f->is_encoder) f->x[t][i] += (double)types[i] + (double)places[t * WIDTH + i];
        }
        if (f->is_encoder) norm(f, "token_embd_norm", f->x[t], WIDTH, f->x[t]);
    }
}

/* The last token's logits, or the mean of all tokens' vectors. */
static size_t compute(formula *f, const covey_token *tokens, double *out) {
    double last[WIDTH];
    enter(f, tokens);
    for (f->layer = 0; f->layer < f->s->layers; f->layer++) {
        attention_block(f);
        feed_forward_block(f);
    }
    if (!f->is_encoder) {
        norm(f, "output_norm", f->x[TOKENS - 1], WIDTH, last);
        multiply(f, f->s->tied ? "token_embd" : "output", last, WIDTH, 0, SYNTHETIC_VOCABULARY,
                 out);
        return SYNTHETIC_VOCABULARY;
    }
    for (size_t i = 0; i < WIDTH; i++) {
        out[i] = 0.0;
        for (size_t t = 0; t < TOKENS; t++) out[i] += f->x[t][i] / TOKENS;
    }
    return WIDTH;
}

static void compute_ours(const synthetic *s, const char *path, const covey_token *tokens,
                         float *out) {
    covey_error error = {.message = ""};
    covey_runtime *runtime = open_runtime(2, NULL);
    covey_model *model = open_model(runtime, path);
    if (architecture_bit(s) == IN_BERT) {
        covey_embedding_options options = COVEY_EMBEDDING_OPTIONS_INIT;
        covey_embedding_input input = {tokens, TOKENS};
        options.raw = true;
        must(covey_model_embed(model, &options, &input, 1, out, &error), &error);
    } else {
        covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
        options.context_tokens = TOKENS;
        options.kv_type = COVEY_KV_F32;
        covey_session *session = NULL;
        must(covey_session_open(model, &options, &session, &error), &error);
        append(session, tokens, TOKENS);
        memcpy(out, covey_session_logits(session, NULL), SYNTHETIC_VOCABULARY * sizeof *out);
        covey_session_close(session);
    }
    covey_model_close(model);
    covey_runtime_close(runtime);
}

static void check(synthetic s) {
    covey_error error = {.message = ""};
    static formula f;
    covey_token tokens[TOKENS];
    double expected[SYNTHETIC_VOCABULARY], wrong = 0.0, all = 0.0;
    float found[SYNTHETIC_VOCABULARY];
    const char *path = in_folder("pass.gguf");
    write_synthetic(&s, path);
    random_tokens(tokens, TOKENS, SYNTHETIC_VOCABULARY, 6);
    f.s = &s;
    f.is_encoder = architecture_bit(&s) == IN_BERT;
    must(covey__gguf_open_path(&plain_env, path, &f.gguf, &error), &error);
    size_t count = compute(&f, tokens, expected);
    covey__gguf_close(f.gguf);
    compute_ours(&s, path, tokens, found);
    for (size_t i = 0; i < count; i++) {
        wrong += ((double)found[i] - expected[i]) * ((double)found[i] - expected[i]);
        all += expected[i] * expected[i];
    }
    if (!(wrong / all < 1e-10)) fail_msg("normalized mean squared error: %g", wrong / all);
}

static void test_llama(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    check(s);
    s.rope_factors = true;
    s.tied = true;
    check(s);
}

static void test_smollm3(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "smollm3";
    s.layers = 5;
    check(s);
}

static void test_qwen2(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "qwen2";
    check(s);
}

static void test_qwen3(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "qwen3";
    s.head_dim = 64;
    check(s);
}

static void test_gemma3(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "gemma3";
    s.layers = 7;
    s.window = 13;
    s.scaling_type = "linear";
    s.linear_scaling = 8.0f;
    s.tied = true;
    check(s);
}

static void test_phi3(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "phi3";
    s.window = 21;
    s.original = 32;
    check(s);
}

static void test_bert(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    s.architecture = "bert";
    s.kv_heads = HEADS;
    check(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama), cmocka_unit_test(test_smollm3), cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_qwen3), cmocka_unit_test(test_gemma3),  cmocka_unit_test(test_phi3),
        cmocka_unit_test(test_bert),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
