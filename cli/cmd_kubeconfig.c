/* kubeconfig: what kubectl needs to come to certvault by itself. There is no
 * key in it. */
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/keyless.h"
#include "cli/kube_file.h"
#include "cli/output_yaml.h"
#include "cli/path.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static enum cv_status write_text(const struct cv_cli *cli,
                                 const struct cv_keyless *k, struct cv_buf *out,
                                 struct cv_err *err)
{
    cv_buf_init(out, NULL, CV_LIMIT_KUBECONFIG);
    if (cli->out.format == CV_OUTPUT_JSON) {
        cv_json_write(k->document, CV_JSON_PRETTY, out);
        cv_buf_add_char(out, '\n');
    } else {
        cv_output_yaml(k->document, out);
    }
    return cv_buf_status(out, "the kubeconfig", err);
}

static enum cv_status write_file(const struct cv_cli *cli, const char *path,
                                 struct cv_bytes text, struct cv_err *err)
{
    struct stat st;
    const char *name;
    int dir = -1;
    enum cv_status s = cv_path_open_parent(path, &dir, &name, err);

    if (s == CV_OK && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (!cli->yes || !S_ISREG(st.st_mode))) {
        s = cv_fail(err, CV_EXISTS, "%s is there already", path);
        cv_err_state(err, "nothing was written");
        cv_err_hint(err, "%s",
                    S_ISREG(st.st_mode) ? "--yes replaces it; --merge puts the "
                                          "entry into a kubeconfig that exists"
                                        : "it is no file");
    }
    if (s == CV_OK) {
        s = cv_file_replace(dir, name, text, 0600, err);
    }
    cv_file_close(&dir);
    return s;
}

/* To a file or to standard output. */
static enum cv_status deliver(struct cv_cli *cli, const struct cv_keyless *k,
                              const char *path, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s = write_text(cli, k, &text, err);

    if (s == CV_OK && cli->dry_run && path != NULL) {
        cv_output_note(&cli->out, "%s would be written", path);
    } else if (s == CV_OK && path != NULL) {
        s = write_file(cli, path, cv_buf_bytes(&text), err);
    } else if (s == CV_OK) {
        return cv_output_write_buf(&cli->out, &text, err);
    }
    cv_buf_wipe(&text);
    return s;
}

/* One thing is done with one file. */
static enum cv_status check(const struct cv_cli *cli,
                            const struct cv_args *args, const char **file,
                            struct cv_err *err)
{
    static const char *const ways[] = {"merge", "unmerge", "output"};
    const char *api = cv_args_value(args, "exec-api");
    size_t given = 0;
    enum cv_status s = cv_check_name(args->operands[0], err);

    *file = args->n_operands > 1 ? args->operands[1] : NULL;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        const char *value = cv_args_value(args, ways[i]);

        given += cv_args_has(args, ways[i]);
        if (value != NULL && *file != NULL) {
            return cv_fail(err, CV_USAGE, "two files are named");
        }
        *file = value != NULL ? value : *file;
    }
    if (s == CV_OK && (given > 1 || (given == 0 && *file != NULL))) {
        s = cv_fail(err, CV_USAGE,
                    "--merge, --unmerge or --output: one of them");
    }
    if (s == CV_OK && *file != NULL) {
        s = cv_path_check_file(*file, err);
    }
    if (s == CV_OK && given == 0 && cli->out.format == CV_OUTPUT_NAME) {
        s = cv_fail(err, CV_USAGE, "kubeconfig prints yaml or json");
    }
    if (s == CV_OK) {
        s = cv_check_shown(cv_args_value(args, "context"), "context", 512, err);
    }
    return s == CV_OK && api != NULL
               ? cv_check_word(api, "exec-api", "v1|v1beta1", err)
               : s;
}

CV_CMD(kubeconfig)
{
    const char *context = cv_args_value(args, "context");
    const char *api = cv_args_value(args, "exec-api");
    const char *file;
    struct cv_keyless k;
    enum cv_status s = check(cli, args, &file, err);

    if (s == CV_OK && cv_args_has(args, "unmerge")) {
        return cv_kube_file_unmerge(cli, file, args->operands[0], context, err);
    }
    if (s == CV_OK) {
        s = cv_keyless_make(cli, args->operands[0], context,
                            api != NULL ? api : "v1", &k, err);
    }
    if (s != CV_OK) {
        return s;
    }
    return cv_args_has(args, "merge") ? cv_kube_file_merge(cli, file, &k, err)
                                      : deliver(cli, &k, file, err);
}
