/* turn_rows.c -- see turn_rows.h.
 *
 * ALWAYS  (1) A commit names the very rows that the model has read and takes them only while they still wait: a row is
 *             in one turn, and a turn that somebody else has answered is dropped whole.
 *         (2) Assistant row, usage, numbers on the user rows and outbox rows are one transaction.
 *         (3) A row's stored tokens and the pictures whose slots they hold are written together and used together: a
 *             picture that comes later, or is gone, never shifts what was said. When its file has vanished, or another
 *             model reads, the row is rendered anew.
 */
#include "sessions/turn_rows.h"

#include <stdlib.h>
#include <string.h>

#include "sessions/meaning.h"
#include "sessions/media_rows.h"
#include "sessions/outbox_rows.h"

enum {
    TURN_MESSAGES = 200,  /* of one turn; a flood is answered in several */
    PAST_ROWS = 4096,     /* that a prompt looks back on; older ones cannot be in a context */
    WORDS_BYTES = 1 << 20 /* of a message whose picture could not be had */
};

/* What a person wrote under a picture; the transcript has it in words already. */
#define CAPTION "CASE WHEN kind IN ('image', 'sticker') THEN (SELECT text FROM events WHERE seq = event) END"

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

/* Tokens and, in the next column, the pictures that they hold: both or none. */
static void keep_tokens(const struct wm_turn_load *j, struct wm_row *row, sqlite3_stmt *s, int column)
{
    size_t bytes = (size_t)sqlite3_column_bytes(s, column),
           packed = (size_t)sqlite3_column_bytes(s, column + 1);
    if (sqlite3_column_type(s, column) == SQLITE_NULL || (packed > 0 && j->in_words))
        return;
    if (packed > 0 && !wm_media_unpack(j->shelf, sqlite3_column_blob(s, column + 1), packed, &row->pictures,
                                       &row->n_pictures))
        return;
    row->tokens = malloc(bytes + 1);
    if (row->tokens && bytes > 0)
        memcpy(row->tokens, sqlite3_column_blob(s, column), bytes);
    row->n_tokens = row->tokens ? bytes / sizeof *row->tokens : 0;
}

/* What the pictures of a row are to this turn. */
struct gathered {
    size_t shown, failed;
    bool on_the_way;
};

/* Fills in the pictures of a row that is to be rendered, and says in its text what cannot be shown. `patient`: those that are
 * on their way are waited for; otherwise they count as failed. False without memory. */
static bool gather_pictures(const struct wm_turn_load *j, struct wm_db *db, struct wm_row *row,
                            const char *kind, const char *caption, bool patient, struct gathered *out)
{
    struct wm_media_of_row m;
    *out = (struct gathered){0};
    if (!j->brain.sees_pictures || row->tokens || !wm_meaning_picture(kind))
        return true;
    if (!wm_media_of_row(db, j->shelf, row->id, j->brain.fingerprint, &m))
        return false;
    out->on_the_way = m.wanted > 0 && patient;
    if (j->in_words) {
        m.failed += m.n;
        wm_media_pictures_free(m.pictures, m.n);
        m.pictures = NULL;
        m.n = 0;
    }
    out->failed = m.failed + (patient ? 0 : m.wanted);
    out->shown = m.n;
    row->pictures = m.pictures;
    row->n_pictures = m.n;
    if (out->failed > 0) {
        struct wm_buffer words = WM_BUFFER(WORDS_BYTES);
        wm_meaning_unloaded(kind, caption, &words);
        free(row->text);
        row->text = wm_buffer_take(&words, NULL);
        wm_buffer_free(&words);
        caption = row->text;
    }
    row->caption = caption ? strdup(caption) : NULL;
    return row->text && (!caption || row->caption);
}

static bool load_past(struct wm_turn_load *j, struct wm_db *db, int64_t cut, bool same_model, size_t *cap)
{
    sqlite3_stmt *s = wm_db_ask(db,
                                "SELECT id, turn, role, text, tokens, pictures, kind, " CAPTION
                                " FROM (SELECT * FROM transcript"
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
            keep_tokens(j, row, s, 4);
        struct gathered pictures;
        if (!row->text || !gather_pictures(j, db, row, wm_db_text(s, 6), wm_db_text(s, 7), false, &pictures))
            return false;
    }
    return true;
}

