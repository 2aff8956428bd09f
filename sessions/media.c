/* media.c -- the director's fourth part: pictures that people send are fetched, so that the model can look at them.
 *
 * WHY     A webhook carries an id, not a picture; its address lives for minutes, the download may take seconds and fail,
 *         and the bytes are a stranger's. None of that may be lost, repeated for ever, or waited for by a thread.
 *
 * HOW     The table `media` is the queue. A medium is wanted in the same transaction in which its event is recorded; from
 *         there it goes through these hands, one object from the first to the last:
 *
 *           take (store) --> ask (transport) --> is it here? (keeper) --no--> fetch (transport)
 *             attempts + 1        |                       | yes                    |
 *                                 |                       v                        v
 *                                 |                  look (keeper) <---- hash, write, look (keeper)
 *                                 |                       |
 *                                 +--retry, gone--> end (store): fetched, failed, or wanted again later
 *                                                         '--> the conversations that wait for it go on
 *
 *         A turn that finds a medium still wanted waits for it, up to a bound (turn_rows.c), then goes on in words.
 *
 * ALWAYS  (1) Until `end` nothing has happened but a file on the shelf: after a crash between any two steps the medium is
 *             wanted still, and a start takes it up at once.
 *         (2) Each attempt is counted before it begins: a picture that brings the process down does so
 *             WM_MEDIA_ATTEMPTS times, not at every start for ever.
 *         (3) A medium that cannot be had is `failed` with a sentence, and the person's message says so to the model.
 *         (4) What a person's picture is, its bytes say; what the platform announced must agree with them.
 *
 * LIMITS  WM_MEDIA_TAKE media under way, `media_bytes` each; RETRY_MOST_MS between attempts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "kernels/base/log.h"
#include "sessions/director_parts.h"
#include "sessions/media_rows.h"

enum { RETRY_MOST_MS = 60 * 1000, AGAIN_MS = 1000, NO_CHANNEL_MS = 10 * 60 * 1000, LOOK_AGAIN_MS = 500 };

/* One medium on its way. Whoever works on it owns it: director, store, transport or keeper. */
struct fetch {
    struct wm_job job;
    int64_t id;
    int attempt;
    char *platform_id;
    struct wm_line *line;
    struct wm_brain brain;
    const struct wm_shelf *shelf;
    size_t max_bytes;
    struct wm_desk *desk;
    struct wm_media_place place;
    struct wm_http_copy answer;
    struct wm_media_end end;
};

static void fetch_free(struct fetch *f)
{
    wm_http_copy_free(&f->answer);
    free(f->platform_id);
    free(f);
}

static void fetch_drop(struct wm_note *note)
{
    fetch_free((struct fetch *)note);
}

/* --- the end: what became of it --------------------------------------------------------------------------------- */

static void end_apply(struct wm_job *job, struct wm_db *db)
{
    struct fetch *f = (struct fetch *)job;
    wm_media_end(db, f->id, &f->end);
}

static void ended(struct wm_director *d, struct wm_note *note)
{
    struct fetch *f = (struct fetch *)note;
    wm_director_job_back(d);
    d->fetches--;
    d->media_due = true;
    if (f->job.status == WM_OK && f->end.state == WM_MEDIA_IS_FETCHED) {
        d->o.counters->media_fetched++;
        d->o.counters->media_bytes += (uint64_t)f->end.bytes;
    } else if (f->job.status == WM_OK && f->end.state == WM_MEDIA_IS_FAILED) {
        d->o.counters->media_failed++;
        wm_log(WM_LOG_WARN, "a picture cannot be loaded", WM_S("channel", f->line ? f->line->name : "?"),
               WM_N("medium", f->id), WM_S("why", f->end.error));
    }
    for (size_t i = 0; i < f->end.n_told; i++) {
        struct wm_talk *talk = wm_talks_find(&d->talks, f->end.told[i]);
        if (talk)
            wm_thinking_pictures_came(d, talk);
    }
    fetch_free(f);
}

static void end(struct wm_director *d, struct fetch *f)
{
    f->job.apply = end_apply;
    wm_director_to_store(d, &f->job, ended, fetch_drop);
}

static void fail(struct wm_director *d, struct fetch *f, const char *why)
{
    f->end.state = WM_MEDIA_IS_FAILED;
    snprintf(f->end.error, sizeof f->end.error, "%.255s", why);
    end(d, f);
}

