/* HopCreate to HopForget of io.certvault.Token: the local hop's certificates
 * (vault/seal/hop.h). */
#include "cli/token_methods_internal.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/seal/match.h"
#include "vault/wire/serve.h"

#include <sodium.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* Keys and certificates of one call. */
#define CALL_ARENA CV_KIB(512)

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Seals a new CA's key, and puts all that makes a Sealed of it into `out`. */
static enum cv_status seal_ca(struct cv_keyring *ring,
                              const struct cv_hop_pair *ca,
                              struct cv_arena *arena, cJSON *out,
                              struct cv_err *err)
{
    struct cv_box_binding binding;
    struct cv_buf sealed;
    enum cv_status s = cv_hop_spki(ca->key_der, binding.spki_sha256, err);

    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    randombytes_buf(binding.entry_id, sizeof(binding.entry_id));
    if (s == CV_OK) {
        s = cv_keyring_seal(ring, &binding, ca->key_der, arena, &sealed, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(out, "certificate", cv_buf_text(&ca->certificate)) ||
         !cv_json_add_hex(
             out, "entry_id",
             (struct cv_bytes){binding.entry_id, sizeof(binding.entry_id)}) ||
         !cv_json_add_hex(out, "spki_sha256",
                          (struct cv_bytes){binding.spki_sha256,
                                            sizeof(binding.spki_sha256)}) ||
         !cv_json_add_base64(out, "sealed", cv_buf_bytes(&sealed)))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&sealed);
    return s;
}

CV_TOKEN_HOP(create)
{
    struct cv_keyring *ring = context;
    struct cv_arena *arena = NULL;
    struct cv_hop_pair ca = {0};
    enum cv_status s =
        cv_json_read(parameters, "HopCreate", NULL, 0, true, err);

    if (s == CV_OK && !cv_keyring_is_open(ring)) {
        s = cv_fail(err, CV_LOCKED, "the vault is locked");
    }
    if (s == CV_OK) {
        s = cv_arena_new(CALL_ARENA, &arena, err);
    }
    if (s == CV_OK) {
        s = cv_hop_make_ca(cv_clock_now_s(), arena, &ca, err);
    }
    if (s == CV_OK) {
        s = seal_ca(ring, &ca, arena, cv_reply_parameters(reply), err);
    }
    cv_buf_wipe(&ca.certificate);
    cv_arena_free(arena);
    return s;
}

/* The key as a member `secret`: base64 of PEM, made in the answer's arena. */
static enum cv_status add_key(struct cv_reply *reply, struct cv_bytes key_der,
                              struct cv_err *err)
{
    struct cv_bytes pem;
    enum cv_status s = cv_match_pem(key_der, cv_reply_arena(reply), &pem, err);

    return s != CV_OK ||
                   cv_json_add_base64(cv_reply_parameters(reply), "secret", pem)
               ? s
               : no_memory(err);
}

CV_TOKEN_HOP(serve)
{
    struct cv_keyring *ring = context;
    const cJSON *ca = NULL;
    const struct cv_json_field fields[] = {
        {"ca", CV_JSON_OBJECT, true, &ca, 0},
    };
    struct cv_arena *arena = cv_reply_arena(reply);
    struct cv_keyring_sealed sealed = {0};
    struct cv_hop *hop = cv_keyring_hop(ring, err);
    struct cv_hop_pair server = {0};
    struct cv_bytes key = {NULL, 0};
    const char *client_ca = NULL;
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s =
        cv_json_read(parameters, "HopServe", fields, COUNT(fields), true, err);

    if (s == CV_OK && hop == NULL) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = cv_token_methods_sealed(ca, arena, &sealed, err);
    }
    if (s == CV_OK) {
        s = cv_keyring_key(ring, &sealed, arena, &key, err);
    }
    if (s == CV_OK) {
        s = cv_hop_make_server(sealed.certificate, key, cv_clock_now_s(), arena,
                               &server, err);
    }
    if (s == CV_OK) {
        s = cv_hop_client_ca(hop, cv_clock_now_s(), &client_ca, err);
    }
    if (s == CV_OK && (!cv_json_add_str(out, "certificate",
                                        cv_buf_text(&server.certificate)) ||
                       !cv_json_add_str(out, "client_ca", client_ca))) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = add_key(reply, server.key_der, err);
    }
    cv_buf_wipe(&server.certificate);
    return s;
}

CV_TOKEN_HOP(mint)
{
    struct cv_hop_wish wish = {0};
    const struct cv_json_field fields[] = {
        {"grant", CV_JSON_STRING, true, &wish.grant, CV_HOP_GRANT_LEN},
        {"uid", CV_JSON_INT, true, &wish.uid, 0},
        {"entry", CV_JSON_STRING, true, &wish.entry, CV_LIMIT_NAME},
        {"not_after", CV_JSON_INT, true, &wish.not_after_s, 0},
    };
    struct cv_bytes key = {NULL, 0};
    const char *certificate = NULL;
    struct cv_hop *hop = cv_keyring_hop(context, err);
    enum cv_status s =
        cv_json_read(parameters, "HopMint", fields, COUNT(fields), true, err);

    if (s == CV_OK && hop == NULL) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = cv_hop_mint(hop, &wish, cv_clock_now_s(), &key, &certificate, err);
    }
    if (s == CV_OK && !cv_json_add_str(cv_reply_parameters(reply),
                                       "certificate", certificate)) {
        s = no_memory(err);
    }
    return s == CV_OK ? add_key(reply, key, err) : s;
}

CV_TOKEN_HOP(public)
{
    const char *certificate = NULL;
    const struct cv_json_field fields[] = {
        {"certificate", CV_JSON_TEXT, true, &certificate, CV_LIMIT_PEM},
    };
    struct cv_buf spki;
    enum cv_status s =
        cv_json_read(parameters, "HopPublic", fields, COUNT(fields), true, err);

    (void)context;
    cv_buf_init(&spki, NULL, CV_LIMIT_CERT_DER);
    if (s == CV_OK) {
        s = cv_match_public((struct cv_bytes){(const uint8_t *)certificate,
                                              strlen(certificate)},
                            &spki, err);
    }
    if (s == CV_OK && !cv_json_add_base64(cv_reply_parameters(reply), "spki",
                                          cv_buf_bytes(&spki))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&spki);
    return s;
}

CV_TOKEN_HOP(forget)
{
    const cJSON *grants = NULL, *item;
    const struct cv_json_field fields[] = {
        {"grants", CV_JSON_ARRAY, false, &grants, 0},
    };
    struct cv_hop *hop = cv_keyring_hop(context, err);
    enum cv_status s =
        cv_json_read(parameters, "HopForget", fields, COUNT(fields), true, err);

    (void)reply;
    if (s != CV_OK || hop == NULL) {
        return s != CV_OK ? s : no_memory(err);
    }
    if (grants == NULL) {
        cv_hop_forget(hop, NULL);
        return CV_OK;
    }
    cJSON_ArrayForEach(item, grants)
    {
        if (!cJSON_IsString(item)) {
            return cv_fail(err, CV_INVALID, "a grant is not a text");
        }
        cv_hop_forget(hop, item->valuestring);
    }
    return CV_OK;
}
