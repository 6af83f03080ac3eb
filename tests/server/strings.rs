//! The string commands: what they answer and every way they refuse.

use crate::support::{Client, Protocol, Reply, Server, check};

#[test]
fn set_and_get() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        GET missing                                  => nil
        SET key value                                => +OK
        GET key                                      => "value"
        SET key ""                                   => +OK
        GET key                                      => ""
        SET "" "empty key"                           => +OK
        GET ""                                       => "empty key"
        SET "bin\x00\xff\r\n" "\x00\x01\r\n\xfe"     => +OK
        GET "bin\x00\xff\r\n"                        => "\x00\x01\r\n\xfe"
        SET                                          => -ERR wrong number of arguments for 'set' command
        SET key                                      => -ERR wrong number of arguments for 'set' command
        GET                                          => -ERR wrong number of arguments for 'get' command
        GET a b                                      => -ERR wrong number of arguments for 'get' command
        set key lower                                => +OK
        gEt key                                      => "lower"
        "#,
    );
}

#[test]
fn set_conditions_and_get_option() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SET key a XX                                 => nil
        SET key a NX                                 => +OK
        SET key b NX                                 => nil
        SET key c XX                                 => +OK
        GET key                                      => "c"
        SET key d GET                                => "c"
        SET new x GET                                => nil
        SET new y NX GET                             => "x"
        GET new                                      => "x"
        SET absent y XX GET                          => nil
        EXISTS absent                                => :0
        SET absent y NX GET                          => nil
        GET absent                                   => "y"
        SET key v NX XX                              => -ERR syntax error
        SET key v XX NX                              => -ERR syntax error
        SET key v nx get ex 100                      => "d"
        TTL key                                      => :-1
        SET key v xx get ex 100                      => "d"
        TTL key => :99..100
        SET key v BOGUS                              => -ERR syntax error
        SET key v ""                                 => -ERR syntax error
        SET key v NX NX                              => nil
        "#,
    );
}

#[test]
fn set_expiry_options() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SET key v EX 100                             => +OK
        TTL key => :99..100
        SET key v PX 100000                          => +OK
        PTTL key => :95000..100000
        SET key v EXAT 4102444800                    => +OK
        EXPIRETIME key                               => :4102444800
        PEXPIRETIME key                              => :4102444800000
        SET key v PXAT 4102444800123                 => +OK
        PEXPIRETIME key                              => :4102444800123
        EXPIRETIME key                               => :4102444800
        SET key v KEEPTTL                            => +OK
        PEXPIRETIME key                              => :4102444800123
        SET key v                                    => +OK
        TTL key                                      => :-1
        SET key v EXAT 1                             => +OK
        EXISTS key                                   => :0
        SET key v PXAT 1                             => +OK
        GET key                                      => nil
        SET fresh v PXAT 1                           => +OK
        EXISTS fresh                                 => :0
        SET key v EX                                 => -ERR syntax error
        SET key v EX 0                               => -ERR invalid expire time in 'set' command
        SET key v EX -1                              => -ERR invalid expire time in 'set' command
        SET key v PX 0                               => -ERR invalid expire time in 'set' command
        SET key v EXAT 0                             => -ERR invalid expire time in 'set' command
        SET key v PXAT -5                            => -ERR invalid expire time in 'set' command
        SET key v EX abc                             => -ERR value is not an integer or out of range
        SET key v EX 1.5                             => -ERR value is not an integer or out of range
        SET key v EX ""                              => -ERR value is not an integer or out of range
        SET key v EX " 1"                            => -ERR value is not an integer or out of range
        SET key v EX 9223372036854775807             => -ERR invalid expire time in 'set' command
        SET key v EX 9223372036854776                => -ERR invalid expire time in 'set' command
        SET key v EXAT 9223372036854775              => +OK
        SET key v EXAT 9223372036854776              => -ERR invalid expire time in 'set' command
        SET key v PX 9223372036854775807             => -ERR invalid expire time in 'set' command
        SET key v PXAT 9223372036854775807           => +OK
        SET key v EX 9223372036854775808             => -ERR value is not an integer or out of range
        SET key v EX 10 PX 10                        => -ERR syntax error
        SET key v EX 10 EX 10                        => +OK
        SET key v EX 10 KEEPTTL                      => -ERR syntax error
        SET key v KEEPTTL PX 10                      => -ERR syntax error
        SET key v EXAT 10 KEEPTTL                    => -ERR syntax error
        SET key v KEEPTTL KEEPTTL                    => +OK
        SET key v EX 10 NX                           => nil
        "#,
    );
}

