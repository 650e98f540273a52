// SPDX-License-Identifier: ISC
// mtasts_fetch.c: one policy file over HTTPS (RFC 8461 3.3): libcurl in a job of the pool.
//
// The certificate must be good for mta-sts.DOMAIN; redirects, proxies and other protocols are refused, size and time
// are bounded. Names are resolved by lib/net beforehand, so that curl asks nobody.
// Trust: the web server is hostile. Suspends: the lookup and the job.
#include <curl/curl.h>

#include "lib/net/dns.h"
#include "services/mtasts/mtasts.h"

#define ADDRESSES_MAX 8
#define LOOKUP_MS     20000
#define HTTP_OK       200

struct fetch {
    char *url, *authorities, *resolve, *connect_to; // "" : not set
    long timeout;
    struct buf body;
    bool is_too_large;
    bool is_good;
    char problem[256];
};

static void fetch_free(void *data)
{
    struct fetch *f = data;

    mem_free(f->url);
    mem_free(f->authorities);
    mem_free(f->resolve);
    mem_free(f->connect_to);
    buf_release(&f->body);
    mem_free(f);
}

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch *f = arg;

    if (size * count > MTA_STS_POLICY_MAX - f->body.len) {
        f->is_too_large = true;
        return 0; // ends the transfer
    }
    buf_add(&f->body, data, size * count);
    return size * count;
}

static void set_problem(struct fetch *f, const char *text)
{
    snprintf(f->problem, sizeof f->problem, "%s", text);
}

static void judge(struct fetch *f, CURL *curl, CURLcode rc)
{
    char *type = NULL;
    long status = 0;

    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    if (f->is_too_large)
        set_problem(f, "the policy is too large");
    else if (rc != CURLE_OK)
        set_problem(f, f->problem[0] != '\0' ? f->problem : curl_easy_strerror(rc));
    else if (status != HTTP_OK)
        snprintf(f->problem, sizeof f->problem, "the web server answers with status %ld", status);
    else if (type == NULL || !str_starts_nocase(str_from(type), STR("text/plain")))
        set_problem(f, "the policy is not text/plain");
    else
        f->is_good = true;
}

static void set_options(CURL *curl, struct fetch *f, struct curl_slist *resolve, struct curl_slist *connect_to)
{
    curl_easy_setopt(curl, CURLOPT_URL, f->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, f->timeout);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, f->timeout);
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, (long)MTA_STS_POLICY_MAX);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, f->problem);
    if (f->authorities[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_CAINFO, f->authorities);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (resolve != NULL)
        curl_easy_setopt(curl, CURLOPT_RESOLVE, resolve);
    if (connect_to != NULL)
        curl_easy_setopt(curl, CURLOPT_CONNECT_TO, connect_to);
}

// In a thread of the pool.
static void fetch_job(void *data)
{
    struct fetch *f = data;
    CURL *curl = curl_easy_init();

    if (curl == NULL) {
        set_problem(f, "out of memory");
        return;
    }
    struct curl_slist *resolve = f->resolve[0] != '\0' ? curl_slist_append(NULL, f->resolve) : NULL;
    struct curl_slist *connect_to = f->connect_to[0] != '\0' ? curl_slist_append(NULL, f->connect_to) : NULL;
    set_options(curl, f, resolve, connect_to);
    judge(f, curl, curl_easy_perform(curl));
    curl_easy_cleanup(curl);
    curl_slist_free_all(resolve);
    curl_slist_free_all(connect_to);
}

// "mta-sts.DOMAIN:443:ADDRESS,ADDRESS", or with mtasts_fetch_address the place to connect to instead.
static int find_server(const struct settings *s, struct str host, struct fetch *f, struct err *err) CO
{
    const struct dns_host_query query = {host, AF_UNSPEC, false};
    struct arena arena = ARENA_INIT;
    struct dns_addresses addresses;
    struct buf text = BUF_INIT;

    if (s->mtasts_fetch_address.len > 0) {
        buf_addf(&text, "::" STR_FMT, STR_ARG(s->mtasts_fetch_address));
        f->connect_to = mem_dup_str(buf_str(&text));
        f->resolve = mem_strdup("");
        buf_release(&text);
        return 0;
    }
    f->connect_to = mem_strdup("");
    enum dns_status status = dns_lookup_host(&query, &arena, clock_ms() + LOOKUP_MS, &addresses);
    buf_addf(&text, STR_FMT ":443:", STR_ARG(host));
    for (size_t i = 0; i < addresses.count && i < ADDRESSES_MAX; i++) {
        buf_add_cstr(&text, i > 0 ? "," : "");
        net_addr_add_text(&text, &addresses.items[i]);
    }
    f->resolve = mem_dup_str(buf_str(&text));
    buf_release(&text);
    arena_release(&arena);
    return status == DNS_OK ? 0 : err_set(err, ERR_TEMPORARY, STR_FMT ": %s", STR_ARG(host), dns_status_text(status));
}

int mtasts_fetch(const struct settings *s, struct str domain, struct buf *text_r, struct err *err)
{
    struct fetch *f = MEM_NEW(struct fetch);
    struct buf host = BUF_INIT, url = BUF_INIT;

    buf_addf(&host, "mta-sts." STR_FMT, STR_ARG(domain));
    buf_addf(&url, "https://%s/.well-known/mta-sts.txt", buf_cstr(&host));
    f->url = mem_dup_str(buf_str(&url));
    f->authorities = mem_dup_str(s->mtasts_CAfile);
    f->timeout = (long)s->mtasts_fetch_timeout;
    int result = find_server(s, buf_str(&host), f, err);
    buf_release(&host);
    buf_release(&url);
    if (result < 0) {
        fetch_free(f);
        return -1;
    }
    if (co_job(fetch_job, f, fetch_free, clock_deadline(s->mtasts_fetch_timeout + 1)) < 0)
        return err_set(err, ERR_TEMPORARY, "fetching took too long");
    if (f->is_good)
        buf_add_str(text_r, buf_str(&f->body));
    else
        result = err_set(err, ERR_TEMPORARY, "%s", f->problem);
    fetch_free(f);
    return result;
}
