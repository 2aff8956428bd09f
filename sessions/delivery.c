/* delivery.c -- the director's third part: the parts of replies go out, one after the other. The states of a row and
 * what they promise: outbox_rows.c.
 *
 *           load (reader) --> claim (store) --> call (transport) --> settle (store) --> next row
 *
 * ALWAYS  (1) The row is `sending` on disk before its call leaves.
 *         (2) The next row of a conversation waits until this one is sent, failed, or without hope of being settled.
 *         (3) Silence counts as proof only after every webhook that we have taken was read, and counted from the last
 *             time at which we had to refuse one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"
#include "sessions/director_parts.h"

enum {
    AGAIN_MS = 1000,     /* after trouble of our own */
    LOOK_AGAIN_MS = 200, /* at an unknown row while webhooks are still unread */
    SHORT_NAP_MS = 2000,
    LONGEST_NAP_MS = 60000,
    ACCOUNT_HOLD_MS = 10000 /* longest that one row's refusal slows its whole channel */
};

static struct wm_outbox_row *row_of(struct wm_talk *talk)
{
    return &talk->parcel->rows[talk->row];
}

static void free_note(struct wm_note *note)
{
    free(note);
}

static void next_row(struct wm_director *d, struct wm_talk *talk)
{
    talk->row++;
    talk->busy = false;
    wm_talk_step(d, talk);
}

static void hold(struct wm_director *d, struct wm_talk *talk, int64_t ms)
{
    talk->busy = false;
    talk->hold_ms = wm_director_now(d) + wm_director_jitter(d, ms);
    wm_talk_step(d, talk);
}

/* --- after the call: what it came to -------------------------------------------------------------------------- */

static void settled(struct wm_director *d, struct wm_note *note)
{
    struct wm_outbox_settle *j = (struct wm_outbox_settle *)note;
    struct wm_counters *c = d->o.counters;
    struct wm_talk *talk = wm_talks_find(&d->talks, ((struct wm_outbox_settle *)note)->conversation);
    wm_director_job_back(d);
    bool from_unknown = strcmp(j->from, "unknown") == 0;
    if (j->job.status != WM_OK || j->late) { /* late: a status has said it all, and was counted */
        next_row(d, talk);
    } else if (strcmp(j->state, "queued") == 0) {
        c->queued++;
        c->retries++;
        c->unknown -= from_unknown;
        row_of(talk)->unknown = false;
        hold(d, talk, j->retry_ms);
    } else if (strcmp(j->state, "unknown") == 0) {
        c->unknown += !from_unknown;
        row_of(talk)->unknown = true;
        row_of(talk)->unknown_ms = j->unknown_ms;
        if (j->unknown_ms == 0)
            next_row(d, talk);
        else
            hold(d, talk, 0);
    } else {
        if (strcmp(j->state, "sent") == 0)
            c->sent++;
        else
            c->failed++;
        next_row(d, talk);
    }
    free(j);
}

static void settle(struct wm_director *d, struct wm_talk *talk, const char *from, const char *state,
                   const struct wm_outcome *outcome, int64_t unknown_ms)
{
    struct wm_outbox_settle *j = calloc(1, sizeof *j);
    while (!j) /* a few hundred bytes; without them what the platform has said would be lost */
        j = calloc(1, sizeof *j);
    j->job.apply = wm_outbox_settle_apply;
    j->conversation = talk->id;
    j->row = row_of(talk)->id;
    j->from = from;
    j->state = state;
    j->unknown_ms = unknown_ms;
    if (outcome) {
        j->retry_ms = outcome->retry_ms;
        j->code = outcome->code;
        snprintf(j->platform_id, sizeof j->platform_id, "%s", outcome->platform_id);
        snprintf(j->error, sizeof j->error, "%s", outcome->sentence);
    }
    talk->busy = true;
    wm_director_to_store(d, &j->job, settled, free_note);
}

static void slow_channel(struct wm_director *d, struct wm_line *line, const struct wm_outcome *outcome)
{
    int64_t ms = outcome->retry_ms;
    if (outcome->kind == WM_OUTCOME_PAUSE) {
        if (!line->paused)
            wm_log(WM_LOG_ERROR, "the platform refuses this channel; its queue is kept",
                   WM_S("channel", line->name), WM_N("code", outcome->code), WM_S("why", outcome->sentence));
        line->paused = true;
    } else if (outcome->retry_contact_only) {
        return;
    } else if (ms > ACCOUNT_HOLD_MS) {
        ms = ACCOUNT_HOLD_MS;
    }
    if (line->not_before_ms < wm_director_now(d) + ms)
        line->not_before_ms = wm_director_now(d) + ms;
}

