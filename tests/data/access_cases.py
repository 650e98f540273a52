# SPDX-License-Identifier: ISC
"""The dialogues of compare_access.py: what the servers are told, and what the name server and the tables hold."""
from dataclasses import dataclass, field

MAIN = {
    "compatibility_level": "3.6",
    "smtpd_peername_lookup": "yes",
    "mynetworks": "127.0.0.0/8",
    "mydestination": "mx.test.example, test.example",
    "relay_domains": "relay.example",
    "relay_recipient_maps": "inline:{ known@relay.example=x }",
    "virtual_alias_domains": "alias.example",
    "virtual_alias_maps": "inline:{ known@alias.example=known@test.example }",
    "virtual_mailbox_domains": "box.example",
    "virtual_mailbox_maps": "inline:{ known@box.example=x }",
    "local_recipient_maps": "inline:{ known=x, r=x, user=x, postmaster=x }",
    "recipient_delimiter": "+",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_error_sleep_time": "0",
    "default_transport": "hold:",
    "defer_transports": "local virtual relay smtp hold",
    "inet_protocols": "all",
    "smtputf8_enable": "no",
    "disable_vrfy_command": "no",
    "smtpd_discard_ehlo_keywords": "chunking",
    "unknown_client_reject_code": "550",
    "smtp_host_lookup": "dns",
    "smtpd_restriction_classes": "class_reject, class_permit, class_nested, class_table",
    "class_reject": "reject",
    "class_permit": "permit",
    "class_nested": "check_sender_access @sender@, class_reject",
    "class_table": "check_recipient_access @rcpt@",
}

RECORDS = {
    ("1.2.0.192.in-addr.arpa", "PTR"): ["server.example"],
    ("10.2.0.192.in-addr.arpa", "PTR"): ["client.good.example"],
    ("client.good.example", "A"): ["192.0.2.10"],
    ("client.good.example", "MX"): [(10, "mx.good.example")],
    ("mx.good.example", "A"): ["198.51.100.25"],
    ("good.example", "NS"): ["ns.good.example"],
    ("ns.good.example", "A"): ["198.51.100.53"],
    ("good.example", "MX"): [(10, "mx.good.example")],
    ("12.2.0.192.in-addr.arpa", "PTR"): ["forged.bad.example"],
    ("forged.bad.example", "A"): ["192.0.2.200"],
    ("forged.bad.example", "MX"): [(10, "mx.bad.example")],
    ("bad.example", "NS"): ["ns.bad.example"],
    ("ns.bad.example", "A"): ["198.51.100.66"],
    ("13.2.0.192.in-addr.arpa", "PTR"): "SERVFAIL",
    ("14.2.0.192.in-addr.arpa", "PTR"): ["tempfail.example"],
    ("tempfail.example", "A"): "SERVFAIL",
    ("tempfail.example", "AAAA"): "SERVFAIL",
    ("tempfail.example", "MX"): "SERVFAIL",
    ("tempfail.example", "NS"): "SERVFAIL",
    ("sender.example", "MX"): [(10, "mx.sender.example"), (20, "mx2.sender.example")],
    ("mx.sender.example", "A"): ["198.51.100.26"],
    ("mx2.sender.example", "A"): ["203.0.113.9"],
    ("sender.example", "NS"): ["ns.sender.example"],
    ("ns.sender.example", "A"): ["198.51.100.54"],
    ("sender.example", "A"): ["198.51.100.80"],
    ("sub.sender.example", "A"): ["198.51.100.81"],
    ("null.example", "MX"): [(0, ".")],
    ("onlya.example", "A"): ["198.51.100.90"],
    ("onlyaaaa.example", "AAAA"): ["2001:db8::90"],
    ("onlytxt.example", "TXT"): ["text"],
    ("badmx.example", "MX"): [(10, "no-such-host.example")],
    ("literalmx.example", "MX"): [(10, "198.51.100.3")],
    ("helo.example", "A"): ["198.51.100.40"],
    ("helo.example", "MX"): [(10, "mx.helo.example")],
    ("mx.helo.example", "A"): ["198.51.100.41"],
    ("mail.elsewhere.example", "A"): ["198.51.100.99"],
    # DNS lists
    ("10.2.0.192.list.example", "A"): ["127.0.0.2"],
    ("10.2.0.192.list.example", "TXT"): ["listed: see http://list.example/10"],
    ("10.2.0.192.multi.example", "A"): ["127.0.0.4", "127.0.0.10"],
    ("10.2.0.192.temp.example", "A"): "SERVFAIL",
    ("10.2.0.192.allow.example", "A"): ["127.0.5.1"],
    ("10.2.0.192.texts.example", "A"): ["127.0.0.2"],
    ("10.2.0.192.texts.example", "TXT"): ["one", "two"],
    ("client.good.example.rhs.example", "A"): ["127.0.0.3"],
    ("sender.example.rhs.example", "A"): ["127.0.0.3"],
    ("sender.example.rhs.example", "TXT"): ["domain of spammers"],
    ("test.example.rhs.example", "A"): ["127.0.0.3"],
    ("helo.example.rhs.example", "A"): ["127.0.0.3"],
    ("forged.bad.example.rhs.example", "A"): ["127.0.0.3"],
    ("5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.example", "A"): ["127.0.0.2"],
    ("client.good.example.allow.example", "A"): ["127.0.5.1"],
}

