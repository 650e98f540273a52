LIB_SRCS += services/mtasts/mtasts_cache.c services/mtasts/mtasts_fetch.c services/mtasts/mtasts_policy.c
PROGRAMS += mtasts
mtasts_DIR := daemon
mtasts_SRCS := services/mtasts/mtasts.c
LIBS += -lcurl
