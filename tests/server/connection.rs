//! PING, ECHO, SELECT, QUIT, RESET, HELLO, AUTH and every subcommand of CLIENT.

use std::time::{Duration, Instant};

use crate::support::{Client, PATIENCE, Protocol, Reply, Server, check, wait_until};

#[test]
fn simple_commands() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        PING                                         => +PONG
        PING hello                                   => "hello"
        PING "bin\x00ary"                            => "bin\x00ary"
        PING a b                                     => -ERR wrong number of arguments for 'ping' command
        ECHO hi                                      => "hi"
        ECHO                                         => -ERR wrong number of arguments for 'echo' command
        ECHO a b                                     => -ERR wrong number of arguments for 'echo' command
        NOSUCHCOMMAND                                => -"ERR unknown command 'NOSUCHCOMMAND', with args beginning with: "
        NOSUCHCOMMAND a "b c"                        => -"ERR unknown command 'NOSUCHCOMMAND', with args beginning with: 'a' 'b c' "
        ""                                           => -"ERR unknown command '', with args beginning with: "
        "multi\r\nline" "a\r\nb"                     => -"ERR unknown command 'multi  line', with args beginning with: 'a  b' "
        RESET x                                      => -ERR wrong number of arguments for 'reset' command
        RESET                                        => +RESET
        "#,
    );
    // What an error quotes of a request is bounded.
    let mut client = server.client();
    let long = "x".repeat(300);
    let error = client.command(&[&long, &long, &long]).error();
    assert_eq!(error, format!("ERR unknown command '{}', with args beginning with: '{}' ", &long[..128], &long[..128]));
}

