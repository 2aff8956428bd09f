/* media_test.c -- pictures, from an id in a webhook to the prompt of the model, and whatever goes wrong on the way. The
 * platform is fake_media.c's: hooks spoil what it announces and what it sends.
 */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "tests/sessions/world.h"

enum { MINUTE_MS = 60000 };

static void seeing(struct world *w)
{
    w->model.sees = true;
}

/* For tests of what one burst becomes: a busy machine must not look like a pause of the person's. */
static void seeing_patient(struct world *w)
{
    w->model.sees = true;
    w->binding.settle_quiet_ms = 500;
    w->binding.settle_at_most_ms = 10000;
}

static int64_t media_in(struct world *w, const char *state)
{
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM media WHERE state = '%s'", state);
    return world_number(w, sql);
}

static bool one_is_held(struct world *w)
{
    pthread_mutex_lock(&w->platform.lock);
    bool held = w->platform.late_done != NULL;
    pthread_mutex_unlock(&w->platform.lock);
    return held;
}

static bool none_is_wanted(struct world *w)
{
    return media_in(w, "wanted") == 0;
}

static void hold_fetches(struct picture *p)
{
    p->hold = !p->asked;
}

/* The file of the only picture of conversation 1. */
static void path_of_the_picture(struct world *w, char path[320])
{
    char *json = world_ask_new(w, WM_ASK_CONVERSATION, 1), *digest = strstr(json, "\"sha256\":\"");
    assert_non_null(digest);
    digest += 10;
    snprintf(path, 320, "%s/media/%.2s/%.64s", w->dir, digest, digest);
    free(json);
}

/* --- the good way ------------------------------------------------------------------------------------------------- */

static void a_picture_reaches_the_model_with_its_caption_behind(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    world_post(w, "image|m1|ana|+0|what is it?|cat");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: <cat>what is it?");
    assert_true(world_wait_idle(w));
    assert_int_equal(w->platform.asked, 1);
    assert_int_equal(w->platform.fetched, 1);
    assert_int_equal(w->model.looks, 1);
    assert_int_equal(media_in(w, "fetched"), 1);
    char *json = world_ask_new(w, WM_ASK_CONVERSATION, 1);
    assert_non_null(strstr(json, "\"text\":\"what is it?\""));
    assert_non_null(strstr(json, "\"media\":[{\"type\":\"picture\",\"sha256\":\""));
    assert_non_null(strstr(json, "\"mime\":\"image/jpeg\",\"bytes\":6}]"));
    free(json);
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    assert_int_equal(stats.media_fetched, 1);
    assert_int_equal(stats.media_bytes, 6);
    world_free(w);
}

static void its_file_is_private_and_named_by_its_content(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    world_post(w, "image|m1|ana|+0||cat");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: <cat>"); /* a picture alone is a question too */
    char path[320];
    struct stat st;
    path_of_the_picture(w, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 6);
    snprintf(path, sizeof path, "%s/media", w->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    world_free(w);
}

static void an_address_in_the_webhook_needs_no_question(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    world_post(w, "sticker|m1|ana|+0||direct-cat");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: <direct-cat>");
    assert_int_equal(w->platform.asked, 0);
    world_free(w);
}

static void a_burst_of_words_and_pictures_stays_in_order(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing_patient);
    w->platform.picture = hold_fetches;
    world_post(w, "text|m1|ana|+0|look");
    world_post(w, "image|m2|ana|+1|my cat|cat");
    world_post(w, "text|m3|ana|+2|what colour?");
    assert_true(world_wait(w, one_is_held));
    usleep(1000000); /* the quiet window is long over */
    assert_int_equal(w->model.requests, 0);
    char *json = world_ask_new(w, WM_ASK_CONVERSATION, 1);
    assert_non_null(strstr(json, "\"state\":\"gathering\""));
    free(json);
    platform_release_picture(&w->platform);
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 1);
    assert_string_equal(world_sent(w, 0), "re: look,<cat>my cat,what colour?");
    world_free(w);
}

