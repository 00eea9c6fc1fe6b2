/* Training small models of the "llama" architecture on a device's or a developer's CPU, and writing
 * them in smaller types. What is written here is GGUF that covey_model_open and llama.cpp read.
 *
 * A corpus is a file of JSON lines, one turn of a conversation a line:
 *     {"user": "wake me at seven", "assistant": "{\"call\":\"alarm.set\", ...}"}
 * and a turn is trained as the tokens
 *     <|user|> user text <|assistant|> assistant text <|end|>
 * with no BOS. Several turns in a row make a sequence, which begins at a turn's start.
 *
 * The calls run until they are done, on the caller's thread and the runtime's; any thread may make
 * one. A callback runs on the caller's thread. */
#ifndef COVEY_TRAIN_H
#define COVEY_TRAIN_H

#include <covey/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types that a file can be written in. */
typedef enum covey_weight_type {
    COVEY_WEIGHT_F32 = 0,
    COVEY_WEIGHT_F16 = 1,
    COVEY_WEIGHT_Q8_0 = 2,
    COVEY_WEIGHT_Q4_0 = 3, /* with Q6_K (Q8_0 in odd widths) where the output needs it */
    /* Mixtures of K types, with more bits where they count, as llama.cpp mixes them. Rows that 256
       does not divide take types with blocks of 32. */
    COVEY_WEIGHT_Q6_K = 4,
    COVEY_WEIGHT_Q5_K_M = 5,
    COVEY_WEIGHT_Q4_K_M = 6,
    COVEY_WEIGHT_Q3_K_M = 7,
    COVEY_WEIGHT_Q2_K = 8
} covey_weight_type;

/* "F32", "Q4_K_M" and so on, of either case. COVEY_ERROR_UNSUPPORTED names the types there are. */
COVEY_API COVEY_MUST_USE covey_status covey_weight_type_parse(const char *name,
                                                              covey_weight_type *type,
                                                              covey_error *error);

/* The shape of a new model. */
typedef struct covey_model_shape {
    size_t size;
    int32_t layers;
    int32_t width;           /* a multiple of heads */
    int32_t heads;           /* width / heads is even */
    int32_t kv_heads;        /* divides heads */
    int32_t ff;              /* width of the feed-forward layer */
    int32_t context;         /* tokens that the file declares it was made for */
    int32_t vocabulary_size; /* of a new vocabulary, control tokens and 256 bytes included */
    bool untied;             /* an output matrix of its own */
    float rope_base;
    float norm_epsilon;
} covey_model_shape;
#define COVEY_MODEL_SHAPE_INIT                                                                     \
    { sizeof(covey_model_shape), 5, 256, 8, 4, 768, 1024, 2048, false, 10000.0f, 1e-5f }

/* Learns a byte-level BPE vocabulary of `vocabulary_size` tokens from the words of corpora and
 * writes it as a GGUF without tensors, with the chat template that belongs to the turns above.
 * Ids: the 256 bytes, merges in the order learned, then <|pad|>, <|user|>, <|assistant|>, <|end|>.
 * Fewer merges than asked for is an error: the corpus is too small. */
COVEY_API COVEY_MUST_USE covey_status
covey_train_vocabulary(covey_runtime *runtime, const char *const *corpus_paths, size_t corpus_count,
                       int32_t vocabulary_size, const char *out_path, covey_error *error);

typedef enum covey_train_phase {
    COVEY_TRAIN_VOCABULARY = 0, /* learns the vocabulary; done and total count merges */
    COVEY_TRAIN_READ = 1,       /* reads and tokenizes; done and total count bytes of the corpora */
    COVEY_TRAIN_STEP = 2,       /* took a step; done and total count trained tokens */
    COVEY_TRAIN_EVALUATE = 3,   /* measured the evaluation set; done and total as for a step */
    COVEY_TRAIN_SAVE = 4        /* wrote a checkpoint or the model */
} covey_train_phase;

typedef struct covey_train_progress {
    size_t size;
    covey_train_phase phase;
    uint64_t done, total;
    int64_t step;
    double loss;              /* nats a token that counts, of this step */
    double rate;              /* learning rate of this step */
    double gradient_norm;     /* before clipping */
    double tokens_per_second; /* over the last steps */
    double seconds_left;      /* an estimate; negative while unknown */
    double eval_loss;         /* of the last evaluation; negative before the first */
    double eval_exact;        /* share of its turns whose every answer token was the likeliest */
} covey_train_progress;

/* Anything but COVEY_OK stops: training then writes its checkpoint, if it has a path for one, and
 * returns that status. */
typedef covey_status (*covey_train_progress_fn)(void *user, const covey_train_progress *progress);

