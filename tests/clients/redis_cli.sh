#!/usr/bin/env bash
# Everyday use of redis-cli: one-off commands, a pipe of commands, --pipe, --scan, --stat and --bigkeys.
#   redis_cli.sh HOST PORT
set -euo pipefail
host=$1 port=$2
checks=0

cli() { redis-cli -h "$host" -p "$port" "$@"; }

# check NAME WANTED COMMAND...: the reply must be WANTED, or match it when it holds a glob.
check() {
    local name=$1 wanted=$2 found
    shift 2
    found=$("$@" 2>&1) || true
    # shellcheck disable=SC2053
    if [[ $found != $wanted ]]; then
        printf 'redis-cli: %s: wanted %q, found %q\n' "$name" "$wanted" "$found" >&2
        exit 1
    fi
    checks=$((checks + 1))
}

cli flushall >/dev/null
check ping PONG cli ping
check "ping in RESP3" PONG cli -3 ping
check "ping with text" "hello there" cli ping "hello there"
check set OK cli set cli:key "some value"
check get "some value" cli get cli:key
check "a missing key" "" cli get cli:missing
check "a missing key, for a terminal" "(nil)" cli --no-raw get cli:missing
check "value from standard input" OK cli -x set cli:stdin <<<"from a pipe"
check "what was piped" "from a pipe" cli get cli:stdin
check expiry 100 bash -c "redis-cli -h $host -p $port set cli:ttl v ex 100 >/dev/null; redis-cli -h $host -p $port ttl cli:ttl"
check increments $'1\n2\n3' cli -r 3 incr cli:counter
check "another database" OK cli -n 3 set cli:three v
check "keys of that database" cli:three cli -n 3 keys '*'
check "error of a wrong type" "ERR value is not an integer*" cli incr cli:key
check "error of an unknown command" "ERR unknown command 'nosuchcommand'*" cli nosuchcommand
check "exit status of an error" 1 bash -c "redis-cli -e -h $host -p $port nosuchcommand >/dev/null 2>&1; echo \$?"
check "commands from standard input" $'OK\nQUEUED\nQUEUED\nOK\n5' \
    bash -c "printf 'MULTI\nSET cli:multi 4\nINCR cli:multi\nEXEC\n' | redis-cli -h $host -p $port"
check "a map in RESP3" "*server*redis*" bash -c "redis-cli -h $host -p $port hello 3 | tr '\n' ' '"
check "json output" '"some value"' cli --json get cli:key
check "csv output" '"some value",NULL' cli --csv mget cli:key cli:missing
check "info line" "*redis_version:7.*" cli info server
check "config get" $'maxclients\n[1-9]*' cli config get maxclients
check "client name on its own connection" $'OK\nclitest' \
    bash -c "printf 'CLIENT SETNAME clitest\nCLIENT GETNAME\n' | redis-cli -h $host -p $port"
check "help of the server's commands" "*" cli command docs get

# Mass insertion: 10,000 commands as RESP down the pipe.
mass=$(for i in $(seq 10000); do
    printf '*3\r\n$3\r\nSET\r\n$%d\r\ncli:mass:%d\r\n$1\r\nv\r\n' $((9 + ${#i})) "$i"
done | cli --pipe)
[[ $mass == *"errors: 0, replies: 10000"* ]] || { echo "redis-cli: --pipe: $mass" >&2; exit 1; }
scanned=$(cli --scan --pattern 'cli:mass:*' | sort -u | wc -l)
[[ $scanned == 10000 ]] || { echo "redis-cli: --scan gave $scanned of 10000 keys" >&2; exit 1; }
counted=$(cli dbsize)
[[ $counted == 10005 ]] || { echo "redis-cli: DBSIZE says $counted, wanted 10005" >&2; exit 1; }
big=$(cli --bigkeys)
[[ $big == *"Sampled 10005 keys"* ]] || { echo "redis-cli: --bigkeys: $big" >&2; exit 1; }
latency=$(timeout 3 redis-cli -h "$host" -p "$port" --latency -i 1 --raw || true)
[[ $latency =~ ^[0-9]+\ [0-9]+\ [0-9.]+\ [0-9]+ ]] || { echo "redis-cli: --latency: $latency" >&2; exit 1; }
checks=$((checks + 5))
echo "redis-cli: $checks checks"
