PROGRAMS += postmap postalias
POSTMAP_SHARED := commands/postmap_main.c commands/postmap_query.c commands/postmap_build.c
postmap_SRCS := commands/postmap.c $(POSTMAP_SHARED)
postalias_SRCS := commands/postalias.c $(POSTMAP_SHARED)