#[test]
fn set_clears_or_keeps_expiry() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SET key v EX 1000                            => +OK
        APPEND key w                                 => :2
        TTL key => :998..1000
        SETRANGE key 0 x                             => :2
        TTL key => :998..1000
        SET key 5 KEEPTTL                            => +OK
        INCR key                                     => :6
        TTL key => :998..1000
        INCRBYFLOAT key 1.5                          => "7.5"
        TTL key => :998..1000
        SETBIT key 1 1                               => :0
        TTL key => :998..1000
        GETSET key other                             => "w.5"
        TTL key                                      => :-1
        SET key v EX 1000                            => +OK
        MSET key a                                   => +OK
        TTL key                                      => :-1
        SETEX key 1000 v                             => +OK
        SETNX key w                                  => :0
        TTL key => :998..1000
        GETDEL key                                   => "v"
        TTL key                                      => :-2
        "#,
    );
}

#[test]
fn older_set_forms() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SETNX key a                                  => :1
        SETNX key b                                  => :0
        SETNX key                                    => -ERR wrong number of arguments for 'setnx' command
        SETEX key 100 v                              => +OK
        TTL key => :99..100
        SETEX key 0 v                                => -ERR invalid expire time in 'setex' command
        SETEX key -1 v                               => -ERR invalid expire time in 'setex' command
        SETEX key x v                                => -ERR value is not an integer or out of range
        SETEX key 9223372036854775807 v              => -ERR invalid expire time in 'setex' command
        SETEX key 100                                => -ERR wrong number of arguments for 'setex' command
        SETEX key 100 v extra                        => -ERR wrong number of arguments for 'setex' command
        PSETEX key 100000 v                          => +OK
        PTTL key => :95000..100000
        PSETEX key 0 v                               => -ERR invalid expire time in 'psetex' command
        PSETEX key -1 v                              => -ERR invalid expire time in 'psetex' command
        PSETEX key 9223372036854775807 v             => -ERR invalid expire time in 'psetex' command
        PSETEX key 1                                 => -ERR wrong number of arguments for 'psetex' command
        GETSET key w                                 => "v"
        GETSET none w                                => nil
        GETSET none                                  => -ERR wrong number of arguments for 'getset' command
        GETDEL none                                  => "w"
        GETDEL none                                  => nil
        GETDEL                                       => -ERR wrong number of arguments for 'getdel' command
        GETDEL a b                                   => -ERR wrong number of arguments for 'getdel' command
        "#,
    );
}

#[test]
fn getex() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        GETEX missing                                => nil
        GETEX missing EX 100                         => nil
        SET key v                                    => +OK
        GETEX key                                    => "v"
        TTL key                                      => :-1
        GETEX key EX 100                             => "v"
        TTL key => :99..100
        GETEX key PX 200000                          => "v"
        TTL key => :199..200
        GETEX key EXAT 4102444800                    => "v"
        EXPIRETIME key                               => :4102444800
        GETEX key PXAT 4102444800001                 => "v"
        PEXPIRETIME key                              => :4102444800001
        GETEX key                                    => "v"
        PEXPIRETIME key                              => :4102444800001
        GETEX key PERSIST                            => "v"
        TTL key                                      => :-1
        GETEX key EX 0                               => -ERR invalid expire time in 'getex' command
        GETEX key EX -1                              => -ERR invalid expire time in 'getex' command
        GETEX key PX abc                             => -ERR value is not an integer or out of range
        GETEX key EX 9223372036854775807             => -ERR invalid expire time in 'getex' command
        GETEX key EX                                 => -ERR syntax error
        GETEX key PERSIST EX 10                      => -ERR syntax error
        GETEX key EX 10 PERSIST                      => -ERR syntax error
        GETEX key EX 10 PX 10                        => -ERR syntax error
        GETEX key KEEPTTL                            => -ERR syntax error
        GETEX key NX                                 => -ERR syntax error
        GETEX key BOGUS                              => -ERR syntax error
        GETEX                                        => -ERR wrong number of arguments for 'getex' command
        GETEX key EXAT 1                             => "v"
        EXISTS key                                   => :0
        GETEX key PXAT 1                             => nil
        "#,
    );
}

