/* sessions.c -- the parts put together: what is opened in which order, and closed in which. */
#include "sessions/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"
#include "sessions/answers.h"
#include "sessions/director.h"
#include "sessions/folder.h"
#include "sessions/inbox.h"
#include "sessions/media_rows.h"
#include "sessions/outbox_rows.h"
#include "sessions/schema.h"

enum {
    UNKNOWN_WAIT_MS = 60000,
    HUMAN_MS = 24 * 3600 * 1000,
    INGEST_BYTES = 64 << 20,
    MEDIA_BYTES = 16 << 20,
    STORE_NAME_BYTES = 32
};

struct wm_sessions {
    struct wm_folder folder;
    struct wm_brains brains;
    struct wm_shelf shelf;
    const struct wm_clock *clock;
    struct wm_counters counters;
    struct wm_mailbox *box; /* the director's */
    struct wm_feed feed;
    struct wm_store *store;
    struct wm_reader *reader;
    struct wm_keeper *keeper;
    struct wm_director *director;
    char store_name[STORE_NAME_BYTES];
};

/* What a crash left, before any thread runs. */
static enum wm_status repair(struct wm_sessions *s, int64_t unknown_wait_ms, int64_t *watermark,
                             struct wm_error *err)
{
    struct wm_db *db = wm_store_db(s->store);
    struct wm_outbox_counts open = wm_outbox_recover(db, s->clock->wall_ms(s->clock->self), unknown_wait_ms);
    *watermark = wm_inbox_watermark(db);
    s->counters.media_wanted = (uint64_t)wm_media_recover(db);
    sqlite3_stmt *name = wm_db_ask(db, "SELECT value FROM meta WHERE key = 'store'", "");
    if (wm_db_row(db, name))
        strncpy(s->store_name, wm_db_text(name, 0), sizeof s->store_name - 1);
    wm_db_rest(db);
    s->counters.queued = open.queued;
    s->counters.unknown = open.unknown;
    s->counters.recorded_id = *watermark;
    s->counters.oldest_ms = s->clock->wall_ms(s->clock->self);
    return wm_db_status(db, err);
}

static enum wm_status start(struct wm_sessions *s, const struct wm_sessions_options *o, struct wm_error *err)
{
    int64_t unknown_wait_ms = o->unknown_wait_ms > 0 ? o->unknown_wait_ms : UNKNOWN_WAIT_MS;
    const struct wm_seams *seams = o->seams;
    bool own = seams && seams->brain;
    struct wm_brain brain = own ? *seams->brain : o->engine ? wm_brain_of(o->engine) : (struct wm_brain){0};
    struct wm_store_options store = {.path = s->folder.store,
                                     .feed = &s->feed,
                                     .answers = s->box,
                                     .counters = &s->counters,
                                     .clock = s->clock,
                                     .ingest_bytes = o->ingest_bytes ? o->ingest_bytes : INGEST_BYTES};
    struct wm_director_options director = {
        .box = s->box,
        .feed = &s->feed,
        .transport = o->transport,
        .counters = &s->counters,
        .brains = &s->brains,
        .brain = own || o->engine ? wm_brains_take(&s->brains, &brain) : NULL,
        .brain_of = seams && seams->brain_of ? seams->brain_of : wm_brain_of,
        .clock = s->clock,
        .shelf = &s->shelf,
        .media_bytes = o->media_bytes ? o->media_bytes : MEDIA_BYTES,
        .unknown_wait_ms = unknown_wait_ms,
        .human_ms = o->human_ms > 0 ? o->human_ms : HUMAN_MS,
        .store_name = s->store_name};
    enum wm_status st = wm_shelf_open(o->data, &s->shelf, err);
    if (st == WM_OK)
        st = wm_store_open(&store, &s->store, err);
    if (st == WM_OK)
        st = repair(s, unknown_wait_ms, &director.watermark, err);
    if (st == WM_OK)
        st = wm_reader_new(s->folder.store, s->box, &s->reader, err);
    if (st == WM_OK)
        st = wm_keeper_new(s->box, &s->keeper, err);
    if (st == WM_OK)
        st = wm_store_start(s->store, err);
    director.store = s->store;
    director.reader = s->reader;
    director.keeper = s->keeper;
    if (st == WM_OK)
        st = wm_director_new(&director, o->channels, o->n_channels, &s->director, err);
    return st;
}

enum wm_status wm_sessions_open(const struct wm_sessions_options *options, struct wm_sessions **out,
                                struct wm_error *err)
{
    struct wm_sessions *s = calloc(1, sizeof *s);
    if (!s)
        return wm_fail(err, WM_ENOMEM, "no memory for sessions");
    s->folder.lock = -1;
    const struct wm_seams *seams = options->seams;
    s->clock = seams && seams->clock ? seams->clock : &wm_real_clock;
    wm_feed_init(&s->feed, NULL, wm_director_take_body);
    enum wm_status st = wm_mailbox_new(SIZE_MAX, NULL, NULL, &s->box, err);
    s->feed.to = s->box;
    if (st == WM_OK)
        st = wm_folder_take(options->data, &s->folder, err);
    if (st == WM_OK)
        st = start(s, options, err);
    if (st != WM_OK) {
        wm_sessions_close(s, 0);
        return st;
    }
    wm_log(WM_LOG_INFO, "store opened", WM_S("path", s->folder.store), WM_N("queued", s->counters.queued),
           WM_N("unknown", s->counters.unknown),
           WM_N("backlog", s->counters.committed_id - s->counters.recorded_id));
    *out = s;
    return WM_OK;
}

