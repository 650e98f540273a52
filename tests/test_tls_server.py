# SPDX-License-Identifier: ISC
"""TLS of the SMTP server: levels, wrapper mode, certificates and names, client certificates, resumption, renewal, hostile peers."""
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

from harness import Dialogue, ensure_accounts, free_port, is_listening, make_message, postfix_flavour, wait_until
from harness.certificates import Identity
from harness.debian import debian_commands

HANDSHAKE_ERROR = (ssl.SSLError, ConnectionError)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Identities by name; made once."""
    folder = tmp_path_factory.mktemp("certificates")
    os.chmod(folder, 0o755)
    authority = Identity(folder, "authority.example")
    return {
        "folder": folder,
        "authority": authority,
        "rsa": Identity(folder, "mx.test.example", "rsa", label="rsa"),
        "ec": Identity(folder, "mx.test.example", "ec", label="ec"),
        "client": Identity(folder, "client.test.example", signer=authority, usage="clientAuth"),
        "stranger": Identity(folder, "stranger.example"),
    }


def tls_parameters(certificates, level="may", **more):
    return {"smtpd_tls_security_level": level, "smtpd_tls_cert_file": certificates["rsa"].cert,
            "smtpd_tls_key_file": certificates["rsa"].key, "smtpd_tls_loglevel": "1", "smtpd_tls_received_header": "yes",
            **more}


def client_context(identity=None, **options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(options.get("ciphers", "ALL:@SECLEVEL=0"))
    if identity:
        context.load_cert_chain(identity.cert, identity.key)
    if "version" in options:
        context.minimum_version = context.maximum_version = options["version"]
    return context


class TlsDialogue(Dialogue):
    """A dialogue that goes on under TLS."""

    def start_tls(self, context=None, name=None, session=None):
        assert self.buffer == b""
        self.socket = (context or client_context()).wrap_socket(self.socket, server_hostname=name, session=session)
        return self

    def subject(self):
        return certificate_name(self.socket.getpeercert(binary_form=True))


def certificate_name(der):
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=der, check=True,
                          capture_output=True, timeout=60).stdout.decode()
    return text.strip().rsplit("= ", 1)[1]


def secured(instance, context=None, name=None, session=None):
    """Connected, EHLO, STARTTLS, EHLO again."""
    dialogue = TlsDialogue("127.0.0.1", instance.port, ehlo="client.example")
    dialogue.expect("STARTTLS", 220)
    dialogue.start_tls(context, name, session)
    dialogue.expect("EHLO client.example", 250)
    return dialogue


def send(dialogue, instance, subject="test"):
    dialogue.envelope("sender@client.example", f"{instance.person}@test.example")
    dialogue.send(f"Subject: {subject}\r\n\r\nbody\r\n.\r\n")
    assert dialogue.reply()[0] == 250


def delivered(instance):
    """The text of the mailbox once something is in it."""
    box = instance.mail_directory / instance.person
    wait_until(lambda: box.exists() and box.read_text().strip(), 20, "a message in the mailbox")
    return box.read_text()


# Levels and replies

@pytest.mark.sanitize
def test_starttls_delivers_and_logs(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    with secured(one) as dialogue:
        assert dialogue.socket.version() == "TLSv1.3"
        send(dialogue, one)
        dialogue.expect("QUIT", 221)
    text = delivered(one)
    assert re.search(r"^Received: from client.example \(unknown \[127.0.0.1\]\)\n"
                     r"\t\(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\)\n"
                     r"\t key-exchange X25519 server-signature RSA-PSS \(2048 bits\) server-digest SHA256\)\n"
                     r"\t\(No client certificate requested\)\n"
                     r"\tby mx.test.example \(Postfix\) with ESMTPS id ", text, re.MULTILINE), text
    one.log.wait_for(r"smtpd\[\d+\]: Anonymous TLS connection established from unknown\[127.0.0.1\]: TLSv1.3 with cipher "
                     r"TLS_AES_256_GCM_SHA384 \(256/256 bits\) key-exchange X25519 server-signature RSA-PSS \(2048 bits\) "
                     r"server-digest SHA256$")
    one.log.wait_for(r"disconnect from unknown\[127.0.0.1\] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7")


def test_replies_around_starttls(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    dialogue = TlsDialogue("127.0.0.1", one.port, ehlo="client.example")
    assert "STARTTLS" in dialogue.ehlo_reply[1].split("\n")
    dialogue.expect("STARTTLS now", 501)
    dialogue.expect("MAIL FROM:<a@client.example>", 250)
    dialogue.expect("STARTTLS", 220)
    dialogue.start_tls()
    dialogue.expect("RCPT TO:<b@test.example>", 503)  # the transaction in the clear is gone
    assert "STARTTLS" not in dialogue.expect("EHLO client.example", 250)
    assert dialogue.command("STARTTLS") == (554, "5.5.1 Error: TLS already active")
    dialogue.expect("QUIT", 221)
    assert dialogue.is_closed()


def test_level_none_and_discarded_keyword(instance, certificates):
    one = instance(main=tls_parameters(certificates, "none"))
    with Dialogue("127.0.0.1", one.port, ehlo="client.example") as dialogue:
        assert "STARTTLS" not in dialogue.ehlo_reply[1]
        assert dialogue.command("STARTTLS") == (502, "5.5.1 Error: command not implemented")
    two = instance(main=tls_parameters(certificates, smtpd_discard_ehlo_keywords="starttls"))
    with Dialogue("127.0.0.1", two.port, ehlo="client.example") as dialogue:
        assert "STARTTLS" not in dialogue.ehlo_reply[1]
        dialogue.expect("STARTTLS", 502)


@pytest.mark.parametrize("parameters", [{"smtpd_tls_security_level": "encrypt"},
                                        {"smtpd_tls_security_level": "", "smtpd_enforce_tls": "yes"}])
def test_level_encrypt(instance, certificates, parameters):
    one = instance(main=tls_parameters(certificates) | parameters)
    with Dialogue("127.0.0.1", one.port, ehlo="client.example") as dialogue:
        for command in ("MAIL FROM:<a@client.example>", "RCPT TO:<b@test.example>", "DATA", "BDAT 1 LAST", "VRFY a", "RSET",
                        "ETRN a.example", "AUTH PLAIN"):
            assert dialogue.command(command) == (530, "5.7.0 Must issue a STARTTLS command first"), command
        dialogue.expect("NOOP", 250)
        dialogue.expect("QUIT", 221)
    with secured(one) as dialogue:
        send(dialogue, one)


def test_old_parameter_use_tls(instance, certificates):
    one = instance(main=tls_parameters(certificates) | {"smtpd_tls_security_level": "", "smtpd_use_tls": "yes"})
    with secured(one) as dialogue:
        send(dialogue, one)


def test_no_certificates(instance):
    one = instance(main={"smtpd_tls_security_level": "may"})
    with Dialogue("127.0.0.1", one.port, ehlo="client.example") as dialogue:
        assert dialogue.command("STARTTLS") == (454, "4.7.0 TLS not available due to local problem")
        dialogue.expect("MAIL FROM:<a@client.example>", 250)
    one.log.wait_for(r"warning: No server certs available. TLS won't be enabled")


@pytest.mark.parametrize("fault", ["absent", "mismatch", "garbage"])
def test_unusable_certificates(instance, certificates, tmp_path, fault):
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    cert = {"absent": tmp_path / "absent.pem", "mismatch": certificates["ec"].cert, "garbage": garbage}[fault]
    one = instance(main=tls_parameters(certificates, smtpd_tls_cert_file=cert))
    with Dialogue("127.0.0.1", one.port, ehlo="client.example") as dialogue:
        assert dialogue.command("STARTTLS")[0] == 454
    if not one.flavour.is_postfix:
        reason = {"absent": "No such file", "mismatch": "the private key is not that of the certificate",
                  "garbage": "a certificate cannot be read"}[fault]
        one.log.wait_for(rf"tlsmgr\[\d+\]: warning: cannot use the certificates of .*{reason}")
        one.log.wait_for(rf"smtpd\[\d+\]: warning: TLS is not available: .*{reason}")


@pytest.mark.dromos
def test_without_tlsmgr_the_log_says_what_to_do(instance, certificates):
    one = instance(start=False, main=tls_parameters(certificates))
    one.standard_rows = re.sub(r"^tlsmgr.*\n", "", one.standard_rows, flags=re.MULTILINE)
    one.write()
    one.start()
    with Dialogue("127.0.0.1", one.port, ehlo="client.example") as dialogue:
        assert dialogue.command("STARTTLS") == (454, "4.7.0 TLS not available due to local problem")
        dialogue.expect("MAIL FROM:<a@client.example>", 250)
    one.log.wait_for(r"smtpd\[\d+\]: warning: TLS is not available: cannot reach the service .* is there a tlsmgr row in master.cf\?")


# Wrapper mode

def wrapped(instance, certificates, **more):
    return instance(start=False, main=tls_parameters(certificates, "none", smtpd_tls_wrappermode="yes", **more))


def test_wrapper_mode(instance, certificates):
    one = wrapped(instance, certificates).start()
    with TlsDialogue("127.0.0.1", one.port, greet=False) as dialogue:
        dialogue.start_tls()
        assert dialogue.reply()[0] == 220
        assert "STARTTLS" not in dialogue.expect("EHLO client.example", 250)
        dialogue.expect("STARTTLS", 554)
        send(dialogue, one)
    assert "with ESMTPS id" in delivered(one)
    smtplib.SMTP_SSL("127.0.0.1", one.port, context=client_context(), timeout=20).quit()


def test_plain_text_on_a_wrapper_port(instance, certificates):
    one = wrapped(instance, certificates).start()
    dialogue = Dialogue("127.0.0.1", one.port, greet=False)
    dialogue.send("EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n")
    assert dialogue.is_closed()
    assert b"220" not in dialogue.buffer
    one.log.wait_for(r"SSL_accept error from unknown\[127.0.0.1\]: -1")
    one.log.wait_for(r"warning: TLS library problem: error:\w+:SSL routines::(wrong version number|http request)")
    one.log.wait_for(r"lost connection after CONNECT from unknown\[127.0.0.1\]")


# Plain text and hostile handshakes

def test_commands_in_the_clear_after_starttls_are_thrown_away(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_forbid_unauth_pipelining="no"))
    dialogue = TlsDialogue("127.0.0.1", one.port, ehlo="client.example")
    dialogue.send("STARTTLS\r\nMAIL FROM:<injected@client.example>\r\nQUIT\r\n")
    assert dialogue.reply()[0] == 220
    try:
        dialogue.start_tls()
    except HANDSHAKE_ERROR:
        return  # what came in a second packet was no TLS: nothing was taken as a command
    dialogue.expect("RCPT TO:<b@test.example>", 503)
    dialogue.expect("NOOP", 250)


@pytest.mark.dromos
def test_commands_after_starttls_are_refused(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    dialogue = TlsDialogue("127.0.0.1", one.port, ehlo="client.example")
    dialogue.send("STARTTLS\r\nMAIL FROM:<injected@client.example>\r\n")
    assert dialogue.reply() == (554, "5.5.0 Error: SMTP protocol synchronization")
    assert dialogue.is_closed()


def hello_bytes():
    """The bytes of a client's first message."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = client_context().wrap_bio(incoming, outgoing, server_hostname="mx.test.example")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


