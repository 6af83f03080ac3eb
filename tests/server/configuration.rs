//! Starting and configuring: command line, configuration files and their errors, CONFIG, listeners and who may connect.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use crate::support::{Client, Reply, Server, check, free_port, run_to_exit, temporary_directory, wait_until};

#[test]
fn bad_files_are_refused_with_file_line_and_reason() {
    let directory = temporary_directory();
    let path = directory.join("bad.conf");
    let name = path.to_str().expect("a UTF-8 path");
    let cases = [
        ("port 0\nbogus-directive 1\n", 2, "bogus-directive"),
        ("# a comment\n\n\nport 70000\n", 4, "70000"),
        ("maxmemory lots\n", 1, "lots"),
        ("hz\n", 1, "hz"),
        ("port 1 2\n", 1, "port"),
        ("port abc\n", 1, "abc"),
        ("appendonly maybe\n", 1, "maybe"),
        ("maxmemory-policy strongest\n", 1, "strongest"),
        ("timeout -1\n", 1, "timeout"),
        ("dir /nonexistent/directory\n", 1, "/nonexistent/directory"),
        ("requirepass \"unbalanced\n", 1, "requirepass"),
        ("client-output-buffer-limit normal 1 2\n", 1, "client-output-buffer-limit"),
        ("save 1\n", 1, "save"),
        ("databases 0\n", 1, "databases"),
        ("loglevel loud\n", 1, "loud"),
    ];
    for (text, line, mention) in cases {
        fs::write(&path, text).expect("write the configuration");
        let exit = run_to_exit(&[name], "");
        assert_eq!(exit.code, Some(1), "{text}: {}", exit.output);
        assert!(exit.output.contains(mention), "{text} should mention {mention}: {}", exit.output);
        assert!(exit.output.contains(name), "{text} should name the file: {}", exit.output);
        let told = exit.output.contains(&format!("line {line}")) || exit.output.contains(&format!("{name}:{line}"));
        assert!(told, "{text} should name line {line}: {}", exit.output);
    }
    fs::remove_dir_all(directory).expect("clean up");
}

#[test]
fn bad_arguments_are_refused() {
    for arguments in [
        vec!["--bogus-directive", "1"],
        vec!["--port", "abc"],
        vec!["--port"],
        vec!["--maxmemory", "lots"],
        vec!["/nonexistent/cairn.conf"],
        vec!["--include", "/nonexistent/cairn.conf"],
    ] {
        let exit = run_to_exit(&arguments, "");
        assert_eq!(exit.code, Some(1), "{arguments:?}: {}", exit.output);
        let mention = arguments[arguments.len() - 1].trim_start_matches("--");
        assert!(exit.output.contains(mention), "{arguments:?} should mention {mention}: {}", exit.output);
    }
}

#[test]
fn version_and_help() {
    for flag in ["--version", "-v"] {
        let exit = run_to_exit(&[flag], "");
        assert_eq!(exit.code, Some(0), "{flag}: {}", exit.output);
        assert!(exit.output.contains("v="), "{flag} should print v=...: {}", exit.output);
        assert_eq!(exit.output.trim().lines().count(), 1);
    }
    for flag in ["--help", "-h"] {
        let exit = run_to_exit(&[flag], "");
        assert!(exit.output.contains("Usage") && exit.output.contains("--port"), "{flag}: {}", exit.output);
    }
}

#[test]
fn check_config_only_checks() {
    let directory = temporary_directory();
    let path = directory.join("checked.conf");
    let name = path.to_str().expect("a UTF-8 path");
    fs::write(&path, "port 0\nmaxmemory 1gb\n").expect("write the configuration");
    for arguments in [vec![name, "--check-config"], vec!["--check-config", name]] {
        let exit = run_to_exit(&arguments, "");
        assert_eq!(exit.code, Some(0), "{arguments:?}: {}", exit.output);
    }
    fs::write(&path, "port 0\nmaxmemory lots\n").expect("write the configuration");
    let exit = run_to_exit(&[name, "--check-config"], "");
    assert_eq!(exit.code, Some(1), "{}", exit.output);
    assert!(exit.output.contains("lots"), "{}", exit.output);
    fs::remove_dir_all(directory).expect("clean up");
}