static void judge(struct wm_director *d, struct wm_talk *talk, struct wm_outcome *outcome)
{
    struct wm_line *line = talk->line;
    switch (outcome->kind) {
    case WM_OUTCOME_SENT:
        line->paused = false;
        settle(d, talk, "sending", "sent", outcome, 0);
        break;
    case WM_OUTCOME_RETRY:
    case WM_OUTCOME_PAUSE:
        if (outcome->retry_ms < 1)
            outcome->retry_ms = AGAIN_MS;
        slow_channel(d, line, outcome);
        settle(d, talk, "sending", "queued", outcome, 0);
        break;
    case WM_OUTCOME_FAILED:
        wm_log(WM_LOG_WARN, "a message cannot be delivered", WM_S("channel", line->name),
               WM_N("conversation", talk->id), WM_N("code", outcome->code), WM_S("why", outcome->sentence));
        settle(d, talk, "sending", "failed", outcome, 0);
        break;
    case WM_OUTCOME_UNKNOWN: {
        bool provable = line->adapter->caps & WM_CAP_STATUS_REF;
        settle(d, talk, "sending", "unknown", outcome,
               provable ? wm_director_wall(d) + d->o.unknown_wait_ms : 0);
        break;
    }
    }
}

/* --- the call ------------------------------------------------------------------------------------------------- */

struct call {
    struct wm_note note;
    struct wm_desk *desk;
    int64_t conversation;
    int attempt;
    struct wm_http_copy answer;
    char ref[WM_REF_BYTES];
};

static void call_drop(struct wm_note *note)
{
    struct call *c = (struct call *)note;
    wm_http_copy_free(&c->answer);
    free(c);
}

static struct wm_outgoing outgoing_of(struct wm_talk *talk, const char *ref)
{
    struct wm_outbox_load *parcel = talk->parcel;
    return (struct wm_outgoing){.kind = WM_OUT_TEXT,
                                .account = parcel->account && *parcel->account ? parcel->account : NULL,
                                .to = parcel->contact,
                                .text = row_of(talk)->text,
                                .ref = ref};
}

static void answered(struct wm_director *d, struct wm_note *note)
{
    struct call *c = (struct call *)note;
    struct wm_talk *talk = wm_talks_find(&d->talks, c->conversation);
    struct wm_outgoing what = outgoing_of(talk, c->ref);
    struct wm_outcome outcome = {.kind = WM_OUTCOME_UNKNOWN};
    d->calls_out--;
    talk->line->adapter->outcome(talk->line->channel, &what, &c->answer.result, c->attempt, &outcome);
    judge(d, talk, &outcome);
    call_drop(note);
}

/* The transport's thread. */
static void call_done(void *arg, const struct wm_http_result *result)
{
    struct call *c = arg;
    wm_http_copy(&c->answer, result);
    wm_desk_post(c->desk, &c->note);
}

static void place_call(struct wm_director *d, struct wm_talk *talk, int attempt)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_http_call *request = NULL;
    struct wm_outcome outcome = {.kind = WM_OUTCOME_RETRY, .retry_ms = AGAIN_MS, .retry_contact_only = true};
    struct call *c = calloc(1, sizeof *c);
    if (!c || !row_of(talk)->text || !talk->parcel->contact) {
        free(c);
        judge(d, talk, &outcome);
        return;
    }
    *c = (struct call){.note = {.deliver = answered, .drop = call_drop},
                       .desk = d->desk,
                       .conversation = talk->id,
                       .attempt = attempt};
    wm_outbox_ref(c->ref, d->o.store_name, row_of(talk)->id);
    struct wm_outgoing what = outgoing_of(talk, c->ref);
    enum wm_status st = talk->line->adapter->request(talk->line->channel, &what, &request, &err);
    if (st == WM_OK) {
        wm_desk_hold(d->desk);
        st = d->o.transport->send(d->o.transport->self, request, call_done, c);
        if (st == WM_OK) {
            d->calls_out++;
            return;
        }
        wm_desk_release(d->desk);
        wm_http_call_free(request);
    } else if (st != WM_ENOMEM) {
        outcome.kind = WM_OUTCOME_FAILED;
        snprintf(outcome.sentence, sizeof outcome.sentence, "%.255s", err.text);
    }
    free(c);
    judge(d, talk, &outcome);
}

/* --- before the call ------------------------------------------------------------------------------------------ */

static void claimed(struct wm_director *d, struct wm_note *note)
{
    struct wm_outbox_claim *j = (struct wm_outbox_claim *)note;
    struct wm_counters *c = d->o.counters;
    struct wm_talk *talk = wm_talks_find(&d->talks, j->conversation);
    wm_director_job_back(d);
    if (j->job.status != WM_OK) {
        hold(d, talk, AGAIN_MS);
    } else {
        c->queued--;
        row_of(talk)->sending_ms = j->now_ms;
        if (j->verdict == WM_CLAIM_GO) {
            place_call(d, talk, j->attempts);
        } else {
            if (j->verdict == WM_CLAIM_WITHHELD) {
                c->failed++;
                wm_log(WM_LOG_INFO, "a message is not sent", WM_N("conversation", talk->id),
                       WM_S("why", j->why));
            }
            next_row(d, talk);
        }
    }
    free(j);
}

