/* exec, proxy: the relay for one command, or for as long as this runs. */
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/connect.h"
#include "cli/foreground.h"
#include "cli/hop.h"
#include "cli/hop_file.h"
#include "cli/path.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEND_MS 1000
#define ANSWER_MS 10000

/* One run of either. */
struct session {
    struct cv_cli *cli;
    struct cv_hop hop;
    struct cv_hop_file file;
    char cache[PATH_MAX]; /* kubectl's; "": as it is */
    const char *environment[3][2];
    bool over;  /* the grant has ended */
    bool asked; /* whether the grant lives; the answer is yet to come */
};

/* kubectl keeps what it knows of a cluster's API by the server's address, and
 * all clusters have one address here: so each entry gets a place of its own. */
static void choose_cache(struct session *s)
{
    const char *given = getenv("KUBECACHEDIR");
    char base[PATH_MAX];
    int n;

    /* Its port is another each time: what was kept would help nobody. */
    if (cv_connect_is_private(s->cli)) {
        (void)snprintf(s->cache, sizeof(s->cache), "%.*s/cache",
                       (int)(strrchr(s->file.path, '/') - s->file.path),
                       s->file.path);
        return;
    }
    if (given == NULL || given[0] == '\0') {
        given = cv_path_home(".kube/cache", base, sizeof(base)) ? base : NULL;
    }
    n = given == NULL
            ? -1
            : snprintf(s->cache, sizeof(s->cache), "%s/certvault/%s/%s", given,
                       s->hop.entry, s->hop.context);
    if (n < 0 || (size_t)n >= sizeof(s->cache) ||
        strchr(s->hop.context, '/') != NULL ||
        strcmp(s->hop.context, "..") == 0) {
        s->cache[0] = '\0';
    }
}

static void set_environment(struct session *s)
{
    size_t n = 0;

    s->environment[n][0] = "KUBECONFIG";
    s->environment[n++][1] = s->file.path;
    if (s->cache[0] != '\0') {
        s->environment[n][0] = "KUBECACHEDIR";
        s->environment[n++][1] = s->cache;
    }
    s->environment[n][0] = NULL;
}

static enum cv_status write_config(struct session *s, struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_buf text;
    enum cv_status st = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);

    if (st != CV_OK) {
        return st;
    }
    cv_buf_init(&text, arena, CV_LIMIT_KUBECONFIG);
    st = cv_hop_kubeconfig(&s->hop, arena, &text, err);
    if (st == CV_OK) {
        st = cv_hop_file_make(&s->file, cv_buf_bytes(&text), err);
    }
    cv_arena_free(arena);
    return st;
}

/* Asks for the grant and writes the file. Signals wait from then on. */
static enum cv_status begin(struct session *s, const struct cv_args *args,
                            const char *kind, struct cv_err *err)
{
    struct cv_hop_want want = {
        .name = args->operands[0],
        .context = cv_args_value(args, "context"),
        .kind = kind,
        .read_only = cv_args_has(args, "read-only"),
    };
    enum cv_status st = cv_check_name(want.name, err);

    s->file.dir = s->file.runtime.dir = -1;
    if (st == CV_OK) {
        st = cv_check_shown(want.context, "context", 512, err);
    }
    if (st == CV_OK) {
        st = cv_hop_duration(args, &want.seconds, err);
    }
    if (st == CV_OK) {
        st = cv_hop_use(s->cli, &want, &s->hop, err);
    }
    if (st != CV_OK) {
        return st;
    }
    cv_foreground_hold();
    st = write_config(s, err);
    if (st == CV_OK) {
        choose_cache(s);
        set_environment(s);
    }
    return st;
}

static void told(void *context, enum cv_foreground_end how)
{
    struct session *s = context;
    struct cv_output *out = &s->cli->out;

    s->over = true;
    if (how == CV_FOREGROUND_LOST) {
        cv_output_warn(out, "the broker is gone, and the grant with it: the "
                            "relay passes nothing any more");
    } else if (how == CV_FOREGROUND_EARLY) {
        cv_output_warn(out, "the grant has ended before its time: the relay "
                            "passes nothing any more (certvault audit query "
                            "--action use tells why)");
    } else {
        cv_output_warn(out,
                       "the grant has ended (%s): the relay passes nothing any "
                       "more",
                       s->hop.expires);
    }
}

/* Who waits for an answer would not hear that the command has ended. */
static bool ask_alive(void *context)
{
    struct session *s = context;
    cJSON *message, *parameters;
    bool ok;

    if (s->asked) {
        return true; /* it is at work on something */
    }
    message = cJSON_CreateObject();
    parameters = cJSON_CreateObject();
    ok = cv_json_add_str(parameters, "grant", s->hop.id);
    ok = cv_json_add_item(message, "parameters", parameters) && ok;
    ok = ok &&
         cv_json_add_str(message, "method", "io.certvault.Broker.Hello") &&
         cv_channel_send(cv_connect_channel(s->cli), message, false, SEND_MS,
                         NULL) == CV_OK;
    cJSON_Delete(message);
    s->asked = ok;
    return ok;
}

