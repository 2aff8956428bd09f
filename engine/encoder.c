/* encoder.c -- pictures as the rows that stand in a prompt.
 *
 * WHY     A picture is up to seventeen tiles, and each costs the tower what hundreds of tokens cost the
 *         model. The next turn names the same picture again; and while a stranger's picture is encoded,
 *         everybody else's replies go on.
 *
 * HOW     An encoding is known by the hash of its file, so that the same picture sent twice is encoded once:
 *
 *           wanted --thread reads the file--> tiles --one tile a step--> rows --nobody wants it--> kept
 *              \________________________________\___________________> failed
 *
 *         Of what is kept the least recently used goes first.
 *
 *         Few files are read ahead: their tiles are large. Pictures are encoded in the order in which they
 *         were wanted.
 *
 * ALWAYS  (1) What somebody wants is neither freed nor begun twice.
 *         (2) An encoding that failed is gone when the last who wanted it has let go: the next request tries
 *             again.
 *         (3) A file whose bytes are no longer those of the hash is a failure, never a picture under a wrong
 *             name.
 *
 * LIMITS  Rows that nobody wants: KEPT_BYTES and KEPT of them. Rows that are wanted belong to prompts of
 *         running requests, which the KV cache bounds: they take about a tenth of the bytes of those prompts'
 *         KV. Tiles of READ_AHEAD pictures.
 */
#include "engine/encoder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { READ_AHEAD = 2, KEPT = 1024, KEPT_BYTES = 256 << 20 };

enum state { WANTED, READING, TILES, READY, FAILED };

struct wm_encoding {
    struct wm_picture picture; /* its path is ours */
    enum state state;
    int wanted_by;
    struct wm_encoding *before, *after; /* in the encoder's list */
    struct wm_tiles tiles;
    int32_t tiles_done;
    struct wm_act *rows;
    uint64_t bytes; /* of rows */
    struct wm_error error;
};

struct wm_encoder {
    struct wm_model *model;
    struct wm_picture_reader *reader;
    struct wm_encoding *first, *last; /* in the order in which they were wanted last */
    int n_kept, n_ahead;              /* READY and wanted by nobody; READING or TILES */
    uint64_t kept_bytes;
    struct wm_encoder_counts counts;
};

enum wm_status wm_encoder_new(struct wm_model *model, struct wm_mailbox *replies, struct wm_encoder **out,
                              struct wm_error *err)
{
    struct wm_encoder *e = calloc(1, sizeof *e);
    if (!e)
        return wm_fail(err, WM_ENOMEM, "no memory to encode pictures");
    e->model = model;
    enum wm_status st = wm_picture_reader_new(&model->arch->vision, replies, &e->reader, err);
    if (st != WM_OK) {
        free(e);
        return st;
    }
    *out = e;
    return WM_OK;
}

/* --- the list ------------------------------------------------------------------------------------------- */

static void unlink_encoding(struct wm_encoder *e, struct wm_encoding *x)
{
    *(x->before ? &x->before->after : &e->first) = x->after;
    *(x->after ? &x->after->before : &e->last) = x->before;
    x->before = x->after = NULL;
}

static void link_last(struct wm_encoder *e, struct wm_encoding *x)
{
    x->before = e->last;
    *(e->last ? &e->last->after : &e->first) = x;
    e->last = x;
}

static void destroy(struct wm_encoder *e, struct wm_encoding *x)
{
    unlink_encoding(e, x);
    e->n_ahead -= x->state == TILES;
    e->counts.bytes -= x->bytes;
    e->model->ops->act_free(e->model->backend, x->rows);
    wm_tiles_free(&x->tiles);
    free((char *)x->picture.path);
    free(x);
}

void wm_encoder_free(struct wm_encoder *e)
{
    if (!e)
        return;
    wm_picture_reader_free(e->reader);
    while (e->first)
        destroy(e, e->first);
    free(e);
}

/* A word in the encoder's own counts for an encoding that nobody wants any more, or that somebody wants
 * again. */
static void count_kept(struct wm_encoder *e, const struct wm_encoding *x, int sign)
{
    if (x->state == READY) {
        e->n_kept += sign;
        e->kept_bytes += (uint64_t)sign * x->bytes;
    }
}

static void trim(struct wm_encoder *e)
{
    struct wm_encoding *next;
    for (struct wm_encoding *x = e->first; x && (e->n_kept > KEPT || e->kept_bytes > KEPT_BYTES); x = next) {
        next = x->after;
        if (x->state == READY && x->wanted_by == 0) {
            count_kept(e, x, -1);
            destroy(e, x);
        }
    }
}

/* --- reading -------------------------------------------------------------------------------------------- */

static void fail(struct wm_encoding *x, const struct wm_error *why)
{
    x->error = *why;
    x->state = FAILED;
}

