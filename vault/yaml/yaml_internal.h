/* What the files of this folder share. */
#ifndef CERTVAULT_YAML_YAML_INTERNAL_H
#define CERTVAULT_YAML_YAML_INTERNAL_H

#include "vault/yaml/yaml.h"

/* Walks `text` and refuses what libyaml would let through or be slow on: size,
 * byte order marks, UTF-8, control characters, directives. Sets *bad. */
CV_MUST_USE enum cv_status cv_yaml_scan_check(struct cv_bytes text,
                                              struct cv_yaml_mark *bad,
                                              struct cv_err *err);

/* NULL when memory is gone. */
struct cv_yaml_marks *cv_yaml_marks_new(void);

/* Notes where `node` and its key stood; false when memory is gone. */
bool cv_yaml_marks_add(struct cv_yaml_marks *marks, const cJSON *node,
                       struct cv_yaml_mark value, struct cv_yaml_mark key);

/* The key's place before cv_yaml_marks_sort was called: slow. */
struct cv_yaml_mark cv_yaml_marks_seek(const struct cv_yaml_marks *marks,
                                       const cJSON *node);

/* Makes the marks ready for questions. */
void cv_yaml_marks_sort(struct cv_yaml_marks *marks);

/* Fills `marks` for `root`, which cv_json_parse has just made of `text`. False
 * when memory is gone. */
bool cv_yaml_marks_json(struct cv_yaml_marks *marks, struct cv_bytes text,
                        const cJSON *root);

#endif
