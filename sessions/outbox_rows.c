/* outbox_rows.c -- the outbox on disk.
 *
 * WHY     A reply must arrive once. Between "the call left" and "the answer is on disk" the process may die or the
 *         answer may be lost, and no platform of ours takes an idempotency key.
 *
 * HOW     Five states, each step on disk before what it permits:
 *
 *           queued --claim--> sending --accepted--> sent
 *             ^                  |--refused-------> failed
 *             |--not accepted----|
 *             |                  |--answer lost, crash--> unknown --status--> sent | failed
 *             +------------------------- silence --------------+
 *
 *         Every call carries our reference, and the platform gives it back in the statuses of every message that it
 *         has accepted. So an `unknown` row is settled by a status. And if none comes while we could be reached, for
 *         longer than the platform takes to report or to redeliver what we missed, then it never accepted the call,
 *         and only then is the row sent again. Redelivery backs off in proportion to the outage, hence twice the time
 *         during which we may have been away. Where statuses carry no reference, silence proves nothing and the row
 *         stays `unknown`.
 *
 * ALWAYS  (1) The reference names the row, not the attempt: a late status of any attempt settles it.
 *         (2) sent and failed are left only by a status that the platform sends: delivered, read, failed after all.
 *         (3) A claim looks at opt-out, takeover and window inside its own transaction: what was committed before it
 *             counts.
 */
#include "sessions/outbox_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_MARGIN_MS = 5 * 60 * 1000, /* a call may take its time, and clocks differ */
    GIVE_UP_MS = 24 * 3600 * 1000     /* no part is sent later than this after it was written */
};

/* Word for word the condition of the index outbox_open, so that SQLite may use it: the open rows are few. */
#define OPEN "state IN ('queued', 'sending', 'unknown')"

void wm_outbox_ref(char out[WM_REF_BYTES], const char *store, int64_t row)
{
    snprintf(out, WM_REF_BYTES, WM_REF_PREFIX "%s:%lld", store, (long long)row);
}

void wm_outbox_insert(struct wm_db *db, int64_t conversation, int64_t turn, int64_t part, const char *text,
                      size_t len, int64_t now_ms)
{
    wm_db_do(db,
             "INSERT INTO outbox(conversation, turn, part, state, text, created_ms)"
             " VALUES(?, ?, ?, 'queued', CAST(? AS TEXT), ?)",
             "iiibi", conversation, turn, part, text, len, now_ms);
}

/* "wm:STORE:ROW" of this very store; 0 for anything else. */
static int64_t row_of_ref(struct wm_db *db, const char *ref)
{
    if (!ref || strncmp(ref, WM_REF_PREFIX, strlen(WM_REF_PREFIX)) != 0)
        return 0;
    const char *row = strrchr(ref, ':') + 1;
    char *end;
    long long id = strtoll(row, &end, 10);
    if (id <= 0 || *end)
        return 0;
    char ours[WM_REF_BYTES];
    sqlite3_stmt *s = wm_db_ask(db, "SELECT value FROM meta WHERE key = 'store'", "");
    if (!wm_db_row(db, s))
        return 0;
    wm_outbox_ref(ours, wm_db_text(s, 0), id);
    sqlite3_reset(s);
    return strcmp(ours, ref) == 0 ? id : 0;
}

int64_t wm_outbox_find(struct wm_db *db, const char *ref, const char *platform_id)
{
    int64_t row = row_of_ref(db, ref);
    if (!row && platform_id)
        row = wm_db_number(db, 0, "SELECT id FROM outbox WHERE platform_id = ?", "t", platform_id);
    return row;
}

struct wm_outbox_change wm_outbox_status(struct wm_db *db, const struct wm_event *e)
{
    struct wm_outbox_change change = {0};
    int64_t row = wm_outbox_find(db, e->ref, e->id);
    sqlite3_stmt *s =
        row ? wm_db_ask(db, "SELECT conversation, state FROM outbox WHERE id = ?", "i", row) : NULL;
    if (!wm_db_row(db, s))
        return change;
    change.conversation = sqlite3_column_int64(s, 0);
    const char *state = wm_db_text(s, 1);
    bool failed = e->delivery == WM_DELIVERY_FAILED;
    bool open = strcmp(state, "sent") != 0 && strcmp(state, "failed") != 0;
    bool fails = failed && strcmp(state, "failed") != 0;
    change.was_unknown = strcmp(state, "unknown") == 0;
    sqlite3_reset(s);
    wm_db_do(
        db,
        "UPDATE outbox SET delivery = max(delivery, ?), platform_id = coalesce(platform_id, ?) WHERE id = ?",
        "iti", (int64_t)e->delivery, e->id, row);
    if (fails)
        wm_db_do(db, "UPDATE outbox SET state = 'failed', error = ?, code = ? WHERE id = ?", "tii",
                 e->error_text, (int64_t)e->error_code, row);
    else if (open)
        wm_db_do(db, "UPDATE outbox SET state = 'sent' WHERE id = ?", "i", row);
    change.settled = open ? row : 0;
    change.failed = failed;
    return change;
}

