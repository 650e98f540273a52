// SPDX-License-Identifier: ISC
// posttls_finger_options.c: the command line of posttls-finger.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/posttls_finger.h"
#include "lib/ipc/tls_service.h"

#define OVERRIDES_MAX 100
#define LOG_VERBOSE   (FINGER_LOG_PEER | FINGER_LOG_MATCH | FINGER_LOG_CACHE | FINGER_LOG_UNTRUSTED | FINGER_LOG_VERBOSE)
#define LOG_DEBUG     (LOG_VERBOSE | FINGER_LOG_SUMMARY | FINGER_LOG_STEPS)

static void usage(void)
{
    fprintf(stderr, "usage: posttls-finger [-acCfRSvwxX] [-t conn_tmout] [-T cmd_tmout] [-L logopts] \\\n"
                    "\t[-h host_lookup] [-l level] [-d mdalg] [-g grade] [-p protocols] [-M insecure_mx_policy] \\\n"
                    "\t[-A tafile] [-F CAfile.pem] [-P CApath/] [-s servername] \\\n"
                    "\t[ [-H chainfiles] | [-k certfile [-K keyfile]] ] \\\n"
                    "\t[-m count] [-r delay] [-o name=value] destination [match ...]\n");
    exit(1);
}

static unsigned log_bit(struct str word)
{
    static const struct {
        const char *word;
        unsigned bits;
    } words[] = {{"0", 0},
                 {"none", 0},
                 {"1", FINGER_LOG_SUMMARY},
                 {"routine", FINGER_LOG_SUMMARY},
                 {"summary", FINGER_LOG_SUMMARY},
                 {"2", LOG_DEBUG},
                 {"debug", LOG_DEBUG},
                 {"3", LOG_DEBUG | FINGER_LOG_BYTES},
                 {"ssl-expert", LOG_DEBUG | FINGER_LOG_BYTES},
                 {"4", LOG_DEBUG | FINGER_LOG_BYTES},
                 {"ssl-developer", LOG_DEBUG | FINGER_LOG_BYTES},
                 {"ssl-debug", FINGER_LOG_STEPS},
                 {"ssl-handshake-packet-dump", FINGER_LOG_BYTES},
                 {"ssl-session-packet-dump", FINGER_LOG_BYTES},
                 {"untrusted", FINGER_LOG_UNTRUSTED},
                 {"peercert", FINGER_LOG_PEER},
                 {"certmatch", FINGER_LOG_MATCH | FINGER_LOG_PEER},
                 {"cache", FINGER_LOG_CACHE},
                 {"verbose", LOG_VERBOSE}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_is_nocase(word, str_from(words[i].word)))
            return words[i].bits;
    finger_say("warning: unknown -L option value \"" STR_FMT "\"", STR_ARG(word));
    return 0;
}

static int64_t number(const char *text, int64_t min)
{
    int64_t value;

    if (str_to_i64(str_from(text), &value) < 0 || value < min)
        die("bad number \"%s\"", text);
    return value;
}

static int family_of(const char *name)
{
    if (strcmp(name, "ipv4") == 0)
        return AF_INET;
    if (strcmp(name, "ipv6") == 0)
        return AF_INET6;
    if (strcmp(name, "any") != 0)
        die("bad address family: %s", name);
    return AF_UNSPEC;
}

static bool take_text(struct finger *f, int letter, struct str value)
{
    struct {
        char letter;
        struct str *text;
    } texts[] = {{'d', &f->digest},    {'F', &f->ca_file},    {'g', &f->grade},       {'h', &f->host_lookup},
                 {'k', &f->cert_file}, {'K', &f->key_file},   {'M', &f->insecure_mx}, {'p', &f->protocols},
                 {'P', &f->ca_path},   {'s', &f->server_name}};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].letter == letter) {
            *texts[i].text = value;
            return true;
        }
    return false;
}

// Lists that are built up: -A of one file each, -H of several.
static bool take_files(struct finger *f, int letter, struct str value)
{
    struct str *list = letter == 'A' ? &f->anchor_files : &f->chain_files, path;

    if (letter != 'A' && letter != 'H')
        return false;
    while (str_token(&value, letter == 'A' ? "\n" : ", \t\r\n", &path))
        *list = arena_strf(&f->arena, STR_FMT "%s" STR_FMT, STR_ARG(*list), list->len > 0 ? "\n" : "", STR_ARG(path));
    return true;
}

