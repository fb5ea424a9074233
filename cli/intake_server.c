#include "cli/intake_server.h"

#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/fetch/server_key.h"
#include "vault/kubeconfig/server_url.h"

enum cv_status cv_intake_server_key(void *context, const cJSON *parameters,
                                    struct cv_reply *reply, struct cv_err *err)
{
    const char *server = NULL, *name = NULL;
    const struct cv_json_field fields[] = {
        {"server", CV_JSON_STRING, true, &server, CV_LIMIT_URL},
        {"server_name", CV_JSON_STRING, false, &name, CV_LIMIT_HOST},
    };
    struct cv_server_url url;
    uint8_t spki[CV_SERVER_KEY_DIGEST];
    enum cv_status s =
        cv_json_read(parameters, "ServerKey", fields,
                     sizeof(fields) / sizeof(fields[0]), true, err);

    (void)context;
    if (s == CV_OK) {
        s = cv_server_url_parse(server, &url, err);
    }
    if (s == CV_OK && name != NULL) {
        s = cv_server_url_check_name(name, err);
    }
    if (s == CV_OK) {
        s = cv_server_key_read(url.host, url.port, name, spki, err);
    }
    if (s == CV_OK &&
        !cv_json_add_base64(cv_reply_parameters(reply), "spki",
                            (struct cv_bytes){spki, sizeof(spki)})) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}
