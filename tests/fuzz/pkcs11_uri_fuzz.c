/* RFC 7512 URIs. What is taken keeps what uri.h promises, and p11-kit reads it
 * the same way; a token whose fields are the input has a URI that is taken and
 * fits that token. */
#include "pkcs11/token.h"
#include "vault/base/limits.h"

#include <p11-kit/uri.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held)
{
    if (!held)
        abort();
}

static void taken(const struct cv_uri *uri, const char *text)
{
    P11KitUri *kit = p11_kit_uri_new();
    CK_OBJECT_CLASS class = CKO_DATA;
    const char *path = cv_uri_module_path(uri), *pin = cv_uri_pin_file(uri);

    require(strlen(text) <= CV_LIMIT_TOKEN_URI);
    require(path == NULL || path[0] == '/');
    require(pin == NULL || pin[0] == '/');
    require(cv_uri_id(uri).len <= CV_LIMIT_TOKEN_ID);
    require(!cv_uri_class(uri, &class) || class <= CKO_SECRET_KEY);
    /* The scheme in small letters, as p11-kit has it. */
    char *small = strdup(text);
    require(small != NULL && kit != NULL);
    memcpy(small, "pkcs11", 6);
    require(p11_kit_uri_parse(small, P11_KIT_URI_FOR_ANY, kit) ==
            P11_KIT_URI_OK);
    require(p11_kit_uri_get_pin_value(kit) == NULL);
    require(!p11_kit_uri_any_unrecognized(kit));
    free(small);
    p11_kit_uri_free(kit);
}

static void token_of(const uint8_t *data, size_t size)
{
    struct cv_token_info t;
    struct cv_uri *uri = NULL;
    struct cv_buf text;
    size_t len = size < sizeof(t.raw) ? size : sizeof(t.raw);
    char identity[CV_TOKEN_IDENTITY_LEN];

    memset(&t, 0, sizeof(t));
    memcpy(&t.raw, data, len);
    cv_module_text(t.label, t.raw.label, sizeof(t.raw.label));
    cv_module_text(t.manufacturer, t.raw.manufacturerID,
                   sizeof(t.raw.manufacturerID));
    cv_module_text(t.model, t.raw.model, sizeof(t.raw.model));
    cv_module_text(t.serial, t.raw.serialNumber, sizeof(t.raw.serialNumber));
    require(strlen(cv_token_identity(&t, identity)) < CV_TOKEN_IDENTITY_LEN);
    cv_buf_init(&text, NULL, CV_LIMIT_TOKEN_URI);
    cv_uri_add_key(&t, (struct cv_bytes){data, len % CV_LIMIT_TOKEN_ID}, NULL,
                   &text);
    require(cv_buf_status(&text, "a URI", NULL) == CV_OK);
    require(cv_uri_parse(cv_buf_text(&text), &uri, NULL) == CV_OK);
    require(cv_uri_match_token(uri, &t));
    require(cv_uri_id(uri).len == len % CV_LIMIT_TOKEN_ID);
    cv_uri_free(uri);
    cv_buf_wipe(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_uri *uri = NULL;
    char *text = malloc(size + 1);

    require(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (cv_uri_parse(text, &uri, NULL) == CV_OK)
        taken(uri, text);
    else
        require(uri == NULL);
    cv_uri_free(uri);
    free(text);
    token_of(data, size);
    return 0;
}
