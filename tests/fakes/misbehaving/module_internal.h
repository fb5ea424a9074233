/* What the parts of the misbehaving module share; misbehaving.h says what it
 * does. Not for several threads. */
#ifndef CERTVAULT_TESTS_FAKES_MODULE_INTERNAL_H
#define CERTVAULT_TESTS_FAKES_MODULE_INTERNAL_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>

#define FAKE_SLOT 1
#define FAKE_SESSIONS 64
#define FAKE_ATTRIBUTES 48
#define FAKE_PATH 4096
/* Handles of session objects begin here. */
#define FAKE_VOLATILE 0x40000000UL

/* --- control.c: the switches, the faults, the folder --- */

/* The value of a switch, or its default. Valid until the next call. */
const char *fake_switch(const char *key);
bool fake_switched(const char *key, const char *value);
unsigned long fake_number(const char *key);
/* Whether the switch `leak` names that hole. */
bool fake_leaks(const char *hole);
/* Whether there is a control file. */
bool fake_configured(void);
/* "FOLDER/name" in a static buffer. */
const char *fake_path(const char *name);
/* Reads the control file anew, counts the call and fires faults in front of
 * it. Anything but CKR_OK is what the call returns. */
CK_RV fake_enter(const char *name);
/* Fires the faults behind the call; what it returns. */
CK_RV fake_leave(CK_RV rv);
void fake_control_read(void);
/* Ends the process as a crash of the module would. */
void fake_die(bool segv) __attribute__((noreturn));

/* --- files of the folder, control.c --- */

/* The whole file, NUL behind it; NULL when there is none. The caller frees. */
unsigned char *fake_read(const char *name, size_t *len);
bool fake_write(const char *name, const void *data, size_t len);
void fake_append(const char *name, const char *line);
/* Locks the folder against other processes. */
int fake_lock(void);
void fake_unlock(int fd);

/* --- token.c: the slot, the PIN, sessions --- */

struct fake_session {
    bool open, rw;
    /* an operation under way */
    bool finding;
    CK_OBJECT_HANDLE found[1024];
    size_t found_count, found_next;
    bool signing, context_login_wanted;
    CK_OBJECT_HANDLE key;
    CK_MECHANISM_TYPE mechanism;
    CK_RSA_PKCS_PSS_PARAMS pss;
    unsigned char *data;
    size_t data_len;
    bool decrypting, digesting;
};

bool fake_present(void);
void fake_pull(void);
void fake_sessions_drop(void);
void fake_login_drop(void);
bool fake_logged_in(void);
/* The session, or NULL with *rv set. */
struct fake_session *fake_session(CK_SESSION_HANDLE handle, CK_RV *rv);
void fake_operation_end(struct fake_session *s);

CK_RV fake_initialize(void *args);
CK_RV fake_finalize(void);
CK_RV fake_info(CK_INFO *info);
CK_RV fake_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count);
CK_RV fake_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info);
CK_RV fake_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info);
CK_RV fake_open_session(CK_SLOT_ID slot, CK_FLAGS flags,
                        CK_SESSION_HANDLE *session);
CK_RV fake_close_session(CK_SESSION_HANDLE session);
CK_RV fake_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info);
CK_RV fake_login(CK_SESSION_HANDLE session, CK_USER_TYPE user,
                 const CK_UTF8CHAR *pin, CK_ULONG len);
CK_RV fake_logout(CK_SESSION_HANDLE session);
CK_RV fake_init_token(CK_SLOT_ID slot, const CK_UTF8CHAR *pin, CK_ULONG len);
CK_RV fake_init_pin(CK_SESSION_HANDLE session, const CK_UTF8CHAR *pin,
                    CK_ULONG len);
CK_RV fake_set_pin(CK_SESSION_HANDLE session, const CK_UTF8CHAR *old,
                   CK_ULONG old_len, const CK_UTF8CHAR *pin, CK_ULONG len);

/* --- objects.c: attributes and their files --- */

struct fake_attribute {
    CK_ATTRIBUTE_TYPE type;
    CK_ULONG len;
    unsigned char *value;
};

struct fake_object {
    CK_OBJECT_HANDLE handle;
    size_t count;
    struct fake_attribute attribute[FAKE_ATTRIBUTES];
};

struct fake_object *fake_object_new(void);
void fake_object_free(struct fake_object *o);
/* A copy of the object of that handle, or NULL. */
struct fake_object *fake_object_load(CK_OBJECT_HANDLE handle);
/* Keeps it, under a new handle where it has none. */
CK_RV fake_object_save(struct fake_object *o);
/* As the switches `create` and `capacity` have it: what a call that makes
 * objects ends with. */
CK_RV fake_object_keep(struct fake_object *o, CK_OBJECT_HANDLE *handle);
CK_RV fake_object_remove(CK_OBJECT_HANDLE handle);
void fake_objects_drop_volatile(void);
/* Handles of all, ascending; how many. */
size_t fake_object_list(CK_OBJECT_HANDLE *list, size_t room);