static void claim(struct wm_director *d, struct wm_talk *talk)
{
    struct wm_outbox_claim *j = calloc(1, sizeof *j);
    if (!j) {
        hold(d, talk, AGAIN_MS);
        return;
    }
    j->job.apply = wm_outbox_claim_apply;
    j->conversation = talk->id;
    j->row = row_of(talk)->id;
    j->now_ms = wm_director_wall(d);
    j->window_ms = talk->line->adapter->window_ms;
    talk->busy = true;
    wm_director_to_store(d, &j->job, claimed, free_note);
}

/* Whoever waits long keeps no texts in memory: they are read again. */
static void nap(struct wm_director *d, struct wm_talk *talk, int64_t ms)
{
    if (ms > LONGEST_NAP_MS)
        ms = LONGEST_NAP_MS;
    if (ms > SHORT_NAP_MS && talk->parcel) {
        wm_outbox_load_drop(&talk->parcel->job.note);
        talk->parcel = NULL;
        talk->outgoing = true;
    }
    wm_talks_due(&d->talks, talk, wm_director_now(d) + (ms > 0 ? ms : 1));
}

/* When silence about this row will have lasted long enough. */
static int64_t proof_at(const struct wm_director *d, const struct wm_outbox_row *row)
{
    int64_t refused = d->o.counters->refused_ms;
    if (refused < row->sending_ms)
        return row->unknown_ms;
    int64_t away = 2 * (refused - row->sending_ms);
    int64_t at = refused + (away > d->o.unknown_wait_ms ? away : d->o.unknown_wait_ms);
    return at > row->unknown_ms ? at : row->unknown_ms;
}

static void watch_unknown(struct wm_director *d, struct wm_talk *talk)
{
    struct wm_outbox_row *row = row_of(talk);
    int64_t left = proof_at(d, row) - wm_director_wall(d);
    if (!(talk->line->adapter->caps & WM_CAP_STATUS_REF))
        settle(d, talk, "unknown", "unknown", NULL, 0);
    else if (left > 0)
        nap(d, talk, left);
    else if (d->o.counters->recorded_id < d->o.counters->committed_id)
        nap(d, talk, LOOK_AGAIN_MS);
    else
        settle(d, talk, "unknown", "queued", NULL, 0);
}

static void parcel_loaded(struct wm_director *d, struct wm_note *note)
{
    struct wm_outbox_load *j = (struct wm_outbox_load *)note;
    struct wm_talk *talk = wm_talks_find(&d->talks, j->conversation);
    wm_director_job_back(d);
    if (j->job.status != WM_OK || d->closing) {
        talk->outgoing = true;
        wm_outbox_load_drop(note);
        hold(d, talk, AGAIN_MS);
        return;
    }
    talk->parcel = j;
    talk->row = 0;
    talk->busy = false;
    wm_talk_step(d, talk);
}

static void load_parcel(struct wm_director *d, struct wm_talk *talk)
{
    struct wm_outbox_load *j = calloc(1, sizeof *j);
    if (!j) {
        nap(d, talk, AGAIN_MS);
        return;
    }
    j->job.apply = wm_outbox_load_apply;
    j->conversation = talk->id;
    talk->outgoing = false; /* what is added from now on is for the next parcel */
    talk->busy = true;
    wm_director_to_reader(d, &j->job, parcel_loaded, wm_outbox_load_drop);
}

void wm_delivery_step(struct wm_director *d, struct wm_talk *talk)
{
    if (talk->parcel && talk->row == talk->parcel->n) {
        talk->outgoing |= talk->parcel->n == WM_OUTBOX_PAGE;
        wm_outbox_load_drop(&talk->parcel->job.note);
        talk->parcel = NULL;
        wm_talk_step(d, talk);
        return;
    }
    int64_t now = wm_director_now(d);
    int64_t not_before =
        talk->hold_ms > talk->line->not_before_ms ? talk->hold_ms : talk->line->not_before_ms;
    if (!talk->parcel && now >= talk->hold_ms)
        load_parcel(d, talk);
    else if (talk->parcel && row_of(talk)->unknown)
        watch_unknown(d, talk);
    else if (now < not_before)
        nap(d, talk, not_before - now);
    else
        claim(d, talk);
}

void wm_delivery_settled(struct wm_director *d, struct wm_talk *talk, int64_t row)
{
    if (talk->busy || !(talk->outgoing || talk->parcel))
        return;
    if (!talk->parcel)
        wm_talk_step(d, talk); /* it naps: perhaps on this row */
    else if (talk->row < talk->parcel->n && row_of(talk)->id == row && row_of(talk)->unknown)
        next_row(d, talk);
}
