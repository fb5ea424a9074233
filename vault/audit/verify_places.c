/* What the anchors of the configuration have, against the log: one that was put
 * back to an older state, its checkpoints with it, is shorter than they say. */
#include "vault/audit/verify_internal.h"

#include "vault/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct cv_verify *v;
    size_t place;
};

static void add(void *ctx, struct cv_bytes note, size_t head)
{
    const struct reading *r = ctx;
    struct cv_verify *v = r->v;
    struct cv_verify_note *more;
    struct cv_checkpoint c;

    if (cv_checkpoint_parse((struct cv_bytes){note.data, head}, &c, NULL) !=
            CV_OK ||
        strcmp(c.origin, v->key.name) != 0) {
        return;
    }
    more = realloc(v->placed, (v->n_placed + 1) * sizeof *more);
    if (more == NULL) {
        v->memory = true;
        return;
    }
    v->placed = more;
    more += v->n_placed++;
    *more = (struct cv_verify_note){
        .size = c.size, .note = note, .place = r->place};
    memcpy(more->root, c.root, sizeof more->root);
}

static int by_size(const void *a, const void *b)
{
    const struct cv_verify_note *x = a, *y = b;

    return x->size < y->size ? -1 : x->size > y->size;
}

void cv_verify_places_read(struct cv_verify *v,
                           const struct cv_verify_options *options)
{
    if (options == NULL || options->n_places == 0) {
        return;
    }
    v->places = options->places;
    v->n_places = options->n_places < CV_VERIFY_PLACES ? options->n_places
                                                       : CV_VERIFY_PLACES;
    if (!v->has_key) {
        cv_verify_add(v, "anchor", "there is no key to check the anchors by");
        return;
    }
    for (size_t i = 0; i < v->n_places; i++) {
        struct reading r = {v, i};

        cv_anchored_notes(v->places[i].text, v->key.name, add, &r);
    }
    if (v->n_placed > 0) {
        qsort(v->placed, v->n_placed, sizeof *v->placed, by_size);
    }
}

void cv_verify_places_claims(struct cv_verify *v)
{
    uint8_t root[CV_TREE_HASH];

    while (v->at_placed < v->n_placed &&
           v->placed[v->at_placed].size <= v->at.tree.size) {
        struct cv_verify_note *n = &v->placed[v->at_placed++];

        cv_tree_root(&v->at.tree, root);
        n->fits = n->size == v->at.tree.size &&
                  memcmp(root, n->root, sizeof root) == 0;
    }
}

bool cv_verify_places_covers(const struct cv_verify *v)
{
    for (size_t i = v->at_placed; i < v->n_placed; i++) {
        if (v->placed[i].size > v->at.tree.size &&
            cv_verify_is_signed(v, v->placed[i].note)) {
            return true;
        }
    }
    return false;
}

/* One that is signed by no key we know and reaches further than the log may be
 * of a key that it got after the state which lies here. Of a smaller one by a
 * key from before what is archived nothing can be told. */
static void judge(struct cv_verify *v, const struct cv_verify_note *n)
{
    struct cv_verify_said *said = &v->said[n->place];

    if (n->fits && n->size > said->size && cv_verify_is_signed(v, n->note)) {
        said->size = n->size;
    }
    if (!n->fits &&
        (n->size > v->at.tree.size || cv_verify_is_signed(v, n->note))) {
        said->conflict = true;
        said->other = n->size;
    }
}

static void tell(struct cv_verify *v, size_t at)
{
    const struct cv_verify_said *said = &v->said[at];
    char why[CV_REPORT_MESSAGE];

    if (said->other > v->at.tree.size) {
        (void)snprintf(why, sizeof why,
                       "the log was rolled back or replaced: the checkpoint in "
                       "an anchor (%s) covers %llu records, and the log has "
                       "%llu",
                       v->places[at].kind, (unsigned long long)said->other,
                       (unsigned long long)v->at.tree.size);
    } else {
        (void)snprintf(why, sizeof why,
                       "the log was rolled back or replaced: its first %llu "
                       "records are not those of the checkpoint in an anchor "
                       "(%s)",
                       (unsigned long long)said->other, v->places[at].kind);
    }
    cv_verify_add(v, "anchor", why);
}

static void note_unread(struct cv_verify *v, const struct cv_verify_place *p)
{
    char why[CV_REPORT_MESSAGE];

    (void)snprintf(
        why, sizeof why,
        "the log was not held against an anchor (%s): see \"anchors\"",
        p->kind);
    cv_report_add(&v->notes, "anchor", CV_REPORT_NOWHERE, CV_REPORT_NOWHERE,
                  why);
}

void cv_verify_places_end(struct cv_verify *v)
{
    for (size_t i = 0; i < v->n_placed; i++) {
        judge(v, &v->placed[i]);
    }
    for (size_t i = 0; i < v->n_places; i++) {
        if (v->said[i].conflict) {
            tell(v, i);
        } else if (v->places[i].unread != NULL) {
            note_unread(v, &v->places[i]);
        }
    }
}

const char *cv_verify_places_kind(const struct cv_verify *v)
{
    const char *kind = NULL;
    uint64_t most = 0;

    for (size_t i = 0; i < v->n_places; i++) {
        if (v->said[i].size > most) {
            most = v->said[i].size;
            kind = v->places[i].kind;
        }
    }
    return kind;
}

static bool add_place(cJSON *list, const struct cv_verify_place *p,
                      const struct cv_verify_said *said)
{
    const uint64_t size = said->conflict ? said->other : said->size;
    cJSON *o = cJSON_CreateObject();

    if (cv_json_add_str(o, "kind", p->kind) &&
        cv_json_add_str(o, "place", p->place) &&
        cv_json_add_str(o, "state",
                        said->conflict      ? "conflict"
                        : p->unread != NULL ? "unread"
                        : said->size > 0    ? "ok"
                                            : "none") &&
        (size == 0 || cv_json_add_int(o, "size", (int64_t)size)) &&
        (p->unread == NULL || cv_json_add_str(o, "message", p->unread)) &&
        cJSON_AddItemToArray(list, o)) {
        return true;
    }
    cJSON_Delete(o);
    return false;
}

bool cv_verify_places_report(const struct cv_verify *v, cJSON *report)
{
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;

    for (size_t i = 0; i < v->n_places; i++) {
        ok = ok && add_place(list, &v->places[i], &v->said[i]);
    }
    return cv_json_add_item(report, "anchors", list) && ok;
}
