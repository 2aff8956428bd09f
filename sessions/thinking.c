/* thinking.c -- the director's second part: a turn, from the messages that wait to the reply in the outbox.
 *
 *           load (reader) --> engine --> commit (store) --> delivery
 *              |                |           |
 *              |                |           +-- stale, withheld: nothing is sent
 *              |                +-- error or nothing said: again, at most ATTEMPTS times, then a fixed sentence
 *              +-- pictures on their way: again when one has come, or the patience ends
 *              +-- recordings and such alone: a fixed sentence; not to be answered: marked as silent
 *
 * ALWAYS  (1) The rows that were loaded are the rows that are committed; what comes meanwhile waits for the next turn.
 *         (2) Until the commit nothing has happened: after a crash the same turn begins again from the same rows.
 *         (3) A person who wrote gets one answer: never none, never two.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"
#include "sessions/director_parts.h"
#include "sessions/meaning.h"
#include "sessions/turn_rows.h"

enum {
    ATTEMPTS = 3,
    AGAIN_MS = 1000, /* doubles with each failure */
    ENGINE_FULL_MS = 500,
    PICTURES_LEAST_MS = 10000, /* a person rather waits than hears that the picture could not be loaded */
    PICTURES_MOST_MS = 20000,
    REPLY_BYTES = 256 << 10, /* of text; past it the reply ends there */
    REPLY_PARTS = 200
};

/* A turn while the engine runs. The engine thread writes it until the last event, which posts it as a note. */
struct wm_turn {
    struct wm_note note;
    struct wm_desk *desk;
    struct wm_turn_load *load;
    const struct wm_brain *brain; /* that thinks; a reload may give the channel another */
    uint64_t request;
    struct wm_tokens ids;
    struct wm_buffer text;
    enum wm_finish finish;
    struct wm_usage usage;
    struct wm_error error;
};

static void turn_free(struct wm_turn *turn)
{
    if (turn->load)
        wm_turn_load_drop(&turn->load->job.note);
    wm_tokens_free(&turn->ids);
    wm_buffer_free(&turn->text);
    free(turn);
}

static void turn_drop(struct wm_note *note)
{
    turn_free((struct wm_turn *)note);
}

/* The conversation leaves the engine's door to the next one. */
static void leave(struct wm_director *d, struct wm_talk *talk)
{
    talk->busy = false;
    d->thinking--;
}

static void pause_turn(struct wm_director *d, struct wm_talk *talk, int64_t ms)
{
    leave(d, talk);
    talk->waiting = true;
    talk->hold_ms = wm_director_now(d) + wm_director_jitter(d, ms);
    wm_talk_step(d, talk);
}

/* --- the end: one transaction --------------------------------------------------------------------------------- */

static void committed(struct wm_director *d, struct wm_note *note)
{
    struct wm_turn_commit *j = (struct wm_turn_commit *)note;
    struct wm_counters *c = d->o.counters;
    wm_director_job_back(d);
    struct wm_talk *talk = wm_talks_find(&d->talks, j->load->conversation);
    if (j->job.status == WM_OK) {
        leave(d, talk);
        talk->failures = 0;
        talk->waiting |= j->load->more;
        talk->since_ms = talk->waiting ? wm_director_wall(d) : 0;
        if (j->verdict == WM_COMMIT_DONE) {
            c->turns_finished++;
            c->queued += (int64_t)j->n_parts;
            talk->outgoing |= j->n_parts > 0;
        }
        wm_talk_step(d, talk);
    } else {
        /* The store repeats what the disk refused; so the rows were no longer ours to take: look again. */
        wm_log(WM_LOG_WARN, "a turn was not committed", WM_N("conversation", talk->id),
               WM_S("why", wm_status_name(j->job.status)));
        pause_turn(d, talk, AGAIN_MS);
    }
    wm_turn_commit_drop(note);
}

