#include "tests/unit/policy_test.h"

#include "policy/posix_internal.h"
#include "policy/zone.h"

#include "vault/base/encode.h"

static size_t file_of(const char *name, uint8_t *out, size_t room)
{
    struct cv_buf b;
    cJSON *zones = all_zones();
    const char *text =
        cJSON_GetObjectItemCaseSensitive(zones, name)->valuestring;
    cv_buf_init(&b, NULL, room);
    assert_int_equal(
        cv_decode_base64(text, strlen(text), false, name, &b, NULL), CV_OK);
    memcpy(out, b.data, b.len);
    size_t len = b.len;
    cv_buf_wipe(&b);
    cJSON_Delete(zones);
    return len;
}

static struct cv_zone *zone_of(const char *name)
{
    uint8_t file[8192];
    struct cv_zone *z = NULL;
    size_t len = file_of(name, file, sizeof(file));
    assert_int_equal(cv_zone_parse((struct cv_bytes){file, len}, &z, NULL),
                     CV_OK);
    return z;
}

/* Seconds before and at a change, as the tz database and its tables have it. */
static const struct {
    const char *zone;
    int64_t at;
    int32_t before;
    int32_t from;
} changes[] = {
    {"Europe/Berlin", 1774746000, 3600, 7200},          /* 2026-03-29 01:00Z */
    {"Europe/Berlin", 1792890000, 7200, 3600},          /* 2026-10-25 01:00Z */
    {"Europe/Berlin", INT64_C(4078429200), 3600, 7200}, /* 2099-03-29 */
    {"Europe/Berlin", -2422054408, 3208, 3600}, /* 1893-04-01, local time */
    {"America/New_York", 1772953200, -18000, -14400},  /* 2026-03-08 07:00Z */
    {"America/New_York", 1793512800, -14400, -18000},  /* 2026-11-01 06:00Z */
    {"Australia/Lord_Howe", 1775314800, 39600, 37800}, /* 2026-04-04 15:00Z */
    {"Pacific/Apia", 1325239200, -36000, 50400}, /* 2011-12-30: a day less */
};

static void knows_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct cv_zone *z = zone_of(changes[i].zone);
        if (cv_zone_offset(z, changes[i].at - 1) != changes[i].before ||
            cv_zone_offset(z, changes[i].at) != changes[i].from)
            fail_msg("%s at %lld: %d then %d", changes[i].zone,
                     (long long)changes[i].at,
                     cv_zone_offset(z, changes[i].at - 1),
                     cv_zone_offset(z, changes[i].at));
        cv_zone_free(z);
    }
}

static void tells_local_time(void **state)
{
    (void)state;
    unsigned minute;
    unsigned day;
    cv_zone_local(NULL, 0, &minute, &day);
    assert_int_equal(minute, 0);
    assert_int_equal(day, 3); /* Thursday */
    cv_zone_local(NULL, -1, &minute, &day);
    assert_int_equal(minute, 24 * 60 - 1);
    assert_int_equal(day, 2);
    cv_zone_local(NULL, MONDAY_10, &minute, &day);
    assert_int_equal(minute, 600);
    assert_int_equal(day, 0);
    struct cv_zone *z = zone_of("Asia/Kolkata");
    cv_zone_local(z, MONDAY_10 + 9 * 3600, &minute, &day);
    assert_int_equal(minute, 30); /* Tuesday, 00:30 */
    assert_int_equal(day, 1);
    cv_zone_free(z);
}

static int32_t by_rule(const char *text, int64_t t)
{
    struct cv_posix p;
    if (!cv_posix_parse(text, strlen(text), &p))
        fail_msg("%s", text);
    return cv_posix_offset(&p, t);
}

