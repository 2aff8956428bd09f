/* media_rows.c -- see media_rows.h. */
#include "sessions/media_rows.h"

#include <stdlib.h>
#include <string.h>

#include "sessions/channel.h"

enum { LEASE_MS = 5 * 60 * 1000 }; /* a medium that was taken and not heard of again */

size_t wm_media_want(struct wm_db *db, int64_t channel, int64_t row, char *const *ids, size_t max,
                     int64_t now_ms)
{
    size_t n = 0;
    for (; n < max && ids[n]; n++) {
        wm_db_do(
            db,
            "INSERT INTO media(channel, platform_id, state, wanted_ms) VALUES(?, ?, 'wanted', ?)"
            " ON CONFLICT(channel, platform_id) DO UPDATE SET state = 'wanted', attempts = 0, next_ms = 0"
            " WHERE state = 'failed'", /* sent again: perhaps it can be had now */
            "iti", channel, ids[n], now_ms);
        wm_db_do(db,
                 "INSERT INTO row_media(row, place, media) SELECT ?, ?, id FROM media WHERE channel = ? AND"
                 " platform_id = ?",
                 "iiit", row, (int64_t)n, channel, ids[n]);
    }
    return n;
}

int64_t wm_media_recover(struct wm_db *db)
{
    wm_db_do(db, "UPDATE media SET next_ms = 0 WHERE state = 'wanted'", "");
    return wm_db_number(db, 0, "SELECT count(*) FROM media WHERE state = 'wanted'", "");
}

/* --- jobs ----------------------------------------------------------------------------------------------------- */

static void forget_taken(struct wm_media_take *j)
{
    for (size_t i = 0; i < j->n; i++) {
        free(j->taken[i].channel);
        free(j->taken[i].platform_id);
    }
    j->n = 0;
}

void wm_media_take_apply(struct wm_job *job, struct wm_db *db)
{
    struct wm_media_take *j = (struct wm_media_take *)job;
    forget_taken(j);
    size_t room = j->room < WM_MEDIA_TAKE ? j->room : WM_MEDIA_TAKE;
    sqlite3_stmt *s =
        wm_db_ask(db,
                  "SELECT media.id, attempts + 1, channels.name, platform_id FROM media"
                  " JOIN channels ON channels.id = media.channel WHERE state = 'wanted' AND next_ms <= ?"
                  " ORDER BY next_ms, media.id LIMIT ?",
                  "ii", j->now_ms, (int64_t)room);
    while (j->n < room && wm_db_row(db, s)) {
        j->taken[j->n].id = sqlite3_column_int64(s, 0);
        j->taken[j->n].attempts = sqlite3_column_int64(s, 1);
        j->taken[j->n].channel = wm_db_text_new(s, 2);
        j->taken[j->n++].platform_id = wm_db_text_new(s, 3);
    }
    for (size_t i = 0; i < j->n; i++)
        wm_db_do(db, "UPDATE media SET attempts = ?, next_ms = ? WHERE id = ?", "iii", j->taken[i].attempts,
                 j->now_ms + LEASE_MS, j->taken[i].id);
    j->wanted = wm_db_number(db, 0, "SELECT count(*) FROM media WHERE state = 'wanted'", "");
    j->next_ms = wm_db_number(db, 0, "SELECT min(next_ms) FROM media WHERE state = 'wanted'", "");
}

void wm_media_take_drop(struct wm_note *note)
{
    struct wm_media_take *j = (struct wm_media_take *)note;
    forget_taken(j);
    free(j);
}

void wm_media_end(struct wm_db *db, int64_t id, struct wm_media_end *end)
{
    end->n_told = 0;
    switch (end->state) {
    case WM_MEDIA_IS_WANTED:
        wm_db_do(db, "UPDATE media SET next_ms = ?, error = ? WHERE id = ? AND state = 'wanted'", "iti",
                 end->next_ms, end->error, id);
        return;
    case WM_MEDIA_IS_FETCHED:
        wm_db_do(db,
                 "UPDATE media SET state = 'fetched', sha256 = ?, mime = ?, bytes = ?, rows = ?, cols = ?,"
                 " fingerprint = ?, error = NULL WHERE id = ? AND state = 'wanted'",
                 "btiiiti", (const void *)end->picture.hash, (size_t)WM_PICTURE_HASH, end->mime, end->bytes,
                 (int64_t)end->picture.rows, (int64_t)end->picture.cols, end->fingerprint, id);
        break;
    case WM_MEDIA_IS_FAILED:
        wm_db_do(db, "UPDATE media SET state = 'failed', error = ? WHERE id = ? AND state = 'wanted'", "ti",
                 end->error, id);
        break;
    }
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT DISTINCT conversation FROM row_media JOIN transcript ON transcript.id"
                                " = row_media.row WHERE row_media.media = ? AND turn IS NULL LIMIT ?",
                                "ii", id, (int64_t)WM_MEDIA_TOLD);
    while (end->n_told < WM_MEDIA_TOLD && wm_db_row(db, s))
        end->told[end->n_told++] = sqlite3_column_int64(s, 0);
}

