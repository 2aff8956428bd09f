/* db.h -- SQLite as this folder uses it: statements are written where they are used, prepared once and kept; the first
 * failure is kept too, and everything after it does nothing until it is cleared. One owner thread at a time.
 */
#ifndef WM_SESSIONS_DB_H
#define WM_SESSIONS_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

enum { WM_DB_STATEMENTS = 256 }; /* a power of two, well above the number of statements in this folder */

struct wm_db {
    sqlite3 *sql; /* NULL while closed */
    struct {
        const char *text; /* the literal's address is its name */
        sqlite3_stmt *statement;
    } kept[WM_DB_STATEMENTS];
    int code; /* SQLite's code of the first failure; SQLITE_OK without one */
    struct wm_error error;
};

/* Opens the file with SQLite's open flags. On failure nothing stays open. */
enum wm_status wm_db_open(struct wm_db *db, const char *path, int flags, struct wm_error *err);
void wm_db_close(struct wm_db *db); /* a closed one is fine */

/* `sql` must be a literal. `types` has a letter per parameter: i (int64_t), t (const char *, NULL is NULL), b (const
 * void * and size_t). The values must live until the statement has been stepped for the last time.
 * Runs to the end, for statements without rows. */
void wm_db_do(struct wm_db *db, const char *sql, const char *types, ...);

/* The statement, bound and before its first row; NULL after a failure. */
sqlite3_stmt *wm_db_ask(struct wm_db *db, const char *sql, const char *types, ...);
/* Steps: true with a row. False at the end or after a failure. NULL is fine. */
bool wm_db_row(struct wm_db *db, sqlite3_stmt *statement);

/* One number: the first column of the first row, or `otherwise`. */
int64_t wm_db_number(struct wm_db *db, int64_t otherwise, const char *sql, const char *types, ...);

/* A column as text that lives until the next step; NULL for NULL. */
const char *wm_db_text(sqlite3_stmt *statement, int column);
/* The same, malloc'd; NULL for NULL or without memory. */
char *wm_db_text_new(sqlite3_stmt *statement, int column);

/* Rows that the last wm_db_do changed. */
int wm_db_changes(const struct wm_db *db);

/* Resets every statement, so that no read stays open. At the end of each transaction or question. */
void wm_db_rest(struct wm_db *db);

/* WM_OK, or the first failure with its sentence. */
enum wm_status wm_db_status(const struct wm_db *db, struct wm_error *err);
void wm_db_clear(struct wm_db *db);
/* True when the failure is of the statement itself (a broken rule), not of disk or memory: repeating cannot help. */
bool wm_db_hopeless(const struct wm_db *db);

#endif
