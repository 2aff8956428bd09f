/* checkpoint.c -- moves what the write-ahead log holds into the database, beside the writer.
 *
 * WHY     By default SQLite checkpoints inside the commit that crosses a threshold: with random index pages that
 *         commit takes ten times as long as its neighbours, and webhooks wait for it.
 *
 * HOW     A thread with a connection of its own runs passive checkpoints, which take no lock that the writer needs.
 *         Alone that is not enough: a log begins anew only when a checkpoint has caught up with its end, and under
 *         steady load the end always runs ahead. So past RESTART_PAGES the writer itself does the last bit, between
 *         two transactions: what was written since the thread's last round, and one sync. That is one commit in
 *         thousands. SQLite leaves the sync of the database to that last step, where it would find all the pages of
 *         all rounds; so the thread syncs after each of its own.
 *
 * ALWAYS  (1) A failed checkpoint changes nothing: the pages stay in the log and the next round writes them again.
 *         (2) The connection has read before its first checkpoint. One that never has knows of no log: its checkpoints
 *             do nothing and report success, and the writer's closing step becomes a stall of all the pages.
 *
 * LIMITS  The log stays near RESTART_PAGES; while a reader holds an old snapshot it may grow past it.
 */
#include "sessions/checkpoint.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    BEGIN_PAGES = 1024,   /* unmoved pages worth a round: 4 MiB */
    RESTART_PAGES = 16384 /* 64 MiB */
};

struct wm_checkpointer {
    struct wm_db db;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t grown;
    int pages, moved; /* of the log: last known size, and how much of it is in the database */
    bool busy, stop;
};

/* Only to have it done early: a failure shows again in SQLite's own sync. */
static void sync_database(sqlite3 *sql)
{
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(sql, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file &&
        file->pMethods)
        file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
}

static void *run(void *arg)
{
    struct wm_checkpointer *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        if (c->pages - c->moved < BEGIN_PAGES) {
            pthread_cond_wait(&c->grown, &c->lock);
            continue;
        }
        c->busy = true;
        pthread_mutex_unlock(&c->lock);
        int pages = 0, moved = 0;
        int code = sqlite3_wal_checkpoint_v2(c->db.sql, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
        if (code == SQLITE_OK)
            sync_database(c->db.sql);
        pthread_mutex_lock(&c->lock);
        c->busy = false;
        /* After a failure wait for the log to grow by another round before trying again. */
        c->moved = code == SQLITE_OK && moved > 0 ? moved : c->pages;
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

enum wm_status wm_checkpointer_new(const char *path, struct wm_checkpointer **out, struct wm_error *err)
{
    struct wm_checkpointer *c = calloc(1, sizeof *c);
    if (!c)
        return wm_fail(err, WM_ENOMEM, "no memory for the checkpointer of %s", path);
    enum wm_status st = wm_db_open(&c->db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, err);
    if (st != WM_OK)
        goto free_it;
    wm_db_number(&c->db, 0, "PRAGMA schema_version", ""); /* see ALWAYS (2) */
    st = wm_db_status(&c->db, err);
    if (st != WM_OK)
        goto close_db;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->grown, NULL);
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        st = wm_fail(err, WM_ENOMEM, "cannot start the checkpoint thread");
        goto end_bell;
    }
    *out = c;
    return WM_OK;

end_bell:
    pthread_cond_destroy(&c->grown);
    pthread_mutex_destroy(&c->lock);
close_db:
    wm_db_close(&c->db);
free_it:
    free(c);
    return st;
}

void wm_checkpointer_grown(struct wm_checkpointer *c, sqlite3 *writer, int pages)
{
    pthread_mutex_lock(&c->lock);
    if (pages < c->pages)
        c->moved = 0; /* the log began anew */
    c->pages = pages;
    bool restart = pages >= RESTART_PAGES && !c->busy;
    if (!restart && pages - c->moved >= BEGIN_PAGES)
        pthread_cond_signal(&c->grown);
    pthread_mutex_unlock(&c->lock);
    if (restart)
        sqlite3_wal_checkpoint_v2(writer, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

void wm_checkpointer_free(struct wm_checkpointer *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->grown);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->grown);
    pthread_mutex_destroy(&c->lock);
    wm_db_close(&c->db);
    free(c);
}
