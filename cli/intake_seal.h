/* intake's last step: client identities with their keys sealed to their target.
 * What leaves this process is ciphertext, certificates and facts. */
#ifndef CERTVAULT_CLI_INTAKE_SEAL_H
#define CERTVAULT_CLI_INTAKE_SEAL_H

#include "vault/kubeconfig/kubeconfig.h"
#include "vault/seal/box.h"

struct cv_intake_seal_target {
    uint8_t vault_id[CV_BOX_ID_LEN];
    uint8_t public_key[CV_BOX_KEY_LEN];
};

/* Reads type Target. CV_INVALID. */
CV_MUST_USE enum cv_status cv_intake_seal_read_target(
    const cJSON *object, struct cv_intake_seal_target *out, struct cv_err *err);

/* Adds member `key` to `reply`: the identities of `file` (type Identity), each
 * with an entry id drawn here and its key sealed. `arena` is that of `file`.
 * As cv_box_seal; CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_intake_seal_identities(cJSON *reply, const char *key,
                          const struct cv_kubeconfig *file,
                          const struct cv_intake_seal_target *target,
                          struct cv_arena *arena, struct cv_err *err);

#endif
