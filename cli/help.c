#include "cli/help.h"

#include <string.h>

#define INDENT 26

/* "  NAME  text", the text at column INDENT, on a line of its own where NAME is
 * too long. */
static void add_line(struct cv_buf *out, const char *name, const char *text)
{
    size_t len = strlen(name);

    cv_buf_add_str(out, "  ");
    cv_buf_add_str(out, name);
    if (len + 4 > INDENT) {
        cv_buf_add_char(out, '\n');
        len = 0;
        cv_buf_add_str(out, "  ");
    }
    for (; len + 2 < INDENT; len++) {
        cv_buf_add_char(out, ' ');
    }
    cv_buf_add_str(out, text);
    cv_buf_add_char(out, '\n');
}

static void add_options(struct cv_buf *out, const struct cv_option *table)
{
    struct cv_buf name;

    cv_buf_init(&name, NULL, 256);
    for (const struct cv_option *o = table; o != NULL && o->name; o++) {
        if (o->letter != 0) {
            cv_buf_add_format(&name, "-%c", o->letter);
        }
        if (strlen(o->name) > 1) {
            cv_buf_add_format(&name, "%s--%s", o->letter ? ", " : "", o->name);
        }
        if (o->argument != NULL) {
            cv_buf_add_format(&name, "%s%s%s", o->argument[0] == '[' ? "" : " ",
                              o->argument, o->repeat ? "..." : "");
        }
        add_line(out, cv_buf_text(&name), o->help);
        cv_buf_wipe(&name);
    }
}

static void add_examples(struct cv_buf *out, const char *program,
                         const char *lines)
{
    bool begins = true;

    for (; lines != NULL && *lines != '\0'; lines++) {
        if (begins && *lines != ' ') {
            cv_buf_add_format(out, "  %s ", program);
        }
        begins = *lines == '\n';
        cv_buf_add_char(out, *lines);
    }
}

void cv_help_all(const char *program, const char *group, struct cv_buf *out)
{
    size_t len = group ? strlen(group) : 0;

    cv_buf_add_format(out, "usage: %s [FLAGS] %s%sCOMMAND ...\n\n", program,
                      group ? group : "", group ? " " : "");
    if (group == NULL) {
        cv_buf_add_str(out, "Keeps the client keys of Kubernetes clusters "
                            "sealed; lets them out by\npolicy only, and on "
                            "the record.\n\n");
    }
    for (const struct cv_command *c = cv_command_table; c->name; c++) {
        if (group == NULL ||
            (strncmp(c->name, group, len) == 0 && c->name[len] == ' ')) {
            add_line(out, c->name, c->summary);
        }
    }
    cv_buf_add_str(out, "\nFlags, before or after the command:\n");
    add_options(out, cv_command_global);
    cv_buf_add_format(out, "\nMore: %s COMMAND --help, man certvault\n",
                      program);
}

void cv_help_command(const char *program, const struct cv_command *command,
                     struct cv_buf *out)
{
    cv_buf_add_format(out, "usage: %s [FLAGS] %s%s%s%s\n\n", program,
                      command->name, command->operands[0] ? " " : "",
                      command->operands,
                      command->options != NULL ? " ..." : "");
    cv_buf_add_format(out, "%s: %s.\n", command->name, command->summary);
    if (command->options != NULL) {
        cv_buf_add_char(out, '\n');
        add_options(out, command->options);
    }
    if (command->examples != NULL) {
        cv_buf_add_str(out, "\nExamples:\n");
        add_examples(out, program, command->examples);
    }
    cv_buf_add_format(out, "\nFlags of every command: %s --help\n", program);
}
