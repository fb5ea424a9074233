/* Calls from end to end: the client half against the serving half, in two
 * threads over a socket pair. */
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/wire/client.h"
#include "vault/wire/interface.h"
#include "vault/wire/serve.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NAME "io.certvault.Test"

static enum cv_status echo(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    const char *text = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_STRING, true, &text, 100},
    };
    enum cv_status s = cv_json_read(parameters, "Echo", fields, 1, true, err);

    (void)context;
    if (s == CV_OK) {
        assert_true(cv_json_add_str(cv_reply_parameters(reply), "text", text));
    }
    return s;
}

static enum cv_status secret(void *context, const cJSON *parameters,
                             struct cv_reply *reply, struct cv_err *err)
{
    cJSON *out = cv_reply_parameters(reply);

    (void)context;
    (void)parameters;
    (void)err;
    assert_true(cv_arena_owns(cv_reply_arena(reply), out));
    assert_true(cv_json_add_str(out, "secret", "hush"));
    assert_true(cv_arena_owns(cv_reply_arena(reply), out->child));
    return CV_OK;
}

static enum cv_status refuse(void *context, const cJSON *parameters,
                             struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_DENIED, "no");

    (void)context;
    (void)parameters;
    cv_err_hint(err, "ask someone else");
    err->audit_seq = 7;
    assert_true(cv_json_add_int(cv_reply_failure(reply), "slots", 3));
    return s;
}

static enum cv_status count(void *context, const cJSON *parameters,
                            struct cv_reply *reply, struct cv_err *err)
{
    (void)context;
    (void)parameters;
    for (int i = 1; i < 3; i++) {
        enum cv_status s;

        assert_true(cv_json_add_int(cv_reply_parameters(reply), "n", i));
        s = cv_reply_continue(reply, err);
        if (s != CV_OK) {
            return s;
        }
    }
    assert_true(cv_json_add_int(cv_reply_parameters(reply), "n", 3));
    return CV_OK;
}

/* Answers, then goes on: the caller has the answer by then. */
static enum cv_status early(void *context, const cJSON *parameters,
                            struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s;

    (void)context;
    (void)parameters;
    assert_true(cv_json_add_int(cv_reply_parameters(reply), "n", 1));
    s = cv_reply_send(reply, err);
    assert_int_equal(s, CV_OK);
    return cv_fail(err, CV_IO, "told nobody");
}

static const struct cv_method methods[] = {
    {"Echo", echo, false},     {"Secret", secret, true},
    {"Refuse", refuse, false}, {"Count", count, false},
    {"Early", early, false},
};

static const struct cv_interface iface = {
    .name = NAME,
    .description = "interface " NAME "\n",
    .methods = methods,
    .n_methods = sizeof(methods) / sizeof(methods[0]),
};

static void *serve(void *arg)
{
    (void)!cv_serve_loop(&iface, NULL, *(int *)arg, -1, NULL);
    return NULL;
}

struct bench {
    int fd;
    pthread_t thread;
    struct cv_channel *ch;
};

static int up(void **state)
{
    static struct bench b;
    int pair[2];

    assert_int_equal(cv_process_pair(pair, NULL), CV_OK);
    b.fd = pair[1];
    assert_int_equal(pthread_create(&b.thread, NULL, serve, &b.fd), 0);
    assert_int_equal(cv_channel_new(pair[0], CV_LIMIT_FRAME, &b.ch, NULL),
                     CV_OK);
    *state = &b;
    return 0;
}

static int down(void **state)
{
    struct bench *b = *state;

    cv_channel_free(b->ch);
    return pthread_join(b->thread, NULL);
}

static cJSON *with_text(const char *text)
{
    cJSON *p = cJSON_CreateObject();

    assert_true(cv_json_add_str(p, "text", text));
    return p;
}

static void calls(void **state)
{
    struct bench *b = *state;
    struct cv_message r;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(cv_client_call(b->ch, NAME ".Echo", with_text("hi"),
                                        CV_CLIENT_SECRET_IN, 60000, &r, NULL),
                         CV_OK);
        assert_string_equal(r.tree->child->valuestring, "hi");
        cv_message_free(&r);
    }
}

static void secret_answer(void **state)
{
    struct bench *b = *state;
    struct cv_message r;

    assert_int_equal(cv_client_call(b->ch, NAME ".Secret", NULL,
                                    CV_CLIENT_SECRET_OUT, 60000, &r, NULL),
                     CV_OK);
    assert_true(cv_arena_owns(r.arena, r.tree));
    assert_string_equal(r.tree->child->valuestring, "hush");
    cv_message_free(&r);
}

