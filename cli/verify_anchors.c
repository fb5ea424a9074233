#include "cli/verify_anchors.h"
#include "cli/config.h"
#include "cli/output_table.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/broker/anchor_config.h"
#include "vault/broker/anchor_place.h"

#include <fcntl.h>
#include <string.h>

/* The log's name: without it no branch is found, and no note is looked for. */
static bool read_origin(int folder, char origin[CV_NOTE_NAME + 1])
{
    struct cv_note_key key;
    struct cv_buf text;
    int fd = -1;
    bool ok;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    ok = cv_file_open(folder, "audit/key.pub", O_RDONLY, &fd, NULL) == CV_OK &&
         cv_file_read(fd, "audit/key.pub", &text, NULL) == CV_OK;
    cv_file_close(&fd);
    if (ok) {
        if (text.len > 0 && text.data[text.len - 1] == '\n') {
            text.data[text.len - 1] = '\0';
        }
        ok = cv_note_key_parse(cv_buf_text(&text), &key, NULL) == CV_OK;
    }
    if (ok) {
        memcpy(origin, key.name, sizeof(key.name));
    }
    cv_buf_wipe(&text);
    return ok;
}

/* What lies there; *unread: why not. */
static void read_one(const struct cv_anchor_config *c, const char *origin,
                     struct cv_buf *text, struct cv_err *why,
                     const char **unread)
{
    enum cv_status s = CV_OK;

    switch (c->kind) {
    case CV_ANCHOR_FILE:
        s = cv_anchor_place_tail(c->target, text, why);
        break;
    case CV_ANCHOR_GIT:
        s = origin != NULL
                ? cv_anchor_place_git(c->target, origin, text, why)
                : cv_fail(why, CV_NOT_FOUND,
                          "without audit/key.pub its branch has no name");
        break;
    case CV_ANCHOR_COMMAND:
        *unread = "a command only takes checkpoints: hold the log against one "
                  "that it put away with --checkpoint";
        break;
    default:
        *unread = "a token is asked by a broker: certvault audit anchor";
        break;
    }
    if (s != CV_OK) {
        *unread = why->text;
    }
}

static enum cv_status add_one(cJSON *list, const struct cv_anchor_config *c,
                              const char *origin, struct cv_err *err)
{
    cJSON *o = cJSON_CreateObject();
    const char *unread = NULL;
    struct cv_buf text;
    struct cv_err why;
    bool ok;

    cv_err_init(&why);
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    read_one(c, origin, &text, &why, &unread);
    ok = cv_json_add_str(o, "kind", cv_anchor_config_word(c->kind)) &&
         cv_json_add_str(o, "place", c->target) &&
         (unread == NULL ? cv_json_add_base64(o, "text", cv_buf_bytes(&text))
                         : cv_json_add_str(o, "unread", unread)) &&
         cJSON_AddItemToArray(list, o);
    cv_buf_wipe(&text);
    if (!ok) {
        cJSON_Delete(o);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

enum cv_status cv_verify_anchors_add(struct cv_cli *cli, int folder,
                                     cJSON *parameters, struct cv_err *err)
{
    cJSON *list = cJSON_AddArrayToObject(parameters, "anchors");
    const cJSON *tree = NULL, *item;
    char origin[CV_NOTE_NAME + 1];
    const bool named = read_origin(folder, origin);
    enum cv_status s = cv_config_load(cli, &tree, err);

    cJSON_ArrayForEach(item, cv_output_table_at(tree, "audit.anchors"))
    {
        const char *text = cJSON_GetStringValue(item);
        struct cv_anchor_config c;

        if (s == CV_OK && text != NULL) {
            s = cv_anchor_config_parse(text, &c, err);
        }
        if (s == CV_OK && text != NULL && c.kind != CV_ANCHOR_WITNESS) {
            s = add_one(list, &c, named ? origin : NULL, err);
        }
    }
    return s != CV_OK || list != NULL
               ? s
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

void cv_verify_anchors_cell(const cJSON *report, struct cv_buf *out)
{
    const cJSON *item;

    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(report, "anchors"))
    {
        cv_buf_add_str(out, out->len > 0 ? "; " : "");
        cv_output_table_cell(cv_output_table_at(item, "kind"), out);
        cv_buf_add_char(out, ' ');
        cv_output_table_cell(cv_output_table_at(item, "place"), out);
        cv_buf_add_str(out, ": ");
        cv_output_table_cell(cv_output_table_at(item, "state"), out);
        if (cv_output_table_at(item, "size") != NULL) {
            cv_buf_add_str(out, " at ");
            cv_output_table_cell(cv_output_table_at(item, "size"), out);
            cv_buf_add_str(out, " records");
        }
        if (cv_output_table_at(item, "message") != NULL) {
            cv_buf_add_str(out, ", ");
            cv_output_table_cell(cv_output_table_at(item, "message"), out);
        }
    }
}
