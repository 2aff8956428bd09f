/* mailbox.c -- carries letters from any thread to the one thread that owns a piece of state.
 *
 * WHY     One thread owns the state and the others post to it: then no state needs a lock of its own.
 *
 * HOW     A mutex guards a list. The poster who finds the list empty wakes the owner (condition variable,
 *         or the `wake` callback of an event loop); the rest stay silent, so a burst costs one wake-up.
 *         The owner takes the whole list under the lock and works on it unlocked.
 *
 * ALWAYS  (1) Whoever makes the list non-empty wakes the owner.
 *         (2) A letter is in one list, or in none.
 *         (3) `wake` never runs under the lock.
 *
 * LIMITS  `capacity` letters. Past it post() says WM_EAGAIN: slow owners make posters wait or shed; they
 *         never make memory grow. Replies pass the limit, because refusing an answer would strand whoever
 *         waits for it; their number is bounded by the requests that were accepted.
 */
#include "kernels/base/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct wm_mailbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct wm_letter *first, **last; /* oldest first; *last is where the next one goes */
    size_t len, capacity;
    bool closed;
    void (*wake)(void *arg);
    void *wake_arg;
};

enum wm_status wm_mailbox_new(size_t capacity, void (*wake)(void *arg), void *arg, struct wm_mailbox **out,
                              struct wm_error *err)
{
    struct wm_mailbox *box = calloc(1, sizeof *box);
    if (!box)
        return wm_fail(err, WM_ENOMEM, "no memory for a mailbox");
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&box->filled, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&box->lock, NULL);
    box->last = &box->first;
    box->capacity = capacity;
    box->wake = wake;
    box->wake_arg = arg;
    *out = box;
    return WM_OK;
}

static enum wm_status post(struct wm_mailbox *box, struct wm_letter *letter, bool bounded)
{
    pthread_mutex_lock(&box->lock);
    if (box->closed || (bounded && box->len >= box->capacity)) {
        enum wm_status st = box->closed ? WM_ECANCELED : WM_EAGAIN;
        pthread_mutex_unlock(&box->lock);
        return st;
    }
    bool was_empty = box->first == NULL;
    letter->next = NULL;
    *box->last = letter;
    box->last = &letter->next;
    box->len++;
    if (was_empty && !box->wake)
        pthread_cond_signal(&box->filled);
    pthread_mutex_unlock(&box->lock);
    if (was_empty && box->wake)
        box->wake(box->wake_arg);
    return WM_OK;
}

enum wm_status wm_mailbox_post(struct wm_mailbox *box, struct wm_letter *letter)
{
    return post(box, letter, true);
}

enum wm_status wm_mailbox_post_reply(struct wm_mailbox *box, struct wm_letter *letter)
{
    return post(box, letter, false);
}

static struct wm_letter *take_locked(struct wm_mailbox *box)
{
    struct wm_letter *all = box->first;
    box->first = NULL;
    box->last = &box->first;
    box->len = 0;
    return all;
}

struct wm_letter *wm_mailbox_take(struct wm_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    struct wm_letter *all = take_locked(box);
    pthread_mutex_unlock(&box->lock);
    return all;
}

struct wm_letter *wm_mailbox_wait(struct wm_mailbox *box, int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms > 0) {
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += timeout_ms % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
    }
    pthread_mutex_lock(&box->lock);
    while (!box->first && !box->closed && timeout_ms != 0) {
        if (timeout_ms < 0)
            pthread_cond_wait(&box->filled, &box->lock);
        else if (pthread_cond_timedwait(&box->filled, &box->lock, &until) == ETIMEDOUT)
            break;
    }
    struct wm_letter *all = take_locked(box);
    pthread_mutex_unlock(&box->lock);
    return all;
}

void wm_mailbox_close(struct wm_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    pthread_cond_broadcast(&box->filled);
    pthread_mutex_unlock(&box->lock);
    if (box->wake)
        box->wake(box->wake_arg);
}

bool wm_mailbox_closed(struct wm_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    bool closed = box->closed;
    pthread_mutex_unlock(&box->lock);
    return closed;
}

void wm_mailbox_free(struct wm_mailbox *box)
{
    if (!box)
        return;
    pthread_cond_destroy(&box->filled);
    pthread_mutex_destroy(&box->lock);
    free(box);
}
