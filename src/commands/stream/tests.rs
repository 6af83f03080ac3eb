//! Tests of the commands on streams over the whole of a command's way: replies and errors, effects, waiting, payloads,
//! and that running effects again gives the same streams.

use crate::base::random::Rng;
use crate::commands::replay::Replayer;
use crate::commands::testing::TestServer;
use crate::config::choices::ProtectedAction;

/// A server whose blocks hold so many entries.
fn server_with_blocks_of(entries_max: i64) -> TestServer {
    TestServer::with_config(|config| {
        config.stream_node_max_entries = entries_max;
        config.enable_debug_command = ProtectedAction::Yes;
    })
}

/// A reply with its line ends as spaces, for reading.
fn flat(reply: &str) -> String {
    reply.replace("\r\n", " ").trim_end().to_owned()
}

fn run(server: &mut TestServer, line: &str) -> String {
    flat(&server.run(line))
}

fn run_all(server: &mut TestServer, lines: &[&str]) {
    for line in lines {
        let reply = server.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
}

/// The bytes in a bulk reply.
fn bulk(reply: &[u8]) -> &[u8] {
    let start = reply.windows(2).position(|pair| pair == b"\r\n").expect("a header") + 2;
    &reply[start..reply.len() - 2]
}

#[test]
fn entries_and_their_errors() {
    let mut server = TestServer::new();
    server.run("SET text v");
    for (line, reply) in [
        ("XADD s 5 f v", "$3 5-0"),
        ("XADD s 5-* g w", "$3 5-1"),
        ("XADD s 5-1 f v", "-ERR The ID specified in XADD is equal or smaller than the target stream top item"),
        ("XADD s 0-0 f v", "-ERR The ID specified in XADD must be greater than 0-0"),
        ("XADD s 9 f v g", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s MAXLEN 1 9 f", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s x f v", "-ERR Invalid stream ID specified as stream command argument"),
        ("XADD none NOMKSTREAM 9 f v", "$-1"),
        ("XADD text 9 f v", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("XADD s MAXLEN -1 9 f v", "-ERR The MAXLEN argument must be >= 0."),
        (
            "XADD s MAXLEN 1 MINID 2 9 f v",
            "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        ),
        ("XADD s MAXLEN 1 LIMIT 2 9 f v", "-ERR syntax error, LIMIT cannot be used without the special ~ option"),
        ("XADD s LIMIT 2 9 f v", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"),
        ("XTRIM s LIMIT 0", "-ERR syntax error, XTRIM must be called with a trimming strategy"),
        ("XTRIM s MAXLEN 1 x", "-ERR syntax error"),
        ("XADD s MAXLEN = 2 6-0 f v", "$3 6-0"),
        ("XLEN s", ":2"),
        ("XRANGE s - +", "*2 *2 $3 5-1 *2 $1 g $1 w *2 $3 6-0 *2 $1 f $1 v"),
        ("XREVRANGE s + (5-1 COUNT 1", "*1 *2 $3 6-0 *2 $1 f $1 v"),
        ("XRANGE s - + COUNT 0", "*-1"),
        ("XRANGE none - +", "*0"),
        ("XDEL s 6-0 7-0", ":1"),
        ("XDEL s y", "-ERR Invalid stream ID specified as stream command argument"),
        ("XDEL none y", ":0"),
        ("XSETID s 5-0", "-ERR The ID specified in XSETID is smaller than the target stream top item"),
        ("XSETID s 18446744073709551615-18446744073709551615 ENTRIESADDED 9 MAXDELETEDID 6-0", "+OK"),
        ("XADD s * f v", "-ERR The stream has exhausted the last possible ID, unable to add more items"),
        ("XSETID none 5-0", "-ERR no such key"),
        ("XTRIM s MINID ~ 9", ":1"),
        ("XLEN s", ":0"),
        ("EXISTS s", ":1"),
        ("TYPE s", "+stream"),
        ("OBJECT ENCODING s", "$6 stream"),
    ] {
        assert_eq!(run(&mut server, line), reply, "{line}");
    }
}

#[test]
fn groups_and_their_errors() {
    let mut server = TestServer::new();
    for (line, reply) in [
        ("XGROUP CREATE s g $ MKSTREAM", "+OK"),
        ("XGROUP CREATE s g 0", "-BUSYGROUP Consumer Group name already exists"),
        ("XGROUP CREATE s h 0 ENTRIESREAD -2", "-ERR value for ENTRIESREAD must be positive or -1"),
        (
            "XGROUP CREATE s h 0 MKSTREAM x",
            "-ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.",
        ),
        ("XGROUP SETID s none 0", "-NOGROUP No such consumer group 'none' for key name 's'"),
        ("XGROUP CREATECONSUMER s g bob", ":1"),
        ("XGROUP CREATECONSUMER s g bob", ":0"),
        ("XADD s 1-0 f v", "$3 1-0"),
        ("XADD s 2-0 f v", "$3 2-0"),
        ("XREADGROUP GROUP g bob COUNT 1 STREAMS s >", "*1 *2 $1 s *1 *2 $3 1-0 *2 $1 f $1 v"),
        ("XREADGROUP GROUP g bob STREAMS s 0", "*1 *2 $1 s *1 *2 $3 1-0 *2 $1 f $1 v"),
        ("XREADGROUP GROUP g bob STREAMS s 1", "*1 *2 $1 s *0"),
        ("XREADGROUP GROUP g amy NOACK STREAMS s >", "*1 *2 $1 s *1 *2 $3 2-0 *2 $1 f $1 v"),
        ("XREADGROUP GROUP g amy STREAMS s >", "*-1"),
        (
            "XREADGROUP GROUP x amy STREAMS s >",
            "-NOGROUP No such key 's' or consumer group 'x' in XREADGROUP with GROUP option",
        ),
        ("XPENDING s g", "*4 :1 $3 1-0 $3 1-0 *1 *2 $3 bob $1 1"),
        ("XPENDING s x", "-NOGROUP No such key 's' or consumer group 'x'"),
        ("XPENDING s g IDLE 0 - +", "-ERR syntax error"),
        ("XPENDING s g IDLE 100000 - + 9", "*0"),
        ("XPENDING s g - + 9 amy", "*0"),
        ("XCLAIM s g amy 0 1-0 9-0 JUSTID", "*1 $3 1-0"),
        ("XCLAIM s g amy 0 1-0 WHAT", "-ERR Unrecognized XCLAIM option 'WHAT'"),
        ("XCLAIM s g amy x 1-0", "-ERR Invalid min-idle-time argument for XCLAIM"),
        ("XAUTOCLAIM s g bob 0 0", "*3 $3 0-0 *1 *2 $3 1-0 *2 $1 f $1 v *0"),
        ("XAUTOCLAIM s g bob 0 0 COUNT 0", "-ERR COUNT must be > 0"),
        ("XDEL s 1-0", ":1"),
        ("XREADGROUP GROUP g bob STREAMS s 0", "*1 *2 $1 s *1 *2 $3 1-0 *-1"),
        ("XAUTOCLAIM s g bob 0 0", "*3 $3 0-0 *0 *1 $3 1-0"),
        ("XACK s g 1-0", ":0"),
        (
            "XINFO GROUPS s",
            "*1 *12 $4 name $1 g $9 consumers :2 $7 pending :0 $17 last-delivered-id $3 2-0 $12 entries-read :2 $3 lag :0",
        ),
        ("XGROUP DELCONSUMER s g bob", ":0"),
        ("XGROUP DESTROY s g", ":1"),
        ("XGROUP DESTROY s g", ":0"),
        (
            "XGROUP DESTROY none g",
            "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
        ),
    ] {
        assert_eq!(run(&mut server, line), reply, "{line}");
    }
}

#[test]
fn effects_say_what_happened() {
    let mut server = server_with_blocks_of(2);
    run_all(&mut server, &["XADD s 1-0 f v", "XADD s 2-* f v", "XADD s MAXLEN ~ 1 LIMIT 2 3-0 f v"]);
    assert_eq!(server.effects(), ["XADD s 1-0 f v", "XADD s 2-0 f v", "XADD s MAXLEN = 1 3-0 f v"]);
    run_all(&mut server, &["XADD s 4-0 f v", "XADD s 5-0 f v", "XTRIM s MINID ~ 5", "XTRIM s MAXLEN ~ 1"]);
    assert_eq!(server.effects()[2..], ["XTRIM s MINID = 5-0"]);
    run_all(&mut server, &["XGROUP CREATE s g 0", "XADD s 6-0 f v", "XREADGROUP GROUP g bob STREAMS s >"]);
    let time = |effect: &str| effect.split(' ').skip_while(|word| *word != "TIME").nth(1).unwrap().to_owned();
    let effects = server.effects();
    let now = time(&effects[3]);
    assert_eq!(
        effects[2..],
        [
            "begin".into(),
            format!("XCLAIM s g bob 0 5-0 6-0 TIME {now} RETRYCOUNT 1 FORCE JUSTID LASTID 6-0"),
            "XGROUP SETID s g 6-0 ENTRIESREAD 6".into(),
            "end".into(),
        ]
    );
    run_all(&mut server, &["XREADGROUP GROUP g amy STREAMS s >", "XREADGROUP GROUP g amy STREAMS s >"]);
    assert_eq!(server.effects(), ["XGROUP CREATECONSUMER s g amy"]);
    run_all(&mut server, &["XDEL s 5-0", "XAUTOCLAIM s g amy 0 0", "XREADGROUP GROUP g amy STREAMS s 0"]);
    let effects = server.effects();
    let claim = |count, effect: &str, last: &str| {
        format!("XCLAIM s g amy 0 6-0 TIME {} RETRYCOUNT {count} FORCE JUSTID LASTID {last}", time(effect))
    };
    assert_eq!(effects[..2], ["XDEL s 5-0", "begin"]);
    assert_eq!(effects[2..5], [claim(2, &effects[2], "6-0"), "XACK s g 5-0".into(), "end".into()]);
    assert_eq!(effects[5..], [claim(3, &effects[5], "0-0")]);
    run_all(&mut server, &["XCLAIM s g amy 0 9-0 LASTID 7-0"]);
    assert_eq!(server.effects(), ["XGROUP SETID s g 7-0 ENTRIESREAD 6"]);
    run_all(&mut server, &["MULTI", "XREADGROUP GROUP g amy BLOCK 0 STREAMS s >", "XADD s 8-0 f v", "EXEC"]);
    assert_eq!(server.effects(), ["XADD s 8-0 f v"]);
}

#[test]
fn readers_wait_and_mind_the_end() {
    let mut server = TestServer::new();
    let waits = |server: &mut TestServer, client, line: &str| {
        assert_eq!(server.run_as(client, line), "", "{line}");
    };
    let answer = |server: &mut TestServer, client| flat(&server.answer(client).expect("an answer"));
    run_all(&mut server, &["XADD s 1-0 f v", "XGROUP CREATE s g $"]);
    waits(&mut server, 1, "XREAD BLOCK 0 STREAMS t s $ $");
    waits(&mut server, 2, "XREADGROUP GROUP g bob BLOCK 0 STREAMS s >");
    waits(&mut server, 3, "XREADGROUP GROUP g amy BLOCK 0 STREAMS s >");
    run_all(&mut server, &["XADD s 2-0 f v"]);
    assert_eq!(answer(&mut server, 1), "*1 *2 $1 s *1 *2 $3 2-0 *2 $1 f $1 v");
    assert_eq!(answer(&mut server, 2), "*1 *2 $1 s *1 *2 $3 2-0 *2 $1 f $1 v");
    assert_eq!(server.answer(3), None);
    run_all(&mut server, &["XGROUP DESTROY s g"]);
    assert_eq!(answer(&mut server, 3), "-NOGROUP the consumer group this client was blocked on no longer exists");
    for end in ["DEL s", "SET s v", "FLUSHALL", "RENAME s other"] {
        run_all(&mut server, &["DEL s", "XGROUP CREATE s g $ MKSTREAM"]);
        waits(&mut server, 2, "XREADGROUP GROUP g bob BLOCK 0 STREAMS s >");
        run_all(&mut server, &[end]);
        assert_eq!(answer(&mut server, 2), "-UNBLOCKED the stream key no longer exists", "{end}");
    }
    run_all(&mut server, &["DEL s", "XADD s 1-0 f v", "XADD s 2-0 f v"]);
    assert_eq!(run(&mut server, "XREAD STREAMS s +"), "*1 *2 $1 s *1 *2 $3 2-0 *2 $1 f $1 v");
    assert_eq!(run(&mut server, "XREAD BLOCK x STREAMS s 0"), "-ERR timeout is not an integer or out of range");
}

/// One random command on a few streams.
fn random_command(random: &mut Rng) -> String {
    const TEMPLATES: &[&str] = &[
        "XADD K * f V g V",
        "XADD K * V V",
        "XADD K MAXLEN ~ N * f V g V",
        "XADD K MAXLEN N * f V",
        "XADD K MINID ~ I * f V",
        "XDEL K I I I",
        "XTRIM K MAXLEN ~ N LIMIT 5",
        "XTRIM K MINID I",
        "XGROUP CREATE K G 0 MKSTREAM",
        "XGROUP CREATE K G $ ENTRIESREAD N",
        "XGROUP SETID K G I",
        "XGROUP DESTROY K G",
        "XGROUP CREATECONSUMER K G C",
        "XGROUP DELCONSUMER K G C",
        "XREADGROUP GROUP G C COUNT N STREAMS K >",
        "XREADGROUP GROUP G C COUNT N STREAMS K K > >",
        "XREADGROUP GROUP G C COUNT N NOACK STREAMS K >",
        "XREADGROUP GROUP G C COUNT N STREAMS K 0",
        "XACK K G I I I",
        "XCLAIM K G C 0 I I I",
        "XCLAIM K G C 0 I I FORCE LASTID I",
        "XCLAIM K G C 0 I RETRYCOUNT N TIME 5 JUSTID",
        "XCLAIM K G C 0 I RETRYCOUNT 9223372036854775807",
        "XGROUP SETID K G I ENTRIESREAD 9223372036854775807",
        "XAUTOCLAIM K G C 0 I COUNT N",
        "XSETID K 99999999999999-0 ENTRIESADDED 1000 MAXDELETEDID I",
        "XSETID K 99999999999999-0 ENTRIESADDED 9223372036854775807",
        "COPY K K REPLACE",
        "RENAME K K",
        "DEL K",
    ];
    let template = match random.below(2) {
        0 => TEMPLATES[random.below(5) as usize],
        _ => TEMPLATES[random.below(TEMPLATES.len() as u64) as usize],
    };
    let mut argument = |word: &str| match word {
        "K" => format!("key{}", random.below(3)),
        "G" => format!("group{}", random.below(2)),
        "C" => format!("consumer{}", random.below(3)),
        "N" => random.below(12).to_string(),
        "V" => {
            let bits = random.below(20);
            random.below(1 << bits).to_string()
        }
        "I" => format!("I{}", random.below(30)),
        word => word.to_owned(),
    };
    template.split(' ').map(&mut argument).collect::<Vec<_>>().join(" ")
}

/// Puts ids that are there in the place of `I` and a number.
fn with_ids(server: &mut TestServer, line: &str) -> String {
    let key = line.split(' ').find(|word| word.starts_with("key")).unwrap_or("key0");
    let reply = server.run(&format!("XRANGE {key} - +"));
    let ids: Vec<&str> = reply.split("\r\n").filter(|text| text.contains('-') && text.len() > 10).collect();
    let word = |word: &str| match word.strip_prefix('I').and_then(|number| number.parse::<usize>().ok()) {
        Some(index) => ids.get(index).copied().unwrap_or("7-7").to_owned(),
        None => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

const DIGESTS: &str = "DEBUG DIGEST-VALUE key0 key1 key2";

#[test]
fn running_effects_again_gives_the_same_streams() {
    for seed in 0..20 {
        let mut random = Rng::from_seed(seed);
        let mut first = server_with_blocks_of(4);
        // How entries are cut into blocks is not told.
        let mut second = server_with_blocks_of(7);
        let mut replayer = Replayer::new(second.engine.clone());
        for _ in 0..400 {
            let line = random_command(&mut random);
            let line = with_ids(&mut first, &line);
            first.run(&line);
            let effects = first.captured();
            let shown = format!("{effects:?}");
            for effect in effects {
                let args: Vec<&[u8]> = effect.command.iter().map(Vec::as_slice).collect();
                if let Some(slot) = effect.slot {
                    replayer.run(slot, effect.db, 0, &args).unwrap();
                }
            }
            let digests = first.run(DIGESTS);
            assert!(digests.starts_with("*3"), "{digests}");
            assert_eq!(digests, second.run(DIGESTS), "seed {seed}: {line}: {shown}");
        }
    }
}

#[test]
fn a_large_stream_is_made_in_pieces() {
    let mut first = server_with_blocks_of(100);
    let mut second = server_with_blocks_of(50);
    run_all(&mut first, &["XGROUP CREATE key0 g 0 MKSTREAM"]);
    for number in 1..=3000 {
        run_all(&mut first, &[&format!("XADD key0 {number}-0 number {number} word some{number}")]);
    }
    run_all(
        &mut first,
        &[
            "XREADGROUP GROUP g bob COUNT 50 STREAMS key0 >",
            "XDEL key0 3-0 40-0 3000-0",
            "XTRIM key0 MAXLEN 2990",
            "XGROUP CREATECONSUMER key0 g amy",
            "PEXPIREAT key0 4000000000000",
        ],
    );
    first.effects();
    run_all(&mut first, &["COPY key0 key1"]);
    let effects = first.captured();
    let names: Vec<&[u8]> = effects.iter().map(|effect| &effect.command[0][..]).collect();
    assert_eq!((names[1], names[2], names.len()), (&b"RESTORE"[..], &b"XADD"[..], 1 + 1 + 2990 + 1 + 1));
    let mut replayer = Replayer::new(second.engine.clone());
    for effect in &effects {
        let args: Vec<&[u8]> = effect.command.iter().map(Vec::as_slice).collect();
        if let Some(slot) = effect.slot {
            replayer.run(slot, effect.db, 0, &args).unwrap();
        }
    }
    let digest = |server: &mut TestServer, key: &str| server.run(&format!("DEBUG DIGEST-VALUE {key}"));
    assert_eq!(digest(&mut first, "key0"), digest(&mut second, "key1"));
    second.expect(&[("PEXPIRETIME key1", ":4000000000000\r\n")]);
}

#[test]
fn payloads_carry_everything_and_damage_is_refused() {
    let mut server = server_with_blocks_of(3);
    run_all(
        &mut server,
        &[
            "XADD key0 1-0 a 1 b 2",
            "XADD key0 2-0 a 3 b 4",
            "XADD key0 3-0 c 5",
            "XADD key0 4-0 a 300000 b text",
            "XADD key0 5-0 a 1 b 2",
            "XGROUP CREATE key0 g 0",
            "XGROUP CREATE key0 h $ ENTRIESREAD 3",
            "XREADGROUP GROUP g bob COUNT 3 STREAMS key0 >",
            "XREADGROUP GROUP g amy COUNT 1 STREAMS key0 >",
            "XGROUP CREATECONSUMER key0 h joe",
            "XDEL key0 2-0 5-0",
        ],
    );
    let payload = bulk(&server.call(&[b"DUMP", b"key0"])).to_vec();
    assert_eq!(server.call(&[b"RESTORE", b"key1", b"0", &payload]), b"+OK\r\n");
    let digest = |server: &mut TestServer, key: &str| server.run(&format!("DEBUG DIGEST-VALUE {key}"));
    assert_eq!(digest(&mut server, "key0"), digest(&mut server, "key1"));
    assert_eq!(bulk(&server.call(&[b"DUMP", b"key1"])), payload);

    let body = &payload[..payload.len() - 8];
    let mut random = Rng::from_seed(11);
    for round in 0..20_000 {
        let mut damaged = body.to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(body.len() as u64 - 2) as usize;
            damaged[at] =
                if random.below(2) == 0 { random.next_u64() as u8 } else { damaged[at] ^ 1 << random.below(8) };
        }
        if round % 4 == 0 {
            damaged.truncate(1 + random.below(body.len() as u64) as usize);
            damaged.extend_from_slice(&body[body.len() - 2..]);
        }
        let checksum = crate::base::crc64::crc64(0, &damaged);
        damaged.extend_from_slice(&checksum.to_le_bytes());
        // Whatever is let in can be worked with.
        if server.call(&[b"RESTORE", b"key2", b"0", &damaged, b"REPLACE"]) == b"+OK\r\n"
            && server.run("TYPE key2") == "+stream\r\n"
        {
            for line in [
                "XRANGE key2 - +",
                "XREVRANGE key2 + -",
                "XINFO STREAM key2 FULL",
                "XADD key2 * a 1 b 2",
                "XREADGROUP GROUP g bob STREAMS key2 0",
                "XREADGROUP GROUP g bob STREAMS key2 >",
                "XAUTOCLAIM key2 g amy 0 0",
                "XDEL key2 1-0 3-0 4-0",
                "XTRIM key2 MAXLEN 1",
                "COPY key2 key1 REPLACE",
                "XGROUP DELCONSUMER key2 g bob",
                "XINFO GROUPS key2",
                "DUMP key2",
                "DEBUG DIGEST-VALUE key2",
            ] {
                server.run(line);
            }
        }
    }
}
