//! Scripts as clients run them, on an engine without a network.

use std::time::Duration;

use super::LuaEngine;
use crate::commands::testing::TestServer;
use crate::engine::script::Reach;

fn server() -> TestServer {
    let server = TestServer::new();
    let _ = server.engine.script_engine.set(Box::new(LuaEngine::new(false)));
    server
}

fn eval(server: &mut TestServer, script: &str, keys: &[&str], args: &[&str]) -> String {
    let count = keys.len().to_string();
    let words = ["EVAL", script, &count].into_iter().chain(keys.iter().copied()).chain(args.iter().copied());
    let words: Vec<&[u8]> = words.map(str::as_bytes).collect();
    String::from_utf8_lossy(&server.call(&words)).into_owned()
}

fn reach(server: &TestServer, script: &str) -> Reach {
    server.engine.scripts.get(crate::base::sha1::hex(script.as_bytes()).as_bytes()).unwrap().reach.get()
}

#[test]
fn very_many_results() {
    let mut server = server();
    let many = "local many = {} for i = 1, 4000 do many[i] = i end ";
    assert_eq!(eval(&mut server, &format!("{many} return unpack(many)"), &[], &[]), ":1\r\n");
    let counted = format!("{many} return #{{pcall(function() return unpack(many) end)}}");
    assert_eq!(eval(&mut server, &counted, &[], &[]), ":4001\r\n");
}

#[test]
fn values_and_replies() {
    let mut server = server();
    for (script, reply) in [
        ("return 'x'", "$1\r\nx\r\n"),
        ("return 3.99", ":3\r\n"),
        ("return true", ":1\r\n"),
        ("return false", "$-1\r\n"),
        ("return nil", "$-1\r\n"),
        ("return {1, 'a', {2}, nil, 3}", "*3\r\n:1\r\n$1\r\na\r\n*1\r\n:2\r\n"),
        ("return {ok='fine\\r\\n'}", "+fine  \r\n"),
        ("return {err='MY error'}", "-MY error\r\n"),
        ("return {double=1.5}", "$3\r\n1.5\r\n"),
        ("return {map={a=1}}", "*2\r\n$1\r\na\r\n:1\r\n"),
        ("return redis.error_reply('A b')", "-A b\r\n"),
        ("return redis.error_reply('-A')", "-ERR A\r\n"),
        ("return redis.status_reply('A')", "+A\r\n"),
        ("return type(redis.call('set', KEYS[1], 1).ok)", "$6\r\nstring\r\n"),
        (
            "return redis.pcall('incr', KEYS[1], 1, 2).err",
            "$59\r\nERR Wrong number of args calling Redis command from script\r\n",
        ),
        ("return redis.call('get', 'missing') == false", ":1\r\n"),
        ("return {KEYS[1], ARGV[1], #KEYS, #ARGV}", "*4\r\n$1\r\nk\r\n$1\r\nv\r\n:1\r\n:1\r\n"),
        ("redis.setresp(3); return redis.call('get', 'missing') == nil", ":1\r\n"),
        ("return redis.sha1hex('')", "$40\r\nda39a3ee5e6b4b0d3255bfef95601890afd80709\r\n"),
        ("return {redis.REPL_ALL, redis.LOG_WARNING, redis.breakpoint()}", "*3\r\n:3\r\n:3\r\n$-1\r\n"),
        (
            "return {pcall(redis.call, 'nosuch')}",
            "*2\r\n$-1\r\n$48\r\nERR Unknown Redis command called from script\r\n",
        ),
    ] {
        let got = eval(&mut server, script, &["k"], &["v"]);
        // Lengths are not what is tested.
        let plain = |text: &str| {
            text.split("\r\n").filter(|line| !line.starts_with('$') || *line == "$-1").collect::<Vec<_>>().join("|")
        };
        assert_eq!(plain(&got), plain(reply), "{script}");
    }
}

