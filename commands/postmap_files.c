// SPDX-License-Identifier: ISC
// postmap_files.c: values that are the contents of files, stored in base64 (postmap -F).
#include <openssl/evp.h>

#include "commands/postmap.h"
#include "lib/sys/sys.h"

int postmap_encode_files(struct str names, struct buf *out, struct err *err)
{
    struct buf all = BUF_INIT, path = BUF_INIT;
    struct str name;
    int status = 0;

    while (status == 0 && str_token(&names, ", \t\r\n", &name)) {
        buf_clear(&path);
        buf_add_str(&path, name);
        if (all.len > 0)
            buf_add_char(&all, '\n');
        status = sys_read_file(buf_cstr(&path), TABLE_VALUE_MAX / 2, &all, err);
    }
    if (status == 0 && all.len > TABLE_VALUE_MAX / 2)
        status = err_set(err, ERR_PERMANENT, "the files are larger than %d bytes", TABLE_VALUE_MAX / 2);
    if (status == 0) {
        size_t room = (all.len + 2) / 3 * 4 + 1;
        unsigned char *text = mem_alloc(room);
        int len = EVP_EncodeBlock(text, (const unsigned char *)buf_cstr(&all), (int)all.len);
        buf_add(out, text, (size_t)len);
        mem_free(text);
    }
    buf_wipe(&all); // may be private keys
    buf_release(&path);
    return status;
}

int postmap_decode(struct str text, struct buf *out, struct err *err)
{
    if (text.len % 4 != 0 || text.len > TABLE_VALUE_MAX)
        return err_set(err, ERR_PERMANENT, "the value is not base64: was the table built with -F?");
    unsigned char *data = mem_alloc(text.len / 4 * 3 + 1);
    int len = EVP_DecodeBlock(data, (const unsigned char *)text.ptr, (int)text.len);
    size_t padding = str_ends(text, STR("==")) ? 2 : str_ends(text, STR("=")) ? 1 : 0;
    if (len >= 0)
        buf_add(out, data, (size_t)len - (padding <= (size_t)len ? padding : 0));
    mem_free(data);
    return len < 0 ? err_set(err, ERR_PERMANENT, "the value is not base64: was the table built with -F?") : 0;
}
