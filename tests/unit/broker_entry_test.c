/* Entries: what is taken from intake, shown, changed and exported. */
#include "vault/audit/details.h"
#include "vault/broker/entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEX32 "0123456789abcdef0123456789abcdef"
#define HEX64 HEX32 HEX32
#define NOW 1795341906

static const char identity_text[] =
    "{\"entry_id\":\"" HEX32 "\",\"suffix\":\"internal\","
    "\"key\":{\"type\":\"RSA\",\"bits\":2048,\"spki_sha256\":\"" HEX64 "\"},"
    "\"certificate\":{\"subject\":\"CN=a\",\"issuer\":\"CN=b\","
    "\"serial\":\"01\",\"not_before\":\"2026-11-22T00:00:00Z\","
    "\"not_after\":\"2027-11-22T00:00:00Z\",\"pem\":\"PEM\\n\","
    "\"groups\":[\"system:masters\"]},"
    "\"contexts\":[{\"name\":\"internal\",\"cluster\":\"internalCluster\","
    "\"server\":\"https://10.0.0.1:5443\",\"ca\":\"CA\\n\",\"verify\":\"ca\","
    "\"default\":true},{\"name\":\"external\",\"cluster\":\"externalCluster\","
    "\"server\":\"https://"
    "1.2.3.4:5443\",\"verify\":\"none\",\"insecure\":true},"
    "{\"name\":\"system\",\"cluster\":\"c\",\"server\":\"https://c.example\","
    "\"verify\":\"none\"}],"
    "\"ca_set\":\"" HEX64 "\",\"sealed\":\"AAAA\",\"notes\":[]}";

static cJSON *parse(const char *text)
{
    cJSON *tree = NULL;
    struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};

    assert_int_equal(cv_json_parse(NULL, bytes, &tree, NULL), CV_OK);
    return tree;
}

static enum cv_status make(const cJSON *identity, const char *name,
                           const cJSON *labels, cJSON **doc)
{
    cJSON *source = parse("{\"kind\":\"file\",\"digest\":\"" HEX64 "\"}");
    const struct cv_entry_origin origin = {.source = source,
                                           .labels = labels,
                                           .exportable = true,
                                           .provenance = "sealed",
                                           .now_s = NOW};
    enum cv_status s =
        cv_entry_from_identity(identity, name, &origin, doc, NULL);

    cJSON_Delete(source);
    return s;
}

static cJSON *made(void)
{
    cJSON *identity = parse(identity_text), *doc = NULL;
    cJSON *labels = parse("{\"env\":\"prod\"}");

    assert_int_equal(make(identity, "prod", labels, &doc), CV_OK);
    cJSON_Delete(identity);
    cJSON_Delete(labels);
    return doc;
}

static const cJSON *at(const cJSON *tree, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(tree, key);
}

static void views(void **state)
{
    cJSON *doc = made();
    cJSON *view = cv_entry_view(doc), *whole = cv_entry_view_whole(doc);

    (void)state;
    assert_string_equal(cv_entry_text(view, "name"), "prod");
    assert_string_equal(cv_entry_text(view, "location"), "sealed");
    assert_string_equal(cv_entry_text(view, "state"), "ready");
    assert_string_equal(cv_entry_text(view, "created"), "2026-11-22T10:05:06Z");
    assert_null(at(at(view, "certificate"), "pem"));
    assert_null(at(at(view, "contexts")->child, "ca"));
    assert_null(at(view, "sealed"));
    assert_null(at(doc, "sealed"));
    assert_string_equal(cv_entry_text(whole, "chain"), "PEM\n");
    assert_string_equal(cv_entry_text(at(whole, "ca"), "internal"), "CA\n");
    assert_null(at(at(whole, "ca"), "external"));
    cJSON_Delete(view);
    cJSON_Delete(whole);
    cJSON_Delete(doc);
}