@pytest.mark.sanitize
@pytest.mark.parametrize("cut", [1, 4, 5, 6, 40, -1])
def test_truncated_handshakes(instance, certificates, cut):
    one = instance(main=tls_parameters(certificates))
    dialogue = Dialogue("127.0.0.1", one.port, ehlo="client.example")
    dialogue.expect("STARTTLS", 220)
    dialogue.send(hello_bytes()[:cut])
    dialogue.socket.shutdown(socket.SHUT_WR)
    assert dialogue.is_closed()
    one.log.wait_for(r"SSL_accept error from unknown\[127.0.0.1\]: (lost connection|-1)")
    with secured(one) as other:  # the process is as it was
        send(other, one)


@pytest.mark.sanitize
def test_records_byte_by_byte(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    dialogue = Dialogue("127.0.0.1", one.port, ehlo="client.example")
    dialogue.expect("STARTTLS", 220)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing)

    def step(call):
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                result = None
            for byte in outgoing.read():
                dialogue.socket.sendall(bytes([byte]))
            if result is not None:
                return result
            chunk = dialogue.socket.recv(3)
            assert chunk, "the server closed the connection"
            incoming.write(chunk)

    step(lambda: tls.do_handshake() or True)
    step(lambda: tls.write(b"NOOP\r\n"))
    text = b""
    while b"250 2.0.0 Ok" not in text:
        text += step(lambda: tls.read(1000))


