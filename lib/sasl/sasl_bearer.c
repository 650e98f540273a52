// SPDX-License-Identifier: ISC
// sasl_bearer.c: writes the messages of OAUTHBEARER and XOAUTH2. Pure.
#include "lib/sasl/sasl_bearer.h"

const char *sasl_bearer_choose(struct str mechanisms)
{
    static const char *const names[] = {"OAUTHBEARER", "XOAUTH2"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct str word, rest = mechanisms;
        while (str_token(&rest, " ", &word))
            if (str_is_nocase(word, str_from(names[i])))
                return names[i];
    }
    return NULL;
}

void sasl_base64_add(struct buf *b, struct str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.len; i += 3) {
        unsigned group = 0, have = bytes.len - i < 3 ? (unsigned)(bytes.len - i) : 3;
        for (unsigned k = 0; k < 3; k++)
            group = group << 8 | (k < have ? (unsigned char)bytes.ptr[i + k] : 0U);
        for (unsigned k = 0; k < 4; k++)
            buf_add_char(b, k <= have ? digits[group >> (18 - 6 * k) & 63] : '=');
    }
}

// RFC 5801 4: a name in the GS2 header.
static void add_saslname(struct buf *b, struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == ',')
            buf_add_cstr(b, "=2C");
        else if (name.ptr[i] == '=')
            buf_add_cstr(b, "=3D");
        else
            buf_add_char(b, name.ptr[i]);
    }
}

static bool has_controls(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127)
            return true;
    return false;
}

int sasl_bearer_initial(const char *mechanism, const struct sasl_login *login, struct buf *response_r, struct err *err)
{
    struct buf text = BUF_INIT;

    if (has_controls(login->username) || has_controls(login->password) || login->password.len == 0)
        return err_set(err, ERR_TEMPORARY, "no user name and token that can be sent");
    if (strcmp(mechanism, "XOAUTH2") == 0) {
        buf_addf(&text, "user=" STR_FMT "\001", STR_ARG(login->username));
    } else {
        buf_add_cstr(&text, "n,a=");
        add_saslname(&text, login->username);
        buf_addf(&text, ",\001host=%s\001port=%u\001", login->host, login->port);
    }
    buf_addf(&text, "auth=Bearer " STR_FMT "\001\001", STR_ARG(login->password));
    buf_clear(response_r);
    sasl_base64_add(response_r, buf_str(&text));
    buf_wipe(&text);
    return 0;
}

const char *sasl_bearer_dismiss(const char *mechanism)
{
    return strcmp(mechanism, "XOAUTH2") == 0 ? "" : "AQ==";
}
