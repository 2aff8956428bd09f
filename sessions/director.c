/* director.c -- the thread that owns the conversations' state machines and their timers.
 *
 * WHY     A conversation waits for many things at once: the end of a burst, the engine, the platform, the disk. One
 *         thread that owns all of them and does nothing slow needs no lock and can be read as a table of steps.
 *
 * HOW     Only conversations with work are in memory (`talks`), and nothing in them that the store does not know.
 *
 *           (store) --message--> GATHERING --quiet--> THINKING --commit--> DELIVERING --sent--> (store)
 *                                    ^                   |                     |
 *                                    +--- messages that came meanwhile --------+
 *
 *         Every answer (a job, the engine, the transport) and every timer ends in wm_talk_step, which looks at the
 *         flags and starts the one next thing. While a talk is `busy` its answer will come; nothing else starts.
 *         Disk is reached through jobs: writes go to the store, reads to the reader.
 *
 * ALWAYS  (1) One thing at a time per conversation, so one turn at a time, and no new turn before the last one's parts
 *             are out.
 *         (2) Whatever a talk does may be lost: the store lists the conversations that wait (waiting.c), and from there
 *             all of it begins again.
 *
 * LIMITS  WM_TALKS_MAX conversations in memory; more wait on disk and come in when there is room. THINKING of them have
 *         a prompt in memory.
 */
#include "sessions/director_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum {
    LOOK_EVERY_MS = 1000,
    BUSY_SLEEP_MS = 20, /* while closing */
    THINKING = 128      /* twice what an engine runs in one step */
};

int64_t wm_director_now(const struct wm_director *d)
{
    return d->o.clock->now_ms(d->o.clock->self);
}

int64_t wm_director_wall(const struct wm_director *d)
{
    return d->o.clock->wall_ms(d->o.clock->self);
}

int64_t wm_director_jitter(struct wm_director *d, int64_t ms)
{
    d->random = d->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ms + (int64_t)((d->random >> 33) % (uint64_t)(ms / 5 + 1));
}

/* --- jobs ----------------------------------------------------------------------------------------------------- */

void wm_director_to_store(struct wm_director *d, struct wm_job *job,
                          void (*deliver)(struct wm_director *d, struct wm_note *note),
                          void (*drop)(struct wm_note *note))
{
    job->note.deliver = deliver;
    job->note.drop = drop;
    d->jobs_out++;
    wm_store_submit(d->o.store, job);
}

void wm_director_to_reader(struct wm_director *d, struct wm_job *job,
                           void (*deliver)(struct wm_director *d, struct wm_note *note),
                           void (*drop)(struct wm_note *note))
{
    job->note.deliver = deliver;
    job->note.drop = drop;
    d->jobs_out++;
    wm_reader_submit(d->o.reader, job);
}

void wm_director_to_keeper(struct wm_director *d, struct wm_job *job,
                           void (*deliver)(struct wm_director *d, struct wm_note *note),
                           void (*drop)(struct wm_note *note))
{
    job->note.deliver = deliver;
    job->note.drop = drop;
    d->jobs_out++;
    wm_keeper_submit(d->o.keeper, job);
}

void wm_director_job_back(struct wm_director *d)
{
    d->jobs_out--;
}

/* --- conversations -------------------------------------------------------------------------------------------- */

struct wm_talk *wm_talk_get(struct wm_director *d, int64_t id, struct wm_line *line)
{
    struct wm_talk *talk = wm_talks_find(&d->talks, id);
    if (!talk) {
        talk = wm_talks_add(&d->talks, id);
        if (!talk)
            d->list_wanted = true;
        else
            talk->line = line;
    }
    return talk;
}

static int64_t burst_over_ms(const struct wm_talk *talk)
{
    int64_t quiet = talk->last_ms + talk->line->settle_quiet_ms;
    int64_t at_most = talk->first_ms + talk->line->settle_at_most_ms;
    int64_t over = quiet < at_most ? quiet : at_most;
    if (over < talk->pictures_ms)
        over = talk->pictures_ms;
    return over > talk->hold_ms ? over : talk->hold_ms;
}

void wm_talk_step(struct wm_director *d, struct wm_talk *talk)
{
    if (talk->busy)
        return;
    wm_talks_due(&d->talks, talk, INT64_MAX);
    if (d->closing)
        return;
    if (talk->line->gone || (!talk->waiting && !talk->outgoing && !talk->parcel)) {
        wm_talks_remove(&d->talks, talk);
        return;
    }
    if (talk->outgoing || talk->parcel) {
        talk->phase = WM_PHASE_DELIVERING;
        wm_delivery_step(d, talk);
        return;
    }
    int64_t over = burst_over_ms(talk);
    if (wm_director_now(d) >= over) {
        wm_talks_line_up(&d->talks, talk);
    } else {
        talk->phase = WM_PHASE_GATHERING;
        wm_talks_due(&d->talks, talk, over);
    }
}

