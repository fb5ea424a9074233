/* PKCS#11 modules: which there are, which may be used, loading one.
 *
 * A module is code of somebody else's that runs in this process. So: the list
 * of modules is read from files that root owns (p11-kit's .module files) and
 * from certvault's configuration, and reading it opens no module. One module
 * is loaded per process; nothing is dlopened before its file was checked. It
 * is loaded directly (dlopen, C_GetFunctionList, C_Initialize with
 * CKF_OS_LOCKING_OK and what x-init-reserved says), not through
 * p11_kit_modules_load, which would start every configured module.
 *
 * Threads: one. No fork after cv_module_load. */
#ifndef CERTVAULT_PKCS11_MODULE_H
#define CERTVAULT_PKCS11_MODULE_H

#include "pkcs11/rv.h"
#include "pkcs11/uri.h"

enum cv_module_source {
    CV_MODULE_P11KIT, /* a .module file */
    CV_MODULE_CONFIG, /* certvault's configuration */
    CV_MODULE_PATH    /* named by its path, where that is allowed */
};

/* A module of certvault's configuration. */
struct cv_module_configured {
    const char *name;     /* [A-Za-z0-9._-]+ */
    const char *path;     /* absolute */
    const char *reserved; /* C_Initialize's pReserved; NULL: none */
};

struct cv_module_options {
    const struct cv_module_configured *configured;
    size_t n_configured;
    /* Also any file that root owns and nobody else can write, by module-path:
     * for private brokers and agents, never for the service. */
    bool any_of_root;
    /* Also the user's .module files in `user_folder` (p11-kit leaves them out
     * for root); NULL: none. */
    const char *user_folder;
    /* What enable-in: and disable-in: are compared with; NULL: "certvault". */
    const char *program;
    /* Folders of .module files in p11-kit's order (the system's before the
     * package's), ended by NULL; NULL: those that p11-kit was built with. */
    const char *const *folders;
    /* Files need not be root's but may be this user's own too: for tests and
     * for modules of the configuration outside the service. */
    bool own_files;
};

/* One module of the list. */
struct cv_module_entry {
    char *name;     /* "softhsm2" */
    char *path;     /* as it is written there, absolute */
    char *real;     /* realpath of it; NULL: the file is not there */
    char *origin;   /* the .module file, or "configuration" */
    char *reserved; /* x-init-reserved; NULL: none */
    enum cv_module_source source;
    long priority;
};

struct cv_module_list;
struct cv_module;

/* Lists what is configured, opening no module. Modules that are disabled for
 * `program`, that have no `module:` line, and p11-kit's own proxy are left out.
 * *out is NULL on failure: CV_CONFIG (a .module file that is malformed or that
 * others can write, a name twice in the configuration), CV_IO, CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_module_list_new(const struct cv_module_options *options,
                   struct cv_module_list **out, struct cv_err *err);
void cv_module_list_free(struct cv_module_list *list);
size_t cv_module_list_count(const struct cv_module_list *list);
const struct cv_module_entry *
cv_module_list_at(const struct cv_module_list *list, size_t index);

/* Is the module at `index` one that p11-kit knows, and its file (by realpath)
 * that of one of the configuration? Its tokens are the same ones, so it is
 * asked for by its name alone. */
bool cv_module_list_is_shadowed(const struct cv_module_list *list,
                                size_t index);

/* The one module that `name` (NULL: none) and `uri` (NULL: none) mean: by name,
 * by module-name, by the realpath of module-path; with none of them the only
 * module of the list. *out is borrowed from the list. CV_CONFIG (not among the
 * configured ones and not allowed otherwise; more than one fits). */
CV_MUST_USE enum cv_status
cv_module_list_select(struct cv_module_list *list, const char *name,
                      const struct cv_uri *uri,
                      const struct cv_module_entry **out, struct cv_err *err);

/* Checks the file of a module, as cv_module_load does first: absolute,
 * a regular file behind any links, owned by root (or by this user with
 * `own_files`), writable by nobody else, and so every folder on its way.
 * CV_CONFIG says which part of the path is at fault. */
CV_MUST_USE enum cv_status
cv_module_check_file(const char *path, bool own_files, struct cv_err *err);

/* Checks the file, loads it and starts it. *out is NULL on failure: CV_CONFIG
 * (checks, not a PKCS#11 2.x module, functions missing), CV_UNAVAILABLE (it
 * does not start). May block for seconds (OpenSC looks for readers). */
CV_MUST_USE enum cv_status cv_module_load(const struct cv_module_list *list,
                                          const struct cv_module_entry *entry,
                                          struct cv_module **out,
                                          struct cv_err *err);

/* C_Finalize, and the library stays mapped: modules do not survive being
 * unmapped. NULL is fine. */
void cv_module_free(struct cv_module *module);

/* C_Finalize and C_Initialize: every session and handle is gone, and every
 * login. At most once in CV_LIMIT_TOKEN_RELOAD_S seconds: sooner it is CV_BUSY
 * with retry_after_s set. CV_UNAVAILABLE: it does not start again, a new
 * process is wanted. */
CV_MUST_USE enum cv_status cv_module_reload(struct cv_module *module,
                                            struct cv_err *err);

/* Is it started? Not after a reload that failed: only a new process helps. */
bool cv_module_is_started(const struct cv_module *module);

/* How often it was started; a pool that sees another number than at its birth
 * knows that its sessions are gone. */
uint64_t cv_module_generation(const struct cv_module *module);

CK_FUNCTION_LIST *cv_module_functions(const struct cv_module *module);
const struct cv_module_entry *cv_module_entry(const struct cv_module *module);
/* C_GetInfo; texts are blank-padded as they came. */
const CK_INFO *cv_module_info(const struct cv_module *module);

/* Copies a blank-padded field of PKCS#11 (`len` bytes) as a C string: blanks at
 * the end cut, what is not UTF-8 or must not reach a terminal becomes '?'.
 * `out` has room for `len` + 1 bytes. Returns `out`. */
char *cv_module_text(char *out, const unsigned char *field, size_t len);

#endif
