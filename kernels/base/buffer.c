/* buffer.c -- see buffer.h. Capacity doubles, so n appended bytes cost O(n) copies. */
#include "kernels/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

enum wm_status wm_buffer_reserve(struct wm_buffer *b, size_t more)
{
    if (b->failed)
        return WM_ELIMIT;
    if (more > b->max || b->len > b->max - more) {
        b->failed = true;
        return WM_ELIMIT;
    }
    size_t need = b->len + more;
    if (b->data && need <= b->cap)
        return WM_OK;
    size_t cap = b->cap ? b->cap : FIRST_CAPACITY;
    while (cap < need)
        cap *= 2;
    if (cap > b->max)
        cap = b->max;
    char *data = realloc(b->data, cap + 1);
    if (!data) {
        b->failed = true;
        return WM_ENOMEM;
    }
    data[b->len] = '\0';
    b->data = data;
    b->cap = cap;
    return WM_OK;
}

enum wm_status wm_buffer_add(struct wm_buffer *b, const void *bytes, size_t len)
{
    enum wm_status st = wm_buffer_reserve(b, len);
    if (st != WM_OK)
        return st;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
    return WM_OK;
}

enum wm_status wm_buffer_puts(struct wm_buffer *b, const char *text)
{
    return wm_buffer_add(b, text, strlen(text));
}

enum wm_status wm_buffer_printf(struct wm_buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    enum wm_status st = need < 0 ? WM_EINVAL : wm_buffer_reserve(b, (size_t)need);
    if (st == WM_OK) {
        vsnprintf(b->data + b->len, (size_t)need + 1, format, again);
        b->len += (size_t)need;
    }
    va_end(again);
    return st;
}

void wm_buffer_consume(struct wm_buffer *b, size_t len)
{
    if (len > b->len)
        len = b->len;
    if (len == 0)
        return;
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
    b->data[b->len] = '\0';
}

char *wm_buffer_take(struct wm_buffer *b, size_t *len)
{
    if (!b->data && wm_buffer_reserve(b, 0) != WM_OK)
        return NULL;
    char *data = b->data;
    if (len)
        *len = b->len;
    size_t max = b->max;
    *b = WM_BUFFER(max);
    return data;
}

void wm_buffer_free(struct wm_buffer *b)
{
    free(b->data);
    size_t max = b->max;
    *b = WM_BUFFER(max);
}
