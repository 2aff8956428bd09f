/* turn_rows.c -- see turn_rows.h.
 *
 * ALWAYS  (1) A commit names the very rows that the model has read and takes them only while they still wait: a row is
 *             in one turn, and a turn that somebody else has answered is dropped whole.
 *         (2) Assistant row, usage, numbers on the user rows and outbox rows are one transaction.
 */
#include "sessions/turn_rows.h"

#include <stdlib.h>
#include <string.h>

#include "sessions/meaning.h"
#include "sessions/outbox_rows.h"

enum {
    TURN_MESSAGES = 200, /* of one turn; a flood is answered in several */
    PAST_ROWS = 4096     /* that a prompt looks back on; older ones cannot be in a context */
};

/* --- loading -------------------------------------------------------------------------------------------------- */

static struct wm_row *row_add(struct wm_turn_load *j, size_t *cap)
{
    if (j->n_rows == *cap) {
        size_t grown = *cap ? *cap * 2 : 16;
        struct wm_row *rows = realloc(j->rows, grown * sizeof *rows);
        if (!rows)
            return NULL;
        j->rows = rows;
        *cap = grown;
    }
    j->rows[j->n_rows] = (struct wm_row){0};
    return &j->rows[j->n_rows++];
}

static enum wm_role role_of(const char *name)
{
    return strcmp(name, "user") == 0 ? WM_ROLE_USER : WM_ROLE_ASSISTANT;
}

static void keep_tokens(struct wm_row *row, sqlite3_stmt *s, int column)
{
    size_t bytes = (size_t)sqlite3_column_bytes(s, column);
    if (sqlite3_column_type(s, column) == SQLITE_NULL)
        return;
    row->tokens = malloc(bytes + 1);
    if (row->tokens && bytes > 0)
        memcpy(row->tokens, sqlite3_column_blob(s, column), bytes);
    row->n_tokens = row->tokens ? bytes / sizeof *row->tokens : 0;
}

static bool load_past(struct wm_turn_load *j, struct wm_db *db, int64_t cut, bool same_model, size_t *cap)
{
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT id, turn, role, text, tokens FROM (SELECT * FROM transcript"
                                " WHERE conversation = ? AND turn > ? ORDER BY turn DESC, place DESC LIMIT ?)"
                                " ORDER BY turn, place",
                                "iii", j->conversation, cut, (int64_t)PAST_ROWS);
    while (wm_db_row(db, s)) {
        struct wm_row *row = row_add(j, cap);
        if (!row)
            return false;
        row->id = sqlite3_column_int64(s, 0);
        row->turn = sqlite3_column_int64(s, 1);
        row->role = role_of(wm_db_text(s, 2));
        row->text = wm_db_text_new(s, 3);
        if (same_model)
            keep_tokens(row, s, 4);
        if (!row->text)
            return false;
    }
    return true;
}

/* The rows that wait, in platform order; says whether one asks for an answer and whether one can be read. */
static bool load_waiting(struct wm_turn_load *j, struct wm_db *db, size_t *cap, bool *asked, bool *readable,
                         int64_t *newest_ms)
{
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT id, role, text, kind, silent, at_ms FROM transcript"
                                " WHERE conversation = ? AND turn IS NULL ORDER BY at_ms, id LIMIT ?",
                                "ii", j->conversation, (int64_t)TURN_MESSAGES + 1);
    for (int n = 0; wm_db_row(db, s); n++) {
        if (n == TURN_MESSAGES) {
            j->more = true;
            sqlite3_reset(s);
            break;
        }
        struct wm_row *row = row_add(j, cap);
        if (!row)
            return false;
        row->id = sqlite3_column_int64(s, 0);
        row->role = role_of(wm_db_text(s, 1));
        row->text = wm_db_text_new(s, 2);
        if (!row->text)
            return false;
        if (sqlite3_column_int(s, 4))
            continue;
        *asked = true;
        *readable |= wm_meaning_readable(wm_db_text(s, 3));
        *newest_ms = sqlite3_column_int64(s, 5);
    }
    return true;
}

void wm_turn_load_apply(struct wm_job *job, struct wm_db *db)
{
    struct wm_turn_load *j = (struct wm_turn_load *)job;
    j->verdict = WM_TURN_NOTHING;
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT stopped OR human_until_ms > ?, turns, cut, fingerprint IS ?"
                                " FROM conversations WHERE id = ?",
                                "iti", j->now_ms, j->brain.fingerprint, j->conversation);
    if (!wm_db_row(db, s))
        return;
    bool quiet = sqlite3_column_int(s, 0), same_model = sqlite3_column_int(s, 3);
    j->turn = sqlite3_column_int64(s, 1) + 1;
    int64_t cut = sqlite3_column_int64(s, 2), newest_ms = 0;
    sqlite3_reset(s);

    size_t cap = 0;
    bool asked = false, readable = false;
    if (!load_past(j, db, cut, same_model, &cap) ||
        !load_waiting(j, db, &cap, &asked, &readable, &newest_ms)) {
        job->status = wm_fail(&job->error, WM_ENOMEM, "no memory to load a turn");
        return;
    }
    if (!asked)
        return;
    if (quiet || (j->window_ms > 0 && newest_ms + j->window_ms <= j->now_ms)) {
        j->verdict = WM_TURN_REMEMBER;
        return;
    }
    j->verdict = readable || j->brain.sees_pictures ? WM_TURN_THINK : WM_TURN_CANNOT_SEE;
    struct wm_prompt_ask ask = {.brain = &j->brain,
                                .head = j->head,
                                .n_head = j->n_head,
                                .rows = j->rows,
                                .n_rows = j->n_rows,
                                .reply_tokens = j->reply_tokens};
    job->status = wm_prompt_build(&ask, &j->prompt, &job->error);
    if (j->prompt.cut == 0)
        j->prompt.cut = cut;
}

