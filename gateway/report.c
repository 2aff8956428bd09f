/* report.c -- what the gateway says of itself: /metrics and /readyz. Names end in their unit; labels are bounded by the
 * settings (channels) or by constants.
 */
#include "gateway/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/metrics.h"
#include "kernels/base/clock.h"

/* Bytes of this process that are in memory now; 0 when the system does not say. */
static double resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long total = 0, resident = 0;
    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

struct figure {
    const char *name, *type, *help; /* help counts where the name is new */
    double value;
    const char *labels; /* NULL: none */
};

static void write_figures(struct wm_buffer *out, const struct figure *figures, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        wm_metric_head(out, figures[i].name, figures[i].type, figures[i].help);
        wm_metric_value(out, figures[i].name, NULL, figures[i].value);
    }
}

static void write_sessions(struct wm_app *app, struct wm_buffer *out)
{
    struct wm_sessions_stats s;
    wm_sessions_stats(app->sessions, &s);
    const struct figure figures[] = {
        {"wingman_backlog_bodies", "gauge", "Webhook bodies committed but not yet made into events",
         (double)s.backlog},
        {"wingman_backlog_age_seconds", "gauge", "Age of the oldest of them", (double)s.backlog_age_ms / 1e3},
        {"wingman_unanswered_age_seconds", "gauge", "Age of the oldest message that waits for its turn",
         (double)s.unanswered_age_ms / 1e3},
        {"wingman_bodies_total", "counter", "Webhook bodies committed", (double)s.bodies},
        {"wingman_body_bytes_total", "counter", "Bytes of them", (double)s.body_bytes},
        {"wingman_ingest_refused_total", "counter",
         "Webhooks answered 503 because the store was full or failing", (double)s.ingest_refused},
        {"wingman_commits_total", "counter", "Transactions committed to disk", (double)s.commits},
        {"wingman_commit_seconds_total", "counter", "Time spent in them", (double)s.commit_us_sum / 1e6},
        {"wingman_commit_max_seconds", "gauge", "Slowest of the last 1,024 commits",
         (double)s.commit_us_max / 1e6},
        {"wingman_store_ok", "gauge", "1 while commits succeed", s.store_ok ? 1 : 0},
        {"wingman_store_errors_total", "counter", "Commits that failed", (double)s.store_errors},
        {"wingman_events_total", "counter", "Events stored", (double)s.events},
        {"wingman_duplicates_total", "counter", "Events that repeated an earlier one", (double)s.duplicates},
        {"wingman_unparsed_total", "counter", "Verified bodies that could not be parsed", (double)s.unparsed},
        {"wingman_conversations_active", "gauge", "Conversations that are not idle",
         (double)s.conversations_active},
        {"wingman_turns_started_total", "counter", "Turns given to the model", (double)s.turns_started},
        {"wingman_turns_finished_total", "counter", "Turns finished and committed", (double)s.turns_finished},
        {"wingman_turns_failed_total", "counter", "Turns that ended in the fallback sentence",
         (double)s.turns_failed},
        {"wingman_outbox_queued", "gauge", "Replies waiting to be sent", (double)s.outbox_queued},
        {"wingman_outbox_unknown", "gauge", "Replies sent whose answer was lost", (double)s.outbox_unknown},
        {"wingman_outbox_sent_total", "counter", "Replies accepted by the platform", (double)s.outbox_sent},
        {"wingman_outbox_failed_total", "counter", "Replies refused for good", (double)s.outbox_failed},
        {"wingman_outbox_retries_total", "counter", "Sends repeated", (double)s.outbox_retries},
        {"wingman_media_wanted", "gauge", "Pictures that are being fetched, or will be",
         (double)s.media_wanted},
        {"wingman_media_fetched_total", "counter", "Pictures fetched", (double)s.media_fetched},
        {"wingman_media_bytes_total", "counter", "Bytes of them", (double)s.media_bytes},
        {"wingman_media_failed_total", "counter", "Pictures that could not be had", (double)s.media_failed},
    };
    write_figures(out, figures, sizeof figures / sizeof *figures);
}

