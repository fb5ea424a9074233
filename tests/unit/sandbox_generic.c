/* The sandbox's tables once more, with the numbers that the kernel gives to
 * arm64: so that they are checked where no such machine is. */
#define __ARCH_WANT_RENAMEAT
#define __ARCH_WANT_NEW_STAT
#define __ARCH_WANT_SET_GET_RLIMIT
#define __ARCH_WANT_SYS_CLONE3
#define __ARCH_WANT_MEMFD_SECRET
#include <asm-generic/unistd.h>

#define cv_sandbox_rules generic_rules
#include "vault/base/sandbox_calls.c"
