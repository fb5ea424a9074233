/* The frame that is sealed (docs/formats.md, "Sealed key"), for the two halves
 * that write and read it. Numbers are big-endian. */
#ifndef CERTVAULT_SEAL_BOX_INTERNAL_H
#define CERTVAULT_SEAL_BOX_INTERNAL_H

#include "vault/base/limits.h"
#include "vault/seal/box.h"

#include <sodium.h>

/* The byte before the sealed box, and the last of the magic inside it. */
#define BOX_VERSION 0x01

#define BOX_MAGIC "CVSKEY\0\x01"
#define BOX_MAGIC_LEN 8

#define BOX_AT_VAULT BOX_MAGIC_LEN
#define BOX_AT_ENTRY (BOX_AT_VAULT + CV_BOX_ID_LEN)
#define BOX_AT_SPKI (BOX_AT_ENTRY + CV_BOX_ID_LEN)
#define BOX_AT_LEN (BOX_AT_SPKI + CV_BOX_DIGEST_LEN)
#define BOX_AT_KEY (BOX_AT_LEN + 4)

/* Frames are padded (ISO/IEC 7816-4) to a multiple of this, so that the length
 * of a sealed key says little about the key. */
#define BOX_BLOCK 256

/* The longest frame, padded. */
#define BOX_FRAME_MAX \
    ((BOX_AT_KEY + CV_LIMIT_KEY_DER + BOX_BLOCK) / BOX_BLOCK * BOX_BLOCK)

_Static_assert(CV_BOX_KEY_LEN == crypto_box_PUBLICKEYBYTES &&
                   CV_BOX_KEY_LEN == crypto_box_SECRETKEYBYTES,
               "box keys are X25519 keys");
_Static_assert(1 + crypto_box_SEALBYTES + BOX_FRAME_MAX <= CV_LIMIT_SEALED,
               "the longest key fits");

#endif
