// SPDX-License-Identifier: ISC
// sasl_helper.h: the words that smtpd and its saslserver process exchange over ipc.h.
//
// "open" brings a descriptor: a connection for one attempt, on which each request gets one "answer".
// "mechanisms": encrypted=0|1, external (the name in a trusted client certificate, or "") -> mechanisms="PLAIN LOGIN".
// "step": the first one with mechanism, encrypted, external, client_address, client_port, server_address and
// server_port, each with response if there is one -> outcome (enum sasl_outcome), challenge, username, reason, log.
// "failed": reason.
#ifndef DROMOS_SASL_HELPER_H
#define DROMOS_SASL_HELPER_H

#define SASL_HELPER_PROGRAM  "saslserver"
#define SASL_VERB_OPEN       "open"
#define SASL_VERB_MECHANISMS "mechanisms"
#define SASL_VERB_STEP       "step"
#define SASL_VERB_ANSWER     "answer"
#define SASL_VERB_FAILED     "failed"

#endif
