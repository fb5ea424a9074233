/* Shared by the parts of module: the list, the .module files, the checks. */
#ifndef CERTVAULT_PKCS11_MODULE_INTERNAL_H
#define CERTVAULT_PKCS11_MODULE_INTERNAL_H

#include "pkcs11/module.h"

/* The keys of .module files that mean something here. */
enum cv_module_key {
    CV_MODULE_KEY_MODULE,
    CV_MODULE_KEY_RESERVED, /* x-init-reserved */
    CV_MODULE_KEY_ENABLE_IN,
    CV_MODULE_KEY_DISABLE_IN,
    CV_MODULE_KEY_PRIORITY,
    CV_MODULE_KEY_TRUST, /* trust-policy */
    CV_MODULE_KEY_REMOTE,
    CV_MODULE_KEY_USER_CONFIG, /* in pkcs11.conf alone */
    CV_MODULE_KEYS
};

/* What a .module file says; values on the heap, NULL where it is silent. */
struct cv_module_file {
    char *values[CV_MODULE_KEYS];
};

void cv_module_file_wipe(struct cv_module_file *file);

/* Adds what `text` says to what `file` does not say yet. CV_CONFIG, naming
 * `path` and the line; CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_module_file_parse(const char *path,
                                                struct cv_bytes text,
                                                struct cv_module_file *file,
                                                struct cv_err *err);

/* Checks and reads the file at `path` and adds it as above. CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_module_file_read(const char *path, bool own_files,
                                               struct cv_module_file *file,
                                               struct cv_err *err);

/* Is the module meant for `program`? */
bool cv_module_file_enabled(const struct cv_module_file *file,
                            const char *program);

/* What a path leads to, checked on every folder and link of the way. CV_CONFIG
 * (someone else may write there), CV_NOT_FOUND. `folder`: it must be a folder,
 * else a regular file. */
CV_MUST_USE enum cv_status cv_module_check_path(const char *path, bool folder,
                                                bool own_files,
                                                struct cv_err *err);

/* May this entry's file belong to this user instead of root? */
bool cv_module_list_own_files(const struct cv_module_list *list,
                              const struct cv_module_entry *entry);

#endif