static void later(struct wm_director *d, struct fetch *f, int64_t ms, const char *why)
{
    if (f->attempt >= WM_MEDIA_ATTEMPTS) {
        fail(d, f, why);
        return;
    }
    f->end.state = WM_MEDIA_IS_WANTED;
    f->end.next_ms = wm_director_wall(d) + wm_director_jitter(d, ms < RETRY_MOST_MS ? ms : RETRY_MOST_MS);
    snprintf(f->end.error, sizeof f->end.error, "%.255s", why);
    end(d, f);
}

/* False when the answer ends this attempt. */
static bool goes_on(struct wm_director *d, struct fetch *f, const struct wm_media_outcome *outcome)
{
    struct wm_line *line = f->line;
    switch (outcome->kind) {
    case WM_MEDIA_GOT:
        line->media_paused = false;
        return true;
    case WM_MEDIA_RETRY:
        later(d, f, outcome->retry_ms, outcome->sentence);
        return false;
    case WM_MEDIA_PAUSE:
        if (!line->media_paused)
            wm_log(WM_LOG_ERROR, "the platform refuses to give out pictures", WM_S("channel", line->name),
                   WM_N("code", outcome->code), WM_S("why", outcome->sentence));
        line->media_paused = true;
        later(d, f, outcome->retry_ms, outcome->sentence);
        return false;
    case WM_MEDIA_GONE:
        break;
    }
    fail(d, f, outcome->sentence);
    return false;
}

/* --- the keeper's part: hash, write, look ----------------------------------------------------------------------- */

