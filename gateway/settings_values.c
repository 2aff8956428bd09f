/* settings_values.c -- one value each: sizes, durations, addresses, numbers, names. Pure functions.
 *
 * They are strict: the whole text must be the value, with no blank, sign or digit of another kind, and in bounds. What
 * they refuse comes back as a clause ("is not a size") that the caller puts behind the key.
 */
#include "gateway/settings_parts.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool no(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool no(char *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, WM_VALUE_WHY, format, args);
    va_end(args);
    return false;
}

/* Decimal digits at *text into *out; *text moves behind them. False without a digit or past int64_t. */
static bool digits(const char **text, int64_t *out)
{
    const char *c = *text;
    int64_t n = 0;
    if (*c < '0' || *c > '9')
        return false;
    for (; *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(n, (int64_t)10, &n) || __builtin_add_overflow(n, (int64_t)(*c - '0'), &n))
            return false;
    *text = c;
    *out = n;
    return true;
}

bool wm_value_integer(const char *text, int64_t min, int64_t max, int64_t *out, char *why)
{
    const char *c = text;
    int64_t n;
    if (!digits(&c, &n) || *c)
        return no(why, "is not a whole number");
    if (n < min || n > max)
        return no(why, "is out of bounds (%lld to %lld)", (long long)min, (long long)max);
    *out = n;
    return true;
}

bool wm_value_number(const char *text, double min, double max, double *out, char *why)
{
    if (text[strspn(text, "0123456789.")] || !text[strcspn(text, "0123456789")])
        return no(why, "is not a number");
    char *end;
    double n = strtod(text, &end);
    if (*end)
        return no(why, "is not a number");
    if (!(n >= min && n <= max))
        return no(why, "is out of bounds (%g to %g)", min, max);
    *out = n;
    return true;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* A whole number and one of `units`, whose names must follow it directly. An entry named "" stands for no unit. */
static bool with_unit(const char *text, const struct unit *units, int64_t *out)
{
    const char *c = text;
    int64_t n;
    if (!digits(&c, &n))
        return false;
    for (const struct unit *u = units; u->name; u++)
        if (strcmp(c, u->name) == 0)
            return !__builtin_mul_overflow(n, u->factor, out);
    return false;
}

static const struct unit size_units[] = {
    {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", (int64_t)1 << 40}, {NULL, 0},
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {NULL, 0},
};

/* A bound in the largest unit that divides it, so that a person reads 16MiB and not 16777216. */
static void in_units(int64_t n, const struct unit *units, char out[32])
{
    const struct unit *best = &units[0];
    for (const struct unit *u = units; u->name; u++)
        if (n >= u->factor && n % u->factor == 0)
            best = u;
    snprintf(out, 32, "%lld%s", (long long)(n / best->factor), best->name);
}

static bool in_bounds(int64_t n, int64_t min, int64_t max, const struct unit *units, char *why)
{
    char low[32], high[32];
    if (n >= min && n <= max)
        return true;
    in_units(min, units, low);
    in_units(max, units, high);
    return no(why, "is out of bounds (%s to %s)", low, high);
}

bool wm_value_size(const char *text, int64_t min, int64_t max, int64_t *out, char *why)
{
    int64_t n;
    if (!with_unit(text, size_units, &n))
        return no(why, "is not a size");
    if (!in_bounds(n, min, max, size_units, why))
        return false;
    *out = n;
    return true;
}

bool wm_value_duration(const char *text, int64_t min_ms, int64_t max_ms, int64_t *out, char *why)
{
    int64_t n;
    if (!with_unit(text, duration_units, &n))
        return no(why, "is not a duration");
    if (!in_bounds(n, min_ms, max_ms, duration_units, why))
        return false;
    *out = n;
    return true;
}

/* 127.0.0.1:8080, [::1]:8080, localhost:8080: numbers, so that starting never waits for a name server. */
bool wm_value_listen(const char *text, struct wm_settings_listen *out, char *why)
{
    char host[INET6_ADDRSTRLEN + 2];
    unsigned char address[sizeof(struct in6_addr)];
    bool bracket = text[0] == '[';
    const char *end = bracket ? strchr(text, ']') : strrchr(text, ':');
    const char *start = text + bracket;
    if (!end || end == start || (size_t)(end - start) >= sizeof host || (bracket && end[1] != ':'))
        return no(why, "is not ADDRESS:PORT");
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    if (!bracket && strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    if (inet_pton(bracket ? AF_INET6 : AF_INET, host, address) != 1)
        return no(why, "has no numeric address before the port");
    int64_t port;
    const char *digits_at = end + 1 + bracket;
    if (!digits(&digits_at, &port) || *digits_at || port > 65535)
        return no(why, "has no port from 0 to 65535 behind the last colon");
    out->address = strdup(host);
    out->port = (int)port;
    return out->address || no(why, "does not fit into memory");
}

bool wm_value_name(const char *text, char *why)
{
    size_t len = strlen(text);
    if (len < 1 || len > 64 || text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")])
        return no(why, "is not a name");
    return true;
}

bool wm_value_choice(const char *text, const char *choices, char *why)
{
    size_t len = strlen(text);
    for (const char *c = choices; len && c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (strncmp(c, text, len) == 0 && (c[len] == '|' || c[len] == '\0'))
            return true;
    return no(why, "is none of %s", choices);
}

bool wm_value_loopback(const char *address)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return strcmp(address, "::1") == 0 || strcmp(address, "localhost") == 0;
}

int wm_value_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    int rows[3][MAX + 1]; /* two rows back, one row back, this one: a swap looks two back */
    size_t n = strnlen(a, MAX), m = strnlen(b, MAX);
    int *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        int *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}
