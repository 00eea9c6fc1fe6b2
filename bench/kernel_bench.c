/* Rates of the kernels alone, on the shapes of Llama 3.2 1B: one pass over all weights for a token
 * (decode), passes for several tokens (prefill), and attention. Two threads split rows in halves,
 * as the engine does. Each figure is the best of a few repetitions, in time on the core (of the
 * thread that needed more).
 *
 * usage: kernel_bench [isa] [decode|few|batch|attention] [TYPE] (of weights, or of KV) */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/kernel.h"

#define THREADS    2
#define LAYERS     16
#define TOKENS_MAX 512
#define FEW_MAX    24
_Static_assert(FEW_MAX * 128256 <= TOKENS_MAX * 8192, "room for outputs");

typedef struct operation {
    covey__weights w;
} operation;

typedef struct model {
    operation operations[LAYERS * 7 + 1];
    int32_t count;
    uint8_t *data;
    size_t size;
} model;

typedef struct job {
    const covey__kernels *k;
    const model *m;
    const covey__activations *a[3][2]; /* by kind, and columns 2048 or 8192 */
    float *out;
    void *scratch[THREADS];
    int32_t from, to;                  /* operations */
    const covey__attention *attention; /* of the first head of the first layer, or NULL */
    pthread_barrier_t barrier;
} job;

/* This thread's time on a core: what other programs take of the machine does not count. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *allocate(size_t size) {
    void *p = aligned_alloc(64, (size + 127) / 64 * 64);
    if (!p) exit(1);
    memset(p, 0, (size + 127) / 64 * 64);
    return p;
}

static uint32_t draw(void) {
    static uint64_t s = 88172645463325252u;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return (uint32_t)(s >> 32);
}

static void fill_weights(uint8_t *data, size_t size, uint32_t type) {
    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t v = draw();
        memcpy(data + i, &v, 4);
    }
    size_t step = covey__kernel_row_bytes(type, covey__kernel_block(type)), skip = 0, halves = 1;
    if (type == COVEY__KT_F32 || type == COVEY__KT_Q6_K || type == COVEY__KT_Q3_K) skip = step - 2;
    if (type == COVEY__KT_Q2_K) skip = step - 4;
    if (type == COVEY__KT_Q2_K || type == COVEY__KT_Q4_K || type == COVEY__KT_Q5_K ||
        type == COVEY__KT_Q4_1 || type == COVEY__KT_Q5_1)
        halves = 2;
    for (size_t at = skip; at + 4 <= size; at += step) {
        for (size_t h = 0; h < halves; h++) {
            bool wide = type == COVEY__KT_BF16 || type == COVEY__KT_F32;
            uint16_t d = (uint16_t)((wide ? 0x3c00 : 0x2000) | (draw() & 0x83ff));
            memcpy(data + at + 2 * h, &d, 2);
        }
    }
}

static void add(model *m, uint32_t type, int32_t rows, int32_t columns, size_t *at) {
    covey__weights *w = &m->operations[m->count++].w;
    w->type = type;
    w->rows = rows;
    w->columns = columns;
    w->row_bytes = covey__kernel_row_bytes(type, columns);
    if (m->data) {
        w->data = m->data + *at;
        fill_weights(m->data + *at, w->row_bytes * (size_t)rows, type);
    }
    *at += (w->row_bytes * (size_t)rows + 63) & ~(size_t)63;
}

static size_t lay_out(model *m, uint32_t type, uint32_t head) {
    size_t at = 0;
    m->count = 0;
    for (int l = 0; l < LAYERS; l++) {
        add(m, type, 2048, 2048, &at);
        add(m, type, 512, 2048, &at);
        add(m, type, 512, 2048, &at);
        add(m, type, 2048, 2048, &at);
        add(m, type, 8192, 2048, &at);
        add(m, type, 8192, 2048, &at);
        add(m, type, 2048, 8192, &at);
    }
    add(m, head, 128256, 2048, &at);
    return at;
}

static void make_model(model *m, uint32_t type, uint32_t head) {
    memset(m, 0, sizeof *m);
    m->size = lay_out(m, type, head);
    m->data = allocate(m->size);
    lay_out(m, type, head);
}

enum { HEAD_DIM = 64, KV_HEADS = 8, GROUP = 4, UNIT_TOKENS = 32 };

/* All layers: the KV heads are shared out, and tokens go by 32 as in the engine. */
static void attend(job *j, int thread) {
    size_t k = covey__page_k_bytes(j->attention->kv, HEAD_DIM);
    for (int32_t layer = 0; layer < LAYERS; layer++) {
        for (int32_t head = thread; head < KV_HEADS; head += THREADS) {
            covey__attention a = *j->attention;
            a.k_offset = (size_t)(layer * KV_HEADS + head) * 2 * k;
            a.v_offset = a.k_offset + k;
            for (int32_t t = 0; t < j->attention->tokens; t += UNIT_TOKENS) {
                int32_t left = j->attention->tokens - t;
                size_t at = (size_t)t * a.q_stride + (size_t)(head * GROUP * HEAD_DIM);
                a.tokens = left < UNIT_TOKENS ? left : UNIT_TOKENS;
                a.position = j->attention->position + t;
                a.q = j->attention->q + at;
                a.out = j->attention->out + at;
                j->k->attention(&a, j->scratch[thread]);
            }
        }
    }
}

