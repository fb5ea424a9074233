#include "cli/sink_format.h"

#include "vault/base/encode.h"
#include "vault/base/json.h"
#include "vault/base/utf8.h"

#include <sodium.h>
#include <string.h>

#define FACILITY 13 /* log audit */

enum severity { ALERT = 1, WARNING = 4, NOTICE = 5, INFORMATIONAL = 6 };

/* RFC 5612's number for examples: this project has none of its own. */
#define SD_ID "certvault@32473"

#define HOST_MAX 255 /* RFC 5424, 6 */
#define MSGID_MAX 32
#define VALUE_MAX 1024

/* What the headers say of a leaf; texts are the tree's, NULL: not there. */
struct said {
    const char *time, *host, *action, *phase, *decision, *outcome, *user,
        *entry, *op;
    bool break_glass;
};

static const char *text_of(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static void look(const cJSON *leaf, struct said *out)
{
    const cJSON *details = cJSON_GetObjectItemCaseSensitive(leaf, "details");

    *out = (struct said){
        .time = text_of(leaf, "time"),
        .host =
            text_of(cJSON_GetObjectItemCaseSensitive(leaf, "broker"), "host"),
        .action = text_of(leaf, "action"),
        .phase = text_of(leaf, "phase"),
        .decision = text_of(leaf, "decision"),
        .outcome = text_of(leaf, "outcome"),
        .user =
            text_of(cJSON_GetObjectItemCaseSensitive(leaf, "actor"), "user"),
        .entry = text_of(leaf, "entry"),
        .op = text_of(leaf, "op"),
        .break_glass = cJSON_IsTrue(
            cJSON_GetObjectItemCaseSensitive(details, "break_glass")),
    };
}

static bool is(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

static int severity_of(const struct said *x, bool gap)
{
    if (x->break_glass) {
        return ALERT;
    }
    if (gap || is(x->decision, "deny") ||
        (x->outcome != NULL && !is(x->outcome, "ok"))) {
        return WARNING;
    }
    return is(x->phase, "event") ? NOTICE : INFORMATIONAL;
}

/* The tree of a leaf, NULL where it is none: the headers then say nothing. */
static cJSON *read_leaf(const struct cv_sink_format_record *r)
{
    cJSON *tree = NULL;

    if (r->gap || cv_json_parse(NULL, r->text, &tree, NULL) != CV_OK) {
        return NULL;
    }
    return tree;
}

/* A header field: PRINTUSASCII, or the nil value. */
static void add_word(struct cv_buf *out, const char *text, size_t max)
{
    size_t n = 0;

    for (; text != NULL && text[n] != '\0' && n < max; n++) {
        cv_buf_add_char(out, text[n] > ' ' && text[n] < 0x7f ? text[n] : '?');
    }
    if (n == 0) {
        cv_buf_add_char(out, '-');
    }
    cv_buf_add_char(out, ' ');
}

static void add_data(const struct cv_sink_format_record *r, bool cut,
                     struct cv_buf *out)
{
    const uint8_t zero = 0;
    crypto_hash_sha256_state state;
    uint8_t hash[crypto_hash_sha256_BYTES];

    cv_buf_add_format(out, "[" SD_ID " %s=\"%llu\"", r->gap ? "gap" : "seq",
                      (unsigned long long)r->seq);
    if (cut) {
        (void)crypto_hash_sha256_init(&state);
        (void)crypto_hash_sha256_update(&state, &zero, 1);
        (void)crypto_hash_sha256_update(&state, r->text.data, r->text.len);
        (void)crypto_hash_sha256_final(&state, hash);
        cv_buf_add_format(out, " truncated=\"true\" bytes=\"%zu\" hash=\"",
                          r->text.len);
        cv_encode_base64((struct cv_bytes){hash, sizeof(hash)}, out);
        cv_buf_add_char(out, '"');
    }
    cv_buf_add_str(out, "] ");
}

static void add_message(const struct cv_sink_format_record *r, bool cut,
                        size_t ceiling, struct cv_buf *out)
{
    size_t begin = out->len, len = r->text.len;
    cJSON *leaf = read_leaf(r);
    struct said x;

    look(leaf, &x);
    cv_buf_add_format(out, "<%d>1 ", FACILITY * 8 + severity_of(&x, r->gap));
    add_word(out, x.time, HOST_MAX);
    add_word(out, x.host, HOST_MAX);
    cv_buf_add_str(out, "certvault - ");
    add_word(out, r->gap ? "gap" : x.action, MSGID_MAX);
    add_data(r, cut, out);
    if (cut) {
        size_t head = out->len - begin;

        len = head >= ceiling ? 0 : len > ceiling - head ? ceiling - head : len;
    }
    cv_buf_add(out, r->text.data, len);
    cJSON_Delete(leaf);
}

void cv_sink_format_syslog(const struct cv_sink_format_record *r,
                           size_t ceiling, struct cv_buf *out)
{
    size_t begin = out->len;

    add_message(r, false, ceiling, out);
    if (ceiling != 0 && out->status == CV_OK && out->len - begin > ceiling) {
        out->len = begin;
        add_message(r, true, ceiling, out);
    }
}

/* ---- the journal ---- */

/* FIELD=VALUE; what is no printable ASCII is spelt as JSON spells it. */
static void add_field(struct cv_buf *out, const char *field, const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t left = text != NULL ? strlen(text) : 0, begin = out->len;

    if (text == NULL) {
        return;
    }
    cv_buf_add_format(out, "%s=", field);
    while (left > 0 && out->len - begin < VALUE_MAX) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, left, &point);

        if (n == 0) {
            n = 1;
            point = '?';
        }
        if (point >= ' ' && point < 0x7f) {
            cv_buf_add_char(out, (char)point);
        } else {
            cv_buf_add_format(out, "\\u%04x", (unsigned)point);
        }
        p += n;
        left -= n;
    }
    cv_buf_add_char(out, '\n');
}

void cv_sink_format_journal(const struct cv_sink_format_record *r,
                            struct cv_buf *out)
{
    cJSON *leaf = read_leaf(r);
    struct said x;

    look(leaf, &x);
    cv_buf_add_str(out, "MESSAGE=");
    cv_buf_add(out, r->text.data, r->text.len);
    cv_buf_add_format(out,
                      "\nPRIORITY=%d\nSYSLOG_FACILITY=%d\n"
                      "SYSLOG_IDENTIFIER=certvault\nCERTVAULT_%s=%llu\n",
                      severity_of(&x, r->gap), FACILITY, r->gap ? "GAP" : "SEQ",
                      (unsigned long long)r->seq);
    add_field(out, "CERTVAULT_TIME", x.time);
    add_field(out, "CERTVAULT_HOST", x.host);
    add_field(out, "CERTVAULT_ACTION", x.action);
    add_field(out, "CERTVAULT_PHASE", x.phase);
    add_field(out, "CERTVAULT_DECISION", x.decision);
    add_field(out, "CERTVAULT_OUTCOME", x.outcome);
    add_field(out, "CERTVAULT_USER", x.user);
    add_field(out, "CERTVAULT_ENTRY", x.entry);
    add_field(out, "CERTVAULT_OP", x.op);
    cJSON_Delete(leaf);
}

void cv_sink_format_line(const struct cv_sink_format_record *r,
                         struct cv_buf *out)
{
    cv_buf_add(out, r->text.data, r->text.len);
    cv_buf_add_char(out, '\n');
}
