/* keeper.c -- see keeper.h. */
#include "sessions/keeper.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Decoding is what a stranger can make us do most of: it gets what the others leave over. */
enum { KEEPER_NICE = 10 };

struct wm_keeper {
    struct wm_mailbox *in, *answers;
    pthread_t thread;
    bool running;
};

static void *run(void *arg)
{
    struct wm_keeper *k = arg;
    setpriority(PRIO_PROCESS, (id_t)gettid(), KEEPER_NICE); /* a request: without it all works as well */
    for (;;) {
        struct wm_letter *l = wm_mailbox_wait(k->in, -1);
        if (!l && wm_mailbox_closed(k->in))
            return NULL;
        for (struct wm_letter *next; l; l = next) {
            struct wm_job *job = (struct wm_job *)l;
            next = l->next;
            job->status = WM_OK;
            job->error = (struct wm_error)WM_ERROR_INIT;
            job->apply(job, NULL);
            if (wm_mailbox_post_reply(k->answers, &job->note.letter) != WM_OK)
                job->note.drop(&job->note);
        }
    }
}

enum wm_status wm_keeper_new(struct wm_mailbox *answers, struct wm_keeper **out, struct wm_error *err)
{
    struct wm_keeper *k = calloc(1, sizeof *k);
    if (!k)
        return wm_fail(err, WM_ENOMEM, "no memory for the media thread");
    k->answers = answers;
    enum wm_status st = wm_mailbox_new(SIZE_MAX, NULL, NULL, &k->in, err);
    if (st == WM_OK && pthread_create(&k->thread, NULL, run, k) != 0)
        st = wm_fail(err, WM_ENOMEM, "cannot start the media thread");
    k->running = st == WM_OK;
    if (st != WM_OK) {
        wm_keeper_free(k);
        return st;
    }
    *out = k;
    return WM_OK;
}

void wm_keeper_submit(struct wm_keeper *k, struct wm_job *job)
{
    if (wm_mailbox_post_reply(k->in, &job->note.letter) != WM_OK)
        job->note.drop(&job->note);
}

void wm_keeper_free(struct wm_keeper *k)
{
    if (!k)
        return;
    if (k->running) {
        wm_mailbox_close(k->in);
        pthread_join(k->thread, NULL);
    }
    wm_mailbox_free(k->in);
    free(k);
}
