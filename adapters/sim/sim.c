/* sim.c -- the simulator's door: options, routes, the clock.
 *
 * WHY     A gateway can only be believed when its platform misbehaves, and Meta does so rarely and never on request.
 *         This stands in for Meta: whatever the gateway does to it, it could do to Meta, byte for byte.
 *
 * HOW     Everything is one struct wm_sim (world.h) on one thread. Three calls come in: a request, the answer to a
 *         webhook that we posted, the clock. Two go out: `post` a webhook, `publish` what a page should redraw.
 *
 *           page --/sim/message--> people.c --> payload.c --> webhooks.c ==post==> gateway
 *           page <---publish------ view.c                          ^                  |
 *                                    ^                             |                  v
 *                              statuses.c <---- graph.c <-----------------/vNN.N/PHONE/messages
 *
 *         faults.c is asked at the places where Meta can fail; panel.c notes every call for the page.
 *
 * ALWAYS  (1) No webhook leaves before the gateway has answered the verification handshake.
 *         (2) A webhook is posted until it is answered with 200 or is seven days old, whatever fault strikes.
 *         (3) A contact's messages are delivered in order, one at a time, unless a fault says otherwise.
 *         (4) A message that Graph accepted is in GET /sim/sends exactly once, also when its answer was lost.
 *
 * LIMITS  world.h, its first enum. What is full says so with a sentence; what is merely old leaves.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

enum wm_status wm_sim_new(const struct wm_sim_options *options, int64_t now_ms, struct wm_sim **out,
                          struct wm_error *err)
{
    const struct {
        const char *value, *name;
    } needed[] = {{options->webhook_url, "webhook_url"},   {options->app_secret, "app_secret"},
                  {options->access_token, "access_token"}, {options->verify_token, "verify_token"},
                  {options->account, "account"},           {options->public_url, "public_url"}};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!needed[i].value || !*needed[i].value)
            return wm_fail(err, WM_EINVAL, "the simulator needs %s, and it is empty", needed[i].name);
    if (!(options->time_scale > 0 && options->time_scale <= 1e6))
        return wm_fail(err, WM_EINVAL,
                       "the simulator's time scale is %g; it must be above 0 and at most 1000000",
                       options->time_scale);
    if (options->n_businesses < 0 || options->n_businesses > WM_SIM_BUSINESSES ||
        (options->n_businesses && (options->business < 0 || options->business >= options->n_businesses)))
        return wm_fail(err, WM_EINVAL, "the simulator's businesses are 1 to %d, and it is one of them",
                       WM_SIM_BUSINESSES);
    if (!options->post)
        return wm_fail(err, WM_EINVAL, "the simulator needs somebody to post its webhooks");
    struct wm_sim *sim = calloc(1, sizeof *sim);
    if (!sim)
        return wm_fail(err, WM_ENOMEM, "no memory for the simulator");
    sim->webhook_url = copy(options->webhook_url);
    sim->app_secret = copy(options->app_secret);
    sim->access_token = copy(options->access_token);
    sim->verify_token = copy(options->verify_token);
    sim->account = copy(options->account);
    sim->public_url = copy(options->public_url);
    if (!sim->webhook_url || !sim->app_secret || !sim->access_token || !sim->verify_token || !sim->account ||
        !sim->public_url) {
        wm_sim_free(sim);
        return wm_fail(err, WM_ENOMEM, "no memory for the simulator's options");
    }
    sim->businesses = options->businesses;
    sim->n_businesses = options->n_businesses;
    sim->business = options->business;
    sim->time_scale = options->time_scale;
    sim->post = options->post;
    sim->publish = options->publish;
    sim->arg = options->arg;
    sim->random = options->seed * 2654435769u + 0x9E3779B97F4A7C15u; /* never zero for a small seed */
    sim->first_message = sim->next_message = 1;
    sim->first_log = sim->next_log = 1;
    sim->next_ticket = sim->next_fault = 1;
    /* Media ids must differ between runs: a gateway keeps what it once fetched under that id. */
    sim->next_media = (uint64_t)now_ms * 100;
    sim->handshake_due_ms = now_ms;
    wm_sim_people_reset(sim);
    *out = sim;
    return WM_OK;
}

void wm_sim_free(struct wm_sim *sim)
{
    if (!sim)
        return;
    sim->publish = NULL; /* nobody is shown how the world ends */
    wm_sim_hooks_reset(sim);
    wm_sim_people_reset(sim);
    wm_sim_log_reset(sim);
    wm_sim_media_reset(sim);
    free(sim->webhook_url);
    free(sim->app_secret);
    free(sim->access_token);
    free(sim->verify_token);
    free(sim->account);
    free(sim->public_url);
    free(sim);
}

int64_t wm_sim_tick(struct wm_sim *sim, int64_t now_ms)
{
    int64_t statuses = wm_sim_statuses_tick(sim, now_ms); /* first: they make webhooks */
    int64_t hooks = wm_sim_hooks_tick(sim, now_ms);
    return statuses < hooks ? statuses : hooks;
}

void wm_sim_answer_json(struct wm_sim_response *out, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    out->status = text ? status : 500;
    out->content_type = "application/json";
    wm_buffer_free(&out->body);
    wm_buffer_puts(&out->body, text ? text : "{\"error\":\"no memory\"}");
    free(text);
}

void wm_sim_answer_error(struct wm_sim_response *out, int status, const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    wm_sim_answer_json(out, status, json_pack("{s:s}", "error", sentence));
}

/* "/v25.0/..." */
static bool is_graph(const char *path)
{
    return path[0] == '/' && path[1] == 'v' && path[2] >= '0' && path[2] <= '9';
}

void wm_sim_handle(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                   struct wm_sim_response *out)
{
    *out = (struct wm_sim_response){
        .status = 200, .content_type = "text/plain", .body = WM_BUFFER(WM_SIM_ANSWER)};
    if (is_graph(request->path))
        wm_sim_graph(sim, now_ms, request, out);
    else if (!wm_sim_host_ok(sim, request))
        wm_sim_answer_error(out, 403, "this address is not the simulator's own: open %s/ instead",
                            sim->public_url);
    else if (strncmp(request->path, "/sim/", 5) == 0)
        wm_sim_verb(sim, now_ms, request, out);
    else if (strncmp(request->path, "/media/", 7) == 0)
        wm_sim_media_bytes(sim, now_ms, request, out);
    else if (!wm_sim_page(request, out))
        wm_sim_answer_error(out, 404, "there is nothing at this address; the page is at /");
    if (out->body.failed) {
        wm_buffer_free(&out->body);
        out->status = 500;
    }
}
