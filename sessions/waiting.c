/* waiting.c -- conversations that have work on disk and are not in memory: after a start, after a reload, and when there
 * were too many. They come in pages, in order of id, as long as there is room.
 */
#include <stdlib.h>

#include "kernels/base/log.h"
#include "sessions/director_parts.h"

enum {
    PAGE = 512,
    ROOM = WM_TALKS_MAX / 4 * 3, /* a page is read while fewer are in memory */
    AT_START_MS = 3000           /* the backlog of bodies goes first, for so long */
};

struct list_job {
    struct wm_job job;
    int64_t after;
    size_t n;
    struct {
        int64_t id, since_ms;
        bool waiting, outgoing;
        char *channel;
    } found[PAGE];
};

static void list_apply(struct wm_job *job, struct wm_db *db)
{
    struct list_job *j = (struct list_job *)job;
    sqlite3_stmt *s = wm_db_ask(
        db,
        "SELECT w.id, max(w.waits), max(w.goes), channels.name,"
        " (SELECT min(arrived_ms) FROM transcript WHERE conversation = w.id AND turn IS NULL AND silent = 0) "
        "FROM"
        " (SELECT * FROM (SELECT DISTINCT conversation AS id, 1 AS waits, 0 AS goes FROM transcript"
        "   WHERE turn IS NULL AND silent = 0 AND conversation > ?1 ORDER BY conversation LIMIT ?2)"
        "  UNION ALL SELECT * FROM (SELECT DISTINCT conversation, 0, 1 FROM outbox"
        "   WHERE state IN ('queued', 'sending', 'unknown') AND conversation > ?1 ORDER BY conversation "
        "LIMIT ?2)) AS w"
        " JOIN conversations ON conversations.id = w.id JOIN channels ON channels.id = conversations.channel"
        " GROUP BY w.id ORDER BY w.id LIMIT ?2",
        "ii", j->after, (int64_t)PAGE);
    while (j->n < PAGE && wm_db_row(db, s)) {
        j->found[j->n].id = sqlite3_column_int64(s, 0);
        j->found[j->n].waiting = sqlite3_column_int(s, 1);
        j->found[j->n].outgoing = sqlite3_column_int(s, 2);
        j->found[j->n].channel = wm_db_text_new(s, 3);
        j->found[j->n++].since_ms = sqlite3_column_int64(s, 4);
    }
}

static void list_drop(struct wm_note *note)
{
    struct list_job *j = (struct list_job *)note;
    for (size_t i = 0; i < j->n; i++)
        free(j->found[i].channel);
    free(j);
}

static void bring_in(struct wm_director *d, const struct list_job *j, size_t i)
{
    struct wm_line *line = j->found[i].channel ? wm_lines_find(d->lines, j->found[i].channel) : NULL;
    if (!line || line->gone || wm_talks_find(&d->talks, j->found[i].id))
        return;
    struct wm_talk *talk = wm_talk_get(d, j->found[i].id, line);
    if (!talk)
        return;
    talk->outgoing = j->found[i].outgoing;
    talk->waiting = j->found[i].waiting;
    talk->first_ms = talk->last_ms = wm_director_now(d);
    talk->since_ms = talk->waiting ? j->found[i].since_ms : 0;
    wm_talk_step(d, talk);
}

static void listed(struct wm_director *d, struct wm_note *note)
{
    struct list_job *j = (struct list_job *)note;
    wm_director_job_back(d);
    d->list_out = false;
    if (j->job.status != WM_OK)
        wm_log(WM_LOG_ERROR, "the waiting conversations cannot be listed", WM_S("why", j->job.error.text));
    bool more = j->n == PAGE;
    d->list_after = more ? j->found[j->n - 1].id : 0;
    if (more || j->job.status != WM_OK)
        d->list_wanted = true;
    for (size_t i = 0; i < j->n && !d->closing; i++)
        bring_in(d, j, i);
    list_drop(note);
}

void wm_waiting_pump(struct wm_director *d)
{
    if (!d->list_wanted || d->list_out || d->closing || d->talks.n > ROOM)
        return;
    bool backlog = d->o.counters->recorded_id < d->o.counters->committed_id;
    if (backlog && wm_director_now(d) < d->started_ms + AT_START_MS)
        return;
    struct list_job *j = calloc(1, sizeof *j);
    if (!j)
        return;
    j->job.apply = list_apply;
    j->after = d->list_after;
    d->list_wanted = false;
    d->list_out = true;
    wm_director_to_reader(d, &j->job, listed, list_drop);
}
