#include "cli/complete.h"

#include "cli/command.h"

#include <string.h>

typedef bool option_filter(const struct cv_option *o);

static bool takes_argument(const struct cv_option *o)
{
    return o->argument != NULL && o->argument[0] != '[';
}

static bool takes_file(const struct cv_option *o)
{
    return takes_argument(o) && o->kind == CV_KIND_FILE;
}

static bool takes_folder(const struct cv_option *o)
{
    return takes_argument(o) && o->kind == CV_KIND_FOLDER;
}

static void add_flag_name(struct cv_buf *out, const struct cv_option *o,
                          const char *between, bool *first)
{
    if (o->letter != 0) {
        cv_buf_add_format(out, "%s-%c", *first ? "" : between, o->letter);
        *first = false;
    }
    if (strlen(o->name) > 1) {
        cv_buf_add_format(out, "%s--%s", *first ? "" : between, o->name);
        *first = false;
    }
}

static void add_flags(struct cv_buf *out, const struct cv_option *table,
                      option_filter *wanted, const char *between, bool *first)
{
    for (; table != NULL && table->name != NULL; table++) {
        if (wanted == NULL || wanted(table)) {
            add_flag_name(out, table, between, first);
        }
    }
}

/* The flags of all commands that `wanted` takes, each as often as it comes. */
static void add_all_flags(struct cv_buf *out, option_filter *wanted,
                          const char *between)
{
    bool first = true;

    add_flags(out, cv_command_global, wanted, between, &first);
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        add_flags(out, c->options, wanted, between, &first);
    }
}

/* "a|b|c" with blanks between. */
static void add_words(struct cv_buf *out, const char *words)
{
    for (; words != NULL && *words != '\0'; words++) {
        cv_buf_add_char(out, *words == '|' ? ' ' : *words);
    }
}

/* How a shell writes what to do at one place. */
struct style {
    const char *files, *folders;   /* commands that complete these */
    const char *words, *words_end; /* around a list of words */
};

static const struct style bash = {
    "COMPREPLY=($(compgen -f -- \"$cur\"))",
    "COMPREPLY=($(compgen -d -- \"$cur\"))",
    "COMPREPLY=($(compgen -W '",
    "' -- \"$cur\"))",
};

static const struct style zsh = {"_files", "_files -/", "compadd -- ", ""};

static void add_word_flags(struct cv_buf *out, const struct style *style,
                           const struct cv_option *table)
{
    for (; table != NULL && table->name != NULL; table++) {
        bool first = true;

        if (table->words == NULL) {
            continue;
        }
        cv_buf_add_str(out, "    ");
        add_flag_name(out, table, "|", &first);
        cv_buf_add_format(out, ") %s", style->words);
        add_words(out, table->words);
        cv_buf_add_format(out, "%s; return ;;\n", style->words_end);
    }
}

/* What stands behind a flag. */
static void add_values(struct cv_buf *out, const struct style *style)
{
    cv_buf_add_str(out, "    case $prev in\n    ");
    add_all_flags(out, takes_file, "|");
    cv_buf_add_format(out, ") %s; return ;;\n    ", style->files);
    add_all_flags(out, takes_folder, "|");
    cv_buf_add_format(out, ") %s; return ;;\n", style->folders);
    add_word_flags(out, style, cv_command_global);
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        add_word_flags(out, style, c->options);
    }
    cv_buf_add_str(out, "    ");
    add_all_flags(out, takes_argument, "|");
    cv_buf_add_str(out, ") return ;;\n    esac\n");
}

/* Is it the first command of its group? */
static bool begins_group(const struct cv_command *c, size_t *len)
{
    const char *blank = strchr(c->name, ' ');

    if (blank == NULL) {
        return false;
    }
    *len = (size_t)(blank - c->name) + 1;
    return c == cv_command_table || strncmp((c - 1)->name, c->name, *len) != 0;
}

static void add_groups(struct cv_buf *out, const char *between)
{
    bool first = true;
    size_t len;

    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        if (begins_group(c, &len)) {
            cv_buf_add_str(out, first ? "" : between);
            cv_buf_add(out, c->name, len - 1);
            first = false;
        }
    }
}

/* The words that may follow `prefix` ("" or "slot "). */
static void add_next_words(struct cv_buf *out, const char *prefix)
{
    size_t len = strlen(prefix), group;
    bool first = true;

    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        if (strncmp(c->name, prefix, len) != 0 ||
            (len == 0 && strchr(c->name, ' ') != NULL)) {
            continue;
        }
        cv_buf_add_format(out, "%s%s", first ? "" : " ", c->name + len);
        first = false;
    }
    for (const struct cv_command *c = cv_command_table; len == 0 && c->name;
         c++) {
        if (begins_group(c, &group)) {
            cv_buf_add_char(out, ' ');
            cv_buf_add(out, c->name, group - 1);
        }
    }
}

