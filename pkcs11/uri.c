/* Two readers must agree on a URI: the strict one here, which decides what may
 * be said at all, and p11-kit's, whose structures are then used. */
#include "pkcs11/uri.h"

#include "pkcs11/token.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <p11-kit/uri.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME "pkcs11:"
#define SCHEME_LEN (sizeof(SCHEME) - 1)
/* The longest value of all, decoded. */
#define VALUE_MAX 1024
#define COUNT(table) (sizeof(table) / sizeof(table)[0])

struct cv_uri {
    P11KitUri *kit;
    const char *pin_file; /* within what `kit` holds */
};

enum form { TEXT, BYTES, NUMBER, VERSION, CLASS, WORD, PATH, PIN_FILE, NEVER };

/* The attributes of RFC 7512 2.3; `max` is the size of the token's field. */
static const struct attribute {
    const char *name;
    bool query;
    enum form form;
    size_t max;
} ATTRIBUTES[] = {
    {"token", false, TEXT, 32},
    {"manufacturer", false, TEXT, 32},
    {"serial", false, TEXT, 16},
    {"model", false, TEXT, 16},
    {"library-manufacturer", false, TEXT, 32},
    {"library-description", false, TEXT, 32},
    {"library-version", false, VERSION, 7},
    {"slot-manufacturer", false, TEXT, 32},
    {"slot-description", false, TEXT, 64},
    {"slot-id", false, NUMBER, 19},
    {"object", false, TEXT, VALUE_MAX},
    {"type", false, CLASS, 16},
    {"id", false, BYTES, CV_LIMIT_TOKEN_ID},
    {"module-name", true, WORD, 64},
    {"module-path", true, PATH, VALUE_MAX},
    {"pin-source", true, PIN_FILE, VALUE_MAX},
    {"pin-value", true, NEVER, 0},
};

static const char *const CLASSES[] = {"cert", "data", "private", "public",
                                      "secret-key"};

/* A piece of the URI's text. */
struct piece {
    const char *text;
    size_t len;
};

static bool piece_is(struct piece p, const char *word)
{
    return strlen(word) == p.len && memcmp(p.text, word, p.len) == 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* pk11-pchar or pk11-qchar of RFC 7512, but for '%'. */
static bool is_plain(char c, bool query)
{
    if (is_alnum(c) || (c != '\0' && strchr("-._~:[]@!$'()*+,=", c) != NULL)) {
        return true;
    }
    return query ? c == '/' || c == '?' || c == '|' : c == '&';
}

static int hex_digit(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes percent-encoding. False: a character that must be encoded, or a '%'
 * without two hex digits. `out` has room for `p.len` bytes. */
static bool decode(struct piece p, bool query, uint8_t *out, size_t *out_len)
{
    size_t n = 0;

    for (size_t i = 0; i < p.len; i++) {
        if (p.text[i] != '%') {
            if (!is_plain(p.text[i], query)) {
                return false;
            }
            out[n++] = (uint8_t)p.text[i];
            continue;
        }
        if (p.len - i < 3 || hex_digit(p.text[i + 1]) < 0 ||
            hex_digit(p.text[i + 2]) < 0) {
            return false;
        }
        out[n++] =
            (uint8_t)(hex_digit(p.text[i + 1]) * 16 + hex_digit(p.text[i + 2]));
        i += 2;
    }
    *out_len = n;
    return true;
}

static bool all_digits(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!is_digit((char)data[i])) {
            return false;
        }
    }
    return len != 0;
}