TABLES = {
    "client": "good.example REJECT parent\n192.0.2.11 REJECT address\n192.0.2 4.7.9x\n2001:db8:0:1 REJECT net6\n",
    "net": "192.0 REJECT two octets\n2001:db8 REJECT six\n",
    "exact": "client.good.example 554 exact name\n192.0.2.11 OK\n",
    "dotted": ".good.example REJECT dotted\n",
    "helo": "helo.example REJECT helo\nexample REJECT tld\n[198.51.100.7] REJECT literal\n198.51.100.7 REJECT bare\n198.51 REJECT part\n",
    "sender": "s@sender.example REJECT full\nsender.example REJECT domain\nuser@ REJECT local\n<> REJECT null\nuser+ext@plus.example REJECT plus\n"
              "base@plus.example REJECT base\nparent.example REJECT parent\n",
    "rcpt": "known@test.example REJECT known\ntest.example DUNNO\nr@ REJECT r\n",
    "actions": "\n".join([
        "ok@a.example OK", "relay@a.example RELAY", "digits@a.example 12345", "dunno@a.example DUNNO", "reject@a.example REJECT",
        "rejecttext@a.example REJECT because I say so", "rejectdsn@a.example REJECT 5.7.9 with a code", "rejectdsn1@a.example REJECT 5.1.1 wrong kind",
        "rejectdsn4@a.example REJECT 4.7.9 wrong class", "lower@a.example reject lower case", "code4@a.example 450 try later",
        "code5@a.example 571 go away", "code5dsn@a.example 550 5.2.1 disabled", "code421@a.example 421 closing", "code521@a.example 521 no mail",
        "codebare@a.example 550", "code3@a.example 350 strange", "code7@a.example 5xx strange", "defer@a.example DEFER",
        "defertext@a.example DEFER not now", "deferpermit@a.example DEFER_IF_PERMIT", "deferpermittext@a.example DEFER_IF_PERMIT 4.2.2 later on",
        "deferreject@a.example DEFER_IF_REJECT", "deferrejecttext@a.example DEFER_IF_REJECT hm", "info@a.example INFO", "infotext@a.example INFO look here",
        "warn@a.example WARN", "warntext@a.example WARN look there", "hold@a.example HOLD", "holdtext@a.example HOLD suspicious",
        "discard@a.example DISCARD", "discardtext@a.example DISCARD gone", "filter@a.example FILTER smtp:[127.0.0.1]:9",
        "filterbad@a.example FILTER nonsense", "filterno@a.example FILTER", "redirect@a.example REDIRECT user@test.example",
        "redirectbad@a.example REDIRECT nobody", "redirectno@a.example REDIRECT", "bcc@a.example BCC user@test.example",
        "bccno@a.example BCC", "prepend@a.example PREPEND X-Test: value", "prependbad@a.example PREPEND no header", "prependno@a.example PREPEND",
        "list@a.example reject_unauth_pipelining, reject", "listpermit@a.example permit", "listclass@a.example class_reject",
        "listdefer@a.example defer_if_permit", "unknown@a.example NONSENSE", "unknowntext@a.example NONSENSE text", "colon@a.example hash:/nowhere",
        "opened@a.example check_recipient_access @rcpt@", "notopened@a.example check_recipient_access hash:/nowhere", "hangup@a.example HANGUP",
        "empty@a.example", "warnif@a.example warn_if_reject reject", "sleep@a.example sleep 0", "dunnotext@a.example DUNNO text", "oktext@a.example OK text",
        "rejectlong@a.example REJECT " + "x" * 600, "strip@a.example STRIP", "ignore@a.example IGNORE",
        "replace@a.example REPLACE x", "pass@a.example PASS", "delay@a.example DELAY 5", "permitnet@a.example permit_mynetworks, reject"]) + "\n",
    "addresses": "198.51.100.26 REJECT this mx\n198.51.100.25 REJECT that mx\n198.51.100.54 REJECT ns\n198.51.100.53 REJECT client ns\n198.51.100.80 REJECT a\n"
                 "198.51.100.41 REJECT helo mx\n198.51.100.40 REJECT helo a\n192.0.2.10 REJECT client a\nns.bad.example REJECT bad ns\nmx.bad.example REJECT bad mx\n192.0.2.200 REJECT forged a\n"
                 "198.51.100.90 REJECT only a\n",
    "addressok": "198.51.100.26 OK\n198.51.100.54 OK\n198.51.100.80 OK\n",
    "replies": "list.example $rbl_code 5.7.8 $rbl_class $rbl_what is in $rbl_domain: $rbl_txt ($client_address $sender $recipient $helo_name)\n"
               "multi.example 421 closing for $rbl_what\n",
    "dsn": "s@sender.example REJECT 5.1.1 one\nu@sender.example REJECT 5.1.3 three\n",
}


