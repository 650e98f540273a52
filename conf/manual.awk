# SPDX-License-Identifier: ISC
# manual.awk: turns params.def into postconf(5): each parameter with its type, default, bounds, readers and sentence.
#
# A parameter is two lines: PARAM_TYPE(member, "name", "default", min, max, CLASS, "used by", "since", and its sentence.
# Of a service parameter the first column is the type.

function mdoc(text) {
    gsub(/\001/, "\"", text)
    gsub(/\\\\/, "\\e", text)
    if (text ~ /^[.']/)
        text = "\\&" text
    return text
}

function type_text(type) {
    if (type ~ /^TIME_/)
        return "time, unit " tolower(substr(type, 6)) " unless the value names one"
    if (type == "BOOL")
        return "yes or no"
    if (type == "INT" || type == "LONG")
        return "number"
    return type == "RAW" ? "text, expanded when it is used" : "text"
}

function bounds_text(type, min, max) {
    if (type == "STRING" || type == "RAW")
        return min != 0 ? ", not empty" : ""
    if (min != 0 && max != 0)
        return "; " min " to " max
    if (min != 0)
        return "; at least " min
    return max != 0 ? "; at most " max : ""
}

BEGIN {
    print ".\\\" SPDX-License-Identifier: ISC"
    print ".Dd November 27, 2026"
    print ".Dt POSTCONF 5\n.Os\n.Sh NAME\n.Nm postconf\n.Nd parameters of main.cf\n.Sh DESCRIPTION"
    print ".Pa main.cf\nholds lines"
    print ".Ql name = value ;\na line that begins with a blank continues the one before, and"
    print ".Ql #\nbegins a comment. In a value,"
    print ".Ql $name ,\n.Ql ${name?{text}:{other}}\nand"
    print ".Ql ${{a} == {b} \\&? {text} \\&: {other}}\nare replaced by values of other parameters."
    print "When the directory\n.Pa main.cf.d\nexists beside it, its files\n.Pa *.cf\nare read in the order of their names; a later value wins."
    print ".Pp\n.Xr postconf 1\nprints and edits them, says which file and line a value comes from, and finds mistakes."
    print ".Sh PARAMETERS\n.Bl -tag -width Ds"
}

/^PARAM_/ {
    line = $0
    sub(/^PARAM_/, "", line)
    type = line
    sub(/\(.*/, "", type)
    sub(/^[A-Z_]*\(/, "", line)
    if (type == "SERVICE")
        type = substr(line, 1, index(line, ",") - 1)
    gsub(/\\"/, "\001", line)
    split(line, part, "\"")
    name = part[2]
    text = part[4]
    split(part[5], column, /, */)
    readers = part[6]
    since = part[8]
    legacy = column[4] ~ /LEGACY/
    next
}

/^    "/ && name != "" {
    sentence = $0
    sub(/^ *"/, "", sentence)
    sub(/"\)$/, "", sentence)
    gsub(/\\"/, "\001", sentence)
    printf ".It Va %s\n%s\n", mdoc(name), mdoc(sentence)
    printf "(%s%s; default: %s; read by %s%s%s.)\n", type_text(type), bounds_text(type, column[2], column[3]),
        text == "" ? "empty" : mdoc(text), readers, since == "" ? "" : "; since " since, legacy ? "; an older name" : ""
    name = ""
}

END {
    print ".El\n.Sh SEE ALSO\n.Xr postconf 1 ,\n.Xr postfix 1 ,\n.Xr master 8"
}