void wm_sessions_close(struct wm_sessions *s, int64_t deadline_ms)
{
    /* The director first: it still needs answers from the other three. */
    wm_director_stop(s->director, deadline_ms);
    wm_reader_free(s->reader);
    wm_keeper_free(s->keeper);
    wm_store_close(s->store);
    if (s->box) {
        wm_mailbox_close(s->box);
        for (struct wm_letter *l = wm_mailbox_take(s->box), *next; l; l = next) {
            next = l->next;
            ((struct wm_note *)l)->drop((struct wm_note *)l);
        }
    }
    wm_director_free(s->director);
    wm_feed_end(&s->feed);
    wm_mailbox_free(s->box);
    wm_shelf_close(&s->shelf);
    wm_folder_leave(&s->folder);
    free(s);
}

enum wm_status wm_sessions_reload(struct wm_sessions *s, const struct wm_channel_binding *channels, size_t n,
                                  struct wm_error *err)
{
    return wm_director_reload(s->director, channels, n, err);
}

enum wm_status wm_sessions_ingest(struct wm_sessions *s, const char *channel, char *body, size_t len,
                                  void (*done)(void *arg, enum wm_status st), void *arg)
{
    struct wm_body *b = wm_body_new(channel, body, len);
    if (!b)
        return WM_ENOMEM;
    b->done = done;
    b->arg = arg;
    enum wm_status st = wm_store_ingest(s->store, b);
    if (st != WM_OK) {
        b->bytes = NULL; /* still the caller's */
        wm_body_free(b);
    }
    return st;
}

enum wm_status wm_sessions_set_human(struct wm_sessions *s, int64_t conversation, bool human)
{
    return wm_director_set_human(s->director, conversation, human);
}

/* --- questions ------------------------------------------------------------------------------------------------ */

struct question_job {
    struct wm_job job;
    struct wm_question question;
    struct wm_brains *brains;
    void (*answer)(void *arg, const char *json, size_t len, const struct wm_error *err);
    void *arg;
    bool told;
};

static void question_apply(struct wm_job *job, struct wm_db *db)
{
    struct question_job *j = (struct question_job *)job;
    char *json = job->status == WM_OK ? wm_answer_new(db, &j->question, j->brains, &job->error) : NULL;
    j->told = true;
    j->answer(j->arg, json, json ? strlen(json) : 0, json ? NULL : &job->error);
    free(json);
}

static void question_drop(struct wm_note *note)
{
    struct question_job *j = (struct question_job *)note;
    struct wm_error err = WM_ERROR_INIT;
    wm_fail(&err, WM_ECANCELED, "wingman is shutting down");
    if (!j->told)
        j->answer(j->arg, NULL, 0, &err);
    free(j);
}

enum wm_status wm_sessions_ask(struct wm_sessions *s, const struct wm_question *q,
                               void (*answer)(void *arg, const char *json, size_t len,
                                              const struct wm_error *err),
                               void *arg)
{
    struct question_job *j = calloc(1, sizeof *j);
    if (!j)
        return WM_ENOMEM;
    j->job.apply = question_apply;
    j->job.note.drop = question_drop;
    j->question = *q;
    j->brains = &s->brains;
    j->answer = answer;
    j->arg = arg;
    enum wm_status st = wm_reader_submit(s->reader, &j->job);
    if (st != WM_OK)
        free(j);
    return st;
}

enum wm_status wm_sessions_ask_offline(const char *data, const struct wm_question *q, struct wm_buffer *out,
                                       struct wm_error *err)
{
    struct wm_db db;
    char *path = wm_folder_store_path(data);
    if (!path)
        return wm_fail(err, WM_ENOMEM, "no memory for a path in %s", data);
    enum wm_status st = wm_schema_open_reader(&db, path, err);
    free(path);
    if (st != WM_OK)
        return st;
    struct wm_error why = WM_ERROR_INIT;
    char *json = wm_answer_new(&db, q, NULL, &why);
    if (json)
        st = wm_buffer_puts(out, json);
    else
        st = wm_fail(err, why.code, "%s", why.text);
    free(json);
    wm_db_close(&db);
    return st;
}

/* --- figures -------------------------------------------------------------------------------------------------- */

void wm_sessions_stats(struct wm_sessions *s, struct wm_sessions_stats *out)
{
    struct wm_counters *c = &s->counters;
    int64_t now = s->clock->wall_ms(s->clock->self), recorded = c->recorded_id, committed = c->committed_id;
    int64_t since = c->unanswered_since_ms, oldest = c->oldest_ms;
    *out = (struct wm_sessions_stats){
        .bodies = c->bodies,
        .body_bytes = c->body_bytes,
        .commits = c->commits,
        .ingest_refused = c->ingest_refused,
        .events = c->events,
        .duplicates = c->duplicates,
        .unparsed = c->unparsed,
        .backlog = committed > recorded ? (uint64_t)(committed - recorded) : 0,
        .backlog_age_ms = committed > recorded && now > oldest ? now - oldest : 0,
        .turns_started = c->turns_started,
        .turns_finished = c->turns_finished,
        .turns_failed = c->turns_failed,
        .conversations_active = c->active,
        .outbox_queued = (uint64_t)(c->queued > 0 ? c->queued : 0),
        .outbox_unknown = (uint64_t)(c->unknown > 0 ? c->unknown : 0),
        .outbox_sent = c->sent,
        .outbox_failed = c->failed,
        .outbox_retries = c->retries,
        .commit_us_sum = c->commit_us_sum,
        .commit_us_max = c->commit_us_max,
        .store_errors = c->store_errors,
        .media_wanted = c->media_wanted,
        .media_fetched = c->media_fetched,
        .media_failed = c->media_failed,
        .media_bytes = c->media_bytes,
        .store_ok = c->store_ok,
        .unanswered_age_ms = since && now > since ? now - since : 0,
    };
}