@pytest.mark.sanitize
def test_garbage_and_oversized_records(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    attacks = [os.urandom(3000), b"\x16\x03\x01\xff\xff" + b"A" * 70000, b"\x16\x03\x01\x00\x00" * 2000, hello_bytes() * 20,
               hello_bytes()[:100] + os.urandom(3000), b"\x15\x03\x01\x00\x02\x02\x28" * 50]
    for attack in attacks:
        dialogue = Dialogue("127.0.0.1", one.port, ehlo="client.example")
        dialogue.expect("STARTTLS", 220)
        try:
            dialogue.send(attack)
            dialogue.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        assert dialogue.is_closed()
    with secured(one) as other:
        send(other, one)


def test_a_client_that_never_finishes(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_starttls_timeout="2s"))
    idle = Dialogue("127.0.0.1", one.port, ehlo="client.example")
    idle.expect("STARTTLS", 220)
    idle.send(hello_bytes()[:50])
    with secured(one) as other:  # the others do not wait for it
        send(other, one)
    assert idle.is_closed(10)
    one.log.wait_for(r"SSL_accept error from unknown\[127.0.0.1\]: Connection timed out")


def test_garbage_inside_a_session(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    dialogue = secured(one)
    raw = socket.socket(fileno=os.dup(dialogue.socket.fileno()))
    raw.sendall(b"\x17\x03\x03\x00\x40" + os.urandom(64))
    with pytest.raises(HANDSHAKE_ERROR):
        dialogue.command("NOOP")
    raw.close()
    one.log.wait_for(r"lost connection after EHLO from unknown\[127.0.0.1\]")


def s_client(instance, *arguments, text="", **options):
    """openssl s_client's output; `text` is what it is given to say."""
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{instance.port}", "-starttls", "smtp", *arguments],
                          input=text, capture_output=True, text=True, timeout=options.get("timeout", 30), check=False).stdout


def test_renegotiation_is_refused(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{one.port}", "-starttls", "smtp", "-tls1_2"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: one.log.find(r"TLS connection established"), 20, "a handshake")
        process.stdin.write(b"R\n")
        process.stdin.flush()
        wait_until(lambda: process.poll() is not None, 20, "the client to give up")
        assert b"no renegotiation" in process.stdout.read()
    finally:
        process.kill()
        process.wait()


# Certificates, protocols, ciphers

def test_rsa_and_ecdsa_side_by_side(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_tls_eccert_file=certificates["ec"].cert,
                                       smtpd_tls_eckey_file=certificates["ec"].key))
    for ciphers in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        secured(one, client_context(version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)).close()
        one.log.wait_for(rf": TLSv1.2 with cipher {ciphers} \(128/128 bits\)$")
    secured(one).close()
    one.log.wait_for(r"server-signature ECDSA \(prime256v1\) server-digest SHA256$")


def test_chain_files(instance, certificates, tmp_path):
    os.chmod(tmp_path, 0o755)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(certificates["ec"].both.read_bytes())
    one = instance(main={"smtpd_tls_security_level": "may", "smtpd_tls_loglevel": "1",
                         "smtpd_tls_chain_files": f"{certificates['rsa'].both}, {chain}"})
    for ciphers in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        secured(one, client_context(version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)).close()


@pytest.mark.parametrize("kind", ["ED25519", "ED448"])
def test_edwards_curves(instance, tmp_path, kind):
    os.chmod(tmp_path, 0o755)
    identity = Identity(tmp_path, "mx.test.example", kind)
    one = instance(main={"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": identity.both, "smtpd_tls_loglevel": "1"})
    secured(one).close()
    one.log.wait_for(rf"server-signature {kind}")


def test_protocols(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_tls_protocols=">=TLSv1.2, !TLSv1.3"))
    with secured(one) as dialogue:
        assert dialogue.socket.version() == "TLSv1.2"
    with pytest.raises(HANDSHAKE_ERROR):
        secured(one, client_context(version=ssl.TLSVersion.TLSv1_3))
    two = instance(main=tls_parameters(certificates, "encrypt", smtpd_tls_mandatory_protocols="TLSv1.3"))
    with pytest.raises(HANDSHAKE_ERROR):
        secured(two, client_context(version=ssl.TLSVersion.TLSv1_2))
    with secured(two) as dialogue:
        assert dialogue.socket.version() == "TLSv1.3"


