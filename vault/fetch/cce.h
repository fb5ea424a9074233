/* The calls of Cloud Container Engine.
 *
 * Ids and periods are checked before any socket is opened. A create-cert call
 * mints a certificate, with its private key in the answer, that lives on until
 * revoked: it is made once all else is known to be well. It is safe to repeat.
 */
#ifndef CERTVAULT_FETCH_CCE_H
#define CERTVAULT_FETCH_CCE_H

#include "vault/fetch/cluster.h"
#include "vault/fetch/session.h"

enum cv_cce_api {
    CV_CCE_V3,       /* POST /api/v3/.../clustercert */
    CV_CCE_V3_GET,   /* GET of the same: old, its period is the server's */
    CV_CCE_AUTOPILOT /* POST /autopilot/v3/.../clustercert */
};

/* How long a certificate is to be valid. One of the two where the API takes
 * one; the end wins. */
struct cv_cce_validity {
    int64_t duration;    /* days 1..1827, -1: the longest; 0: not given */
    int64_t expire_at_s; /* end, seconds since 1970; 0: not given */
};

/* "v3" (also NULL), "v3-get", "autopilot". CV_USAGE. */
CV_MUST_USE enum cv_status
cv_cce_api_read(const char *word, enum cv_cce_api *out, struct cv_err *err);
const char *cv_cce_api_name(enum cv_cce_api api);

/* CV_USAGE: out of range, both missing, an end for Autopilot or less than 15
 * minutes or more than five years ahead, anything but one day (the default of
 * the command line) for the old GET. */
CV_MUST_USE enum cv_status cv_cce_check(enum cv_cce_api api,
                                        const struct cv_cce_validity *v,
                                        int64_t now_s, struct cv_err *err);

/* Writes the body of create cert, "" for the old GET. Returns `out`. */
const char *cv_cce_body(enum cv_cce_api api, const struct cv_cce_validity *v,
                        char out[96]);

/* Asks for a certificate. The answer's body, a kubeconfig as JSON with a
 * private key, is borrowed until the session's next call or cv_session_forget.
 * CV_USAGE as above or for an id that is none; else as cv_session_send. */
CV_MUST_USE enum cv_status
cv_cce_create_cert(struct cv_session *s, enum cv_cce_api api,
                   const char *cluster_id, const struct cv_cce_validity *v,
                   struct cv_session_answer *out, struct cv_err *err);

/* The same for many clusters, over one connection where it can be. */
struct cv_cce_many {
    enum cv_cce_api api;
    const char *const *cluster_ids;
    size_t n;
    size_t parallel; /* 1 to 100 */
    struct cv_cce_validity validity;
    /* each once; on CV_OK `answer` is borrowed for the call */
    void (*done)(void *context, size_t i, enum cv_status status,
                 const struct cv_session_answer *answer,
                 const struct cv_err *err);
    void *context;
};

/* CV_OK when each was answered, one way or another. */
CV_MUST_USE enum cv_status cv_cce_create_certs(struct cv_session *s,
                                               const struct cv_cce_many *many,
                                               struct cv_err *err);

/* Lists the project's clusters of the API's kind; *out as
 * cv_cluster_read_list. */
CV_MUST_USE enum cv_status cv_cce_list(struct cv_session *s,
                                       enum cv_cce_api api,
                                       struct cv_cluster_list *out,
                                       struct cv_err *err);

/* One cluster by its id. CV_USAGE; else as cv_session_send. */
CV_MUST_USE enum cv_status
cv_cce_show(struct cv_session *s, enum cv_cce_api api, const char *cluster_id,
            struct cv_cluster *out, struct cv_err *err);

/* Where its API server is reached ("openapi"); "" where it is not. */
struct cv_cce_addresses {
    char private_url[CV_CLUSTER_TEXT_LEN];
    char public_url[CV_CLUSTER_TEXT_LEN];
};

CV_MUST_USE enum cv_status cv_cce_show_addresses(struct cv_session *s,
                                                 enum cv_cce_api api,
                                                 const char *cluster_id,
                                                 struct cv_cce_addresses *out,
                                                 struct cv_err *err);

/* Revokes all certificates of one user or (`agency`) agency on one cluster:
 * `id` is the CN of such a certificate. There is none for Autopilot
 * (CV_USAGE). */
CV_MUST_USE enum cv_status cv_cce_revoke(struct cv_session *s,
                                         enum cv_cce_api api,
                                         const char *cluster_id, const char *id,
                                         bool agency, struct cv_err *err);

#endif
