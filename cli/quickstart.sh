#!/bin/sh
# The main job on this machine, step by step; every command is printed before it
# is run, so that this is the tutorial too.
#
#     sh cli/quickstart.sh [--yes] [--region R --cluster NAME] [--folder DIR]
#                          [--built DIR]
#
#   --yes              ask nothing
#   --region, --cluster
#                      which cluster of the real cloud to fetch; used when there
#                      are cloud credentials in the environment
#                      (HUAWEICLOUD_SDK_AK and _SK). Without credentials a
#                      stand-in for the cloud is started on this machine
#   --folder DIR       where everything is left; default build/quickstart
#   --built DIR        use the programs of this build as they are: installs and
#                      builds nothing
#
# Installs packages (as root or with sudo) and builds build/release first, where
# that is not done yet. Works on Debian 12, Debian 13 and Ubuntu 24.04.
set -u
src=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd) || exit 1
. "$src/cli/packages.sh"

yes=
region=${CERTVAULT_REGION-}
cluster=
second=
built=
folder=$src/build/quickstart
standin=
lenient=

usage() {
    sed -n '5,19s/^# \{0,1\}//p' "$0"
    exit "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
    --yes) yes=1 ;;
    --region | --cluster | --folder | --built)
        [ $# -gt 1 ] || usage 64
        case $1 in
        --region) region=$2 ;;
        --cluster) cluster=$2 ;;
        --folder) folder=$2 ;;
        --built) built=$2 ;;
        esac
        shift
        ;;
    -h | --help) usage 0 ;;
    *) usage 64 ;;
    esac
    shift
done

say() {
    printf '\n# %s\n' "$*"
}

fail() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

ask() {
    [ -z "$yes" ] || return 0
    printf '%s [y/N] ' "$*"
    read -r answer || return 1
    case $answer in
    y | Y | yes) return 0 ;;
    *) return 1 ;;
    esac
}

# Prints a command as it would be typed.
show() {
    line='$'
    for word in "$@"; do
        case $word in
        '' | *[!A-Za-z0-9_./:=,@%+-]*) line="$line '$word'" ;;
        *) line="$line $word" ;;
        esac
    done
    printf '%s\n' "$line"
}

# run CODE COMMAND...: shows it, runs it; it must end with CODE.
run() {
    want=$1
    shift
    show "$@"
    "$@" 9>&-
    got=$?
    [ "$got" = "$want" ] || fail "exit code $got, expected $want"
    [ "$want" = 0 ] || echo "(exit code $got, as it should be)"
}

# The programs of a build come first.
use_built() {
    bin=$(CDPATH= cd -- "$1/bin" 2>/dev/null && pwd) &&
        [ -x "$bin/certvault" ] || fail "$1 holds no build of certvault"
    say "the programs are in $bin"
    printf '%s\n' "$ export PATH=$bin:\$PATH"
    PATH=$bin:$PATH
    export PATH
}

# What a first run needs before anything can be shown.
prepare() {
    if [ -n "$built" ]; then
        use_built "$built"
        return
    fi
    missing=$(cv_packages_missing $(sed -n 's/^\(build\|demo\) //p' \
        "$src/cli/packages.txt"))
    # Not every release has it: what it would show is left out there.
    client=
    command -v kubectl >/dev/null || client=kubernetes-client
    if [ -z "$missing" ] && [ -n "$client" ]; then
        apt-cache show "$client" >/dev/null 2>&1 || client=
    fi
    if [ -n "$missing$client" ]; then
        ask "Install these packages? $(echo $missing $client)" || exit 1
        cv_packages "$src" build demo || fail "packages are missing"
        cv_packages_kubectl
    fi
    say "build (in build/release; the log is build/quickstart.log)"
    mkdir -p "$src/build" || exit 1
    # A new compiler's new warnings are no reason not to run.
    [ -e "$src/build/release/CMakeCache.txt" ] || lenient=-DCV_WERROR=OFF
    (cd "$src" && cmake --preset release $lenient &&
        cmake --build build/release -j "$(nproc)" \
            --target certvault certvaultd token intake relay_program) \
        >"$src/build/quickstart.log" 2>&1 ||
        { tail -n 40 "$src/build/quickstart.log"; fail "the build failed"; }
    use_built "$src/build/release"
}

# Is nothing of anybody else's in it? An earlier run left its mark there; the
# folder in build is nobody else's, if it really is there: a way through build
# may lead anywhere.
is_ours() {
    [ ! -e "$1" ] || [ -e "$1/.quickstart" ] || {
        build=$(CDPATH= cd -P -- "$src/build" 2>/dev/null && pwd -P) &&
            where=$(CDPATH= cd -P -- "$1" 2>/dev/null && pwd -P) &&
            case $where in "$build"/?*) true ;; *) false ;; esac
    }
}

