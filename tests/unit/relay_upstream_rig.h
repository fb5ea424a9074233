/* What the tests of upstream share: certificates, grants, a signer. */
#ifndef CERTVAULT_TESTS_UNIT_RELAY_UPSTREAM_RIG_H
#define CERTVAULT_TESTS_UNIT_RELAY_UPSTREAM_RIG_H

#include "tests/unit/tls_peer.h"

#include "vault/relay/upstream.h"

#define RIG_ID "0123456789abcdef0123456789abcdef"
#define RIG_TIME_MS 60000

/* What a grant is to say of its server. */
struct rig_wish {
    const struct tls_rig_id *client;
    const char *kind;              /* of the client's key */
    const struct tls_rig_id *ca;   /* NULL: none given */
    const struct tls_rig_id *more; /* another one; may be NULL */
    const char *host;              /* NULL: 127.0.0.1 */
    int port;
    const char *server_name; /* NULL: none */
    const char *names;       /* JSON array; NULL: [] */
    const char *pin;         /* verify pin with it; NULL: verify ca */
    const char *algorithms;  /* JSON array; NULL: all of the kind's */
};

/* One way to a server, and who signs. */
struct rig_way {
    struct cv_grant *grant;
    struct cv_upstream *up;
    struct tls_rig_signer signer;
    char server_spki[CV_UPSTREAM_SPKI_LEN]; /* that the signer was told */
    char server[300];
    struct cv_upstream_conn conn;
    struct cv_err err;
};

extern struct cv_provider *rig_provider;
extern struct tls_rig_id rig_ca;     /* the servers' and the clients' */
extern struct tls_rig_id rig_server; /* localhost, 127.0.0.1 */

int rig_begin(void **state);
int rig_end(void **state);

/* A client certificate of rig_ca's. */
void rig_client(const char *kind, struct tls_rig_id *out);

struct cv_grant *rig_grant(const struct rig_wish *wish);

/* cv_upstream_new's status. */
enum cv_status rig_open(const struct rig_wish *wish, struct rig_way *out);

enum cv_status rig_connect(struct rig_way *way, unsigned flags);

/* Reads the peer's byte: the server has taken the certificate. */
bool rig_is_taken(struct rig_way *way);

/* Closes the connection, not the way. */
void rig_hang_up(struct rig_way *way);
void rig_close(struct rig_way *way);

/* Base64 SHA-256 of its SPKI. */
void rig_spki(const struct tls_rig_id *id, char out[CV_UPSTREAM_SPKI_LEN]);

#endif
