/* db.c -- see db.h. A table keyed by the address of the SQL literal keeps the statements: two literals of equal text
 * cost a second statement and nothing else.
 */
#include "sessions/db.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 10000 }; /* another connection's lock: only `wingman` commands beside the daemon hold one */

enum wm_status wm_db_open(struct wm_db *db, const char *path, int flags, struct wm_error *err)
{
    memset(db, 0, sizeof *db);
    if (sqlite3_open_v2(path, &db->sql, flags, NULL) != SQLITE_OK) {
        enum wm_status st = wm_fail(err, WM_EIO, "cannot open %s: %s", path,
                                    db->sql ? sqlite3_errmsg(db->sql) : "out of memory");
        sqlite3_close(db->sql);
        db->sql = NULL;
        return st;
    }
    sqlite3_extended_result_codes(db->sql, 1);
    sqlite3_busy_timeout(db->sql, BUSY_MS);
    return WM_OK;
}

void wm_db_close(struct wm_db *db)
{
    for (int i = 0; i < WM_DB_STATEMENTS; i++)
        sqlite3_finalize(db->kept[i].statement);
    sqlite3_close(db->sql);
    memset(db, 0, sizeof *db);
}

static void note(struct wm_db *db, int code, const char *sql)
{
    if (db->code != SQLITE_OK)
        return;
    db->code = code;
    db->error = (struct wm_error)WM_ERROR_INIT;
    wm_fail(&db->error, WM_EIO, "the store failed (%s, code %d) at: %.160s", sqlite3_errmsg(db->sql), code,
            sql);
}

/* The place of `sql` in the table: its own, or the free one where it goes. */
static size_t slot_of(const struct wm_db *db, const char *sql)
{
    size_t at = ((uintptr_t)sql * UINT64_C(0x9E3779B97F4A7C15)) >> 40;
    for (at &= WM_DB_STATEMENTS - 1; db->kept[at].text && db->kept[at].text != sql;)
        at = (at + 1) & (WM_DB_STATEMENTS - 1);
    return at;
}

static sqlite3_stmt *statement(struct wm_db *db, const char *sql)
{
    if (db->code != SQLITE_OK)
        return NULL;
    size_t at = slot_of(db, sql);
    if (!db->kept[at].text) {
        int code =
            sqlite3_prepare_v3(db->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, &db->kept[at].statement, NULL);
        if (code != SQLITE_OK) {
            note(db, code, sql);
            return NULL;
        }
        db->kept[at].text = sql;
    }
    sqlite3_reset(db->kept[at].statement);
    return db->kept[at].statement;
}

static sqlite3_stmt *bound(struct wm_db *db, const char *sql, const char *types, va_list args)
{
    sqlite3_stmt *s = statement(db, sql);
    if (!s)
        return NULL;
    int code = SQLITE_OK;
    for (int i = 0; types[i] && code == SQLITE_OK; i++) {
        if (types[i] == 'i') {
            code = sqlite3_bind_int64(s, i + 1, va_arg(args, int64_t));
        } else if (types[i] == 't') {
            code = sqlite3_bind_text(s, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
        } else {
            const void *bytes = va_arg(args, const void *);
            size_t len = va_arg(args, size_t);
            code = sqlite3_bind_blob64(s, i + 1, bytes, len, SQLITE_STATIC);
        }
    }
    if (code != SQLITE_OK) {
        note(db, code, sql);
        return NULL;
    }
    return s;
}

bool wm_db_row(struct wm_db *db, sqlite3_stmt *s)
{
    if (!s || db->code != SQLITE_OK)
        return false;
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        note(db, code, sqlite3_sql(s));
    sqlite3_reset(s);
    return false;
}

sqlite3_stmt *wm_db_ask(struct wm_db *db, const char *sql, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    sqlite3_stmt *s = bound(db, sql, types, args);
    va_end(args);
    return s;
}

void wm_db_do(struct wm_db *db, const char *sql, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    sqlite3_stmt *s = bound(db, sql, types, args);
    va_end(args);
    while (wm_db_row(db, s))
        ;
}

int64_t wm_db_number(struct wm_db *db, int64_t otherwise, const char *sql, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    sqlite3_stmt *s = bound(db, sql, types, args);
    va_end(args);
    if (!wm_db_row(db, s))
        return otherwise;
    int64_t number = sqlite3_column_type(s, 0) == SQLITE_NULL ? otherwise : sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return number;
}

const char *wm_db_text(sqlite3_stmt *s, int column)
{
    return (const char *)sqlite3_column_text(s, column);
}

char *wm_db_text_new(sqlite3_stmt *s, int column)
{
    const char *text = wm_db_text(s, column);
    return text ? strdup(text) : NULL;
}

int wm_db_changes(const struct wm_db *db)
{
    return db->code == SQLITE_OK ? sqlite3_changes(db->sql) : 0;
}

void wm_db_rest(struct wm_db *db)
{
    for (int i = 0; i < WM_DB_STATEMENTS; i++)
        if (db->kept[i].statement)
            sqlite3_reset(db->kept[i].statement);
}

enum wm_status wm_db_status(const struct wm_db *db, struct wm_error *err)
{
    if (db->code == SQLITE_OK)
        return WM_OK;
    return wm_fail(err, WM_EIO, "%s", db->error.text);
}

void wm_db_clear(struct wm_db *db)
{
    db->code = SQLITE_OK;
    db->error = (struct wm_error)WM_ERROR_INIT;
}

bool wm_db_hopeless(const struct wm_db *db)
{
    switch (db->code & 0xff) {
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_MISUSE:
        return true;
    default:
        return false;
    }
}
