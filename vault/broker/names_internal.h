/* The helper's methods that lie in files of their own. */
#ifndef CERTVAULT_BROKER_NAMES_INTERNAL_H
#define CERTVAULT_BROKER_NAMES_INTERNAL_H

#include "vault/broker/names.h"
#include "vault/wire/reply.h"

/* getpwuid_r and its kin want room that nobody can tell beforehand. */
#define CV_NAMES_ROOM CV_KIB(64)

#define CV_NAMES_INTERFACE "io.certvault.Names"

/* Members(users, uids, groups) -> (users, complete) */
enum cv_status cv_names_members_serve(void *context, const cJSON *parameters,
                                      struct cv_reply *reply,
                                      struct cv_err *err);

#endif