static size_t engine_figures(const struct wm_engine_stats *s, struct figure *out, size_t max)
{
    const struct figure figures[] = {
        {"wingman_engine_steps_total", "counter", "Steps of the batch loop", (double)s->steps},
        {"wingman_prompt_tokens_total", "counter", "Prompt tokens of all requests", (double)s->prompt_tokens},
        {"wingman_cached_tokens_total", "counter", "Of these, found in the KV cache",
         (double)s->cached_tokens},
        {"wingman_computed_tokens_total", "counter", "Tokens that went through the model",
         (double)s->computed_tokens},
        {"wingman_completion_tokens_total", "counter", "Tokens generated", (double)s->completion_tokens},
        {"wingman_requests_total", "counter", "Requests to the engine", (double)s->requests},
        {"wingman_requests_canceled_total", "counter", "Requests cancelled", (double)s->canceled},
        {"wingman_requests_failed_total", "counter", "Requests that failed", (double)s->failed},
        {"wingman_requests_running", "gauge", "Sequences in the running batch", (double)s->running},
        {"wingman_requests_queued", "gauge", "Requests waiting for a place in it", (double)s->queued},
        {"wingman_kv_used_bytes", "gauge", "KV cache in use", (double)s->kv_used_bytes},
        {"wingman_kv_total_bytes", "gauge", "KV cache allowed", (double)s->kv_total_bytes},
        {"wingman_kv_group_used_bytes", "gauge", "KV cache in use by layer group",
         (double)s->kv_global.used_bytes, "layers=\"global\""},
        {"wingman_kv_group_used_bytes", "gauge", "", (double)s->kv_local.used_bytes, "layers=\"local\""},
        {"wingman_kv_group_total_bytes", "gauge", "KV cache allowed by layer group",
         (double)s->kv_global.total_bytes, "layers=\"global\""},
        {"wingman_kv_group_total_bytes", "gauge", "", (double)s->kv_local.total_bytes, "layers=\"local\""},
        {"wingman_kv_evicted_blocks_total", "counter", "KV blocks dropped to make room",
         (double)s->evicted_blocks},
        {"wingman_kv_ended_blocks_total", "counter", "KV blocks freed because their chunk had ended",
         (double)s->ended_blocks},
        {"wingman_pictures_encoded_total", "counter", "Pictures that went through the vision tower",
         (double)s->pictures_encoded},
        {"wingman_pictures_reused_total", "counter", "Pictures whose encoding was still there",
         (double)s->pictures_reused},
        {"wingman_picture_bytes", "gauge", "Encoded pictures in memory", (double)s->picture_bytes},
        {"wingman_weight_bytes", "gauge", "Packed weights in memory", (double)s->weight_bytes},
    };
    size_t n = sizeof figures / sizeof *figures < max ? sizeof figures / sizeof *figures : max;
    memcpy(out, figures, n * sizeof *out);
    return n;
}

/* Every figure of every model: a metric's lines must stand together. */
static void write_models(struct wm_app *app, struct wm_buffer *out)
{
    enum { FIGURES = 24 };
    const struct wm_model_set *set = &app->models;
    struct figure *figures = calloc(set->n ? set->n : 1, FIGURES * sizeof *figures);
    size_t n = 0;
    for (size_t m = 0; figures && m < set->n; m++) {
        struct wm_engine_stats stats;
        wm_engine_stats(set->models[m].engine, &stats);
        n = engine_figures(&stats, figures + m * FIGURES, FIGURES);
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(figures[i].name, figures[i - 1].name) != 0)
            wm_metric_head(out, figures[i].name, figures[i].type, figures[i].help);
        for (size_t m = 0; m < set->n; m++) {
            const struct figure *f = &figures[m * FIGURES + i];
            struct wm_buffer labels = WM_BUFFER(512);
            wm_metric_label(&labels, "model", set->models[m].label);
            if (f->labels)
                wm_buffer_printf(&labels, ",%s", f->labels);
            wm_metric_value(out, f->name, labels.data, f->value);
            wm_buffer_free(&labels);
        }
    }
    free(figures);
}