#[test]
fn multiple_keys() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MSET a 1 b 2 c 3                             => +OK
        MGET a b c missing a                         => ["1" "2" "3" nil "1"]
        MSET a                                       => -ERR wrong number of arguments for 'mset' command
        MSET a 1 b                                   => -ERR wrong number of arguments for 'mset' command
        MSET                                         => -ERR wrong number of arguments for 'mset' command
        MSET a x a y                                 => +OK
        GET a                                        => "y"
        MGET                                         => -ERR wrong number of arguments for 'mget' command
        MSETNX d 1 e 2                               => :1
        MSETNX e 3 f 4                               => :0
        MGET d e f                                   => ["1" "2" nil]
        MSETNX f                                     => -ERR wrong number of arguments for 'msetnx' command
        MSETNX f 1 g                                 => -ERR wrong number of arguments for 'msetnx' command
        MSETNX                                       => -ERR wrong number of arguments for 'msetnx' command
        MSETNX h 1 h 2                               => :1
        GET h                                        => "2"
        "#,
    );
}

#[test]
fn append_strlen_ranges() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        APPEND key abc                               => :3
        APPEND key def                               => :6
        APPEND key ""                                => :6
        GET key                                      => "abcdef"
        APPEND new ""                                => :0
        EXISTS new                                   => :1
        STRLEN new                                   => :0
        APPEND key                                   => -ERR wrong number of arguments for 'append' command
        SET number 12                                => +OK
        APPEND number 34                             => :4
        INCR number                                  => :1235
        STRLEN key                                   => :6
        STRLEN missing                               => :0
        STRLEN                                       => -ERR wrong number of arguments for 'strlen' command
        SET key "Hello World"                        => +OK
        GETRANGE key 0 4                             => "Hello"
        GETRANGE key -5 -1                           => "World"
        GETRANGE key 0 -1                            => "Hello World"
        GETRANGE key 4 2                             => ""
        GETRANGE key 100 200                         => ""
        GETRANGE key 0 1000                          => "Hello World"
        GETRANGE key -1000 3                         => "Hell"
        GETRANGE key -3 -5                           => ""
        GETRANGE key -1000 -900                      => "H"
        GETRANGE key -9223372036854775808 9223372036854775807 => "Hello World"
        GETRANGE key 0 -9223372036854775808          => "H"
        GETRANGE missing 0 -1                        => ""
        GETRANGE key a 1                             => -ERR value is not an integer or out of range
        GETRANGE key 0 1.5                           => -ERR value is not an integer or out of range
        GETRANGE key 0                               => -ERR wrong number of arguments for 'getrange' command
        GETRANGE key 0 9223372036854775808           => -ERR value is not an integer or out of range
        SET int 12345                                => +OK
        GETRANGE int 1 3                             => "234"
        SUBSTR key 0 4                               => "Hello"
        SUBSTR key 0                                 => -ERR wrong number of arguments for 'substr' command
        SETRANGE key 6 Redis                         => :11
        GET key                                      => "Hello Redis"
        SETRANGE pad 5 x                             => :6
        GET pad                                      => "\x00\x00\x00\x00\x00x"
        SETRANGE none 0 ""                           => :0
        SETRANGE none 10 ""                          => :0
        EXISTS none                                  => :0
        SETRANGE key 50 ""                           => :11
        SETRANGE key -1 x                            => -ERR offset is out of range
        SETRANGE none -1 ""                          => -ERR offset is out of range
        SETRANGE key a x                             => -ERR value is not an integer or out of range
        SETRANGE key 1                               => -ERR wrong number of arguments for 'setrange' command
        SETRANGE key 536870912 x                     => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE key 536870911 xy                    => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE none 9223372036854775807 x          => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        STRLEN key                                   => :11
        SET n 10                                     => +OK
        SETRANGE n 1 1                               => :2
        INCR n                                       => :12
        "#,
    );
}

