/* import: kubeconfigs into the vault. Files are read one after the other; what
 * they hold goes to the broker in batches; with --shred, once the vault's
 * copies were opened and compared, the keys are taken out of the files. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/connect.h"
#include "cli/entry_view.h"
#include "cli/import_read.h"
#include "cli/place.h"
#include "cli/prompt.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Well below what a broker takes from a client in one message. */
#define BATCH_BYTES (CV_LIMIT_FRAME_CLIENT / 2)

/* What --shred has to know of a file. */
struct shred_file {
    char digest[65];
    bool strippable;
    cJSON *entries; /* [{name, digest, spki}] that are in the vault */
};

struct import {
    struct cv_cli *cli;
    const struct cv_args *args;
    const char *name; /* --name; NULL: not given */
    const char *to;   /* the token's URI; NULL: the sealed vault */
    struct cv_import_read read;
    cJSON *labels, *contexts;
    bool shred;
    bool named; /* an entry has the --name without holes */

    cJSON *identities, *names, *sources; /* the batch */
    size_t *files;                       /* of each in it: which file */
    size_t n, bytes;

    cJSON *entries; /* all that were made; the run's */
    struct shred_file *shreds;
    size_t refused; /* files or identities */
    struct cv_err first;
};

static void batch_free(struct import *in)
{
    cJSON_Delete(in->identities);
    cJSON_Delete(in->names);
    cJSON_Delete(in->sources);
    in->identities = in->names = in->sources = NULL;
    in->n = in->bytes = 0;
}

static void import_free(struct import *in)
{
    for (size_t i = 0; in->shreds != NULL && i < in->read.n; i++) {
        cJSON_Delete(in->shreds[i].entries);
    }
    cv_import_read_close(&in->read);
    batch_free(in);
    cJSON_Delete(in->labels);
    cJSON_Delete(in->contexts);
    free(in->files);
    free(in->shreds);
}

