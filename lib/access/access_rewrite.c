// SPDX-License-Identifier: ISC
// access_rewrite.c: local_header_rewrite_clients: whose message headers are completed as those of local mail.
// Trust: who the client is was established before. Suspends: table lookups.
#include "lib/access/access_impl.h"

// The whole address: its networks are not asked for.
static bool has_address(struct table *t, struct str address) CO
{
    struct buf value = BUF_INIT;
    struct err err = ERR_INIT;
    int found = table_lookup(t, address, &value, &err);
    buf_release(&value);
    if (found < 0)
        log_warn("local_header_rewrite_clients: %s", err.text);
    return found > 0;
}

static bool names_client(struct access_walk *w, struct str word) CO
{
    const struct access_keyword *k = access_keyword_find(word);
    struct access_rule rule = {.keyword = k, .word = word};
    struct table *t = map_get(&w->access->tables, word);
    if (t != NULL)
        return has_address(t, w->facts->client_address);
    bool is_identity = k != NULL && (k->judge == judge_identity || k->judge == judge_client_certificate);
    return is_identity && k->judge(w, &rule) == ACCESS_PERMIT;
}

void access_open_rewrite(struct access *a)
{
    struct str word, rest = a->settings->local_header_rewrite_clients;
    while (str_token_braced(&rest, ACCESS_SEPARATORS, &word)) {
        const struct access_keyword *k = access_keyword_find(word);
        if (str_find(word, ':') >= 0)
            (void)access_find_table(a, word, true);
        else if (!str_is_nocase(word, STR("check_address_map")) &&
                 (k == NULL || (k->judge != judge_identity && k->judge != judge_client_certificate)))
            log_warn("local_header_rewrite_clients: \"" STR_FMT "\" is ignored", STR_ARG(word));
    }
}

bool access_rewrites_headers(struct access_session *as, const struct access_facts *facts)
{
    struct arena arena = ARENA_INIT;
    struct access_verdict verdict = {.outcome = ACCESS_PASS};
    struct access_walk w = {.access = as->access,
                            .session = as,
                            .facts = facts,
                            .arena = &arena,
                            .verdict = &verdict,
                            .parameter = "local_header_rewrite_clients"};
    struct str word, rest = as->access->settings->local_header_rewrite_clients;
    bool found = false;
    while (!found && str_token_braced(&rest, ACCESS_SEPARATORS, &word))
        found = names_client(&w, word);
    arena_release(&arena);
    return found;
}
