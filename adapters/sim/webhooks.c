/* webhooks.c -- posts webhooks until they are acknowledged, as Meta does.
 *
 * WHY     A gateway lives and dies by what it does with repeats, overtakers and its own outages. So this keeps every
 *         webhook until it is answered with 200, and sends its messages in the order in which a person wrote them.
 *
 * HOW     One list in order of birth. A pass over it posts what is due. The pass has a number; the first unfinished
 *         ordered webhook of a contact stamps the contact with it, and later ordered ones of that contact wait: no
 *         queue per contact is needed. Statuses are not ordered, as at Meta.
 *         After a failure the next attempt comes at once, then after 1, 2, 4 ... seconds, at most every 6 hours, for 7
 *         days; the time scale divides all of them.
 *
 * ALWAYS  (1) Nothing but status 200 ends a webhook early.
 *         (2) A message that fails holds back the contact's next ones for PATIENCE_MS; then they overtake it.
 *
 * LIMITS  WM_SIM_HOOKS waiting, WM_SIM_IN_FLIGHT on their way.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>

enum {
    FIRST_WAIT_MS = 1000,
    LONGEST_WAIT_MS = 6 * 3600 * 1000,
    GIVE_UP_MS = 7 * 24 * 3600 * 1000,
    PATIENCE_MS = 30000,
    ANSWER_MS = 20000,       /* a gateway slower than this has not answered */
    HANDSHAKE_WAIT_MS = 300, /* real time: the person at the page waits for the gateway to come up */
    FAR_MS = 60000
};

static int64_t scaled(const struct wm_sim *sim, int64_t ms)
{
    return (int64_t)((double)ms / sim->time_scale);
}

/* "/webhooks/whatsapp" of the webhook's address */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    return path ? path : "/";
}

static void drop(struct wm_sim *sim, int index)
{
    free(sim->hooks[index]->body);
    free(sim->hooks[index]);
    sim->n_hooks--;
    memmove(sim->hooks + index, sim->hooks + index + 1, (size_t)(sim->n_hooks - index) * sizeof *sim->hooks);
}

struct sim_hook *wm_sim_hook_add(struct wm_sim *sim, int64_t now_ms, const struct sim_message *m,
                                 bool is_status, char *body)
{
    struct sim_hook *hook = body && sim->n_hooks < WM_SIM_HOOKS ? calloc(1, sizeof *hook) : NULL;
    if (!hook) {
        free(body);
        return NULL;
    }
    *hook = (struct sim_hook){.ticket = sim->next_ticket++,
                              .message = m->seq,
                              .contact = m->contact,
                              .body = body,
                              .len = strlen(body),
                              .is_status = is_status,
                              .mark = m->mark,
                              .born_ms = now_ms,
                              .due_ms = now_ms};
    sim->hooks[sim->n_hooks++] = hook;
    return hook;
}

/* --- the handshake ------------------------------------------------------------------------------------------- */

static void shake_hands(struct wm_sim *sim, int64_t now_ms)
{
    struct wm_buffer url = WM_BUFFER(16 << 10);
    snprintf(sim->challenge, sizeof sim->challenge, "%llu", (unsigned long long)(wm_sim_chance(sim) * 1e10));
    wm_buffer_printf(&url, "%s?hub.mode=subscribe&hub.challenge=%s&hub.verify_token=", sim->webhook_url,
                     sim->challenge);
    for (const unsigned char *c = (const unsigned char *)sim->verify_token; *c; c++)
        wm_buffer_printf(&url, "%%%02X", *c);
    struct wm_http_call *call = url.failed ? NULL : wm_http_call_new("GET", url.data, NULL, 0);
    wm_buffer_free(&url);
    if (!call) {
        sim->handshake_due_ms = now_ms + HANDSHAKE_WAIT_MS;
        return;
    }
    char title[WM_SIM_TITLE];
    snprintf(title, sizeof title, "GET %s", path_of(sim->webhook_url));
    struct sim_log *entry = sim->handshake_log ? wm_sim_log_at(sim, sim->handshake_log) : NULL;
    if (!entry) /* one entry for all attempts: the page shows that we still wait */
        entry = wm_sim_log_add(sim, now_ms, true, -1, "verification", title, NULL, 0);
    sim->handshake_log = entry ? entry->seq : 0;
    if (entry)
        entry->attempt++;
    call->timeout_ms = ANSWER_MS;
    sim->handshake_posted_ms = now_ms;
    sim->handshake_ticket = sim->next_ticket++;
    sim->post(sim->arg, sim->handshake_ticket, call);
}

