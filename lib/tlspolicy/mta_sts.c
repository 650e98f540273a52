// SPDX-License-Identifier: ISC
// mta_sts.c: the two texts of MTA-STS: the DNS record and the policy file (RFC 8461 3.1 and 3.2). Pure.
// Trust: both come from the network.
#include "lib/tlspolicy/mta_sts.h"

#define HOST_MAX 253

const char *mta_sts_mode_name(enum mta_sts_mode mode)
{
    return mode == MTA_STS_ENFORCE ? "enforce" : mode == MTA_STS_TESTING ? "testing" : "none";
}

bool mta_sts_id_is_valid(struct str id)
{
    if (id.len == 0 || id.len > MTA_STS_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

int mta_sts_record_parse(struct str text, struct str *id_r)
{
    struct str field, name, rest = text;
    bool is_first = true, has_id = false;

    *id_r = STR("");
    while (str_token(&rest, ";", &field)) {
        struct str value = field;
        bool has_value = str_cut(&value, '=', &name);
        name = str_trim(name);
        if (is_first && (!has_value || !str_is(name, STR("v")) || !str_is(str_trim(value), STR("STSv1"))))
            return 0;
        is_first = false;
        if (!has_value || !str_is(name, STR("id")))
            continue;
        if (has_id || !mta_sts_id_is_valid(str_trim(value)))
            return -1;
        has_id = true;
        *id_r = str_trim(value);
    }
    return is_first ? 0 : has_id ? 1 : -1;
}

// "mx.example.com" or "*.example.com".
static bool pattern_is_valid(struct str pattern)
{
    struct str name = str_starts(pattern, STR("*.")) ? str_slice(pattern, 2, pattern.len) : pattern;

    if (name.len == 0 || name.len > HOST_MAX || name.ptr[0] == '.' || name.ptr[name.len - 1] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.'))
            return false;
    }
    return true;
}

struct seen {
    bool version, mode, max_age;
};

static int set_mode(struct str value, struct mta_sts *policy, struct err *err)
{
    for (enum mta_sts_mode mode = MTA_STS_NONE; mode <= MTA_STS_ENFORCE; mode++)
        if (str_is(value, str_from(mta_sts_mode_name(mode)))) {
            policy->mode = mode;
            return 0;
        }
    return err_set(err, ERR_PROTOCOL, "unknown mode");
}

static int set_max_age(struct str value, struct mta_sts *policy, struct err *err)
{
    if (value.len > 10 || str_to_i64(value, &policy->max_age) < 0 || policy->max_age < 0)
        return err_set(err, ERR_PROTOCOL, "bad max_age");
    if (policy->max_age > MTA_STS_MAX_AGE)
        policy->max_age = MTA_STS_MAX_AGE;
    return 0;
}

static int add_mx(struct str value, struct arena *arena, struct mta_sts *policy, struct err *err)
{
    if (!pattern_is_valid(value))
        return err_set(err, ERR_PROTOCOL, "bad mx pattern");
    if (policy->mx.count == MTA_STS_MX_MAX)
        return err_set(err, ERR_PROTOCOL, "more than %d mx patterns", MTA_STS_MX_MAX);
    tls_words_add(&policy->mx, arena_lower(arena, value), " ", arena);
    return 0;
}

// Of a field that stands twice the first one counts (RFC 8461 3.2), but for mx.
static int take_field(struct str name, struct str value, struct arena *arena, struct mta_sts *policy, struct seen *seen,
                      struct err *err)
{
    if (str_is(name, STR("version"))) {
        if (!seen->version && !str_is(value, STR("STSv1")))
            return err_set(err, ERR_PROTOCOL, "unknown version");
        seen->version = true;
    } else if (str_is(name, STR("mode")) && !seen->mode) {
        seen->mode = true;
        return set_mode(value, policy, err);
    } else if (str_is(name, STR("max_age")) && !seen->max_age) {
        seen->max_age = true;
        return set_max_age(value, policy, err);
    } else if (str_is(name, STR("mx"))) {
        return add_mx(value, arena, policy, err);
    }
    return 0;
}

int mta_sts_policy_parse(struct str text, struct arena *arena, struct mta_sts *policy_r, struct err *err)
{
    struct str line, name;
    struct seen seen = {false, false, false};

    *policy_r = (struct mta_sts){.mode = MTA_STS_NONE, .id = STR("")};
    if (text.len > MTA_STS_POLICY_MAX)
        return err_set(err, ERR_PROTOCOL, "the policy is larger than %d bytes", MTA_STS_POLICY_MAX);
    while (str_token(&text, "\r\n", &line)) {
        if (str_trim(line).len == 0)
            continue;
        if (!str_cut(&line, ':', &name))
            return err_set(err, ERR_PROTOCOL, "a line without \":\"");
        if (take_field(str_trim(name), str_trim(line), arena, policy_r, &seen, err) < 0)
            return -1;
    }
    if (!seen.version || !seen.mode || !seen.max_age)
        return err_set(err, ERR_PROTOCOL, "no %s", !seen.version ? "version" : !seen.mode ? "mode" : "max_age");
    if (policy_r->mode != MTA_STS_NONE && policy_r->mx.count == 0)
        return err_set(err, ERR_PROTOCOL, "no mx");
    return 0;
}