#[test]
fn configuration_from_standard_input() {
    let exit = run_to_exit(&["-"], "port 0\nbogus-directive 1\n");
    assert_eq!(exit.code, Some(1));
    assert!(exit.output.contains("bogus-directive"), "{}", exit.output);
    // A good one starts a server: told by the port being taken for the next.
    let server = Server::start();
    let text = format!("bind 127.0.0.1\nport {}\n", server.port());
    let exit = run_to_exit(&["-", "--save", ""], &text);
    assert_eq!(exit.code, Some(1));
    assert!(exit.output.contains("in use"), "{}", exit.output);
}

#[test]
fn arguments_override_the_file() {
    let server = Server::with_file(
        "# comment\nmaxmemory 100mb\n\n  timeout   30  \nMAXCLIENTS 77\nappendfsync \"no\"\nsave 900 1\nsave 300 10\n",
        &[
            "--maxmemory",
            "200mb",
            "--maxmemory-policy",
            "allkeys-lfu",
            "--client-output-buffer-limit",
            "normal",
            "1mb",
            "0",
            "0",
        ],
    );
    check(
        &mut server.client(),
        r#"
        CONFIG GET maxmemory                         => ["maxmemory" "209715200"]
        CONFIG GET timeout                           => ["timeout" "30"]
        CONFIG GET maxclients                        => ["maxclients" "77"]
        CONFIG GET appendfsync                       => ["appendfsync" "no"]
        CONFIG GET maxmemory-policy                  => ["maxmemory-policy" "allkeys-lfu"]
        CONFIG GET client-output-buffer-limit        => [_ contains "normal 1048576 0 0"]
        CONFIG GET save                              => ["save" ""]
        "#,
    );
}

#[test]
fn quoting_sizes_and_includes() {
    let directory = temporary_directory();
    fs::write(directory.join("first.conf"), "timeout 11\ntcp-keepalive 77\n").expect("write");
    fs::write(directory.join("second.conf"), "hz 33\n").expect("write");
    let base = directory.to_str().expect("a UTF-8 path");
    let text = format!(
        "timeout 5\ninclude {base}/first.conf\ninclude {base}/sec*.conf\ntcp-keepalive 88\nrequirepass \"a b\\x41\\\"c\"\n\
         proto-max-bulk-len 2MB\nmaxmemory 3g\nclient-query-buffer-limit 5k0\n"
    );
    let exit = run_to_exit(&["-"], &text);
    assert_eq!(exit.code, Some(1), "5k0 is no size: {}", exit.output);
    let text = text.replace("5k0", "5m");
    let server = Server::with_file(&text, &[]);
    let mut client = server.client();
    assert_eq!(client.command(&["AUTH", "a bA\"c"]), Reply::ok());
    check(
        &mut client,
        r#"
        CONFIG GET timeout                           => ["timeout" "11"]
        CONFIG GET tcp-keepalive                     => ["tcp-keepalive" "88"]
        CONFIG GET hz                                => ["hz" "33"]
        CONFIG GET proto-max-bulk-len                => ["proto-max-bulk-len" "2097152"]
        CONFIG GET maxmemory                         => ["maxmemory" "3000000000"]
        CONFIG GET client-query-buffer-limit         => ["client-query-buffer-limit" "5000000"]
        "#,
    );
    fs::remove_dir_all(directory).expect("clean up");
}

