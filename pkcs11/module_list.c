#include "pkcs11/module_internal.h"
#include "pkcs11/module_named.h"
#include "vault/base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".module"
#define SUFFIX_LEN (sizeof(SUFFIX) - 1)
#define PROGRAM "certvault"
/* p11-kit's own module that stands for all others. */
#define PROXY "/p11-kit-proxy.so"

/* A module while its files are read. */
struct found {
    char name[CV_MODULE_NAMED_LEN + 1];
    char *origin; /* the first file that told of it */
    struct cv_module_file file;
};

struct reading {
    struct found found[CV_LIMIT_MODULES];
    size_t n;
};

struct cv_module_list {
    struct cv_module_entry entries[CV_LIMIT_MODULES];
    size_t n;
    bool any_of_root, own_files;
};

static const char *const FOLDERS[] = {CV_P11KIT_SYSTEM_FOLDER,
                                      CV_P11KIT_PACKAGE_FOLDER, NULL};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status too_many(struct cv_err *err)
{
    return cv_fail(err, CV_CONFIG, "more than %d modules are configured",
                   CV_LIMIT_MODULES);
}

/* The place for the module that a file of this name tells of; NULL: full. */
static struct found *place_for(struct reading *r, const char *name, size_t len)
{
    for (size_t i = 0; i < r->n; i++) {
        if (strlen(r->found[i].name) == len &&
            memcmp(r->found[i].name, name, len) == 0) {
            return &r->found[i];
        }
    }
    if (r->n == CV_LIMIT_MODULES) {
        return NULL;
    }
    memcpy(r->found[r->n].name, name, len);
    return &r->found[r->n++];
}

static enum cv_status read_entry(struct reading *r, const char *folder,
                                 const char *leaf, bool own_files,
                                 struct cv_err *err)
{
    size_t len = strlen(leaf);
    struct found *f;
    char *path = NULL;
    enum cv_status status;

    if (len <= SUFFIX_LEN || strcmp(leaf + len - SUFFIX_LEN, SUFFIX) != 0 ||
        !cv_module_named_is(leaf, len - SUFFIX_LEN)) {
        return CV_OK;
    }
    f = place_for(r, leaf, len - SUFFIX_LEN);
    if (f == NULL) {
        return too_many(err);
    }
    if (asprintf(&path, "%s/%s", folder, leaf) < 0) {
        return no_memory(err);
    }
    status = cv_module_file_read(path, own_files, &f->file, err);
    if (status == CV_NOT_FOUND) {
        status = CV_OK; /* removed while it was read, or a dangling link */
    }
    if (f->origin == NULL) {
        f->origin = path;
        path = NULL;
    }
    free(path);
    return status;
}

static enum cv_status read_folder(struct reading *r, const char *folder,
                                  bool own_files, struct cv_err *err)
{
    DIR *dir;
    enum cv_status status = cv_module_check_path(folder, true, own_files, err);

    if (status != CV_OK) {
        return status == CV_NOT_FOUND ? CV_OK : status;
    }
    dir = opendir(folder);
    if (dir == NULL) {
        return cv_fail_errno(err, CV_IO, "cannot list %s", folder);
    }
    while (status == CV_OK) {
        const struct dirent *entry;

        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) {
            if (errno != 0) {
                status = cv_fail_errno(err, CV_IO, "cannot list %s", folder);
            }
            break;
        }
        status = read_entry(r, folder, entry->d_name, own_files, err);
    }
    (void)closedir(dir);
    return status;
}

/* How far the user's own files count: pkcs11.conf's user-config. */
static enum cv_status user_mode(bool *user, bool *system, struct cv_err *err)
{
    struct cv_module_file conf = {{NULL}};
    enum cv_status status =
        cv_module_file_read(CV_P11KIT_CONF, false, &conf, err);
    const char *mode = conf.values[CV_MODULE_KEY_USER_CONFIG];

