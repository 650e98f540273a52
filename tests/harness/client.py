# SPDX-License-Identifier: ISC
"""Clients: a raw dialogue for what a library would not say, and smtplib for the rest."""
import email.message
import email.policy
import smtplib
import socket


class Dialogue:
    """A TCP connection on which a test says bytes and reads replies. Every wait is bounded by `timeout`."""

    def __init__(self, host, port, timeout=20.0, greet=True, ehlo=None, source=None):
        self.socket = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.greeting = self.reply() if greet else None
        self.ehlo_reply = self.command(f"EHLO {ehlo}") if ehlo else None

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        """One line without its end; b"" with is_closed set when the peer closed."""
        while b"\n" not in self.buffer:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionResetError("peer closed the connection")
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def reply(self):
        """(code, text of all lines joined by newlines)."""
        lines = []
        while True:
            line = self.line().decode("utf-8", "replace")
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(lines)

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def command(self, text):
        self.send(text if isinstance(text, bytes) else text.encode() + b"\r\n")
        return self.reply()

    def expect(self, text, code):
        got = self.command(text)
        assert got[0] == code, f"{text!r}: expected {code}, got {got}"
        return got[1]

    def envelope(self, sender, *recipients):
        """MAIL, RCPT and DATA, each expected to succeed."""
        self.expect(f"MAIL FROM:<{sender}>", 250)
        for recipient in recipients:
            self.expect(f"RCPT TO:<{recipient}>", 250)
        self.expect("DATA", 354)

    def is_closed(self, timeout=5.0):
        """Whether the peer closes the connection within timeout (bytes it sends before are kept)."""
        self.socket.settimeout(timeout)
        try:
            while True:
                chunk = self.socket.recv(65536)
                if not chunk:
                    return True
                self.buffer += chunk
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def make_message(sender="sender@client.example", recipient="user@test.example", subject="test", body="Hello.\n",
                 size=None, **headers):
    """A message as bytes with CRLF ends; with size, the body is filled up to about that many bytes."""
    message = email.message.EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    if size:
        line = "0123456789abcdefghijklmnopqrstuvwxyz 0123456789abcdefghijklmnop\n"
        body += line * max(0, (size - len(body)) // len(line))
    message.set_content(body)
    return message.as_bytes(policy=email.policy.SMTP)


def smtp_send(instance_or_port, sender="sender@client.example", recipients=("user@test.example",), message=None,
              mail_options=(), rcpt_options=(), **headers):
    """Sends one message with smtplib and returns the refused recipients (empty when all were taken)."""
    port = getattr(instance_or_port, "port", instance_or_port)
    if isinstance(recipients, str):
        recipients = [recipients]
    if message is None:
        message = make_message(sender or "MAILER-DAEMON@client.example", recipients[0], **headers)
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=30) as session:
        return session.sendmail(sender, list(recipients), message, list(mail_options), list(rcpt_options))