/* Lets as many conversations think as the engine can use; the rest hold nothing but their place in the queue. */
static void admit(struct wm_director *d)
{
    for (struct wm_talk *talk; d->thinking < THINKING && (talk = d->talks.line_first) && !d->closing;) {
        wm_talks_step_out(&d->talks, talk);
        if (talk->busy || talk->outgoing || talk->parcel || talk->line->gone) {
            wm_talk_step(d, talk); /* something came before it; it lines up again afterwards */
            continue;
        }
        talk->phase = WM_PHASE_THINKING;
        d->thinking++;
        wm_thinking_begin(d, talk);
    }
}

static void fire(struct wm_director *d)
{
    int64_t now = wm_director_now(d);
    for (struct wm_talk *talk; (talk = wm_talks_first(&d->talks)) && talk->due_ms <= now;) {
        if (talk->busy) {
            wm_talks_due(&d->talks, talk, INT64_MAX);
            wm_effect_typing(d, talk); /* the only timer of a busy talk; sets the next */
        } else {
            wm_talk_step(d, talk);
        }
    }
}

/* Once a second: figures that are counted, not kept. */
static void look(struct wm_director *d)
{
    int64_t since = 0;
    for (size_t i = 0; i < d->talks.n_buckets; i++)
        for (struct wm_talk *talk = d->talks.buckets[i]; talk; talk = talk->next)
            if (talk->since_ms && (!since || talk->since_ms < since))
                since = talk->since_ms;
    d->o.counters->unanswered_since_ms = since;
}

/* --- the operator's verbs ------------------------------------------------------------------------------------- */

struct human_job {
    struct wm_job job;
    int64_t conversation, until_ms;
};

static void human_apply(struct wm_job *job, struct wm_db *db)
{
    struct human_job *j = (struct human_job *)job;
    wm_db_do(db, "UPDATE conversations SET human_until_ms = ? WHERE id = ?", "ii", j->until_ms,
             j->conversation);
    if (j->until_ms)
        wm_db_do(db, "UPDATE transcript SET silent = 1 WHERE conversation = ? AND turn IS NULL", "i",
                 j->conversation);
}

static void free_note(struct wm_note *note)
{
    free(note);
}

static void human_done(struct wm_director *d, struct wm_note *note)
{
    struct human_job *j = (struct human_job *)note;
    wm_director_job_back(d);
    struct wm_talk *talk = wm_talks_find(&d->talks, j->conversation);
    if (talk && j->until_ms)
        wm_thinking_cancel(talk);
    free(j);
}

static void human_asked(struct wm_director *d, struct wm_note *note)
{
    struct human_job *j = (struct human_job *)note;
    j->until_ms = j->until_ms ? wm_director_wall(d) + d->o.human_ms : 0;
    j->job.apply = human_apply;
    wm_director_to_store(d, &j->job, human_done, free_note);
}

enum wm_status wm_director_set_human(struct wm_director *d, int64_t conversation, bool human)
{
    struct human_job *j = calloc(1, sizeof *j);
    if (!j)
        return WM_ENOMEM;
    j->conversation = conversation;
    j->until_ms = human;
    j->job.note.deliver = human_asked;
    j->job.note.drop = free_note;
    wm_desk_hold(d->desk);
    wm_desk_post(d->desk, &j->job.note);
    return WM_OK;
}

struct reload_note {
    struct wm_note note;
    struct wm_line *fresh;
};

static void reload_drop(struct wm_note *note)
{
    wm_lines_free(((struct reload_note *)note)->fresh);
    free(note);
}

static void reload_lines(struct wm_director *d, struct wm_note *note)
{
    wm_lines_replace(&d->lines, ((struct reload_note *)note)->fresh);
    d->list_wanted = d->media_due = true; /* a channel that has come back finds its queue */
    free(note);
}

/* Each channel with its brain. Start or reload, one at a time. */
static enum wm_status new_lines(struct wm_director *d, const struct wm_channel_binding *channels, size_t n,
                                struct wm_line **out, struct wm_error *err)
{
    const struct wm_brain **of = calloc(n ? n : 1, sizeof *of);
    enum wm_status st = of ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for %zu channels", n);
    for (size_t i = 0; i < n && st == WM_OK; i++) {
        struct wm_brain named = {0};
        if (channels[i].engine)
            named = d->o.brain_of(channels[i].engine);
        const struct wm_brain *brain = channels[i].engine ? &named : d->o.brain;
        of[i] = brain ? wm_brains_take(d->o.brains, brain) : NULL;
        if (!of[i])
            st = wm_fail(err, WM_EINVAL, "channel %s has no model, or there are more than %d models",
                         channels[i].name, WM_BRAINS);
    }
    if (st == WM_OK)
        st = wm_lines_new(channels, of, n, out, err);
    free(of);
    return st;
}

enum wm_status wm_director_reload(struct wm_director *d, const struct wm_channel_binding *channels, size_t n,
                                  struct wm_error *err)
{
    struct reload_note *note = calloc(1, sizeof *note);
    if (!note)
        return wm_fail(err, WM_ENOMEM, "no memory to reload the channels");
    enum wm_status st = new_lines(d, channels, n, &note->fresh, err);
    if (st != WM_OK) {
        free(note);
        return st;
    }
    note->note.deliver = reload_lines;
    note->note.drop = reload_drop;
    wm_desk_hold(d->desk);
    wm_desk_post(d->desk, &note->note);
    return WM_OK;
}