static void hands_shaken(struct wm_sim *sim, int64_t now_ms, const struct wm_http_result *result)
{
    bool answered = result->fate == WM_HTTP_ANSWERED;
    sim->handshake_ticket = 0;
    sim->verified = answered && result->status == 200 && result->body_len == strlen(sim->challenge) &&
                    memcmp(result->body, sim->challenge, result->body_len) == 0;
    sim->handshake_due_ms = now_ms + HANDSHAKE_WAIT_MS;
    struct sim_log *entry = wm_sim_log_at(sim, sim->handshake_log);
    if (entry) {
        snprintf(entry->note, sizeof entry->note, "%s",
                 sim->verified           ? "verified: webhooks flow"
                 : !answered             ? "the gateway does not answer yet"
                 : result->status == 200 ? "the answer is not the challenge"
                                         : "refused: is the verify token the gateway's?");
        entry->at_ms = sim->handshake_posted_ms;
        wm_sim_log_end(sim, now_ms, entry, answered ? result->status : -1,
                       answered ? result->body : result->cause,
                       answered        ? result->body_len
                       : result->cause ? strlen(result->cause)
                                       : 0);
    }
    wm_sim_show_hooks(sim);
}

/* --- posting ------------------------------------------------------------------------------------------------- */

static enum wm_status sign(const struct wm_sim *sim, struct wm_http_call *call, bool wrongly)
{
    unsigned char mac[32];
    unsigned int len = sizeof mac;
    const char *key = wrongly ? "another app's secret" : sim->app_secret;
    if (!HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)call->body, call->body_len, mac,
              &len))
        return WM_ENOMEM;
    char hex[65];
    for (size_t i = 0; i < sizeof mac; i++)
        snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    return wm_http_call_header(call, "X-Hub-Signature-256: sha256=%s", hex);
}

static void post(struct wm_sim *sim, int64_t now_ms, struct sim_hook *hook)
{
    struct wm_http_call *call = wm_http_call_new("POST", sim->webhook_url, hook->body, hook->len);
    if (!call || wm_http_call_header(call, "Content-Type: application/json") != WM_OK ||
        wm_http_call_header(call, "User-Agent: facebookexternalua") != WM_OK ||
        sign(sim, call, hook->bad_signature) != WM_OK) {
        wm_http_call_free(call);
        hook->due_ms = now_ms + FIRST_WAIT_MS;
        return;
    }
    call->timeout_ms = ANSWER_MS;
    char title[WM_SIM_TITLE], what[32];
    snprintf(title, sizeof title, "POST %s", path_of(sim->webhook_url));
    snprintf(what, sizeof what, "%s%s", hook->is_status ? "status " : "message",
             hook->is_status ? wm_sim_mark_name(hook->mark) : "");
    struct sim_log *entry =
        wm_sim_log_add(sim, now_ms, true, hook->contact, what, title, hook->body, hook->len);
    hook->attempts++;
    if (entry) {
        entry->attempt = hook->attempts;
        snprintf(entry->note, sizeof entry->note, "%s",
                 hook->bad_signature  ? "fault: signed with another key"
                 : hook->attempts > 1 ? "again"
                                      : "");
        wm_sim_show_log(sim, entry);
    }
    hook->log = entry ? entry->seq : 0;
    hook->bad_signature = false;
    hook->posted_ms = now_ms;
    hook->in_flight = true;
    sim->hook_counts.in_flight++;
    sim->post(sim->arg, hook->ticket, call);
}

