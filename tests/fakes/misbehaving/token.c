#include "tests/fakes/misbehaving/module_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool initialized, pulled, logged_in, so_logged_in;
static struct fake_session sessions[FAKE_SESSIONS];

bool fake_present(void)
{
    return fake_configured() && !pulled && fake_switched("present", "1");
}

void fake_pull(void)
{
    pulled = true;
}

void fake_operation_end(struct fake_session *s)
{
    free(s->data);
    s->data = NULL;
    s->data_len = 0;
    s->signing = false;
    s->decrypting = s->digesting = false;
    s->context_login_wanted = false;
}

void fake_sessions_drop(void)
{
    for (size_t i = 0; i < FAKE_SESSIONS; i++) {
        fake_operation_end(&sessions[i]);
        memset(&sessions[i], 0, sizeof(sessions[i]));
    }
    logged_in = so_logged_in = false;
    fake_objects_drop_volatile();
}

void fake_login_drop(void)
{
    logged_in = so_logged_in = false;
}

bool fake_logged_in(void)
{
    return logged_in || fake_switched("login-required", "0");
}

struct fake_session *fake_session(CK_SESSION_HANDLE handle, CK_RV *rv)
{
    bool open =
        handle >= 1 && handle <= FAKE_SESSIONS && sessions[handle - 1].open;

    *rv = CKR_OK;
    if (!initialized) {
        *rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    } else if (!fake_present() && open) {
        /* The first to notice hears why, everyone after that that there is
         * no session: as OpenSC has it. */
        fake_sessions_drop();
        *rv = CKR_DEVICE_REMOVED;
    } else if (!open) {
        *rv = CKR_SESSION_HANDLE_INVALID;
    }
    return *rv == CKR_OK ? &sessions[handle - 1] : NULL;
}

CK_RV fake_initialize(void *args)
{
    (void)args;
    if (initialized)
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    initialized = true;
    return CKR_OK;
}

CK_RV fake_finalize(void)
{
    if (!initialized)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    fake_sessions_drop();
    initialized = false;
    return CKR_OK;
}

static void padded(unsigned char *out, size_t room, const char *text)
{
    size_t len = strlen(text);

    memset(out, ' ', room);
    memcpy(out, text, len < room ? len : room);
}

CK_RV fake_info(CK_INFO *info)
{
    if (!initialized)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    memset(info, 0, sizeof(*info));
    info->cryptokiVersion.major = 2;
    info->cryptokiVersion.minor = 40;
    padded(info->manufacturerID, sizeof(info->manufacturerID),
           "certvault tests");
    padded(info->libraryDescription, sizeof(info->libraryDescription),
           "misbehaving module");
    info->libraryVersion.major = 1;
    return CKR_OK;
}

CK_RV fake_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    CK_ULONG n = present && !fake_present() ? 0 : 1;

    if (!initialized)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (list != NULL && *count < n) {
        *count = n;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (list != NULL && n == 1)
        list[0] = FAKE_SLOT;
    *count = n;
    return CKR_OK;
}

CK_RV fake_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    if (!initialized)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (slot != FAKE_SLOT)
        return CKR_SLOT_ID_INVALID;
    memset(info, 0, sizeof(*info));
    padded(info->slotDescription, sizeof(info->slotDescription),
           "misbehaving slot");
    padded(info->manufacturerID, sizeof(info->manufacturerID),
           "certvault tests");
    info->flags =
        CKF_REMOVABLE_DEVICE | (fake_present() ? CKF_TOKEN_PRESENT : 0);
    return CKR_OK;
}

static unsigned tries_left(void)
{
    size_t len;
    unsigned char *text = fake_read("tries", &len);
    unsigned n = text != NULL ? (unsigned)strtoul((char *)text, NULL, 10)
                              : (unsigned)fake_number("tries");

    free(text);
    return n;
}

static void tries_set(unsigned n)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u\n", n);

    fake_write("tries", text, (size_t)len);
}

static CK_FLAGS pin_flags(void)
{
    unsigned left = tries_left();

    if (fake_switched("flags", "zero"))
        return 0;
    if (fake_switched("flags", "low"))
        return CKF_USER_PIN_COUNT_LOW;
    if (fake_switched("flags", "final"))
        return CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY;
    if (fake_switched("flags", "locked"))
        return CKF_USER_PIN_LOCKED;
    if (left == 0)
        return CKF_USER_PIN_LOCKED;
    return (left < fake_number("tries") ? CKF_USER_PIN_COUNT_LOW : 0) |
           (left == 1 ? CKF_USER_PIN_FINAL_TRY : 0);
}