def test_ciphers(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_tls_ciphers="high", smtpd_tls_exclude_ciphers="AES128, CAMELLIA",
                                       tls_preempt_cipherlist="yes"))
    old = {"version": ssl.TLSVersion.TLSv1_2}
    with pytest.raises(HANDSHAKE_ERROR):
        secured(one, client_context(ciphers="ECDHE-RSA-AES128-GCM-SHA256", **old))
    with secured(one, client_context(ciphers="ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384", **old)) as dialogue:
        assert dialogue.socket.cipher()[0] == "ECDHE-RSA-AES256-GCM-SHA384"


def test_groups_and_finite_fields(instance, certificates):
    one = instance(main=tls_parameters(certificates, tls_eecdh_auto_curves="secp384r1"))
    secured(one).close()
    one.log.wait_for(r"key-exchange ECDHE \(secp384r1\)")
    secured(one, client_context(version=ssl.TLSVersion.TLSv1_2, ciphers="DHE-RSA-AES256-GCM-SHA384")).close()
    one.log.wait_for(r"with cipher DHE-RSA-AES256-GCM-SHA384 \(256/256 bits\)$")


# Server names

def expect_names(one, wanted):
    for name, subject in wanted.items():
        with secured(one, name=name) as dialogue:
            assert dialogue.subject() == subject, name


def test_server_names_in_an_indexed_table(instance, certificates, tmp_path):
    os.chmod(tmp_path, 0o755)
    names = [Identity(tmp_path, f"{label}.example") for label in ("one", "two")]
    below = Identity(tmp_path, "*.wild.example", label="wild")
    one = instance(start=False, main=tls_parameters(certificates))
    path = one.file("sni", f"one.example {names[0].both}\ntwo.example {names[1].both}\n.wild.example {below.both}\n")
    one.run("postmap", "-F", f"hash:{path}")
    one.set(tls_server_sni_maps=f"hash:{path}")
    one.start()
    expect_names(one, {"one.example": "one.example", "two.example": "two.example", "a.wild.example": "*.wild.example",
                       "other.example": "mx.test.example", None: "mx.test.example"})
    one.log.wait_for(r"TLS connection established from unknown\[127.0.0.1\] to one.example: ")


@pytest.mark.dromos
def test_server_names_in_a_directory(instance, certificates, tmp_path):
    os.chmod(tmp_path, 0o755)
    folder = tmp_path / "live"
    folder.mkdir(mode=0o700)  # as root's own
    for name in ("one.example", "two.example"):
        identity = Identity(tmp_path, name)
        (folder / name).mkdir()
        (folder / name / "privkey.pem").write_bytes(identity.key.read_bytes())
        (folder / name / "fullchain.pem").write_bytes(identity.cert.read_bytes())
    (folder / "three.example.pem").write_bytes(Identity(tmp_path, "three.example").both.read_bytes())
    one = instance(main=tls_parameters(certificates, tls_server_sni_maps=folder, tls_certificate_check_interval="1s"))
    expect_names(one, {"one.example": "one.example", "TWO.example": "two.example", "three.example": "three.example",
                       "four.example": "mx.test.example"})
    (folder / "four.example.pem").write_bytes(Identity(tmp_path, "four.example").both.read_bytes())

    def is_served():
        with secured(one, name="four.example") as dialogue:
            return dialogue.subject() == "four.example"

    wait_until(is_served, 25, "the new name to be served", 1.0)


# Client certificates

def test_client_certificates(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_tls_ask_ccert="yes", smtpd_tls_fingerprint_digest="sha256",
                                       smtpd_tls_CAfile=certificates["authority"].cert, smtpd_tls_loglevel="2"))
    for who, trust in (("client", "Trusted"), ("stranger", "Untrusted"), (None, "Anonymous")):
        mark = one.log.mark()
        with secured(one, client_context(certificates[who] if who else None)) as dialogue:
            send(dialogue, one, subject=f"by {who}")
        one.log.wait_for(rf"{trust} TLS connection established from", start=mark)
        if who:
            one.log.wait_for(rf"subject_CN={certificates[who].name}, issuer=.*, fingerprint={certificates[who].fingerprint()}, pkey_",
                             start=mark)
    wait_until(lambda: delivered(one).count("Subject: by") == 3, 20, "three messages")
    text = delivered(one)
    assert '(Client CN "client.test.example", Issuer "authority.example" (verified OK))' in text
    assert '(Client CN "stranger.example", Issuer "stranger.example" (not verified))' in text
    assert "(Client did not present a certificate)" in text
    assert "client-signature ECDSA (prime256v1) client-digest SHA256)" in text


def test_required_client_certificates(instance, certificates):
    one = instance(main=tls_parameters(certificates, "encrypt", smtpd_tls_req_ccert="yes",
                                       smtpd_tls_CAfile=certificates["authority"].cert))
    with secured(one, client_context(certificates["client"])) as dialogue:
        send(dialogue, one)
    for who, reason in (("stranger", "Client certificate not trusted"), (None, "No client certificate presented")):
        dialogue = TlsDialogue("127.0.0.1", one.port, ehlo="client.example")
        dialogue.expect("STARTTLS", 220)
        dialogue.start_tls(client_context(certificates[who] if who else None))
        assert dialogue.reply() == (421, f"4.7.1 mx.test.example Error: {reason}")
        assert dialogue.is_closed()
        one.log.wait_for(rf"NOQUEUE: abort: TLS from unknown\[127.0.0.1\]: {reason}")


