/* What the parts of a probe share. */
#ifndef CERTVAULT_PKCS11_PROBE_INTERNAL_H
#define CERTVAULT_PKCS11_PROBE_INTERNAL_H

#include "pkcs11/create_internal.h"
#include "pkcs11/examine.h"
#include "pkcs11/probe.h"

/* The kinds of keys that are asked about. */
struct probe_kind {
    const char *kind;
    const char *algorithm; /* generate.h */
    CK_MECHANISM_TYPE generate, sign;
    unsigned bits;
};
#define PROBE_KINDS 4
extern const struct probe_kind cv_probe_kinds[PROBE_KINDS];

/* What was tried: nothing, with what answer. */
struct probe_try {
    bool tried;
    bool works;
    CK_RV rv; /* or an error that has none: CKR_OK and not `works` */
};

struct probe {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    bool destructive;
    struct cv_arena *arena;
    /* what the destructive half found */
    struct probe_try generate[PROBE_KINDS], import[PROBE_KINDS],
        sign[PROBE_KINDS];
    enum cv_create_way way[PROBE_KINDS];
    struct probe_try unwrap[8];
    struct probe_try certificates, public_keys, data;
    const char *transport; /* NULL: not tried */
    bool examined;
    struct cv_findings findings;
    struct cv_notes lies;
    size_t left_behind;
};

/* Does all of it on scratch objects. */
void cv_probe_scratch(struct probe *p);

/* Destroys every object labelled CV_PROBE_LABEL; how many are still there. */
size_t cv_probe_scratch_clear(struct probe *p);

#endif
