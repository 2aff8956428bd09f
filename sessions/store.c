/* store.c -- the one writer.
 *
 * WHY     A sync to disk takes a fraction of a millisecond whatever it carries. One writer that takes all that waits
 *         into one transaction makes hundreds of bodies durable per sync, and the batch sizes itself.
 *
 * HOW     Two mailboxes: bodies (somebody waits for a 200) and jobs (the director's work). Each round is one
 *         transaction: first the bodies, then jobs as far as their share of the time allows, then COMMIT, which syncs
 *         the log. Only then do bodies get their `done`, go to the feed, and jobs go back.
 *
 *           bodies --+
 *                    +--> BEGIN .. COMMIT --> done(OK), feed, answers
 *           jobs   --+         \-- failed --> done(EIO); jobs wait; close, reopen, probe
 *
 *         Which share of the time jobs get while bodies wait, and how little in a flood: share.c.
 *
 * ALWAYS  (1) `done(WM_OK)` and an answer mean: the COMMIT has returned, the log is synced.
 *         (2) After a failed write nothing of that connection is believed: roll back, close, open anew. The frames of
 *             a failed sync lie behind the last good commit in the log and are overwritten.
 *         (3) Jobs run in the order in which they were submitted; a job that fails by itself takes no other with it.
 *
 * LIMITS  ROUND_BODIES and ROUND_BYTES a transaction; ingest_bytes waiting, then WM_EAGAIN.
 */
#include "sessions/store.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/base/log.h"
#include "sessions/checkpoint.h"
#include "sessions/inbox.h"
#include "sessions/letters.h"
#include "sessions/schema.h"
#include "sessions/share.h"

enum {
    INGEST_LETTERS = 65536,
    ROUND_BODIES = 512,
    ROUND_BYTES = 8 << 20,
    COMMIT_WINDOW = 1024, /* commits that commit_us_max looks back on */
    PRUNE_EVERY_MS = 10000,
    RETRY_FIRST_MS = 20,
    RETRY_LAST_MS = 1000
};

struct wm_store {
    struct wm_store_options options;
    struct wm_db db;
    struct wm_inbox inbox;
    struct wm_checkpointer *checkpointer;
    struct wm_mailbox *bodies_in, *jobs_in;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* of rung and stop */
    pthread_cond_t bell;
    bool rung, stop;
    _Atomic size_t waiting_bytes;
    /* store thread only */
    struct wm_letters bodies, jobs; /* taken, not yet written */
    struct wm_share share;
    int64_t prune_at_ms, recovered_ms;
    int wal_pages;
    uint64_t recent_us[COMMIT_WINDOW];
    size_t recent_at;
};

/* --- waking --------------------------------------------------------------------------------------------------- */

static void ring(void *arg)
{
    struct wm_store *s = arg;
    pthread_mutex_lock(&s->lock);
    s->rung = true;
    pthread_cond_signal(&s->bell);
    pthread_mutex_unlock(&s->lock);
}

/* Waits for the bell, at most that long; returns whether the store is to stop. */
static bool wait_bell(struct wm_store *s, int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&s->lock);
    while (!s->rung && !s->stop && pthread_cond_timedwait(&s->bell, &s->lock, &until) == 0)
        ;
    s->rung = false;
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static bool stopping(struct wm_store *s)
{
    pthread_mutex_lock(&s->lock);
    bool stop = s->stop;
    pthread_mutex_unlock(&s->lock);
    return stop;
}

static void take_letters(struct wm_store *s)
{
    wm_letters_add(&s->bodies, wm_mailbox_take(s->bodies_in));
    wm_letters_add(&s->jobs, wm_mailbox_take(s->jobs_in));
}

/* --- one round ------------------------------------------------------------------------------------------------ */

struct round {
    struct wm_letters bodies, jobs;
    int64_t first_arrived_ms;
    size_t n_bodies, bytes;
};

