/* How long a proof takes, out of the tiles of a vault that verify_rate made
 * with CV_TILES=1:
 *
 *     prove_rate DIR RECORDS COUNT
 *
 * Interleaved, for COUNT records drawn by chance, with nothing kept in memory
 * between two: the proof (its record, hashes, file with the note, and its check
 * before it is given out), and beside it the bare reading of as many bytes from
 * the same files. Prints the median and the 99th percentile of both, in
 * microseconds. */
#include "vault/audit/note.h"
#include "vault/audit/tile.h"
#include "vault/audit/tiles.h"
#include "vault/audit/tlogproof.h"
#include "vault/base/encode.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct cv_note_key key;
static struct cv_buf note;

static void must(enum cv_status status, const struct cv_err *err)
{
    if (status != CV_OK) {
        (void)fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static double now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* A checkpoint over the tiles as they are, signed by a key of this run. */
static void sign(int vault, uint64_t size, struct cv_err *err)
{
    static struct cv_tiles_reader reader;
    struct cv_proof_source source;
    struct cv_checkpoint c = {.origin = "bench", .size = size};
    uint8_t pk[crypto_sign_PUBLICKEYBYTES], sk[crypto_sign_SECRETKEYBYTES];
    uint8_t blob[4 + crypto_sign_BYTES];
    struct cv_buf text, line;

    reader.vault = vault;
    must(cv_tiles_size(vault, &reader.size, err), err);
    source = cv_tiles_source(&reader);
    must(cv_proof_root(&source, size, c.root, err), err);
    (void)crypto_sign_keypair(pk, sk);
    must(cv_note_key_make("bench", CV_NOTE_ED25519, pk, &key, err), err);
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&line, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    cv_checkpoint_text(&c, &text);
    memcpy(blob, key.id, 4);
    (void)crypto_sign_detached(blob + 4, NULL, text.data, text.len, sk);
    cv_buf_add_str(&line, "\xe2\x80\x94 bench ");
    cv_encode_base64((struct cv_bytes){blob, sizeof blob}, &line);
    must(cv_note_join(cv_buf_bytes(&text), cv_buf_text(&line), &note, err),
         err);
    cv_buf_wipe(&text);
    cv_buf_wipe(&line);
}

static double prove(int vault, uint64_t size, uint64_t seq, struct cv_err *err)
{
    struct cv_tiles_reader *reader = calloc(1, sizeof *reader);
    struct cv_proof_source source;
    struct cv_buf record, file;
    struct cv_proof proof;
    double begin = now_us(), end;

    if (reader == NULL) {
        abort();
    }
    cv_buf_init(&record, NULL, CV_LIMIT_LEAF);
    cv_buf_init(&file, NULL, CV_LIMIT_PROOF);
    reader->vault = vault;
    must(cv_tiles_size(vault, &reader->size, err), err);
    source = cv_tiles_source(reader);
    must(cv_tiles_record(reader, seq, &record, err), err);
    must(cv_proof_make_inclusion(&source, size, seq, &proof, err), err);
    must(cv_tlogproof_write(cv_buf_bytes(&record), seq, &proof,
                            cv_buf_bytes(&note), &file, err),
         err);
    must(cv_tlogproof_check(cv_buf_bytes(&file), cv_buf_bytes(&record), &key, 1,
                            NULL, NULL, err),
         err);
    end = now_us();
    cv_buf_wipe(&record);
    cv_buf_wipe(&file);
    free(reader);
    return end - begin;
}

/* The bundle of the record and its tile of each level, as far as they are
 * full. */
static double bare(int vault, uint64_t seq)
{
    static uint8_t bytes[1 << 20];
    double begin = now_us();
    uint64_t n = seq / CV_TILE_WIDTH;

    for (int level = -1; level < 3; level++) {
        char path[128];
        struct cv_buf name;
        int fd;

        cv_buf_init(&name, NULL, sizeof path);
        cv_tile_path(level, n, CV_TILE_WIDTH, &name);
        (void)snprintf(path, sizeof path, "audit/%s", cv_buf_text(&name));
        cv_buf_wipe(&name);
        fd = openat(vault, path, O_RDONLY | O_CLOEXEC);
        if (fd != -1) {
            while (read(fd, bytes, sizeof bytes) > 0) {
            }
            (void)close(fd);
        }
        n /= level < 0 ? 1 : CV_TILE_WIDTH;
    }
    return now_us() - begin;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int vault = argc == 4 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
    uint64_t size = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
    size_t n = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
    double *ours = calloc(n + 1, sizeof *ours);
    double *theirs = calloc(n + 1, sizeof *theirs);
    struct cv_err err;

    cv_err_init(&err);
    cv_arena_allow_unlocked();
    if (vault == -1 || size == 0 || n == 0 || ours == NULL || theirs == NULL ||
        cv_arena_start(&err) != CV_OK) {
        (void)fprintf(stderr, "usage: prove_rate DIR RECORDS COUNT\n");
        return 64;
    }
    cv_json_start();
    sign(vault, size, &err);
    for (size_t i = 0; i < n; i++) {
        uint64_t seq = (uint64_t)randombytes_random() << 32;

        seq = (seq | randombytes_random()) % size;
        ours[i] = prove(vault, size, seq, &err);
        theirs[i] = bare(vault, seq);
    }
    qsort(ours, n, sizeof *ours, compare);
    qsort(theirs, n, sizeof *theirs, compare);
    (void)printf("proof %.0f us (99%%: %.0f), bare reading %.0f us "
                 "(99%%: %.0f), ratio %.2f\n",
                 ours[n / 2], ours[n * 99 / 100], theirs[n / 2],
                 theirs[n * 99 / 100], ours[n / 2] / theirs[n / 2]);
    cv_buf_wipe(&note);
    free(ours);
    free(theirs);
    return 0;
}