# An empty folder for everything that follows; an older one is kept beside it.
start_folder() {
    folder=${folder%/}
    for one in "$folder" "$folder.old"; do
        is_ours "$one" || fail "$one is there, and not of an earlier run:" \
            "name another folder with --folder"
    done
    if [ -e "$folder" ]; then
        rm -rf "$folder.old"
        mv "$folder" "$folder.old" || exit 1
    fi
    (umask 077 && mkdir -p "$folder" && : >"$folder/.quickstart") || exit 1
    folder=$(CDPATH= cd -- "$folder" && pwd) || exit 1
    cd "$folder" || exit 1
    say "everything is left in $folder"
    show cd "$folder"
    show export "CERTVAULT_DIR=$folder/vault"
    CERTVAULT_DIR=$folder/vault
    export CERTVAULT_DIR
    # Only what this shows: no service, no secrets of yours.
    unset CERTVAULT_BROKER CERTVAULT_KEY_FILE CERTVAULT_PASSPHRASE_FILE
    unset CERTVAULT_PIN_FILE SOFTHSM2_CONF
    # What kubectl keeps of clusters goes there too.
    KUBECACHEDIR=$folder/kube-cache
    export KUBECACHEDIR
    # However this ends, it leaves nothing running: the stand-in ends with it.
    trap 'certvault -q agent stop' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Has the real cloud been given?
have_cloud() {
    [ -n "${HUAWEICLOUD_SDK_AK-}" ] && [ -n "${HUAWEICLOUD_SDK_SK-}" ]
}

# A member of the stand-in's first line.
told() {
    /usr/bin/python3 -c 'import json, sys
print(json.load(open("standin.json"))[sys.argv[1]])' "$1"
}

# Starts the stand-in; it ends when this script does (its standard input, which
# descriptor 9 keeps open, is closed then).
start_standin() {
    say "no cloud credentials here: a stand-in for CCE, on this machine, over TLS"
    rm -f .standin && mkfifo -m 600 .standin || exit 1
    echo "$ python3 $src/tests/fakes/cce_standin.py > standin.json &"
    (umask 077 && exec /usr/bin/python3 -B "$src/tests/fakes/cce_standin.py" \
        --life 600 --serve --folder "$folder" <.standin >standin.json \
        2>standin.log) &
    standin=$!
    exec 9>.standin
    rm -f .standin
    tries=0
    until [ -s standin.json ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] && kill -0 $standin 2>/dev/null ||
            { cat standin.log; fail "the stand-in did not start"; }
        sleep 0.1
    done
    HUAWEICLOUD_SDK_AK=$(told ak)
    HUAWEICLOUD_SDK_SK=$(told sk)
    export HUAWEICLOUD_SDK_AK HUAWEICLOUD_SDK_SK
    echo "(it checks every signature with code of its own; the keys for it,"
    echo "HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, are now in the environment)"
    region=$(told region)
    cluster=prod
    second=dev
    url=$(told url)
    set_cloud --region "$region" --endpoint "$url" --iam-endpoint "$url" \
        --ca-file standin-ca.pem
}

set_cloud() {
    cloud=$*
}

choose_cloud() {
    if have_cloud; then
        [ -n "$region" ] && [ -n "$cluster" ] || fail "there are cloud" \
            "credentials in the environment: name the cluster with --region" \
            "and --cluster, or unset HUAWEICLOUD_SDK_AK to use the stand-in"
        ask "Ask the real CCE for a certificate of $cluster (1 day)?" || exit 1
        second=$cluster
        set_cloud --region "$region"
    else
        start_standin
    fi
}

# Changes one bit in the middle of what is written in a file: behind a log that
# is open are zeros, ahead of what comes.
flip() {
    at=$(($(tr -d '\000' <"$1" | wc -c) / 2))
    byte=$(od -An -tu1 -j $at -N 1 "$1" | tr -d ' ')
    octal=$(printf '%03o' $((byte ^ 1)))
    printf '%s\n' "$ printf '\\$octal' | dd of=$1 bs=1 seek=$at conv=notrunc"
    printf "\\$octal" | dd of="$1" bs=1 seek=$at conv=notrunc 2>/dev/null
}

write_policy() {
    say "a policy that lets you export, but only with a reason"
    show cat policy.yaml
    cat >policy.yaml <<EOF
apiVersion: certvault/v1
kind: Policy
metadata: {name: quickstart, version: 1}
rules:
- name: owner
  effect: permit
  subjects: {uids: [$(id -u)]}
  actions: [fetch, import, list, show, use, edit, remove, audit.read,
            policy.read, policy.apply, admin]
- name: drill
  effect: permit
  subjects: {uids: [$(id -u)]}
  actions: [export]
  when: {reason: required}
EOF
    cat policy.yaml
}

# A token in software stands for a card, a TPM or an HSM.
make_token() {
    say "a second cluster's key goes into a token: here SoftHSM, in its place" \
        "a smartcard, a TPM or an HSM"
    mkdir -m 700 tokens || exit 1
    printf 'directories.tokendir = %s\nobjectstore.backend = file\n' \
        "$folder/tokens" >softhsm2.conf
    SOFTHSM2_CONF=$folder/softhsm2.conf
    export SOFTHSM2_CONF
    show export "SOFTHSM2_CONF=$SOFTHSM2_CONF"
    (umask 077 && echo 123456 >token.pin) || exit 1
    run 0 softhsm2-util --init-token --free --label quickstart --so-pin \
        12345678 --pin 123456
    # The agent has the environment that it was started with.
    run 0 certvault agent stop
    CERTVAULT_PIN_FILE=$folder/token.pin
    export CERTVAULT_PIN_FILE
    show export "CERTVAULT_PIN_FILE=$CERTVAULT_PIN_FILE"
}

token_tour() {
    make_token
    run 0 certvault token list
    run 0 certvault fetch --cluster "$second" --name second \
        --to token:pkcs11:token=quickstart $cloud
    run 0 certvault show second

    say "it can be used there, and does not come back: by no command of ours," \
        "and by none of the sixteen attacks that are tried on such a key"
    run 77 certvault export second --reason "restore drill"
    run 0 certvault token probe pkcs11:token=quickstart --destructive-test \
        --yes
}

# kubectl does not know of any of this.
relay_tour() {
    if ! command -v kubectl >/dev/null; then
        say "kubectl is not here: what it does with a key on a token is left out"
        return
    fi
    if [ -z "$standin" ]; then
        say "next: certvault exec second -- kubectl get namespaces"
        return
    fi
    say "kubectl uses the key that stays on the token: it talks to a relay on" \
        "this machine, which has no key either and asks for each signature"
    run 0 certvault exec second -- kubectl get namespaces

    say "a grant may be for reading only, and for a time"
    run 1 certvault exec second --read-only --for 10m -- \
        kubectl delete namespace shop

    say "or kubectl finds the way by itself: there is no key in this file"
    # kubectl before 1.22 knows the older exec plugins alone.
    api=v1
    case $(kubectl version --client 2>/dev/null) in
    *v1.1[0-9].* | *v1.2[01].*) api=v1beta1 ;;
    esac
    run 0 certvault kubeconfig second --merge kubeconfig --exec-api $api
    run 0 kubectl --kubeconfig kubeconfig --context second get namespaces
    run 0 certvault audit who second
}

