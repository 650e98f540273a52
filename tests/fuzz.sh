#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# fuzz.sh: runs fuzz targets for so many seconds each, over their seeds; new inputs stay in the build folder.
#
# usage: fuzz.sh FOLDER SECONDS NAME...
set -euo pipefail

folder=$1
seconds=$2
shift 2
for name in "$@"; do
    work=$folder/work/$name
    mkdir -p "$work"
    seeds=()
    [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
    log=$work.log
    if ! timeout $((seconds + 120)) "$folder/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$work-" -print_final_stats=1 "$work" "${seeds[@]}" >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "fuzz.sh: $name failed; the input is $work-*" >&2
        exit 1
    fi
    printf 'fuzz %-24s %s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
done
