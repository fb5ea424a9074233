/* What the configuration and the environment say to the broker: which PKCS#11
 * modules there are, how the relay runs, where it writes down what is the
 * user's and no vault's.
 *
 * certvaultd reads the file itself, before it locks itself down: no client
 * names a module for the service. */
#ifndef CERTVAULT_CLI_BROKER_CONFIG_H
#define CERTVAULT_CLI_BROKER_CONFIG_H

#include "vault/base/json.h"
#include "vault/broker/broker.h"
#include "vault/yaml/yaml.h"

#define CV_BROKER_CONFIG_SERVICE "/etc/certvault/certvault.yaml"

/* Fills what module processes are started with, and what is said of the relay.
 * `path` NULL: no configuration (the service looks at
 * CV_BROKER_CONFIG_SERVICE). Free with
 * cv_broker_config_free, on failure too. CV_NOT_FOUND, CV_CONFIG (others can
 * write to it; a key that is unknown or of the wrong type), CV_INVALID (not
 * YAML), CV_IO. */
CV_MUST_USE enum cv_status
cv_broker_config_load(const char *path, bool service,
                      struct cv_spawner_options *programs,
                      struct cv_broker_relay *relay, struct cv_err *err);
void cv_broker_config_free(struct cv_spawner_options *programs);

/* Reads a configuration's text: what a broker takes of it and what `config
 * check` passes are one thing. `files`: looks at the files that it names, too
 * (config_files.h). *tree is the caller's, and *marks where `marks` is not
 * NULL. CV_INVALID (no YAML), CV_CONFIG, with the line in front. */
CV_MUST_USE enum cv_status cv_broker_config_parse(struct cv_bytes text,
                                                  bool files, cJSON **tree,
                                                  struct cv_yaml_marks **marks,
                                                  struct cv_err *err);

/* The configuration itself, checked: *tree is the caller's, NULL where there is
 * none. For the service; fails as above. */
CV_MUST_USE enum cv_status cv_broker_config_tree(const char *path, cJSON **tree,
                                                 struct cv_err *err);

/* Who may sign policies, by it (`policy.signers`): *out is a list of verifier
 * keys ended by NULL, or NULL where there are none; freed with
 * cv_broker_config_free_signers. Fails as cv_broker_config_load. */
CV_MUST_USE enum cv_status cv_broker_config_signers(const char *path,
                                                    bool service, char ***out,
                                                    struct cv_err *err);
void cv_broker_config_free_signers(char **signers);

/* The user's folder for logins to tokens ($XDG_STATE_HOME/certvault/logins):
 * `out`, or NULL where there is no such place. */
const char *cv_broker_config_logins(char *out, size_t out_len);

#endif
