#include "cli/intake_sink.h"

#include "cli/sink_datagram.h"
#include "cli/sink_format.h"
#include "cli/sink_target.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/process.h"
#include "vault/fetch/http.h"
#include "vault/fetch/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* The headers around a leaf, and what framing adds. */
#define AROUND CV_KIB(2)
#define BATCH_MAX \
    (CV_LIMIT_SINK_BATCH_BYTES + CV_LIMIT_LEAF + CV_LIMIT_SINK_BATCH * AROUND)
/* UDP: so many at once, then a pause: a receiver's buffer is finite, and what
 * it has no room for is gone. */
#define BURST 16
#define PAUSE_NS 5000000L

struct cv_intake_sink {
    char text[CV_LIMIT_URL + 1];
    struct cv_sink_target target;
    char *ca_pem; /* NULL: the system's authorities */
    struct cv_stream *stream;
    uint64_t held_seq; /* the first of the records that it holds ... */
    size_t held;       /* ... and how many */
    int datagram;
    struct cv_http *http;
    struct cv_origin origin;
};

/* One call. */
struct call {
    struct cv_intake_sink *sink;
    const struct cv_sink_format_record *records;
    size_t n;
    int64_t until_ms;
    /* What it comes to. */
    size_t taken;
    bool fresh; /* over a new connection */
    bool lost;  /* so may be what the last one was given */
};

/* ---- syslog over streams ---- */

static enum cv_status frame(const struct call *c, struct cv_buf *out,
                            struct cv_err *err)
{
    struct cv_buf one;
    enum cv_status s;

    cv_buf_init(&one, NULL, CV_LIMIT_LEAF + AROUND);
    for (size_t i = 0; i < c->n; i++) {
        cv_buf_drop(&one, one.len);
        cv_sink_format_syslog(&c->records[i], 0, &one);
        cv_buf_add_format(out, "%zu ", one.len);
        cv_buf_add(out, one.data, one.len);
    }
    s = cv_buf_status(&one, "a message", err);
    cv_buf_wipe(&one);
    return s == CV_OK ? cv_buf_status(out, "the messages", err) : s;
}

static void drop_stream(struct cv_intake_sink *sink)
{
    cv_stream_close(sink->stream);
    sink->stream = NULL;
    sink->held = 0;
}

/* What was sent before the other end went: thrown away, where it reset. */
static enum cv_status look(struct call *c, struct cv_err *err)
{
    struct cv_intake_sink *sink = c->sink;
    enum cv_stream_state state =
        sink->stream != NULL ? cv_stream_look(sink->stream) : CV_STREAM_WHOLE;

    /* What it holds must be what is wanted now. */
    if (state == CV_STREAM_WHOLE && sink->held > 0 &&
        (sink->held > c->n || sink->held_seq != c->records[0].seq)) {
        state = CV_STREAM_ENDED;
    }
    if (state == CV_STREAM_WHOLE) {
        return CV_OK;
    }
    drop_stream(sink);
    c->lost = state == CV_STREAM_RESET;
    return c->lost ? cv_fail(err, CV_REMOTE, "the server reset the connection")
                   : CV_OK;
}

static enum cv_status by_stream(struct call *c, struct cv_err *err)
{
    struct cv_intake_sink *sink = c->sink;
    struct cv_buf out;
    enum cv_status s = look(c, err);

    if (s == CV_OK && sink->stream == NULL) {
        s = cv_stream_open(sink->target.origin,
                           sink->target.kind == CV_SINK_TARGET_TLS,
                           sink->ca_pem, &sink->stream, err);
        c->fresh = s == CV_OK;
    }
    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&out, NULL, BATCH_MAX);
    if (sink->held == 0) {
        s = frame(c, &out, err);
    }
    if (s == CV_OK && sink->held == 0) {
        sink->held_seq = c->records[0].seq;
        sink->held = c->n;
    }
    if (s == CV_OK) {
        s = cv_stream_send(sink->stream, cv_buf_bytes(&out), c->until_ms, err);
    }
    cv_buf_wipe(&out);
    if (s == CV_OK) {
        c->taken = sink->held;
        sink->held = 0;
    } else if (s != CV_BUSY) {
        c->lost = true;
        drop_stream(sink);
    }
    return s;
}

/* ---- datagrams ---- */

static void pause_after(const struct call *c, size_t i)
{
    const struct timespec pause = {0, PAUSE_NS};

    if (c->sink->target.kind == CV_SINK_TARGET_UDP && (i + 1) % BURST == 0) {
        (void)nanosleep(&pause, NULL);
    }
}

static enum cv_status send_datagrams(struct call *c, struct cv_err *err)
{
    const struct cv_sink_target *t = &c->sink->target;
    struct cv_buf one;
    enum cv_status s = CV_OK;

