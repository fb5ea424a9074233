/* One record, by itself. */
#include "vault/audit/verify_internal.h"

#include "vault/audit/crc32c_internal.h"
#include "vault/audit/record_internal.h"

#include <string.h>

#define NEW_KEY "\"new_log_key\""
#define CUT "\"" CV_ARCHIVED_METHOD "\""
#define CARRIED "\"" CV_CARRIED_METHOD "\""

static int64_t digits(const uint8_t *p, int n)
{
    int64_t value = 0;

    while (n-- > 0) {
        value = value * 10 + (*p++ - '0');
    }
    return value;
}

/* Seconds since 1970 of a time that has the form: proleptic Gregorian, and
 * growing with the time also where the date does not exist. */
static int64_t seconds(struct cv_bytes t)
{
    int64_t year = digits(t.data, 4), month = digits(t.data + 5, 2);
    int64_t days;

    year -= month <= 2;
    days = year * 365 + year / 4 - year / 100 + year / 400 +
           (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 +
           digits(t.data + 8, 2) - 719469;
    return days * 86400 + digits(t.data + 11, 2) * 3600 +
           digits(t.data + 14, 2) * 60 + digits(t.data + 17, 2);
}

/* What is done once it is decided: no outcome is said unless it fails. */
static bool is_read(const struct cv_record *r, struct cv_bytes leaf)
{
    static const char read[] = "\"read\":true"; /* in its details */

    return cv_record_is(r->action, "list") || cv_record_is(r->action, "show") ||
           cv_record_is(r->action, "audit.read") ||
           cv_record_is(r->action, "policy.read") ||
           ((cv_record_is(r->action, "admin") ||
             cv_record_is(r->action, "fetch") ||
             cv_record_is(r->action, "fetch.service")) &&
            memmem(leaf.data, leaf.len, read, sizeof read - 1) != NULL);
}

static bool has(struct cv_bytes leaf, const char *word)
{
    return memmem(leaf.data, leaf.len, word, strlen(word)) != NULL;
}

/* All but the hash. */
static void read_record(struct cv_bytes leaf, struct cv_record *r,
                        struct cv_verify_look *out)
{
    uint64_t mono = 0;

    out->wrong = cv_record_read(leaf, r);
    if (out->wrong != NULL) {
        return;
    }
    out->seq = r->seq;
    memcpy(out->prev, r->prev, sizeof out->prev);
    out->op = cv_ops_hash(r->op);
    out->permit = cv_record_is(r->phase, "decision") &&
                  cv_record_is(r->decision, "permit");
    out->read = out->permit && is_read(r, leaf);
    out->outcome = cv_record_is(r->phase, "outcome");
    out->clock = cv_record_is(r->action, "clock");
    if (cv_record_is(r->action, "admin")) {
        const bool event = cv_record_is(r->phase, "event");

        out->key = (out->outcome && has(leaf, NEW_KEY)) ||
                   (event && has(leaf, CARRIED));
        out->cut = event && has(leaf, CUT);
    }
    out->time_s = seconds(r->time);
    out->mono_ms = cv_canon_uint(r->mono, &mono) ? (int64_t)mono : -1;
    out->boot = cv_ops_hash(r->boot);
}

void cv_verify_look_at(struct cv_bytes leaf, struct cv_verify_look *out,
                       uint8_t hash[CV_TREE_HASH])
{
    struct cv_record r;

    memset(out, 0, sizeof *out);
    cv_tree_leaf(leaf, hash);
    read_record(leaf, &r, out);
}

/* The checksum that stands before a leaf. */
static uint32_t checksum_of(struct cv_bytes leaf)
{
    const uint8_t *p = leaf.data - 4;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* Two by two: what is looked at several times is near then. The last of an odd
 * number has itself beside it. */
size_t cv_verify_look_at_all(const uint8_t *bytes, struct cv_verify_look *look,
                             size_t n, struct cv_record *room,
                             uint8_t (*hash)[CV_TREE_HASH])
{
    for (size_t i = 0; i < n; i += 2) {
        struct cv_verify_look *l = look + i;
        const size_t other = i + 1 < n;
        const struct cv_bytes two[2] = {{bytes + l->at, l->len},
                                        {bytes + l[other].at, l[other].len}};
        uint8_t unused[CV_TREE_HASH];
        uint8_t *const out[2] = {hash[i], other ? hash[i + 1] : unused};
        uint32_t crc[2];

        cv_crc32c_two(two, crc);
        if (crc[0] != checksum_of(two[0])) {
            return i;
        }
        cv_tree_two_leaves(two, out);
        read_record(two[0], room, l);
        if (crc[1] != checksum_of(two[1])) {
            return i + 1;
        }
        if (other) {
            read_record(two[1], room, l + 1);
        }
    }
    return n;
}
