#include "tests/unit/relay_upstream_rig.h"

#include "vault/base/encode.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cv_provider *rig_provider;
struct tls_rig_id rig_ca, rig_server;

int rig_begin(void **state)
{
    struct tls_rig_wish wish = {.kind = "p256", .ca = true, .cn = "test CA"};

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as cv_process_begin has it */
    if (cv_arena_start(NULL) != CV_OK || cv_upstream_start(NULL) != CV_OK ||
        cv_provider_new(&rig_provider, NULL) != CV_OK) {
        return -1;
    }
    tls_rig_make(&wish, &rig_ca);
    wish = (struct tls_rig_wish){.kind = "p256",
                                 .other = true,
                                 .issuer = &rig_ca,
                                 .san = "DNS:localhost,IP:127.0.0.1",
                                 .eku = "serverAuth"};
    tls_rig_make(&wish, &rig_server);
    return 0;
}

int rig_end(void **state)
{
    (void)state;
    tls_rig_free(&rig_ca);
    tls_rig_free(&rig_server);
    cv_provider_free(rig_provider);
    return 0;
}

void rig_client(const char *kind, struct tls_rig_id *out)
{
    struct tls_rig_wish wish = {
        .kind = kind, .issuer = &rig_ca, .eku = "clientAuth", .cn = "alice"};

    tls_rig_make(&wish, out);
}

void rig_spki(const struct tls_rig_id *id, char out[CV_UPSTREAM_SPKI_LEN])
{
    uint8_t digest[32];

    (void)crypto_hash_sha256(digest, id->spki, id->spki_len);
    (void)EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
}

static const char *all_algorithms(const char *kind)
{
    static const struct {
        const char *kind, *algorithms;
    } table[] = {{"rsa", "[\"rsa_pss_rsae_sha256\",\"rsa_pss_rsae_sha384\","
                         "\"rsa_pss_rsae_sha512\",\"rsa_pkcs1_sha256\","
                         "\"rsa_pkcs1_sha384\",\"rsa_pkcs1_sha512\"]"},
                 {"p256", "[\"ecdsa_secp256r1_sha256\"]"},
                 {"p384", "[\"ecdsa_secp384r1_sha384\"]"},
                 {"p521", "[\"ecdsa_secp521r1_sha512\"]"},
                 {"ed25519", "[\"ed25519\"]"}};

    for (size_t i = 0; i < 5; i++) {
        if (strncmp(kind, table[i].kind, strlen(table[i].kind)) == 0) {
            return table[i].algorithms;
        }
    }
    fail_msg("%s", kind);
    return NULL;
}

/* Both PEMs, one behind the other. */
static char *pems(const struct tls_rig_id *one, const struct tls_rig_id *two)
{
    char *a = tls_rig_pem(one), *b = two != NULL ? tls_rig_pem(two) : NULL;
    char *both = NULL;

    assert_true(asprintf(&both, "%s%s", a, b != NULL ? b : "") > 0);
    free(a);
    free(b);
    return both;
}

static void add(cJSON *to, const char *name, const char *text)
{
    cJSON_AddItemToObject(
        to, name, text != NULL ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void add_array(cJSON *to, const char *name, const char *json)
{
    cJSON_AddItemToObject(to, name, cJSON_Parse(json));
}

static cJSON *upstream_of(const struct rig_wish *w)
{
    cJSON *u = cJSON_CreateObject();
    char *chain = pems(w->client, NULL);
    char *ca = w->ca != NULL ? pems(w->ca, w->more) : NULL;
    const char *algorithms = w->algorithms;
    char server[300], pins[64] = "[]";
    struct cv_buf spki;

    (void)snprintf(server, sizeof(server), "https://%s:%d",
                   w->host != NULL ? w->host : "127.0.0.1", w->port);
    if (w->pin != NULL) {
        (void)snprintf(pins, sizeof(pins), "[\"%s\"]", w->pin);
    }
    if (algorithms == NULL) {
        algorithms = all_algorithms(w->kind);
    }
    cv_buf_init(&spki, NULL, 4096);
    cv_encode_base64((struct cv_bytes){w->client->spki, w->client->spki_len},
                     &spki);
    add(u, "server", server);
    add(u, "ca", ca);
    add(u, "server_name", w->server_name);
    add_array(u, "names", w->names != NULL ? w->names : "[]");
    add(u, "verify", w->pin != NULL ? "pin" : "ca");
    add_array(u, "pins", pins);
    add(u, "certificates", chain);
    add(u, "spki", cv_buf_text(&spki));
    add_array(u, "algorithms", algorithms);
    cv_buf_wipe(&spki);
    free(chain);
    free(ca);
    return u;
}

struct cv_grant *rig_grant(const struct rig_wish *w)
{
    cJSON *g = cJSON_CreateObject();
    struct cv_grant *grant = NULL;
    struct cv_err err;

    add(g, "id", RIG_ID);
    cJSON_AddNumberToObject(g, "uid", 1000);
    add(g, "entry", "prod");
    add(g, "entry_id", "e1");
    add(g, "context", "main");
    cJSON_AddItemToObject(g, "upstream", upstream_of(w));
    cJSON_AddFalseToObject(g, "read_only");
    add(g, "verbs", NULL);
    add(g, "namespaces", NULL);
    add(g, "resources", NULL);
    add(g, "record", "off");
    cJSON_AddNumberToObject(g, "ends_ms", 1e12);
    cv_err_init(&err);
    if (cv_grant_parse(g, &grant, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    cJSON_Delete(g);
    return grant;
}

static enum cv_status sign(void *context, const struct cv_upstream_ask *ask,
                           struct cv_buf *signature, struct cv_err *err)
{
    struct rig_way *way = context;

    assert_ptr_equal(ask->grant, way->grant);
    (void)snprintf(way->server_spki, sizeof(way->server_spki), "%s",
                   ask->server_spki);
    (void)snprintf(way->server, sizeof(way->server), "%s", ask->server);
    return tls_rig_sign(&way->signer, ask->purpose, ask->algorithm, ask->data,
                        signature, err);
}

enum cv_status rig_open(const struct rig_wish *wish, struct rig_way *out)
{
    memset(out, 0, sizeof(*out));
    cv_err_init(&out->err);
    tls_rig_signer(wish->client, &out->signer);
    out->grant = rig_grant(wish);
    out->conn.fd = -1;
    return cv_upstream_new(rig_provider, out->grant, sign, out, &out->up,
                           &out->err);
}

enum cv_status rig_connect(struct rig_way *way, unsigned flags)
{
    cv_err_init(&way->err);
    return cv_upstream_connect(way->up, flags, -1, RIG_TIME_MS, &way->conn,
                               &way->err);
}

bool rig_is_taken(struct rig_way *way)
{
    char byte = 0;

    return tls_rig_wait(way->conn.ssl, way->conn.fd, &byte) && byte == 'x';
}

void rig_hang_up(struct rig_way *way)
{
    if (way->conn.ssl != NULL) {
        (void)SSL_shutdown(way->conn.ssl);
        SSL_free(way->conn.ssl);
        close(way->conn.fd);
    }
    way->conn.ssl = NULL;
    way->conn.fd = -1;
}

void rig_close(struct rig_way *way)
{
    rig_hang_up(way);
    cv_upstream_unref(way->up);
    cv_grant_unref(way->grant);
}
