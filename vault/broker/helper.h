/* The broker's calls to the programs that the spawner starts: token and intake.
 *
 * A helper is started when it is first needed and kept for the next call; one
 * that died is started anew by the call after. What a token process holds (the
 * open box key) dies with it. */
#ifndef CERTVAULT_BROKER_HELPER_H
#define CERTVAULT_BROKER_HELPER_H

#include "vault/broker/spawner.h"
#include "vault/wire/client.h"

struct cv_helper {
    struct cv_spawner *spawner; /* borrowed */
    enum cv_spawner_program program;
    struct cv_channel *channel; /* NULL: not running */
    int caller; /* the socket of whoever asked, -1: nobody. When it hangs up,
                   the call ends and the program is let go */
    uint32_t child; /* what the spawner knows it by */
};

/* Calls `method` ("io.certvault.Token.Open"), starting the program if it does
 * not run. As cv_client_call; waits CV_LIMIT_CALL_S. After a failure of the
 * connection itself the program is let go, and helper->channel is NULL. */
CV_MUST_USE enum cv_status
cv_helper_call(struct cv_helper *helper, const char *method, cJSON *parameters,
               unsigned flags, struct cv_message *reply, struct cv_err *err);

/* Starts it unless it runs, for who calls it otherwise. */
CV_MUST_USE enum cv_status cv_helper_open(struct cv_helper *helper,
                                          struct cv_err *err);

/* Lets it go if it has ended; between calls only. */
void cv_helper_look(struct cv_helper *helper);

/* Lets it go: its socket closes, at which it ends. What only looks something up
 * is killed besides: a program that hangs takes no place. */
void cv_helper_stop(struct cv_helper *helper);

#endif