/* A number without sign or leading zero, at most `max`. */
static bool number_fits(const uint8_t *data, size_t len, unsigned long max)
{
    unsigned long n = 0;

    if (!all_digits(data, len) || len > 19 || (len > 1 && data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        n = n * 10 + (unsigned long)(data[i] - '0');
    }
    return n <= max;
}

/* "3" or "3.1": each a byte; p11-kit keeps 255 for "any". */
static bool version_fits(const uint8_t *data, size_t len)
{
    const uint8_t *dot = memchr(data, '.', len);
    size_t major = dot == NULL ? len : (size_t)(dot - data);

    return number_fits(data, major, 254) &&
           (dot == NULL || number_fits(dot + 1, len - major - 1, 254));
}

static bool class_fits(struct piece value)
{
    for (size_t i = 0; i < COUNT(CLASSES); i++) {
        if (piece_is(value, CLASSES[i])) {
            return true;
        }
    }
    return false;
}

/* The name of a .module file without its end. */
static bool word_fits(struct piece value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.text[i];

        if (!is_alnum(c) && (i == 0 || strchr("_-.", c) == NULL)) {
            return false;
        }
    }
    return value.len != 0;
}

/* The path of a pin-source, within `text`; NULL where it is none. */
static const char *pin_path(const char *text)
{
    if (strncmp(text, "file:", 5) == 0) {
        text += 5;
        if (strncmp(text, "///", 3) == 0) {
            text += 2;
        }
    }
    return text[0] == '/' && text[1] != '/' && text[1] != '\0' ? text : NULL;
}

/* Why a decoded value will not do; NULL: it will. */
static const char *fault_of(const struct attribute *a, const uint8_t *data,
                            size_t len)
{
    const char *text = (const char *)data;

    if (len > a->max) {
        return "is too long";
    }
    if (a->form != BYTES &&
        !cv_name_is_printable((struct cv_bytes){data, len})) {
        return "has bytes that are no text";
    }
    switch (a->form) {
    case NUMBER:
        return number_fits(data, len, INT64_MAX) ? NULL : "is no number";
    case VERSION:
        return version_fits(data, len) ? NULL : "is no version";
    case CLASS:
        return class_fits((struct piece){text, len})
                   ? NULL
                   : "is none of cert, data, private, public, secret-key";
    case WORD:
        return word_fits((struct piece){text, len}) ? NULL
                                                    : "is no module's name";
    case PATH:
        return len > 1 && data[0] == '/' ? NULL : "is not an absolute path";
    case PIN_FILE:
        return pin_path(text) != NULL ? NULL : "is not a file:/absolute/path";
    case BYTES:
        return len != 0 ? NULL : "is empty";
    case TEXT:
    case NEVER:
        break;
    }
    return NULL;
}

static enum cv_status check_value(const struct attribute *a, struct piece value,
                                  struct cv_err *err)
{
    uint8_t data[3 * VALUE_MAX + 1];
    const char *fault;
    size_t len = 0;

    if (a->form == NEVER) {
        cv_fail(err, CV_USAGE, "a PIN must not be written into a URI (%s)",
                a->name);
        cv_err_hint(err,
                    "leave %s away: you are asked for the PIN, or name a "
                    "file with pin-source=file:/path",
                    a->name);
        return CV_USAGE;
    }
    if (value.len > 3 * a->max) {
        return cv_fail(err, CV_USAGE, "the URI's %s is too long", a->name);
    }
    if (!decode(value, a->query, data, &len)) {
        cv_fail(err, CV_USAGE, "the URI's %s is not percent-encoded", a->name);
        cv_err_hint(err, "write %%20 for a blank, %%25 for %%");
        return CV_USAGE;
    }
    data[len] = '\0';
    fault = fault_of(a, data, len);
    if (fault == NULL && len != value.len &&
        (a->form == NUMBER || a->form == VERSION || a->form == CLASS)) {
        fault = "is percent-encoded"; /* p11-kit does not decode these */
    }
    if (fault != NULL) {
        cv_fail(err, CV_USAGE, "the URI's %s %s", a->name, fault);
        if (a->form == PIN_FILE) {
            cv_err_hint(err, "a program that prints the PIN is never run");
        }
        return CV_USAGE;
    }
    return CV_OK;
}

