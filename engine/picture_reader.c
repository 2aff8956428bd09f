/* picture_reader.c -- a thread that reads and tiles picture files.
 *
 * WHY     A picture of twelve megapixels takes some hundred milliseconds to decode, from a disk that may be
 *         slow; the engine thread owes its running replies a token every few milliseconds.
 *
 * ALWAYS  One reading at a time, and a reading that was accepted comes back, unless the engine is closing.
 *
 * LIMITS  Whoever posts bounds how many: encoder.c has WM_READ_AHEAD under way.
 */
#include "engine/picture_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WAITING = 64 };

struct wm_picture_reader {
    const struct wm_vision_arch *vision;
    struct wm_mailbox *mailbox, *replies;
    pthread_t thread;
    bool started;
};

void wm_reading_free(struct wm_reading *reading)
{
    if (!reading)
        return;
    wm_tiles_free(&reading->tiles);
    free((char *)reading->picture.path);
    free(reading);
}

static void drop_all(struct wm_letter *letters)
{
    while (letters) {
        struct wm_reading *reading = (struct wm_reading *)letters;
        letters = letters->next;
        wm_reading_free(reading);
    }
}

static void *loop(void *arg)
{
    struct wm_picture_reader *r = arg;
    while (!wm_mailbox_closed(r->mailbox)) {
        struct wm_letter *letters = wm_mailbox_wait(r->mailbox, -1);
        while (letters && !wm_mailbox_closed(r->mailbox)) {
            struct wm_reading *reading = (struct wm_reading *)letters;
            letters = letters->next;
            (void)wm_picture_tiles_of(r->vision, &reading->picture, &reading->tiles, &reading->error);
            if (wm_mailbox_post_reply(r->replies, &reading->post.letter) != WM_OK)
                wm_reading_free(reading); /* the engine is closing */
        }
        drop_all(letters);
    }
    return NULL;
}

enum wm_status wm_picture_reader_new(const struct wm_vision_arch *v, struct wm_mailbox *replies,
                                     struct wm_picture_reader **out, struct wm_error *err)
{
    struct wm_picture_reader *r = calloc(1, sizeof *r);
    if (!r)
        return wm_fail(err, WM_ENOMEM, "no memory for a reader of pictures");
    *r = (struct wm_picture_reader){.vision = v, .replies = replies};
    enum wm_status st = wm_mailbox_new(MAX_WAITING, NULL, NULL, &r->mailbox, err);
    if (st == WM_OK) {
        r->started = pthread_create(&r->thread, NULL, loop, r) == 0;
        if (!r->started)
            st = wm_fail(err, WM_EAGAIN, "the thread that reads pictures could not be started");
    }
    if (st != WM_OK) {
        wm_picture_reader_free(r);
        return st;
    }
    *out = r;
    return WM_OK;
}

enum wm_status wm_picture_reader_post(struct wm_picture_reader *r, const struct wm_picture *picture)
{
    struct wm_reading *reading = calloc(1, sizeof *reading);
    char *path = strdup(picture->path);
    if (!reading || !path) {
        free(reading);
        free(path);
        return WM_ENOMEM;
    }
    reading->post.kind = WM_POST_READING;
    reading->picture = *picture;
    reading->picture.path = path;
    enum wm_status st = wm_mailbox_post(r->mailbox, &reading->post.letter);
    if (st != WM_OK)
        wm_reading_free(reading);
    return st;
}

void wm_picture_reader_free(struct wm_picture_reader *r)
{
    if (!r)
        return;
    if (r->mailbox)
        wm_mailbox_close(r->mailbox);
    if (r->started)
        pthread_join(r->thread, NULL);
    if (r->mailbox)
        drop_all(wm_mailbox_take(r->mailbox));
    wm_mailbox_free(r->mailbox);
    free(r);
}