#[test]
fn quit_answers_then_closes() {
    let server = Server::start();
    let mut client = server.client();
    client.send(b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(client.until_closed(), b"+OK\r\n");
    let mut client = server.client();
    client.send(b"QUIT with arguments\r\n");
    assert_eq!(client.until_closed(), b"+OK\r\n");
}

#[test]
fn hello() {
    let server = Server::start();
    let mut client = server.client();
    let reply = client.run("HELLO");
    assert_eq!(reply.field("server"), &Reply::bulk("redis"));
    assert_eq!(reply.field("proto"), &Reply::Integer(2));
    assert_eq!(reply.field("mode"), &Reply::bulk("standalone"));
    assert_eq!(reply.field("role"), &Reply::bulk("master"));
    assert_eq!(reply.field("modules"), &Reply::Array(vec![]));
    assert_eq!(reply.field("id").integer(), client.id());
    assert!(reply.field("version").text().split('.').count() >= 2);
    let reply = client.hello(Protocol::Resp3);
    assert!(matches!(&reply, Reply::Map(pairs) if pairs.len() == 7));
    assert_eq!(reply.field("proto"), &Reply::Integer(3));
    assert_eq!(client.run("HELLO").field("proto"), &Reply::Integer(3));
    check(
        &mut client,
        r#"
        HELLO 1                                      => -NOPROTO unsupported protocol version
        HELLO 4                                      => -NOPROTO unsupported protocol version
        HELLO x                                      => -ERR Protocol version is not an integer or out of range
        HELLO ""                                     => -ERR Protocol version is not an integer or out of range
        HELLO 3 BOGUS                                => -ERR Syntax error in HELLO option 'BOGUS'
        HELLO 3 SETNAME                              => -ERR Syntax error in HELLO option 'SETNAME'
        HELLO 3 AUTH user                            => -ERR Syntax error in HELLO option 'AUTH'
        HELLO 3 SETNAME "a b"                        => -ERR Client names cannot contain spaces, newlines or special characters.
        CLIENT GETNAME                               => nil
        HELLO 3 SETNAME tester => _
        CLIENT GETNAME                               => "tester"
        HELLO 3 AUTH default wrong                   => _
        HELLO 3 AUTH nobody x                        => -WRONGPASS invalid username-password pair or user is disabled.
        "#,
    );
    // A refused HELLO leaves the protocol as it was.
    assert_eq!(client.command_bytes(&["GET", "missing"]), b"_\r\n");
    client.hello(Protocol::Resp2);
    assert_eq!(client.command_bytes(&["GET", "missing"]), b"$-1\r\n");
}

#[test]
fn reset_restores_a_fresh_connection() {
    let server = Server::start();
    let mut client = server.client();
    client.hello(Protocol::Resp3);
    check(
        &mut client,
        r#"
        CLIENT SETNAME named                         => +OK
        SELECT 5                                     => +OK
        SET key five                                 => +OK
        CLIENT REPLY ON                              => +OK
        CLIENT NO-EVICT ON                           => +OK
        MULTI                                        => +OK
        "#,
    );
    client.post("RESET");
    client.decode_as(Protocol::Resp2);
    assert_eq!(client.reply(), Reply::Status(b"RESET".to_vec()));
    check(
        &mut client,
        r#"
        CLIENT GETNAME                               => nil
        GET key                                      => nil
        EXEC                                         => -ERR EXEC without MULTI
        CLIENT TRACKINGINFO                          => ["flags" ["off"] "redirect" :-1 "prefixes" []]
        "#,
    );
}

#[test]
fn passwords() {
    let server = Server::with(&["--requirepass", "secret"]);
    check(
        &mut server.client(),
        r#"
        PING                                         => -NOAUTH Authentication required.
        GET key                                      => -NOAUTH Authentication required.
        NOSUCH                                       => -"ERR unknown command 'NOSUCH', with args beginning with: "
        CLIENT ID                                    => -NOAUTH Authentication required.
        COMMAND COUNT                                => -NOAUTH Authentication required.
        MULTI                                        => -NOAUTH Authentication required.
        EXEC                                         => -EXECABORT Transaction discarded because of: NOAUTH Authentication required.
        AUTH wrong                                   => -WRONGPASS invalid username-password pair or user is disabled.
        AUTH                                         => -ERR wrong number of arguments for 'auth' command
        AUTH a b c                                   => -ERR syntax error
        AUTH default wrong                           => -WRONGPASS invalid username-password pair or user is disabled.
        AUTH nobody secret                           => -WRONGPASS invalid username-password pair or user is disabled.
        HELLO                                        => -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
        HELLO 3                                      => -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
        HELLO 3 AUTH default wrong                   => -WRONGPASS invalid username-password pair or user is disabled.
        RESET                                        => +RESET
        GET key                                      => -NOAUTH Authentication required.
        AUTH secret                                  => +OK
        GET key                                      => nil
        AUTH wrong                                   => -WRONGPASS invalid username-password pair or user is disabled.
        GET key                                      => nil
        AUTH default secret                          => +OK
        RESET                                        => +RESET
        GET key                                      => -NOAUTH Authentication required.
        "#,
    );
    let mut client = server.client();
    client.post("HELLO 3 AUTH default secret SETNAME me");
    client.decode_as(Protocol::Resp3);
    assert_eq!(client.reply().field("proto"), &Reply::Integer(3));
    check(&mut client, "CLIENT GETNAME => \"me\"\nPING => +PONG");
    // Changed at run time: who is in stays in, newcomers need the new one; without one, anybody may enter.
    check(&mut client, "CONFIG SET requirepass other => +OK\nPING => +PONG");
    let mut late = server.client();
    check(
        &mut late,
        r#"
        AUTH secret                                  => -WRONGPASS invalid username-password pair or user is disabled.
        AUTH other                                   => +OK
        CONFIG SET requirepass ""                    => +OK
        "#,
    );
    check(
        &mut server.client(),
        r#"
        PING                                         => +PONG
        AUTH other                                   => -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?
        AUTH default anything                        => +OK
        "#,
    );
}

#[test]
fn quit_and_reset_need_no_password() {
    let server = Server::with(&["--requirepass", "secret"]);
    let mut client = server.client();
    client.send(b"*1\r\n$4\r\nQUIT\r\n");
    assert_eq!(client.until_closed(), b"+OK\r\n");
}

#[test]
fn client_names_and_info() {
    let server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        CLIENT GETNAME                               => nil
        CLIENT SETNAME worker-1                      => +OK
        CLIENT GETNAME                               => "worker-1"
        CLIENT SETNAME "has space"                   => -ERR Client names cannot contain spaces, newlines or special characters.
        CLIENT SETNAME "new\nline"                   => -ERR Client names cannot contain spaces, newlines or special characters.
        CLIENT SETNAME                               => -ERR wrong number of arguments for 'client|setname' command
        CLIENT GETNAME x                             => -ERR wrong number of arguments for 'client|getname' command
        CLIENT SETINFO lib-name redis-py             => +OK
        CLIENT SETINFO LIB-VER 5.0.1                 => +OK
        CLIENT SETINFO lib-name "a b"                => -ERR lib-name cannot contain spaces, newlines or special characters.
        CLIENT SETINFO lib-ver "a\nb"                => -ERR lib-ver cannot contain spaces, newlines or special characters.
        CLIENT SETINFO bogus x                       => -ERR Unrecognized option 'bogus'
        CLIENT SETINFO lib-name                      => -ERR wrong number of arguments for 'client|setinfo' command
        CLIENT                                       => -ERR wrong number of arguments for 'client' command
        CLIENT BOGUS                                 => -ERR unknown subcommand 'BOGUS'. Try CLIENT HELP.
        CLIENT BOGUS x                               => -ERR unknown subcommand 'BOGUS'. Try CLIENT HELP.
        CLIENT ID x                                  => -ERR wrong number of arguments for 'client|id' command
        CLIENT INFO x                                => -ERR wrong number of arguments for 'client|info' command
        SELECT 2                                     => +OK
        "#,
    );
    let id = client.id();
    let line = client.run("CLIENT INFO").text().to_owned();
    let field = |name: &str| {
        let found = line.trim_end().split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
    };
    assert!(line.ends_with('\n'));
    assert_eq!(field("id"), id.to_string());
    assert_eq!(field("name"), "worker-1");
    assert_eq!(field("lib-name"), "redis-py");
    assert_eq!(field("lib-ver"), "5.0.1");
    assert_eq!(field("db"), "2");
    assert_eq!(field("cmd"), "client|info");
    assert_eq!(field("user"), "default");
    assert_eq!(field("resp"), "2");
    assert_eq!(field("flags"), "N");
    assert_eq!(field("multi"), "-1");
    assert_eq!(field("redir"), "-1");
    assert_eq!(field("laddr"), format!("127.0.0.1:{}", server.port()));
    assert!(field("addr").starts_with("127.0.0.1:"));
    // The names and their order, as parsers of this line know them.
    let names: Vec<&str> = line.trim_end().split(' ').map(|part| part.split('=').next().expect("a name")).collect();
    assert_eq!(
        names.join(" "),
        "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem \
         tot-mem events cmd user redir resp lib-name lib-ver"
    );
    let help = client.run("CLIENT HELP");
    assert_eq!(help.items()[0].text(), "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    client.run("CLIENT SETNAME \"\"");
    assert_eq!(client.run("CLIENT GETNAME"), Reply::Null);
}

