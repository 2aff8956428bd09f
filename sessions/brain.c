/* brain.c -- see brain.h. */
#include "sessions/brain.h"

static enum wm_status render(void *self, const struct wm_chat_message *messages, size_t n, bool first,
                             bool open_reply, struct wm_tokens *out, struct wm_error *err)
{
    return wm_engine_render(self, messages, n, first, open_reply, out, err);
}

static enum wm_status close_reply(void *self, struct wm_tokens *out, struct wm_error *err)
{
    return wm_engine_close_reply(self, out, err);
}

static enum wm_status submit(void *self, const struct wm_generate *g, uint64_t *request, struct wm_error *err)
{
    return wm_engine_submit(self, g, request, err);
}

static void cancel(void *self, uint64_t request)
{
    wm_engine_cancel(self, request);
}

static struct wm_kv_bytes kv_of(void *self, uint64_t owner)
{
    return wm_engine_kv_of(self, owner);
}

static enum wm_status look(void *self, const char *path, struct wm_picture *out, struct wm_error *err)
{
    return wm_engine_look(self, path, out, err);
}

struct wm_brain wm_brain_of(struct wm_engine *e)
{
    const struct wm_engine_info *info = wm_engine_info(e);
    return (struct wm_brain){.self = e,
                             .fingerprint = info->fingerprint,
                             .context = info->context,
                             .sees_pictures = info->sees_pictures,
                             .render = render,
                             .close_reply = close_reply,
                             .submit = submit,
                             .cancel = cancel,
                             .kv_of = kv_of,
                             .look = look};
}

const struct wm_brain *wm_brains_take(struct wm_brains *brains, const struct wm_brain *brain)
{
    size_t n = brains->n;
    for (size_t i = 0; i < n; i++)
        if (brains->all[i].self == brain->self)
            return &brains->all[i];
    if (n == WM_BRAINS)
        return NULL;
    brains->all[n] = *brain;
    brains->n = n + 1;
    return &brains->all[n];
}

struct wm_kv_bytes wm_brains_kv_of(struct wm_brains *brains, uint64_t owner)
{
    struct wm_kv_bytes sum = {0};
    size_t n = brains->n;
    for (size_t i = 0; i < n; i++) {
        struct wm_kv_bytes one = brains->all[i].kv_of(brains->all[i].self, owner);
        sum.device += one.device;
        sum.host += one.host;
        sum.disk += one.disk;
    }
    return sum;
}
