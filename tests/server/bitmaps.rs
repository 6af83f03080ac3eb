//! SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP, BITFIELD and BITFIELD_RO.

use crate::support::{Random, Reply, Server, check};

#[test]
fn single_bits() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SETBIT b 1 1                                 => :0
        SETBIT b 1 0                                 => :1
        GETBIT b 1                                   => :0
        SETBIT b 7 1                                 => :0
        GET b                                        => "\x01"
        SETBIT b 100 1                               => :0
        STRLEN b                                     => :13
        GETBIT b 99                                  => :0
        GETBIT b 100                                 => :1
        GETBIT b 4294967295                          => :0
        GETBIT b 5000                                => :0
        GETBIT missing 0                             => :0
        SETBIT zero 10 0                             => :0
        STRLEN zero                                  => :2
        SETBIT b 0 2                                 => -ERR bit is not an integer or out of range
        SETBIT b 0 -1                                => -ERR bit is not an integer or out of range
        SETBIT b 0 x                                 => -ERR bit is not an integer or out of range
        SETBIT b -1 1                                => -ERR bit offset is not an integer or out of range
        SETBIT b x 1                                 => -ERR bit offset is not an integer or out of range
        SETBIT b 4294967296 1                        => -ERR bit offset is not an integer or out of range
        SETBIT b 1                                   => -ERR wrong number of arguments for 'setbit' command
        GETBIT b -1                                  => -ERR bit offset is not an integer or out of range
        GETBIT b x                                   => -ERR bit offset is not an integer or out of range
        GETBIT b 4294967296                          => -ERR bit offset is not an integer or out of range
        GETBIT b                                     => -ERR wrong number of arguments for 'getbit' command
        SET number 1                                 => +OK
        SETBIT number 6 1                            => :0
        GET number                                   => "3"
        "#,
    );
}

#[test]
fn bitcount() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        BITCOUNT missing                             => :0
        BITCOUNT missing 0 -1                        => :0
        SET s foobar                                 => +OK
        BITCOUNT s                                   => :26
        BITCOUNT s 0 0                               => :4
        BITCOUNT s 1 1                               => :6
        BITCOUNT s 0 -5                              => :10
        BITCOUNT s -1 -1                             => :4
        BITCOUNT s 4 2                               => :0
        BITCOUNT s -2 -5                             => :0
        BITCOUNT s 0 1000                            => :26
        BITCOUNT s -1000 1000                        => :26
        BITCOUNT s 100 200                           => :0
        BITCOUNT s 5 30 BIT                          => :17
        BITCOUNT s 0 0 bit                           => :0
        BITCOUNT s -8 -1 BIT                         => :4
        BITCOUNT s 1 1 BYTE                          => :6
        BITCOUNT s 30 5 BIT                          => :0
        BITCOUNT s 0                                 => -ERR syntax error
        BITCOUNT missing 0                           => :0
        BITCOUNT s 0 1 WORD                          => -ERR syntax error
        BITCOUNT missing 0 1 WORD                    => :0
        BITCOUNT s a 1                               => -ERR value is not an integer or out of range
        BITCOUNT missing a 1                         => :0
        BITCOUNT s 0 b                               => -ERR value is not an integer or out of range
        BITCOUNT s 0 1 BIT x                         => -ERR syntax error
        BITCOUNT                                     => -ERR wrong number of arguments for 'bitcount' command
        BITCOUNT s -9223372036854775808 9223372036854775807 => :26
        BITCOUNT s 9223372036854775807 -9223372036854775808 => :0
        SET n 123                                    => +OK
        BITCOUNT n                                   => :10
        "#,
    );
}

#[test]
fn bitpos() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        BITPOS missing 0                             => :0
        BITPOS missing 1                             => :-1
        BITPOS missing 1 0 -1 BIT                    => :-1
        SET s "\xff\xf0\x00"                         => +OK
        BITPOS s 0                                   => :12
        BITPOS s 1                                   => :0
        BITPOS s 1 2                                 => :-1
        BITPOS s 0 0 0                               => :-1
        BITPOS s 1 -1 -1                             => :-1
        BITPOS s 0 1                                 => :12
        BITPOS s 0 12 -1 BIT                         => :12
        BITPOS s 1 12 15 BIT                         => :-1
        BITPOS s 1 11 15 BIT                         => :11
        BITPOS s 1 1 0                               => :-1
        BITPOS s 0 100 200                           => :-1
        SET ones "\xff\xff\xff"                      => +OK
        BITPOS ones 0                                => :24
        BITPOS ones 0 0 -1                           => :-1
        BITPOS ones 0 0                              => :24
        BITPOS ones 0 3                              => :-1
        BITPOS ones 0 0 -1 BIT                       => :-1
        SET zeros "\x00\x00"                         => +OK
        BITPOS zeros 1                               => :-1
        BITPOS zeros 1 0 -1                          => :-1
        SET e ""                                     => +OK
        BITPOS e 0                                   => :-1
        BITPOS e 1                                   => :-1
        BITPOS s 2                                   => -ERR The bit argument must be 1 or 0.
        BITPOS s -1                                  => -ERR The bit argument must be 1 or 0.
        BITPOS s x                                   => -ERR value is not an integer or out of range
        BITPOS missing 2                             => -ERR The bit argument must be 1 or 0.
        BITPOS s 1 x                                 => -ERR value is not an integer or out of range
        BITPOS s 1 0 x                               => -ERR value is not an integer or out of range
        BITPOS s 1 0 1 WORD                          => -ERR syntax error
        BITPOS missing 1 0 1 WORD                    => :-1
        BITPOS s 1 0 1 BIT x                         => -ERR syntax error
        BITPOS s                                     => -ERR wrong number of arguments for 'bitpos' command
        BITPOS s 1 -9223372036854775808 9223372036854775807 => :0
        "#,
    );
}

