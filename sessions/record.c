/* record.c -- bodies become events.
 *
 * WHY     Platforms repeat, reorder and batch. Everything downstream may then rely on one thing: a happening is in
 *         `events` once, and its effects on conversation, transcript and outbox were made in the same transaction.
 *
 * HOW     The unique key decides: an INSERT that does nothing is a repeat and ends there. What is new acts by its
 *         meaning. The watermark moves with the same commit, so a crash repeats a body whole or not at all, and a body
 *         that is repeated finds all its events there already. A body of very many events takes several
 *         transactions, so that no acknowledgement waits behind it for seconds; the watermark moves with the last.
 *
 * ALWAYS  (1) A status never takes a message back a step, and `failed` is final.
 *         (2) What came while the bot had to be silent, or is older than the service window, is remembered (`silent`)
 *             but asks for no turn: answering a day late, or over a colleague's head, is worse than silence.
 */
#include "sessions/record.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "sessions/contacts.h"
#include "sessions/inbox.h"
#include "sessions/media_rows.h"
#include "sessions/outbox_rows.h"

enum { WORDS_BYTES = 1 << 20 }; /* of one message in the transcript; a platform's longest is far below */

struct scene {
    struct wm_db *db;
    const struct wm_record_job *job;
    const struct wm_reading *reading;
    const struct wm_event *e;
    int64_t channel, seq;
    const char *account;
    struct wm_recorded *out;
};

/* --- the event itself ----------------------------------------------------------------------------------------- */