@dataclass
class Case:
    name: str
    options: dict
    client: str = "192.0.2.10"
    lines: list = field(default_factory=list)


CASES = []


def case(name, client="192.0.2.10", helo="helo.example", sender="s@sender.example", rcpt="known@test.example", then=(), **options):
    recipients = [rcpt] if isinstance(rcpt, str) else rcpt
    lines = [f"EHLO {helo}"] if helo else []
    lines += [f"MAIL FROM:<{sender}>"] + [f"RCPT TO:<{one}>" for one in recipients] + list(then) + ["QUIT"]
    CASES.append(Case(name, {f"smtpd_{key}" if key.split("_")[0] in ("client", "helo", "sender", "relay", "recipient", "data", "end", "etrn", "delay", "log", "null", "discard") else key: value
                             for key, value in options.items()}, client, lines))


R = "recipient_restrictions"

# ---- Lists and generic words
case("plain")
case("relay-denied", rcpt="x@elsewhere.example")
case("relay-defer", relay_restrictions="defer_unauth_destination", rcpt="x@elsewhere.example")
case("relay-percent", rcpt="x%elsewhere.example@test.example")
case("relay-bang", rcpt="elsewhere.example!x@test.example")
case("relay-at", rcpt="x@elsewhere.example@test.example")
case("relay-own-literal", rcpt="known@[192.0.2.1]")
case("relay-literal", rcpt="known@[198.51.100.1]")
case("relay-class", rcpt="known@relay.example")
case("relay-postmaster", rcpt="postmaster", client_restrictions="reject")
case("relay-code", rcpt="x@elsewhere.example", relay_domains_reject_code="571")
case("permit-auth-destination", relay_restrictions="permit_auth_destination, reject")
case("permit-auth-destination-not", relay_restrictions="permit_auth_destination, reject", rcpt="x@elsewhere.example")
for list_name in ("client", "helo", "sender", "relay", "recipient"):
    for word in ("reject", "defer", "defer_if_permit", "defer_if_reject, reject", "permit, reject", "class_reject", "class_permit, reject", "warn_if_reject reject",
                 "unknown_word", "reject_plaintext_session", "reject_unauth_pipelining", "REJECT", "warn_if_reject class_reject", "warn_if_reject defer_if_permit"):
        case(f"{list_name}-{word}".replace(" ", "-").replace(",", ""), **{f"{list_name}_restrictions": word + (", reject_unauth_destination" if list_name == "relay" else "")})
for list_name, stop in (("client", "reject"), ("client", "defer_if_permit"), ("client", "defer_if_reject, reject"), ("helo", "reject"), ("helo", "defer_if_permit"), ("sender", "reject"),
                        ("sender", "defer_if_permit"), ("client", "check_client_access @client@"), ("helo", "check_helo_access @helo@"),
                        ("sender", "check_sender_access @sender@"), ("client", "reject_plaintext_session"), ("sender", "defer_if_reject"), ("client", "check_sender_access @sender@")):
    case(f"early-{list_name}-{stop}".replace(" ", "-").replace(",", ""), delay_reject="no", **{f"{list_name}_restrictions": stop})
