/* feed.c -- how bodies get from their commit to the director.
 *
 * WHY     A body in memory need not be read again; but when the director is behind (a slow model, an attack, a start
 *         after days) memory must not grow, and the acknowledged bodies are on disk anyway.
 *
 * HOW     Live: the store posts each body after its commit. When too many lie unread, the feed stops being live and
 *         bodies stay on disk only. The director empties its mailbox, then reads the inbox page by page, and asks to
 *         resume when a page was the last. The lock makes "nothing newer is committed" and "live again" one step.
 *
 *           live --full--> from disk --resume(last == committed)--> live
 *
 * ALWAYS  The director sees each body once, in order of id: a live run has no gaps, and a page begins behind the
 *         newest body that the director has seen.
 *
 * LIMITS  BODIES and BYTES in the mailbox.
 */
#include "sessions/feed.h"

#include <stdlib.h>
#include <string.h>

enum { BODIES = 4096, BYTES = 16 << 20 };

static void drop_body(struct wm_note *note)
{
    wm_body_free((struct wm_body *)note);
}

struct wm_body *wm_body_new(const char *channel, char *bytes, size_t len)
{
    size_t name = strlen(channel) + 1;
    struct wm_body *body = calloc(1, sizeof *body + name);
    if (!body)
        return NULL;
    memcpy(body->channel, channel, name);
    body->bytes = bytes;
    body->len = len;
    body->note.drop = drop_body;
    return body;
}

void wm_body_free(struct wm_body *body)
{
    if (body)
        free(body->bytes);
    free(body);
}

void wm_feed_init(struct wm_feed *feed, struct wm_mailbox *to,
                  void (*deliver)(struct wm_director *d, struct wm_note *note))
{
    *feed = (struct wm_feed){.to = to, .deliver = deliver};
    pthread_mutex_init(&feed->lock, NULL);
}

void wm_feed_end(struct wm_feed *feed)
{
    pthread_mutex_destroy(&feed->lock);
}

void wm_feed_offer(struct wm_feed *feed, struct wm_body *body)
{
    pthread_mutex_lock(&feed->lock);
    feed->committed = body->id;
    if (feed->n == BODIES || feed->bytes > BYTES)
        feed->live = false;
    body->note.deliver = feed->deliver;
    if (feed->live && wm_mailbox_post_reply(feed->to, &body->note.letter) == WM_OK) {
        feed->n++;
        feed->bytes += body->len;
        body = NULL;
    }
    pthread_mutex_unlock(&feed->lock);
    wm_body_free(body);
}

void wm_feed_taken(struct wm_feed *feed, const struct wm_body *body)
{
    pthread_mutex_lock(&feed->lock);
    feed->n--;
    feed->bytes -= body->len;
    pthread_mutex_unlock(&feed->lock);
}

bool wm_feed_dry(struct wm_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    bool dry = !feed->live && feed->n == 0;
    pthread_mutex_unlock(&feed->lock);
    return dry;
}

bool wm_feed_resume(struct wm_feed *feed, int64_t last)
{
    pthread_mutex_lock(&feed->lock);
    bool live = feed->live = feed->committed <= last;
    pthread_mutex_unlock(&feed->lock);
    return live;
}
