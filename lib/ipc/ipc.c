// SPDX-License-Identifier: ISC
// ipc.c: the frame codec: building messages, decoding and reading them. No input or output here.
// Trust: the peer is hostile; every length is checked before it is used.
// Limits: IPC_FRAME_MAX bytes a frame, IPC_FIELDS_MAX fields.
#include "lib/ipc/ipc.h"

#include <stdio.h>

#include "lib/ipc/ipc_internal.h"

static void put_u32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (8 * i));
}

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

// ---- Building

void ipc_begin(struct ipc_msg *m, uint32_t id, const char *verb)
{
    char head[IPC_HEAD_SIZE] = {(char)IPC_MAGIC, IPC_VERSION};
    put_u32(head + 8, id);
    m->start = m->data.len;
    m->fields = 0;
    buf_add(&m->data, head, sizeof head);
    ipc_add_str(m, "verb", str_from(verb));
}

void ipc_add_str(struct ipc_msg *m, const char *name, struct str value)
{
    size_t name_len = strlen(name);
    if (name_len == 0 || name_len > 255)
        bug("ipc: field name of %zu bytes", name_len);
    if (m->fields > IPC_FIELDS_MAX || ipc_size(m) + name_len + value.len + 5 > IPC_FRAME_MAX) {
        m->fields = IPC_FIELDS_MAX + 1; // ipc_end refuses
        return;
    }
    char len[4];
    put_u32(len, (uint32_t)value.len);
    buf_reserve(&m->data, name_len + value.len + 5);
    buf_add_char(&m->data, (char)name_len);
    buf_add(&m->data, name, name_len);
    buf_add(&m->data, len, sizeof len);
    buf_add_str(&m->data, value);
    m->fields++;
}

void ipc_add_int(struct ipc_msg *m, const char *name, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%lld", (long long)value);
    ipc_add_str(m, name, str_of(text, (size_t)len));
}

int ipc_end(struct ipc_msg *m)
{
    if (m->fields > IPC_FIELDS_MAX) {
        buf_truncate(&m->data, m->start);
        return -1;
    }
    char *head = m->data.ptr + m->start;
    head[2] = (char)m->fields;
    head[3] = (char)(m->fields >> 8);
    put_u32(head + 4, (uint32_t)(m->data.len - m->start - IPC_HEAD_SIZE));
    m->start = m->data.len;
    return 0;
}

size_t ipc_size(const struct ipc_msg *m)
{
    return m->data.len - m->start;
}

void ipc_msg_release(struct ipc_msg *m)
{
    buf_release(&m->data);
    *m = IPC_MSG_INIT;
}

// ---- Decoding

// Takes one field off *rest (encoded bytes). 0, or -1 if it does not fit.
static int take_field(struct str *rest, struct str *name_r, struct str *value_r)
{
    const unsigned char *p = (const unsigned char *)rest->ptr;
    if (rest->len < 1 || p[0] == 0 || rest->len < (size_t)p[0] + 5)
        return -1;
    size_t name_len = p[0];
    size_t value_len = get_u32(p + 1 + name_len);
    size_t head = name_len + 5;
    if (value_len > rest->len - head)
        return -1;
    *name_r = str_of(rest->ptr + 1, name_len);
    *value_r = str_of(rest->ptr + head, value_len);
    rest->ptr += head + value_len;
    rest->len -= head + value_len;
    return 0;
}

int ipc_frame_head(struct raw input, size_t *size_r, bool *has_fd_r, struct err *err)
{
    if (input.len == 0)
        return 0;
    if (input.ptr[0] != IPC_MAGIC)
        return err_set(err, ERR_PROTOCOL, "malformed message: no frame begins here");
    if (input.len < IPC_HEAD_SIZE)
        return 0;
    if ((input.ptr[1] & ~IPC_WITH_FD) != IPC_VERSION)
        return err_set(err, ERR_PROTOCOL, "malformed message: version %d", input.ptr[1]);
    size_t payload = get_u32(input.ptr + 4);
    if (payload > IPC_FRAME_MAX - IPC_HEAD_SIZE)
        return err_set(err, ERR_PROTOCOL, "malformed message: %zu bytes are too long", payload);
    *size_r = payload + IPC_HEAD_SIZE;
    *has_fd_r = (input.ptr[1] & IPC_WITH_FD) != 0;
    return 1;
}

int ipc_decode(struct raw input, struct ipc_view *view_r, size_t *size_r, struct err *err)
{
    bool has_fd;
    size_t size = 0;
    int rc = ipc_frame_head(input, &size, &has_fd, err);
    if (rc <= 0 || input.len < size)
        return rc < 0 ? -1 : 0;
    unsigned fields = (unsigned)input.ptr[2] | (unsigned)input.ptr[3] << 8;
    struct str rest = {(const char *)input.ptr + IPC_HEAD_SIZE, size - IPC_HEAD_SIZE};
    struct str name, value;
    if (fields == 0 || fields > IPC_FIELDS_MAX)
        return err_set(err, ERR_PROTOCOL, "malformed message: %u fields", fields);
    if (take_field(&rest, &name, &value) < 0 || !str_is(name, STR("verb")))
        return err_set(err, ERR_PROTOCOL, "malformed message: no verb");
    view_r->verb = value;
    view_r->fields = rest;
    while (--fields > 0)
        if (take_field(&rest, &name, &value) < 0)
            return err_set(err, ERR_PROTOCOL, "malformed message: a field is cut off");
    if (rest.len > 0)
        return err_set(err, ERR_PROTOCOL, "malformed message: bytes after the last field");
    view_r->id = get_u32(input.ptr + 8);
    view_r->fd = -1;
    *size_r = size;
    return 1;
}

// ---- Reading fields

bool ipc_next(const struct ipc_view *v, size_t *at, struct str *name_r, struct str *value_r)
{
    if (*at >= v->fields.len)
        return false;
    struct str rest = {v->fields.ptr + *at, v->fields.len - *at};
    if (take_field(&rest, name_r, value_r) < 0)
        return false;
    *at = v->fields.len - rest.len;
    return true;
}

bool ipc_get_str(const struct ipc_view *v, const char *name, struct str *value_r)
{
    struct str wanted = str_from(name), found;
    size_t at = 0;
    while (ipc_next(v, &at, &found, value_r))
        if (str_is(found, wanted))
            return true;
    *value_r = STR_NULL;
    return false;
}

bool ipc_get_int(const struct ipc_view *v, const char *name, int64_t *value_r)
{
    struct str text;
    return ipc_get_str(v, name, &text) && str_to_i64(text, value_r) == 0;
}

struct str ipc_str_or(const struct ipc_view *v, const char *name, struct str otherwise)
{
    struct str value;
    return ipc_get_str(v, name, &value) ? value : otherwise;
}

int64_t ipc_int_or(const struct ipc_view *v, const char *name, int64_t otherwise)
{
    int64_t value;
    return ipc_get_int(v, name, &value) ? value : otherwise;
}