#[test]
fn client_list() {
    let server = Server::start();
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let ids: Vec<i64> = clients.iter_mut().map(Client::id).collect();
    assert!(ids[0] < ids[1] && ids[1] < ids[2], "ids grow");
    let listed = |reply: &Reply| -> Vec<i64> {
        let number = |line: &str| line.strip_prefix("id=").and_then(|rest| rest.split(' ').next()?.parse().ok());
        reply.text().lines().map(|line| number(line).unwrap_or_else(|| panic!("no id in {line}"))).collect()
    };
    let client = &mut clients[0];
    // Connections made while the server was awaited may still be going.
    wait_until("three clients are listed", || listed(&client.run("CLIENT LIST")) == ids);
    assert_eq!(listed(&client.run("CLIENT LIST TYPE normal")), ids);
    assert_eq!(client.run("CLIENT LIST TYPE pubsub").text(), "");
    assert_eq!(client.run("CLIENT LIST TYPE master").text(), "");
    assert_eq!(client.run("CLIENT LIST TYPE replica").text(), "");
    assert_eq!(client.run("CLIENT LIST TYPE slave").text(), "");
    let two = format!("CLIENT LIST ID {} {} 99999", ids[2], ids[0]);
    assert_eq!(listed(&client.run(&two)), [ids[2], ids[0]]);
    check(
        client,
        r#"
        CLIENT LIST TYPE bogus                       => -ERR Unknown client type 'bogus'
        CLIENT LIST TYPE                             => -ERR syntax error
        CLIENT LIST ID                               => -ERR syntax error
        CLIENT LIST ID x                             => -ERR Invalid client ID
        CLIENT LIST ID 0                             => ""
        CLIENT LIST ID -1                            => ""
        CLIENT LIST BOGUS                            => -ERR syntax error
        CLIENT LIST BOGUS x                          => -ERR syntax error
        "#,
    );
}