static void refusal(void **state)
{
    struct bench *b = *state;
    struct cv_message r;
    struct cv_err err;

    cv_err_init(&err);
    assert_int_equal(
        cv_client_call(b->ch, NAME ".Refuse", NULL, 0, 60000, &r, &err),
        CV_DENIED);
    assert_int_equal(err.status, CV_DENIED);
    assert_string_equal(err.text, "no");
    assert_string_equal(err.hint, "ask someone else");
    assert_int_equal(err.audit_seq, 7);
    assert_non_null(cJSON_GetObjectItemCaseSensitive(r.tree, "slots"));
    cv_message_free(&r);
}

static void wrong_parameters(void **state)
{
    struct bench *b = *state;
    struct cv_message r;
    cJSON *p = with_text("hi");

    assert_true(cv_json_add_int(p, "more", 1));
    assert_int_equal(cv_client_call(b->ch, NAME ".Echo", p, 0, 60000, &r, NULL),
                     CV_INVALID);
    cv_message_free(&r);
}

static void no_such_method(void **state)
{
    struct bench *b = *state;
    struct cv_message r;

    assert_int_equal(
        cv_client_call(b->ch, NAME ".Nothing", NULL, 0, 60000, &r, NULL),
        CV_INVALID);
    cv_message_free(&r);
    assert_int_equal(
        cv_client_call(b->ch, NAME "x.Echo", NULL, 0, 60000, &r, NULL),
        CV_INVALID);
    cv_message_free(&r);
}

struct seen {
    int n;
    int64_t last;
};

static enum cv_status see(void *context, const cJSON *parameters,
                          struct cv_err *err)
{
    struct seen *seen = context;

    (void)err;
    seen->n++;
    seen->last = (int64_t)parameters->child->valuedouble;
    return CV_OK;
}

static void stream(void **state)
{
    struct bench *b = *state;
    struct seen seen = {0};

    assert_int_equal(cv_client_stream(b->ch, NAME ".Count", NULL, 0, 60000, see,
                                      &seen, NULL),
                     CV_OK);
    assert_int_equal(seen.n, 3);
    assert_int_equal(seen.last, 3);
}

/* Without `more` only one answer may come: the method is told so. */
static void stream_not_asked(void **state)
{
    struct bench *b = *state;
    struct cv_message r;

    assert_int_equal(
        cv_client_call(b->ch, NAME ".Count", NULL, 0, 60000, &r, NULL),
        CV_INVALID);
    cv_message_free(&r);
}

static void answer_before_end(void **state)
{
    struct bench *b = *state;
    struct cv_message r;

    assert_int_equal(
        cv_client_call(b->ch, NAME ".Early", NULL, 0, 60000, &r, NULL), CV_OK);
    cv_message_free(&r);
    calls(state);
}

static void service(void **state)
{
    struct bench *b = *state;
    struct cv_message r;
    cJSON *p = cJSON_CreateObject();

    assert_int_equal(cv_client_call(b->ch, "org.varlink.service.GetInfo", NULL,
                                    0, 60000, &r, NULL),
                     CV_OK);
    assert_int_equal(
        cJSON_GetArraySize(cJSON_GetObjectItem(r.tree, "interfaces")), 2);
    cv_message_free(&r);
    assert_true(cv_json_add_str(p, "interface", NAME));
    assert_int_equal(cv_client_call(b->ch,
                                    "org.varlink.service."
                                    "GetInterfaceDescription",
                                    p, 0, 60000, &r, NULL),
                     CV_OK);
    assert_string_equal(r.tree->child->valuestring, iface.description);
    cv_message_free(&r);
}

/* The texts that are served are those of the tree. */
static void texts(void **state)
{
    (void)state;
    assert_non_null(strstr(cv_interface_broker, "interface io.certvault.Broker"
                                                "\n"));
    assert_non_null(strstr(cv_interface_broker, "method Export("));
    assert_non_null(strstr(cv_interface_token, "method SignNote("));
    assert_non_null(strstr(cv_interface_intake, "method Strip("));
    assert_non_null(strstr(cv_interface_offline, "method AuditVerify("));
}

static int start(void **state)
{
    (void)state;
    cv_json_start();
    return cv_arena_start(NULL) == CV_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls, up, down),
        cmocka_unit_test_setup_teardown(secret_answer, up, down),
        cmocka_unit_test_setup_teardown(refusal, up, down),
        cmocka_unit_test_setup_teardown(wrong_parameters, up, down),
        cmocka_unit_test_setup_teardown(no_such_method, up, down),
        cmocka_unit_test_setup_teardown(stream, up, down),
        cmocka_unit_test_setup_teardown(stream_not_asked, up, down),
        cmocka_unit_test_setup_teardown(answer_before_end, up, down),
        cmocka_unit_test_setup_teardown(service, up, down),
        cmocka_unit_test(texts),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
