/* The function list. Every function counts, fires its faults and calls its
 * part; functions that the module has not are told so by name too. */
#include "tests/fakes/misbehaving/module_internal.h"

#include <stdlib.h>
#include <string.h>

#define CALL(name, expression)   \
    CK_RV rv = fake_enter(name); \
    return rv == CKR_OK ? fake_leave(expression) : rv

/* The parameters of PKCS#11 v2.40, in its own order. A function's name here
 * is the standard's with a small c: nothing but C_GetFunctionList is
 * exported. */

static CK_RV c_Initialize(void *init_args)
{
    CALL("C_Initialize", fake_initialize(init_args));
}

static CK_RV c_Finalize(void *reserved)
{
    (void)reserved;
    CALL("C_Finalize", fake_finalize());
}

static CK_RV c_GetInfo(CK_INFO *info)
{
    CALL("C_GetInfo", fake_info(info));
}

static CK_RV c_GetSlotList(unsigned char token_present, CK_SLOT_ID *slot_list,
                           unsigned long *count)
{
    CALL("C_GetSlotList", fake_slot_list(token_present, slot_list, count));
}

static CK_RV c_GetSlotInfo(CK_SLOT_ID slot_id, CK_SLOT_INFO *info)
{
    CALL("C_GetSlotInfo", fake_slot_info(slot_id, info));
}

static CK_RV c_GetTokenInfo(CK_SLOT_ID slot_id, CK_TOKEN_INFO *info)
{
    CALL("C_GetTokenInfo", fake_token_info(slot_id, info));
}

static CK_RV c_GetMechanismList(CK_SLOT_ID slot_id,
                                CK_MECHANISM_TYPE *mechanism_list,
                                unsigned long *count)
{
    (void)slot_id;
    CALL("C_GetMechanismList", fake_mechanism_list(mechanism_list, count));
}

static CK_RV c_GetMechanismInfo(CK_SLOT_ID slot_id, CK_MECHANISM_TYPE type,
                                CK_MECHANISM_INFO *info)
{
    (void)slot_id;
    CALL("C_GetMechanismInfo", fake_mechanism_info(type, info));
}

static CK_RV c_InitToken(CK_SLOT_ID slot_id, unsigned char *pin,
                         unsigned long pin_len, unsigned char *label)
{
    (void)label;
    CALL("C_InitToken", fake_init_token(slot_id, pin, pin_len));
}

static CK_RV c_InitPIN(CK_SESSION_HANDLE session, unsigned char *pin,
                       unsigned long pin_len)
{
    CALL("C_InitPIN", fake_init_pin(session, pin, pin_len));
}

static CK_RV c_SetPIN(CK_SESSION_HANDLE session, unsigned char *old_pin,
                      unsigned long old_len, unsigned char *new_pin,
                      unsigned long new_len)
{
    CALL("C_SetPIN", fake_set_pin(session, old_pin, old_len, new_pin, new_len));
}

static CK_RV c_OpenSession(CK_SLOT_ID slot_id, CK_FLAGS flags,
                           void *application, CK_NOTIFY notify,
                           CK_SESSION_HANDLE *session)
{
    (void)application;
    (void)notify;
    CALL("C_OpenSession", fake_open_session(slot_id, flags, session));
}

static CK_RV c_CloseSession(CK_SESSION_HANDLE session)
{
    CALL("C_CloseSession", fake_close_session(session));
}

static CK_RV c_CloseAllSessions(CK_SLOT_ID slot_id)
{
    (void)slot_id;
    CALL("C_CloseAllSessions", (fake_sessions_drop(), CKR_OK));
}

static CK_RV c_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    CALL("C_GetSessionInfo", fake_session_info(session, info));
}

