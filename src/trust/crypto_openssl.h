/* The first maker of the crypto table. */
#ifndef COVEY_TRUST_CRYPTO_OPENSSL_H
#define COVEY_TRUST_CRYPTO_OPENSSL_H

#include <covey/runtime.h>

/* The whole table by OpenSSL's libcrypto. Static memory; any thread. */
const covey_crypto *covey__crypto_openssl(void);

#endif