/* Paths and shape are borrowed for the call. */
typedef struct covey_train_options {
    size_t size;
    const char *const *corpus_paths;
    size_t corpus_count;
    const char *eval_path;      /* turns held out of training; NULL for none */
    const char *out_path;       /* the model, replaced atomically at the end */
    covey_weight_type out_type; /* COVEY_WEIGHT_F32 or COVEY_WEIGHT_F16 */
    const char *name;           /* general.name; NULL: the one of `from_path`, or "covey" */
    /* Where to begin: a GGUF with weights, or one with a vocabulary alone, or neither (then a
     * vocabulary is learned from the corpora). */
    const char *from_path;
    const char *vocabulary_path;
    const covey_model_shape *shape; /* of a new model; NULL: the INIT values */
    /* How long and how. */
    double epochs;          /* passes over the corpora */
    uint64_t tokens_max;    /* where not 0, in place of epochs */
    int32_t context_tokens; /* length of a sequence at most; longer turns are an error */
    int32_t batch_tokens;   /* a step */
    float single_share;     /* share of sequences that hold one turn; the others are filled up */
    bool train_on_all;      /* count the user's tokens too; by default only the assistant's */
    double rate, rate_min;  /* after warm-up; at the end of the cosine */
    int64_t warmup_steps;
    float beta1, beta2, weight_decay; /* AdamW; decay acts on matrices only */
    float clip_norm;                  /* of the whole gradient; 0: never */
    uint64_t seed;
    /* A checkpoint holds all that training needs to go on as if never interrupted. */
    const char *checkpoint_path;      /* NULL: none */
    double checkpoint_seconds;        /* between two; 0: only when stopped and at the end */
    bool resume;                      /* go on from checkpoint_path where it exists */
    int64_t eval_steps;               /* between two evaluations; 0: only at the end */
    covey_train_progress_fn progress; /* may be NULL */
    void *progress_user;
    bool bfloat16; /* multiply in bfloat16, with sums in F32, where the CPU can: faster by half */
} covey_train_options;
#define COVEY_TRAIN_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(covey_train_options), NULL, 0, NULL, NULL, COVEY_WEIGHT_F32, NULL, NULL, NULL,      \
            NULL, 1.0, 0, 256, 8192, 0.5f, false, 1e-3, 1e-4, 100, 0.9f, 0.95f, 0.1f, 1.0f, 1,     \
            NULL, 0.0, false, 0, NULL, NULL, false                                                 \
    }

typedef struct covey_train_result {
    size_t size;
    uint64_t parameter_count;
    uint64_t corpus_turns, corpus_tokens;
    int64_t steps;
    uint64_t tokens;   /* trained, over all runs */
    double seconds;    /* of this run's steps */
    double loss;       /* mean of the last steps */
    double eval_loss;  /* negative without an evaluation set */
    double eval_exact; /* share of its turns, 0 to 1; negative without one */
} covey_train_result;
#define COVEY_TRAIN_RESULT_INIT                                                                    \
    { sizeof(covey_train_result), 0, 0, 0, 0, 0, 0.0, 0.0, -1.0, -1.0 }

/* Trains and writes the model. Runs on the runtime's threads (up to eight are of use) and returns
 * when done. The same corpus, options and instruction set give the same bytes, for any number of
 * threads. Needs some 44 bytes a parameter (at most 512 MiB of which are gradients), and for each
 * thread the activations of 1,024 tokens, or of one sequence where that is longer: for the INIT
 * shape about 90 MB. */
COVEY_API COVEY_MUST_USE covey_status covey_train(covey_runtime *runtime,
                                                  const covey_train_options *options,
                                                  covey_train_result *result, covey_error *error);

typedef struct covey_quantize_options {
    size_t size;
    const char *in_path;  /* F32, F16 or BF16 */
    const char *out_path; /* replaced atomically; must not be `in_path` */
    covey_weight_type type;
    /* Text (UTF-8) that the model is run over first, to learn which inputs are strong: an
       importance matrix, which lowers the error where it is felt. NULL: none. */
    const char *importance_text_path;
    int32_t importance_window; /* tokens of one stretch of that text; 0: 512 */
} covey_quantize_options;
#define COVEY_QUANTIZE_OPTIONS_INIT                                                                \
    { sizeof(covey_quantize_options), NULL, NULL, COVEY_WEIGHT_F16, NULL, 0 }

typedef struct covey_quantize_result {
    size_t size;
    uint64_t bytes_in, bytes_out;
    size_t tensors_quantized, tensors_kept;
    double error;                 /* of the weights that changed: root of the mean square of the
                                     difference, over that of the weights; 0 where none changed */
    uint64_t importance_tokens;   /* that the importance matrix was made of */
    double importance_perplexity; /* of that text, before quantizing; 0 without one */
} covey_quantize_result;
#define COVEY_QUANTIZE_RESULT_INIT                                                                 \
    { sizeof(covey_quantize_result), 0, 0, 0, 0, 0.0, 0, 0.0 }

typedef enum covey_quantize_phase {
    COVEY_QUANTIZE_OBSERVE = 0, /* after each window of the text; done and total count its bytes */
    COVEY_QUANTIZE_WRITE = 1    /* after some megabytes; done and total count bytes of tensors */
} covey_quantize_phase;

/* Anything but COVEY_OK stops: it becomes the call's status, and nothing is left of the new file.
 */
typedef covey_status (*covey_quantize_progress_fn)(void *user, covey_quantize_phase phase,
                                                   uint64_t done, uint64_t total);

/* Writes a GGUF's matrices in another type; norms stay F32, and metadata is kept. The same input
 * gives the same bytes for any number of threads. Memory stays bounded by one block of rows,
 * whatever the model's size; with an importance text by one session and two megabytes more,
 * whatever the text's length. BUSY while another process writes the same file. `result` and
 * `progress` may be NULL. */
COVEY_API COVEY_MUST_USE covey_status covey_quantize(
    covey_runtime *runtime, const covey_quantize_options *options, covey_quantize_result *result,
    covey_error *error, covey_quantize_progress_fn progress, void *user);

#ifdef __cplusplus
}
#endif
#endif
