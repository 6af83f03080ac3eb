//! The wire: requests cut anywhere, inline requests, long pipelines, huge and malformed input, half-closed sockets, slow
//! readers, and the reply forms of both protocols.

use std::time::Duration;

use crate::support::{Client, Protocol, Random, Reply, Server, check, encode_command, escape, wait_until};

/// What is sent, and the error it must draw before the server closes.
const MALFORMED: &[(&[u8], &str)] = &[
    (b"*x\r\n", "invalid multibulk length"),
    (b"*1x\r\n", "invalid multibulk length"),
    (b"*\r\n", "invalid multibulk length"),
    (b"*+1\r\n", "invalid multibulk length"),
    (b"* 1\r\n", "invalid multibulk length"),
    (b"*01\r\n", "invalid multibulk length"),
    (b"*1.0\r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*3000000000\r\n", "invalid multibulk length"),
    (b"*9223372036854775808\r\n", "invalid multibulk length"),
    (b"*99999999999999999999\r\n", "invalid multibulk length"),
    (b"*1\r\n:5\r\n", "expected '$', got ':'"),
    (b"*1\r\n*1\r\n", "expected '$', got '*'"),
    (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    (b"*1\r\n\r\n", "expected '$', got '\r'"),
    (b"*1\r\n$x\r\n", "invalid bulk length"),
    (b"*1\r\n$\r\n", "invalid bulk length"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$-2147483649\r\n", "invalid bulk length"),
    (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$4 \r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
    (b"*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
    (b"*2\r\n$3\r\nGET\r\n#3\r\nkey\r\n", "expected '$', got '#'"),
    (b"GET \"unbalanced\r\n", "unbalanced quotes in request"),
    (b"GET 'unbalanced\r\n", "unbalanced quotes in request"),
    (b"GET \"key\"x\r\n", "unbalanced quotes in request"),
    (b"GET 'key'x\r\n", "unbalanced quotes in request"),
];

#[test]
fn malformed_requests_are_told_and_closed() {
    let server = Server::start();
    for (request, reason) in MALFORMED {
        let mut client = server.client();
        client.send(request);
        // An error line cannot hold line ends: they are replaced.
        let expected = format!("-ERR Protocol error: {}\r\n", reason.replace('\r', " "));
        let answer = client.until_closed();
        assert_eq!(escape(&answer), escape(expected.as_bytes()), "after {}", escape(request));
    }
    assert_eq!(server.client().run("PING").text(), "PONG");
}

#[test]
fn what_came_before_the_error_is_answered() {
    let server = Server::start();
    let mut client = server.client();
    client.send(b"SET key value\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\nPING\r\n*1\r\n$bad\r\nPING\r\n");
    let answer = client.until_closed();
    assert_eq!(escape(&answer), escape(b"+OK\r\n$5\r\nvalue\r\n+PONG\r\n-ERR Protocol error: invalid bulk length\r\n"));
}

#[test]
fn lines_without_end_are_bounded() {
    let server = Server::start();
    let mut starts: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "too big inline request"),
        (b"*".to_vec(), "too big mbulk count string"),
        (b"*1\r\n$".to_vec(), "too big bulk count string"),
        (b"*1\r\n".to_vec(), "too big bulk count string"),
    ];
    for (start, reason) in &mut starts {
        let mut client = server.client();
        start.extend(std::iter::repeat_n(b'1', 80_000));
        // The server may close while we still send.
        let _ = client.try_send(start);
        let answer = client.until_closed();
        assert_eq!(escape(&answer), escape(format!("-ERR Protocol error: {reason}\r\n").as_bytes()));
    }
    // A long line that does end is fine when it fits.
    let mut client = server.client();
    let long = "x".repeat(60_000);
    client.send(format!("ECHO {long}\r\n").as_bytes());
    assert_eq!(client.reply().text(), long);
}

#[test]
fn requests_may_be_cut_anywhere() {
    let server = Server::start();
    let mut requests = encode_command(&["SET", "key", "a value of some length"]);
    requests.extend_from_slice(b"GET key\r\n");
    requests.extend(encode_command(&[b"ECHO".as_slice(), b"\r\n$5\r\n*3\r\n"]));
    requests.extend_from_slice(b"*0\r\n\r\n*-1\r\n");
    requests.extend_from_slice(b"  SET   other  \"in \\x41 quotes\"  \n");
    requests.extend(encode_command(&["MGET", "key", "other", "missing"]));
    let expected = b"+OK\r\n$22\r\na value of some length\r\n$10\r\n\r\n$5\r\n*3\r\n\r\n+OK\r\n\
        *3\r\n$22\r\na value of some length\r\n$11\r\nin A quotes\r\n$-1\r\n";
    // In one piece, then in two for every place, then byte by byte.
    let mut client = server.client();
    client.send(&requests);
    assert_eq!(escape(&client.raw(expected.len())), escape(expected));
    for cut in 1..requests.len() {
        client.send(&requests[..cut]);
        std::thread::sleep(Duration::from_micros(300));
        client.send(&requests[cut..]);
        assert_eq!(escape(&client.raw(expected.len())), escape(expected), "cut at {cut}");
    }
    for byte in &requests {
        client.send(&[*byte]);
        std::thread::sleep(Duration::from_micros(100));
    }
    assert_eq!(escape(&client.raw(expected.len())), escape(expected), "byte by byte");
}

/// Large values cut around their edges: the buffer's growth and its hand-over must keep every byte.
#[test]
fn large_requests_may_be_cut_anywhere() {
    let server = Server::start();
    let mut client = server.client();
    let mut random = Random::new(11);
    for round in 0..40 {
        let length = [100, 16_000, 16_384, 33_000, 70_000, 300_000][random.below(6)] + random.below(50);
        let value: Vec<u8> = (0..length).map(|index| (index * 7 + round) as u8).collect();
        let mut requests = encode_command(&[b"SET".as_slice(), b"big", &value]);
        requests.extend(encode_command(&["STRLEN", "big"]));
        requests.extend(encode_command(&["GET", "big"]));
        let mut sent = 0;
        while sent < requests.len() {
            let piece = (1 + random.below(length.max(2) / 2 + 40)).min(requests.len() - sent);
            client.send(&requests[sent..sent + piece]);
            sent += piece;
            if random.chance(50) {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        assert_eq!(client.reply(), Reply::ok());
        assert_eq!(client.reply(), Reply::Integer(length as i64));
        assert!(client.reply().bytes() == value, "{length} bytes came back changed");
    }
}

#[test]
fn inline_requests() {
    let server = Server::start();
    let mut client = server.client();
    let cases: &[(&[u8], &[u8])] = &[
        (b"PING\r\n", b"+PONG\r\n"),
        (b"ping\n", b"+PONG\r\n"),
        (b"\r\n\n  \r\nPING\r\n", b"+PONG\r\n"),
        (b"\tPING\t hello \r\n", b"$5\r\nhello\r\n"),
        (b"SET k \"a b\\n\\t\\\"\\x00\\xfF\\q\"\r\n", b"+OK\r\n"),
        (b"GET k\r\n", b"$9\r\na b\n\t\"\x00\xffq\r\n"),
        (b"SET k 'it\\'s \\n raw'\r\n", b"+OK\r\n"),
        (b"GET k\r\n", b"$11\r\nit's \\n raw\r\n"),
        (b"SET k \"\"\r\n", b"+OK\r\n"),
        (b"STRLEN k\r\n", b":0\r\n"),
        (b"ECHO \xc3\xa9\r\n", b"$2\r\n\xc3\xa9\r\n"),
        (b"ECHO $5\r\n", b"$2\r\n$5\r\n"),
        (b"ECHO a\"b\"\r\n", b"$2\r\nab\r\n"),
        (b"GET\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
    ];
    for (request, expected) in cases {
        client.send(request);
        assert_eq!(escape(&client.raw(expected.len())), escape(expected), "after {}", escape(request));
    }
}

#[test]
fn empty_requests_are_skipped() {
    let server = Server::start();
    let mut client = server.client();
    client.send(b"*0\r\n*-1\r\n*-10\r\n*-2147483648\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(client.raw(7), b"+PONG\r\n");
    client.expect_silence(Duration::from_millis(20));
}

#[test]
fn a_long_pipeline_keeps_its_order() {
    const COUNT: usize = 10_000;
    let server = Server::start();
    let mut client = server.client();
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for index in 0..COUNT {
        match index % 4 {
            0 => {
                requests.extend(encode_command(&["SET", &format!("key:{}", index % 100), &index.to_string()]));
                expected.extend_from_slice(b"+OK\r\n");
            }
            1 => {
                let value = (index - 1).to_string();
                requests.extend(encode_command(&["GET", &format!("key:{}", (index - 1) % 100)]));
                expected.extend_from_slice(format!("${}\r\n{value}\r\n", value.len()).as_bytes());
            }
            2 => {
                requests.extend_from_slice(format!("ECHO {index}\r\n").as_bytes());
                expected.extend_from_slice(format!("${}\r\n{index}\r\n", index.to_string().len()).as_bytes());
            }
            _ => {
                requests.extend(encode_command(&["INCR", "counter"]));
                expected.extend_from_slice(format!(":{}\r\n", index / 4 + 1).as_bytes());
            }
        }
    }
    client.send(&requests);
    assert!(client.raw(expected.len()) == expected, "replies came changed or out of order");
}

#[test]
fn many_arguments() {
    const COUNT: usize = 200_000;
    let server = Server::start();
    let mut client = server.client();
    let keys: Vec<String> = (0..COUNT).map(|index| format!("key:{index}")).collect();
    let mut set = vec!["MSET".to_owned()];
    set.extend(keys.iter().flat_map(|key| [key.clone(), "v".to_owned()]));
    assert_eq!(client.command(&set), Reply::ok());
    let mut exists = vec!["EXISTS".to_owned()];
    exists.extend(keys.iter().cloned());
    assert_eq!(client.command(&exists), Reply::Integer(COUNT as i64));
    let mut delete = vec!["DEL".to_owned()];
    delete.extend(keys);
    assert_eq!(client.command(&delete), Reply::Integer(COUNT as i64));
    assert_eq!(client.run("DBSIZE"), Reply::Integer(0));
}

/// A header that promises much must not make the server allocate much.
#[test]
fn promises_cost_nothing() {
    let server = Server::start();
    let before = server.resident_bytes();
    let mut clients: Vec<Client> = (0..50).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(if index % 2 == 0 {
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nstart"
        } else {
            b"*1048576\r\n$4\r\nMGET\r\n"
        });
    }
    let mut other = server.client();
    assert_eq!(other.run("PING").text(), "PONG");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "50 unfinished requests took {} MB", grown >> 20);
    drop(clients);
    assert_eq!(other.run("EXISTS k"), Reply::Integer(0));
}

#[test]
fn proto_max_bulk_len_bounds_arguments() {
    let server = Server::with(&["--proto-max-bulk-len", "1mb"]);
    let mut client = server.client();
    let value = vec![b'x'; 1 << 20];
    assert_eq!(client.command(&[b"SET".as_slice(), b"key", &value]), Reply::ok());
    client.send(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1048577\r\n");
    assert_eq!(escape(&client.until_closed()), escape(b"-ERR Protocol error: invalid bulk length\r\n"));
    // It bounds values too.
    check(
        &mut server.client(),
        r#"
        APPEND key x                                 => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE key 1048576 x                       => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETBIT key 8388608 1                         => -ERR bit offset is not an integer or out of range
        STRLEN key                                   => :1048576
        "#,
    );
}

#[test]
fn strangers_have_small_limits() {
    let server = Server::with(&["--requirepass", "secret"]);
    let cases: &[(&[u8], &str)] = &[
        (b"*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"),
        (b"*1048576\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"),
    ];
    for (request, expected) in cases {
        let mut client = server.client();
        client.send(request);
        assert_eq!(escape(&client.until_closed()), escape(expected.as_bytes()));
    }
    let mut client = server.client();
    let ten: Vec<&str> = vec!["MGET", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    assert_eq!(client.command(&ten).error(), "NOAUTH Authentication required.");
    let long = "x".repeat(16_384);
    assert!(client.command(&["AUTH", &long]).is_error());
    assert_eq!(client.run("AUTH secret"), Reply::ok());
    let eleven: Vec<&str> = vec!["MGET", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
    assert_eq!(client.command(&eleven).items().len(), 10);
    let longer = "x".repeat(20_000);
    assert_eq!(client.command(&["ECHO", &longer]).text(), longer);
}

/// A browser that was made to talk to us is cut off at its first telling word.
#[test]
fn http_requests_are_cut_off() {
    let server = Server::start();
    for request in ["POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET key v\r\n", "Host: localhost\r\nSET key v\r\n"] {
        let mut client = server.client();
        client.send(request.as_bytes());
        assert_eq!(client.until_closed(), b"", "after {request}");
    }
    assert_eq!(server.client().run("EXISTS key"), Reply::Integer(0));
}

#[test]
fn half_closed_sockets_get_their_replies() {
    let server = Server::start();
    let mut client = server.client();
    let mut requests = Vec::new();
    for index in 0..100 {
        requests.extend(encode_command(&["SET", &format!("key:{index}"), "v"]));
    }
    client.send(&requests);
    client.finish_sending();
    assert_eq!(client.until_closed(), b"+OK\r\n".repeat(100));
    // An unfinished request at the end is dropped without a word.
    let mut client = server.client();
    client.send(b"PING\r\n*2\r\n$3\r\nGET\r\n$3\r\nke");
    client.finish_sending();
    assert_eq!(client.until_closed(), b"+PONG\r\n");
    let mut control = server.client();
    assert_eq!(control.run("DBSIZE"), Reply::Integer(100));
    wait_until("their connections are gone", || control.info("clients", "connected_clients") == "1");
}

#[test]
fn clients_that_vanish_are_forgotten() {
    let server = Server::start();
    let mut control = server.client();
    control.command(&["SET", "big", &"x".repeat(1 << 20)]);
    for round in 0..60 {
        let mut client = server.client();
        match round % 4 {
            0 => client.post("MULTI"),
            1 => (0..20).for_each(|_| client.post("GET big")),
            2 => client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nhalf"),
            _ => client.post("WATCH big"),
        }
    }
    wait_until("their connections are gone", || control.info("clients", "connected_clients") == "1");
    assert_eq!(control.run("STRLEN big"), Reply::Integer(1 << 20));
}

fn ask_without_reading(server: &Server, times: usize) -> Client {
    let mut client = server.client();
    client.set_send_timeout(Duration::from_secs(2));
    let request = encode_command(&["GET", "big"]);
    for _ in 0..times {
        // The server may have closed, or stopped reading: both are right.
        if client.try_send(&request).is_err() {
            break;
        }
    }
    client
}

#[test]
fn slow_readers_are_cut_at_the_hard_limit() {
    let server = Server::with(&["--client-output-buffer-limit", "normal 4mb 0 0"]);
    let mut control = server.client();
    control.command(&["SET", "big", &"x".repeat(1 << 20)]);
    let mut slow = ask_without_reading(&server, 100);
    wait_until("the slow reader is cut off", || control.info("clients", "connected_clients") == "1");
    assert!(slow.until_closed().len() < 100 << 20, "it got everything in the end");
    // One that reads may have as much as it likes.
    let mut reader = server.client();
    for _ in 0..60 {
        assert_eq!(reader.run("GET big").bytes().len(), 1 << 20);
    }
}

#[test]
fn slow_readers_are_cut_at_the_soft_limit() {
    let server = Server::with(&["--client-output-buffer-limit", "normal 0 1mb 1"]);
    let mut control = server.client();
    control.command(&["SET", "big", &"x".repeat(1 << 20)]);
    let _slow = ask_without_reading(&server, 40);
    wait_until("the slow reader is cut off", || control.info("clients", "connected_clients") == "1");
}

#[test]
fn patient_readers_get_everything_without_a_limit() {
    let server = Server::start();
    let mut control = server.client();
    control.command(&["SET", "big", &"x".repeat(1 << 20)]);
    let mut slow = ask_without_reading(&server, 40);
    // Meanwhile others are served, and the waiting replies are accounted.
    assert_eq!(control.run("PING").text(), "PONG");
    for _ in 0..40 {
        assert_eq!(slow.reply().bytes().len(), 1 << 20);
    }
    assert_eq!(slow.run("PING").text(), "PONG");
}

#[test]
fn the_query_buffer_is_bounded() {
    let server = Server::with(&["--client-query-buffer-limit", "1mb"]);
    let mut client = server.client();
    client.set_send_timeout(Duration::from_secs(5));
    let mut request = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5000000\r\n".to_vec();
    request.extend(std::iter::repeat_n(b'x', 4_000_000));
    let _ = client.try_send(&request);
    assert_eq!(client.until_closed(), b"");
    // Requests below it pass, many of them in one pipeline too.
    let mut client = server.client();
    let value = vec![b'x'; 900_000];
    assert_eq!(client.command(&[b"SET".as_slice(), b"key", &value]), Reply::ok());
    assert_eq!(client.run("STRLEN key"), Reply::Integer(900_000));
}

#[test]
fn garbage_harms_nobody() {
    let server = Server::start();
    let mut random = Random::new(3);
    let mut witness = server.client();
    witness.run("SET key v");
    let alphabet = b"*$0123456789-+:\r\n\r\n\"'\\ PINGSETk\x00\xff{}";
    for _ in 0..300 {
        let mut client = server.client();
        client.set_send_timeout(Duration::from_secs(2));
        let length = 1 + random.below(400);
        let bytes: Vec<u8> = (0..length).map(|_| alphabet[random.below(alphabet.len())]).collect();
        let _ = client.try_send(&bytes);
        assert_eq!(witness.run("PING").text(), "PONG", "after {}", escape(&bytes));
    }
    assert_eq!(witness.run("STRLEN key"), Reply::Integer(1));
}

/// Valid requests with a few bytes changed: never a hang, never a crash, and others are served.
#[test]
fn damaged_requests_harm_nobody() {
    let server = Server::start();
    let mut random = Random::new(5);
    let mut witness = server.client();
    let valid =
        [encode_command(&["SET", "key", "value", "EX", "100"]), encode_command(&["MGET", "a", "b", "c"])].concat();
    for _ in 0..400 {
        let mut bytes = valid.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        let mut client = server.client();
        client.send(&bytes);
        client.finish_sending();
        client.until_closed();
        assert_eq!(witness.run("PING").text(), "PONG", "after {}", escape(&bytes));
    }
}

#[test]
fn reply_forms_in_both_protocols() {
    let server = Server::start();
    let forms: &[(&str, &[u8], &[u8])] = &[
        ("string", b"$11\r\nHello World\r\n", b"$11\r\nHello World\r\n"),
        ("integer", b":12345\r\n", b":12345\r\n"),
        ("double", b"$5\r\n3.141\r\n", b",3.141\r\n"),
        ("null", b"$-1\r\n", b"_\r\n"),
        ("array", b"*3\r\n:0\r\n:1\r\n:2\r\n", b"*3\r\n:0\r\n:1\r\n:2\r\n"),
        ("set", b"*3\r\n:0\r\n:1\r\n:2\r\n", b"~3\r\n:0\r\n:1\r\n:2\r\n"),
        ("map", b"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", b"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
        (
            "attrib",
            b"$39\r\nSome real reply following the attribute\r\n",
            b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n",
        ),
        (
            "push",
            b"-ERR RESP2 is not supported by this command\r\n",
            b"$40\r\nSome real reply following the push reply\r\n>2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n",
        ),
        ("verbatim", b"$25\r\nThis is a verbatim\nstring\r\n", b"=29\r\ntxt:This is a verbatim\nstring\r\n"),
        ("true", b":1\r\n", b"#t\r\n"),
        ("false", b":0\r\n", b"#f\r\n"),
        ("bignum", b"$37\r\n1234567999999999999999999999999999999\r\n", b"(1234567999999999999999999999999999999\r\n"),
    ];
    let (mut second, mut third) = (server.client(), server.client());
    third.hello(Protocol::Resp3);
    for (name, resp2, resp3) in forms {
        second.post(&format!("DEBUG PROTOCOL {name}"));
        assert_eq!(escape(&second.raw(resp2.len())), escape(resp2), "{name} in RESP2");
        third.post(&format!("DEBUG PROTOCOL {name}"));
        assert_eq!(escape(&third.raw(resp3.len())), escape(resp3), "{name} in RESP3");
    }
}
