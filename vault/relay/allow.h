/* May this request go upstream under this grant, is it recorded, and which of
 * its headers go along? Pure functions; they allocate nothing.
 *
 * read_only    get, list and watch; not exec, attach, portforward or proxy,
 *              which change things whatever the method, and no upgrade but of a
 *              watch or a log. Reviews of one's own rights (create of
 *              selfsubjectaccessreviews, selfsubjectrulesreviews,
 *              selfsubjectreviews) store nothing and pass.
 * verbs        the verb must be in the list ("*": any). exec, attach,
 *              portforward, proxy and unknown upgrades count as create,
 *              whatever the method.
 * namespaces   patterns (`*` any run, `?` one character). A request without a
 *              namespace (cluster-wide lists, nodes) is denied, but for reviews
 *              of one's own rights.
 * resources    "pods", "pods/log", "deployments.apps",
 * "deployments.apps/scale". Without a group it is this resource of any group;
 * "pods." is the core group's. Patterns do not go over "/" or "."; "pods" is
 * not "pods/log". "*" alone is everything, subresources too. Each list that is
 * given must permit it. Paths that are no resources: what clients need for
 * discovery (GET and HEAD of /, /api, /apis, /version, /openapi /healthz,
 * /livez, /readyz and what is below) is always permitted; others are denied
 * under namespaces or resources, and under read_only but for GET and HEAD. */
#ifndef CERTVAULT_RELAY_ALLOW_H
#define CERTVAULT_RELAY_ALLOW_H

#include "vault/relay/grant.h"
#include "vault/relay/info.h"

/* CV_OK, or CV_DENIED: the text says what is denied and by which limit (names
 * from the request quoted), the hint what would help. `upgrade`: the request
 * asks for another protocol (h1 Upgrade, h2 extended CONNECT). Does not look at
 * the clock: that the grant lives is the caller's to see. */
CV_MUST_USE enum cv_status cv_allow_decide(const struct cv_grant *grant,
                                           const struct cv_info *info,
                                           bool upgrade, struct cv_err *err);

/* Must it be in the log before it goes upstream (or is refused)? Refusals
 * always; else as the grant's record level says. A write is all that read_only
 * would deny. */
bool cv_allow_is_recorded(const struct cv_grant *grant,
                          const struct cv_info *info, bool upgrade,
                          bool permit);

enum cv_allow_header {
    CV_ALLOW_KEEP,  /* goes upstream as it is */
    CV_ALLOW_DROP,  /* does not: hop-by-hop, or the relay sets its own (Host,
                       Audit-ID, Content-Length, forwarding headers) */
    CV_ALLOW_REFUSE /* the request is refused with 403: it speaks of who asks */
};

/* What to do with one header of a client's request. Names are compared without
 * regard to case, `_` taken as `-`, as some proxies do. Also refused: a bearer
 * token among WebSocket subprotocols, which kube-apiserver takes as well. */
enum cv_allow_header cv_allow_header(struct cv_slice name,
                                     struct cv_slice value);

/* The error for a header that is refused: CV_DENIED, naming it. */
enum cv_status cv_allow_header_denied(struct cv_slice name, struct cv_err *err);

#endif
