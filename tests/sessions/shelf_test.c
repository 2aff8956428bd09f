/* shelf_test.c -- the files of pictures: whole or not there, private, swept after a crash. */
#include "tests/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sessions/shelf.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/wm-shelf-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "chmod -R u+w %s; rm -rf %s", folder, folder);
    return system(command);
}

static void open_shelf(struct wm_shelf *shelf)
{
    struct wm_error err = WM_ERROR_INIT;
    if (wm_shelf_open(folder, shelf, &err) != WM_OK)
        fail_msg("%s", err.text);
}

static void what_is_put_is_there_under_its_hash(void **state)
{
    (void)state;
    struct wm_shelf shelf;
    const uint8_t hash[WM_SHELF_HASH] = {0xAB, 0xCD, [31] = 0x01};
    open_shelf(&shelf);
    assert_false(wm_shelf_holds(&shelf, hash, -1));
    assert_int_equal(wm_shelf_put(&shelf, hash, "picture", 7, NULL), WM_OK);
    assert_int_equal(wm_shelf_put(&shelf, hash, "picture", 7, NULL), WM_OK); /* twice is fine */
    assert_true(wm_shelf_holds(&shelf, hash, -1));
    assert_true(wm_shelf_holds(&shelf, hash, 7));
    assert_false(wm_shelf_holds(&shelf, hash, 8));
    char *path = wm_shelf_path_new(&shelf, hash), want[160];
    snprintf(want, sizeof want,
             "%s/media/ab/abcd000000000000000000000000000000000000000000000000000000000001", folder);
    assert_string_equal(path, want);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    wm_shelf_drop(&shelf, hash);
    assert_false(wm_shelf_holds(&shelf, hash, -1));
    free(path);
    wm_shelf_close(&shelf);
}

static void a_start_sweeps_what_a_crash_left_and_nothing_else(void **state)
{
    (void)state;
    struct wm_shelf shelf;
    const uint8_t hash[WM_SHELF_HASH] = {0x12};
    open_shelf(&shelf);
    assert_int_equal(wm_shelf_put(&shelf, hash, "x", 1, NULL), WM_OK);
    char path[192];
    snprintf(path, sizeof path, "%s/incoming-Ab12Cd", shelf.root);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    wm_shelf_close(&shelf);
    open_shelf(&shelf);
    assert_int_equal(access(path, F_OK), -1);
    assert_true(wm_shelf_holds(&shelf, hash, 1));
    wm_shelf_close(&shelf);
}

static void a_folder_that_cannot_be_written_is_one_sentence(void **state)
{
    (void)state;
    struct wm_shelf shelf;
    struct wm_error err = WM_ERROR_INIT;
    const uint8_t hash[WM_SHELF_HASH] = {0x34};
    open_shelf(&shelf);
    char path[192];
    snprintf(path, sizeof path, "%s/34",
             shelf.root); /* a file where a folder belongs: also root cannot write there */
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(wm_shelf_put(&shelf, hash, "x", 1, &err), WM_EIO);
    assert_non_null(strstr(err.text, "cannot write the picture"));
    assert_false(wm_shelf_holds(&shelf, hash, -1));
    char command[160];
    snprintf(command, sizeof command, "test -z \"$(find %s -name 'incoming-*')\"", shelf.root);
    assert_int_equal(system(command), 0);
    wm_shelf_close(&shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_put_is_there_under_its_hash, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_start_sweeps_what_a_crash_left_and_nothing_else, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_written_is_one_sentence, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
