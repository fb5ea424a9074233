/* A network for tests: answers are scripted, requests are kept, time stands
 * still but for the waits that are asked for. */
#ifndef CERTVAULT_TESTS_UNIT_FETCH_NETWORK_H
#define CERTVAULT_TESTS_UNIT_FETCH_NETWORK_H

#include "tests/unit/fetch_test.h"

#include "vault/fetch/session.h"

#define NETWORK_MAX 16
#define NETWORK_NOW 1795320306 /* 2026-11-22T04:05:06Z */

struct network_answer {
    enum cv_http_answer_end end;
    long status;
    char head[4096];
    char body[CV_KIB(20)];
};

struct network_request {
    char url[1024];
    char method[8];
    char headers[4096]; /* "Name: value\n" each */
    char body[2048];
};

struct network {
    struct network_answer answer[NETWORK_MAX];
    size_t n_answers; /* scripted */
    struct network_request request[NETWORK_MAX];
    size_t n; /* requests made */
    int64_t ms;
    int64_t waits[NETWORK_MAX];
    size_t n_waits;
    struct cv_session_hooks hooks;
};

/* Empties it; more requests than answers fail the test. */
void network_begin(struct network *n);

/* The next answer: its headers with "\n" between, its body. */
void network_add(struct network *n, long status, const char *head,
                 const char *body);
void network_add_end(struct network *n, enum cv_http_answer_end end);

/* A file of tests/data/cce/responses as the next answer. */
void network_add_file(struct network *n, const char *name);

/* Opens a session over it. */
struct cv_session *network_session(struct network *n, const char *cloud);

/* A request's header; NULL where it has none. Static room. */
const char *network_header(const struct network *n, size_t i, const char *name);

#endif