static void write_bodies(struct wm_store *s, struct round *r)
{
    while (s->bodies.first && r->n_bodies < ROUND_BODIES && r->bytes < ROUND_BYTES &&
           s->db.code == SQLITE_OK) {
        struct wm_body *body = (struct wm_body *)wm_letters_pop(&s->bodies);
        if (r->n_bodies == 0)
            r->first_arrived_ms = body->arrived_ms;
        wm_letters_add(&r->bodies, &body->note.letter);
        r->n_bodies++;
        r->bytes += body->len;
        wm_inbox_append(&s->db, &s->inbox, body);
    }
}

/* A savepoint around each job: what fails by itself is undone alone. Disk trouble is left for the whole round. */
static void run_job(struct wm_store *s, struct wm_job *job)
{
    struct wm_db *db = &s->db;
    job->status = WM_OK;
    job->error = (struct wm_error)WM_ERROR_INIT;
    wm_db_do(db, "SAVEPOINT job", "");
    job->apply(job, db);
    if (db->code != SQLITE_OK && wm_db_hopeless(db)) {
        job->status = wm_fail(&job->error, WM_EINVAL, "%s", db->error.text);
        wm_log(WM_LOG_ERROR, "a job of the store is refused", WM_S("why", db->error.text));
        wm_db_clear(db);
    }
    if (job->status != WM_OK)
        wm_db_do(db, "ROLLBACK TO job", "");
    wm_db_do(db, "RELEASE job", "");
}

static void run_jobs(struct wm_store *s, struct round *r)
{
    int64_t begin = wm_now_us();
    struct wm_counters *c = s->options.counters;
    wm_share_round(&s->share, begin, r->n_bodies, c->read, c->read_us);
    int64_t credit = wm_share_credit(&s->share, begin, r->n_bodies == 0 && !s->bodies.first), used = 0;
    while (s->jobs.first && s->db.code == SQLITE_OK && used < credit) {
        struct wm_job *job = (struct wm_job *)wm_letters_pop(&s->jobs);
        wm_letters_add(&r->jobs, &job->note.letter);
        run_job(s, job);
        used = wm_now_us() - begin;
    }
    wm_share_spend(&s->share, used);
}

static void prune(struct wm_store *s)
{
    int64_t now = wm_now_ms();
    if (now < s->prune_at_ms)
        return;
    bool more = wm_inbox_prune(&s->db, s->options.clock->wall_ms(s->options.clock->self));
    s->prune_at_ms = more ? now : now + PRUNE_EVERY_MS;
}

static void count_commit(struct wm_store *s, const struct round *r, uint64_t us)
{
    struct wm_counters *c = s->options.counters;
    c->commits++;
    c->bodies += r->n_bodies;
    c->body_bytes += r->bytes;
    c->commit_us_sum += us;
    s->recent_us[s->recent_at++ % COMMIT_WINDOW] = us;
    uint64_t max = 0;
    if (us >= c->commit_us_max) {
        max = us;
    } else {
        for (size_t i = 0; i < COMMIT_WINDOW; i++)
            max = s->recent_us[i] > max ? s->recent_us[i] : max;
    }
    c->commit_us_max = max;
}

static void succeed(struct wm_store *s, struct round *r)
{
    struct wm_counters *c = s->options.counters;
    if (r->n_bodies > 0 && c->recorded_id >= c->committed_id)
        c->oldest_ms = r->first_arrived_ms;
    c->committed_id = s->inbox.last_id;
    s->waiting_bytes -= r->bytes;
    for (struct wm_letter *l = r->bodies.first; l; l = l->next) {
        struct wm_body *body = (struct wm_body *)l;
        body->done(body->arg, WM_OK);
    }
    for (struct wm_letter *l; (l = wm_letters_pop(&r->bodies));)
        wm_feed_offer(s->options.feed, (struct wm_body *)l);
    for (struct wm_letter *l; (l = wm_letters_pop(&r->jobs));)
        if (wm_mailbox_post_reply(s->options.answers, l) != WM_OK)
            ((struct wm_note *)l)->drop((struct wm_note *)l);
}