/* --- the thread ----------------------------------------------------------------------------------------------- */

struct stop_note {
    struct wm_note note;
    int64_t by_ms;
};

static void begin_closing(struct wm_director *d, struct wm_note *note)
{
    d->closing = true;
    d->close_by_ms = ((struct stop_note *)note)->by_ms;
    free(note);
}

static void cancel_all(struct wm_director *d)
{
    for (size_t i = 0; i < d->talks.n_buckets; i++)
        for (struct wm_talk *talk = d->talks.buckets[i]; talk; talk = talk->next)
            wm_thinking_cancel(talk);
}

/* Everything has come back, or the deadline has passed: a broken disk, a long thought and a silent platform may each
 * take for ever, and all of them are resumed at the next start. */
static bool closed(struct wm_director *d)
{
    if (!d->closing)
        return false;
    if (d->jobs_out == 0 && d->turns_out == 0 && d->calls_out == 0)
        return true;
    if (wm_now_ms() < d->close_by_ms)
        return false;
    cancel_all(d);
    return true;
}

static int64_t sleep_ms(struct wm_director *d)
{
    int64_t most = d->closing ? BUSY_SLEEP_MS : d->o.clock->longest_sleep_ms;
    struct wm_talk *first = wm_talks_first(&d->talks);
    int64_t due = d->media_at_ms;
    if (first && first->due_ms < due)
        due = first->due_ms;
    if (due == INT64_MAX || d->closing)
        return most;
    int64_t left = due - wm_director_now(d);
    return left < 0 ? 0 : left < most ? left : most;
}

/* When the processors are all taken, what has been acknowledged can wait and what asks to be acknowledged cannot: the
 * scheduler then gives this thread about a tenth of what `net` and `store` get, and all that they leave over. */
enum { DIRECTOR_NICE = 10 };

static void *run(void *arg)
{
    struct wm_director *d = arg;
    setpriority(PRIO_PROCESS, (id_t)gettid(), DIRECTOR_NICE); /* a request: without it all works as well */
    while (!closed(d)) {
        fire(d);
        admit(d);
        wm_inbound_pump(d);
        wm_waiting_pump(d);
        wm_media_pump(d);
        d->o.counters->active = d->talks.n;
        int64_t now = wm_director_now(d);
        if (now >= d->next_look_ms) {
            look(d);
            d->next_look_ms = now + LOOK_EVERY_MS;
        }
        for (struct wm_letter *l = wm_mailbox_wait(d->o.box, sleep_ms(d)), *next; l; l = next) {
            struct wm_note *note = (struct wm_note *)l;
            next = l->next;
            note->deliver(d, note);
        }
    }
    return NULL;
}

enum wm_status wm_director_new(const struct wm_director_options *options,
                               const struct wm_channel_binding *channels, size_t n, struct wm_director **out,
                               struct wm_error *err)
{
    struct wm_director *d = calloc(1, sizeof *d);
    if (!d)
        return wm_fail(err, WM_ENOMEM, "no memory for the director");
    d->o = *options;
    wm_letters_init(&d->bodies);
    d->seen_id = options->watermark;
    d->list_wanted = d->media_due = true;
    d->started_ms = wm_director_now(d);
    d->started_wall_ms = wm_director_wall(d);
    d->random = (uint64_t)wm_wall_ms();
    enum wm_status st =
        wm_talks_init(&d->talks) ? WM_OK : wm_fail(err, WM_ENOMEM, "no memory for the director");
    if (st == WM_OK)
        st = new_lines(d, channels, n, &d->lines, err);
    if (st == WM_OK)
        st = wm_desk_new(options->box, &d->desk, err);
    if (st == WM_OK && pthread_create(&d->thread, NULL, run, d) != 0)
        st = wm_fail(err, WM_ENOMEM, "cannot start the director thread");
    d->running = st == WM_OK;
    if (st != WM_OK) {
        wm_director_free(d);
        return st;
    }
    *out = d;
    return WM_OK;
}

void wm_director_stop(struct wm_director *d, int64_t deadline_ms)
{
    if (!d || !d->running)
        return;
    struct stop_note *stop = calloc(1, sizeof *stop);
    while (!stop) /* a few bytes; without them there is no orderly end */
        stop = calloc(1, sizeof *stop);
    stop->by_ms = wm_now_ms() + deadline_ms;
    stop->note.deliver = begin_closing;
    stop->note.drop = free_note;
    wm_mailbox_post_reply(d->o.box, &stop->note.letter);
    pthread_join(d->thread, NULL);
    d->running = false;
    wm_desk_shut(d->desk);
    d->desk = NULL;
}

void wm_director_free(struct wm_director *d)
{
    if (!d)
        return;
    wm_desk_shut(d->desk);
    wm_inbound_end(d);
    wm_talks_end(&d->talks);
    wm_lines_free(d->lines);
    free(d);
}
