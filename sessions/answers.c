/* answers.c -- see answers.h. The forms are pinned: consoles and scripts are built on them. What a platform did not say
 * is null; times are Unix milliseconds unless they are the platform's own literal (`timestamp`).
 */
#include "sessions/answers.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"
#include "kernels/base/utf8.h"

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 1000,
    RECENT_EVENTS = 20000, /* that the list of recent conversations looks back on */
    TURN_ROWS = 1000,
    EXCERPT_BYTES = 1000
};

static json_t *text_of(sqlite3_stmt *s, int column)
{
    const char *text = wm_db_text(s, column);
    json_t *value = text ? json_string(text) : NULL;
    return value ? value : json_null();
}

static json_t *number_of(sqlite3_stmt *s, int column)
{
    return sqlite3_column_type(s, column) == SQLITE_NULL ? json_null()
                                                         : json_integer(sqlite3_column_int64(s, column));
}

/* Names and columns side by side, from column `first` on: t text, i number. */
static void set_columns(json_t *o, sqlite3_stmt *s, int first, const char *types, const char *const *names)
{
    for (int i = 0; types[i]; i++)
        json_object_set_new(o, names[i], types[i] == 't' ? text_of(s, first + i) : number_of(s, first + i));
}

/* --- events --------------------------------------------------------------------------------------------------- */

/* The beginning of a body that could not be parsed, fit for a page: whatever is not UTF-8 is replaced. */
static json_t *excerpt(sqlite3_stmt *s, int column)
{
    const char *bytes = sqlite3_column_blob(s, column);
    size_t len = (size_t)sqlite3_column_bytes(s, column);
    struct wm_buffer text = WM_BUFFER(4 * EXCERPT_BYTES);
    wm_utf8_sanitize(&text, bytes ? bytes : "", len < EXCERPT_BYTES ? len : EXCERPT_BYTES);
    json_t *value = json_stringn(text.data ? text.data : "", text.len);
    wm_buffer_free(&text);
    return value ? value : json_null();
}

static json_t *media_of(sqlite3_stmt *s, int column)
{
    const char *text = wm_db_text(s, column);
    json_t *list = text ? json_loads(text, 0, NULL) : NULL;
    return list ? list : json_array();
}

static json_t *events(struct wm_db *db, const struct wm_question *q, int64_t limit)
{
    static const char *const names[] = {"seq",    "channel",   "account", "kind",    "id",
                                        "sender", "name",      "text",    "payload", "target",
                                        "field",  "timestamp", "status",  "ref",     "conversation"};
    enum { MEDIA = sizeof names / sizeof *names, KIND = 3 };
    json_t *list = json_array();
    int64_t next = q->after;
    sqlite3_stmt *s = wm_db_ask(
        db,
        "SELECT seq, channels.name, nullif(account, ''), kind, events.id, sender, events.name, text, "
        "payload, target,"
        " field, timestamp, status, ref, conversation, media, error_text, error_code, body"
        " FROM events JOIN channels ON channels.id = events.channel WHERE seq > ? ORDER BY seq LIMIT ?",
        "ii", q->after, limit);
    while (wm_db_row(db, s)) {
        json_t *e = json_object();
        set_columns(e, s, 0, "ittttttttttttti", names);
        json_object_set_new(e, "media", media_of(s, MEDIA));
        json_object_set_new(e, "error", text_of(s, MEDIA + 1));
        json_object_set_new(e, "error_code", number_of(s, MEDIA + 2));
        if (strcmp(wm_db_text(s, KIND), "unparsed") == 0)
            json_object_set_new(e, "body", excerpt(s, MEDIA + 3));
        next = sqlite3_column_int64(s, 0);
        json_array_append_new(list, e);
    }
    return json_pack("{s:o, s:I}", "events", list, "next", (json_int_t)next);
}

/* --- conversations -------------------------------------------------------------------------------------------- */

