#include "policy/posix_internal.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 44
#define TRANSITIONS 4096

struct cv_zone {
    int32_t first_s; /* before the first transition */
    bool has_rule;   /* after the last one */
    struct cv_posix rule;
    size_t n;
    int64_t *times;
    int32_t *offsets;
};

struct counts {
    uint32_t ut, std, leap, time, type, chars;
};

bool cv_zone_is_name(const char *name)
{
    bool begins = true;
    size_t len = strlen(name);
    if (len > CV_ZONE_NAME)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-';
        if (c == '/' ? begins : !letter && (begins || !other))
            return false;
        begins = c == '/';
    }
    return !begins;
}

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

static int64_t big64(const uint8_t *p)
{
    return (int64_t)((uint64_t)big32(p) << 32 | big32(p + 4));
}

static bool read_header(struct cv_bytes b, struct counts *c)
{
    if (b.len < HEADER || memcmp(b.data, "TZif", 4) != 0 || b.data[4] < '2' ||
        b.data[4] > '4')
        return false;
    const uint8_t *p = b.data + 20;
    *c = (struct counts){big32(p),      big32(p + 4),  big32(p + 8),
                         big32(p + 12), big32(p + 16), big32(p + 20)};
    return c->ut <= 256 && c->std <= 256 && c->leap <= TRANSITIONS &&
           c->time <= TRANSITIONS && c->type >= 1 && c->type <= 256 &&
           c->chars >= 1 && c->chars <= 4096;
}

static size_t body_len(const struct counts *c, size_t time_size)
{
    return c->time * (time_size + 1) + c->type * 6 + c->chars +
           c->leap * (time_size + 4) + c->std + c->ut;
}

static enum cv_status damaged(struct cv_err *err, const char *what)
{
    return cv_fail(err, CV_INVALID, "not a time zone file: %s", what);
}

/* The 64-bit block: times, types by index, types. */
static enum cv_status read_body(const uint8_t *p, const struct counts *c,
                                struct cv_zone *z, struct cv_err *err)
{
    const uint8_t *index = p + (size_t)c->time * 8;
    const uint8_t *types = index + c->time;
    for (size_t i = 0; i < c->type; i++) {
        int32_t s = (int32_t)big32(types + i * 6);
        if (s < -93599 || s > 93599) /* RFC 9636: -25 h to 26 h */
            return damaged(err, "an offset of more than a day");
    }
    z->first_s = (int32_t)big32(types);
    for (size_t i = 0; i < c->time; i++) {
        z->times[i] = big64(p + i * 8);
        if (index[i] >= c->type || (i > 0 && z->times[i] <= z->times[i - 1]))
            return damaged(err, "its transitions are not in order");
        z->offsets[i] = (int32_t)big32(types + (size_t)index[i] * 6);
    }
    z->n = c->time;
    return CV_OK;
}

/* LF, a POSIX TZ string or nothing, LF, the end. */
static enum cv_status read_footer(struct cv_bytes rest, struct cv_zone *z,
                                  struct cv_err *err)
{
    if (rest.len < 2 || rest.len > 128 || rest.data[0] != '\n' ||
        rest.data[rest.len - 1] != '\n')
        return damaged(err, "its footer is not as it should be");
    if (rest.len == 2)
        return CV_OK;
    z->has_rule = true;
    if (!cv_posix_parse((const char *)rest.data + 1, rest.len - 2, &z->rule))
        return damaged(err, "its rule for the future cannot be read");
    return CV_OK;
}

enum cv_status cv_zone_parse(struct cv_bytes file, struct cv_zone **out,
                             struct cv_err *err)
{
    struct counts c;
    *out = NULL;
    if (file.len > CV_ZONE_FILE)
        return damaged(err, "it is too long");
    if (!read_header(file, &c))
        return damaged(err, "no header of version 2 or later");
    size_t skip = HEADER + body_len(&c, 4);
    if (skip > file.len ||
        !read_header((struct cv_bytes){file.data + skip, file.len - skip}, &c))
        return damaged(err, "it is cut short");
    skip += HEADER;
    if (c.leap != 0)
        return damaged(err, "it counts leap seconds");
    if (body_len(&c, 8) > file.len - skip)
        return damaged(err, "it is cut short");

    struct cv_zone *z = calloc(1, sizeof(*z));
    if (z != NULL) {
        z->times = calloc(c.time + 1U, sizeof(*z->times));
        z->offsets = calloc(c.time + 1U, sizeof(*z->offsets));
    }
    enum cv_status st = CV_OK;
    if (z == NULL || z->times == NULL || z->offsets == NULL)
        st = cv_fail(err, CV_INTERNAL, "no memory for a time zone");
    if (st == CV_OK)
        st = read_body(file.data + skip, &c, z, err);
    skip += body_len(&c, 8);
    if (st == CV_OK)
        st = read_footer((struct cv_bytes){file.data + skip, file.len - skip},
                         z, err);
    if (st != CV_OK) {
        cv_zone_free(z);
        return st;
    }
    *out = z;
    return CV_OK;
}

void cv_zone_free(struct cv_zone *zone)
{
    if (zone == NULL)
        return;
    free(zone->times);
    free(zone->offsets);
    free(zone);
}

int32_t cv_zone_offset(const struct cv_zone *zone, int64_t t)
{
    if (zone == NULL)
        return 0;
    if (zone->has_rule && (zone->n == 0 || t >= zone->times[zone->n - 1]))
        return cv_posix_offset(&zone->rule, t);
    /* How many transitions are not behind `t`. */
    size_t low = 0;
    size_t high = zone->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (zone->times[mid] <= t)
            low = mid + 1;
        else
            high = mid;
    }
    return low == 0 ? zone->first_s : zone->offsets[low - 1];
}

void cv_zone_local(const struct cv_zone *zone, int64_t t, unsigned *minute,
                   unsigned *weekday)
{
    int64_t local = t + cv_zone_offset(zone, t);
    int64_t second = local % 86400;
    if (second < 0)
        second += 86400;
    int64_t day = (local - second) / 86400;
    *minute = (unsigned)(second / 60);
    *weekday = (unsigned)(((day + 3) % 7 + 7) % 7); /* 1970: a Thursday */
}
