/* platforms.c -- fuzzes bodies that Meta signed, webhooks and answers of the Graph API, through every adapter. Whatever comes,
 * every event is whole and every string of it is well-formed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/registry.h"
#include "kernels/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARRIVED_MS = 1000000000, FUTURE_MS = 300000 };

static void check_text(const char *text)
{
    if (text && !wm_utf8_valid(text, strlen(text)))
        abort();
}

static void check_event(const struct wm_event *e)
{
    if (!e->key || e->at_ms < 0 || e->at_ms > ARRIVED_MS + FUTURE_MS || (e->wants_reply && !e->sender))
        abort();
    const char *const texts[] = {e->account, e->key,       e->id,       e->sender, e->name,
                                 e->text,    e->payload,   e->media[0], e->mime,   e->target,
                                 e->field,   e->timestamp, e->status,   e->ref,    e->error_text};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_text(texts[i]);
    for (int i = 0; i < WM_EVENT_ALIASES; i++)
        check_text(e->aliases[i]);
}

static void read_webhook(const struct wm_adapter *adapter, const char *body, size_t len)
{
    struct wm_event_list list = {0};
    adapter->parse(NULL, body, len, ARRIVED_MS, &list, NULL);
    for (size_t i = 0; i < list.n; i++)
        check_event(&list.events[i]);
    wm_event_list_free(&list);
}

static void read_answer(const struct wm_adapter *adapter, const char *body, size_t len)
{
    const struct wm_outgoing text = {.kind = WM_OUT_TEXT, .to = "1", .text = "x"};
    struct wm_http_result result = {
        .fate = WM_HTTP_ANSWERED, .body = body, .body_len = len, .retry_after_ms = -1};
    static const int statuses[] = {200, 400, 500};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct wm_outcome out;
        result.status = statuses[i];
        adapter->outcome(NULL, &text, &result, 1, &out);
        if (out.kind == WM_OUTCOME_SENT && !out.platform_id[0])
            abort();
        check_text(out.platform_id);
        check_text(out.sentence);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int i = 0; wm_adapters[i]; i++) {
        read_webhook(wm_adapters[i], (const char *)data, size);
        read_answer(wm_adapters[i], (const char *)data, size);
    }
    return 0;
}
