/* statuses.c -- what becomes of a message that Graph accepted: sent, delivered, read, or failed; and how long "typing"
 * shows.
 *
 * Each step is planned with its time; when the time comes the bubble changes and a status webhook is born. `delivered`
 * is never skipped. A message is read when a page shows its chat; a contact that no page has ever shown (a test drives
 * it) reads by itself after a moment.
 */
#include "adapters/sim/world.h"

#include <string.h>

enum {
    SENT_MS = 120,
    DELIVERED_MS = 350,
    FAILED_MS = 400,
    SEEN_MS = 500,       /* after delivery, when the chat is open */
    SELF_READ_MS = 1500, /* after delivery, when nobody watches */
    FAR_MS = 60000       /* nothing to do: ask again then */
};

bool wm_sim_plan_room(const struct wm_sim *sim)
{
    return sim->n_plans + 4 <= WM_SIM_PLANS && sim->n_hooks + 4 <= WM_SIM_HOOKS;
}

static void plan(struct wm_sim *sim, int64_t due_ms, const struct sim_message *m, enum sim_mark mark)
{
    if (sim->n_plans < WM_SIM_PLANS)
        sim->plans[sim->n_plans++] = (struct sim_plan){.due_ms = due_ms, .message = m->seq, .mark = mark};
}

void wm_sim_plan_delivery(struct wm_sim *sim, int64_t now_ms, struct sim_message *m)
{
    plan(sim, now_ms + SENT_MS, m, MARK_SENT);
    plan(sim, now_ms + DELIVERED_MS, m, MARK_DELIVERED);
}

void wm_sim_plan_failure(struct wm_sim *sim, int64_t now_ms, struct sim_message *m, int32_t code)
{
    m->error = code;
    plan(sim, now_ms + FAILED_MS, m, MARK_FAILED);
}

void wm_sim_open_chat(struct wm_sim *sim, int64_t now_ms, int contact)
{
    sim->open_contact = contact;
    if (contact < 0)
        return;
    sim->contacts[contact].on_page = true;
    for (uint64_t s = sim->first_message; s < sim->next_message; s++) {
        const struct sim_message *m = wm_sim_message_at(sim, s);
        if (m->contact == contact && !m->from_person && m->mark == MARK_DELIVERED)
            plan(sim, now_ms + SEEN_MS, m, MARK_READ);
    }
}

static void happen(struct wm_sim *sim, int64_t now_ms, const struct sim_plan *what)
{
    struct sim_message *m = wm_sim_message_at(sim, what->message);
    if (!m || m->mark >= what->mark) /* gone, or read twice: a chat that was opened again */
        return;
    m->mark = what->mark;
    wm_sim_hook_add(sim, now_ms, m, true, wm_sim_payload_status(sim, m, what->due_ms));
    wm_sim_show_message(sim, m);
    if (what->mark != MARK_DELIVERED)
        return;
    if (sim->open_contact == m->contact)
        plan(sim, now_ms + SEEN_MS, m, MARK_READ);
    else if (!sim->contacts[m->contact].on_page)
        plan(sim, now_ms + SELF_READ_MS, m, MARK_READ);
}

int64_t wm_sim_statuses_tick(struct wm_sim *sim, int64_t now_ms)
{
    int64_t next = now_ms + FAR_MS;
    int kept = 0, n = sim->n_plans;
    for (int i = 0; i < n; i++) { /* what happens may add plans behind n */
        struct sim_plan due = sim->plans[i];
        if (due.due_ms <= now_ms)
            happen(sim, now_ms, &due);
        else
            sim->plans[kept++] = due;
    }
    memmove(sim->plans + kept, sim->plans + n, (size_t)(sim->n_plans - n) * sizeof *sim->plans);
    sim->n_plans -= n - kept;
    for (int i = 0; i < sim->n_plans; i++)
        if (sim->plans[i].due_ms < next)
            next = sim->plans[i].due_ms;
    for (int i = 0; i < sim->n_contacts; i++) {
        int64_t until = sim->contacts[i].typing_until_ms;
        if (until && until <= now_ms)
            wm_sim_set_typing(sim, i, 0);
        else if (until && until < next)
            next = until;
    }
    return next;
}
