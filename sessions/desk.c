/* desk.c -- see desk.h. */
#include "sessions/desk.h"

#include <pthread.h>
#include <stdlib.h>

struct wm_desk {
    pthread_mutex_t lock;
    struct wm_mailbox *box; /* NULL: shut */
    int holds;
};

enum wm_status wm_desk_new(struct wm_mailbox *box, struct wm_desk **out, struct wm_error *err)
{
    struct wm_desk *desk = calloc(1, sizeof *desk);
    if (!desk)
        return wm_fail(err, WM_ENOMEM, "no memory for the director's desk");
    pthread_mutex_init(&desk->lock, NULL);
    desk->box = box;
    desk->holds = 1;
    *out = desk;
    return WM_OK;
}

void wm_desk_hold(struct wm_desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    desk->holds++;
    pthread_mutex_unlock(&desk->lock);
}

void wm_desk_release(struct wm_desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    bool last = --desk->holds == 0;
    pthread_mutex_unlock(&desk->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}

void wm_desk_post(struct wm_desk *desk, struct wm_note *note)
{
    pthread_mutex_lock(&desk->lock);
    bool taken = desk->box && wm_mailbox_post_reply(desk->box, &note->letter) == WM_OK;
    pthread_mutex_unlock(&desk->lock);
    if (!taken)
        note->drop(note);
    wm_desk_release(desk);
}

void wm_desk_shut(struct wm_desk *desk)
{
    if (!desk)
        return;
    pthread_mutex_lock(&desk->lock);
    desk->box = NULL;
    pthread_mutex_unlock(&desk->lock);
    wm_desk_release(desk);
}
