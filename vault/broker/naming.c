#include "vault/broker/naming.h"

#include "vault/base/clock.h"
#include "vault/broker/broker_internal.h"

#include <stdlib.h>
#include <string.h>

struct kept {
    int64_t until_ms; /* 0: none */
    uid_t uid;
    char name[CV_NAMES_LEN];
};

struct cv_naming {
    struct kept kept[CV_LIMIT_NAMES_KEPT]; /* each uid has one place */
    int64_t rest_until_ms;                 /* nobody is asked before that */
};

void cv_naming_free(struct cv_naming *n)
{
    free(n);
}

/* False: nobody said anything. */
static bool ask(struct cv_broker *b, uid_t uid, char out[CV_NAMES_LEN])
{
    bool told = cv_helper_open(&b->names, NULL) == CV_OK &&
                cv_names_user(b->names.channel, uid, out) == CV_OK;

    if (!told) {
        cv_names_unknown(uid, out);
    }
    cv_helper_stop(&b->names);
    return told;
}

void cv_naming_of(struct cv_broker *b, uid_t uid, char out[CV_NAMES_LEN])
{
    const int64_t now = cv_clock_boot_ms();
    struct kept *k;

    if (b->naming == NULL) {
        b->naming = calloc(1, sizeof(*b->naming));
    }
    if (b->naming == NULL) {
        (void)ask(b, uid, out);
        return;
    }
    k = &b->naming->kept[uid % CV_LIMIT_NAMES_KEPT];
    if (k->uid == uid && now < k->until_ms) {
        memcpy(out, k->name, sizeof(k->name));
    } else if (now < b->naming->rest_until_ms) {
        cv_names_unknown(uid, out);
    } else if (ask(b, uid, out)) {
        k->uid = uid;
        k->until_ms = now + CV_LIMIT_NAME_KEPT_S * 1000LL;
        memcpy(k->name, out, sizeof(k->name));
    } else {
        b->naming->rest_until_ms =
            cv_clock_boot_ms() + CV_LIMIT_NAME_REST_S * 1000LL;
    }
}
