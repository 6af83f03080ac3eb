"""Everyday use of redis-py with its C parser, hiredis, in both protocols.

    everyday.py HOST PORT
"""
import asyncio
import sys
import threading
import time

import hiredis  # noqa: F401  (its presence makes redis-py use it)
import redis
import redis.asyncio

checks = 0


def check(name, found, wanted):
    global checks
    checks += 1
    if found != wanted:
        sys.exit(f"redis-py: {name}: wanted {wanted!r}, found {found!r}")


def check_raises(name, kind, text, call):
    try:
        found = call()
    except kind as error:
        check(f"{name} (in {error})", text in str(error), True)
        return
    sys.exit(f"redis-py: {name}: wanted an error, found {found!r}")


def strings(client):
    check("set", client.set("py:a", "1"), True)
    check("get", client.get("py:a"), "1")
    check("set nx on a present key", client.set("py:a", "2", nx=True), None)
    check("set xx get", client.set("py:a", "3", xx=True, get=True), "1")
    check("incr", client.incr("py:a", 5), 8)
    check("incrbyfloat", client.incrbyfloat("py:f", 0.5), 0.5)
    check("append", client.append("py:s", "hello"), 5)
    check("getrange", client.getrange("py:s", 1, 3), "ell")
    check("setrange", client.setrange("py:s", 1, "ipp"), 5)
    check("strlen", client.strlen("py:s"), 5)
    check("mset", client.mset({"py:m1": "a", "py:m2": "b"}), True)
    check("mget", client.mget("py:m1", "py:none", "py:m2"), ["a", None, "b"])
    check("getdel", client.getdel("py:m1"), "a")
    check("exists", client.exists("py:m1", "py:m2", "py:m2"), 2)
    check("type", client.type("py:m2"), "string")
    check("setbit", client.setbit("py:bits", 7, 1), 0)
    check("bitcount", client.bitcount("py:bits"), 1)
    check("bitfield", client.bitfield("py:bf").set("u8", 0, 255).get("u4", 0).execute(), [0, 15])
    check("rename", client.rename("py:m2", "py:m3"), True)
    check("copy", client.copy("py:m3", "py:m4"), True)
    check("unlink", client.unlink("py:m3", "py:m4"), 2)
    with redis.Redis(*where) as raw:
        value = bytes(range(256)) * 5000
        check("a large binary value", raw.set("py:large", value), True)
        check("the large value read", raw.get("py:large") == value, True)


def expiry(client):
    check("set ex", client.set("py:e", "v", ex=100), True)
    check("ttl", client.ttl("py:e") in (99, 100), True)
    check("expire gt", client.expire("py:e", 50, gt=True), False)
    check("persist", client.persist("py:e"), True)
    check("ttl without expiry", client.ttl("py:e"), -1)
    check("ttl of a missing key", client.ttl("py:none"), -2)
    check("px", client.set("py:short", "v", px=40), True)
    time.sleep(0.08)
    check("expired", client.get("py:short"), None)
    check("getex", client.getex("py:e", ex=10), "v")
    check("pttl", 0 < client.pttl("py:e") <= 10000, True)


def pipelines(client):
    with client.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.set(f"py:p:{number}", number)
        check("pipelined sets", all(pipe.execute()), True)
    with client.pipeline() as pipe:
        check("transaction", pipe.set("py:t", 1).incr("py:t").get("py:t").execute(), [True, 2, "2"])
    with client.pipeline() as pipe:
        pipe.set("py:t", "text").incr("py:t").get("py:t")
        replies = pipe.execute(raise_on_error=False)
        check("error inside a transaction", isinstance(replies[1], redis.ResponseError), True)
        check("the rest of that transaction", (replies[0], replies[2]), (True, "text"))
    with client.pipeline() as pipe:
        pipe.watch("py:w")
        client.set("py:w", "changed by another connection")
        pipe.multi()
        pipe.set("py:w", "mine")
        try:
            pipe.execute()
            sys.exit("redis-py: a changed watched key let the transaction through")
        except redis.WatchError:
            check("watched key", client.get("py:w"), "changed by another connection")

    # Optimistic counting from four threads: no increment may be lost.
    def count():
        for _ in range(25):
            client.transaction(lambda pipe: (lambda now: (pipe.multi(), pipe.set("py:c", now + 1)))(
                int(pipe.get("py:c") or 0)), "py:c")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("optimistic counter", client.get("py:c"), "100")