static enum wm_status add_part(void *arg, const char *text, size_t len)
{
    struct wm_turn_commit *j = arg;
    if (j->n_parts == REPLY_PARTS)
        return WM_ELIMIT;
    char **grown = realloc(j->parts, (j->n_parts + 1) * sizeof *grown);
    if (!grown)
        return WM_ENOMEM;
    j->parts = grown;
    char *part = strndup(text, len);
    if (!part)
        return WM_ENOMEM;
    j->parts[j->n_parts++] = part;
    return WM_OK;
}

/* The assistant's tokens: as generated when there are any, else those of the text. */
static enum wm_status reply_tokens(const struct wm_brain *brain, struct wm_turn_commit *j,
                                   const struct wm_tokens *ids, struct wm_error *err)
{
    const struct wm_prompt *prompt = &j->load->prompt;
    if (!ids) {
        struct wm_chat_message said = {.role = WM_ROLE_ASSISTANT, .text = j->reply, .len = strlen(j->reply)};
        return brain->render(brain->self, &said, 1, false, false, &j->tokens, err);
    }
    const int32_t *header = prompt->tokens.ids + prompt->tokens.n - prompt->n_header;
    enum wm_status st = wm_tokens_add(&j->tokens, header, prompt->n_header);
    if (st == WM_OK)
        st = wm_tokens_add(&j->tokens, ids->ids, ids->n);
    if (st == WM_OK)
        st = brain->close_reply(brain->self, &j->tokens, err);
    return st;
}

/* Takes `load`. `reply` NULL: mark the messages as silent. `ids` NULL: the reply is ours, not the model's. */
static void commit(struct wm_director *d, struct wm_talk *talk, struct wm_turn_load *load, const char *reply,
                   const struct wm_tokens *ids, const struct wm_usage *usage)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_turn_commit *j = calloc(1, sizeof *j);
    enum wm_status st = j ? WM_OK : WM_ENOMEM;
    if (!j) {
        wm_turn_load_drop(&load->job.note);
        pause_turn(d, talk, AGAIN_MS);
        return;
    }
    j->load = load;
    j->now_ms = wm_director_wall(d);
    j->job.apply = wm_turn_commit_apply;
    if (usage)
        j->usage = *usage;
    if (reply) {
        j->reply = strdup(reply);
        st = j->reply ? reply_tokens(&load->brain, j, ids, &err) : WM_ENOMEM;
        if (st == WM_OK)
            st = talk->line->adapter->render(talk->line->channel, reply, strlen(reply), add_part, j, &err);
        if (st == WM_ELIMIT)
            st = WM_OK; /* the first REPLY_PARTS parts go out */
    }
    if (st != WM_OK) {
        wm_log(WM_LOG_ERROR, "a reply could not be prepared", WM_N("conversation", talk->id),
               WM_S("why", err.text));
        wm_turn_commit_drop(&j->job.note);
        pause_turn(d, talk, AGAIN_MS);
        return;
    }
    wm_director_to_store(d, &j->job, committed, wm_turn_commit_drop);
}

/* --- the middle: the engine ----------------------------------------------------------------------------------- */

static bool says_something(const struct wm_buffer *text)
{
    for (size_t i = 0; i < text->len; i++)
        if ((unsigned char)text->data[i] > ' ')
            return true;
    return false;
}

static void no_answer(struct wm_director *d, struct wm_talk *talk, struct wm_turn_load *load, const char *why)
{
    d->o.counters->turns_failed++;
    wm_log(WM_LOG_WARN, "the model gave no answer", WM_N("conversation", talk->id),
           WM_N("attempt", talk->failures + 1), WM_S("why", why));
    if (++talk->failures < ATTEMPTS) {
        wm_turn_load_drop(&load->job.note);
        pause_turn(d, talk, (int64_t)AGAIN_MS << talk->failures);
        return;
    }
    commit(d, talk, load, wm_words_trouble, NULL, NULL);
}

