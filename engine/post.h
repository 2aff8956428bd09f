/* post.h -- what travels to the engine thread. Each kind embeds a post as its first member. */
#ifndef WM_ENGINE_POST_H
#define WM_ENGINE_POST_H

#include "kernels/base/mailbox.h"

enum wm_post_kind {
    WM_POST_REQUEST, /* struct wm_request */
    WM_POST_FORGET,  /* an owner, see engine.c */
    WM_POST_READING  /* struct wm_reading: a picture was read */
};

struct wm_post {
    struct wm_letter letter; /* first */
    enum wm_post_kind kind;
};

#endif
