/* sim.h -- Meta's side of the conversation: a stand-in Graph server, and phones for people to type on.
 *
 * Pure logic with time passed in: no socket, no thread, no clock of its own. The gateway's `sim` command gives it a
 * server, a courier and a timer (gateway/sim_host.c); tests drive it by hand. One thread at a time. Essay: sim.c.
 */
#ifndef WM_ADAPTERS_SIM_H
#define WM_ADAPTERS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"
#include "sessions/transport.h"

struct wm_sim;

/* A business that people can write to: what its page says, and where the pages of the others are. */
struct wm_sim_business {
    const char *name;            /* "Shapes" */
    const char *about;           /* one line below the name */
    const char *path;            /* of its page: "/" or "/shapes/" */
    const char *const *ideas;    /* things to say first, NULL at the end; NULL: none */
    const char *const *pictures; /* files of the page to send first, NULL at the end; NULL: none */
};

enum { WM_SIM_BUSINESSES = 8 };

struct wm_sim_options {       /* strings are copied */
    const char *webhook_url;  /* where webhooks are posted: http://127.0.0.1:8080/webhooks/whatsapp */
    const char *app_secret;   /* signs them */
    const char *access_token; /* demanded of Graph calls */
    const char *verify_token; /* for the GET handshake that the simulator performs at start */
    const char *account;      /* phone number id */
    const char *public_url;   /* of the simulator itself, for media URLs; no slash at the end */
    const struct wm_sim_business
        *businesses;            /* all that the page links to; borrowed, outlive the simulator; NULL: none */
    int n_businesses, business; /* how many (at most WM_SIM_BUSINESSES), and which of them this is */
    double time_scale; /* 1: Meta's redelivery schedule in real time; 60: a minute passes in a second */
    uint64_t seed;     /* of faults */

    /* Posts a webhook: takes `call`; the answer comes back through wm_sim_answered with `ticket`, later, never from
     * inside this call. */
    void (*post)(void *arg, uint64_t ticket, struct wm_http_call *call);
    /* Something changed that the page shows: one JSON object, to be sent to every open event stream. May be NULL. */
    void (*publish)(void *arg, const char *json, size_t len);
    void *arg;
};

/* `now_ms` here and below: Unix time in milliseconds, never going back. EINVAL when an option is missing. */
enum wm_status wm_sim_new(const struct wm_sim_options *options, int64_t now_ms, struct wm_sim **out,
                          struct wm_error *err);
void wm_sim_free(struct wm_sim *sim); /* NULL is fine */

/* An HTTP request to the simulator: Graph calls under /vNN.N/, media under /media/, the page and its files, and the
 * page's own verbs under /sim/. Strings but method and path may be NULL: the header was absent. */
struct wm_sim_request {
    const char *method, *path, *query;
    const char *authorization;
    const char *content_type;
    const char *host, *origin; /* what a browser says of itself: guards the verbs against other sites */
    const char *body;
    size_t body_len;
};

struct wm_sim_response {
    int status;
    const char *content_type; /* valid until the next call */
    const char *headers;      /* complete lines with CRLF, static; NULL: none */
    struct wm_buffer body;    /* the caller frees it */
    int64_t delay_ms;         /* answer this much later (fault "slow") */
    bool drop;   /* close without an answer, though the call was carried out (fault "lost_answer") */
    bool stream; /* this is GET /sim/stream: keep open, send what publish() says from now on; body holds
                                 the snapshot that comes first, one JSON object like those of publish() */
};

void wm_sim_handle(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                   struct wm_sim_response *out);

/* The result of a webhook post. An unknown ticket is ignored. */
void wm_sim_answered(struct wm_sim *sim, int64_t now_ms, uint64_t ticket,
                     const struct wm_http_result *result);

/* Performs what is due (deliveries, redeliveries, statuses); returns when to call again, at the latest. To be called
 * after every wm_sim_handle and wm_sim_answered, too: both may have made something due. */
int64_t wm_sim_tick(struct wm_sim *sim, int64_t now_ms);

#endif
