#include "pkcs11/mechanism.h"

#include <stdio.h>
#include <stdlib.h>

#define M(name)     \
    {               \
        name, #name \
    }

static const struct {
    CK_MECHANISM_TYPE type;
    const char *name;
} names[] = {
    M(CKM_RSA_PKCS_KEY_PAIR_GEN),
    M(CKM_RSA_PKCS),
    M(CKM_RSA_9796),
    M(CKM_RSA_X_509),
    M(CKM_MD5_RSA_PKCS),
    M(CKM_SHA1_RSA_PKCS),
    M(CKM_RSA_PKCS_OAEP),
    M(CKM_RSA_X9_31),
    M(CKM_RSA_PKCS_PSS),
    M(CKM_SHA1_RSA_PKCS_PSS),
    M(CKM_SHA224_RSA_PKCS),
    M(CKM_SHA256_RSA_PKCS),
    M(CKM_SHA384_RSA_PKCS),
    M(CKM_SHA512_RSA_PKCS),
    M(CKM_SHA224_RSA_PKCS_PSS),
    M(CKM_SHA256_RSA_PKCS_PSS),
    M(CKM_SHA384_RSA_PKCS_PSS),
    M(CKM_SHA512_RSA_PKCS_PSS),
    M(CKM_RSA_AES_KEY_WRAP),
    M(CKM_DSA_KEY_PAIR_GEN),
    M(CKM_DSA),
    M(CKM_DSA_SHA1),
    M(CKM_DH_PKCS_KEY_PAIR_GEN),
    M(CKM_DH_PKCS_DERIVE),
    M(CKM_EC_KEY_PAIR_GEN),
    M(CKM_ECDSA),
    M(CKM_ECDSA_SHA1),
    M(CKM_ECDSA_SHA224),
    M(CKM_ECDSA_SHA256),
    M(CKM_ECDSA_SHA384),
    M(CKM_ECDSA_SHA512),
    M(CKM_ECDH1_DERIVE),
    M(CKM_ECDH1_COFACTOR_DERIVE),
    M(CKM_ECMQV_DERIVE),
    M(CKM_EC_EDWARDS_KEY_PAIR_GEN),
    M(CKM_EDDSA),
    M(CKM_MD5),
    M(CKM_SHA_1),
    M(CKM_SHA224),
    M(CKM_SHA256),
    M(CKM_SHA384),
    M(CKM_SHA512),
    M(CKM_MD5_HMAC),
    M(CKM_SHA_1_HMAC),
    M(CKM_SHA224_HMAC),
    M(CKM_SHA256_HMAC),
    M(CKM_SHA384_HMAC),
    M(CKM_SHA512_HMAC),
    M(CKM_GENERIC_SECRET_KEY_GEN),
    M(CKM_DES_KEY_GEN),
    M(CKM_DES_ECB),
    M(CKM_DES_CBC),
    M(CKM_DES_CBC_PAD),
    M(CKM_DES2_KEY_GEN),
    M(CKM_DES3_KEY_GEN),
    M(CKM_DES3_ECB),
    M(CKM_DES3_CBC),
    M(CKM_DES3_CBC_PAD),
    M(CKM_AES_KEY_GEN),
    M(CKM_AES_ECB),
    M(CKM_AES_CBC),
    M(CKM_AES_CBC_PAD),
    M(CKM_AES_CTR),
    M(CKM_AES_GCM),
    M(CKM_AES_CMAC),
    M(CKM_AES_KEY_WRAP),
    M(CKM_AES_KEY_WRAP_PAD),
    {CV_MECHANISM_AES_KWP, "CKM_AES_KEY_WRAP_KWP"},
    M(CKM_AES_ECB_ENCRYPT_DATA),
    M(CKM_AES_CBC_ENCRYPT_DATA),
};

static const struct {
    CK_FLAGS flag;
    const char *word;
} words[] = {
    {CKF_HW, "hw"},
    {CKF_ENCRYPT, "encrypt"},
    {CKF_DECRYPT, "decrypt"},
    {CKF_DIGEST, "digest"},
    {CKF_SIGN, "sign"},
    {CKF_SIGN_RECOVER, "sign-recover"},
    {CKF_VERIFY, "verify"},
    {CKF_VERIFY_RECOVER, "verify-recover"},
    {CKF_GENERATE, "generate"},
    {CKF_GENERATE_KEY_PAIR, "generate-key-pair"},
    {CKF_WRAP, "wrap"},
    {CKF_UNWRAP, "unwrap"},
    {CKF_DERIVE, "derive"},
};

bool cv_mechanism_slot(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                       CK_SLOT_ID *slot)
{
    CK_SESSION_INFO info = {0};

    if (functions->C_GetSessionInfo(session, &info) != CKR_OK) {
        return false;
    }
    *slot = info.slotID;
    return true;
}

bool cv_mechanism_has(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                      CK_MECHANISM_TYPE type, CK_FLAGS flags,
                      CK_MECHANISM_INFO *info)
{
    CK_MECHANISM_INFO found = {0};
    CK_SLOT_ID slot;

    if (!cv_mechanism_slot(functions, session, &slot) ||
        functions->C_GetMechanismInfo(slot, type, &found) != CKR_OK ||
        (found.flags & flags) != flags) {
        return false;
    }
    if (info != NULL) {
        *info = found;
    }
    return true;
}

enum cv_status cv_mechanism_list(CK_FUNCTION_LIST *functions,
                                 CK_SESSION_HANDLE session,
                                 CK_MECHANISM_TYPE *out, size_t max, size_t *n,
                                 struct cv_err *err)
{
    CK_MECHANISM_TYPE *all;
    CK_ULONG count = 0;
    CK_SLOT_ID slot;
    size_t i;
    CK_RV rv;

    *n = 0;
    if (!cv_mechanism_slot(functions, session, &slot)) {
        return cv_fail(err, CV_UNAVAILABLE,
                       "the module does not tell a session's slot");
    }
    rv = functions->C_GetMechanismList(slot, NULL, &count);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetMechanismList");
    }
    if (count > CV_MECHANISM_MAX) {
        return cv_fail(err, CV_UNAVAILABLE,
                       "the module says that it has %lu mechanisms", count);
    }
    /* room for all that is allowed: what it says next may be more */
    all = calloc(CV_MECHANISM_MAX, sizeof(*all));
    if (all == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    count = CV_MECHANISM_MAX;
    rv = functions->C_GetMechanismList(slot, all, &count);
    for (i = 0; rv == CKR_OK && i < count && i < CV_MECHANISM_MAX && *n < max;
         i++) {
        out[(*n)++] = all[i];
    }
    free(all);
    return rv == CKR_OK ? CV_OK : cv_rv_fail(err, rv, "C_GetMechanismList");
}

const char *cv_mechanism_name(CK_MECHANISM_TYPE type,
                              char room[CV_MECHANISM_NAME_LEN])
{
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].type == type) {
            return names[i].name;
        }
    }
    (void)snprintf(room, CV_MECHANISM_NAME_LEN, "CKM_0x%08lX",
                   (unsigned long)type);
    return room;
}

cJSON *cv_mechanism_flags(CK_FLAGS flags)
{
    cJSON *list = cJSON_CreateArray();
    size_t i;

    for (i = 0; list != NULL && i < sizeof(words) / sizeof(words[0]); i++) {
        cJSON *word;

        if ((flags & words[i].flag) == 0) {
            continue;
        }
        word = cJSON_CreateString(words[i].word);
        if (word == NULL || !cJSON_AddItemToArray(list, word)) {
            cJSON_Delete(word);
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}