/* --- pictures of a row ---------------------------------------------------------------------------------------- */

void wm_media_pictures_free(struct wm_picture *pictures, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free((char *)pictures[i].path);
    free(pictures);
}

/* Appends; false without memory. */
static bool add_picture(const struct wm_shelf *shelf, struct wm_picture **list, size_t *n,
                        const uint8_t *hash, int32_t rows, int32_t cols)
{
    struct wm_picture *grown = realloc(*list, (*n + 1) * sizeof *grown);
    if (!grown)
        return false;
    *list = grown;
    struct wm_picture *p = &grown[*n];
    *p = (struct wm_picture){.rows = rows, .cols = cols};
    memcpy(p->hash, hash, WM_PICTURE_HASH);
    p->path = wm_shelf_path_new(shelf, p->hash);
    *n += p->path != NULL;
    return p->path != NULL;
}

bool wm_media_of_row(struct wm_db *db, const struct wm_shelf *shelf, int64_t row, const char *fingerprint,
                     struct wm_media_of_row *out)
{
    *out = (struct wm_media_of_row){0};
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT state, fingerprint IS ?, sha256, bytes, rows, cols FROM row_media"
                                " JOIN media ON media.id = row_media.media WHERE row = ? ORDER BY place",
                                "ti", fingerprint, row);
    while (wm_db_row(db, s)) {
        const char *state = wm_db_text(s, 0);
        if (strcmp(state, "wanted") == 0) {
            out->wanted++;
            continue;
        }
        const uint8_t *hash = sqlite3_column_blob(s, 2);
        if (strcmp(state, "fetched") != 0 || !sqlite3_column_int(s, 1) || !hash ||
            sqlite3_column_bytes(s, 2) != WM_PICTURE_HASH ||
            !wm_shelf_holds(shelf, hash, sqlite3_column_int64(s, 3))) {
            out->failed++;
            continue;
        }
        if (!add_picture(shelf, &out->pictures, &out->n, hash, sqlite3_column_int(s, 4),
                         sqlite3_column_int(s, 5))) {
            sqlite3_reset(s);
            wm_media_pictures_free(out->pictures, out->n);
            return false;
        }
    }
    return true;
}

void *wm_media_pack_new(const struct wm_picture *pictures, size_t n)
{
    uint8_t *packed = n ? malloc(n * WM_MEDIA_KEPT_BYTES) : NULL;
    for (size_t i = 0; packed && i < n; i++) {
        uint8_t *at = packed + i * WM_MEDIA_KEPT_BYTES;
        memcpy(at, pictures[i].hash, WM_PICTURE_HASH);
        memcpy(at + WM_PICTURE_HASH, &pictures[i].rows, sizeof(int32_t));
        memcpy(at + WM_PICTURE_HASH + sizeof(int32_t), &pictures[i].cols, sizeof(int32_t));
    }
    return packed;
}

bool wm_media_unpack(const struct wm_shelf *shelf, const void *packed, size_t bytes,
                     struct wm_picture **pictures, size_t *n)
{
    *pictures = NULL;
    *n = 0;
    for (size_t i = 0; i < bytes / WM_MEDIA_KEPT_BYTES; i++) {
        const uint8_t *at = (const uint8_t *)packed + i * WM_MEDIA_KEPT_BYTES;
        int32_t grid[2];
        memcpy(grid, at + WM_PICTURE_HASH, sizeof grid);
        if (!wm_shelf_holds(shelf, at, -1) || !add_picture(shelf, pictures, n, at, grid[0], grid[1])) {
            wm_media_pictures_free(*pictures, *n);
            *pictures = NULL;
            *n = 0;
            return false;
        }
    }
    return true;
}
