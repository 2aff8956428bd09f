/* graph_error.c -- Meta's error answers: code, HTTP status, type, message, in one list. */
#include "adapters/sim/world.h"

#include <stdio.h>

/* code, HTTP status, what Meta calls it. Codes that a gateway meets on its way to send; others can be asked for by a
 * fault and answer 400. */
static const struct {
    int32_t code;
    int status;
    const char *text;
} errors[] = {
    {1, 400, "An unknown error occurred"},
    {2, 503, "Service temporarily unavailable"},
    {3, 500, "Application does not have the capability to make this API call"},
    {4, 400, "Application request limit reached"},
    {10, 403, "Application does not have permission for this action"},
    {33, 400, "The business phone number has been deleted"},
    {100, 400, "Invalid parameter"},
    {190, 401, "Invalid OAuth access token - Cannot parse access token"},
    {368, 403, "Temporarily blocked for policies violations"},
    {80007, 400, "Rate limit issues"},
    {130429, 400, "Rate limit hit"},
    {131000, 500, "Something went wrong"},
    {131005, 403, "Access denied"},
    {131008, 400, "Required parameter is missing"},
    {131009, 400, "Parameter value is not valid"},
    {131016, 500, "Service unavailable"},
    {131021, 400, "Recipient cannot be sender"},
    {131026, 400, "Message undeliverable"},
    {131031, 403, "Account has been locked"},
    {131042, 400, "Business eligibility payment issue"},
    {131047, 400, "Re-engagement message"},
    {131048, 400, "Spam rate limit hit"},
    {131049, 400, "This message was not delivered to maintain healthy ecosystem engagement"},
    {131051, 400, "Unsupported message type"},
    {131053, 400, "Media upload error"},
    {131056, 400, "(Business account, consumer account) pair rate limit hit"},
    {131057, 500, "Account in maintenance mode"},
    {133010, 400, "Phone number not registered"},
};

static int find(int32_t code)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code)
            return (int)i;
    return -1;
}

const char *wm_sim_graph_error_text(int32_t code)
{
    int i = find(code);
    return i < 0 ? "Error" : errors[i].text;
}

void wm_sim_graph_error(struct wm_sim_response *out, int32_t code, const char *details)
{
    int i = find(code);
    char message[256];
    snprintf(message, sizeof message, "(#%d) %s", (int)code, wm_sim_graph_error_text(code));
    json_t *error =
        json_pack("{s:s, s:s, s:i}", "message", message, "type", "OAuthException", "code", (int)code);
    if (details)
        json_object_set_new(error, "error_data",
                            json_pack("{s:s, s:s}", "messaging_product", "whatsapp", "details", details));
    json_object_set_new(error, "fbtrace_id", json_string("AtRaCe00000000000000000"));
    wm_sim_answer_json(out, i < 0 ? 400 : errors[i].status, json_pack("{s:o}", "error", error));
}
