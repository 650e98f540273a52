// SPDX-License-Identifier: ISC
// posttls_finger_options.c: the command line of posttls-finger.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/posttls_finger.h"

#define OVERRIDES_MAX 100

static void usage(void)
{
    fprintf(stderr, "usage: posttls-finger [-acCfSvw] [-t conn_tmout] [-T cmd_tmout] [-L logopts] \\\n"
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
    } words[] = {{"0", 0}, {"none", 0}, {"1", FINGER_LOG_SUMMARY | FINGER_LOG_MATCH}, {"routine", FINGER_LOG_SUMMARY | FINGER_LOG_MATCH},
                 {"summary", FINGER_LOG_SUMMARY}, {"certmatch", FINGER_LOG_MATCH | FINGER_LOG_PEER}, {"peercert", FINGER_LOG_PEER},
                 {"untrusted", FINGER_LOG_MATCH}, {"cache", FINGER_LOG_CACHE},
                 {"2", 31 & ~FINGER_LOG_BYTES}, {"verbose", 31}, {"ssl-debug", 31}, {"3", 63}, {"4", 63},
                 {"ssl-handshake-packet-dump", 63}, {"ssl-session-packet-dump", 63}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_is_nocase(word, str_from(words[i].word)))
            return words[i].bits;
    die("bad logging option \"" STR_FMT "\"", STR_ARG(word));
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
    } texts[] = {{'A', &f->anchor_file}, {'d', &f->digest},      {'F', &f->ca_file},     {'g', &f->grade},     {'h', &f->host_lookup},
                 {'H', &f->chain_files}, {'k', &f->cert_file},   {'K', &f->key_file},    {'M', &f->insecure_mx}, {'p', &f->protocols},
                 {'P', &f->ca_path},     {'s', &f->server_name}};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].letter == letter) {
            *texts[i].text = value;
            return true;
        }
    return false;
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
    case 'S':
        f->is_lmtp = true;
        return true;
    case 'w':
        f->is_wrapper = true;
        return true;
    case 'v':
        f->log |= FINGER_LOG_CACHE | FINGER_LOG_STEPS;
        return true;
    default:
        return false;
    }
}

static void take_option(struct finger *f, int letter, const char *value, const char **overrides, size_t *count)
{
    struct str word, list = str_from(value);

    if (take_flag(f, letter) || take_text(f, letter, list))
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
        f->grade = f->level <= TLS_LEVEL_MAY ? f->settings.smtp_tls_ciphers : f->settings.smtp_tls_mandatory_ciphers;
    if (f->protocols.len == 0)
        f->protocols = f->level <= TLS_LEVEL_MAY ? f->settings.smtp_tls_protocols : f->settings.smtp_tls_mandatory_protocols;
    if (f->insecure_mx.len == 0)
        f->insecure_mx = f->settings.smtp_tls_dane_insecure_mx_policy;
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
    f->reconnects = 5;
    for (int letter; (letter = getopt(argc, argv, "a:A:cCd:fF:g:h:H:k:K:l:L:m:M:o:p:P:r:s:St:T:vw")) != -1;)
        take_option(f, letter, optarg, overrides, &count);
    if (optind >= argc)
        usage();
    f->destination = str_from(argv[optind++]);
    for (; optind < argc; optind++)
        tls_words_add(&f->match, str_from(argv[optind]), f->level == TLS_LEVEL_FINGERPRINT ? "|, " : ", ", &f->arena);
    if (f->level == TLS_LEVEL_FINGERPRINT && f->match.count == 0)
        tls_words_add(&f->match, STR("none"), " ", &f->arena); // to see the fingerprints is what it is for
    read_settings(f, overrides);
}