/* One "name=value". `seen` has a flag for each attribute. */
static enum cv_status check_attribute(struct piece p, bool query, bool *seen,
                                      struct cv_err *err)
{
    const char *equals = memchr(p.text, '=', p.len);
    struct piece name = {p.text,
                         equals == NULL ? p.len : (size_t)(equals - p.text)};
    char shown[40];

    if (equals == NULL) {
        return cv_fail(err, CV_USAGE, "a part of the URI is no name=value");
    }
    for (size_t i = 0; i < COUNT(ATTRIBUTES); i++) {
        if (!piece_is(name, ATTRIBUTES[i].name) ||
            ATTRIBUTES[i].query != query) {
            continue;
        }
        if (seen[i]) {
            return cv_fail(err, CV_USAGE, "the URI has %s twice",
                           ATTRIBUTES[i].name);
        }
        seen[i] = true;
        return check_value(&ATTRIBUTES[i],
                           (struct piece){equals + 1, p.len - name.len - 1},
                           err);
    }
    cv_fail(err, CV_USAGE, "the URI has an attribute that is not known: %s",
            cv_err_quote(shown, sizeof(shown), name.text, name.len));
    cv_err_hint(err, "token, manufacturer, serial, model, id, object, type and "
                     "others are told apart by ';', module-name and "
                     "pin-source follow a '?' and are told apart by '&'");
    return CV_USAGE;
}

/* A run of attributes with `separator` between them; empty is fine. */
static enum cv_status check_run(struct piece run, char separator, bool *seen,
                                struct cv_err *err)
{
    enum cv_status status = CV_OK;
    bool more = run.len != 0;

    while (status == CV_OK && more) {
        const char *end = memchr(run.text, separator, run.len);
        struct piece one = {run.text,
                            end == NULL ? run.len : (size_t)(end - run.text)};

        status = check_attribute(one, separator == '&', seen, err);
        more = end != NULL;
        if (more) {
            run.text += one.len + 1;
            run.len -= one.len + 1;
        }
    }
    return status;
}

static enum cv_status check(const char *text, struct cv_err *err)
{
    bool seen[COUNT(ATTRIBUTES)] = {false};
    size_t len = strnlen(text, CV_LIMIT_TOKEN_URI + 1);
    const char *query;
    struct piece path, rest = {"", 0};
    enum cv_status status;

    if (!cv_uri_is(text)) {
        status = cv_fail(err, CV_USAGE, "a token's URI begins with pkcs11:");
        cv_err_hint(err, "certvault token list shows them");
        return status;
    }
    if (len > CV_LIMIT_TOKEN_URI) {
        return cv_fail(err, CV_USAGE, "the URI has more than %d characters",
                       CV_LIMIT_TOKEN_URI);
    }
    path = (struct piece){text + SCHEME_LEN, len - SCHEME_LEN};
    query = memchr(path.text, '?', path.len);
    if (query != NULL) {
        rest = (struct piece){query + 1,
                              path.len - (size_t)(query + 1 - path.text)};
        path.len = (size_t)(query - path.text);
        if (rest.len == 0) {
            return cv_fail(err, CV_USAGE, "nothing follows the URI's '?'");
        }
    }
    status = check_run(path, ';', seen, err);
    return status == CV_OK ? check_run(rest, '&', seen, err) : status;
}

bool cv_uri_is(const char *text)
{
    return text != NULL && strncasecmp(text, SCHEME, SCHEME_LEN) == 0;
}

enum cv_status cv_uri_parse(const char *text, struct cv_uri **out,
                            struct cv_err *err)
{
    struct cv_uri *uri;
    char *whole = NULL;
    enum cv_status status;
    int result;

