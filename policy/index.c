#include "policy/index_internal.h"

#include "policy/hash_internal.h"

#include <stdlib.h>
#include <string.h>

/* A rule with more pairs than this is filed by subject alone. */
#define PAIRS 64
#define PREFIXES (CV_LIMIT_NAME + 1)
/* Places of one entry, at most. */
#define PLACES (PREFIXES + 1 + CV_LIMIT_LABELS)
#define BITS ((size_t)1 << 20)

enum subject_kind { SUBJECT_EVERYONE = 1, SUBJECT_UID, SUBJECT_GID };
enum place_kind { PLACE_PREFIX = 1, PLACE_NAME, PLACE_LABEL };

struct posting {
    uint64_t key;
    uint32_t rule;
};

struct slot {
    uint64_t key;
    uint32_t first; /* in rules */
    uint32_t n;     /* 0: empty */
};

struct cv_index {
    size_t n_slots; /* a power of two */
    struct slot *slots;
    uint32_t *rules;
    bool labels;   /* some rule is filed under a label */
    bool names;    /* under a whole name */
    size_t n_bits; /* a power of two */
    uint8_t *bits; /* one set for each subject that has rules */
    size_t n_prefixes;
    uint8_t prefixes[PREFIXES]; /* lengths of prefixes, rising */
};

/* Postings while they are collected. */
struct list {
    struct posting *items;
    size_t n;
    size_t room;
    bool failed;
    bool has_prefix[PREFIXES];
    bool labels;
    bool names;
};

static uint64_t subject_hash(enum subject_kind kind, uint32_t id)
{
    return cv_hash_mix((uint64_t)kind << 32 | id);
}

static uint64_t place_hash(enum place_kind kind, uint64_t h)
{
    return cv_hash_mix(h + kind);
}

static uint64_t name_hash(const char *name)
{
    return place_hash(PLACE_NAME, cv_hash_more(CV_HASH_BEGIN, name));
}

static uint64_t label_hash(const char *key, const char *value)
{
    uint64_t h = cv_hash_more(CV_HASH_BEGIN, key);
    h = cv_hash_byte(h, '=');
    return place_hash(PLACE_LABEL, cv_hash_more(h, value));
}

static uint64_t pair_key(uint64_t subject, uint64_t place)
{
    return cv_hash_mix(subject + place * 3);
}

static void post(struct list *l, uint64_t key, uint32_t rule)
{
    if (l->n == l->room && !l->failed) {
        size_t room = l->room == 0 ? 1024 : l->room * 2;
        struct posting *wider = realloc(l->items, room * sizeof(*wider));
        l->failed = wider == NULL;
        if (wider != NULL) {
            l->items = wider;
            l->room = room;
        }
    }
    if (!l->failed)
        l->items[l->n++] = (struct posting){key, rule};
}

static uint64_t prefix_place(const char *text, size_t len)
{
    uint64_t h = CV_HASH_BEGIN;
    for (size_t i = 0; i < len; i++)
        h = cv_hash_byte(h, (uint8_t)text[i]);
    return place_hash(PLACE_PREFIX, h);
}

/* Where a glob's first wildcard is; its length: there is none. */
static size_t literal_len(const char *glob)
{
    return strcspn(glob, "*?");
}

static bool labels_literal(const struct cv_rule_entries *e)
{
    for (size_t i = 0; i < e->n_labels; i++) {
        const char *v = e->labels[i].value;
        if (v[literal_len(v)] != '\0')
            return false;
    }
    return e->n_labels > 0;
}

static void post_names(struct list *l, uint64_t subject,
                       const struct cv_globs *names, uint32_t number)
{
    for (size_t i = 0; i < names->n; i++) {
        const char *glob = names->list[i];
        size_t len = literal_len(glob);
        if (glob[len] == '\0') {
            l->names = true;
            post(l, pair_key(subject, name_hash(glob)), number);
        } else if (len < PREFIXES) { /* else it is longer than any name */
            l->has_prefix[len] = true;
            post(l, pair_key(subject, prefix_place(glob, len)), number);
        }
    }
}

