/* inbox.c -- see inbox.h.
 *
 * Processed bodies stay for a day, as long as they take less than KEEP_BYTES: to look at when a platform says one
 * thing and our events another. What could not be parsed does not depend on this: it lives on as an event.
 */
#include "sessions/inbox.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEEP_MS = 24 * 3600 * 1000,
    KEEP_BYTES = 512 << 20,
    PRUNE_ROWS = 256,    /* of one step: about a millisecond */
    PAGE_BYTES = 4 << 20 /* a page of bodies ends behind this many */
};

int64_t wm_channel_row(struct wm_db *db, const char *name)
{
    int64_t id = wm_db_number(db, 0, "SELECT id FROM channels WHERE name = ?", "t", name);
    if (id == 0 && db->code == SQLITE_OK) {
        wm_db_do(db, "INSERT INTO channels(name) VALUES(?)", "t", name);
        id = sqlite3_last_insert_rowid(db->sql);
    }
    return id;
}

int64_t wm_inbox_watermark(struct wm_db *db)
{
    return wm_db_number(db, 0, "SELECT value FROM meta WHERE key = 'watermark'", "");
}

void wm_inbox_set_watermark(struct wm_db *db, int64_t id)
{
    wm_db_do(db, "UPDATE meta SET value = ? WHERE key = 'watermark'", "i", id);
}

struct wm_inbox wm_inbox_end(struct wm_db *db)
{
    struct wm_inbox inbox = {0};
    sqlite3_stmt *s = wm_db_ask(db, "SELECT id, upto FROM inbox ORDER BY id DESC LIMIT 1", "");
    if (wm_db_row(db, s)) {
        inbox.last_id = sqlite3_column_int64(s, 0);
        inbox.upto = sqlite3_column_int64(s, 1);
    }
    int64_t watermark = wm_inbox_watermark(db); /* pruned to the last row: ids still go on */
    if (inbox.last_id < watermark)
        inbox.last_id = watermark;
    wm_db_rest(db);
    return inbox;
}

void wm_inbox_append(struct wm_db *db, struct wm_inbox *inbox, struct wm_body *body)
{
    int64_t channel = wm_channel_row(db, body->channel);
    body->id = ++inbox->last_id;
    inbox->upto += (int64_t)body->len;
    wm_db_do(db, "INSERT INTO inbox(id, channel, arrived_ms, upto, body) VALUES(?, ?, ?, ?, ?)", "iiiib",
             body->id, channel, body->arrived_ms, inbox->upto, body->bytes, body->len);
}

static struct wm_body *body_of(sqlite3_stmt *s)
{
    int len = sqlite3_column_bytes(s, 3);
    const void *bytes = sqlite3_column_blob(s, 3);
    char *copy = malloc((size_t)len + 1);
    if (!copy)
        return NULL;
    if (len > 0)
        memcpy(copy, bytes, (size_t)len);
    copy[len] = '\0';
    const char *name = wm_db_text(s, 1);
    struct wm_body *body = wm_body_new(name ? name : "", copy, (size_t)len);
    if (!body) {
        free(copy);
        return NULL;
    }
    body->id = sqlite3_column_int64(s, 0);
    body->arrived_ms = sqlite3_column_int64(s, 2);
    return body;
}

size_t wm_inbox_page(struct wm_db *db, int64_t after, struct wm_body **out, size_t max)
{
    size_t n = 0, bytes = 0;
    sqlite3_stmt *s =
        wm_db_ask(db,
                  "SELECT inbox.id, channels.name, arrived_ms, body FROM inbox"
                  " JOIN channels ON channels.id = inbox.channel WHERE inbox.id > ? ORDER BY inbox.id",
                  "i", after);
    while (n < max && bytes < PAGE_BYTES && wm_db_row(db, s)) {
        struct wm_body *body = body_of(s);
        if (!body)
            break; /* a shorter page; the next one begins here */
        bytes += body->len;
        out[n++] = body;
    }
    return n;
}

bool wm_inbox_prune(struct wm_db *db, int64_t now_ms)
{
    int64_t first = wm_db_number(db, 0, "SELECT min(id) FROM inbox", "");
    int64_t end =
        wm_db_number(db, 0, "SELECT max(upto) FROM inbox WHERE id = (SELECT max(id) FROM inbox)", "");
    wm_db_do(
        db,
        "DELETE FROM inbox WHERE id >= ?1 AND id < ?1 + ?2 AND id <= ?3 AND (arrived_ms < ?4 OR upto < ?5)",
        "iiiii", first, (int64_t)PRUNE_ROWS, wm_inbox_watermark(db), now_ms - KEEP_MS, end - KEEP_BYTES);
    return wm_db_changes(db) == PRUNE_ROWS;
}
