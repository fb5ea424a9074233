#include "pkcs11/module.h"

#include "pkcs11/module_internal.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct cv_module {
    const struct cv_module_entry *entry;
    CK_FUNCTION_LIST *functions;
    CK_INFO info;
    uint64_t generation;
    int64_t reloaded_ms; /* boot clock; 0: never */
    bool started;
};

/* Every function of PKCS#11 2.01 up to C_GenerateRandom, and the parallel ones
 * left out: nobody calls those. A list with a hole is no list. */
static bool is_whole(const CK_FUNCTION_LIST *f)
{
#define HAS(name) (f->C_##name != NULL)
    return HAS(Initialize) && HAS(Finalize) && HAS(GetInfo) &&
           HAS(GetFunctionList) && HAS(GetSlotList) && HAS(GetSlotInfo) &&
           HAS(GetTokenInfo) && HAS(GetMechanismList) &&
           HAS(GetMechanismInfo) && HAS(InitToken) && HAS(InitPIN) &&
           HAS(SetPIN) && HAS(OpenSession) && HAS(CloseSession) &&
           HAS(CloseAllSessions) && HAS(GetSessionInfo) && HAS(Login) &&
           HAS(Logout) && HAS(CreateObject) && HAS(CopyObject) &&
           HAS(DestroyObject) && HAS(GetObjectSize) && HAS(GetAttributeValue) &&
           HAS(SetAttributeValue) && HAS(FindObjectsInit) && HAS(FindObjects) &&
           HAS(FindObjectsFinal) && HAS(EncryptInit) && HAS(Encrypt) &&
           HAS(DecryptInit) && HAS(Decrypt) && HAS(DigestInit) && HAS(Digest) &&
           HAS(DigestKey) && HAS(DigestFinal) && HAS(SignInit) && HAS(Sign) &&
           HAS(SignUpdate) && HAS(SignFinal) && HAS(VerifyInit) &&
           HAS(Verify) && HAS(GenerateKey) && HAS(GenerateKeyPair) &&
           HAS(WrapKey) && HAS(UnwrapKey) && HAS(DeriveKey) &&
           HAS(GenerateRandom);
#undef HAS
}

static enum cv_status not_a_module(const struct cv_module_entry *entry,
                                   const char *why, struct cv_err *err)
{
    char shown[160];

    cv_fail(
        err, CV_CONFIG, "%s is no PKCS#11 module: %s",
        cv_err_quote(shown, sizeof(shown), entry->path, strlen(entry->path)),
        why);
    cv_err_hint(err, "correct it in %s", entry->origin);
    return CV_CONFIG;
}

/* Maps the library and takes its table of functions. It is never unmapped:
 * modules leave threads and exit handlers behind. */
static enum cv_status open_library(const struct cv_module_entry *entry,
                                   CK_FUNCTION_LIST **out, struct cv_err *err)
{
    void *library, *symbol;
    CK_C_GetFunctionList get;
    CK_RV rv;

    library = dlopen(entry->real, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *why = dlerror();
        char shown[200];

        why = why == NULL ? "unknown" : why;
        return not_a_module(
            entry, cv_err_quote(shown, sizeof(shown), why, strlen(why)), err);
    }
    symbol = dlsym(library, "C_GetFunctionList");
    if (symbol == NULL) {
        return not_a_module(entry, "it has no C_GetFunctionList", err);
    }
    memcpy(&get, &symbol, sizeof(get));
    *out = NULL;
    rv = get(out);
    if (rv != CKR_OK || *out == NULL) {
        *out = NULL;
        return not_a_module(entry, "it hands out no functions", err);
    }
    if ((*out)->version.major != 2) {
        *out = NULL;
        return not_a_module(entry, "its version is not 2.x", err);
    }
    if (!is_whole(*out)) {
        *out = NULL;
        return not_a_module(entry, "functions are missing", err);
    }
    return CV_OK;
}

/* As p11-kit starts a managed module: with the operating system's locks, and
 * what its .module file has for it. One that cannot lock is told that there is
 * one thread only, which is so. */