CK_RV fake_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    if (!initialized)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (slot != FAKE_SLOT)
        return CKR_SLOT_ID_INVALID;
    if (!fake_present())
        return CKR_TOKEN_NOT_PRESENT;
    memset(info, 0, sizeof(*info));
    padded(info->label, sizeof(info->label), fake_switch("label"));
    padded(info->manufacturerID, sizeof(info->manufacturerID),
           fake_switch("manufacturer"));
    padded(info->model, sizeof(info->model), fake_switch("model"));
    padded(info->serialNumber, sizeof(info->serialNumber),
           fake_switch("serial"));
    info->flags =
        CKF_RNG | CKF_TOKEN_INITIALIZED |
        (fake_switched("login-required", "0") ? 0 : CKF_LOGIN_REQUIRED) |
        (access(fake_path("pin"), F_OK) == 0 ? CKF_USER_PIN_INITIALIZED : 0) |
        (fake_switched("pin-pad", "1") ? CKF_PROTECTED_AUTHENTICATION_PATH
                                       : 0) |
        pin_flags();
    info->ulMaxSessionCount = info->ulMaxRwSessionCount = FAKE_SESSIONS;
    info->ulSessionCount = info->ulRwSessionCount = CK_UNAVAILABLE_INFORMATION;
    info->ulMaxPinLen = 64;
    info->ulMinPinLen = 4;
    info->ulTotalPublicMemory = info->ulFreePublicMemory =
        CK_UNAVAILABLE_INFORMATION;
    info->ulTotalPrivateMemory = info->ulFreePrivateMemory =
        CK_UNAVAILABLE_INFORMATION;
    return CKR_OK;
}

CK_RV fake_open_session(CK_SLOT_ID slot, CK_FLAGS flags,
                        CK_SESSION_HANDLE *session)
{
    if (!initialized)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (slot != FAKE_SLOT)
        return CKR_SLOT_ID_INVALID;
    if (!(flags & CKF_SERIAL_SESSION))
        return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    if (!fake_present())
        return CKR_TOKEN_NOT_PRESENT;
    for (CK_SESSION_HANDLE i = 0; i < FAKE_SESSIONS; i++)
        if (!sessions[i].open) {
            memset(&sessions[i], 0, sizeof(sessions[i]));
            sessions[i].open = true;
            sessions[i].rw = (flags & CKF_RW_SESSION) != 0;
            *session = i + 1;
            return CKR_OK;
        }
    return CKR_SESSION_COUNT;
}

CK_RV fake_close_session(CK_SESSION_HANDLE session)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    if (s == NULL)
        return rv;
    fake_operation_end(s);
    memset(s, 0, sizeof(*s));
    for (size_t i = 0; i < FAKE_SESSIONS; i++)
        if (sessions[i].open)
            return CKR_OK;
    fake_sessions_drop();
    return CKR_OK;
}

CK_RV fake_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    if (s == NULL)
        return rv;
    memset(info, 0, sizeof(*info));
    info->slotID = FAKE_SLOT;
    info->flags = CKF_SERIAL_SESSION | (s->rw ? CKF_RW_SESSION : 0);
    if (so_logged_in)
        info->state = CKS_RW_SO_FUNCTIONS;
    else if (s->rw)
        info->state = logged_in ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION;
    else
        info->state = logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
    return CKR_OK;
}

static bool pin_is(const char *file, const void *pin, size_t len)
{
    size_t known_len = 0;
    unsigned char *known = fake_read(file, &known_len);
    bool same =
        known != NULL && known_len == len && memcmp(known, pin, len) == 0;

    free(known);
    return same;
}

static void log_login(CK_USER_TYPE user, const char *outcome, unsigned left)
{
    char line[96];

    snprintf(line, sizeof(line), "%ld %lu %s %u\n", (long)getpid(), user,
             outcome, left);
    fake_append("logins.log", line);
}

/* As a card does it: the try is taken off first and given back when the PIN
 * was right. */