def scanning(client):
    wanted = {f"py:p:{number}" for number in range(1000)}
    check("scan_iter", set(client.scan_iter(match="py:p:*", count=50)), wanted)
    check("scan_iter by type", set(client.scan_iter(match="py:p:*", _type="string")), wanted)
    check("scan_iter of another type", list(client.scan_iter(_type="hash")), [])
    check("keys", set(client.keys("py:p:*")), wanted)
    check("randomkey", client.randomkey() is not None, True)


def connection(client, protocol):
    check("ping", client.ping(), True)
    check("echo", client.echo("hello"), "hello")
    check("client setname", client.client_setname("py-everyday"), True)
    check("client getname", client.client_getname(), "py-everyday")
    mine = [row for row in client.client_list() if row["name"] == "py-everyday"]
    check("client list", len(mine), 1)
    check("client list: protocol", mine[0]["resp"], str(protocol))
    check("client id", client.client_id(), int(mine[0]["id"]))
    check("client info", client.client_info()["name"], "py-everyday")
    info = client.info()
    check("info: version", str(info["redis_version"]).startswith("7."), True)
    if not str(info["redis_version"]).startswith("7.0"):  # CLIENT SETINFO came with 7.2
        check("client list: library", (mine[0]["lib-name"], bool(mine[0]["lib-ver"])), ("redis-py", True))
        check("client setinfo", client.execute_command("CLIENT", "SETINFO", "LIB-VER", "0.0.1"), "OK")
    check("info: keyspace", info["db0"]["keys"] > 1000, True)
    check("info: memory", info["used_memory"] > 0, True)
    check("info of one section", set(client.info("clients")) >= {"connected_clients", "blocked_clients"}, True)
    check("config get", set(client.config_get("maxmemory*")) >= {"maxmemory", "maxmemory-policy"}, True)
    check("config set", client.config_set("slowlog-max-len", 100), True)
    check("config read back", client.config_get("slowlog-max-len"), {"slowlog-max-len": "100"})
    check("time", abs(client.time()[0] - time.time()) < 5, True)
    check("dbsize", client.dbsize() > 1000, True)
    check("command count", client.command_count() > 50, True)
    check("command", client.command()["get"]["arity"], 2)
    check("object encoding", client.object("encoding", "py:c"), "int")
    check("slowlog", isinstance(client.slowlog_get(5), list), True)
    check("memory usage", client.memory_usage("py:large") > 1_000_000, True)


def errors(client):
    client.set("py:text", "text")
    check_raises("incr of text", redis.ResponseError, "not an integer", lambda: client.incr("py:text"))
    check_raises("unknown command", redis.ResponseError, "unknown command", lambda: client.execute_command("NOSUCH"))
    check_raises("arity", redis.ResponseError, "wrong number of arguments", lambda: client.execute_command("GET"))
    check_raises("syntax", redis.ResponseError, "syntax error",
                 lambda: client.execute_command("SET", "k", "v", "NONSENSE"))
    check_raises("rename of nothing", redis.ResponseError, "no such key", lambda: client.rename("py:none", "x"))
    check_raises("a wrong password", redis.AuthenticationError, "",
                 lambda: redis.Redis(*where, username="nobody", password="wrong").ping())
    check("alive after the errors", client.ping(), True)


async def asynchronous(protocol):
    client = redis.asyncio.Redis(host=where[0], port=where[1], decode_responses=True, protocol=protocol)
    check("async set", await client.set("py:async", "0"), True)
    await asyncio.gather(*(client.incr("py:async") for _ in range(50)))
    check("async counter", await client.get("py:async"), "50")
    async with client.pipeline(transaction=True) as pipe:
        check("async transaction", await pipe.set("py:async", "x").get("py:async").execute(), [True, "x"])
    await client.aclose()


where = (sys.argv[1], int(sys.argv[2]))
for version in (2, 3):
    everyday = redis.Redis(*where, decode_responses=True, protocol=version)
    everyday.flushall()
    strings(everyday)
    expiry(everyday)
    pipelines(everyday)
    scanning(everyday)
    # One connection, so that its name stays with it.
    with redis.Redis(*where, decode_responses=True, protocol=version, single_connection_client=True) as single:
        connection(single, version)
    errors(everyday)
    asyncio.run(asynchronous(version))
print(f"redis-py {redis.__version__} with hiredis {hiredis.__version__}: {checks} checks")
