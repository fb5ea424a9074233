#include "cli/leaves.h"

#include "cli/call.h"
#include "cli/check.h"
#include "cli/output_table.h"
#include "vault/audit/checkpoint.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"

#include <stdio.h>
#include <string.h>

enum cv_status cv_leaves_times(const struct cv_args *args, cJSON *to,
                               struct cv_err *err)
{
    static const char *const flags[] = {"since", "until"};
    int64_t now = cv_clock_now_s();
    int64_t times[2] = {INT64_MIN, INT64_MAX};

    for (size_t i = 0; i < 2; i++) {
        const char *text = cv_args_value(args, flags[i]);
        enum cv_status s = CV_OK;

        if (text != NULL) {
            s = cv_check_time(text, flags[i], true, now, &times[i], err);
            if (s == CV_OK && !cv_json_add_int(to, flags[i], times[i])) {
                s = cv_fail(err, CV_INTERNAL, "memory is gone");
            }
        }
        if (s != CV_OK) {
            return s;
        }
    }
    if (times[0] > times[1]) {
        (void)cv_fail(err, CV_USAGE, "--since is later than --until");
        cv_err_state(err, "nothing was asked for");
        cv_err_hint(err, "a duration is how long ago: --since has the longer "
                         "one");
        return CV_USAGE;
    }
    return CV_OK;
}

static bool number(const cJSON *tree, const char *key, uint64_t *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, key);

    if (!cJSON_IsNumber(item) || item->valuedouble < 0 ||
        item->valuedouble > (double)CV_CHECK_SEQ_MAX) {
        return false;
    }
    *out = (uint64_t)item->valuedouble;
    return true;
}

static enum cv_status bad_answer(struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_INVALID, "the broker's answer is none to this");

    cv_err_hint(err, "both programs must be of one version");
    return s;
}

/* A broker of before has none. */
static bool read_newer(struct cv_leaves *out)
{
    uint64_t first, end;

    if (!number(out->head, "newer_first", &first) ||
        !number(out->head, "newer_end", &end)) {
        return true;
    }
    if (first > end ||
        (first < end &&
         (out->first < out->end ? first != out->end : first < out->end))) {
        return false;
    }
    out->newer = end - first;
    return true;
}

void cv_leaves_add_newer(struct cv_leaves *leaves)
{
    if (leaves->newer > 0) {
        uint64_t covered = leaves->end - leaves->first;

        (void)number(leaves->head, "newer_end", &leaves->end);
        leaves->first = leaves->end - leaves->newer - covered;
        leaves->newer = 0;
    }
}

bool cv_leaves_archived(const cJSON *status, int64_t since, char *out,
                        size_t out_len)
{
    const cJSON *before = cv_output_table_at(status, "archived.before");
    const char *until = cv_output_table_text(status, "archived.until");
    int64_t until_s = 0;

    out[0] = '\0';
    if (!cJSON_IsNumber(before) || until == NULL ||
        (cv_clock_parse(until, &until_s, NULL) == CV_OK && since > until_s)) {
        return false;
    }
    (void)snprintf(out, out_len,
                   "the records before %.0f (up to %.32s) are archived, and "
                   "not among these",
                   before->valuedouble, until);
    return true;
}

enum cv_status cv_leaves_begin(struct cv_cli *cli, const struct cv_args *args,
                               struct cv_leaves *out, struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(cli);
    const cJSON *from;
    int64_t since;
    enum cv_status s = cv_leaves_times(args, parameters, err);

    memset(out, 0, sizeof(*out));
    out->cli = cli;
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    from = cJSON_GetObjectItemCaseSensitive(parameters, "since");
    since = cJSON_IsNumber(from) ? (int64_t)from->valuedouble : INT64_MIN;
    s = cv_call_simple(cli, "AuditReport", parameters, &out->head, err);
    if (s == CV_OK && cv_leaves_archived(
                          cJSON_GetObjectItemCaseSensitive(out->head, "status"),
                          since, out->archived, sizeof(out->archived))) {
        cv_output_note(&cli->out, "%s", out->archived);
    }
    if (s == CV_OK && (!number(out->head, "first", &out->first) ||
                       !number(out->head, "end", &out->end) ||
                       out->first > out->end || !read_newer(out))) {
        s = bad_answer(err);
    }
    return s;
}

