#include "cli/status_text.h"

#include "cli/output_table.h"

#include <string.h>

/* One number: where it lies and what it is called. */
struct number {
    const char *name, *type, *help, *path;
};

static const struct number numbers[] = {
    {"certvault_locked", "gauge",
     "Whether the vault's key must be given first.", "locked"},
    {"certvault_frozen", "gauge", "Whether every use is denied until unlock.",
     "frozen"},
    {"certvault_entries", "gauge", "Entries in the vault.", "entries"},
    {"certvault_log_leaves", "gauge", "Records in the audit log.", "log.size"},
    {"certvault_checkpoint_leaves", "gauge",
     "Records under the last checkpoint.", "log.checkpoint.size"},
    {"certvault_checkpoint_age_seconds", "gauge",
     "How old the last checkpoint is.", "log.checkpoint.age_s"},
    {"certvault_log_reserve_bytes", "gauge",
     "Room that is kept for the record; 0: a full disk has used it up.",
     "log.reserve"},
    {"certvault_log_tight", "gauge",
     "Whether the disk was full when the record was last written.",
     "log.tight"},
    {"certvault_anchor_leaves", "gauge",
     "Records under the youngest checkpoint that an anchor has.",
     "log.anchor.size"},
    {"certvault_anchor_age_seconds", "gauge",
     "How long ago an anchor last took a checkpoint.", "log.anchor.age_s"},
    {"certvault_anchor_conflict", "gauge",
     "Whether an anchor knows another log of this name.", "log.conflict"},
    {"certvault_approvals_pending", "gauge", "Requests that wait for approval.",
     "approvals_pending"},
    {"certvault_grants", "gauge", "Grants that live.", "grants"},
    {"certvault_next_expiry_seconds", "gauge",
     "Until the first certificate that is still valid ends.", "next_expiry_s"},
};

static void add_head(struct cv_buf *out, const char *name, const char *type,
                     const char *help)
{
    cv_buf_add_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                      type);
}

/* In a label's value backslash, quote and line feed are escaped. */
static void add_label(struct cv_buf *out, const char *name, const char *value)
{
    cv_buf_add_format(out, "%s=\"", name);
    for (const char *p = value != NULL ? value : ""; *p != '\0'; p++) {
        if (*p == '\n') {
            cv_buf_add_str(out, "\\n");
            continue;
        }
        if (*p == '\\' || *p == '"') {
            cv_buf_add_char(out, '\\');
        }
        cv_buf_add_char(out, *p);
    }
    cv_buf_add_char(out, '"');
}

static bool is_value(const cJSON *value)
{
    return cJSON_IsNumber(value) || cJSON_IsBool(value);
}

static void add_value(struct cv_buf *out, const cJSON *value)
{
    cv_buf_add_format(out, " %.0f\n",
                      cJSON_IsBool(value) ? (double)cJSON_IsTrue(value)
                                          : value->valuedouble);
}

static void add_numbers(struct cv_buf *out, const cJSON *metrics)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const struct number *n = &numbers[i];
        const cJSON *value = cv_output_table_at(metrics, n->path);

        if (is_value(value)) {
            add_head(out, n->name, n->type, n->help);
            cv_buf_add_str(out, n->name);
            add_value(out, value);
        }
    }
}

static void add_info(struct cv_buf *out, const cJSON *metrics)
{
    add_head(out, "certvault_info", "gauge", "The vault and its broker.");
    cv_buf_add_str(out, "certvault_info{");
    add_label(out, "vault_id", cv_output_table_text(metrics, "vault_id"));
    cv_buf_add_char(out, ',');
    add_label(out, "version", cv_output_table_text(metrics, "version"));
    cv_buf_add_str(out, "} 1\n");
}

static void add_decisions(struct cv_buf *out, const cJSON *metrics)
{
    const cJSON *outcome, *action;
    bool any = false;

    cJSON_ArrayForEach(outcome,
                       cJSON_GetObjectItemCaseSensitive(metrics, "decisions"))
    {
        cJSON_ArrayForEach(action, outcome)
        {
            if (!is_value(action)) {
                continue;
            }
            if (!any) {
                add_head(out, "certvault_decisions_total", "counter",
                         "Decisions since the broker started.");
                any = true;
            }
            cv_buf_add_str(out, "certvault_decisions_total{");
            add_label(out, "action", action->string);
            cv_buf_add_char(out, ',');
            add_label(out, "outcome", outcome->string);
            cv_buf_add_char(out, '}');
            add_value(out, action);
        }
    }
}

/* One sample for each item of a list: the value at `path`, and with `labels`
 * the item's members of these names. */
struct samples {
    const char *name, *type, *help, *list, *path;
    const char *labels[3][2]; /* label, member; NULL: no more */
};

static const struct samples lists[] = {
    {"certvault_certificate_expiry_seconds",
     "gauge",
     "Until an entry's certificate ends; below zero: it has.",
     "expiry",
     "seconds",
     {{"entry", "name"}, {"location", "location"}, {"state", "state"}}},
    {"certvault_module_running",
     "gauge",
     "Whether a PKCS#11 module's process runs.",
     "modules",
     "running",
     {{"module", "name"}}},
    {"certvault_module_waits_seconds",
     "gauge",
     "Until a PKCS#11 module that broke down is started again.",
     "modules",
     "waits_s",
     {{"module", "name"}}},
    {"certvault_sink_lag_records",
     "gauge",
     "Records that a sink has not got yet.",
     "sinks",
     "lag",
     {{"sink", "name"}}},
    {"certvault_sink_failures",
     "gauge",
     "Attempts to reach a sink that failed, in a row.",
     "sinks",
     "failures",
     {{"sink", "name"}}},
    {"certvault_sink_skipped_records_total",
     "counter",
     "Records that a sink was too far behind to get, since the broker started.",
     "sinks",
     "gaps",
     {{"sink", "name"}}},
};

static void add_sample(struct cv_buf *out, const struct samples *x,
                       const cJSON *item, const cJSON *value)
{
    cv_buf_add_str(out, x->name);
    for (size_t i = 0; i < 3 && x->labels[i][0] != NULL; i++) {
        cv_buf_add_char(out, i == 0 ? '{' : ',');
        add_label(out, x->labels[i][0],
                  cv_output_table_text(item, x->labels[i][1]));
    }
    cv_buf_add_char(out, '}');
    add_value(out, value);
}

static void add_list(struct cv_buf *out, const struct samples *x,
                     const cJSON *metrics)
{
    const cJSON *item;
    bool any = false;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(metrics, x->list))
    {
        const cJSON *value = cv_output_table_at(item, x->path);

        if (!is_value(value)) {
            continue;
        }
        if (!any) {
            add_head(out, x->name, x->type, x->help);
            any = true;
        }
        add_sample(out, x, item, value);
    }
}

void cv_status_text_add(const cJSON *metrics, struct cv_buf *out)
{
    add_info(out, metrics);
    add_numbers(out, metrics);
    add_decisions(out, metrics);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        add_list(out, &lists[i], metrics);
    }
}