void wm_turn_load_drop(struct wm_note *note)
{
    struct wm_turn_load *j = (struct wm_turn_load *)note;
    if (!j)
        return;
    for (size_t i = 0; i < j->n_rows; i++) {
        free(j->rows[i].text);
        free(j->rows[i].tokens);
    }
    free(j->rows);
    free(j->head);
    wm_tokens_free(&j->prompt.tokens);
    free(j);
}

/* --- committing ----------------------------------------------------------------------------------------------- */

static void remember_only(struct wm_turn_commit *j, struct wm_db *db)
{
    for (size_t i = 0; i < j->load->n_rows; i++)
        if (j->load->rows[i].turn == 0)
            wm_db_do(db, "UPDATE transcript SET silent = 1 WHERE id = ? AND turn IS NULL", "i",
                     j->load->rows[i].id);
}

/* False when a row has another turn or another conversation by now. */
static bool take_rows(struct wm_turn_commit *j, struct wm_db *db, int64_t *place)
{
    const struct wm_turn_load *load = j->load;
    for (size_t i = 0; i < load->n_rows; i++) {
        const struct wm_row *row = &load->rows[i];
        if (row->turn != 0) {
            if (row->rendered)
                wm_db_do(db, "UPDATE transcript SET tokens = ? WHERE id = ?", "bi", (const void *)row->tokens,
                         row->n_tokens * sizeof *row->tokens, row->id);
            continue;
        }
        wm_db_do(db,
                 "UPDATE transcript SET turn = ?, place = ?, tokens = ? WHERE id = ? AND conversation = ?"
                 " AND turn IS NULL",
                 "iibii", load->turn, (*place)++, (const void *)row->tokens,
                 row->n_tokens * sizeof *row->tokens, row->id, load->conversation);
        if (wm_db_changes(db) != 1)
            return false;
    }
    return true;
}

void wm_turn_commit_apply(struct wm_job *job, struct wm_db *db)
{
    struct wm_turn_commit *j = (struct wm_turn_commit *)job;
    const struct wm_turn_load *load = j->load;
    j->verdict = WM_COMMIT_STALE;
    sqlite3_stmt *s =
        wm_db_ask(db, "SELECT turns, stopped OR human_until_ms > ? FROM conversations WHERE id = ?", "ii",
                  j->now_ms, load->conversation);
    if (!wm_db_row(db, s) || sqlite3_column_int64(s, 0) + 1 != load->turn)
        return;
    bool quiet = sqlite3_column_int(s, 1);
    sqlite3_reset(s);
    if (quiet || !j->reply) {
        remember_only(j, db);
        j->verdict = WM_COMMIT_WITHHELD;
        return;
    }
    int64_t place = 0;
    if (!take_rows(j, db, &place)) {
        if (db->code == SQLITE_OK)
            job->status = WM_ECANCELED; /* undo the rows that were taken */
        return;
    }
    wm_db_do(
        db,
        "INSERT INTO transcript(conversation, turn, place, role, silent, text, at_ms, arrived_ms, tokens,"
        " prompt_tokens, cached_tokens, completion_tokens, first_token_ms)"
        " VALUES(?, ?, ?, 'assistant', 0, ?, ?, ?, ?, ?, ?, ?, ?)",
        "iiitiibiiii", load->conversation, load->turn, place, j->reply, j->now_ms, j->now_ms,
        (const void *)j->tokens.ids, j->tokens.n * sizeof *j->tokens.ids, (int64_t)j->usage.prompt_tokens,
        (int64_t)j->usage.cached_tokens, (int64_t)j->usage.completion_tokens,
        (int64_t)j->usage.first_token_ms);
    for (size_t i = 0; i < j->n_parts; i++)
        wm_outbox_insert(db, load->conversation, load->turn, (int64_t)i + 1, j->parts[i], strlen(j->parts[i]),
                         j->now_ms);
    wm_db_do(db, "UPDATE conversations SET turns = ?, cut = ?, fingerprint = ? WHERE id = ?", "iiti",
             load->turn, load->prompt.cut, load->brain.fingerprint, load->conversation);
    j->verdict = WM_COMMIT_DONE;
}

void wm_turn_commit_drop(struct wm_note *note)
{
    struct wm_turn_commit *j = (struct wm_turn_commit *)note;
    wm_turn_load_drop((struct wm_note *)j->load);
    free(j->reply);
    wm_tokens_free(&j->tokens);
    for (size_t i = 0; i < j->n_parts; i++)
        free(j->parts[i]);
    free(j->parts);
    free(j);
}
