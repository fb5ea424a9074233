#include "cli/args.h"

#include "cli/nearest.h"

#include <stdlib.h>
#include <string.h>

/* What has been seen while the words are walked. */
struct walk {
    struct cv_args *args;
    const char **words; /* the command's words and its operands */
    size_t n_words;
    bool seen_ends; /* "--" came */
};

/* A flag that no table knew when it was met: the command may come later. */
struct open_flag {
    const char *name;
    size_t len;
    char letter;
};

static enum cv_status refuse_unknown(const struct open_flag *f,
                                     const struct cv_command *command,
                                     struct cv_err *err)
{
    const char *near =
        f->letter != 0 ? NULL : cv_nearest_flag(command, f->name, f->len);
    char shown[40];
    enum cv_status s;

    if (f->letter != 0) {
        const char letter[2] = {f->letter, '\0'};

        cv_err_quote(shown, sizeof(shown), letter, 1);
        s = cv_fail(err, CV_USAGE, "unknown flag -%s", shown);
    } else if (cv_command_is_secret_flag(f->name, f->len)) {
        cv_err_quote(shown, sizeof(shown), f->name, f->len);
        s = cv_fail(err, CV_USAGE,
                    "--%s does not exist: what stands in an argument can be "
                    "read by everyone on this host",
                    shown);
        cv_err_hint(err, "give secrets by file, by environment "
                         "(HUAWEICLOUD_SDK_AK, ..._SK) or at the prompt");
        return s;
    } else {
        cv_err_quote(shown, sizeof(shown), f->name, f->len);
        s = cv_fail(err, CV_USAGE, "unknown flag --%s", shown);
    }
    if (near != NULL) {
        cv_err_hint(err, "did you mean --%s?", near);
    } else {
        cv_err_hint(err, "see certvault%s%s --help", command ? " " : "",
                    command ? command->name : "");
    }
    return s;
}

static void add_flag(struct walk *w, const struct cv_option *option,
                     const char *value)
{
    struct cv_args *args = w->args;

    if (strcmp(option->name, "help") == 0) {
        args->help = true;
    } else {
        args->flags[args->n_flags++] = (struct cv_arg){option, value};
    }
}

static const struct cv_option *find_long(const struct cv_command *command,
                                         const char *name, size_t len)
{
    const struct cv_option *found =
        command ? cv_command_option(command->options, name, len) : NULL;

    return found ? found : cv_command_option(cv_command_global, name, len);
}

static const struct cv_option *find_letter(const struct cv_command *command,
                                           char letter)
{
    const struct cv_option *found =
        command ? cv_command_letter(command->options, letter) : NULL;

    return found ? found : cv_command_letter(cv_command_global, letter);
}

/* --name, --name=value, --name value; *i is the place in argv. */
static enum cv_status take_long(struct walk *w, int argc, char *const *argv,
                                int *i, struct cv_err *err)
{
    const char *name = argv[*i] + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    const struct cv_option *option = find_long(w->args->command, name, len);

    if (option == NULL) {
        const struct open_flag f = {name, len, 0};

        return refuse_unknown(&f, w->args->command, err);
    }
    if (option->argument == NULL && value != NULL) {
        return cv_fail(err, CV_USAGE, "--%s takes no value", option->name);
    }
    /* One that may be left out is given with "=" alone. */
    if (option->argument != NULL && value == NULL &&
        option->argument[0] != '[') {
        if (*i + 1 >= argc) {
            return cv_fail(err, CV_USAGE, "--%s wants a value", option->name);
        }
        value = argv[++*i];
    }
    add_flag(w, option, value);
    return CV_OK;
}

/* -q, -qv, -o json, -ojson, -o=json */
static enum cv_status take_short(struct walk *w, int argc, char *const *argv,
                                 int *i, struct cv_err *err)
{
    const char *p = argv[*i] + 1;

    while (*p != '\0') {
        const struct cv_option *option = find_letter(w->args->command, *p);
        const char *value = NULL;

        if (option == NULL) {
            const struct open_flag f = {NULL, 0, *p};

            return refuse_unknown(&f, w->args->command, err);
        }
        p++;
        if (option->argument != NULL) {
            if (*p == '\0' && *i + 1 >= argc) {
                return cv_fail(err, CV_USAGE, "-%c wants a value",
                               option->letter);
            }
            value = *p == '=' ? p + 1 : *p != '\0' ? p : argv[++*i];
            p = "";
        }
        add_flag(w, option, value);
    }
    return CV_OK;
}

static enum cv_status unknown_command(const struct walk *w, struct cv_err *err)
{
    const char *first = w->words[0];
    const char *second = w->n_words > 1 ? w->words[1] : NULL;
    size_t len = 0;
    const char *near = cv_nearest_command(first, second, &len);
    bool group = cv_command_is_group(first);
    char shown[40];
    enum cv_status s;

