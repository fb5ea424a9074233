/* What a service's configuration and its credentials say now.
 *
 * A broker that locked itself down opens no file but the vault's, and keeps no
 * secret. So a child of the spawner, forked for one question, reads what is
 * asked for, answers (io.certvault.Settings) and ends; secrets pass through the
 * broker in the arena of that answer, as those of callers do.
 *
 *   Read() -> (relay: {port, idle_s, pool}, pins: []string,
 *              restart: []string)
 *             the configuration is whole and may be taken: `pins` are the URIs
 *             of tokens whose PIN the service has; `restart`: keys that are
 *             others than at the start, and are read then alone
 *   Key()  -> (kind: string, name: ?string, secret: string)
 *             what opens the vault: base64, as io.certvault.Token.Open has it
 *   Pin(uri: string) -> (secret: string)
 *             the PIN for one of `pins`, base64
 *   Cloud() -> (cloud: object)
 *             the service's own credentials and endpoints
 *
 * The serving half is the program's: cli/service_settings.h. */
#ifndef CERTVAULT_BROKER_SETTINGS_H
#define CERTVAULT_BROKER_SETTINGS_H

#include "vault/base/json.h"
#include "vault/wire/message.h"

#define CV_SETTINGS_INTERFACE "io.certvault.Settings"

struct cv_helper;

/* Asks `method` ("Read"), once: what answers ends with it. *reply is the
 * caller's to free; `parameters` is taken. What the other side says, and what
 * cv_helper_call does. */
CV_MUST_USE enum cv_status cv_settings_ask(struct cv_helper *settings,
                                           const char *method,
                                           cJSON *parameters,
                                           struct cv_message *reply,
                                           struct cv_err *err);

#endif
