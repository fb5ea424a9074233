#include "pkcs11/rv.h"

#include <string.h>

/* Every CKR_ of the standard, once. */
#define R(name)                  \
    {                            \
        CKR_##name, "CKR_" #name \
    }
static const struct {
    CK_RV rv;
    const char *name;
} NAMES[] = {
    R(OK),
    R(CANCEL),
    R(HOST_MEMORY),
    R(SLOT_ID_INVALID),
    R(GENERAL_ERROR),
    R(FUNCTION_FAILED),
    R(ARGUMENTS_BAD),
    R(NO_EVENT),
    R(NEED_TO_CREATE_THREADS),
    R(CANT_LOCK),
    R(ATTRIBUTE_READ_ONLY),
    R(ATTRIBUTE_SENSITIVE),
    R(ATTRIBUTE_TYPE_INVALID),
    R(ATTRIBUTE_VALUE_INVALID),
    R(ACTION_PROHIBITED),
    R(DATA_INVALID),
    R(DATA_LEN_RANGE),
    R(DEVICE_ERROR),
    R(DEVICE_MEMORY),
    R(DEVICE_REMOVED),
    R(ENCRYPTED_DATA_INVALID),
    R(ENCRYPTED_DATA_LEN_RANGE),
    R(FUNCTION_CANCELED),
    R(FUNCTION_NOT_PARALLEL),
    R(FUNCTION_NOT_SUPPORTED),
    R(KEY_HANDLE_INVALID),
    R(KEY_SIZE_RANGE),
    R(KEY_TYPE_INCONSISTENT),
    R(KEY_NOT_NEEDED),
    R(KEY_CHANGED),
    R(KEY_NEEDED),
    R(KEY_INDIGESTIBLE),
    R(KEY_FUNCTION_NOT_PERMITTED),
    R(KEY_NOT_WRAPPABLE),
    R(KEY_UNEXTRACTABLE),
    R(MECHANISM_INVALID),
    R(MECHANISM_PARAM_INVALID),
    R(OBJECT_HANDLE_INVALID),
    R(OPERATION_ACTIVE),
    R(OPERATION_NOT_INITIALIZED),
    R(PIN_INCORRECT),
    R(PIN_INVALID),
    R(PIN_LEN_RANGE),
    R(PIN_EXPIRED),
    R(PIN_LOCKED),
    R(SESSION_CLOSED),
    R(SESSION_COUNT),
    R(SESSION_HANDLE_INVALID),
    R(SESSION_PARALLEL_NOT_SUPPORTED),
    R(SESSION_READ_ONLY),
    R(SESSION_EXISTS),
    R(SESSION_READ_ONLY_EXISTS),
    R(SESSION_READ_WRITE_SO_EXISTS),
    R(SIGNATURE_INVALID),
    R(SIGNATURE_LEN_RANGE),
    R(TEMPLATE_INCOMPLETE),
    R(TEMPLATE_INCONSISTENT),
    R(TOKEN_NOT_PRESENT),
    R(TOKEN_NOT_RECOGNIZED),
    R(TOKEN_WRITE_PROTECTED),
    R(UNWRAPPING_KEY_HANDLE_INVALID),
    R(UNWRAPPING_KEY_SIZE_RANGE),
    R(UNWRAPPING_KEY_TYPE_INCONSISTENT),
    R(USER_ALREADY_LOGGED_IN),
    R(USER_NOT_LOGGED_IN),
    R(USER_PIN_NOT_INITIALIZED),
    R(USER_TYPE_INVALID),
    R(USER_ANOTHER_ALREADY_LOGGED_IN),
    R(USER_TOO_MANY_TYPES),
    R(WRAPPED_KEY_INVALID),
    R(WRAPPED_KEY_LEN_RANGE),
    R(WRAPPING_KEY_HANDLE_INVALID),
    R(WRAPPING_KEY_SIZE_RANGE),
    R(WRAPPING_KEY_TYPE_INCONSISTENT),
    R(RANDOM_SEED_NOT_SUPPORTED),
    R(RANDOM_NO_RNG),
    R(DOMAIN_PARAMS_INVALID),
    R(CURVE_NOT_SUPPORTED),
    R(BUFFER_TOO_SMALL),
    R(SAVED_STATE_INVALID),
    R(INFORMATION_SENSITIVE),
    R(STATE_UNSAVEABLE),
    R(CRYPTOKI_NOT_INITIALIZED),
    R(CRYPTOKI_ALREADY_INITIALIZED),
    R(MUTEX_BAD),
    R(MUTEX_NOT_LOCKED),
    R(NEW_PIN_MODE),
    R(NEXT_OTP),
    R(EXCEEDED_MAX_ITERATIONS),
    R(FIPS_SELF_TEST_FAILED),
    R(LIBRARY_LOAD_FAILED),
    R(PIN_TOO_WEAK),
    R(PUBLIC_KEY_INVALID),
    R(FUNCTION_REJECTED),
};
#undef R