case("early-defer-then-reject", delay_reject="no", client_restrictions="defer_if_permit", recipient_restrictions="reject")
case("defer-if-permit-then-reject", client_restrictions="defer_if_permit", recipient_restrictions="reject")
case("defer-both", recipient_restrictions="defer_if_permit, defer_if_reject, reject")
case("defer-both-other", recipient_restrictions="defer_if_reject, defer_if_permit, reject")
case("defer-if-permit-unlisted", recipient_restrictions="defer_if_permit", rcpt="nobody@test.example")
case("defer-if-reject-unlisted", recipient_restrictions="defer_if_reject", rcpt="nobody@test.example")
case("defer-if-reject-relay", recipient_restrictions="defer_if_reject", rcpt="x@elsewhere.example")
case("defer-if-reject-then-4xx", recipient_restrictions="defer_if_reject, defer")
case("codes", recipient_restrictions="reject", reject_code="571")
case("codes-421", recipient_restrictions="reject", reject_code="421")
case("codes-521", recipient_restrictions="reject", reject_code="521")
case("codes-defer", recipient_restrictions="defer", defer_code="451")
case("soft-bounce", recipient_restrictions="reject", soft_bounce="yes")
case("missing-argument", recipient_restrictions="check_client_access")
case("missing-argument-rbl", recipient_restrictions="reject_rbl_client")
case("recipient-before-relay", relay_before_recipient_restrictions="no", recipient_restrictions="reject", rcpt="x@elsewhere.example")
case("many-recipients", rcpt=["known@test.example", "nobody@test.example", "known@relay.example", "x@elsewhere.example"])
case("data", data_restrictions="reject", then=["DATA"])
case("data-defer-if-permit", data_restrictions="defer_if_permit", then=["DATA"])
case("data-multi-bounce", data_restrictions="reject_multi_recipient_bounce", sender="", rcpt=["known@test.example", "user@test.example"], then=["DATA"])
case("data-one-bounce", data_restrictions="reject_multi_recipient_bounce", sender="", then=["DATA", "x\r\n."])
case("rcpt-multi-bounce", recipient_restrictions="reject_multi_recipient_bounce", sender="", rcpt=["known@test.example", "user@test.example"])
case("data-table", data_restrictions="check_sender_access @sender@", then=["DATA"])
case("data-bare-table", data_restrictions="@sender@", then=["DATA"])
case("data-recipient-one", data_restrictions="check_recipient_access @rcpt@", then=["DATA"])
case("data-recipient-two", data_restrictions="check_recipient_access @rcpt@", rcpt=["known@test.example", "user@test.example"], then=["DATA", "x\r\n."])
case("end", end_of_data_restrictions="reject", then=["DATA", "x\r\n."])
case("end-defer", end_of_data_restrictions="defer_if_permit", then=["DATA", "x\r\n."])
case("end-table", end_of_data_restrictions="check_sender_access @sender@", then=["DATA", "x\r\n."])
case("vrfy", recipient_restrictions="reject", then=["VRFY known@test.example"])
case("vrfy-ok", then=["VRFY known@test.example", "VRFY nobody@test.example", "VRFY x@elsewhere.example"])
case("bare-client-table", client_restrictions="@client@")
case("bare-helo-table", helo_restrictions="@helo@")
case("bare-sender-table", sender_restrictions="@sender@")
case("bare-recipient-table", recipient_restrictions="@rcpt@")
case("bare-relay-table", relay_restrictions="@rcpt@, reject_unauth_destination")
case("class-nested", recipient_restrictions="class_nested")
case("class-table", recipient_restrictions="class_table")

# ---- Keys
case("client-parent", client_restrictions="check_client_access @client@")
case("client-address", client="192.0.2.11", client_restrictions="check_client_access @client@")
case("client-net-odd", client="192.0.2.12", client_restrictions="check_client_access @client@")
case("client-net", client="192.0.2.12", client_restrictions="check_client_access @net@")
case("client-exact", client_restrictions="check_client_access @exact@")
case("client-dotted", client_restrictions="check_client_access @dotted@", parent_domain_matches_subdomains="")
case("client-dotted-not", client_restrictions="check_client_access @dotted@")
case("client-bare-not", client_restrictions="check_client_access @client@", parent_domain_matches_subdomains="")
case("client-six", client="2001:db8:0:1::25", client_restrictions="check_client_access @client@")
case("client-six-net", client="2001:db8:0:1::25", client_restrictions="check_client_access @net@")
case("client-cidr", client_restrictions="check_client_access cidr:{{192.0.2.0/24 REJECT cidr}}")
case("client-regexp", client_restrictions="check_client_access regexp:{{/^192/ REJECT address} {/good/ REJECT name $0}}")
case("client-pcre-parts", client_restrictions="check_client_access pcre:{{/^good/ REJECT parts} {/^(.*)$/ REJECT whole $1}}")
case("reverse", client="192.0.2.12", client_restrictions="check_reverse_client_hostname_access inline:{{bad.example=REJECT forged}}")
case("reverse-ok", client="192.0.2.12", client_restrictions="check_reverse_client_hostname_access inline:{bad.example=OK}, reject")
case("reverse-address", client="192.0.2.12", client_restrictions="check_reverse_client_hostname_access inline:{{192.0.2.12=REJECT address}}")
case("forged-name", client="192.0.2.12", client_restrictions="check_client_access inline:{{bad.example=REJECT forged} {unknown=REJECT unknown}}")
case("helo-exact", helo_restrictions="check_helo_access @helo@")
case("helo-parent", helo="x.y.example", helo_restrictions="check_helo_access @helo@")
case("helo-literal", helo="[198.51.100.7]", helo_restrictions="check_helo_access @helo@")
case("helo-numeric", helo="198.51.100.7", helo_restrictions="check_helo_access @helo@")
case("helo-numeric-part", helo="198.51.100.8", helo_restrictions="check_helo_access @helo@")
case("helo-none", helo="", helo_restrictions="check_helo_access @helo@, reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, reject_unknown_helo_hostname")
for sender in ("s@sender.example", "S@SENDER.Example", "other@sender.example", "x@sub.sender.example", "user@elsewhere.example", "", "user+ext@plus.example", "base+x@plus.example",
               "user+x@elsewhere.example", "x@y.parent.example", "user", '"quoted user"@sender.example', "user@[198.51.100.7]"):
    case(f"sender-key-{sender or 'null'}", sender=sender, sender_restrictions="check_sender_access @sender@")
