/* Where a copy of the record goes, as the configuration writes it
 * (`audit.sinks`):
 *
 *     syslog+udp://HOST[:PORT]      RFC 5424 over RFC 5426; port 514
 *     syslog+tcp://HOST[:PORT]      RFC 6587, octet counting; port 514
 *     syslog+tls://HOST[:PORT]      RFC 5425; port 6514
 *     syslog+unix:/PATH             datagrams, /dev/log
 *     journald:                     systemd's journal
 *     command:/PATH                 leaves as lines on its standard input
 *     https://HOST[:PORT]/PATH      POST of JSON lines; http:// too
 *
 * Parameters stand behind '?', those of http and https, whose '?' is the
 * server's, behind '#', parted by '&':
 *
 *     ca=/PATH       (tls, https) a PEM file: who is trusted instead of the
 *                    system's authorities
 *     behind=N       records that it may be behind before it skips ahead
 *
 * A server's name and chain are always verified. No text holds a credential. */
#ifndef CERTVAULT_CLI_SINK_TARGET_H
#define CERTVAULT_CLI_SINK_TARGET_H

#include "vault/base/err.h"
#include "vault/base/limits.h"

#include <stdbool.h>

enum cv_sink_target_kind {
    CV_SINK_TARGET_UDP,
    CV_SINK_TARGET_TCP,
    CV_SINK_TARGET_TLS,
    CV_SINK_TARGET_UNIX,
    CV_SINK_TARGET_JOURNAL,
    CV_SINK_TARGET_COMMAND,
    CV_SINK_TARGET_HTTP,
    CV_SINK_TARGET_HTTPS
};

struct cv_sink_target {
    enum cv_sink_target_kind kind;
    /* The text without parameters: what it is called, and what its cursor is
     * kept by. */
    char name[CV_LIMIT_URL + 1];
    char origin[CV_LIMIT_HOST + 24]; /* network: "HOST:PORT", [] around IPv6 */
    char host[CV_LIMIT_HOST + 1];    /* without [] */
    char port[8];
    char path[CV_LIMIT_URL + 1]; /* of a socket, a command, an HTTP request */
    char ca[CV_LIMIT_URL + 1];   /* "": the system's */
    uint64_t behind;
};

/* Reads `text`. CV_CONFIG, saying what is wrong, never showing a value. */
CV_MUST_USE enum cv_status cv_sink_target_parse(const char *text,
                                                struct cv_sink_target *out,
                                                struct cv_err *err);

#endif