/* What a conversation is doing, as far as the store tells: the director's phases from the rows that cause them. */
#define STATE_COLUMNS                                                                                        \
    "c.id, channels.name, c.account, c.contact, c.name, c.last_user_ms, c.turns, c.stopped, "                \
    "c.human_until_ms,"                                                                                      \
    " EXISTS(SELECT 1 FROM transcript WHERE conversation = c.id AND turn IS NULL AND silent = 0) AS waits,"  \
    " EXISTS(SELECT 1 FROM outbox WHERE conversation = c.id AND state IN ('queued', 'sending', 'unknown')"   \
    " AND NOT (state = 'unknown' AND unknown_ms IS NULL)) AS goes,"                                          \
    " EXISTS(SELECT 1 FROM transcript JOIN row_media ON row_media.row = transcript.id"                       \
    " JOIN media ON media.id = row_media.media WHERE conversation = c.id AND turn IS NULL AND silent = 0"    \
    " AND media.state = 'wanted') AS gathers"

static json_t *conversation_head(sqlite3_stmt *s)
{
    static const char *const names[] = {"id",   "channel",         "account",   "contact",
                                        "name", "last_message_at", "turn_count"};
    json_t *c = json_object();
    set_columns(c, s, 0, "ittttii", names);
    int64_t now = wm_wall_ms();
    json_object_set_new(c, "stopped", json_boolean(sqlite3_column_int(s, 7)));
    json_object_set_new(c, "human", json_boolean(sqlite3_column_int64(s, 8) > now));
    const char *state = sqlite3_column_int(s, 10)   ? "delivering"
                        : sqlite3_column_int(s, 11) ? "gathering" /* its pictures are on their way */
                        : sqlite3_column_int(s, 9)  ? "thinking"
                                                    : "idle";
    json_object_set_new(c, "state", json_string(state));
    return c;
}

static json_t *conversations(struct wm_db *db, const struct wm_question *q, int64_t limit)
{
    json_t *list = json_array();
    sqlite3_stmt *s =
        q->contact[0]
            ? wm_db_ask(db,
                        "SELECT " STATE_COLUMNS
                        " FROM conversations AS c JOIN channels ON channels.id = c.channel"
                        " WHERE c.id IN (SELECT conversation FROM aliases WHERE alias = ?) ORDER BY c.id "
                        "DESC LIMIT ?",
                        "ti", q->contact, limit)
            : wm_db_ask(
                  db,
                  "SELECT " STATE_COLUMNS " FROM (SELECT conversation AS id, max(seq) AS seq FROM"
                  " (SELECT conversation, seq FROM events ORDER BY seq DESC LIMIT ?)"
                  " WHERE conversation IS NOT NULL GROUP BY conversation ORDER BY max(seq) DESC LIMIT ?) AS "
                  "recent"
                  " JOIN conversations AS c ON c.id = recent.id JOIN channels ON channels.id = c.channel"
                  " ORDER BY recent.seq DESC",
                  "ii", (int64_t)RECENT_EVENTS, limit);
    while (wm_db_row(db, s))
        json_array_append_new(list, conversation_head(s));
    return json_pack("{s:o}", "conversations", list);
}

/* --- one conversation ----------------------------------------------------------------------------------------- */

static json_t *usage_of(sqlite3_stmt *s, int first)
{
    static const char *const names[] = {"prompt_tokens", "cached_tokens", "completion_tokens",
                                        "first_token_ms"};
    if (sqlite3_column_type(s, first) == SQLITE_NULL)
        return json_null();
    json_t *usage = json_object();
    set_columns(usage, s, first, "iiii", names);
    return usage;
}

/* The pictures of one row of the transcript, as far as they came; NULL without any. */
static json_t *pictures(struct wm_db *db, int64_t row)
{
    json_t *list = NULL;
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT lower(hex(sha256)), mime, bytes FROM row_media JOIN media"
                                " ON media.id = row_media.media WHERE row = ? AND state = 'fetched'"
                                " ORDER BY place",
                                "i", row);
    static const char *const names[] = {"sha256", "mime", "bytes"};
    while (wm_db_row(db, s)) {
        json_t *picture = json_pack("{s:s}", "type", "picture");
        set_columns(picture, s, 0, "tti", names);
        if (!list)
            list = json_array();
        json_array_append_new(list, picture);
    }
    return list;
}

