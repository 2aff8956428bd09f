/* cmd_demo.c -- `wingman demo`: the gateway and a simulated WhatsApp on loopback, with two businesses to write to: one is
 * answered by the small language model, the other, Shapes, by a tiny Llama 4 that sees. Both run in the one gateway.
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
#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

enum { PAGE_PORT = 8090, PUBLIC_PORT = 8080, ADMIN_PORT = 8081, SECRET_BYTES = 24 };

/* Who can be written to. The second one only when its model is there. */
enum { ASSISTANT, SHAPES, CONTACTS };

static const char *const shape_ideas[] = {"What colour is the shape?", "What shape is it?", "Is it a circle?",
                                          NULL};
static const char *const shape_pictures[] = {"shape-1.jpg", "shape-2.jpg", "shape-3.jpg", NULL};

static const struct {
    const char *channel, *bot, *account; /* the simulated phone number id */
    const char *path, *name, *about;
    const char *const *ideas, *const *pictures;
} contacts[CONTACTS] = {
    [ASSISTANT] = {"whatsapp", "assistant", "100000000000001", "/", "SmolLM2", "a small language model", NULL,
                   NULL},
    [SHAPES] = {"shapes", "shapes", "100000000000002", "/shapes/", "Shapes",
                "send it a picture of a shape, and ask", shape_ideas, shape_pictures},
};

struct demo {
    const char *data, *model, *shapes;
    int n_contacts;
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

static void write_contact(struct wm_buffer *text, int i, const char *graph_url)
{
    size_t path = strlen(contacts[i].path) - 1; /* without the slash at its end */
    wm_buffer_printf(text,
                     "  - name: %s\n"
                     "    platform: whatsapp\n"
                     "    bot: %s\n"
                     "    account: \"%s\"\n"
                     "    app_secret_file: %s\n"
                     "    access_token_file: %s\n"
                     "    verify_token_file: %s\n"
                     "    graph_url: %s%.*s/v25.0\n",
                     contacts[i].channel, contacts[i].bot, contacts[i].account, secret_files[0],
                     secret_files[1], secret_files[2], graph_url, (int)path, contacts[i].path);
}

static enum wm_status write_settings(const struct demo *d, const char *graph_url, char path[4096],
                                     struct wm_error *err)
{
    char model[4096], shapes[4096];
    if (!realpath(d->model, model))
        return wm_fail(err, WM_ENOENT,
                       "the model %s is not there: %s; `sh gateway/demo.sh --build` fetches it", d->model,
                       strerror(errno));
    struct wm_buffer text = WM_BUFFER(64 << 10);
    wm_buffer_printf(&text,
                     "# Written by `wingman demo` at each start. Copy it to begin your own.\n"
                     "data: store\n"
                     "listen: 127.0.0.1:%d\n"
                     "admin: {listen: 127.0.0.1:%d}\n"
                     "model: {path: \"%s\"}\n"
                     "bots:\n"
                     "  - name: assistant\n"
                     "    temperature: 0\n"
                     "    max_reply_tokens: 200\n",
                     d->public_port, d->admin_port, model);
    if (d->n_contacts > SHAPES && realpath(d->shapes, shapes))
        wm_buffer_printf(&text,
                         "  - name: shapes\n"
                         "    model: {path: \"%s\"}\n"
                         "    temperature: 0\n"
                         "    max_reply_tokens: 40\n",
                         shapes);
    wm_buffer_puts(&text, "channels:\n");
    for (int i = 0; i < d->n_contacts; i++)
        write_contact(&text, i, graph_url);
    snprintf(path, 4096, "%s/wingman.yaml", d->data);
    enum wm_status st = text.failed ? wm_fail(err, WM_ENOMEM, "no memory for the demo's settings")
                                    : write_file(d, "wingman.yaml", text.data, err);
    wm_buffer_free(&text);
    return st;
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
                                            {"shapes", required_argument, NULL, 's'},
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
        case 's':
            d->shapes = optarg;
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

static enum wm_status start_sim(const struct demo *d, struct wm_sim_host **sim, struct wm_error *err)
{
    struct wm_sim_host_business businesses[CONTACTS];
    char webhooks[CONTACTS][128];
    for (int i = 0; i < d->n_contacts; i++) {
        snprintf(webhooks[i], sizeof webhooks[i], "http://127.0.0.1:%d/webhooks/%s", d->public_port,
                 contacts[i].channel);
        businesses[i] = (struct wm_sim_host_business){.path = contacts[i].path,
                                                      .name = contacts[i].name,
                                                      .about = contacts[i].about,
                                                      .ideas = contacts[i].ideas,
                                                      .pictures = contacts[i].pictures,
                                                      .webhook_url = webhooks[i],
                                                      .account = contacts[i].account};
    }
    return wm_sim_host_start(&(struct wm_sim_host_options){.address = "127.0.0.1",
                                                           .port = d->page_port,
                                                           .app_secret = d->secrets[0],
                                                           .access_token = d->secrets[1],
                                                           .verify_token = d->secrets[2],
                                                           .businesses = businesses,
                                                           .n_businesses = d->n_contacts,
                                                           .time_scale = 1},
                             sim, err);
}

static enum wm_status run(struct demo *d, const sigset_t *signals, struct wm_error *err)
{
    struct wm_sim_host *sim = NULL;
    struct wm_app *app = NULL;
    char file[4096];
    if (d->page_port == 0) {
        d->public_port = free_port();
        d->admin_port = free_port();
    }
    d->n_contacts = access(d->shapes, R_OK) == 0 ? CONTACTS : SHAPES;
    if (d->n_contacts == SHAPES)
        printf(
            "The model of Shapes is not at %s: the demo runs without it (--shapes names another folder).\n",
            d->shapes);
    enum wm_status st = make_folder(d->data, err);
    if (st == WM_OK)
        st = make_secrets(d, err);
    if (st == WM_OK)
        st = start_sim(d, &sim, err);
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
                        .shapes = "tests/models/shapes",
                        .page_port = PAGE_PORT,
                        .public_port = PUBLIC_PORT,
                        .admin_port = ADMIN_PORT};
    if (!read_options(argc, argv, &demo)) {
        fprintf(stderr, "usage: wingman demo [--port N] [--data DIR] [--model FILE] [--shapes DIR]; port 0 "
                        "takes any that are free\n");
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
