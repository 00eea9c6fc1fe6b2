/* Heads of patches: what the writer makes is read back, and what breaks a rule is refused by name.
 * Directories are built by hand, so that each is wrong in one thing. */
#include "patch_pair.h"

#include "delta/patch_fields.h"
#include "gguf/gguf.h"

#include <zstd.h>

typedef struct head_bytes {
    covey__buffer directory;
    uint8_t data[4096];
    size_t size;
    test_env test;
} head_bytes;

/* A part as it is written. */
typedef struct part_bytes {
    uint8_t kind, type;
    const char *name;
    uint64_t size, old_offset, old_size;
    uint8_t old_digest, new_digest; /* the byte that they are filled with */
    uint32_t stored, factor, first_row;
} part_bytes;

static void put(head_bytes *h, uint64_t value, size_t size) {
    uint8_t bytes[8];
    covey__patch_put(bytes, value, size);
    (void)covey__buffer_append(&h->directory, bytes, size);
}

static void put_part(head_bytes *h, const part_bytes *p) {
    uint8_t digest[32];
    size_t name_size = p->name == NULL ? 0 : strlen(p->name);
    put(h, p->kind, 1);
    put(h, p->type, 1);
    put(h, name_size, 2);
    (void)covey__buffer_append(&h->directory, p->name, name_size);
    put(h, p->size, 8);
    put(h, p->old_offset, 8);
    put(h, p->old_size, 8);
    memset(digest, p->old_digest, 16);
    memset(digest + 16, p->new_digest, 16);
    (void)covey__buffer_append(&h->directory, digest, 32);
    if (p->kind != 0) put(h, p->stored, 4);
    if (p->kind != 3) return;
    put(h, 0, 5);
    put(h, p->factor, 4);
    put(h, p->first_row, 4);
}

static void put_frame(head_bytes *h, uint32_t parts, uint32_t payload) {
    put(h, parts, 4);
    put(h, payload, 4);
    put(h, 0, 8);
    put(h, 0, 8);
}

/* The head around the directory, of files of these sizes. */
static void close_head(head_bytes *h, uint64_t old_size, uint64_t new_size) {
    memset(h->data, 0, sizeof h->data);
    memcpy(h->data, "COVEYPAT", 8);
    covey__patch_put(h->data + 8, 1, 4);
    size_t stored =
        ZSTD_compress(h->data + 104, sizeof h->data - 104, h->directory.data, h->directory.size, 3);
    assert_false(ZSTD_isError(stored));
    covey__patch_put(h->data + 12, stored, 4);
    covey__patch_put(h->data + 16, h->directory.size, 4);
    covey__patch_put(h->data + 24, old_size, 8);
    covey__patch_put(h->data + 64, new_size, 8);
    h->size = 104 + stored;
}

static void begin(head_bytes *h) {
    test_env_init(&h->test);
    covey__buffer_init(&h->directory, &h->test.env, 1 << 20);
}

/* No tables, one factor of 64 columns, these parts in one frame with this payload. */
static void build(head_bytes *h, const part_bytes *parts, uint32_t count, uint32_t payload,
                  uint64_t new_size) {
    begin(h);
    put(h, 0, 4);
    put(h, 1, 4);
    put(h, 64, 4);
    put(h, 1, 1);
    put(h, 0x3f800000, 4);
    for (int i = 0; i < 64; i++) put(h, 1, 1);
    put(h, count, 4);
    for (uint32_t i = 0; i < count; i++) put_part(h, &parts[i]);
    put(h, 1, 4);
    put_frame(h, count, payload);
    close_head(h, 1 << 24, new_size);
}

/* Expects the head to be refused with these words, or read where they are NULL. */
static void expect(head_bytes *h, const char *words) {
    covey__patch_head *head;
    covey_error error = {0};
    uint8_t *copy = malloc(h->size); /* of just this size, for sanitizers */
    memcpy(copy, h->data, h->size);
    covey_status status = covey__patch_head_parse(&h->test.env, copy, h->size, &head, &error);
    free(copy);
    if (words == NULL && status != COVEY_OK) fail_msg("%s", error.message);
    if (words != NULL) {
        assert_int_equal(status, COVEY_ERROR_FORMAT);
        if (strstr(error.message, words) == NULL)
            fail_msg("expected \"%s\", found \"%s\"", words, error.message);
    }
    covey__patch_head_free(head);
    covey__buffer_free(&h->directory);
    assert_int_equal(h->test.alive, 0);
}

