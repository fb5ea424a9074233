#include "cli/command.h"

#include "cli/cmd.h"

/* A table reads best as a table. */
/* clang-format off */

#define END {NULL, 0, NULL, NULL, CV_KIND_TEXT, NULL, false}
#define SWITCH(name, help) \
    {name, 0, NULL, help, CV_KIND_TEXT, NULL, false}
#define VALUE(name, argument, help) \
    {name, 0, argument, help, CV_KIND_TEXT, NULL, false}
#define FILE_OF(name, argument, help) \
    {name, 0, argument, help, CV_KIND_FILE, NULL, false}
#define WORD_OF(name, argument, help, words) \
    {name, 0, argument, help, CV_KIND_WORDS, words, false}
#define MANY(name, argument, help) \
    {name, 0, argument, help, CV_KIND_TEXT, NULL, true}

#define FORMATS "table|json|yaml|name"
#define ACTIONS \
    "fetch|fetch.service|import|list|show|use|sign.raw|export|issue|renew|" \
    "rotate|revoke|remove|edit|approve|audit.read|policy.read|policy.apply|" \
    "admin"

const struct cv_option cv_command_global[] = {
    {"vault", 0, "DIR", "the vault's folder (CERTVAULT_DIR)",
     CV_KIND_FOLDER, NULL, false},
    VALUE("broker", "ADDRESS",
          "unix:PATH or exec: (CERTVAULT_BROKER)"),
    FILE_OF("config", "FILE", "the configuration to read"),
    {"o", 'o', "FORMAT", "how results are printed: table, json, yaml, name",
     CV_KIND_WORDS, FORMATS, false},
    VALUE("reason", "TEXT", "why; goes into the record"),
    VALUE("ticket", "ID", "the ticket that asks for it; goes into the record"),
    SWITCH("wait", "where approval is needed, wait for it"),
    SWITCH("break-glass",
           "by the rules for emergencies; people are told at once"),
    FILE_OF("passphrase-file", "FILE",
            "the passphrase; - is standard input (CERTVAULT_PASSPHRASE_FILE)"),
    FILE_OF("key-file", "FILE",
            "the vault's key file, where it has moved (CERTVAULT_KEY_FILE)"),
    VALUE("pin-source", "SOURCE",
          "a token's PIN: tty, file:F, fd:N, command:WORDS, credential:NAME "
          "(CERTVAULT_PIN_FILE)"),
    SWITCH("yes", "answer every question with yes"),
    SWITCH("dry-run", "say what would happen, change nothing"),
    SWITCH("no-input", "never ask on the terminal"),
    SWITCH("no-agent", "without an agent, even one that runs"),
    {"quiet", 'q', NULL, "no notes on standard error",
     CV_KIND_TEXT, NULL, false},
    {"verbose", 'v', NULL, "say more on standard error",
     CV_KIND_TEXT, NULL, false},
    SWITCH("no-color", "no colour (NO_COLOR)"),
    SWITCH("allow-unlocked", "go on where memory cannot be locked"),
    SWITCH("version", "print the version"),
    {"help", 'h', NULL, "print help, with examples",
     CV_KIND_TEXT, NULL, false},
    END,
};

#define CLOUD_OPTIONS \
    VALUE("project-id", "ID", "the project; else it is looked up"), \
    VALUE("region", "NAME", "the region, such as eu-west-101"), \
    VALUE("endpoint", "URL", "the CCE endpoint instead of the region's"), \
    VALUE("iam-endpoint", "URL", "the IAM endpoint instead of the region's"), \
    FILE_OF("ca-file", "FILE", "CA certificates (PEM) of these endpoints"), \
    VALUE("proxy", "URL", "an HTTP proxy; none is used unless named"), \
    FILE_OF("regions-file", "FILE", "regions and their endpoints (YAML)"), \
    FILE_OF("profile", "FILE", \
            "credentials file; default ~/.huaweicloud/credentials"), \
    FILE_OF("token-file", "FILE", "an X-Auth-Token; - is standard input"), \
    VALUE("iam-user", "NAME", "log in as this IAM user; asks the password"), \
    VALUE("iam-user-id", "ID", "the same by id"), \
    VALUE("iam-domain", "NAME", "the account that the IAM user belongs to"), \
    FILE_OF("password-file", "FILE", \
            "the IAM user's password; - is standard input"), \
    SWITCH("mfa", "ask for a six-digit code too"), \
    SWITCH("derived", "sign with V11-HMAC-SHA256 where the host allows it"), \
    SWITCH("metadata", "also ask the instance metadata service"), \
    SWITCH("as-service", "with the service's own credentials and addresses")

#define API_OPTION \
    WORD_OF("api", "API", "v3 (default), v3-get (old), autopilot", \
            "v3|v3-get|autopilot")