#[test]
fn counters() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        INCR n                                       => :1
        INCR n                                       => :2
        DECR n                                       => :1
        INCRBY n 10                                  => :11
        DECRBY n 20                                  => :-9
        GET n                                        => "-9"
        INCRBY n 0                                   => :-9
        SET n 9223372036854775807                    => +OK
        INCR n                                       => -ERR increment or decrement would overflow
        INCRBY n 1                                   => -ERR increment or decrement would overflow
        DECRBY n -1                                  => -ERR increment or decrement would overflow
        GET n                                        => "9223372036854775807"
        SET n -9223372036854775808                   => +OK
        DECR n                                       => -ERR increment or decrement would overflow
        INCRBY n -1                                  => -ERR increment or decrement would overflow
        DECRBY n 1                                   => -ERR increment or decrement would overflow
        DECRBY n -9223372036854775808                => -ERR decrement would overflow
        INCRBY n -9223372036854775808                => -ERR increment or decrement would overflow
        INCRBY n 9223372036854775808                 => -ERR value is not an integer or out of range
        INCRBY n abc                                 => -ERR value is not an integer or out of range
        INCRBY n ""                                  => -ERR value is not an integer or out of range
        INCRBY n " 1"                                => -ERR value is not an integer or out of range
        INCRBY n +1                                  => -ERR value is not an integer or out of range
        INCRBY n 01                                  => -ERR value is not an integer or out of range
        INCRBY n 1.0                                 => -ERR value is not an integer or out of range
        INCRBY n 0x10                                => -ERR value is not an integer or out of range
        INCRBY n                                     => -ERR wrong number of arguments for 'incrby' command
        INCR                                         => -ERR wrong number of arguments for 'incr' command
        INCR a b                                     => -ERR wrong number of arguments for 'incr' command
        DECRBY n                                     => -ERR wrong number of arguments for 'decrby' command
        SET s text                                   => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        SET s ""                                     => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        SET s " 11"                                  => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        SET s "11 "                                  => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        SET s 007                                    => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        SET s +5                                     => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        SET s -0                                     => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        SET s 9223372036854775808                    => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        SET s "12\x00"                               => +OK
        INCR s                                       => -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn float_counter() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        INCRBYFLOAT f 1.5                            => "1.5"
        INCRBYFLOAT f 1.5                            => "3"
        INCRBYFLOAT f -3                             => "0"
        INCRBYFLOAT f 0.1                            => "0.1"
        INCRBYFLOAT f 0.2                            => "0.3"
        GET f                                        => "0.3"
        SET f 5.0e3                                  => +OK
        INCRBYFLOAT f 200                            => "5200"
        INCRBYFLOAT f 1e20                           => "100000000000000005200"
        SET f 3.0e-5                                 => +OK
        INCRBYFLOAT f 0                              => "0.00003"
        SET f 17179869184                            => +OK
        INCRBYFLOAT f 1.5                            => "17179869185.5"
        INCRBYFLOAT f +inf                           => -ERR increment would produce NaN or Infinity
        INCRBYFLOAT f inf                            => -ERR increment would produce NaN or Infinity
        INCRBYFLOAT f -inf                           => -ERR increment would produce NaN or Infinity
        INCRBYFLOAT f nan                            => -ERR value is not a valid float
        INCRBYFLOAT f 1e5000                         => -ERR value is not a valid float
        SET f 1                                      => +OK
        INCRBYFLOAT f 0x10                           => "17"
        INCRBYFLOAT f +1                             => "18"
        INCRBYFLOAT f .5                             => "18.5"
        INCRBYFLOAT f 5.                             => "23.5"
        INCRBYFLOAT f 1E1                            => "33.5"
        INCRBYFLOAT f -0                             => "33.5"
        INCRBYFLOAT f " 1"                           => -ERR value is not a valid float
        INCRBYFLOAT f "1 "                           => -ERR value is not a valid float
        INCRBYFLOAT f ""                             => -ERR value is not a valid float
        INCRBYFLOAT f abc                            => -ERR value is not a valid float
        INCRBYFLOAT f 1,5                            => -ERR value is not a valid float
        INCRBYFLOAT f 1e                             => -ERR value is not a valid float
        INCRBYFLOAT f infinit                        => -ERR value is not a valid float
        INCRBYFLOAT f                                => -ERR wrong number of arguments for 'incrbyfloat' command
        SET s text                                   => +OK
        INCRBYFLOAT s 1                              => -ERR value is not a valid float
        SET s " 1"                                   => +OK
        INCRBYFLOAT s 1                              => -ERR value is not a valid float
        SET s "1 "                                   => +OK
        INCRBYFLOAT s 1                              => -ERR value is not a valid float
        SET i 9                                      => +OK
        INCRBYFLOAT i 1                              => "10"
        INCR i                                       => :11
        OBJECT ENCODING f                            => "embstr"
        "#,
    );
}

