/* courier_address.c -- which addresses belong to the public internet.
 *
 * WHY     A name that we may call can be made to lead to our own machine, its neighbours, or the metadata service of a
 *         cloud. So the address is judged, not the name, and at the moment in which the socket is opened: a second look-up
 *         may say something else than the first.
 *
 * Source: IANA's registries of special-purpose addresses (IPv4 and IPv6).
 */
#include "gateway/courier_address.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#define V4(a, b, c, d) (((uint32_t)(a) << 24) | ((uint32_t)(b) << 16) | ((uint32_t)(c) << 8) | (uint32_t)(d))

static const struct {
    uint32_t net;
    int bits;
} not_public_v4[] = {
    {V4(0, 0, 0, 0), 8},      {V4(10, 0, 0, 0), 8},    {V4(100, 64, 0, 0), 10},   {V4(127, 0, 0, 0), 8},
    {V4(169, 254, 0, 0), 16}, {V4(172, 16, 0, 0), 12}, {V4(192, 0, 0, 0), 24},    {V4(192, 0, 2, 0), 24},
    {V4(192, 168, 0, 0), 16}, {V4(198, 18, 0, 0), 15}, {V4(198, 51, 100, 0), 24}, {V4(203, 0, 113, 0), 24},
    {V4(224, 0, 0, 0), 4},    {V4(240, 0, 0, 0), 4},
};

static bool public_v4(uint32_t address)
{
    for (size_t i = 0; i < sizeof not_public_v4 / sizeof *not_public_v4; i++)
        if ((address ^ not_public_v4[i].net) >> (32 - not_public_v4[i].bits) == 0)
            return false;
    return true;
}

static uint32_t v4_at(const uint8_t *bytes)
{
    return V4(bytes[0], bytes[1], bytes[2], bytes[3]);
}

/* Only 2000::/3 is given out; within it, what carries an IPv4 address (6to4) or documents (2001:db8::/32) is judged apart. */
static bool public_v6(const uint8_t a[16])
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF}, nat64[12] = {0, 0x64, 0xFF, 0x9B};
    if (memcmp(a, mapped, sizeof mapped) == 0 || memcmp(a, nat64, sizeof nat64) == 0)
        return public_v4(v4_at(a + 12));
    if (a[0] >> 5 != 1)
        return false;
    if (a[0] == 0x20 && a[1] == 0x02)
        return public_v4(v4_at(a + 2));
    return !(a[0] == 0x20 && a[1] == 0x01 && (a[2] < 2 || (a[2] == 0x0D && a[3] == 0xB8)));
}

bool wm_address_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return public_v4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return public_v6(v6.sin6_addr.s6_addr);
    }
    return false;
}