#[test]
fn client_kill() {
    let server = Server::start();
    let mut client = server.client();
    let address = |other: &mut Client| {
        let line = other.run("CLIENT INFO").text().to_owned();
        line.split(' ').find_map(|part| part.strip_prefix("addr=")).expect("addr").to_owned()
    };
    check(
        &mut client,
        r#"
        CLIENT KILL                                  => -ERR wrong number of arguments for 'client|kill' command
        CLIENT KILL 127.0.0.1:1                      => -ERR No such client
        CLIENT KILL ID 99999                         => :0
        CLIENT KILL ID 0                             => -ERR client-id should be greater than 0
        CLIENT KILL ID -1                            => -ERR client-id should be greater than 0
        CLIENT KILL ID x                             => -ERR client-id should be greater than 0
        CLIENT KILL TYPE bogus                       => -ERR Unknown client type 'bogus'
        CLIENT KILL USER nobody                      => -ERR No such user 'nobody'
        CLIENT KILL ADDR 127.0.0.1:1                 => :0
        CLIENT KILL LADDR 127.0.0.1:1                => :0
        CLIENT KILL SKIPME maybe                     => -ERR syntax error
        CLIENT KILL BOGUS x                          => -ERR syntax error
        CLIENT KILL ID 1 BOGUS                       => -ERR syntax error
        CLIENT KILL ADDR                             => -ERR No such client
        CLIENT KILL TYPE pubsub                      => :0
        "#,
    );
    let mut other = server.client();
    let victim = address(&mut other);
    assert_eq!(client.run(&format!("CLIENT KILL {victim}")), Reply::ok());
    wait_until("the old form closes", || other.is_closed());
    let mut other = server.client();
    let id = other.id();
    assert_eq!(client.run(&format!("CLIENT KILL ID {id}")), Reply::Integer(1));
    wait_until("ID closes", || other.is_closed());
    let mut other = server.client();
    let victim = address(&mut other);
    assert_eq!(client.run(&format!("CLIENT KILL ADDR {victim} ID 99999")), Reply::Integer(0));
    assert_eq!(client.run(&format!("CLIENT KILL ADDR {victim} TYPE normal USER default")), Reply::Integer(1));
    wait_until("ADDR closes", || other.is_closed());
    // SKIPME yes is the default: all others go, the caller stays.
    let mut others: Vec<Client> = (0..3).map(|_| server.client()).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.run("PING").text(), "PONG"));
    assert_eq!(client.run("CLIENT KILL TYPE normal"), Reply::Integer(3));
    wait_until("all others close", || others.iter_mut().all(Client::is_closed));
    assert_eq!(client.run("PING").text(), "PONG");
    // Killing itself: the reply still arrives.
    let own = client.id();
    client.post(&format!("CLIENT KILL ID {own} SKIPME no"));
    assert_eq!(client.until_closed(), b":1\r\n");
}

#[test]
fn client_reply_modes() {
    let server = Server::start();
    let mut client = server.client();
    client.post("CLIENT REPLY SKIP");
    client.post("SET key 1");
    client.post("GET key");
    assert_eq!(client.reply(), Reply::bulk("1"));
    client.post("CLIENT REPLY OFF");
    client.post("SET key 2");
    client.post("NOSUCH");
    client.post("CLIENT REPLY SKIP");
    client.post("PING");
    client.post("CLIENT REPLY ON");
    assert_eq!(client.reply(), Reply::ok());
    assert_eq!(client.run("GET key"), Reply::bulk("2"));
    check(
        &mut client,
        r#"
        CLIENT REPLY                                 => -ERR wrong number of arguments for 'client|reply' command
        CLIENT REPLY MAYBE                           => -ERR syntax error
        CLIENT REPLY ON x                            => -ERR wrong number of arguments for 'client|reply' command
        "#,
    );
}

