#include "vault/fetch/api_internal.h"

#include <ctype.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#define MASK "[...]"
/* Longer runs are taken for keys and tokens; a UUID and 32 hex digits pass. */
#define LONGEST_WORD 36
#define SHORTEST_SECRET 4

static bool repeats(const char *text, const char *secret)
{
    return secret != NULL && strlen(secret) >= SHORTEST_SECRET &&
           strstr(text, secret) != NULL;
}

bool cv_api_text_repeats(const char *text,
                         const struct cv_api_error_masks *masks)
{
    for (size_t i = 0; masks != NULL && i < masks->n; i++) {
        if (repeats(text, masks->text[i])) {
            return true;
        }
    }
    return false;
}

/* Puts MASK in place of each `secret` in `text`. */
static void mask_known(struct cv_buf *text, const char *secret,
                       struct cv_buf *spare)
{
    const char *at = cv_buf_text(text);
    const char *hit;

    if (!repeats(at, secret)) {
        return;
    }
    cv_buf_drop(spare, spare->len);
    while ((hit = strstr(at, secret)) != NULL) {
        cv_buf_add(spare, at, (size_t)(hit - at));
        cv_buf_add_str(spare, MASK);
        at = hit + strlen(secret);
    }
    cv_buf_add_str(spare, at);
    cv_buf_drop(text, text->len);
    cv_buf_add(text, spare->data, spare->len);
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) ||
           (c != '\0' && strchr("+/=_-", c) != NULL);
}

/* Letters of both cases and digits in one piece: no word, no id. */
static bool is_random(const char *piece, size_t len)
{
    bool upper = false, lower = false, digit = false;

    for (size_t i = 0; i < len; i++) {
        upper = upper || isupper((unsigned char)piece[i]);
        lower = lower || islower((unsigned char)piece[i]);
        digit = digit || isdigit((unsigned char)piece[i]);
    }
    return len > 32 || (len >= 8 && upper && lower && digit);
}

/* What looks like a key or token: long, and no path or name made of words and
 * ids. */
static bool looks_secret(const char *word, size_t len)
{
    size_t start = 0;

    if (len <= LONGEST_WORD) {
        return false;
    }
    for (size_t i = 0; i <= len; i++) {
        if (i < len && (word[i] == '+' || word[i] == '=')) {
            return true;
        }
        if (i == len || word[i] == '/' || word[i] == '-' || word[i] == '_') {
            if (is_random(word + start, i - start)) {
                return true;
            }
            start = i + 1;
        }
    }
    return len > 4 * LONGEST_WORD;
}

struct line {
    char *out;
    size_t len;
    size_t size; /* without the NUL */
};

static void put(struct line *l, const char *text, size_t len)
{
    for (size_t i = 0; i < len && l->len < l->size; i++) {
        l->out[l->len++] = text[i];
    }
}

static void put_blank(struct line *l)
{
    if (l->len > 0 && l->out[l->len - 1] != ' ') {
        put(l, " ", 1);
    }
}

void cv_api_text_clean(struct cv_buf *text,
                       const struct cv_api_error_masks *masks, char *out,
                       size_t out_len)
{
    struct line l = {out, 0, out_len - 1};
    struct cv_buf spare;
    const char *p;
    char *echo;

    cv_buf_init(&spare, text->arena, text->ceiling);
    for (size_t i = 0; masks != NULL && i < masks->n; i++) {
        mask_known(text, masks->text[i], &spare);
    }
    cv_buf_add_str(text, "");
    echo = text->data == NULL ? NULL
                              : strstr((char *)text->data, "canonicalRequest:");
    if (echo != NULL) {
        while (echo > (char *)text->data &&
               (echo[-1] == ' ' || echo[-1] == ',')) {
            echo--;
        }
        *echo = '\0';
    }
    for (p = cv_buf_text(text); *p != '\0';) {
        size_t n = 0;

        while (in_word(p[n])) {
            n++;
        }
        if (n == 0) {
            n = 1;
            if ((unsigned char)*p <= ' ' || *p == 0x7f) {
                put_blank(&l);
            } else {
                put(&l, p, 1);
            }
        } else if (looks_secret(p, n)) {
            put(&l, MASK, strlen(MASK));
        } else {
            put(&l, p, n);
        }
        p += n;
    }
    while (l.len > 0 && out[l.len - 1] == ' ') {
        l.len--;
    }
    out[l.len] = '\0';
}

static bool digits(const char *p, size_t n, int *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)p[i])) {
            return false;
        }
        *out = *out * 10 + (p[i] - '0');
    }
    return true;
}

/* Y-M-D, h:m:s from a text of digits and marks as `form` has them: '9' stands
 * for a digit. The rest of the text, or NULL. */
static const char *fields(const char *text, const char *form, struct tm *tm)
{
    int *const at[] = {&tm->tm_year, &tm->tm_mon, &tm->tm_mday,
                       &tm->tm_hour, &tm->tm_min, &tm->tm_sec};
    size_t field = 0;

    memset(tm, 0, sizeof(*tm));
    while (*form != '\0') {
        size_t n = strspn(form, "9");

        if (n == 0) {
            if (*text++ != *form++) {
                return NULL;
            }
            continue;
        }
        n = field == 0 ? 4 : 2;
        if (strnlen(text, n) < n || !digits(text, n, at[field++])) {
            return NULL;
        }
        text += n;
        form += n;
    }
    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    return text;
}

static bool in_range(const struct tm *tm)
{
    return tm->tm_year >= 70 && tm->tm_mon >= 0 && tm->tm_mon < 12 &&
           tm->tm_mday >= 1 && tm->tm_mday <= 31 && tm->tm_hour < 24 &&
           tm->tm_min < 60 && tm->tm_sec <= 60;
}

int64_t cv_api_text_time(const char *text)
{
    static const char *const forms[] = {
        "9999-99-99T99:99:99", "9999-99-99 99:99:99", "99999999T999999"};
    static const char *const ends[] = {"Z", "+00:00", " +0000 UTC", ""};

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm;
        const char *rest = fields(text, forms[i], &tm);

        if (rest == NULL || !in_range(&tm)) {
            continue;
        }
        if (*rest == '.') {
            rest += 1 + strspn(rest + 1, "0123456789");
        }
        for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
            if (strcmp(rest, ends[k]) == 0) {
                return (int64_t)timegm(&tm);
            }
        }
    }
    return -1;
}
