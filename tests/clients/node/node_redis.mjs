// Everyday use of node-redis in both protocols, alone and with its pool.   node node_redis.mjs HOST PORT
import { createClient, createClientPool, WatchError } from "redis";
import { Checks, pause } from "./check.mjs";

const socket = { host: process.argv[2], port: Number(process.argv[3]), reconnectStrategy: false };
const checks = new Checks("node-redis");

for (const RESP of [2, 3]) {
  const client = createClient({ RESP, socket, name: "node-everyday" });
  client.on("error", (error) => { throw error; });
  await client.connect();
  await client.flushAll();
  await strings(client);
  await transactions(client);
  await scanning(client);
  await connection(client, RESP);
  await errors(client);
  await client.close();
  await pooled(RESP);
}
checks.done();

async function strings(client) {
  checks.equal("set", await client.set("node:a", "1"), "OK");
  checks.equal("get", await client.get("node:a"), "1");
  checks.equal("get of a missing key", await client.get("node:none"), null);
  checks.equal("set with options", await client.set("node:a", "2", { condition: "XX", GET: true }), "1");
  checks.equal("incrBy", await client.incrBy("node:a", 40), 42);
  checks.equal("mSet", await client.mSet({ "node:m1": "a", "node:m2": "b" }), "OK");
  checks.equal("mGet", await client.mGet(["node:m1", "node:none", "node:m2"]), ["a", null, "b"]);
  checks.equal("del", await client.del(["node:m1", "node:m2"]), 2);
  checks.equal("set with expiry", await client.set("node:e", "v", { expiration: { type: "EX", value: 100 } }), "OK");
  checks.equal("ttl", [99, 100].includes(await client.ttl("node:e")), true);
  await client.set("node:short", "v", { expiration: { type: "PX", value: 40 } });
  await pause(80);
  checks.equal("expired", await client.exists("node:short"), 0);
  checks.equal("implicit pipeline",
    (await Promise.all(Array.from({ length: 1000 }, (_, number) => client.set(`node:p:${number}`, String(number)))))
      .every((reply) => reply === "OK"), true);
}

async function transactions(client) {
  checks.equal("multi", await client.multi().set("node:t", "1").incr("node:t").get("node:t").exec(), ["OK", 2, "2"]);
  await client.watch("node:w");
  const other = client.duplicate();
  other.on("error", (error) => { throw error; });
  await other.connect();
  await other.set("node:w", "changed");
  await other.close();
  try {
    await client.multi().set("node:w", "mine").exec();
    throw new Error("node-redis: a changed watched key let the transaction through");
  } catch (error) {
    checks.equal("changed watched key", error instanceof WatchError, true);
  }
  checks.equal("the watched key", await client.get("node:w"), "changed");
}

async function scanning(client) {
  const seen = new Set();
  for await (const keys of client.scanIterator({ MATCH: "node:p:*", COUNT: 100, TYPE: "string" })) {
    [keys].flat().forEach((key) => seen.add(key));
  }
  checks.equal("scanIterator", seen.size, 1000);
}

async function connection(client, RESP) {
  checks.equal("ping", await client.ping(), "PONG");
  checks.equal("clientGetName", await client.clientGetName(), "node-everyday");
  const mine = (await client.clientList()).filter((row) => row.name === "node-everyday");
  checks.equal("clientList", mine.length, 1);
  checks.equal("clientList: protocol", Number(mine[0].resp), RESP);
  checks.equal("clientId", await client.clientId(), mine[0].id);
  const info = await client.info("server");
  checks.equal("info", /^redis_version:7\./m.test(info), true);
  if (!info.includes("redis_version:7.0")) { // CLIENT SETINFO came with 7.2
    checks.equal("client list: library", mine[0].libName, "node-redis");
    checks.equal("client setinfo", await client.sendCommand(["CLIENT", "SETINFO", "LIB-VER", "1.2.3"]), "OK");
  }
  checks.equal("configGet", await client.configGet("databases"), { databases: "16" });
  checks.equal("dbSize", (await client.dbSize()) > 1000, true);
  checks.equal("command info", (await client.commandInfo(["get"]))[0].arity, 2);
}

async function errors(client) {
  await checks.fails("incr of text", "not an integer", () => client.incr("node:e"));
  await checks.fails("unknown command", "unknown command", () => client.sendCommand(["NOSUCH"]));
  await checks.fails("syntax", "syntax error", () => client.sendCommand(["SET", "k", "v", "NONSENSE"]));
  await checks.fails("arity", "wrong number of arguments", () => client.sendCommand(["GET"]));
}

async function pooled(RESP) {
  const pool = createClientPool({ RESP, socket }, { minimum: 4, maximum: 4 });
  pool.on("error", (error) => { throw error; });
  await pool.connect();
  await pool.set("node:pool", "0");
  await Promise.all(Array.from({ length: 200 }, () => pool.incr("node:pool")));
  checks.equal("counter over a pool", await pool.get("node:pool"), "200");
  await pool.close();
}
