/* What can this token do, and what does it lie about?
 *
 * Without `destructive` nothing is made or changed on the token: what it lists
 * is told. With it, everything is done once on objects labelled
 * "certvault-scratch" (CV_PROBE_LABEL), which are destroyed at the end,
 * whatever happened; those that an earlier probe left are destroyed first.
 *
 * The report is a JSON object with these members, always all of them; null is
 * "not tried" (no destructive test) or "not known":
 *
 *   token        {label, manufacturer, model, serial, firmware, hardware}
 *   mechanisms   [{name, number, min, max, flags [word]}]
 *   keys         [{kind, generate, import, sign, way, bits_min, bits_max}]
 *                kind: rsa, ec-p256, ec-p384, ed25519. generate, import, sign:
 *                {listed: bool, works: bool or null, rv: name or null}; way:
 *                "unwrapped", "imported", "none" or null
 *   unwrap       [{mechanism, listed, works, rv}] each way of unwrapping an EC
 *                or RSA key, with its rv
 *   transport    "rsa-oaep-sha256", "rsa-oaep-sha1", "value", "none" or null:
 *                how a wrapping key gets in
 *   certificates {works, rv}, public_keys {works, rv}, data {works, rv}
 *   signatures   [{algorithm, listed}] by TLS names
 *   pss          bool: CKM_RSA_PKCS_PSS or CKM_RSA_X_509 is listed for signing
 *   slot_key     {rsa_oaep: bool, ecdh: bool} listed
 *   random       {works, distinct, rv}: 2 x 64 bytes that differ, are not
 *                constant, and whose bits are not grossly out of balance
 *   sessions     {opened, limit, refused}: how many beside ours opened of
 *                CV_PROBE_SESSIONS tried; limit: what the token says, or null
 *   findings     cv_examine_json of a scratch key, or null
 *   leaky        bool or null
 *   lies         [text]
 *   left_behind  objects that could not be destroyed (0 is right)
 */
#ifndef CERTVAULT_PKCS11_PROBE_H
#define CERTVAULT_PKCS11_PROBE_H

#include "pkcs11/session.h"
#include "vault/base/json.h"

#define CV_PROBE_LABEL "certvault-scratch"
#define CV_PROBE_SESSIONS 64

/* Makes the report (where cv_json_use says; *out is NULL on failure) in a
 * session: read/write and logged in for `destructive`, any otherwise. What the
 * token refuses is in the report; failures are CV_UNAVAILABLE (it does not even
 * list its mechanisms), CV_INTERNAL, and CV_INTEGRITY when scratch objects are
 * left behind: then *out is there all the same. Takes seconds, on slow cards
 * minutes. */
CV_MUST_USE enum cv_status cv_probe_token(CK_FUNCTION_LIST *functions,
                                          CK_SESSION_HANDLE session,
                                          bool destructive, cJSON **out,
                                          struct cv_err *err);

#endif