static void follows_posix_rules(void **state)
{
    (void)state;
    assert_int_equal(by_rule("UTC0", 0), 0);
    assert_int_equal(by_rule("<+0330>-3:30", 0), 12600);
    assert_int_equal(by_rule("XXX1:02:03", 0), -3723);
    /* RFC 9636: summer time all the year. */
    assert_int_equal(by_rule("XXX3EDT4,0/0,J365/23", 1767225599), -14400);
    assert_int_equal(by_rule("XXX3EDT4,0/0,J365/23", 1767225600), -14400);
    assert_int_equal(by_rule("XXX3EDT4,0/0,J365/23", 1800000000), -14400);
    /* Jn leaves 29 February out, n counts it: 2028 is a leap year. 1 March is
     * J60 and day 60. */
    int64_t march = 1835481600; /* 2028-03-01 00:00Z */
    assert_int_equal(by_rule("AAA0BBB,J60/0,J300/0", march - 1), 0);
    assert_int_equal(by_rule("AAA0BBB,J60/0,J300/0", march), 3600);
    assert_int_equal(by_rule("AAA0BBB,60/0,J300/0", march - 1), 0);
    assert_int_equal(by_rule("AAA0BBB,60/0,J300/0", march), 3600);
    assert_int_equal(by_rule("AAA0BBB,59/0,J300/0", march - 1), 3600);
    /* A time of day before the day: Nuuk, M3.5.0/-1. */
    assert_int_equal(by_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774745999),
                     -7200);
    assert_int_equal(by_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774746000),
                     -3600);
}

/* 1 March, which is J60 and day 60 of a leap year (59 of another), in years of
 * all kinds: the second before it and itself. */
static void knows_leap_years(void **state)
{
    static const struct {
        int64_t march; /* 00:00Z */
        bool leap;
    } years[] = {
        {INT64_C(68256000), true},      /* 1972 */
        {INT64_C(99792000), false},     /* 1973 */
        {INT64_C(888710400), false},    /* 1998 */
        {INT64_C(951868800), true},     /* 2000 */
        {INT64_C(1046476800), false},   /* 2003 */
        {INT64_C(1709251200), true},    /* 2024 */
        {INT64_C(1740787200), false},   /* 2025 */
        {INT64_C(4107542400), false},   /* 2100 */
        {INT64_C(13574649600), true},   /* 2400 */
        {INT64_C(13606185600), false},  /* 2401 */
        {INT64_C(253375862400), false}, /* 9999 */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(years) / sizeof(years[0]); i++) {
        static const char julian[] = "AAA0BBB,J60/0,J300/0";
        const char *day =
            years[i].leap ? "AAA0BBB,60/0,300/0" : "AAA0BBB,59/0,300/0";
        int64_t t = years[i].march;
        assert_int_equal(by_rule(julian, t - 1), 0);
        assert_int_equal(by_rule(julian, t), 3600);
        assert_int_equal(by_rule(day, t - 1), 0);
        assert_int_equal(by_rule(day, t), 3600);
        /* The day before it by its weekday, and J59. */
        assert_int_equal(by_rule("AAA0BBB,J59/24,J300/0", t), 3600);
        assert_int_equal(by_rule("AAA0BBB,M3.1.0/0,M10.5.0/0", t - 1), 0);
    }
}

#define JAN_1_2028 INT64_C(1830297600) /* a Saturday */
#define DAY INT64_C(86400)

/* Weeks of a leap year's months: where they begin, and their last ones. */
static void knows_weeks(void **state)
{
    static const struct {
        const char *begins;
        int day; /* of 2028 */
    } dates[] = {
        {"M1.1.6", 0},   {"M1.1.0", 1},   {"M1.1.5", 6},   {"M1.2.6", 7},
        {"M1.5.6", 28},  {"M1.5.1", 30},  {"M1.5.2", 24},  {"M1.5.0", 29},
        {"M2.1.2", 31},  {"M2.1.1", 37},  {"M2.5.2", 59},  {"M2.5.3", 53},
        {"M2.4.1", 58},  {"M3.1.3", 60},  {"M3.1.2", 66},  {"M3.5.5", 90},
        {"M3.5.6", 84},  {"M4.1.6", 91},  {"M4.1.5", 97},  {"M5.5.3", 151},
        {"M6.1.4", 152}, {"M7.1.6", 182}, {"M8.1.2", 213}, {"M9.1.5", 244},
        {"M9.5.6", 273}, {"M9.3.0", 260},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        char text[64];
        int64_t t = JAN_1_2028 + dates[i].day * DAY;
        (void)snprintf(text, sizeof(text), "AAA0BBB,%s/0,M12.1.0/0",
                       dates[i].begins);
        if (by_rule(text, t - 1) != 0 || by_rule(text, t) != 3600)
            fail_msg("%s", text);
    }
    /* The last months: summer ends there. */
    assert_int_equal(by_rule("AAA0BBB,J5/0,M10.1.0/1", JAN_1_2028 + 274 * DAY),
                     0);
    assert_int_equal(
        by_rule("AAA0BBB,J5/0,M10.1.0/1", JAN_1_2028 + 274 * DAY - 1), 3600);
    assert_int_equal(by_rule("AAA0BBB,J5/0,M11.1.3/1", JAN_1_2028 + 305 * DAY),
                     0);
    assert_int_equal(
        by_rule("AAA0BBB,J5/0,M11.1.3/1", JAN_1_2028 + 305 * DAY - 1), 3600);
    assert_int_equal(by_rule("AAA0BBB,J5/0,M12.5.0/1", JAN_1_2028 + 365 * DAY),
                     0);
    assert_int_equal(
        by_rule("AAA0BBB,J5/0,M12.5.0/1", JAN_1_2028 + 365 * DAY - 1), 3600);
    /* The first day of 2027 is a Friday: without 29 February. */
    int64_t feb = JAN_1_2028 - 365 * DAY + 31 * DAY;
    assert_int_equal(by_rule("AAA0BBB,M2.5.0/0,J300/0", feb + 27 * DAY - 1), 0);
    assert_int_equal(by_rule("AAA0BBB,M2.5.0/0,J300/0", feb + 27 * DAY), 3600);
    assert_int_equal(by_rule("AAA0BBB,M2.5.1/0,J300/0", feb + 21 * DAY - 1), 0);
    assert_int_equal(by_rule("AAA0BBB,M2.5.1/0,J300/0", feb + 21 * DAY), 3600);
}

