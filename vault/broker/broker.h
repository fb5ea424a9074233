/* The broker: the door through which every key is reached.
 *
 * Who asks -> is it allowed? -> record it, durably -> do it -> record how it
 * went. It serves io.certvault.Broker over Unix sockets. It holds no private
 * key, passphrase or PIN beyond the message that carries it, opens no network
 * connection and parses no foreign format: token and intake do, started by the
 * spawner.
 *
 * One thread; requests are taken one after the other. */
#ifndef CERTVAULT_BROKER_BROKER_H
#define CERTVAULT_BROKER_BROKER_H

#include "vault/base/arena.h"
#include "vault/broker/spawner.h"

#include <sys/types.h>

/* How it was started, which decides what it can promise. */
enum cv_broker_mode {
    CV_BROKER_EXEC,   /* for one command, on a socket pair */
    CV_BROKER_AGENT,  /* one user's, on a socket of that user */
    CV_BROKER_SERVICE /* under a user of its own, policy enforced */
};

/* What an agent is started with beyond that. */
struct cv_broker_agent {
    int listener;            /* a socket that listens already; -1: none */
    int runtime;             /* the folder that its socket is made in, open;
                                -1: the socket is another's (systemd's) */
    const char *socket_path; /* for telling */
    const char *socket_leaf; /* the same beneath `runtime` */
    int lock;                /* flock: held while a socket is made or removed */
    int64_t idle_s;          /* ends after so long without work; 0: never */
    const char *config;      /* what it was configured by; NULL: nothing */
};

/* What a service is started with beyond that. */
struct cv_broker_service {
    int listener;      /* a socket that listens already; -1: none, it is made */
    const char *group; /* that the socket's file is of; NULL: the process's */
    bool has_key;      /* its settings (vault/broker/settings.h) have a key */
};

/* The relay: 0 is what it is where nobody says otherwise. */
struct cv_broker_relay {
    int port;   /* where it listens; 0: the port that the vault keeps */
    int idle_s; /* how long a connection to a server is kept without work */
    int pool;   /* how many of them for one grant */
};

struct cv_broker_options {
    enum cv_broker_mode mode;
    const char *folder;      /* the vault's, absolute */
    bool create;             /* exec: the folder is made where there is none */
    int socket;              /* exec: the connected socket; else -1 */
    const char *socket_path; /* agent, service: where to listen */
    mode_t socket_mode;      /* of that socket */
    /* What the programs that it starts get. Without `modules` there are those
     * that p11-kit has configured. */
    struct cv_spawner_options programs;
    struct cv_broker_relay relay;
    /* Verifier keys of who may sign policies, beside those that init was told;
     * ended by NULL; NULL: none. Borrowed. */
    char **policy_signers;
    const struct cv_broker_agent *agent;     /* NULL but for an agent */
    const struct cv_broker_service *service; /* NULL but for a service */
    /* A folder of the user's for logins to tokens (vault/broker/ledger.h), made
     * unless it is there. NULL, or where it cannot be had: the vault's. */
    const char *logins;
    /* Called once it serves. NULL: nobody wants to know. */
    void (*ready)(void *context);
    void *ready_context;
};

/* Runs until its last connection closes (exec), it is not needed any more
 * (agent; see vault/broker/agent.h), or a signal ends it (SIGTERM, SIGINT).
 * Locks the process down before the first byte from a client is read. At a
 * clean end the log is committed and a checkpoint is signed. Everything that
 * cv_fail says of opening a vault: CV_NOT_FOUND, CV_CONFIG, CV_INTEGRITY,
 * CV_IO, CV_BUSY (another broker holds it for life), CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_broker_run(const struct cv_broker_options *o,
                                         struct cv_err *err);

#endif