static enum cv_foreground_end hear(void *context)
{
    struct session *s = context;
    struct cv_channel *channel = cv_connect_channel(s->cli);
    struct cv_message m = {NULL, NULL};
    bool closed = false, ended = false;

    if (cv_channel_fill(channel, &closed, NULL) != CV_OK) {
        return CV_FOREGROUND_LOST;
    }
    while (cv_channel_next(channel, &m, NULL) == CV_OK && m.tree != NULL) {
        const cJSON *p = cJSON_GetObjectItemCaseSensitive(m.tree, "parameters");

        ended = ended ||
                cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(p, "grant"));
        s->asked = false;
        cv_message_free(&m);
    }
    return closed  ? CV_FOREGROUND_LOST
           : ended ? CV_FOREGROUND_EARLY
                   : CV_FOREGROUND_NOTHING;
}

static enum cv_status run(struct session *s, const char *const *argv,
                          struct cv_err *err)
{
    struct cv_foreground f = {
        .argv = argv,
        .environment = s->environment,
        .broker = cv_channel_fd(cv_connect_channel(s->cli)),
        .seconds = s->hop.seconds,
        .context = s,
        .ended = told,
        .ask = ask_alive,
        .hear = hear,
    };
    int number = cv_foreground_interrupted();

    cv_hop_wipe(&s->hop);
    /* Before the command was there; a proxy's end is what it waits for. */
    if (number != 0 && argv != NULL) {
        s->cli->exit_code = 128 + number;
        return CV_OK;
    }
    return cv_foreground_run(&f, &s->cli->exit_code, err);
}

static void finish(struct session *s)
{
    struct cv_message m = {NULL, NULL};

    cv_hop_file_remove(&s->file);
    if (s->asked && !s->over) {
        (void)!cv_channel_recv(cv_connect_channel(s->cli), false, ANSWER_MS, &m,
                               NULL);
        cv_message_free(&m);
    }
    if (s->hop.id[0] != '\0' && !s->over) {
        cv_hop_end(s->cli, &s->hop);
    }
    cv_hop_wipe(&s->hop);
}

CV_CMD(exec)
{
    struct session s = {.cli = cli};
    enum cv_status st = begin(&s, args, "exec", err);

    if (st == CV_OK) {
        cv_output_note(&cli->out, "%s (%s)%s until %s", s.hop.entry,
                       s.hop.context, s.hop.read_only ? ", read-only," : "",
                       s.hop.expires);
        /* argv ended with NULL, and the operands are its last part. */
        st = run(&s, args->operands + 1, err);
    }
    finish(&s);
    return st;
}

static bool describe(const struct session *s, cJSON *d)
{
    return cv_json_add_str(d, "apiVersion", "certvault/v1") &&
           cv_json_add_str(d, "kind", "Proxy") &&
           cv_json_add_str(d, "entry", s->hop.entry) &&
           cv_json_add_str(d, "context", s->hop.context) &&
           cv_json_add_str(d, "kubeconfig", s->file.path) &&
           cv_json_add_str(d, "server", s->hop.server) &&
           cv_json_add_str(d, "namespace", s->hop.ns) &&
           cv_json_add_str(d, "grant", s->hop.id) &&
           cv_json_add_str(d, "expires", s->hop.expires) &&
           cv_json_add_bool(d, "read_only", s->hop.read_only) &&
           cv_json_add_int(d, "audit_seq", s->hop.audit_seq);
}

/* For a shell to read; a quote in a path would break out of it. */
static enum cv_status print_exports(struct session *s, struct cv_err *err)
{
    enum cv_status st = CV_OK;

    for (size_t i = 0; st == CV_OK && s->environment[i][0] != NULL; i++) {
        if (strchr(s->environment[i][1], '\'') != NULL) {
            return cv_fail(err, CV_CONFIG, "there is a quote in %s",
                           s->environment[i][1]);
        }
        st = cv_output_line(&s->cli->out, err, "export %s='%s'",
                            s->environment[i][0], s->environment[i][1]);
    }
    return st;
}

static enum cv_status print_proxy(struct session *s, struct cv_err *err)
{
    cJSON *document;
    enum cv_status st;

    if (s->cli->out.format == CV_OUTPUT_NAME) {
        return cv_output_line(&s->cli->out, err, "%s", s->file.path);
    }
    if (s->cli->out.format == CV_OUTPUT_TABLE) {
        st = print_exports(s, err);
        cv_output_note(&s->cli->out, "%s (%s)%s at %s until %s; Ctrl-C ends it",
                       s->hop.entry, s->hop.context,
                       s->hop.read_only ? ", read-only," : "", s->hop.server,
                       s->hop.expires);
        return st;
    }
    document = cJSON_CreateObject();
    st = describe(s, document) ? cv_output_document(&s->cli->out, document, err)
                               : cv_fail(err, CV_INTERNAL, "memory is gone");
    cJSON_Delete(document);
    return st;
}

CV_CMD(exec_proxy)
{
    struct session s = {.cli = cli};
    enum cv_status st = begin(&s, args, "proxy", err);

    if (st == CV_OK) {
        st = print_proxy(&s, err);
    }
    if (st == CV_OK) {
        st = run(&s, NULL, err);
    }
    finish(&s);
    return st;
}