/// A configuration file as distributions ship it starts the server unchanged.
#[test]
fn a_stock_redis_configuration_starts() {
    let stock = "/etc/redis/redis.conf";
    let text = fs::read_to_string(stock).unwrap_or_else(|error| panic!("{stock}: {error}; install redis-server"));
    let quiet = ["--daemonize", "no", "--logfile", "", "--pidfile", "", "--supervised", "no", "--unixsocket", ""];
    let server = Server::with_file(&text, &quiet);
    assert_eq!(server.client().run("PING").text(), "PONG");
}

#[test]
fn rewrite_keeps_comments_and_order() {
    let text = "# first comment\nmaxclients 500\n\n# about timeouts\ntimeout 30\nhz 10\n# last comment\n";
    let server = Server::with_file(text, &[]);
    let mut client = server.client();
    check(
        &mut client,
        r#"
        CONFIG SET timeout 60                        => +OK
        CONFIG SET maxmemory 123456789               => +OK
        CONFIG SET maxmemory-policy volatile-ttl     => +OK
        CONFIG SET requirepass "with space"          => +OK
        CONFIG SET hz 10                             => +OK
        CONFIG REWRITE                               => +OK
        "#,
    );
    let rewritten = fs::read_to_string(server.path("test.conf")).expect("the file");
    let position = |part: &str| rewritten.find(part).unwrap_or_else(|| panic!("{part} is not in:\n{rewritten}"));
    let order = [
        position("# first comment"),
        position("maxclients 500"),
        position("# about timeouts"),
        position("timeout 60"),
        position("# last comment"),
        position("maxmemory 123456789"),
    ];
    assert!(order.is_sorted(), "{rewritten}");
    assert!(!rewritten.contains("timeout 30"), "{rewritten}");
    position("maxmemory-policy volatile-ttl");
    position("requirepass \"with space\"");
    // A second rewrite changes nothing, and the file starts a server with the same values.
    check(&mut client, "CONFIG REWRITE => +OK");
    let again = fs::read_to_string(server.path("test.conf")).expect("the file");
    assert_eq!(again.trim_end(), rewritten.trim_end());
    let settings = |client: &mut Client| -> BTreeMap<String, String> {
        let reply = client.run("CONFIG GET *");
        let pairs = reply.items().chunks(2).map(|pair| (pair[0].text().to_owned(), pair[1].text().to_owned()));
        let own = ["port", "dir", "pidfile", "logfile"];
        pairs.filter(|(name, _)| !own.contains(&name.as_str())).collect()
    };
    let restarted = Server::with_file(&rewritten, &[]);
    let mut second = restarted.client();
    second.command(&["AUTH", "with space"]);
    let (before, after) = (settings(&mut client), settings(&mut second));
    let changed: Vec<&String> = before.keys().filter(|name| before.get(*name) != after.get(*name)).collect();
    assert!(changed.is_empty(), "changed by the restart: {changed:?}");
}

/// Every setting accepts the value it reports, or says that it cannot be changed while running.
#[test]
fn every_setting_round_trips() {
    let server = Server::start();
    let mut client = server.client();
    let reply = client.run("CONFIG GET *");
    let names: Vec<(String, Vec<u8>)> =
        reply.items().chunks(2).map(|pair| (pair[0].text().to_owned(), pair[1].bytes().to_vec())).collect();
    let mut accepted = 0;
    for (name, value) in &names {
        let reply = client.command(&[b"CONFIG".as_slice(), b"SET", name.as_bytes(), value]);
        match &reply {
            Reply::Error(_) => {
                let error = reply.error();
                let fixed =
                    error.contains("can't set immutable config") || error.contains("can't set protected config");
                assert!(fixed, "CONFIG SET {name} {}: {error}", String::from_utf8_lossy(value));
            }
            _ => accepted += 1,
        }
        assert_eq!(client.run("PING").text(), "PONG", "after setting {name}");
    }
    assert!(accepted > 100, "only {accepted} settings can be changed");
    for (name, value) in &names {
        let now = client.command(&["CONFIG", "GET", name]);
        assert_eq!(now.items()[1].bytes(), value, "{name} is another than before");
    }
}