static void post_places(struct list *l, uint64_t subject,
                        const struct cv_rule *rule, uint32_t number, bool fine)
{
    const struct cv_rule_entries *e = &rule->entries;
    if (fine && e->names.n > 0) {
        post_names(l, subject, &e->names, number);
    } else if (fine && labels_literal(e)) {
        l->labels = true;
        for (size_t i = 0; i < e->n_labels; i++)
            post(l,
                 pair_key(subject,
                          label_hash(e->labels[i].key, e->labels[i].value)),
                 number);
    } else {
        l->has_prefix[0] = true;
        post(l, pair_key(subject, prefix_place("", 0)), number);
    }
    /* An action without an entry looks only at the empty prefix, which "*"
     * alone is filed under too. */
}

static void post_rule(struct list *l, const struct cv_rule *rule,
                      uint32_t number)
{
    const struct cv_rule_subjects *s = &rule->subjects;
    size_t places = rule->entries.names.n > 0 ? rule->entries.names.n
                                              : rule->entries.n_labels + 1;
    size_t subjects = s->everyone ? 1 : s->all_uids.n + s->all_gids.n;
    bool fine = subjects * places <= PAIRS;
    if (s->everyone) {
        post_places(l, subject_hash(SUBJECT_EVERYONE, 0), rule, number, fine);
        return;
    }
    for (size_t i = 0; i < s->all_uids.n; i++)
        post_places(l, subject_hash(SUBJECT_UID, s->all_uids.list[i]), rule,
                    number, fine);
    for (size_t i = 0; i < s->all_gids.n; i++)
        post_places(l, subject_hash(SUBJECT_GID, s->all_gids.list[i]), rule,
                    number, fine);
}

static void mark(struct cv_index *x, uint64_t subject)
{
    size_t bit = subject & (x->n_bits - 1);
    x->bits[bit / 8] |= (uint8_t)(1U << bit % 8);
}

static bool is_marked(const struct cv_index *x, uint64_t subject)
{
    size_t bit = subject & (x->n_bits - 1);
    return (x->bits[bit / 8] >> bit % 8 & 1) != 0;
}

static bool mark_all(struct cv_index *x, const struct cv_policy *policy,
                     size_t n_postings)
{
    x->n_bits = 64;
    while (x->n_bits < n_postings * 16 && x->n_bits < BITS)
        x->n_bits *= 2;
    x->bits = calloc(x->n_bits / 8, 1);
    if (x->bits == NULL)
        return false;
    for (size_t i = 0; i < policy->n_rules; i++) {
        const struct cv_rule_subjects *s = &policy->rules[i].subjects;
        if (s->everyone)
            mark(x, subject_hash(SUBJECT_EVERYONE, 0));
        for (size_t k = 0; k < s->all_uids.n; k++)
            mark(x, subject_hash(SUBJECT_UID, s->all_uids.list[k]));
        for (size_t k = 0; k < s->all_gids.n; k++)
            mark(x, subject_hash(SUBJECT_GID, s->all_gids.list[k]));
    }
    return true;
}

static int compare_postings(const void *a, const void *b)
{
    uint64_t x = ((const struct posting *)a)->key;
    uint64_t y = ((const struct posting *)b)->key;
    return (x > y) - (x < y);
}

static struct slot *slot_of(const struct cv_index *x, uint64_t key)
{
    size_t at = key & (x->n_slots - 1);
    while (x->slots[at].n != 0 && x->slots[at].key != key)
        at = (at + 1) & (x->n_slots - 1);
    return &x->slots[at];
}

