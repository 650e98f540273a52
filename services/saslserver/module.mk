PROGRAMS += saslserver
saslserver_DIR := daemon
saslserver_SRCS := services/saslserver/saslserver.c
