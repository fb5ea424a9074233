#include "tests/fakes/misbehaving/module_internal.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fake_object *volatiles[64];
static CK_OBJECT_HANDLE next_volatile = FAKE_VOLATILE;

struct fake_object *fake_object_new(void)
{
    return calloc(1, sizeof(struct fake_object));
}

void fake_object_free(struct fake_object *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->count; i++)
        free(o->attribute[i].value);
    free(o);
}

const struct fake_attribute *fake_get(const struct fake_object *o,
                                      CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->attribute[i].type == type)
            return &o->attribute[i];
    return NULL;
}

bool fake_get_bool(const struct fake_object *o, CK_ATTRIBUTE_TYPE type,
                   bool absent)
{
    const struct fake_attribute *a = fake_get(o, type);

    return a != NULL && a->len == 1 ? a->value[0] != 0 : absent;
}

CK_ULONG fake_get_ulong(const struct fake_object *o, CK_ATTRIBUTE_TYPE type)
{
    const struct fake_attribute *a = fake_get(o, type);
    CK_ULONG value = CK_UNAVAILABLE_INFORMATION;

    if (a != NULL && a->len == sizeof(value))
        memcpy(&value, a->value, sizeof(value));
    return value;
}

bool fake_set(struct fake_object *o, CK_ATTRIBUTE_TYPE type, const void *value,
              size_t len)
{
    struct fake_attribute *a = NULL;
    unsigned char *copy = malloc(len + 1);

    if (copy == NULL)
        return false;
    if (len > 0)
        memcpy(copy, value, len);
    for (size_t i = 0; i < o->count && a == NULL; i++)
        if (o->attribute[i].type == type)
            a = &o->attribute[i];
    if (a == NULL && o->count == FAKE_ATTRIBUTES) {
        free(copy);
        return false;
    }
    if (a == NULL) {
        a = &o->attribute[o->count++];
        a->value = NULL;
    }
    free(a->value);
    a->type = type;
    a->len = len;
    a->value = copy;
    return true;
}

bool fake_set_bool(struct fake_object *o, CK_ATTRIBUTE_TYPE type, bool value)
{
    CK_BBOOL b = value ? CK_TRUE : CK_FALSE;

    return fake_set(o, type, &b, sizeof(b));
}

bool fake_set_ulong(struct fake_object *o, CK_ATTRIBUTE_TYPE type,
                    CK_ULONG value)
{
    return fake_set(o, type, &value, sizeof(value));
}

bool fake_is_key(const struct fake_object *o)
{
    CK_ULONG class = fake_get_ulong(o, CKA_CLASS);

    return class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY;
}

static const char *object_name(CK_OBJECT_HANDLE handle)
{
    static char name[40];

    snprintf(name, sizeof(name), "objects/%08lx", handle);
    return name;
}

static struct fake_object *duplicate(const struct fake_object *o)
{
    struct fake_object *copy = fake_object_new();

    if (copy == NULL)
        return NULL;
    copy->handle = o->handle;
    for (size_t i = 0; i < o->count; i++)
        fake_set(copy, o->attribute[i].type, o->attribute[i].value,
                 o->attribute[i].len);
    return copy;
}

static struct fake_object *from_bytes(const unsigned char *data, size_t len)
{
    struct fake_object *o = fake_object_new();
    uint64_t head[2];

    while (o != NULL && len >= sizeof(head)) {
        memcpy(head, data, sizeof(head));
        data += sizeof(head);
        len -= sizeof(head);
        if (head[1] > len)
            break;
        fake_set(o, head[0], data, head[1]);
        data += head[1];
        len -= head[1];
    }
    return o;
}

struct fake_object *fake_object_load(CK_OBJECT_HANDLE handle)
{
    size_t len;

    if (handle >= FAKE_VOLATILE) {
        for (size_t i = 0; i < 64; i++)
            if (volatiles[i] != NULL && volatiles[i]->handle == handle)
                return duplicate(volatiles[i]);
        return NULL;
    }
    unsigned char *data = fake_read(object_name(handle), &len);
    if (data == NULL)
        return NULL;
    struct fake_object *o = from_bytes(data, len);
    free(data);
    if (o != NULL)
        o->handle = handle;
    return o;
}

static CK_RV save_volatile(struct fake_object *o)
{
    struct fake_object **place = NULL;

    for (size_t i = 0; i < 64; i++)
        if (volatiles[i] != NULL && o->handle != 0 &&
            volatiles[i]->handle == o->handle)
            place = &volatiles[i];
    for (size_t i = 0; i < 64 && place == NULL; i++)
        if (volatiles[i] == NULL)
            place = &volatiles[i];
    if (place == NULL)
        return CKR_DEVICE_MEMORY;
    if (o->handle == 0)
        o->handle = next_volatile++;
    fake_object_free(*place);
    *place = duplicate(o);
    return CKR_OK;
}