#[test]
fn unix_socket_with_permissions() {
    let directory = temporary_directory();
    let path = directory.join("socket");
    let server = Server::with(&["--unixsocket", path.to_str().expect("UTF-8"), "--unixsocketperm", "750"]);
    wait_until("the socket is there", || path.exists());
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o750);
    let mut client = Client::connect_unix(&path).expect("connect");
    check(&mut client, "SET key over-unix => +OK\nPING => +PONG");
    assert_eq!(server.client().run("GET key"), Reply::bulk("over-unix"));
    let line = client.run("CLIENT INFO").text().to_owned();
    let expected = format!("addr={}:0 laddr={}:0", path.display(), path.display());
    assert!(line.contains(&expected) && line.contains("flags=U"), "{line}");
    client.post("SHUTDOWN NOSAVE");
    client.until_closed();
    wait_until("the socket is removed", || !path.exists());
    drop(server);
    fs::remove_dir_all(directory).expect("clean up");
}

#[test]
fn several_addresses() {
    let server = Server::with(&["--bind", "127.0.0.1", "127.0.0.2", "::1", "-192.0.2.253"]);
    for address in ["127.0.0.1", "127.0.0.2", "::1"] {
        let ip: IpAddr = address.parse().expect("an address");
        let mut client = Client::connect((ip, server.port())).unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(client.run("PING").text(), "PONG");
        let line = client.run("CLIENT INFO").text().to_owned();
        let shown = if ip.is_ipv6() { format!("[{address}]") } else { address.to_owned() };
        assert!(line.contains(&format!("laddr={shown}:{}", server.port())), "{line}");
    }
    assert!(Client::connect(("127.0.0.3", server.port())).is_err());
    let exit = run_to_exit(&["--port", &free_port().to_string(), "--bind", "192.0.2.253"], "");
    assert_eq!(exit.code, Some(1), "an address that is not ours: {}", exit.output);
}

#[test]
fn listening_changes_at_run_time() {
    let server = Server::start();
    let mut client = server.client();
    let port = free_port();
    assert_eq!(client.command(&["CONFIG", "SET", "port", &port.to_string()]), Reply::ok());
    let mut newcomer = Client::connect(("127.0.0.1", port)).expect("the new port");
    assert_eq!(newcomer.run("PING").text(), "PONG");
    assert!(Client::connect(("127.0.0.1", server.port())).is_err());
    assert_eq!(client.run("PING").text(), "PONG", "who is connected stays connected");
    // A port that is taken is refused and the old one stays.
    let other = Server::start();
    let error = client.command(&["CONFIG", "SET", "port", &other.port().to_string()]).error();
    assert!(error.starts_with("ERR CONFIG SET failed (possibly related to argument 'port')"), "{error}");
    Client::connect(("127.0.0.1", port)).expect("still there");
    assert_eq!(client.run("CONFIG SET bind \"127.0.0.1 127.0.0.5\""), Reply::ok());
    Client::connect(("127.0.0.5", port)).expect("the new address");
}

/// Without a password and an explicit address, only local clients are served.
#[test]
fn protected_mode() {
    let probe = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    let address = probe.expect("an address that is not loopback is needed to seem a stranger").ip();
    let server = Server::with(&["--bind", "*"]);
    let mut stranger = Client::connect((address, server.port())).expect("connect");
    let answer = String::from_utf8(stranger.until_closed()).expect("UTF-8");
    assert!(answer.starts_with("-DENIED ") && answer.contains("protected mode"), "{answer}");
    let mut local = server.client();
    assert_eq!(local.run("CONFIG SET protected-mode no"), Reply::ok());
    let mut stranger = Client::connect((address, server.port())).expect("connect");
    assert_eq!(stranger.run("PING").text(), "PONG");
    assert_eq!(local.run("CONFIG SET protected-mode yes"), Reply::ok());
    assert_eq!(local.run("CONFIG SET requirepass secret"), Reply::ok());
    let mut stranger = Client::connect((address, server.port())).expect("connect");
    check(&mut stranger, "PING => -NOAUTH Authentication required.\nAUTH secret => +OK\nPING => +PONG");
}

