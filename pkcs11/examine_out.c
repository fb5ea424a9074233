/* Attacks that ask for the key itself, for a copy that is less guarded, or for
 * its guard to be taken away. */
#include "pkcs11/create_internal.h"
#include "pkcs11/examine_internal.h"

#include <string.h>

#define PART_MAX CV_KIB(4)

bool cv_examine_reads(struct examine *e, CK_OBJECT_HANDLE object,
                      CK_ATTRIBUTE_TYPE type, CK_RV *rv)
{
    uint8_t *room = cv_arena_alloc(e->arena, PART_MAX, NULL);
    CK_ATTRIBUTE a = {type, room, PART_MAX};
    size_t i;

    if (room == NULL) {
        *rv = CKR_HOST_MEMORY;
        return false;
    }
    *rv = e->f->C_GetAttributeValue(e->s, object, &a, 1);
    if (*rv != CKR_OK || a.ulValueLen > PART_MAX) {
        return false;
    }
    for (i = 0; i < a.ulValueLen; i++) {
        if (room[i] != 0) {
            return true;
        }
    }
    return false;
}

static void attack_read(struct examine *e, enum cv_examine_attack attack,
                        const CK_ATTRIBUTE_TYPE *types, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        enum cv_examine_result result;
        CK_RV rv;

        if (cv_examine_reads(e, e->key, types[i], &rv)) {
            result = CV_EXAMINE_LEAKED;
        } else if (rv == CKR_OK) {
            cv_examine_lie(e,
                           "C_GetAttributeValue of %s answered CKR_OK, and "
                           "gave nothing",
                           cv_attribute_name(types[i]));
            result = CV_EXAMINE_ERROR;
        } else {
            result = cv_examine_of(rv);
        }
        cv_examine_note(e, attack, result, rv);
    }
}

/* A copy with one attribute as we should not get it. */
static void attack_copy(struct examine *e, enum cv_examine_attack attack,
                        CK_ATTRIBUTE_TYPE type, bool value)
{
    struct cv_attribute_template t;
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    enum cv_examine_result result;
    CK_RV rv;

    cv_attribute_start(&t);
    cv_attribute_add_bool(&t, CKA_TOKEN, false);
    cv_attribute_add_bool(&t, type, value);
    rv = e->f->C_CopyObject(e->s, e->key, t.items, t.n, &copy);
    if (rv != CKR_OK) {
        cv_examine_note(e, attack, cv_examine_of(rv), rv);
        return;
    }
    result =
        cv_examine_comes_out(e, copy) ? CV_EXAMINE_LEAKED : CV_EXAMINE_MISUSED;
    cv_examine_lie(e, "it copied the key with %s=%s", cv_attribute_name(type),
                   value ? "TRUE" : "FALSE");
    cv_examine_note(e, attack, result, rv);
    cv_create_drop(e->f, e->s, copy);
}

CK_RV cv_examine_set(struct examine *e, CK_ATTRIBUTE_TYPE type, bool value,
                     bool (*during)(struct examine *, CK_OBJECT_HANDLE),
                     bool *came_out)
{
    enum cv_examine_told before = cv_examine_flag_now(e, e->key, type), after;
    struct cv_attribute_template t;
    CK_RV rv;

    *came_out = false;
    cv_attribute_start(&t);
    cv_attribute_add_bool(&t, type, value);
    rv = e->f->C_SetAttributeValue(e->s, e->key, t.items, t.n);
    if (rv == CKR_OK && during != NULL) {
        *came_out = during(e, e->key);
    }
    after = cv_examine_flag_now(e, e->key, type);
    if (after != before) {
        cv_attribute_start(&t);
        cv_attribute_add_bool(&t, type, !value);
        (void)e->f->C_SetAttributeValue(e->s, e->key, t.items, t.n);
        if (cv_examine_flag_now(e, e->key, type) != before) {
            e->unrestored = true;
        }
    }
    if (rv == CKR_OK) {
        cv_examine_lie(e, "C_SetAttributeValue(%s=%s) answered CKR_OK; %s",
                       cv_attribute_name(type), value ? "TRUE" : "FALSE",
                       *came_out         ? "the key came out"
                       : after == before ? "nothing changed"
                                         : "it says so now, and the key did "
                                           "not come out");
    } else if (after != before) {
        cv_examine_lie(e, "C_SetAttributeValue(%s) was refused, and done",
                       cv_attribute_name(type));
    }
    return rv;
}

static void attack_set(struct examine *e, enum cv_examine_attack attack,
                       CK_ATTRIBUTE_TYPE type, bool value)
{
    bool came_out;
    CK_RV rv = cv_examine_set(e, type, value, cv_examine_comes_out, &came_out);

    cv_examine_note(e, attack,
                    rv != CKR_OK ? cv_examine_of(rv)
                    : came_out   ? CV_EXAMINE_LEAKED
                                 : CV_EXAMINE_MISUSED,
                    rv);
}

void cv_examine_attack_out(struct examine *e)
{
    static const CK_ATTRIBUTE_TYPE secrets[] = {CKA_VALUE,
                                                CKA_PRIVATE_EXPONENT};
    static const CK_ATTRIBUTE_TYPE primes[] = {CKA_PRIME_1, CKA_PRIME_2,
                                               CKA_EXPONENT_1, CKA_EXPONENT_2,
                                               CKA_COEFFICIENT};

    attack_read(e, CV_EXAMINE_READ_SECRET, secrets,
                sizeof(secrets) / sizeof(secrets[0]));
    if (e->type == CKK_RSA) {
        attack_read(e, CV_EXAMINE_READ_PRIMES, primes,
                    sizeof(primes) / sizeof(primes[0]));
    }
    if (!e->fresh) {
        return;
    }
    attack_copy(e, CV_EXAMINE_COPY_EXTRACTABLE, CKA_EXTRACTABLE, true);
    attack_copy(e, CV_EXAMINE_COPY_PLAIN, CKA_SENSITIVE, false);
    attack_copy(e, CV_EXAMINE_COPY_PUBLIC, CKA_PRIVATE, false);
    attack_set(e, CV_EXAMINE_SET_EXTRACTABLE, CKA_EXTRACTABLE, true);
    attack_set(e, CV_EXAMINE_SET_PLAIN, CKA_SENSITIVE, false);
}
