/* What an anchor may be in the configuration, and what is told of what is none:
 * the form, never a PIN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/broker/anchor_config.h"

#include <stdio.h>
#include <string.h>

#define VKEY "w.example+e533421d+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
/* The same key, as one that signs notes. */
#define LOG_KEY \
    "w.example+05122f9a+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

static void takes(void **state)
{
    static const struct {
        const char *text;
        enum cv_anchor_config_kind kind;
        const char *target, *ca;
    } good[] = {
        {"file:/srv/a b", CV_ANCHOR_FILE, "/srv/a b", ""},
        {"command:/usr/bin/true", CV_ANCHOR_COMMAND, "/usr/bin/true", ""},
        {"git:/srv/x.git?y#z", CV_ANCHOR_GIT, "/srv/x.git?y#z", ""},
        {"token:pkcs11:token=a%20b", CV_ANCHOR_TOKEN, "pkcs11:token=a%20b", ""},
        {"witness:https://h:1/w#" VKEY, CV_ANCHOR_WITNESS, "https://h:1/w", ""},
        {"witness:http://[::1]:8#" VKEY, CV_ANCHOR_WITNESS, "http://[::1]:8",
         ""},
        {"witness:https://h?ca=/a/b.pem#" VKEY, CV_ANCHOR_WITNESS, "https://h",
         "/a/b.pem"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct cv_anchor_config c;
        struct cv_err err;

        cv_err_init(&err);
        memset(&c, 0xa5, sizeof(c));
        if (cv_anchor_config_parse(good[i].text, &c, &err) != CV_OK) {
            fail_msg("%s: %s", good[i].text, err.text);
        }
        assert_int_equal(c.kind, good[i].kind);
        assert_string_equal(c.target, good[i].target);
        assert_string_equal(c.ca, good[i].ca);
        assert_int_equal(strncmp(good[i].text, cv_anchor_config_word(c.kind),
                                 strcspn(good[i].text, ":")),
                         0);
        if (c.kind == CV_ANCHOR_WITNESS) {
            assert_string_equal(c.witness.name, "w.example");
            assert_int_equal(c.witness.public_key[31], 31);
        }
    }
}

static void refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "file",
        ":",
        ":/x",
        "file:",
        "file:/",
        "file:x",
        "FILE:/x",
        "files:/x",
        "file:/a\nb",
        "file:/a\x7f",
        "command:cat",
        "git:https://h/x.git",
        "token:",
        "token:token=x",
        "token:pkcs11:token=a b",
        "witness:" VKEY,
        "witness:https://h",
        "witness:https://h#",
        "witness:https://h#" VKEY "x",
        "witness:https://h# " VKEY,
        "witness:https://h#" LOG_KEY,
        "witness:ftp://h#" VKEY,
        "witness:https://u@h#" VKEY,
        "witness:https://h/ x#" VKEY,
        "witness:https://h/\xc3\xa4#" VKEY,
        "witness:https://h/w?#" VKEY,
        "witness:https://h/w?ca=#" VKEY,
        "witness:https://h/w?ca=/#" VKEY,
        "witness:https://h/w?ca=a.pem#" VKEY,
        "witness:https://h/w?ca=/a b#" VKEY,
        "witness:https://h/w?ca=/a&behind=1#" VKEY,
        "witness:https://h/w?ca=/a?ca=/b#" VKEY,
        "witness:https://h/w?CA=/a#" VKEY,
        "witness:https://h/w?token=a#" VKEY,
        "witness:http://h/w?ca=/a#" VKEY,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cv_anchor_config c;
        struct cv_err err;

        cv_err_init(&err);
        if (cv_anchor_config_parse(bad[i], &c, &err) != CV_CONFIG) {
            fail_msg("%s is taken", bad[i]);
        }
        assert_non_null(strstr(err.text, "audit.anchors"));
        assert_non_null(strstr(err.hint, "write it as"));
        for (const char *p = err.text; *p != '\0'; p++) {
            assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
        }
    }
}

static void shows_no_pin(void **state)
{
    static const char *const texts[] = {
        "token:pkcs11:token=t?pin-value=SECRET",
        "token:PKCS11:token=t;PIN-Value=SECRET",
        "token:pkcs11:token=t?pin-source=file:/SECRET",
        "token pkcs11:token=t?pin-value=SECRET",
        "file:/pkcs11:?pin-value=SECRET",
        "token:pcks11:token=t?pin-value=SECRET",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct cv_anchor_config c;
        struct cv_err err;

        cv_err_init(&err);
        assert_int_equal(cv_anchor_config_parse(texts[i], &c, &err), CV_CONFIG);
        assert_null(strstr(err.text, "SECRET"));
        assert_null(strstr(err.hint, "SECRET"));
    }
}

/* Up to the limit, and no byte more. */
static void has_an_end(void **state)
{
    struct cv_anchor_config c;
    char text[CV_LIMIT_ANCHOR + 16];
    const size_t head = strlen("file:");

    (void)state;
    (void)snprintf(text, sizeof(text), "file:/");
    memset(text + head + 1, 'x', CV_LIMIT_ANCHOR - 1);
    text[head + CV_LIMIT_ANCHOR] = '\0';
    assert_int_equal(cv_anchor_config_parse(text, &c, NULL), CV_OK);
    assert_int_equal(strlen(c.target), CV_LIMIT_ANCHOR);
    text[head + CV_LIMIT_ANCHOR] = 'x';
    text[head + CV_LIMIT_ANCHOR + 1] = '\0';
    assert_int_equal(cv_anchor_config_parse(text, &c, NULL), CV_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(shows_no_pin),
        cmocka_unit_test(has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
