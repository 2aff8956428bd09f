/* inbound.c -- the director's first part: bodies are parsed, recorded, and wake their conversations.
 *
 * HOW     Bodies come from the feed or, when it is not live, page by page from disk; either way in order of id, onto
 *         one list. The list is parsed in small batches, at most RECORDS_OUT of them at the store: the store's pace
 *         is ours, and what it cannot take yet stays in the feed's bound or on disk.
 *
 * ALWAYS  A body that the adapter cannot parse, or whose channel is no longer configured, becomes one UNPARSED event
 *         that keeps it whole. Nothing that was acknowledged disappears.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"
#include "kernels/base/log.h"
#include "sessions/director_parts.h"
#include "sessions/inbox.h"
#include "sessions/record.h"

enum { RECORDS_OUT = 3, BATCH_BYTES = 512 << 10, BATCH_EVENTS = 512, PAGE_BODIES = 512, READ_AGAIN_MS = 500 };

/* --- from disk ------------------------------------------------------------------------------------------------ */

struct page_job {
    struct wm_job job;
    int64_t after;
    size_t n, taken;
    struct wm_body *bodies[PAGE_BODIES];
};

static void page_apply(struct wm_job *job, struct wm_db *db)
{
    struct page_job *j = (struct page_job *)job;
    j->n = wm_inbox_page(db, j->after, j->bodies, PAGE_BODIES);
}

static void page_drop(struct wm_note *note)
{
    struct page_job *j = (struct page_job *)note;
    while (j->taken < j->n)
        wm_body_free(j->bodies[j->taken++]);
    free(j);
}

static void append_body(struct wm_director *d, struct wm_body *body)
{
    body->note.letter.next = NULL;
    wm_letters_add(&d->bodies, &body->note.letter);
    d->seen_id = body->id;
}

static void page_read(struct wm_director *d, struct wm_note *note)
{
    struct page_job *j = (struct page_job *)note;
    wm_director_job_back(d);
    d->page_out = false;
    if (j->job.status == WM_OK) {
        while (j->taken < j->n)
            append_body(d, j->bodies[j->taken++]);
        if (j->n == 0)
            wm_feed_resume(d->o.feed, d->seen_id); /* if not: the pump reads on */
    } else {
        wm_log(WM_LOG_ERROR, "the inbox cannot be read", WM_S("why", j->job.error.text));
        d->read_hold_ms = wm_director_now(d) + READ_AGAIN_MS;
    }
    page_drop(note);
}

static void read_on(struct wm_director *d)
{
    struct page_job *j = calloc(1, sizeof *j);
    if (!j)
        return; /* tried again at the next turn of the loop */
    j->job.apply = page_apply;
    j->after = d->seen_id;
    d->page_out = true;
    wm_director_to_reader(d, &j->job, page_read, page_drop);
}

void wm_director_take_body(struct wm_director *d, struct wm_note *note)
{
    struct wm_body *body = (struct wm_body *)note;
    wm_feed_taken(d->o.feed, body);
    append_body(d, body);
}

/* --- parsing -------------------------------------------------------------------------------------------------- */

static bool keep_unparsed(struct wm_reading *r, const char *why)
{
    struct wm_event *e = wm_event_list_add(&r->list);
    if (!e)
        return false;
    char key[48];
    snprintf(key, sizeof key, "body:%lld", (long long)r->body->id);
    e->kind = WM_EVENT_UNPARSED;
    e->key = strdup(key);
    e->error_text = strdup(why);
    e->at_ms = r->body->arrived_ms;
    return e->key != NULL;
}

/* False without memory: the body is then to be read again, nothing of `r` is kept. */
static bool read_body(struct wm_director *d, struct wm_body *body, struct wm_reading *r)
{
    struct wm_error err = WM_ERROR_INIT;
    bool kept = true;
    *r = (struct wm_reading){.body = body, .line = wm_lines_find(d->lines, body->channel)};
    if (!r->line) {
        kept = keep_unparsed(r, "no channel of this name is configured any more");
    } else {
        const struct wm_adapter *a = r->line->adapter;
        r->window_ms = a->window_ms;
        r->sees = a->media && r->line->brain->sees_pictures;
        r->account = r->line->account ? strdup(r->line->account) : NULL;
        enum wm_status st =
            a->parse(r->line->channel, body->bytes, body->len, body->arrived_ms, &r->list, &err);
        if (st != WM_OK)
            kept = st != WM_ENOMEM && keep_unparsed(r, err.text);
    }
    r->results = kept ? calloc(r->list.n ? r->list.n : 1, sizeof *r->results) : NULL;
    if (r->results)
        return true;
    wm_event_list_free(&r->list);
    free(r->account);
    return false;
}

/* --- what the store made of it -------------------------------------------------------------------------------- */

static void replace_text(char **text, const char *with)
{
    free(*text);
    *text = with ? strdup(with) : NULL;
}

static void wake(struct wm_director *d, const struct wm_reading *r, const struct wm_event *e,
                 int64_t conversation)
{
    struct wm_talk *talk = wm_talk_get(d, conversation, r->line);
    if (!talk)
        return;
    int64_t now = wm_director_now(d);
    if (!talk->waiting) {
        talk->waiting = true;
        talk->first_ms = now;
    }
    if (!talk->since_ms)
        talk->since_ms = r->body->arrived_ms;
    talk->last_ms = now;
    replace_text(&talk->account, e->account);
    replace_text(&talk->contact, e->sender);
    if (e->id)
        replace_text(&talk->target, e->id);
    if (!talk->read)
        wm_effect_read(d, talk);
    wm_talk_step(d, talk);
}