case("sender-null-key", sender="", sender_restrictions="check_sender_access inline:{{none=REJECT none}}", null_access_lookup_key="none")
for rcpt in ("known@test.example", "r@relay.example", "r+x@test.example", "user+known@test.example", '"x y"@test.example'):
    case(f"rcpt-key-{rcpt}", rcpt=rcpt, recipient_restrictions="check_recipient_access @rcpt@")
case("table-error", recipient_restrictions="check_sender_access texthash:/nowhere/at/all")
case("table-error-warn", recipient_restrictions="warn_if_reject check_sender_access texthash:/nowhere/at/all")

# ---- Actions
for line in TABLES["actions"].splitlines():
    action = line.split("@", 1)[0]
    case(f"action-{action}", sender=f"{action}@a.example", recipient_restrictions="check_sender_access @actions@", then=["DATA", "x\r\n."])
for action in ("rejectdsn1", "defer", "deferreject", "hold", "info", "reject", "rejectdsn"):
    case(f"action-warn-{action}", sender=f"{action}@a.example", recipient_restrictions="warn_if_reject check_sender_access @actions@")
    case(f"action-rcpt-{action}", rcpt=f"{action}@a.example", relay_domains="a.example", relay_recipient_maps="", recipient_restrictions="check_recipient_access @actions@")
case("action-reject-codes", sender="reject@a.example", recipient_restrictions="check_sender_access @actions@", access_map_reject_code="571")
case("action-defer-codes", sender="defer@a.example", recipient_restrictions="check_sender_access @actions@", access_map_defer_code="451")
case("action-early", delay_reject="no", client_restrictions="check_client_access inline:{{192.0.2.10=HOLD}}")
case("action-early-prepend", delay_reject="no", helo_restrictions="check_helo_access inline:{{helo.example=PREPEND X-A: b}}")
case("action-early-info", delay_reject="no", helo_restrictions="check_helo_access inline:{{helo.example=INFO x}}")
case("action-early-mail", delay_reject="no", sender_restrictions="check_sender_access inline:{{sender.example=HOLD x}}")
case("action-data-hold", data_restrictions="check_sender_access inline:{{sender.example=HOLD x}}", then=["DATA", "x\r\n."])
case("action-end-hold", end_of_data_restrictions="check_sender_access inline:{{sender.example=HOLD x}}", then=["DATA", "x\r\n."])
case("action-end-prepend", end_of_data_restrictions="check_sender_access inline:{{sender.example=PREPEND X-A: b}}", then=["DATA", "x\r\n."])
case("action-end-discard", end_of_data_restrictions="check_sender_access inline:{{sender.example=DISCARD}}", then=["DATA", "x\r\n."])
case("discard-then-reject", sender_restrictions="check_sender_access inline:{{sender.example=DISCARD}}", recipient_restrictions="reject", rcpt=["known@test.example", "x@elsewhere.example"],
     then=["DATA", "x\r\n."])
case("log-permit", log_access_permit_actions="static:all", client_restrictions="check_client_access inline:{192.0.2.10=OK}", recipient_restrictions="permit")
case("log-permit-names", log_access_permit_actions="permit_auth_destination, check_sender_access", sender_restrictions="check_sender_access inline:{sender.example=OK}",
     relay_restrictions="permit_auth_destination, reject")
