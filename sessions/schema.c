/* schema.c -- the tables of the store.
 *
 * WHY     The inbox takes what the platforms send; everything else is derived from it and is what wingman promises
 *         to remember.
 *
 *           inbox --record--> events (each happening once)
 *                             conversations, aliases (who)
 *                             transcript (what the model sees; turn NULL: waits for its turn)
 *                             media, row_media (the pictures in it, and the queue of those to be fetched)
 *                             outbox (what goes out)
 *
 * HOW     user_version counts the steps below; a store at step n runs the steps after it, each in a transaction. A step
 *         is never edited once released: add another.
 *
 * ALWAYS  (1) inbox has no index but its rowid: an acknowledgement costs one append.
 *         (2) events_once is the promise "a repeat is a no-op".
 *         (3) transcript_one_reply is the promise "one reply per turn"; the code never relies on catching it.
 */
#include "sessions/schema.h"

static const char *const steps[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "INSERT INTO meta VALUES('watermark', 0), ('store', lower(hex(randomblob(4))));" /* store: part of our references */

    "CREATE TABLE channels(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"

    /* upto: bytes of all bodies up to and with this one, so that the first and the last row tell the size */
    "CREATE TABLE inbox(id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, arrived_ms INTEGER NOT NULL,"
    " upto INTEGER NOT NULL, body BLOB NOT NULL);"

    "CREATE TABLE conversations(id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, account TEXT NOT NULL,"
    " contact TEXT NOT NULL, name TEXT,"
    " last_user_ms INTEGER NOT NULL DEFAULT 0," /* event time of the person's last message: the service window */
    " human_until_ms INTEGER NOT NULL DEFAULT 0,"
    " stopped INTEGER NOT NULL DEFAULT 0,"
    " turns INTEGER NOT NULL DEFAULT 0,"
    " cut INTEGER NOT NULL DEFAULT 0," /* turns up to this one have left the context */
    " fingerprint TEXT);"              /* of the model that the stored tokens are for */

    "CREATE TABLE aliases(channel INTEGER NOT NULL, account TEXT NOT NULL, alias TEXT NOT NULL,"
    " conversation INTEGER NOT NULL, PRIMARY KEY(channel, account, alias)) WITHOUT ROWID;"
    "CREATE INDEX aliases_name ON aliases(alias);"
    "CREATE INDEX aliases_conversation ON aliases(conversation);"

    "CREATE TABLE events(seq INTEGER PRIMARY KEY, channel INTEGER NOT NULL, account TEXT NOT NULL,"
    " key TEXT NOT NULL, kind TEXT NOT NULL, id TEXT, sender TEXT, name TEXT, text TEXT, payload TEXT,"
    " media TEXT," /* a JSON array of strings */
    " mime TEXT, target TEXT, field TEXT, timestamp TEXT, at_ms INTEGER NOT NULL, arrived_ms INTEGER NOT "
    "NULL,"
    " status TEXT, ref TEXT, error_code INTEGER, error_text TEXT, conversation INTEGER, body BLOB);"
    "CREATE UNIQUE INDEX events_once ON events(channel, account, key);"

    /* role: user, assistant, person (of the business, seen as an echo). silent: asks for no turn of its own. */
    "CREATE TABLE transcript(id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, turn INTEGER, place "
    "INTEGER,"
    " role TEXT NOT NULL, silent INTEGER NOT NULL, event INTEGER, kind TEXT, text TEXT NOT NULL,"
    " at_ms INTEGER NOT NULL, arrived_ms INTEGER NOT NULL, tokens BLOB,"
    " prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, first_token_ms INTEGER);"
    "CREATE INDEX transcript_order ON transcript(conversation, turn, place);"
    "CREATE INDEX transcript_waiting ON transcript(conversation) WHERE turn IS NULL AND silent = 0;"
    "CREATE UNIQUE INDEX transcript_one_reply ON transcript(conversation, turn) WHERE role = 'assistant';"

    "CREATE TABLE outbox(id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, turn INTEGER NOT NULL,"
    " part INTEGER NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL, platform_id TEXT,"
    " delivery INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL,"
    " sending_ms INTEGER, unknown_ms INTEGER, error TEXT, code INTEGER);"
    "CREATE INDEX outbox_conversation ON outbox(conversation, id);"
    "CREATE INDEX outbox_open ON outbox(conversation, id) WHERE state IN ('queued', 'sending', 'unknown');"
    "CREATE INDEX outbox_platform ON outbox(platform_id) WHERE platform_id IS NOT NULL;",

    /* pictures: state is wanted, fetched, failed; the grid is the one that the model of that fingerprint cuts it into */
    "CREATE TABLE media(id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, platform_id TEXT NOT NULL,"
    " state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, wanted_ms INTEGER NOT NULL,"
    " next_ms INTEGER NOT NULL DEFAULT 0," /* no attempt earlier */
    " sha256 BLOB, mime TEXT, bytes INTEGER, rows INTEGER, cols INTEGER, fingerprint TEXT, error TEXT);"
    "CREATE UNIQUE INDEX media_once ON media(channel, platform_id);"
    "CREATE INDEX media_wanted ON media(next_ms, id) WHERE state = 'wanted';"
    "CREATE TABLE row_media(row INTEGER NOT NULL, place INTEGER NOT NULL, media INTEGER NOT NULL,"
    " PRIMARY KEY(row, place)) WITHOUT ROWID;"
    "CREATE INDEX row_media_of ON row_media(media);"
    "ALTER TABLE transcript ADD COLUMN pictures BLOB;", /* whose slots `tokens` holds: media_rows.h */
};