#[test]
fn errors_say_where() {
    let mut server = server();
    for (script, text) in [
        ("return foo", "ERR user_script:1: Script attempted to access nonexistent global variable 'foo' script: "),
        ("\nfoo = 1", "ERR user_script:2: Attempt to modify a readonly table script: "),
        ("\n\nerror('x')", "ERR user_script:3: x script: "),
        ("error({err='MY x'})", "MY x script: "),
        ("redis.call('nosuch')", "ERR Unknown Redis command called from script script: "),
        ("redis.call()", "ERR Please specify at least one argument for this redis lib call script: "),
        ("redis.call('get', {})", "ERR Lua redis lib command arguments must be strings or integers script: "),
        ("redis.call('multi')", "ERR This Redis command is not allowed from script script: "),
        ("redis.setresp(4)", "ERR RESP version must be 2 or 3. script: "),
        ("cjson.encode(print)", "ERR user_script:1: Script attempted to access nonexistent global variable 'print'"),
        ("cjson.encode(redis.call)", "ERR user_script:1: Cannot serialise function: type not supported script: "),
        ("rawset(redis, 'call', 1)", "ERR user_script:1: Attempt to modify a readonly table script: "),
        ("setmetatable(_G, {})", "ERR user_script:1: Attempt to modify a readonly table script: "),
        ("getmetatable(_G).__index = {}", "ERR user_script:1: Attempt to modify a readonly table script: "),
        ("getmetatable('').__index = {}", "ERR user_script:1: Attempt to modify a readonly table script: "),
        ("table.insert(redis, 1)", "ERR user_script:1: Attempt to modify a readonly table script: "),
        ("return loadstring(string.dump(function() end))()", "ERR user_script:1: attempt to call a nil value"),
        ("bad script", "ERR Error compiling script (new function): user_script:1: "),
        ("#!lua flags=bad\nreturn 1", "ERR Unexpected flag in script shebang: bad"),
        ("return {unpack({}, 0, 2147483647)}", "ERR user_script:1: too many results to unpack script: "),
    ] {
        let got = eval(&mut server, script, &[], &[]);
        assert!(got.starts_with(&format!("-{text}")), "{script}: {got}");
    }
}

#[test]
fn a_failed_call_that_is_returned_has_its_line() {
    let mut server = server();
    let got = eval(&mut server, "\nreturn redis.call('nosuch')", &[], &[]);
    assert!(got.ends_with(", on @user_script:2.\r\n"), "{got}");
}

#[test]
fn arguments_and_replies_of_every_kind_cross_over() {
    let mut server = server();
    for (script, value) in [
        // Texts stay as they are, numbers come at full precision.
        ("redis.call('set', KEYS[1], '\\0a\\r\\n'); return #redis.call('get', KEYS[1])", ":4"),
        ("redis.call('set', KEYS[1], 0.1); return redis.call('get', KEYS[1])", "0.10000000000000001"),
        ("redis.call('set', KEYS[1], 2^53); return redis.call('get', KEYS[1])", "9007199254740992"),
        ("redis.call('rpush', KEYS[2], 1, 'b', -3, 1e100); return redis.call('lrange', KEYS[2], 0, -1)[4]", "1e+100"),
        // Replies in replies.
        (
            "redis.call('zadd', KEYS[1], 1, 'a', 2, 'b'); return redis.call('zrange', KEYS[1], 0, -1, 'withscores')[3]",
            "b",
        ),
        (
            "redis.setresp(3); redis.call('zadd', KEYS[1], 1.5, 'a'); return tostring(redis.call('zscore', KEYS[1], 'a').double)",
            "1.5",
        ),
        ("redis.setresp(3); redis.call('hset', KEYS[1], 'f', 'v'); return redis.call('hgetall', KEYS[1]).map.f", "v"),
        (
            "redis.setresp(3); redis.call('sadd', KEYS[1], 'm'); return tostring(redis.call('smembers', KEYS[1]).set.m)",
            "true",
        ),
        ("redis.setresp(3); return tostring(redis.call('get', KEYS[1]))", "nil"),
        ("return tostring(redis.call('lpop', KEYS[1], 2))", "false"),
        // More arguments than a C function is sure to have room for.
        ("local t = {}; for i = 1, 5000 do t[i] = i end; return redis.call('rpush', KEYS[1], unpack(t))", ":5000"),
        ("return coroutine.wrap(function() return redis.call('exists', KEYS[1]) end)()", ":0"),
        // Garbage is collected on the way.
        ("for i = 1, 20000 do redis.call('echo', 'x' .. i) end; return redis.call('echo', 'end')", "end"),
    ] {
        let got = eval(&mut server, script, &["{k}a", "{k}b"], &[]);
        assert_eq!(got.trim_end().lines().last(), Some(value), "{script}: {got}");
        eval(&mut server, "return redis.call('flushall')", &[], &[]);
    }
}

