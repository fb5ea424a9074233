#include "vault/store/store_internal.h"

#include <sodium.h>
#include <string.h>

static void add(crypto_generichash_state *s, const void *data, size_t len)
{
    uint8_t size[8];

    for (int i = 0; i < 8; i++) {
        size[i] = (uint8_t)((uint64_t)len >> (8 * i));
    }
    (void)crypto_generichash_update(s, size, sizeof size);
    if (len > 0) {
        (void)crypto_generichash_update(s, data, len);
    }
}

void cv_store_digest_of(const struct cv_store *store, const char *table,
                        const struct cv_store_field *fields, size_t n,
                        uint8_t out[CV_STORE_DIGEST])
{
    crypto_generichash_state s;

    (void)crypto_generichash_init(&s, NULL, 0, CV_STORE_DIGEST);
    add(&s, store->vault_id, strlen(store->vault_id));
    add(&s, table, strlen(table));
    for (size_t i = 0; i < n; i++) {
        add(&s, fields[i].data, fields[i].len);
    }
    (void)crypto_generichash_final(&s, out, CV_STORE_DIGEST);
}

enum cv_status cv_store_digest_check(sqlite3_stmt *statement, int at,
                                     const uint8_t digest[CV_STORE_DIGEST],
                                     const char *what, struct cv_err *err)
{
    const void *stored = sqlite3_column_blob(statement, at);

    if (stored != NULL &&
        sqlite3_column_bytes(statement, at) == CV_STORE_DIGEST &&
        memcmp(stored, digest, CV_STORE_DIGEST) == 0) {
        return CV_OK;
    }
    cv_fail(err, CV_INTEGRITY, "%s in the store was changed or damaged", what);
    cv_err_hint(err, "restore the vault's folder from a backup; keep a copy of "
                     "it as it is");
    return CV_INTEGRITY;
}
