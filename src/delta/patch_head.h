/* The head of a patch (docs/formats/patch.md): the fixed 104 bytes and the directory. The reader
 * holds the whole directory against its rules once; walking it afterwards cannot fail. The writer
 * is in delta/patch_write.h. */
#ifndef COVEY_DELTA_PATCH_HEAD_H
#define COVEY_DELTA_PATCH_HEAD_H

#include "base/env.h"

#define COVEY__PATCH_FORMAT        1
#define COVEY__PATCH_FIXED         104         /* bytes before the directory */
#define COVEY__PATCH_DIRECTORY_MAX (32u << 20) /* bytes, stored and not */
#define COVEY__PATCH_PART_MAX      (2u << 20)  /* bytes of a part, and of a frame's parts */
#define COVEY__PATCH_PREFIX_MAX    (8u << 20)  /* bytes of the old range of a kind 2 */
#define COVEY__PATCH_PAYLOAD_MAX   (4u << 20)  /* bytes of a frame's payload */
#define COVEY__PATCH_NO_FACTOR     UINT32_MAX
#define COVEY__PATCH_STREAMS       5

typedef enum covey__patch_kind {
    COVEY__PATCH_COPY = 0,
    COVEY__PATCH_STORED = 1,
    COVEY__PATCH_COMPRESSED = 2,
    COVEY__PATCH_TENSOR = 3,
    COVEY__PATCH_KINDS
} covey__patch_kind;

/* One part; pointers are into the head's memory. */
typedef struct covey__patch_part {
    covey__patch_kind kind;
    uint8_t type;     /* tensor type, GGUF's number; 255: no tensor */
    const char *name; /* of the tensor, not NUL-terminated; "" before the first one */
    size_t name_size;
    bool named;                /* the tensor begins here */
    uint64_t new_offset, size; /* in the new file */
    uint64_t old_offset, old_size;
    const uint8_t *old_digest, *new_digest; /* 16 bytes each */
    uint32_t stored;                        /* kinds 1 and 2: bytes of the payload */
    uint32_t coded;                         /* kind 3: about its bytes of the stream, to be shown */
    const uint8_t *starts;                  /* kind 3: 5 bytes */
    uint32_t factor, first_row;             /* kind 3 */
} covey__patch_part;

typedef struct covey__patch_frame {
    uint32_t part_count;
    uint32_t payload_size;
    const uint8_t *digest; /* 16 bytes */
} covey__patch_frame;

typedef struct covey__patch_table { /* a table set */
    uint16_t id;
    const uint8_t *bytes;
    uint32_t size;
} covey__patch_table;

typedef struct covey__patch_factor { /* a low-rank prediction's half of the columns */
    uint32_t columns;
    uint8_t rank;
    float scale;
    const int8_t *v; /* columns * rank */
} covey__patch_factor;

typedef struct covey__patch_head {
    const covey__env *env;
    uint64_t old_size, new_size;
    uint8_t old_sha256[32], new_sha256[32];
    uint64_t head_size;  /* the fixed bytes and the directory as stored */
    uint64_t patch_size; /* of the whole patch */
    covey__patch_table *tables;
    uint32_t table_count;
    covey__patch_factor *factors;
    uint32_t factor_count;
    uint32_t part_count, frame_count;
    /* the reader's: */
    uint8_t *directory;
    size_t directory_size;
    const uint8_t *parts, *frames; /* where the lists' entries begin */
} covey__patch_head;

/* Bytes of the head, from the patch's first 104. FORMAT when they are not a patch's, UNSUPPORTED
 * when they are of a newer format. */
covey_status covey__patch_head_size(const void *fixed, uint64_t *size,
                                    covey_error *error) COVEY_MUST_USE;
/* `data` has exactly the head's bytes; it is copied. FORMAT names the entry. Every rule that does
 * not need the two files or the payloads is checked here. */
covey_status covey__patch_head_parse(const covey__env *env, const void *data, size_t size,
                                     covey__patch_head **head, covey_error *error) COVEY_MUST_USE;
void covey__patch_head_free(covey__patch_head *head); /* NULL is allowed */

/* Walks the parts in the new file's order: zero a cursor but for `head`, then call until false. */
typedef struct covey__patch_cursor {
    const covey__patch_head *head;
    uint32_t index;
    size_t at;
    uint64_t new_offset;
    const char *name;
    size_t name_size;
} covey__patch_cursor;
bool covey__patch_part_next(covey__patch_cursor *cursor, covey__patch_part *part);
/* `index` below frame_count. */
covey__patch_frame covey__patch_frame_at(const covey__patch_head *head, uint32_t index);

#endif