/* What begins in the year before or behind, and what falls together. */
static void looks_beyond_new_year(void **state)
{
    (void)state;
    /* Summer begins a day before New Year: 24 hours before it. */
    assert_int_equal(by_rule("AAA0BBB,0/-24,J200/0", JAN_1_2028 - DAY - 1), 0);
    assert_int_equal(by_rule("AAA0BBB,0/-24,J200/0", JAN_1_2028 - DAY), 3600);
    /* It ends a week behind the year. */
    assert_int_equal(
        by_rule("AAA0BBB,J200/0,J365/167", JAN_1_2028 + 166 * 3600 - 25 * 3600),
        3600);
    assert_int_equal(
        by_rule("AAA0BBB,J200/0,J365/167", JAN_1_2028 + 166 * 3600), 0);
    /* All of it on the last day of the year, 2096's too: what was last is a
     * year ago. */
    int64_t last = INT64_C(4007750400); /* 2096-12-31 00:00Z */
    assert_int_equal(by_rule("AAA0BBB,J365/18,J365/12", last + 6 * 3600), 3600);
    assert_int_equal(by_rule("AAA0BBB,J365/18,J365/12", last + 12 * 3600), 0);
    assert_int_equal(by_rule("AAA0BBB,J365/18,J365/12", last + 18 * 3600),
                     3600);
    /* At one time: summer goes on. */
    assert_int_equal(by_rule("AAA0BBB0,J100/0,J100/0", JAN_1_2028 + 200 * DAY),
                     0);
    assert_int_equal(by_rule("AAA0BBB-2,J100/0,J100/2", JAN_1_2028 + 200 * DAY),
                     7200);
    /* The hour is 2 where none is said. */
    assert_int_equal(by_rule("AAA0BBB,J10,J300", JAN_1_2028 + 9 * DAY + 7199),
                     0);
    assert_int_equal(by_rule("AAA0BBB,J10,J300", JAN_1_2028 + 9 * DAY + 7200),
                     3600);
}

/* Only what lies before the end is read: each rule in a place of its length,
 * and with more behind it. */