/// Redis adds in 80-bit extended precision and prints 17 digits after the point; doubles would show here.
#[test]
fn float_counter_precision() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SET f 1                                      => +OK
        INCRBYFLOAT f 1e-17                          => "1.00000000000000001"
        INCRBYFLOAT f 1e-30                          => "1.00000000000000001"
        SET f 1e300                                  => +OK
        INCRBYFLOAT f 1e300                          => "2000000000000000000017994648159118387741047888546581495876520164642531293192361871511698304167500994380700745017228549671807185112369345967826192521041497292574654271283687306588168510215212033579453305864740061102765895241989080589545563779241212358535223254194821301134374772211380178849830208012288"
        SET f 9007199254740993                       => +OK
        INCRBYFLOAT f 1                              => "9007199254740994"
        SET f 9223372036854775807                    => +OK
        INCRBYFLOAT f 1                              => "9223372036854775808"
        SET f 18446744073709551615                   => +OK
        INCRBYFLOAT f -1                             => "18446744073709551614"
        SET f 3.141592653589793238                   => +OK
        INCRBYFLOAT f 0                              => "3.14159265358979324"
        SET f 0.000000000000000001                   => +OK
        INCRBYFLOAT f 0                              => "0"
        SET f 1.1                                    => +OK
        INCRBYFLOAT f 2.2                            => "3.3"
        SET f 1e400                                  => +OK
        INCRBYFLOAT f 0                              => "10000000000000000000281880683947586514586453433629052038625910693539685534008629862039363994848324160522094053927317616200295822777259255734023828976593340661017797447434546173917862448116674971723778943824391593338047470675026246684401359237513603830343735485505244955964979021825038280091068414947402456898653040951017512658092615827588920183472511643316591362664138176309734806343732497430221946880"
        STRLEN f                                     => :401
        "#,
    );
}