/* Hands the next wanted pictures to the reader, as many as may be ahead. */
static void read_ahead(struct wm_encoder *e)
{
    for (struct wm_encoding *x = e->first; x && e->n_ahead < READ_AHEAD; x = x->after) {
        if (x->state != WANTED)
            continue;
        if (wm_picture_reader_post(e->reader, &x->picture) == WM_OK) {
            x->state = READING;
            e->n_ahead++;
        } else {
            struct wm_error err = WM_ERROR_INIT;
            wm_fail(&err, WM_ENOMEM, "no memory to read picture %s", x->picture.path);
            fail(x, &err);
        }
    }
}

static struct wm_encoding *find(const struct wm_encoder *e, const uint8_t hash[WM_PICTURE_HASH])
{
    for (struct wm_encoding *x = e->last; x; x = x->before)
        if (x->state != FAILED && memcmp(x->picture.hash, hash, WM_PICTURE_HASH) == 0)
            return x;
    return NULL;
}

enum wm_status wm_encoder_want(struct wm_encoder *e, const struct wm_picture *picture,
                               struct wm_encoding **out)
{
    struct wm_encoding *x = find(e, picture->hash);
    if (x && (x->picture.rows != picture->rows || x->picture.cols != picture->cols))
        return WM_EINVAL;
    if (x) {
        e->counts.reused++;
        if (x->wanted_by++ == 0)
            count_kept(e, x, -1);
        if (x->state == READY) { /* what is on its way keeps its turn */
            unlink_encoding(e, x);
            link_last(e, x);
        }
        *out = x;
        return WM_OK;
    }
    x = calloc(1, sizeof *x);
    char *path = strdup(picture->path);
    if (!x || !path) {
        free(x);
        free(path);
        return WM_ENOMEM;
    }
    *x = (struct wm_encoding){.picture = *picture, .wanted_by = 1};
    x->picture.path = path;
    link_last(e, x);
    read_ahead(e);
    *out = x;
    return WM_OK;
}

void wm_encoder_release(struct wm_encoder *e, struct wm_encoding *x)
{
    if (--x->wanted_by)
        return;
    switch (x->state) {
    case READING: /* ends when the reading comes back */
        break;
    case READY:
        count_kept(e, x, 1);
        trim(e);
        break;
    case WANTED:
    case TILES:
    case FAILED:
        destroy(e, x);
        read_ahead(e);
    }
}

void wm_encoder_take(struct wm_encoder *e, struct wm_reading *reading)
{
    struct wm_encoding *x = find(e, reading->picture.hash);
    assert(x && x->state == READING); /* it stays until its reading is back */
    if (reading->error.code == WM_OK) {
        x->tiles = reading->tiles;
        reading->tiles = (struct wm_tiles){0};
        x->state = TILES;
    } else {
        fail(x, &reading->error);
        e->n_ahead--;
    }
    wm_reading_free(reading);
    if (x->wanted_by == 0)
        destroy(e, x);
    read_ahead(e);
}

/* --- encoding ------------------------------------------------------------------------------------------- */

static enum wm_status encode_tile(struct wm_encoder *e, struct wm_encoding *x, struct wm_error *err)
{
    const struct wm_model *m = e->model;
    int32_t each = wm_tile_tokens(&m->arch->vision), rows = x->tiles.n * each;
    enum wm_status st = WM_OK;
    if (!x->rows) {
        st = m->ops->act_new(m->backend, rows, m->arch->width, &x->rows, err);
        if (st == WM_OK) {
            x->bytes = (uint64_t)rows * (uint64_t)m->arch->width * sizeof(float);
            e->counts.bytes += x->bytes;
        }
    }
    return st == WM_OK
               ? wm_vision_encode(m->vision, &x->tiles, x->tiles_done, x->rows, x->tiles_done * each, err)
               : st;
}

bool wm_encoder_step(struct wm_encoder *e)
{
    struct wm_encoding *x = e->first;
    while (x && x->state != TILES)
        x = x->after;
    if (!x)
        return false;
    struct wm_error err = WM_ERROR_INIT;
    if (encode_tile(e, x, &err) != WM_OK)
        fail(x, &err);
    else if (++x->tiles_done == x->tiles.n) {
        x->state = READY;
        e->counts.encoded++;
    }
    if (x->state != TILES) {
        wm_tiles_free(&x->tiles);
        e->n_ahead--;
        read_ahead(e);
    }
    return true;
}

const struct wm_act *wm_encoding_rows(const struct wm_encoding *x)
{
    return x->state == READY ? x->rows : NULL;
}

const struct wm_error *wm_encoding_failed(const struct wm_encoding *x)
{
    return x->state == FAILED ? &x->error : NULL;
}

struct wm_encoder_counts wm_encoder_counts(const struct wm_encoder *e)
{
    return e->counts;
}
