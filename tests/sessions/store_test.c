/* store_test.c -- the data folder, the schema, the inbox and the feed: what is under the conversations. */
#include "tests/check.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "sessions/folder.h"
#include "sessions/inbox.h"
#include "sessions/schema.h"
#include "tests/sessions/world.h"

static void run_sql(struct world *w, const char *sql)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/wingman.db", w->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    sqlite3_close(db);
}

static void a_second_daemon_is_refused_with_the_process_that_holds_the_folder(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct wm_sessions *first = w->sessions;
    struct wm_error err = WM_ERROR_INIT;
    char pid[32];
    assert_int_equal(world_try_open(w, &err), WM_EEXIST);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, w->dir));
    w->sessions = first;
    world_free(w);
}

static void the_folder_and_the_store_are_private(void **state)
{
    (void)state;
    struct world *w = world_new();
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/wingman.db", w->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct wm_folder folder;
    struct wm_error err = WM_ERROR_INIT;
    snprintf(path, sizeof path, "%s/inner", w->dir);
    assert_int_equal(wm_folder_take(path, &folder, &err), WM_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    wm_folder_leave(&folder);
    world_free(w);
}

static void a_folder_that_cannot_be_used_is_a_sentence(void **state)
{
    (void)state;
    static const char *const folders[] = {"/dev/null", "/dev/null/below", "/proc/wingman", "/nowhere/at/all"};
    for (size_t i = 0; i < COUNT(folders); i++) {
        struct wm_folder folder;
        struct wm_error err = WM_ERROR_INIT;
        assert_int_not_equal(wm_folder_take(folders[i], &folder, &err), WM_OK);
        assert_non_null(strstr(err.text, folders[i]));
        assert_non_null(strstr(err.text, "`data`"));
    }
}

static void a_store_of_a_newer_wingman_is_refused_and_left_alone(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_close(w, 1000);
    run_sql(w, "PRAGMA user_version = 99");
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(world_try_open(w, &err), WM_EFORMAT);
    assert_non_null(strstr(err.text, "version 99"));
    assert_int_equal(world_number(w, "PRAGMA user_version"), 99);
    world_free(w);
}

static void a_store_from_before_pictures_goes_on(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_post(w, "text|m1|ana|+0|one");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    world_close(w, 1000);
    run_sql(w, "DROP TABLE media");
    run_sql(w, "DROP TABLE row_media");
    run_sql(w, "ALTER TABLE transcript DROP COLUMN pictures");
    run_sql(w, "PRAGMA user_version = 1");
    world_open(w);
    assert_int_equal(world_number(w, "PRAGMA user_version"), 2);
    world_post(w, "image|m2|ana|+0|my cat|cat\ntext|m3|ana|+1|two");
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 1), "re: [picture: my cat],two");
    assert_int_equal(w->model.prompts_broken, 0); /* what was said before is the same prefix */
    world_free(w);
}

static void a_file_that_is_no_store_is_refused(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_close(w, 1000);
    char path[128];
    snprintf(path, sizeof path, "%s/wingman.db", w->dir);
    int fd = open(path, O_WRONLY | O_TRUNC);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(write(fd, "not a database, sorry", 21), 21);
    close(fd);
    struct wm_error err = WM_ERROR_INIT;
    assert_int_not_equal(world_try_open(w, &err), WM_OK);
    assert_non_null(strstr(err.text, "wingman.db"));
    world_free(w);
}

static void never_called(void *arg, enum wm_status st)
{
    (void)arg, (void)st;
    fail_msg("a refused body got an answer");
}

static void a_body_past_the_bound_is_refused_and_stays_the_callers(void **state)
{
    (void)state;
    struct world *w = world_new();
    size_t len = (64 << 20) + 1;
    char *body = calloc(1, len);
    assert_int_equal(wm_sessions_ingest(w->sessions, "fake", body, len, never_called, NULL), WM_EAGAIN);
    free(body);
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    assert_int_equal(stats.ingest_refused, 1);
    assert_true(stats.store_ok);
    world_free(w);
}

/* --- the feed ------------------------------------------------------------------------------------------------- */

static _Atomic int answers;

static void count_answer(void *arg, enum wm_status st)
{
    (void)arg;
    assert_int_equal(st, WM_OK);
    answers++;
}

static bool all_answered(struct world *w)
{
    (void)w;
    return answers == 20000;
}

