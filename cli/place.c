#include "cli/place.h"

#include "cli/config.h"
#include "cli/connect.h"
#include "cli/pin_source.h"
#include "cli/place_word.h"

#include <stdio.h>
#include <string.h>

enum cv_status cv_place_uri(const char *uri, const char *flag,
                            struct cv_err *err)
{
    char what[64];

    (void)snprintf(what, sizeof(what), "--%s", flag);
    return cv_place_word_uri(uri, what, err);
}

/* What init was told, as the broker greets with it: a URI that names files is
 * not followed, whoever says it. */
static enum cv_status vaults_own(struct cv_cli *cli, const char **uri,
                                 struct cv_err *err)
{
    const char *own;
    enum cv_status s = cv_connect_open(cli, false, err);

    if (s != CV_OK) {
        return s;
    }
    own = cv_connect_greets(cli)->token_uri;
    if (own != NULL &&
        (cv_place_uri(own, "to", NULL) != CV_OK || strchr(own, '?') != NULL ||
         cv_pin_source_of_uri(cli, own) != NULL)) {
        s = cv_fail(err, CV_UNAVAILABLE,
                    "the broker names a token in a way that is not taken from "
                    "it");
        cv_err_state(err, "nothing was sent");
        cv_err_hint(err, "say where the key goes: --to sealed or "
                         "--to token:URI");
        return s;
    }
    *uri = own != NULL ? own : *uri;
    return CV_OK;
}

enum cv_status cv_place_read(struct cv_cli *cli, const struct cv_args *args,
                             const char **uri, struct cv_err *err)
{
    static const char *const defaults[] = {"defaults.to", "defaults.location"};
    const char *text = cv_args_value(args, "to");
    bool typed = text != NULL, asks = false;
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < 2 && text == NULL && s == CV_OK; i++) {
        s = cv_config_text(cli, defaults[i], &text, err);
    }
    if (s == CV_OK) {
        s = cv_place_word_read(text, "--to", uri, &asks, err);
    }
    if (s == CV_OK && asks) {
        s = vaults_own(cli, uri, err);
    }
    cli->token_uri = *uri != NULL ? *uri : cli->token_uri;
    if (s == CV_OK && *uri != NULL && cv_args_has(args, "exportable")) {
        s = cv_fail(err, CV_USAGE,
                    "--exportable goes with sealed keys: a token does not "
                    "give its keys back");
        if (!typed) {
            cv_err_hint(err, "keys of this vault go to %.200s: add --to sealed",
                        *uri);
        }
    }
    return s;
}
