# SPDX-License-Identifier: ISC
"""The harness itself: a sink and a name server that lie would hide faults elsewhere."""
import smtplib
import socket
import struct

from harness import Dialogue, make_message


def test_sink_records_envelope_and_content(sink):
    one = sink()
    data = make_message(body="line\n.dot\n..two\n")
    with smtplib.SMTP("127.0.0.1", one.port) as session:
        session.sendmail("a@x.example", ["b@y.example", "c@y.example"], data, ["SIZE=100"])
    (message,) = one.wait(1)
    assert message.sender == "a@x.example"
    assert "SIZE=100" in message.mail_options
    assert message.recipients == ["b@y.example", "c@y.example"]
    assert message.data == data


def test_sink_follows_its_script(sink):
    one = sink()
    one.on("rcpt", "450 4.2.0 later", times=1)
    with Dialogue("127.0.0.1", one.port, ehlo="me.example") as talk:
        talk.expect("MAIL FROM:<>", 250)
        talk.expect("RCPT TO:<a@b.example>", 450)
        talk.expect("RCPT TO:<a@b.example>", 250)
        talk.expect("RSET", 250)


def test_sink_takes_a_message_sent_in_single_bytes(sink):
    one = sink()
    with Dialogue("127.0.0.1", one.port, ehlo="me.example") as talk:
        talk.envelope("a@x.example", "b@y.example")
        for byte in b"S: x\r\n\r\n..a\r\n.\r\n":
            talk.send(bytes([byte]))
        assert talk.reply()[0] == 250
    assert one.wait(1)[0].data == b"S: x\r\n\r\n.a\r\n"


def test_name_server_answers_and_refuses(dns):
    server = dns({("a.example", "A"): ["127.0.0.9"], ("dead.example", "MX"): "SERVFAIL"})

    def ask(name, number):
        query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0)
        for label in name.split("."):
            query += bytes([len(label)]) + label.encode()
        query += b"\0" + struct.pack("!HH", number, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(query, ("127.0.0.1", server.port))
            return client.recv(512)

    assert ask("a.example", 1).endswith(socket.inet_aton("127.0.0.9"))
    assert ask("dead.example", 15)[3] & 15 == 2
    assert ask("nowhere.example", 1)[3] & 15 == 3
