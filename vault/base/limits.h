/* Every ceiling, in one table. Sizes in bytes unless the name says otherwise.
 * Nothing that comes from a server, a file, a token or a peer is read, stored
 * or looped over without one of these. */
#ifndef CERTVAULT_BASE_LIMITS_H
#define CERTVAULT_BASE_LIMITS_H

#define CV_KIB(n) ((size_t)(n)*1024)
#define CV_MIB(n) ((size_t)(n)*1024 * 1024)

/* JSON and YAML */
#define CV_LIMIT_JSON_DEPTH 64
#define CV_LIMIT_JSON_MEMBERS 200000 /* values in one document */
#define CV_LIMIT_YAML_FILE CV_MIB(4)

/* Messages between programs */
#define CV_LIMIT_FRAME CV_MIB(16)        /* one Varlink message */
#define CV_LIMIT_FRAME_CLIENT CV_MIB(8)  /* one that a client sends a broker */
#define CV_LIMIT_SECRET_ARENA CV_MIB(64) /* all that belongs to a message */
#define CV_LIMIT_CLIENTS 16384           /* connections of one broker */
#define CV_LIMIT_CLIENT_IDLE_S 900       /* seconds */
#define CV_LIMIT_FRAME_S 30              /* a begun message must be whole */
#define CV_LIMIT_ANSWER_S 30             /* a part of an answer must be taken */
#define CV_LIMIT_UNSENT CV_MIB(16)       /* of answers, kept for one client */
#define CV_LIMIT_STALL_MS 2000           /* beyond that, for all of one user */

/* Of one user of the service */
#define CV_LIMIT_UID_CLIENTS 256      /* connections */
#define CV_LIMIT_UID_REQUESTS 200     /* in a second, as a lasting rate */
#define CV_LIMIT_UID_BURST 600        /* at once, after a while without any */
#define CV_LIMIT_UID_TURN 16          /* that are taken before others' */
#define CV_LIMIT_UID_BYTES CV_MIB(16) /* held: begun messages, answers */
#define CV_LIMIT_BYTES CV_MIB(64)     /* the same, of all users */
#define CV_LIMIT_CALL_S 150           /* a helper's answer, seconds */
#define CV_LIMIT_TOGETHER 64          /* requests that share one commit */
#define CV_LIMIT_BATCH 500            /* identities in one import message */
#define CV_LIMIT_TOKEN_BATCH 64       /* of them, where a token takes them */
#define CV_LIMIT_MODULE_S 30          /* a PKCS#11 module's answer, seconds */
#define CV_LIMIT_MODULE_LONG_S                                             \
    120                              /* where it makes keys or waits for a \
                                        person */
#define CV_LIMIT_MODULE_RESTART_S 30 /* between starts of what breaks down */
#define CV_LIMIT_AGENT_IDLE_S 900    /* an agent without work, seconds */
#define CV_LIMIT_AGENT_IDLE_MAX_S 31536000

/* Secrets typed or read */
#define CV_LIMIT_PASSPHRASE 1024
#define CV_LIMIT_KEY_FILE_MIN 32
#define CV_LIMIT_KEY_FILE 4096
#define CV_LIMIT_TOKEN_FILE CV_KIB(64) /* X-Auth-Token: up to 16,384 */

/* Kubeconfigs, PEM, X.509 */
#define CV_LIMIT_KUBECONFIG CV_MIB(4)
#define CV_LIMIT_KUBECONFIG_ITEMS 20000 /* clusters, users or contexts */
#define CV_LIMIT_PEM CV_KIB(256)
#define CV_LIMIT_CHAIN 10  /* certificates in one chain */
#define CV_LIMIT_CA_SET 64 /* certificates in one CA bundle */
#define CV_LIMIT_CERT_DER CV_KIB(64)
#define CV_LIMIT_KEY_DER CV_KIB(16)
#define CV_LIMIT_IMPORT_FILES 20000 /* files in one folder */

/* HTTP */
#define CV_LIMIT_HTTP_BODY CV_MIB(1)
#define CV_LIMIT_HTTP_HEADERS CV_KIB(64) /* all headers of one answer */
#define CV_LIMIT_HTTP_CONNECT_S 10
#define CV_LIMIT_HTTP_TOTAL_S 60
#define CV_LIMIT_RETRY_TOTAL_S 120

/* The relay */
#define CV_LIMIT_DIALS 1024      /* connections to servers that wait */
#define CV_LIMIT_DIAL_THREADS 16 /* that are made at once */
#define CV_LIMIT_DIAL_S 30       /* connecting, the handshake with it */
#define CV_LIMIT_GRANTS 1024     /* that live at one time */
#define CV_LIMIT_GRANTS_KEPT 256 /* of them, for users who have fewer than */
#define CV_LIMIT_GRANTS_FEW 64
#define CV_LIMIT_GRANT_S (366 * 86400)
#define CV_LIMIT_ADDRESSES 16 /* of one server that are tried */
#define CV_LIMIT_LOOKUPS 64   /* names that are being resolved */
#define CV_LIMIT_RELAY_CLIENTS 4096
#define CV_LIMIT_RELAY_SHAKING                    \
    256 /* of them, in the handshake, of one user \
         */