static bool take_flag(struct finger *f, int letter)
{
    switch (letter) {
    case 'c':
        f->says_nothing = true;
        return true;
    case 'C':
        f->prints_chain = true;
        return true;
    case 'f':
        f->asks_insecure = true;
        return true;
    case 'R':
        f->uses_srv = true;
        return true;
    case 'x':
        finger_say("warning: " TLS_NO_RAW_KEYS);
        return true;
    case 'X':
        finger_say("warning: no tlsproxy service is used: TLS is spoken here");
        return true;
    case 'S':
        f->is_lmtp = true;
        return true;
    case 'w':
        f->is_wrapper = true;
        return true;
    case 'v':
        f->log |= FINGER_LOG_CACHE | FINGER_LOG_STEPS | FINGER_LOG_VERBOSE;
        return true;
    default:
        return false;
    }
}

static void take_option(struct finger *f, int letter, const char *value, const char **overrides, size_t *count)
{
    struct str word, list = str_from(value);

    if (take_flag(f, letter) || take_text(f, letter, list) || take_files(f, letter, list))
        return;
    if (letter == 'a')
        f->family = family_of(value);
    else if (letter == 'l' && tls_level_parse(list, &f->level) < 0)
        die("Invalid TLS level \"%s\"", value);
    else if (letter == 'L')
        for (f->log = 0; str_token(&list, ", \t", &word);)
            f->log |= log_bit(word);
    else if (letter == 'm')
        f->reconnects = number(value, 1);
    else if (letter == 'r')
        f->reconnect_wait = number(value, 0);
    else if (letter == 't')
        f->connect_timeout = number(value, 1);
    else if (letter == 'T')
        f->command_timeout = number(value, 1);
    else if (letter == 'o' && *count < OVERRIDES_MAX)
        overrides[(*count)++] = value;
    else if (letter == '?')
        usage();
}

static void read_settings(struct finger *f, const char *const *overrides)
{
    struct err err = ERR_INIT;

    f->conf = conf_open(conf_default_dir(), overrides, &err);
    if (f->conf == NULL || settings_load(f->conf, "posttls-finger", &f->arena, &f->settings, &err) < 0)
        die("%s", err.text);
    if (f->digest.len == 0)
        f->digest = f->settings.smtp_tls_fingerprint_digest;
    if (f->grade.len == 0)
        f->grade = STR("medium");
    if (f->protocols.len == 0)
        f->protocols = STR(">=TLSv1");
    if (f->insecure_mx.len == 0)
        f->insecure_mx = STR("dane");
    if (!tls_protocols_are_valid(f->protocols))
        die("bad TLS protocols \"" STR_FMT "\"", STR_ARG(f->protocols));
}

void finger_options(struct finger *f, int argc, char **argv)
{
    const char *overrides[OVERRIDES_MAX + 1] = {NULL};
    size_t count = 0;

    f->level = TLS_LEVEL_DANE;
    f->log = FINGER_LOG_SUMMARY | FINGER_LOG_MATCH | FINGER_LOG_PEER;
    f->connect_timeout = f->command_timeout = 30;
    if (getenv("MAIL_VERBOSE") != NULL)
        take_flag(f, 'v');
    f->reconnects = 5;
    for (int letter; (letter = getopt(argc, argv, "a:A:cCd:fF:g:h:H:k:K:l:L:m:M:o:p:P:r:Rs:St:T:vwxX")) != -1;)
        take_option(f, letter, optarg, overrides, &count);
    if (optind >= argc)
        usage();
    if (f->chain_files.len > 0 && (f->cert_file.len > 0 || f->key_file.len > 0))
        die("-H names keys and certificates: it cannot be used with -k or -K");
    f->destination = str_from(argv[optind++]);
    for (; optind < argc; optind++)
        tls_words_add(&f->match, str_from(argv[optind]), f->level == TLS_LEVEL_FINGERPRINT ? "|, " : ", ", &f->arena);
    if (f->level == TLS_LEVEL_FINGERPRINT && f->match.count == 0)
        tls_words_add(&f->match, STR("none"), " ", &f->arena); // to see the fingerprints is what it is for
    read_settings(f, overrides);
}