/* The two parts that are stored make the whole again. */
static void parts(void **state)
{
    cJSON *doc = made(), *view, *body;

    (void)state;
    assert_int_equal(cv_entry_note(doc, "import", "root", NOW, NULL), CV_OK);
    view = cv_entry_view(doc);
    body = cv_entry_body(doc);
    assert_null(at(view, "history"));
    assert_non_null(at(body, "history"));
    assert_int_equal(cv_entry_join(view, body, NULL), CV_OK);
    assert_true(cJSON_Compare(view, doc, true));
    cJSON_Delete(view);
    cJSON_Delete(body);
    cJSON_Delete(doc);
}

/* intake is another program: what it sends is checked like anyone's. */
static void refuses(const char *drop, const char *add)
{
    cJSON *identity = parse(identity_text), *doc = NULL;
    cJSON *more = add != NULL ? parse(add) : NULL;

    cJSON_DeleteItemFromObjectCaseSensitive(identity, drop);
    while (more != NULL && more->child != NULL) {
        cJSON *item = cJSON_DetachItemViaPointer(more, more->child);

        assert_true(cJSON_AddItemToObject(identity, item->string, item));
    }
    assert_int_equal(make(identity, "prod", NULL, &doc), CV_INVALID);
    assert_null(doc);
    cJSON_Delete(more);
    cJSON_Delete(identity);
}

static void malformed_identities(void **state)
{
    (void)state;
    refuses("entry_id", NULL);
    refuses("entry_id", "{\"entry_id\":\"../../../../etc/passwd/aaaaaaaaa\"}");
    refuses("entry_id", "{\"entry_id\":\"" HEX32 "0\"}");
    refuses("ca_set", "{\"ca_set\":\"x\"}");
    refuses("key", "{\"key\":{\"type\":\"RSA\",\"bits\":2048,"
                   "\"spki_sha256\":\"zz\"}}");
    refuses("contexts", "{\"contexts\":[]}");
    refuses("contexts", "{\"contexts\":[{\"name\":\"a\"}]}");
    refuses("", "{\"key_pem\":\"x\"}");
}

static void names_and_labels(void **state)
{
    cJSON *identity = parse(identity_text), *doc = NULL, *bad;

    (void)state;
    assert_int_equal(make(identity, "../x", NULL, &doc), CV_INVALID);
    assert_int_equal(make(identity, "", NULL, &doc), CV_INVALID);
    bad = parse("{\"a b\":\"c\"}");
    assert_int_equal(make(identity, "ok", bad, &doc), CV_INVALID);
    cJSON_Delete(bad);
    bad = parse("{\"a\":1}");
    assert_int_equal(make(identity, "ok", bad, &doc), CV_INVALID);
    cJSON_Delete(bad);
    cJSON_Delete(identity);
}

static void renames_and_labels(void **state)
{
    cJSON *doc = made(), *set = parse("{\"env\":\"dev\",\"team\":\"a\"}");
    cJSON *gone = parse("{\"k\":[\"env\"]}");

    (void)state;
    assert_int_equal(cv_entry_rename(doc, "dev", NOW + 1, NULL), CV_OK);
    assert_string_equal(cv_entry_text(doc, "name"), "dev");
    assert_string_equal(cv_entry_text(doc, "updated"), "2026-11-22T10:05:07Z");
    assert_int_equal(cv_entry_rename(doc, "a//b", NOW, NULL), CV_INVALID);
    assert_int_equal(cv_entry_label(doc, set, NULL, NOW, NULL), CV_OK);
    assert_string_equal(cv_entry_text(at(doc, "labels"), "env"), "dev");
    assert_string_equal(cv_entry_text(at(doc, "labels"), "team"), "a");
    assert_int_equal(cv_entry_label(doc, NULL, gone->child, NOW, NULL), CV_OK);
    assert_null(at(at(doc, "labels"), "env"));
    cJSON_Delete(doc);
    cJSON_Delete(set);
    cJSON_Delete(gone);
}

static void history_is_bounded(void **state)
{
    cJSON *doc = made();

    (void)state;
    for (int i = 0; i < 150; i++) {
        assert_int_equal(cv_entry_note(doc, "edited", "root", NOW + i, NULL),
                         CV_OK);
    }
    assert_int_equal(cJSON_GetArraySize(at(doc, "history")), 100);
    assert_string_equal(cv_entry_text(at(doc, "history")->child, "time"),
                        "2026-11-22T10:05:56Z");
    cJSON_Delete(doc);
}