/* What the bytes are, by how they begin; NULL: no picture of a kind that we know. */
static const char *kind_of_bytes(const char *bytes, size_t len)
{
    static const struct {
        const char *mime;
        size_t at, len;
        const char *magic;
    } kinds[] = {
        {"image/jpeg", 0, 3, "\xFF\xD8\xFF"},
        {"image/png", 0, 8, "\x89PNG\r\n\x1A\n"},
        {"image/webp", 8, 4, "WEBP"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (len >= kinds[i].at + kinds[i].len &&
            memcmp(bytes + kinds[i].at, kinds[i].magic, kinds[i].len) == 0)
            return kinds[i].mime;
    return NULL;
}

static bool read_hex(const char *hex, uint8_t out[WM_PICTURE_HASH])
{
    for (int i = 0; i < WM_PICTURE_HASH; i++) {
        unsigned value;
        if (sscanf(hex + (size_t)2 * (size_t)i, "%2x", &value) != 1)
            return false;
        out[i] = (uint8_t)value;
    }
    return true;
}

/* The file is on the shelf: does the model take it for a picture? */
static void look(struct fetch *f, const char *mime)
{
    struct wm_picture seen = {0};
    char *path = wm_shelf_path_new(f->shelf, f->end.picture.hash);
    if (!path) {
        f->job.status = wm_fail(&f->job.error, WM_ENOMEM, "no memory to look at a picture");
        return;
    }
    f->job.status = f->brain.look(f->brain.self, path, &seen, &f->job.error);
    f->end.picture.rows = seen.rows;
    f->end.picture.cols = seen.cols;
    f->end.mime = mime;
    f->end.fingerprint = f->brain.fingerprint;
    free(path);
}

/* The platform has told the hash: perhaps the same picture came before. ENOENT: it did not. */
static void find_apply(struct wm_job *job, struct wm_db *db)
{
    (void)db;
    struct fetch *f = (struct fetch *)job;
    f->end.bytes = f->place.bytes;
    if (f->place.bytes < 0 || !read_hex(f->place.sha256, f->end.picture.hash) ||
        !wm_shelf_holds(f->shelf, f->end.picture.hash, f->place.bytes))
        job->status = WM_ENOENT;
    else
        look(f, f->place.mime);
}

static void keep_apply(struct wm_job *job, struct wm_db *db)
{
    (void)db;
    struct fetch *f = (struct fetch *)job;
    const char *bytes = f->answer.result.body;
    size_t len = f->answer.result.body_len;
    uint8_t announced[WM_PICTURE_HASH];
    const char *mime = kind_of_bytes(bytes, len);
    f->end.bytes = (int64_t)len;
    if (f->place.bytes >= 0 && f->place.bytes != (int64_t)len) {
        job->status = wm_fail(&job->error, WM_EAGAIN, "%zu bytes came where %lld were announced", len,
                              (long long)f->place.bytes);
    } else if (!EVP_Digest(bytes, len, f->end.picture.hash, NULL, EVP_sha256(), NULL)) {
        job->status = wm_fail(&job->error, WM_ENOMEM, "no memory to hash a picture");
    } else if (f->place.sha256[0] && (!read_hex(f->place.sha256, announced) ||
                                      memcmp(announced, f->end.picture.hash, sizeof announced) != 0)) {
        job->status = wm_fail(&job->error, WM_EAGAIN, "the bytes have another SHA-256 than was announced");
    } else if (!mime) {
        job->status = wm_fail(&job->error, WM_EFORMAT, "it is neither JPEG nor PNG nor WebP");
    } else {
        bool known = wm_shelf_holds(f->shelf, f->end.picture.hash, (int64_t)len);
        if (!known)
            job->status = wm_shelf_put(f->shelf, f->end.picture.hash, bytes, len, &job->error);
        if (job->status == WM_OK) {
            look(f, mime);
            if (job->status == WM_EFORMAT && !known)
                wm_shelf_drop(f->shelf, f->end.picture.hash);
        }
    }
    wm_http_copy_free(&f->answer);
}

static void kept(struct wm_director *d, struct wm_note *note)
{
    struct fetch *f = (struct fetch *)note;
    wm_director_job_back(d);
    const char *why = f->job.error.text;
    switch (f->job.status) {
    case WM_OK:
        f->end.state = WM_MEDIA_IS_FETCHED;
        end(d, f);
        break;
    case WM_EFORMAT: /* damaged, too large, or none at all: another attempt would bring the same bytes */
    case WM_ELIMIT:
    case WM_EUNSUPPORTED:
        fail(d, f, why);
        break;
    default:
        if (f->job.status != WM_EAGAIN)
            wm_log(WM_LOG_ERROR, "a picture cannot be kept", WM_N("medium", f->id), WM_S("why", why));
        later(d, f, (int64_t)AGAIN_MS << f->attempt, why);
        break;
    }
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

/* The transport's thread. */
static void call_done(void *arg, const struct wm_http_result *result)
{
    struct fetch *f = arg;
    wm_http_copy(&f->answer, result);
    wm_desk_post(f->desk, &f->job.note);
}

/* Takes `call`. */
static void place_call(struct wm_director *d, struct fetch *f, struct wm_http_call *call,
                       void (*deliver)(struct wm_director *d, struct wm_note *note))
{
    f->job.note.deliver = deliver;
    f->job.note.drop = fetch_drop;
    wm_desk_hold(d->desk);
    if (d->o.transport->send(d->o.transport->self, call, call_done, f) == WM_OK) {
        d->calls_out++;
        return;
    }
    wm_desk_release(d->desk);
    wm_http_call_free(call);
    later(d, f, AGAIN_MS, "too many calls wait");
}

static void fetched(struct wm_director *d, struct wm_note *note)
{
    struct fetch *f = (struct fetch *)note;
    struct wm_media_outcome outcome;
    d->calls_out--;
    f->line->adapter->media->fetched(f->line->channel, &f->answer.result, f->attempt, &outcome);
    if (!goes_on(d, f, &outcome))
        return;
    f->job.apply = keep_apply;
    wm_director_to_keeper(d, &f->job, kept, fetch_drop);
}

static void fetch(struct wm_director *d, struct fetch *f)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_http_call *call = NULL;
    enum wm_status st =
        f->line->adapter->media->fetch(f->line->channel, &f->place, f->max_bytes, &call, &err);
    if (st == WM_OK)
        place_call(d, f, call, fetched);
    else if (st == WM_ENOMEM)
        later(d, f, AGAIN_MS, err.text);
    else
        fail(d, f, err.text);
}

static void looked_for(struct wm_director *d, struct wm_note *note)
{
    struct fetch *f = (struct fetch *)note;
    if (f->job.status != WM_ENOENT) {
        kept(d, note);
        return;
    }
    wm_director_job_back(d);
    fetch(d, f);
}

static void placed(struct wm_director *d, struct fetch *f)
{
    const struct wm_media_place *place = &f->place;
    char why[128];
    if (place->bytes > 0 && (uint64_t)place->bytes > f->max_bytes) {
        snprintf(why, sizeof why, "it has %lld bytes, media.max_bytes allows %zu", (long long)place->bytes,
                 f->max_bytes);
        fail(d, f, why);
    } else if (place->mime[0] && strncmp(place->mime, "image/", 6) != 0) {
        snprintf(why, sizeof why, "it is announced as %.60s, not as a picture", place->mime);
        fail(d, f, why);
    } else if (place->sha256[0]) {
        f->job.apply = find_apply;
        wm_director_to_keeper(d, &f->job, looked_for, fetch_drop);
    } else {
        fetch(d, f);
    }
}

static void told(struct wm_director *d, struct wm_note *note)
{
    struct fetch *f = (struct fetch *)note;
    struct wm_media_outcome outcome;
    d->calls_out--;
    f->line->adapter->media->told(f->line->channel, &f->answer.result, f->attempt, &f->place, &outcome);
    wm_http_copy_free(&f->answer);
    if (goes_on(d, f, &outcome))
        placed(d, f);
}

static void ask(struct wm_director *d, struct fetch *f)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_http_call *call = NULL;
    enum wm_status st =
        f->line->adapter->media->ask(f->line->channel, f->platform_id, &call, &f->place, &err);
    if (st == WM_OK && call)
        place_call(d, f, call, told);
    else if (st == WM_OK)
        placed(d, f);
    else if (st == WM_ENOMEM)
        later(d, f, AGAIN_MS, err.text);
    else
        fail(d, f, err.text);
}

/* --- the beginning: what is wanted -------------------------------------------------------------------------------- */

static void begin(struct wm_director *d, struct wm_media_take *j, size_t i)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (!f || !j->taken[i].platform_id || !j->taken[i].channel) {
        free(f); /* its lease ends by itself */
        return;
    }
    f->id = j->taken[i].id;
    f->attempt = (int)j->taken[i].attempts;
    f->platform_id = j->taken[i].platform_id;
    j->taken[i].platform_id = NULL;
    f->line = wm_lines_find(d->lines, j->taken[i].channel);
    f->shelf = d->o.shelf;
    f->max_bytes = d->o.media_bytes;
    f->desk = d->desk;
    d->fetches++;
    if (!f->line || f->line->gone || !f->line->adapter->media) {
        f->end.state = WM_MEDIA_IS_WANTED;
        f->end.next_ms = wm_director_wall(d) + NO_CHANNEL_MS;
        end(d, f);
    } else if (f->attempt > WM_MEDIA_ATTEMPTS) {
        fail(d, f, "every attempt was cut off");
    } else {
        f->brain = *f->line->brain;
        ask(d, f);
    }
}

