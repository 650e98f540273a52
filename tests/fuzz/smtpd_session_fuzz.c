// SPDX-License-Identifier: ISC
// smtpd_session_fuzz.c: a whole session on a socket pair under a clock that stands still, driven by the input: its
// first byte chooses settings, then pieces of commands and content follow, each sent at once (0xFF separates them).
//
// Whatever is said: replies are well formed, every message that was begun is finished or given up, and one is begun
// only for the recipients that were accepted in its own transaction (the fakes see to that).
#include <sys/socket.h>
#include <unistd.h>

#include "smtpd/smtpd_test_fakes.h"

#define PIECE_END 0xFF

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct input {
    const uint8_t *data;
    size_t size;
    int fd;
} input;

static void check_replies(struct buf *said)
{
    struct str rest = buf_str(said), line;
    long end;
    while ((end = str_find(rest, '\n')) >= 0) {
        line = str_slice(rest, 0, (size_t)end);
        rest = str_slice(rest, (size_t)end + 1, rest.len);
        int code;
        bool is_last;
        struct str text;
        if (line.len < 5 || line.len > 1000 || line.ptr[line.len - 1] != '\r' ||
            smtp_reply_line_parse(line, &code, &is_last, &text) < 0 || !str_is_utf8(line))
            abort();
    }
    buf_consume(said, (size_t)(rest.ptr - said->ptr));
}

// Reads what has been said so far, and what is said when the client is silent for some turns of the loop.
static bool take_replies(struct stream *peer, struct buf *said) CO
{
    struct err err = ERR_INIT;
    struct raw got;
    for (int turn = 0; turn < 6; turn++) {
        while (stream_is_readable_now(peer)) {
            if (stream_peek(peer, &got, &err) <= 0)
                return false;
            buf_add_str(said, raw_unchecked(got));
            stream_consume(peer, got.len);
        }
        if (co_yield () < 0)
            return false;
    }
    check_replies(said);
    return true;
}

static void peer_main(void *arg)
{
    co_assert_running();
    struct stream *peer = stream_new(input.fd);
    struct err err = ERR_INIT;
    struct buf said = BUF_INIT;
    size_t at = 1;
    while (take_replies(peer, &said) && at < input.size) {
        const uint8_t *end = memchr(input.data + at, PIECE_END, input.size - at);
        size_t len = end != NULL ? (size_t)(end - input.data) - at : input.size - at;
        stream_write(peer, input.data + at, len);
        if (stream_flush(peer, &err) < 0)
            break;
        at += len + 1;
    }
    shutdown(stream_fd(peer), SHUT_WR);
    for (int turn = 0; turn < 20 && take_replies(peer, &said); turn++)
        ;
    buf_release(&said);
    stream_free(peer);
}

// Ends the loop when both have ended.
static void run_main(void *arg)
{
    co_assert_running();
    struct co *session = co_ref(co_spawn("session", session_main, arg));
    struct co *peer = co_ref(co_spawn("peer", peer_main, NULL));
    if (co_join(peer, CLOCK_NEVER) < 0 ||
        co_join(session, CLOCK_NEVER) < 0) // both end by themselves, or the fuzzer reports a hang
        abort();
    co_unref(peer);
    co_unref(session);
    co_loop_stop();
}

static void choose_settings(uint8_t byte)
{
    settings.smtpd_forbid_bare_newline = byte & 1 ? STR("reject") : byte & 2 ? STR("no") : STR("normalize");
    settings.smtpd_forbid_unauth_pipelining = (byte & 4) != 0;
    settings.smtpd_helo_required = (byte & 8) != 0;
    settings.strict_rfc821_envelopes = (byte & 16) != 0;
    settings.smtpd_delay_open_until_valid_rcpt = (byte & 16) == 0;
    settings.smtpd_hard_error_limit = byte & 32 ? 3 : 1000;
    settings.smtpd_reject_footer = byte & 64 ? STR("see $server_name\\nfor $recipient") : STR("");
    settings.smtputf8_enable = (byte & 128) != 0;
    settings.message_size_limit = 2000;
    stored.fails = (byte & 128) != 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    log_open(LOG_TO_FD, -1, "fuzz", "fuzz");
    clock_fake_set(1000000, 1790000000000000);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    if (size == 0 || size > 20000 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 0;
    set_up();
    choose_settings(data[0]);
    context.conf = conf_open_defaults("/nonexistent");
    input = (struct input){data, size, pair[1]};
    co_loop_init();
    co_spawn("run", run_main, &pair[0]);
    co_loop_run(1000);
    co_loop_free();
    conf_free(context.conf);
    tear_down();
    if (stored.begun != stored.finished + stored.aborted)
        abort();
    return 0;
}
