/* Kubeconfigs without a key: an exec plugin (certvault credential) and the
 * relay's address. */
#ifndef CERTVAULT_CLI_KEYLESS_H
#define CERTVAULT_CLI_KEYLESS_H

#include "cli/cli.h"
#include "cli/hop.h"

/* The name of the extension that marks what is ours in a kubeconfig. */
#define CV_KEYLESS_MARK "certvault"

struct cv_keyless {
    const char *vault_id; /* texts are the run's */
    const char *entry;
    const char *context;    /* as it was asked for; NULL: the default one */
    const char *ns;         /* its namespace; NULL: none */
    char name[CV_HOP_NAME]; /* of cluster, user and context */
    cJSON *document;        /* the kubeconfig, the run's */
};

/* Asks the broker and builds the document. `api`: "v1", "v1beta1". What Keyless
 * answers; CV_NOT_FOUND (no such context). */
CV_MUST_USE enum cv_status cv_keyless_make(struct cv_cli *cli, const char *name,
                                           const char *context, const char *api,
                                           struct cv_keyless *out,
                                           struct cv_err *err);

#endif
