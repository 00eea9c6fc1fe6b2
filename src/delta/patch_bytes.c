/* zstd with a prefix (ZSTD_CCtx_refPrefix): what `zstd --patch-from` does, a part at a time. Both
 * sides work from one piece of memory into another, so zstd keeps no window of its own; tables are
 * held small, since a patch may be made on a machine that serves. Neighbours: patch_make.c packs,
 * patch_apply.c unpacks. */
#include "delta/patch_bytes.h"

#include "base/error.h"

#include <zstd.h>
#include <zstd_errors.h>

/* The window reaches from a part's end to its prefix' start: 2 + 8 MiB. */
#define WINDOW_LOG 24

struct covey__byte_packer {
    const covey__env *env;
    ZSTD_CCtx *zstd;
};

struct covey__byte_unpacker {
    const covey__env *env;
    ZSTD_DCtx *zstd;
};

covey_status covey__byte_packer_new(const covey__env *env, covey__byte_packer **packer,
                                    covey_error *error) {
    covey__byte_packer *made = covey__calloc(env, 1, sizeof *made);
    *packer = made;
    if (made == NULL) return covey__no_memory(error, "packer", sizeof *made);
    made->env = env;
    made->zstd = ZSTD_createCCtx();
    if (made->zstd != NULL) return COVEY_OK;
    *packer = NULL;
    covey__free(env, made);
    return covey__no_memory(error, "zstd", 0);
}

void covey__byte_packer_free(covey__byte_packer *packer) {
    if (packer == NULL) return;
    ZSTD_freeCCtx(packer->zstd);
    covey__free(packer->env, packer);
}

static void set_effort(ZSTD_CCtx *zstd, covey__pack_effort effort) {
    static const int levels[] = {3, 9, 19};
    ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, levels[effort]);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, WINDOW_LOG);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_hashLog, effort == COVEY__PACK_QUICK ? 17 : 20);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_chainLog, effort == COVEY__PACK_HARD ? 22 : 18);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_enableLongDistanceMatching, 1);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_ldmHashLog, 18);
}

covey_status covey__bytes_pack(covey__byte_packer *packer, covey__pack_effort effort,
                               const void *prefix, size_t prefix_size, const void *data,
                               size_t size, void *out, size_t *made, covey_error *error) {
    *made = 0;
    size_t most = size - size / 33 - 1; /* size is at least 1 */
    set_effort(packer->zstd, effort);
    size_t code = 0;
    if (prefix_size > 0) code = ZSTD_CCtx_refPrefix(packer->zstd, prefix, prefix_size);
    if (!ZSTD_isError(code)) code = ZSTD_compress2(packer->zstd, out, most, data, size);
    if (!ZSTD_isError(code)) {
        *made = code;
        return COVEY_OK;
    }
    /* too large for `most` is the usual end; only memory is a failure */
    if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
        return covey__no_memory(error, "zstd", size);
    return COVEY_OK;
}

covey_status covey__byte_unpacker_new(const covey__env *env, covey__byte_unpacker **unpacker,
                                      covey_error *error) {
    covey__byte_unpacker *made = covey__calloc(env, 1, sizeof *made);
    *unpacker = made;
    if (made == NULL) return covey__no_memory(error, "unpacker", sizeof *made);
    made->env = env;
    made->zstd = ZSTD_createDCtx();
    if (made->zstd != NULL) return COVEY_OK;
    *unpacker = NULL;
    covey__free(env, made);
    return covey__no_memory(error, "zstd", 0);
}

void covey__byte_unpacker_free(covey__byte_unpacker *unpacker) {
    if (unpacker == NULL) return;
    ZSTD_freeDCtx(unpacker->zstd);
    covey__free(unpacker->env, unpacker);
}

covey_status covey__bytes_unpack(covey__byte_unpacker *unpacker, const void *prefix,
                                 size_t prefix_size, const void *stored, size_t stored_size,
                                 void *out, size_t size, covey_error *error) {
    size_t code = ZSTD_findFrameCompressedSize(stored, stored_size);
    if (ZSTD_isError(code) || code != stored_size)
        return covey__fail(error, COVEY_ERROR_FORMAT, "the stored bytes are not one zstd frame");
    ZSTD_DCtx_reset(unpacker->zstd, ZSTD_reset_session_only);
    code = 0;
    if (prefix_size > 0) code = ZSTD_DCtx_refPrefix(unpacker->zstd, prefix, prefix_size);
    if (!ZSTD_isError(code))
        code = ZSTD_decompressDCtx(unpacker->zstd, out, size, stored, stored_size);
    if (ZSTD_isError(code) && ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
        return covey__no_memory(error, "zstd", size);
    if (ZSTD_isError(code))
        return covey__fail(error, COVEY_ERROR_FORMAT, "zstd: %s", ZSTD_getErrorName(code));
    if (code != size)
        return covey__fail(error, COVEY_ERROR_FORMAT, "%zu bytes came out, %zu expected", code,
                           size);
    return COVEY_OK;
}
