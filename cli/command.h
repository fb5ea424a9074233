/* The table of commands. Parsing, help, completion and the checks of the man
 * pages all read it; a command is known nowhere else.
 *
 * Everything here is constant and lives as long as the program. */
#ifndef CERTVAULT_CLI_COMMAND_H
#define CERTVAULT_CLI_COMMAND_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct cv_cli;
struct cv_args;

/* What a flag's argument or an operand is, for completion. */
enum cv_command_kind {
    CV_KIND_TEXT,   /* anything */
    CV_KIND_FILE,   /* a file */
    CV_KIND_FOLDER, /* a folder */
    CV_KIND_WORDS   /* one of `words` */
};

/* One flag. A table of them ends with a NULL name. */
struct cv_option {
    const char *name;     /* "cluster-id", without dashes */
    char letter;          /* 0: none */
    const char *argument; /* how help names its argument; NULL: takes none;
                             "[=FILE]": may do without, and is given by = */
    const char *help;
    enum cv_command_kind kind;
    const char *words; /* "v3|v3-get|autopilot"; NULL: none */
    bool repeat;       /* help says that it may be given more than once */
};

enum cv_command_trait {
    CV_TRAIT_CHANGES = 1, /* changes something: --dry-run is not ignored */
    CV_TRAIT_DRY = 2,     /* and knows what to do with --dry-run */
    CV_TRAIT_WRITES = 4,  /* changes something where --output, --html or --write
                             is given, or an operand is "rotate" */
    CV_TRAIT_STAYS = 8    /* goes on until it is interrupted, or is run by
                             another program */
};

struct cv_command {
    const char *name;     /* "list", "slot add" */
    const char *operands; /* as help shows them; "" where there are none */
    const char *summary;  /* one line, no full stop */
    const struct cv_option *options; /* NULL: global ones only */
    int min;                         /* operands that it must have */
    int max;                         /* and may have; -1: any number */
    unsigned traits;                 /* enum cv_command_trait */
    enum cv_command_kind kind;       /* of its operands */
    const char *words;               /* for CV_KIND_WORDS */
    const char *examples; /* lines without the program's name; may be NULL */
    enum cv_status (*run)(struct cv_cli *cli, const struct cv_args *args,
                          struct cv_err *err);
};

/* The flags that every command takes. */
extern const struct cv_option cv_command_global[];

/* All commands in the order in which help lists them; ends with a NULL name. */
extern const struct cv_command cv_command_table[];

/* Finds the command that `words` (`n` of them) begin with; *used tells how many
 * of them its name takes. NULL where there is none. */
const struct cv_command *cv_command_find(const char *const *words, size_t n,
                                         size_t *used);

/* Does `word` begin a command of two words ("slot")? */
bool cv_command_is_group(const char *word);

/* Is it a command that later versions have? `word` may be the first of two. */
bool cv_command_is_later(const char *word, const char *second);

/* The flag `name` (`len` bytes of it, whole, never an abbreviation) in a table,
 * which may be NULL; NULL where there is none. */
const struct cv_option *cv_command_option(const struct cv_option *table,
                                          const char *name, size_t len);

/* The same by its letter. */
const struct cv_option *cv_command_letter(const struct cv_option *table,
                                          char letter);

/* Is it the name of a flag that people put secrets behind (--sk, --password)?
 * Such a flag exists nowhere: argv is open to all. */
bool cv_command_is_secret_flag(const char *name, size_t len);

#endif
