/* How many decisions a second? decide_rate POLICY RESOLUTION REQUESTS
 *
 * RESOLUTION as for cv_policy_resolve; REQUESTS a JSON list of {"uid", "gids",
 * "entry": {"name", "labels"}, "action", "reason"?}. Prints a line at once,
 *
 *     {"load_s": processor time of parsing and resolving, "permits": "0110..."}
 *
 * then a line for each line of standard input, which is a number of seconds of
 * processor time: {"rate": decisions a second}. */
#include "policy/decide.h"

#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST 4096
#define FEW 8

struct asked {
    struct cv_decide_request request;
    struct cv_decide_entry entry;
    gid_t gids[FEW];
    const char *keys[FEW];
    const char *values[FEW];
};

static void stop(const char *why)
{
    (void)fprintf(stderr, "decide_rate: %s\n", why);
    exit(1);
}

static double used(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
        stop("no clock");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct cv_bytes contents(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t room = CV_MIB(64);
    uint8_t *data = malloc(room);
    if (f == NULL || data == NULL)
        stop(path);
    size_t len = fread(data, 1, room, f);
    (void)fclose(f);
    return (struct cv_bytes){data, len};
}

static cJSON *json_of(const char *path)
{
    struct cv_bytes text = contents(path);
    cJSON *o = cJSON_ParseWithLength((const char *)text.data, text.len);
    if (o == NULL)
        stop(path);
    return o;
}

static const cJSON *get(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

static void read_request(const cJSON *o, struct asked *a)
{
    struct cv_decide_request *r = &a->request;
    const cJSON *item;
    r->subject.uid = (uid_t)get(o, "uid")->valuedouble;
    r->subject.gid = r->subject.uid;
    r->subject.gids = a->gids;
    cJSON_ArrayForEach(item, get(o, "gids"))
    {
        if (r->subject.n_gids < FEW)
            a->gids[r->subject.n_gids++] = (gid_t)item->valuedouble;
    }
    r->action = cv_action_from_name(get(o, "action")->valuestring);
    r->reason = cJSON_GetStringValue(get(o, "reason"));
    r->mode = CV_DECIDE_MODE_SERVICE;
    r->now_s = 1800000000;
    r->entry = &a->entry;
    a->entry.name = get(get(o, "entry"), "name")->valuestring;
    a->entry.provenance = "sealed";
    a->entry.keys = a->keys;
    a->entry.values = a->values;
    cJSON_ArrayForEach(item, get(get(o, "entry"), "labels"))
    {
        if (a->entry.n_labels < FEW) {
            a->keys[a->entry.n_labels] = item->string;
            a->values[a->entry.n_labels++] = item->valuestring;
        }
    }
}

static struct cv_policy *load(const char *path, const char *names)
{
    struct cv_policy *policy = NULL;
    struct cv_err err;
    struct cv_bytes text = contents(path);
    cJSON *resolution = json_of(names);
    cv_err_init(&err);
    double begin = used();
    if (cv_policy_parse(text, &policy, NULL, &err) != CV_OK ||
        cv_policy_resolve(policy, resolution, NULL, &err) != CV_OK)
        stop(err.text);
    (void)printf("{\"load_s\": %.4f, \"permits\": \"", used() - begin);
    return policy;
}

/* The clock is read once in a while: it costs as much as a decision. */
static double rate(const struct cv_policy *policy, const struct asked *asked,
                   size_t n, double seconds)
{
    struct cv_decide_result result;
    double begin = used();
    double end;
    size_t made = 0;
    size_t permits = 0;
    do {
        for (size_t i = 0; i < 1000; i++, made++)
            permits += cv_decide_run(policy, &asked[made % n].request, &result,
                                     NULL) == CV_OK;
        end = used();
    } while (end - begin < seconds);
    if (permits == 0)
        stop("nothing is permitted");
    return (double)made / (end - begin);
}

int main(int argc, char **argv)
{
    static struct asked asked[MOST];
    struct cv_decide_result result;
    char line[64];
    size_t n = 0;
    const cJSON *item;
    if (argc != 4)
        stop("decide_rate POLICY RESOLUTION REQUESTS");
    if (cv_arena_start(NULL) != CV_OK)
        stop("libsodium does not start");
    cv_json_start();
    struct cv_policy *policy = load(argv[1], argv[2]);
    cJSON *requests = json_of(argv[3]);
    cJSON_ArrayForEach(item, requests)
    {
        if (n == MOST)
            break;
        read_request(item, &asked[n]);
        bool permit =
            cv_decide_run(policy, &asked[n].request, &result, NULL) == CV_OK;
        (void)putchar(permit ? '1' : '0');
        n++;
    }
    (void)printf("\"}\n");
    (void)fflush(stdout);
    while (n > 0 && fgets(line, sizeof(line), stdin) != NULL) {
        (void)printf("{\"rate\": %.1f}\n",
                     rate(policy, asked, n, strtod(line, NULL)));
        (void)fflush(stdout);
    }
    cJSON_Delete(requests);
    cv_policy_free(policy);
    return 0;
}
