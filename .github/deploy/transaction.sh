# shellcheck shell=bash disable=SC2154 # $record is the script's
# Sourced by the scripts beside this file: `transaction` runs `deploy`, and `roll_back` where that fails or a signal comes.
# `deploy` writes into the folder $record what it is about to change, before it changes it; `roll_back` reads nothing else. So
# `SCRIPT roll-back` also finishes what a deployment left that was killed.

# The name of the bundle: everything that is deployed, and the manifests, use it.
BUNDLE=$(cargo metadata --no-deps --format-version 1 | jq -er .metadata.name)
export BUNDLE

# Runs a step of a rollback. A step that fails is named at the end, and the other steps still run.
failed=()
step() {
    local name=$1
    shift
    "$@" || failed+=("$name")
}

# Nothing may interrupt a rollback: neither a signal nor a closed standard output.
undo() {
    trap '' HUP INT PIPE QUIT TERM
    roll_back
    if [ ${#failed[@]} -gt 0 ]; then
        printf 'not rolled back: %s\n' "${failed[@]}" >&2
        echo "what served before stands in $record; try again: $0 roll-back" >&2
        return 1
    fi
    rm -rf "$record"
    echo "not deployed: what served before serves" >&2
}

deployment='' stopped=''
stop() {
    stopped=$1
    [ -z "$deployment" ] || kill -KILL -- "-$deployment" 2>/dev/null || true
}

# Bash runs a trap only when its command has ended, which may take longer than whoever sent the signal waits: so the
# deployment runs in the background, in a separate process group, which a signal ends as a whole.
deploy_or_undo() {
    local code=0 signal
    for signal in HUP INT QUIT TERM; do
        # shellcheck disable=SC2064 # the signal's name of now
        trap "stop $signal" "$signal"
    done
    mkdir -p "$record"
    set -m
    deploy </dev/null &
    deployment=$!
    set +m
    [ -z "$stopped" ] || stop "$stopped"
    wait "$deployment" 2>/dev/null || code=$?
    if [ $code -eq 0 ]; then
        rm -rf "$record"
        return
    fi
    [ -z "$stopped" ] || echo "stopped by SIG$stopped" >&2
    undo
    return $code
}

transaction() {
    case "$*" in
        '')
            if [ -d "$record" ]; then
                echo "a deployment was killed before it ended: $0 roll-back takes it back" >&2
                return 1
            fi
            deploy_or_undo
            ;;
        roll-back) [ ! -d "$record" ] || undo ;;
        *)
            echo "usage: $0 [roll-back]" >&2
            return 64
            ;;
    esac
}