static const part_bytes copy_part = {
    .kind = 0, .size = 100, .old_size = 100, .old_digest = 1, .new_digest = 1};
static const part_bytes raw_part = {.kind = 1, .size = 100, .new_digest = 1, .stored = 100};
static const part_bytes packed_part = {
    .kind = 2, .size = 100, .old_size = 50, .old_digest = 1, .new_digest = 1, .stored = 20};
static const part_bytes tensor_part = {.kind = 3,
                                       .type = COVEY__TYPE_Q8_0,
                                       .name = "t",
                                       .size = 68,
                                       .old_size = 68,
                                       .old_digest = 1,
                                       .new_digest = 1,
                                       .factor = UINT32_MAX};

static void one(part_bytes part, uint32_t payload, const char *words) {
    head_bytes h;
    build(&h, &part, 1, payload, part.size);
    expect(&h, words);
}

static void each_kind_is_read(void **state) {
    (void)state;
    one(copy_part, 0, NULL);
    one(raw_part, 100, NULL);
    one(packed_part, 20, NULL);
    one(tensor_part, 128, NULL);
    part_bytes with_factor = tensor_part;
    with_factor.factor = 0;
    one(with_factor, 130, NULL);
}

static void parts_that_cannot_be(void **state) {
    (void)state;
    part_bytes p = copy_part;
    p.kind = 4;
    one(p, 0, "the kind is unknown");
    p = copy_part, p.size = p.old_size = 0;
    one(p, 0, "has no size");
    p = copy_part, p.size = p.old_size = (2u << 20) + 1;
    one(p, 0, "over 2 MiB");
    p = copy_part, p.old_offset = (1u << 24) - 99;
    one(p, 0, "past the old file's end");
    p = copy_part, p.old_offset = UINT64_MAX - 50;
    one(p, 0, "past the old file's end");
    p = copy_part, p.old_size = 99;
    one(p, 0, "a copy differs");
    p = copy_part, p.new_digest = 2;
    one(p, 0, "a copy differs");
    p = raw_part, p.stored = 99;
    one(p, 99, "stored bytes and size differ");
    p = raw_part, p.old_size = 1, p.old_digest = 1;
    one(p, 100, "stored bytes and size differ");
    p = raw_part, p.old_digest = 1;
    one(p, 100, "has no old range");
    p = raw_part, p.old_offset = 1;
    one(p, 100, "has no old range");
    p = packed_part, p.stored = 0;
    one(p, 0, "has no stored bytes");
    p = packed_part, p.old_size = (8u << 20) + 1;
    one(p, 20, "over 8 MiB");
    p = packed_part, p.name = "\xff";
    one(p, 20, "no UTF-8");
    p = tensor_part, p.type = 99;
    one(p, 128, "this type has no coder");
    p = tensor_part, p.size = p.old_size = 67;
    one(p, 128, "whole number of blocks");
    p = tensor_part, p.old_size = 34;
    one(p, 128, "another size");
    p = tensor_part, p.factor = 1;
    one(p, 128, "no such factor");
    p = tensor_part, p.factor = 0, p.size = p.old_size = 34;
    one(p, 128, "does not fit");
    p = tensor_part, p.factor = 0, p.type = COVEY__TYPE_F32;
    one(p, 128, "does not fit");
    p = tensor_part, p.stored = (4u << 20) + 1;
    one(p, 128, "over 4 MiB");
}

static void frames_that_cannot_be(void **state) {
    (void)state;
    head_bytes h;
    one(raw_part, 101, "differ");
    one(copy_part, 1, "differ");
    one(tensor_part, 127, "differ");
    one(tensor_part, (4u << 20) + 1, "over 4 MiB");
    part_bytes big = packed_part;
    big.size = 2u << 20;
    part_bytes two[2] = {big, raw_part};
    build(&h, two, 2, 120, (2u << 20) + 100);
    expect(&h, "its parts have over 2 MiB");
    two[0] = copy_part; /* copies are not counted */
    two[0].size = two[0].old_size = 2u << 20;
    build(&h, two, 2, 100, (2u << 20) + 100);
    expect(&h, NULL);
    build(&h, two, 2, 100, (2u << 20) + 99);
    expect(&h, "past the new file's end");
    build(&h, two, 2, 100, (2u << 20) + 101);
    expect(&h, "the new file has");
}

