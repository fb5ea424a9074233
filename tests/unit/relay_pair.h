/* Connected pairs of sockets, plain or shaken hands over, for unit tests of the
 * relay. Keys are made anew in each program. */
#ifndef CERTVAULT_TESTS_UNIT_RELAY_PAIR_H
#define CERTVAULT_TESTS_UNIT_RELAY_PAIR_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* ssl is NULL in a plain pair. */
struct relay_pair {
    int fd[2];
    SSL *ssl[2];
};

/* A P-256 key and a certificate of its own for it (DNS localhost, IP
 * 127.0.0.1). The caller frees both. */
void relay_pair_identity(X509 **certificate, EVP_PKEY **key);

/* version: 0 (plain), TLS1_2_VERSION, TLS1_3_VERSION. [0] is the server. Socket
 * buffers are small, so that back-pressure shows. Asserts that it works. */
struct relay_pair relay_pair_new(int version);

/* As relay_pair_new (TLS 1.3), but the server wants a certificate of the
 * client, which has none: the client's handshake is done all the same. */
struct relay_pair relay_pair_refused(void);

/* A client that has already sent `text` when the server's handshake ends, with
 * reading ahead: the server's libssl holds it (that of 3.0). TLS 1.3. */
struct relay_pair relay_pair_eager(const char *text);

/* Random numbers of a round, told with its seed, which CV_SEED gives back. */
uint64_t relay_pair_seed(void);
uint32_t relay_pair_below(uint64_t *state, uint32_t n);

#endif