/* The lines of one piece. */
static enum cv_status split(const char *text, uint64_t *seq, cv_leaves_fn *fn,
                            void *ctx, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    while (*text != '\0' && s == CV_OK) {
        const char *end = strchr(text, '\n');

        if (end == NULL) {
            return bad_answer(err);
        }
        s = fn(ctx, (*seq)++,
               (struct cv_bytes){(const uint8_t *)text, (size_t)(end - text)},
               err);
        text = end + 1;
    }
    return s;
}

static cJSON *piece_of(const struct cv_leaves *leaves, uint64_t from)
{
    cJSON *parameters = cv_cli_parameters(leaves->cli);

    if (cv_json_add_int(parameters, "from", (int64_t)from) &&
        cv_json_add_int(parameters, "end", (int64_t)leaves->end)) {
        return parameters;
    }
    cJSON_Delete(parameters);
    return NULL;
}

/* The records from *from on, and where the next piece begins. */
static enum cv_status get_piece(const struct cv_leaves *leaves, bool asked,
                                uint64_t *from, struct cv_message *reply,
                                struct cv_err *err)
{
    struct cv_call call = {.method = "AuditExport"};
    uint64_t next = 0;
    enum cv_status s;

    if (!asked || !cv_call_ahead_take(leaves->cli, reply)) {
        call.parameters = piece_of(leaves, *from);
        s = cv_call_run(leaves->cli, &call, reply, err);
        if (s != CV_OK) {
            return s;
        }
    }
    if (cv_output_table_text(reply->tree, "leaves") == NULL ||
        !number(reply->tree, "next", &next) || next <= *from ||
        next > leaves->end) {
        cv_message_free(reply);
        return bad_answer(err);
    }
    *from = next;
    return CV_OK;
}

static void tell(const struct cv_leaves *leaves, uint64_t seq)
{
    if (leaves->end - leaves->first > 20000) {
        cv_output_progress(&leaves->cli->out, "%llu of %llu records",
                           (unsigned long long)(seq - leaves->first),
                           (unsigned long long)(leaves->end - leaves->first));
    }
}

/* While one piece is looked at, the broker makes the next one. */
enum cv_status cv_leaves_each(const struct cv_leaves *leaves, cv_leaves_fn *fn,
                              void *ctx, struct cv_err *err)
{
    uint64_t seq = leaves->first, next = seq;
    bool asked = false;
    enum cv_status s = CV_OK;

    while (seq < leaves->end && s == CV_OK) {
        struct cv_message reply;

        s = get_piece(leaves, asked, &next, &reply, err);
        asked = false;
        if (s != CV_OK) {
            break;
        }
        if (next < leaves->end) {
            cJSON *parameters = piece_of(leaves, next);

            asked = parameters != NULL &&
                    cv_call_ahead(leaves->cli, "AuditExport", parameters);
        }
        s = split(cv_output_table_text(reply.tree, "leaves"), &seq, fn, ctx,
                  err);
        cv_message_free(&reply);
        if (s == CV_OK && seq != next) {
            s = bad_answer(err);
        }
        tell(leaves, seq);
    }
    if (asked) {
        struct cv_message unused;

        if (cv_call_ahead_take(leaves->cli, &unused)) {
            cv_message_free(&unused);
        }
    }
    cv_output_progress_end(&leaves->cli->out);
    return s;
}

/* ---- the check ---- */

static bool read_hash(const cJSON *text, uint8_t out[CV_TREE_HASH])
{
    struct cv_buf bytes;
    bool good = false;

    cv_buf_init(&bytes, NULL, CV_TREE_HASH);
    if (cJSON_IsString(text) &&
        cv_decode_base64(text->valuestring, strlen(text->valuestring), true,
                         "a hash", &bytes, NULL) == CV_OK &&
        bytes.len == CV_TREE_HASH) {
        memcpy(out, bytes.data, CV_TREE_HASH);
        good = true;
    }
    cv_buf_wipe(&bytes);
    return good;
}

/* The subtrees left of the period, largest first, are just what a compact range
 * of its first record's number holds. */
void cv_leaves_check_begin(const struct cv_leaves *leaves,
                           struct cv_leaves_check *c)
{
    const cJSON *left = cJSON_GetObjectItemCaseSensitive(leaves->head, "left");
    const cJSON *hash;