static void work(job *j, int thread) {
    for (int32_t i = j->from; i < j->to; i++) {
        const covey__weights *w = &j->m->operations[i].w, *n = i + 1 < j->to ? w + 1 : w;
        if (n != w) n = &j->m->operations[i + 1].w;
        int32_t half = (w->rows / 2 + 31) / 32 * 32, next_half = (n->rows / 2 + 31) / 32 * 32;
        covey__product p = {w, j->a[covey__kernel_act(w->type)][w->columns == 8192], j->out,
                            (size_t)w->rows};
        const uint8_t *next =
            (const uint8_t *)n->data + (size_t)(thread * next_half) * n->row_bytes;
        j->k->product(&p, thread ? half : 0, thread ? w->rows : half, next, j->scratch[thread]);
        pthread_barrier_wait(&j->barrier);
    }
    if (j->attention) attend(j, thread);
}

typedef struct start {
    job *j;
    int thread;
    double seconds;
} start;

static void *run_thread(void *user) {
    start *s = user;
    work(s->j, s->thread);
    s->seconds = now();
    return NULL;
}

static double run(job *j) {
    start s = {j, 1, 0};
    pthread_t thread;
    pthread_barrier_init(&j->barrier, NULL, THREADS);
    double t = now();
    pthread_create(&thread, NULL, run_thread, &s);
    work(j, 0);
    t = now() - t;
    pthread_join(thread, NULL);
    if (s.seconds > t) t = s.seconds;
    pthread_barrier_destroy(&j->barrier);
    return t;
}

static double best_of(job *j, int count) {
    double best = 1e9;
    for (int i = 0; i < count; i++) {
        double t = run(j);
        if (t < best) best = t;
    }
    return best;
}

static void set_tokens(job *j, covey__activations a[3][2], void *memory[3][2], int32_t tokens) {
    static float x[8192];
    for (int i = 0; i < 8192; i++) x[i] = (float)(int32_t)draw() * 0x1p-31f;
    for (int kind = 0; kind < 3; kind++) {
        for (int c = 0; c < 2; c++) {
            int32_t columns = c ? 8192 : 2048;
            free(memory[kind][c]);
            memory[kind][c] = allocate(covey__activations_bytes((covey__act)kind, columns, tokens));
            covey__activations_init(&a[kind][c], (covey__act)kind, columns, tokens,
                                    memory[kind][c]);
            j->k->activations(&a[kind][c], x, 0, 0, tokens);
            j->a[kind][c] = &a[kind][c];
        }
    }
}