static void lists_that_cannot_be(void **state) {
    (void)state;
    head_bytes h;
    begin(&h);
    close_head(&h, 0, 0);
    expect(&h, "ends before its table sets");
    static const uint32_t many[] = {3000, UINT32_MAX};
    for (int i = 0; i < 2; i++) {
        begin(&h);
        put(&h, many[i], 4);
        close_head(&h, 0, 0);
        expect(&h, "at most 2048");
    }
    begin(&h);
    put(&h, 2, 4);
    for (int i = 0; i < 2; i++) put(&h, 16, 2), put(&h, 0, 4);
    close_head(&h, 0, 0);
    expect(&h, "do not rise");
    begin(&h);
    put(&h, 1, 4), put(&h, 16, 2), put(&h, UINT32_MAX, 4);
    close_head(&h, 0, 0);
    expect(&h, "ends within it");
    begin(&h);
    put(&h, 1, 4), put(&h, 16, 2), put(&h, 4, 4), put(&h, 0, 4);
    close_head(&h, 0, 0);
    expect(&h, "three a context");
    begin(&h);
    put(&h, 0, 4), put(&h, 1, 4), put(&h, UINT32_MAX, 4), put(&h, 64, 1), put(&h, 0, 4);
    close_head(&h, 0, 0);
    expect(&h, "factor 0: the directory ends");
    begin(&h);
    put(&h, 0, 4), put(&h, 1, 4), put(&h, 1, 4), put(&h, 1, 1), put(&h, 0x7f800000, 4),
        put(&h, 0, 1);
    close_head(&h, 0, 0);
    expect(&h, "rank or scale");
    begin(&h);
    put(&h, 0, 4), put(&h, 0, 4), put(&h, UINT32_MAX, 4);
    close_head(&h, 0, 0);
    expect(&h, "part 0: the directory ends");
    begin(&h);
    put(&h, 0, 4), put(&h, 0, 4), put(&h, 0, 4), put(&h, UINT32_MAX, 4);
    close_head(&h, 0, 0);
    expect(&h, "frames take other");
    begin(&h);
    put(&h, 0, 4), put(&h, 0, 4), put(&h, 0, 4), put(&h, 1, 4), put_frame(&h, 1, 0);
    close_head(&h, 0, 0);
    expect(&h, "more parts than there are");
    begin(&h);
    put(&h, 0, 4), put(&h, 0, 4), put(&h, 0, 4), put(&h, 1, 4), put_frame(&h, 0, 0);
    close_head(&h, 0, 0);
    expect(&h, "has no parts");
    begin(&h); /* an empty file's */
    put(&h, 0, 4), put(&h, 0, 4), put(&h, 0, 4), put(&h, 0, 4);
    close_head(&h, 5, 0);
    expect(&h, NULL);
}

static void the_fixed_bytes(void **state) {
    (void)state;
    head_bytes h;
    covey_error error = {0};
    uint64_t size;
    static const struct {
        size_t at;
        uint8_t value;
        covey_status status;
    } wrong[] = {{0, 'c', COVEY_ERROR_FORMAT}, {8, 2, COVEY_ERROR_UNSUPPORTED},
                 {15, 3, COVEY_ERROR_FORMAT},  {19, 3, COVEY_ERROR_FORMAT},
                 {20, 1, COVEY_ERROR_FORMAT},  {23, 1, COVEY_ERROR_FORMAT}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        build(&h, &copy_part, 1, 0, 100);
        h.data[wrong[i].at] = wrong[i].value;
        assert_int_equal(covey__patch_head_size(h.data, &size, &error), wrong[i].status);
        covey__buffer_free(&h.directory);
    }
    build(&h, &copy_part, 1, 0, 100);
    h.data[16]++;
    expect(&h, "expected");
    build(&h, &copy_part, 1, 0, 100);
    h.data[16]--;
    expect(&h, "zstd");
    build(&h, &copy_part, 1, 0, 100);
    h.size--;
    expect(&h, "head of");
    build(&h, &copy_part, 1, 0, 100);
    h.data[12]++;
    h.size++;
    expect(&h, "not one zstd frame");
    build(&h, &copy_part, 1, 0, 100);
    h.size = 103;
    expect(&h, "ends after 103 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_read),     cmocka_unit_test(parts_that_cannot_be),
        cmocka_unit_test(frames_that_cannot_be), cmocka_unit_test(lists_that_cannot_be),
        cmocka_unit_test(the_fixed_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
