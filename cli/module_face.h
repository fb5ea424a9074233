/* The token process as it holds one PKCS#11 module: the module, a pool of
 * sessions for each token that was used, the PINs that were right, and the key
 * that the next import is sealed to. The context of io.certvault.Module's
 * methods. Threads: one. */
#ifndef CERTVAULT_CLI_MODULE_FACE_H
#define CERTVAULT_CLI_MODULE_FACE_H

#include "cli/module_config.h"
#include "pkcs11/login.h"
#include "vault/base/limits.h"
#include "vault/seal/target.h"
#include "vault/wire/reply.h"

/* A token that was used. */
struct cv_module_face_token {
    struct cv_session_pool *pool;
    struct cv_arena *arena; /* of the PIN; NULL: none is held */
    struct cv_bytes pin;
};

struct cv_module_face {
    struct cv_module_config *config;
    struct cv_module_list *list;
    struct cv_err unlisted;   /* why there is no list; CV_OK: there is one */
    struct cv_module *module; /* NULL: not loaded yet */
    struct cv_module_face_token *tokens[CV_LIMIT_TOKENS];
    size_t n_tokens;
    struct cv_target *target; /* NULL: none was asked for */
};

/* *out has loaded nothing. What is wrong with the list of modules (CV_CONFIG:
 * .module files, configuration) is kept for cv_module_face_listed. CV_CONFIG
 * (descriptor `config_fd`), CV_IO, CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_module_face_new(int config_fd,
                                              struct cv_module_face **out,
                                              struct cv_err *err);
void cv_module_face_free(struct cv_module_face *face);

/* Is there a list? Else what is wrong with it. */
CV_MUST_USE enum cv_status
cv_module_face_listed(const struct cv_module_face *face, struct cv_err *err);

/* Loads the module that `name` or `uri` (either may be NULL) means, once, and
 * locks the process down. CV_CONFIG, CV_USAGE (URI), CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_module_face_load(struct cv_module_face *face,
                                               const char *name,
                                               const char *uri,
                                               struct cv_err *err);

/* The token that `uri` means, with its pool; *out is borrowed. CV_USAGE,
 * CV_NOT_FOUND, CV_INVALID (several), CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status
cv_module_face_token(struct cv_module_face *face, const char *uri,
                     struct cv_module_face_token **out, struct cv_err *err);

/* Its pool where it was used before; NULL: it was not. */
struct cv_module_face_token *
cv_module_face_used(const struct cv_module_face *face,
                    const struct cv_token_info *info);

/* Keeps the PIN that was right, in an arena of its own, or wipes the one that
 * is kept (data NULL). What cannot be kept is not. */
void cv_module_face_keep(struct cv_module_face_token *token,
                         struct cv_bytes pin);

/* Does `work` (session.h) with a token; a failure gets the member `recover`. A
 * module that asks for it is started anew here (C_Finalize, C_Initialize), once
 * in CV_LIMIT_TOKEN_RELOAD_S. */
CV_MUST_USE enum cv_status
cv_module_face_do(struct cv_module_face *face,
                  struct cv_module_face_token *token, unsigned flags,
                  cv_session_work *work, void *context, struct cv_reply *reply,
                  struct cv_err *err);

/* The same for a failure of a call that brings its own session: adds `recover`,
 * reloads; returns `status`. */
enum cv_status cv_module_face_failed(struct cv_module_face *face,
                                     const struct cv_module_face_token *token,
                                     enum cv_status status,
                                     struct cv_reply *reply,
                                     struct cv_err *err);

/* Appends the token's URI; one of a module that only a path names says so. */
void cv_module_face_uri(const struct cv_module_face *face,
                        const struct cv_token_info *info, struct cv_buf *out);

#endif
