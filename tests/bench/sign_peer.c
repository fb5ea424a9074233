/* The least that signing with a token takes, for comparison:
 *
 *     sign_peer cold MODULE LABEL PIN_FILE ID OUT   one process, one signature:
 *           dlopen, initialise, find the token, log in, find the key, sign,
 *           append to OUT, fdatasync
 *     sign_peer loop MODULE LABEL PIN_FILE ID N     N signatures in one session
 *
 * ID is a CKA_ID in hex; the key is P-256 (ECDSA over 32 bytes) or RSA
 * (PKCS #1 v1.5 over a SHA-256 DigestInfo). */
#include <p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 16
#define ID_MAX 64
#define PIN_MAX 64

static void check(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        (void)fprintf(stderr, "sign_peer: %s: 0x%lx\n", what, rv);
        exit(1);
    }
}

static CK_FUNCTION_LIST *load(const char *path)
{
    CK_FUNCTION_LIST *functions = NULL;
    CK_C_GetFunctionList get;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library != NULL ? dlsym(library, "C_GetFunctionList") : NULL;

    if (symbol == NULL) {
        check(CKR_GENERAL_ERROR, path);
    }
    memcpy(&get, &symbol, sizeof(get));
    check(get(&functions), "C_GetFunctionList");
    check(functions->C_Initialize(NULL), "C_Initialize");
    return functions;
}

static CK_SLOT_ID find_slot(CK_FUNCTION_LIST *functions, const char *label)
{
    CK_SLOT_ID slots[SLOTS];
    CK_ULONG n = SLOTS;

    check(functions->C_GetSlotList(CK_TRUE, slots, &n), "C_GetSlotList");
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;

        if (functions->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, label, strlen(label)) == 0) {
            return slots[i];
        }
    }
    check(CKR_TOKEN_NOT_PRESENT, label);
    return 0;
}

static void log_in(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                   const char *pin_file)
{
    unsigned char pin[PIN_MAX];
    FILE *f = fopen(pin_file, "r");
    size_t n = f != NULL ? fread(pin, 1, sizeof(pin), f) : 0;

    if (f != NULL) {
        (void)fclose(f);
    }
    while (n > 0 && pin[n - 1] == '\n') {
        n--;
    }
    check(functions->C_Login(session, CKU_USER, pin, n), "C_Login");
}

static size_t unhex(const char *hex, unsigned char out[ID_MAX])
{
    size_t n = 0;
    unsigned byte;

    while (n < ID_MAX && sscanf(hex + 2 * n, "%2x", &byte) == 1) {
        out[n++] = (unsigned char)byte;
    }
    return n;
}

static CK_OBJECT_HANDLE find_key(CK_FUNCTION_LIST *functions,
                                 CK_SESSION_HANDLE session, const char *hex,
                                 CK_KEY_TYPE *type)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    unsigned char id[ID_MAX];
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)},
                             {CKA_ID, id, unhex(hex, id)}};
    CK_ATTRIBUTE told = {CKA_KEY_TYPE, type, sizeof(*type)};
    CK_OBJECT_HANDLE key = 0;
    CK_ULONG n = 0;

    check(functions->C_FindObjectsInit(session, wanted, 2),
          "C_FindObjectsInit");
    check(functions->C_FindObjects(session, &key, 1, &n), "C_FindObjects");
    check(functions->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    check(n == 1 ? CKR_OK : CKR_OBJECT_HANDLE_INVALID, "the key");
    check(functions->C_GetAttributeValue(session, key, &told, 1),
          "C_GetAttributeValue");
    return key;
}

static CK_ULONG sign(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                     CK_OBJECT_HANDLE key, CK_KEY_TYPE type,
                     unsigned char out[512])
{
    /* RFC 8017 section 9.2, note 1; then any 32 bytes. */
    static unsigned char info[51] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                     0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                     0x01, 0x05, 0x00, 0x04, 0x20};
    const int ec = type == CKK_EC;
    CK_MECHANISM mechanism = {ec ? CKM_ECDSA : CKM_RSA_PKCS, NULL, 0};
    CK_ULONG n = 512;

    info[50]++;
    check(functions->C_SignInit(session, &mechanism, key), "C_SignInit");
    check(functions->C_Sign(session, ec ? info + 19 : info, ec ? 32 : 51, out,
                            &n),
          "C_Sign");
    return n;
}

int main(int argc, char **argv)
{
    unsigned char signature[512];
    CK_FUNCTION_LIST *functions;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    CK_KEY_TYPE type;

    if (argc != 7) {
        (void)fputs("sign_peer cold|loop MODULE LABEL PIN_FILE ID OUT|N\n",
                    stderr);
        return 64;
    }
    functions = load(argv[2]);
    check(functions->C_OpenSession(find_slot(functions, argv[3]),
                                   CKF_SERIAL_SESSION, NULL, NULL, &session),
          "C_OpenSession");
    log_in(functions, session, argv[4]);
    key = find_key(functions, session, argv[5], &type);
    if (strcmp(argv[1], "loop") == 0) {
        for (long n = strtol(argv[6], NULL, 10); n > 0; n--) {
            (void)sign(functions, session, key, type, signature);
        }
    } else {
        CK_ULONG n = sign(functions, session, key, type, signature);
        int fd = open(argv[6], O_WRONLY | O_CREAT | O_APPEND, 0600);

        if (fd == -1 || write(fd, signature, n) != (ssize_t)n ||
            fdatasync(fd) != 0) {
            check(CKR_GENERAL_ERROR, argv[6]);
        }
        (void)close(fd);
    }
    check(functions->C_Finalize(NULL), "C_Finalize");
    return 0;
}
