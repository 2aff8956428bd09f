/* world.h -- everything around sessions, faked: a platform that speaks lines of text, a model that repeats what it
 * reads, a clock that tests can move. One world per data folder; it may be closed and opened again.
 *
 *   body:  kind|id|sender|at|text|more      one event a line; `at` is Unix ms, or +ms from now
 *   kinds: text image echo status read edit stop-free names of sessions/event.h
 *   more:  status: the reference; image, sticker: media ids, with commas; text: a second id of the sender
 */
#ifndef WM_TESTS_SESSIONS_WORLD_H
#define WM_TESTS_SESSIONS_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "sessions/seams.h"
#include "sessions/sessions.h"

/* --- the platform --------------------------------------------------------------------------------------------- */

enum fate {
    FATE_SENT,
    FATE_RETRY, /* refused, again in 50 ms */
    FATE_FAILED,
    FATE_LOST,       /* accepted, answer lost */
    FATE_LOST_EARLY, /* never accepted, and we cannot know */
    FATE_PAUSE,
    FATE_HOLD /* no answer until the test gives one */
};

struct sent {
    char to[64], text[512], ref[64], id[64];
};

enum { SENT_MAX = 20000 };

/* What the platform answers when a picture is asked for (asked) or fetched. Filled in as it should be; a hook changes it. */
struct picture {
    char id[64];
    bool asked;
    size_t nth; /* call of its kind, from 1 */
    int status;
    bool lost, too_long, hold;
    char url[256], mime[64], sha256[65]; /* as announced */
    int64_t bytes;
    char body[128];
    size_t len;
};

struct platform {
    pthread_mutex_t lock;
    struct sent *accepted; /* SENT_MAX */
    size_t n;
    _Atomic size_t calls, effects;
    enum fate (*_Atomic fate)(size_t call, const char *text); /* NULL: all sent */
    void (*held_done)(void *arg, const struct wm_http_result *result);
    void *held_arg;
    char *held_id;
    void (*_Atomic picture)(struct picture *p); /* NULL: all pictures come */
    _Atomic size_t asked, fetched;
    struct picture late; /* held until platform_release_picture */
    void (*late_done)(void *arg, const struct wm_http_result *result);
    void *late_arg;
    const char *log; /* every accepted message is appended to this file, for worlds that get killed */
};

extern struct wm_adapter fake_adapter; /* tests may change window_ms and caps before opening a world */
extern const struct wm_adapter_media fake_media;

void platform_picture(struct platform *p, const char *url,
                      void (*done)(void *arg, const struct wm_http_result *result), void *arg);
void platform_release_picture(struct platform *p);

/* --- the model ------------------------------------------------------------------------------------------------ */

/* Answers "re: a,b,c" to the messages after its last reply, with "<id>" for each picture before a text; ids that begin with ~
 * it keeps to itself. See fake_brain.c. */
struct model {
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t thread;
    struct thought *first;
    bool stop, hold;              /* hold: think until released or cancelled */
    _Atomic int errors, silences; /* so many next answers are errors, or empty */
    bool sees;
    _Atomic int picture_errors; /* so many next answers to prompts with pictures are errors */
    _Atomic size_t requests, prompts_broken, looks, pictures_last; /* pictures of the last prompt */
    int context;
    struct past *past; /* per owner: what a next prompt must begin with */
};

void model_start(struct model *m);
void model_stop(struct model *m);
void model_hold(struct model *m, bool hold);
struct wm_brain model_brain(struct model *m);

/* --- all of it ------------------------------------------------------------------------------------------------ */

struct world {
    char dir[64];
    struct platform platform;
    struct model model;
    struct wm_brain brain;
    struct wm_clock clock;
    struct wm_seams seams;
    _Atomic int64_t moved_ms;
    struct wm_channel_binding binding;
    struct wm_transport transport;
    struct wm_sessions *sessions;
    int64_t unknown_wait_ms;
};

/* A fresh folder and an open store. */
struct world *world_new(void);
/* The same with settings made by `set` before it opens. */
struct world *world_new_with(void (*set)(struct world *w));
void world_free(struct world *w); /* closes, removes the folder */

void world_open(struct world *w);
enum wm_status world_try_open(struct world *w, struct wm_error *err);
void world_close(struct world *w, int64_t deadline_ms);

void world_advance(struct world *w, int64_t ms);
int64_t world_wall(struct world *w);

/* Hands a body in and waits for its commit. */
enum wm_status world_post(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Waits until the platform has accepted n messages in all, or nothing more happens; false after 10 s. */
bool world_wait_sent(struct world *w, size_t n);
/* Nothing is under way: no backlog, no active conversation. */
bool world_wait_idle(struct world *w);
bool world_wait(struct world *w, bool (*is)(struct world *w));

/* The text of accepted message i, a copy in a static buffer. */
const char *world_sent(struct world *w, size_t i);
struct sent world_sent_row(struct world *w, size_t i);
size_t world_sent_n(struct world *w);

/* A number from the store, read beside the daemon. */
int64_t world_number(struct world *w, const char *sql);
char *world_ask_new(struct world *w, enum wm_question_kind kind, int64_t id);

#endif
