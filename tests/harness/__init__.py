# SPDX-License-Identifier: ISC
"""What the end-to-end tests and the measurements share: instances, sinks, a name server, clients.

Everything here uses the Python standard library only, listens on loopback only, bounds every wait, and ends what it
started by process id.
"""
from .accounts import Accounts, ensure_accounts
from .certificates import Authority, Leaf
from .client import Dialogue, make_message, smtp_send
from .databases import find_program
from .dns import DnsServer
from .dnssec import SignedDns, tlsa_line
from .flavour import Flavour, dromos_flavour, postfix_flavour, selected_flavour
from .instance import Instance, virtual_parameters
from .sink import Close, Hang, Received, Sink
from .waiting import WaitTimeout, free_port, is_listening, wait_until

__all__ = [
    "Accounts", "Authority", "Close", "Dialogue", "DnsServer", "Flavour", "Hang", "Instance", "Leaf", "Received", "SignedDns", "Sink", "WaitTimeout",
    "dromos_flavour", "ensure_accounts", "find_program", "free_port", "is_listening", "make_message", "postfix_flavour",
    "selected_flavour", "smtp_send", "tlsa_line", "virtual_parameters",
    "wait_until",
]
