#include "cli/token_slot.h"

#include "pkcs11/slotkey.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/seal/slot.h"

#include <string.h>

static enum cv_status complete_it(const cJSON *token,
                                  const struct cv_slotkey_sealed *sealed,
                                  cJSON **complete, struct cv_err *err)
{
    const struct cv_bytes data = {sealed->data, sealed->len};
    cJSON *copy = cJSON_Duplicate(token, true);

    if (!cv_json_add_base64(copy, "data", data)) {
        cJSON_Delete(copy);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    *complete = copy;
    return CV_OK;
}

enum cv_status cv_token_slot_seal(const cJSON *token, struct cv_arena *arena,
                                  cJSON **complete, struct cv_bytes *secret,
                                  struct cv_err *err)
{
    const char *uri = NULL, *spki = NULL, *word = NULL;
    const struct cv_json_field fields[] = {
        {"uri", CV_JSON_STRING, true, &uri, CV_LIMIT_URL},
        {"spki", CV_JSON_STRING, true, &spki, CV_SLOT_SPKI_MAX},
        {"form", CV_JSON_STRING, true, &word, CV_SLOT_FORM_MAX},
    };
    struct cv_slotkey_sealed sealed;
    enum cv_slotkey_form form = CV_SLOTKEY_FORMS;
    struct cv_buf der;
    enum cv_status s =
        cv_json_read(token, "a slot's token", fields, 3, true, err);

    *complete = NULL;
    cv_buf_init(&der, NULL, CV_SLOT_SPKI_MAX);
    if (s == CV_OK) {
        s = cv_slotkey_form_read(word, &form, err);
    }
    if (s == CV_OK) {
        s = cv_decode_base64(spki, strlen(spki), false, "a slot's public key",
                             &der, err);
    }
    if (s == CV_OK) {
        s = cv_slotkey_seal(cv_buf_bytes(&der), form, arena, &sealed, secret,
                            err);
    }
    cv_buf_wipe(&der);
    return s == CV_OK ? complete_it(token, &sealed, complete, err) : s;
}
