/* crash_test.c -- a process that is killed at random moments, while messages come in with repeats and replies go out.
 *
 * A child process runs sessions; the parent is the platform and the kernel's SIGKILL. What the platform accepted is in
 * a file that survives. After each kill the parent does as a platform does: posts again what got no 200, and reports
 * the status of what it accepted. WM_LONG=1: 1,000 kills.
 */
#include "tests/check.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/base/log.h"
#include "tests/sessions/proof.h"
#include "tests/sessions/world.h"

enum { CONTACTS = 4, KILLS = 50, KILLS_LONG = 1000, LINE = 512, WAIT_MS = 60000, REPLIES = 16384 };

static char folder[64], log_file[80];
static unsigned dice = 7;
static int64_t
    began_ms; /* message i is of the i-th millisecond after it, whatever the children's clocks say */

static unsigned roll(unsigned n)
{
    dice = dice * 1103515245u + 12345u;
    return (dice >> 16) % n;
}

/* --- the child ------------------------------------------------------------------------------------------------ */

static void in_the_folder(struct world *w)
{
    rmdir(w->dir);
    snprintf(w->dir, sizeof w->dir, "%s", folder);
    w->platform.log = log_file;
    w->model.sees = true;
    w->binding.settle_quiet_ms = 5;
    w->binding.settle_at_most_ms = 20;
    w->unknown_wait_ms = WAIT_MS;
}

/* A line in, a line out: a body (tabs part its lines), "advance", "idle?". */
static void serve(int in, int out)
{
    struct world *w = world_new_with(in_the_folder);
    FILE *lines = fdopen(in, "r");
    char line[LINE];
    dprintf(out, "up\n");
    while (fgets(line, sizeof line, lines)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "idle?") == 0) {
            dprintf(out, "%s\n", world_wait_idle(w) ? "ok" : "no");
        } else if (strcmp(line, "advance") == 0) {
            world_advance(w, 3 * WAIT_MS);
            dprintf(out, "ok\n");
        } else {
            for (char *tab; (tab = strchr(line, '\t'));)
                *tab = '\n';
            dprintf(out, "%s\n", world_post(w, "%s", line) == WM_OK ? "ok" : "no");
        }
    }
    _exit(0);
}

struct child {
    pid_t pid;
    FILE *to, *from;
};

