/* people.c -- who has a phone here, and what has been written.
 *
 * Messages of both directions live in one ring by number, so that a page, a test or a status can name one by a number
 * that stays right when old messages leave.
 *
 * A message id must be new in every run: the gateway under test remembers the ids that it has seen, and a simulator
 * that started again with the first one would be taken for a repeat. So an id holds the time and a counter.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "kernels/base/utf8.h"

enum { DIGITS_MIN = 5, DIGITS_MAX = 15, FIRST_PHONES = 3 };

static const uint64_t first_number = 15550100001; /* 555-01xx: numbers that belong to nobody */

const char *wm_sim_mark_name(enum sim_mark mark)
{
    static const char *const names[] = {
#define X(id, text) [MARK_##id] = text,
        WM_SIM_MARKS(X)
#undef X
    };
    return names[mark];
}

int wm_sim_contact_find(const struct wm_sim *sim, const char *id)
{
    for (int i = 0; i < sim->n_contacts; i++)
        if (strcmp(sim->contacts[i].wa_id, id) == 0 || strcmp(sim->contacts[i].user_id, id) == 0)
            return i;
    return -1;
}

/* At most WM_SIM_NAME bytes of well-formed text, cut between characters, without control characters. */
static void set_name(struct sim_contact *c, const char *name)
{
    size_t len = strlen(name), used = 0, at = 0;
    while (at < len) {
        uint32_t code;
        size_t step = wm_utf8_decode(name + at, len - at, &code, NULL);
        char bytes[4];
        size_t n = wm_utf8_encode(code < 0x20 || code == 0x7F ? ' ' : code, bytes);
        if (used + n > WM_SIM_NAME)
            break;
        memcpy(c->name + used, bytes, n);
        used += n;
        at += step;
    }
    c->name[used] = '\0';
}

static int add_contact(struct wm_sim *sim, const char *wa_id, const char *name, struct wm_error *err)
{
    if (sim->n_contacts == WM_SIM_CONTACTS) {
        wm_fail(err, WM_ELIMIT, "the simulator has its %d phones already; POST /sim/reset removes them",
                WM_SIM_CONTACTS);
        return -1;
    }
    int index = sim->n_contacts++;
    struct sim_contact *c = &sim->contacts[index];
    *c = (struct sim_contact){0};
    snprintf(c->wa_id, sizeof c->wa_id, "%s", wa_id);
    snprintf(c->user_id, sizeof c->user_id, "US.9%s", wa_id);
    char plain[32];
    snprintf(plain, sizeof plain, "Phone %d", index + 1);
    set_name(c, name && *name ? name : plain);
    wm_sim_show_contact(sim, index);
    return index;
}

int wm_sim_contact_get(struct wm_sim *sim, const char *wa_id, const char *name, struct wm_error *err)
{
    size_t len = strlen(wa_id);
    if (len < DIGITS_MIN || len > DIGITS_MAX || strspn(wa_id, "0123456789") != len) {
        wm_fail(err, WM_EINVAL, "'contact' must be a phone number of %d to %d digits, such as %llu",
                DIGITS_MIN, DIGITS_MAX, (unsigned long long)first_number);
        return -1;
    }
    int index = wm_sim_contact_find(sim, wa_id);
    if (index < 0)
        return add_contact(sim, wa_id, name, err);
    if (name && *name && strcmp(sim->contacts[index].name, name) != 0) {
        set_name(&sim->contacts[index], name);
        wm_sim_show_contact(sim, index);
    }
    return index;
}

int wm_sim_contact_new(struct wm_sim *sim, const char *name, struct wm_error *err)
{
    char wa_id[16];
    uint64_t number = first_number;
    do
        snprintf(wa_id, sizeof wa_id, "%llu", (unsigned long long)number++);
    while (wm_sim_contact_find(sim, wa_id) >= 0);
    return add_contact(sim, wa_id, name, err);
}

/* "wamid." and base64 of what Meta puts there: the person's number, a direction, twenty hex digits. */
static void make_id(const struct wm_sim *sim, int64_t now_ms, struct sim_message *m)
{
    const char *wa_id = sim->contacts[m->contact].wa_id;
    unsigned char raw[64];
    int n = snprintf((char *)raw, sizeof raw,
                     "\x1c\x18%c%s\x15%c%c%c\x18\x14"
                     "3A%011llX%07X",
                     (char)strlen(wa_id), wa_id, 2, 0, m->from_person ? 0x12 : 0x11,
                     (unsigned long long)now_ms & 0xFFFFFFFFFFF, (unsigned)(m->seq & 0xFFFFFFF));
    memcpy(m->id, "wamid.", 6);
    EVP_EncodeBlock((unsigned char *)m->id + 6, raw, n + 1); /* with the NUL, as Meta's end */
}