/* What an answer means: for the exit code, for the next step, for the user. */
static const struct {
    CK_RV rv;
    enum cv_status status;
    enum cv_rv_recover recover;
    const char *hint;
} MEANINGS[] = {
    {CKR_HOST_MEMORY, CV_INTERNAL, CV_RV_NONE, NULL},

    /* The session or what it knew is gone. */
    {CKR_GENERAL_ERROR, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_FUNCTION_FAILED, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_DEVICE_ERROR, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_SESSION_CLOSED, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_SESSION_HANDLE_INVALID, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_OBJECT_HANDLE_INVALID, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_KEY_HANDLE_INVALID, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_OPERATION_ACTIVE, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_OPERATION_NOT_INITIALIZED, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_SLOT_ID_INVALID, CV_UNAVAILABLE, CV_RV_RETRY, NULL},
    {CKR_DEVICE_REMOVED, CV_UNAVAILABLE, CV_RV_RETRY,
     "put the token back and try again"},
    {CKR_TOKEN_NOT_PRESENT, CV_UNAVAILABLE, CV_RV_RETRY,
     "put the token back and try again"},
    {CKR_TOKEN_NOT_RECOGNIZED, CV_UNAVAILABLE, CV_RV_RETRY,
     "see that the right card is in the reader"},
    {CKR_CRYPTOKI_NOT_INITIALIZED, CV_UNAVAILABLE, CV_RV_RELOAD, NULL},
    {CKR_MUTEX_BAD, CV_UNAVAILABLE, CV_RV_RESTART, NULL},
    {CKR_MUTEX_NOT_LOCKED, CV_UNAVAILABLE, CV_RV_RESTART, NULL},
    {CKR_CANT_LOCK, CV_UNAVAILABLE, CV_RV_NONE, NULL},
    {CKR_SESSION_COUNT, CV_BUSY, CV_RV_NONE,
     "other programs hold all of the token's sessions: try later"},
    {CKR_DEVICE_MEMORY, CV_UNAVAILABLE, CV_RV_NONE,
     "the token is full: remove what is not needed"},
    {CKR_TOKEN_WRITE_PROTECTED, CV_UNAVAILABLE, CV_RV_NONE,
     "the token takes no changes"},

    /* The PIN. */
    {CKR_USER_NOT_LOGGED_IN, CV_LOCKED, CV_RV_RELOGIN,
     "log in with `certvault token login`"},
    {CKR_PIN_INCORRECT, CV_AUTH, CV_RV_NONE,
     "find the right PIN, then `certvault token login`"},
    {CKR_PIN_INVALID, CV_INVALID, CV_RV_NONE,
     "the token does not take these characters in a PIN"},
    {CKR_PIN_LEN_RANGE, CV_INVALID, CV_RV_NONE,
     "the token does not take a PIN of this length"},
    {CKR_PIN_TOO_WEAK, CV_INVALID, CV_RV_NONE, "choose another PIN"},
    {CKR_PIN_EXPIRED, CV_LOCKED, CV_RV_GIVE_UP,
     "set another PIN with `certvault token change-pin`"},
    {CKR_PIN_LOCKED, CV_LOCKED, CV_RV_GIVE_UP,
     "unlock the PIN with the tool of the token's vendor (PUK, SO PIN)"},
    {CKR_USER_PIN_NOT_INITIALIZED, CV_LOCKED, CV_RV_GIVE_UP,
     "set a PIN with the tool of the token's vendor"},
    {CKR_USER_ANOTHER_ALREADY_LOGGED_IN, CV_UNAVAILABLE, CV_RV_RELOAD, NULL},
    {CKR_FUNCTION_CANCELED, CV_UNAVAILABLE, CV_RV_NONE,
     "the PIN pad was cancelled or ran out of time"},
    {CKR_CANCEL, CV_UNAVAILABLE, CV_RV_NONE, NULL},
    {CKR_FUNCTION_REJECTED, CV_DENIED, CV_RV_NONE,
     "it was refused at the token itself"},

    /* What the token does not give, and what it does not take. */
    {CKR_ATTRIBUTE_SENSITIVE, CV_DENIED, CV_RV_NONE, NULL},
    {CKR_INFORMATION_SENSITIVE, CV_DENIED, CV_RV_NONE, NULL},
    {CKR_KEY_UNEXTRACTABLE, CV_DENIED, CV_RV_NONE, NULL},
    {CKR_KEY_NOT_WRAPPABLE, CV_DENIED, CV_RV_NONE, NULL},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, CV_DENIED, CV_RV_NONE, NULL},
    {CKR_ACTION_PROHIBITED, CV_DENIED, CV_RV_NONE, NULL},
    {CKR_ATTRIBUTE_READ_ONLY, CV_DENIED, CV_RV_NONE, NULL},
    {CKR_SESSION_READ_ONLY, CV_DENIED, CV_RV_NONE, NULL},
    {CKR_ATTRIBUTE_TYPE_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_ATTRIBUTE_VALUE_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_TEMPLATE_INCOMPLETE, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_TEMPLATE_INCONSISTENT, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_MECHANISM_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_MECHANISM_PARAM_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_FUNCTION_NOT_SUPPORTED, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_KEY_SIZE_RANGE, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_KEY_TYPE_INCONSISTENT, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_DATA_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_DATA_LEN_RANGE, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_ENCRYPTED_DATA_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_ENCRYPTED_DATA_LEN_RANGE, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_WRAPPED_KEY_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_WRAPPED_KEY_LEN_RANGE, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_DOMAIN_PARAMS_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_CURVE_NOT_SUPPORTED, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_PUBLIC_KEY_INVALID, CV_INVALID, CV_RV_NONE, NULL},
    {CKR_ARGUMENTS_BAD, CV_INVALID, CV_RV_NONE, NULL},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