const struct fake_attribute *fake_get(const struct fake_object *o,
                                      CK_ATTRIBUTE_TYPE type);
bool fake_get_bool(const struct fake_object *o, CK_ATTRIBUTE_TYPE type,
                   bool absent);
CK_ULONG fake_get_ulong(const struct fake_object *o, CK_ATTRIBUTE_TYPE type);
bool fake_set(struct fake_object *o, CK_ATTRIBUTE_TYPE type, const void *value,
              size_t len);
bool fake_set_bool(struct fake_object *o, CK_ATTRIBUTE_TYPE type, bool value);
bool fake_set_ulong(struct fake_object *o, CK_ATTRIBUTE_TYPE type,
                    CK_ULONG value);
bool fake_is_key(const struct fake_object *o);

/* --- use.c: what callers do with objects --- */

CK_RV fake_find_init(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *wanted,
                     CK_ULONG count);
CK_RV fake_find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *found,
                CK_ULONG room, CK_ULONG *count);
CK_RV fake_find_final(CK_SESSION_HANDLE session);
CK_RV fake_get_values(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                      CK_ATTRIBUTE *wanted, CK_ULONG count);
CK_RV fake_set_values(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                      const CK_ATTRIBUTE *wanted, CK_ULONG count);
CK_RV fake_create(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *wanted,
                  CK_ULONG count, CK_OBJECT_HANDLE *object);
CK_RV fake_copy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE from,
                const CK_ATTRIBUTE *wanted, CK_ULONG count,
                CK_OBJECT_HANDLE *object);
CK_RV fake_destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object);
/* An object made of a template; the key's own attributes are not looked at.
 * Sets what the caller left out. */
CK_RV fake_from_template(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *wanted,
                         CK_ULONG count, struct fake_object **made);
/* Marks it as made on the token, or as come from outside. */
void fake_provenance(struct fake_object *o, bool local);
/* The object, if the caller may see it; NULL with *rv. */
struct fake_object *fake_seen(CK_SESSION_HANDLE session,
                              CK_OBJECT_HANDLE handle, CK_RV *rv);

/* --- keys.c: between attributes and libcrypto --- */

struct evp_pkey_st;

/* The private key of an object, or NULL. */
struct evp_pkey_st *fake_key(const struct fake_object *o);
void fake_key_free(struct evp_pkey_st *key);
/* Puts a key's numbers into a private (and its public) key object; either may
 * be NULL. */
bool fake_key_attributes(struct evp_pkey_st *key, struct fake_object *priv,
                         struct fake_object *pub);

/* --- operations.c: with keys --- */

CK_RV fake_mechanism_list(CK_MECHANISM_TYPE *list, CK_ULONG *count);
CK_RV fake_mechanism_info(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info);
CK_RV fake_sign_init(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                     CK_OBJECT_HANDLE key);
CK_RV fake_sign_update(CK_SESSION_HANDLE session, const CK_BYTE *data,
                       CK_ULONG len);
/* With data NULL: what updates have gathered. */
CK_RV fake_sign(CK_SESSION_HANDLE session, const CK_BYTE *data, CK_ULONG len,
                CK_BYTE *signature, CK_ULONG *signature_len);
CK_RV fake_generate_pair(CK_SESSION_HANDLE session,
                         const CK_MECHANISM *mechanism, const CK_ATTRIBUTE *pub,
                         CK_ULONG pub_count, const CK_ATTRIBUTE *priv,
                         CK_ULONG priv_count, CK_OBJECT_HANDLE *pub_key,
                         CK_OBJECT_HANDLE *priv_key);
CK_RV fake_generate_key(CK_SESSION_HANDLE session,
                        const CK_MECHANISM *mechanism,
                        const CK_ATTRIBUTE *wanted, CK_ULONG count,
                        CK_OBJECT_HANDLE *key);
CK_RV fake_decrypt_init(CK_SESSION_HANDLE session,
                        const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_RV fake_decrypt(CK_SESSION_HANDLE session, const CK_BYTE *in,
                   CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len);
CK_RV fake_random(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG len);

/* --- ways_out.c: what may let a key out --- */

CK_RV fake_wrap(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE what, CK_BYTE *out,
                CK_ULONG *out_len);
CK_RV fake_unwrap(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE with, const CK_BYTE *in, CK_ULONG in_len,
                  const CK_ATTRIBUTE *wanted, CK_ULONG count,
                  CK_OBJECT_HANDLE *key);
CK_RV fake_derive(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE base, const CK_ATTRIBUTE *wanted,
                  CK_ULONG count, CK_OBJECT_HANDLE *key);
CK_RV fake_digest_init(CK_SESSION_HANDLE session,
                       const CK_MECHANISM *mechanism);
CK_RV fake_digest_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key);
CK_RV fake_digest_final(CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *len);

#endif
