#include "cli/resolving.h"

/* glibc's configuration, its name service modules, the sockets and files of
 * those that resolve for it. */
static const char *const readable[CV_RESOLVING_FOLDERS] = {
    "/etc/resolv.conf", "/etc/hosts",
    "/etc/host.conf",   "/etc/nsswitch.conf",
    "/etc/gai.conf",    "/etc/services",
    "/etc/ld.so.cache", "/usr/lib",
    "/usr/lib64",       "/lib",
    "/lib64",           "/run/systemd/resolve",
    "/run/resolvconf",  "/run/NetworkManager",
    "/run/nscd",
};

void cv_resolving_folders(struct cv_sandbox_folder out[CV_RESOLVING_FOLDERS])
{
    for (int i = 0; i < CV_RESOLVING_FOLDERS; i++) {
        out[i] = (struct cv_sandbox_folder){.path = readable[i], .fd = -1};
    }
}