    cv_buf_init(&one, NULL, CV_LIMIT_LEAF + AROUND * 8);
    for (size_t i = 0; i < c->n && s == CV_OK; i++) {
        cv_buf_drop(&one, one.len);
        if (t->kind == CV_SINK_TARGET_JOURNAL) {
            cv_sink_format_journal(&c->records[i], &one);
        } else {
            cv_sink_format_syslog(
                &c->records[i],
                t->kind == CV_SINK_TARGET_UDP ? CV_LIMIT_SINK_DATAGRAM : 0,
                &one);
        }
        s = cv_buf_status(&one, "a message", err);
        if (s == CV_OK) {
            s = cv_sink_datagram_send(c->sink->datagram, cv_buf_bytes(&one),
                                      c->until_ms, err);
        }
        if (s == CV_OK) {
            c->taken = t->kind == CV_SINK_TARGET_UDP ? 0 : i + 1;
            pause_after(c, i);
        }
    }
    cv_buf_wipe(&one);
    return s;
}

static enum cv_status by_datagram(struct call *c, struct cv_err *err)
{
    struct cv_intake_sink *sink = c->sink;
    enum cv_status s = CV_OK;

    if (sink->datagram != -1) {
        /* Nobody was there when the last ones came. */
        s = cv_sink_datagram_settle(sink->datagram, &sink->target, err);
        c->lost = s != CV_OK;
    } else {
        s = cv_sink_datagram_open(&sink->target, &sink->datagram, err);
        c->fresh = s == CV_OK;
    }
    if (s == CV_OK) {
        s = send_datagrams(c, err);
    }
    if (s == CV_OK) {
        s = cv_sink_datagram_settle(sink->datagram, &sink->target, err);
    }
    if (s == CV_OK) {
        c->taken = c->n;
    } else {
        cv_file_close(&sink->datagram);
    }
    return s;
}

/* ---- HTTP ---- */

static enum cv_status open_http(struct cv_intake_sink *sink, struct cv_err *err)
{
    const struct cv_http_config config = {
        .origin = &sink->origin,
        .ca_pem = sink->ca_pem,
        .total_ms = (int64_t)CV_LIMIT_SINK_SEND_S * 1000,
        .watch = CV_PROCESS_SOCKET,
    };
    char url[CV_LIMIT_HOST + 40];
    bool tls = sink->target.kind == CV_SINK_TARGET_HTTPS;
    enum cv_status s;

    (void)snprintf(url, sizeof(url), "%s://%s", tls ? "https" : "http",
                   sink->target.origin);
    s = cv_origin_parse(url, tls ? CV_ORIGIN_TYPED : CV_ORIGIN_PLAIN, "a sink",
                        &sink->origin, err);
    return s == CV_OK ? cv_http_new(&config, &sink->http, err) : s;
}

static enum cv_status post(struct call *c, struct cv_bytes body,
                           struct cv_err *err)
{
    const struct cv_signing_pair headers[] = {
        {"Content-Type", "application/x-ndjson"},
    };
    const struct cv_http_request request = {
        .method = "POST",
        .target = c->sink->target.path,
        .headers = headers,
        .n_headers = COUNT(headers),
        .body = body,
    };
    struct cv_http_answer answer;
    enum cv_status s = CV_OK;

    cv_http_send(c->sink->http, &request, (int64_t)CV_LIMIT_SINK_SEND_S * 1000,
                 &answer);
    if (answer.end != CV_HTTP_ANSWERED) {
        s = cv_http_answer_fail(&answer, &c->sink->origin, err);
    } else if (answer.status < 200 || answer.status > 299) {
        s = cv_fail_native(err, CV_REMOTE, CV_DOMAIN_HTTP, answer.status,
                           "the server answered %ld", answer.status);
    }
    cv_http_forget(c->sink->http);
    return s;
}

static enum cv_status by_http(struct call *c, struct cv_err *err)
{
    struct cv_buf body;
    enum cv_status s = c->sink->http == NULL ? open_http(c->sink, err) : CV_OK;

    cv_buf_init(&body, NULL, BATCH_MAX);
    for (size_t i = 0; i < c->n; i++) {
        cv_sink_format_line(&c->records[i], &body);
    }
    if (s == CV_OK) {
        s = cv_buf_status(&body, "the records", err);
    }
    if (s == CV_OK) {
        s = post(c, cv_buf_bytes(&body), err);
    }
    cv_buf_wipe(&body);
    c->taken = s == CV_OK ? c->n : 0;
    return s;
}

/* ---- the call ---- */

static void disconnect(struct cv_intake_sink *sink)
{
    drop_stream(sink);
    cv_file_close(&sink->datagram);
    cv_http_free(sink->http);
    sink->http = NULL;
    free(sink->ca_pem);
    sink->ca_pem = NULL;
}