#define KEEP_OPTIONS \
    VALUE("to", "PLACE", "where the key goes: sealed, token, token:URI"), \
    SWITCH("exportable", "the entry may be exported, if policy permits"), \
    MANY("label", "K=V", "a label of the entry")

static const struct cv_option init_options[] = {
    VALUE("key", "SLOT",
          "what opens the vault: passphrase (default), file:PATH, "
          "credential:NAME, token:URI"),
    FILE_OF("new-passphrase-file", "FILE",
            "the first passphrase; else --passphrase-file, else it is asked "
            "for"),
    VALUE("log-origin", "NAME", "the name that the audit log signs under"),
    VALUE("log-key", "token:URI",
          "the token, or its key, that signs the audit log; else a file's"),
    VALUE("token", "URI",
          "the token that keys go to where --to says nothing else"),
    MANY("policy-signer", "VKEY",
         "take policies only that this key signed (certvault policy key)"),
    END,
};

static const struct cv_option clusters_options[] = {
    CLOUD_OPTIONS, API_OPTION, END,
};

static const struct cv_option fetch_options[] = {
    VALUE("cluster-id", "ID", "the cluster's id"),
    VALUE("cluster", "NAME", "the cluster's name, looked up"),
    VALUE("name", "NAME", "the entry's name; default the cluster's"),
    VALUE("duration", "DAYS",
          "how long the certificate lasts: 1 (default) to 1827, -1 longest"),
    VALUE("expire-at", "TIME", "until when instead"),
    API_OPTION, KEEP_OPTIONS, CLOUD_OPTIONS, END,
};

static const struct cv_option import_options[] = {
    VALUE("name", "NAME",
          "the entry's name; may hold {context} and {file}"),
    MANY("context", "NAME", "take only this context"),
    KEEP_OPTIONS,
    SWITCH("shred", "afterwards take the keys out of the file"), END,
};

static const struct cv_option list_options[] = {
    MANY("label", "K=V", "only entries with this label; K alone: any value"),
    VALUE("expires-within", "D", "only certificates that end within D"),
    END,
};

static const struct cv_option pin_options[] = {
    VALUE("context", "NAME", "the context that is pinned"),
    VALUE("spki", "B64", "SHA-256 of the server's public key, base64"),
    SWITCH("show", "print what is pinned, and which key the server shows"), END,
};

#define CLUSTER_OPTIONS \
    FILE_OF("cluster", "FILE", \
            "a kubeconfig that names the cluster; its users are passed over"), \
    VALUE("server", "URL", "the cluster's API server instead"), \
    FILE_OF("cluster-ca", "FILE", "and its CA certificates (PEM)")

static const struct cv_option adopt_options[] = {
    VALUE("key", "URI", "the private key on its token (RFC 7512)"),
    FILE_OF("cert", "FILE", "its certificate; default the token's own"),
    CLUSTER_OPTIONS, MANY("label", "K=V", "a label of the entry"), END,
};

static const struct cv_option generate_options[] = {
    VALUE("token", "URI",
          "the token; without it: the request of a pending entry again"),
    WORD_OF("alg", "ALG", "the key: p256 (default), p384, rsa2048",
            "p256|p384|rsa2048"),
    FILE_OF("csr", "FILE", "where the certificate request goes (PEM)"),
    VALUE("subject", "NAME", "CN=...,O=...; default CN=NAME"),
    MANY("label", "K=V", "a label of the entry"), END,
};

static const struct cv_option install_options[] = {
    FILE_OF("cert", "FILE", "the certificate that was issued (PEM)"),
    CLUSTER_OPTIONS, END,
};

static const struct cv_option rm_options[] = {
    SWITCH("keep-key", "leave a key on its token"),
    SWITCH("destroy-key", "destroy a key that was adopted, too"), END,
};

#define RELAY_OPTIONS \
    VALUE("context", "NAME", "which of the entry's contexts"), \
    SWITCH("read-only", "only what reads"), \
    VALUE("for", "D", "for how long; default what policy gives, at most 8h")

static const struct cv_option exec_options[] = { RELAY_OPTIONS, END };

static const struct cv_option kubeconfig_options[] = {
    VALUE("context", "NAME", "which of the entry's contexts"),
    FILE_OF("merge", "[=FILE]",
            "into FILE; default the one that kubectl would change"),
    FILE_OF("unmerge", "[=FILE]", "take out of it what --merge put there"),
    FILE_OF("output", "FILE", "write it there instead of to stdout"),
    WORD_OF("exec-api", "VERSION",
            "of client.authentication.k8s.io: v1 (default), v1beta1 for "
            "kubectl before 1.22", "v1|v1beta1"),
    END,
};

static const struct cv_option credential_options[] = {
    VALUE("vault-id", "ID", "the vault that must be the one"),
    VALUE("context", "NAME", "which of the entry's contexts"), END,
};

static const struct cv_option export_options[] = {
    VALUE("context", "NAME", "only this context"),
    FILE_OF("output", "FILE", "write it there (0600) instead of to stdout"),
    FILE_OF("receipt", "FILE", "write a proof there that the record has it"),
    END,
};

