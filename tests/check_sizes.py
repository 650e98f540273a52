#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""check_sizes.py: bounds on functions and files, and no mutable data inside functions.

Refused: functions of more than 100 lines (but tables with /* long: table */ on the line before), files of more than
800 lines, more than 5 parameters (the struct err * at the end, which every fallible function has, is not counted; callbacks of a library
with the comment CALLBACK on the line before excepted),
function-static data that is not const (test programs excepted).
Prints each breach as file:line, then the figures of the tree; exits with status 1 if there is a breach.
"""
import pathlib
import re
import sys

FUNCTION_MAX = 100
FILE_MAX = 800
PARAMETERS_MAX = 5
LONG_TABLE = "/* long: table */"
CALLBACK = "/* callback: the parameters are a library's */"

NOT_CODE = re.compile(
    r"//[^\n]*|/\*.*?\*/"  # comments
    r'|"(?:\\.|[^"\\\n])*"' r"|'(?:\\.|[^'\\\n])*'"  # strings, characters
    r"|^[ \t]*#(?:\\\n|[^\n])*",  # preprocessor lines
    re.S | re.M,
)
# What may stand between the parameters and the body: CO, MUST_CHECK, __attribute__((...)).
AFTER_PARAMETERS = re.compile(r"\)\s*(?:(?:[A-Z_0-9]+|__attribute__)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*)*$")
STATIC = re.compile(r"\bstatic\b([^;={]*)")


def blank(match):
    """Takes out what is not code, but keeps the lines."""
    return re.sub(r"[^\n]", " ", match[0])


def close_of(text, start):
    """Index of the brace or parenthesis that closes the one at `start`."""
    pairs = {"{": "}", "(": ")"}
    opening, closing = text[start], pairs[text[start]]
    depth = 0
    for index in range(start, len(text)):
        if text[index] == opening:
            depth += 1
        elif text[index] == closing:
            depth -= 1
            if depth == 0:
                return index
    return len(text) - 1


def parameters_of(head):
    """(name, number of parameters) of the function whose text before the body is `head`."""
    index = 0
    while True:
        found = re.compile(r"(\w+)\s*\(").search(head, index)
        if not found:
            return "?", 0
        opening = found.end() - 1
        closing = close_of(head, opening)
        name = found[1]
        # Attributes and macros in capitals stand before or after the name; START_TEST(name) is a function itself.
        if name in ("__attribute__", "_Alignas") or (name.isupper() and name != "START_TEST"):
            index = closing
            continue
        inside = re.sub(r",?\s*struct err \*\w+$", "", head[opening + 1 : closing].strip())
        if name == "START_TEST":
            return inside, 0
        if inside in ("", "void"):
            return name, 0
        depth = count = 0
        for character in inside:
            depth += (character == "(") - (character == ")")
            count += character == "," and depth == 0
        return name, count + 1


def functions_of(text):
    """(name, parameters, index of head, index of body, index of end) of each function in blanked text."""
    start = index = 0
    while index < len(text):
        character = text[index]
        if character == ";":
            start = index + 1
        elif character == "{":
            end = close_of(text, index)
            head = text[start:index]
            if AFTER_PARAMETERS.search(head) and "=" not in re.sub(r"\([^()]*\)", "", head):
                name, count = parameters_of(head)
                yield name, count, start + len(head) - len(head.lstrip()), index, end
                start = end + 1
            elif re.search(r"=\s*(\([^()]*\)\s*)?$", head) is None:
                start = end + 1
            index = end
        index += 1


def is_mutable(declaration):
    """Whether `static DECLARATION` inside a function can change."""
    declaration = declaration.split("[")[0]
    if "*" in declaration:
        return not re.search(r"\*\s*const\b[^*]*$", declaration)
    return not re.search(r"\bconst\b", declaration)


def check_file(path, source):
    """Prints the breaches of one file. Returns their number and the lengths of its functions."""
    text = NOT_CODE.sub(blank, source)
    lines = source.splitlines()
    is_test = path.endswith(("_test.c", "_test.h")) or path.startswith("tests/")
    lengths, breaches = [], []

    def line_of(index):
        return text.count("\n", 0, index) + 1

    if len(lines) > FILE_MAX:
        breaches.append((1, "file of %d lines (at most %d)" % (len(lines), FILE_MAX)))
    for name, count, head, body, end in functions_of(text):
        first = line_of(head)
        length = line_of(end) - first + 1
        is_table = first > 1 and LONG_TABLE in lines[first - 2]
        if not is_table:
            lengths.append(length)
        if length > FUNCTION_MAX and not is_table:
            breaches.append((first, "%s has %d lines (at most %d)" % (name, length, FUNCTION_MAX)))
        is_callback = first > 1 and CALLBACK in lines[first - 2]
        if count > PARAMETERS_MAX and not is_callback:
            breaches.append((first, "%s has %d parameters (at most %d)" % (name, count, PARAMETERS_MAX)))
        if is_test:
            continue
        for found in STATIC.finditer(text, body, end):
            if is_mutable(found[1]):
                breaches.append((line_of(found.start()), "%s keeps mutable static data" % name))
    for number, what in breaches:
        print("%s:%d: %s" % (path, number, what))
    return len(breaches), lengths


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    breaches = files = 0
    lengths = []
    for file in sorted(root.rglob("*.[ch]")):
        path = file.relative_to(root).as_posix()
        if path.startswith(("build", "run/", "bench/scratch", ".")):
            continue
        files += 1
        found, of_file = check_file(path, file.read_text(encoding="utf-8"))
        breaches += found
        lengths += of_file
    lengths.sort()
    p95 = lengths[len(lengths) * 95 // 100] if lengths else 0
    print("sizes: %d files, %d functions, median %d lines, p95 %d, longest %d, %d breaches"
          % (files, len(lengths), lengths[len(lengths) // 2] if lengths else 0, p95, lengths[-1] if lengths else 0,
             breaches))
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