#[test]
fn longest_common_subsequence() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MSET key1 ohmytext key2 mynewtext            => +OK
        LCS key1 key2                                => "mytext"
        LCS key1 key2 LEN                            => :6
        LCS key1 key2 IDX                            => ["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]
        LCS key1 key2 IDX MINMATCHLEN 4              => ["matches" [[[:4 :7] [:5 :8]]] "len" :6]
        LCS key1 key2 IDX MINMATCHLEN 4 WITHMATCHLEN => ["matches" [[[:4 :7] [:5 :8] :4]] "len" :6]
        LCS key1 key2 IDX WITHMATCHLEN               => ["matches" [[[:4 :7] [:5 :8] :4] [[:2 :3] [:0 :1] :2]] "len" :6]
        LCS key1 key2 IDX MINMATCHLEN -1             => ["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]
        LCS key1 key2 WITHMATCHLEN                   => "mytext"
        LCS key1 key2 MINMATCHLEN 4                  => "mytext"
        LCS key1 key2 LEN IDX                        => -ERR If you want both the length and indexes, please just use IDX.
        LCS key1 key2 BOGUS                          => -ERR syntax error
        LCS key1 key2 MINMATCHLEN                    => -ERR syntax error
        LCS key1 key2 MINMATCHLEN x                  => -ERR value is not an integer or out of range
        LCS key1 missing                             => ""
        LCS key1 missing LEN                         => :0
        LCS key1 missing IDX                         => ["matches" [] "len" :0]
        LCS missing missing                          => ""
        LCS key1 key1                                => "ohmytext"
        LCS key1                                     => -ERR wrong number of arguments for 'lcs' command
        LCS                                          => -ERR wrong number of arguments for 'lcs' command
        "#,
    );
    let mut client = server.client();
    client.hello(Protocol::Resp3);
    check(
        &mut client,
        r#"
        HELLO 3
        LCS key1 key2 IDX                            => {"matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6}
        LCS key1 missing IDX                         => {"matches" [] "len" :0}
        "#,
    );
}

#[test]
fn encodings() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SET k 123                                    => +OK
        OBJECT ENCODING k                            => "int"
        SET k 0123                                   => +OK
        OBJECT ENCODING k                            => "embstr"
        SET k -9223372036854775808                   => +OK
        OBJECT ENCODING k                            => "int"
        SET k 9223372036854775808                    => +OK
        OBJECT ENCODING k                            => "embstr"
        SET k 12345678901234567890123456789012345678901234 => +OK
        OBJECT ENCODING k                            => "embstr"
        SET k 123456789012345678901234567890123456789012345 => +OK
        OBJECT ENCODING k                            => "raw"
        SET k abc                                    => +OK
        APPEND k d                                   => :4
        OBJECT ENCODING k                            => "raw"
        SET k abc                                    => +OK
        SETRANGE k 0 x                               => :3
        OBJECT ENCODING k                            => "raw"
        SET k 5                                      => +OK
        INCR k                                       => :6
        OBJECT ENCODING k                            => "int"
        INCRBYFLOAT k 1                              => "7"
        OBJECT ENCODING k                            => "embstr"
        SETBIT bits 1 1                              => :0
        OBJECT ENCODING bits                         => "raw"
        GETSET k 77                                  => "7"
        OBJECT ENCODING k                            => "int"
        MSET k 78 l word                             => +OK
        OBJECT ENCODING k                            => "int"
        OBJECT ENCODING l                            => "embstr"
        APPEND fresh 79                              => :2
        OBJECT ENCODING fresh                        => "int"
        "#,
    );
}

#[test]
fn large_values_come_back_whole() {
    let server = Server::start();
    let mut client = server.client();
    for length in [1usize, 44, 45, 64, 255, 256, 1023, 16_383, 16_384, 65_536, 1 << 20, 8 << 20] {
        let value: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
        assert_eq!(client.command(&[b"SET".as_slice(), b"big", &value]), Reply::ok());
        assert_eq!(client.command(&["STRLEN", "big"]), Reply::Integer(length as i64));
        assert!(client.command(&["GET", "big"]).bytes() == value, "{length} bytes came back changed");
        let tail = client.command(&["GETRANGE", "big", "-10", "-1"]);
        assert_eq!(tail.bytes(), &value[length.saturating_sub(10)..]);
    }
}

/// Every length around the points where an entry may change its representation, grown and shrunk in place.
#[test]
fn values_change_size_in_place() {
    let server = Server::start();
    let mut client = server.client();
    let mut lengths: Vec<usize> = (0..200).collect();
    lengths.extend((0..200).rev());
    for (round, length) in lengths.into_iter().enumerate() {
        let value = vec![b'a' + (round % 26) as u8; length];
        assert_eq!(client.command(&[b"SET".as_slice(), b"key", &value]), Reply::ok());
        assert_eq!(client.command(&["GET", "key"]).bytes(), value);
    }
}

/// Null and string replies have the RESP2 and RESP3 forms that client libraries rely on.
#[test]
fn reply_forms() {
    let server = Server::start();
    let mut client: Client = server.client();
    assert_eq!(client.command_bytes(&["GET", "missing"]), b"$-1\r\n");
    assert_eq!(client.command_bytes(&["MGET", "missing"]), b"*1\r\n$-1\r\n");
    assert_eq!(client.command_bytes(&["SET", "k", "1.5", "XX"]), b"$-1\r\n");
    client.hello(Protocol::Resp3);
    assert_eq!(client.command_bytes(&["GET", "missing"]), b"_\r\n");
    assert_eq!(client.command_bytes(&["MGET", "missing"]), b"*1\r\n_\r\n");
    assert_eq!(client.command_bytes(&["SET", "k", "1.5"]), b"+OK\r\n");
    assert_eq!(client.command_bytes(&["INCRBYFLOAT", "k", "1"]), b"$3\r\n2.5\r\n");
}
