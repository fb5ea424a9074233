/* Landlock (Linux documentation: userspace-api/landlock), by its system calls:
 * neither glibc nor the headers of the oldest systems we build on have all of
 * it. */
#include "vault/base/file.h"
#include "vault/base/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH 1

#define EXECUTE (1ULL << 0)
#define WRITE_FILE (1ULL << 1)
#define READ_FILE (1ULL << 2)
#define READ_DIR (1ULL << 3)
#define REMOVE_DIR (1ULL << 4)
#define REMOVE_FILE (1ULL << 5)
#define MAKE_DIR (1ULL << 7)
#define MAKE_REG (1ULL << 8)
#define MAKE_SOCK (1ULL << 9)
#define ALL_OF_ABI_1 ((1ULL << 13) - 1)
#define REFER (1ULL << 13)    /* ABI 2: renames between folders */
#define TRUNCATE (1ULL << 14) /* ABI 3 */

#define READING (READ_FILE | READ_DIR)
#define WRITING                                                                \
    (WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | \
     REFER | TRUNCATE)
#define OF_A_FILE (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE)

struct ruleset_attr {
    uint64_t handled_access_fs;
};

struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

int cv_sandbox_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
                       CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

static enum cv_status fail(struct cv_err *err)
{
    return cv_fail_errno(err, CV_UNAVAILABLE,
                         "cannot enter the sandbox: "
                         "Landlock");
}

static enum cv_status add_rule(int rules, uint64_t handled, int fd,
                               bool writable, struct cv_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return fail(err);
    }
    struct path_beneath_attr rule = {READING | (writable ? WRITING : 0), fd};
    rule.allowed_access &= handled;
    if (!S_ISDIR(st.st_mode)) {
        rule.allowed_access &= OF_A_FILE;
    }
    if (syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0U) !=
        0) {
        return fail(err);
    }
    return CV_OK;
}

static enum cv_status allow(int rules, uint64_t handled,
                            const struct cv_sandbox_folder *f,
                            struct cv_err *err)
{
    if (f->fd >= 0) {
        return add_rule(rules, handled, f->fd, f->writable, err);
    }
    int fd = open(f->path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        /* One that we cannot even name needs no rule. */
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES
                   ? CV_OK
                   : fail(err);
    }
    enum cv_status status = add_rule(rules, handled, fd, f->writable, err);
    cv_file_close(&fd);
    return status;
}

enum cv_status cv_sandbox_landlock(int abi,
                                   const struct cv_sandbox_folder *folders,
                                   size_t n, struct cv_err *err)
{
    if (abi == 0) {
        return CV_OK;
    }
    struct ruleset_attr attr = {ALL_OF_ABI_1};
    attr.handled_access_fs |= abi >= 2 ? REFER : 0;
    attr.handled_access_fs |= abi >= 3 ? TRUNCATE : 0;
    int rules =
        (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0U);
    if (rules < 0) {
        return fail(err);
    }
    enum cv_status status = CV_OK;
    for (size_t i = 0; i < n && status == CV_OK; i++) {
        status = allow(rules, attr.handled_access_fs, &folders[i], err);
    }
    if (status == CV_OK &&
        syscall(SYS_landlock_restrict_self, rules, 0U) != 0) {
        status = fail(err);
    }
    cv_file_close(&rules);
    return status;
}
