/* log.c -- see log.h. */
#include "kernels/base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/clock.h"
#include "kernels/base/utf8.h"

enum { LINE_MAX_BYTES = 4096 }; /* longer values are cut: one line stays one write */

static _Atomic int log_level = WM_LOG_INFO;
static _Atomic int log_json;

void wm_log_setup(enum wm_log_level level, int json)
{
    atomic_store(&log_level, (int)level);
    atomic_store(&log_json, json);
}

/* Appends `text` quoted as JSON does; ill-formed UTF-8 becomes U+FFFD. Cut when the line is full. */
static void add_quoted(struct wm_buffer *line, const char *text)
{
    size_t len = strlen(text);
    wm_buffer_puts(line, "\"");
    for (size_t i = 0; i < len && line->len < LINE_MAX_BYTES - 64;) {
        uint32_t code;
        size_t n = wm_utf8_decode(text + i, len - i, &code, NULL);
        i += n;
        char out[4];
        if (code == '"' || code == '\\')
            wm_buffer_printf(line, "\\%c", (char)code);
        else if (code < 0x20 || code == 0x7F || (code >= 0x80 && code < 0xA0) || code == 0x2028 ||
                 code == 0x2029)
            wm_buffer_printf(line, "\\u%04x", (unsigned)code);
        else
            wm_buffer_add(line, out, wm_utf8_encode(code, out));
    }
    wm_buffer_puts(line, "\"");
}

static int is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || (unsigned char)*c >= 0x7F)
            return 0;
    return *text != '\0';
}

void wm_log_pairs(enum wm_log_level level, const char *event, const struct wm_log_pair *pairs, int count)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if ((int)level > atomic_load(&log_level))
        return;
    int json = atomic_load(&log_json);
    int64_t now = wm_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);

    struct wm_buffer line = WM_BUFFER(LINE_MAX_BYTES);
    if (json) {
        char stamp[32];
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
        wm_buffer_printf(&line, "{\"at\":\"%s.%03dZ\",\"level\":\"%s\",\"event\":", stamp, (int)(now % 1000),
                         names[level]);
        add_quoted(&line, event);
    } else {
        wm_buffer_printf(&line, "%02d:%02d:%02d.%03d %-5s %s", tm.tm_hour, tm.tm_min, tm.tm_sec,
                         (int)(now % 1000), names[level], event);
    }
    for (int i = 0; i < count; i++) {
        const struct wm_log_pair *p = &pairs[i];
        if (!p->is_number && !p->text)
            continue;
        wm_buffer_printf(&line, json ? ",\"%s\":" : " %s=", p->key);
        if (p->is_number)
            wm_buffer_printf(&line, "%lld", (long long)p->number);
        else if (!json && is_plain(p->text))
            wm_buffer_printf(&line, "%.1024s", p->text);
        else
            add_quoted(&line, p->text);
    }
    line.failed = 0; /* a cut line still ends as a line */
    if (line.len > LINE_MAX_BYTES - 2)
        line.len = LINE_MAX_BYTES - 2;
    wm_buffer_puts(&line, json ? "}\n" : "\n");
    ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
    (void)ignored; /* a closed log pipe must not stop the gateway; SIGPIPE is ignored by main */
    wm_buffer_free(&line);
}
