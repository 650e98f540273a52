// SPDX-License-Identifier: ISC
// lint_report.h: prints what lib/conf/lint.h finds, for postconf --lint and postfix check.
#ifndef DROMOS_COMMANDS_LINT_REPORT_H
#define DROMOS_COMMANDS_LINT_REPORT_H

enum lint_report_form {
    LINT_REPORT_TEXT, // lines on standard output
    LINT_REPORT_JSON, // one JSON object a line on standard output
    LINT_REPORT_LOG,  // warnings and errors in the log
};
enum { LINT_REPORT_ERRORS = 2 };
// Exit status: 0 nothing or notes only, 1 a warning, 2 an error (also when the configuration cannot be read).
int lint_report(const char *dir, const char *const *overrides, enum lint_report_form form);

#endif