static void later_turns_bring_the_same_prompt_with_the_same_pictures(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    world_post(w, "image|m1|ana|+0|one|cat,wide,dog");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: <cat><wide><dog>one");
    for (int i = 2; i < 6; i++) {
        assert_true(world_wait_idle(w));
        if (i == 4) { /* also after a restart */
            world_close(w, 1000);
            world_open(w);
        }
        world_post(w, i == 3 ? "image|m%d|ana|+0|more|owl" : "text|m%d|ana|+0|more", i);
        assert_true(world_wait_sent(w, (size_t)i));
        assert_string_equal(world_sent(w, (size_t)i - 1), i == 3 ? "re: <owl>more" : "re: more");
        assert_int_equal(w->model.pictures_last, i < 3 ? 3 : 4);
    }
    assert_int_equal(w->model.prompts_broken, 0);
    assert_int_equal(w->model.looks, 4);
    world_free(w);
}

static void the_same_picture_is_fetched_once(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    for (int i = 0; i < 30; i++) /* the same id */
        world_post(w, "image|m%d|person%d|+0||cat", i, i);
    assert_true(world_wait_sent(w, 30));
    assert_int_equal(w->platform.asked, 1);
    assert_int_equal(w->platform.fetched, 1);
    world_free(w);
}

/* Whatever its id, it is the same cat. */
static void twins(struct picture *p)
{
    p->len = (size_t)snprintf(p->body, sizeof p->body, "\xFF\xD8\xFF%s", "cat");
}

static void the_same_bytes_under_two_ids_are_one_file(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    w->platform.picture = twins;
    world_post(w, "image|m1|ana|+0||direct-a");
    assert_true(world_wait_sent(w, 1));
    world_post(w, "image|m2|bob|+0||direct-b");
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 1), "re: <cat>");
    assert_int_equal(world_number(w, "SELECT count(DISTINCT sha256) FROM media"), 1);
    /* announced by its hash it is not even fetched: its own id says what the platform will tell */
    w->platform.picture = NULL;
    world_post(w, "image|m3|cleo|+0||cat");
    assert_true(world_wait_sent(w, 3));
    assert_string_equal(world_sent(w, 2), "re: <cat>");
    assert_int_equal(w->platform.fetched, 2);
    world_free(w);
}

/* --- what cannot be had --------------------------------------------------------------------------------------------- */

static void ask_404(struct picture *p)
{
    p->status = p->asked ? 404 : 200;
}

static void get_404(struct picture *p)
{
    p->status = p->asked ? 200 : 404;
}

static void redirect(struct picture *p)
{
    p->status = p->asked ? 200 : 302;
}

static void a_sound(struct picture *p)
{
    snprintf(p->mime, sizeof p->mime, "audio/ogg");
}

static void announced_huge(struct picture *p)
{
    p->bytes = (int64_t)1 << 40;
}

static void longer_than_announced(struct picture *p)
{
    p->lost = p->too_long = !p->asked;
}

static void foreign_host(struct picture *p)
{
    snprintf(p->url, sizeof p->url, "http://169.254.169.254/latest");
}

static void a_page(struct picture *p)
{
    p->len = (size_t)snprintf(p->body, sizeof p->body, "<html>hello</html>");
    p->bytes = (int64_t)p->len;
    p->sha256[0] = 'x'; /* says nothing */
    p->sha256[1] = '\0';
}

static void as_it_should_be(struct picture *p)
{
    (void)p;
}

static void what_cannot_be_had_is_said_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *id, *why; /* why: part of the sentence in the store */
        void (*hook)(struct picture *p);
        bool called; /* the address itself */
    } cases[] = {
        {"cat", "said no", ask_404, false},
        {"cat", "said no", get_404, true},
        {"cat", "said no", redirect, true},
        {"cat", "announced as audio/ogg", a_sound, false},
        {"cat", "media.max_bytes", announced_huge, false},
        {"cat", "said no", longer_than_announced, true},
        {"cat", "no host of the platform", foreign_host, false},
        {"not an id", "no id", as_it_should_be, false},
        {"damaged", "damaged", as_it_should_be, true},
        {"huge", "too many pixels", as_it_should_be, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct world *w = world_new_with(seeing_patient);
        w->platform.picture = cases[i].hook;
        world_post(w, "image|m1|ana|+0|my cat|%s\ntext|m2|ana|+1|what is it?", cases[i].id);
        assert_true(world_wait_sent(w, 1));
        if (strcmp(world_sent(w, 0), "re: [picture: could not be loaded] my cat,what is it?") != 0)
            fail_msg("%s %s: %s", cases[i].id, cases[i].why, world_sent(w, 0));
        char sql[192];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM media WHERE state = 'failed' AND error LIKE '%%%s%%'",
                 cases[i].why);
        if (world_number(w, sql) != 1)
            fail_msg("%s %s: another reason", cases[i].id, cases[i].why);
        assert_int_equal(w->platform.fetched, cases[i].called);
        assert_int_equal(
            world_number(
                w, "SELECT count(*) FROM transcript WHERE text = '[picture: could not be loaded] my cat'"),
            1);
        /* alone it gets an honest sentence, not the model's guess */
        world_post(w, "image|m3|ana|+5|and this?|%s", cases[i].id);
        assert_true(world_wait_sent(w, 2));
        assert_non_null(strstr(world_sent(w, 1), "could not load your picture"));
        assert_int_equal(w->model.prompts_broken, 0);
        world_free(w);
    }
}