static void refuse_bodies(struct wm_store *s, struct wm_letters *bodies)
{
    struct wm_counters *c = s->options.counters;
    for (struct wm_letter *l; (l = wm_letters_pop(bodies));) {
        struct wm_body *body = (struct wm_body *)l;
        c->ingest_refused++;
        c->refused_ms = s->options.clock->wall_ms(s->options.clock->self);
        s->waiting_bytes -= body->len;
        body->done(body->arg, WM_EIO);
        wm_body_free(body);
    }
}

/* False: nothing of the round is on disk; its jobs wait again, its bodies are refused. */
static bool do_round(struct wm_store *s)
{
    struct wm_db *db = &s->db;
    struct round r = {0};
    wm_letters_init(&r.bodies);
    wm_letters_init(&r.jobs);
    wm_db_do(db, "BEGIN IMMEDIATE", "");
    write_bodies(s, &r);
    run_jobs(s, &r);
    prune(s);
    wm_db_rest(db);
    int64_t commit = wm_now_us();
    wm_db_do(db, "COMMIT", "");
    if (db->code == SQLITE_OK) {
        count_commit(s, &r, (uint64_t)(wm_now_us() - commit));
        succeed(s, &r);
        wm_checkpointer_grown(s->checkpointer, db->sql, s->wal_pages);
        return true;
    }
    wm_log(WM_LOG_ERROR, "the store cannot write; webhooks are refused until it can",
           WM_S("why", db->error.text));
    wm_letters_put_back(&s->jobs, &r.jobs);
    refuse_bodies(s, &r.bodies);
    return false;
}

/* --- opening and recovering ----------------------------------------------------------------------------------- */

