/* What the record calls a user: the name that the host has for a uid, asked of
 * a child of the spawner (names.h) and kept for CV_LIMIT_NAME_KEPT_S seconds.
 *
 * A name service may hang. It then costs the broker's callers one wait of 2 s,
 * and is left alone for CV_LIMIT_NAME_REST_S: users who are not known meanwhile
 * are "uid:N". The child that hangs is killed. */
#ifndef CERTVAULT_BROKER_NAMING_H
#define CERTVAULT_BROKER_NAMING_H

#include "vault/broker/names.h"

struct cv_broker;
struct cv_naming; /* the names that are kept */

void cv_naming_of(struct cv_broker *b, uid_t uid, char out[CV_NAMES_LEN]);

void cv_naming_free(struct cv_naming *n);

#endif