/* Far more than the feed holds, so that most are read back from disk: still each once and in order. */
static void a_flood_is_read_back_from_disk_in_order(void **state)
{
    (void)state;
    struct world *w = world_new();
    int64_t at = world_wall(w) - 60000;
    answers = 0;
    for (int i = 0; i < 20000; i++) {
        char *body;
        int len = asprintf(&body, "reaction|r%d|ana|%lld|x", i, (long long)at + i);
        while (wm_sessions_ingest(w->sessions, "fake", body, (size_t)len, count_answer, NULL) == WM_EAGAIN)
            usleep(1000);
    }
    assert_true(world_wait(w, all_answered));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_number(w, "SELECT count(*) FROM events"), 20000);
    assert_int_equal(world_number(w, "SELECT count(*) FROM events AS a JOIN events AS b ON b.seq = a.seq + 1"
                                     " WHERE b.at_ms <= a.at_ms"),
                     0);
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    assert_int_equal(stats.bodies, 20000);
    assert_int_equal(stats.duplicates, 0);
    assert_true(stats.commits < 20000);
    world_post(w, "text|m1|ana|+0|and now live again");
    assert_true(world_wait_sent(w, 1));
    world_free(w);
}

static void bodies_that_were_not_yet_events_are_taken_up_after_a_restart(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_post(w, "text|m1|ana|+0|first");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    world_close(w, 1000);
    run_sql(
        w, "INSERT INTO inbox SELECT id + 1, channel, arrived_ms, upto, CAST('text|m2|ana|+1|second' AS BLOB)"
           " FROM inbox ORDER BY id DESC LIMIT 1");
    world_open(w);
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 1), "re: second");
    world_free(w);
}

static void processed_bodies_are_pruned_after_a_day_and_ids_go_on(void **state)
{
    (void)state;
    struct world *w = world_new();
    for (int i = 0; i < 5; i++)
        world_post(w, "reaction|r%d|ana|+0|x", i);
    assert_true(world_wait_idle(w));
    world_close(w, 1000);
    char path[128];
    snprintf(path, sizeof path, "%s/wingman.db", w->dir);
    struct wm_db db;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_db_open(&db, path, SQLITE_OPEN_READWRITE, &err), WM_OK);
    enum { DAY_MS = 24 * 3600 * 1000 };
    wm_inbox_prune(&db, wm_wall_ms());
    assert_int_equal(wm_db_number(&db, -1, "SELECT count(*) FROM inbox", ""), 5);
    wm_inbox_set_watermark(&db, 3); /* two of them are not yet events */
    assert_false(wm_inbox_prune(&db, wm_wall_ms() + DAY_MS + 1000));
    assert_int_equal(wm_db_number(&db, -1, "SELECT count(*) FROM inbox", ""), 2);
    wm_inbox_set_watermark(&db, 5);
    wm_inbox_prune(&db, wm_wall_ms() + DAY_MS + 1000);
    assert_int_equal(wm_db_number(&db, -1, "SELECT count(*) FROM inbox", ""), 0);
    assert_int_equal(wm_inbox_end(&db).last_id, 5);
    assert_int_equal(wm_db_status(&db, &err), WM_OK);
    wm_db_close(&db);
    world_free(w);
}

/* --- the thin layer over SQLite ------------------------------------------------------------------------------- */

static void after_the_first_failure_nothing_more_happens(void **state)
{
    (void)state;
    struct wm_db db;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_db_open(&db, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &err), WM_OK);
    wm_db_do(&db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT NOT NULL)", "");
    wm_db_do(&db, "INSERT INTO t VALUES(?, ?)", "it", (int64_t)1, "one");
    wm_db_do(&db, "INSERT INTO t VALUES(?, ?)", "it", (int64_t)2, NULL); /* breaks a rule */
    wm_db_do(&db, "DELETE FROM t", "");
    assert_true(wm_db_hopeless(&db));
    assert_null(wm_db_ask(&db, "SELECT 1", ""));
    assert_int_equal(wm_db_number(&db, -7, "SELECT 1", ""), -7);
    assert_int_equal(wm_db_status(&db, &err), WM_EIO);
    assert_non_null(strstr(err.text, "NOT NULL"));
    wm_db_clear(&db);
    assert_int_equal(wm_db_number(&db, -1, "SELECT count(*) FROM t", ""), 1);
    wm_db_close(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_daemon_is_refused_with_the_process_that_holds_the_folder),
        cmocka_unit_test(the_folder_and_the_store_are_private),
        cmocka_unit_test(a_folder_that_cannot_be_used_is_a_sentence),
        cmocka_unit_test(a_store_of_a_newer_wingman_is_refused_and_left_alone),
        cmocka_unit_test(a_store_from_before_pictures_goes_on),
        cmocka_unit_test(a_file_that_is_no_store_is_refused),
        cmocka_unit_test(a_body_past_the_bound_is_refused_and_stays_the_callers),
        cmocka_unit_test(a_flood_is_read_back_from_disk_in_order),
        cmocka_unit_test(bodies_that_were_not_yet_events_are_taken_up_after_a_restart),
        cmocka_unit_test(processed_bodies_are_pruned_after_a_day_and_ids_go_on),
        cmocka_unit_test(after_the_first_failure_nothing_more_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
