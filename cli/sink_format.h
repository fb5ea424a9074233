/* One leaf of the record as one message of a sink's protocol.
 *
 * The leaf's bytes are handed on as they are: canonical JSON, printable ASCII
 * without a line end. What stands around them is taken out of the leaf and
 * written in printable ASCII too, so that nothing that a client sent begins a
 * line, a field or a message of its own. */
#ifndef CERTVAULT_CLI_SINK_FORMAT_H
#define CERTVAULT_CLI_SINK_FORMAT_H

#include "vault/base/buf.h"

#include <stdbool.h>

struct cv_sink_format_record {
    uint64_t seq;         /* of a gap: the first record that is missing */
    struct cv_bytes text; /* the leaf; of a gap {"gap": {...}} */
    bool gap;             /* it is no leaf: it tells of those skipped */
};

/* Appends an RFC 5424 message: facility 13 (log audit), severity by how it
 * went, MSGID the action, structured data with the leaf's number, MSG the leaf.
 * More than `ceiling` bytes (0: no matter) are cut off MSG, and the structured
 * data then says so: how many bytes the leaf has, and its RFC 6962 hash. */
void cv_sink_format_syslog(const struct cv_sink_format_record *r,
                           size_t ceiling, struct cv_buf *out);

/* Appends a datagram of systemd's journal (systemd.io, "Native Journal
 * Protocol"): MESSAGE is the leaf, CERTVAULT_* what one looks for. */
void cv_sink_format_journal(const struct cv_sink_format_record *r,
                            struct cv_buf *out);

/* Appends the leaf and a line feed. */
void cv_sink_format_line(const struct cv_sink_format_record *r,
                         struct cv_buf *out);

#endif