#[test]
fn libraries() {
    let mut server = server();
    for (script, value) in [
        (
            "return cjson.encode({1, 'a/\"', {x=cjson.null}, true, 1.5, 1e20})",
            r#"[1,"a\/\"",{"x":null},true,1.5,1e+20]"#,
        ),
        ("return cjson.encode({})", "{}"),
        (
            r#"local v = cjson.decode('{"a":[1,-2.5e3,"\\u00e9\\ud83d\\ude00",null,true]}').a; return v[2] .. v[3] .. tostring(v[4] == cjson.null)"#,
            "-2500é😀true",
        ),
        ("return select(2, pcall(cjson.decode, '[1,]'))", "Expected value but found T_ARR_END at character 4"),
        ("return select(2, pcall(cjson.encode, {[1]=1,[100]=1}))", "Cannot serialise table: excessively sparse array"),
        (
            "local v = cmsgpack.unpack(cmsgpack.pack({1, -200, 2^40, 0.1, 'x', {a=true}})); return v[2] .. v[3] .. v[4] .. v[5] .. tostring(v[6].a)",
            "-20010995116277760.1xtrue",
        ),
        ("return select(2, pcall(cmsgpack.unpack, '\\145'))", "Missing bytes in input."),
        ("return struct.unpack('>I2c3s', struct.pack('>I2c3s', 258, 'abc', 'xyz'))", "258"),
        ("return struct.size('!8bd') .. ''", "16"),
        ("return bit.tohex(bit.bor(bit.lshift(1, 31), bit.bnot(-2))) .. bit.band(0xffffffff, -5)", "80000001-5"),
        (
            "math.randomseed(7); local a = math.random(100); math.randomseed(7); return tostring(a == math.random(100))",
            "true",
        ),
        ("local n = 0; for k in pairs(cjson) do n = n + 1 end; return tostring(n > 5)", "true"),
    ] {
        let got = eval(&mut server, script, &[], &[]);
        let line = got.lines().nth(1).unwrap_or(got.trim_end());
        assert!(line.ends_with(value), "{script}: {got}");
    }
}

#[test]
fn effects_are_one_transaction_and_nothing_leaks() {
    let mut server = server();
    let script = "redis.call('set', KEYS[1], 1); redis.call('select', 3); redis.call('incr', KEYS[2]); return 1";
    assert_eq!(eval(&mut server, script, &["a", "b"], &[]), ":1\r\n");
    assert_eq!(
        server.effects(),
        ["begin", "SET a 1", "INCR b", "end"].map(|line| if line.starts_with("SET") {
            "set a 1"
        } else if line.starts_with("INCR") {
            "incr b"
        } else {
            line
        })
    );
    server.expect(&[("GET a", "$1\r\n1\r\n"), ("GET b", "$-1\r\n"), ("SELECT 3", "+OK\r\n"), ("GET b", "$1\r\n1\r\n")]);
    // What a script did before it failed stays.
    eval(&mut server, "redis.call('set', KEYS[1], 2); error('x')", &["a"], &[]);
    assert_eq!(server.effects(), ["set a 2"]);
}

#[test]
fn reach_is_learned() {
    let mut server = server();
    let declared = "return redis.call('incr', KEYS[1])";
    eval(&mut server, declared, &["a"], &[]);
    assert_eq!(reach(&server, declared), Reach::Declared);
    let pure = "return 1 + 1";
    eval(&mut server, pure, &[], &[]);
    assert_eq!(reach(&server, pure), Reach::Declared);
    let beyond = "return redis.call('incr', 'elsewhere')";
    assert_eq!(eval(&mut server, beyond, &["a"], &[]), ":1\r\n");
    assert_eq!(reach(&server, beyond), Reach::Everything);
    // One that was thought to keep to its keys, and has changed nothing, is run again with every slot; it cannot tell.
    let turns = "local key = ARGV[1]; local ok, value = pcall(redis.call, 'incr', key); return value";
    assert_eq!(eval(&mut server, turns, &["a"], &["a"]), ":2\r\n");
    assert_eq!(reach(&server, turns), Reach::Declared);
    assert_eq!(eval(&mut server, turns, &["a"], &["elsewhere"]), ":2\r\n");
    assert_eq!(reach(&server, turns), Reach::Everything);
    // One that has changed something goes on where the other slot is free.
    let late = "redis.call('incr', KEYS[1]); if ARGV[1] then redis.call('incr', ARGV[1]) end; return 1";
    assert_eq!(eval(&mut server, late, &["a"], &[]), ":1\r\n");
    assert_eq!(reach(&server, late), Reach::Declared);
    assert_eq!(eval(&mut server, late, &["a"], &["elsewhere"]), ":1\r\n");
    assert_eq!(reach(&server, late), Reach::Everything);
    assert_eq!(server.run("MGET a elsewhere"), "*2\r\n$1\r\n4\r\n$1\r\n3\r\n");
    // Whole-keyspace commands and transactions.
    assert_eq!(eval(&mut server, "return redis.call('dbsize')", &[], &[]), ":2\r\n");
    server.expect(&[
        ("MULTI", "+OK\r\n"),
        ("EVAL \"return redis.call('get','elsewhere')\" 0", "+QUEUED\r\n"),
        ("EXEC", "*1\r\n$1\r\n3\r\n"),
    ]);
}

