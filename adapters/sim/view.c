/* view.c -- the simulator as JSON: for the page's stream, and for tests that ask.
 *
 * Every object has a "type": state (everything), contact, message, log, hooks, faults. A later one of the same contact,
 * message or entry replaces the earlier: the page needs no history to be right, so a stream may begin at any moment.
 */
#include "adapters/sim/world.h"

#include <stdlib.h>
#include <string.h>

enum { STATE_LOG = 150 }; /* entries of a state: older ones are not worth the wait at a page's start */

/* Takes `json`. */
static void publish(struct wm_sim *sim, const char *type, json_t *json)
{
    char *text = NULL;
    if (json && json_object_set_new(json, "type", json_string(type)) == 0)
        text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text)
        sim->publish(sim->arg, text, strlen(text));
    free(text);
}

static json_t *contact_json(const struct wm_sim *sim, int index)
{
    const struct sim_contact *c = &sim->contacts[index];
    return json_pack("{s:s, s:s, s:b, s:I}", "contact", c->wa_id, "name", c->name, "typing",
                     c->typing_until_ms != 0, "wrote_ms", (json_int_t)c->wrote_ms);
}

static json_t *message_json(const struct wm_sim *sim, const struct sim_message *m)
{
    json_t *json =
        json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s?}", "seq", (json_int_t)m->seq, "contact",
                  sim->contacts[m->contact].wa_id, "from", m->from_person ? "person" : "business", "id",
                  m->id, "kind", m->kind, "text", m->text, "at_ms", (json_int_t)m->at_ms, "status",
                  wm_sim_mark_name(m->mark), "ref", m->ref);
    if (m->mark == MARK_FAILED)
        json_object_set_new(json, "error", json_integer(m->error));
    if (m->media)
        json_object_set_new(json, "media", json_integer((json_int_t)m->media));
    return json;
}

static json_t *log_json(const struct wm_sim *sim, const struct sim_log *e)
{
    return json_pack("{s:I, s:I, s:I, s:b, s:i, s:i, s:s?, s:s, s:s, s:s, s:s?, s:s?}", "seq",
                     (json_int_t)e->seq, "at_ms", (json_int_t)e->at_ms, "took_ms", (json_int_t)e->took_ms,
                     "outward", e->outward, "status", e->status, "attempt", e->attempt, "contact",
                     e->contact < 0 ? NULL : sim->contacts[e->contact].wa_id, "what", e->what, "title",
                     e->title, "note", e->note, "request", e->request, "answer", e->answer);
}

static json_t *hooks_json(const struct wm_sim *sim)
{
    const struct sim_hook_counts *n = &sim->hook_counts;
    return json_pack("{s:b, s:s, s:i, s:I, s:I, s:I, s:I}", "verified", sim->verified, "url",
                     sim->webhook_url, "pending", sim->n_hooks, "in_flight", (json_int_t)n->in_flight,
                     "delivered", (json_int_t)n->delivered, "failures", (json_int_t)n->failures, "given_up",
                     (json_int_t)n->given_up);
}

static json_t *kinds_json(void)
{
    json_t *list = json_array();
#define X(id, name, help) json_array_append_new(list, json_pack("{s:s, s:s}", "kind", name, "help", help));
    WM_SIM_FAULT_KINDS(X)
#undef X
    return list;
}

static json_t *texts_json(const char *const *texts)
{
    json_t *list = json_array();
    for (; texts && *texts; texts++)
        json_array_append_new(list, json_string(*texts));
    return list;
}

/* Who can be written to: each has a page of its own, with phones of its own. */
static json_t *businesses_json(const struct wm_sim *sim)
{
    json_t *list = json_array();
    for (int i = 0; i < sim->n_businesses; i++) {
        const struct wm_sim_business *b = &sim->businesses[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "name", b->name, "about",
                                              b->about, "path", b->path, "here", i == sim->business, "ideas",
                                              texts_json(b->ideas), "pictures", texts_json(b->pictures)));
    }
    return list;
}

void wm_sim_show_contact(struct wm_sim *sim, int contact)
{
    if (sim->publish)
        publish(sim, "contact", contact_json(sim, contact));
}

void wm_sim_show_message(struct wm_sim *sim, const struct sim_message *m)
{
    if (sim->publish)
        publish(sim, "message", message_json(sim, m));
}

void wm_sim_show_log(struct wm_sim *sim, const struct sim_log *entry)
{
    if (sim->publish)
        publish(sim, "log", log_json(sim, entry));
}

void wm_sim_show_hooks(struct wm_sim *sim)
{
    if (sim->publish)
        publish(sim, "hooks", hooks_json(sim));
}

void wm_sim_show_faults(struct wm_sim *sim)
{
    if (sim->publish)
        publish(sim, "faults", json_pack("{s:o}", "faults", wm_sim_faults_json(sim)));
}

void wm_sim_show_state(struct wm_sim *sim)
{
    if (sim->publish)
        publish(sim, "state", wm_sim_state_json(sim, 0));
}

json_t *wm_sim_state_json(const struct wm_sim *sim, size_t messages)
{
    json_t *contacts = json_array(), *list = json_array(), *log = json_array();
    for (int i = 0; i < sim->n_contacts; i++)
        json_array_append_new(contacts, contact_json(sim, i));
    uint64_t n = sim->next_message - sim->first_message,
             first = sim->next_message - (n < messages ? n : messages);
    for (uint64_t s = first; s < sim->next_message; s++)
        json_array_append_new(list, message_json(sim, wm_sim_message_at(sim, s)));
    n = sim->next_log - sim->first_log;
    for (uint64_t s = sim->next_log - (n < STATE_LOG ? n : STATE_LOG); s < sim->next_log; s++)
        json_array_append_new(log, log_json(sim, wm_sim_log_at(sim, s)));
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "state", "account",
                     sim->account, "businesses", businesses_json(sim), "contacts", contacts, "messages", list,
                     "log", log, "hooks", hooks_json(sim), "faults", wm_sim_faults_json(sim), "fault_kinds",
                     kinds_json());
}

json_t *wm_sim_sends_json(const struct wm_sim *sim, uint64_t after, size_t limit)
{
    json_t *list = json_array();
    uint64_t s = after + 1 > sim->first_message ? after + 1 : sim->first_message;
    for (; s < sim->next_message && json_array_size(list) < limit; s++) {
        const struct sim_message *m = wm_sim_message_at(sim, s);
        if (m->from_person)
            continue;
        json_t *send = message_json(sim, m);
        json_object_set_new(send, "to", json_string(sim->contacts[m->contact].wa_id));
        json_array_append_new(list, send);
    }
    return json_pack("{s:o, s:I}", "sends", list, "next", (json_int_t)(s - 1));
}
