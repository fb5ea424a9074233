/* Kubeconfigs written as templates: in them, @K1@, @C1@ and @A1@ stand for the
 * base64 of the key, certificate and CA of the first sample answer, @K4@ (and
 * so on) for those of the fourth. */
#ifndef CERTVAULT_TESTS_UNIT_KUBECONFIG_TEMPLATE_H
#define CERTVAULT_TESTS_UNIT_KUBECONFIG_TEMPLATE_H

#include "tests/unit/kubeconfig_test.h"

#include "vault/kubeconfig/kubeconfig.h"

#define GOOD_CLUSTER                            \
    "clusters:\n"                               \
    "- name: c\n"                               \
    "  cluster: {server: 'https://a.example', " \
    "certificate-authority-data: @A1@}\n"
#define GOOD_USER \
    "users:\n"    \
    "- name: u\n" \
    "  user: {client-key-data: @K1@, client-certificate-data: @C1@}\n"
#define GOOD_CONTEXT \
    "contexts:\n"    \
    "- name: x\n"    \
    "  context: {cluster: c, user: u}\n"

static inline const char *sample_file(char c)
{
    static const char *const files[] = {
        "cce/responses/01-internal-rsa2048-pkcs1.json",
        "cce/responses/02-three-contexts-rsa2048-pkcs1.json",
        NULL,
        "cce/responses/04-internal-ec-p256-sec1-prefs-string.json",
    };
    assert_true(c >= '1' && c <= '4' && c != '3');
    return files[c - '1'];
}

static inline void add_sample(struct cv_buf *out, char kind, char number)
{
    cJSON *response = read_json(sample_file(number));
    const cJSON *body = cJSON_GetObjectItem(response, "body");
    const cJSON *user = cJSON_GetObjectItem(
        cJSON_GetArrayItem(cJSON_GetObjectItem(body, "users"), 0), "user");
    const cJSON *cluster = cJSON_GetObjectItem(
        cJSON_GetArrayItem(cJSON_GetObjectItem(body, "clusters"), 0),
        "cluster");
    cv_buf_add_str(out, kind == 'K' ? member(user, "client-key-data")
                        : kind == 'C'
                            ? member(user, "client-certificate-data")
                            : member(cluster, "certificate-authority-data"));
    cJSON_Delete(response);
}

/* The text that `template` stands for; cv_buf_wipe. */
static inline struct cv_buf expand(const char *template)
{
    struct cv_buf out;
    cv_buf_init(&out, NULL, CV_MIB(16));
    for (const char *p = template; *p != '\0'; p++) {
        if (p[0] == '@' && p[1] != '\0' && strchr("KCA", p[1]) != NULL &&
            p[2] != '\0' && p[3] == '@') {
            add_sample(&out, p[1], p[2]);
            p += 3;
        } else {
            cv_buf_add_char(&out, *p);
        }
    }
    assert_int_equal(out.status, CV_OK);
    return out;
}

/* Reads what `template` stands for, at test_now(). */
static inline enum cv_status read_template(struct cv_arena *arena,
                                           const char *template,
                                           struct cv_kubeconfig **out,
                                           struct cv_err *e)
{
    struct cv_kubeconfig_want want = {.now_s = test_now()};
    struct cv_buf text = expand(template);
    cv_err_init(e);
    enum cv_status st =
        cv_kubeconfig_read(arena, cv_buf_bytes(&text), &want, out, e);
    cv_buf_wipe(&text);
    return st;
}

#endif