enum { VERSION = sizeof steps / sizeof *steps };

static enum wm_status script(struct wm_db *db, const char *sql, struct wm_error *err)
{
    char *why = NULL;
    if (sqlite3_exec(db->sql, sql, NULL, NULL, &why) == SQLITE_OK)
        return WM_OK;
    enum wm_status st = wm_fail(err, WM_EIO, "cannot prepare the store %s: %s",
                                sqlite3_db_filename(db->sql, "main"), why ? why : sqlite3_errmsg(db->sql));
    sqlite3_free(why);
    return st;
}

static int64_t version_of(struct wm_db *db)
{
    return wm_db_number(db, -1, "PRAGMA user_version", "");
}

static enum wm_status foreign(struct wm_db *db, int64_t version, struct wm_error *err)
{
    if (version < 0)
        return wm_fail(err, WM_EFORMAT,
                       "%s cannot be read: %s; put back a backup, or move it away to begin anew",
                       sqlite3_db_filename(db->sql, "main"), db->error.text);
    return wm_fail(err, WM_EFORMAT,
                   "the store %s has version %lld and this wingman knows %d: use a newer wingman",
                   sqlite3_db_filename(db->sql, "main"), (long long)version, VERSION);
}

static enum wm_status migrate(struct wm_db *db, int64_t from, struct wm_error *err)
{
    for (int64_t v = from; v < VERSION; v++) {
        char mark[64];
        sqlite3_snprintf(sizeof mark, mark, "PRAGMA user_version = %lld;", (long long)v + 1);
        enum wm_status st = script(db, "BEGIN IMMEDIATE", err);
        if (st == WM_OK)
            st = script(db, steps[v], err);
        if (st == WM_OK)
            st = script(db, mark, err);
        if (st == WM_OK)
            st = script(db, "COMMIT", err);
        if (st != WM_OK) {
            if (!sqlite3_get_autocommit(db->sql))
                sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
            return st;
        }
    }
    return WM_OK;
}

enum wm_status wm_schema_prepare(struct wm_db *db, struct wm_error *err)
{
    enum wm_status st =
        script(db,
               "PRAGMA journal_mode = WAL;"
               "PRAGMA synchronous = FULL;"
               "PRAGMA wal_autocheckpoint = 0;" /* checkpoint.c does it, off this connection */
               "PRAGMA journal_size_limit = 67108864;"
               "PRAGMA temp_store = MEMORY;"
               "PRAGMA cache_size = -16384;",
               err);
    if (st != WM_OK)
        return st;
    int64_t version = version_of(db);
    if (version < 0 || version > VERSION)
        return foreign(db, version, err);
    return migrate(db, version, err);
}

enum wm_status wm_schema_open_reader(struct wm_db *db, const char *path, struct wm_error *err)
{
    enum wm_status st = wm_db_open(db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, err);
    if (st != WM_OK)
        return st;
    st = script(db, "PRAGMA query_only = 1; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -4096;", err);
    int64_t version = st == WM_OK ? version_of(db) : 0;
    if (st == WM_OK && version != VERSION)
        st = foreign(db, version, err);
    wm_db_rest(db);
    if (st != WM_OK)
        wm_db_close(db);
    return st;
}
