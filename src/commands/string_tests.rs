//! Tests of the string and bitmap handlers: replies, error texts, effects, and that replaying effects gives the same
//! data set.

use super::replay::Replayer;
use super::testing::TestServer;
use crate::base::random::Rng;

const NULL: &str = "$-1\r\n";
const SYNTAX: &str = "-ERR syntax error\r\n";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";
const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
const BAD_OFFSET: &str = "-ERR bit offset is not an integer or out of range\r\n";

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// Runs lines and compares: a reply in angle brackets is a bulk string.
#[track_caller]
fn check(server: &mut TestServer, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        let text = expected.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        let expected = text.map_or_else(|| expected.to_string(), bulk);
        assert_eq!(server.run(line), expected, "{line}");
    }
}

#[test]
fn get_and_set() {
    let mut server = TestServer::new();
    check(
        &mut server,
        &[
            ("GET a", NULL),
            ("SET a 1", "+OK\r\n"),
            ("GET a", "<1>"),
            ("SET a 2 NX", NULL),
            ("SET b 2 XX", NULL),
            ("SET b 2 XX GET", NULL),
            ("SET a 2 XX GET", "<1>"),
            ("SET a 3 NX GET", "<2>"),
            ("SET c 3 NX GET", NULL),
            ("SET a x EX", SYNTAX),
            ("SET a x EX 0", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET a x EX -1", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET a x EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET a x PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET a x PX 1.5", NOT_AN_INTEGER),
            ("SETEX a 0 x", "-ERR invalid expire time in 'setex' command\r\n"),
            ("PSETEX a x x", NOT_AN_INTEGER),
            ("SETNX a 9", ":0\r\n"),
            ("SETNX d 9", ":1\r\n"),
            ("GETSET d 8", "<9>"),
            ("GETSET e 8", NULL),
            ("GETDEL d", "<8>"),
            ("GETDEL d", NULL),
            ("MGET a d c", "*3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n"),
            ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"),
            ("MSETNX x 1 a 2", ":0\r\n"),
            ("MSETNX x 1 x 2", ":1\r\n"),
            ("GET x", "<2>"),
            ("MSET x 3 y 4", "+OK\r\n"),
            ("GETEX y KEEPTTL", SYNTAX),
            ("GETEX nosuch EX 0", NULL),
            ("GETEX y EX 0", "-ERR invalid expire time in 'getex' command\r\n"),
            ("STRLEN y", ":1\r\n"),
            ("STRLEN nosuch", ":0\r\n"),
        ],
    );
}

#[test]
fn parts_of_strings() {
    let mut server = TestServer::with_config(|config| config.proto_max_bulk_len = 1 << 20);
    check(
        &mut server,
        &[
            ("APPEND a Hello", ":5\r\n"),
            ("APPEND a \" World\"", ":11\r\n"),
            ("GETRANGE a 0 4", "<Hello>"),
            ("GETRANGE a -5 -1", "<World>"),
            ("GETRANGE a -100 -99", "<H>"),
            ("GETRANGE a -1 -5", "<>"),
            ("GETRANGE a 5 9223372036854775807", "< World>"),
            ("GETRANGE a 11 20", "<>"),
            ("GETRANGE nosuch 0 -1", "<>"),
            ("SUBSTR a 0 0", "<H>"),
            ("GETRANGE a x 1", NOT_AN_INTEGER),
            ("SETRANGE a 6 Redis", ":11\r\n"),
            ("GET a", "<Hello Redis>"),
            ("SETRANGE b 2 x", ":3\r\n"),
            ("GET b", "<\0\0x>"),
            ("SETRANGE nosuch 5 \"\"", ":0\r\n"),
            ("SETRANGE b 500000000000 \"\"", ":3\r\n"),
            ("EXISTS nosuch", ":0\r\n"),
            ("SETRANGE b -1 x", "-ERR offset is out of range\r\n"),
            ("SETRANGE b 1048575 x", ":1048576\r\n"),
            ("SETRANGE b 1048576 x", TOO_LONG),
            ("SETRANGE b 9223372036854775807 x", TOO_LONG),
            ("APPEND b x", TOO_LONG),
            ("SETBIT b 8388608 1", BAD_OFFSET),
            ("SETBIT b 8388607 1", ":0\r\n"),
        ],
    );
}