case("log-permit-digits", log_access_permit_actions="static:all", client_restrictions="check_client_access inline:{192.0.2.10=123}")
case("log-permit-discard", log_access_permit_actions="static:all", client_restrictions="check_client_access inline:{192.0.2.10=DISCARD}", then=["DATA", "x\r\n."])
case("log-permit-table", log_access_permit_actions="OK", client_restrictions="check_client_access inline:{192.0.2.10=permit}", recipient_restrictions="permit")
case("log-permit-mynetworks", client="127.0.0.1", mynetworks="192.0.2.0/24", log_access_permit_actions="static:all", recipient_restrictions="permit_mynetworks")
case("hangup-text", sender_restrictions="check_sender_access inline:{{sender.example=HANGUP with text}}")
case("etrn", etrn_restrictions="check_etrn_access inline:{{test.example=REJECT etrn}}", then=["ETRN test.example"])
case("etrn-reject", etrn_restrictions="reject", then=["ETRN test.example"])
case("etrn-hold", etrn_restrictions="check_etrn_access inline:{{test.example=HOLD}}, reject", then=["ETRN test.example"])
case("bdat", data_restrictions="reject", discard_ehlo_keywords="", then=["BDAT 3 LAST\r\nx\r"])
case("bdat-end", end_of_data_restrictions="reject", discard_ehlo_keywords="", then=["BDAT 3 LAST\r\nx\r"])
case("log-permit-class", log_access_permit_actions="static:all", recipient_restrictions="class_permit")
case("dsn-client", client_restrictions="check_client_access inline:{{192.0.2.10=REJECT 5.1.1 x}}")
case("dsn-sender", sender_restrictions="check_sender_access @dsn@")
case("dsn-sender-3", sender="u@sender.example", sender_restrictions="check_sender_access @dsn@")
case("dsn-rcpt-7", recipient_restrictions="check_recipient_access inline:{{test.example=REJECT 5.1.7 x}}")
case("dsn-rcpt-8", recipient_restrictions="check_recipient_access inline:{{test.example=REJECT 5.1.8 x}}")

# ---- Client names
case("unknown-client", client="192.0.2.11", client_restrictions="reject_unknown_client_hostname")
case("unknown-client-good", client_restrictions="reject_unknown_client_hostname")
case("unknown-client-forged", client="192.0.2.12", client_restrictions="reject_unknown_client_hostname")
case("unknown-client-temp", client="192.0.2.13", client_restrictions="reject_unknown_client_hostname")
case("unknown-client-temp-forward", client="192.0.2.14", client_restrictions="reject_unknown_client_hostname")
case("unknown-reverse", client="192.0.2.11", client_restrictions="reject_unknown_reverse_client_hostname")
case("unknown-reverse-forged", client="192.0.2.12", client_restrictions="reject_unknown_reverse_client_hostname")
case("unknown-reverse-temp", client="192.0.2.13", client_restrictions="reject_unknown_reverse_client_hostname")
case("inet-interfaces", client="192.0.2.1", recipient_restrictions="permit_inet_interfaces, reject")
case("inet-interfaces-not", recipient_restrictions="permit_inet_interfaces, reject")
case("tls-sasl-words", recipient_restrictions="permit_sasl_authenticated, permit_tls_clientcerts, permit_tls_all_clientcerts, check_ccert_access @client@, check_sasl_access @client@, reject")

# ---- HELO names
HELOS = ["helo.example", "localhost", "x", "[198.51.100.1]", "[IPv6:2001:db8::1]", "[2001:db8::1]", "198.51.100.1", "[300.1.1.1]", "[x]", "-x.example", "x-.example", "x_y.example", "a..b",
         ".example", "example.", "x.y.", "2001:db8::1", "x" * 70 + ".example", "[198.51.100.1", "1.2", "host.123", "a.b.c.d.e.f", "nosuch.example", "onlyaaaa.example", "tempfail.example",
         "onlytxt.example", "null.example", "under_score", "xn--bcher-kva.example", "[]", "[IPv6:x]"]
for helo in HELOS:
    for word in ("invalid", "non_fqdn", "unknown"):
        case(f"helo-{word}-{helo[:40]}", helo=helo, helo_restrictions=f"reject_{word}_helo_hostname")
