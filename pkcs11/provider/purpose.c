/* What bytes are for. The signer's side checks the whole form
 * (vault/seal/purpose.h); here it is told apart, and what is none of the three
 * goes no further. */
#include "pkcs11/provider/provider_internal.h"

#include <string.h>

#define TLS13_BLANKS 64
#define TLS13_CONTEXT "TLS 1.3, client CertificateVerify"

#define CLIENT_HELLO 1 /* RFC 5246 7.4 */
#define DER_SEQUENCE 0x30

const char *cv_provider_purpose(struct cv_bytes data)
{
    size_t i;

    for (i = 0; i < data.len && data.data[i] == ' '; i++) {
    }
    if (i == TLS13_BLANKS) {
        /* with the NUL that follows it, and a hash */
        return data.len > i + sizeof(TLS13_CONTEXT) &&
                       memcmp(data.data + i, TLS13_CONTEXT,
                              sizeof(TLS13_CONTEXT)) == 0
                   ? "tls13-client"
                   : NULL;
    }
    if (i != 0 || data.len < 4) {
        return NULL;
    }
    if (data.data[0] == DER_SEQUENCE) {
        return "csr";
    }
    /* Not a digest that happens to begin so: a message of its length. */
    if (data.data[0] == CLIENT_HELLO &&
        ((size_t)data.data[1] << 16 | (size_t)data.data[2] << 8 |
         data.data[3]) < data.len - 4) {
        return "tls12-client";
    }
    return NULL;
}
