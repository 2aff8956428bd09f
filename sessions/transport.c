/* transport.c -- see transport.h. */
#include "sessions/transport.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wm_http_call *wm_http_call_new(const char *method, const char *url, const char *body, size_t body_len)
{
    struct wm_http_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->method = strdup(method);
    call->url = strdup(url);
    if (body) {
        call->body = malloc(body_len + 1);
        if (call->body) {
            memcpy(call->body, body, body_len);
            call->body[body_len] = '\0';
            call->body_len = body_len;
        }
    }
    if (!call->method || !call->url || (body && !call->body)) {
        wm_http_call_free(call);
        return NULL;
    }
    return call;
}

enum wm_status wm_http_call_header(struct wm_http_call *call, const char *format, ...)
{
    for (int i = 0; i < WM_HTTP_CALL_HEADERS; i++) {
        if (call->headers[i])
            continue;
        va_list args;
        va_start(args, format);
        int len = vasprintf(&call->headers[i], format, args);
        va_end(args);
        if (len < 0) {
            call->headers[i] = NULL;
            return WM_ENOMEM;
        }
        return WM_OK;
    }
    return WM_ELIMIT;
}

void wm_http_call_free(struct wm_http_call *call)
{
    if (!call)
        return;
    for (int i = 0; i < WM_HTTP_CALL_HEADERS; i++)
        free(call->headers[i]);
    free(call->method);
    free(call->url);
    free(call->body);
    free(call);
}

void wm_http_copy(struct wm_http_copy *copy, const struct wm_http_result *result)
{
    *copy = (struct wm_http_copy){.result = *result};
    copy->body = malloc(result->body_len + 1);
    copy->cause = result->cause ? strdup(result->cause) : NULL;
    if (copy->body) {
        if (result->body_len > 0)
            memcpy(copy->body, result->body, result->body_len);
        copy->body[result->body_len] = '\0';
    } else {
        copy->result.fate = WM_HTTP_LOST;
        copy->result.body_len = 0;
    }
    copy->result.body = copy->body;
    copy->result.cause = copy->cause;
}

void wm_http_copy_free(struct wm_http_copy *copy)
{
    free(copy->body);
    free(copy->cause);
    *copy = (struct wm_http_copy){0};
}
