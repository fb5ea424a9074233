/* The one error idiom.
 *
 * A function that can fail returns an enum cv_status and takes, as its last
 * argument, a struct cv_err that its caller owns (usually on the stack) or
 * NULL. On success the status is CV_OK and the error object is untouched. On
 * failure the object says what was wrong, what state things are in now and
 * what to do next (one line each), where in the source it was found, and which
 * native number (errno, CURLcode, SQLite code, CK_RV) lay beneath. Callers
 * branch on the status alone. No heap is used, so that an error can be told
 * when memory is gone. Texts never hold a secret, nor bytes of what a peer
 * sent that were not checked for being printable (use cv_err_quote).
 *
 * Threads: an object belongs to one thread at a time; there is no global. */
#ifndef CERTVAULT_BASE_ERR_H
#define CERTVAULT_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define CV_MUST_USE __attribute__((warn_unused_result))
#define CV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Each status has one exit code (cv_err_exit_code) and one word
 * (cv_err_code_name), both part of the command-line contract. */
enum cv_status {
    CV_OK = 0,      /*  0                                               */
    CV_FAILED,      /*  1 "failed": a failed `policy test`, for example */
    CV_INTERNAL,    /*  1 "internal": a bug, or memory is gone          */
    CV_USAGE,       /* 64 "usage"                                       */
    CV_INVALID,     /* 65 "invalid": input refused                      */
    CV_EXISTS,      /* 65 "exists": name or identity in use             */
    CV_EXPIRED,     /* 65 "expired": certificate expired                */
    CV_NOT_FOUND,   /* 66 "not-found": no such entry, file, object      */
    CV_UNAVAILABLE, /* 69 "unavailable": token, broker, lock, program   */
    CV_LOCKED,      /* 69 "locked": a PIN or passphrase is wanted       */
    CV_AUTH,        /* 69 "auth": a PIN or passphrase was wrong         */
    CV_INTEGRITY,   /* 70 "integrity": tampering, rollback, bad proof   */
    CV_IO,          /* 74 "io": record or store not writable            */
    CV_BUSY,        /* 75 "busy": try later                             */
    CV_REMOTE,      /* 76 "remote": API, network or TLS                 */
    CV_DENIED,      /* 77 "denied": by policy                           */
    CV_CONFIG,      /* 78 "config": configuration, module not allowed   */
    CV_INTERRUPTED, /* 130 "interrupted": Ctrl-C or its kin ended it    */
    CV_STATUS_COUNT
};

/* Whose number `native` is. */
enum cv_domain {
    CV_DOMAIN_NONE = 0,
    CV_DOMAIN_ERRNO,
    CV_DOMAIN_SQLITE,
    CV_DOMAIN_CURL,
    CV_DOMAIN_OPENSSL,
    CV_DOMAIN_HTTP,
    CV_DOMAIN_PKCS11
};

#define CV_ERR_TEXT_LEN 320
#define CV_ERR_HINT_LEN 320
#define CV_ERR_STATE_LEN 200
#define CV_ERR_ID_LEN 72
#define CV_ERR_FRAMES 4

struct cv_err_frame {
    const char *file; /* a literal */
    int line;
};

struct cv_err {
    enum cv_status status;
    enum cv_domain domain;
    long native;
    char text[CV_ERR_TEXT_LEN];     /* what was wrong */
    char state[CV_ERR_STATE_LEN];   /* what state things are in; may be "" */
    char hint[CV_ERR_HINT_LEN];     /* what to do next; may be "" */
    int64_t audit_seq;              /* leaf that records it; -1: none */
    char request_id[CV_ERR_ID_LEN]; /* a cloud API's id; may be "" */
    double retry_after_s;           /* seconds; < 0: not known */
    unsigned n_frames;
    struct cv_err_frame frames[CV_ERR_FRAMES]; /* origin first */
};

/* Empties `e`; NULL is fine. Call it before the first use. */
void cv_err_init(struct cv_err *e);

/* Fills `e` (NULL is fine) and returns `status`, so that a caller can write
 *     return cv_fail(err, CV_INVALID, "the file holds no user");
 * A text longer than CV_ERR_TEXT_LEN is cut; what is not UTF-8 or must not
 * reach a terminal (cv_utf8_is_shown) becomes '?'. */
#define cv_fail(e, status, ...)                                      \
    cv_err_set((e), (status), CV_DOMAIN_NONE, 0, __FILE__, __LINE__, \
               __VA_ARGS__)

/* As cv_fail, with errno as the native number; ": strerror" is appended. */
#define cv_fail_errno(e, status, ...) \
    cv_err_set_errno((e), (status), __FILE__, __LINE__, __VA_ARGS__)

/* As cv_fail, with a native number of another domain. */
#define cv_fail_native(e, status, domain, native, ...)                \
    cv_err_set((e), (status), (domain), (native), __FILE__, __LINE__, \
               __VA_ARGS__)

/* Notes that the error passed through here; returns e->status. Use it where a
 * caller hands an error on and the place helps to find the cause. */
#define cv_pass(e, status) cv_err_frame((e), (status), __FILE__, __LINE__)

enum cv_status cv_err_set(struct cv_err *e, enum cv_status status,
                          enum cv_domain domain, long native, const char *file,
                          int line, const char *fmt, ...) CV_PRINTF(7, 8);
enum cv_status cv_err_set_errno(struct cv_err *e, enum cv_status status,
                                const char *file, int line, const char *fmt,
                                ...) CV_PRINTF(5, 6);
enum cv_status cv_err_frame(struct cv_err *e, enum cv_status status,
                            const char *file, int line);

/* Sets the hint or the state of an error that was already set; NULL is fine.
 * They return nothing, so that the failing return stays in one place. */
void cv_err_hint(struct cv_err *e, const char *fmt, ...) CV_PRINTF(2, 3);
void cv_err_state(struct cv_err *e, const char *fmt, ...) CV_PRINTF(2, 3);

/* Puts "context: " before the text, e.g. a file's name. */
void cv_err_prefix(struct cv_err *e, const char *fmt, ...) CV_PRINTF(2, 3);

/* The process exit code of a status (0, 1, 64 to 78, 130). */
int cv_err_exit_code(enum cv_status status);

/* The word of a status ("denied"), a literal; and back. A word that is none of
 * them, and "ok", are CV_INTERNAL: what a peer calls an error never reads as a
 * success. */
const char *cv_err_code_name(enum cv_status status);
enum cv_status cv_err_from_code_name(const char *word);

/* Copies at most `out_len` - 1 bytes of `text` (`len` bytes) into `out`, every
 * byte that is not printable ASCII replaced by '?', with "..." at the end where
 * it was cut. Returns `out`. For names from outside that an error shows. */
const char *cv_err_quote(char *out, size_t out_len, const char *text,
                         size_t len);

#endif