static void add_next_case(struct cv_buf *out, const struct style *style,
                          const char *prefix, size_t shown)
{
    cv_buf_add_char(out, '\'');
    cv_buf_add(out, prefix, shown);
    cv_buf_add_format(out, "') %s", style->words);
    add_next_words(out, prefix);
    cv_buf_add_format(out, "%s ;;\n    ", style->words_end);
}

/* What stands where no flag does. */
static void add_operands(struct cv_buf *out, const struct style *style)
{
    size_t len;

    cv_buf_add_str(out, "    case $cmd in\n    ");
    add_next_case(out, style, "", 0);
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        char group[32];

        if (begins_group(c, &len) && len < sizeof(group)) {
            memcpy(group, c->name, len);
            group[len] = '\0';
            add_next_case(out, style, group, len - 1);
        }
        if (c->max != 0 && c->kind == CV_KIND_FILE) {
            cv_buf_add_format(out, "'%s') %s ;;\n    ", c->name, style->files);
        } else if (c->max != 0 && c->kind == CV_KIND_WORDS) {
            cv_buf_add_format(out, "'%s') %s", c->name, style->words);
            add_words(out, c->words);
            cv_buf_add_format(out, "%s ;;\n    ", style->words_end);
        }
    }
    cv_buf_add_str(out, "esac\n");
}

static void add_own_flags(struct cv_buf *out, const struct style *style)
{
    bool first = true;

    cv_buf_add_str(out, "    local flags='");
    add_flags(out, cv_command_global, NULL, " ", &first);
    cv_buf_add_str(out, "'\n    case $cmd in\n");
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        if (c->options != NULL) {
            first = false;
            cv_buf_add_format(out, "    '%s') flags+='", c->name);
            add_flags(out, c->options, NULL, " ", &first);
            cv_buf_add_str(out, "' ;;\n");
        }
    }
    cv_buf_add_str(out, "    esac\n");
    if (style == &bash) {
        cv_buf_add_str(
            out, "    COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n");
    } else {
        cv_buf_add_str(out, "    compadd -- ${=flags}\n");
    }
}

/* Finds the command among the words before the cursor. */
static void add_scan(struct cv_buf *out, const char *begin, const char *end,
                     const char *word)
{
    cv_buf_add_format(out,
                      "    for ((i = %s; i < %s; i++)); do\n"
                      "        word=%s\n"
                      "        if [[ -n $skip ]]; then skip=; continue; fi\n"
                      "        case $word in\n        ",
                      begin, end, word);
    add_all_flags(out, takes_argument, "|");
    cv_buf_add_str(out, ") skip=1 ;;\n"
                        "        -*) ;;\n"
                        "        *) case $cmd in\n"
                        "           '') cmd=$word ;;\n           ");
    add_groups(out, "|");
    cv_buf_add_str(out, ") cmd=\"$cmd $word\" ;;\n"
                        "           esac ;;\n"
                        "        esac\n"
                        "    done\n");
}

void cv_complete_bash(struct cv_buf *out)
{
    cv_buf_add_str(out, "# bash completion of certvault\n"
                        "_certvault() {\n"
                        "    local cur=${COMP_WORDS[COMP_CWORD]}\n"
                        "    local prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                        "    local cmd= word= skip= i\n"
                        "    COMPREPLY=()\n");
    add_scan(out, "1", "COMP_CWORD", "${COMP_WORDS[i]}");
    add_values(out, &bash);
    cv_buf_add_str(out, "    if [[ $cur != -* ]]; then\n");
    add_operands(out, &bash);
    cv_buf_add_str(out, "    return\n    fi\n");
    add_own_flags(out, &bash);
    cv_buf_add_str(out, "}\n"
                        "complete -o filenames -o bashdefault -F _certvault "
                        "certvault kubectl-certvault\n");
}

void cv_complete_zsh(struct cv_buf *out)
{
    cv_buf_add_str(out, "#compdef certvault kubectl-certvault\n"
                        "_certvault() {\n"
                        "    local cur=$words[CURRENT]\n"
                        "    local prev=$words[CURRENT-1]\n"
                        "    local cmd= word= skip= i\n");
    add_scan(out, "2", "CURRENT", "$words[i]");
    add_values(out, &zsh);
    cv_buf_add_str(out, "    if [[ $cur != -* ]]; then\n");
    add_operands(out, &zsh);
    cv_buf_add_str(out, "    return\n    fi\n");
    add_own_flags(out, &zsh);
    cv_buf_add_str(out, "}\n"
                        "if [[ $funcstack[1] == _certvault ]]; then\n"
                        "    _certvault \"$@\"\n"
                        "else\n"
                        "    compdef _certvault certvault kubectl-certvault\n"
                        "fi\n");
}