static CK_RV try_pin(CK_USER_TYPE user, const void *pin, size_t len)
{
    int lock = fake_lock();
    unsigned left = tries_left();
    CK_RV rv = CKR_PIN_INCORRECT;

    if (left == 0) {
        log_login(user, "locked", 0);
        rv = CKR_PIN_LOCKED;
    } else {
        tries_set(--left);
        if (fake_switched("login", "die-counted")) {
            log_login(user, "died", left);
            fake_die(false);
        }
        if (pin_is("pin", pin, len) && !fake_switched("login", "wrong")) {
            left = (unsigned)fake_number("tries");
            tries_set(left);
            rv = CKR_OK;
        }
        log_login(user, rv == CKR_OK ? "right" : "wrong", left);
    }
    fake_unlock(lock);
    return rv;
}

CK_RV fake_login(CK_SESSION_HANDLE session, CK_USER_TYPE user,
                 const CK_UTF8CHAR *pin, CK_ULONG len)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);
    unsigned char *pad = NULL;
    size_t pad_len = 0;

    if (s == NULL)
        return rv;
    if (user == CKU_SO) {
        if (logged_in || so_logged_in)
            return CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
        if (pin == NULL || !pin_is("so-pin", pin, len))
            return CKR_PIN_INCORRECT;
        so_logged_in = true;
        return CKR_OK;
    }
    if (user == CKU_USER && logged_in)
        return CKR_USER_ALREADY_LOGGED_IN;
    if (user == CKU_CONTEXT_SPECIFIC && !s->signing)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (pin == NULL) {
        pad = fake_switched("pin-pad", "1") ? fake_read("pad", &pad_len) : NULL;
        if (pad == NULL)
            return CKR_ARGUMENTS_BAD;
    } else if (len < 4) {
        return CKR_PIN_LEN_RANGE;
    }
    rv = pad != NULL ? try_pin(user, pad, pad_len) : try_pin(user, pin, len);
    free(pad);
    if (rv == CKR_OK && user == CKU_CONTEXT_SPECIFIC)
        s->context_login_wanted = false;
    else if (rv == CKR_OK)
        logged_in = true;
    return rv;
}

CK_RV fake_logout(CK_SESSION_HANDLE session)
{
    CK_RV rv;

    if (fake_session(session, &rv) == NULL)
        return rv;
    if (!logged_in && !so_logged_in)
        return CKR_USER_NOT_LOGGED_IN;
    fake_login_drop();
    return CKR_OK;
}

CK_RV fake_init_token(CK_SLOT_ID slot, const CK_UTF8CHAR *pin, CK_ULONG len)
{
    if (slot != FAKE_SLOT)
        return CKR_SLOT_ID_INVALID;
    if (!fake_present())
        return CKR_TOKEN_NOT_PRESENT;
    if (access(fake_path("so-pin"), F_OK) == 0 && !pin_is("so-pin", pin, len))
        return CKR_PIN_INCORRECT;
    return fake_write("so-pin", pin, len) ? CKR_OK : CKR_DEVICE_ERROR;
}

CK_RV fake_init_pin(CK_SESSION_HANDLE session, const CK_UTF8CHAR *pin,
                    CK_ULONG len)
{
    CK_RV rv;

    if (fake_session(session, &rv) == NULL)
        return rv;
    if (!so_logged_in)
        return CKR_USER_NOT_LOGGED_IN;
    tries_set((unsigned)fake_number("tries"));
    return fake_write("pin", pin, len) ? CKR_OK : CKR_DEVICE_ERROR;
}

CK_RV fake_set_pin(CK_SESSION_HANDLE session, const CK_UTF8CHAR *old,
                   CK_ULONG old_len, const CK_UTF8CHAR *pin, CK_ULONG len)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    if (s == NULL)
        return rv;
    if (!s->rw)
        return CKR_SESSION_READ_ONLY;
    if (len < 4 || len > 64)
        return CKR_PIN_LEN_RANGE;
    if (so_logged_in) {
        if (!pin_is("so-pin", old, old_len))
            return CKR_PIN_INCORRECT;
        return fake_write("so-pin", pin, len) ? CKR_OK : CKR_DEVICE_ERROR;
    }
    rv = try_pin(CKU_USER, old, old_len);
    if (rv != CKR_OK)
        return rv;
    return fake_write("pin", pin, len) ? CKR_OK : CKR_DEVICE_ERROR;
}
