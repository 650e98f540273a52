// SPDX-License-Identifier: ISC
// postdrop.h: the parts of postdrop: what may stand in a submission, and who may submit as whom.
#ifndef DROMOS_COMMANDS_POSTDROP_H
#define DROMOS_COMMANDS_POSTDROP_H

#include "lib/base/err.h"
#include "lib/conf/settings.h"
#include "lib/mail/queue_record.h"

// Bits of the answer's "status"; 0 is success.
enum postdrop_status { POSTDROP_BAD = 1, POSTDROP_WRITE = 2, POSTDROP_SIZE = 4, POSTDROP_DENIED = 512 };

enum postdrop_segment { POSTDROP_ENVELOPE, POSTDROP_CONTENT, POSTDROP_EXTRACTED, POSTDROP_DONE };

struct postdrop_input {
    enum postdrop_segment segment;
    bool has_sender, has_recipient;
    int64_t content_size, content_limit; // bytes of text; limit 0: none
    struct buf sender;                   // of the last S record
    bool is_new_sender;                  // the record just taken was an S: the caller checks and clears
    unsigned ignored_attributes;
};
void postdrop_input_init(struct postdrop_input *in, int64_t content_limit);
void postdrop_input_release(struct postdrop_input *in);
// Checks one record and adds what is to be stored to `out`. 0, or a postdrop_status bit with err filled. The segment is
// POSTDROP_DONE after a valid end record.
int postdrop_input_take(struct postdrop_input *in, const struct record *r, struct buf *out, struct err *err);

// 0 allowed; POSTDROP_DENIED: not; POSTDROP_WRITE: a table could not be asked. login may be "" (no account).
int postdrop_may_submit(const struct settings *s, struct str login, long uid, struct err *err);
int postdrop_may_send_as(const struct settings *s, struct str login, long uid, struct str sender, struct err *err);

#endif