tour() {
    say "make a vault; here a key file opens it (a passphrase by default)"
    run 0 certvault init --key "file:$folder/vault.key"

    say "fetch a cluster's certificate: its key goes straight into a sealed box"
    run 0 certvault clusters $cloud
    run 0 certvault fetch --cluster "$cluster" --name prod --exportable \
        --label env=prod $cloud

    say "what is in the vault: everything but the key can be seen"
    run 0 certvault list
    run 0 certvault show prod

    say "the first policy lets nobody export a key, not even you"
    run 77 certvault export prod --reason "restore drill" --output prod.yaml

    write_policy
    run 0 certvault policy check policy.yaml
    run 0 certvault policy apply policy.yaml
    run 77 certvault export prod --output prod.yaml
    run 0 certvault export prod --reason "restore drill" --output prod.yaml
    run 0 ls -l prod.yaml

    say "who had it, and why"
    run 0 certvault audit who prod
    run 0 certvault audit query --action export

    say "the record cannot be changed without being found out"
    run 0 certvault audit verify
    run 0 cp -r vault vault-copy
    flip vault-copy/audit/log
    run 70 certvault --vault "$folder/vault-copy" audit verify
    run 0 certvault audit verify

    token_tour
    relay_tour

    say "the agent that did all this, opened once; by itself it ends after 15" \
        "minutes without work"
    run 0 certvault agent status
    run 0 certvault agent stop
}

prepare
start_folder
choose_cloud
tour
[ -z "$standin" ] || exec 9>&-
say "done. In $folder:"
echo "vault/ the vault, vault.key what opens it, prod.yaml the export (with its key"
echo "in the clear), vault-copy/ the copy with one bit changed, tokens/ the token."
echo "rm -r $folder removes it all."
echo "Next: $bin/certvault --help"
