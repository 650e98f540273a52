PROGRAMS += postlogd
postlogd_SRCS := services/postlogd/postlogd.c
