/* From the tree to rules. */
#ifndef CERTVAULT_POLICY_PARSE_INTERNAL_H
#define CERTVAULT_POLICY_PARSE_INTERNAL_H

#include "policy/policy_internal.h"
#include "policy/reader_internal.h"

struct cv_parser {
    struct cv_reader reader;
    struct cv_policy *policy;
};

/* `rule` is zeroed; it is filled from `node`. Its ticket expression must be
 * freed also after a failure. */
CV_MUST_USE enum cv_status cv_parse_rule(struct cv_parser *p, const cJSON *node,
                                         struct cv_rule *rule);

/* rules[].when */
CV_MUST_USE enum cv_status cv_parse_when(struct cv_parser *p, const cJSON *node,
                                         struct cv_rule *rule);

/* rules[].subjects, and rules[].require.approvals.from: `what` names it. */
CV_MUST_USE enum cv_status cv_parse_subjects(struct cv_parser *p,
                                             const cJSON *node,
                                             const char *what,
                                             struct cv_rule_subjects *s);

/* rules[].limit and rules[].require */
CV_MUST_USE enum cv_status
cv_parse_limit(struct cv_parser *p, const cJSON *node, struct cv_rule *rule);
CV_MUST_USE enum cv_status
cv_parse_require(struct cv_parser *p, const cJSON *node, struct cv_rule *rule);

/* keys */
CV_MUST_USE enum cv_status cv_parse_keys(struct cv_parser *p,
                                         const cJSON *node);

enum cv_parse_text {
    CV_PARSE_ANY_TEXT,
    CV_PARSE_LITERAL, /* no "*" and no "?" */
    CV_PARSE_GLOB     /* a glob that some name or label's value could match */
};

/* A list of texts of at most `max` bytes, copied into the policy's pool, with a
 * NULL behind the last. */
CV_MUST_USE enum cv_status cv_parse_texts(struct cv_parser *p,
                                          const cJSON *node, const char *what,
                                          size_t max, enum cv_parse_text kind,
                                          struct cv_globs *out);

/* A list of words as bits, 1 for the first of `words`. */
CV_MUST_USE enum cv_status cv_parse_bits(struct cv_parser *p, const cJSON *node,
                                         const char *what,
                                         const char *const *words,
                                         unsigned *out);

/* CV_INTERNAL: memory. */
CV_MUST_USE enum cv_status cv_parse_no_memory(struct cv_parser *p);

/* Must `node` be the word "required". */
CV_MUST_USE enum cv_status cv_parse_required(struct cv_parser *p,
                                             const cJSON *node,
                                             const char *what, bool *out);

#endif
