PROGRAMS += virtual
virtual_SRCS := services/virtual/virtual.c services/virtual/virtual_mailbox.c
