/* What doctor finds out about the host by itself, without a broker. */
#ifndef CERTVAULT_CLI_DOCTOR_HOST_H
#define CERTVAULT_CLI_DOCTOR_HOST_H

#include "vault/base/json.h"

enum cv_doctor_result {
    CV_DOCTOR_OK,
    CV_DOCTOR_WARN, /* weaker than it could be */
    CV_DOCTOR_FAIL  /* it will not work */
};

struct cv_doctor_host {
    cJSON *items; /* [{check, result, message, hint}]; the caller's */
    unsigned failed;
};

/* Adds a line. `hint` may be "". */
void cv_doctor_host_add(struct cv_doctor_host *d, const char *check,
                        enum cv_doctor_result result, const char *hint,
                        const char *fmt, ...) CV_PRINTF(5, 6);

/* Programs, lockable memory, the kernel's sandbox, runtime folder, clock,
 * terminal. */
void cv_doctor_host_run(struct cv_doctor_host *d);

/* The vault's folder: owner, modes, room on its disk. */
void cv_doctor_host_folder(struct cv_doctor_host *d, const char *folder);

#endif
