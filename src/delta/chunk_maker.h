/* Cuts a file into chunks: a GGUF at its tensors' borders, any other file by content (FastCDC). The
 * cut is a pure function of the bytes, so an index made on a device finds what a publisher's has.
 */
#ifndef COVEY_DELTA_CHUNK_MAKER_H
#define COVEY_DELTA_CHUNK_MAKER_H

#include "delta/chunk_index.h"

/* Receives each chunk's stored form in file order; the bytes are valid for the call. Anything but
 * COVEY_OK stops. */
typedef covey_status (*covey__chunk_fn)(void *user, const covey__chunk *chunk, const void *stored,
                                        covey_error *error);

/* The index of the file. With `each` NULL nothing is compressed: every chunk is said to be stored
 * as it is, which is what a device needs to find chunks in a file that it has. */
covey_status covey__chunk_index_make(const covey__env *env, const char *path,
                                     covey__chunk_index **index, covey_error *error,
                                     covey__chunk_fn each, void *user) COVEY_MUST_USE;

/* As above over memory. */
covey_status covey__chunk_index_make_memory(const covey__env *env, const void *data, size_t size,
                                            covey__chunk_index **index, covey_error *error,
                                            covey__chunk_fn each, void *user) COVEY_MUST_USE;

/* Of a file in which nothing of another is to be found again, such as a patch: cut each
 * COVEY__CHUNK_BYTES_MAX, every chunk stored as it is. */
covey_status covey__chunk_index_make_even(const covey__env *env, const char *path,
                                          covey__chunk_index **index, covey_error *error,
                                          covey__chunk_fn each, void *user) COVEY_MUST_USE;

/* The same in steps, without stored forms: what a device does with files that it has. Memory is 2
 * MiB and the table, and the page cache stays as it was. */
typedef struct covey__chunk_maker covey__chunk_maker;
covey_status covey__chunk_maker_open(const covey__env *env, const char *path,
                                     covey__chunk_maker **maker, covey_error *error) COVEY_MUST_USE;
/* Goes on, at least by one chunk, until the deadline (monotonic) or the end; then `*index` is the
 * caller's, until then NULL. */
covey_status covey__chunk_maker_step(covey__chunk_maker *maker, int64_t deadline_us,
                                     covey__chunk_index **index, covey_error *error) COVEY_MUST_USE;
void covey__chunk_maker_free(covey__chunk_maker *maker); /* NULL is allowed */

#endif