/* From sorted postings; each key's rules lie side by side. */
static bool fill(struct cv_index *x, const struct list *l)
{
    x->n_slots = 16;
    while (x->n_slots < l->n * 2)
        x->n_slots *= 2;
    x->slots = calloc(x->n_slots, sizeof(*x->slots));
    x->rules = calloc(l->n + 1, sizeof(*x->rules));
    if (x->slots == NULL || x->rules == NULL)
        return false;
    for (size_t i = 0; i < l->n; i++) {
        struct slot *s = slot_of(x, l->items[i].key);
        if (s->n == 0) {
            s->key = l->items[i].key;
            s->first = (uint32_t)i;
        }
        s->n++;
        x->rules[i] = l->items[i].rule;
    }
    return true;
}

struct cv_index *cv_index_new(const struct cv_policy *policy)
{
    struct list l = {0};
    struct cv_index *x = calloc(1, sizeof(*x));
    for (size_t i = 0; i < policy->n_rules; i++)
        post_rule(&l, &policy->rules[i], (uint32_t)i);
    if (x == NULL || l.failed) {
        free(l.items);
        free(x);
        return NULL;
    }
    if (l.n > 0)
        qsort(l.items, l.n, sizeof(*l.items), compare_postings);
    x->labels = l.labels;
    x->names = l.names;
    for (size_t i = 0; i < PREFIXES; i++) {
        if (l.has_prefix[i])
            x->prefixes[x->n_prefixes++] = (uint8_t)i;
    }
    bool good = fill(x, &l) && mark_all(x, policy, l.n);
    free(l.items);
    if (!good) {
        cv_index_free(x);
        return NULL;
    }
    return x;
}

void cv_index_free(struct cv_index *index)
{
    if (index == NULL)
        return;
    free(index->slots);
    free(index->rules);
    free(index->bits);
    free(index);
}

/* The places of an entry: its whole name, those of its beginnings that are as
 * long as some prefix, its labels; without an entry, the empty beginning. */
static size_t find_places(const struct cv_index *x,
                          const struct cv_decide_entry *entry,
                          uint64_t out[PLACES])
{
    const char *name = entry != NULL ? entry->name : "";
    size_t n = 0;
    size_t next = 0;
    uint64_t h = CV_HASH_BEGIN;
    for (size_t len = 0;; len++) {
        if (next < x->n_prefixes && x->prefixes[next] == len) {
            out[n++] = place_hash(PLACE_PREFIX, h);
            next++;
        }
        if (name[len] == '\0')
            break;
        h = cv_hash_byte(h, (uint8_t)name[len]);
    }
    if (x->names)
        out[n++] = place_hash(PLACE_NAME, h);
    for (size_t i = 0; x->labels && entry != NULL && i < entry->n_labels; i++)
        out[n++] = label_hash(entry->keys[i], entry->values[i]);
    return n;
}

struct look {
    const struct cv_index *index;
    uint64_t places[PLACES];
    size_t n;
    cv_index_visit visit;
    void *arg;
};

static void look_under(const struct look *l, enum subject_kind kind,
                       uint32_t id)
{
    const struct cv_index *x = l->index;
    uint64_t subject = subject_hash(kind, id);
    if (!is_marked(x, subject))
        return;
    for (size_t i = 0; i < l->n; i++) {
        const struct slot *s = slot_of(x, pair_key(subject, l->places[i]));
        for (uint32_t k = 0; k < s->n; k++)
            l->visit(l->arg, x->rules[s->first + k]);
    }
}

void cv_index_look(const struct cv_index *index,
                   const struct cv_decide_subject *subject,
                   const struct cv_decide_entry *entry, cv_index_visit visit,
                   void *arg)
{
    struct look l;
    l.index = index;
    l.visit = visit;
    l.arg = arg;
    l.n = find_places(index, entry, l.places);
    look_under(&l, SUBJECT_EVERYONE, 0);
    look_under(&l, SUBJECT_UID, subject->uid);
    look_under(&l, SUBJECT_GID, subject->gid);
    for (size_t i = 0; i < subject->n_gids; i++) {
        if (subject->gids[i] != subject->gid)
            look_under(&l, SUBJECT_GID, subject->gids[i]);
    }
}
