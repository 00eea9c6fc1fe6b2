/* The runtime: what the caller lends the library. Memory, log, threads, clock, crypto, transport,
 * keys and pushed signals all come in here, each with a default. Every other object is opened in
 * one runtime and must be closed before it. A process may hold several. */
#ifndef COVEY_RUNTIME_H
#define COVEY_RUNTIME_H

#include <covey/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_runtime covey_runtime;

/* One function does all, as C's realloc: `pointer` NULL allocates, `size` 0 frees and returns NULL.
 * Returns memory aligned for any type of C (16 bytes on 64-bit systems), or NULL, upon which the
 * old block stays valid. Called from any thread that uses the library. Libraries below Covey (TLS,
 * SQLite, HTTP) keep their own allocators; weights are mapped, not allocated. Frozen. */
typedef struct covey_allocator {
    void *(*resize)(void *user, void *pointer, size_t size);
    void *user;
} covey_allocator;

typedef enum covey_log_level {
    COVEY_LOG_ERROR = 0,
    COVEY_LOG_WARN = 1,
    COVEY_LOG_INFO = 2,
    COVEY_LOG_DEBUG = 3
} covey_log_level;

/* Receives one event: `component` is the layer ("agent"), `message` one line of UTF-8 without a
 * newline, valid for the call. Never holds prompts, answers or secrets. May be called from any
 * thread. */
typedef void (*covey_log_fn)(void *user, covey_log_level level, const char *component,
                             const char *message);

/* Milliseconds since 1970-01-01 UTC, as the system believes. May jump. */
typedef int64_t (*covey_clock_fn)(void *user);

/* How a key signs. Values are stable. */
typedef enum covey_key_scheme {
    COVEY_KEY_ED25519 = 1,           /* RFC 8032; keys are 32 raw bytes, signatures 64 */
    COVEY_KEY_ECDSA_P256_SHA256 = 2, /* FIPS 186-5; keys and signatures are DER, see below */
    COVEY_KEY_RSA_PSS_SHA256 = 3,    /* RFC 8017, MGF1 with SHA-256, any length of salt */
    COVEY_KEY_RSA_PKCS1_SHA256 = 4   /* RFC 8017, RSASSA-PKCS1-v1_5 */
} covey_key_scheme;

/* What scrypt (RFC 7914) is asked for. Frozen. It takes about 128 * n * r bytes of memory. */
#define COVEY_SCRYPT_MEMORY_MAX ((uint64_t)256 << 20)
typedef struct covey_scrypt {
    const void *password;
    size_t password_size;
    const void *salt;
    size_t salt_size;
    uint64_t n; /* a power of two above 1 */
    uint32_t r;
    uint32_t p; /* at most 16 */
} covey_scrypt;

/* Signatures, randomness, key agreement and encryption. Ed25519 as in RFC 8032: 32-byte public
 * keys, 32-byte seeds as private keys, 64-byte signatures. `size` is sizeof(covey_crypto) as the
 * caller knew it; fields are appended. From `verify` on a field may be NULL where a platform lacks
 * it: what needs it then fails with COVEY_ERROR_UNSUPPORTED. Called from any thread. */
