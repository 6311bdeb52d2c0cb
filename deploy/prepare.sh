#!/bin/sh
# Prepares a machine for the targets of the Makefile; each part does nothing when nothing is missing.
#
#   prepare.sh python                 print the interpreter to use: the newest that really works
#   prepare.sh venv DIRECTORY         make a virtual environment with it
#   prepare.sh install VENV LOCK...   install hash-locked requirements, then this project, without asking an index for more
#   prepare.sh deploy DIRECTORY       install the gateway itself, apart from this checkout, into a virtual environment there
#   prepare.sh native VENV            compile the optional modules; fails, and says why, where a compiler is missing: then
#                                     their twins in Python serve, and the next call tries again
#   prepare.sh node LOCK DIRECTORY    install the locked packages of npm, so that DIRECTORY/node_modules has them
#   prepare.sh debian WHAT...         see that system software is there: server client jdbc node pgbouncer strace go rsyslog slapd
#                                     chromium redis testssl nginx wrk mariadb haproxy sysbench mysql-tools
#   prepare.sh wish WHAT...           the same for what one can do without: root gets it, others hear nothing
set -eu

say() { printf '%s\n' "$@" >&2; }
die() { say "$@"; exit 1; }

is_root() { [ "$(id -u)" -eq 0 ]; }

