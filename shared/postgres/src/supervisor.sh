# shellcheck shell=sh
# Supervisor: exits with the server; stops it when standard input ends, because the last process that uses the server closed
# it or died. Runs in its own process group, as the server's user, in the server's folder.
# Standard error has the output of initdb.
server=$1 initdb=$2 superuser=$3 data=$4 stale=$5 remove=$6
shift 6
exec 3<&0 </dev/null
pid='' stopping=''

stop() {
    stopping=yes
    # While initdb runs, end the whole process group: initdb starts servers too.
    [ -n "$pid" ] || kill -KILL 0
    kill -INT "$pid"
}
trap stop TERM

# A process that joins writes its name, and waits until the file `joined` has it: from then on it counts as a user.
(
    trap - TERM
    while read -r user <&3; do echo "$user" >joined; done
    kill -TERM $$ || kill -INT "$(head -n 1 "$data/postmaster.pid")"
) 2>/dev/null &
watcher=$!
exec 3<&-

mkdir -p -m 700 run
if [ ! -d "$data" ]; then
    # Into a temporary folder, which is renamed when it is complete.
    rm -rf "$data".new.*
    LC_ALL=C "$initdb" -D "$data.new.$$" -U "$superuser" --auth-local=trust --auth-host=scram-sha-256 --locale=C \
        --encoding=UTF8 >/dev/null &
    if ! wait $!; then
        rm -rf "$data.new.$$"
        kill $watcher
        exit 1
    fi
    mv "$data.new.$$" "$data"
fi
exec 2>/dev/null
# Postgres would wait for ever to read a FIFO.
{ [ -z "$stale" ] && [ -f "$data/postmaster.pid" ]; } || rm -f "$data/postmaster.pid"

"$server" -D "$data" "$@" >>"$data/server.log" 2>&1 &
pid=$!
while kill -0 $pid; do wait $pid; done
[ -z "$remove" ] || [ -z "$stopping" ] || rm -rf "$PWD"
kill $watcher
