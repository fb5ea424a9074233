# Installs the packages of cli/packages.txt; read by other scripts with ".".
#
#     cv_packages FOLDER USE...     FOLDER: the source tree; USE: build, test, ...
#
# Asks dpkg first, so that nothing is done where nothing is missing. Needs root
# or sudo only where something is. Returns 1 when packages cannot be had.

# Prints those of "$@" that are not installed.
cv_packages_missing() {
    for cv_p in "$@"; do
        case $(dpkg-query -W -f='${db:Status-Status}' "$cv_p" 2>/dev/null) in
        installed) ;;
        *) printf '%s\n' "$cv_p" ;;
        esac
    done
}

# Runs apt-get as root, without questions.
cv_packages_apt() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive apt-get "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo env DEBIAN_FRONTEND=noninteractive apt-get "$@"
    else
        echo "these packages need root or sudo to be installed:" >&2
        echo "  apt-get $*" >&2
        return 1
    fi
}

# Installs "$@" where they are missing.
cv_packages_install() {
    cv_missing=$(cv_packages_missing "$@")
    [ -n "$cv_missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "no apt-get here; install what these are called on this system:" >&2
        echo "$cv_missing" >&2
        return 1
    fi
    echo "installing:" $cv_missing >&2
    if [ -z "$cv_packages_updated" ]; then
        cv_packages_apt update -q >/dev/null </dev/null || return 1
        cv_packages_updated=1
    fi
    cv_packages_apt install -q -y --no-install-recommends $cv_missing \
        >/dev/null </dev/null
}

# kubectl, where there is none and this release of the system has it. Its
# package would fight with one from elsewhere over /usr/bin/kubectl: so only then.
cv_packages_kubectl() {
    command -v kubectl >/dev/null 2>&1 && return 0
    [ -d /var/lib/apt/lists ] &&
        apt-cache show kubernetes-client >/dev/null 2>&1 &&
        cv_packages_install kubernetes-client
    command -v kubectl >/dev/null 2>&1
}

# cv_packages_optional FOLDER USE [PACKAGE]: as cv_packages, but without what
# this release of the system has not, and without PACKAGE.
cv_packages_optional() {
    cv_missing=$(sed -n "s/^$2 //p" "$1/cli/packages.txt" |
        grep -vxF -- "${3:--}")
    cv_missing=$(cv_packages_missing $cv_missing)
    [ -n "$cv_missing" ] || return 0
    if [ -z "${cv_packages_updated-}" ] && command -v apt-get >/dev/null 2>&1
    then
        cv_packages_apt update -q >/dev/null </dev/null
        cv_packages_updated=1
    fi
    cv_known=
    for cv_p in $cv_missing; do
        if apt-cache show "$cv_p" >/dev/null 2>&1; then
            cv_known="$cv_known $cv_p"
        else
            echo "cannot be had here: $cv_p" >&2
        fi
    done
    [ -z "$cv_known" ] || cv_packages_install $cv_known
}

# Stops and disables the services of "$@" (systemd units), where there are any.
cv_packages_quiet() {
    [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] || return 0
    for cv_unit in "$@"; do
        systemctl disable --now "$cv_unit" >/dev/null 2>&1
    done
    return 0
}

cv_packages() {
    cv_list=$1/cli/packages.txt
    shift
    cv_packages_updated=
    cv_wanted=
    for cv_use in "$@"; do
        cv_wanted="$cv_wanted $(sed -n "s/^$cv_use //p" "$cv_list")"
    done
    # These are wanted as programs only: where they were not there before, the
    # services that their packages start are stopped again.
    cv_services=$(cv_packages_missing nginx haproxy stunnel4)
    cv_packages_install $cv_wanted || return 1
    cv_packages_quiet $cv_services
    return 0
}
