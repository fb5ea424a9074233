/* intake --offline: putting a keyless cluster, user and context into the
 * caller's kubeconfig, and taking them out again.
 *
 * What is ours carries a mark, an extension named "certvault" that says of
 * which vault, entry and context it is; it is found by that, also where the
 * user gave it another name meanwhile. Everything else stays byte for byte: a
 * YAML file is changed item by item (comments and order stay), a JSON file is
 * written anew in its order. The new text is read again and compared with what
 * was meant before it takes the file's place. */
#ifndef CERTVAULT_CLI_INTAKE_MERGE_H
#define CERTVAULT_CLI_INTAKE_MERGE_H

#include "vault/wire/serve.h"

CV_MUST_USE enum cv_status cv_intake_merge(void *context,
                                           const cJSON *parameters,
                                           struct cv_reply *reply,
                                           struct cv_err *err);

#endif