# A shim may exist and fail, and Debian ships interpreters without ensurepip: only trying tells.
works() {
    "$1" -c 'import sys, venv, ensurepip, ctypes, sqlite3, ssl; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# APIs are served from 3.12 on, so a newer one that pyenv keeps goes before an older one of the system.
candidates() {
    for version in 3.14 3.13 3.12; do
        echo "python$version"
        ls -d "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}"/versions/"$version".*/bin/"python$version" 2>/dev/null | sort -rV
    done
    echo python3.11 python3 /usr/bin/python3
}

find_python() {
    for candidate in ${PYTHON:-$(candidates)}; do
        if works "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

apt_install() {
    [ -n "$(command -v apt-get || true)" ] || return 1
    # Services that a package would start are none of our business: the tests and the demo start their own.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
    fi
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        printf 'create_main_cluster = false\n' >/etc/postgresql-common/createcluster.conf
    fi
    say "installing $(echo "$@") ..."
    export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
    log=$(mktemp)
    if apt-get -o DPkg::Lock::Timeout=300 update -qq >"$log" 2>&1 \
        && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "$@" >>"$log" 2>&1 </dev/null; then
        rm -f "$log"
        return 0
    fi
    cat "$log" >&2
    rm -f "$log"
    return 1
}

python_() {
    find_python && return 0
    if [ -z "${PYTHON:-}" ] && is_root && apt_install python3 python3-venv >&2; then
        find_python && return 0
    fi
    die "No usable Python >= 3.11 was found (it must have venv, ensurepip, ssl and sqlite3)." \
        "On Debian or Ubuntu: sudo apt-get install python3 python3-venv." \
        "Elsewhere: make PYTHON=/path/to/python3.12 ..."
}

venv() {
    if [ -e "$1/bin/python" ] && "$1/bin/python" -c 'import ssl, pip' >/dev/null 2>&1; then
        return 0
    fi
    interpreter=$(python_)
    say "making $1 with $("$interpreter" --version 2>&1) ..."
    rm -rf "$1"
    "$interpreter" -m venv "$1"
}

install() {
    environment=$1
    shift
    pip="$environment/bin/python -m pip --disable-pip-version-check --no-input -qq"
    for lock in "$@"; do
        say "installing $(basename "$lock" .txt) requirements ..."
        $pip install --no-deps --require-hashes -r "$lock"
    done
    $pip install --no-deps --no-build-isolation --no-index -e .
}

# Nothing of an earlier version may stay: neither files that setuptools built nor modules compiled from other sources.
deploy() {
    venv "$1"
    pip="$1/bin/python -m pip --disable-pip-version-check --no-input -qq"
    for lock in build run; do
        say "installing $lock requirements ..."
        $pip install --no-deps --require-hashes -r "deploy/requirements/$lock.txt"
    done
    rm -rf build
    $pip install --no-deps --no-build-isolation --no-index --force-reinstall .
    rm -rf build
    package=$("$1/bin/python" -P -c 'import gateway, os; print(os.path.dirname(gateway.__file__))')
    find "$package" -name '_*.so' | xargs rm -f
    native "$1" "$package" || true
    say "$("$1/bin/gateway" --version) is in $1: $1/bin/gateway"
}

native() {
    environment=$1
    package=${2:-gateway}
    compiler=$("$environment/bin/python" -c 'import sysconfig; print((sysconfig.get_config_var("CC") or "cc").split()[0])')
    headers=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
    packages=
    command -v "$compiler" >/dev/null || packages="gcc libc6-dev"
    case $headers in
        /usr/include/*) [ -e "$headers" ] || packages="${packages:-gcc libc6-dev} python3-dev" ;;
    esac
    # shellcheck disable=SC2086 # a list of names
    if [ -n "$packages" ] && ! { is_root && apt_install $packages; }; then
        # What was compiled from other sources may not stand in for them.
        find "$package" -name '_*.so' | xargs rm -f
        say "The optional modules are not compiled, so their twins in Python serve: all works, only slower." \
            "To change that: sudo apt-get install $packages"
        return 1
    fi
    find "$package" -name '_*.pyx' | sort | xargs "$environment/bin/python" -P -m gateway.wire.build
}

# Not named `node`: `command -v node` below would find the function.
node_packages() {
    if cmp -s "$1/package-lock.json" "$2/installed.json"; then
        return 0
    fi
    say "installing the packages of $1 ..."
    mkdir -p "$2"
    cp "$1/package.json" "$1/package-lock.json" "$2"
    npm ci --prefix "$2" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp "$1/package-lock.json" "$2/installed.json"
}

missing_package() {
    case $1 in
        server) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql ;;
        # of each server that is there: ask for the server first
        pgaudit) for bin in /usr/lib/postgresql/*/bin; do
            version=$(basename "$(dirname "$bin")")
            [ -e "/usr/share/postgresql/$version/extension/pgaudit.control" ] || echo "postgresql-$version-pgaudit"
        done ;;
        client) command -v psql >/dev/null || echo postgresql-client ;;
        jdbc)
            [ -e /usr/share/java/postgresql.jar ] || echo libpostgresql-jdbc-java
            [ -e /usr/share/java/mariadb-java-client.jar ] || echo libmariadb-java
            command -v javac >/dev/null || echo default-jdk-headless
            ;;
        node)
            command -v node >/dev/null || echo nodejs
            command -v npm >/dev/null || echo npm
            ;;
        pgbouncer) [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || echo pgbouncer ;;
        go)
            command -v go >/dev/null || echo golang-go
            [ -e /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ] || echo golang-golang-x-mod-dev
            ;;
        rsyslog)
            command -v rsyslogd >/dev/null || echo rsyslog
            ls /usr/lib/*/rsyslog/lmnsd_ossl.so >/dev/null 2>&1 || echo rsyslog-openssl
            ;;
        slapd)
            [ -x /usr/sbin/slapd ] || command -v slapd >/dev/null || echo slapd
            command -v ldapmodify >/dev/null || echo ldap-utils
            ;;
        chromium) command -v chromium >/dev/null || echo chromium ;;
        redis) command -v redis-server >/dev/null || echo redis-server ;;
        mariadb)
            [ -x /usr/sbin/mariadbd ] || command -v mariadbd >/dev/null || echo mariadb-server
            command -v mariadb >/dev/null || echo mariadb-client
            ;;
        # whose clients are programs of the tests only
        mysql-tools)
            command -v mycli >/dev/null || echo mycli
            [ -d /usr/lib/python3/dist-packages/MySQLdb ] || echo python3-mysqldb
            ;;
        strace) command -v strace >/dev/null || echo strace ;;
        testssl) command -v testssl >/dev/null || echo "testssl.sh bsdextrautils" ;;
        nginx) [ -x /usr/sbin/nginx ] || echo nginx-light ;;
        wrk) command -v wrk >/dev/null || echo wrk ;;
        haproxy) [ -x /usr/sbin/haproxy ] || echo haproxy ;;
        sysbench) command -v sysbench >/dev/null || echo sysbench ;;
        *) die "unknown software: $1" ;;
    esac
}

debian() {
    packages=$(for what in "$@"; do missing_package "$what"; done | tr '\n' ' ')
    [ -n "$packages" ] || return 0
    # shellcheck disable=SC2086 # a list of names
    if is_root && apt_install $packages; then
        return 0
    fi
    packages=${packages% }
    if is_root; then
        die "Software is missing that could not be installed: $packages"
    fi
    die "Software is missing that only root can install: $packages" \
        "Run: sudo apt-get install $packages"
}

wish() {
    ! is_root || (debian "$@") || say "going on without it"
}

action=$1
shift
case $action in
    python) python_ ;;
    node) node_packages "$@" ;;
    venv | install | deploy | native | debian | wish) "$action" "$@" ;;
    *) die "unknown action: $action" ;;
esac