static const struct cv_option slot_add_options[] = {
    FILE_OF("new-passphrase-file", "FILE",
            "the new passphrase; - is standard input"), END,
};

static const struct cv_option slot_change_options[] = {
    VALUE("key", "SLOT", "what opens it from now on; default the same kind"),
    FILE_OF("new-passphrase-file", "FILE",
            "the new passphrase; - is standard input"), END,
};

static const struct cv_option token_probe_options[] = {
    SWITCH("destructive-test",
           "make, attack and destroy scratch objects on the token"), END,
};

static const struct cv_option token_change_options[] = {
    VALUE("new-pin-source", "SOURCE",
          "where the new PIN comes from; else it is asked for twice"), END,
};

static const struct cv_option explain_options[] = {
    VALUE("seq", "N", "explain the decision that record N holds"),
    VALUE("user", "NAME", "who"),
    MANY("group", "NAME", "a group of that user"),
    WORD_OF("action", "ACTION", "what", ACTIONS),
    VALUE("entry", "NAME", "on which entry"),
    VALUE("context", "NAME", "in which context"),
    VALUE("for", "D", "for how long"),
    VALUE("at", "TIME", "when; default now"),
    WORD_OF("mode", "MODE", "how the broker runs", "exec|agent|service"),
    SWITCH("tty", "from a terminal"), END,
};

static const struct cv_option policy_test_options[] = {
    FILE_OF("policy", "FILE", "a policy file; default the one in force"), END,
};

static const struct cv_option policy_diff_options[] = {
    VALUE("user", "NAME", "of this user alone"),
    WORD_OF("action", "ACTION", "of this action alone", ACTIONS),
    VALUE("entry", "PATTERN", "with these entries alone"), END,
};

static const struct cv_option policy_fmt_options[] = {
    SWITCH("write", "into the file itself, instead of to stdout"),
    SWITCH("check", "only say whether it is so already (else exit code 1)"),
    END,
};

static const struct cv_option policy_sign_options[] = {
    FILE_OF("key", "FILE", "the key that signs (certvault policy key)"),
    VALUE("vault-id", "ID", "for the vault of this id; default: it is asked"),
    FILE_OF("output", "FILE", "where the signature goes; default FILE.sig"),
    END,
};

static const struct cv_option policy_key_options[] = {
    VALUE("name", "NAME", "what the key is called; default policy"), END,
};

static const struct cv_option query_options[] = {
    VALUE("actor", "USER", "by whom"),
    WORD_OF("action", "ACTION", "what", ACTIONS),
    VALUE("entry", "NAME", "on which entry"),
    VALUE("since", "TIME", "a time, a date, or how long ago (8h)"),
    VALUE("until", "TIME", "likewise"),
    WORD_OF("outcome", "WORD", "how it went", "ok|failed|denied|refused"),
    VALUE("limit", "N", "at most this many, the latest"), END,
};

static const struct cv_option who_options[] = {
    VALUE("since", "TIME", "a time, a date, or how long ago (8h)"),
    VALUE("until", "TIME", "likewise"), END,
};

static const struct cv_option report_options[] = {
    VALUE("since", "TIME", "from a time, a date, or how long ago (30d) on"),
    VALUE("until", "TIME", "likewise"),
    FILE_OF("html", "FILE", "a page with all records that checks itself"), END,
};

static const struct cv_option export_options_audit[] = {
    WORD_OF("format", "FORMAT", "as they are, or a table", "jsonl|csv"),
    VALUE("since", "TIME", "from a time, a date, or how long ago (30d) on"),
    VALUE("until", "TIME", "likewise"),
    FILE_OF("output", "FILE", "where to write them; else standard output"), END,
};

static const struct cv_option tail_options[] = {
    {"follow", 'f', NULL, "go on as records come", CV_KIND_TEXT, NULL,
     false},
    {"last", 'n', "N", "how many to begin with; default 10", CV_KIND_TEXT,
     NULL, false},
    END,
};

static const struct cv_option key_options[] = {
    SWITCH("all", "every key that the log had, with the sizes it signed"),
    VALUE("to", "PLACE",
          "rotate: where the new key lies: file (default), token:URI"),
    END,
};

static const struct cv_option verify_options[] = {
    FILE_OF("checkpoint", "FILE", "a signed checkpoint that it must extend"),
    FILE_OF("archive", "FILE", "with the records that went to this file"),
    FILE_OF("proof", "FILE", "instead: does this proof show ..."),
    FILE_OF("record", "FILE", "... that this record ..."),
    VALUE("key", "VKEY", "... is in the log with this key?"),
    FILE_OF("bundle", "DIR", "instead: does this bundle prove what it says?"),
    END,
};