static void bytes_that_are_no_picture_are_not_kept(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing_patient);
    w->platform.picture = a_page;
    world_post(w, "image|m1|ana|+0|x|direct-page\nimage|m2|ana|+1|y|direct-damaged\ntext|m3|ana|+2|z");
    assert_true(world_wait_sent(w, 1));
    assert_int_equal(media_in(w, "failed"), 2);
    char command[160];
    snprintf(command, sizeof command, "test -z \"$(find %s/media -type f)\"", w->dir);
    assert_int_equal(system(command), 0);
    world_free(w);
}

static void some_of_several_pictures_are_shown(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    world_post(w, "image|m1|ana|+0|three|cat,damaged,dog");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: <cat><dog>[picture: could not be loaded] three");
    world_free(w);
}

/* --- what can be had at the second attempt ---------------------------------------------------------------------------- */

static void busy_question(struct picture *p)
{
    if (p->asked && p->nth == 1)
        p->status = 503;
}

static void busy_file(struct picture *p)
{
    if (!p->asked && p->nth == 1)
        p->status = 502;
}

static void refused_token(struct picture *p)
{
    if (p->asked && p->nth == 1)
        p->status = 401;
}

static void lost_file(struct picture *p)
{
    p->lost = !p->asked && p->nth == 1;
}

static void truncated(struct picture *p)
{
    if (!p->asked && p->nth == 1)
        p->len--;
}

static void other_bytes(struct picture *p)
{
    if (!p->asked && p->nth == 1)
        p->body[4] ^= 1;
}

static void what_fails_once_is_tried_again(void **state)
{
    (void)state;
    void (*const hooks[])(struct picture * p) = {busy_question, busy_file, refused_token,
                                                 lost_file,     truncated, other_bytes};
    for (size_t i = 0; i < COUNT(hooks); i++) {
        struct world *w = world_new_with(seeing);
        w->platform.picture = hooks[i];
        world_post(w, "image|m1|ana|+0|what?|cat");
        assert_true(world_wait_sent(w, 1));
        if (strcmp(world_sent(w, 0), "re: <cat>what?") != 0)
            fail_msg("case %zu: %s", i, world_sent(w, 0));
        assert_int_equal(w->platform.asked, 2);
        assert_int_equal(world_number(w, "SELECT attempts FROM media"), 2);
        world_free(w);
    }
}

/* A file where each of the shelf's folders belongs: nothing can be written there, not by root either. */
static void block_shelf(struct world *w, bool blocked)
{
    for (int i = 0; i < 256; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/media/%02x", w->dir, i);
        FILE *f = blocked ? fopen(path, "w") : NULL;
        if (f)
            fclose(f);
        else if (!blocked)
            unlink(path);
    }
}

static void a_disk_that_cannot_write_is_tried_again(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    block_shelf(w, true);
    world_post(w, "image|m1|ana|+0|what?|cat");
    int64_t until = wm_now_ms() + 10000;
    while (w->platform.fetched == 0 && wm_now_ms() < until)
        usleep(1000);
    usleep(50000);
    assert_int_equal(media_in(w, "wanted"), 1);
    assert_int_equal(world_sent_n(w), 0);
    block_shelf(w, false);
    world_advance(w, 3000);
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: <cat>what?");
    world_free(w);
}

