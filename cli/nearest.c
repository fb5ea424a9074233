#include "cli/nearest.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = 32 }; /* no name has more bytes */

struct nearest {
    const char *typed;
    size_t len;
    const char *name;
    size_t name_len;
    size_t steps; /* to `name`; one more than any that is accepted at first */
    bool tied;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many bytes have to be put in, taken out, changed or swapped with the
 * next to make one of the other: the distance of Damerau and Levenshtein
 * (optimal string alignment). */
static size_t steps_between(const char *a, size_t a_len, const char *b,
                            size_t b_len)
{
    size_t row[3][LONGEST + 1];

    for (size_t j = 0; j <= b_len; j++) {
        row[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = row[i % 3], *up = row[(i + 2) % 3],
               *upper = row[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = least(least(up[j], now[j - 1]) + 1,
                           up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
                a[i - 2] == b[j - 1]) {
                now[j] = least(now[j], upper[j - 2] + 1);
            }
        }
    }
    return row[a_len % 3][b_len];
}

static void look_at(struct nearest *n, const char *name, size_t len)
{
    size_t steps;

    if (len > LONGEST) {
        return;
    }
    steps = steps_between(n->typed, n->len, name, len);
    if (steps < n->steps) {
        n->steps = steps;
        n->name = name;
        n->name_len = len;
        n->tied = false;
    } else if (steps == n->steps && n->name != NULL &&
               (len != n->name_len || memcmp(name, n->name, len) != 0)) {
        n->tied = true;
    }
}

/* A third of what was typed may be wrong, and one letter always. */
static bool begin(struct nearest *n, const char *typed, size_t len)
{
    n->typed = typed;
    n->len = len;
    n->name = NULL;
    n->name_len = 0;
    n->steps = (len < 6 ? 1 : len / 3) + 1;
    n->tied = false;
    return len > 1 && len <= LONGEST;
}

static const char *command_like(const char *typed, size_t len, size_t *found)
{
    struct nearest n;

    if (!begin(&n, typed, len)) {
        return NULL;
    }
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        look_at(&n, c->name, strlen(c->name));
        if (memchr(typed, ' ', len) == NULL) {
            look_at(&n, c->name, strcspn(c->name, " "));
        }
    }
    *found = n.name_len;
    return n.tied ? NULL : n.name;
}

const char *cv_nearest_command(const char *first, const char *second,
                               size_t *len)
{
    char both[2 * LONGEST];

    if (!cv_command_is_group(first)) {
        return command_like(first, strlen(first), len);
    }
    if (second == NULL) {
        return NULL;
    }
    return command_like(
        both, (size_t)snprintf(both, sizeof both, "%s %s", first, second), len);
}

const char *cv_nearest_flag(const struct cv_command *command, const char *name,
                            size_t len)
{
    const struct cv_option *tables[] = {
        command != NULL ? command->options : NULL, cv_command_global};
    struct nearest found;

    if (!begin(&found, name, len)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        for (const struct cv_option *o = tables[i];
             o != NULL && o->name != NULL; o++) {
            if (strlen(o->name) > 1) {
                look_at(&found, o->name, strlen(o->name));
            }
        }
    }
    return found.tied ? NULL : found.name;
}
