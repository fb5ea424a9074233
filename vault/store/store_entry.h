/* Entries: one client identity on one cluster each.
 *
 * Unique are the entry's id, its name, and its pair of key (SPKI) and CA set.
 * The rest of what the broker knows are two JSON texts that the store does not
 * look into: `doc`, which lists give and should be small, and `body`, which is
 * read for one entry only (certificates, CA bundles). The sealed key lies apart
 * from both. */
#ifndef CERTVAULT_STORE_STORE_ENTRY_H
#define CERTVAULT_STORE_STORE_ENTRY_H

#include "vault/store/store.h"

#define CV_STORE_DOC_MAX (4u * 1024 * 1024) /* bytes of a JSON text */
#define CV_STORE_HASH 64                    /* hex digits of a digest */

struct cv_store_entry {
    const char *entry_id;   /* 32 hex */
    const char *name;       /* NAME */
    const char *spki;       /* 64 hex */
    const char *ca_set;     /* 64 hex */
    const char *labels;     /* JSON object of strings, canonical */
    const char *doc;        /* JSON text: what lists show */
    const char *body;       /* JSON text; NULL: none, or not read */
    struct cv_bytes sealed; /* the sealed key; len 0: none, or not read */
    int64_t not_after;      /* seconds since 1970, UTC */
    int64_t created;
    int64_t updated;
};

/* Adds an entry. CV_EXISTS: its name, identity or id is taken (the text names
 * the entry that has it); CV_INVALID: a member is not what it must be. */
CV_MUST_USE enum cv_status
cv_store_entry_put(struct cv_store *store, const struct cv_store_entry *entry,
                   struct cv_err *err);

/* Replaces name, labels, doc, not_after and updated of the entry with this id,
 * its body where that is not NULL, and its sealed key where `sealed` is not
 * empty. spki, ca_set and created stay as they are. CV_NOT_FOUND, CV_EXISTS
 * (name), CV_INVALID. */
CV_MUST_USE enum cv_status
cv_store_entry_update(struct cv_store *store,
                      const struct cv_store_entry *entry, struct cv_err *err);

/* Removes an entry and all that belongs to it. CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_store_entry_remove(struct cv_store *store,
                                                 const char *entry_id,
                                                 struct cv_err *err);

/* Finds one. *out is a copy that the caller frees with cv_store_entry_free;
 * NULL on failure. Its body is read, with `sealed` its sealed key too.
 * CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_store_entry_by_name(struct cv_store *store,
                                                  const char *name, bool sealed,
                                                  struct cv_store_entry **out,
                                                  struct cv_err *err);
CV_MUST_USE enum cv_status
cv_store_entry_by_id(struct cv_store *store, const char *entry_id, bool sealed,
                     struct cv_store_entry **out, struct cv_err *err);
CV_MUST_USE enum cv_status
cv_store_entry_by_identity(struct cv_store *store, const char *spki,
                           const char *ca_set, bool sealed,
                           struct cv_store_entry **out, struct cv_err *err);
void cv_store_entry_free(struct cv_store_entry *entry);

/* A label that must be there; `value` NULL: with any value. */
struct cv_store_label {
    const char *key;
    const char *value;
};

/* All that is given must hold. */
struct cv_store_filter {
    const struct cv_store_label *labels;
    size_t n_labels;        /* at most CV_LIMIT_LABELS */
    const char *pattern;    /* glob over the name; NULL: any */
    int64_t not_after_upto; /* expires at or before; INT64_MAX: any */
    const char *spki; /* 64 hex: this key, whatever its CA set; NULL: any */
};

/* Everything. */
void cv_store_entry_filter_init(struct cv_store_filter *filter);

/* Called for each entry, by name, without body and sealed key; borrowed for the
 * call, in which the store must not be changed. Anything but CV_OK ends the
 * list and is what it returns. */
typedef enum cv_status cv_store_entry_fn(void *ctx,
                                         const struct cv_store_entry *entry,
                                         struct cv_err *err);
CV_MUST_USE enum cv_status
cv_store_entry_list(struct cv_store *store,
                    const struct cv_store_filter *filter, cv_store_entry_fn *fn,
                    void *ctx, struct cv_err *err);

/* How many entries there are. */
CV_MUST_USE enum cv_status
cv_store_entry_count(struct cv_store *store, uint64_t *n, struct cv_err *err);

#endif