static CK_RV initialize(const struct cv_module *m)
{
    CK_C_INITIALIZE_ARGS args;
    CK_RV rv;

    memset(&args, 0, sizeof(args));
    args.flags = CKF_OS_LOCKING_OK;
    args.pReserved = m->entry->reserved;
    rv = m->functions->C_Initialize(&args);
    if (rv == CKR_CANT_LOCK) {
        args.flags = 0;
        rv = m->functions->C_Initialize(&args);
    }
    return rv;
}

static enum cv_status start(struct cv_module *m, struct cv_err *err)
{
    CK_RV rv = initialize(m);
    enum cv_status status;

    if (rv != CKR_OK) {
        status = cv_rv_fail(err, rv, "C_Initialize");
        if (status == CV_INVALID) {
            status = CV_UNAVAILABLE;
            if (err != NULL) {
                err->status = status;
            }
        }
        cv_err_hint(err,
                    "see that what module %s needs is running and "
                    "configured",
                    m->entry->name);
        return status;
    }
    m->started = true;
    m->generation++;
    memset(&m->info, 0, sizeof(m->info));
    rv = m->functions->C_GetInfo(&m->info);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetInfo");
    }
    if (m->info.cryptokiVersion.major != 2 &&
        m->info.cryptokiVersion.major != 3) {
        return not_a_module(m->entry, "its version is neither 2.x nor 3.x",
                            err);
    }
    return CV_OK;
}

enum cv_status cv_module_load(const struct cv_module_list *list,
                              const struct cv_module_entry *entry,
                              struct cv_module **out, struct cv_err *err)
{
    struct cv_module *m;
    enum cv_status status;

    *out = NULL;
    status = cv_module_check_file(entry->path,
                                  cv_module_list_own_files(list, entry), err);
    if (status != CV_OK) {
        return status;
    }
    if (entry->real == NULL) {
        return not_a_module(entry, "it was not there a moment ago", err);
    }
    m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    m->entry = entry;
    status = open_library(entry, &m->functions, err);
    if (status == CV_OK) {
        status = start(m, err);
    }
    if (status != CV_OK) {
        cv_module_free(m);
        return status;
    }
    *out = m;
    return CV_OK;
}

void cv_module_free(struct cv_module *module)
{
    if (module == NULL) {
        return;
    }
    if (module->started && module->functions != NULL) {
        (void)module->functions->C_Finalize(NULL);
    }
    free(module);
}

enum cv_status cv_module_reload(struct cv_module *module, struct cv_err *err)
{
    int64_t now = cv_clock_boot_ms();
    int64_t again = module->reloaded_ms + CV_LIMIT_TOKEN_RELOAD_S * 1000;
    enum cv_status status;

    if (module->reloaded_ms != 0 && now < again) {
        cv_fail(err, CV_BUSY,
                "module %s was started anew less than %d s ago and still fails",
                module->entry->name, CV_LIMIT_TOKEN_RELOAD_S);
        if (err != NULL) {
            err->retry_after_s = (double)(again - now) / 1000;
        }
        return CV_BUSY;
    }
    module->reloaded_ms = now;
    if (module->started) {
        module->started = false;
        /* A module that does not end cleanly says so at the next start. */
        (void)module->functions->C_Finalize(NULL);
    }
    status = start(module, err);
    if (status != CV_OK) {
        if (err != NULL) {
            err->status = CV_UNAVAILABLE;
        }
        status = CV_UNAVAILABLE;
    }
    return status;
}

bool cv_module_is_started(const struct cv_module *module)
{
    return module->started;
}

uint64_t cv_module_generation(const struct cv_module *module)
{
    return module->generation;
}

CK_FUNCTION_LIST *cv_module_functions(const struct cv_module *module)
{
    return module->functions;
}

const struct cv_module_entry *cv_module_entry(const struct cv_module *module)
{
    return module->entry;
}

const CK_INFO *cv_module_info(const struct cv_module *module)
{
    return &module->info;
}

char *cv_module_text(char *out, const unsigned char *field, size_t len)
{
    size_t n = 0;

    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0')) {
        len--;
    }
    while (n < len) {
        uint32_t point = 0;
        size_t took = cv_utf8_next(field + n, len - n, &point);

        if (took == 0 || !cv_utf8_is_shown(point)) {
            took = took == 0 ? 1 : took;
            memset(out + n, '?', took);
        } else {
            memcpy(out + n, field + n, took);
        }
        n += took;
    }
    out[n] = '\0';
    return out;
}