static void reads_to_the_end(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool good;
    } parts[] = {
        {"UTC0", 4, true},
        {"UTC0", 3, false},
        {"UTC", 3, false},
        {"ABCD0", 3, false},
        {"UTC01", 4, true},
        {"UTC-1:30:15", 11, true},
        {"UTC-1:30:15", 9, false},
        {"UTC-1:30", 6, false},
        {"UTC-", 4, false},
        {"<+03>-3", 7, true},
        {"<+03>-3", 5, false},
        {"<+03>-3", 4, false},
        {"<A1Z>0", 6, true},
        {"<+a>0", 5, false},
        {"AzZ0", 4, true},
        {"A1Z0", 4, false},
        {"A@Z0", 4, false},
        {"A[Z0", 4, false},
        {"A`Z0", 4, false},
        {"A{Z0", 4, false},
        {"AAA+24", 6, true},
        {"AAA-24", 6, true},
        {"AAA24:59:59", 11, true},
        {"AAA1:59:60", 10, false},
        {"AAA00001", 8, false},
        {"AAA0001", 7, true},
        {"AAA0BBB,J1,J365", 15, true},
        {"AAA0BBB,J1,J365", 10, false},
        {"AAA0BBB,J1,J365", 8, false},
        {"AAA0BBB,J1,J365", 7, false},
        {"AAA0BBB,J1;J365", 15, false},
        {"AAA0BBB;J1,J365", 15, false},
        {"AAA0BBB24,0,365", 15, true},
        {"AAA0BBB,M1.1.0,M12.5.6", 22, true},
        {"AAA0BBB,M1.1.0,M12.5.6", 21, false},
        {"AAA0BBB,M1.1.0,M12.5.6", 20, false},
        {"AAA0BBB,M1:1.0,M12.5.6", 22, false},
        {"AAA0BBB,M1.1:0,M12.5.6", 22, false},
        {"AAA0BBB,M1.1.0/167,M12.5.6/-167", 31, true},
        {"AAA0BBB,M1.1.0/,M12.5.6", 23, false},
        {"AAA0BBB,M1.1.0,M12.5.6/", 23, false},
        {"AAA0BB,J1,J365", 14, false},
        {"AAA0<BBB,J1,J365", 16, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct cv_posix p = {0};
        struct cv_posix q = {0};
        char *exact = malloc(parts[i].len);
        assert_non_null(exact);
        memcpy(exact, parts[i].text, parts[i].len);
        bool good = cv_posix_parse(exact, parts[i].len, &p);
        free(exact);
        if (good != parts[i].good ||
            cv_posix_parse(parts[i].text, parts[i].len, &q) != good)
            fail_msg("%zu of %s", parts[i].len, parts[i].text);
        if (good)
            assert_int_equal(q.standard_s, p.standard_s);
    }
    struct cv_posix p;
    assert_true(cv_posix_parse("UTC012", 4, &p));
    assert_int_equal(p.standard_s, 0);
    assert_true(cv_posix_parse("UTC-1:30:15", 11, &p));
    assert_int_equal(p.standard_s, 5415);
    assert_true(cv_posix_parse("UTC+1:30:15", 11, &p));
    assert_int_equal(p.standard_s, -5415);
    assert_true(cv_posix_parse("AAA1BBB,J1,J9", 13, &p));
    assert_int_equal(p.summer_s, 0);
    assert_true(cv_posix_parse("AAA1BBB3,J1,J9", 14, &p));
    assert_int_equal(p.summer_s, -10800);
}

static void refuses_rules(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "AB0",
        "AAA",
        "AAA25",
        "AAA0:60",
        "AAA0:0:60",
        "AAA0BBB",
        "AAA0BBB,J60",
        "AAA0BBB,J0,J5",
        "AAA0BBB,J366,J5",
        "AAA0BBB,366,5",
        "AAA0BBB,M0.1.0,M5.1.0",
        "AAA0BBB,M13.1.0,M5.1.0",
        "AAA0BBB,M1.0.0,M5.1.0",
        "AAA0BBB,M1.6.0,M5.1.0",
        "AAA0BBB,M1.1.7,M5.1.0",
        "AAA0BBB,M1.1.0/168,M5.1.0",
        "AAA0BBB,M1.1.0,M5.1.0x",
        "<AAA0",
        "<A>0",
        "AAA0BBB,M1.1,M5.1.0",
        ":Europe/Berlin",
        "AAA0BBB,J60,J70 ",
        "AAA0BBB25,J60,J70",
    };
    struct cv_posix p;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cv_posix_parse(bad[i], strlen(bad[i]), &p))
            fail_msg("%s", bad[i]);
    }
}

/* Every file cut short, and every byte of one turned, is refused or read
 * without harm; whatever is read tells an offset. */
