/* collector.c -- see collector.h. */
#include "tests/check.h"

#include "tests/engine/collector.h"

#include <stdatomic.h>

static atomic_int ended;

void collector_init(struct collector *c)
{
    *c = (struct collector){.text = WM_BUFFER(1 << 20)};
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
}

void collector_free(struct collector *c)
{
    wm_tokens_free(&c->ids);
    wm_buffer_free(&c->text);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}

void collector_event(void *arg, const struct wm_generated *g)
{
    struct collector *c = arg;
    pthread_mutex_lock(&c->lock);
    (void)wm_tokens_add(&c->ids, g->ids, g->n_ids);
    (void)wm_buffer_add(&c->text, g->text, g->text_len);
    c->events++;
    if (c->cancel_in && c->events == 1)
        wm_engine_cancel(c->cancel_in, g->request);
    if (g->finish != WM_FINISH_NONE) {
        c->finishes++;
        c->finish = g->finish;
        c->usage = g->usage;
        c->error = g->error ? g->error->code : WM_OK;
        c->order = atomic_fetch_add(&ended, 1);
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void collector_submit(struct collector *c, struct wm_engine *e, uint64_t owner, const int32_t *prompt,
                      size_t n, int32_t max_tokens)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_generate g = {.owner = owner,
                            .prompt = prompt,
                            .prompt_len = n,
                            .max_tokens = max_tokens,
                            .ignore_eos = true,
                            .event = collector_event,
                            .arg = c};
    if (wm_engine_submit(e, &g, &c->id, &err) != WM_OK)
        fail_msg("%s", err.text);
}

void collector_wait(struct collector *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->finishes)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void collector_wait_events(struct collector *c, int events)
{
    pthread_mutex_lock(&c->lock);
    while (c->events < events)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}
