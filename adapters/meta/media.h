/* media.h -- fetching what people send, as far as all of Meta's platforms do it the same way: which hosts are Meta's, who
 * may see the token, and what the answer to a download means. Director thread.
 */
#ifndef WM_META_MEDIA_H
#define WM_META_MEDIA_H

#include "sessions/channel.h"

/* True when `id` is an address already: the webhooks of Messenger and Instagram carry no ids. */
bool wm_meta_media_is_address(const char *id);

/* A place of which only the address is known. EINVAL: it is too long. */
enum wm_status wm_meta_media_place(const char *address, struct wm_media_place *out, struct wm_error *err);

/* GET of the place. `bearer`: Meta's own download host wants the token, as on WhatsApp. EDENIED: the address is none of
 * Meta's. What is Meta's, and who sees the token: media.c. */
enum wm_status wm_meta_media_fetch(const struct wm_channel *c, const struct wm_media_place *place,
                                   size_t max_bytes, bool bearer, struct wm_http_call **out,
                                   struct wm_error *err);

/* RETRY after a wait that grows with the attempts, and is never shorter than the peer has asked for. */
void wm_meta_media_again(struct wm_media_outcome *out, const struct wm_http_result *result, int attempt);

/* What the answer to it means. `renewable`: the platform gives a new address when asked again. */
void wm_meta_media_fetched(const struct wm_http_result *result, int attempt, bool renewable,
                           struct wm_media_outcome *out);

#endif