typedef struct covey_crypto {
    size_t size;
    void *user;
    /* COVEY_OK, or COVEY_ERROR_MISMATCH when the signature is not the key's over `message`. */
    covey_status (*ed25519_verify)(void *user, const uint8_t public_key[32], const void *message,
                                   size_t message_size, const uint8_t signature[64]);
    covey_status (*ed25519_sign)(void *user, const uint8_t private_key[32], const void *message,
                                 size_t message_size, uint8_t signature[64]);
    covey_status (*ed25519_public)(void *user, const uint8_t private_key[32],
                                   uint8_t public_key[32]);
    /* Fills `out` with bytes fit for keys. */
    covey_status (*random)(void *user, void *out, size_t size);
    /* As ed25519_verify for any scheme. Keys that are not Ed25519's are a DER SubjectPublicKeyInfo
     * (RFC 5280; RFC 5480 with the curve named and the point whole; RFC 3279 with a modulus of 2048
     * to 8192 bits), signatures of ECDSA a DER Ecdsa-Sig-Value (RFC 3279). COVEY_ERROR_MISMATCH
     * when the signature is not the key's, whatever its bytes; COVEY_ERROR_FORMAT when the key is
     * none of that scheme; COVEY_ERROR_UNSUPPORTED for a scheme that is not known here. */
    covey_status (*verify)(void *user, covey_key_scheme scheme, const void *key, size_t key_size,
                           const void *message, size_t message_size, const void *signature,
                           size_t signature_size);
    /* X25519 (RFC 7748): the secret that both sides share. With 9 and zeros as the peer it gives
     * the public key. COVEY_ERROR_MISMATCH when the result is all zeros: the peer's key has a small
     * order and agrees with anyone. */
    covey_status (*x25519)(void *user, const uint8_t private_key[32], const uint8_t peer[32],
                           uint8_t shared[32]);
    /* AES-256-GCM (NIST SP 800-38D) with a nonce that is never used twice with one key. `sealed`
     * gets plain_size bytes and the tag's 16; it may begin where `plain` does. */
    covey_status (*aes256_gcm_seal)(void *user, const uint8_t key[32], const uint8_t nonce[12],
                                    const void *aad, size_t aad_size, const void *plain,
                                    size_t plain_size, void *sealed);
    /* `plain` gets sealed_size - 16 bytes and may begin where `sealed` does. COVEY_ERROR_MISMATCH
     * when key, nonce, aad or bytes differ from what was sealed (or there is no room for a tag):
     * what `plain` holds is then undefined and must not be used. */
    covey_status (*aes256_gcm_open)(void *user, const uint8_t key[32], const uint8_t nonce[12],
                                    const void *aad, size_t aad_size, const void *sealed,
                                    size_t sealed_size, void *plain);
    /* Fills `out` from a password by scrypt. COVEY_ERROR_LIMIT when that would take more than
     * COVEY_SCRYPT_MEMORY_MAX, COVEY_ERROR_INVALID_ARGUMENT for parameters that are none. */
    covey_status (*scrypt)(void *user, const covey_scrypt *parameters, void *out, size_t out_size);
} covey_crypto;

/* Small secrets by name (letters, digits, '.', '-', '_'; at most 64 bytes): the device's key and
 * token. The default keeps owner-only files under the agent's state directory. */
typedef struct covey_keystore {
    size_t size;
    void *user;
    /* Writes at most `capacity` bytes and the secret's true size to `*value_size`.
     * COVEY_ERROR_NOT_FOUND if absent, COVEY_ERROR_LIMIT if it does not fit. */
    covey_status (*get)(void *user, const char *name, void *value, size_t capacity,
                        size_t *value_size);
    /* Replaces atomically. */
    covey_status (*put)(void *user, const char *name, const void *value, size_t value_size);
    covey_status (*remove)(void *user, const char *name);
} covey_keystore;

/* One HTTP exchange. Strings are borrowed for the call. */
typedef struct covey_http_request {
    size_t size;
    const char *method;         /* "GET" or "POST" */
    const char *url;            /* absolute, percent-encoded */
    const char *const *headers; /* "Name: value" lines; never logged */
    size_t header_count;
    const void *body;
    size_t body_size;
    uint64_t range_first;    /* first byte wanted; 0 with range_count 0 asks for all */
    uint64_t range_count;    /* bytes wanted, 0 for up to the end */
    uint64_t body_bytes_max; /* a longer body fails with COVEY_ERROR_LIMIT */
    uint32_t connect_timeout_ms;
    uint32_t idle_timeout_ms; /* no byte for so long is a failure */
} covey_http_request;

typedef struct covey_http_response {
    size_t size;
    int status;              /* as the server sent it: 200, 206, 404, … */
    uint64_t range_first;    /* from Content-Range of a 206, else 0 */
    uint32_t retry_after_ms; /* from Retry-After, else 0 */
    char etag[128];          /* empty when absent or too long */
    int64_t content_length;  /* from Content-Length; 0 when it did not say */
    uint64_t range_total;    /* the whole's size, from Content-Range of a 206; else 0 */
} covey_http_response;

/* Receives the body in order. Anything but COVEY_OK stops the exchange, and fetch returns that
 * status. */
typedef covey_status (*covey_http_sink)(void *user, const covey_http_response *response,
                                        const void *data, size_t data_size);

/* Exchanges of one owner that are under way together, and the connections that they keep. Used by
 * one thread at a time. */
typedef struct covey_http_lines covey_http_lines;

/* Carries requests. `fetch` blocks; it returns COVEY_OK for any complete answer, whatever its HTTP
 * status, COVEY_ERROR_NETWORK or COVEY_ERROR_TIMEOUT otherwise. May be called from several threads
 * at once.
 *
 * From `open` on the members are for several exchanges at once without threads. All five are NULL
 * where a platform lacks them: then exchanges come one after the other, by `fetch`. An exchange is
 * known by its `sink_user`, which no other under way in the same lines may have. The sink may not
 * call these functions. */