#[test]
fn functions() {
    let mut server = server();
    let load = |server: &mut TestServer, words: &[&[u8]]| {
        let words: Vec<&[u8]> = [&b"FUNCTION"[..]].into_iter().chain(words.iter().copied()).collect();
        String::from_utf8_lossy(&server.call(&words)).into_owned()
    };
    let code: &[u8] = b"#!lua name=one\nlocal n = 1\nredis.register_function('f', function(keys, args) return redis.call('incrby', keys[1], args[1] + n) end)\nredis.register_function{function_name='g', callback=function() return KEYS end, flags={'no-writes'}, description='d'}";
    assert_eq!(load(&mut server, &[b"LOAD", code]), "$3\r\none\r\n");
    server.expect(&[
        ("FCALL F 1 k 4", ":5\r\n"),
        ("FCALL_RO f 1 k 4", "-ERR Can not execute a script with write flag using *_ro command.\r\n"),
        ("FCALL nosuch 0", "-ERR Function not found\r\n"),
        ("FUNCTION STATS", "*4\r\n$14\r\nrunning_script\r\n$-1\r\n$7\r\nengines\r\n*2\r\n$3\r\nLUA\r\n*4\r\n$15\r\nlibraries_count\r\n:1\r\n$15\r\nfunctions_count\r\n:2\r\n"),
    ]);
    assert!(server.run("FCALL g 0").contains("nonexistent global variable 'KEYS'"));
    assert_eq!(load(&mut server, &[b"LOAD", code]), "-ERR Library 'one' already exists\r\n");
    let dump = server.call(&[b"FUNCTION", b"DUMP"]);
    let payload = &dump[dump.iter().position(|byte| *byte == b'\n').unwrap() + 1..dump.len() - 2];
    assert_eq!(load(&mut server, &[b"RESTORE", payload]), "-ERR Library one already exists\r\n");
    assert_eq!(load(&mut server, &[b"FLUSH"]), "+OK\r\n");
    assert_eq!(load(&mut server, &[b"RESTORE", payload]), "+OK\r\n");
    server.expect(&[("FCALL f 1 k 4", ":10\r\n")]);
    assert!(load(&mut server, &[b"LOAD", b"#!lua name=two\nwhile true do end"]).contains("FUNCTION LOAD timeout"));
    assert!(load(&mut server, &[b"LOAD", b"#!lua name=two\nreturn math.random()"]).contains("variable 'math'"));
    assert_eq!(load(&mut server, &[b"DELETE", b"one"]), "+OK\r\n");
    assert_eq!(server.run("FUNCTION LIST"), "*0\r\n");
}

#[test]
fn late_scripts_are_killed() {
    let mut server = TestServer::with_config(|config| config.busy_reply_threshold = 5);
    let _ = server.engine.script_engine.set(Box::new(LuaEngine::new(false)));
    let engine = server.engine.clone();
    let killer = std::thread::spawn(move || {
        while !engine.running.is_busy() {
            std::thread::sleep(Duration::from_millis(1));
        }
        engine.running.kill(false)
    });
    let reply =
        eval(&mut server, "while true do pcall(function() while true do redis.call('ping') end end) end", &[], &[]);
    assert!(reply.starts_with("-ERR Error running script: Script killed by user with SCRIPT KILL..."), "{reply}");
    assert_eq!(killer.join().unwrap(), Ok(()));
    assert!(!server.engine.running.is_busy());
    server.expect(&[("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n"), ("PING", "+PONG\r\n")]);
}