#define CV_LIMIT_RELAY_SHAKE_S 10
#define CV_LIMIT_RELAY_GRANTS 2048     /* ended ones that are remembered too */
#define CV_LIMIT_RELAY_ENDED_S 3600    /* how long they are */
#define CV_LIMIT_RELAY_STRANGERS 64    /* users who are told of one by one */
#define CV_LIMIT_RELAY_HEAD CV_KIB(64) /* one request's or answer's head */
#define CV_LIMIT_RELAY_HEADERS 128     /* lines in it */
#define CV_LIMIT_RELAY_PATH 4096       /* a request's path, without query */
#define CV_LIMIT_RELAY_NAME 1024       /* a name given as a field selector */
#define CV_LIMIT_RELAY_CHUNK_LINE 1024 /* a chunk's size and extensions */
#define CV_LIMIT_RELAY_TRAILERS CV_KIB(8)
#define CV_LIMIT_RELAY_GRANT_ITEMS 1024 /* in one list of a grant */
#define CV_LIMIT_RELAY_HEAD_S 30        /* a begun head must be complete */
#define CV_LIMIT_RELAY_STREAMS 250    /* requests at once on one client's h2 */
#define CV_LIMIT_RELAY_SHARED 1000    /* and on one connection to a server */
#define CV_LIMIT_RELAY_UPSTREAMS 2048 /* connections to one grant's server */
#define CV_LIMIT_RELAY_PIPE                           \
    CV_KIB(64) /* of a body, held for whoever is slow \
                */
#define CV_LIMIT_RELAY_WINDOW \
    CV_KIB(256) /* the same of an h2 server's answer */
#define CV_LIMIT_RELAY_WINDOW_MOST CV_MIB(4)  /* ... that is taken quickly */
#define CV_LIMIT_RELAY_WINDOW_ALL CV_MIB(1)   /* a client's h2 connection */
#define CV_LIMIT_RELAY_WINDOW_BACK CV_MIB(16) /* a server's h2 connection */

/* Names and words */
#define CV_LIMIT_NAME 127  /* an entry's name */
#define CV_LIMIT_LABELS 64 /* of one entry */
#define CV_LIMIT_LABEL 63  /* a label's key or value */
#define CV_LIMIT_REASON 256
#define CV_LIMIT_TICKET 64
#define CV_LIMIT_CONTEXTS 64 /* of one entry */
#define CV_LIMIT_URL 2048
#define CV_LIMIT_HOST 253

#define CV_LIMIT_NAMES_KEPT 512 /* users whose names are not asked again */
#define CV_LIMIT_NAME_KEPT_S 60 /* for so long */
#define CV_LIMIT_NAME_REST_S 20 /* after one that nobody told in time */

/* Policy */
#define CV_LIMIT_POLICY CV_MIB(4)
#define CV_LIMIT_RULES 20000
#define CV_LIMIT_POLICY_VALUES 500000 /* in its YAML; as JSON: as any other */
#define CV_LIMIT_PATTERN 256          /* a glob or a ticket expression */
#define CV_LIMIT_RULE_COUNT 100000    /* limit.count of a rule */
#define CV_LIMIT_RULE_PER_S (366 * 86400) /* limit.per */
#define CV_LIMIT_RULE_APPROVALS 32        /* that a rule may require */
#define CV_LIMIT_REQUEST_S 86400          /* a request for approval lives */
#define CV_LIMIT_REQUESTS 32              /* open ones of one user */
#define CV_LIMIT_REQUESTS_DAY 200         /* filed by one user in a day */
#define CV_LIMIT_REQUEST_DAYS 400         /* ended ones are kept for so long */
#define CV_LIMIT_APPROVALS 64             /* of one request */
#define CV_LIMIT_NOTIFY_S 30              /* a notify command may take */
#define CV_LIMIT_NOTIFY_RUNNING 4         /* of them at a time */
#define CV_LIMIT_NOTIFY_QUEUE 64          /* that wait */
#define CV_LIMIT_POLICY_KEYS 4096         /* lines in `keys` */
#define CV_LIMIT_POLICY_KEY 1024          /* bytes of one of them */
#define CV_LIMIT_MEMBERS 2000             /* users that a review looks at */
#define CV_LIMIT_MEMBER_GROUPS 1024       /* of one of them */
#define CV_LIMIT_REVIEW 100000     /* pairs of user and entry in a review */
#define CV_LIMIT_REVIEW_ITEMS 5000 /* lines of its answer */
#define CV_LIMIT_SIGNERS 16        /* who may sign a vault's policies */