static char *media_json_new(const struct wm_event *e)
{
    if (!e->media[0])
        return NULL;
    json_t *list = json_array();
    for (int i = 0; i < WM_EVENT_MEDIA && e->media[i]; i++)
        json_array_append_new(list, json_string(e->media[i]));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

/* True when it is new. */
static bool insert_event(struct scene *s)
{
    const struct wm_event *e = s->e;
    const struct wm_body *body = s->reading->body;
    bool whole = e->kind == WM_EVENT_UNPARSED;
    char *media = media_json_new(e);
    wm_db_do(s->db,
             "INSERT INTO events(channel, account, key, kind, id, sender, name, text, payload, media, mime, "
             "target,"
             " field, timestamp, at_ms, arrived_ms, status, ref, error_code, error_text, conversation, body)"
             " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, nullif(?, 0), ?)"
             " ON CONFLICT(channel, account, key) DO NOTHING",
             "ittttttttttttt"
             "iittitib",
             s->channel, s->account, e->key, wm_event_kind_name(e->kind), e->id, e->sender, e->name, e->text,
             e->payload, media, e->mime, e->target, e->field, e->timestamp, e->at_ms, body->arrived_ms,
             e->status, e->ref, (int64_t)e->error_code, e->error_text, s->out->conversation,
             whole ? body->bytes : NULL, whole ? body->len : (size_t)0);
    free(media);
    if (wm_db_changes(s->db) == 0)
        return false;
    s->seq = sqlite3_last_insert_rowid(s->db->sql);
    return true;
}

/* --- what it does --------------------------------------------------------------------------------------------- */

static void remember(struct scene *s, const char *role, bool silent)
{
    struct wm_buffer words = WM_BUFFER(WORDS_BYTES);
    wm_meaning_words(s->e, &words);
    wm_db_do(s->db,
             "INSERT INTO transcript(conversation, role, silent, event, kind, text, at_ms, arrived_ms)"
             " VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
             "itiittii", s->out->conversation, role, (int64_t)silent, s->seq, wm_event_kind_name(s->e->kind),
             words.data ? words.data : "", s->e->at_ms, s->reading->body->arrived_ms);
    wm_buffer_free(&words);
}

static void want_pictures(struct scene *s)
{
    int64_t row = sqlite3_last_insert_rowid(s->db->sql);
    if (s->reading->sees && wm_meaning_picture(wm_event_kind_name(s->e->kind)))
        s->out->pictures =
            wm_media_want(s->db, s->channel, row, s->e->media, WM_EVENT_MEDIA, s->job->now_ms) > 0;
}

static void heard_from(struct scene *s)
{
    wm_db_do(
        s->db,
        "UPDATE conversations SET last_user_ms = max(last_user_ms, ?), contact = ?, name = coalesce(?, name)"
        " WHERE id = ?",
        "itti", s->e->at_ms, s->e->sender, s->e->name, s->out->conversation);
}

static void hush(struct scene *s)
{
    wm_db_do(s->db, "UPDATE transcript SET silent = 1 WHERE conversation = ? AND turn IS NULL AND silent = 0",
             "i", s->out->conversation);
    s->out->hushes = true;
}

static void take_message(struct scene *s)
{
    heard_from(s);
    bool too_old = s->reading->window_ms > 0 && s->e->at_ms + s->reading->window_ms <= s->job->now_ms;
    bool quiet =
        wm_db_number(s->db, 0, "SELECT stopped OR human_until_ms > ? FROM conversations WHERE id = ?", "ii",
                     s->job->now_ms, s->out->conversation) != 0;
    remember(s, "user", too_old || quiet);
    if (!too_old)
        want_pictures(s);
    s->out->wakes = !too_old && !quiet;
}

static void notice(struct scene *s, const char *text)
{
    wm_outbox_insert(s->db, s->out->conversation, WM_OUTBOX_NOTICE, 0, text, strlen(text), s->job->now_ms);
    s->out->notice = true;
}

static void take_stop(struct scene *s)
{
    heard_from(s);
    wm_db_do(s->db, "UPDATE conversations SET stopped = 1 WHERE id = ? AND stopped = 0", "i",
             s->out->conversation);
    if (wm_db_changes(s->db) > 0)
        notice(s, wm_words_stopped);
    hush(s);
}

static void take_start(struct scene *s)
{
    wm_db_do(s->db, "UPDATE conversations SET stopped = 0 WHERE id = ? AND stopped = 1", "i",
             s->out->conversation);
    if (wm_db_changes(s->db) == 0) {
        take_message(s); /* an ordinary word for somebody who had not opted out */
        return;
    }
    heard_from(s);
    notice(s, wm_words_started);
}

static void take_echo(struct scene *s)
{
    if (wm_outbox_find(s->db, s->e->ref, s->e->id) != 0)
        return; /* what we sent ourselves, come back */
    int64_t until = s->e->at_ms + s->job->human_ms;
    wm_db_do(s->db, "UPDATE conversations SET human_until_ms = max(human_until_ms, ?) WHERE id = ?", "ii",
             until, s->out->conversation);
    remember(s, "person", true);
    if (until > s->job->now_ms)
        hush(s);
}

static void take_status(struct scene *s)
{
    struct wm_outbox_change change = wm_outbox_status(s->db, s->e);
    s->out->settled = change.settled;
    s->out->settled_unknown = change.was_unknown;
    s->out->settled_failed = change.failed;
    if (change.conversation)
        s->out->conversation = change.conversation;
}

static void record(struct scene *s)
{
    enum wm_meaning meaning = wm_meaning_of(s->e, s->reading->account);
    bool make = meaning != WM_MEANS_NOTHING && meaning != WM_MEANS_STATUS;
    s->out->conversation = wm_contact_conversation(s->db, s->channel, s->account, s->e, make);
    s->out->fresh = insert_event(s);
    if (!s->out->fresh)
        return;
    switch (meaning) {
    case WM_MEANS_MESSAGE:
        take_message(s);
        break;
    case WM_MEANS_STOP:
        take_stop(s);
        break;
    case WM_MEANS_START:
        take_start(s);
        break;
    case WM_MEANS_ECHO:
        take_echo(s);
        break;
    case WM_MEANS_STATUS:
        take_status(s);
        break;
    case WM_MEANS_NOTHING:
        break;
    }
}

static void record_one(struct wm_db *db, struct wm_record_job *j, struct wm_reading *reading, int64_t channel,
                       size_t k)
{
    const struct wm_event *e = &reading->list.events[k];
    reading->results[k] = (struct wm_recorded){0};
    struct scene s = {
        .db = db, .job = j, .reading = reading, .e = e, .channel = channel, .out = &reading->results[k]};
    s.account = e->account ? e->account : reading->account ? reading->account : "";
    record(&s);
}

void wm_record_apply(struct wm_job *job, struct wm_db *db)
{
    struct wm_record_job *j = (struct wm_record_job *)job;
    size_t first = 0, end = j->begin + WM_RECORD_EVENTS; /* first: of this body, counted through */
    for (size_t i = 0; i < j->n; i++) {
        struct wm_reading *reading = &j->readings[i];
        size_t n = reading->list.n;
        if (first + n > j->begin && first < end) {
            int64_t channel = wm_channel_row(db, reading->body->channel);
            for (size_t k = first < j->begin ? j->begin - first : 0; k < n && first + k < end; k++)
                record_one(db, j, reading, channel, k);
        }
        first += n;
    }
    j->whole = first <= end;
    j->end = j->whole ? first : end;
    if (j->whole && j->n > 0)
        wm_inbox_set_watermark(db, j->readings[j->n - 1].body->id);
}

void wm_record_drop(struct wm_note *note)
{
    struct wm_record_job *j = (struct wm_record_job *)note;
    for (size_t i = 0; i < j->n; i++) {
        wm_body_free(j->readings[i].body);
        wm_event_list_free(&j->readings[i].list);
        free(j->readings[i].results);
        free(j->readings[i].account);
    }
    free(j);
}
