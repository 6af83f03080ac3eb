//! What the server tells about itself: INFO, COMMAND, SLOWLOG, LATENCY, MEMORY, CONFIG's errors, MONITOR, LOLWUT, TIME,
//! DEBUG and SHUTDOWN.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Client, Protocol, Reply, Server, check, escape, run_to_exit, wait_until};

fn info(client: &mut Client, sections: &str) -> BTreeMap<String, String> {
    let reply = client.run(&format!("INFO {sections}"));
    let lines = reply.text().lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(':').unwrap_or_else(|| panic!("not a field: {line}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Every field that Redis 7.2 reports in its default sections, or that exporters and clients are known to read.
#[test]
fn info_has_the_fields_that_are_read() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET key v EX 1000");
    client.run("GET key");
    client.run("NOSUCH");
    let sections = [
        (
            "server",
            "redis_version redis_git_sha1 redis_git_dirty redis_build_id redis_mode os arch_bits monotonic_clock multiplexing_api \
             atomicvar_api gcc_version process_id process_supervised run_id tcp_port server_time_usec uptime_in_seconds \
             uptime_in_days hz configured_hz lru_clock executable config_file io_threads_active",
        ),
        (
            "clients",
            "connected_clients cluster_connections maxclients client_recent_max_input_buffer client_recent_max_output_buffer \
             blocked_clients tracking_clients clients_in_timeout_table total_blocking_keys total_blocking_keys_on_nokey",
        ),
        (
            "memory",
            "used_memory used_memory_human used_memory_rss used_memory_rss_human used_memory_peak used_memory_peak_human \
             used_memory_peak_perc used_memory_overhead used_memory_startup used_memory_dataset used_memory_dataset_perc \
             allocator_allocated allocator_active allocator_resident total_system_memory total_system_memory_human \
             used_memory_lua used_memory_vm_eval used_memory_lua_human used_memory_scripts_eval number_of_cached_scripts \
             number_of_functions number_of_libraries used_memory_vm_functions used_memory_vm_total used_memory_vm_total_human \
             used_memory_functions used_memory_scripts used_memory_scripts_human maxmemory maxmemory_human maxmemory_policy \
             allocator_frag_ratio allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes rss_overhead_ratio \
             rss_overhead_bytes mem_fragmentation_ratio mem_fragmentation_bytes mem_not_counted_for_evict \
             mem_replication_backlog mem_total_replication_buffers mem_clients_slaves mem_clients_normal mem_cluster_links \
             mem_aof_buffer mem_allocator active_defrag_running lazyfree_pending_objects lazyfreed_objects",
        ),
        (
            "persistence",
            "loading async_loading current_cow_peak current_cow_size current_cow_size_age current_fork_perc \
             current_save_keys_processed current_save_keys_total rdb_changes_since_last_save rdb_bgsave_in_progress \
             rdb_last_save_time rdb_last_bgsave_status rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves \
             rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded aof_enabled aof_rewrite_in_progress \
             aof_rewrite_scheduled aof_last_rewrite_time_sec aof_current_rewrite_time_sec aof_last_bgrewrite_status \
             aof_rewrites aof_rewrites_consecutive_failures aof_last_write_status aof_last_cow_size module_fork_in_progress \
             module_fork_last_cow_size",
        ),
        (
            "stats",
            "total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes \
             total_net_output_bytes total_net_repl_input_bytes total_net_repl_output_bytes instantaneous_input_kbps \
             instantaneous_output_kbps instantaneous_input_repl_kbps instantaneous_output_repl_kbps rejected_connections \
             sync_full sync_partial_ok sync_partial_err expired_keys expired_stale_perc expired_time_cap_reached_count \
             expire_cycle_cpu_milliseconds evicted_keys evicted_clients total_eviction_exceeded_time \
             current_eviction_exceeded_time keyspace_hits keyspace_misses pubsub_channels pubsub_patterns \
             pubsubshard_channels latest_fork_usec total_forks migrate_cached_sockets slave_expires_tracked_keys \
             active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses \
             total_active_defrag_time current_active_defrag_time tracking_total_keys tracking_total_items \
             tracking_total_prefixes unexpected_error_replies total_error_replies dump_payload_sanitizations \
             total_reads_processed total_writes_processed io_threaded_reads_processed io_threaded_writes_processed \
             reply_buffer_shrinks reply_buffer_expands eventloop_cycles eventloop_duration_sum eventloop_duration_cmd_sum \
             instantaneous_eventloop_cycles_per_sec instantaneous_eventloop_duration_usec acl_access_denied_auth \
             acl_access_denied_cmd acl_access_denied_key acl_access_denied_channel",
        ),
        (
            "replication",
            "role connected_slaves master_failover_state master_replid master_replid2 master_repl_offset \
             second_repl_offset repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen",
        ),
        (
            "cpu",
            "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread \
             used_cpu_user_main_thread",
        ),
        ("commandstats", "cmdstat_set cmdstat_get"),
        ("errorstats", "errorstat_ERR"),
        ("latencystats", "latency_percentiles_usec_set latency_percentiles_usec_get"),
        ("cluster", "cluster_enabled"),
        ("keyspace", "db0"),
    ];
    let mut missing = Vec::new();
    for (section, names) in sections {
        let fields = info(&mut client, section);
        missing.extend(
            names.split_whitespace().filter(|name| !fields.contains_key(*name)).map(|name| format!("{section}:{name}")),
        );
    }
    assert!(missing.is_empty(), "INFO lacks {}", missing.join(" "));
}

#[test]
fn info_values() {
    let server = Server::start();
    let mut client = server.client();
    let before = info(&mut client, "everything");
    check(
        &mut client,
        r#"
        SET a 1 EX 1000
        SET b 1
        GET a
        GET a
        GET missing
        INCR a
        NOSUCH                                       => _
        SET                                          => _
        SELECT 4
        SET a 1
        SELECT 0
        "#,
    );
    let after = info(&mut client, "everything");
    let grown =
        |name: &str| after[name].parse::<i64>().expect("a number") - before[name].parse::<i64>().expect("a number");
    assert_eq!(grown("keyspace_hits"), 2);
    assert_eq!(grown("keyspace_misses"), 1);
    assert_eq!(grown("total_error_replies"), 2);
    assert!(grown("total_commands_processed") >= 10);
    assert!(grown("total_net_input_bytes") > 200);
    assert!(grown("total_net_output_bytes") > 1000);
    assert_eq!(after["redis_mode"], "standalone");
    assert_eq!(after["role"], "master");
    assert_eq!(after["process_id"], server.process_id().to_string());
    assert_eq!(after["tcp_port"], server.port().to_string());
    assert_eq!(after["run_id"].len(), 40);
    assert_eq!(after["arch_bits"], "64");
    assert_eq!(after["loading"], "0");
    assert_eq!(after["maxmemory_policy"], "noeviction");
    assert_eq!(after["maxmemory"], "0");
    assert_eq!(after["maxclients"], "10000");
    assert_eq!(after["connected_clients"], "1");
    assert_eq!(after["cluster_enabled"], "0");
    assert_eq!(after["errorstat_ERR"], "count=2");
    assert!(after["db0"].starts_with("keys=2,expires=1,avg_ttl="), "{}", after["db0"]);
    assert_eq!(after["db4"], "keys=1,expires=0,avg_ttl=0");
    assert!(!after.contains_key("db1"));
    assert!(after["cmdstat_get"].starts_with("calls=3,usec="), "{}", after["cmdstat_get"]);
    assert!(after["cmdstat_set"].contains("rejected_calls=1,failed_calls=0"), "{}", after["cmdstat_set"]);
    assert!(after["cmdstat_info"].starts_with("calls=1"), "{}", after["cmdstat_info"]);
    assert!(after["latency_percentiles_usec_get"].starts_with("p50="), "{}", after["latency_percentiles_usec_get"]);
    let used: u64 = after["used_memory"].parse().expect("a number");
    let peak: u64 = after["used_memory_peak"].parse().expect("a number");
    assert!(used > 0 && peak >= used / 2);
    check(&mut client, "CONFIG RESETSTAT => +OK");
    let reset = info(&mut client, "everything");
    assert_eq!(reset["keyspace_hits"], "0");
    assert_eq!(reset["total_error_replies"], "0");
    assert!(!reset.contains_key("errorstat_ERR") && !reset.contains_key("cmdstat_get"));
    assert!(reset["db0"].starts_with("keys=2"), "resetting statistics touches no key");
}

#[test]
fn info_sections() {
    let server = Server::start();
    let mut client = server.client();
    let headings = |client: &mut Client, sections: &str| -> Vec<String> {
        let reply = client.run(&format!("INFO {sections}"));
        assert!(reply.text().is_empty() || reply.text().ends_with("\r\n"));
        reply.text().lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect()
    };
    let usual = [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "CPU",
        "Modules",
        "Errorstats",
        "Cluster",
        "Keyspace",
    ];
    assert_eq!(headings(&mut client, ""), usual);
    assert_eq!(headings(&mut client, "default"), usual);
    let all = headings(&mut client, "all");
    assert!(all.contains(&"Commandstats".to_string()) && all.contains(&"Latencystats".to_string()));
    assert_eq!(headings(&mut client, "CLIENTS"), ["Clients"]);
    assert_eq!(headings(&mut client, "server keyspace clients"), ["Server", "Clients", "Keyspace"]);
    assert!(headings(&mut client, "nonsense").is_empty());
    let mut third = server.client();
    third.hello(Protocol::Resp3);
    third.post("INFO server");
    let (reply, bytes) = third.reply_bytes();
    assert!(matches!(reply, Reply::Verbatim(_)) && bytes.starts_with(b"="), "RESP3 sends INFO as verbatim text");
}

#[test]
fn time_and_lolwut() {
    let server = Server::start();
    let mut client = server.client();
    let seconds = |reply: &Reply| reply.items()[0].text().parse::<u64>().expect("seconds");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let reply = client.run("TIME");
    assert!(seconds(&reply).abs_diff(now) <= 2);
    let micros: u64 = reply.items()[1].text().parse().expect("microseconds");
    assert!(micros < 1_000_000);
    check(
        &mut client,
        r#"
        TIME x                                       => -ERR wrong number of arguments for 'time' command
        LOLWUT                                       => contains "ver"
        LOLWUT VERSION 5                             => contains "ver"
        LOLWUT VERSION 6 5 5                         => contains "ver"
        LOLWUT VERSION x                             => -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn command_queries() {
    let server = Server::start();
    let mut client = server.client();
    let count = client.run("COMMAND COUNT").integer();
    assert_eq!(client.run("COMMAND").items().len() as i64, count);
    assert!(client.run("COMMAND LIST").items().len() as i64 > count, "the list holds subcommands too");
    check(
        &mut client,
        r#"
        COMMAND INFO nosuch                          => [nil]
        COMMAND GETKEYS SET key value                => ["key"]
        COMMAND GETKEYS MSET a 1 b 2                 => ["a" "b"]
        COMMAND GETKEYS MGET a b c                   => ["a" "b" "c"]
        COMMAND GETKEYS BITOP AND dest a b           => ["dest" "a" "b"]
        COMMAND GETKEYS OBJECT ENCODING key          => ["key"]
        COMMAND GETKEYS COPY a b DB 3                => ["a" "b"]
        COMMAND GETKEYS PING                         => -ERR The command has no key arguments
        COMMAND GETKEYS SET key                      => -ERR Invalid number of arguments specified for command
        COMMAND GETKEYS NOSUCH key                   => -ERR Invalid command specified
        COMMAND GETKEYS                              => -ERR wrong number of arguments for 'command|getkeys' command
        COMMAND GETKEYSANDFLAGS SET key value        => [["key" [+OW +update]]]
        COMMAND GETKEYSANDFLAGS SET key value GET    => [["key" [+RW +access +update]]]
        COMMAND GETKEYSANDFLAGS GET key              => [["key" [+RO +access]]]
        COMMAND GETKEYSANDFLAGS BITOP AND dest a b   => [["dest" [+OW +update]] ["a" [+RO +access]] ["b" [+RO +access]]]
        COMMAND GETKEYSANDFLAGS RENAME a b           => [["a" [+RW +access +delete]] ["b" [+OW +update]]]
        COMMAND GETKEYSANDFLAGS DEL a b              => [["a" [+RM +delete]] ["b" [+RM +delete]]]
        COMMAND GETKEYSANDFLAGS PING                 => -ERR The command has no key arguments
        COMMAND LIST FILTERBY PATTERN getran*        => ["getrange"]
        COMMAND LIST FILTERBY PATTERN client|getn*   => ["client|getname"]
        COMMAND LIST FILTERBY ACLCAT nosuch          => []
        COMMAND LIST FILTERBY MODULE nosuch          => []
        COMMAND LIST FILTERBY BOGUS x                => -ERR syntax error
        COMMAND LIST FILTERBY                        => -ERR syntax error
        COMMAND DOCS nosuch                          => []
        COMMAND BOGUS                                => -ERR unknown subcommand 'BOGUS'. Try COMMAND HELP.
        COMMAND COUNT x                              => -ERR wrong number of arguments for 'command|count' command
        "#,
    );
    let help = client.run("COMMAND HELP");
    assert_eq!(help.items()[0].text(), "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
}

#[test]
fn command_info_rows() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        COMMAND INFO get nosuch                      => [["get" :2 [+readonly +fast] :1 :1 :1 [+@read +@string +@fast] [] [["flags" [+RO +access] "begin_search" ["type" "index" "spec" ["index" :1]] "find_keys" ["type" "range" "spec" ["lastkey" :0 "keystep" :1 "limit" :0]]]] []] nil]
        COMMAND INFO SET                             => [["set" :-3 [+write +denyoom] :1 :1 :1 [+@write +@string +@slow] [] _ []]]
        COMMAND INFO mget                            => [["mget" :-2 [+readonly +fast] :1 :-1 :1 [+@read +@string +@fast] ["request_policy:multi_shard"] [["flags" [+RO +access] "begin_search" ["type" "index" "spec" ["index" :1]] "find_keys" ["type" "range" "spec" ["lastkey" :-1 "keystep" :1 "limit" :0]]]] []]]
        COMMAND INFO multi                           => [["multi" :1 [+noscript +loading +stale +fast +allow_busy] :0 :0 :0 [+@fast +@transaction] [] [] []]]
        COMMAND INFO client|id                       => [["client|id" :2 [+noscript +loading +stale] :0 :0 :0 [+@slow +@connection] [] [] []]]
        COMMAND INFO bitop                           => [["bitop" :-4 [+write +denyoom] :2 :-1 :1 [+@write +@bitmap +@slow] [] [["flags" [+OW +update] "begin_search" ["type" "index" "spec" ["index" :2]] "find_keys" ["type" "range" "spec" ["lastkey" :0 "keystep" :1 "limit" :0]]] ["flags" [+RO +access] "begin_search" ["type" "index" "spec" ["index" :3]] "find_keys" ["type" "range" "spec" ["lastkey" :-1 "keystep" :1 "limit" :0]]]] []]]
        COMMAND INFO rename                          => [["rename" :3 [+write] :1 :2 :1 [+@keyspace +@write +@slow] [] [["flags" [+RW +access +delete] "begin_search" ["type" "index" "spec" ["index" :1]] "find_keys" ["type" "range" "spec" ["lastkey" :0 "keystep" :1 "limit" :0]]] ["flags" [+OW +update] "begin_search" ["type" "index" "spec" ["index" :2]] "find_keys" ["type" "range" "spec" ["lastkey" :0 "keystep" :1 "limit" :0]]]] []]]
        "#,
    );
    let mut client = server.client();
    let container = client.run("COMMAND INFO object");
    let row = &container.items()[0];
    assert_eq!(row.items().len(), 10);
    let mut subcommands: Vec<&str> = row.items()[9].items().iter().map(|sub| sub.items()[0].text()).collect();
    subcommands.sort_unstable();
    assert_eq!(subcommands, ["object|encoding", "object|freq", "object|help", "object|idletime", "object|refcount"]);
    // In RESP3 flags, categories and key specifications are sets and maps. The decoding library refuses sets of maps.
    client.hello(Protocol::Resp3);
    client.send(b"COMMAND INFO get\r\nPING\r\n");
    let bytes = client.raw_until(b"+PONG\r\n");
    let expected = "*1\r\n*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n~3\r\n";
    assert!(bytes.starts_with(expected.as_bytes()), "{}", escape(&bytes));
}

#[test]
fn command_docs() {
    let server = Server::start();
    let mut client = server.client();
    let reply = client.run("COMMAND DOCS set");
    let docs = reply.field("set");
    assert_eq!(docs.field("since").text(), "1.0.0");
    assert_eq!(docs.field("group").text(), "string");
    assert_eq!(docs.field("complexity").text(), "O(1)");
    assert!(!docs.field("summary").text().is_empty());
    let arguments = docs.field("arguments").items();
    let names: Vec<&str> = arguments.iter().map(|argument| argument.field("name").text()).collect();
    assert_eq!(names, ["key", "value", "condition", "get", "expiration"]);
    assert_eq!(arguments[0].field("type").text(), "key");
    assert_eq!(arguments[0].field("key_spec_index"), &Reply::Integer(0));
    assert_eq!(arguments[2].field("type").text(), "oneof");
    let count = client.run("COMMAND COUNT").integer() as usize;
    assert_eq!(client.run("COMMAND DOCS").items().len(), 2 * count);
    client.hello(Protocol::Resp3);
    client.send(b"COMMAND DOCS get set\r\nPING\r\n");
    let bytes = client.raw_until(b"+PONG\r\n");
    assert!(bytes.starts_with(b"%2\r\n$3\r\nget\r\n%"), "{}", escape(&bytes));
}

#[test]
fn slowlog() {
    let server = Server::with(&["--slowlog-log-slower-than", "0", "--slowlog-max-len", "5"]);
    let mut client = server.client();
    client.run("CLIENT SETNAME slow");
    client.run("SLOWLOG RESET");
    client.run("SET key value");
    let entries = client.run("SLOWLOG GET");
    let entry =
        entries.items().iter().find(|entry| entry.items()[3].items()[0].text() == "SET").expect("the SET").items();
    assert_eq!(entry.len(), 6);
    assert!(entry[1].integer() > 1_600_000_000 && entry[2].integer() >= 0);
    assert_eq!(entry[3], Reply::Array(vec![Reply::bulk("SET"), Reply::bulk("key"), Reply::bulk("value")]));
    assert!(entry[4].text().starts_with("127.0.0.1:"));
    assert_eq!(entry[5].text(), "slow");
    for _ in 0..10 {
        client.run("PING");
    }
    assert_eq!(client.run("SLOWLOG LEN"), Reply::Integer(5));
    assert_eq!(client.run("SLOWLOG GET 2").items().len(), 2);
    assert_eq!(client.run("SLOWLOG GET -1").items().len(), 5);
    let newest = client.run("SLOWLOG GET 2");
    assert!(newest.items()[0].items()[0].integer() > newest.items()[1].items()[0].integer(), "newest first");
    // Long arguments and long lists are cut in the log.
    client.command(&["ECHO", &"x".repeat(200)]);
    let entries = client.run("SLOWLOG GET 1");
    assert_eq!(entries.items()[0].items()[3].items()[1].text(), format!("{}... (72 more bytes)", "x".repeat(128)));
    let many: Vec<String> = std::iter::once("DEL".to_owned()).chain((0..50).map(|index| format!("k{index}"))).collect();
    client.command(&many);
    let entries = client.run("SLOWLOG GET 1");
    let arguments = entries.items()[0].items()[3].items();
    assert_eq!((arguments.len(), arguments[31].text()), (32, "... (20 more arguments)"));
    check(
        &mut client,
        r#"
        SLOWLOG GET -2                               => -ERR count should be greater than or equal to -1
        SLOWLOG GET x                                => -ERR count should be greater than or equal to -1
        SLOWLOG GET 1 2                              => -ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.
        SLOWLOG LEN x                                => -ERR wrong number of arguments for 'slowlog|len' command
        SLOWLOG                                      => -ERR wrong number of arguments for 'slowlog' command
        SLOWLOG BOGUS                                => -ERR unknown subcommand 'BOGUS'. Try SLOWLOG HELP.
        "#,
    );
    // Secrets never get in.
    client.run("CONFIG SET requirepass verysecret");
    client.run("AUTH verysecret");
    let all = format!("{:?}", client.run("SLOWLOG GET -1"));
    assert!(!all.contains("verysecret"), "{all}");
    client.run("CONFIG SET slowlog-log-slower-than -1");
    client.run("SLOWLOG RESET");
    client.run("PING");
    assert_eq!(client.run("SLOWLOG LEN"), Reply::Integer(0));
}

#[test]
fn latency() {
    let server = Server::with(&["--latency-monitor-threshold", "5"]);
    let mut client = server.client();
    check(
        &mut client,
        r#"
        LATENCY RESET                                => :0
        LATENCY LATEST                               => []
        LATENCY HISTORY command                      => []
        DEBUG SLEEP 0.02                             => +OK
        "#,
    );
    let latest = client.run("LATENCY LATEST");
    let event = latest.items()[0].items();
    assert_eq!(event[0].text(), "command");
    assert!(event[2].integer() >= 20 && event[3].integer() >= event[2].integer());
    assert_eq!(client.run("LATENCY HISTORY command").items().len(), 1);
    check(
        &mut client,
        r#"
        LATENCY GRAPH command                        => contains "command - high"
        LATENCY GRAPH nosuch                         => -ERR No samples available for event 'nosuch'
        LATENCY DOCTOR                               => _
        LATENCY RESET nosuch                         => :0
        LATENCY RESET command                        => :1
        LATENCY LATEST                               => []
        LATENCY                                      => -ERR wrong number of arguments for 'latency' command
        LATENCY BOGUS                                => -ERR unknown subcommand 'BOGUS'. Try LATENCY HELP.
        LATENCY HISTORY                              => -ERR wrong number of arguments for 'latency|history' command
        "#,
    );
    client.run("SET key v");
    let histogram = client.run("LATENCY HISTOGRAM set nosuch");
    let row = histogram.field("set");
    assert_eq!(row.field("calls"), &Reply::Integer(1));
    assert!(!row.field("histogram_usec").items().is_empty());
    assert_eq!(histogram.items().len(), 2);
}

#[test]
fn memory() {
    let server = Server::start();
    let mut client = server.client();
    client.command(&["SET", "big", &"x".repeat(10_000)]);
    let usage = client.run("MEMORY USAGE big").integer();
    assert!((10_000..20_000).contains(&usage), "{usage}");
    check(
        &mut client,
        r#"
        MEMORY USAGE missing                         => nil
        MEMORY USAGE big SAMPLES 0 => _
        MEMORY USAGE big SAMPLES -1                  => -ERR syntax error
        MEMORY USAGE big SAMPLES x                   => -ERR value is not an integer or out of range
        MEMORY USAGE big SAMPLES                     => -ERR syntax error
        MEMORY USAGE big BOGUS 1                     => -ERR syntax error
        MEMORY USAGE                                 => -ERR wrong number of arguments for 'memory|usage' command
        MEMORY                                       => -ERR wrong number of arguments for 'memory' command
        MEMORY BOGUS                                 => -ERR unknown subcommand 'BOGUS'. Try MEMORY HELP.
        MEMORY PURGE                                 => +OK
        MEMORY DOCTOR => _
        MEMORY MALLOC-STATS => _
        "#,
    );
    let stats = client.run("MEMORY STATS");
    for name in [
        "peak.allocated",
        "total.allocated",
        "startup.allocated",
        "replication.backlog",
        "clients.slaves",
        "clients.normal",
        "cluster.links",
        "aof.buffer",
        "overhead.total",
        "keys.count",
        "keys.bytes-per-key",
        "dataset.bytes",
        "dataset.percentage",
        "peak.percentage",
        "allocator.allocated",
        "fragmentation",
    ] {
        stats.field(name);
    }
    assert_eq!(stats.field("keys.count"), &Reply::Integer(1));
}

#[test]
fn used_memory_follows_the_data() {
    let server = Server::start();
    let mut client = server.client();
    let used = |client: &mut Client| client.info("memory", "used_memory").parse::<i64>().expect("a number");
    let before = used(&mut client);
    let value = "x".repeat(1000);
    for index in 0..5000 {
        client.command(&["SET", &format!("key:{index}"), &value]);
    }
    let full = used(&mut client);
    assert!((5_000_000..8_000_000).contains(&(full - before)), "5 MB of values took {} bytes", full - before);
    client.run("FLUSHALL");
    wait_until("memory is given back", || used(&mut client) - before < 2_000_000);
}

#[test]
fn monitor() {
    let server = Server::with(&["--requirepass", "secret"]);
    let (mut watcher, mut client) = (server.client(), server.client());
    assert_eq!(watcher.run("MONITOR").error(), "NOAUTH Authentication required.");
    watcher.run("AUTH secret");
    client.run("AUTH secret");
    assert_eq!(watcher.run("MONITOR"), Reply::ok());
    client.run("SET key \"quoted \\\"text\\\"\\r\\n\\x01\"");
    let line = watcher.reply().text().to_owned();
    let (stamp, rest) = line.split_once(' ').expect("a time");
    assert!(
        stamp.split_once('.').is_some_and(|(whole, part)| whole.parse::<u64>().is_ok() && part.len() == 6),
        "{line}"
    );
    assert!(rest.starts_with("[0 127.0.0.1:"), "{line}");
    assert!(rest.ends_with(r#"] "SET" "key" "quoted \"text\"\r\n\x01""#), "{line}");
    client.run("SELECT 9");
    assert!(watcher.reply().text().ends_with("\"SELECT\" \"9\""));
    client.run("MULTI");
    client.run("INCR counter");
    client.run("EXEC");
    let lines: Vec<String> = (0..3).map(|_| watcher.reply().text().to_owned()).collect();
    assert!(
        lines[0].ends_with("\"MULTI\"") && lines[1].contains("[9 ") && lines[1].ends_with("\"INCR\" \"counter\""),
        "{lines:?}"
    );
    assert!(lines[2].ends_with("\"EXEC\""), "{lines:?}");
    // Secrets stay out.
    client.run("AUTH secret");
    let line = watcher.reply().text().to_owned();
    assert!(line.ends_with("\"AUTH\" \"(redacted)\""), "{line}");
    let listed = client.run("CLIENT LIST");
    assert!(listed.text().lines().any(|line| line.contains("flags=O")), "{listed:?}");
    watcher.send(b"RESET\r\n");
    assert_eq!(watcher.reply().text(), "RESET");
    client.run("PING");
    watcher.expect_silence(Duration::from_millis(30));
}

#[test]
fn config_get_and_set() {
    let server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        CONFIG GET maxclients                        => ["maxclients" "10000"]
        CONFIG GET MAXCLIENTS                        => ["MAXCLIENTS" "10000"]
        CONFIG GET nosuchthing                       => []
        CONFIG GET maxmemory* maxclients => _
        CONFIG GET                                   => -ERR wrong number of arguments for 'config|get' command
        CONFIG                                       => -ERR wrong number of arguments for 'config' command
        CONFIG BOGUS                                 => -ERR unknown subcommand 'BOGUS'. Try CONFIG HELP.
        CONFIG SET                                   => -ERR wrong number of arguments for 'config|set' command
        CONFIG SET timeout                           => -ERR wrong number of arguments for 'config|set' command
        CONFIG SET timeout 7                         => +OK
        CONFIG GET timeout                           => ["timeout" "7"]
        CONFIG SET nosuch 1                          => -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
        CONFIG SET timeout x                         => -ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer
        CONFIG SET timeout -1                        => -ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive
        CONFIG SET timeout 9 hz                      => -ERR syntax error
        CONFIG SET timeout 8 hz 20                   => +OK
        CONFIG GET timeout                           => ["timeout" "8"]
        CONFIG GET hz                                => ["hz" "20"]
        CONFIG SET timeout 9 nosuch 1                => -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
        CONFIG GET timeout                           => ["timeout" "8"]
        CONFIG SET timeout 9 hz abc                  => -ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer
        CONFIG GET timeout                           => ["timeout" "8"]
        CONFIG SET timeout 9 timeout 10              => -ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter
        CONFIG SET port-typo 1                       => -ERR Unknown option or number of arguments for CONFIG SET - 'port-typo'
        CONFIG SET databases 32                      => -ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config
        CONFIG SET maxmemory 100mb                   => +OK
        CONFIG GET maxmemory                         => ["maxmemory" "104857600"]
        CONFIG SET maxmemory 1gb                     => +OK
        CONFIG GET maxmemory                         => ["maxmemory" "1073741824"]
        CONFIG SET maxmemory 0                       => +OK
        CONFIG SET maxmemory x                       => -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value
        CONFIG SET maxmemory-policy nonsense         => -ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction
        CONFIG SET maxmemory-policy allkeys-lru      => +OK
        CONFIG GET maxmemory-policy                  => ["maxmemory-policy" "allkeys-lru"]
        CONFIG SET appendfsync always                => +OK
        CONFIG SET slowlog-max-len 99                => +OK
        CONFIG GET slowlog-max-len                   => ["slowlog-max-len" "99"]
        CONFIG SET client-output-buffer-limit "normal 1mb 512kb 30" => +OK
        CONFIG GET client-output-buffer-limit        => ["client-output-buffer-limit" "normal 1048576 524288 30 slave 268435456 67108864 60 pubsub 33554432 8388608 60"]
        CONFIG SET client-output-buffer-limit "normal 1mb 512kb" => -ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Wrong number of arguments in buffer limit configuration.
        CONFIG SET client-output-buffer-limit "bogus 1 2 3" => -ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Invalid client class specified in buffer limit configuration.
        CONFIG SET lazyfree-lazy-user-del maybe      => -ERR CONFIG SET failed (possibly related to argument 'lazyfree-lazy-user-del') - argument must be 'yes' or 'no'
        CONFIG SET lazyfree-lazy-user-del yes        => +OK
        CONFIG SET save "900 1 300 10"               => +OK
        CONFIG GET save                              => ["save" "900 1 300 10"]
        CONFIG SET save ""                           => +OK
        CONFIG GET save                              => ["save" ""]
        CONFIG RESETSTAT x                           => -ERR wrong number of arguments for 'config|resetstat' command
        CONFIG REWRITE x                             => -ERR wrong number of arguments for 'config|rewrite' command
        CONFIG REWRITE                               => -ERR The server is running without a config file
        "#,
    );
    assert!(client.run("CONFIG GET *").items().len() > 300);
    let several = client.run("CONFIG GET maxclients *max-len");
    assert!(several.field("maxclients").text() == "10000" && several.field("slowlog-max-len").text() == "99");
    let help = client.run("CONFIG HELP");
    assert_eq!(help.items()[0].text(), "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    client.hello(Protocol::Resp3);
    check(&mut client, "CONFIG GET timeout => {\"timeout\" \"8\"}");
}

#[test]
fn debug_is_guarded() {
    let server = Server::with(&["--enable-debug-command", "no"]);
    let error = server.client().run("DEBUG SLEEP 0").error();
    assert!(error.starts_with("ERR DEBUG command not allowed."), "{error}");
    let server = Server::with(&["--enable-debug-command", "local"]);
    check(
        &mut server.client(),
        r#"
        DEBUG SLEEP 0                                => +OK
        DEBUG SET-ACTIVE-EXPIRE 1                    => +OK
        DEBUG BOGUS                                  => _
        SET key v
        DEBUG OBJECT key                             => contains "encoding:embstr"
        DEBUG OBJECT missing                         => -ERR no such key
        DEBUG JMAP                                   => _
        DEBUG                                        => -ERR wrong number of arguments for 'debug' command
        "#,
    );
}

#[test]
fn shutdown() {
    let mut server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        SHUTDOWN BOGUS                               => -ERR syntax error
        SHUTDOWN ABORT                               => -ERR No shutdown in progress.
        SHUTDOWN SAVE NOSAVE                         => -ERR syntax error
        "#,
    );
    client.post("SHUTDOWN NOSAVE");
    assert_eq!(client.until_closed(), b"");
    assert_eq!(server.wait_exit(), Some(0));
    for options in ["SHUTDOWN NOSAVE NOW FORCE", "SHUTDOWN"] {
        let mut server = Server::start();
        server.client().post(options);
        assert_eq!(server.wait_exit(), Some(0), "{options}");
    }
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        server.signal(signal);
        assert_eq!(server.wait_exit(), Some(0), "SIG{signal}");
    }
    // A port that is taken is told at start.
    let server = Server::start();
    let exit = run_to_exit(&["--port", &server.port().to_string(), "--bind", "127.0.0.1"], "");
    assert_eq!(exit.code, Some(1));
    assert!(exit.output.contains("Address already in use") || exit.output.contains("in use"), "{}", exit.output);
}