const char *cv_rv_name(CK_RV rv)
{
    for (size_t i = 0; i < COUNT(NAMES); i++) {
        if (NAMES[i].rv == rv) {
            return NAMES[i].name;
        }
    }
    return (rv & CKR_VENDOR_DEFINED) != 0 ? "CKR_VENDOR_DEFINED" : "CKR_?";
}

bool cv_rv_from_name(const char *name, CK_RV *rv)
{
    for (size_t i = 0; name != NULL && i < COUNT(NAMES); i++) {
        if (strcmp(NAMES[i].name, name) == 0) {
            *rv = NAMES[i].rv;
            return true;
        }
    }
    return false;
}

/* The row of `rv`; COUNT(MEANINGS) where there is none. */
static size_t meaning_of(CK_RV rv)
{
    size_t i = 0;

    while (i < COUNT(MEANINGS) && MEANINGS[i].rv != rv) {
        i++;
    }
    return i;
}

enum cv_status cv_rv_status(CK_RV rv)
{
    size_t i = meaning_of(rv);

    if (rv == CKR_OK) {
        return CV_OK;
    }
    return i < COUNT(MEANINGS) ? MEANINGS[i].status : CV_UNAVAILABLE;
}

enum cv_rv_recover cv_rv_recover(CK_RV rv)
{
    size_t i = meaning_of(rv);

    return i < COUNT(MEANINGS) ? MEANINGS[i].recover : CV_RV_NONE;
}

enum cv_rv_recover cv_rv_escalate(CK_RV rv, enum cv_rv_recover tried)
{
    enum cv_rv_recover first = cv_rv_recover(rv);

    if (first > tried || first == CV_RV_NONE || first == CV_RV_RELOGIN ||
        first == CV_RV_GIVE_UP) {
        return first;
    }
    if (rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT ||
        rv == CKR_TOKEN_NOT_RECOGNIZED) {
        return CV_RV_GIVE_UP;
    }
    return tried < CV_RV_RELOAD ? CV_RV_RELOAD : CV_RV_RESTART;
}

const char *cv_rv_recover_word(enum cv_rv_recover recover)
{
    switch (recover) {
    case CV_RV_RETRY:
        return "retry";
    case CV_RV_RELOGIN:
        return "relogin";
    case CV_RV_RELOAD:
        return "reload";
    case CV_RV_RESTART:
        return "restart";
    case CV_RV_GIVE_UP:
        return "give-up";
    case CV_RV_NONE:
        break;
    }
    return "none";
}

/* Calls that look at slots and sessions forbid nothing: one that says so is
 * broken, and nobody is to take it for a refusal by policy. */
static bool may_refuse(const char *call)
{
    static const char *const never[] = {
        "C_Initialize",   "C_GetSlotList",      "C_GetSlotInfo",
        "C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo",
        "C_OpenSession",  "C_GetSessionInfo",   "C_FindObjectsInit",
        "C_FindObjects",  "C_FindObjectsFinal"};

    for (size_t i = 0; i < COUNT(never); i++) {
        if (strcmp(call, never[i]) == 0) {
            return false;
        }
    }
    return true;
}

enum cv_status cv_rv_set(struct cv_err *err, CK_RV rv, const char *call,
                         const char *file, int line)
{
    enum cv_status status = cv_rv_status(rv);
    size_t i = meaning_of(rv);

    if (rv == CKR_OK) {
        return cv_err_set(err, CV_INTERNAL, CV_DOMAIN_NONE, 0, file, line,
                          "%s: a success was reported as a failure", call);
    }
    if (status == CV_DENIED && !may_refuse(call)) {
        status = CV_UNAVAILABLE;
    }
    status = cv_err_set(err, status, CV_DOMAIN_PKCS11, (long)rv, file, line,
                        "the token answered %s (0x%lx) to %s", cv_rv_name(rv),
                        rv, call);
    if (i < COUNT(MEANINGS) && MEANINGS[i].hint != NULL) {
        cv_err_hint(err, "%s", MEANINGS[i].hint);
    }
    return status;
}

CK_RV cv_rv_of(const struct cv_err *err)
{
    return err != NULL && err->domain == CV_DOMAIN_PKCS11 ? (CK_RV)err->native
                                                          : CKR_OK;
}
