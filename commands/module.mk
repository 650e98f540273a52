PROGRAMS += postmap postalias
POSTMAP_SHARED := commands/postmap_main.c commands/postmap_query.c commands/postmap_build.c commands/postmap_files.c
postmap_SRCS := commands/postmap.c $(POSTMAP_SHARED)
postalias_SRCS := commands/postalias.c $(POSTMAP_SHARED)
LIB_SRCS += commands/postmap_message.c
FUZZERS += tests/fuzz/postmap_message_fuzz.c