#[test]
fn numbers() {
    let mut server = TestServer::new();
    check(
        &mut server,
        &[
            ("INCR a", ":1\r\n"),
            ("DECRBY a 3", ":-2\r\n"),
            ("DECR a", ":-3\r\n"),
            ("INCRBY a 9223372036854775807", ":9223372036854775804\r\n"),
            ("INCRBY a 9", "-ERR increment or decrement would overflow\r\n"),
            ("DECRBY a -9223372036854775808", "-ERR decrement would overflow\r\n"),
            ("OBJECT ENCODING a", "<int>"),
            ("SET b \" 1\"", "+OK\r\n"),
            ("INCR b", NOT_AN_INTEGER),
            ("SET b 1 EX 100", "+OK\r\n"),
            ("INCR b", ":2\r\n"),
            ("TTL b", ":100\r\n"),
            ("INCRBYFLOAT b 1.5", "<3.5>"),
            ("INCRBYFLOAT b -0.5", "<3>"),
            ("OBJECT ENCODING b", "<embstr>"),
            ("TTL b", ":100\r\n"),
            ("INCRBYFLOAT b x", "-ERR value is not a valid float\r\n"),
            ("INCRBYFLOAT b +inf", "-ERR increment would produce NaN or Infinity\r\n"),
            ("INCRBYFLOAT new 5.0e3", "<5000>"),
        ],
    );
}

#[test]
fn bits() {
    let mut server = TestServer::new();
    check(
        &mut server,
        &[
            ("SETBIT a 7 1", ":0\r\n"),
            ("SETBIT a 7 1", ":1\r\n"),
            ("SETBIT a 7 2", "-ERR bit is not an integer or out of range\r\n"),
            ("SETBIT a -1 1", BAD_OFFSET),
            ("SETBIT a 4294967296 1", BAD_OFFSET),
            ("GETBIT a 7", ":1\r\n"),
            ("GETBIT a 700", ":0\r\n"),
            ("SET f foobar", "+OK\r\n"),
            ("BITCOUNT f", ":26\r\n"),
            ("BITCOUNT f 0 0", ":4\r\n"),
            ("BITCOUNT f 1 1 BYTE", ":6\r\n"),
            ("BITCOUNT f 5 30 bit", ":17\r\n"),
            ("BITCOUNT f -1 -2 nosuch", ":0\r\n"),
            ("BITCOUNT f 0 1 nosuch", SYNTAX),
            ("BITCOUNT f 0", SYNTAX),
            ("BITCOUNT nosuch 0", ":0\r\n"),
            ("BITPOS f 2", "-ERR The bit argument must be 1 or 0.\r\n"),
            ("BITPOS nosuch 0 x", ":0\r\n"),
            ("BITPOS nosuch 1", ":-1\r\n"),
            ("SET z \"\\xff\\xff\"", "+OK\r\n"),
            ("BITPOS z 0", ":16\r\n"),
            ("BITPOS z 0 1", ":16\r\n"),
            ("BITPOS z 0 0 -1", ":-1\r\n"),
            ("BITPOS z 0 5", ":-1\r\n"),
            ("BITPOS z 1 9 15 BIT", ":9\r\n"),
            ("SET z \"\"", "+OK\r\n"),
            ("BITPOS z 0", ":-1\r\n"),
            ("BITOP NOT out f z", "-ERR BITOP NOT must be called with a single source key.\r\n"),
            ("BITOP NAND out f z", SYNTAX),
            ("BITOP AND out f nosuch", ":6\r\n"),
            ("GET out", "<\0\0\0\0\0\0>"),
            ("BITOP OR out f nosuch", ":6\r\n"),
            ("GET out", "<foobar>"),
            ("BITOP XOR out f f", ":6\r\n"),
            ("BITCOUNT out", ":0\r\n"),
            ("BITOP NOT out nosuch", ":0\r\n"),
            ("EXISTS out", ":0\r\n"),
        ],
    );
}

#[test]
fn bitfields() {
    let mut server = TestServer::new();
    let bad_type =
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n";
    check(
        &mut server,
        &[
            ("BITFIELD a", "*0\r\n"),
            ("BITFIELD a GET u8 0 GET i64 100", "*2\r\n:0\r\n:0\r\n"),
            ("EXISTS a", ":0\r\n"),
            ("BITFIELD a SET u8 #1 255 GET u8 8 GET i8 8", "*3\r\n:0\r\n:255\r\n:-1\r\n"),
            ("BITFIELD a INCRBY u8 8 1", "*1\r\n:0\r\n"),
            ("BITFIELD a OVERFLOW SAT INCRBY u2 0 5 OVERFLOW FAIL INCRBY u2 0 1", "*2\r\n:3\r\n$-1\r\n"),
            ("BITFIELD a OVERFLOW no GET u8 0", "-ERR Invalid OVERFLOW type specified\r\n"),
            ("BITFIELD a GET u64 0", bad_type),
            ("BITFIELD a GET i65 0", bad_type),
            ("BITFIELD a GET u8 -1", BAD_OFFSET),
            ("BITFIELD a GET u8 #x", BAD_OFFSET),
            ("BITFIELD a GET u8", SYNTAX),
            ("BITFIELD a SET u8 0 x", NOT_AN_INTEGER),
            ("BITFIELD_RO a GET u2 0", "*1\r\n:3\r\n"),
            ("BITFIELD_RO a SET u2 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n"),
        ],
    );
}

