/* page.c -- serves the page's files, which embed.cmake has put into the program. */
#include "adapters/sim/world.h"

#include <string.h>

#include "adapters/sim/page_files.h"

/* No inline script or style, nothing from elsewhere, no frame around it: text that a person or a bot wrote can never
 * become code. The files change with the program only, yet are small: a browser asks anew each time. */
static const char headers[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "Cache-Control: no-cache\r\n";

bool wm_sim_page(const struct wm_sim_request *request, struct wm_sim_response *out)
{
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0)
        return false;
    for (int i = 0; i < wm_sim_n_page_files; i++) {
        const struct wm_sim_page_file *file = &wm_sim_page_files[i];
        if (strcmp(file->path, request->path) != 0)
            continue;
        out->content_type = file->type;
        out->headers = headers;
        wm_buffer_add(&out->body, file->bytes, file->len);
        return true;
    }
    return false;
}
