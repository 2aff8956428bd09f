/* cmd_demo.c -- `wingman demo`: the gateway and a simulated WhatsApp on loopback, with the small model.
 *
 * The demo makes a folder with a settings file and fresh secrets, exactly what a real installation has, and then runs
 * what `serve` and `sim` run. The file is written anew at each start; copied, it is a first wingman.yaml.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "gateway/command.h"
#include "gateway/serve.h"
#include "gateway/sim_host.h"
#include "kernels/base/error.h"

enum { PAGE_PORT = 8090, PUBLIC_PORT = 8080, ADMIN_PORT = 8081, SECRET_BYTES = 24 };

static const char account[] = "100000000000001"; /* the simulated phone number id */

struct demo {
    const char *data, *model;
    int page_port, public_port, admin_port;
    char secrets[3][2 * SECRET_BYTES + 1]; /* app secret, access token, verify token: hex */
};

static const char *const secret_files[3] = {"app.secret", "access.token", "verify.token"};

/* Writes `text` to DATA/name, mode 0600. */
static enum wm_status write_file(const struct demo *d, const char *name, const char *text,
                                 struct wm_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", d->data, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t len = strlen(text);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len) {
        enum wm_status st =
            wm_fail(err, WM_EIO, "%s cannot be written: %s; choose another folder with --data", path,
                    strerror(errno));
        if (fd >= 0)
            close(fd);
        return st;
    }
    close(fd);
    return WM_OK;
}

/* Makes the folder and its parents. */
static enum wm_status make_folder(const char *path, struct wm_error *err)
{
    char part[4096];
    int len = snprintf(part, sizeof part, "%s", path);
    for (int i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return wm_fail(err, WM_EIO, "the folder %s cannot be made: %s; choose another with --data", part,
                           strerror(errno));
        part[i] = kept;
    }
    return WM_OK;
}

static enum wm_status make_secrets(struct demo *d, struct wm_error *err)
{
    for (int i = 0; i < 3; i++) {
        unsigned char bytes[SECRET_BYTES];
        if (RAND_bytes(bytes, sizeof bytes) != 1)
            return wm_fail(err, WM_EIO, "the system gives no random numbers for the demo's secrets");
        for (int b = 0; b < SECRET_BYTES; b++)
            snprintf(d->secrets[i] + 2 * b, 3, "%02x", bytes[b]);
        enum wm_status st = write_file(d, secret_files[i], d->secrets[i], err);
        if (st != WM_OK)
            return st;
    }
    return WM_OK;
}

static enum wm_status write_settings(const struct demo *d, const char *graph_url, char path[4096],
                                     struct wm_error *err)
{
    char model[4096], text[8192];
    if (!realpath(d->model, model))
        return wm_fail(err, WM_ENOENT,
                       "the model %s is not there: %s; `sh gateway/demo.sh --build` fetches it", d->model,
                       strerror(errno));
    snprintf(text, sizeof text,
             "# Written by `wingman demo` at each start. Copy it to begin your own.\n"
             "data: store\n"
             "listen: 127.0.0.1:%d\n"
             "admin: {listen: 127.0.0.1:%d}\n"
             "model: {path: \"%s\"}\n"
             "bots:\n"
             "  - name: assistant\n"
             "    temperature: 0\n"
             "    max_reply_tokens: 200\n"
             "channels:\n"
             "  - name: whatsapp\n"
             "    platform: whatsapp\n"
             "    bot: assistant\n"
             "    account: \"%s\"\n"
             "    app_secret_file: %s\n"
             "    access_token_file: %s\n"
             "    verify_token_file: %s\n"
             "    graph_url: %s/v25.0\n",
             d->public_port, d->admin_port, model, account, secret_files[0], secret_files[1], secret_files[2],
             graph_url);
    snprintf(path, 4096, "%s/wingman.yaml", d->data);
    return write_file(d, "wingman.yaml", text, err);
}

/* A port of 127.0.0.1 that is free now: `--port 0` asks for three that nobody else uses. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

static bool read_options(int argc, char **argv, struct demo *d)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"data", required_argument, NULL, 'd'},
                                            {"model", required_argument, NULL, 'm'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *end;
        switch (option) {
        case 'p':
            d->page_port = (int)strtol(optarg, &end, 10);
            if (*end || d->page_port < 0 || d->page_port > 65535)
                return false;
            break;
        case 'd':
            d->data = optarg;
            break;
        case 'm':
            d->model = optarg;
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

static enum wm_status run(struct demo *d, const sigset_t *signals, struct wm_error *err)
{
    struct wm_sim_host *sim = NULL;
    struct wm_app *app = NULL;
    char file[4096], webhook[128];
    if (d->page_port == 0) {
        d->public_port = free_port();
        d->admin_port = free_port();
    }
    snprintf(webhook, sizeof webhook, "http://127.0.0.1:%d/webhooks/whatsapp", d->public_port);
    enum wm_status st = make_folder(d->data, err);
    if (st == WM_OK)
        st = make_secrets(d, err);
    if (st == WM_OK)
        st = wm_sim_host_start(&(struct wm_sim_host_options){.address = "127.0.0.1",
                                                             .port = d->page_port,
                                                             .webhook_url = webhook,
                                                             .app_secret = d->secrets[0],
                                                             .access_token = d->secrets[1],
                                                             .verify_token = d->secrets[2],
                                                             .account = account,
                                                             .time_scale = 1},
                               &sim, err);
    if (st == WM_OK)
        st = write_settings(d, wm_sim_host_url(sim), file, err);
    if (st == WM_OK) {
        struct wm_settings *settings = wm_serve_settings(file);
        st = settings ? wm_app_start(settings, wm_serve_progress, NULL, &app, err)
                      : wm_fail(err, WM_EINVAL, "the demo's own settings %s were refused", file);
    }
    if (st == WM_OK) {
        printf("\nOpen %s/ and write to the bot. Ctrl-C ends the demo.\n"
               "Gateway %s, admin %s, settings %s\n\n",
               wm_sim_host_url(sim), wm_app_public_url(app), wm_app_admin_url(app), file);
        fflush(stdout);
        wm_serve_until_told(app, signals, file);
    }
    wm_sim_host_stop(sim);
    return st;
}

int wm_cmd_demo(int argc, char **argv)
{
    struct demo demo = {.data = "data/demo",
                        .model = "build/models/SmolLM2-135M-Instruct.Q4_1.gguf",
                        .page_port = PAGE_PORT,
                        .public_port = PUBLIC_PORT,
                        .admin_port = ADMIN_PORT};
    if (!read_options(argc, argv, &demo)) {
        fprintf(
            stderr,
            "usage: wingman demo [--port N] [--data DIR] [--model FILE]; port 0 takes any that are free\n");
        return WM_EXIT_MISUSED;
    }
    sigset_t signals;
    wm_serve_block_signals(&signals);
    struct wm_error err = WM_ERROR_INIT;
    if (run(&demo, &signals, &err) != WM_OK) {
        fprintf(stderr, "wingman demo: %s\n", err.text);
        return WM_EXIT_FAILED;
    }
    return WM_EXIT_OK;
}