#[test]
fn bitop() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MSET a "\x0f\xff" b "\xf1" c ""              => +OK
        BITOP AND d a b                              => :2
        GET d                                        => "\x01\x00"
        BITOP OR d a b                               => :2
        GET d                                        => "\xff\xff"
        BITOP XOR d a b                              => :2
        GET d                                        => "\xfe\xff"
        BITOP NOT d a                                => :2
        GET d                                        => "\xf0\x00"
        BITOP and d a                                => :2
        GET d                                        => "\x0f\xff"
        BITOP AND d a missing                        => :2
        GET d                                        => "\x00\x00"
        BITOP OR d missing a                         => :2
        GET d                                        => "\x0f\xff"
        BITOP OR d missing none                      => :0
        EXISTS d                                     => :0
        SET d x                                      => +OK
        BITOP NOT d c                                => :0
        EXISTS d                                     => :0
        BITOP NOT d a b                              => -ERR BITOP NOT must be called with a single source key.
        BITOP NAND d a b                             => -ERR syntax error
        BITOP AND d                                  => -ERR wrong number of arguments for 'bitop' command
        BITOP                                        => -ERR wrong number of arguments for 'bitop' command
        BITOP XOR a a a                              => :2
        GET a                                        => "\x00\x00"
        SET n 12 EX 1000                             => +OK
        BITOP OR n n n                               => :2
        TTL n                                        => :-1
        "#,
    );
}

/// BITOP over long operands (the wide loop and its tail) against a bytewise computation.
#[test]
fn bitop_long_operands() {
    let server = Server::start();
    let mut client = server.client();
    let mut random = Random::new(7);
    for (count, length) in [(2usize, 31usize), (2, 32), (3, 100), (9, 257), (17, 1000), (20, 4096)] {
        let operands: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let own = length - random.below(length.min(40));
                (0..own).map(|_| random.next() as u8).collect()
            })
            .collect();
        let longest = operands.iter().map(Vec::len).max().expect("operands");
        for (index, operand) in operands.iter().enumerate() {
            assert_eq!(
                client.command(&[b"SET".to_vec(), format!("op{index}").into_bytes(), operand.clone()]),
                Reply::ok()
            );
        }
        for (name, combine) in
            [("AND", (|a, b| a & b) as fn(u8, u8) -> u8), ("OR", |a, b| a | b), ("XOR", |a, b| a ^ b)]
        {
            let byte = |operand: &Vec<u8>, at: usize| operand.get(at).copied().unwrap_or(0);
            let expected: Vec<u8> = (0..longest)
                .map(|at| operands.iter().map(|operand| byte(operand, at)).reduce(combine).expect("operands"))
                .collect();
            let mut command = vec!["BITOP".to_string(), name.to_string(), "result".to_string()];
            command.extend((0..count).map(|index| format!("op{index}")));
            assert_eq!(client.command(&command), Reply::Integer(longest as i64));
            assert_eq!(client.command(&["GET", "result"]).bytes(), expected, "{name} of {count} operands");
        }
    }
}

