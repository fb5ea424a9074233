/* An entry as a JSON document.
 *
 * The document has everything: with the certificate chain, the CA certificates
 * and the history. The store keeps it in two parts: the view, which lists show
 * as it is, and the body, which is read for one entry only. */
#ifndef CERTVAULT_BROKER_ENTRY_H
#define CERTVAULT_BROKER_ENTRY_H

#include "policy/decide.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#define CV_ENTRY_ID_LEN 33    /* hex and a NUL */
#define CV_ENTRY_LABEL_LEN 56 /* a key's label on its token, and a NUL */

/* What comes with new identities, the same for each of one command. */
struct cv_entry_origin {
    const cJSON *source; /* {kind, ...} */
    const cJSON *labels; /* an object of strings */
    bool exportable;
    const char *provenance; /* "sealed" */
    int64_t now_s;
};

/* Checks an identity that intake made (the type Identity of
 * io.certvault.Broker) and makes the stored document of it, named `name`. *out
 * is the caller's to delete. CV_INVALID, CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_entry_from_identity(const cJSON *identity, const char *name,
                       const struct cv_entry_origin *origin, cJSON **out,
                       struct cv_err *err);

/* The two checks by themselves. CV_INVALID. */
CV_MUST_USE enum cv_status cv_entry_check_labels(const cJSON *labels,
                                                 struct cv_err *err);
CV_MUST_USE enum cv_status cv_entry_check_identity(const cJSON *identity,
                                                   struct cv_err *err);

/* The entry as the command line shows it. NULL when memory is gone. */
cJSON *cv_entry_view(const cJSON *doc);

/* The other part. NULL when memory is gone. */
cJSON *cv_entry_body(const cJSON *doc);

/* Makes the view `doc` whole again with its body. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_entry_join(cJSON *doc, const cJSON *body,
                                         struct cv_err *err);

/* As the view, and beside it `chain` (PEM), `ca` (PEM by context) and
 * `history`. NULL when memory is gone. */
cJSON *cv_entry_view_whole(const cJSON *doc);

/* A document's string member, "" where it is not there. */
const char *cv_entry_text(const cJSON *doc, const char *key);

/* What policy looks at. Borrows from the document, which must stay. */
struct cv_entry_subject {
    struct cv_decide_entry entry;
    const char *keys[CV_LIMIT_LABELS];
    const char *values[CV_LIMIT_LABELS];
};
void cv_entry_subject_fill(const cJSON *doc, struct cv_entry_subject *out);

/* Renames, and sets and removes labels (`set` an object of strings, `remove` an
 * array of keys; NULL: none) in the document, `updated` included. CV_INVALID
 * (grammar, too many labels), CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_entry_rename(cJSON *doc, const char *name,
                                           int64_t now_s, struct cv_err *err);
CV_MUST_USE enum cv_status cv_entry_label(cJSON *doc, const cJSON *set,
                                          const cJSON *remove, int64_t now_s,
                                          struct cv_err *err);

/* What the record says of an entry that is taken in, and of one that is given
 * out; the caller deletes it. */
cJSON *cv_entry_details_taken(const cJSON *doc);
cJSON *cv_entry_details_released(const cJSON *doc);

/* What the outcome says of a key that came to a token: how, and whether the
 * token lets it out. */
cJSON *cv_entry_details_came(const cJSON *doc);

/* Makes the history line of an event. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_entry_note(cJSON *doc, const char *what,
                                         const char *by, int64_t now_s,
                                         struct cv_err *err);

/* The kubeconfig (kind: Config) for `doc` with its key (base64 of PEM), made
 * where
 * cJSON values are being made. `context` NULL: all contexts, the default one
 * current. Names of cluster and user are the entry's own, because CCE's are
 * the same for every cluster. CV_NOT_FOUND (no such context), CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_entry_kubeconfig(const cJSON *doc,
                                               const char *context,
                                               const char *key_base64,
                                               cJSON **out, struct cv_err *err);

/* Has `doc` this context? NULL: all of them, which it has. CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_entry_check_context(const cJSON *doc,
                                                  const char *context,
                                                  struct cv_err *err);

/* Keys on tokens (entry_token.c). `key_ref` is a KeyRef of io.certvault.Module;
 * lists do not show it, `token_uri` says the same for people. */

/* Is its key on a token? */
bool cv_entry_token_has(const cJSON *doc);

/* Its KeyRef, borrowed, and the URI of its token; NULL and "" where it has
 * none. */
const cJSON *cv_entry_token_ref(const cJSON *doc);
const char *cv_entry_token_uri(const cJSON *doc);

/* A KeyRef; NULL when memory is gone. `spki` (base64 of DER) and `label` may be
 * NULL. */
cJSON *cv_entry_token_make_ref(const char *token, const char *id,
                               const char *spki, const char *label);

/* Says that the key is where `ref` (taken) says. False when memory is gone. */
bool cv_entry_token_place(cJSON *doc, cJSON *ref);

bool cv_entry_token_set(cJSON *doc, const char *state, const char *provenance,
                        bool leaky);

/* "certvault:<8 hex of the vault's id>:<entry id>" */
void cv_entry_token_label(const char *vault_id, const char *entry_id,
                          char out[CV_ENTRY_LABEL_LEN]);

#endif
