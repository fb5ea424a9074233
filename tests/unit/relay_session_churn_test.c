/* Clients and servers that come, speak, break off and go in any order, with
 * grants ending among them: nothing is used after it went, nothing stays.
 * CV_SEED repeats a run; CV_FULL=1 goes on for longer. */
#include "full.h"
#include "relay_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define HOST "\r\nHost: " RIG_HOST
#define MOST 12

static uint64_t random_state;

static uint32_t below(uint32_t n)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(random_state >> 33) % n;
}

static void seed(void)
{
    const char *given = getenv("CV_SEED");

    random_state =
        given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    (void)printf("CV_SEED=%llu\n", (unsigned long long)random_state);
}

static const char *const asked[] = {
    "GET /api/v1/pods HTTP/1.1" HOST "\r\n\r\n",
    ("GET /api/v1/pods HTTP/1.1" HOST "\r\n\r\n"
     "GET /api/v1/nodes HTTP/1.1" HOST "\r\n\r\n"),
    "POST /api/v1/namespaces HTTP/1.1" HOST "\r\nContent-Length: 3\r\n\r\nab",
    "c",
    "POST /api/v1/namespaces HTTP/1.1" HOST
    "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "0\r\n\r\n",
    "POST /api/v1/namespaces/a/pods/b/exec HTTP/1.1" HOST
    "\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly",
    "GET /../ HTTP/1.1" HOST "\r\n\r\n",
    "HEAD /version HTTP/1.1" HOST "\r\n\r\n",
    "GET /api HT",
};

static const char *const answered[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    "0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
     "Upgrade: SPDY/3.1\r\n\r\nfirst"),
    "HTTP/1.1 200 OK\r\n\r\nto the end",
    "HTTP/1.1 2",
    "rubbish\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1",
};

struct churn {
    struct rig *rig;
    struct rig_end *clients[MOST];
    struct rig_end *servers[MOST];
    struct rig_h2 *h2_clients[2];
};

static void some_turns(struct churn *c)
{
    for (uint32_t i = below(8); i > 0; i--) {
        (void)event_base_loop(c->rig->base, EVLOOP_NONBLOCK);
    }
}

static void client_acts(struct churn *c)
{
    struct rig_end **e = &c->clients[below(MOST)];

    if (*e == NULL) {
        *e = rig_client(c->rig);
    } else if ((*e)->closed || below(6) == 0) {
        rig_end_free(*e);
        *e = NULL;
    } else {
        const char *text = asked[below(sizeof(asked) / sizeof(*asked))];

        (void)rig_send_some(*e, text, strlen(text));
    }
}

static void server_acts(struct churn *c)
{
    struct rig_end **e = &c->servers[below(MOST)];

    if (*e == NULL) {
        if (rig_has_dialled(c->rig) && !c->rig->speaks_h2) {
            *e = rig_accept(c->rig);
        }
    } else if ((*e)->closed || below(5) == 0) {
        rig_end_free(*e);
        *e = NULL;
    } else {
        const char *text =
            answered[below(sizeof(answered) / sizeof(*answered))];

        (void)rig_send_some(*e, text, strlen(text));
    }
}

static void h2_client_acts(struct churn *c)
{
    struct rig_h2 **h = &c->h2_clients[below(2)];

    if (*h == NULL) {
        *h = rig_client_h2(c->rig);
        return;
    }
    if ((*h)->end->closed || (*h)->dead || below(10) == 0 ||
        (*h)->n_streams > RIG_STREAMS - 2) {
        rig_h2_free(*h);
        *h = NULL;
        return;
    }
    if (below(3) == 0 && (*h)->n_streams > 0) {
        struct rig_stream *s = &(*h)->streams[below((*h)->n_streams)];

        (void)nghttp2_submit_rst_stream((*h)->ng, 0, s->id, NGHTTP2_CANCEL);
        rig_h2_flush(*h);
    } else if (nghttp2_session_check_request_allowed((*h)->ng) != 0) {
        (void)rig_h2_ask(*h, below(2) == 0 ? "GET" : "POST", "/api/v1/pods",
                         below(2) == 0 ? "body" : NULL, NULL);
    }
    if ((*h)->end->got.len > 0) {
        (void)nghttp2_session_mem_recv((*h)->ng, (*h)->end->got.data,
                                       (*h)->end->got.len);
        cv_buf_wipe(&(*h)->end->got);
        rig_h2_flush(*h);
    }
}

static void world_acts(struct churn *c)
{
    struct cv_grant *newer;

    switch (below(12)) {
    case 0:
        cv_session_end_grant(c->rig->world, RIG_ID, "over", NULL);
        break;
    case 1:
        newer = rig_grant(RIG_ID, below(2) == 0 ? "" : "\"record\":\"all\",");
        cv_session_replace_grant(c->rig->world, newer);
        cv_grant_unref(c->rig->grant);
        c->rig->grant = newer;
        break;
    case 2:
        c->rig->answers = (enum rig_broker)below(3);
        break;
    case 3:
        c->rig->unreachable = below(3) == 0;
        break;
    default:
        rig_release(c->rig, below(4) != 0);
        break;
    }
}

static bool nothing_left(void *ctx)
{
    struct cv_session_counts n = rig_counts(ctx);

    while (rig_has_dialled(ctx)) {
        rig_end_free(rig_accept(ctx));
    }

    return n.clients == 0 && n.streams == 0;
}

static void test_churn(void **state)
{
    struct churn c = {.rig = rig_new("\"record\":\"all\",")};
    long steps = cv_full_run() ? 400000 : 6000;

    (void)state;
    /* each round dials anew: as many as the rig can hold */
    for (long i = 0; i < steps && c.rig->n_accepted < RIG_STREAMS - 40; i++) {
        uint32_t who = below(10);

        if (who < 4) {
            client_acts(&c);
        } else if (who < 7) {
            server_acts(&c);
        } else if (who < 9) {
            h2_client_acts(&c);
        } else {
            world_acts(&c);
        }
        some_turns(&c);
    }
    for (int i = 0; i < MOST; i++) {
        if (c.clients[i] != NULL) {
            rig_end_free(c.clients[i]);
        }
        if (c.servers[i] != NULL) {
            rig_end_free(c.servers[i]);
        }
    }
    for (int i = 0; i < 2; i++) {
        if (c.h2_clients[i] != NULL) {
            rig_h2_free(c.h2_clients[i]);
        }
    }
    /* A client that sent ahead is not seen to go before it is answered: so
     * all answers come, and say that there is no server. */
    c.rig->answers = RIG_PERMIT;
    c.rig->unreachable = true;
    rig_release(c.rig, true);
    rig_until(c.rig, nothing_left, c.rig);
    rig_free(c.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_churn),
    };

    seed();
    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