static void count_settled(struct wm_director *d, const struct wm_recorded *result)
{
    struct wm_counters *c = d->o.counters;
    if (result->settled_unknown)
        c->unknown--;
    if (result->settled_failed)
        c->failed++;
    else
        c->sent++;
}

static void act(struct wm_director *d, const struct wm_reading *r, const struct wm_event *e,
                const struct wm_recorded *result)
{
    d->media_due |= result->pictures;
    if (result->wakes)
        wake(d, r, e, result->conversation);
    if (result->notice) {
        struct wm_talk *talk = wm_talk_get(d, result->conversation, r->line);
        d->o.counters->queued++;
        if (talk) {
            talk->outgoing = true;
            wm_talk_step(d, talk);
        }
    }
    if (result->settled)
        count_settled(d, result);
    struct wm_talk *talk = result->conversation ? wm_talks_find(&d->talks, result->conversation) : NULL;
    if (talk && result->hushes)
        wm_thinking_cancel(talk);
    if (talk && result->settled)
        wm_delivery_settled(d, talk, result->settled);
}

static size_t events_of(const struct wm_record_job *j)
{
    size_t n = 0;
    for (size_t i = 0; i < j->n; i++)
        n += j->readings[i].list.n;
    return n;
}

static void note_progress(struct wm_director *d, const struct wm_record_job *j)
{
    struct wm_counters *c = d->o.counters;
    const struct wm_body *last = j->readings[j->n - 1].body;
    c->oldest_ms = last->arrived_ms;
    c->recorded_id = last->id;
}

static void recorded(struct wm_director *d, struct wm_note *note)
{
    struct wm_record_job *j = (struct wm_record_job *)note;
    struct wm_counters *c = d->o.counters;
    wm_director_job_back(d);
    if (j->job.status == WM_OK && !j->whole && !d->closing) {
        j->begin = j->end;
        wm_director_to_store(d, &j->job, recorded, wm_record_drop);
        return;
    }
    d->records_out--;
    d->slicing &= events_of(j) <= WM_RECORD_EVENTS;
    for (size_t i = 0; i < j->n && j->job.status == WM_OK; i++) {
        const struct wm_reading *r = &j->readings[i];
        for (size_t k = 0; k < r->list.n; k++) {
            const struct wm_event *e = &r->list.events[k];
            c->events += r->results[k].fresh;
            c->duplicates += !r->results[k].fresh;
            c->unparsed += r->results[k].fresh && e->kind == WM_EVENT_UNPARSED;
            if (r->results[k].fresh && r->line && !d->closing)
                act(d, r, e, &r->results[k]);
        }
    }
    if (j->job.status == WM_OK && j->whole)
        note_progress(d, j);
    else if (!d->closing)
        wm_log(WM_LOG_ERROR, "bodies could not be recorded; they stay in the inbox",
               WM_S("why", j->job.error.text), WM_N("first", j->readings[0].body->id),
               WM_N("last", j->readings[j->n - 1].body->id));
    wm_record_drop(note);
}

/* --- the pump ------------------------------------------------------------------------------------------------- */

/* False without memory: tried again at the next turn of the loop. */
static bool record_batch(struct wm_director *d)
{
    struct wm_record_job *j = calloc(1, sizeof *j);
    if (!j)
        return false;
    j->now_ms = wm_director_wall(d);
    j->human_ms = d->o.human_ms;
    j->job.apply = wm_record_apply;
    size_t bytes = 0, events = 0;
    int64_t begin_us = wm_now_us(); /* real time, whatever clock a test holds still */
    while (d->bodies.first && j->n < WM_RECORD_BODIES && bytes < BATCH_BYTES && events < BATCH_EVENTS) {
        struct wm_reading *r = &j->readings[j->n];
        if (!read_body(d, (struct wm_body *)d->bodies.first, r))
            break;
        wm_letters_pop(&d->bodies);
        j->n++;
        bytes += r->body->len;
        events += r->list.n;
    }
    d->o.counters->read_us += (uint64_t)(wm_now_us() - begin_us);
    d->o.counters->read += j->n;
    if (j->n == 0) {
        free(j);
        return false;
    }
    d->slicing = events_of(j) > WM_RECORD_EVENTS;
    d->records_out++;
    wm_director_to_store(d, &j->job, recorded, wm_record_drop);
    return true;
}

void wm_inbound_pump(struct wm_director *d)
{
    while (d->bodies.first && !d->slicing && d->records_out < RECORDS_OUT && !d->closing && record_batch(d))
        ;
    if (!d->bodies.first && !d->page_out && !d->closing && wm_feed_dry(d->o.feed) &&
        wm_director_now(d) >= d->read_hold_ms)
        read_on(d);
}

void wm_inbound_end(struct wm_director *d)
{
    for (struct wm_letter *l; (l = wm_letters_pop(&d->bodies));)
        wm_body_free((struct wm_body *)l);
}
