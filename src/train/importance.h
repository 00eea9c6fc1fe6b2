/* Importance matrices: how strong the inputs of each matrix are, column by column. */
#ifndef COVEY_TRAIN_IMPORTANCE_H
#define COVEY_TRAIN_IMPORTANCE_H

#include "gguf/gguf.h"
#include <covey/train.h>

typedef struct covey__importance_matrix covey__importance_matrix;

typedef struct covey__importance_options {
    const char *model_path, *text_path;
    int32_t window;     /* tokens; 0: 512 */
    size_t piece_bytes; /* of the text that are read at once; 0: 256 KiB */
    covey_quantize_progress_fn progress;
    void *user;
} covey__importance_options;

/* Runs the model over the text. The caller frees what it gets. */
covey_status covey__importance_collect(covey_runtime *runtime,
                                       const covey__importance_options *options,
                                       covey__importance_matrix **out,
                                       covey_error *error) COVEY_MUST_USE;
void covey__importance_free(covey__importance_matrix *matrix);

uint64_t covey__importance_tokens(const covey__importance_matrix *matrix);
double covey__importance_perplexity(const covey__importance_matrix *matrix);
/* The mean square of each input column of a matrix, [columns], borrowed; NULL where the text told
 * nothing of it. */
const float *covey__importance_find(const covey__importance_matrix *matrix, covey__gguf_text name,
                                    int64_t columns);

#endif
