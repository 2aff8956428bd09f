/* world.c -- see world.h. */
#include "tests/check.h"

#include "tests/sessions/world.h"

#include <ftw.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/base/log.h"

struct wm_transport platform_transport(struct platform *p);

enum { QUIET_MS = 60, AT_MOST_MS = 400, PATIENCE_MS = 20000, CLOSE_MS = 2000 };

static int64_t fake_now(void *self)
{
    return wm_now_ms() + ((struct world *)self)->moved_ms;
}

static int64_t fake_wall(void *self)
{
    return wm_wall_ms() + ((struct world *)self)->moved_ms;
}

enum wm_status world_try_open(struct world *w, struct wm_error *err)
{
    struct wm_sessions_options options = {.data = w->dir,
                                          .transport = &w->transport,
                                          .channels = &w->binding,
                                          .n_channels = 1,
                                          .unknown_wait_ms = w->unknown_wait_ms,
                                          .seams = &w->seams};
    return wm_sessions_open(&options, &w->sessions, err);
}

void world_open(struct world *w)
{
    struct wm_error err = WM_ERROR_INIT;
    if (world_try_open(w, &err) != WM_OK)
        fail_msg("%s", err.text);
}

struct world *world_new_with(void (*set)(struct world *w))
{
    struct world *w = calloc(1, sizeof *w);
    wm_log_setup(WM_LOG_ERROR, 0);
    snprintf(w->dir, sizeof w->dir, "/tmp/wm-sessions-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    pthread_mutex_init(&w->platform.lock, NULL);
    w->platform.accepted = calloc(SENT_MAX, sizeof *w->platform.accepted);
    w->clock = (struct wm_clock){.now_ms = fake_now, .wall_ms = fake_wall, .self = w, .longest_sleep_ms = 2};
    w->unknown_wait_ms = 60000;
    w->binding = (struct wm_channel_binding){.name = "fake",
                                             .account = "us",
                                             .adapter = &fake_adapter,
                                             .bot = {.name = "bot", .system = "be kind"},
                                             .settle_quiet_ms = QUIET_MS,
                                             .settle_at_most_ms = AT_MOST_MS};
    if (set)
        set(w);
    model_start(&w->model);
    w->brain = model_brain(&w->model);
    w->seams = (struct wm_seams){.brain = &w->brain, .clock = &w->clock};
    w->transport = platform_transport(&w->platform);
    world_open(w);
    return w;
}

struct world *world_new(void)
{
    return world_new_with(NULL);
}

void world_close(struct world *w, int64_t deadline_ms)
{
    if (w->sessions)
        wm_sessions_close(w->sessions, deadline_ms);
    w->sessions = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void world_free(struct world *w)
{
    world_close(w, CLOSE_MS);
    model_stop(&w->model);
    nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(w->platform.held_id);
    free(w->platform.accepted);
    free(w);
}

void world_advance(struct world *w, int64_t ms)
{
    w->moved_ms += ms;
}

int64_t world_wall(struct world *w)
{
    return fake_wall(w);
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool done;
    enum wm_status status;
};

static void told(void *arg, enum wm_status st)
{
    struct waiting *one = arg;
    pthread_mutex_lock(&one->lock);
    one->done = true;
    one->status = st;
    pthread_cond_signal(&one->told);
    pthread_mutex_unlock(&one->lock);
}

enum wm_status world_post(struct world *w, const char *format, ...)
{
    char *body;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&body, format, args);
    va_end(args);
    struct waiting one = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
    enum wm_status st = wm_sessions_ingest(w->sessions, "fake", body, (size_t)len, told, &one);
    if (st != WM_OK) {
        free(body);
        return st;
    }
    pthread_mutex_lock(&one.lock);
    while (!one.done)
        pthread_cond_wait(&one.told, &one.lock);
    pthread_mutex_unlock(&one.lock);
    return one.status;
}

bool world_wait(struct world *w, bool (*is)(struct world *w))
{
    int64_t until = wm_now_ms() + PATIENCE_MS;
    while (!is(w)) {
        if (wm_now_ms() > until)
            return false;
        usleep(1000);
    }
    return true;
}

size_t world_sent_n(struct world *w)
{
    pthread_mutex_lock(&w->platform.lock);
    size_t n = w->platform.n;
    pthread_mutex_unlock(&w->platform.lock);
    return n;
}

bool world_wait_sent(struct world *w, size_t n)
{
    int64_t until = wm_now_ms() + PATIENCE_MS;
    while (world_sent_n(w) < n) {
        if (wm_now_ms() > until)
            return false;
        usleep(1000);
    }
    return true;
}

static bool idle(struct world *w)
{
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    return stats.backlog == 0 && stats.conversations_active == 0;
}

bool world_wait_idle(struct world *w)
{
    /* Twice, with a moment between: the last commit's events may be on their way to the director. */
    return world_wait(w, idle) && usleep(20000) == 0 && world_wait(w, idle);
}

struct sent world_sent_row(struct world *w, size_t i)
{
    pthread_mutex_lock(&w->platform.lock);
    struct sent row = w->platform.accepted[i];
    pthread_mutex_unlock(&w->platform.lock);
    return row;
}

const char *world_sent(struct world *w, size_t i)
{
    static char text[sizeof(struct sent)];
    snprintf(text, sizeof text, "%s", world_sent_row(w, i).text);
    return text;
}

int64_t world_number(struct world *w, const char *sql)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *s;
    snprintf(path, sizeof path, "%s/wingman.db", w->dir);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    int64_t number = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_finalize(s);
    sqlite3_close(db);
    return number;
}

struct asked {
    struct waiting waiting;
    char *json;
};

static void keep_answer(void *arg, const char *json, size_t len, const struct wm_error *err)
{
    struct asked *a = arg;
    a->json = json ? strndup(json, len) : NULL;
    told(&a->waiting, json ? WM_OK : err->code);
}

char *world_ask_new(struct world *w, enum wm_question_kind kind, int64_t id)
{
    struct wm_question q = {.kind = kind, .id = id};
    struct asked a = {.waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER}};
    assert_int_equal(wm_sessions_ask(w->sessions, &q, keep_answer, &a), WM_OK);
    pthread_mutex_lock(&a.waiting.lock);
    while (!a.waiting.done)
        pthread_cond_wait(&a.waiting.told, &a.waiting.lock);
    pthread_mutex_unlock(&a.waiting.lock);
    return a.json;
}