/* Passes of several tokens that all want logits: sessions decoding together, and checking drafts.
 */
static void bench_few(job *j, covey__activations a[3][2], void *memory[3][2], const char *name) {
    double one = 0.0;
    for (int32_t tokens = 1; tokens <= FEW_MAX; tokens += tokens < 8 ? 1 : 4) {
        set_tokens(j, a, memory, tokens);
        double t = best_of(j, 5);
        if (tokens == 1) one = t;
        printf("%-5s %-6s %d tokens: %.1f ms, %.2f passes of one\n", name,
               covey__isa_name(j->k->isa), tokens, t * 1e3, t / one);
        fflush(stdout);
    }
}

static void bench_batch(job *j, covey__activations a[3][2], void *memory[3][2], const char *name) {
    static const int32_t counts[] = {2, 3, 4, 6, 8, 16, 64, 512};
    j->to = j->m->count - 1; /* the head is for the last token alone */
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        set_tokens(j, a, memory, counts[i]);
        double t = best_of(j, counts[i] > 64 ? 2 : 3), operations = 0;
        for (int32_t o = 0; o < j->to; o++)
            operations += 2.0 * j->m->operations[o].w.rows * j->m->operations[o].w.columns;
        operations *= counts[i];
        printf("%-5s %-6s %d tokens: %.1f ms, %.2f TOP/s, %.0f t/s\n", name,
               covey__isa_name(j->k->isa), counts[i], t * 1e3, operations / t / 1e12,
               counts[i] / t);
        fflush(stdout);
    }
}

static void bench_type(job *j, const char *name, uint32_t type, uint32_t head, const char *what) {
    static covey__activations a[3][2];
    static void *memory[3][2];
    bool all = !strcmp(what, "all");
    model m;
    make_model(&m, type, head);
    j->m = &m;
    j->from = 0;
    j->to = m.count;
    set_tokens(j, a, memory, 1);
    double t = best_of(j, 6);
    printf("%-5s %-6s 1 token: %.1f ms, %.1f GB/s, %.1f t/s\n", name, covey__isa_name(j->k->isa),
           t * 1e3, (double)m.size / t / 1e9, 1 / t);
    if (all || !strcmp(what, "few")) bench_few(j, a, memory, name);
    if (all || !strcmp(what, "batch")) bench_batch(j, a, memory, name);
    free(m.data);
}

static const char *const kv_names[] = {"F32", "F16", "Q8_0"};

/* The attention of all layers, on pages that lie as a session's do. */
static void bench_attention(job *j, covey__kv_type kv, int32_t position, int32_t tokens) {
    int32_t pages = (position + tokens + 31) / 32;
    size_t head = covey__page_k_bytes(kv, HEAD_DIM) * 2, page = head * KV_HEADS * LAYERS;
    uint8_t *memory = allocate((size_t)pages * page);
    const void **table = allocate((size_t)pages * sizeof *table);
    for (int32_t i = 0; i < pages; i++) table[i] = memory + (size_t)i * page;
    for (size_t h = 0; h < (size_t)pages * KV_HEADS * LAYERS; h++)
        for (int32_t slot = 0; slot < 32; slot++) {
            float x[HEAD_DIM];
            for (int i = 0; i < HEAD_DIM; i++) x[i] = (float)(draw() % 2000) * 1e-3f - 1;
            covey__page_put(kv, memory + h * head, memory + h * head + head / 2, HEAD_DIM, slot, x,
                            x);
        }
    size_t stride = KV_HEADS * GROUP * HEAD_DIM, n = (size_t)tokens * stride;
    float *q = allocate(n * sizeof(float) * 2);
    for (size_t i = 0; i < n; i++) q[i] = (float)(draw() % 2000) * 1e-3f - 1;
    covey__attention a = {.pages = table,
                          .kv = kv,
                          .head_dim = HEAD_DIM,
                          .heads = GROUP,
                          .tokens = tokens,
                          .position = position,
                          .scale = 0.125f,
                          .q = q,
                          .q_stride = stride,
                          .out = q + n,
                          .out_stride = stride};
    for (int i = 0; i < THREADS; i++) {
        free(j->scratch[i]);
        j->scratch[i] = allocate(covey__attention_scratch_bytes(HEAD_DIM, position + tokens));
    }
    j->attention = &a;
    j->from = j->to = 0;
    double t = best_of(j, tokens > 1 ? 3 : 20);
    printf("%-6s %-4s attention of %d tokens from %d: %.2f ms for the model",
           covey__isa_name(j->k->isa), kv_names[kv], tokens, position, t * 1e3);
    if (tokens == 1) printf(", %.1f GB/s", (double)((size_t)pages * page) / t / 1e9);
    printf("\n");
    fflush(stdout);
    j->attention = NULL;
    free(memory);
    free(table);
    free(q);
}