static CK_RV c_GetOperationState(CK_SESSION_HANDLE session,
                                 unsigned char *operation_state,
                                 unsigned long *operation_state_len)
{
    (void)session;
    (void)operation_state;
    (void)operation_state_len;
    CALL("C_GetOperationState", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_SetOperationState(CK_SESSION_HANDLE session,
                                 unsigned char *operation_state,
                                 unsigned long operation_state_len,
                                 CK_OBJECT_HANDLE encryption_key,
                                 CK_OBJECT_HANDLE authentiation_key)
{
    (void)session;
    (void)operation_state;
    (void)operation_state_len;
    (void)encryption_key;
    (void)authentiation_key;
    CALL("C_SetOperationState", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user_type,
                     unsigned char *pin, unsigned long pin_len)
{
    CALL("C_Login", fake_login(session, user_type, pin, pin_len));
}

static CK_RV c_Logout(CK_SESSION_HANDLE session)
{
    CALL("C_Logout", fake_logout(session));
}

static CK_RV c_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                            unsigned long count, CK_OBJECT_HANDLE *object)
{
    CALL("C_CreateObject", fake_create(session, templ, count, object));
}

static CK_RV c_CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                          CK_ATTRIBUTE *templ, unsigned long count,
                          CK_OBJECT_HANDLE *new_object)
{
    CALL("C_CopyObject", fake_copy(session, object, templ, count, new_object));
}

static CK_RV c_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CALL("C_DestroyObject", fake_destroy(session, object));
}

static CK_RV c_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                             unsigned long *size)
{
    (void)session;
    (void)object;
    (void)size;
    CALL("C_GetObjectSize", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_GetAttributeValue(CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
                                 unsigned long count)
{
    CALL("C_GetAttributeValue", fake_get_values(session, object, templ, count));
}

static CK_RV c_SetAttributeValue(CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
                                 unsigned long count)
{
    CALL("C_SetAttributeValue", fake_set_values(session, object, templ, count));
}

static CK_RV c_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                               unsigned long count)
{
    CALL("C_FindObjectsInit", fake_find_init(session, templ, count));
}

static CK_RV c_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *object,
                           unsigned long max_object_count,
                           unsigned long *object_count)
{
    CALL("C_FindObjects",
         fake_find(session, object, max_object_count, object_count));
}

static CK_RV c_FindObjectsFinal(CK_SESSION_HANDLE session)
{
    CALL("C_FindObjectsFinal", fake_find_final(session));
}

