/* sessions.h -- conversations: the durable store, turn-taking, delivery.
 *
 * Threads inside: `store` (one writer, group commit), `reader` (queries), `director` (state machines and timers),
 * `media` (pictures are hashed, written, looked at: keeper.h).
 * The gateway hands in verified bodies and asks questions; answers come through callbacks.
 *
 *   ALWAYS  (1) `done` of an ingest says WM_OK only after the body is on disk (WAL, synchronous=FULL).
 *           (2) One conversation, one turn at a time, in platform order.
 *           (3) Every message of a body has exactly one place in the transcript, whatever repeats or crashes.
 *           (4) A finished turn, its transcript rows and its outbox rows are one transaction.
 */
#ifndef WM_SESSIONS_SESSIONS_H
#define WM_SESSIONS_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "kernels/base/error.h"
#include "sessions/channel.h"
#include "sessions/transport.h"

struct wm_sessions;
struct wm_seams;

/* What a channel answers with. Borrowed while open/reload runs. */
struct wm_bot_config {
    const char *name;
    const char *system;       /* system prompt, knowledge appended; NULL: the chat format's default */
    int32_t max_reply_tokens; /* 0: 512 */
    struct wm_sampling sampling;
};

struct wm_channel_binding {
    const char *name; /* as in /webhooks/NAME; unique */
    const char *account;
    const struct wm_adapter *adapter;
    struct wm_channel *channel; /* borrowed; outlives the sessions */
    struct wm_engine
        *engine; /* who thinks for this bot; borrowed, outlives the sessions; NULL: that of the options */
    struct wm_bot_config bot;
    int64_t settle_quiet_ms;   /* a burst is over after this silence ... */
    int64_t settle_at_most_ms; /* ... or this long after its first message */
};

struct wm_sessions_options {
    const char *data;         /* folder; made (mode 0700) when missing. A second daemon on it is refused */
    struct wm_engine *engine; /* of channels that name none; borrowed */
    struct wm_transport *transport; /* borrowed; outlives the sessions */
    const struct wm_channel_binding *channels;
    size_t n_channels;
    int64_t unknown_wait_ms;      /* shortest wait for a status that settles an `unknown` row; 0: 60 s */
    int64_t human_ms;             /* a person's message keeps the bot silent so long; 0: 24 h */
    size_t ingest_bytes;          /* bodies that may wait for their commit; 0: 64 MiB */
    size_t media_bytes;           /* a picture may have; 0: 16 MiB */
    const struct wm_seams *seams; /* tests: another clock, another model (sessions/seams.h); NULL */
};

/* Opens or makes the store, recovers what a crash left, starts the threads. EEXIST: another daemon holds the folder. */
enum wm_status wm_sessions_open(const struct wm_sessions_options *options, struct wm_sessions **out,
                                struct wm_error *err);

/* Stops taking turns, lets running ones finish and commits until `deadline_ms` from now, then joins and frees. What is
 * unfinished resumes at the next start. The transport may still call back while this runs. */
void wm_sessions_close(struct wm_sessions *s, int64_t deadline_ms);

/* SIGHUP: new channels and bots; those that vanished take no new turns, their queues stay. Copies. */
enum wm_status wm_sessions_reload(struct wm_sessions *s, const struct wm_channel_binding *channels, size_t n,
                                  struct wm_error *err);

/* Any thread. `body` (malloc'd) is taken on WM_OK. `done` runs on the store thread after the commit (WM_OK) or its
 * failure (WM_EIO: answer 503, the platform will send it again). WM_EAGAIN: full or the disk is behind: 503. */
enum wm_status wm_sessions_ingest(struct wm_sessions *s, const char *channel, char *body, size_t len,
                                  void (*done)(void *arg, enum wm_status st), void *arg);

/* --- questions ---------------------------------------------------------------------------------------------- */

enum wm_question_kind {
    WM_ASK_EVENTS,        /* after, limit */
    WM_ASK_CONVERSATIONS, /* contact (NULL: the most recent), limit */
    WM_ASK_CONVERSATION   /* id */
};

struct wm_question {
    enum wm_question_kind kind;
    int64_t after;
    int64_t limit; /* 1..1000; 0: 100 */
    int64_t id;
    char contact[192]; /* "" : any */
};

/* Any thread. `answer` runs on the reader thread: JSON of the form that the admin interface shows, or NULL with an
 * error (ENOENT). WM_EAGAIN: too many wait. */
enum wm_status wm_sessions_ask(struct wm_sessions *s, const struct wm_question *q,
                               void (*answer)(void *arg, const char *json, size_t len,
                                              const struct wm_error *err),
                               void *arg);

/* The same from a store folder without a daemon, or beside a running one: opens read-only, answers, closes. */
enum wm_status wm_sessions_ask_offline(const char *data, const struct wm_question *q, struct wm_buffer *out,
                                       struct wm_error *err);

/* One operator verb: a person takes the conversation over (bot silent) or gives it back. */
enum wm_status wm_sessions_set_human(struct wm_sessions *s, int64_t conversation, bool human);

struct wm_sessions_stats {
    uint64_t bodies, body_bytes, commits, ingest_refused;
    uint64_t events, duplicates, unparsed;
    uint64_t backlog;       /* bodies committed, not yet events */
    int64_t backlog_age_ms; /* of the oldest of them; the first thing to look at */
    uint64_t turns_started, turns_finished, turns_failed;
    uint64_t conversations_active; /* not idle */
    uint64_t outbox_queued, outbox_unknown, outbox_sent, outbox_failed, outbox_retries;
    uint64_t commit_us_sum, commit_us_max; /* of the last 1,024 commits: max */
    uint64_t store_errors;
    uint64_t media_wanted; /* pictures that are being fetched, or will be */
    uint64_t media_fetched, media_failed, media_bytes;
    bool store_ok;             /* false after a write error until a commit succeeds again */
    int64_t unanswered_age_ms; /* age of the oldest message that still waits for its turn; 0 without */
};

/* A copy; each figure is right, together they may straddle a step. */
void wm_sessions_stats(struct wm_sessions *s, struct wm_sessions_stats *out);

#endif
