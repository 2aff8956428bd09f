/* reader.c -- see reader.h. */
#include "sessions/reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sessions/schema.h"

enum { QUESTIONS = 64 };

struct wm_reader {
    char *path;
    struct wm_db db; /* closed after a failure, opened again for the next job */
    struct wm_mailbox *in, *answers;
    pthread_t thread;
    bool running;
    _Atomic int questions;
};

static void answer(struct wm_reader *r, struct wm_job *job)
{
    struct wm_db *db = &r->db;
    job->status = WM_OK;
    job->error = (struct wm_error)WM_ERROR_INIT;
    if (!db->sql)
        job->status = wm_schema_open_reader(db, r->path, &job->error);
    if (job->status == WM_OK)
        wm_db_do(db, "BEGIN", "");
    bool question = !job->note.deliver;
    if (db->sql || question) /* a question tells its asker what is wrong */
        job->apply(job, db);
    if (db->sql) {
        wm_db_rest(db);
        wm_db_do(db, "COMMIT", "");
        if (job->status == WM_OK)
            job->status = wm_db_status(db, &job->error);
        if (db->code != SQLITE_OK)
            wm_db_close(db);
    }
    if (question)
        r->questions--;
    if (question || wm_mailbox_post_reply(r->answers, &job->note.letter) != WM_OK)
        job->note.drop(&job->note);
}

static void *run(void *arg)
{
    struct wm_reader *r = arg;
    for (;;) {
        struct wm_letter *l = wm_mailbox_wait(r->in, -1);
        if (!l && wm_mailbox_closed(r->in))
            return NULL;
        while (l) {
            struct wm_letter *next = l->next;
            answer(r, (struct wm_job *)l);
            l = next;
        }
    }
}

enum wm_status wm_reader_new(const char *path, struct wm_mailbox *answers, struct wm_reader **out,
                             struct wm_error *err)
{
    struct wm_reader *r = calloc(1, sizeof *r);
    if (!r || !(r->path = strdup(path))) {
        free(r);
        return wm_fail(err, WM_ENOMEM, "no memory for the reader of %s", path);
    }
    r->answers = answers;
    enum wm_status st = wm_mailbox_new(SIZE_MAX, NULL, NULL, &r->in, err);
    if (st == WM_OK)
        st = wm_schema_open_reader(&r->db, path, err);
    if (st == WM_OK && pthread_create(&r->thread, NULL, run, r) != 0)
        st = wm_fail(err, WM_ENOMEM, "cannot start the reader thread");
    r->running = st == WM_OK;
    if (st != WM_OK) {
        wm_reader_free(r);
        return st;
    }
    *out = r;
    return WM_OK;
}

enum wm_status wm_reader_submit(struct wm_reader *r, struct wm_job *job)
{
    bool question = !job->note.deliver;
    if (question && atomic_fetch_add(&r->questions, 1) >= QUESTIONS) {
        r->questions--;
        return WM_EAGAIN;
    }
    if (wm_mailbox_post_reply(r->in, &job->note.letter) != WM_OK)
        job->note.drop(&job->note);
    return WM_OK;
}

void wm_reader_free(struct wm_reader *r)
{
    if (!r)
        return;
    if (r->running) {
        wm_mailbox_close(r->in);
        pthread_join(r->thread, NULL);
    }
    wm_db_close(&r->db);
    wm_mailbox_free(r->in);
    free(r->path);
    free(r);
}
