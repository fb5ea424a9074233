/* What connections to a server have in common, whatever they speak. */
#include "vault/relay/session_internal.h"

void cv_back_later(struct cv_back *back)
{
    cv_session_turn(back->world, &back->turn);
}

void cv_back_die(struct cv_back *back)
{
    if (!back->dead && back->why.status == CV_OK &&
        (back->leg == NULL || cv_leg_why(back->leg, &back->why) == CV_OK)) {
        (void)cv_fail(&back->why, CV_REMOTE,
                      "the server closed the connection before it answered");
    }
    back->dead = true;
    cv_back_later(back);
}