/* What the rows that wait come to. */
struct waiting {
    bool asked;        /* one wants an answer */
    bool readable;     /* one can be read, or seen */
    bool not_loaded;   /* one has a picture that cannot be had */
    bool on_the_way;   /* one has a picture that will perhaps come */
    int64_t newest_ms; /* event time of the newest that wants an answer */
};

/* Until when a row's pictures are waited for. */
static int64_t patience_ms(const struct wm_turn_load *j, int64_t arrived_ms)
{
    return (arrived_ms > j->started_ms ? arrived_ms : j->started_ms) + j->pictures_wait_ms;
}

/* The rows that wait, in platform order. */
static bool load_waiting(struct wm_turn_load *j, struct wm_db *db, size_t *cap, struct waiting *out)
{
    sqlite3_stmt *s =
        wm_db_ask(db,
                  "SELECT id, role, text, kind, silent, at_ms, arrived_ms, " CAPTION " FROM transcript"
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
        bool silent = sqlite3_column_int(s, 4);
        int64_t until = patience_ms(j, sqlite3_column_int64(s, 6));
        struct gathered pictures;
        if (!row->text || !gather_pictures(j, db, row, wm_db_text(s, 3), wm_db_text(s, 7),
                                           !silent && until > j->now_ms, &pictures))
            return false;
        if (silent)
            continue;
        out->asked = true;
        out->readable |= wm_meaning_readable(wm_db_text(s, 3)) || pictures.shown > 0;
        out->not_loaded |= pictures.failed > 0;
        out->on_the_way |= pictures.on_the_way;
        if (pictures.on_the_way && until > j->pictures_until_ms)
            j->pictures_until_ms = until;
        out->newest_ms = sqlite3_column_int64(s, 5);
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
    int64_t cut = sqlite3_column_int64(s, 2);
    sqlite3_reset(s);

    size_t cap = 0;
    struct waiting now = {0};
    if (!load_past(j, db, cut, same_model, &cap) || !load_waiting(j, db, &cap, &now)) {
        job->status = wm_fail(&job->error, WM_ENOMEM, "no memory to load a turn");
        return;
    }
    if (!now.asked)
        return;
    if (quiet || (j->window_ms > 0 && now.newest_ms + j->window_ms <= j->now_ms)) {
        j->verdict = WM_TURN_REMEMBER;
        return;
    }
    if (now.on_the_way) {
        j->verdict = WM_TURN_PICTURES;
        return;
    }
    j->verdict = now.readable             ? WM_TURN_THINK
                 : now.not_loaded         ? WM_TURN_NOT_LOADED
                 : j->brain.sees_pictures ? WM_TURN_CANNOT_OPEN
                                          : WM_TURN_CANNOT_SEE;
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
        free(j->rows[i].caption);
        free(j->rows[i].tokens);
        wm_media_pictures_free(j->rows[i].pictures, j->rows[i].n_pictures);
    }
    free(j->rows);
    free(j->head);
    wm_prompt_drop(&j->prompt);
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

/* Tokens, pictures and words of a row, as this turn has read it. */
static void keep_reading(struct wm_db *db, const struct wm_row *row)
{
    void *packed = wm_media_pack_new(row->pictures, row->n_pictures);
    wm_db_do(db, "UPDATE transcript SET text = ?, tokens = ?, pictures = ? WHERE id = ?", "tbbi", row->text,
             (const void *)row->tokens, row->n_tokens * sizeof *row->tokens, (const void *)packed,
             packed ? row->n_pictures * WM_MEDIA_KEPT_BYTES : (size_t)0, row->id);
    free(packed);
}

/* False when a row has another turn or another conversation by now. */
static bool take_rows(struct wm_turn_commit *j, struct wm_db *db, int64_t *place)
{
    const struct wm_turn_load *load = j->load;
    for (size_t i = 0; i < load->n_rows; i++) {
        const struct wm_row *row = &load->rows[i];
        if (row->turn == 0) {
            wm_db_do(db,
                     "UPDATE transcript SET turn = ?, place = ? WHERE id = ? AND conversation = ?"
                     " AND turn IS NULL",
                     "iiii", load->turn, (*place)++, row->id, load->conversation);
            if (wm_db_changes(db) != 1)
                return false;
        }
        if (row->turn == 0 || row->rendered)
            keep_reading(db, row);
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