typedef struct covey_transport {
    size_t size;
    void *user;
    covey_status (*fetch)(void *user, const covey_http_request *request,
                          covey_http_response *response, covey_http_sink sink, void *sink_user,
                          covey_error *error);
    covey_status (*open)(void *user, covey_http_lines **lines, covey_error *error);
    /* Sends the request on a connection that is free, that takes several at once, or that is new.
     * Strings are borrowed for the call; the body and `response` until the exchange ended or was
     * cancelled. */
    covey_status (*begin)(covey_http_lines *lines, const covey_http_request *request,
                          covey_http_response *response, covey_http_sink sink, void *sink_user,
                          covey_error *error);
    /* Waits until bytes moved or an exchange ended, at most `timeout_ms`, and moves them once:
     * whoever does not call it holds the senders back. `*ended` is the sink_user of an exchange
     * that ended, and what is returned is what `fetch` would return of it; NULL when none did. Then
     * an error is one of the lines. */
    covey_status (*wait)(covey_http_lines *lines, uint32_t timeout_ms, void **ended,
                         covey_error *error);
    /* Ends an exchange; what is under way on its connection beside it goes on. */
    void (*cancel)(covey_http_lines *lines, void *sink_user);
    /* Cancels what is under way and closes the connections. NULL is allowed. */
    void (*close)(covey_http_lines *lines);
} covey_transport;

/* What an app knows better than the system. A field left at its INIT value says nothing about that
 * signal. */
typedef enum covey_network {
    COVEY_NETWORK_UNKNOWN = -1,
    COVEY_NETWORK_NONE = 0,
    COVEY_NETWORK_METERED = 1,
    COVEY_NETWORK_UNMETERED = 2
} covey_network;

typedef struct covey_signals {
    size_t size;
    int32_t battery_percent;        /* 0 to 100; -1 unknown */
    int32_t charging;               /* 0 no, 1 yes, -1 unknown */
    int32_t network;                /* covey_network */
    int32_t thermal_percent;        /* 0 cool, 100 about to be shut down; -1 unknown */
    int64_t memory_available_bytes; /* -1 unknown */
} covey_signals;
#define COVEY_SIGNALS_INIT                                                                         \
    { sizeof(covey_signals), -1, -1, COVEY_NETWORK_UNKNOWN, -1, -1 }

/* Pointers to tables are borrowed: the tables' contents are copied, what they point to must outlive
 * the runtime. */
typedef struct covey_runtime_options {
    size_t size;
    const covey_allocator *allocator; /* NULL: the C library's */
    covey_log_fn log;                 /* NULL: silence */
    void *log_user;
    covey_log_level log_level; /* events above it are not formed */
    int32_t threads; /* that may compute, the calling one included; 1 starts none; 0: one a core */
    covey_clock_fn clock; /* NULL: the system's */
    void *clock_user;
    const covey_crypto *crypto;       /* NULL: OpenSSL */
    const covey_keystore *keystore;   /* NULL: owner-only files in the state directory */
    const covey_transport *transport; /* NULL: libcurl */
    /* NULL: the best here; "scalar", "avx2", "avx-vnni", "avx512", "neon", "neon-dotprod",
     * "neon-i8mm" or "wasm" forces one, or fails. */
    const char *isa;
} covey_runtime_options;
#define COVEY_RUNTIME_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(covey_runtime_options), NULL, NULL, NULL, COVEY_LOG_INFO, 1, NULL, NULL, NULL,      \
            NULL, NULL, NULL                                                                       \
    }

/* Opens a runtime; `options` may be NULL. The environment variable COVEY_ISA stands in for a NULL
 * `isa`. */
COVEY_API COVEY_MUST_USE covey_status covey_runtime_open(const covey_runtime_options *options,
                                                         covey_runtime **runtime,
                                                         covey_error *error);

/* Closes it once everything opened in it is closed. NULL is allowed. */
COVEY_API void covey_runtime_close(covey_runtime *runtime);

/* Pushes what the app knows of the device; later calls replace the fields they set. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_runtime_push_signals(covey_runtime *runtime,
                                                                 const covey_signals *signals,
                                                                 covey_error *error);

/* The instruction set in use, by those names. Static memory; any thread. */
COVEY_API const char *covey_runtime_isa(const covey_runtime *runtime);

/* Threads that compute, the caller's included. */
COVEY_API int32_t covey_runtime_threads(const covey_runtime *runtime);

/* Gives memory back that can be made again (scratch, caches): for a system's low-memory call. Any
 * thread. */
COVEY_API void covey_runtime_trim(covey_runtime *runtime);

#ifdef __cplusplus
}
#endif
#endif
