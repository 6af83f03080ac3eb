// Everyday use of ioredis (RESP2).   node ioredis.mjs HOST PORT
import { Redis } from "ioredis";
import { Checks, pause } from "./check.mjs";

const [host, port] = [process.argv[2], Number(process.argv[3])];
const checks = new Checks("ioredis");
const redis = new Redis({ host, port, connectionName: "io-everyday", maxRetriesPerRequest: 1 });
const other = new Redis({ host, port, maxRetriesPerRequest: 1 });

await redis.flushall();
checks.equal("set", await redis.set("io:a", "1"), "OK");
checks.equal("get", await redis.get("io:a"), "1");
checks.equal("get of a missing key", await redis.get("io:none"), null);
checks.equal("set nx", await redis.set("io:a", "2", "NX"), null);
checks.equal("incrby", await redis.incrby("io:a", 41), 42);
checks.equal("incrbyfloat", await redis.incrbyfloat("io:f", 10.5), "10.5");
checks.equal("mset", await redis.mset({ "io:m1": "a", "io:m2": "b" }), "OK");
checks.equal("mget", await redis.mget("io:m1", "io:none", "io:m2"), ["a", null, "b"]);
checks.equal("getrange", await redis.getrange("io:m1", 0, -1), "a");
checks.equal("del", await redis.del("io:m1", "io:m2", "io:none"), 2);
const binary = Buffer.from([0, 13, 10, 255, 0]);
await redis.set("io:binary", binary);
checks.equal("binary value", (await redis.getBuffer("io:binary")).equals(binary), true);

checks.equal("set ex", await redis.set("io:e", "v", "EX", 100), "OK");
checks.equal("ttl", [99, 100].includes(await redis.ttl("io:e")), true);
await redis.set("io:short", "v", "PX", 40);
await pause(80);
checks.equal("expired", await redis.exists("io:short"), 0);

const pipeline = redis.pipeline();
for (let number = 0; number < 1000; number += 1) pipeline.set(`io:p:${number}`, number);
checks.equal("pipeline", (await pipeline.exec()).every(([error, reply]) => error === null && reply === "OK"), true);
checks.equal("multi", await redis.multi().set("io:t", "1").incr("io:t").get("io:t").exec(),
  [[null, "OK"], [null, 2], [null, "2"]]);
await redis.watch("io:w");
await other.set("io:w", "changed");
checks.equal("changed watched key", await redis.multi().set("io:w", "mine").exec(), null);
await fillsMultiWithError();

const seen = new Set();
for await (const keys of redis.scanStream({ match: "io:p:*", count: 100 })) keys.forEach((key) => seen.add(key));
checks.equal("scanStream", seen.size, 1000);

checks.equal("client getname", await redis.client("GETNAME"), "io-everyday");
const rows = (await redis.client("LIST")).split("\n").filter((row) => row.includes("name=io-everyday"));
checks.equal("client list", rows.length, 1);
const info = await redis.info();
checks.equal("info", /^redis_version:7\./m.test(info), true);
if (!info.includes("redis_version:7.0")) { // CLIENT SETINFO came with 7.2
  checks.equal("client list: library", /lib-name=ioredis/.test(rows[0]), true);
  checks.equal("client setinfo", await redis.client("SETINFO", "LIB-VER", "1.2.3"), "OK");
}
checks.equal("config get", (await redis.config("GET", "maxclients"))[0], "maxclients");
checks.equal("time", (await redis.time()).length, 2);
checks.equal("dbsize", (await redis.dbsize()) > 1000, true);

await checks.fails("incr of text", "not an integer", () => redis.incr("io:e"));
await checks.fails("unknown command", "unknown command", () => redis.call("NOSUCH", "x"));
await checks.fails("syntax", "syntax error", () => redis.set("k", "v", "NONSENSE"));
await checks.fails("arity", "wrong number of arguments", () => redis.call("GET"));
checks.equal("automatic pipelining", (await autoPipelined()).length, 500);

await redis.quit();
other.disconnect();
checks.done();

async function fillsMultiWithError() {
  await redis.set("io:text", "text");
  const replies = await redis.multi().incr("io:text").get("io:text").exec();
  checks.equal("error inside a transaction", replies[0][0]?.message.includes("not an integer"), true);
  checks.equal("the rest of that transaction", replies[1], [null, "text"]);
  await checks.fails("a transaction with a wrong command", "EXECABORT", async () => {
    await redis.multi({ pipeline: false });
    await redis.call("NOSUCH").catch(() => {});
    return redis.exec();
  });
}

async function autoPipelined() {
  const client = new Redis({ host, port, enableAutoPipelining: true });
  const replies = await Promise.all(Array.from({ length: 500 }, (_, number) => client.get(`io:p:${number}`)));
  client.disconnect();
  return replies.filter((reply, number) => reply === String(number));
}
