/* The bare loop that signatures through the broker are measured against: one
 * PKCS#11 module, one session, C_SignInit and C_Sign.
 *
 *     sign_loop MODULE LABEL PIN ID rsa|ec SECONDS|FILE
 *
 * signs a SHA-256 digest (with its DigestInfo for RSA) with the private key
 * whose CKA_ID is ID (hex) on the token LABEL, and prints signatures a second.
 * With FILE (a path with a slash): one signature, appended to it and synced,
 * the least that a cold sign with a record takes. */
#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 16

static CK_FUNCTION_LIST *p11;

static void must(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        (void)fprintf(stderr, "%s: 0x%lx\n", what, rv);
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW);
    CK_C_GetFunctionList list = NULL;

    if (module != NULL) {
        *(void **)&list = dlsym(module, "C_GetFunctionList");
    }
    if (list == NULL) {
        (void)fprintf(stderr, "%s: no module\n", path);
        exit(1);
    }
    must(list(&p11), "C_GetFunctionList");
    must(p11->C_Initialize(NULL), "C_Initialize");
}

static CK_SESSION_HANDLE open_token(const char *label, const char *pin)
{
    CK_SLOT_ID slots[SLOTS];
    CK_ULONG n = SLOTS;
    CK_TOKEN_INFO info;
    CK_SESSION_HANDLE session;
    CK_UTF8CHAR secret[64];
    char padded[33];

    (void)snprintf(padded, sizeof(padded), "%-32s", label);
    must(p11->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList");
    for (CK_ULONG i = 0; i < n; i++) {
        must(p11->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
        if (memcmp(info.label, padded, 32) == 0) {
            must(p11->C_OpenSession(slots[i], CKF_SERIAL_SESSION, NULL, NULL,
                                    &session),
                 "C_OpenSession");
            (void)snprintf((char *)secret, sizeof(secret), "%s", pin);
            must(p11->C_Login(session, CKU_USER, secret, strlen(pin)),
                 "C_Login");
            return session;
        }
    }
    (void)fprintf(stderr, "%s: no such token\n", label);
    exit(1);
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session, const char *hex)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    unsigned char id[64];
    CK_ULONG len = strlen(hex) / 2, n = 0;
    CK_OBJECT_HANDLE key;
    CK_ATTRIBUTE wanted[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_ID, id, len},
    };

    for (CK_ULONG i = 0; i < len && i < sizeof(id); i++) {
        char two[] = {hex[2 * i], hex[2 * i + 1], '\0'};

        id[i] = (unsigned char)strtoul(two, NULL, 16);
    }
    must(p11->C_FindObjectsInit(session, wanted, 2), "C_FindObjectsInit");
    must(p11->C_FindObjects(session, &key, 1, &n), "C_FindObjects");
    must(p11->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    if (n != 1) {
        (void)fprintf(stderr, "%s: no such key\n", hex);
        exit(1);
    }
    return key;
}

/* As a record would be. */
static void append(const char *path, const unsigned char *data, CK_ULONG len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd == -1 || write(fd, data, len) != (ssize_t)len ||
        fdatasync(fd) == -1) {
        perror(path);
        exit(1);
    }
    (void)close(fd);
}

int main(int argc, char **argv)
{
    static const unsigned char prefix[] = {
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
        0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    unsigned char input[sizeof(prefix) + SHA256_DIGEST_LENGTH], out[1024];
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    unsigned char data[64] = "certvault challenge v1";
    unsigned long count = 0;
    CK_ULONG len;
    size_t head = 0;
    double begin, seconds;

    if (argc != 7) {
        (void)fputs("sign_loop MODULE LABEL PIN ID rsa|ec SECONDS|FILE\n",
                    stderr);
        return 1;
    }
    load(argv[1]);
    session = open_token(argv[2], argv[3]);
    key = find_key(session, argv[4]);
    seconds = strchr(argv[6], '/') == NULL ? strtod(argv[6], NULL) : 0;
    if (strcmp(argv[5], "rsa") == 0) {
        mechanism.mechanism = CKM_RSA_PKCS;
        memcpy(input, prefix, sizeof(prefix));
        head = sizeof(prefix);
    }
    begin = now();
    do {
        len = sizeof(out);

        data[63] = (unsigned char)count++;
        (void)SHA256(data, sizeof(data), input + head);
        must(p11->C_SignInit(session, &mechanism, key), "C_SignInit");
        must(
            p11->C_Sign(session, input, head + SHA256_DIGEST_LENGTH, out, &len),
            "C_Sign");
    } while (now() - begin < seconds);
    if (seconds == 0) {
        append(argv[6], out, len);
    }
    (void)printf("%.1f\n", (double)count / (now() - begin));
    return 0;
}
