/* The way to a cluster through the relay: what the broker's Use answers, and
 * the kubeconfig that a program like kubectl finds it by. */
#ifndef CERTVAULT_CLI_HOP_H
#define CERTVAULT_CLI_HOP_H

#include "cli/cli.h"
#include "vault/wire/message.h"

#include <stdint.h>

/* What is asked for. */
struct cv_hop_want {
    const char *name;    /* the entry's */
    const char *context; /* NULL: its default one */
    const char *kind;    /* "exec", "proxy", "credential" */
    bool read_only;
    int64_t seconds; /* -1: as long as policy gives */
};

/* A grant. Texts are borrowed from the answer, which holds the hop's key and
 * lives in an arena until cv_hop_wipe. */
struct cv_hop {
    struct cv_message reply;
    const char *entry;
    const char *context;
    const char *server; /* https://127.0.0.1:PORT */
    const char *ca;     /* PEM, that of the local hop */
    const char *certificate;
    const char *secret; /* base64 of the PEM key */
    const char *ns;     /* of the context; NULL: none */
    char id[40];        /* these four stay */
    char expires[32];
    int64_t seconds;
    int64_t audit_seq;
    bool read_only;
};

/* Asks the broker for a grant. What Use answers, CV_INVALID (an answer that is
 * none). *out is zeroed on failure; else it is freed with cv_hop_wipe. */
CV_MUST_USE enum cv_status cv_hop_use(struct cv_cli *cli,
                                      const struct cv_hop_want *want,
                                      struct cv_hop *out, struct cv_err *err);

/* Wipes the answer; what is marked above stays. */
void cv_hop_wipe(struct cv_hop *hop);

/* Gives the grant back. A failure is told as a note: the connection's end does
 * the same. */
void cv_hop_end(struct cv_cli *cli, const struct cv_hop *hop);

/* Reads --for: seconds, -1 where it is not given. CV_USAGE. */
CV_MUST_USE enum cv_status cv_hop_duration(const struct cv_args *args,
                                           int64_t *seconds,
                                           struct cv_err *err);

/* Appends the kubeconfig with the hop's key in it, as YAML. `out` lies in an
 * arena. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_hop_kubeconfig(const struct cv_hop *hop,
                                             struct cv_arena *arena,
                                             struct cv_buf *out,
                                             struct cv_err *err);

/* How a context of an entry is called in a kubeconfig: the entry's name for its
 * default one (`context` NULL), else NAME-CONTEXT. CV_INVALID: too long. */
#define CV_HOP_NAME 700
CV_MUST_USE enum cv_status cv_hop_name(const char *entry, const char *context,
                                       char out[CV_HOP_NAME],
                                       struct cv_err *err);

#endif
