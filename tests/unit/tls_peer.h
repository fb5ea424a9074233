/* A TLS server on the loopback, in a thread of the test, as good or as bad as
 * the test wants it. */
#ifndef CERTVAULT_TESTS_UNIT_TLS_PEER_H
#define CERTVAULT_TESTS_UNIT_TLS_PEER_H

#include "tests/unit/tls_rig.h"

#include <pthread.h>

/* How it is to be. */
struct tls_peer_wish {
    const struct tls_rig_id *id;        /* whom it shows */
    const struct tls_rig_id *client_ca; /* NULL: asks for no certificate */
    int min, max;                       /* TLS versions; 0: any */
    bool weak;                          /* takes TLS before 1.2 too */
    char *client_algorithms;            /* of clients; NULL: libssl's own */
    const char *alpn;                   /* what it chooses; NULL: none */
    const struct tls_rig_id *more;      /* goes with the chain; may be NULL */
};

struct tls_peer {
    int listener;
    int port;
    SSL_CTX *ctx;
    const char *alpn;
    pthread_t thread;
    /* Of the last connection, once tls_peer_end was called: */
    bool accepted; /* the handshake succeeded */
    bool verified; /* the client's certificate is good */
    bool reused;   /* a session was taken again */
    int version;   /* TLS */
    char sni[256]; /* "" none */
    int served;    /* connections */
};

/* Serves one connection after the other: handshake, one byte 'x', until the
 * client closes. Ends with tls_peer_end. */
void tls_peer_begin(const struct tls_peer_wish *wish, struct tls_peer *out);
void tls_peer_end(struct tls_peer *peer);

#endif
