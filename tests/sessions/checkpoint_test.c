/* checkpoint_test.c -- the log moves into the database without the writer. */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "sessions/checkpoint.h"
#include "sessions/schema.h"

enum { PAGE = 4096, WAIT_MS = 20000 };

static int note_pages(void *arg, sqlite3 *sql, const char *name, int pages)
{
    (void)sql, (void)name;
    *(int *)arg = pages;
    return SQLITE_OK;
}

static long long size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (long long)st.st_size : -1;
}

static void what_the_log_holds_is_moved_beside_the_writer(void **state)
{
    (void)state;
    char dir[] = "/tmp/wm-checkpoint-XXXXXX", path[64], log[80], shm[80];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/wingman.db", dir);
    snprintf(log, sizeof log, "%s-wal", path);
    snprintf(shm, sizeof shm, "%s-shm", path);

    struct wm_error err = WM_ERROR_INIT;
    struct wm_db writer;
    struct wm_checkpointer *c = NULL;
    int pages = 0;
    assert_int_equal(wm_db_open(&writer, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &err), WM_OK);
    assert_int_equal(wm_schema_prepare(&writer, &err), WM_OK);
    sqlite3_wal_hook(writer.sql, note_pages, &pages);
    assert_int_equal(wm_checkpointer_new(path, &c, &err), WM_OK);

    long long before = size_of(path);
    wm_db_do(&writer, "INSERT INTO meta VALUES('big', zeroblob(?))", "i", (int64_t)1200 * PAGE);
    assert_int_equal(writer.code, SQLITE_OK);
    assert_true(pages > 1200);
    assert_int_equal(size_of(path), before);
    wm_checkpointer_grown(c, writer.sql, pages); /* below the closing step: this call moves nothing itself */
    for (int64_t until = wm_now_ms() + WAIT_MS; size_of(path) < before + 1200LL * PAGE;) {
        assert_true(wm_now_ms() < until);
        usleep(1000);
    }
    wm_checkpointer_free(c);
    wm_db_close(&writer);
    assert_int_equal(access(log, F_OK), -1); /* the last to close leaves no log */
    unlink(shm);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_store_that_cannot_be_read_is_a_sentence(void **state)
{
    (void)state;
    struct wm_checkpointer *c = NULL;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_not_equal(wm_checkpointer_new("/nowhere/at/all.db", &c, &err), WM_OK);
    assert_null(c);
    assert_non_null(strstr(err.text, "/nowhere/at/all.db"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_log_holds_is_moved_beside_the_writer),
        cmocka_unit_test(a_store_that_cannot_be_read_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
