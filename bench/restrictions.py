# SPDX-License-Identifier: ISC
"""The recipient restrictions under which sessions are refused: a short list, and one as it grows over the years."""

BUILT_IN = ("reject_non_fqdn_sender", "reject_non_fqdn_recipient", "reject_invalid_helo_hostname", "reject_non_fqdn_helo_hostname",
            "reject_unauth_pipelining")
LAST = ("permit_mynetworks", "reject")

# master.cf wants a brace that is no end of an option doubled.
SHORT = ", ".join(BUILT_IN + (
    "check_client_access cidr:{{192.0.2.0/24 REJECT}}", "check_helo_access inline:{{bad.example=REJECT}}",
    "check_sender_access inline:{{bad.example=REJECT}}", "check_recipient_access inline:{{refused@virt.example=REJECT}}") + LAST)


def _networks(count, second):
    return "".join(f"10.{second}.{i // 256}.{i % 256}/32 REJECT listed\n" for i in range(count))


def _names(count, pattern):
    return "".join(pattern.format(i) for i in range(count))


def long_list(instance):
    """Fifty lookups and checks, before the one that refuses: networks, dial-up names, forged HELO names, senders, recipients.
    The tables are files of kinds that both systems have built in; nothing asks a name server."""
    checks = []
    for part in range(5):
        checks.append("check_client_access " + instance.table(f"networks{part}", _networks(200, part), "cidr"))
    for part in range(5):
        names = instance.table(f"names{part}", _names(500, f"host{{}}.part{part}.example REJECT\n"), "hash")
        checks += [f"check_client_access {names}", f"check_helo_access {names}", f"check_sender_access {names}"]
        senders = instance.table(f"senders{part}", _names(2000, f"sender{{}}@part{part}.example REJECT\n"), "hash")
        checks += [f"check_sender_access {senders}", f"check_recipient_access {senders}"]
    for part in range(5):
        patterns = instance.table(f"patterns{part}", _names(40, rf"/^dyn{{}}-[0-9]+-part{part}\.example$/ REJECT dial-up" + "\n"), "regexp")
        checks += [f"check_client_access {patterns}", f"check_helo_access {patterns}"]
    refused = instance.table("refused", "refused@virt.example REJECT\n", "hash")
    return ", ".join(BUILT_IN + tuple(checks) + (f"check_recipient_access {refused}",) + LAST)
