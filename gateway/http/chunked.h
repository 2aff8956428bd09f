/* chunked.h -- takes the chunked transfer coding off a body (RFC 9112, section 7.1). Rules and limits: chunked.c. */
#ifndef WM_HTTP_CHUNKED_H
#define WM_HTTP_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

enum wm_chunked_step {
    WM_CHUNKED_MORE, /* every byte was used; nothing of the body among them */
    WM_CHUNKED_DATA, /* *data, *data_len: the next bytes of the body, inside `bytes` */
    WM_CHUNKED_END,  /* the last chunk and the trailers are through */
    WM_CHUNKED_BAD   /* not this coding, or past a limit */
};

struct wm_chunked {     /* start: all zero */
    uint32_t left;      /* bytes of the chunk at hand */
    uint16_t extension; /* bytes of chunk extensions so far, of the whole body */
    uint16_t trailer;   /* bytes of trailers so far */
    uint8_t digits, state;
};

/* Stops after one span of data; call again with what is left. */
enum wm_chunked_step wm_chunked_feed(struct wm_chunked *c, const char *bytes, size_t len, size_t *used,
                                     const char **data, size_t *data_len);

#endif
