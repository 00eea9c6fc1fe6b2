# Waiting for what another process does, a minute at most. The scripts of the folder above source this; they define fail().
await() { # await WHAT COMMAND...: until the command succeeds
    await_alive "" "$@"
}
await_alive() { # await_alive PID WHAT COMMAND...: the same, and the process must live meanwhile
    awaited_pid=$1
    awaited=$2
    shift 2
    awaits=0
    until "$@" >/dev/null 2>&1; do
        [ -z "$awaited_pid" ] || kill -0 "$awaited_pid" 2>/dev/null || fail "$awaited did not come: its process ended"
        awaits=$((awaits + 1))
        [ "$awaits" -lt 1200 ] || fail "$awaited did not come"
        sleep 0.05
    done
}
await_port() { # await_port PID FILE: what `serve --port-file FILE` writes once it answers
    await_alive "$1" "$2" test -s "$2"
}
