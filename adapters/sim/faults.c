/* faults.c -- what goes wrong, how often, and for whom.
 *
 * A fault is a row that waits: it strikes at most `count` times, each time with its `probability`, for one contact or
 * for all. Chance comes from a seeded generator, so that a failing run can be repeated.
 */
#include "adapters/sim/world.h"

#include <string.h>

enum {
    COUNT_MAX = 1000000,
    DELAY_MAX_MS = 600000,
    LATE_MS = 1500, /* reorder: long enough that a later message is acknowledged first */
    SLOW_MS = 5000,
    USUAL_CODE = 131000
};

static const struct {
    const char *name, *help;
} kinds[] = {
#define X(id, name, help) [FAULT_##id] = {name, help},
    WM_SIM_FAULT_KINDS(X)
#undef X
};

const char *wm_sim_fault_name(enum sim_fault_kind kind)
{
    return kinds[kind].name;
}

double wm_sim_chance(struct wm_sim *sim)
{
    uint64_t x = sim->random; /* xorshift64: short, seeded, and nobody's secret depends on it */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    sim->random = x;
    return (double)(x >> 11) / 9007199254740992.0; /* 2^53 */
}

static void drop(struct wm_sim *sim, int index)
{
    sim->n_faults--;
    memmove(sim->faults + index, sim->faults + index + 1,
            (size_t)(sim->n_faults - index) * sizeof *sim->faults);
}

bool wm_sim_strikes(struct wm_sim *sim, enum sim_fault_kind kind, int contact, struct sim_fault *what)
{
    for (int i = 0; i < sim->n_faults; i++) {
        struct sim_fault *f = &sim->faults[i];
        if (f->kind != kind || (f->contact >= 0 && f->contact != contact))
            continue;
        if (f->chance < 1 && wm_sim_chance(sim) >= f->chance)
            continue;
        if (what)
            *what = *f;
        if (f->left > 0 && --f->left == 0)
            drop(sim, i);
        wm_sim_show_faults(sim);
        return true;
    }
    return false;
}

static int kind_of(const char *name)
{
    for (int i = 0; name && i < FAULT_KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return i;
    return -1;
}

/* The whole number at `key`, or `usual` when absent. False: not a number, or outside. */
static bool number(const json_t *body, const char *key, int64_t usual, int64_t low, int64_t high,
                   int64_t *out, struct wm_error *err)
{
    const json_t *value = json_object_get(body, key);
    *out = value ? json_integer_value(value) : usual;
    if (!value || (json_is_integer(value) && *out >= low && *out <= high))
        return true;
    wm_fail(err, WM_EINVAL, "'%s' must be a whole number from %lld to %lld", key, (long long)low,
            (long long)high);
    return false;
}

enum wm_status wm_sim_fault_add(struct wm_sim *sim, const json_t *body, struct wm_error *err)
{
    int kind = kind_of(json_string_value(json_object_get(body, "kind")));
    if (kind < 0)
        return wm_fail(err, WM_EINVAL,
                       "'kind' names no fault; GET /sim/state lists them under \"fault_kinds\"");
    if (sim->n_faults == WM_SIM_FAULTS)
        return wm_fail(err, WM_ELIMIT, "%d faults wait already; clear them with {\"clear\": true}",
                       WM_SIM_FAULTS);
    struct sim_fault f = {.kind = (enum sim_fault_kind)kind, .contact = -1, .chance = 1};
    const json_t *contact = json_object_get(body, "contact"), *chance = json_object_get(body, "probability");
    if (contact && !json_is_null(contact)) {
        f.contact = json_is_string(contact) ? wm_sim_contact_find(sim, json_string_value(contact)) : -1;
        if (f.contact < 0)
            return wm_fail(err, WM_ENOENT,
                           "'contact' is none of the phones here; leave it out to strike everybody");
    }
    if (chance) {
        f.chance = json_number_value(chance);
        if (!json_is_number(chance) || !(f.chance > 0 && f.chance <= 1))
            return wm_fail(err, WM_EINVAL, "'probability' must be a number above 0 and at most 1");
    }
    /* A state of the world lasts; a mishap happens once, or on and on when only its probability is given. */
    bool lasts = kind == FAULT_LIMITS || kind == FAULT_WINDOW_CLOSED || chance;
    int64_t count, delay, code;
    if (!number(body, "count", lasts ? -1 : 1, -1, COUNT_MAX, &count, err) ||
        !number(body, "delay_ms", kind == FAULT_REORDER ? LATE_MS : SLOW_MS, 0, DELAY_MAX_MS, &delay, err) ||
        !number(body, "code", kind == FAULT_UNDELIVERABLE ? 131026 : USUAL_CODE, 0, 10000000, &code, err))
        return WM_EINVAL;
    if (count == 0)
        return wm_fail(err, WM_EINVAL, "'count' is 0: the fault would never strike; -1 means without end");
    f.left = count;
    f.delay_ms = delay;
    f.code = (int32_t)code;
    f.seq = sim->next_fault++;
    sim->faults[sim->n_faults++] = f;
    wm_sim_show_faults(sim);
    return WM_OK;
}

json_t *wm_sim_faults_json(const struct wm_sim *sim)
{
    json_t *list = json_array();
    for (int i = 0; i < sim->n_faults; i++) {
        const struct sim_fault *f = &sim->faults[i];
        json_array_append_new(list,
                              json_pack("{s:I, s:s, s:s, s:s?, s:I, s:f}", "seq", (json_int_t)f->seq, "kind",
                                        kinds[f->kind].name, "help", kinds[f->kind].help, "contact",
                                        f->contact < 0 ? NULL : sim->contacts[f->contact].wa_id, "left",
                                        (json_int_t)f->left, "probability", f->chance));
    }
    return list;
}

void wm_sim_faults_clear(struct wm_sim *sim)
{
    sim->n_faults = 0;
    wm_sim_show_faults(sim);
}