static int log_has_grown(void *arg, sqlite3 *sql, const char *name, int pages)
{
    (void)sql, (void)name;
    ((struct wm_store *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

static enum wm_status open_writer(struct wm_store *s, struct wm_error *err)
{
    enum wm_status st = wm_db_open(&s->db, s->options.path,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, err);
    if (st != WM_OK)
        return st;
    st = wm_schema_prepare(&s->db, err);
    if (st == WM_OK) {
        sqlite3_wal_hook(s->db.sql, log_has_grown, s);
        s->inbox = wm_inbox_end(&s->db);
        st = wm_db_status(&s->db, err);
    }
    if (st != WM_OK)
        wm_db_close(&s->db);
    return st;
}

/* A write that needs the disk: of a new value, since SQLite spares itself the writing of an equal one. */
static bool probe(struct wm_store *s)
{
    wm_db_do(&s->db, "REPLACE INTO meta VALUES('probe', random())", "");
    return s->db.code == SQLITE_OK;
}

static void close_writer(struct wm_store *s)
{
    if (s->db.sql && !sqlite3_get_autocommit(s->db.sql)) {
        wm_db_rest(&s->db);
        sqlite3_exec(s->db.sql, "ROLLBACK", NULL, NULL, NULL);
    }
    wm_db_close(&s->db);
}

/* Until the disk takes writes again, or the store is to stop: then false. */
static bool recover(struct wm_store *s)
{
    struct wm_counters *c = s->options.counters;
    c->store_errors++;
    c->store_ok = false;
    bool again =
        wm_now_ms() - s->recovered_ms < RETRY_LAST_MS; /* it writes now and then: do not run in circles */
    for (int64_t wait = again ? RETRY_FIRST_MS : 0;; wait = wait ? wait * 2 : RETRY_FIRST_MS) {
        if (wait > RETRY_LAST_MS)
            wait = RETRY_LAST_MS;
        if (wait && wait_bell(s, wait))
            return false;
        take_letters(s);
        refuse_bodies(s, &s->bodies);
        close_writer(s);
        if (open_writer(s, NULL) == WM_OK && probe(s))
            break;
    }
    c->store_ok = true;
    s->recovered_ms = wm_now_ms();
    wm_log(WM_LOG_INFO, "the store writes again", WM_N("errors", c->store_errors));
    return true;
}

static void fail_jobs(struct wm_store *s)
{
    for (struct wm_letter *l; (l = wm_letters_pop(&s->jobs));) {
        struct wm_job *job = (struct wm_job *)l;
        job->status = wm_fail(&job->error, WM_EIO, "the store could not be written before the end");
        if (wm_mailbox_post_reply(s->options.answers, l) != WM_OK)
            job->note.drop(&job->note);
    }
}

static void *run(void *arg)
{
    struct wm_store *s = arg;
    for (;;) {
        take_letters(s);
        int64_t rest_ms = s->jobs.first ? wm_share_wait_ms(&s->share) : PRUNE_EVERY_MS;
        if (!s->bodies.first && rest_ms > 0) {
            bool stop = wait_bell(s, rest_ms);
            take_letters(s);
            if (stop && !s->bodies.first && !s->jobs.first)
                break;
        }
        if (do_round(s))
            continue;
        bool last_try = stopping(s); /* at the end a failed round is tried once more, not for ever */
        if (!recover(s) || (last_try && !do_round(s))) {
            take_letters(s);
            refuse_bodies(s, &s->bodies);
            fail_jobs(s);
            break;
        }
    }
    return NULL;
}

enum wm_status wm_store_open(const struct wm_store_options *options, struct wm_store **out,
                             struct wm_error *err)
{
    struct wm_store *s = calloc(1, sizeof *s);
    if (!s)
        return wm_fail(err, WM_ENOMEM, "no memory for the store %s", options->path);
    s->options = *options;
    wm_letters_init(&s->bodies);
    wm_letters_init(&s->jobs);
    wm_share_init(&s->share, wm_now_us(), (int)sysconf(_SC_NPROCESSORS_ONLN));
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->bell, &attr);
    pthread_condattr_destroy(&attr);
    enum wm_status st = wm_mailbox_new(INGEST_LETTERS, ring, s, &s->bodies_in, err);
    if (st == WM_OK)
        st = wm_mailbox_new(SIZE_MAX, ring, s, &s->jobs_in, err);
    if (st == WM_OK)
        st = open_writer(s, err);
    if (st == WM_OK)
        st = wm_checkpointer_new(s->options.path, &s->checkpointer, err);
    if (st != WM_OK) {
        wm_store_close(s);
        return st;
    }
    options->counters->store_ok = true;
    options->counters->committed_id = s->inbox.last_id;
    options->feed->committed = s->inbox.last_id;
    *out = s;
    return WM_OK;
}

struct wm_db *wm_store_db(struct wm_store *s)
{
    return &s->db;
}

enum wm_status wm_store_start(struct wm_store *s, struct wm_error *err)
{
    if (pthread_create(&s->thread, NULL, run, s) != 0)
        return wm_fail(err, WM_ENOMEM, "cannot start the store thread");
    s->running = true;
    return WM_OK;
}

enum wm_status wm_store_ingest(struct wm_store *s, struct wm_body *body)
{
    struct wm_counters *c = s->options.counters;
    int64_t now = s->options.clock->wall_ms(s->options.clock->self);
    body->arrived_ms = now;
    size_t len = body->len; /* after the post the body is the store's */
    size_t waiting = atomic_fetch_add(&s->waiting_bytes, len) + len;
    enum wm_status st = WM_EAGAIN;
    if (c->store_ok && waiting <= s->options.ingest_bytes)
        st = wm_mailbox_post(s->bodies_in, &body->note.letter);
    if (st != WM_OK) {
        s->waiting_bytes -= len;
        c->ingest_refused++;
        c->refused_ms = now;
    }
    return st;
}

void wm_store_submit(struct wm_store *s, struct wm_job *job)
{
    if (wm_mailbox_post_reply(s->jobs_in, &job->note.letter) != WM_OK)
        job->note.drop(&job->note);
}

void wm_store_close(struct wm_store *s)
{
    if (!s)
        return;
    if (s->running) {
        wm_mailbox_close(s->bodies_in);
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_signal(&s->bell);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
    }
    wm_checkpointer_free(s->checkpointer);
    close_writer(s);
    wm_mailbox_free(s->bodies_in);
    wm_mailbox_free(s->jobs_in);
    pthread_cond_destroy(&s->bell);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