int64_t wm_sim_hooks_tick(struct wm_sim *sim, int64_t now_ms)
{
    if (!sim->verified) {
        if (sim->handshake_ticket)
            return now_ms + FAR_MS;
        if (sim->handshake_due_ms > now_ms)
            return sim->handshake_due_ms;
        shake_hands(sim, now_ms);
        return now_ms + FAR_MS;
    }
    int64_t next = now_ms + FAR_MS;
    bool posted = false;
    sim->pass++;
    for (int i = 0; i < sim->n_hooks && sim->hook_counts.in_flight < WM_SIM_IN_FLIGHT; i++) {
        struct sim_hook *hook = sim->hooks[i];
        if (hook->ordered) {
            struct sim_contact *c = &sim->contacts[hook->contact];
            if (c->pass == sim->pass)
                continue;
            int64_t overtaken_ms = hook->born_ms + scaled(sim, PATIENCE_MS);
            if (now_ms < overtaken_ms) {
                c->pass = sim->pass;
                if (overtaken_ms < next)
                    next = overtaken_ms;
            }
        }
        if (hook->in_flight)
            continue;
        if (hook->due_ms <= now_ms) {
            post(sim, now_ms, hook);
            posted = true;
        }
        if (!hook->in_flight && hook->due_ms < next)
            next = hook->due_ms;
    }
    if (posted)
        wm_sim_show_hooks(sim);
    return next;
}

/* --- answers ------------------------------------------------------------------------------------------------- */

/* The wait after that many failed attempts. */
static int64_t back_off_ms(int attempts)
{
    if (attempts <= 1)
        return 0;
    int64_t wait = FIRST_WAIT_MS;
    for (int i = 2; i < attempts && wait < LONGEST_WAIT_MS; i++)
        wait *= 2;
    return wait < LONGEST_WAIT_MS ? wait : LONGEST_WAIT_MS;
}

static void acknowledged(struct wm_sim *sim, const struct sim_hook *hook)
{
    sim->hook_counts.delivered++;
    struct sim_message *m = wm_sim_message_at(sim, hook->message);
    if (m && !hook->is_status && m->mark == MARK_SENT) {
        m->mark = MARK_DELIVERED;
        wm_sim_show_message(sim, m);
    }
}

void wm_sim_answered(struct wm_sim *sim, int64_t now_ms, uint64_t ticket, const struct wm_http_result *result)
{
    if (sim->handshake_ticket && ticket == sim->handshake_ticket) {
        hands_shaken(sim, now_ms, result);
        return;
    }
    int i = 0;
    while (i < sim->n_hooks && sim->hooks[i]->ticket != ticket)
        i++;
    if (i == sim->n_hooks || !sim->hooks[i]->in_flight)
        return; /* from before a reset */
    struct sim_hook *hook = sim->hooks[i];
    bool answered = result->fate == WM_HTTP_ANSWERED;
    bool ok = answered && result->status == 200 && !hook->lose_answer;
    struct sim_log *entry = wm_sim_log_at(sim, hook->log);
    if (entry) {
        if (answered && hook->lose_answer)
            snprintf(entry->note, sizeof entry->note, "fault: this answer counts as lost");
        wm_sim_log_end(sim, now_ms, entry, answered ? result->status : -1,
                       answered ? result->body : result->cause,
                       answered        ? result->body_len
                       : result->cause ? strlen(result->cause)
                                       : 0);
    }
    if (answered)
        hook->lose_answer = false;
    hook->in_flight = false;
    sim->hook_counts.in_flight--;
    if (ok) {
        acknowledged(sim, hook);
        drop(sim, i);
    } else {
        sim->hook_counts.failures++;
        hook->due_ms = now_ms + scaled(sim, back_off_ms(hook->attempts));
        if (hook->due_ms - hook->born_ms > scaled(sim, GIVE_UP_MS)) {
            sim->hook_counts.given_up++;
            drop(sim, i);
        }
    }
    wm_sim_show_hooks(sim);
}

void wm_sim_hooks_reset(struct wm_sim *sim)
{
    while (sim->n_hooks)
        drop(sim, sim->n_hooks - 1);
    sim->hook_counts = (struct sim_hook_counts){0};
}
