/* The trainer: takes the next sequences of the corpus, runs them on all threads, and makes one step
 * of AdamW with the sum of their gradients. What comes next depends on its state alone, so a
 * trainer that was given a saved state goes on as the one that saved it would have. */
#ifndef COVEY_TRAIN_TRAIN_STEP_H
#define COVEY_TRAIN_TRAIN_STEP_H

#include "base/pool.h"
#include "train/train_file.h"

typedef struct covey__trainer_setup {
    const covey__env *env;
    covey__pool *pool;
    const covey__train_kernels *kernels;
    covey__net *net;
    const covey__train_corpus *corpus;
    const covey_train_options *options;
    size_t tokens_max; /* of one turn in any corpus that will be run */
} covey__trainer_setup;

typedef struct covey__trainer covey__trainer;

typedef struct covey__step_report {
    double loss, rate, gradient_norm;
    uint64_t tokens; /* of this step */
} covey__step_report;

covey_status covey__trainer_new(const covey__trainer_setup *setup, covey__trainer **trainer,
                                covey_error *error) COVEY_MUST_USE;
void covey__trainer_free(covey__trainer *trainer);
/* To be read for a checkpoint, or filled from one before the first step. */
covey__train_state *covey__trainer_state(covey__trainer *trainer);
uint64_t covey__trainer_tokens_total(const covey__trainer *trainer);
covey_status covey__trainer_step(covey__trainer *trainer, covey__step_report *report,
                                 covey_error *error) COVEY_MUST_USE;
/* Every turn of a corpus on its own: mean loss over answer tokens, and the share of turns whose
 * every answer token was the likeliest. */
void covey__trainer_evaluate(covey__trainer *trainer, const covey__train_corpus *corpus,
                             double *loss, double *exact);

#endif