def test_access_by_client_certificate(instance, certificates):
    one = instance(start=False, main=tls_parameters(certificates, smtpd_tls_ask_ccert="yes", smtpd_tls_fingerprint_digest="sha256",
                                                    mynetworks="192.0.2.0/24"))
    prints = certificates["stranger"].fingerprint()
    one.set(relay_clientcerts=one.table("certs", f"{prints} stranger\n"),
            smtpd_relay_restrictions="permit_tls_clientcerts, reject_unauth_destination")
    one.start()
    for who, code in (("stranger", 250), ("client", 554), (None, 554)):
        with secured(one, client_context(certificates[who] if who else None)) as dialogue:
            dialogue.expect("MAIL FROM:<a@client.example>", 250)
            assert dialogue.command("RCPT TO:<b@elsewhere.example>")[0] == code, who
    table = one.table("ccert", f"{prints} REJECT known and unwanted\n")
    one.set(smtpd_client_restrictions=f"check_ccert_access {table}")
    with secured(one, client_context(certificates["stranger"])) as dialogue:
        dialogue.expect("MAIL FROM:<a@client.example>", 250)
        code, text = dialogue.command("RCPT TO:<b@test.example>")
        assert code == 554 and "known and unwanted" in text
    one.set(smtpd_client_restrictions="", smtpd_relay_restrictions="permit_tls_all_clientcerts, reject_unauth_destination",
            smtpd_tls_CAfile=certificates["authority"].cert)
    for who, code in (("client", 250), ("stranger", 554)):
        with secured(one, client_context(certificates[who])) as dialogue:
            dialogue.expect("MAIL FROM:<a@client.example>", 250)
            assert dialogue.command("RCPT TO:<b@elsewhere.example>")[0] == code, who


def test_an_oversized_client_certificate(instance, certificates, tmp_path):
    big = Identity(tmp_path, "big.example", padding=3000)
    one = instance(main=tls_parameters(certificates, smtpd_tls_ask_ccert="yes"))
    with pytest.raises(HANDSHAKE_ERROR):
        with secured(one, client_context(big)) as dialogue:
            dialogue.command("NOOP")
    one.log.wait_for(r"SSL_accept error from unknown\[127.0.0.1\]: -1")
    with secured(one) as dialogue:
        send(dialogue, one)


# Resumption

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets(instance, certificates, version):
    one = instance(main=tls_parameters(certificates))
    context = client_context(version=version)
    with secured(one, context) as dialogue:
        assert not dialogue.socket.session_reused
        dialogue.expect("NOOP", 250)
        session = dialogue.socket.session
    with secured(one, context, session=session) as dialogue:
        assert dialogue.socket.session_reused
        send(dialogue, one)
    wait_until(lambda: one.log.count(r"Anonymous TLS connection established from unknown\[127.0.0.1\]: TLSv1") == 2, 10, "two lines")
    if version == ssl.TLSVersion.TLSv1_3:
        one.log.wait_for(r"key-exchange X25519 server-signature RSA-PSS \(2048 bits\)$")


def resumptions(one):
    """Whether a second connection resumes the first, with TLS 1.2 and with TLS 1.3."""
    outcomes = []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client_context(version=version)
        with secured(one, context) as dialogue:
            dialogue.expect("NOOP", 250)
            session = dialogue.socket.session
        with secured(one, context, session=session) as dialogue:
            outcomes.append(dialogue.socket.session_reused)
            dialogue.expect("NOOP", 250)
    return outcomes


@pytest.mark.dromos
@pytest.mark.parametrize("cipher, resumes", [("aes-128-cbc", True), ("camellia-256-cbc", True), ("", False), ("aes-256-gcm", False),
                                             ("des-ede3-cbc", False), ("nonsense", False)])
def test_cipher_of_tickets(instance, certificates, cipher, resumes):
    one = instance(main=tls_parameters(certificates, tls_session_ticket_cipher=cipher))
    assert resumptions(one) == [resumes, resumes]
    if cipher and not resumes:
        assert one.log.find(rf'warning: tls_session_ticket_cipher: "{cipher}" is no CBC cipher')


@pytest.mark.dromos
@pytest.mark.parametrize("table, is_logged, is_bad", [
    ("static:0", False, False), ("inline:{127.0.0.1=0}", False, False), ("inline:{unknown=0}", False, False),
    ("inline:{{client.test=0},{192.0.2.1=0}}", True, False), ("inline:{{unknown=1},{127.0.0.1=0}}", True, False),
    ("inline:{127.0.0.1=loud}", True, True), ("inline:{127.0.0.1=5}", True, True)])
def test_log_level_by_client(instance, certificates, table, is_logged, is_bad):
    one = instance(main=tls_parameters(certificates, smtpd_peername_lookup="no", smtpd_tls_loglevel_maps=table))
    with secured(one) as dialogue:
        send(dialogue, one)
    assert bool(one.log.find("TLS connection established from")) == is_logged
    assert bool(one.log.find("warning: smtpd_tls_loglevel_maps: unknown\\[127.0.0.1\\]: bad level")) == is_bad


@pytest.mark.dromos
def test_certificates_serve_where_raw_keys_are_wanted(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_tls_enable_rpk="yes"))
    with secured(one) as dialogue:
        send(dialogue, one)
    assert one.log.find(r"warning: smtpd_tls_enable_rpk: raw public keys \(RFC 7250\) are not supported here: certificates are used")