    memset(c, 0, sizeof(*c));
    cv_tree_init(&c->tree);
    cJSON_ArrayForEach(hash, left)
    {
        if (c->tree.n == CV_TREE_DEPTH ||
            !read_hash(hash, c->tree.nodes[c->tree.n])) {
            c->broken = true;
            break;
        }
        c->tree.n++;
    }
    c->tree.size = leaves->first;
    /* Nothing is added to a tree without its nodes; where there is no note,
     * none came, and nothing is checked. */
    c->broken = c->broken || !cv_tree_shape_ok(c->tree.size, c->tree.n);
}

void cv_leaves_check_add(struct cv_leaves_check *c, struct cv_bytes leaf)
{
    uint8_t hash[CV_TREE_HASH];

    if (!c->broken) {
        cv_tree_leaf(leaf, hash);
        cv_tree_append(&c->tree, hash);
    }
}

/* Adds the root of the whole subtree that begins where the tree ends. */
static bool add_subtree(struct cv_tree *tree, uint64_t size,
                        uint8_t hash[CV_TREE_HASH])
{
    unsigned level = 0;
    uint64_t step;

    while (tree->size % (UINT64_C(2) << level) == 0 &&
           tree->size + (UINT64_C(2) << level) <= size) {
        level++;
    }
    step = UINT64_C(1) << level;
    if (tree->size + step > size) {
        return false;
    }
    for (uint64_t at = tree->size >> level; at % 2 == 1; at >>= 1) {
        cv_tree_node(tree->nodes[--tree->n], hash, hash);
    }
    memcpy(tree->nodes[tree->n++], hash, CV_TREE_HASH);
    tree->size += step;
    return true;
}

static const char *whats_wrong(const struct cv_leaves *leaves,
                               struct cv_leaves_check *c, const char *note)
{
    const char *vkey = cv_output_table_text(leaves->head, "vkey");
    uint8_t hash[CV_TREE_HASH];
    struct cv_checkpoint point;
    struct cv_note_key key;
    struct cv_buf text;
    const cJSON *right;

    if (vkey == NULL || cv_note_key_parse(vkey, &key, NULL) != CV_OK ||
        cv_checkpoint_open(
            (struct cv_bytes){(const uint8_t *)note, strlen(note)}, &key,
            &point, NULL) != CV_OK) {
        return "the checkpoint's signature is not the log key's";
    }
    c->size = point.size;
    cv_buf_init(&text, NULL, sizeof(c->root) - 1);
    cv_encode_base64((struct cv_bytes){point.root, CV_TREE_HASH}, &text);
    (void)snprintf(c->root, sizeof(c->root), "%s", cv_buf_text(&text));
    cv_buf_wipe(&text);
    cJSON_ArrayForEach(right,
                       cJSON_GetObjectItemCaseSensitive(leaves->head, "right"))
    {
        if (c->broken || !read_hash(right, hash) ||
            !add_subtree(&c->tree, point.size, hash)) {
            return "the hashes beside the period are none";
        }
    }
    if (c->broken || c->tree.size != point.size) {
        return "the hashes beside the period are none";
    }
    cv_tree_root(&c->tree, hash);
    return memcmp(hash, point.root, CV_TREE_HASH) == 0
               ? NULL
               : "the records are not those under the checkpoint";
}

void cv_leaves_check_end(const struct cv_leaves *leaves,
                         struct cv_leaves_check *c)
{
    const char *note = cv_output_table_text(leaves->head, "note");
    const char *wrong = note == NULL ? NULL : whats_wrong(leaves, c, note);

    c->verified = note != NULL && wrong == NULL;
    c->broken = wrong != NULL;
    (void)snprintf(c->verdict, sizeof(c->verdict), "%s%s",
                   note == NULL    ? "no checkpoint: nothing to check by yet"
                   : wrong != NULL ? "NOT verified: "
                                   : "verified",
                   wrong != NULL ? wrong : "");
    if (note != NULL && leaves->newer > 0) {
        size_t n = strlen(c->verdict);

        (void)snprintf(c->verdict + n, sizeof(c->verdict) - n,
                       "; %llu newer record%s under no checkpoint yet",
                       (unsigned long long)leaves->newer,
                       leaves->newer == 1 ? " is" : "s are");
    }
}

bool cv_leaves_is_refused(const cJSON *leaf)
{
    const char *decision = cv_output_table_text(leaf, "decision");
    const char *error = cv_output_table_text(leaf, "error");

    if (decision == NULL || strcmp(decision, "deny") != 0 || error == NULL) {
        return false;
    }
    return strcmp(error, "busy") == 0
               ? cJSON_GetArraySize(cv_output_table_at(leaf, "rules")) == 0
               : strcmp(error, "denied") != 0;
}
