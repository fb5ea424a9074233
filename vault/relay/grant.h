/* A grant, as the broker opens it in the relay: whose it is, which server it is
 * for, how far it goes and when it ends.
 *
 * Made once of the JSON of io.certvault.Relay (type Grant), strictly: a member
 * that is missing, unknown, of the wrong type or form refuses all of it. Never
 * changed afterwards, so that any thread that holds a reference may read it.
 * Nothing in it is secret. */
#ifndef CERTVAULT_RELAY_GRANT_H
#define CERTVAULT_RELAY_GRANT_H

#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <sys/types.h>

#define CV_GRANT_ID_LEN 32 /* lower-case hex digits */

enum cv_grant_record { CV_GRANT_OFF, CV_GRANT_WRITES, CV_GRANT_ALL };
enum cv_grant_verify { CV_GRANT_CA, CV_GRANT_PIN };

/* The server, and how it is known and met. Lists end with NULL and are never
 * NULL themselves. */
struct cv_grant_upstream {
    const char *server;                 /* as given: https://host:port/path */
    char host[CV_LIMIT_HOST + 1];       /* without brackets */
    int port;                           /* 443 where none is given */
    char authority[CV_LIMIT_HOST + 10]; /* the Host header: "h:6443",
                                           "[::1]:6443", "h" for port 443 */
    char address[CV_LIMIT_HOST + 10];   /* host:port, always with the port:
                                           what Door's `server` is */
    const char *path;         /* in front of every request's; "" or "/a/b", no
                                 slash at its end */
    const char *ca;           /* PEM; NULL: none given */
    const char *server_name;  /* tls-server-name; NULL: the host */
    const char *const *names; /* further names the certificate may have */
    enum cv_grant_verify verify;
    const char *const *pins;  /* base64 SHA-256 of an SPKI (44 characters) */
    const char *certificates; /* the client's chain, PEM */
    struct cv_bytes spki;     /* the client key's, DER */
    const char *const *algorithms; /* TLS names, best first; at least one */
};

struct cv_grant {
    char id[CV_GRANT_ID_LEN + 1];
    uid_t uid;
    const char *entry;
    const char *entry_id;
    const char *context;
    struct cv_grant_upstream upstream;
    bool read_only;
    const char *const *verbs;      /* NULL: not limited; else ends with NULL */
    const char *const *namespaces; /* likewise */
    const char *const *resources;  /* likewise */
    enum cv_grant_record record;
    int64_t ends_ms; /* CLOCK_BOOTTIME */
};

/* Reads `object`, copying what it needs. *out has one reference; NULL after a
 * failure. CV_INVALID, naming the member, never its value; CV_INTERNAL: memory.
 * Does not block. The copy is made on the heap, whichever arena is in use. */
CV_MUST_USE enum cv_status
cv_grant_parse(const cJSON *object, struct cv_grant **out, struct cv_err *err);

/* One reference more; returns `grant`. */
struct cv_grant *cv_grant_ref(struct cv_grant *grant);

/* One less; the last frees it. NULL is fine. From any thread. */
void cv_grant_unref(struct cv_grant *grant);

/* Is `id` 32 lower-case hex digits and nothing else? */
bool cv_grant_is_id(const char *id);

#endif