static void taken(struct wm_director *d, struct wm_note *note)
{
    struct wm_media_take *j = (struct wm_media_take *)note;
    int64_t now = wm_director_now(d);
    wm_director_job_back(d);
    d->take_out = false;
    d->media_at_ms = INT64_MAX;
    if (j->job.status != WM_OK) {
        d->media_at_ms = now + LOOK_AGAIN_MS;
    } else {
        d->o.counters->media_wanted = (uint64_t)j->wanted;
        if (j->next_ms > 0)
            d->media_at_ms = now + (j->next_ms > j->now_ms ? j->next_ms - j->now_ms : 0);
        for (size_t i = 0; i < j->n && !d->closing; i++)
            begin(d, j, i);
    }
    wm_media_take_drop(note);
}

void wm_media_pump(struct wm_director *d)
{
    if (d->take_out || d->closing || d->fetches >= WM_MEDIA_TAKE ||
        (!d->media_due && wm_director_now(d) < d->media_at_ms))
        return;
    struct wm_media_take *j = calloc(1, sizeof *j);
    if (!j)
        return; /* tried again at the next turn of the loop */
    j->job.apply = wm_media_take_apply;
    j->now_ms = wm_director_wall(d);
    j->room = (size_t)(WM_MEDIA_TAKE - d->fetches);
    d->media_due = false;
    d->take_out = true;
    wm_director_to_store(d, &j->job, taken, wm_media_take_drop);
}