#[test]
fn client_pause() {
    let server = Server::start();
    let (mut client, mut control) = (server.client(), server.client());
    check(
        &mut control,
        r#"
        CLIENT PAUSE                                 => -ERR wrong number of arguments for 'client|pause' command
        CLIENT PAUSE x                               => -ERR timeout is not an integer or out of range
        CLIENT PAUSE -1                              => -ERR timeout is negative
        CLIENT PAUSE 10 BOGUS                        => -ERR CLIENT PAUSE mode must be WRITE or ALL
        CLIENT PAUSE 10 WRITE x                      => -ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.
        CLIENT UNPAUSE x                             => -ERR wrong number of arguments for 'client|unpause' command
        CLIENT UNPAUSE                               => +OK
        "#,
    );
    // WRITE holds back writes, also inside a transaction, and lets reads through.
    assert_eq!(control.run("CLIENT PAUSE 60000 WRITE"), Reply::ok());
    assert_eq!(client.run("GET key"), Reply::Null);
    client.post("SET key v");
    client.expect_silence(Duration::from_millis(60));
    assert_eq!(control.run("EXISTS key"), Reply::Integer(0));
    assert_eq!(control.run("CLIENT UNPAUSE"), Reply::ok());
    assert_eq!(client.reply(), Reply::ok());
    assert_eq!(control.run("CLIENT PAUSE 60000 WRITE"), Reply::ok());
    assert_eq!(client.run("MULTI"), Reply::ok());
    client.post("SET key w");
    client.post("EXEC");
    client.expect_silence(Duration::from_millis(60));
    control.run("CLIENT UNPAUSE");
    assert_eq!(client.reply().text(), "QUEUED");
    assert_eq!(client.reply(), Reply::Array(vec![Reply::ok()]));
    // ALL holds back reads too, and ends by itself.
    assert_eq!(control.run("CLIENT PAUSE 150 ALL"), Reply::ok());
    let started = Instant::now();
    assert_eq!(client.run("GET key"), Reply::bulk("w"));
    assert!(started.elapsed() > Duration::from_millis(60) && started.elapsed() < PATIENCE);
}

