#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# fuzz.sh: runs fuzz targets for so many seconds each, over their seeds, two at a time; new inputs stay in the build folder.
#
# The order of inputs is the same each time, so that a failure can be had again; FUZZ_SEED=0 draws another.
#
# With FUZZ_RUNS=N a target ends after N inputs at the latest: the same inputs each time, which is what `make test` wants.
#
# usage: fuzz.sh FOLDER SECONDS NAME...
set -euo pipefail

folder=$1
seconds=$2
shift 2

run_target() {
    local name=$1 work=$folder/inputs/$1 seeds=()
    mkdir -p "$work"
    [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
    if ! timeout $((seconds + 120)) "$folder/$name" -max_total_time="$seconds" -runs="${FUZZ_RUNS:--1}" -seed="${FUZZ_SEED:-1}" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$work-" -print_final_stats=1 "$work" "${seeds[@]}" >"$work.log" 2>&1; then
        tail -n 40 "$work.log"
        echo "fuzz.sh: $name failed; the input is $work-*" >&2
        return 1
    fi
    printf 'fuzz %-24s %s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$work.log")"
}

export -f run_target
export folder seconds
# xargs ends with a failure when one of the targets failed, after the others have run.
printf '%s\n' "$@" | xargs -P 2 -I NAME bash -c 'run_target NAME'