static void write_http(struct wm_app *app, struct wm_buffer *out)
{
    struct wm_http_stats h;
    struct wm_courier_stats c;
    wm_http_server_stats(app->server, &h);
    wm_courier_stats(app->courier, &c);
    const struct figure figures[] = {
        {"wingman_http_requests_total", "counter", "Requests read whole", (double)h.requests},
        {"wingman_http_bad_requests_total", "counter", "Requests refused by the parser",
         (double)h.bad_requests},
        {"wingman_http_timeouts_total", "counter", "Connections cut by a deadline", (double)h.timeouts},
        {"wingman_http_connections", "gauge", "Connections open now", (double)h.open_connections},
        {"wingman_http_connections_refused_total", "counter", "Connections refused by a limit",
         (double)h.refused_connections},
        {"wingman_courier_calls_total", "counter", "Outbound calls", (double)c.calls},
        {"wingman_courier_lost_total", "counter", "Outbound calls whose answer was lost", (double)c.lost},
        {"wingman_courier_not_sent_total", "counter", "Outbound calls that never left", (double)c.not_sent},
        {"wingman_courier_in_flight", "gauge", "Outbound calls open now", (double)c.in_flight},
        {"process_resident_memory_bytes", "gauge", "Resident memory", resident_bytes()},
        {"process_uptime_seconds", "gauge", "Time since start",
         (double)(wm_now_ms() - app->started_ms) / 1e3},
    };
    write_figures(out, figures, sizeof figures / sizeof *figures);

    wm_metric_head(out, "wingman_http_answers_total", "counter", "Answers by hundreds of their status");
    for (int i = 1; i <= 5; i++) {
        char labels[32];
        snprintf(labels, sizeof labels, "status=\"%dxx\"", i);
        wm_metric_value(out, "wingman_http_answers_total", labels, (double)h.status[i]);
    }
}

static void write_channels(struct wm_app *app, struct wm_buffer *out)
{
    struct wm_channel_set *set = atomic_load(&app->channels);
    wm_metric_head(out, "wingman_webhooks_total", "counter", "Webhooks by channel and what became of them");
    for (size_t i = 0; i < set->n; i++) {
        const struct wm_gateway_channel *c = &set->channels[i];
        const struct {
            const char *result;
            uint64_t count;
        } results[] = {{"accepted", atomic_load(&c->accepted)},
                       {"denied", atomic_load(&c->denied)},
                       {"refused", atomic_load(&c->refused)}};
        for (size_t r = 0; r < sizeof results / sizeof *results; r++) {
            char labels[160]; /* channel names are [a-z0-9-]{1,64} */
            snprintf(labels, sizeof labels, "channel=\"%s\",result=\"%s\"", c->name, results[r].result);
            wm_metric_value(out, "wingman_webhooks_total", labels, (double)results[r].count);
        }
    }
}

void wm_report_metrics(struct wm_app *app, struct wm_buffer *out)
{
    write_sessions(app, out);
    write_models(app, out);
    write_http(app, out);
    write_channels(app, out);
}

bool wm_report_ready(struct wm_app *app, struct wm_buffer *reason)
{
    struct wm_sessions_stats s;
    wm_sessions_stats(app->sessions, &s);
    if (atomic_load(&app->draining))
        wm_buffer_puts(reason, "not ready: the gateway is stopping\n");
    else if (!s.store_ok)
        wm_buffer_puts(reason, "not ready: the store cannot write; see the log and the disk\n");
    return reason->len == 0;
}