static enum cv_status batch_begin(struct import *in, struct cv_err *err)
{
    in->identities = cJSON_CreateArray();
    in->names = cJSON_CreateArray();
    in->sources = cJSON_CreateArray();
    if (in->identities == NULL || in->names == NULL || in->sources == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

/* Something of many was refused: it is told, and the rest goes on. */
static void refuse(struct import *in, const struct cv_err *why)
{
    if (in->refused++ == 0) {
        in->first = *why;
    }
    if (in->read.many) {
        cv_output_warn(&in->cli->out, "%s", why->text);
    }
}

static const char *text_of(const cJSON *object, const char *key)
{
    const char *text = cv_output_table_text(object, key);

    return text != NULL ? text : "";
}

/* The entry is in the vault: what --shred has to compare and take out. */
static enum cv_status remember(struct import *in, size_t file,
                               const cJSON *identity, const cJSON *entry,
                               struct cv_err *err)
{
    struct shred_file *f = &in->shreds[file];
    cJSON *item = cJSON_CreateObject();
    bool ok;

    if (f->entries == NULL) {
        f->entries = cJSON_CreateArray();
    }
    /* A token's key cannot be compared but by its public half. */
    ok = cv_json_add_str(item, "name", text_of(entry, "name")) &&
         cv_json_add_str(item, "digest",
                         in->to == NULL
                             ? cv_output_table_text(identity, "digest")
                             : NULL) &&
         cv_json_add_str(item, "spki", text_of(identity, "key.spki_sha256"));
    if (!ok || f->entries == NULL || !cJSON_AddItemToArray(f->entries, item)) {
        cJSON_Delete(item);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

static enum cv_status take_items(struct import *in, const cJSON *items,
                                 const cJSON *identities, struct cv_err *err)
{
    const cJSON *identity = identities->child, *item;
    size_t i = 0;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(item, items)
    {
        const cJSON *entry = cJSON_GetObjectItemCaseSensitive(item, "entry");
        const cJSON *error = cJSON_GetObjectItemCaseSensitive(item, "error");
        cJSON *copy;

        if (identity == NULL || i == in->n) {
            break;
        }
        if (error != NULL) {
            struct cv_err why;

            cv_err_init(&why);
            (void)cv_json_to_err(error, &why);
            refuse(in, &why);
        } else {
            copy = cJSON_Duplicate(entry, true);
            if (copy == NULL || !cJSON_AddItemToArray(in->entries, copy)) {
                cJSON_Delete(copy);
                return cv_fail(err, CV_INTERNAL, "memory is gone");
            }
            s = remember(in, in->files[i], identity, entry, err);
        }
        if (s != CV_OK) {
            return s;
        }
        identity = identity->next;
        i++;
    }
    return CV_OK;
}

static cJSON *batch_parameters(struct import *in)
{
    cJSON *p = cv_cli_parameters(in->cli);
    /* One file stands or falls whole; of a folder's files each by itself. */
    bool ok =
        cv_json_add_item(p, "identities",
                         cJSON_Duplicate(in->identities, true)) &&
        cv_json_add_item(p, "names", cJSON_Duplicate(in->names, true)) &&
        cv_json_add_item(p, "sources", cJSON_Duplicate(in->sources, true)) &&
        cv_json_add_item(p, "labels", cJSON_Duplicate(in->labels, true)) &&
        cv_json_add_str(p, "to", in->to) &&
        cv_json_add_bool(p, "atomic", !in->read.many) &&
        cv_json_add_bool(p, "exportable",
                         cv_args_has(in->args, "exportable")) &&
        cv_json_add_bool(p, "dry_run", in->cli->dry_run);

    if (!ok) {
        cJSON_Delete(p);
        p = NULL;
    }
    return p;
}

static enum cv_status batch_send(struct import *in, struct cv_err *err)
{
    const cJSON *items;
    enum cv_status s;

    if (in->n == 0) {
        return CV_OK;
    }
    cv_output_progress(&in->cli->out, "taking in %zu identities...", in->n);
    s = cv_call_member(in->cli, "Import", batch_parameters(in), "items",
                       CV_JSON_ARRAY, &items, err);
    cv_output_progress_end(&in->cli->out);
    if (s == CV_OK) {
        if (!in->cli->dry_run) {
            in->cli->unasked = "what was taken in before stays";
        }
        s = take_items(in, items, in->identities, err);
    } else if (s == CV_EXISTS && in->shred) {
        cv_err_state(err, "the file still has its keys");
        cv_err_hint(err, "where the vault has them all, delete the file");
    } else if (in->cli->dry_run) {
        cv_err_state(err, "nothing was taken in");
    } else if (cJSON_GetArraySize(in->entries) > 0) {
        cv_err_state(err, "%d entries were made before",
                     cJSON_GetArraySize(in->entries));
    }
    batch_free(in);
    return s == CV_OK ? batch_begin(in, err) : s;
}

/* Fills {context} and {file} in; a stem for a {file} that says nothing is
 * "config". CV_INVALID where the name gets too long. */
static enum cv_status fill(const char *template, const char *context,
                           const char *stem, char *out, size_t out_len,
                           struct cv_err *err)
{
    struct cv_buf b;
    enum cv_status s;

    cv_buf_init(&b, NULL, out_len - 1);
    while (*template != '\0') {
        if (strncmp(template, "{context}", 9) == 0) {
            cv_buf_add_str(&b, context);
            template += 9;
        } else if (strncmp(template, "{file}", 6) == 0) {
            cv_buf_add_str(&b, stem[0] ? stem : "config");
            template += 6;
        } else {
            cv_buf_add_char(&b, *template ++);
        }
    }
    s = cv_buf_status(&b, "an entry's name", err);
    if (s == CV_OK) {
        memcpy(out, cv_buf_text(&b), b.len + 1);
    }
    cv_buf_wipe(&b);
    return s;
}

/* What an identity's entry is called: --name; else the file's name, and behind
 * it the context's where there are several; else the context's. */
static enum cv_status name_it(const struct import *in, size_t file, bool alone,
                              const char *suffix, char *out, size_t out_len,
                              struct cv_err *err)
{
    const char *template = in->name;
    char stem[CV_LIMIT_NAME + 1];

    cv_import_read_stem(&in->read, file, stem, sizeof(stem));
    if (template == NULL) {
        template = stem[0] == '\0' ? "{context}"
                   : alone         ? "{file}"
                                   : "{file}-{context}";
    }
    return fill(template, suffix, stem, out, out_len, err);
}

static cJSON *source_of(const struct cv_import_read_file *file)
{
    cJSON *source = cJSON_CreateObject();

    if (!cv_json_add_str(source, "kind", "file") ||
        !cv_json_add_str(source, "digest",
                         cv_output_table_text(file->answer, "digest"))) {
        cJSON_Delete(source);
        return NULL;
    }
    return source;
}

/* About how long it is as JSON. */
static size_t size_of(const cJSON *value)
{
    size_t n = 8;
    const cJSON *item;

    n += value->string ? strlen(value->string) + 4 : 0;
    n += value->valuestring ? strlen(value->valuestring) * 9 / 8 : 8;
    cJSON_ArrayForEach(item, value)
    {
        n += size_of(item);
    }
    return n;
}

/* What is to be taken back as a whole goes in one message. */
static enum cv_status too_many(const struct cv_import_read_file *f,
                               struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_INVALID,
                "%s holds more than the %d identities that a token takes at "
                "a time",
                f->name, CV_LIMIT_TOKEN_BATCH);

    cv_err_state(err, "nothing of it was taken in");
    cv_err_hint(err, "choose some with --context");
    return s;
}

static enum cv_status add_identity(struct import *in, size_t file,
                                   struct cv_import_read_file *f, bool alone,
                                   cJSON *identity, struct cv_err *err)
{
    char name[CV_LIMIT_NAME * 3];
    size_t bytes = size_of(identity);
    enum cv_status s = name_it(in, file, alone, text_of(identity, "suffix"),
                               name, sizeof(name), err);

    bool full = in->n == CV_LIMIT_BATCH ||
                (in->n > 0 && in->bytes + bytes > BATCH_BYTES);

    if (s == CV_OK && full && in->to != NULL) {
        s = too_many(f, err);
    } else if (s == CV_OK && full) {
        s = batch_send(in, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(identity);
        return s;
    }
    if (!cJSON_AddItemToArray(in->identities, identity)) {
        cJSON_Delete(identity);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    in->files[in->n++] = file;
    in->bytes += bytes;
    if (!cJSON_AddItemToArray(in->names, cJSON_CreateString(name)) ||
        !cJSON_AddItemToArray(in->sources, source_of(f))) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

/* --name without a hole fits one entry. */
static bool is_literal(const char *name)
{
    return name != NULL && strstr(name, "{context}") == NULL &&
           strstr(name, "{file}") == NULL;
}

/* A new target of the token, for the next reading. */
static enum cv_status take_target(struct import *in, struct cv_err *err)
{
    cJSON *p = cv_cli_parameters(in->cli), *target = cJSON_CreateObject();
    const cJSON *answer = NULL;
    enum cv_status s;

    if (!cv_json_add_str(p, "to", in->to) ||
        !cv_json_add_str(p, "name", is_literal(in->name) ? in->name : NULL) ||
        !cv_json_add_item(p, "labels", cJSON_Duplicate(in->labels, true))) {
        cJSON_Delete(p);
        cJSON_Delete(target);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_call_simple(in->cli, "Target", p, &answer, err);
    if (s == CV_OK &&
        (!cv_json_add_str(target, "vault_id", text_of(answer, "vault_id")) ||
         !cv_json_add_str(target, "public_key",
                          text_of(answer, "public_key")))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s != CV_OK) {
        cJSON_Delete(target);
        return s;
    }
    in->read.target = cv_cli_keep(in->cli, target, err);
    return in->read.target != NULL ? CV_OK : CV_INTERNAL;
}

static void tell_left(struct import *in, const struct cv_import_read_file *f)
{
    const cJSON *item;

    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(f->answer, "left"))
    {
        cv_output_note(&in->cli->out, "%s: user %s was left alone: %s", f->name,
                       text_of(item, "user"), text_of(item, "why"));
    }
}

static enum cv_status one_name(const struct import *in, struct cv_err *err)
{
    enum cv_status s = cv_fail(
        err, CV_USAGE, "there are several files and --name names one entry");

    cv_err_state(err, "nothing was taken in");
    cv_err_hint(err, "--name '%.60s-{file}'", in->name);
    return s;
}

/* Nothing of it was taken in yet. */
static enum cv_status not_strippable(const struct import *in, size_t i,
                                     const struct cv_import_read_file *f,
                                     struct cv_err *err)
{
    struct stat st = {.st_nlink = 1};
    enum cv_status s;

    (void)fstatat(in->read.fd, in->read.names[i], &st, AT_SYMLINK_NOFOLLOW);
    if (st.st_nlink > 1) {
        s = cv_fail(err, CV_INVALID,
                    "%s has %ju names (hard links): the others would keep its "
                    "keys",
                    f->name, (uintmax_t)st.st_nlink);
        cv_err_hint(err, "remove the others first (find -samefile shows them), "
                         "or import it without --shred");
    } else {
        s = cv_fail(err, CV_INVALID,
                    "%s cannot be written anew without its keys", f->name);
        cv_err_hint(err, "check who owns its folder and its mode, or import it "
                         "without --shred");
    }
    cv_err_state(err, "the file has its keys; none of them was taken in");
    return s;
}

static enum cv_status take_file(struct import *in, size_t i,
                                struct cv_import_read_file *f,
                                struct cv_err *err)
{
    cJSON *identities =
        cJSON_GetObjectItemCaseSensitive(f->answer, "identities");
    int n = cJSON_GetArraySize(identities);
    struct shred_file *shred = &in->shreds[i];
    enum cv_status s = CV_OK;

    (void)snprintf(shred->digest, sizeof(shred->digest), "%s",
                   text_of(f->answer, "digest"));
    shred->strippable =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(f->answer, "strippable"));
    tell_left(in, f);
    if (n == 0) {
        return cv_fail(err, CV_INVALID, "%s: no client key is in it", f->name);
    }
    if (in->shred && !shred->strippable) {
        return not_strippable(in, i, f, err);
    }
    if (n > 1 && in->name != NULL && strstr(in->name, "{context}") == NULL) {
        s = cv_fail(err, CV_USAGE,
                    "%s holds %d identities and --name names one", f->name, n);
        cv_err_hint(err, "--name '%.60s-{context}', or --context to choose",
                    in->name);
        return s;
    }
    if (in->to != NULL && n > CV_LIMIT_TOKEN_BATCH) {
        return too_many(f, err);
    }
    if (in->named) {
        return one_name(in, err);
    }
    in->named = is_literal(in->name);
    for (int k = 0; k < n && s == CV_OK; k++) {
        s = add_identity(in, i, f, n == 1,
                         cJSON_DetachItemFromArray(identities, 0), err);
    }
    /* What is sealed to a token's target is taken before there is another. */
    return s == CV_OK && in->to != NULL ? batch_send(in, err) : s;
}

/* Is this the fault of one file, so that others go on? */
static bool is_of_file(const struct import *in, enum cv_status s)
{
    return s == CV_INVALID || s == CV_EXPIRED || s == CV_NOT_FOUND ||
           (in->to != NULL && (s == CV_EXISTS || s == CV_DENIED));
}

static enum cv_status read_all(struct import *in, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < in->read.n && s == CV_OK; i++) {
        struct cv_import_read_file file;
        struct cv_err why;

        cv_err_init(&why);
        if (in->read.n > 1) {
            cv_output_progress(&in->cli->out, "reading %zu of %zu files", i + 1,
                               in->read.n);
        }
        if (in->to != NULL) {
            s = take_target(in, &why);
        }
        if (s == CV_OK) {
            s = cv_import_read_file(&in->read, i, &file, &why);
        }
        if (s == CV_OK) {
            s = take_file(in, i, &file, &why);
            cv_import_read_free_file(&file);
        }
        if (s != CV_OK && in->read.many && is_of_file(in, s)) {
            refuse(in, &why);
            s = CV_OK;
            if (in->to != NULL) {
                batch_free(in);
                s = batch_begin(in, err);
            }
        } else if (s != CV_OK && err != NULL) {
            *err = why;
        }
    }
    cv_output_progress_end(&in->cli->out);
    return s == CV_OK ? batch_send(in, err) : s;
}

/* {name, digest} of each, for Check; the SPKI digests, for Strip. */
static enum cv_status split_shred(const struct import *in,
                                  const struct shred_file *f, cJSON **check,
                                  cJSON **spki, struct cv_err *err)
{
    const cJSON *entry;

    *check = cv_cli_parameters(in->cli);
    *spki = cJSON_CreateArray();
    cJSON *list = cJSON_AddArrayToObject(*check, "entries");

    cJSON_ArrayForEach(entry, f->entries)
    {
        cJSON *item = cJSON_Duplicate(entry, true);

        cJSON_DeleteItemFromObjectCaseSensitive(item, "spki");
        if (list == NULL || item == NULL || !cJSON_AddItemToArray(list, item) ||
            !cJSON_AddItemToArray(*spki,
                                  cJSON_CreateString(text_of(entry, "spki")))) {
            cJSON_Delete(*check);
            cJSON_Delete(*spki);
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}

static enum cv_status shred_one(struct import *in, size_t i, struct cv_err *err)
{
    struct shred_file *f = &in->shreds[i];
    const char *name = in->read.names[i];
    const cJSON *answer;
    cJSON *check, *spki;
    int left = 0;
    enum cv_status s = split_shred(in, f, &check, &spki, err);

    if (s != CV_OK) {
        return s;
    }
    s = cv_call_simple(in->cli, "Check", check, &answer, err);
    if (s == CV_OK &&
        !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "ok"))) {
        s = cv_fail(err, CV_INTEGRITY, "the vault's copy is not the same");
    }
    if (s != CV_OK) {
        cJSON_Delete(spki);
    } else {
        s = cv_import_read_strip(&in->read, i, f->digest, spki, &left, err);
    }
    if (s != CV_OK) {
        cv_err_prefix(err, "%s", name);
        cv_err_state(err, "the vault has the keys, the file still has them "
                          "too");
        return s;
    }
    cv_output_note(&in->cli->out, "%s: %d client keys were taken out, %d stay",
                   name, cJSON_GetArraySize(f->entries), left);
    return CV_OK;
}

static enum cv_status shred_all(struct import *in, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (size_t i = 0; i < in->read.n && s == CV_OK; i++) {
        if (in->shreds[i].entries != NULL) {
            s = shred_one(in, i, err);
        }
    }
    return s;
}

/* Of one alone its own hint says what to do. */
static void tell_next(const struct import *in, struct cv_err *err)
{
    if (in->refused == 1 && in->first.hint[0] != '\0') {
        cv_err_hint(err, "%s", in->first.hint);
    } else if (in->read.many) {
        cv_err_hint(err, "each is named above; once they are mended import "
                         "those files again, each by itself");
    } else {
        cv_err_hint(err, "--context NAME takes one of the file alone");
    }
}

/* What was refused among many decides the exit code. */
static enum cv_status finish(struct import *in, struct cv_err *err)
{
    struct cv_output *out = &in->cli->out;
    int n = cJSON_GetArraySize(in->entries);
    enum cv_status s = CV_OK;

    if (in->cli->dry_run && n > 0) {
        cv_output_note(out, "nothing was taken in; it would be:");
    }
    if (n > 0 || in->refused == 0) {
        s = cv_output_table_list(out, &cv_entry_view_list, in->entries, err);
    }
    if (s != CV_OK || in->refused == 0) {
        return s;
    }
    if (err != NULL) {
        *err = in->first;
    }
    if (in->refused == 1 && in->first.hint[0] == '\0') {
        tell_next(in, err);
    }
    if (in->refused > 1 || n > 0) {
        s = cv_fail(err, in->first.status,
                    "%zu of them were refused, first: %s", in->refused,
                    in->first.text);
        if (in->cli->dry_run) {
            cv_err_state(err, "nothing was taken in; %d would be", n);
        } else {
            cv_err_state(err, "%d entries were made", n);
        }
        tell_next(in, err);
        return s;
    }
    return in->first.status;
}

static enum cv_status prepare(struct import *in, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    in->entries = cv_cli_keep(in->cli, cJSON_CreateArray(), err);
    in->files = calloc(CV_LIMIT_BATCH, sizeof(*in->files));
    if (in->entries == NULL || in->files == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_connect_open(in->cli, false, err);
    if (s == CV_OK && cv_connect_greets(in->cli)->public_key == NULL) {
        s = cv_fail(err, CV_NOT_FOUND, "there is no vault yet");
        cv_err_hint(err, "certvault init makes one");
    }
    if (s == CV_OK) {
        in->read.cli = in->cli;
        in->read.contexts = in->contexts;
        s = cv_import_read_open(&in->read, in->args->operands[0], in->shred,
                                err);
    }
    if (s == CV_OK && in->to != NULL && in->read.n > 1 &&
        is_literal(in->name)) {
        /* A token takes each file before the next is read. */
        s = one_name(in, err);
    }
    if (s == CV_OK) {
        in->shreds = calloc(in->read.n, sizeof(*in->shreds));
        s = in->shreds != NULL ? batch_begin(in, err)
                               : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

static enum cv_status check_flags(struct import *in, struct cv_err *err)
{
    const char *context;
    size_t at = 0;
    enum cv_status s = CV_OK;

    if (in->shred && strcmp(in->args->operands[0], "-") == 0) {
        s = cv_fail(err, CV_USAGE, "standard input cannot be shredded");
    }
    if (s == CV_OK && in->name != NULL) {
        s = cv_check_template(in->name, true, err);
    }
    if (s == CV_OK) {
        s = cv_check_labels(in->args, false, &in->labels, err);
    }
    while (s == CV_OK &&
           (context = cv_args_next(in->args, "context", &at)) != NULL) {
        s = cv_check_shown(context, "context", CV_LIMIT_URL, err);
        if (in->contexts == NULL) {
            in->contexts = cJSON_CreateArray();
        }
        if (s == CV_OK &&
            !cJSON_AddItemToArray(in->contexts, cJSON_CreateString(context))) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    if (s == CV_OK && in->shred && !in->cli->dry_run) {
        s = cv_prompt_confirm(in->cli, err,
                              "Take the client keys out of %s once the vault "
                              "has them?",
                              in->args->operands[0]);
    }
    if (s == CV_OK) {
        s = cv_place_read(in->cli, in->args, &in->to, err);
    }
    return s;
}

CV_CMD(import)
{
    struct import in = {
        .cli = cli,
        .args = args,
        .name = cv_args_value(args, "name"),
        .read = {.fd = -1},
        .shred = cv_args_has(args, "shred"),
    };
    enum cv_status s = check_flags(&in, err);

    if (s == CV_OK) {
        s = prepare(&in, err);
    }
    if (s == CV_OK) {
        s = read_all(&in, err);
    }
    if (s == CV_OK && in.shred && !cli->dry_run) {
        s = shred_all(&in, err);
    }
    if (s == CV_OK) {
        s = finish(&in, err);
    }
    import_free(&in);
    return s;
}
