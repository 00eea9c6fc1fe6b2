/* Hostile GGUF tensor descriptions: each mistake gives one error that names the tensor. */
#include "unit/gguf/gguf_bytes.h"

static bytes file;

/* One tensor of these properties in a file with room for 64 bytes of data. */
static void one_tensor(uint64_t d0, uint64_t d1, uint32_t type, uint64_t offset) {
    add_header(&file, 3, 1, 0);
    add_tensor(&file, "t", d0, d1, type, offset);
    add_padding(&file, 32, 64);
}

static void bad_tensors(void **state) {
    (void)state;
    one_tensor(16, 0, 99, 0);
    expect(&file, COVEY_ERROR_UNSUPPORTED, "tensor \"t\": type 99 is not known");
    one_tensor(16, 0, 4, 0); /* Q4_2, removed from the format */
    expect(&file, COVEY_ERROR_UNSUPPORTED, "tensor \"t\": type 4 is not known");
    one_tensor(48, 0, COVEY__TYPE_Q8_0, 0);
    expect(&file, COVEY_ERROR_FORMAT,
           "rows have 48 elements, expected a multiple of 32 for type Q8_0");
    one_tensor(0, 0, COVEY__TYPE_F32, 0);
    expect(&file, COVEY_ERROR_FORMAT, "tensor \"t\": dimension 0 is 0");
    one_tensor(UINT64_MAX, 0, COVEY__TYPE_F32, 0);
    expect(&file, COVEY_ERROR_FORMAT, "tensor \"t\": its dimensions multiply");
    one_tensor(UINT64_C(1) << 40, UINT64_C(1) << 40, COVEY__TYPE_F32, 0);
    expect(&file, COVEY_ERROR_FORMAT, "tensor \"t\": its dimensions multiply");
    one_tensor(UINT64_C(1) << 62, 0, COVEY__TYPE_F32, 0);
    expect(&file, COVEY_ERROR_FORMAT, "tensor \"t\": its size in bytes");
    one_tensor(17, 0, COVEY__TYPE_F32, 0);
    expect(&file, COVEY_ERROR_FORMAT, "tensor \"t\": its 68 bytes at offset 0 go past the end");
    one_tensor(16, 0, COVEY__TYPE_F32, 32);
    expect(&file, COVEY_ERROR_FORMAT, "tensor \"t\": its 64 bytes at offset 32 go past the end");
    one_tensor(16, 0, COVEY__TYPE_F32, UINT64_MAX - 31);
    expect(&file, COVEY_ERROR_FORMAT, "tensor \"t\": its 64 bytes");
    one_tensor(8, 0, COVEY__TYPE_F32, 16);
    expect(&file, COVEY_ERROR_FORMAT,
           "tensor \"t\": offset: expected a multiple of the alignment 32");
    for (uint32_t count = 0; count <= 5; count += 5) {
        add_header(&file, 3, 1, 0);
        add_text(&file, "t");
        add_u32(&file, count);
        add_padding(&file, 32, 64);
        expect(&file, COVEY_ERROR_FORMAT, "tensor \"t\": dimension count: expected 1 to 4, found");
    }
    add_header(&file, 3, 1, 0);
    add_tensor(&file, "", 8, 0, COVEY__TYPE_F32, 0);
    add_padding(&file, 32, 64);
    expect(&file, COVEY_ERROR_FORMAT, "tensor 0: name: expected 1 to 255 bytes, found 0");
    add_header(&file, 3, 1, 0);
    add_tensor(&file, "t\x01", 8, 0, COVEY__TYPE_F32, 0);
    add_padding(&file, 32, 64);
    expect(&file, COVEY_ERROR_FORMAT, "the name is not plain");
}

static void tensors_that_collide(void **state) {
    (void)state;
    add_header(&file, 3, 2, 0);
    add_tensor(&file, "first", 16, 0, COVEY__TYPE_F32, 0);
    add_tensor(&file, "second", 8, 0, COVEY__TYPE_F32, 32);
    add_padding(&file, 32, 128);
    expect(&file, COVEY_ERROR_FORMAT,
           "tensor \"second\": offset: its bytes overlap those of \"first\"");
    add_header(&file, 3, 2, 0);
    add_tensor(&file, "same", 8, 0, COVEY__TYPE_F32, 0);
    add_tensor(&file, "same", 8, 0, COVEY__TYPE_F32, 32);
    add_padding(&file, 32, 128);
    expect(&file, COVEY_ERROR_FORMAT, "tensor \"same\": two tensors have this name");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_tensors),
        cmocka_unit_test(tensors_that_collide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