/// BITCOUNT and BITPOS at every byte and bit range of a short string, against a bitwise computation.
#[test]
fn counting_and_finding_every_range() {
    let server = Server::start();
    let mut client = server.client();
    let value = b"\x00\x80\x01\xff\x00\x10".to_vec();
    let bits: Vec<bool> = (0..value.len() * 8).map(|bit| value[bit / 8] >> (7 - bit % 8) & 1 == 1).collect();
    assert_eq!(client.command(&[b"SET".to_vec(), b"key".to_vec(), value]), Reply::ok());
    for start in 0..bits.len() {
        for end in start..bits.len() {
            let (first, last) = (start.to_string(), end.to_string());
            let counted = client.command(&["BITCOUNT", "key", &first, &last, "BIT"]).integer();
            assert_eq!(counted, bits[start..=end].iter().filter(|bit| **bit).count() as i64, "{start} to {end}");
            for wanted in [false, true] {
                let found =
                    client.command(&["BITPOS", "key", if wanted { "1" } else { "0" }, &first, &last, "BIT"]).integer();
                let expected = bits[start..=end].iter().position(|bit| *bit == wanted);
                assert_eq!(found, expected.map_or(-1, |at| (at + start) as i64), "bit {wanted} from {start} to {end}");
            }
        }
    }
}

#[test]
fn bitfield() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        BITFIELD key                                 => []
        EXISTS key                                   => :0
        BITFIELD key GET u8 0                        => [:0]
        EXISTS key                                   => :0
        BITFIELD key SET u8 0 255 GET i8 0 GET u4 4  => [:0 :-1 :15]
        BITFIELD key INCRBY u8 0 1                   => [:0]
        BITFIELD key SET i5 100 -16 GET i5 100       => [:0 :-16]
        STRLEN key                                   => :14
        BITFIELD key SET u8 #1 7 GET u8 #1 GET u8 8  => [:0 :7 :7]
        BITFIELD key INCRBY i8 0 200                 => [:-56]
        BITFIELD key OVERFLOW SAT INCRBY u2 100 5 OVERFLOW FAIL INCRBY u2 102 5 OVERFLOW WRAP INCRBY u2 104 5 => [:3 nil :1]
        BITFIELD key OVERFLOW FAIL SET u4 0 16 GET u4 0 => [nil :12]
        BITFIELD key OVERFLOW SAT SET i4 0 100 GET i4 0 => [:-4 :7]
        BITFIELD key OVERFLOW SAT SET i4 0 -100 GET i4 0 => [:7 :-8]
        BITFIELD w SET i64 0 9223372036854775807     => [:0]
        BITFIELD w INCRBY i64 0 1                    => [:-9223372036854775808]
        BITFIELD w OVERFLOW SAT INCRBY i64 0 -1      => [:-9223372036854775808]
        BITFIELD w OVERFLOW FAIL INCRBY i64 0 -1     => [nil]
        BITFIELD w SET u63 1 9223372036854775807 GET u63 1 => [:0 :9223372036854775807]
        BITFIELD key GET u64 0                       => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD key GET i65 0                       => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD key GET u0 0                        => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD key GET i0 0                        => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD key GET x8 0                        => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD key GET u8 -1                       => -ERR bit offset is not an integer or out of range
        BITFIELD key GET u8 x                        => -ERR bit offset is not an integer or out of range
        BITFIELD key GET u8 #-1                      => -ERR bit offset is not an integer or out of range
        BITFIELD key GET u8 #                        => -ERR bit offset is not an integer or out of range
        BITFIELD key GET u8 4294967288               => [:0]
        BITFIELD key GET u8 4294967289               => [:0]
        BITFIELD key GET u8 #536870911               => [:0]
        BITFIELD key GET u8 #536870912               => -ERR bit offset is not an integer or out of range
        BITFIELD key SET u8 0 x                      => -ERR value is not an integer or out of range
        BITFIELD key SET u8 0                        => -ERR syntax error
        BITFIELD key INCRBY u8 0                     => -ERR syntax error
        BITFIELD key INCRBY u8 0 1.5                 => -ERR value is not an integer or out of range
        BITFIELD key OVERFLOW MAYBE                  => -ERR Invalid OVERFLOW type specified
        BITFIELD key OVERFLOW                        => -ERR syntax error
        BITFIELD key NOPE                            => -ERR syntax error
        BITFIELD key GET u8                          => -ERR syntax error
        BITFIELD                                     => -ERR wrong number of arguments for 'bitfield' command
        BITFIELD key get U8 0                        => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD key overflow sat incrby u8 0 1      => [:137]
        SET text abc                                 => +OK
        BITFIELD text GET u8 0 GET u8 8 GET u8 100   => [:97 :98 :0]
        BITFIELD_RO text GET u8 0 GET i8 8           => [:97 :98]
        BITFIELD_RO missing GET u8 0                 => [:0]
        BITFIELD_RO text                             => []
        BITFIELD_RO text SET u8 0 1                  => -ERR BITFIELD_RO only supports the GET subcommand
        BITFIELD_RO text INCRBY u8 0 1               => -ERR BITFIELD_RO only supports the GET subcommand
        BITFIELD_RO text OVERFLOW SAT                => []
        BITFIELD_RO                                  => -ERR wrong number of arguments for 'bitfield_ro' command
        "#,
    );
}
