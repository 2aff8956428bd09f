/* media.c -- files: uploaded by the gateway or sent by a person, described by id, and handed out for five minutes.
 *
 * LIMITS  WM_SIM_MEDIA files of WM_SIM_MEDIA_BYTES; the oldest leave. The type of a file is one token/token, nothing else:
 *         it goes back into a header.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum { URL_LIFE_S = 300, BOUNDARY_MAX = 70 /* RFC 2046 */ };

/* "image/png" of the first `len` bytes, up to a ';' or space; "application/octet-stream" for anything odd. */
static void set_type(char out[64], const char *type, size_t len)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-";
    size_t n = 0;
    int slashes = 0;
    for (; n < len && n < 63 && (strchr(plain, type[n]) || type[n] == '/') && type[n]; n++)
        slashes += type[n] == '/';
    bool ended = n == len || type[n] == ';' || type[n] == ' ' || type[n] == '\r';
    if (ended && slashes == 1 && n > 2 && type[0] != '/' && type[n - 1] != '/')
        snprintf(out, 64, "%.*s", (int)n, type);
    else
        snprintf(out, 64, "application/octet-stream");
}

uint64_t wm_sim_media_add(struct wm_sim *sim, const char *type, const char *bytes, size_t len)
{
    unsigned char digest[32];
    char *copy = malloc(len ? len : 1);
    if (!copy || !EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL)) {
        free(copy);
        return 0;
    }
    struct sim_media *media = &sim->media[sim->next_media % WM_SIM_MEDIA];
    free(media->bytes);
    *media = (struct sim_media){.id = sim->next_media++, .bytes = copy, .len = len};
    memcpy(copy, bytes, len);
    set_type(media->type, type, strlen(type));
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(media->sha256 + 2 * i, 3, "%02x", digest[i]);
    return media->id;
}

const struct sim_media *wm_sim_media_find(const struct wm_sim *sim, const char *id)
{
    size_t len = strlen(id);
    if (!len || len > 19 || strspn(id, "0123456789") != len)
        return NULL;
    uint64_t number = strtoull(id, NULL, 10);
    const struct sim_media *media = &sim->media[number % WM_SIM_MEDIA];
    return media->bytes && media->id == number ? media : NULL;
}

void wm_sim_media_reset(struct wm_sim *sim)
{
    for (int i = 0; i < WM_SIM_MEDIA; i++) {
        free(sim->media[i].bytes);
        sim->media[i] = (struct sim_media){0};
    }
}

/* --- upload -------------------------------------------------------------------------------------------------- */

/* The part named "file": its bytes and its type. False: there is none, or the form is broken. */
static bool find_file(const char *boundary, size_t boundary_len, const char *body, size_t len, char type[64],
                      const char **bytes, size_t *bytes_len)
{
    char line[BOUNDARY_MAX + 3];
    int line_len = snprintf(line, sizeof line, "--%.*s", (int)boundary_len, boundary);
    const char *end = body + len, *at = memmem(body, len, line, (size_t)line_len);
    while (at) {
        const char *head = at + line_len;
        const char *next = memmem(head, (size_t)(end - head), line, (size_t)line_len);
        if (!next || next - head < 4) /* the last boundary, or nothing between two of them */
            return false;
        const char *blank = memmem(head, (size_t)(next - head), "\r\n\r\n", 4);
        const char *field = blank ? memmem(head, (size_t)(blank - head), "name=\"file\"", 11) : NULL;
        if (field) {
            static const char label[] = "\r\nContent-Type: ";
            const char *given = memmem(head, (size_t)(blank - head), label, sizeof label - 1);
            const char *from = given ? given + sizeof label - 1 : blank;
            set_type(type, from, (size_t)(blank - from));
            *bytes = blank + 4;
            *bytes_len = (size_t)(next - *bytes);
            if (*bytes_len < 2 || *bytes > next) /* CRLF before the boundary is not the file's */
                return false;
            *bytes_len -= 2;
            return true;
        }
        at = next;
    }
    return false;
}

void wm_sim_media_upload(struct wm_sim *sim, const struct wm_sim_request *request,
                         struct wm_sim_response *out)
{
    const char *boundary = request->content_type ? strstr(request->content_type, "boundary=") : NULL;
    boundary = boundary ? boundary + 9 : "";
    boundary += *boundary == '"';
    size_t boundary_len = strcspn(boundary, "\"; ");
    char type[64];
    const char *bytes;
    size_t len;
    if (!boundary_len || boundary_len > BOUNDARY_MAX || !request->body ||
        !find_file(boundary, boundary_len, request->body, request->body_len, type, &bytes, &len)) {
        wm_sim_graph_error(out, 131053, "The body must be multipart/form-data with a part named 'file'");
        return;
    }
    if (len > WM_SIM_MEDIA_BYTES) {
        wm_sim_graph_error(out, 131053, "The file is larger than 5 MB");
        return;
    }
    uint64_t id = wm_sim_media_add(sim, type, bytes, len);
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)id);
    if (id)
        wm_sim_answer_json(out, 200, json_pack("{s:s}", "id", text));
    else
        wm_sim_graph_error(out, 131000, "No memory");
}

/* --- download ------------------------------------------------------------------------------------------------ */

void wm_sim_media_info(struct wm_sim *sim, int64_t now_ms, const struct sim_media *media,
                       struct wm_sim_response *out)
{
    char url[512], size[24], id[24];
    snprintf(id, sizeof id, "%llu", (unsigned long long)media->id);
    snprintf(size, sizeof size, "%zu", media->len);
    snprintf(url, sizeof url, "%s/media/%s?ext=%lld", sim->public_url, id,
             (long long)(now_ms / 1000 + URL_LIFE_S));
    wm_sim_answer_json(out, 200,
                       json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "messaging_product", "whatsapp", "url",
                                 url, "mime_type", media->type, "sha256", media->sha256, "file_size", size,
                                 "id", id));
}

void wm_sim_media_bytes(struct wm_sim *sim, int64_t now_ms, const struct wm_sim_request *request,
                        struct wm_sim_response *out)
{
    const struct sim_media *media = wm_sim_media_find(sim, request->path + strlen("/media/"));
    const char *expires = request->query ? strstr(request->query, "ext=") : NULL;
    /* The page shows a person's own picture without a token: it stands under an address without an expiry. */
    if (expires && !wm_sim_graph_token_ok(sim, request)) {
        wm_sim_graph_error(out, 190, NULL);
    } else if (!media || (expires && strtoll(expires + 4, NULL, 10) < now_ms / 1000)) {
        wm_sim_answer_error(out, 404, "there is no such file, or its address has expired");
    } else {
        snprintf(sim->media_type, sizeof sim->media_type, "%s", media->type);
        out->content_type = sim->media_type;
        out->headers =
            "Content-Security-Policy: default-src 'none'; sandbox\r\n"; /* a file is never a page */
        wm_buffer_add(&out->body, media->bytes, media->len);
    }
}