    if (status == CV_NOT_FOUND) {
        status = CV_OK;
    }
    if (status == CV_OK && mode != NULL) {
        *user = strcmp(mode, "none") != 0;
        *system = strcmp(mode, "only") != 0 && strcmp(mode, "override") != 0;
    }
    cv_module_file_wipe(&conf);
    return status;
}

static enum cv_status read_folders(struct reading *r,
                                   const struct cv_module_options *o,
                                   struct cv_err *err)
{
    const char *const *folders = o->folders != NULL ? o->folders : FOLDERS;
    bool user = o->user_folder != NULL, system = true;
    enum cv_status status = CV_OK;

    if (user && o->folders == NULL) {
        status = user_mode(&user, &system, err);
    }
    if (status == CV_OK && user) {
        status = read_folder(r, o->user_folder, true, err);
    }
    for (size_t i = 0; status == CV_OK && system && folders[i] != NULL; i++) {
        status = read_folder(r, folders[i], o->own_files, err);
    }
    return status;
}

static const struct cv_module_entry *by_name(const struct cv_module_list *list,
                                             const char *name)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->entries[i].name, name) == 0) {
            return &list->entries[i];
        }
    }
    return NULL;
}

static void wipe_entry(struct cv_module_entry *e)
{
    free(e->name);
    free(e->path);
    free(e->real);
    free(e->origin);
    free(e->reserved);
    memset(e, 0, sizeof(*e));
}

static char *copy_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : strdup(text);
}

/* Adds an entry; `name` and `path` are copied. *out may be NULL. */
static enum cv_status add(struct cv_module_list *list, const char *name,
                          const char *path, const char *origin,
                          const char *reserved, enum cv_module_source source,
                          struct cv_module_entry **out, struct cv_err *err)
{
    struct cv_module_entry *e;

    if (list->n == CV_LIMIT_MODULES) {
        return too_many(err);
    }
    e = &list->entries[list->n];
    e->name = strdup(name);
    e->path = strdup(path);
    e->origin = strdup(origin);
    e->reserved = copy_or_null(reserved);
    e->real = realpath(path, NULL);
    e->source = source;
    if (e->name == NULL || e->path == NULL || e->origin == NULL ||
        (e->reserved == NULL && reserved != NULL && reserved[0] != '\0')) {
        wipe_entry(e);
        return no_memory(err);
    }
    list->n++;
    if (out != NULL) {
        *out = e;
    }
    return CV_OK;
}

static enum cv_status add_configured(struct cv_module_list *list,
                                     const struct cv_module_options *o,
                                     struct cv_err *err)
{
    enum cv_status status = CV_OK;

    for (size_t i = 0; status == CV_OK && i < o->n_configured; i++) {
        const struct cv_module_configured *c = &o->configured[i];
        char shown[80];

        (void)cv_err_quote(shown, sizeof(shown), c->name, strlen(c->name));
        status = cv_module_named_check(c->name, c->path, err);
        if (status != CV_OK) {
            return status;
        }
        if (by_name(list, c->name) != NULL) {
            return cv_fail(err, CV_CONFIG, "module %s is configured twice",
                           shown);
        }
        status = add(list, c->name, c->path, "configuration", c->reserved,
                     CV_MODULE_CONFIG, NULL, err);
    }
    return status;
}

/* Does a .module file tell of something that is to be listed? Trust modules
 * hold no keys, and what `remote:` names would be run. */
static bool is_usable(const struct cv_module_list *list, const struct found *f,
                      const char *program)
{
    const char *module = f->file.values[CV_MODULE_KEY_MODULE];
    const char *trust = f->file.values[CV_MODULE_KEY_TRUST];
    size_t len = module == NULL ? 0 : strlen(module);

    if (len == 0 || f->file.values[CV_MODULE_KEY_REMOTE] != NULL ||
        (trust != NULL && strcmp(trust, "yes") == 0) ||
        strcmp(module, &PROXY[1]) == 0 ||
        (len >= sizeof(PROXY) - 1 &&
         strcmp(module + len - (sizeof(PROXY) - 1), PROXY) == 0)) {
        return false;
    }
    return by_name(list, f->name) == NULL &&
           cv_module_file_enabled(&f->file, program);
}

