// SPDX-License-Identifier: ISC
// postcat_show.c: one queue file, record by record.
// Trust: the file may be garbage. Limits: POINTERS_MAX jumps.
#include <stdio.h>

#include "commands/postcat.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/header.h"
#include "lib/mail/queue_file.h"

enum { POINTERS_MAX = 100000 };
enum part { IN_ENVELOPE, IN_HEADER, IN_BODY };

struct show {
    const struct postcat_options *options;
    const char *name;
    struct record_walk *walk;
    enum part part;
    bool in_line; // what was printed last has no line end yet
    unsigned jumps;
};

static void print_prefix(const struct show *s, const struct record *r)
{
    if (s->options->prefixes_name && !s->in_line)
        printf("%s: ", s->name);
    if (s->options->shows_offsets)
        printf("%9lu ", (unsigned long)r->offset);
    if (s->options->shows_types)
        printf("%3d ", (unsigned char)r->type);
}

static void end_line(struct show *s)
{
    if (s->in_line)
        putchar('\n');
    s->in_line = false;
}

static void print_title(struct show *s, const struct record *r, const char *title)
{
    end_line(s);
    if ((s->options->parts & POSTCAT_ENVELOPE) == 0)
        return;
    print_prefix(s, r);
    printf("*** %s %s ***\n", title, s->name);
}

static void print_text(struct str text)
{
    fwrite(text.ptr, 1, text.len, stdout);
}

static void print_time(const char *label, struct str text)
{
    struct str rest = text, word = STR("");
    struct buf time_text = BUF_INIT;
    int64_t when;
    if (!str_token(&rest, " ", &word) || str_to_i64(word, &when) < 0) {
        printf("%s: " STR_FMT "\n", label, STR_ARG(text));
        return;
    }
    clock_add_asctime(&time_text, when);
    printf("%s: %s\n", label, buf_cstr(&time_text));
    buf_release(&time_text);
}

static void print_envelope(struct show *s, const struct record *r)
{
    const char *label = queue_record_name(r->type);
    end_line(s);
    if ((s->options->parts & POSTCAT_ENVELOPE) == 0)
        return;
    print_prefix(s, r);
    if (r->type == REC_TIME || r->type == REC_WARN) {
        print_time(label, r->data);
    } else if (r->type == REC_ATTR && str_starts(r->data, STR("create_time="))) {
        print_time("create_time", str_slice(r->data, strlen("create_time="), r->data.len));
    } else {
        printf("%s: ", label != NULL ? label : "unknown_record");
        print_text(r->data);
        putchar('\n');
    }
}

// ---- Content

// A line that is neither a header nor continues one begins the body.
static void notice_body(struct show *s, struct str line)
{
    struct str name, value;
    if (s->part == IN_ENVELOPE)
        s->part = IN_HEADER; // -s began in the middle
    if (s->part == IN_HEADER && !s->in_line && !header_is_continuation(line) && !header_split(line, &name, &value))
        s->part = IN_BODY;
}

static void print_content(struct show *s, const struct record *r, bool *in_source_line)
{
    bool is_whole = r->type != REC_CONT;
    if (!*in_source_line)
        notice_body(s, r->data);
    *in_source_line = !is_whole;
    if ((s->options->parts & (s->part == IN_HEADER ? POSTCAT_HEADER : POSTCAT_BODY)) == 0)
        return;
    print_prefix(s, r);
    if (s->options->is_verbose) {
        printf("%s: ", r->type == REC_CONT ? "unterminated_text" : queue_record_name(r->type));
        print_text(r->data);
        putchar('\n');
        return;
    }
    print_text(r->data);
    s->in_line = !is_whole && !s->options->shows_offsets; // with offsets each record has a line
    if (!s->in_line)
        putchar('\n');
}

// ---- The file

static void follow_pointer(struct show *s, const struct record *r)
{
    int64_t target;
    if (s->options->is_verbose || s->options->is_raw)
        print_envelope(s, r);
    if (s->options->is_raw)
        return;
    if (str_to_i64(str_trim(r->data), &target) < 0 || target < 0)
        die("%s: malformed pointer record at offset %lld", s->name, (long long)r->offset);
    if (++s->jumps > POINTERS_MAX)
        die("%s: the pointer records form a loop", s->name);
    if (target > 0)
        record_walk_seek(s->walk, target);
}

// False: the end record.
static bool show_record(struct show *s, const struct record *r, bool *in_source_line)
{
    bool is_content = s->part != IN_ENVELOPE || r->type == REC_NORM;
    switch (r->type) {
    case REC_MESSAGE:
        print_title(s, r, "MESSAGE CONTENTS");
        s->part = IN_HEADER;
        return true;
    case REC_EXTRACTED:
        print_title(s, r, "HEADER EXTRACTED");
        s->part = IN_ENVELOPE;
        return true;
    case REC_END:
        print_title(s, r, "MESSAGE FILE END");
        return false;
    case REC_POINTER:
        follow_pointer(s, r);
        return true;
    case REC_NORM:
    case REC_CONT:
        if (is_content)
            print_content(s, r, in_source_line);
        else
            print_envelope(s, r);
        return true;
    case REC_PAD:
        if (s->options->is_verbose)
            print_envelope(s, r);
        return true;
    default:
        print_envelope(s, r);
        return true;
    }
}

static bool may_begin_file(char type)
{
    return type == REC_SIZE || type == REC_TIME || type == REC_FULLNAME || type == REC_CREATE || type == REC_ATTR;
}

int postcat_show(int fd, const char *name, const struct postcat_options *options)
{
    struct show s = {.options = options, .name = name};
    struct record record;
    struct err err = ERR_INIT;
    bool in_source_line = false, is_first = options->skip == 0;
    int rc = 1;
    s.walk = record_walk_open(fd, options->skip, false, &err);
    while (s.walk != NULL && (rc = record_walk_next(s.walk, &record, &err)) > 0) {
        if (is_first && !may_begin_file(record.type)) {
            rc = -1;
            break;
        }
        if (is_first && (options->parts & POSTCAT_ENVELOPE))
            printf("*** ENVELOPE RECORDS %s ***\n", name);
        is_first = false;
        if (!show_record(&s, &record, &in_source_line))
            break;
    }
    end_line(&s);
    record_walk_close(s.walk);
    if (is_first) {
        log_warn("%s: input is not a valid queue file", name);
        return 0;
    }
    if (rc < 0)
        die("%s: %s", name, err.text);
    return 0;
}
