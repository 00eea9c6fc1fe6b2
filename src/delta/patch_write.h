/* Writing a patch (docs/formats/patch.md): frames as they are made, the head at the end. */
#ifndef COVEY_DELTA_PATCH_WRITE_H
#define COVEY_DELTA_PATCH_WRITE_H

#include "base/file.h"
#include "delta/patch_head.h"

typedef struct covey__patch_writer {
    const covey__env *env;
    covey__replacement file; /* has the payloads, from its start, until the head is known */
    covey__buffer tables, factors, parts, frames;
    uint32_t table_count, factor_count, part_count, frame_count;
    uint64_t payload_size;
} covey__patch_writer;

/* The patch appears at `path` with finish, or never. */
covey_status covey__patch_writer_open(const covey__env *env, const char *path,
                                      covey__patch_writer *writer,
                                      covey_error *error) COVEY_MUST_USE;
void covey__patch_writer_close(covey__patch_writer *writer); /* also after finish */

/* The lists; a failure is kept and told by finish. Table sets come in rising order of their ids. */
void covey__patch_writer_table(covey__patch_writer *writer, const covey__patch_table *table);
void covey__patch_writer_factor(covey__patch_writer *writer, const covey__patch_factor *factor);
/* The name is written where `named` is true. */
void covey__patch_writer_part(covey__patch_writer *writer, const covey__patch_part *part);
/* Closes a frame of the last `part_count` parts. */
covey_status covey__patch_writer_frame(covey__patch_writer *writer, uint32_t part_count,
                                       const void *payload, uint32_t payload_size,
                                       covey_error *error) COVEY_MUST_USE;

typedef struct covey__patch_ends { /* the two files */
    uint64_t old_size, new_size;
    uint8_t old_sha256[32], new_sha256[32];
} covey__patch_ends;
/* Gives the head's size and digest. */
covey_status covey__patch_writer_finish(covey__patch_writer *writer, const covey__patch_ends *ends,
                                        uint64_t *head_size, uint8_t head_sha256[32],
                                        covey_error *error) COVEY_MUST_USE;

#endif
