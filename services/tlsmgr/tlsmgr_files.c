// SPDX-License-Identifier: ISC
// tlsmgr_files.c: which key and certificate files main.cf and master.cf name.
#include "services/tlsmgr/tlsmgr.h"

#include "lib/ipc/tls_service.h"

static void add(struct tlsmgr_files *f, struct map *map, struct str value)
{
    if (value.len > 0 && map->count < TLSMGR_FILES_MAX && map_get(map, value) == NULL)
        map_set(map, value, f);
}

void tlsmgr_files_add_text(struct tlsmgr_files *f, struct str text)
{
    struct str kind, path, rest = text;
    if (text.len == 0)
        return;
    add(f, &f->texts, text);
    (void)str_cut(&rest, ' ', &kind);
    while (str_token(&rest, " ", &path))
        add(f, &f->paths, path);
}

static struct str get(const struct conf *conf, struct arena *arena, const char *prefix, const char *name)
{
    struct buf full = BUF_INIT, value = BUF_INIT;
    struct err err = ERR_INIT;
    buf_addf(&full, "%s%s", prefix, name);
    struct str result =
        conf_get_str(conf, buf_cstr(&full), "", &value, &err) == 0 ? arena_str(arena, buf_str(&value)) : STR("");
    buf_release(&full);
    buf_release(&value);
    return result;
}

// The files of each program that speaks TLS, as this layer of the configuration has them.
static void add_layer(struct tlsmgr_files *f, const struct conf *conf)
{
    static const char *const prefixes[] = {"smtpd_tls_", "smtp_tls_", "lmtp_tls_", "tlsproxy_tls_", "tlsproxy_client_"};
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const char *p = prefixes[i];
        struct arena *a = f->arena;
        struct tls_chain_files files = {get(conf, a, p, "chain_files"), get(conf, a, p, "cert_file"),
                                        get(conf, a, p, "key_file"),    get(conf, a, p, "dcert_file"),
                                        get(conf, a, p, "dkey_file"),   get(conf, a, p, "eccert_file"),
                                        get(conf, a, p, "eckey_file")};
        buf_clear(&text);
        tls_chain_files_add_text(&files, &text);
        tlsmgr_files_add_text(f, buf_str(&text));
    }
    buf_release(&text);
    struct str maps = get(conf, f->arena, "", "tls_server_sni_maps"), item, rest = maps;
    add(f, &f->sni_maps, maps);
    while (str_token_braced(&rest, ", \t\r\n", &item))
        if (item.ptr[0] == '/')
            add(f, &f->directories,
                item.len > 1 && item.ptr[item.len - 1] == '/' ? str_slice(item, 0, item.len - 1) : item);
}

// "-o name=value", "-oname=value" and "-o { name = value }" (the braces are gone by now).
static bool take_override(struct conf *layer, struct str text)
{
    struct str name, value = text;
    if (!str_cut(&value, '=', &name))
        return false;
    name = str_trim(name);
    return conf_override(layer, name, str_trim(value)) == 0 && str_find_str(name, STR("tls")) >= 0;
}

static void add_row(struct tlsmgr_files *f, const struct conf *conf, const struct master_row *row)
{
    struct conf *layer = conf_open_layer(conf);
    bool is_about_tls = false;
    for (size_t i = 0; i < row->argc; i++) {
        struct str word = row->argv[i];
        if (str_is(word, STR("-o")) && i + 1 < row->argc)
            is_about_tls |= take_override(layer, row->argv[++i]);
        else if (str_starts(word, STR("-o")))
            is_about_tls |= take_override(layer, str_slice(word, 2, word.len));
    }
    if (is_about_tls)
        add_layer(f, layer);
    conf_free(layer);
}

int tlsmgr_files_collect(const struct conf *conf, struct tlsmgr_files *f, struct err *err)
{
    struct buf path = BUF_INIT;
    struct master_row *rows;
    size_t count = 0;
    add_layer(f, conf);
    buf_addf(&path, "%s/master.cf", conf_dir(conf));
    int rc = master_cf_read(conf, buf_cstr(&path), f->arena, &rows, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        add_row(f, conf, &rows[i]);
    buf_release(&path);
    return rc;
}

void tlsmgr_files_release(struct tlsmgr_files *f)
{
    map_release(&f->paths);
    map_release(&f->directories);
    map_release(&f->texts);
    map_release(&f->sni_maps);
}