@pytest.mark.dromos
@pytest.mark.parametrize("size, is_cut", [(0, False), (2000, True), (102400, False)])
def test_traces_are_bounded(instance, certificates, size, is_cut):
    one = instance(main=tls_parameters(certificates, smtpd_tls_loglevel="3", smtpd_tls_trace_size_limit=size))
    with secured(one):
        pass
    lines = [line.split("]: ", 1)[1] for line in one.log.text().split("\n") if re.search(r"\]: ((read|write) \d{4} |SSL_accept:|the trace)", line)]
    assert ("the trace ends here: it is longer than 2000 bytes" in lines) == is_cut
    assert (len("\n".join(lines)) < 2100) == is_cut and lines[0].startswith("SSL_accept:before")
    assert one.log.find("TLS connection established from")


@pytest.mark.dromos
@pytest.mark.parametrize("limit, traced", [("0", 6), ("1", 1), ("2", 2)])
def test_traces_are_few(instance, certificates, limit, traced):
    """Of those within one second: the first second of a session may be the last of another's, so there may be twice as many."""
    one = instance(main=tls_parameters(certificates, smtpd_tls_loglevel="2", tls_trace_rate_limit=limit))
    begin = time.monotonic()
    for _ in range(6):
        with secured(one):
            pass
    seconds = int(time.monotonic() - begin) + 2
    count = one.log.count("SSL_accept:SSLv3/TLS write server hello")
    assert count == traced if traced == 6 else traced <= count <= traced * seconds
    assert one.log.count(r"no TLS trace: too many within a second") == 6 - count
    assert one.log.count("TLS connection established from") == 6


def test_sessions_survive_a_restart_of_the_server_process(instance, certificates):
    """The ticket keys are in tlsmgr: any smtpd process resumes what another began."""
    one = instance(main=tls_parameters(certificates, max_use="1"))
    context = client_context()
    session = None
    for turn in range(4):
        with secured(one, context, session=session) as dialogue:
            assert dialogue.socket.session_reused == (turn > 0)
            dialogue.expect("NOOP", 250)
            session = dialogue.socket.session
            dialogue.expect("QUIT", 221)