#[test]
fn client_unblock() {
    let server = Server::start();
    let mut client = server.client();
    let own = client.id();
    check(
        &mut client,
        r#"
        CLIENT UNBLOCK 99999                         => :0
        CLIENT UNBLOCK x                             => -ERR value is not an integer or out of range
        CLIENT UNBLOCK 99999 TIMEOUT                 => :0
        CLIENT UNBLOCK 99999 ERROR                   => :0
        CLIENT UNBLOCK 99999 BOGUS                   => -ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR
        CLIENT UNBLOCK                               => -ERR wrong number of arguments for 'client|unblock' command
        "#,
    );
    assert_eq!(client.run(&format!("CLIENT UNBLOCK {own}")), Reply::Integer(0));
    // Those who wait for replicas are told how many there are, or that somebody ended it.
    let mut waiting = server.client();
    let id = waiting.id();
    for (wait, reply) in [("WAIT 1 0", Reply::Integer(0)), ("WAITAOF 0 1 0", Reply::Array(vec![Reply::Integer(0); 2]))]
    {
        for (reason, reply) in
            [("", reply), ("ERROR", Reply::Error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK".to_vec()))]
        {
            waiting.post(wait);
            wait_until("it waits", || client.run(&format!("CLIENT UNBLOCK {id} {reason}")).integer() == 1);
            assert_eq!(waiting.reply(), reply, "{wait} {reason}");
            assert_eq!(client.run(&format!("CLIENT UNBLOCK {id}")).integer(), 0);
        }
    }
}

#[test]
fn client_switches() {
    let server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        CLIENT NO-EVICT ON                           => +OK
        CLIENT NO-EVICT OFF                          => +OK
        CLIENT NO-EVICT MAYBE                        => -ERR syntax error
        CLIENT NO-EVICT                              => -ERR wrong number of arguments for 'client|no-evict' command
        CLIENT NO-TOUCH ON                           => +OK
        CLIENT NO-TOUCH OFF                          => +OK
        CLIENT NO-TOUCH MAYBE                        => -ERR syntax error
        CLIENT NO-TOUCH                              => -ERR wrong number of arguments for 'client|no-touch' command
        CLIENT GETREDIR                              => :-1
        CLIENT TRACKINGINFO                          => ["flags" ["off"] "redirect" :-1 "prefixes" []]
        CLIENT CACHING YES                           => -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
        CLIENT TRACKING                              => -ERR wrong number of arguments for 'client|tracking' command
        CLIENT TRACKING MAYBE                        => -ERR syntax error
        CLIENT TRACKING ON                           => +OK
        CLIENT TRACKING OFF                          => +OK
        CLIENT TRACKING ON REDIRECT 99999            => -ERR The client ID you want redirect to does not exist
        CLIENT TRACKING ON REDIRECT x                => -ERR value is not an integer or out of range
        CLIENT TRACKING ON OPTIN OPTOUT              => -ERR You can't specify both OPTIN mode and OPTOUT mode
        CLIENT TRACKING ON PREFIX a                  => -ERR PREFIX option requires BCAST mode to be enabled
        CLIENT TRACKING ON BCAST OPTIN               => -ERR OPTIN and OPTOUT are not compatible with BCAST
        CLIENT TRACKING ON BOGUS                     => -ERR syntax error
        "#,
    );
}

#[test]
fn clients_that_a_pause_holds_back_go_on_as_soon_as_it_is_lifted() {
    let server = Server::start();
    let (mut client, mut writer) = (server.client(), server.client());
    check(&mut client, "CLIENT PAUSE 60000 WRITE => +OK");
    writer.post("SET key value");
    // The writer is held back, and readers are not.
    while !client.run("CLIENT LIST").text().contains("flags=b") {}
    check(&mut client, "GET key => nil");
    check(&mut client, "CLIENT UNPAUSE => +OK");
    assert_eq!(writer.reply(), Reply::Status(b"OK".to_vec()));
    check(&mut client, "GET key => \"value\"");
}

#[test]
fn client_tracking_in_resp3() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.hello(Protocol::Resp3);
    check(
        &mut client,
        r#"
        CLIENT TRACKING ON PREFIX a                  => -ERR PREFIX option requires BCAST mode to be enabled
        CLIENT TRACKING ON BCAST PREFIX a PREFIX ab  => -ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.
        CLIENT TRACKING ON                           => +OK
        CLIENT TRACKING ON BCAST                     => -ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.
        CLIENT CACHING YES                           => -ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.
        CLIENT CACHING NO                            => -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
        CLIENT CACHING MAYBE                         => -ERR syntax error
        CLIENT GETREDIR                              => :0
        CLIENT TRACKINGINFO                          => {"flags" ~["on"] "redirect" :0 "prefixes" []}
        GET key                                      => nil
        MGET one two                                 => [nil nil]
        "#,
    );
    let invalidated = |client: &mut Client| match client.reply() {
        Reply::Push(items) if items[0] == Reply::bulk("invalidate") => items[1].clone(),
        reply => panic!("expected an invalidation, got {reply:?}"),
    };
    let one = |key: &str| Reply::Array(vec![Reply::bulk(key)]);
    other.run("SET key v");
    assert_eq!(invalidated(&mut client), one("key"));
    // Once only: the key must be read again before the next message.
    other.run("SET key w");
    other.run("SET two w");
    assert_eq!(invalidated(&mut client), one("two"));
    client.run("GET key");
    other.run("FLUSHALL");
    assert_eq!(invalidated(&mut client), Reply::Null);
    // Broadcasting by prefix needs no reading; own changes are left out with NOLOOP.
    check(
        &mut client,
        r#"
        CLIENT TRACKING OFF                          => +OK
        CLIENT TRACKING ON BCAST PREFIX user: PREFIX item: NOLOOP => +OK
        CLIENT TRACKINGINFO                          => {"flags" ~["on" "bcast" "noloop"] "redirect" :0 "prefixes" _}
        SET user:1 mine                              => +OK
        "#,
    );
    other.run("SET elsewhere v");
    other.run("SET item:7 v");
    assert_eq!(invalidated(&mut client), one("item:7"));
    // Expiry invalidates as well.
    client.run("CLIENT TRACKING OFF");
    client.run("CLIENT TRACKING ON OPTIN");
    let error = client.run("CLIENT TRACKING ON OPTOUT").error();
    assert!(error.starts_with("ERR You can't switch OPTIN/OPTOUT mode before disabling tracking"), "{error}");
    other.run("SET short v PX 50");
    other.run("SET unread v");
    client.run("GET unread");
    check(&mut client, "CLIENT CACHING YES => +OK\nGET short => \"v\"");
    other.run("SET unread w");
    assert_eq!(invalidated(&mut client), one("short"));
}

#[test]
fn select_keeps_its_database_per_connection() {
    let server = Server::start();
    let (mut first, mut second) = (server.client(), server.client());
    check(&mut first, "SELECT 7 => +OK\nSET key seven => +OK");
    check(&mut second, "GET key => nil\nSELECT 7 => +OK\nGET key => \"seven\"");
    check(&mut first, "SELECT 99 => -ERR DB index is out of range\nGET key => \"seven\"");
}