static const struct cv_option archive_options[] = {
    VALUE("before", "SEQ", "records below SEQ, in steps of 256"),
    FILE_OF("output", "FILE", "where they go; never over a file that is there"),
    END,
};

static const struct cv_option record_options[] = {
    FILE_OF("archive", "FILE", "out of what audit archive wrote"), END,
};

static const struct cv_option prove_options[] = {
    FILE_OF("output", "FILE", "where to write the proof; else standard output"),
    FILE_OF("archive", "FILE", "what audit archive wrote, with the record"),
    VALUE("entry", "NAME", "instead: a bundle (folder) about this entry ..."),
    VALUE("since", "TIME", "... or of all records from then ..."),
    VALUE("until", "TIME", "... until then"), END,
};

static const struct cv_option agent_start_options[] = {
    VALUE("idle", "D", "it ends after D without work; default 15m"), END,
};

static const struct cv_option exposure_options[] = {
    VALUE("actor", "USER", "whose, by name or uid; default everybody's"), END,
};

static const struct cv_option request_options[] = {
    VALUE("context", "NAME", "the entry's context; else its default one"),
    VALUE("for", "D", "how long it is to be used, as --for will say"),
    SWITCH("read-only", "as --read-only will say"), END,
};

static const struct cv_option requests_options[] = {
    SWITCH("all", "those too that were answered, used, or are over"), END,
};

static const struct cv_option approve_options[] = {
    FILE_OF("sign-key", "FILE",
            "sign with this OpenSSH key (or its .pub, by the SSH agent)"),
    FILE_OF("signature", "FILE", "a signature that ssh-keygen -Y sign made"),
    SWITCH("print", "print what is to be signed; approve nothing"),
    FILE_OF("receipt", "FILE", "write a proof there that the record has it"),
    END,
};

static const struct cv_option deny_options[] = {
    FILE_OF("receipt", "FILE", "write a proof there that the record has it"),
    END,
};

static const struct cv_option grants_list_options[] = {
    SWITCH("all", "everybody's, not only one's own"), END,
};

static const struct cv_option grants_revoke_options[] = {
    VALUE("user", "USER", "all that this user has, by name or uid"), END,
};

static const struct cv_option lock_options[] = {
    SWITCH("all", "freeze the vault: nobody uses it until unlock --all"), END,
};

static const struct cv_option unlock_options[] = {
    SWITCH("all", "end the freeze of lock --all"), END,
};

static const struct cv_option restore_options[] = {
    SWITCH("accept-rollback",
           "also over newer records, or over the text of archived ones"), END,
};

static const struct cv_option destroy_options[] = {
    SWITCH("keep-keys", "leave the keys that are on tokens there"),
    SWITCH("with-record", "the record of what happened, too"), END,
};

static const struct cv_option status_options[] = {
    SWITCH("metrics", "as text for Prometheus, entries and their ends too"),
    SWITCH("http", "answer the one HTTP request on standard input"), END,
};

#define READS 0
#define CHANGES CV_TRAIT_CHANGES
#define DRY (CV_TRAIT_CHANGES | CV_TRAIT_DRY)
#define WRITES CV_TRAIT_WRITES
#define STAYS (CV_TRAIT_CHANGES | CV_TRAIT_STAYS)
#define TEXT_OPERAND CV_KIND_TEXT, NULL
#define FILE_OPERAND CV_KIND_FILE, NULL