static enum cv_status add_found(struct cv_module_list *list,
                                const struct reading *r, const char *program,
                                struct cv_err *err)
{
    enum cv_status status = CV_OK;

    for (size_t i = 0; status == CV_OK && i < r->n; i++) {
        const struct found *f = &r->found[i];
        const char *module = f->file.values[CV_MODULE_KEY_MODULE];
        const char *priority = f->file.values[CV_MODULE_KEY_PRIORITY];
        struct cv_module_entry *e = NULL;
        char *path = NULL;

        if (!is_usable(list, f, program)) {
            continue;
        }
        if (asprintf(&path, "%s%s",
                     module[0] == '/' ? "" : CV_P11KIT_MODULE_FOLDER "/",
                     module) < 0) {
            return no_memory(err);
        }
        status = add(list, f->name, path, f->origin,
                     f->file.values[CV_MODULE_KEY_RESERVED], CV_MODULE_P11KIT,
                     &e, err);
        if (status == CV_OK && priority != NULL) {
            e->priority = strtol(priority, NULL, 10);
        }
        free(path);
    }
    return status;
}

/* The configuration's first, then by priority, then by name. */
static int compare(const void *a, const void *b)
{
    const struct cv_module_entry *x = a, *y = b;

    if ((x->source == CV_MODULE_CONFIG) != (y->source == CV_MODULE_CONFIG)) {
        return x->source == CV_MODULE_CONFIG ? -1 : 1;
    }
    if (x->priority != y->priority) {
        return x->priority > y->priority ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

enum cv_status cv_module_list_new(const struct cv_module_options *options,
                                  struct cv_module_list **out,
                                  struct cv_err *err)
{
    struct cv_module_list *list = calloc(1, sizeof(*list));
    struct reading *r = calloc(1, sizeof(*r));
    const char *program = options->program != NULL ? options->program : PROGRAM;
    enum cv_status status;

    *out = NULL;
    if (list == NULL || r == NULL) {
        status = no_memory(err);
        goto out;
    }
    list->any_of_root = options->any_of_root;
    list->own_files = options->own_files;
    status = add_configured(list, options, err);
    if (status == CV_OK) {
        status = read_folders(r, options, err);
    }
    if (status == CV_OK) {
        status = add_found(list, r, program, err);
    }
    if (status == CV_OK) {
        qsort(list->entries, list->n, sizeof(list->entries[0]), compare);
        *out = list;
        list = NULL;
    }
out:
    for (size_t i = 0; r != NULL && i < r->n; i++) {
        free(r->found[i].origin);
        cv_module_file_wipe(&r->found[i].file);
    }
    free(r);
    cv_module_list_free(list);
    return status;
}

void cv_module_list_free(struct cv_module_list *list)
{
    for (size_t i = 0; list != NULL && i < list->n; i++) {
        wipe_entry(&list->entries[i]);
    }
    free(list);
}

size_t cv_module_list_count(const struct cv_module_list *list)
{
    return list->n;
}

const struct cv_module_entry *
cv_module_list_at(const struct cv_module_list *list, size_t index)
{
    return index < list->n ? &list->entries[index] : NULL;
}

bool cv_module_list_is_shadowed(const struct cv_module_list *list, size_t index)
{
    const struct cv_module_entry *e = cv_module_list_at(list, index);

    if (e == NULL || e->source != CV_MODULE_P11KIT || e->real == NULL) {
        return false;
    }
    for (size_t i = 0; i < list->n; i++) {
        const struct cv_module_entry *other = &list->entries[i];

        if (other->source == CV_MODULE_CONFIG && other->real != NULL &&
            strcmp(other->real, e->real) == 0) {
            return true;
        }
    }
    return false;
}

bool cv_module_list_own_files(const struct cv_module_list *list,
                              const struct cv_module_entry *entry)
{
    /* A file that was only named by its path must be root's. */
    return list->own_files && entry->source != CV_MODULE_PATH;
}

/* "softhsm2, opensc": what an error shows as the choice. */
static enum cv_status not_one(const struct cv_module_list *list,
                              const char *what, struct cv_err *err)
{
    char names[200] = "";
    size_t len = 0;

    for (size_t i = 0; i < list->n && len < sizeof(names); i++) {
        int n = snprintf(names + len, sizeof(names) - len, "%s%s",
                         i == 0 ? "" : ", ", list->entries[i].name);

        len += n > 0 ? (size_t)n : 0;
    }
    cv_fail(err, CV_CONFIG, "%s", what);
    cv_err_state(err, "no module was opened");
    if (list->n == 0) {
        cv_err_hint(err, "install a module that p11-kit knows (`p11-kit "
                         "list-modules`), or name one under modules: in the "
                         "configuration");
    } else {
        cv_err_hint(err, "choose with module-name=: %s", names);
    }
    return CV_CONFIG;
}

static enum cv_status select_name(struct cv_module_list *list, const char *name,
                                  const struct cv_module_entry **out,
                                  struct cv_err *err)
{
    char shown[80], text[160];

    *out = by_name(list, name);
    if (*out != NULL) {
        return CV_OK;
    }
    (void)snprintf(text, sizeof(text), "no module %s is configured",
                   cv_err_quote(shown, sizeof(shown), name, strlen(name)));
    return not_one(list, text, err);
}

static enum cv_status select_path(struct cv_module_list *list, const char *path,
                                  const struct cv_module_entry **out,
                                  struct cv_err *err)
{
    char *real = realpath(path, NULL);
    struct cv_module_entry *e = NULL;
    enum cv_status status;

    for (size_t i = 0; real != NULL && i < list->n; i++) {
        if (list->entries[i].real != NULL &&
            strcmp(list->entries[i].real, real) == 0) {
            *out = &list->entries[i];
            free(real);
            return CV_OK;
        }
    }
    free(real);
    if (!list->any_of_root) {
        return not_one(
            list, "the module-path is none of the configured modules", err);
    }
    status = cv_module_check_file(path, false, err);
    if (status == CV_OK) {
        status =
            add(list, path, path, "module-path", NULL, CV_MODULE_PATH, &e, err);
    }
    *out = e;
    return status;
}

static enum cv_status select_only(struct cv_module_list *list,
                                  const struct cv_module_entry **out,
                                  struct cv_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++) {
        if (list->entries[i].real != NULL) {
            *out = &list->entries[i];
            n++;
        }
    }
    if (n != 1) {
        *out = NULL;
        return not_one(list,
                       n == 0 ? "no PKCS#11 module is configured"
                              : "several PKCS#11 modules are configured",
                       err);
    }
    return CV_OK;
}

enum cv_status cv_module_list_select(struct cv_module_list *list,
                                     const char *name, const struct cv_uri *uri,
                                     const struct cv_module_entry **out,
                                     struct cv_err *err)
{
    const char *wanted = uri == NULL ? NULL : cv_uri_module_name(uri);
    const char *path = uri == NULL ? NULL : cv_uri_module_path(uri);
    const struct cv_module_entry *other = NULL;
    enum cv_status status = CV_OK;

    *out = NULL;
    if (name == NULL) {
        name = wanted;
    } else if (wanted != NULL && strcmp(name, wanted) != 0) {
        return not_one(list, "the URI's module-name names another module", err);
    }
    if (name == NULL && path == NULL) {
        return select_only(list, out, err);
    }
    if (path != NULL) {
        status = select_path(list, path, out, err);
    }
    if (status == CV_OK && name != NULL) {
        status = select_name(list, name, &other, err);
        if (status == CV_OK && *out != NULL && *out != other) {
            status = not_one(
                list, "module-name and module-path are different modules", err);
        }
        *out = other;
    }
    if (status != CV_OK) {
        *out = NULL;
    }
    return status;
}
