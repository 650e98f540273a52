// SPDX-License-Identifier: ISC
// flush_client.h: asks the flush service, which knows which deferred messages wait for a site (fast_flush_domains),
// over one kept connection.
//
// Requests: {"add", "site", "id"}: the message waits for the site; {"send", "site"}: the site can be reached, try its
// messages. Whether a site is in fast_flush_domains is asked by the service as well; callers ask first to save the way.
#ifndef DROMOS_IPC_FLUSH_CLIENT_H
#define DROMOS_IPC_FLUSH_CLIENT_H

#include "lib/ipc/ipc.h"

#define FLUSH_SITE_MAX 255

enum flush_status {
    FLUSH_OK,
    FLUSH_UNKNOWN_SITE, // not in fast_flush_domains
    FLUSH_BAD_SITE,     // no domain name
    FLUSH_FAILED,       // of the answer; err says why
};

struct flush_client;
struct flush_client *flush_client_new(struct str service_name); // flush_service_name
void flush_client_free(struct flush_client *c);                 // NULL is fine
// Each waits for the service at most half a minute. err is filled with FLUSH_FAILED.
enum flush_status flush_client_add(struct flush_client *c, struct str site, struct str queue_id,
                                   struct err *err) CO MUST_CHECK;
enum flush_status flush_client_send(struct flush_client *c, struct str site, struct err *err) CO MUST_CHECK;

const char *flush_status_verb(enum flush_status status); // in answers: "ok", "unknown", "bad", "failed"

#endif