static const struct {
    const char *name;
    uint32_t type, head; /* of all matrices, and of the last one */
    bool usual;          /* without a type being named */
} types[] = {
    {"Q8_0", COVEY__KT_Q8_0, COVEY__KT_Q8_0, true},
    {"Q4_0", COVEY__KT_Q4_0, COVEY__KT_Q6_K, true},
    {"Q6_K", COVEY__KT_Q6_K, COVEY__KT_Q6_K, true},
    {"Q4_K", COVEY__KT_Q4_K, COVEY__KT_Q6_K, true},
    {"Q5_K", COVEY__KT_Q5_K, COVEY__KT_Q6_K, true},
    {"Q3_K", COVEY__KT_Q3_K, COVEY__KT_Q6_K, true},
    {"Q2_K", COVEY__KT_Q2_K, COVEY__KT_Q6_K, true},
    {"Q4_1", COVEY__KT_Q4_1, COVEY__KT_Q6_K, true},
    {"Q5_0", COVEY__KT_Q5_0, COVEY__KT_Q6_K, true},
    {"Q5_1", COVEY__KT_Q5_1, COVEY__KT_Q6_K, true},
    {"IQ4_NL", COVEY__KT_IQ4_NL, COVEY__KT_Q6_K, true},
    {"IQ4_XS", COVEY__KT_IQ4_XS, COVEY__KT_Q6_K, true},
    {"F16", COVEY__KT_F16, COVEY__KT_F16, false},
};

int main(int argc, char **argv) {
    covey__isa isa = covey__cpu_best();
    for (int i = 0; argc > 1 && i < COVEY__ISA_COUNT; i++)
        if (!strcmp(argv[1], covey__isa_name((covey__isa)i))) isa = (covey__isa)i;
    const char *what = argc > 2 ? argv[2] : "all";
    bool all = !strcmp(what, "all");
    static job j;
    j.k = covey__kernels_get(isa);
    j.out = allocate((size_t)TOKENS_MAX * 8192 * sizeof(float));
    for (int i = 0; i < THREADS; i++) j.scratch[i] = allocate(covey__product_scratch_bytes(8192));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (argc > 3 ? strcmp(argv[3], types[i].name) != 0 : !types[i].usual) continue;
        if (all || strcmp(what, "attention") != 0)
            bench_type(&j, types[i].name, types[i].type, types[i].head, what);
    }
    if (all || !strcmp(what, "attention")) {
        for (int kv = 0; kv < (int)COVEY__KV_TYPES; kv++) {
            if (argc > 3 && strcmp(argv[3], kv_names[kv]) != 0) continue;
            bench_attention(&j, (covey__kv_type)kv, 0, 512);
            bench_attention(&j, (covey__kv_type)kv, 3584, 512);
            bench_attention(&j, (covey__kv_type)kv, 511, 1);
            bench_attention(&j, (covey__kv_type)kv, 4095, 1);
            bench_attention(&j, (covey__kv_type)kv, 4095, 4);
        }
    }
    return 0;
}
