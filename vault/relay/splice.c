/* An upgraded connection: bytes pass as they are, both ways, until both ends
 * have said that they are done, or one breaks. */
#include "vault/relay/session_internal.h"

#include <stdlib.h>

/* How long an end has to take what the other sent last. */
#define END_MS 2000

struct cv_splice {
    struct cv_session session; /* its leg is the client's */
    struct cv_leg *server;
    bool client_waits; /* has more to give than the server's leg had room for */
    bool server_waits;
    bool client_done; /* will send nothing more */
    bool server_done;
    bool dead; /* freed in its turn */
};

static void die(struct cv_splice *p)
{
    p->dead = true;
    cv_session_turn(p->session.world, &p->session.turn);
}

/* Passes on what there is room for. */
static size_t pass(struct cv_leg *to, const uint8_t *data, size_t len,
                   bool *waits)
{
    size_t room = cv_leg_room(to);
    size_t n = len < room ? len : room;

    if (n > 0) {
        (void)cv_leg_write(to, data, n);
    }
    *waits = n < len;
    return n;
}

static void go_on(struct cv_leg *from, bool *waits)
{
    if (*waits) {
        *waits = false;
        cv_leg_pause(from, false);
    }
}

/* One end is done: the other is told, and goes on alone. */
static void half_close(struct cv_splice *p, struct cv_leg *other)
{
    if (p->client_done && p->server_done) {
        cv_leg_linger(p->session.leg, END_MS);
        p->session.leg = NULL;
        cv_leg_linger(p->server, END_MS);
        p->server = NULL;
        die(p);
    } else {
        cv_leg_finish(other);
    }
}

/* One end broke: the other still gets what came before. */
static void broke(struct cv_splice *p, struct cv_leg **other)
{
    cv_leg_linger(*other, END_MS);
    *other = NULL;
    die(p);
}

static size_t client_read(void *ctx, const uint8_t *data, size_t len)
{
    struct cv_splice *p = ctx;

    return p->dead ? len : pass(p->server, data, len, &p->client_waits);
}

static void client_writable(void *ctx)
{
    struct cv_splice *p = ctx;

    if (!p->dead) {
        go_on(p->server, &p->server_waits);
    }
}

static void client_closed(void *ctx, bool clean)
{
    struct cv_splice *p = ctx;

    if (p->dead) {
        return;
    }
    if (!clean) {
        broke(p, &p->server);
        return;
    }
    p->client_done = true;
    half_close(p, p->server);
}

static size_t server_read(void *ctx, const uint8_t *data, size_t len)
{
    struct cv_splice *p = ctx;

    return p->dead ? len : pass(p->session.leg, data, len, &p->server_waits);
}

static void server_writable(void *ctx)
{
    struct cv_splice *p = ctx;

    if (!p->dead) {
        go_on(p->session.leg, &p->client_waits);
    }
}

static void server_closed(void *ctx, bool clean)
{
    struct cv_splice *p = ctx;

    if (p->dead) {
        return;
    }
    if (!clean) {
        broke(p, &p->session.leg);
        return;
    }
    p->server_done = true;
    half_close(p, p->session.leg);
}

static const struct cv_leg_hooks client_hooks = {client_read, client_writable,
                                                 client_closed};
static const struct cv_leg_hooks server_hooks = {server_read, server_writable,
                                                 server_closed};

static void on_turn(void *ctx)
{
    struct cv_splice *p = ctx;

    if (!p->dead) {
        return;
    }
    cv_leg_free(p->server);
    p->session.world->n_splices--;
    cv_session_leave(&p->session);
    free(p);
}

static void splice_end(struct cv_session *session)
{
    die((struct cv_splice *)session);
}

static const struct cv_session_ops splice_ops = {
    .end = splice_end,
    .free = splice_end,
};

void cv_splice_begin(struct cv_pool *pool, struct cv_leg *client,
                     struct cv_leg *server, const void *first, size_t len)
{
    struct cv_splice *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        cv_leg_free(client);
        cv_leg_free(server);
        return;
    }
    p->session.ops = &splice_ops;
    p->session.world = pool->world;
    p->session.leg = client;
    p->session.turn.run = on_turn;
    p->session.turn.ctx = p;
    p->server = server;
    pool->world->n_splices++;
    cv_session_join(&p->session, pool);
    if (len > 0) {
        (void)cv_leg_write(client, first, len);
    }
    /* Either may hold bytes that its last owner did not take. */
    cv_leg_hook(client, &client_hooks, p);
    cv_leg_hook(server, &server_hooks, p);
    cv_leg_pause(client, false);
    cv_leg_pause(server, false);
}
