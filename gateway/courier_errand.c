/* courier_errand.c -- one outbound call: its curl options, and what its end means.
 *
 * WHY     "The call failed" is not enough. A reply that never left may be sent again; one that left may already stand
 *         on a person's screen. So every end is one of three: answered, not sent, lost.
 *
 * HOW     libcurl counts the bytes of the request that it gave to the socket. Zero of them and no answer: NOT_SENT,
 *         whatever the error was (name, connect, TLS handshake, time-out in the queue). Any of them and no whole
 *         answer: LOST.
 *
 *         libcurl repeats a request by itself when a kept-alive connection dies before the first byte of an answer,
 *         and it would repeat a POST too: a crash of the peer behind the point where it acted becomes a second
 *         message. Its own rule helps: it repeats only if it can rewind what it has sent of the body. So the body goes
 *         out through a read callback without a seek: a request of whose body nothing has left is repeated (the peer
 *         cannot have acted on half a request), any other ends as LOST. A GET has no body and may be repeated.
 *
 * ALWAYS  (1) No redirect is followed: it would carry the token to a place that nobody configured.
 *         (2) A call that is public_only opens no socket to an address that is not (courier_address.c), whatever its
 *             name leads to. (Behind a proxy the proxy looks names up, and its rules count.)
 *         (3) http and https only. Certificates are checked. No cookies, no .netrc.
 *         (4) `cause` holds hosts and errors of the transport, never a header or a body.
 *
 * LIMITS  The answer: the call's max_answer_bytes. Its head: 64 KiB.
 */
#include "gateway/courier_errand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/courier_address.h"

enum {
    DEFAULT_TIMEOUT_MS = 30 * 1000,
    DEFAULT_CONNECT_MS = 10 * 1000,
    DEFAULT_ANSWER_BYTES = 64 << 10,
    HEAD_BYTES = 64 << 10,
    RETRY_AFTER_MAX_S = 60 * 60
};

struct wm_errand *wm_errand_new(struct wm_http_call *call,
                                void (*done)(void *, const struct wm_http_result *), void *arg)
{
    struct wm_errand *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->call = call;
    e->done = done;
    e->arg = arg;
    e->answer = WM_BUFFER(call->max_answer_bytes ? call->max_answer_bytes : DEFAULT_ANSWER_BYTES);
    return e;
}

void wm_errand_free(struct wm_errand *e)
{
    if (e->easy)
        curl_easy_cleanup(e->easy);
    curl_slist_free_all(e->headers);
    wm_buffer_free(&e->answer);
    wm_http_call_free(e->call);
    free(e);
}

static size_t give_body(char *to, size_t size, size_t n, void *arg)
{
    struct wm_errand *e = arg;
    size_t left = e->call->body_len - e->body_sent, room = size * n;
    size_t take = left < room ? left : room;
    memcpy(to, e->call->body + e->body_sent, take);
    e->body_sent += take;
    return take;
}

static size_t take_answer(char *bytes, size_t size, size_t n, void *arg)
{
    struct wm_errand *e = arg;
    if (wm_buffer_add(&e->answer, bytes, size * n) == WM_OK)
        return size * n;
    e->too_long = "body";
    return CURL_WRITEFUNC_ERROR;
}

static size_t count_head(char *bytes, size_t size, size_t n, void *arg)
{
    (void)bytes;
    struct wm_errand *e = arg;
    e->head_bytes += size * n;
    if (e->head_bytes <= HEAD_BYTES)
        return size * n;
    e->too_long = "head";
    return CURL_WRITEFUNC_ERROR;
}

static bool add_headers(struct wm_errand *e)
{
    /* an empty Expect: curl would wait for "100 Continue" in front of a large body, and few servers send it */
    const char *lines[WM_HTTP_CALL_HEADERS + 1] = {"Expect:"};
    memcpy(lines + 1, e->call->headers, sizeof e->call->headers);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct curl_slist *longer = lines[i] ? curl_slist_append(e->headers, lines[i]) : e->headers;
        if (!longer)
            return false;
        e->headers = longer;
    }
    return true;
}

/* libcurl asks for a socket to each address that it has found. */
static curl_socket_t open_public(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct wm_errand *e = arg;
    (void)purpose;
    if (wm_address_public(&to->addr))
        return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    e->private_address = true;
    return CURL_SOCKET_BAD;
}