struct wm_outbox_counts wm_outbox_recover(struct wm_db *db, int64_t now_ms, int64_t unknown_wait_ms)
{
    /* A row that was unknown before keeps the later of the two times: we were away since, perhaps for long. */
    wm_db_do(db,
             "UPDATE outbox SET state = 'unknown', unknown_ms = max(coalesce(unknown_ms, 0),"
             " ?1 + max(?2, 2 * (?1 - sending_ms))) WHERE " OPEN
             " AND (state = 'sending' OR (state = 'unknown' AND unknown_ms IS NOT NULL))",
             "ii", now_ms, unknown_wait_ms);
    return (struct wm_outbox_counts){
        wm_db_number(db, 0, "SELECT count(*) FROM outbox WHERE " OPEN " AND state = 'queued'", ""),
        wm_db_number(db, 0, "SELECT count(*) FROM outbox WHERE " OPEN " AND state = 'unknown'", ""),
    };
}

/* --- jobs ----------------------------------------------------------------------------------------------------- */

void wm_outbox_load_apply(struct wm_job *job, struct wm_db *db)
{
    struct wm_outbox_load *j = (struct wm_outbox_load *)job;
    sqlite3_stmt *s =
        wm_db_ask(db, "SELECT contact, account FROM conversations WHERE id = ?", "i", j->conversation);
    if (!wm_db_row(db, s))
        return;
    j->contact = wm_db_text_new(s, 0);
    j->account = wm_db_text_new(s, 1);
    s = wm_db_ask(
        db,
        "SELECT id, state = 'unknown', sending_ms, unknown_ms, text FROM outbox"
        " WHERE conversation = ? AND (state = 'queued' OR (state = 'unknown' AND unknown_ms IS NOT NULL))"
        " AND state IN ('queued', 'sending', 'unknown') ORDER BY id",
        "i", j->conversation);
    while (j->n < WM_OUTBOX_PAGE && wm_db_row(db, s))
        j->rows[j->n++] = (struct wm_outbox_row){.id = sqlite3_column_int64(s, 0),
                                                 .unknown = sqlite3_column_int(s, 1),
                                                 .sending_ms = sqlite3_column_int64(s, 2),
                                                 .unknown_ms = sqlite3_column_int64(s, 3),
                                                 .text = wm_db_text_new(s, 4)};
}

void wm_outbox_load_drop(struct wm_note *note)
{
    struct wm_outbox_load *j = (struct wm_outbox_load *)note;
    for (size_t i = 0; i < j->n; i++)
        free(j->rows[i].text);
    free(j->contact);
    free(j->account);
    free(j);
}

static const char *why_not(struct wm_outbox_claim *j, sqlite3_stmt *s)
{
    int64_t turn = sqlite3_column_int64(s, 1), created = sqlite3_column_int64(s, 2);
    if (turn != WM_OUTBOX_NOTICE && sqlite3_column_int(s, 3))
        return "withheld: the contact has opted out";
    if (turn != WM_OUTBOX_NOTICE && sqlite3_column_int64(s, 4) > j->now_ms)
        return "withheld: a person has taken the conversation over";
    if (j->window_ms > 0 && sqlite3_column_int64(s, 5) + j->window_ms - WINDOW_MARGIN_MS <= j->now_ms)
        return "withheld: the platform's service window has closed";
    if (created + GIVE_UP_MS <= j->now_ms)
        return "given up: it could not be sent for a day";
    return NULL;
}

void wm_outbox_claim_apply(struct wm_job *job, struct wm_db *db)
{
    struct wm_outbox_claim *j = (struct wm_outbox_claim *)job;
    j->verdict = WM_CLAIM_SETTLED;
    sqlite3_stmt *s =
        wm_db_ask(db,
                  "SELECT state IN ('queued', 'sending'), turn, created_ms, stopped, human_until_ms,"
                  " last_user_ms, attempts FROM outbox JOIN conversations"
                  " ON conversations.id = outbox.conversation WHERE outbox.id = ?",
                  "i", j->row);
    if (!wm_db_row(db, s) || !sqlite3_column_int(s, 0))
        return;
    j->why = why_not(j, s);
    j->verdict = j->why ? WM_CLAIM_WITHHELD : WM_CLAIM_GO;
    j->attempts = sqlite3_column_int(s, 6) + 1;
    sqlite3_reset(s);
    if (j->why)
        wm_db_do(db, "UPDATE outbox SET state = 'failed', error = ? WHERE id = ?", "ti", j->why, j->row);
    else
        wm_db_do(db, "UPDATE outbox SET state = 'sending', sending_ms = ?, attempts = ? WHERE id = ?", "iii",
                 j->now_ms, (int64_t)j->attempts, j->row);
}

void wm_outbox_settle_apply(struct wm_job *job, struct wm_db *db)
{
    struct wm_outbox_settle *j = (struct wm_outbox_settle *)job;
    wm_db_do(db,
             "UPDATE outbox SET state = ?, unknown_ms = nullif(?, 0), platform_id = coalesce(nullif(?, ''), "
             "platform_id),"
             " error = nullif(?, ''), code = nullif(?, 0) WHERE id = ? AND state = ?",
             "tittiit", j->state, j->unknown_ms, j->platform_id, j->error, (int64_t)j->code, j->row, j->from);
    j->late = wm_db_changes(db) == 0;
    if (j->late && j->platform_id[0])
        wm_db_do(db, "UPDATE outbox SET platform_id = coalesce(platform_id, ?) WHERE id = ?", "ti",
                 j->platform_id, j->row);
}