def test_session_cache_for_clients_without_tickets(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_tls_session_cache_database="btree:${data_directory}/smtpd_scache"))
    context = client_context(version=ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_TICKET
    with secured(one, context) as dialogue:
        dialogue.expect("NOOP", 250)
        session = dialogue.socket.session
        dialogue.expect("QUIT", 221)
    with secured(one, context, session=session) as dialogue:
        assert dialogue.socket.session_reused
        dialogue.expect("NOOP", 250)


@pytest.mark.parametrize("main, has_id", [({}, True), ({"smtpd_tls_always_issue_session_ids": "no", "smtpd_tls_session_cache_timeout": "0"}, False), ({"smtpd_tls_session_cache_timeout": "0"}, True),
                                          ({"smtpd_tls_always_issue_session_ids": "no"}, True),
                                          ({"smtpd_tls_always_issue_session_ids": "no", "smtpd_tls_session_cache_database": "btree:${data_directory}/smtpd_scache"}, True)])
def test_session_ids(instance, certificates, main, has_id):
    """Some clients want one even where no session is remembered."""
    one = instance(main=tls_parameters(certificates, **main))
    context = client_context(version=ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_TICKET
    with secured(one, context) as dialogue:
        session = dialogue.socket.session
        assert bool(session.id) == has_id
        dialogue.expect("QUIT", 221)
    remembers = "smtpd_tls_session_cache_database" in main
    with secured(one, context, session=session) as again:
        assert again.socket.session_reused == remembers
        again.expect("NOOP", 250)


def test_no_resumption_when_the_timeout_is_zero(instance, certificates):
    one = instance(main=tls_parameters(certificates, smtpd_tls_session_cache_timeout="0"))
    assert resumptions(one) == [False, False]


@pytest.mark.dromos
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_one_service_is_no_proof_to_another(instance, certificates, version):
    """All services seal their tickets with the same keys, but they ask for different certificates."""
    one = instance(start=False, main=tls_parameters(certificates, "encrypt", smtpd_tls_CAfile=certificates["authority"].cert))
    ports = {"asks": free_port(), "distrusts": free_port()}
    one.rows.append(f"127.0.0.1:{ports['asks']} inet n - n - - smtpd -o smtpd_tls_req_ccert=yes")
    one.rows.append(f"127.0.0.1:{ports['distrusts']} inet n - n - - smtpd -o smtpd_tls_req_ccert=yes\n"
                    f"    -o {{ smtpd_tls_CAfile = {certificates['stranger'].cert} }}")
    one.write()
    one.start()
    wait_until(lambda: all(is_listening(port) for port in ports.values()), 10, "the other ports")
    context = client_context(certificates["client"], version=version)

    def meet(port, session):
        dialogue = TlsDialogue("127.0.0.1", port, ehlo="client.example")
        dialogue.expect("STARTTLS", 220)
        dialogue.start_tls(context, None, session)
        return dialogue, dialogue.command("EHLO client.example")[0], dialogue.socket.session_reused

    plain, code, _ = meet(one.port, None)
    assert code == 250
    trusted, code, is_resumed = meet(ports["asks"], plain.socket.session)
    assert (code, is_resumed) == (250, False)
    assert meet(ports["asks"], trusted.socket.session)[1:] == (250, True)
    assert meet(ports["distrusts"], trusted.socket.session)[1:] == (421, False)


# Keys and their renewal

def holds(pid, needle):
    """Whether the readable memory of a process has the bytes in it."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if "r" not in rights or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            if "ASAN_OPTIONS" in os.environ and end - start > 1 << 32:
                continue  # the sanitizer's own notes about memory: terabytes, and no data
            try:
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
            except (OSError, ValueError, OverflowError):
                continue
    return False


def private_numbers(identity):
    """The private exponent of an RSA key, in the order in which the library holds it in memory."""
    text = subprocess.run(["openssl", "rsa", "-in", str(identity.key), "-noout", "-text"], check=True, capture_output=True, text=True,
                          timeout=60).stdout
    digits = re.search(r"prime1:\n([\s0-9a-f:]+)\n", text)[1]
    return int(re.sub(r"[^0-9a-f]", "", digits), 16).to_bytes(128, "little")


@pytest.mark.root
@pytest.mark.dromos
def test_private_keys_are_in_tlsmgr_only(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    for _ in range(3):
        secured(one).close()
    needle = private_numbers(certificates["rsa"])[:64]
    assert holds(one.pids("tlsmgr")[0], needle) or holds(one.pids("tlsmgr")[1], needle)
    pem = certificates["rsa"].key.read_bytes()[60:124]
    for pid, name in one.processes().items():
        if name != "tlsmgr":
            assert not holds(pid, needle) and not holds(pid, pem), name
    parents = [pid for pid in one.pids("tlsmgr") if os.stat(f"/proc/{pid}").st_uid == 0]
    for pid in parents:  # the reader keeps its rights, and none of what it has read
        assert not holds(pid, pem) or pid in one.pids("tlsmgr")


@pytest.mark.dromos
@pytest.mark.parametrize("chroot", ["n", "y"])
def test_renewed_certificates_come_into_use_without_reload(instance, certificates, tmp_path, chroot):
    os.chmod(tmp_path, 0o700)  # what only root may read
    current = Identity(tmp_path, "first.example", "rsa", label="current")
    renewed = Identity(tmp_path, "second.example", "ec", label="renewed")  # another kind of key, too
    one = instance(start=False, main=tls_parameters(certificates, smtpd_tls_cert_file=current.cert, smtpd_tls_key_file=current.key,
                                                    tls_certificate_check_interval="1s"))
    one.standard_rows = re.sub(r"^(tlsmgr +unix +- - )n", rf"\g<1>{chroot}", one.standard_rows, flags=re.MULTILINE)
    one.inet_row = f"127.0.0.1:{one.port} inet n - {chroot} - - smtpd"
    one.write()
    one.start()
    assert is_served(one, "first.example")
    one.log.wait_for(r"tlsmgr\[\d+\]: certificate of first.example .*: (89|90) days left")
    held = secured(one)
    current.replace(renewed)
    wait_until(lambda: is_served(one, "second.example"), 25, "the renewed certificate", 0.5)
    send(held, one)  # sessions under way go on
    assert not one.log.find(r"reload -- version")


def is_served(one, subject):
    with secured(one) as dialogue:
        return dialogue.subject() == subject


@pytest.mark.dromos
def test_bad_renewals_leave_the_old_in_use(instance, certificates, tmp_path):
    os.chmod(tmp_path, 0o755)
    current = Identity(tmp_path, "first.example", label="current")
    other = Identity(tmp_path, "second.example", label="other")
    expired = Identity(tmp_path, "third.example", label="expired", days=-1)
    one = instance(main=tls_parameters(certificates, smtpd_tls_cert_file=current.cert, smtpd_tls_key_file=current.key,
                                       tls_certificate_check_interval="1s"))
    assert is_served(one, "first.example")
    good = (current.cert.read_bytes(), current.key.read_bytes())

    def expect_refusal(cert, key, reason):
        mark = one.log.mark()
        current.cert.write_bytes(cert)
        current.key.write_bytes(key)
        one.log.wait_for(rf"tlsmgr\[\d+\]: warning: cannot use the changed certificates .*{reason}.*: the old ones stay in use", start=mark)
        time.sleep(0.1)
        assert is_served(one, "first.example")

    expect_refusal(other.cert.read_bytes(), good[1], "the private key is not that of the certificate of second.example")
    expect_refusal(b"nonsense", good[1], "no certificate in it")
    expect_refusal(expired.cert.read_bytes(), expired.key.read_bytes(), "the certificate of third.example has expired")
    current.cert.unlink()
    one.log.wait_for(r"cannot use the changed certificates .*No such file.*: the old ones stay in use")
    assert is_served(one, "first.example")
    current.cert.write_bytes(other.cert.read_bytes())
    current.key.write_bytes(other.key.read_bytes())
    wait_until(lambda: is_served(one, "second.example"), 25, "the good certificate", 0.5)


@pytest.mark.dromos
def test_certificates_that_end_soon_are_warned_about(instance, tmp_path):
    os.chmod(tmp_path, 0o755)
    identity = Identity(tmp_path, "mx.test.example", days=5)
    one = instance(main={"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": identity.both})
    secured(one).close()
    one.log.wait_for(r"tlsmgr\[\d+\]: warning: the certificate of mx.test.example .* expires in [45] days: renew it")


@pytest.mark.dromos
def test_tlsmgr_killed(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    secured(one).close()
    for pid in one.pids("tlsmgr"):
        os.kill(pid, 9)

    def works():
        try:
            secured(one).close()
            return True
        except HANDSHAKE_ERROR + (AssertionError,):
            return False

    wait_until(works, 20, "TLS to work again", 0.3)


@pytest.mark.dromos
def test_signatures_are_limited(instance, certificates):
    one = instance(main=tls_parameters(certificates, tls_signature_rate_limit="2"))

    def succeeds():
        try:
            secured(one).close()
            return True
        except HANDSHAKE_ERROR:
            return False

    results = [succeeds() for _ in range(12)]
    assert results[0] and not all(results)
    one.log.wait_for(r"warning: TLS library problem: .*more than tls_signature_rate_limit signatures a second with one key")
    wait_until(succeeds, 10, "signatures to be allowed again", 0.5)


@pytest.mark.root
@pytest.mark.dromos
def test_rootless(instance):
    one = instance(start=False, user=ensure_accounts().owner)
    identity = Identity(one.config_directory, "mx.test.example")
    for path in (identity.both, identity.key, identity.cert):
        shutil.chown(path, one.user)
    one.set(smtpd_tls_security_level="may", smtpd_tls_chain_files=identity.both)
    one.start()
    assert is_served(one, "mx.test.example")


@pytest.mark.dromos
def test_keys_of_master_cf_rows(instance, certificates, tmp_path):
    """What only a -o option of a service names is served as well; what nobody names is not."""
    os.chmod(tmp_path, 0o755)
    identity = Identity(tmp_path, "row.example")
    one = instance(start=False, main={"smtpd_tls_loglevel": "1"})
    port = free_port()
    one.rows.append(f"127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_security_level=may\n"
                    f"    -o {{ smtpd_tls_chain_files = {identity.both} }}")
    one.write()
    one.start()
    wait_until(lambda: is_listening(port), 10, "the second port")
    dialogue = TlsDialogue("127.0.0.1", port, ehlo="client.example")
    dialogue.expect("STARTTLS", 220)
    assert dialogue.start_tls().subject() == "row.example"


# Real clients

def test_swaks_and_smtplib(instance, certificates):
    one = instance(main=tls_parameters(certificates, "encrypt"))
    result = subprocess.run(["swaks", "--server", f"127.0.0.1:{one.port}", "--tls", "--from", "a@client.example", "--to",
                             f"{one.person}@test.example"], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    with smtplib.SMTP("127.0.0.1", one.port, timeout=20) as client:
        client.starttls(context=client_context())
        client.sendmail("a@client.example", [f"{one.person}@test.example"], "Subject: smtplib\n\nbody\n")
    wait_until(lambda: delivered(one).count("with ESMTPS id") == 2, 20, "two messages")


def test_s_client_with_every_protocol(instance, certificates):
    one = instance(main=tls_parameters(certificates, tls_medium_cipherlist="ALL:@SECLEVEL=0"))
    for option, version in (("-tls1", "TLSv1"), ("-tls1_1", "TLSv1.1"), ("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        output = s_client(one, option, "-cipher", "ALL:@SECLEVEL=0", text="QUIT\n")
        assert re.search(rf"New, .*{'TLSv1.0|SSLv3|TLSv1' if version.startswith('TLSv1') else version}", output), output
        one.log.wait_for(rf"TLS connection established from unknown\[127.0.0.1\]: {re.escape(version)} with cipher")


def test_large_message_over_tls(instance, certificates):
    one = instance(main=tls_parameters(certificates))
    body = "x" * 70 + "\r\n"
    with smtplib.SMTP("127.0.0.1", one.port, timeout=60) as client:
        client.starttls(context=client_context())
        client.sendmail("a@client.example", [f"{one.person}@test.example"], "Subject: large\r\n\r\n" + body * 60000)
    wait_until(lambda: delivered(one).count("x" * 70) == 60000, 30, "the whole message")


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's postfix package cannot be had")
    return postfix_flavour(found.commands.parents[1])


@pytest.mark.root
@pytest.mark.dromos
@pytest.mark.parametrize("level,way", [("encrypt", "Untrusted"), ("fingerprint", "Verified"), ("secure", "Verified"),
                                       ("encrypt-old", "Untrusted")])
def test_debians_smtp_client(instance, debian, certificates, level, way):
    """Debian's Postfix relays to us, twice: it checks our certificate, and shows one of its own."""
    ours = instance(main=tls_parameters(certificates, "encrypt", smtpd_tls_ask_ccert="yes",
                                        smtpd_tls_CAfile=certificates["authority"].cert))
    theirs = instance(flavour=debian, name="theirs", main={
        "relayhost": f"[127.0.0.1]:{ours.port}", "smtp_tls_security_level": level.split("-")[0], "smtp_tls_loglevel": "1",
        "smtp_tls_CAfile": certificates["rsa"].cert, "smtp_tls_secure_cert_match": "mx.test.example",
        "smtp_tls_fingerprint_digest": "sha256", "smtp_tls_fingerprint_cert_match": certificates["rsa"].fingerprint(),
        "smtp_tls_cert_file": certificates["client"].cert, "smtp_tls_key_file": certificates["client"].key,
        "smtp_tls_session_cache_database": "btree:${data_directory}/smtp_scache", "mydestination": "",
        **({"smtp_tls_mandatory_protocols": "<=TLSv1.2"} if level.endswith("old") else {})})
    for number in range(2):
        with theirs.dialogue(ehlo="client.example") as dialogue:
            dialogue.envelope("a@client.example", f"{ours.person}@test.example")
            dialogue.send(make_message(subject=f"number {number}") + b"\r\n.\r\n")
            assert dialogue.reply()[0] == 250
        wait_until(lambda: delivered(ours).count("Subject: number") == number + 1, 30, theirs.log.text)
    theirs.log.wait_for(rf"(Trusted|{way}) TLS connection established to 127.0.0.1\[127.0.0.1\]:{ours.port}: TLSv1")
    ours.log.wait_for(r"Trusted TLS connection established from unknown\[127.0.0.1\]: TLSv1")
    assert ours.log.count(r"Trusted TLS connection established from unknown\[127.0.0.1\]: TLSv1") == 2
    assert '(Client CN "client.test.example", Issuer "authority.example" (verified OK))' in delivered(ours)