    if (cv_command_is_later(first, second)) {
        s = cv_fail(err, CV_USAGE, "%s%s%s is not in this version", first,
                    group ? " " : "", group ? second : "");
        cv_err_hint(err, "see certvault --help for what is");
        return s;
    }
    if (group && second == NULL) {
        s = cv_fail(err, CV_USAGE, "%s wants a word behind it", first);
    } else {
        cv_err_quote(shown, sizeof(shown), group ? second : first,
                     strlen(group ? second : first));
        s = cv_fail(err, CV_USAGE, "unknown command %s%s%s", group ? first : "",
                    group ? " " : "", shown);
    }
    if (near != NULL) {
        cv_err_hint(err,
                    "did you mean certvault %.*s? certvault --help names all",
                    (int)len, near);
    } else {
        cv_err_hint(err, "see certvault%s%s --help", group ? " " : "",
                    group ? first : "");
    }
    return s;
}

/* Once enough words are known the command is; flags behind it may be its own.
 * A group's second word may still be to come. */
static enum cv_status settle(struct walk *w, bool last, struct cv_err *err)
{
    size_t used = 0;

    if (w->args->command != NULL || w->n_words == 0) {
        return CV_OK;
    }
    w->args->command = cv_command_find(w->words, w->n_words, &used);
    if (w->args->command != NULL) {
        w->n_words = 0;
        return CV_OK;
    }
    if (!last && w->n_words == 1 && cv_command_is_group(w->words[0])) {
        return CV_OK;
    }
    return unknown_command(w, err);
}

static enum cv_status check_count(const struct cv_args *args,
                                  struct cv_err *err)
{
    const struct cv_command *c = args->command;
    enum cv_status s;

    if (c == NULL || args->help) {
        return CV_OK;
    }
    if (args->n_operands < (size_t)c->min) {
        s = cv_fail(err, CV_USAGE, "%s wants %s", c->name, c->operands);
    } else if (c->max >= 0 && args->n_operands > (size_t)c->max) {
        s = cv_fail(err, CV_USAGE, "%s takes %s", c->name,
                    c->max == 0 ? "no operand" : c->operands);
    } else {
        return CV_OK;
    }
    cv_err_hint(err, "see certvault %s --help", c->name);
    return s;
}

/* A PIN in a token's URI would be as open as any other argument. */
static enum cv_status check_uri(int argc, char *const *argv, struct cv_err *err)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(argv[i], "pin-value=") != NULL) {
            return cv_fail(err, CV_USAGE,
                           "pin-value in a URI is refused: everyone on this "
                           "host can read arguments");
        }
    }
    return CV_OK;
}

static enum cv_status walk_words(struct walk *w, int argc, char *const *argv,
                                 struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (int i = 1; i < argc && s == CV_OK; i++) {
        const char *word = argv[i];

        if (!w->seen_ends && strcmp(word, "--") == 0) {
            w->seen_ends = true;
        } else if (!w->seen_ends && word[0] == '-' && word[1] == '-') {
            s = take_long(w, argc, argv, &i, err);
        } else if (!w->seen_ends && word[0] == '-' && word[1] != '\0') {
            s = take_short(w, argc, argv, &i, err);
        } else {
            w->words[w->n_words++] = word;
            s = settle(w, false, err);
        }
    }
    return s;
}

enum cv_status cv_args_parse(int argc, char *const *argv, struct cv_args *args,
                             struct cv_err *err)
{
    size_t room = argc > 0 ? (size_t)argc : 1;
    struct walk w = {.args = args};
    enum cv_status s;

    memset(args, 0, sizeof(*args));
    /* -qqq in one word holds more flags than argv has words. */
    for (int i = 1; i < argc; i++) {
        room += argv[i][0] == '-' ? strlen(argv[i]) : 0;
    }
    args->flags = calloc(room, sizeof(*args->flags));
    args->operands = calloc(room, sizeof(*args->operands));
    if (args->flags == NULL || args->operands == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    w.words = args->operands;
    s = check_uri(argc, argv, err);
    if (s == CV_OK) {
        s = walk_words(&w, argc, argv, err);
    }
    if (s == CV_OK && args->command == NULL && !args->help) {
        s = settle(&w, true, err);
    }
    args->n_operands = w.n_words;
    return s == CV_OK ? check_count(args, err) : s;
}

void cv_args_free(struct cv_args *args)
{
    free(args->flags);
    free(args->operands);
    memset(args, 0, sizeof(*args));
}

bool cv_args_has(const struct cv_args *args, const char *name)
{
    for (size_t i = 0; i < args->n_flags; i++) {
        if (strcmp(args->flags[i].option->name, name) == 0) {
            return true;
        }
    }
    return false;
}

const char *cv_args_value(const struct cv_args *args, const char *name)
{
    const char *last = NULL, *value;
    size_t at = 0;

    while ((value = cv_args_next(args, name, &at)) != NULL) {
        last = value;
    }
    return last;
}

const char *cv_args_next(const struct cv_args *args, const char *name,
                         size_t *at)
{
    while (*at < args->n_flags) {
        const struct cv_arg *flag = &args->flags[(*at)++];

        if (flag->value != NULL && strcmp(flag->option->name, name) == 0) {
            return flag->value;
        }
    }
    return NULL;
}
