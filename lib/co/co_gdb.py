# SPDX-License-Identifier: ISC
"""co_gdb.py: gdb commands for coroutines, of a live process or a core file.

  (gdb) source lib/co/co_gdb.py
  (gdb) co list        every coroutine: id, state, name, what it is doing
  (gdb) co bt ID       the frames of a suspended one
  (gdb) co bt all

A suspended coroutine's registers are in a jmp_buf that the C library scrambles, so the frames are found by walking the
frame pointers (everything is built with -fno-omit-frame-pointer) from the one co_switch leaves behind.
"""
import gdb

FRAMES_MAX = 100
STATES = ["ready", "running", "suspended", "finished"]


def coroutines():
    """All coroutines, oldest first."""
    co_type = gdb.lookup_type("struct co")
    head = gdb.parse_and_eval("&co_the_loop.all")
    offset = next(int(f.bitpos) // 8 for f in co_type.fields() if f.name == "all")
    link = head["next"]
    while int(link) and int(link) != int(head):
        yield gdb.Value(int(link) - offset).cast(co_type.pointer()).dereference()
        link = link["next"]


def state_of(co):
    state = STATES[int(co["state"])]
    return state + ("*" if co["cancelled"] else "")


def title(co):
    action = co["action"].string() if int(co["action"]) else ""
    return "%6d  %-10s %-20s %s" % (int(co["id"]), state_of(co), co["name"].string(), action)


def word(address):
    pointer = gdb.lookup_type("unsigned long").pointer()
    return int(gdb.Value(address).cast(pointer).dereference())


def place(pc):
    """'function () at file:line' of a return address."""
    call = pc - 1  # the call itself, not the line after it
    block = gdb.block_for_pc(call)
    while block and not block.function:
        block = block.superblock
    if block:
        sal = gdb.find_pc_line(call)
        file = sal.symtab.filename if sal.symtab else "?"
        return "%s () at %s:%d" % (block.function.name, file, sal.line)
    symbol = gdb.execute("info symbol 0x%x" % pc, to_string=True).strip()
    return symbol.split(" in section")[0]


def print_frames(co):
    if STATES[int(co["state"])] == "running":
        print("        running: its frames are those of the thread (bt)")
        return
    if int(co["stack"]) == 0:
        print("        has not started: %s" % place(int(co["fn"]) + 1))
        return
    context = co["stack"]["context"]
    low = int(context["stack"])
    high = low + int(context["stack_size"])
    frame = int(context["frame"])
    for number in range(FRAMES_MAX):
        if not low <= frame <= high - 16:
            break
        pc = word(frame + 8)
        if pc == 0:
            break
        print("    #%-2d 0x%016x in %s" % (number, pc, place(pc)))
        above = word(frame)
        if above <= frame:
            break
        frame = above


class Co(gdb.Command):
    """Coroutines: co list | co bt ID | co bt all"""

    def __init__(self):
        super().__init__("co", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split()
        if words == ["list"]:
            print("    id  state      name                 action      (* = cancelled)")
            for co in coroutines():
                print(title(co))
        elif len(words) == 2 and words[0] == "bt":
            self.backtraces(words[1])
        else:
            raise gdb.GdbError("usage: co list | co bt ID | co bt all")

    def backtraces(self, which):
        found = False
        for co in coroutines():
            if which != "all" and int(co["id"]) != int(which):
                continue
            found = True
            print(title(co))
            print_frames(co)
        if not found:
            raise gdb.GdbError("no coroutine %s" % which)


Co()