static void finished(struct wm_director *d, struct wm_note *note)
{
    struct wm_turn *turn = (struct wm_turn *)note;
    struct wm_turn_load *load = turn->load;
    struct wm_talk *talk = wm_talks_find(&d->talks, load->conversation);
    turn->load = NULL;
    talk->turn = NULL;
    d->turns_out--;
    wm_talks_due(&d->talks, talk, INT64_MAX);
    if (turn->finish ==
        WM_FINISH_CANCELED) { /* somebody had a reason: the next load looks whether it still holds */
        wm_turn_load_drop(&load->job.note);
        pause_turn(d, talk, 0);
    } else if (turn->finish == WM_FINISH_ERROR) {
        no_answer(d, talk, load, turn->error.text);
    } else if (!says_something(&turn->text)) {
        no_answer(d, talk, load, "it said nothing");
    } else {
        commit(d, talk, load, turn->text.data, &turn->ids, &turn->usage);
    }
    turn_free(turn);
}

/* Engine thread. */
static void generated(void *arg, const struct wm_generated *g)
{
    struct wm_turn *turn = arg;
    if (!turn->text.failed && wm_buffer_add(&turn->text, g->text, g->text_len) == WM_OK)
        wm_tokens_add(&turn->ids, g->ids, g->n_ids);
    if (g->finish == WM_FINISH_NONE)
        return;
    turn->finish = g->finish;
    turn->usage = g->usage;
    if (g->error)
        turn->error = *g->error;
    wm_desk_post(turn->desk, &turn->note);
}

static void think(struct wm_director *d, struct wm_talk *talk, struct wm_turn_load *load)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_turn *turn = calloc(1, sizeof *turn);
    if (!turn) {
        wm_turn_load_drop(&load->job.note);
        pause_turn(d, talk, AGAIN_MS);
        return;
    }
    turn->note.deliver = finished;
    turn->note.drop = turn_drop;
    turn->desk = d->desk;
    turn->load = load;
    turn->brain = talk->line->brain;
    turn->text = WM_BUFFER(REPLY_BYTES);
    wm_buffer_reserve(&turn->text, 1);
    struct wm_generate g = {.owner = (uint64_t)talk->id,
                            .prompt = load->prompt.tokens.ids,
                            .prompt_len = load->prompt.tokens.n,
                            .pictures = load->prompt.pictures,
                            .n_pictures = load->prompt.n_pictures,
                            .max_tokens = load->prompt.max_tokens,
                            .sampling = talk->line->sampling,
                            .priority = WM_PRIORITY_MESSAGE,
                            .event = generated,
                            .arg = turn};
    g.sampling.seed += (uint64_t)load->turn; /* the same words twice would else get the same answer twice */
    talk->turn = turn;
    wm_desk_hold(d->desk);
    enum wm_status st = turn->brain->submit(turn->brain->self, &g, &turn->request, &err);
    if (st == WM_OK) {
        d->turns_out++;
        d->o.counters->turns_started++;
        wm_effect_read(d, talk);
        wm_effect_typing(d, talk);
        return;
    }
    wm_desk_release(d->desk);
    talk->turn = NULL;
    turn->load = NULL;
    turn_free(turn);
    if (st == WM_EAGAIN) {
        wm_turn_load_drop(&load->job.note);
        pause_turn(d, talk, ENGINE_FULL_MS);
    } else {
        no_answer(d, talk, load, err.text);
    }
}

void wm_thinking_cancel(struct wm_talk *talk)
{
    if (talk->turn)
        talk->turn->brain->cancel(talk->turn->brain->self, talk->turn->request);
}

/* --- the beginning: what there is to answer ------------------------------------------------------------------- */

/* A fixed answer, without the model. */
static void say(struct wm_director *d, struct wm_talk *talk, struct wm_turn_load *load, const char *words)
{
    d->o.counters->turns_started++;
    commit(d, talk, load, words, NULL, NULL);
}