#[test]
fn longest_common_subsequences() {
    let mut server = TestServer::with_config(|config| config.proto_max_bulk_len = 1 << 20);
    let matches = "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n";
    check(
        &mut server,
        &[
            ("MSET a ohmytext b mynewtext", "+OK\r\n"),
            ("LCS a b", "<mytext>"),
            ("LCS a b LEN", ":6\r\n"),
            ("LCS a nosuch", "<>"),
            ("LCS a b IDX WITHMATCHLEN MINMATCHLEN 4", matches),
            ("LCS a b MINMATCHLEN", SYNTAX),
            ("LCS a b MINMATCHLEN x", NOT_AN_INTEGER),
            ("LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX.\r\n"),
            ("SETRANGE a 1000 x", ":1001\r\n"),
            ("SETRANGE b 1000 x", ":1001\r\n"),
            ("LCS a b", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n"),
        ],
    );
}

#[test]
fn effects() {
    let mut server = TestServer::new();
    let mut effect = |line: &str| {
        server.run(line);
        server.effects().join("; ")
    };
    assert_eq!(effect("set a 1"), "set a 1");
    assert_eq!(effect("set a 1 get xx"), "set a 1 xx");
    assert_eq!(effect("set a 1 pxat 9000000000000"), "SET a 1 PXAT 9000000000000");
    assert_eq!(effect("set a 1 exat 9000000000 nx"), "");
    assert_eq!(effect("set a 1 exat 9000000000 get"), "SET a 1 PXAT 9000000000000");
    assert!(effect("set a 1 ex 100 xx").starts_with("SET a 1 PXAT 1"));
    assert!(effect("setex a 100 1").starts_with("SET a 1 PXAT 1"));
    assert!(effect("psetex a 10000 1").starts_with("SET a 1 PXAT 1"));
    assert!(effect("getex a ex 100").starts_with("PEXPIREAT a 1"));
    assert_eq!(effect("getex a exat 9000000000"), "PEXPIREAT a 9000000000000");
    assert_eq!(effect("getex a"), "");
    assert_eq!(effect("getex a persist"), "PERSIST a");
    assert_eq!(effect("getex a persist"), "");
    assert_eq!(effect("getset a 7"), "SET a 7");
    assert_eq!(effect("incr a"), "incr a");
    assert_eq!(effect("incrbyfloat a 0.5"), "SET a 8.5 KEEPTTL");
    assert_eq!(effect("incr a"), "");
    assert_eq!(effect("getdel a"), "DEL a");
    assert_eq!(effect("getdel a"), "");
    assert_eq!(effect("set a 1 pxat 1"), "SET a 1 PXAT 1");
    assert_eq!(effect("get a"), "DEL a");
    assert_eq!(effect("set a 1"), "set a 1");
    assert_eq!(effect("getex a pxat 1"), "DEL a");
    assert_eq!(effect("mset a 1 b 2"), "begin; mset a 1; mset b 2; end");
    assert_eq!(effect("msetnx {t}a 1 {t}a 2"), "begin; SET {t}a 1; SET {t}a 2; end");
    assert_eq!(effect("msetnx a 1 c 2"), "");
    assert_eq!(effect("setbit b 1 0"), "");
    assert_eq!(effect("setbit b 90 0"), "setbit b 90 0");
    assert_eq!(effect("bitfield b get u8 0 incrby u8 0 0"), "");
    assert_eq!(effect("bitfield b incrby u8 0 1"), "bitfield b incrby u8 0 1");
    assert_eq!(effect("bitfield new overflow fail set u1 0 9"), "bitfield new overflow fail set u1 0 9");
    assert_eq!(effect("bitop and nosuch nosuch2 nosuch3"), "");
    assert_eq!(effect("bitop not a a"), "bitop not a a");
    assert_eq!(effect("set a AB"), "set a AB");
    assert_eq!(effect("bitop and b a a"), "SET b AB");
    assert_eq!(effect("append a \"\""), "append a ");
    assert_eq!(effect("setrange a 0 \"\""), "");
}

#[test]
fn changes_count_as_in_redis() {
    let mut server = TestServer::new();
    let mut changes = |line: &str| {
        let before = server.engine.total(|stats| stats.dirty.get());
        server.run(line);
        server.engine.total(|stats| stats.dirty.get()) - before
    };
    assert_eq!(changes("MSET a 1 b 2 c 3"), 3);
    assert_eq!(changes("BITFIELD a SET u8 0 1 SET u8 8 2 GET u8 8"), 2);
    assert_eq!(changes("BITFIELD a SET u8 0 1 SET u8 8 3"), 1);
    assert_eq!(changes("SETBIT a 0 0"), 0);
    assert_eq!(changes("SETBIT a 0 1"), 1);
    assert_eq!(changes("GETEX a"), 0);
    assert_eq!(changes("GETEX a PX 100000"), 1);
    assert_eq!(changes("APPEND a x"), 1);
}

/// One random command that writes, over few keys, so that they meet. No key expires while the test runs: a replay that
/// comes later would see it expire elsewhere.
fn random_write(random: &mut Rng) -> Vec<Vec<u8>> {
    const TEMPLATES: &[&str] = &[
        "SET K V",
        "SET K V NX GET",
        "SET K V XX KEEPTTL",
        "SET K V EX 900",
        "SET K V PX 900000",
        "SET K V PXAT 1 GET",
        "SET K V GET KEEPTTL",
        "SETNX K V",
        "SETEX K 900 V",
        "PSETEX K 900000 V",
        "GETSET K V",
        "GETDEL K",
        "GETEX K PX 900000",
        "GETEX K EXAT 1",
        "GETEX K PERSIST",
        "GET K",
        "APPEND K V",
        "SETRANGE K N V",
        "INCR K",
        "DECRBY K N",
        "INCRBYFLOAT K F",
        "MSET K V K V K V",
        "MSETNX K V K V",
        "SETBIT K N 1",
        "SETBIT K N 0",
        "BITOP AND K K K",
        "BITOP XOR K K K K",
        "BITOP NOT K K",
        "BITFIELD K SET i13 N N INCRBY u7 #N N OVERFLOW FAIL INCRBY u3 N N",
        "BITFIELD K OVERFLOW SAT INCRBY i5 N N GET u8 N",
        "RENAME K K",
        "RENAMENX K K",
        "COPY K K",
        "COPY K K DB 3 REPLACE",
        "MOVE K 3",
        "SWAPDB 0 3",
        "FLUSHDB",
        "DEL K K K",
    ];
    let template = TEMPLATES[random.below(TEMPLATES.len() as u64) as usize];
    let argument = |word: &str| match word {
        "K" => format!("key{}", random.below(12)).into_bytes(),
        "N" | "#N" => format!("{}{}", if word == "#N" { "#" } else { "" }, 1 + random.below(300)).into_bytes(),
        "F" => format!("{}.{}e-{}", random.below(1000), random.below(100_000), random.below(9)).into_bytes(),
        "V" if random.below(2) == 0 => random.below(1000).to_string().into_bytes(),
        "V" => (0..random.below(80)).map(|_| random.next_u64() as u8).collect(),
        word => word.as_bytes().to_vec(),
    };
    template.split(' ').map(argument).collect()
}

#[test]
fn replaying_effects_gives_the_same_data_set() {
    for seed in 0..20 {
        let mut random = Rng::from_seed(seed);
        let (mut first, second) = (TestServer::new(), TestServer::new());
        for _ in 0..500 {
            let command = random_write(&mut random);
            let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            first.call(&args);
        }
        // Keys set into the past are removed, with an effect, when someone looks at them.
        for key in 0..12 {
            first.run(&format!("GET key{key}"));
        }
        let effects = first.captured();
        assert!(effects.len() > 250, "{}", effects.len());
        let mut replayer = Replayer::new(second.engine.clone());
        for effect in effects {
            let args: Vec<&[u8]> = effect.command.iter().map(Vec::as_slice).collect();
            // Marks of transactions belong to no slot.
            if let Some(slot) = effect.slot {
                replayer.run(slot, effect.db, 0, &args).unwrap();
            }
        }
        let plain = |server: &TestServer| -> Vec<_> {
            let held = server.data_set().into_iter();
            held.map(|(key, held)| (key, held.value, held.expiry_ms)).collect()
        };
        assert_eq!(plain(&first), plain(&second), "seed {seed}");
    }
}