case("helo-codes", helo="x", helo_restrictions="reject_non_fqdn_helo_hostname", non_fqdn_reject_code="550")
case("helo-invalid-code", helo="-x", helo_restrictions="reject_invalid_helo_hostname", invalid_hostname_reject_code="550")
case("helo-unknown-code", helo="nosuch.example", helo_restrictions="reject_unknown_helo_hostname", unknown_hostname_reject_code="550")
case("helo-unknown-temp-defer", helo="tempfail.example", helo_restrictions="reject_unknown_helo_hostname", unknown_helo_hostname_tempfail_action="defer")
case("helo-unknown-temp-action", helo="tempfail.example", helo_restrictions="reject_unknown_helo_hostname", unknown_helo_hostname_tempfail_action="nonsense")
case("helo-unknown-temp-reject", helo="tempfail.example", helo_restrictions="reject_unknown_helo_hostname, reject")

# ---- Addresses
for sender in ("s@sender.example", "x@localhost", "user", "x@nosuch.example", "x@onlya.example", "x@onlyaaaa.example", "x@onlytxt.example", "x@null.example", "x@badmx.example", "x@tempfail.example",
               "x@[198.51.100.1]", "x@test.example", "x@relay.example", "x@literalmx.example", "", "x@under_score.example", "x@sender.example."):
    case(f"sender-fqdn-{sender or 'null'}", sender=sender, sender_restrictions="reject_non_fqdn_sender")
    case(f"sender-domain-{sender or 'null'}", sender=sender, sender_restrictions="reject_unknown_sender_domain")
for rcpt in ("known@test.example", "known", "x@localhost", "x@nosuch.example", "x@onlya.example", "x@null.example", "x@tempfail.example", "x@[198.51.100.1]", "x@relay.example", "x@onlytxt.example"):
    case(f"rcpt-fqdn-{rcpt}", client="127.0.0.1", rcpt=rcpt, recipient_restrictions="reject_non_fqdn_recipient", mynetworks="192.0.2.0/24")
    case(f"rcpt-domain-{rcpt}", client="192.0.2.10", rcpt=rcpt, recipient_restrictions="reject_unknown_recipient_domain", mynetworks="192.0.2.0/24")
case("sender-domain-code", sender="x@nosuch.example", sender_restrictions="reject_unknown_sender_domain", unknown_address_reject_code="550")
case("sender-domain-temp-reject", sender="x@tempfail.example", sender_restrictions="reject_unknown_sender_domain, reject")
case("sender-domain-temp-defer", sender="x@tempfail.example", sender_restrictions="reject_unknown_sender_domain", unknown_address_tempfail_action="defer")
case("sender-domain-warn", sender="x@nosuch.example", sender_restrictions="warn_if_reject reject_unknown_sender_domain")
for rcpt in ("nobody@test.example", "nobody@relay.example", "nobody@alias.example", "nobody@box.example", "known@alias.example", "known@box.example", "MAILER-DAEMON@test.example"):
    case(f"unlisted-{rcpt}", rcpt=rcpt)
    case(f"unlisted-word-{rcpt}", rcpt=rcpt, recipient_restrictions="reject_unlisted_recipient, reject", show_user_unknown_table_name="no")

# ---- Servers of a domain
for kind in ("a", "mx", "ns"):
    for subject in ("client", "reverse_client_hostname", "helo", "sender", "recipient"):
        word = f"check_{subject}_{kind}_access"
        case(f"{word}", recipient_restrictions=f"{word} @addresses@", sender="x@sender.example", mynetworks="192.0.2.0/24", rcpt="known@good.example" if subject == "recipient" else "known@test.example")
        case(f"{word}-ok", recipient_restrictions=f"{word} @addressok@, reject", sender="x@sender.example")
        case(f"{word}-forged", client="192.0.2.12", helo="tempfail.example", recipient_restrictions=f"{word} @addresses@", sender="x@tempfail.example")
for sender in ("x@sub.sender.example", "x@onlya.example", "x@null.example", "x@badmx.example", "x@nosuch.example", "x@[198.51.100.26]", "x@literalmx.example", "user", ""):
    for kind in ("a", "mx", "ns"):
        case(f"sender-{kind}-{sender or 'null'}", sender=sender, sender_restrictions=f"check_sender_{kind}_access @addresses@")

# ---- DNS lists
case("rbl", recipient_restrictions="reject_rbl_client list.example")
case("rbl-old-name", recipient_restrictions="reject_rbl list.example")
case("rbl-not", client="192.0.2.11", recipient_restrictions="reject_rbl_client list.example")
case("rbl-temp", recipient_restrictions="reject_rbl_client temp.example")
case("rbl-texts", recipient_restrictions="reject_rbl_client texts.example")
for pattern in ("127.0.0.4", "127.0.0.[4]", "127.0.0.[1..3;9..10]", "127.0.0.[1..3]", "127.0.0.5", "127.0.[0..255].10", "[127].0.0.4", "127.0.0", "127.0.0.", "127.0.0.[", "127.0.0.[9..4]", "127.0.0.999", "x",
                "127.0.0.4.5", "127.0.0.*", "127.0.0.[4;]", "[127..127].0.0.[4..4]"):
    case(f"rbl-filter-{pattern}", recipient_restrictions=f"reject_rbl_client multi.example={pattern}")