static struct child start_child(void)
{
    int down[2], up[2];
    assert_int_equal(pipe(down), 0);
    assert_int_equal(pipe(up), 0);
    struct child c = {.pid = fork()};
    assert_true(c.pid >= 0);
    if (c.pid == 0) {
        close(down[1]);
        close(up[0]);
        serve(down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    c.to = fdopen(down[1], "w");
    c.from = fdopen(up[0], "r");
    char line[LINE];
    assert_non_null(fgets(line, sizeof line, c.from)); /* up */
    return c;
}

static void end_child(struct child *c)
{
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    fclose(c->to);
    fclose(c->from);
}

/* True when the child said ok; false when it said no or has died. */
static bool tell(struct child *c, const char *line)
{
    char answer[LINE];
    if (fprintf(c->to, "%s\n", line) < 0 || fflush(c->to) != 0)
        return false;
    return fgets(answer, sizeof answer, c->from) && strcmp(answer, "ok\n") == 0;
}

/* --- the platform's side -------------------------------------------------------------------------------------- */

struct accepted {
    char to[16], ref[64], text[4096];
};

static size_t read_log(struct accepted *rows)
{
    size_t n = 0;
    FILE *f = fopen(log_file, "r");
    while (f && n < REPLIES &&
           fscanf(f, "%15[^|]|%63[^|]|%4095[^\n]\n", rows[n].to, rows[n].ref, rows[n].text) == 3)
        n++;
    if (f)
        fclose(f);
    assert_true(n < REPLIES);
    return n;
}

/* Every message that the platform has accepted and not yet reported. */
static bool report(struct child *c, size_t *reported)
{
    static struct accepted rows[REPLIES];
    size_t n = read_log(rows);
    for (; *reported < n; (*reported)++) {
        char line[LINE];
        const struct accepted *r = &rows[*reported];
        snprintf(line, sizeof line, "status|out.%s|%s|+0|sent|%s", r->ref, r->to, r->ref);
        if (!tell(c, line))
            return false;
    }
    return true;
}

static void prove(int n_of[CONTACTS])
{
    static struct accepted rows[REPLIES];
    size_t n = read_log(rows);
    for (int k = 0; k < CONTACTS; k++) {
        const char *replies[REPLIES];
        char contact[16];
        size_t mine = 0;
        snprintf(contact, sizeof contact, "c%d", k);
        for (size_t i = 0; i < n; i++)
            if (strcmp(rows[i].to, contact) == 0)
                replies[mine++] = rows[i].text;
        prove_transcript(folder, contact, n_of[k]);
        prove_replies(contact, replies, mine, n_of[k]);
    }
}

/* Messages i and i + 1, or i alone; returns how many were taken. A picture comes with words in the same body, so that the
 * turn is the model's whatever becomes of the picture; few pictures are new. */
static int post(struct child *c, int contact, int i)
{
    char line[LINE];
    bool picture = (i / 2 + contact) % 3 == 0; /* what is posted again is the same again */
    long long at = (long long)began_ms + i;
    if (picture)
        snprintf(line, sizeof line, "image|m%d.%d|c%d|%lld|%d|~%u\ttext|m%d.%d|c%d|%lld|%d", contact, i,
                 contact, at, i, roll(200), contact, i + 1, contact, at + 1, i + 1);
    else
        snprintf(line, sizeof line, "text|m%d.%d|c%d|%lld|%d", contact, i, contact, at, i);
    int n = picture ? 2 : 1;
    if (!tell(c, line))
        return 0;
    return roll(4) || tell(c, line) ? n : 0; /* now and then a repeat */
}

static void kills_lose_nothing_and_repeat_nothing(void **state)
{
    (void)state;
    int kills = getenv("WM_LONG") ? KILLS_LONG : KILLS, sent[CONTACTS] = {0};
    size_t reported = 0;
    began_ms = wm_wall_ms();
    signal(SIGPIPE, SIG_IGN);
    wm_log_setup(WM_LOG_ERROR, 0);
    snprintf(folder, sizeof folder, "/tmp/wm-crash-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(log_file, sizeof log_file, "%s/accepted", folder);
    for (int k = 0; k < kills; k++) {
        struct child c = start_child();
        int64_t until = wm_now_ms() + roll(200);
        pid_t killer = fork();
        if (killer == 0) { /* the blow falls in the middle of whatever happens then */
            usleep(1000 * (useconds_t)(until - wm_now_ms() > 0 ? until - wm_now_ms() : 0) + roll(1000));
            kill(c.pid, SIGKILL);
            _exit(0);
        }
        bool alive = report(&c, &reported) && tell(&c, "advance");
        while (alive) {
            int contact = (int)roll(CONTACTS);
            int taken = post(&c, contact, sent[contact]);
            alive = taken > 0;
            sent[contact] += taken;
        }
        end_child(&c);
        waitpid(killer, NULL, 0);
    }
    struct child c = start_child();
    for (int k = 0; k < CONTACTS; k++) {
        int taken = post(&c, k, sent[k]); /* what got no 200, and a last one of each */
        assert_true(taken > 0);
        sent[k] += taken;
    }
    for (int i = 0; i < 3; i++) {
        assert_true(report(&c, &reported));
        assert_true(tell(&c, "advance"));
        assert_true(tell(&c, "idle?"));
    }
    end_child(&c);
    print_message("%d kills, %zu replies accepted\n", kills, reported);
    prove(sent);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kills_lose_nothing_and_repeat_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
