#include "cli/entry_view.h"

#include "vault/base/clock.h"

#include <string.h>

#define DAY_S 86400
#define SOON_DAYS 7
#define RED 31
#define YELLOW 33

static void key_cell(const cJSON *entry, struct cv_buf *out)
{
    const cJSON *bits = cv_output_table_at(entry, "key.bits");

    cv_output_table_cell(cv_output_table_at(entry, "key.type"), out);
    if (cJSON_IsNumber(bits)) {
        cv_buf_add_format(out, " %.0f", bits->valuedouble);
    }
}

/* What a person looks for; a cloud's CA is in the document (-o json). */
static void source_cell(const cJSON *entry, struct cv_buf *out)
{
    const cJSON *source = cv_output_table_at(entry, "source"), *item;
    const char *between = "";

    cJSON_ArrayForEach(item, source)
    {
        if (strcmp(item->string, "ca_pem") == 0) {
            continue;
        }
        cv_buf_add_format(out, "%s%s=", between, item->string);
        cv_output_table_cell(item, out);
        between = ", ";
    }
}

/* Seconds until the certificate ends; false where that is not known. */
static bool left_s(const cJSON *entry, int64_t *left)
{
    const char *end = cv_output_table_text(entry, "certificate.not_after");
    int64_t t = 0;

    if (end == NULL || cv_clock_parse(end, &t, NULL) != CV_OK) {
        return false;
    }
    *left = t - cv_clock_now_s();
    return true;
}

static void expires_cell(const cJSON *entry, struct cv_buf *out)
{
    int64_t left;

    if (!left_s(entry, &left)) {
        return;
    }
    if (left <= 0) {
        cv_buf_add_str(out, "expired");
    } else if (left < DAY_S) {
        cv_buf_add_format(out, "%lldh%02lldm", (long long)(left / 3600),
                          (long long)(left % 3600 / 60));
    } else {
        cv_buf_add_format(out, "%lldd", (long long)(left / DAY_S));
    }
}

static void until_cell(const cJSON *entry, struct cv_buf *out)
{
    const cJSON *until = cv_output_table_at(entry, "certificate.not_after");

    if (until == NULL) {
        return; /* a key that waits for its certificate */
    }
    cv_output_table_cell(until, out);
    cv_buf_add_str(out, " (");
    expires_cell(entry, out);
    cv_buf_add_str(out, ")");
}

static int expires_color(const cJSON *entry)
{
    int64_t left;

    if (!left_s(entry, &left) || left > (int64_t)SOON_DAYS * DAY_S) {
        return 0;
    }
    return left <= 0 ? RED : YELLOW;
}

static const cJSON *default_context(const cJSON *entry)
{
    const cJSON *contexts = cv_output_table_at(entry, "contexts");
    const cJSON *context;

    cJSON_ArrayForEach(context, contexts)
    {
        if (cJSON_IsTrue(cv_output_table_at(context, "default"))) {
            return context;
        }
    }
    return contexts ? contexts->child : NULL;
}

static void server_cell(const cJSON *entry, struct cv_buf *out)
{
    cv_output_table_cell(cv_output_table_at(default_context(entry), "server"),
                         out);
}

static void contexts_cell(const cJSON *entry, struct cv_buf *out)
{
    const cJSON *contexts = cv_output_table_at(entry, "contexts");
    const cJSON *context;

    cJSON_ArrayForEach(context, contexts)
    {
        if (context != contexts->child) {
            cv_buf_add_str(out, ", ");
        }
        cv_output_table_cell(cv_output_table_at(context, "name"), out);
        cv_buf_add_char(out, ' ');
        cv_output_table_cell(cv_output_table_at(context, "server"), out);
        cv_buf_add_str(out, " (verify: ");
        cv_output_table_cell(cv_output_table_at(context, "verify"), out);
        cv_buf_add_str(out,
                       context == default_context(entry) ? ", default)" : ")");
    }
}

static const struct cv_output_column list_columns[] = {
    {"NAME", "name", NULL, NULL},
    {"STATE", "state", NULL, NULL},
    {"KEY", NULL, key_cell, NULL},
    {"EXPIRES", NULL, expires_cell, expires_color},
    {"SERVER", NULL, server_cell, NULL},
    {"LABELS", "labels", NULL, NULL},
};

const struct cv_output_view cv_entry_view_list = {
    .kind = "EntryList",
    .name = "name",
    .columns = list_columns,
    .n_columns = sizeof(list_columns) / sizeof(list_columns[0]),
    .none = "no entries",
};

static const struct cv_output_column one_columns[] = {
    {"name", "name", NULL, NULL},
    {"state", "state", NULL, NULL},
    {"labels", "labels", NULL, NULL},
    {"source", NULL, source_cell, NULL},
    {"location", "location", NULL, NULL},
    {"token", "token_uri", NULL, NULL},
    {"provenance", "provenance", NULL, NULL},
    {"leaky", "leaky", NULL, NULL},
    {"exportable", "exportable", NULL, NULL},
    {"key", NULL, key_cell, NULL},
    {"SPKI SHA-256", "key.spki_sha256", NULL, NULL},
    {"subject", "certificate.subject", NULL, NULL},
    {"groups", "certificate.groups", NULL, NULL},
    {"issuer", "certificate.issuer", NULL, NULL},
    {"serial", "certificate.serial", NULL, NULL},
    {"valid from", "certificate.not_before", NULL, NULL},
    {"valid until", NULL, until_cell, expires_color},
    {"contexts", NULL, contexts_cell, NULL},
    {"created", "created", NULL, NULL},
    {"updated", "updated", NULL, NULL},
};

const struct cv_output_view cv_entry_view_one = {
    .kind = "Entry",
    .name = "name",
    .columns = one_columns,
    .n_columns = sizeof(one_columns) / sizeof(one_columns[0]),
};