/* libcurl's own variables for https. A proxy resolves names itself: its rules count then, and its own address is ours. */
static bool has_proxy(void)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]) && *getenv(names[i]))
            return true;
    return false;
}

static bool set_public_only(struct wm_errand *e)
{
    return !e->call->public_only || has_proxy() ||
           (curl_easy_setopt(e->easy, CURLOPT_OPENSOCKETFUNCTION, open_public) == CURLE_OK &&
            curl_easy_setopt(e->easy, CURLOPT_OPENSOCKETDATA, (void *)e) == CURLE_OK &&
            /* a kept connection was perhaps opened by a call that may go anywhere */
            curl_easy_setopt(e->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK);
}

/* A failed setopt leaves a handle that would do something else: no call then. */
static bool set_options(struct wm_errand *e, const struct wm_courier_options *o)
{
    CURL *c = e->easy;
    const struct wm_http_call *call = e->call;
    bool post = call->body || strcmp(call->method, "POST") == 0;
    return curl_easy_setopt(c, CURLOPT_PRIVATE, (void *)e) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ERRORBUFFER, e->error) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && /* a signal would hit any thread */
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_URL, call->url) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HTTPHEADER, e->headers) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, o->user_agent) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TIMEOUT_MS,
                            (long)(call->timeout_ms > 0 ? call->timeout_ms : DEFAULT_TIMEOUT_MS)) ==
               CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
                            (long)(o->connect_ms > 0 ? o->connect_ms : DEFAULT_CONNECT_MS)) == CURLE_OK &&
           (!o->ca_file || curl_easy_setopt(c, CURLOPT_CAINFO, o->ca_file) == CURLE_OK) &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, (void *)e) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, count_head) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERDATA, (void *)e) == CURLE_OK &&
           (!post ||
            (curl_easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK &&
             curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len) == CURLE_OK &&
             curl_easy_setopt(c, CURLOPT_READFUNCTION, give_body) == CURLE_OK &&
             curl_easy_setopt(c, CURLOPT_READDATA, (void *)e) == CURLE_OK)) &&
           curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method) == CURLE_OK;
}

bool wm_errand_prepare(struct wm_errand *e, const struct wm_courier_options *options)
{
    e->easy = curl_easy_init();
    return e->easy && add_headers(e) && set_options(e, options) && set_public_only(e);
}

/* Has a byte of the request left, as far as anyone can know? */
static enum wm_http_fate fate_without_answer(const struct wm_errand *e)
{
    long sent = 0;
    if (e->easy)
        curl_easy_getinfo(e->easy, CURLINFO_REQUEST_SIZE, &sent);
    return sent > 0 ? WM_HTTP_LOST : WM_HTTP_NOT_SENT;
}

/* libcurl reads both forms (seconds, date) and gives seconds; 0 may mean absent, so the header itself is asked for. */
static int64_t retry_after_ms(CURL *easy)
{
    struct curl_header *header;
    curl_off_t seconds = 0;
    if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header) != CURLHE_OK ||
        curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK)
        return -1;
    return (seconds < 0 ? 0 : seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : seconds) * 1000;
}

void wm_errand_result(struct wm_errand *e, CURLcode code, struct wm_http_result *out)
{
    *out = (struct wm_http_result){.retry_after_ms = -1};
    long status = 0;
    if (code == CURLE_OK && curl_easy_getinfo(e->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
        status > 0) {
        out->fate = WM_HTTP_ANSWERED;
        out->status = (int)status;
        out->body = e->answer.data ? e->answer.data : "";
        out->body_len = e->answer.len;
        out->retry_after_ms = retry_after_ms(e->easy);
        return;
    }
    if (e->too_long)
        snprintf(e->error, sizeof e->error, "the %s of the answer is longer than %zu bytes", e->too_long,
                 strcmp(e->too_long, "head") == 0 ? (size_t)HEAD_BYTES : e->answer.max);
    else if (e->private_address)
        snprintf(e->error, sizeof e->error, "the name leads to an address that is not public");
    else if (!e->error[0])
        snprintf(e->error, sizeof e->error, "%s", curl_easy_strerror(code));
    out->fate = fate_without_answer(e);
    out->too_long = e->too_long != NULL;
    out->cause = e->error;
}

void wm_errand_give_up(struct wm_errand *e, const char *cause, struct wm_http_result *out)
{
    *out = (struct wm_http_result){.fate = fate_without_answer(e), .retry_after_ms = -1, .cause = cause};
}