case("rbl-code", recipient_restrictions="reject_rbl_client list.example", maps_rbl_reject_code="571")
case("rbl-reply", recipient_restrictions="reject_rbl_client list.example", default_rbl_reply="$rbl_code $rbl_class/$rbl_what/$rbl_domain/$rbl_reason/$rbl_txt/$client_name/${client_address}/$(helo_name)/"
     "$sender_name/$sender_domain/$recipient_name/$recipient_domain/$server_name/$client/$reverse_client_name/${rbl_reason?yes}${rbl_reason:no}")
case("rbl-reply-bad", recipient_restrictions="reject_rbl_client list.example", default_rbl_reply="no code here")
case("rbl-reply-200", recipient_restrictions="reject_rbl_client list.example", default_rbl_reply="250 fine")
case("rbl-reply-filter", recipient_restrictions="reject_rbl_client list.example", default_rbl_reply="$rbl_code $sender $unknown_name", expansion_filter="abc")
case("rbl-reply-smtpd-filter", recipient_restrictions="reject_rbl_client list.example", smtpd_expansion_filter="sender@")
case("rbl-reply-maps", recipient_restrictions="reject_rbl_client list.example", rbl_reply_maps="@replies@")
case("server-a-name", recipient_restrictions="check_sender_a_access inline:{{sender.example=REJECT name}}")
case("rbl-reply-maps-whole", recipient_restrictions="reject_rbl_client multi.example=127.0.0.4", rbl_reply_maps="inline:{{multi.example=127.0.0.4=554 whole}}")
case("rbl-reply-maps-filter", recipient_restrictions="reject_rbl_client multi.example=127.0.0.4", rbl_reply_maps="@replies@")
case("rbl-six", client="2001:db8:0:1::25", recipient_restrictions="reject_rbl_client list.example")
case("rhsbl-client", recipient_restrictions="reject_rhsbl_client rhs.example")
case("rhsbl-client-unknown", client="192.0.2.11", recipient_restrictions="reject_rhsbl_client rhs.example")
case("rhsbl-reverse", client="192.0.2.12", recipient_restrictions="reject_rhsbl_reverse_client rhs.example")
case("rhsbl-helo", recipient_restrictions="reject_rhsbl_helo rhs.example")
case("rhsbl-sender", recipient_restrictions="reject_rhsbl_sender rhs.example")
case("rhsbl-sender-null", sender="", recipient_restrictions="reject_rhsbl_sender rhs.example")
case("rhsbl-recipient", recipient_restrictions="reject_rhsbl_recipient rhs.example")
case("rhsbl-filter", recipient_restrictions="reject_rhsbl_sender rhs.example=127.0.0.9")
case("dnswl", recipient_restrictions="permit_dnswl_client allow.example=127.0.[0..255].[1..3], reject")
case("dnswl-relay", recipient_restrictions="permit_dnswl_client allow.example, reject", relay_restrictions="permit_dnswl_client allow.example, reject_unauth_destination", rcpt="x@elsewhere.example")
case("dnswl-not", recipient_restrictions="permit_dnswl_client list2.example, reject")
case("dnswl-temp", recipient_restrictions="permit_dnswl_client temp.example, reject")
case("dnswl-temp-permit", recipient_restrictions="permit_dnswl_client temp.example")
case("rhswl", recipient_restrictions="permit_rhswl_client allow.example, reject")
case("dnswl-client-list", client_restrictions="permit_dnswl_client allow.example, reject")
case("rbl-warn", recipient_restrictions="warn_if_reject reject_rbl_client list.example, permit")
case("rbl-early", delay_reject="no", client_restrictions="reject_rbl_client list.example")
case("maps-rbl", recipient_restrictions="reject_maps_rbl", maps_rbl_domains="list.example")
case("mx-backup", recipient_restrictions="permit_mx_backup, reject", relay_restrictions="permit_mx_backup, reject_unauth_destination", rcpt="x@elsewhere.example")
case("login-mismatch", sender_restrictions="reject_sender_login_mismatch, reject_known_sender_login_mismatch", smtpd_sender_login_maps="inline:{s@sender.example=joe}")
case("unauthenticated-login-mismatch", sender_restrictions="reject_unauthenticated_sender_login_mismatch", smtpd_sender_login_maps="inline:{s@sender.example=joe}")
