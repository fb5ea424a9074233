#include "tests/unit/fetch_network.h"

static int64_t now_s(void *context)
{
    const struct network *n = context;

    return NETWORK_NOW + n->ms / 1000;
}

static int64_t now_ms(void *context)
{
    return ((struct network *)context)->ms;
}

static void wait_ms(void *context, int64_t ms)
{
    struct network *n = context;

    assert_true(n->n_waits < NETWORK_MAX);
    n->waits[n->n_waits++] = ms;
    n->ms += ms;
}

static uint32_t chance(void *context)
{
    (void)context;
    return 0;
}

static void keep(struct network_request *q, const struct cv_origin *origin,
                 const struct cv_http_request *r)
{
    size_t used = 0;

    (void)snprintf(q->url, sizeof(q->url), "%s%s", origin->url, r->target);
    (void)snprintf(q->method, sizeof(q->method), "%s", r->method);
    for (size_t i = 0; i < r->n_headers; i++) {
        used += (size_t)snprintf(q->headers + used, sizeof(q->headers) - used,
                                 "%s: %s\n", r->headers[i].name,
                                 r->headers[i].value);
        assert_true(used < sizeof(q->headers));
    }
    assert_true(r->body.len < sizeof(q->body));
    if (r->body.len > 0) {
        memcpy(q->body, r->body.data, r->body.len);
    }
}

static void send_it(void *context, const struct cv_origin *origin,
                    const struct cv_http_request *r, struct cv_http_answer *out)
{
    struct network *n = context;
    const struct network_answer *a;

    if (n->n >= n->n_answers) {
        fail_msg("a request too many: %s%s", origin->url, r->target);
    }
    keep(&n->request[n->n], origin, r);
    a = &n->answer[n->n++];
    memset(out, 0, sizeof(*out));
    out->end = a->end;
    out->status = a->status;
    out->head = (struct cv_bytes){(const uint8_t *)a->head, strlen(a->head)};
    out->body = (struct cv_bytes){(const uint8_t *)a->body, strlen(a->body)};
    out->delimited = true;
}

void network_begin(struct network *n)
{
    memset(n, 0, sizeof(*n));
    n->hooks = (struct cv_session_hooks){.now_s = now_s,
                                         .now_ms = now_ms,
                                         .wait = wait_ms,
                                         .chance = chance,
                                         .send = send_it,
                                         .context = n};
}

void network_add(struct network *n, long status, const char *head,
                 const char *body)
{
    struct network_answer *a = &n->answer[n->n_answers++];

    assert_true(n->n_answers <= NETWORK_MAX);
    assert_true(strlen(head) < sizeof(a->head));
    assert_true(strlen(body) < sizeof(a->body));
    a->end = CV_HTTP_ANSWERED;
    a->status = status;
    memcpy(a->head, head, strlen(head) + 1);
    memcpy(a->body, body, strlen(body) + 1);
}

void network_add_end(struct network *n, enum cv_http_answer_end end)
{
    network_add(n, 0, "", "");
    n->answer[n->n_answers - 1].end = end;
}

void network_add_file(struct network *n, const char *name)
{
    char path[160], head[4096];
    size_t used = 0;
    cJSON *file;
    const cJSON *item, *body;
    struct cv_buf text;

    (void)snprintf(path, sizeof(path), "cce/responses/%s", name);
    file = read_json(path);
    head[0] = '\0';
    cJSON_ArrayForEach(item, at(file, "headers"))
    {
        used += (size_t)snprintf(head + used, sizeof(head) - used, "%s: %s\r\n",
                                 item->string, item->valuestring);
        assert_true(used < sizeof(head));
    }
    cv_buf_init(&text, NULL, CV_MIB(1));
    body = at(file, "body");
    if (body != NULL) {
        cv_json_write(body, CV_JSON_COMPACT, &text);
    } else {
        cv_buf_add_str(&text, text_at(file, "body_text"));
    }
    network_add(n, (long)at(file, "status")->valuedouble, head,
                cv_buf_text(&text));
    cv_buf_wipe(&text);
    cJSON_Delete(file);
}

struct cv_session *network_session(struct network *n, const char *cloud)
{
    struct cv_session *s = NULL;
    struct cv_err e;
    cJSON *tree = parse(cloud);

    cv_err_init(&e);
    assert_ok(cv_session_open(tree, &n->hooks, &s, &e), &e);
    cJSON_Delete(tree); /* it keeps what it needs */
    return s;
}

const char *network_header(const struct network *n, size_t i, const char *name)
{
    static char out[4096];
    const char *p = n->request[i].headers;
    size_t len = strlen(name);

    assert_true(i < n->n);
    while (*p != '\0') {
        size_t line = strcspn(p, "\n");

        if (line > len + 2 && strncasecmp(p, name, len) == 0 && p[len] == ':') {
            (void)snprintf(out, sizeof(out), "%.*s", (int)(line - len - 2),
                           p + len + 2);
            return out;
        }
        p += line + 1;
    }
    return NULL;
}
