// SPDX-License-Identifier: ISC
// proxymap.h: the tables that the proxymap and proxywrite services may open for others.
#ifndef DROMOS_PROXYMAP_H
#define DROMOS_PROXYMAP_H

#include "lib/base/map.h"
#include "lib/conf/conf.h"

// The names "type:name", without proxy: in front. Values of `names` are not NULL.
struct proxymap_access {
    struct map names;
};

// Adds the proxy:type:name items of a list, as proxy_read_maps holds them; other items are passed over.
void proxymap_access_add_list(struct proxymap_access *access, struct str list);
// Adds the tables that table_type_is_backend knows, wherever in `text` they are named: daemons cannot open these
// themselves.
void proxymap_access_add_backends(struct proxymap_access *access, struct str text);
// The same for every value of main.cf and every argument of a master.cf row.
int proxymap_access_add_configuration(struct proxymap_access *access, const struct conf *conf, struct err *err);
bool proxymap_access_allows(const struct proxymap_access *access, struct str type_name);
void proxymap_access_release(struct proxymap_access *access);

#endif