    *out = NULL;
    status = check(text, err);
    if (status != CV_OK) {
        return status;
    }
    uri = calloc(1, sizeof(*uri));
    whole = strdup(text);
    if (uri != NULL) {
        uri->kit = p11_kit_uri_new();
    }
    if (uri == NULL || whole == NULL || uri->kit == NULL) {
        status = cv_fail(err, CV_INTERNAL, "memory is gone");
        goto out;
    }
    memcpy(whole, SCHEME, SCHEME_LEN);
    result = p11_kit_uri_parse(whole, P11_KIT_URI_FOR_ANY, uri->kit);
    if (result != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(uri->kit)) {
        status = cv_fail(err, CV_USAGE, "p11-kit does not read this URI: %s",
                         p11_kit_uri_message(result));
        goto out;
    }
    if (p11_kit_uri_get_pin_source(uri->kit) != NULL) {
        uri->pin_file = pin_path(p11_kit_uri_get_pin_source(uri->kit));
    }
    *out = uri;
    uri = NULL;
out:
    free(whole);
    cv_uri_free(uri);
    return status;
}

void cv_uri_free(struct cv_uri *uri)
{
    if (uri != NULL) {
        p11_kit_uri_free(uri->kit);
        free(uri);
    }
}

/* Bytes of a blank-padded field that say something; some modules pad with
 * NUL. */
static size_t field_len(const unsigned char *field, size_t size)
{
    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0')) {
        size--;
    }
    return size;
}

/* p11-kit leaves a field that the URI does not name at NULs. */
static bool field_fits(const unsigned char *wanted, const unsigned char *field,
                       size_t size)
{
    size_t len = field_len(field, size);

    if (wanted[0] == '\0') {
        return true;
    }
    return field_len(wanted, size) == len && memcmp(wanted, field, len) == 0;
}

bool cv_uri_match_token(const struct cv_uri *uri,
                        const struct cv_token_info *token)
{
    const CK_TOKEN_INFO *wanted = p11_kit_uri_get_token_info(uri->kit);
    const CK_TOKEN_INFO *raw = &token->raw;

    return field_fits(wanted->label, raw->label, sizeof(raw->label)) &&
           field_fits(wanted->manufacturerID, raw->manufacturerID,
                      sizeof(raw->manufacturerID)) &&
           field_fits(wanted->model, raw->model, sizeof(raw->model)) &&
           field_fits(wanted->serialNumber, raw->serialNumber,
                      sizeof(raw->serialNumber));
}

bool cv_uri_match_slot(const struct cv_uri *uri, CK_SLOT_ID id,
                       const CK_SLOT_INFO *info)
{
    const CK_SLOT_INFO *wanted = p11_kit_uri_get_slot_info(uri->kit);
    CK_SLOT_ID wanted_id = p11_kit_uri_get_slot_id(uri->kit);

    return (wanted_id == (CK_SLOT_ID)-1 || wanted_id == id) &&
           field_fits(wanted->slotDescription, info->slotDescription,
                      sizeof(info->slotDescription)) &&
           field_fits(wanted->manufacturerID, info->manufacturerID,
                      sizeof(info->manufacturerID));
}

bool cv_uri_match_library(const struct cv_uri *uri, const CK_INFO *info)
{
    const CK_INFO *wanted = p11_kit_uri_get_module_info(uri->kit);
    CK_VERSION version = wanted->libraryVersion;
    bool any = version.major == 0xff && version.minor == 0xff;

    return field_fits(wanted->libraryDescription, info->libraryDescription,
                      sizeof(info->libraryDescription)) &&
           field_fits(wanted->manufacturerID, info->manufacturerID,
                      sizeof(info->manufacturerID)) &&
           (any || (version.major == info->libraryVersion.major &&
                    version.minor == info->libraryVersion.minor));
}