static void await_pictures(struct wm_director *d, struct wm_talk *talk, const struct wm_turn_load *load)
{
    leave(d, talk);
    talk->waiting = true;
    if (!talk->pictures_came) /* else the load was older than the news */
        talk->pictures_ms = wm_director_now(d) + load->pictures_until_ms - load->now_ms;
    wm_talk_step(d, talk);
}

void wm_thinking_pictures_came(struct wm_director *d, struct wm_talk *talk)
{
    talk->pictures_ms = 0;
    talk->pictures_came = true;
    wm_talk_step(d, talk);
}

static int64_t pictures_wait_ms(const struct wm_line *line)
{
    int64_t ms = line->settle_at_most_ms;
    return ms < PICTURES_LEAST_MS ? PICTURES_LEAST_MS : ms > PICTURES_MOST_MS ? PICTURES_MOST_MS : ms;
}

static void loaded(struct wm_director *d, struct wm_note *note)
{
    struct wm_turn_load *load = (struct wm_turn_load *)note;
    struct wm_talk *talk = wm_talks_find(&d->talks, load->conversation);
    wm_director_job_back(d);
    if (load->job.status == WM_ELIMIT) {
        no_answer(d, talk, load, load->job.error.text);
        return;
    }
    if (load->job.status == WM_OK && !d->closing) {
        switch (load->verdict) {
        case WM_TURN_THINK:
            think(d, talk, load);
            return;
        case WM_TURN_CANNOT_SEE:
            say(d, talk, load, wm_words_cannot_see);
            return;
        case WM_TURN_CANNOT_OPEN:
            say(d, talk, load, wm_words_cannot_open);
            return;
        case WM_TURN_NOT_LOADED:
            say(d, talk, load, wm_words_not_loaded);
            return;
        case WM_TURN_PICTURES:
            await_pictures(d, talk, load);
            break;
        case WM_TURN_REMEMBER:
            commit(d, talk, load, NULL, NULL, NULL);
            return;
        case WM_TURN_NOTHING:
            leave(d, talk);
            talk->since_ms = talk->waiting ? talk->since_ms : 0;
            wm_talk_step(d, talk);
            break;
        }
    } else {
        if (!d->closing)
            wm_log(WM_LOG_ERROR, "a turn cannot be loaded", WM_N("conversation", talk->id),
                   WM_S("why", load->job.error.text));
        pause_turn(d, talk, AGAIN_MS);
    }
    wm_turn_load_drop(note);
}

void wm_thinking_begin(struct wm_director *d, struct wm_talk *talk)
{
    const struct wm_line *line = talk->line;
    struct wm_turn_load *load = calloc(1, sizeof *load);
    int32_t *head = malloc(line->n_head * sizeof *head + 1);
    if (!load || !head) {
        free(load);
        free(head);
        pause_turn(d, talk, AGAIN_MS);
        return;
    }
    if (line->n_head > 0)
        memcpy(head, line->head, line->n_head * sizeof *head);
    load->job.apply = wm_turn_load_apply;
    load->conversation = talk->id;
    load->now_ms = wm_director_wall(d);
    load->window_ms = line->adapter->window_ms;
    load->brain = *line->brain;
    load->shelf = d->o.shelf;
    load->started_ms = d->started_wall_ms;
    load->pictures_wait_ms = pictures_wait_ms(line);
    load->in_words = talk->failures == ATTEMPTS - 1; /* perhaps a picture is the trouble */
    load->head = head;
    load->n_head = line->n_head;
    load->reply_tokens = line->reply_tokens;
    talk->pictures_came = false;
    talk->pictures_ms = 0;
    talk->waiting = false; /* what comes from now on is for the next turn */
    talk->busy = true;
    wm_director_to_reader(d, &load->job, loaded, wm_turn_load_drop);
}
