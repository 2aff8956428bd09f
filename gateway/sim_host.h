/* sim_host.h -- gives a simulator (adapters/sim) a server, a courier and a clock: `sim` and `demo` run one.
 * Threads: start and stop from one thread; inside, one thread of its own drives the simulator.
 */
#ifndef WM_GATEWAY_SIM_HOST_H
#define WM_GATEWAY_SIM_HOST_H

#include <stdint.h>

#include "kernels/base/error.h"

struct wm_sim_host;

/* A business with a simulator of its own: its page at URL/ or URL/NAME/, its Graph API at the same place. */
struct wm_sim_host_business {
    const char *path; /* "/", or "/shapes/": lower-case letters, digits and hyphens */
    const char *name, *about;
    const char *const *ideas, *const *pictures; /* as struct wm_sim_business; static */
    const char *webhook_url, *account;
};

struct wm_sim_host_options { /* strings are copied */
    const char *address;     /* "127.0.0.1" */
    int port;                /* 0: any free one */
    const char *app_secret, *access_token, *verify_token;
    const struct wm_sim_host_business *businesses; /* the first one's path is "/" */
    int n_businesses;                              /* 1 to WM_SIM_BUSINESSES */
    double time_scale;
    uint64_t seed;
};

enum wm_status wm_sim_host_start(const struct wm_sim_host_options *options, struct wm_sim_host **out,
                                 struct wm_error *err);

/* "http://127.0.0.1:8090", without a slash at the end. Borrowed. */
const char *wm_sim_host_url(const struct wm_sim_host *host);

/* Joins and frees. NULL is fine. */
void wm_sim_host_stop(struct wm_sim_host *host);

#endif
