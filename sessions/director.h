/* director.h -- the thread that owns the conversations' state machines and their timers. Design: director.c. */
#ifndef WM_SESSIONS_DIRECTOR_H
#define WM_SESSIONS_DIRECTOR_H

#include "sessions/counters.h"
#include "sessions/feed.h"
#include "sessions/keeper.h"
#include "sessions/reader.h"
#include "sessions/seams.h"
#include "sessions/sessions.h"
#include "sessions/shelf.h"
#include "sessions/store.h"

struct wm_director_options { /* borrowed, outlive the director */
    struct wm_mailbox *box;
    struct wm_feed *feed;
    struct wm_store *store;
    struct wm_reader *reader;
    struct wm_keeper *keeper;
    const struct wm_shelf *shelf;
    struct wm_transport *transport;
    struct wm_counters *counters;
    struct wm_brains *brains;     /* of all channels */
    const struct wm_brain *brain; /* of channels that name no engine; NULL: there is none */
    struct wm_brain (*brain_of)(struct wm_engine *e);
    const struct wm_clock *clock;
    int64_t unknown_wait_ms, human_ms;
    size_t media_bytes;     /* a picture may have */
    int64_t watermark;      /* bodies up to this one are events */
    const char *store_name; /* part of our references */
};

enum wm_status wm_director_new(const struct wm_director_options *options,
                               const struct wm_channel_binding *channels, size_t n, struct wm_director **out,
                               struct wm_error *err);

/* Any thread; see sessions.h. */
enum wm_status wm_director_reload(struct wm_director *d, const struct wm_channel_binding *channels, size_t n,
                                  struct wm_error *err);
enum wm_status wm_director_set_human(struct wm_director *d, int64_t conversation, bool human);

/* What the feed hands over is delivered by this. */
void wm_director_take_body(struct wm_director *d, struct wm_note *note);

/* Stops taking new work, waits at most that long for what runs, joins. The store and the reader must still run. */
void wm_director_stop(struct wm_director *d, int64_t deadline_ms);
/* After the store and the reader have gone too. NULL is fine. */
void wm_director_free(struct wm_director *d);

#endif
