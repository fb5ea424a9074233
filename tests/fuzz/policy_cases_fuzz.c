/* A file of cases from bytes, run against a policy that has a bit of all. */
#include "policy/cases.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "apiVersion: certvault/v1\nkind: Policy\nmetadata: {name: f, version: 1}\n"
    "rules:\n"
    "- {name: a, effect: permit, subjects: {users: [alice], groups: [sre], "
    "uids: [5]}, actions: [use, list], entries: {names: [\"prod-*\", x], "
    "labels: {env: \"p*\"}}, when: {reason: required, ticket: "
    "\"(OPS|INC)-[0-9]{1,4}\", hours: \"22:00-06:00\", days: [mon, sun]}}\n"
    "- {name: b, effect: permit, subjects: {users: [\"*\"]}, actions: "
    "[\"*\"], when: {contexts: [internal], mode: [exec], tty: required}}\n"
    "- {name: c, effect: forbid, subjects: {users: [bob]}, actions: [use], "
    "entries: {provenance: [born], leaky: true}}\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cv_policy *policy;
    struct cv_policy_notes notes = {0};
    cJSON *out;
    if (policy == NULL) {
        if (cv_arena_start(NULL) != CV_OK)
            abort();
        cv_json_start();
        if (cv_policy_parse(
                (struct cv_bytes){(const uint8_t *)text, sizeof(text) - 1},
                &policy, NULL, NULL) != CV_OK)
            abort();
    }
    enum cv_status st = cv_cases_run(policy, (struct cv_bytes){data, size},
                                     1795428000, &out, &notes, NULL);
    if (st != CV_OK && (st != CV_INVALID || out != NULL))
        abort();
    cJSON_Delete(out);
    return 0;
}
