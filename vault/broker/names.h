/* User and group names, and time zones, outside the broker.
 *
 * Looking up a name loads other people's code (NSS modules) and may ask the
 * network; a broker does neither. This runs in a child of the spawner, answers,
 * and ends. Decisions never use what it says of the caller; only the record and
 * `policy apply` do. */
#ifndef CERTVAULT_BROKER_NAMES_H
#define CERTVAULT_BROKER_NAMES_H

#include "vault/base/json.h"
#include "vault/wire/channel.h"

#include <sys/types.h>

#define CV_NAMES_LEN 64

/* The child's side: serves `socket` until it closes. */
void cv_names_serve(int socket);

/* The broker's side. Each waits at most 2 s (Resolve: 10 s, Members: 6 s). */

/* The name of `uid`, or "uid:N" where it has none that can be shown, and where
 * none is told: CV_BUSY (not in time), CV_UNAVAILABLE. naming.h keeps them. */
CV_MUST_USE enum cv_status cv_names_user(struct cv_channel *ch, uid_t uid,
                                         char out[CV_NAMES_LEN]);

/* "uid:N". */
void cv_names_unknown(uid_t uid, char out[CV_NAMES_LEN]);

/* Looks up names: *reply's tree (the caller frees it) has `users` and `groups`,
 * objects from name to number (what is not known is absent), and `zones`, from
 * zone name to the base64 of its TZif file (RFC 8536). The lists are arrays of
 * strings and are copied. */
CV_MUST_USE enum cv_status
cv_names_resolve(struct cv_channel *ch, const cJSON *users, const cJSON *groups,
                 const cJSON *zones, struct cv_message *reply,
                 struct cv_err *err);

/* Which users these are about: `wanted` (taken; NULL: memory was gone) has
 * `users` and `groups` (arrays of names) and `uids` (of numbers), each of which
 * may be left out. *reply's tree (the caller frees it, on failure too) has
 * `users`, an array of {"name", "uid", "gid", "gids": [...]}: the named ones
 * and the members of the groups, also by their first group, each once; and
 * `complete`, false where there are more than CV_LIMIT_MEMBERS of them, or the
 * host could not tell all in 4 s. A name that nobody has is passed over. */
CV_MUST_USE enum cv_status cv_names_members(struct cv_channel *ch,
                                            cJSON *wanted,
                                            struct cv_message *reply,
                                            struct cv_err *err);

#endif
