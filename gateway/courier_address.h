/* courier_address.h -- which addresses belong to the public internet. Any thread. */
#ifndef WM_GATEWAY_COURIER_ADDRESS_H
#define WM_GATEWAY_COURIER_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* False for loopback, private, link-local, shared, reserved, multicast and unspecified addresses, for IPv4 inside IPv6 that is one of
 * these, and for every family but IPv4 and IPv6. */
bool wm_address_public(const struct sockaddr *address);

#endif