static CK_RV c_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                           CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    CALL("C_EncryptInit", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_Encrypt(CK_SESSION_HANDLE session, unsigned char *data,
                       unsigned long data_len, unsigned char *encrypted_data,
                       unsigned long *encrypted_data_len)
{
    (void)session;
    (void)data;
    (void)data_len;
    (void)encrypted_data;
    (void)encrypted_data_len;
    CALL("C_Encrypt", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_EncryptUpdate(CK_SESSION_HANDLE session, unsigned char *part,
                             unsigned long part_len,
                             unsigned char *encrypted_part,
                             unsigned long *encrypted_part_len)
{
    (void)session;
    (void)part;
    (void)part_len;
    (void)encrypted_part;
    (void)encrypted_part_len;
    CALL("C_EncryptUpdate", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_EncryptFinal(CK_SESSION_HANDLE session,
                            unsigned char *last_encrypted_part,
                            unsigned long *last_encrypted_part_len)
{
    (void)session;
    (void)last_encrypted_part;
    (void)last_encrypted_part_len;
    CALL("C_EncryptFinal", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                           CK_OBJECT_HANDLE key)
{
    CALL("C_DecryptInit", fake_decrypt_init(session, mechanism, key));
}

static CK_RV c_Decrypt(CK_SESSION_HANDLE session, unsigned char *encrypted_data,
                       unsigned long encrypted_data_len, unsigned char *data,
                       unsigned long *data_len)
{
    CALL("C_Decrypt", fake_decrypt(session, encrypted_data, encrypted_data_len,
                                   data, data_len));
}

static CK_RV c_DecryptUpdate(CK_SESSION_HANDLE session,
                             unsigned char *encrypted_part,
                             unsigned long encrypted_part_len,
                             unsigned char *part, unsigned long *part_len)
{
    (void)session;
    (void)encrypted_part;
    (void)encrypted_part_len;
    (void)part;
    (void)part_len;
    CALL("C_DecryptUpdate", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_DecryptFinal(CK_SESSION_HANDLE session, unsigned char *last_part,
                            unsigned long *last_part_len)
{
    (void)session;
    (void)last_part;
    (void)last_part_len;
    CALL("C_DecryptFinal", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism)
{
    CALL("C_DigestInit", fake_digest_init(session, mechanism));
}

static CK_RV c_Digest(CK_SESSION_HANDLE session, unsigned char *data,
                      unsigned long data_len, unsigned char *digest,
                      unsigned long *digest_len)
{
    (void)session;
    (void)data;
    (void)data_len;
    (void)digest;
    (void)digest_len;
    CALL("C_Digest", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_DigestUpdate(CK_SESSION_HANDLE session, unsigned char *part,
                            unsigned long part_len)
{
    (void)session;
    (void)part;
    (void)part_len;
    CALL("C_DigestUpdate", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_DigestKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CALL("C_DigestKey", fake_digest_key(session, key));
}

static CK_RV c_DigestFinal(CK_SESSION_HANDLE session, unsigned char *digest,
                           unsigned long *digest_len)
{
    CALL("C_DigestFinal", fake_digest_final(session, digest, digest_len));
}

static CK_RV c_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                        CK_OBJECT_HANDLE key)
{
    CALL("C_SignInit", fake_sign_init(session, mechanism, key));
}

static CK_RV c_Sign(CK_SESSION_HANDLE session, unsigned char *data,
                    unsigned long data_len, unsigned char *signature,
                    unsigned long *signature_len)
{
    CALL("C_Sign",
         fake_sign(session, data, data_len, signature, signature_len));
}

static CK_RV c_SignUpdate(CK_SESSION_HANDLE session, unsigned char *part,
                          unsigned long part_len)
{
    CALL("C_SignUpdate", fake_sign_update(session, part, part_len));
}

static CK_RV c_SignFinal(CK_SESSION_HANDLE session, unsigned char *signature,
                         unsigned long *signature_len)
{
    CALL("C_SignFinal", fake_sign(session, NULL, 0, signature, signature_len));
}

static CK_RV c_SignRecoverInit(CK_SESSION_HANDLE session,
                               CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    CALL("C_SignRecoverInit", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_SignRecover(CK_SESSION_HANDLE session, unsigned char *data,
                           unsigned long data_len, unsigned char *signature,
                           unsigned long *signature_len)
{
    (void)session;
    (void)data;
    (void)data_len;
    (void)signature;
    (void)signature_len;
    CALL("C_SignRecover", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                          CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    CALL("C_VerifyInit", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_Verify(CK_SESSION_HANDLE session, unsigned char *data,
                      unsigned long data_len, unsigned char *signature,
                      unsigned long signature_len)
{
    (void)session;
    (void)data;
    (void)data_len;
    (void)signature;
    (void)signature_len;
    CALL("C_Verify", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_VerifyUpdate(CK_SESSION_HANDLE session, unsigned char *part,
                            unsigned long part_len)
{
    (void)session;
    (void)part;
    (void)part_len;
    CALL("C_VerifyUpdate", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_VerifyFinal(CK_SESSION_HANDLE session, unsigned char *signature,
                           unsigned long signature_len)
{
    (void)session;
    (void)signature;
    (void)signature_len;
    CALL("C_VerifyFinal", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_VerifyRecoverInit(CK_SESSION_HANDLE session,
                                 CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    CALL("C_VerifyRecoverInit", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_VerifyRecover(CK_SESSION_HANDLE session,
                             unsigned char *signature,
                             unsigned long signature_len, unsigned char *data,
                             unsigned long *data_len)
{
    (void)session;
    (void)signature;
    (void)signature_len;
    (void)data;
    (void)data_len;
    CALL("C_VerifyRecover", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_DigestEncryptUpdate(CK_SESSION_HANDLE session,
                                   unsigned char *part, unsigned long part_len,
                                   unsigned char *encrypted_part,
                                   unsigned long *encrypted_part_len)
{
    (void)session;
    (void)part;
    (void)part_len;
    (void)encrypted_part;
    (void)encrypted_part_len;
    CALL("C_DigestEncryptUpdate", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_DecryptDigestUpdate(CK_SESSION_HANDLE session,
                                   unsigned char *encrypted_part,
                                   unsigned long encrypted_part_len,
                                   unsigned char *part, unsigned long *part_len)
{
    (void)session;
    (void)encrypted_part;
    (void)encrypted_part_len;
    (void)part;
    (void)part_len;
    CALL("C_DecryptDigestUpdate", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_SignEncryptUpdate(CK_SESSION_HANDLE session, unsigned char *part,
                                 unsigned long part_len,
                                 unsigned char *encrypted_part,
                                 unsigned long *encrypted_part_len)
{
    (void)session;
    (void)part;
    (void)part_len;
    (void)encrypted_part;
    (void)encrypted_part_len;
    CALL("C_SignEncryptUpdate", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_DecryptVerifyUpdate(CK_SESSION_HANDLE session,
                                   unsigned char *encrypted_part,
                                   unsigned long encrypted_part_len,
                                   unsigned char *part, unsigned long *part_len)
{
    (void)session;
    (void)encrypted_part;
    (void)encrypted_part_len;
    (void)part;
    (void)part_len;
    CALL("C_DecryptVerifyUpdate", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                           CK_ATTRIBUTE *templ, unsigned long count,
                           CK_OBJECT_HANDLE *key)
{
    CALL("C_GenerateKey",
         fake_generate_key(session, mechanism, templ, count, key));
}

static CK_RV c_GenerateKeyPair(CK_SESSION_HANDLE session,
                               CK_MECHANISM *mechanism,
                               CK_ATTRIBUTE *public_key_template,
                               unsigned long public_key_attribute_count,
                               CK_ATTRIBUTE *private_key_template,
                               unsigned long private_key_attribute_count,
                               CK_OBJECT_HANDLE *public_key,
                               CK_OBJECT_HANDLE *private_key)
{
    CALL("C_GenerateKeyPair",
         fake_generate_pair(session, mechanism, public_key_template,
                            public_key_attribute_count, private_key_template,
                            private_key_attribute_count, public_key,
                            private_key));
}

static CK_RV c_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                       CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key,
                       unsigned char *wrapped_key,
                       unsigned long *wrapped_key_len)
{
    CALL("C_WrapKey", fake_wrap(session, mechanism, wrapping_key, key,
                                wrapped_key, wrapped_key_len));
}

static CK_RV c_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                         CK_OBJECT_HANDLE unwrapping_key,
                         unsigned char *wrapped_key,
                         unsigned long wrapped_key_len, CK_ATTRIBUTE *templ,
                         unsigned long attribute_count, CK_OBJECT_HANDLE *key)
{
    CALL("C_UnwrapKey",
         fake_unwrap(session, mechanism, unwrapping_key, wrapped_key,
                     wrapped_key_len, templ, attribute_count, key));
}

static CK_RV c_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                         CK_OBJECT_HANDLE base_key, CK_ATTRIBUTE *templ,
                         unsigned long attribute_count, CK_OBJECT_HANDLE *key)
{
    CALL("C_DeriveKey", fake_derive(session, mechanism, base_key, templ,
                                    attribute_count, key));
}

static CK_RV c_SeedRandom(CK_SESSION_HANDLE session, unsigned char *seed,
                          unsigned long seed_len)
{
    (void)session;
    (void)seed;
    (void)seed_len;
    CALL("C_SeedRandom", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_GenerateRandom(CK_SESSION_HANDLE session,
                              unsigned char *random_data,
                              unsigned long random_len)
{
    CALL("C_GenerateRandom", fake_random(session, random_data, random_len));
}

static CK_RV c_GetFunctionStatus(CK_SESSION_HANDLE session)
{
    (void)session;
    CALL("C_GetFunctionStatus", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_CancelFunction(CK_SESSION_HANDLE session)
{
    (void)session;
    CALL("C_CancelFunction", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_RV c_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot,
                                void *reserved)
{
    (void)flags;
    (void)slot;
    (void)reserved;
    CALL("C_WaitForSlotEvent", CKR_FUNCTION_NOT_SUPPORTED);
}

static CK_FUNCTION_LIST list = {
    .version = {2, 40},
    .C_GetFunctionList = C_GetFunctionList,
    .C_Initialize = c_Initialize,
    .C_Finalize = c_Finalize,
    .C_GetInfo = c_GetInfo,
    .C_GetSlotList = c_GetSlotList,
    .C_GetSlotInfo = c_GetSlotInfo,
    .C_GetTokenInfo = c_GetTokenInfo,
    .C_GetMechanismList = c_GetMechanismList,
    .C_GetMechanismInfo = c_GetMechanismInfo,
    .C_InitToken = c_InitToken,
    .C_InitPIN = c_InitPIN,
    .C_SetPIN = c_SetPIN,
    .C_OpenSession = c_OpenSession,
    .C_CloseSession = c_CloseSession,
    .C_CloseAllSessions = c_CloseAllSessions,
    .C_GetSessionInfo = c_GetSessionInfo,
    .C_GetOperationState = c_GetOperationState,
    .C_SetOperationState = c_SetOperationState,
    .C_Login = c_Login,
    .C_Logout = c_Logout,
    .C_CreateObject = c_CreateObject,
    .C_CopyObject = c_CopyObject,
    .C_DestroyObject = c_DestroyObject,
    .C_GetObjectSize = c_GetObjectSize,
    .C_GetAttributeValue = c_GetAttributeValue,
    .C_SetAttributeValue = c_SetAttributeValue,
    .C_FindObjectsInit = c_FindObjectsInit,
    .C_FindObjects = c_FindObjects,
    .C_FindObjectsFinal = c_FindObjectsFinal,
    .C_EncryptInit = c_EncryptInit,
    .C_Encrypt = c_Encrypt,
    .C_EncryptUpdate = c_EncryptUpdate,
    .C_EncryptFinal = c_EncryptFinal,
    .C_DecryptInit = c_DecryptInit,
    .C_Decrypt = c_Decrypt,
    .C_DecryptUpdate = c_DecryptUpdate,
    .C_DecryptFinal = c_DecryptFinal,
    .C_DigestInit = c_DigestInit,
    .C_Digest = c_Digest,
    .C_DigestUpdate = c_DigestUpdate,
    .C_DigestKey = c_DigestKey,
    .C_DigestFinal = c_DigestFinal,
    .C_SignInit = c_SignInit,
    .C_Sign = c_Sign,
    .C_SignUpdate = c_SignUpdate,
    .C_SignFinal = c_SignFinal,
    .C_SignRecoverInit = c_SignRecoverInit,
    .C_SignRecover = c_SignRecover,
    .C_VerifyInit = c_VerifyInit,
    .C_Verify = c_Verify,
    .C_VerifyUpdate = c_VerifyUpdate,
    .C_VerifyFinal = c_VerifyFinal,
    .C_VerifyRecoverInit = c_VerifyRecoverInit,
    .C_VerifyRecover = c_VerifyRecover,
    .C_DigestEncryptUpdate = c_DigestEncryptUpdate,
    .C_DecryptDigestUpdate = c_DecryptDigestUpdate,
    .C_SignEncryptUpdate = c_SignEncryptUpdate,
    .C_DecryptVerifyUpdate = c_DecryptVerifyUpdate,
    .C_GenerateKey = c_GenerateKey,
    .C_GenerateKeyPair = c_GenerateKeyPair,
    .C_WrapKey = c_WrapKey,
    .C_UnwrapKey = c_UnwrapKey,
    .C_DeriveKey = c_DeriveKey,
    .C_SeedRandom = c_SeedRandom,
    .C_GenerateRandom = c_GenerateRandom,
    .C_GetFunctionStatus = c_GetFunctionStatus,
    .C_CancelFunction = c_CancelFunction,
    .C_WaitForSlotEvent = c_WaitForSlotEvent,
};

/* Where each is in the list, for those that a test wants empty. */
static const struct {
    const char *name;
    size_t offset;
} entries[] = {
    {"C_Initialize", offsetof(CK_FUNCTION_LIST, C_Initialize)},
    {"C_Finalize", offsetof(CK_FUNCTION_LIST, C_Finalize)},
    {"C_GetInfo", offsetof(CK_FUNCTION_LIST, C_GetInfo)},
    {"C_GetFunctionList", offsetof(CK_FUNCTION_LIST, C_GetFunctionList)},
    {"C_GetSlotList", offsetof(CK_FUNCTION_LIST, C_GetSlotList)},
    {"C_GetSlotInfo", offsetof(CK_FUNCTION_LIST, C_GetSlotInfo)},
    {"C_GetTokenInfo", offsetof(CK_FUNCTION_LIST, C_GetTokenInfo)},
    {"C_GetMechanismList", offsetof(CK_FUNCTION_LIST, C_GetMechanismList)},
    {"C_GetMechanismInfo", offsetof(CK_FUNCTION_LIST, C_GetMechanismInfo)},
    {"C_InitToken", offsetof(CK_FUNCTION_LIST, C_InitToken)},
    {"C_InitPIN", offsetof(CK_FUNCTION_LIST, C_InitPIN)},
    {"C_SetPIN", offsetof(CK_FUNCTION_LIST, C_SetPIN)},
    {"C_OpenSession", offsetof(CK_FUNCTION_LIST, C_OpenSession)},
    {"C_CloseSession", offsetof(CK_FUNCTION_LIST, C_CloseSession)},
    {"C_CloseAllSessions", offsetof(CK_FUNCTION_LIST, C_CloseAllSessions)},
    {"C_GetSessionInfo", offsetof(CK_FUNCTION_LIST, C_GetSessionInfo)},
    {"C_GetOperationState", offsetof(CK_FUNCTION_LIST, C_GetOperationState)},
    {"C_SetOperationState", offsetof(CK_FUNCTION_LIST, C_SetOperationState)},
    {"C_Login", offsetof(CK_FUNCTION_LIST, C_Login)},
    {"C_Logout", offsetof(CK_FUNCTION_LIST, C_Logout)},
    {"C_CreateObject", offsetof(CK_FUNCTION_LIST, C_CreateObject)},
    {"C_CopyObject", offsetof(CK_FUNCTION_LIST, C_CopyObject)},
    {"C_DestroyObject", offsetof(CK_FUNCTION_LIST, C_DestroyObject)},
    {"C_GetObjectSize", offsetof(CK_FUNCTION_LIST, C_GetObjectSize)},
    {"C_GetAttributeValue", offsetof(CK_FUNCTION_LIST, C_GetAttributeValue)},
    {"C_SetAttributeValue", offsetof(CK_FUNCTION_LIST, C_SetAttributeValue)},
    {"C_FindObjectsInit", offsetof(CK_FUNCTION_LIST, C_FindObjectsInit)},
    {"C_FindObjects", offsetof(CK_FUNCTION_LIST, C_FindObjects)},
    {"C_FindObjectsFinal", offsetof(CK_FUNCTION_LIST, C_FindObjectsFinal)},
    {"C_EncryptInit", offsetof(CK_FUNCTION_LIST, C_EncryptInit)},
    {"C_Encrypt", offsetof(CK_FUNCTION_LIST, C_Encrypt)},
    {"C_EncryptUpdate", offsetof(CK_FUNCTION_LIST, C_EncryptUpdate)},
    {"C_EncryptFinal", offsetof(CK_FUNCTION_LIST, C_EncryptFinal)},
    {"C_DecryptInit", offsetof(CK_FUNCTION_LIST, C_DecryptInit)},
    {"C_Decrypt", offsetof(CK_FUNCTION_LIST, C_Decrypt)},
    {"C_DecryptUpdate", offsetof(CK_FUNCTION_LIST, C_DecryptUpdate)},
    {"C_DecryptFinal", offsetof(CK_FUNCTION_LIST, C_DecryptFinal)},
    {"C_DigestInit", offsetof(CK_FUNCTION_LIST, C_DigestInit)},
    {"C_Digest", offsetof(CK_FUNCTION_LIST, C_Digest)},
    {"C_DigestUpdate", offsetof(CK_FUNCTION_LIST, C_DigestUpdate)},
    {"C_DigestKey", offsetof(CK_FUNCTION_LIST, C_DigestKey)},
    {"C_DigestFinal", offsetof(CK_FUNCTION_LIST, C_DigestFinal)},
    {"C_SignInit", offsetof(CK_FUNCTION_LIST, C_SignInit)},
    {"C_Sign", offsetof(CK_FUNCTION_LIST, C_Sign)},
    {"C_SignUpdate", offsetof(CK_FUNCTION_LIST, C_SignUpdate)},
    {"C_SignFinal", offsetof(CK_FUNCTION_LIST, C_SignFinal)},
    {"C_SignRecoverInit", offsetof(CK_FUNCTION_LIST, C_SignRecoverInit)},
    {"C_SignRecover", offsetof(CK_FUNCTION_LIST, C_SignRecover)},
    {"C_VerifyInit", offsetof(CK_FUNCTION_LIST, C_VerifyInit)},
    {"C_Verify", offsetof(CK_FUNCTION_LIST, C_Verify)},
    {"C_VerifyUpdate", offsetof(CK_FUNCTION_LIST, C_VerifyUpdate)},
    {"C_VerifyFinal", offsetof(CK_FUNCTION_LIST, C_VerifyFinal)},
    {"C_VerifyRecoverInit", offsetof(CK_FUNCTION_LIST, C_VerifyRecoverInit)},
    {"C_VerifyRecover", offsetof(CK_FUNCTION_LIST, C_VerifyRecover)},
    {"C_DigestEncryptUpdate",
     offsetof(CK_FUNCTION_LIST, C_DigestEncryptUpdate)},
    {"C_DecryptDigestUpdate",
     offsetof(CK_FUNCTION_LIST, C_DecryptDigestUpdate)},
    {"C_SignEncryptUpdate", offsetof(CK_FUNCTION_LIST, C_SignEncryptUpdate)},
    {"C_DecryptVerifyUpdate",
     offsetof(CK_FUNCTION_LIST, C_DecryptVerifyUpdate)},
    {"C_GenerateKey", offsetof(CK_FUNCTION_LIST, C_GenerateKey)},
    {"C_GenerateKeyPair", offsetof(CK_FUNCTION_LIST, C_GenerateKeyPair)},
    {"C_WrapKey", offsetof(CK_FUNCTION_LIST, C_WrapKey)},
    {"C_UnwrapKey", offsetof(CK_FUNCTION_LIST, C_UnwrapKey)},
    {"C_DeriveKey", offsetof(CK_FUNCTION_LIST, C_DeriveKey)},
    {"C_SeedRandom", offsetof(CK_FUNCTION_LIST, C_SeedRandom)},
    {"C_GenerateRandom", offsetof(CK_FUNCTION_LIST, C_GenerateRandom)},
    {"C_GetFunctionStatus", offsetof(CK_FUNCTION_LIST, C_GetFunctionStatus)},
    {"C_CancelFunction", offsetof(CK_FUNCTION_LIST, C_CancelFunction)},
    {"C_WaitForSlotEvent", offsetof(CK_FUNCTION_LIST, C_WaitForSlotEvent)},
};

static void spoil_list(void)
{
    const char *lie = fake_switch("list");

    if (strncmp(lie, "version:", 8) == 0)
        list.version.major = (CK_BYTE)strtoul(lie + 8, NULL, 10);
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        if (strcmp(lie, "null-all") == 0 ||
            (strncmp(lie, "null:", 5) == 0 &&
             strcmp(lie + 5, entries[i].name) == 0))
            memset((char *)&list + entries[i].offset, 0, sizeof(void *));
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    fake_control_read();
    if (fake_switched("list", "error"))
        return CKR_GENERAL_ERROR;
    spoil_list();
    *out = fake_switched("list", "none") ? NULL : &list;
    return CKR_OK;
}