static void drop_oldest(struct wm_sim *sim)
{
    struct sim_message **slot = &sim->messages[sim->first_message++ % WM_SIM_MESSAGES];
    sim->message_bytes -= strlen((*slot)->text);
    free((*slot)->text);
    free((*slot)->ref);
    free(*slot);
    *slot = NULL;
}

struct sim_message *wm_sim_message_add(struct wm_sim *sim, int64_t now_ms, int contact, bool from_person,
                                       const char *kind, const char *text)
{
    struct sim_message *m = calloc(1, sizeof *m);
    char *copy = strdup(text);
    if (!m || !copy) {
        free(m);
        free(copy);
        return NULL;
    }
    if (sim->next_message - sim->first_message == WM_SIM_MESSAGES)
        drop_oldest(sim);
    *m = (struct sim_message){.seq = sim->next_message++,
                              .contact = contact,
                              .from_person = from_person,
                              .mark = from_person ? MARK_SENT : MARK_ACCEPTED,
                              .at_ms = now_ms,
                              .text = copy};
    snprintf(m->kind, sizeof m->kind, "%s", kind);
    make_id(sim, now_ms, m);
    sim->messages[m->seq % WM_SIM_MESSAGES] = m;
    sim->message_bytes += strlen(copy);
    while (sim->message_bytes > WM_SIM_MESSAGE_BYTES && sim->first_message < m->seq)
        drop_oldest(sim);
    return m;
}

struct sim_message *wm_sim_message_at(const struct wm_sim *sim, uint64_t seq)
{
    return seq >= sim->first_message && seq < sim->next_message ? sim->messages[seq % WM_SIM_MESSAGES] : NULL;
}

struct sim_message *wm_sim_message_find(const struct wm_sim *sim, const char *wamid)
{
    for (uint64_t s = sim->next_message;
         s-- > sim->first_message;) /* newest first: that is what is asked for */
        if (strcmp(sim->messages[s % WM_SIM_MESSAGES]->id, wamid) == 0)
            return sim->messages[s % WM_SIM_MESSAGES];
    return NULL;
}

struct sim_message *wm_sim_write(struct wm_sim *sim, int64_t now_ms, int contact, const char *kind,
                                 const char *text, uint64_t media, struct wm_error *err)
{
    if (sim->n_hooks + 2 > WM_SIM_HOOKS) { /* 2: a fault may double it */
        wm_fail(err, WM_EAGAIN,
                "%d webhooks wait for the gateway at %s, and there is no room for more; start it first",
                sim->n_hooks, sim->webhook_url);
        return NULL;
    }
    struct sim_message *m = wm_sim_message_add(sim, now_ms, contact, true, kind, text);
    if (!m) {
        wm_fail(err, WM_ENOMEM, "no memory for the message");
        return NULL;
    }
    m->media = media;
    sim->contacts[contact].wrote_ms = now_ms;
    struct sim_fault fault;
    bool late = wm_sim_strikes(sim, FAULT_REORDER, contact, &fault);
    struct sim_hook *hook = wm_sim_hook_add(sim, late ? now_ms + fault.delay_ms : now_ms, m, false,
                                            wm_sim_payload_message(sim, m));
    if (!hook) {
        wm_fail(err, WM_ENOMEM, "no memory for the webhook");
        return NULL;
    }
    hook->ordered = !late;
    hook->bad_signature = wm_sim_strikes(sim, FAULT_BAD_SIGNATURE, contact, NULL);
    hook->lose_answer = wm_sim_strikes(sim, FAULT_LOST_ACK, contact, NULL);
    if (wm_sim_strikes(sim, FAULT_DUPLICATE, contact, NULL))
        wm_sim_hook_add(sim, hook->due_ms, m, false, strdup(hook->body));
    wm_sim_show_message(sim, m);
    wm_sim_show_contact(sim, contact);
    wm_sim_show_hooks(sim);
    return m;
}

void wm_sim_set_typing(struct wm_sim *sim, int contact, int64_t until_ms)
{
    struct sim_contact *c = &sim->contacts[contact];
    bool shown = c->typing_until_ms != 0;
    c->typing_until_ms = until_ms;
    if (shown != (until_ms != 0))
        wm_sim_show_contact(sim, contact);
}

void wm_sim_people_reset(struct wm_sim *sim)
{
    while (sim->first_message < sim->next_message)
        drop_oldest(sim);
    sim->n_plans = 0;
    sim->n_contacts = 0;
    sim->open_contact = -1;
    for (int i = 0; i < FIRST_PHONES; i++)
        wm_sim_contact_new(sim, NULL, NULL);
}