const struct cv_command cv_command_table[] = {
    {"init", "", "make a vault", init_options, 0, 0, CHANGES, TEXT_OPERAND,
     "init\n"
     "init --key file:/media/usb/vault.key\n"
     "init --key token:pkcs11:token=laptop\n"
     "init --log-key token:pkcs11:token=audit\n"
     "--vault /srv/vault init --passphrase-file /run/secrets/pass\n",
     cv_cmd_init},
    {"clusters", "", "what clusters the cloud has, and which are in the vault",
     clusters_options, 0, 0, READS, TEXT_OPERAND,
     "clusters --region eu-west-101\n"
     "clusters --region cn-north-4 --api autopilot -o json\n",
     cv_cmd_cloud_clusters},
    {"fetch", "(--cluster-id ID | --cluster NAME)",
     "get a cluster's certificate from CCE and seal its key", fetch_options,
     0, 0, DRY, TEXT_OPERAND,
     "fetch --region eu-west-101 --cluster prod --label env=prod\n"
     "fetch --region cn-north-4 --duration 7 \\\n"
     "    --cluster-id 4d1ecb2c-229a-11e8-9c75-0255ac100ceb --name shop/prod\n"
     "fetch --as-service --region cn-north-4 --cluster prod\n",
     cv_cmd_cloud_fetch},
    {"import", "FILE|FOLDER|-", "take client keys out of kubeconfigs",
     import_options, 1, 1, DRY, FILE_OPERAND,
     "import ~/.kube/config --context prod --name prod\n"
     "import ~/.kube/clusters --label team=pay --shred\n"
     "import ~/.kube/config --to token:pkcs11:token=hsm\n"
     "import - --name lab-{context} < kubeconfig.yaml\n", cv_cmd_import},
    {"list", "[PATTERN]", "the entries", list_options, 0, 1, READS,
     TEXT_OPERAND,
     "list\nlist 'prod-*' --expires-within 7d\nlist --label env=prod -o name\n",
     cv_cmd_entry_list},
    {"show", "NAME", "all about one entry but its key", NULL, 1, 1, READS,
     TEXT_OPERAND, "show prod\nshow prod -o json\n", cv_cmd_entry_show},
    {"rename", "NAME NEW", "give an entry another name", NULL, 2, 2, CHANGES,
     TEXT_OPERAND, "rename prod prod-eu\n", cv_cmd_entry_rename},
    {"label", "NAME K=V... K-...", "set labels, or take them away (K-)", NULL,
     2, -1, CHANGES, TEXT_OPERAND, "label prod env=prod team=pay owner-\n",
     cv_cmd_entry_label},
    {"adopt", "NAME", "make an entry over a key that a token already holds",
     adopt_options, 1, 1, DRY, TEXT_OPERAND,
     "adopt prod --key 'pkcs11:token=PIV;id=%01' --cluster kubeconfig.yaml\n"
     "adopt prod --key 'pkcs11:token=hsm;object=prod' --cert prod.pem \\\n"
     "    --server https://10.0.0.1:6443 --cluster-ca ca.pem\n",
     cv_cmd_held_adopt},
    {"generate", "NAME", "make a key on a token, and a request for its "
     "certificate", generate_options, 1, 1, DRY, TEXT_OPERAND,
     "generate prod --token pkcs11:token=hsm --csr prod.csr\n"
     "generate prod --token pkcs11:token=hsm --alg rsa2048 --csr prod.csr \\\n"
     "    --subject 'CN=alice,O=sre'\n", cv_cmd_held_generate},
    {"install", "NAME", "the certificate of a key that generate made",
     install_options, 1, 1, DRY, TEXT_OPERAND,
     "install prod --cert prod.pem --cluster kubeconfig.yaml\n",
     cv_cmd_held_install},
    {"rm", "NAME...", "remove entries with their keys", rm_options, 1, -1, DRY,
     TEXT_OPERAND, "rm lab-old\nrm lab-1 lab-2 --yes\n", cv_cmd_entry_rm},
    {"pin", "NAME", "pin the key that a server of an entry must show",
     pin_options, 1, 1, CHANGES, TEXT_OPERAND,
     "pin prod --context external --show\n"
     "pin prod --context external \\\n"
     "    --spki 'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg='\n",
     cv_cmd_pin},
    {"exec", "NAME -- COMMAND...",
     "run a command that reaches the cluster through the relay", exec_options,
     2, -1, STAYS, TEXT_OPERAND,
     "exec prod -- kubectl get pods\n"
     "exec prod --read-only --for 30m -- k9s\n"
     "exec prod -- helm upgrade shop ./chart\n", cv_cmd_exec},
    {"proxy", "NAME", "the relay, until Ctrl-C", exec_options, 1, 1, STAYS,
     TEXT_OPERAND, "proxy prod --for 8h\nproxy prod --read-only -o json\n",
     cv_cmd_exec_proxy},
    {"kubeconfig", "NAME [FILE]",
     "a kubeconfig without a key: kubectl asks certvault", kubeconfig_options,
     1, 2, DRY, TEXT_OPERAND,
     "kubeconfig prod --merge\n"
     "kubeconfig prod --output ~/.kube/prod.yaml\n"
     "kubeconfig prod --unmerge ~/.kube/config\n", cv_cmd_kubeconfig},
    {"credential", "NAME", "what kubectl runs to get in (the exec plugin)",
     credential_options, 1, 1, STAYS, TEXT_OPERAND,
     "credential prod --vault-id 0123456789abcdef0123456789abcdef\n",
     cv_cmd_credential},
    {"request", "ACTION [NAME]", "ask for approval beforehand", request_options,
     1, 2, CHANGES, CV_KIND_WORDS, ACTIONS,
     "request export prod --reason 'audit copy' --ticket OPS-17\n"
     "request use prod --for 2h --reason 'node is down' --wait\n",
     cv_cmd_request},
    {"requests", "", "requests that wait: one's own, and those one may approve",
     requests_options, 0, 0, READS, TEXT_OPERAND,
     "requests\nrequests --all -o json\n", cv_cmd_request_list},
    {"approve", "ID", "consent to somebody's request", approve_options, 1, 1,
     CHANGES, TEXT_OPERAND,
     "approve 4f1c2a9b03de\n"
     "approve 4f1c2a9b03de --sign-key ~/.ssh/id_ed25519_sk\n",
     cv_cmd_request_approve},
    {"deny", "ID", "refuse somebody's request, or withdraw one's own",
     deny_options, 1, 1, CHANGES, TEXT_OPERAND,
     "deny 4f1c2a9b03de --reason 'not during the freeze'\n",
     cv_cmd_request_deny},
    {"grants list", "", "the grants that live: who may use what, until when",
     grants_list_options, 0, 0, READS, TEXT_OPERAND,
     "grants list\ngrants list --all -o json\n", cv_cmd_grants_list},
    {"grants revoke", "[ID...]", "end grants now, and what goes through them",
     grants_revoke_options, 0, -1, CHANGES, TEXT_OPERAND,
     "grants revoke 5f0c0b7e9d3a4c1f8e2b6a7d90c1e2f3\n"
     "grants revoke --user bob --reason 'bob has left'\n",
     cv_cmd_grants_revoke},
    {"export", "NAME",
     "a kubeconfig WITH its key; only if the entry and policy allow it",
     export_options, 1, 1, DRY, TEXT_OPERAND,
     "export prod --reason 'restore drill' --output prod.yaml\n"
     "export prod --reason 'CI' -o json > kubeconfig.json\n"
     "export prod --reason 'drill' --output prod.yaml --receipt "
     "prod.tlog-proof\n",
     cv_cmd_export},
    {"slot list", "", "what opens the vault", NULL, 0, 0, READS, TEXT_OPERAND,
     "slot list\n", cv_cmd_slot_list},
    {"slot add", "passphrase|file:PATH|credential:NAME|token:URI",
     "one more way to open it", slot_add_options, 1, 1, CHANGES, TEXT_OPERAND,
     "slot add passphrase\nslot add file:/media/usb/vault.key\n",
     cv_cmd_slot_add},
    {"slot remove", "ID", "take one away, never the last", NULL, 1, 1, CHANGES,
     TEXT_OPERAND, "slot remove 3f\n", cv_cmd_slot_remove},
    {"slot change", "ID", "another passphrase or file for a slot",
     slot_change_options, 1, 1, CHANGES, TEXT_OPERAND, "slot change 3f\n",
     cv_cmd_slot_change},
    {"slot recovery", "", "make a recovery code; it is shown once", NULL, 0, 0,
     CHANGES, TEXT_OPERAND, "slot recovery\n", cv_cmd_slot_recovery},
    {"token list", "[URI]", "the tokens of all configured PKCS#11 modules",
     NULL, 0, 1, READS, TEXT_OPERAND,
     "token list\ntoken list 'pkcs11:model=SoftHSM%20v2' -o json\n",
     cv_cmd_token_list},
    {"token objects", "URI", "what lies on a token", NULL, 1, 1, READS,
     TEXT_OPERAND,
     "token objects 'pkcs11:token=work'\n"
     "token objects 'pkcs11:token=work' --pin-source file:/run/secrets/pin\n",
     cv_cmd_token_objects},
    {"token probe", "URI", "what a token can do, and what it lies about",
     token_probe_options, 1, 1, CHANGES, TEXT_OPERAND,
     "token probe 'pkcs11:token=work'\n"
     "token probe 'pkcs11:token=test' --destructive-test -o json\n",
     cv_cmd_token_probe},
    {"token login", "URI",
     "log in to a token by hand, also after a PIN was wrong", NULL, 1, 1,
     CHANGES, TEXT_OPERAND, "token login 'pkcs11:token=work'\n",
     cv_cmd_token_login},
    {"token change-pin", "URI", "give a token another PIN",
     token_change_options, 1, 1, CHANGES, TEXT_OPERAND,
     "token change-pin 'pkcs11:token=work'\n", cv_cmd_token_change_pin},
    {"token lost", "URI", "say that a token is gone, and the keys on it",
     NULL, 1, 1, CHANGES, TEXT_OPERAND, "token lost pkcs11:serial=0123\n",
     cv_cmd_held_lost},
    {"policy check", "FILE", "read a policy file and say what is wrong", NULL,
     1, 1, READS, FILE_OPERAND, "policy check prod.yaml\n",
     cv_cmd_policy_check},
    {"policy apply", "FILE", "put a policy into force", NULL, 1, 1, DRY,
     FILE_OPERAND, "policy apply prod.yaml --dry-run\n"
     "policy apply prod.yaml --reason 'sre on call'\n",
     cv_cmd_policy_apply},
    {"policy diff", "OLD [NEW]",
     "who may do what by one policy and not by the other: files, versions, or "
     "current (the default of NEW)", policy_diff_options, 1, 2, READS,
     FILE_OPERAND,
     "policy diff current prod.yaml\npolicy diff 6 7\n"
     "policy diff 7 prod.yaml --user alice --action export\n",
     cv_cmd_policy_diff},
    {"policy who-can", "ACTION [NAME]",
     "who may do this with the entry, and on what terms", NULL, 1, 2, READS,
     CV_KIND_WORDS, ACTIONS,
     "policy who-can export prod\npolicy who-can policy.apply -o json\n",
     cv_cmd_policy_who_can},
    {"policy lint", "FILE",
     "what is doubtful in a policy: rules that never work, add nothing, give "
     "too much", NULL, 1, 1, READS, FILE_OPERAND, "policy lint prod.yaml\n",
     cv_cmd_policy_file_lint},
    {"policy fmt", "FILE", "tidy a policy file; comments stay",
     policy_fmt_options, 1, 1, WRITES, FILE_OPERAND,
     "policy fmt prod.yaml\npolicy fmt --write prod.yaml\n"
     "policy fmt --check prod.yaml\n", cv_cmd_policy_file_fmt},
    {"policy sign", "FILE", "sign a policy, for one vault",
     policy_sign_options, 1, 1, CHANGES, FILE_OPERAND,
     "policy sign prod.yaml --key policy.key\n", cv_cmd_policy_sign},
    {"policy key", "FILE",
     "make a key that signs policies, and print its verifier key",
     policy_key_options, 1, 1, CHANGES, FILE_OPERAND,
     "policy key policy.key --name alice\n", cv_cmd_policy_sign_key},
    {"policy history", "", "which policies were applied, when and by whom",
     NULL, 0, 0, READS, TEXT_OPERAND, "policy history\n",
     cv_cmd_policy_history},
    {"policy show", "", "the policy in force", NULL, 0, 0, READS, TEXT_OPERAND,
     "policy show > policy.yaml\n", cv_cmd_policy_show},
    {"policy explain", "", "what would be decided, and by which rules",
     explain_options, 0, 0, READS, TEXT_OPERAND,
     "policy explain --user alice --group sre --action export --entry prod\n"
     "policy explain --seq 42\n", cv_cmd_policy_explain},
    {"policy test", "CASES", "run a file of cases against a policy",
     policy_test_options, 1, 1, READS, FILE_OPERAND,
     "policy test cases.yaml --policy prod.yaml\n", cv_cmd_policy_test},
    {"audit query", "", "records, by what they say", query_options, 0, 0, READS,
     TEXT_OPERAND,
     "audit query --actor alice --since 8h\n"
     "audit query --action export --outcome denied -o json\n",
     cv_cmd_audit_query},
    {"audit who", "NAME", "who did what with an entry", who_options, 1, 1,
     READS, TEXT_OPERAND, "audit who prod --since 30d\n", cv_cmd_audit_who},
    {"audit exposure", "", "what somebody has that still works, and its end",
     exposure_options, 0, 0, READS, TEXT_OPERAND,
     "audit exposure --actor bob\naudit exposure -o json\n",
     cv_cmd_audit_exposure},
    {"audit report", "", "what happened in a period, for whoever asks",
     report_options, 0, 0, WRITES, TEXT_OPERAND,
     "audit report --since 30d\n"
     "audit report --since 2026-10-01 --until 2026-11-01 --html october.html\n",
     cv_cmd_audit_report},
    {"audit export", "", "the records of a period, for other programs",
     export_options_audit, 0, 0, WRITES, TEXT_OPERAND,
     "audit export --format jsonl --since 30d > records.jsonl\n"
     "audit export --format csv --output records.csv\n",
     cv_cmd_audit_export},
    {"audit tail", "", "the latest records", tail_options, 0, 0, READS,
     TEXT_OPERAND, "audit tail -f -o json\n", cv_cmd_audit_tail},
    {"audit record", "SEQ", "one record, byte for byte", record_options, 1, 1,
     READS, TEXT_OPERAND,
     "audit record 42\naudit record 42 --archive /srv/archive/log-0.frames\n",
     cv_cmd_audit_record},
    {"audit status", "", "the log's size and its last checkpoint", NULL, 0, 0,
     READS, TEXT_OPERAND, "audit status\n", cv_cmd_audit_status},
    {"audit verify", "", "check the whole log, offline", verify_options, 0, 0,
     READS, TEXT_OPERAND,
     "audit verify\naudit verify --checkpoint last-week.txt -o json\n"
     "audit verify --proof 42.tlog-proof --record 42.json --key \"$KEY\"\n"
     "audit verify --bundle prod-quarter --key \"$KEY\"\n",
     cv_cmd_audit_verify},
    {"audit prove", "[SEQ]", "a proof that a record is in the log, for anyone",
     prove_options, 0, 1, WRITES, TEXT_OPERAND,
     "audit prove 42 --output 42.tlog-proof\n"
     "audit prove --entry prod --since 90d --output prod-quarter\n",
     cv_cmd_audit_prove},
    {"audit consistency", "SIZE1 SIZE2",
     "a proof that the log of SIZE2 records goes on from that of SIZE1", NULL,
     2, 2, READS, TEXT_OPERAND, "audit consistency 100 250 -o json\n",
     cv_cmd_audit_consistency},
    {"audit archive", "", "the oldest records into a file, out of the vault",
     archive_options, 0, 0, CHANGES, TEXT_OPERAND,
     "audit archive --before 200000 --output /srv/archive/log-0.frames\n"
     "audit verify --archive /srv/archive/log-0.frames\n",
     cv_cmd_audit_archive},
    {"audit rebuild", "", "make again what is derived from the log", NULL, 0, 0,
     CHANGES, TEXT_OPERAND, "audit rebuild\n", cv_cmd_audit_rebuild},
    {"audit send", "", "have the sinks get what they have not, and wait", NULL,
     0, 0, CHANGES, TEXT_OPERAND, "audit send\naudit send -o json\n",
     cv_cmd_audit_send},
    {"audit checkpoint", "", "a signed checkpoint of the log", NULL, 0, 0,
     CHANGES, TEXT_OPERAND, "audit checkpoint > checkpoint.txt\n",
     cv_cmd_audit_checkpoint},
    {"audit anchor", "", "give the last checkpoint to every anchor now", NULL,
     0, 0, CHANGES, TEXT_OPERAND, "audit anchor\naudit anchor -o json\n",
     cv_cmd_audit_anchor},
    {"audit key", "[rotate]", "the log's public key, or another one for it",
     key_options, 0, 1, WRITES, TEXT_OPERAND,
     "audit key\naudit key --all\naudit key rotate\n"
     "audit key rotate --to token:pkcs11:token=audit\n",
     cv_cmd_audit_key},
    {"agent start", "", "start the broker that stays, for this vault",
     agent_start_options, 0, 0, CHANGES, TEXT_OPERAND,
     "agent start\nagent start --idle 8h\n", cv_cmd_agent_start},
    {"agent stop", "", "end it", NULL, 0, 0, CHANGES, TEXT_OPERAND,
     "agent stop\n", cv_cmd_agent_stop},
    {"agent status", "", "does it run, and is the vault unlocked", NULL, 0, 0,
     READS, TEXT_OPERAND, "agent status\nagent status -o json\n",
     cv_cmd_agent_status},
    {"unlock", "", "open the vault in the broker that stays", unlock_options, 0,
     0, CHANGES, TEXT_OPERAND,
     "unlock\n--broker unix:/run/certvault/broker.sock unlock\n"
     "unlock --all --reason 'the laptop was found'\n",
     cv_cmd_vault_unlock},
    {"lock", "", "make that broker forget the vault's key", lock_options, 0, 0,
     CHANGES, TEXT_OPERAND,
     "lock\nlock --all --reason 'a laptop was stolen'\n", cv_cmd_vault_lock},
    {"status", "", "the vault and its broker", status_options, 0, 0, READS,
     TEXT_OPERAND, "status\nstatus --metrics\n", cv_cmd_status},
    {"backup", "FILE", "the whole vault in one file, read back", NULL, 1, 1,
     CHANGES, FILE_OPERAND,
     "backup /media/usb/vault-2026-11-22.backup\n"
     "backup /srv/backup/vault.backup --yes --no-input\n", cv_cmd_backup},
    {"restore", "FILE", "a vault out of a backup, into a folder nobody uses",
     restore_options, 1, 1, DRY, FILE_OPERAND,
     "restore /media/usb/vault-2026-11-22.backup --dry-run\n"
     "--vault /tmp/drill restore /media/usb/vault-2026-11-22.backup\n",
     cv_cmd_backup_restore},
    {"destroy", "", "the end of a vault, after it was told what goes with it",
     destroy_options, 0, 0, DRY, TEXT_OPERAND,
     "destroy --dry-run\n"
     "--vault /srv/old destroy --keep-keys\n", cv_cmd_destroy},
    {"doctor", "", "what on this host weakens or breaks certvault", NULL, 0, 0,
     READS, TEXT_OPERAND, "doctor\ndoctor -o json\n", cv_cmd_doctor},
    {"config check", "", "read the configuration and say what is wrong", NULL,
     0, 0, READS, TEXT_OPERAND, "config check\n", cv_cmd_config_check},
    {"config show", "", "the configuration as it was understood", NULL, 0, 0,
     READS, TEXT_OPERAND, "config show -o json\n", cv_cmd_config_show},
    {"completion", "bash|zsh|fish", "a completion script for a shell", NULL, 1,
     1, READS, CV_KIND_WORDS, "bash|zsh|fish",
     "completion bash > ~/.local/share/bash-completion/completions/certvault\n",
     cv_cmd_completion},
    {"help", "[COMMAND...]", "help for a command", NULL, 0, 2, READS,
     TEXT_OPERAND, "help fetch\nhelp slot add\n", cv_cmd_about_help},
    {"version", "", "the version", NULL, 0, 0, READS, TEXT_OPERAND,
     "version\n", cv_cmd_about_version},
    {NULL, NULL, NULL, NULL, 0, 0, 0, CV_KIND_TEXT, NULL, NULL, NULL},
};