bool cv_uri_names_token(const struct cv_uri *uri)
{
    const CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(uri->kit);
    const CK_SLOT_INFO *slot = p11_kit_uri_get_slot_info(uri->kit);

    return token->label[0] != '\0' || token->manufacturerID[0] != '\0' ||
           token->model[0] != '\0' || token->serialNumber[0] != '\0' ||
           slot->slotDescription[0] != '\0' ||
           slot->manufacturerID[0] != '\0' ||
           p11_kit_uri_get_slot_id(uri->kit) != (CK_SLOT_ID)-1;
}

const char *cv_uri_module_name(const struct cv_uri *uri)
{
    return p11_kit_uri_get_module_name(uri->kit);
}

const char *cv_uri_module_path(const struct cv_uri *uri)
{
    return p11_kit_uri_get_module_path(uri->kit);
}

const char *cv_uri_pin_file(const struct cv_uri *uri)
{
    return uri->pin_file;
}

static struct cv_bytes attribute(const struct cv_uri *uri,
                                 CK_ATTRIBUTE_TYPE type)
{
    const CK_ATTRIBUTE *a = p11_kit_uri_get_attribute(uri->kit, type);

    if (a == NULL) {
        return (struct cv_bytes){NULL, 0};
    }
    return (struct cv_bytes){a->pValue, a->ulValueLen};
}

struct cv_bytes cv_uri_id(const struct cv_uri *uri)
{
    return attribute(uri, CKA_ID);
}

struct cv_bytes cv_uri_label(const struct cv_uri *uri)
{
    return attribute(uri, CKA_LABEL);
}

bool cv_uri_class(const struct cv_uri *uri, CK_OBJECT_CLASS *out)
{
    struct cv_bytes class = attribute(uri, CKA_CLASS);

    if (class.data == NULL || class.len != sizeof(*out)) {
        return false;
    }
    memcpy(out, class.data, sizeof(*out));
    return true;
}

/* Unreserved characters stand for themselves, and nothing else. */
static void add_encoded(struct cv_bytes value, bool all, struct cv_buf *out)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = (char)value.data[i];

        if (!all && c != '\0' && (is_alnum(c) || strchr("-._~", c) != NULL)) {
            cv_buf_add_char(out, c);
        } else {
            cv_buf_add_format(out, "%%%02X", value.data[i]);
        }
    }
}

static void add_separator(struct cv_buf *out)
{
    const char *text = cv_buf_text(out);

    if (out->len != 0 && text[out->len - 1] != ':') {
        cv_buf_add_char(out, ';');
    }
}

/* A field that could not be read back from a URI (control characters, bytes
 * that are no UTF-8) is left out: the others name the token. */
static void add_field(const char *name, const unsigned char *field, size_t size,
                      struct cv_buf *out)
{
    struct cv_bytes value = {field, field_len(field, size)};

    if (value.len != 0 && cv_name_is_printable(value)) {
        add_separator(out);
        cv_buf_add_format(out, "%s=", name);
        add_encoded(value, false, out);
    }
}

void cv_uri_add_token(const struct cv_token_info *token, struct cv_buf *out)
{
    const CK_TOKEN_INFO *raw = &token->raw;

    cv_buf_add_str(out, SCHEME);
    add_field("model", raw->model, sizeof(raw->model), out);
    add_field("manufacturer", raw->manufacturerID, sizeof(raw->manufacturerID),
              out);
    add_field("serial", raw->serialNumber, sizeof(raw->serialNumber), out);
    add_field("token", raw->label, sizeof(raw->label), out);
}

void cv_uri_add_key(const struct cv_token_info *token, struct cv_bytes id,
                    const char *label, struct cv_buf *out)
{
    cv_uri_add_token(token, out);
    if (id.len != 0) {
        add_separator(out);
        cv_buf_add_str(out, "id=");
        add_encoded(id, true, out);
    }
    if (label != NULL) {
        add_separator(out);
        cv_buf_add_str(out, "object=");
        add_encoded((struct cv_bytes){(const uint8_t *)label, strlen(label)},
                    false, out);
    }
    add_separator(out);
    cv_buf_add_str(out, "type=private");
}