/* Audit log */
#define CV_LIMIT_LEAF 65535
#define CV_LIMIT_NOTE CV_KIB(64)
#define CV_LIMIT_KEPT                                      \
    CV_MIB(64) /* audit/checkpoints: twenty years of hours \
                */
#define CV_LIMIT_BUNDLE_HEAD CV_MIB(1)   /* its manifest */
#define CV_LIMIT_BUNDLE_STEP CV_KIB(512) /* of records, sent at once */
#define CV_LIMIT_READING_S 3600 /* from a report's or bundle's beginning */
#define CV_LIMIT_BUNDLE_PROOFS 1000
#define CV_LIMIT_BUNDLE_STEP_PROOFS 64 /* sent at once */
#define CV_LIMIT_LOG_KEYS 2048         /* changes of a log's key, in a bundle */
#define CV_LIMIT_BUNDLE_KEYS CV_MIB(4) /* the leaves that say so */
#define CV_LIMIT_BUNDLE_POLICIES 1000
#define CV_LIMIT_BUNDLE_IDS 64     /* entries that bore one name */
#define CV_LIMIT_PROOF CV_KIB(160) /* a proof file: note, hashes, a record */
#define CV_LIMIT_DENIED_USERS 256  /* whose denials are counted one by one */

/* Anchors of the audit log */
#define CV_LIMIT_ANCHORS 16         /* places that checkpoints go to */
#define CV_LIMIT_ANCHOR 1024        /* bytes of what names one */
#define CV_LIMIT_ANCHOR_S 60        /* between two checkpoints to one of them */
#define CV_LIMIT_ANCHOR_RUN_S 30    /* one of them may take */
#define CV_LIMIT_ANCHOR_REST_S 3600 /* the longest pause after failures */
#define CV_LIMIT_ANCHOR_SKEW_S 300  /* a witness' clock may be ahead of ours */

/* Sinks of the record */
#define CV_LIMIT_SINKS 8
#define CV_LIMIT_SINK_BEHIND 1000000 /* records that one may be behind */
#define CV_LIMIT_SINK_BEHIND_BYTES ((uint64_t)512 * 1024 * 1024)
#define CV_LIMIT_SINK_BATCH 500 /* records handed on at once */
#define CV_LIMIT_SINK_BATCH_BYTES CV_KIB(128)
#define CV_LIMIT_SINK_UNSURE 16     /* batches that a reset may undo */
#define CV_LIMIT_SINK_S 60          /* one batch may take, seconds */
#define CV_LIMIT_SINK_SEND_S 25     /* of them, what is sent */
#define CV_LIMIT_SINK_RETRY_S 60    /* between two attempts, at most */
#define CV_LIMIT_SINK_DATAGRAM 8000 /* one syslog message over UDP */

/* Tokens: what a PKCS#11 module may say and hold */
#define CV_LIMIT_MODULES 64             /* configured */
#define CV_LIMIT_MODULE_FILE CV_KIB(64) /* one .module file */
#define CV_LIMIT_MODULE_LINES 256       /* in one of them */
#define CV_LIMIT_TOKENS 64              /* slots of one module */
#define CV_LIMIT_TOKEN_OBJECTS 16384    /* looked at on one token */
#define CV_LIMIT_TOKEN_KEYS 32          /* with one CKA_ID */
#define CV_LIMIT_TOKEN_MECHANISMS 1024  /* of one slot */
#define CV_LIMIT_TOKEN_SESSIONS 8       /* of one pool */
#define CV_LIMIT_TOKEN_RELOAD_S 30      /* between two C_Initialize */
#define CV_LIMIT_TOKEN_URI 4096         /* RFC 7512 */
#define CV_LIMIT_TOKEN_ID 256           /* CKA_ID */
#define CV_LIMIT_ATTRIBUTE CV_KIB(64)   /* one attribute's value */
#define CV_LIMIT_SIGNATURE 2048         /* RSA-16384 */
#define CV_LIMIT_SIGNED CV_MIB(1)       /* bytes to be signed */
#define CV_LIMIT_PIN 255

/* Vault */
#define CV_LIMIT_SLOTS 32
#define CV_LIMIT_SIGN_DATA CV_KIB(256) /* bytes to be signed at once */
#define CV_LIMIT_SEALED CV_KIB(32)     /* one sealed key */

/* Backups */
#define CV_LIMIT_BACKUP_HEAD CV_KIB(16)
#define CV_LIMIT_BACKUP_PART ((uint64_t)1 << 40) /* the store, the log */
#define CV_LIMIT_BACKUP_STEP CV_KIB(512)         /* sent at once */
#define CV_LIMIT_BACKUP_IDLE_S 120 /* a reader of one that says nothing */

/* Room that a service keeps for the record (vault/audit/reserve.h), and how
 * often it looks whether a full disk has room again. */
#define CV_LIMIT_RESERVE CV_MIB(64)
#define CV_LIMIT_ROOM_S 10

#endif
