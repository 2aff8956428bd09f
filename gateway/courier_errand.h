/* courier_errand.h -- one outbound call on its way; shared by courier.c and courier_errand.c only.
 * Courier thread, except wm_errand_new.
 */
#ifndef WM_GATEWAY_COURIER_ERRAND_H
#define WM_GATEWAY_COURIER_ERRAND_H

#include <stdbool.h>

#include <curl/curl.h>

#include "gateway/courier.h"
#include "kernels/base/buffer.h"
#include "kernels/base/mailbox.h"

struct wm_errand {
    struct wm_letter letter;   /* first: it travels through the mailbox */
    struct wm_http_call *call; /* owned */
    void (*done)(void *arg, const struct wm_http_result *result);
    void *arg;

    CURL *easy;
    struct curl_slist *headers;
    size_t body_sent;
    struct wm_buffer answer;
    size_t head_bytes;
    const char *too_long; /* what passed its limit; NULL: nothing */
    bool private_address; /* where it should not go */
    char error[CURL_ERROR_SIZE];
    struct wm_errand *prev, *next; /* of those under way */
};

/* Any thread. Takes `call`. NULL without memory: the caller still owns it. */
struct wm_errand *wm_errand_new(struct wm_http_call *call,
                                void (*done)(void *, const struct wm_http_result *), void *arg);
void wm_errand_free(struct wm_errand *e);

/* Makes the easy handle, its private pointer is the errand. False without memory. */
bool wm_errand_prepare(struct wm_errand *e, const struct wm_courier_options *options);

/* What came of it. `body` and `cause` point into the errand. */
void wm_errand_result(struct wm_errand *e, CURLcode code, struct wm_http_result *out);

/* The same for one that is given up: NOT_SENT or LOST, with this cause. */
void wm_errand_give_up(struct wm_errand *e, const char *cause, struct wm_http_result *out);

#endif