/* fish has its own way: a line for each thing that can be completed. */

static void add_quoted(struct cv_buf *out, const char *text)
{
    cv_buf_add_char(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\') {
            cv_buf_add_char(out, '\\');
        }
        cv_buf_add_char(out, *text);
    }
    cv_buf_add_char(out, '\'');
}

static void add_fish_options(struct cv_buf *out, const char *command,
                             const struct cv_option *o)
{
    for (; o != NULL && o->name != NULL; o++) {
        cv_buf_add_str(out, "complete -c certvault");
        if (command != NULL) {
            cv_buf_add_format(out, " -n '__certvault_at %s'", command);
        }
        if (o->letter != 0) {
            cv_buf_add_format(out, " -s %c", o->letter);
        }
        if (strlen(o->name) > 1) {
            cv_buf_add_format(out, " -l %s", o->name);
        }
        if (takes_file(o)) {
            cv_buf_add_str(out, " -r -F");
        } else if (takes_folder(o)) {
            cv_buf_add_str(out, " -x -a '(__fish_complete_directories)'");
        } else if (o->words != NULL) {
            cv_buf_add_str(out, " -x -a '");
            add_words(out, o->words);
            cv_buf_add_char(out, '\'');
        } else if (takes_argument(o)) {
            cv_buf_add_str(out, " -x");
        }
        cv_buf_add_str(out, " -d ");
        add_quoted(out, o->help);
        cv_buf_add_char(out, '\n');
    }
}

static void add_fish_command(struct cv_buf *out, const struct cv_command *c)
{
    const char *blank = strchr(c->name, ' ');
    size_t len;

    if (begins_group(c, &len)) {
        cv_buf_add_str(out, "complete -c certvault -n '__certvault_at' -a ");
        cv_buf_add(out, c->name, len - 1);
        cv_buf_add_char(out, '\n');
    }
    cv_buf_add_str(out, "complete -c certvault -n '__certvault_only");
    if (blank != NULL) {
        cv_buf_add_char(out, ' ');
        cv_buf_add(out, c->name, (size_t)(blank - c->name));
    }
    cv_buf_add_format(out, "' -a %s -d ", blank ? blank + 1 : c->name);
    add_quoted(out, c->summary);
    cv_buf_add_char(out, '\n');
    if (c->max != 0 && c->kind == CV_KIND_FILE) {
        cv_buf_add_format(
            out, "complete -c certvault -n '__certvault_at %s' -F\n", c->name);
    } else if (c->max != 0 && c->kind == CV_KIND_WORDS) {
        cv_buf_add_format(
            out, "complete -c certvault -n '__certvault_at %s' -a '", c->name);
        add_words(out, c->words);
        cv_buf_add_str(out, "'\n");
    }
}

void cv_complete_fish(struct cv_buf *out)
{
    cv_buf_add_str(out, "# fish completion of certvault\n"
                        "function __certvault_words\n"
                        "    set -l skip 0\n"
                        "    for word in (commandline -opc)[2..-1]\n"
                        "        if test $skip = 1\n"
                        "            set skip 0\n"
                        "            continue\n"
                        "        end\n"
                        "        switch $word\n"
                        "            case ");
    add_all_flags(out, takes_argument, " ");
    cv_buf_add_str(out, "\n"
                        "                set skip 1\n"
                        "            case '-*'\n"
                        "            case '*'\n"
                        "                echo $word\n"
                        "        end\n"
                        "    end\n"
                        "end\n"
                        "function __certvault_only\n"
                        "    set -l words (__certvault_words)\n"
                        "    test \"$words\" = \"$argv\"\n"
                        "end\n"
                        "function __certvault_at\n"
                        "    set -l words (__certvault_words)\n"
                        "    set -l n (count $argv)\n"
                        "    if test $n -eq 0\n"
                        "        test (count $words) -eq 0\n"
                        "        return\n"
                        "    end\n"
                        "    test \"$words[1..$n]\" = \"$argv\"\n"
                        "end\n"
                        "complete -c certvault -f\n");
    add_fish_options(out, NULL, cv_command_global);
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        add_fish_command(out, c);
        add_fish_options(out, c->name, c->options);
    }
}