static void never_the_right_bytes(struct picture *p)
{
    if (!p->asked)
        p->body[4] ^= 1;
}

static void attempts_end(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    w->platform.picture = never_the_right_bytes;
    world_post(w, "image|m1|ana|+0||cat");
    int64_t until = wm_now_ms() + 20000;
    while (media_in(w, "failed") == 0 && wm_now_ms() < until) {
        world_advance(w, MINUTE_MS);
        usleep(30000);
    }
    assert_int_equal(media_in(w, "failed"), 1);
    assert_int_equal(w->platform.fetched, 8);
    assert_true(world_wait_sent(w, 1)); /* said long before */
    assert_non_null(strstr(world_sent(w, 0), "could not load your picture"));
    w->platform.picture = NULL; /* sent once more, it is tried once more */
    world_post(w, "image|m2|ana|+0||cat");
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 1), "re: <cat>");
    world_free(w);
}

/* --- late, too many, broken ------------------------------------------------------------------------------------------- */

static void a_picture_that_comes_too_late_changes_nothing_that_was_said(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing_patient);
    w->platform.picture = hold_fetches;
    world_post(w, "image|m1|ana|+0|my cat|cat\ntext|m2|ana|+1|what is it?");
    assert_true(world_wait(w, one_is_held));
    usleep(700000);
    assert_int_equal(world_sent_n(w), 0);
    world_advance(w, 21000);
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: [picture: could not be loaded] my cat,what is it?");
    platform_release_picture(&w->platform);
    assert_true(world_wait(w, none_is_wanted));
    assert_int_equal(media_in(w, "fetched"), 1);
    assert_true(world_wait_idle(w));
    world_post(w, "text|m3|ana|+2|and?");
    assert_true(world_wait_sent(w, 2));
    assert_int_equal(w->model.pictures_last, 0);
    assert_int_equal(w->model.prompts_broken, 0);
    world_free(w);
}

static void small_context(struct world *w)
{
    seeing(w);
    w->model.context = 64; /* half of it for the reply, 10 for the system prompt */
}

static void more_pictures_than_the_context_holds_become_words(void **state)
{
    (void)state;
    struct world *w = world_new_with(small_context);
    world_post(w, "image|m1|ana|+0|many|wide1,wide2,wide3,wide4,wide5,wide6,wide7,wide8,wide9,wide10,wide11");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: [picture: many]");
    for (int i = 2; i < 9; i++) { /* old turns leave, and take their pictures with them */
        assert_true(world_wait_idle(w));
        world_post(w, "image|m%d|ana|+%d|x%d|wide%d,cat", i, i, i, i);
        assert_true(world_wait_sent(w, (size_t)i));
        char want[64];
        snprintf(want, sizeof want, "re: <wide%d><cat>x%d", i, i);
        assert_string_equal(world_sent(w, (size_t)i - 1), want);
    }
    assert_true(w->model.pictures_last < 8);
    world_free(w);
}

static void a_picture_that_the_engine_fails_on_is_left_out_of_the_last_attempt(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    world_post(w, "image|m1|ana|+0|one|cat");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    w->model.picture_errors = 1000;
    world_post(w, "text|m2|ana|+1|two");
    int64_t until = wm_now_ms() + 10000;
    while (world_sent_n(w) < 2 && wm_now_ms() < until) {
        world_advance(w, 500);
        usleep(10000);
    }
    assert_string_equal(world_sent(w, 1), "re: two");
    assert_int_equal(w->model.pictures_last, 0);
    assert_true(world_wait_idle(w));
    world_post(w, "text|m3|ana|+2|three"); /* and the conversation goes on without it */
    assert_true(world_wait_sent(w, 3));
    assert_string_equal(world_sent(w, 2), "re: three");
    world_free(w);
}

static void a_file_that_has_vanished_is_words_from_then_on(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    world_post(w, "image|m1|ana|+0|one|cat");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    char path[320];
    path_of_the_picture(w, path);
    assert_int_equal(unlink(path), 0);
    world_post(w, "text|m2|ana|+1|two");
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 1), "re: two");
    assert_int_equal(w->model.pictures_last, 0);
    world_free(w);
}