void cv_intake_sink_free(struct cv_intake_sink *sink)
{
    if (sink != NULL) {
        disconnect(sink);
        free(sink);
    }
}

/* A process serves one sink, all its life; another text begins anew. */
static enum cv_status prepare(struct cv_intake_sink **at, const char *text,
                              const char *ca_pem, struct cv_err *err)
{
    struct cv_intake_sink *sink = *at;
    enum cv_status s;

    if (sink != NULL && strcmp(sink->text, text) == 0) {
        return CV_OK;
    }
    cv_intake_sink_free(sink);
    *at = sink = calloc(1, sizeof(*sink));
    if (sink == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    sink->datagram = -1;
    s = cv_sink_target_parse(text, &sink->target, err);
    if (s == CV_OK && ca_pem != NULL) {
        sink->ca_pem = strdup(ca_pem);
        s = sink->ca_pem != NULL ? CV_OK
                                 : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        (void)snprintf(sink->text, sizeof(sink->text), "%s", text);
    }
    return s;
}

static enum cv_status read_one(const cJSON *item,
                               struct cv_sink_format_record *out,
                               struct cv_err *err)
{
    const char *text = NULL;
    int64_t seq = 0;
    const struct cv_json_field fields[] = {
        {"seq", CV_JSON_INT, true, &seq, 0},
        {"text", CV_JSON_STRING, true, &text, CV_LIMIT_LEAF},
        {"gap", CV_JSON_BOOL, false, &out->gap, 0},
    };
    enum cv_status s =
        cv_json_read(item, "a record", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        out->seq = (uint64_t)seq;
        out->text = (struct cv_bytes){(const uint8_t *)text, strlen(text)};
    }
    return s;
}

static enum cv_status read_records(const cJSON *list,
                                   struct cv_sink_format_record **out,
                                   size_t *n, struct cv_err *err)
{
    int size = cJSON_GetArraySize(list);
    const cJSON *item;
    enum cv_status s = CV_OK;

    *n = 0;
    if (size < 1 || size > CV_LIMIT_SINK_BATCH + 1) {
        return cv_fail(err, CV_INVALID, "Deliver: no records, or too many");
    }
    *out = calloc((size_t)size, sizeof(**out));
    if (*out == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_ArrayForEach(item, list)
    {
        s = s == CV_OK ? read_one(item, &(*out)[(*n)++], err) : s;
    }
    return s;
}

static enum cv_status hand_on(struct call *c, struct cv_err *err)
{
    switch (c->sink->target.kind) {
    case CV_SINK_TARGET_TCP:
    case CV_SINK_TARGET_TLS:
        return by_stream(c, err);
    case CV_SINK_TARGET_UDP:
    case CV_SINK_TARGET_UNIX:
    case CV_SINK_TARGET_JOURNAL:
        return by_datagram(c, err);
    case CV_SINK_TARGET_HTTP:
    case CV_SINK_TARGET_HTTPS:
        return by_http(c, err);
    default:
        return cv_fail(err, CV_INVALID, "no sink of the network's");
    }
}

enum cv_status cv_intake_sink_deliver(struct cv_intake_sink **sink,
                                      const cJSON *parameters,
                                      struct cv_reply *reply,
                                      struct cv_err *err)
{
    const char *text = NULL, *ca_pem = NULL;
    const cJSON *list = NULL;
    const struct cv_json_field fields[] = {
        {"sink", CV_JSON_STRING, true, &text, CV_LIMIT_URL},
        {"ca_pem", CV_JSON_TEXT, false, &ca_pem, CV_LIMIT_PEM},
        {"records", CV_JSON_ARRAY, true, &list, 0},
    };
    struct cv_sink_format_record *records = NULL;
    cJSON *out = cv_reply_parameters(reply);
    struct call c = {.until_ms = cv_clock_boot_ms() +
                                 (int64_t)CV_LIMIT_SINK_SEND_S * 1000};
    struct cv_err why;
    enum cv_status s =
        cv_json_read(parameters, "Deliver", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = read_records(list, &records, &c.n, err);
    }
    if (s == CV_OK) {
        s = prepare(sink, text, ca_pem, err);
    }
    if (s == CV_OK) {
        cv_err_init(&why);
        c.sink = *sink;
        c.records = records;
        if (hand_on(&c, &why) != CV_OK &&
            !cv_json_add_str(out, "error", why.text)) {
            s = CV_INTERNAL;
        }
        if (s != CV_OK || !cv_json_add_int(out, "taken", (int64_t)c.taken) ||
            !cv_json_add_bool(out, "fresh", c.fresh) ||
            !cv_json_add_bool(out, "lost", c.lost)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    free(records);
    return s;
}
