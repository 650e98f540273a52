QMGR_PARTS := qmgr/qmgr_message.c qmgr/qmgr_assign.c qmgr/qmgr_job.c qmgr/qmgr_active.c qmgr/qmgr_scan.c \
        qmgr/qmgr_load.c qmgr/qmgr_transport.c qmgr/qmgr_destination.c qmgr/qmgr_schedule.c \
        qmgr/qmgr_deliver.c qmgr/qmgr_finish.c qmgr/qmgr_remove.c
PROGRAMS += qmgr
qmgr_DIR := daemon
qmgr_SRCS := qmgr/qmgr.c $(QMGR_PARTS)
LIB_SRCS += qmgr/qmgr_feedback.c qmgr/qmgr_due.c qmgr/qmgr_slots.c
UNIT_TESTS += qmgr/qmgr_feedback_test.c qmgr/qmgr_due_test.c qmgr/qmgr_slots_test.c
