/* cmd_sim.c -- `wingman sim`: the simulator alone.
 *
 * The defaults are those of `wingman demo`: with `wingman serve -c data/demo/wingman.yaml` in another terminal the two
 * are the demo in two processes, each of which can be stopped and started alone.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/command.h"
#include "gateway/files.h"
#include "gateway/serve.h"
#include "gateway/sim_host.h"

enum { SECRET_BYTES_MAX = 4096 };
enum { APP_SECRET, ACCESS_TOKEN, VERIFY_TOKEN, SECRETS };

static const char usage[] =
    "usage: wingman sim [options]\n"
    "  --webhook URL             where webhooks go      (http://127.0.0.1:8080/webhooks/whatsapp)\n"
    "  --app-secret-file F       signs webhooks         (data/demo/app.secret)\n"
    "  --access-token-file F     Graph calls must bear  (data/demo/access.token)\n"
    "  --verify-token-file F     for the verification   (data/demo/verify.token)\n"
    "  --account ID              phone number id        (100000000000001)\n"
    "  --listen ADDRESS:PORT     of the page and Graph  (127.0.0.1:8090; port 0: any)\n"
    "  --time-scale X            divides the waits between redeliveries (1)\n"
    "  --seed N                  of faults that come by chance (1)\n";

struct request {
    struct wm_sim_host_options host;
    struct wm_sim_host_business business;
    const char *files[SECRETS];
    char address[64];
};

/* "127.0.0.1:8090", "[::1]:8090" */
static bool read_listen(struct request *r, const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon || !colon[1])
        return false;
    char *end;
    long port = strtol(colon + 1, &end, 10);
    size_t len = (size_t)(colon - text);
    bool bracketed = len > 2 && text[0] == '[' && colon[-1] == ']';
    if (*end || port < 0 || port > 65535 || !len || len >= sizeof r->address)
        return false;
    snprintf(r->address, sizeof r->address, "%.*s", (int)(bracketed ? len - 2 : len), text + bracketed);
    r->host.address = r->address;
    r->host.port = (int)port;
    return true;
}

static bool read_options(int argc, char **argv, struct request *r)
{
    static const struct option options[] = {{"webhook", required_argument, NULL, 'w'},
                                            {"app-secret-file", required_argument, NULL, 's'},
                                            {"access-token-file", required_argument, NULL, 't'},
                                            {"verify-token-file", required_argument, NULL, 'v'},
                                            {"account", required_argument, NULL, 'a'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"time-scale", required_argument, NULL, 'x'},
                                            {"seed", required_argument, NULL, 'r'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char nothing[] = "", *end = nothing; /* a number must end where the option does */
        switch (option) {
        case 'w':
            r->business.webhook_url = optarg;
            break;
        case 's':
            r->files[APP_SECRET] = optarg;
            break;
        case 't':
            r->files[ACCESS_TOKEN] = optarg;
            break;
        case 'v':
            r->files[VERIFY_TOKEN] = optarg;
            break;
        case 'a':
            r->business.account = optarg;
            break;
        case 'l':
            if (!read_listen(r, optarg))
                return false;
            break;
        case 'x':
            r->host.time_scale = strtod(optarg, &end);
            break;
        case 'r':
            r->host.seed = strtoull(optarg, &end, 10);
            break;
        default:
            return false;
        }
        if (*end)
            return false;
    }
    return optind == argc;
}

/* The file's text without white space at its end; malloc'd. NULL: `err` says why. */
static char *read_secret(const char *path, struct wm_error *err)
{
    struct wm_buffer text;
    char why[WM_FILE_WHY];
    if (wm_file_read(path, SECRET_BYTES_MAX, &text, NULL, why) != WM_OK) {
        wm_fail(
            err, WM_EIO,
            "%s cannot be read: %s; name the gateway's own file, or run `wingman demo` once, which makes one",
            path, why);
        return NULL;
    }
    size_t len = 0;
    char *secret = wm_buffer_take(&text, &len);
    while (secret && len && strchr(" \t\r\n", secret[len - 1]))
        secret[--len] = '\0';
    if (!secret || !len) {
        free(secret);
        wm_fail(err, WM_EINVAL, "%s is empty; it must hold what the gateway's settings name", path);
        return NULL;
    }
    return secret;
}

static enum wm_status run(struct request *r, const sigset_t *signals, struct wm_error *err)
{
    char *secrets[SECRETS] = {0};
    struct wm_sim_host *host = NULL;
    enum wm_status st = WM_OK;
    for (int i = 0; i < SECRETS && st == WM_OK; i++) {
        secrets[i] = read_secret(r->files[i], err);
        if (!secrets[i])
            st = err->code;
    }
    r->host.businesses = &r->business;
    r->host.app_secret = secrets[APP_SECRET];
    r->host.access_token = secrets[ACCESS_TOKEN];
    r->host.verify_token = secrets[VERIFY_TOKEN];
    if (st == WM_OK)
        st = wm_sim_host_start(&r->host, &host, err);
    for (int i = 0; i < SECRETS; i++) {
        if (secrets[i])
            explicit_bzero(secrets[i], strlen(secrets[i]));
        free(secrets[i]);
    }
    if (st != WM_OK)
        return st;
    if (strcmp(r->address, "127.0.0.1") != 0 && strcmp(r->address, "::1") != 0)
        fprintf(stderr, "wingman sim: warning: %s is not loopback, and the page has no password\n",
                r->address);
    printf("Open %s/ to write as a person; the gateway's graph_url is %s/v25.0\n", wm_sim_host_url(host),
           wm_sim_host_url(host));
    fflush(stdout);
    int signal_number;
    do
        sigwait(signals, &signal_number);
    while (signal_number == SIGHUP); /* there are no settings to read again */
    wm_sim_host_stop(host);
    return WM_OK;
}

int wm_cmd_sim(int argc, char **argv)
{
    struct request request = {
        .host = {.time_scale = 1, .seed = 1, .n_businesses = 1},
        .business = {.path = "/",
                     .name = "Business",
                     .about = "bot of the gateway",
                     .webhook_url = "http://127.0.0.1:8080/webhooks/whatsapp",
                     .account = "100000000000001"},
        .files = {"data/demo/app.secret", "data/demo/access.token", "data/demo/verify.token"}};
    read_listen(&request, "127.0.0.1:8090");
    if (!read_options(argc, argv, &request)) {
        fputs(usage, stderr);
        return WM_EXIT_MISUSED;
    }
    sigset_t signals;
    wm_serve_block_signals(&signals); /* before any thread starts: they all inherit it */
    struct wm_error err = WM_ERROR_INIT;
    if (run(&request, &signals, &err) != WM_OK) {
        fprintf(stderr, "wingman sim: %s\n", err.text);
        return WM_EXIT_FAILED;
    }
    return WM_EXIT_OK;
}