static void survives_damage(void **state)
{
    (void)state;
    uint8_t file[8192];
    struct cv_zone *z;
    size_t len = file_of("Europe/Berlin", file, sizeof(file));
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, file, cut);
        assert_int_equal(cv_zone_parse((struct cv_bytes){exact, cut}, &z, NULL),
                         CV_INVALID);
        assert_null(z);
        free(exact);
    }
    for (size_t i = 0; i < len * 8; i++) {
        file[i / 8] ^= (uint8_t)(1 << i % 8);
        if (cv_zone_parse((struct cv_bytes){file, len}, &z, NULL) == CV_OK) {
            int32_t offset = cv_zone_offset(z, MONDAY_10);
            assert_true(offset >= -93599 && offset <= 93599);
            cv_zone_free(z);
        }
        file[i / 8] ^= (uint8_t)(1 << i % 8);
    }
}

static enum cv_status parse_changed(size_t at, uint8_t byte, struct cv_err *err)
{
    uint8_t file[8192];
    struct cv_zone *z;
    size_t len = file_of("Europe/Berlin", file, sizeof(file));
    file[at] = byte;
    enum cv_status st = cv_zone_parse((struct cv_bytes){file, len}, &z, err);
    cv_zone_free(z);
    return st;
}

/* A slim file: its first block is one type and no transition, its second
 * header begins at 44 + 7. */
static void refuses_what_is_no_zone(void **state)
{
    (void)state;
    struct cv_err err;
    cv_err_init(&err);
    assert_int_equal(parse_changed(0, 'X', &err), CV_INVALID);
    assert_non_null(strstr(err.text, "header"));
    assert_int_equal(parse_changed(4, 0, &err), CV_INVALID);
    assert_int_equal(parse_changed(4, '5', &err), CV_INVALID);
    assert_int_equal(parse_changed(4, '3', &err), CV_OK);
    assert_int_equal(parse_changed(51, 'X', &err), CV_INVALID);
    assert_non_null(strstr(err.text, "cut short"));
    /* its count of leap seconds */
    assert_int_equal(parse_changed(51 + 31, 1, &err), CV_INVALID);
    assert_non_null(strstr(err.text, "leap seconds"));
    /* no types */
    assert_int_equal(parse_changed(51 + 39, 0, &err), CV_INVALID);
    /* the first transition far in the future: no order */
    assert_int_equal(parse_changed(51 + 44, 0x7f, &err), CV_INVALID);
    assert_non_null(strstr(err.text, "order"));
    /* the line feeds around its rule, and the rule */
    size_t footer = sizeof("\nCET-1CEST,M3.5.0,M10.5.0/3\n") - 1;
    uint8_t file[8192];
    size_t len = file_of("Europe/Berlin", file, sizeof(file));
    assert_int_equal(file[len - footer], '\n');
    assert_int_equal(parse_changed(len - footer, ' ', &err), CV_INVALID);
    assert_non_null(strstr(err.text, "footer"));
    assert_int_equal(parse_changed(len - 1, ' ', &err), CV_INVALID);
    assert_non_null(strstr(err.text, "footer"));
    assert_int_equal(parse_changed(len - 2, '!', &err), CV_INVALID);
    assert_non_null(strstr(err.text, "rule for the future"));
    uint8_t *big = calloc(1, CV_ZONE_FILE + 1);
    struct cv_zone *z;
    assert_int_equal(
        cv_zone_parse((struct cv_bytes){big, CV_ZONE_FILE + 1}, &z, &err),
        CV_INVALID);
    assert_non_null(strstr(err.text, "too long"));
    free(big);
}

static void knows_names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "UTC",   "Europe/Berlin", "Etc/GMT+5", "America/Argentina/Buenos_Aires",
        "GMT-0", "EST5EDT"};
    static const char *const bad[] = {
        "",
        "/UTC",
        "Europe/",
        "Europe//Berlin",
        "../etc/passwd",
        "Europe/..",
        "Europe/.",
        ".",
        "Europe/Ber lin",
        "Europe\\Berlin",
        "5EST",
        "_x",
        "Europe/\xc3\xa9",
        "Etc/GMT\n",
        "a.tab",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(cv_zone_is_name(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cv_zone_is_name(bad[i]))
            fail_msg("%s", bad[i]);
    }
    assert_true(cv_zone_is_name(
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_changes),
        cmocka_unit_test(tells_local_time),
        cmocka_unit_test(follows_posix_rules),
        cmocka_unit_test(knows_leap_years),
        cmocka_unit_test(knows_weeks),
        cmocka_unit_test(looks_beyond_new_year),
        cmocka_unit_test(reads_to_the_end),
        cmocka_unit_test(refuses_rules),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(refuses_what_is_no_zone),
        cmocka_unit_test(knows_names),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
