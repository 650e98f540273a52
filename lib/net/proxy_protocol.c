// SPDX-License-Identifier: ISC
// proxy_protocol.c: parses PROXY protocol headers (see proxy_protocol.h).
// Trust: hostile input. Limits: V1_MAX bytes of text, PROXY_PROTOCOL_MAX bytes of binary.
#include "lib/net/proxy_protocol.h"

#include <netinet/in.h>

#define V1_MAX    107 // with CR LF
#define V2_HEADER 16
#define V2_TCP4   0x11
#define V2_TCP6   0x21
#define V2_LOCAL  0x20
#define V2_PROXY  0x21

static const unsigned char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static bool is_prefix(struct raw input, const void *text, size_t len)
{
    return memcmp(input.ptr, text, input.len < len ? input.len : len) == 0;
}

// ---- Version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 1234 25"

static int parse_port(struct str text, struct net_addr *addr)
{
    uint64_t port;
    if (str_to_u64(text, &port) < 0 || port > 65535)
        return -1;
    net_addr_set_port(addr, (uint16_t)port);
    return 0;
}

static int parse_text(struct str line, struct proxy_header *header_r, struct err *err)
{
    struct str word[6] = {STR_NULL};
    for (size_t i = 0; i < 6; i++)
        if (!str_token(&line, " ", &word[i]))
            word[i] = STR("");
    int family = str_is(word[1], STR("TCP4")) ? AF_INET : str_is(word[1], STR("TCP6")) ? AF_INET6 : AF_UNSPEC;
    if (!str_is(word[0], STR("PROXY")))
        return err_set(err, ERR_PROTOCOL, "unrecognized protocol header");
    if (family == AF_UNSPEC)
        return err_set(err, ERR_PROTOCOL, "bad or missing protocol type");
    if (net_addr_parse(word[2], 0, &header_r->peer) < 0 || net_addr_family(&header_r->peer) != family)
        return err_set(err, ERR_PROTOCOL, "bad or missing client address");
    if (net_addr_parse(word[3], 0, &header_r->local) < 0 || net_addr_family(&header_r->local) != family)
        return err_set(err, ERR_PROTOCOL, "bad or missing server address");
    if (parse_port(word[4], &header_r->peer) < 0)
        return err_set(err, ERR_PROTOCOL, "bad or missing client port");
    if (parse_port(word[5], &header_r->local) < 0)
        return err_set(err, ERR_PROTOCOL, "bad or missing server port");
    return 1;
}

static int parse_v1(struct raw input, struct proxy_header *header_r, size_t *size_r, struct err *err)
{
    size_t most = input.len < V1_MAX ? input.len : V1_MAX;
    const unsigned char *lf = memchr(input.ptr, '\n', most);
    if (lf == NULL)
        return most < V1_MAX ? 0 : err_set(err, ERR_PROTOCOL, "missing protocol header terminator");
    size_t len = (size_t)(lf - input.ptr);
    *size_r = len + 1;
    if (len > 0 && input.ptr[len - 1] == '\r')
        len--;
    return parse_text(raw_unchecked((struct raw){input.ptr, len}), header_r, err);
}

// ---- Version 2

static void address_from(int family, const unsigned char *bytes, const unsigned char *port, struct net_addr *addr_r)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (family == AF_INET) {
        memcpy(&v4.sin_addr, bytes, 4);
        memcpy(&v4.sin_port, port, 2);
        net_addr_from((const struct sockaddr *)&v4, sizeof v4, addr_r);
    } else {
        memcpy(&v6.sin6_addr, bytes, 16);
        memcpy(&v6.sin6_port, port, 2);
        net_addr_from((const struct sockaddr *)&v6, sizeof v6, addr_r);
    }
}

static int parse_v2(struct raw input, struct proxy_header *header_r, size_t *size_r, struct err *err)
{
    if (input.len < V2_HEADER)
        return 0;
    const unsigned char *at = input.ptr;
    size_t length = ((size_t)at[14] << 8) | at[15];
    if (V2_HEADER + length > PROXY_PROTOCOL_MAX)
        return err_set(err, ERR_PROTOCOL, "protocol header is too long");
    if (at[12] != V2_LOCAL && at[12] != V2_PROXY)
        return err_set(err, ERR_PROTOCOL, "unsupported protocol version or command");
    if (input.len < V2_HEADER + length)
        return 0;
    *size_r = V2_HEADER + length;
    if (at[12] == V2_LOCAL) {
        header_r->is_local = true;
        return 1;
    }
    if (at[13] != V2_TCP4 && at[13] != V2_TCP6)
        return err_set(err, ERR_PROTOCOL, "unsupported network protocol");
    int family = at[13] == V2_TCP4 ? AF_INET : AF_INET6;
    size_t size = family == AF_INET ? 4 : 16;
    if (length < 2 * size + 4)
        return err_set(err, ERR_PROTOCOL, "short address field");
    address_from(family, at + V2_HEADER, at + V2_HEADER + 2 * size, &header_r->peer);
    address_from(family, at + V2_HEADER + size, at + V2_HEADER + 2 * size + 2, &header_r->local);
    return 1;
}

int proxy_protocol_parse(struct raw input, struct proxy_header *header_r, size_t *size_r, struct err *err)
{
    *header_r = (struct proxy_header){.is_local = false};
    if (input.len == 0)
        return 0;
    if (is_prefix(input, v2_signature, sizeof v2_signature))
        return parse_v2(input, header_r, size_r, err);
    if (is_prefix(input, "PROXY ", 6))
        return parse_v1(input, header_r, size_r, err);
    return err_set(err, ERR_PROTOCOL, "unrecognized protocol header");
}
