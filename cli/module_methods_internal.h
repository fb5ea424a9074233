/* Between the files of the module's methods alone. */
#ifndef CERTVAULT_CLI_MODULE_METHODS_INTERNAL_H
#define CERTVAULT_CLI_MODULE_METHODS_INTERNAL_H

#include "cli/module_face.h"
#include "pkcs11/sign.h"

#define CV_MODULE_METHOD(name)                                              \
    enum cv_status cv_module_##name(void *context, const cJSON *parameters, \
                                    struct cv_reply *reply,                 \
                                    struct cv_err *err)
#define CV_MODULE_FIELDS(table) (table), sizeof(table) / sizeof((table)[0])

/* What one call decodes and opens. */
#define CV_MODULE_ARENA CV_MIB(4)

/* module_login.c */
CV_MODULE_METHOD(login_user);
CV_MODULE_METHOD(login_again);
CV_MODULE_METHOD(login_out);
CV_MODULE_METHOD(login_change_pin);

/* module_objects.c */
CV_MODULE_METHOD(objects_list);
CV_MODULE_METHOD(objects_find_key);
/* The one private key that the URI names: at->object, and its id. CV_NOT_FOUND,
 * CV_INTEGRITY (several), CV_INVALID (it has no id). */
CV_MUST_USE enum cv_status
cv_module_objects_private(const struct cv_uri *uri,
                          struct cv_attribute_place *at, struct cv_buf *id,
                          struct cv_err *err);

/* module_debris.c */
CV_MODULE_METHOD(debris_snapshot);
CV_MODULE_METHOD(debris_debris);
CV_MODULE_METHOD(debris_destroy_debris);
CV_MODULE_METHOD(debris_destroy);
CV_MODULE_METHOD(debris_put_certificates);

/* module_keys.c */
CV_MODULE_METHOD(keys_target);
CV_MODULE_METHOD(keys_accepts);
CV_MODULE_METHOD(keys_import);
CV_MODULE_METHOD(keys_generate);

/* module_sign.c */
CV_MODULE_METHOD(sign_data);

/* module_examine.c */
CV_MODULE_METHOD(examine_mechanisms);
CV_MODULE_METHOD(examine_key);

/* module_anchor.c */
CV_MODULE_METHOD(anchor_put);

/* module_log.c */
CV_MODULE_METHOD(log_key);
CV_MODULE_METHOD(log_sign);

/* module_probe.c */
CV_MODULE_METHOD(probe_token);

/* module_slot.c */
CV_MODULE_METHOD(slot_make);
CV_MODULE_METHOD(slot_open);

/* module_read.c: what parameters are made of. Each reads into `arena`. */

/* A KeyRef: `label` NULL where it has none. */
struct cv_module_read_key {
    const char *token, *label;
    struct cv_sign_key key;
};
CV_MUST_USE enum cv_status cv_module_read_key(const cJSON *json,
                                              struct cv_arena *arena,
                                              struct cv_module_read_key *out,
                                              struct cv_err *err);
/* A CKA_ID in hex, 1 to CV_LIMIT_TOKEN_ID bytes. */
CV_MUST_USE enum cv_status cv_module_read_id(const char *hex,
                                             struct cv_arena *arena,
                                             struct cv_bytes *out,
                                             struct cv_err *err);
CV_MUST_USE enum cv_status cv_module_read_base64(const char *text,
                                                 const char *what, size_t max,
                                                 struct cv_arena *arena,
                                                 struct cv_bytes *out,
                                                 struct cv_err *err);
/* A C string as bytes; NULL: none. */
struct cv_bytes cv_module_read_text(const char *text);

/* Parameters that are a token's URI alone. */
CV_MUST_USE enum cv_status
cv_module_read_token(struct cv_module_face *face, const cJSON *parameters,
                     const char *what, struct cv_module_face_token **out,
                     struct cv_err *err);

#endif
