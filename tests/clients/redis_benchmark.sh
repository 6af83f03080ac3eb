#!/usr/bin/env bash
# redis-benchmark runs to its end without an error, plain, pipelined, threaded and in RESP3.
#   redis_benchmark.sh HOST PORT
set -euo pipefail
host=$1 port=$2

bench() {
    local wanted=$1 found
    shift
    found=$(redis-benchmark -h "$host" -p "$port" -r 1000 --csv "$@" 2>&1)
    if grep -qiE 'error|warning|could not' <<<"$found" || [[ $(grep -cE '^"[^"]*","[0-9]' <<<"$found") -ne $wanted ]]; then
        printf 'redis-benchmark %s:\n%s\n' "$*" "$found" >&2
        exit 1
    fi
}

bench 6 -t ping,set,get,incr,mset -n 2000 -c 20
bench 3 -t set,get,incr -n 20000 -c 20 -P 32
bench 2 -t set,get -n 5000 -c 20 --threads 2
bench 2 -t set,get -n 2000 -c 5 -3
bench 1 -n 2000 -c 5 set key:__rand_int__ value
stored=$(redis-cli -h "$host" -p "$port" dbsize)
[[ $stored -gt 500 ]] || { echo "redis-benchmark: only $stored keys stored" >&2; exit 1; }
echo "redis-benchmark: 5 runs"
