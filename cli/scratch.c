#include "cli/scratch.h"

#include "cli/path.h"
#include "cli/runtime.h"
#include "vault/base/file.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum cv_status cv_scratch_make(struct cv_scratch *out, struct cv_err *err)
{
    struct cv_runtime runtime;
    char leaf[32];
    enum cv_status s = cv_runtime_open(true, &runtime, err);

    out->dir = -1;
    if (s != CV_OK) {
        return s;
    }
    (void)snprintf(leaf, sizeof(leaf), "check-%08x", randombytes_random());
    if (!cv_path_join(runtime.folder, leaf, out->path, sizeof(out->path))) {
        s = cv_fail(err, CV_CONFIG, "the runtime folder's path is too long");
    } else if (mkdirat(runtime.dir, leaf, 0700) != 0) {
        s = cv_fail_errno(err, CV_IO, "cannot write into %s", runtime.folder);
    } else {
        s = cv_file_open_folder(out->path, &out->dir, err);
    }
    cv_runtime_close(&runtime);
    return s;
}

void cv_scratch_remove(struct cv_scratch *s)
{
    cv_file_close(&s->dir);
    (void)rmdir(s->path);
}
