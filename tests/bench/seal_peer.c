/* The peer of the import bench: crypto_box_seal of N keys and certificates of
 * 2.5 KB, appended to one file, with one fdatasync each, or one at the end.
 *
 *     seal_peer FILE N each|once
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAIN 2500

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int seal_one(int fd, const uint8_t *public_key, uint8_t *plain)
{
    uint8_t sealed[PLAIN + crypto_box_SEALBYTES];

    randombytes_buf(plain, 64);
    if (crypto_box_seal(sealed, plain, PLAIN, public_key) != 0)
        return -1;
    return write_all(fd, sealed, sizeof(sealed));
}

int main(int argc, char **argv)
{
    uint8_t public_key[crypto_box_PUBLICKEYBYTES];
    uint8_t secret_key[crypto_box_SECRETKEYBYTES];
    uint8_t plain[PLAIN] = {0};
    int fd;
    long n;
    int each;

    if (argc != 4 || sodium_init() < 0)
        return 64;
    n = strtol(argv[2], NULL, 10);
    each = strcmp(argv[3], "each") == 0;
    fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || crypto_box_keypair(public_key, secret_key) != 0)
        return 74;
    for (long i = 0; i < n; i++)
        if (seal_one(fd, public_key, plain) != 0 ||
            (each && fdatasync(fd) != 0))
            return 74;
    if (fdatasync(fd) != 0 || close(fd) != 0)
        return 74;
    return 0;
}
