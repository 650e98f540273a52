// SPDX-License-Identifier: ISC
// address.h: mail addresses: SMTP paths, internal and external (quoted) forms, header address lists (RFC 5321, 5322,
// 6531).
//
// Internal form is unquoted (`a b@c`), as in queue files; external form is quoted where the grammar wants it. Pure: no
// I/O.
#ifndef DROMOS_MAIL_ADDRESS_H
#define DROMOS_MAIL_ADDRESS_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define ADDRESS_MAX        2048 // bytes of any address we accept
#define ADDRESS_LOCAL_MAX  1024 // lenient, as Postfix: RFC 5321's 64 is not enforced
#define ADDRESS_DOMAIN_MAX 255

// An SMTP path as it stands after MAIL FROM: or RCPT TO: ("<a@b>", "<>", "<@x,@y:a@b>", `<"q s"@b>`, and a bare a@b
// unless strict). *address_r is the internal form in `arena` (source route dropped); *rest_r what follows (the
// parameters). 0 or -1.
int address_parse_path(struct str text, bool is_strict, struct arena *arena, struct str *address_r, struct str *rest_r);
bool address_is_sane(
    struct str internal); // no control characters, balanced length limits; "" is the null sender and sane

struct str address_local(struct str internal);  // before the last @ (all of it without one)
struct str address_domain(struct str internal); // after the last @; "" without one
// Splits user+ext with Postfix's rules (first delimiter character, never at position 0; owner-/‑request and special
// names kept whole). Extension without delimiter; .ptr NULL when none.
void address_split_extension(struct str local, struct str delimiters, struct str *user_r, struct str *extension_r);
void address_add_external(struct buf *b, struct str internal); // quoted as RFC 5321 wants: what goes on the wire
void address_add_log(struct buf *b, struct str internal);      // external form, printable: what goes in logs
struct str address_lower_domain(struct arena *arena, struct str internal);
bool address_domain_is_valid(struct str domain);   // host name syntax (ASCII or UTF-8 labels), 255/63 limits
bool address_domain_is_literal(struct str domain); // [1.2.3.4] or [IPv6:…], syntactically right
// IDNA (libidn2): 0 and the ASCII (A-label) form, or -1.
int address_domain_to_ascii(struct str domain, struct arena *arena, struct str *ascii_r);

// A header or command-line address list ("Joe <a@b>, c@d, Group: x@y;"); blanks alone separate too, where no <...>
// follows ("a b"). Each result is in internal form.
struct address_list {
    struct str *items;
    size_t count;
};
#define ADDRESS_LIST_MAX 50000
int address_list_parse(struct str text, struct arena *arena, struct address_list *list_r, struct err *err);

// The same one address at a time, with its place in the text, so that it can be replaced there.
struct address_scan {
    struct str text;
    size_t at;
    size_t structure_at; // the next , ; < or : known
    bool has_phrase;     // it is < or :, so the words before it are a name
};
struct address_span {
    size_t from, to;    // of the addr-spec: between < and >, or the bare words
    bool is_angle;      // it stands between < and >
    bool is_valid;      // false: not an address; `address` is then ""
    struct str address; // internal form, in the arena; "" also for <>
};
void address_scan_init(struct address_scan *scan, struct str text);                                 // borrows text
int address_scan_next(struct address_scan *scan, struct arena *arena, struct address_span *span_r); // 1, 0 end

// xtext (RFC 3461) for ENVID and ORCPT.
int address_xtext_decode(struct str text, struct arena *arena, struct str *out_r);
// The same with \x{HEX} for characters beyond ASCII, as utf-8 addresses have it (RFC 6533 3); such characters may stand
// there as well.
int address_unitext_decode(struct str text, struct arena *arena, struct str *out_r);
void address_xtext_add(struct buf *b, struct str text);

#endif
