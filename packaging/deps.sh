#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# deps.sh: installs what the build, the tests and the measurements need; silent when nothing is missing.
#
# Debian and its relatives only. As root, or through sudo. `--list` prints the packages; `build` stops at what the build
# and `make run` need (the tests of table backends want database servers, which not everybody wants installed).
set -euo pipefail

build_packages=(gcc make clang pkg-config libc6-dev libevent-dev libc-ares-dev libidn2-dev libseccomp-dev liblmdb-dev
    libpcre2-dev libssl-dev libsasl2-dev check libclang-rt-dev clang-format
    libcurl4-openssl-dev
    libcdb-dev libsqlite3-dev libpq-dev libmariadb-dev libldap-dev libhiredis-dev)
test_packages=(python3 python3-pytest python3-pytest-xdist pyflakes3 swaks lmdb-utils strace unbound nsd ldnsutils
    postgrey libmail-spf-perl libnetaddr-ip-perl libsys-hostname-long-perl python3-spf-engine python3-pkg-resources
    libsasl2-modules libsasl2-modules-db sasl2-bin libauthen-sasl-perl libdigest-hmac-perl libnet-ssleay-perl dovecot-core msmtp
    sqlite3 postgresql mariadb-server slapd ldap-utils memcached redis-server)

if [ "${1:-}" = --list ]; then
    printf '%s\n' "${build_packages[@]}" "${test_packages[@]}"
    exit 0
fi

if [ "${1:-}" = build ]; then
    test_packages=(python3)
fi

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps.sh: this is not a Debian-like system; install the equivalents of: ${build_packages[*]} ${test_packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${build_packages[@]}" "${test_packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "${state:0:9}" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "deps.sh: missing packages: ${missing[*]}; install them as root (there is no sudo here)" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "deps.sh: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
export RUNLEVEL=1 # the tests start servers of their own: none is started by its package
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install_missing() {
    "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1
}
# The package lists may be absent or old; refresh them only when a first attempt fails.
if ! install_missing; then
    "${as_root[@]}" apt-get update >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    install_missing || { cat "$log" >&2; exit 1; }
fi