#[test]
fn number_of_databases() {
    let server = Server::with(&["--databases", "3"]);
    check(
        &mut server.client(),
        r#"
        SELECT 2                                     => +OK
        SELECT 3                                     => -ERR DB index is out of range
        SWAPDB 0 3                                   => -ERR DB index is out of range
        CONFIG GET databases                         => ["databases" "3"]
        "#,
    );
}

#[test]
fn the_process_title() {
    let shown = |server: &Server| {
        let bytes = fs::read(format!("/proc/{}/cmdline", server.process_id())).expect("the command line");
        String::from_utf8(bytes).expect("UTF-8").trim_end_matches('\0').to_owned()
    };
    let server = Server::with(&["--databases", "3"]);
    let binary = env!("CARGO_BIN_EXE_cairn-server");
    let address = format!("127.0.0.1:{}", server.port());
    wait_until("the title is there", || shown(&server) == format!("{binary} {address}"));
    let mut client = server.client();
    check(&mut client, "CONFIG SET proc-title-template \"x {port} {config-file} {server-mode}\" => +OK");
    assert_eq!(shown(&server), format!("x {} -", server.port()));
    // There is room for more than the arguments took, and no more than there is.
    let long = format!("{{port}}{}", "y".repeat(100_000));
    assert_eq!(client.command(&["CONFIG", "SET", "proc-title-template", &long]), Reply::ok());
    assert!(shown(&server).starts_with(&format!("{}yyyyyyyyyy", server.port())));
    check(
        &mut client,
        "CONFIG SET proc-title-template \"{nope}\" => contains \"template format is invalid\"
         CONFIG SET set-proc-title no => contains \"can't set immutable config\"",
    );
    let server = Server::with(&["--set-proc-title", "no"]);
    assert!(shown(&server).contains("--set-proc-title\0no"));
}

#[test]
fn the_format_of_the_log_changes_at_run_time() {
    let server = Server::with(&["--loglevel", "debug"]);
    let mut client = server.client();
    let formats = |server: &Server| server.log().lines().map(|line| line.starts_with('{')).collect::<Vec<_>>();
    assert!(formats(&server).iter().all(|is_json| !is_json));
    assert_eq!(client.run("CONFIG SET log-format json"), Reply::ok());
    client.send(b"*x\r\n");
    wait_until("a line of JSON", || formats(&server).last() == Some(&true));
    server.client().run("CONFIG SET log-format redis");
    let before = formats(&server).len();
    server.client().send(b"*x\r\n");
    wait_until("another line", || formats(&server).len() > before && formats(&server).last() == Some(&false));
}

#[test]
fn pid_file_and_log_file() {
    let directory = temporary_directory();
    let (pid, log) = (directory.join("server.pid"), directory.join("server.log"));
    let arguments = ["--pidfile", pid.to_str().expect("UTF-8"), "--logfile", log.to_str().expect("UTF-8")];
    let server = Server::with(&arguments);
    wait_until("the process id is written", || fs::read_to_string(&pid).is_ok_and(|text| !text.trim().is_empty()));
    assert_eq!(fs::read_to_string(&pid).expect("the file").trim(), server.process_id().to_string());
    let ready = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().find(|line| line.contains("Ready to accept connections")).map(str::to_owned)
    };
    wait_until("the log says that it is ready", || ready().is_some());
    let line = ready().expect("the line");
    // process:role day month year time level message
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], format!("{}:M", server.process_id()));
    assert!(words[4].len() == "00:00:00.000".len() && words[5] == "*", "{line}");
    server.client().post("SHUTDOWN NOSAVE");
    wait_until("the process id is removed", || !pid.exists());
    drop(server);
    fs::remove_dir_all(directory).expect("clean up");
}