/* Handles grow: one that was freed never comes back. */
static CK_OBJECT_HANDLE next_handle(void)
{
    size_t len;
    unsigned char *text = fake_read("next", &len);
    CK_OBJECT_HANDLE next = text != NULL ? strtoul((char *)text, NULL, 10) : 1;
    char line[32];

    free(text);
    snprintf(line, sizeof(line), "%lu\n", next + 1);
    fake_write("next", line, strlen(line));
    return next;
}

static CK_RV save_token(struct fake_object *o)
{
    size_t len = 0, room = 0;

    for (size_t i = 0; i < o->count; i++)
        room += 2 * sizeof(uint64_t) + o->attribute[i].len;
    unsigned char *data = malloc(room + 1);
    if (data == NULL)
        return CKR_HOST_MEMORY;
    for (size_t i = 0; i < o->count; i++) {
        uint64_t head[2] = {o->attribute[i].type, o->attribute[i].len};
        memcpy(data + len, head, sizeof(head));
        len += sizeof(head);
        memcpy(data + len, o->attribute[i].value, o->attribute[i].len);
        len += o->attribute[i].len;
    }
    int lock = fake_lock();
    mkdir(fake_path("objects"), 0700);
    if (o->handle == 0)
        o->handle = next_handle();
    bool ok = fake_write(object_name(o->handle), data, len);
    fake_unlock(lock);
    free(data);
    return ok ? CKR_OK : CKR_DEVICE_ERROR;
}

CK_RV fake_object_save(struct fake_object *o)
{
    return fake_get_bool(o, CKA_TOKEN, false) ? save_token(o)
                                              : save_volatile(o);
}

static void halve(struct fake_object *o)
{
    size_t kept = 0;

    for (size_t i = 0; i < o->count; i++) {
        CK_ATTRIBUTE_TYPE type = o->attribute[i].type;
        if (type == CKA_ID || type == CKA_LABEL)
            free(o->attribute[i].value);
        else
            o->attribute[kept++] = o->attribute[i];
    }
    o->count = kept;
}

CK_RV fake_object_keep(struct fake_object *o, CK_OBJECT_HANDLE *handle)
{
    CK_OBJECT_HANDLE list[1024];
    bool token = fake_get_bool(o, CKA_TOKEN, false);

    size_t count = fake_object_list(list, 1024), kept = 0;
    while (kept < count && list[kept] < FAKE_VOLATILE)
        kept++;
    if (token && kept >= fake_number("capacity"))
        return CKR_DEVICE_MEMORY;
    if (token && fake_switched("create", "nothing")) {
        int lock = fake_lock();
        *handle = next_handle();
        fake_unlock(lock);
        return CKR_OK;
    }
    if (token && fake_switched("create", "half"))
        halve(o);
    CK_RV rv = fake_object_save(o);
    *handle = o->handle;
    return rv;
}

CK_RV fake_object_remove(CK_OBJECT_HANDLE handle)
{
    for (size_t i = 0; i < 64; i++)
        if (volatiles[i] != NULL && volatiles[i]->handle == handle) {
            fake_object_free(volatiles[i]);
            volatiles[i] = NULL;
            return CKR_OK;
        }
    return unlink(fake_path(object_name(handle))) == 0
               ? CKR_OK
               : CKR_OBJECT_HANDLE_INVALID;
}

void fake_objects_drop_volatile(void)
{
    for (size_t i = 0; i < 64; i++) {
        fake_object_free(volatiles[i]);
        volatiles[i] = NULL;
    }
}

static int ascending(const void *a, const void *b)
{
    CK_OBJECT_HANDLE x = *(const CK_OBJECT_HANDLE *)a;
    CK_OBJECT_HANDLE y = *(const CK_OBJECT_HANDLE *)b;

    return (x > y) - (x < y);
}

/* Token objects, and the session objects of this process. */
size_t fake_object_list(CK_OBJECT_HANDLE *list, size_t room)
{
    DIR *folder = opendir(fake_path("objects"));
    size_t n = 0;
    struct dirent *entry;

    while (folder != NULL && n < room && (entry = readdir(folder)) != NULL) {
        char *end;
        CK_OBJECT_HANDLE handle = strtoul(entry->d_name, &end, 16);
        if (handle != 0 && *end == '\0')
            list[n++] = handle;
    }
    if (folder != NULL)
        closedir(folder);
    for (size_t i = 0; i < 64 && n < room; i++)
        if (volatiles[i] != NULL)
            list[n++] = volatiles[i]->handle;
    qsort(list, n, sizeof(*list), ascending);
    return n;
}