static json_t *turns(struct wm_db *db, int64_t id)
{
    static const char *const names[] = {"role", "text", "at", "turn", "kind"};
    json_t *list = json_array();
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT role, CASE WHEN pictures IS NULL THEN text ELSE"
                                " coalesce((SELECT text FROM events WHERE seq = event), '') END,"
                                " at_ms, turn, kind, prompt_tokens, cached_tokens, "
                                "completion_tokens, first_token_ms, id FROM"
                                " (SELECT *, turn IS NULL AS waits FROM transcript WHERE conversation = ?"
                                "  ORDER BY waits DESC, turn DESC, place DESC, at_ms DESC, id DESC LIMIT ?)"
                                " ORDER BY waits, turn, place, at_ms, id",
                                "ii", id, (int64_t)TURN_ROWS);
    while (wm_db_row(db, s)) {
        json_t *turn = json_object();
        set_columns(turn, s, 0, "ttiit", names);
        json_object_set_new(turn, "usage", usage_of(s, 5));
        json_t *media = pictures(db, sqlite3_column_int64(s, 9));
        if (media)
            json_object_set_new(turn, "media", media);
        json_array_append_new(list, turn);
    }
    return list;
}

static json_t *outbox(struct wm_db *db, int64_t id)
{
    static const char *const delivery[] = {"none", "sent", "delivered", "read", "played", "failed"};
    static const char *const names[] = {"id",          "turn",     "part", "state", "text",
                                        "platform_id", "attempts", "at",   "error", "code"};
    json_t *list = json_array();
    sqlite3_stmt *s =
        wm_db_ask(db,
                  "SELECT * FROM (SELECT id, turn, part, state, text, platform_id, attempts, created_ms,"
                  " error, code, delivery FROM outbox WHERE conversation = ? ORDER BY id DESC LIMIT ?)"
                  " ORDER BY id",
                  "ii", id, (int64_t)TURN_ROWS);
    while (wm_db_row(db, s)) {
        json_t *row = json_object();
        set_columns(row, s, 0, "iiitttiiti", names);
        size_t at = (size_t)sqlite3_column_int64(s, 10);
        json_object_set_new(row, "delivery",
                            json_string(at < sizeof delivery / sizeof *delivery ? delivery[at] : "none"));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *conversation(struct wm_db *db, const struct wm_question *q, struct wm_brains *brains,
                            struct wm_error *err)
{
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT " STATE_COLUMNS " FROM conversations AS c"
                                " JOIN channels ON channels.id = c.channel WHERE c.id = ?",
                                "i", q->id);
    if (!wm_db_row(db, s)) {
        wm_fail(err, WM_ENOENT, "there is no conversation %lld", (long long)q->id);
        return NULL;
    }
    json_t *c = conversation_head(s);
    struct wm_kv_bytes kv = {0};
    if (brains)
        kv = wm_brains_kv_of(brains, (uint64_t)q->id);
    json_object_set_new(c, "turns", turns(db, q->id));
    json_object_set_new(c, "outbox", outbox(db, q->id));
    json_object_set_new(c, "kv",
                        json_pack("{s:I, s:I, s:I}", "device", (json_int_t)kv.device, "host",
                                  (json_int_t)kv.host, "disk", (json_int_t)kv.disk));
    return c;
}

char *wm_answer_new(struct wm_db *db, const struct wm_question *q, struct wm_brains *brains,
                    struct wm_error *err)
{
    int64_t limit = q->limit == 0 ? LIMIT_DEFAULT : q->limit;
    if (limit < 1 || limit > LIMIT_MAX) {
        wm_fail(err, WM_EINVAL, "limit is %lld: it must be from 1 to %d", (long long)q->limit, LIMIT_MAX);
        return NULL;
    }
    json_t *root = NULL;
    switch (q->kind) {
    case WM_ASK_EVENTS:
        root = events(db, q, limit);
        break;
    case WM_ASK_CONVERSATIONS:
        root = conversations(db, q, limit);
        break;
    case WM_ASK_CONVERSATION:
        root = conversation(db, q, brains, err);
        break;
    }
    wm_db_status(db, err);
    char *text = root && db->code == SQLITE_OK ? json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(root);
    if (!text)
        wm_fail(err, WM_ENOMEM, "no memory for the answer");
    return text;
}
