/* courier.h -- outbound HTTPS: one thread, libcurl's multi interface, pooled connections.
 * Implements wm_transport (sessions/transport.h). Design and limits: courier.c.
 */
#ifndef WM_GATEWAY_COURIER_H
#define WM_GATEWAY_COURIER_H

#include "sessions/transport.h"

struct wm_courier;

struct wm_courier_options {   /* 0 or NULL: the default */
    int max_waiting;          /* calls in flight and queued: 4096 */
    int connections_per_host; /* 64 */
    int64_t connect_ms;       /* 10 s */
    const char *user_agent;
    const char *ca_file; /* a CA bundle other than the system's */
};

enum wm_status wm_courier_new(const struct wm_courier_options *options, struct wm_courier **out,
                              struct wm_error *err);

/* Valid until free. */
struct wm_transport *wm_courier_transport(struct wm_courier *c);

struct wm_courier_stats {
    uint64_t calls, answered, not_sent, lost, refused;
    uint64_t in_flight;
};
void wm_courier_stats(struct wm_courier *c, struct wm_courier_stats *out);

/* Every call still open gets its `done` (LOST or NOT_SENT); joins. NULL is fine. */
void wm_courier_free(struct wm_courier *c);

#endif
