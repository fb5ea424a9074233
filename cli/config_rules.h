/* What the values of a configuration may be, read by who uses them: the kinds
 * of tokens' places, endpoints, signers and so on are not described twice.
 * Nothing outside the text is looked at. */
#ifndef CERTVAULT_CLI_CONFIG_RULES_H
#define CERTVAULT_CLI_CONFIG_RULES_H

#include "vault/base/json.h"

/* Of a tree whose keys and types are known. CV_CONFIG, naming the key; *bad is
 * the value, NULL where it is none's. */
CV_MUST_USE enum cv_status
cv_config_rules_check(const cJSON *tree, const cJSON **bad, struct cv_err *err);

/* defaults.duration in days, -1: as long as the cloud gives; absent: *days
 * stays. Fails as above; `bad` may be NULL. */
CV_MUST_USE enum cv_status cv_config_rules_days(const cJSON *tree,
                                                int64_t *days,
                                                const cJSON **bad,
                                                struct cv_err *err);

#endif
