#include "cli/intake_seal.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <sodium.h>
#include <string.h>

enum cv_status cv_intake_seal_read_target(const cJSON *object,
                                          struct cv_intake_seal_target *out,
                                          struct cv_err *err)
{
    const char *id = NULL, *key = NULL;
    const struct cv_json_field fields[] = {
        {"vault_id", CV_JSON_STRING, true, &id, 64},
        {"public_key", CV_JSON_STRING, true, &key, 64},
    };
    enum cv_status s = cv_json_read(object, "target", fields, 2, true, err);

    if (s == CV_OK) {
        s = cv_decode_hex_exact(id, "the vault id", out->vault_id,
                                sizeof(out->vault_id), err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64_exact(key, "the vault's public key",
                                   out->public_key, sizeof(out->public_key),
                                   err);
    }
    return s;
}

static enum cv_status seal_one(cJSON *out, const struct cv_identity *identity,
                               const struct cv_intake_seal_target *target,
                               struct cv_arena *arena, struct cv_err *err)
{
    struct cv_box_binding binding;
    struct cv_buf sealed;
    enum cv_status s;

    memcpy(binding.vault_id, target->vault_id, sizeof(binding.vault_id));
    randombytes_buf(binding.entry_id, sizeof(binding.entry_id));
    memcpy(binding.spki_sha256, identity->key.spki_sha256,
           sizeof(binding.spki_sha256));
    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    s = cv_box_seal(target->public_key, &binding, identity->key.pkcs8, arena,
                    &sealed, err);
    if (s == CV_OK &&
        (!cv_json_add_hex(
             out, "entry_id",
             (struct cv_bytes){binding.entry_id, sizeof(binding.entry_id)}) ||
         !cv_json_add_base64(out, "sealed", cv_buf_bytes(&sealed)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&sealed);
    return s;
}

enum cv_status
cv_intake_seal_identities(cJSON *reply, const char *key,
                          const struct cv_kubeconfig *file,
                          const struct cv_intake_seal_target *target,
                          struct cv_arena *arena, struct cv_err *err)
{
    cJSON *list = cJSON_AddArrayToObject(reply, key);
    enum cv_status s = CV_OK;

    for (size_t i = 0; s == CV_OK && i < file->n_identities; i++) {
        cJSON *item = cv_identity_to_json(&file->identities[i]);

        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
        s = seal_one(item, &file->identities[i], target, arena, err);
    }
    return s;
}