static void policy_sees(void **state)
{
    cJSON *doc = made();
    struct cv_entry_subject subject;

    (void)state;
    cv_entry_subject_fill(doc, &subject);
    assert_string_equal(subject.entry.name, "prod");
    assert_string_equal(subject.entry.provenance, "sealed");
    assert_int_equal(subject.entry.n_labels, 1);
    assert_string_equal(subject.entry.keys[0], "env");
    assert_string_equal(subject.entry.values[0], "prod");
    assert_false(subject.entry.leaky);
    cJSON_Delete(doc);
}

static void kubeconfig_of_all(void **state)
{
    cJSON *doc = made(), *config = NULL;
    const cJSON *cluster;

    (void)state;
    assert_int_equal(cv_entry_kubeconfig(doc, NULL, "S0VZCg==", &config, NULL),
                     CV_OK);
    assert_string_equal(cv_entry_text(config, "kind"), "Config");
    assert_string_equal(cv_entry_text(config, "current-context"),
                        "prod-internal");
    assert_int_equal(cJSON_GetArraySize(at(config, "clusters")), 3);
    cluster = at(at(config, "clusters")->child, "cluster");
    assert_string_equal(cv_entry_text(cluster, "certificate-authority-data"),
                        "Q0EK");
    assert_null(at(cluster, "insecure-skip-tls-verify"));
    cluster = at(at(config, "clusters")->child->next, "cluster");
    assert_true(cJSON_IsTrue(at(cluster, "insecure-skip-tls-verify")));
    assert_null(at(cluster, "certificate-authority-data"));
    cluster = at(at(config, "clusters")->child->next->next, "cluster");
    assert_null(at(cluster, "insecure-skip-tls-verify"));
    assert_null(at(cluster, "certificate-authority-data"));
    assert_string_equal(cv_entry_text(at(at(config, "users")->child, "user"),
                                      "client-key-data"),
                        "S0VZCg==");
    cJSON_Delete(config);
    cJSON_Delete(doc);
}

static void kubeconfig_of_one(void **state)
{
    cJSON *doc = made(), *config = NULL;

    (void)state;
    assert_int_equal(
        cv_entry_kubeconfig(doc, "external", "S0VZCg==", &config, NULL), CV_OK);
    assert_int_equal(cJSON_GetArraySize(at(config, "contexts")), 1);
    assert_string_equal(cv_entry_text(config, "current-context"),
                        "prod-external");
    cJSON_Delete(config);
    assert_int_equal(
        cv_entry_kubeconfig(doc, "none", "S0VZCg==", &config, NULL),
        CV_NOT_FOUND);
    assert_null(config);
    cJSON_Delete(doc);
}

static void details_are_known(void **state)
{
    cJSON *doc = made();
    cJSON *taken = cv_entry_details_taken(doc);
    cJSON *released = cv_entry_details_released(doc);

    (void)state;
    assert_int_equal(cv_details_check("import", taken, NULL), CV_OK);
    assert_int_equal(cv_details_check("fetch", taken, NULL), CV_OK);
    assert_int_equal(cv_details_check("export", released, NULL), CV_OK);
    assert_true(cJSON_IsTrue(at(taken, "high_risk")));
    assert_true(cJSON_IsTrue(at(released, "high_risk")));
    assert_string_equal(cv_entry_text(taken, "digest"), HEX64);
    cJSON_Delete(taken);
    cJSON_Delete(released);
    cJSON_Delete(doc);
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
        cmocka_unit_test(views),
        cmocka_unit_test(parts),
        cmocka_unit_test(malformed_identities),
        cmocka_unit_test(names_and_labels),
        cmocka_unit_test(renames_and_labels),
        cmocka_unit_test(history_is_bounded),
        cmocka_unit_test(policy_sees),
        cmocka_unit_test(kubeconfig_of_all),
        cmocka_unit_test(kubeconfig_of_one),
        cmocka_unit_test(details_are_known),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
