# shellcheck shell=sh
# Supervisor of one server, in a process group of its own, as the user of the server and in the server's folder. Standard input
# is a FIFO or a pipe: it ends with the last process that uses the server, however that ends, and the server is stopped then.
# What initdb says goes to standard error.
server=$1 initdb=$2 superuser=$3 data=$4 stale=$5 remove=$6
shift 6
exec 3<&0 </dev/null
pid='' stopping=''

stop() {
    stopping=yes
    # While initdb runs, all of this group has to go: initdb starts servers of its own.
    [ -n "$pid" ] || kill -KILL 0
    kill -INT "$pid"
}
trap stop TERM

# Who joins the server writes a line, and reads it in the file `joined`: from then on the input does not end without them.
(
    trap - TERM
    while read -r user <&3; do echo "$user" >joined; done
    kill -TERM $$ || kill -INT "$(head -n 1 "$data/postmaster.pid")"
) 2>/dev/null &
watcher=$!
exec 3<&-

mkdir -p -m 700 run
if [ ! -d "$data" ]; then
    # Into a folder that gets its name when it is whole.
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
# Postgres would wait for ever to read what is not a file.
{ [ -z "$stale" ] && [ -f "$data/postmaster.pid" ]; } || rm -f "$data/postmaster.pid"

"$server" -D "$data" "$@" >>"$data/server.log" 2>&1 &
pid=$!
while kill -0 $pid; do wait $pid; done
[ -z "$remove" ] || [ -z "$stopping" ] || rm -rf "$PWD"
kill $watcher
