#include "vault/base/file.h"

#include <errno.h>
#include <sys/file.h>
#include <time.h>

enum cv_status cv_file_lock(int fd, int wait_ms, const char *what,
                            struct cv_err *err)
{
    long pause_ms = 1, waited_ms = 0;

    while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
        struct timespec pause = {.tv_nsec = pause_ms * 1000000};
        enum cv_status s;

        if ((errno == EWOULDBLOCK || errno == EINTR) && waited_ms < wait_ms) {
            (void)nanosleep(&pause, NULL);
            waited_ms += pause_ms;
            pause_ms = pause_ms < 50 ? pause_ms * 2 : pause_ms;
            continue;
        }
        s = cv_fail_errno(err, CV_BUSY, "cannot take %s", what);
        cv_err_hint(err,
                    "another process has held it for %d s: see whether one "
                    "is stopped",
                    wait_ms / 1000);
        return s;
    }
    return CV_OK;
}