static void a_restart_goes_on_where_it_was(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    w->platform.picture = hold_fetches;
    world_post(w, "image|m1|ana|+0|what?|cat");
    assert_true(world_wait(w, one_is_held));
    world_close(w, 50);
    platform_release_picture(&w->platform); /* the answer finds nobody */
    w->platform.picture = NULL;
    world_open(w);
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: <cat>what?");
    world_free(w);
}

static void a_model_that_cannot_see_has_nothing_fetched(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_post(w, "image|m1|ana|+0|my cat|cat\ntext|m2|ana|+1|what is it?");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: [picture: my cat],what is it?");
    assert_int_equal(w->platform.asked, 0);
    assert_int_equal(world_number(w, "SELECT count(*) FROM media"), 0);
    world_free(w);
}

static void recordings_get_a_sentence_from_a_model_that_sees(void **state)
{
    (void)state;
    struct world *w = world_new_with(seeing);
    world_post(w, "audio|m1|ana|+0|");
    assert_true(world_wait_sent(w, 1));
    assert_non_null(strstr(world_sent(w, 0), "cannot open recordings"));
    assert_int_equal(w->model.requests, 0);
    world_free(w);
}

/* --- two models ------------------------------------------------------------------------------------------------------- */

static struct wm_brain brain_of(struct wm_engine *e)
{
    return model_brain((struct model *)e);
}

static void told(void *arg, enum wm_status st)
{
    (void)arg, (void)st;
}

static void each_channel_thinks_with_its_own_model(void **state)
{
    (void)state;
    struct model second = {.sees = true};
    model_start(&second);
    struct world *w = world_new();
    world_close(w, 1000);
    w->seams.brain_of = brain_of;
    world_open(w);
    struct wm_channel_binding both[] = {w->binding, w->binding};
    struct wm_error err = WM_ERROR_INIT;
    both[1].name = "seeing";
    both[1].engine = (struct wm_engine *)&second;
    assert_int_equal(wm_sessions_reload(w->sessions, both, 2, &err), WM_OK);
    world_post(w, "image|m1|ana|+0|a|cat\ntext|m2|ana|+1|b");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: [picture: a],b");
    char *body = strdup("image|m1|ana|+0|a|cat\ntext|m2|ana|+1|b");
    assert_int_equal(wm_sessions_ingest(w->sessions, "seeing", body, strlen(body), told, NULL), WM_OK);
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 1), "re: <cat>a,b");
    assert_int_equal(w->model.requests, 1);
    assert_int_equal(second.requests, 1);
    assert_true(world_wait_idle(w));
    char *json = world_ask_new(w, WM_ASK_CONVERSATION, 2);
    assert_non_null(strstr(json, "\"device\":4096")); /* 2 x 1024 of each of the two */
    free(json);
    world_free(w);
    model_stop(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_reaches_the_model_with_its_caption_behind),
        cmocka_unit_test(its_file_is_private_and_named_by_its_content),
        cmocka_unit_test(an_address_in_the_webhook_needs_no_question),
        cmocka_unit_test(a_burst_of_words_and_pictures_stays_in_order),
        cmocka_unit_test(later_turns_bring_the_same_prompt_with_the_same_pictures),
        cmocka_unit_test(the_same_picture_is_fetched_once),
        cmocka_unit_test(the_same_bytes_under_two_ids_are_one_file),
        cmocka_unit_test(what_cannot_be_had_is_said_in_words),
        cmocka_unit_test(bytes_that_are_no_picture_are_not_kept),
        cmocka_unit_test(some_of_several_pictures_are_shown),
        cmocka_unit_test(what_fails_once_is_tried_again),
        cmocka_unit_test(a_disk_that_cannot_write_is_tried_again),
        cmocka_unit_test(attempts_end),
        cmocka_unit_test(a_picture_that_comes_too_late_changes_nothing_that_was_said),
        cmocka_unit_test(more_pictures_than_the_context_holds_become_words),
        cmocka_unit_test(a_picture_that_the_engine_fails_on_is_left_out_of_the_last_attempt),
        cmocka_unit_test(a_file_that_has_vanished_is_words_from_then_on),
        cmocka_unit_test(a_restart_goes_on_where_it_was),
        cmocka_unit_test(a_model_that_cannot_see_has_nothing_fetched),
        cmocka_unit_test(recordings_get_a_sentence_from_a_model_that_sees),
        cmocka_unit_test(each_channel_thinks_with_its_own_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
