//! The table of directives: one row each, and nothing about a directive is said anywhere else.
//!
//! A row gives, in this order: what it does; the field of `Config`, its type and default; the name in files and
//! aliases; the values it takes; flags; and whether Cairn acts on it. The macro makes of it a field of `Config` and a
//! `Row` of `ROWS`.

use std::path::PathBuf;

use super::choices::*;
use super::row::Kind::{Bool, Enum, EnumSet, Integer, Memory, Octal, Repeated, Special, Text};
use super::row::Status::{Accepted, Honoured};
use super::row::*;
use super::special::*;
use super::value::Value;

const INT: i128 = i32::MAX as i128;
const UINT: i128 = u32::MAX as i128;
const LONG: i128 = i64::MAX as i128;
const ULONG: i128 = u64::MAX as i128;

/// Set to `max` values at most in a `Repeated` row.
const ANY: usize = usize::MAX;

const NO_TLS: Status = Accepted("TLS is not there yet.");
const NO_WAIT_AT_END: Status = Accepted("A shutdown does not wait for replicas.");
const NO_CLUSTER: Status = Accepted("Cluster mode is not there yet.");
const NO_REWRITE: Status =
    Accepted("There is no append-only file to rewrite: each slot's log is compacted on its own, beside the workers.");
const NO_TYPE: Status = Accepted("The value type that it tunes is not there yet.");
const NO_FORK: Status = Accepted("Cairn never forks, so there is no child process to pin.");
const NO_DEFRAG: Status = Accepted("Cairn does not move live values to other addresses.");
const ALWAYS_LAZY: Status = Accepted("Values of 64 KiB and more are always freed in the background.");
const TEST_AID: Status = Accepted("A test aid of Redis for code that Cairn does not have.");

fn text(value: &str) -> String {
    value.to_string()
}

fn unset() -> String {
    String::new()
}

directives! {

section "Network" {
    /// Addresses to listen on, up to 16. `*` is every IPv4 address, `::*` every IPv6 one. An address with a leading
    /// `-` may be unavailable without keeping the server from starting.
    bind: Vec<String> = vec![text("*"), text("-::*")], "bind", Special("addresses, or \"\" for none"),
        [MUTABLE MULTI], Honoured;
    /// The TCP port for clients; 0 means no TCP listener.
    port: u16 = 6379, "port", Integer(0, 65535), [MUTABLE], Honoured;
    /// With the default user open to everyone (no password, no ACL) and this on, connections from other machines are
    /// answered with an error and closed.
    protected_mode: bool = true, "protected-mode", Bool, [MUTABLE], Honoured;
    /// How many connections may wait to be accepted. The kernel caps it at net.core.somaxconn.
    tcp_backlog: u32 = 511, "tcp-backlog", Integer(0, INT), [], Honoured;
    /// Path of a unix socket to listen on as well. Empty means none.
    unixsocket: String = unset(), "unixsocket", Text(TextForm::Any), [EMPTY_IS_UNSET], Honoured;
    /// Permissions of the unix socket, in octal. 0 leaves them to the umask.
    unixsocketperm: u32 = 0, "unixsocketperm", Octal(0, 0o777), [], Honoured;
    /// Close a client that has been idle for so many seconds. 0 means never.
    timeout: u32 = 0, "timeout", Integer(0, INT), [MUTABLE], Honoured;
    /// Send TCP keepalive probes to silent clients about every so many seconds, so that dead peers are noticed. 0
    /// means off.
    tcp_keepalive: u32 = 300, "tcp-keepalive", Integer(0, INT), [MUTABLE], Honoured;
    /// The local address of connections that the server itself opens.
    bind_source_addr: String = unset(), "bind-source-addr", Text(TextForm::Any), [MUTABLE EMPTY_IS_UNSET],
        Honoured;
    /// A mark for listening sockets, for packet filters and routing rules. 0 means none.
    socket_mark_id: u32 = 0, "socket-mark-id", Integer(0, UINT), [],
        Accepted("Listening sockets are not marked yet.");
}

section "TLS" {
    /// The TCP port for clients that speak TLS; 0 means none.
    tls_port: u16 = 0, "tls-port", Integer(0, 65535), [MUTABLE], NO_TLS;
    /// The server's certificate, PEM.
    tls_cert_file: String = unset(), "tls-cert-file", Text(TextForm::Any), [MUTABLE REAPPLY EMPTY_IS_UNSET], NO_TLS;
    /// The private key of the server's certificate, PEM.
    tls_key_file: String = unset(), "tls-key-file", Text(TextForm::Any), [MUTABLE REAPPLY EMPTY_IS_UNSET], NO_TLS;
    /// The password of the private key, if it is encrypted.
    tls_key_file_pass: String = unset(), "tls-key-file-pass", Text(TextForm::Any), [MUTABLE EMPTY_IS_UNSET], NO_TLS;
    /// A certificate of its own for connections that the server opens, PEM. Without it the server's one serves both.
    tls_client_cert_file: String = unset(), "tls-client-cert-file", Text(TextForm::Any),
        [MUTABLE REAPPLY EMPTY_IS_UNSET], NO_TLS;
    /// The private key of the client-side certificate, PEM.
    tls_client_key_file: String = unset(), "tls-client-key-file", Text(TextForm::Any),
        [MUTABLE REAPPLY EMPTY_IS_UNSET], NO_TLS;
    /// The password of the client-side private key.
    tls_client_key_file_pass: String = unset(), "tls-client-key-file-pass", Text(TextForm::Any),
        [MUTABLE EMPTY_IS_UNSET], NO_TLS;
    /// Diffie-Hellman parameters for old libraries, PEM.
    tls_dh_params_file: String = unset(), "tls-dh-params-file", Text(TextForm::Any),
        [MUTABLE REAPPLY EMPTY_IS_UNSET], NO_TLS;
    /// The file of certificates that peers are checked against, PEM.
    tls_ca_cert_file: String = unset(), "tls-ca-cert-file", Text(TextForm::Any), [MUTABLE REAPPLY EMPTY_IS_UNSET],
        NO_TLS;
    /// The directory of certificates that peers are checked against.
    tls_ca_cert_dir: String = unset(), "tls-ca-cert-dir", Text(TextForm::Any), [MUTABLE REAPPLY EMPTY_IS_UNSET],
        NO_TLS;
    /// Whether TLS clients must show a valid certificate.
    tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes, "tls-auth-clients", Enum(TlsAuthClients::NAMES),
        [MUTABLE], NO_TLS;
    /// Speak TLS to the primary and ask it of replicas.
    tls_replication: bool = false, "tls-replication", Bool, [MUTABLE], NO_TLS;
    /// Speak TLS on the cluster bus.
    tls_cluster: bool = false, "tls-cluster", Bool, [MUTABLE], NO_TLS;
    /// The TLS versions allowed, such as "TLSv1.2 TLSv1.3". Empty leaves it to the library.
    tls_protocols: String = unset(), "tls-protocols", Text(TextForm::Any), [MUTABLE EMPTY_IS_UNSET], NO_TLS;
    /// The ciphers allowed up to TLS 1.2, in OpenSSL's notation.
    tls_ciphers: String = unset(), "tls-ciphers", Text(TextForm::Any), [MUTABLE EMPTY_IS_UNSET], NO_TLS;
    /// The cipher suites allowed in TLS 1.3.
    tls_ciphersuites: String = unset(), "tls-ciphersuites", Text(TextForm::Any), [MUTABLE EMPTY_IS_UNSET], NO_TLS;
    /// Choose the cipher by the server's order of preference, not the client's.
    tls_prefer_server_ciphers: bool = false, "tls-prefer-server-ciphers", Bool, [MUTABLE], NO_TLS;
    /// Let clients resume TLS sessions.
    tls_session_caching: bool = true, "tls-session-caching", Bool, [MUTABLE], NO_TLS;
    /// How many TLS sessions to remember. 0 means no limit.
    tls_session_cache_size: u32 = 20480, "tls-session-cache-size", Integer(0, INT), [MUTABLE], NO_TLS;
    /// For how many seconds a TLS session may be resumed.
    tls_session_cache_timeout: u32 = 300, "tls-session-cache-timeout", Integer(0, INT), [MUTABLE], NO_TLS;
}

section "General" {
    /// Read another file here. `*`, `?` and `[` in the name include every file that fits, in order of name, or none.
    /// Later lines win over earlier ones.
    include: Vec<Vec<String>> = vec![], "include", Repeated(1, 1, "file"), [FILE_ONLY], Honoured;
    /// Run in the background, detached from the terminal, and write a pid file.
    daemonize: bool = false, "daemonize", Bool, [], Honoured;
    /// Tell upstart or systemd when the server is ready. `auto` looks at UPSTART_JOB and NOTIFY_SOCKET.
    supervised: Supervised = Supervised::No, "supervised", Enum(Supervised::NAMES), [], Honoured;
    /// Where to write the process id. A daemon without one uses /var/run/redis.pid.
    pidfile: String = unset(), "pidfile", Text(TextForm::Any), [EMPTY_IS_UNSET], Honoured;
    /// How much to log.
    loglevel: LogLevel = LogLevel::Notice, "loglevel", Enum(LogLevel::NAMES), [MUTABLE], Honoured;
    /// The file to log to. Empty means standard output, or nowhere for a daemon.
    logfile: String = unset(), "logfile", Text(TextForm::Any), [], Honoured;
    /// Cairn's own: the form of log lines. `redis` is the line that tools for redis-server read, `json` one object a
    /// line.
    log_format: LogFormat = LogFormat::Redis, "log-format", Enum(LogFormat::NAMES), [MUTABLE], Honoured;
    /// Log to the system logger as well.
    syslog_enabled: bool = false, "syslog-enabled", Bool, [], Honoured;
    /// The name under which the system logger shows the server.
    syslog_ident: String = text("redis"), "syslog-ident", Text(TextForm::Any), [], Honoured;
    /// The facility for the system logger.
    syslog_facility: SyslogFacility = SyslogFacility::Local0, "syslog-facility", Enum(SyslogFacility::NAMES), [],
        Honoured;
    /// Write a report to the log when the server crashes.
    crash_log_enabled: bool = true, "crash-log-enabled", Bool, [MUTABLE],
        Accepted("A panic is always logged with its place; there is no report beyond that.");
    /// Test memory when the server crashes.
    crash_memcheck_enabled: bool = true, "crash-memcheck-enabled", Bool, [MUTABLE],
        Accepted("Cairn does not test memory after a crash.");
    /// How many databases SELECT can reach. A cluster node has one.
    databases: u32 = 16, "databases", Integer(1, INT), [], Honoured;
    /// Show the start banner even if the log is not a terminal.
    always_show_logo: bool = false, "always-show-logo", Bool, [], Honoured;
    /// Let the process list show address and mode.
    set_proc_title: bool = true, "set-proc-title", Bool, [], Honoured;
    /// What the process list shows. Knows {title}, {listen-addr}, {server-mode}, {config-file}, {port}, {tls-port} and
    /// {unixsocket}.
    proc_title_template: String = text("{title} {listen-addr} {server-mode}"), "proc-title-template",
        Text(TextForm::TitleTemplate), [MUTABLE], Honoured;
    /// The locale whose order SORT ALPHA and Lua's string comparison follow. Empty takes it from the environment.
    locale_collate: String = unset(), "locale-collate", Text(TextForm::Any), [MUTABLE],
        Accepted("Strings are always compared byte by byte.");
    /// The working directory: relative paths here and files that the server writes are relative to it.
    dir: PathBuf = PathBuf::from("."), "dir", Special("existing directory"), [MUTABLE PROTECTED NOT_WHILE_LOADING],
        Honoured;
    /// How often a second the background tasks run, 1 to 500. Values outside are cut to that.
    hz: u32 = 10, "hz", Integer(0, INT), [MUTABLE], Honoured;
    /// Raise hz while many clients are connected.
    dynamic_hz: bool = true, "dynamic-hz", Bool, [MUTABLE],
        Accepted("Background work per run grows with need; its rate stays at hz.");
    /// Names of start-up checks whose warnings are not wanted.
    ignore_warnings: String = unset(), "ignore-warnings", Text(TextForm::Any), [MUTABLE],
        Accepted("The checks that it silences do not exist here.");
    /// Turn transparent huge pages off for the process.
    disable_thp: bool = true, "disable-thp", Bool, [],
        Accepted("Huge pages hurt a server that forks; Cairn does not fork.");
    /// Send SIGALRM to itself when the main loop is stuck for so many milliseconds, and log where.
    watchdog_period: u32 = 0, "watchdog-period", Integer(0, INT), [MUTABLE HIDDEN],
        Accepted("Workers share no main loop that could be watched.");
    /// Exit instead of abort on a panic.
    use_exit_on_panic: bool = false, "use-exit-on-panic", Bool, [MUTABLE HIDDEN], TEST_AID;
    /// Not applicable: the file of a module to load, and its arguments.
    loadmodule: Vec<Vec<String>> = vec![], "loadmodule", Repeated(1, ANY, "file [argument ...]"), [FILE_ONLY],
        Accepted("Cairn has no module interface: the module is not loaded and its directives are skipped.");
}

section "Workers" {
    /// How many threads serve connections. Each connection belongs to one of them and its commands run there. 0 means
    /// one per core.
    io_threads: usize = 0, "io-threads", Integer(0, 128), [], Honoured;
    /// Read and parse in the I/O threads too.
    io_threads_do_reads: bool = false, "io-threads-do-reads", Bool, [],
        Accepted("A worker always reads, runs and answers the commands of its connections itself.");
    /// The CPUs that the workers are pinned to, one each in turn: a list such as 0-3 or 0,2,4 or 0-10:2.
    server_cpulist: String = unset(), "server_cpulist", Text(TextForm::CpuList), [EMPTY_IS_UNSET], Honoured;
    /// The CPUs for background threads.
    bio_cpulist: String = unset(), "bio_cpulist", Text(TextForm::Any), [EMPTY_IS_UNSET],
        Accepted("Background threads are not pinned yet.");
    /// The CPUs for the process that rewrites the append-only file.
    aof_rewrite_cpulist: String = unset(), "aof_rewrite_cpulist", Text(TextForm::Any), [EMPTY_IS_UNSET], NO_FORK;
    /// The CPUs for the process that saves.
    bgsave_cpulist: String = unset(), "bgsave_cpulist", Text(TextForm::Any), [EMPTY_IS_UNSET], NO_FORK;
    /// Let the allocator return memory from a thread of its own.
    jemalloc_bg_thread: bool = true, "jemalloc-bg-thread", Bool, [MUTABLE], Honoured;
}

section "Security" {
    /// The password that clients must give with AUTH. It is the password of the default user. Empty means none.
    requirepass: String = unset(), "requirepass", Text(TextForm::Any), [MUTABLE SENSITIVE EMPTY_IS_UNSET], Honoured;
    /// Define a user: a name and ACL rules. Not together with aclfile.
    user: Vec<Vec<String>> = vec![], "user", Repeated(1, ANY, "name [rule ...]"), [FILE_ONLY SENSITIVE], Honoured;
    /// The file that ACL LOAD reads users from and ACL SAVE writes them to.
    aclfile: String = unset(), "aclfile", Text(TextForm::Any), [], Honoured;
    /// How many refused commands ACL LOG remembers.
    acllog_max_len: u64 = 128, "acllog-max-len", Integer(0, LONG), [MUTABLE], Honoured;
    /// The channels that a new user may use before a rule says otherwise.
    acl_pubsub_default: AclPubsubDefault = AclPubsubDefault::Resetchannels, "acl-pubsub-default",
        Enum(AclPubsubDefault::NAMES), [MUTABLE], Honoured;
    /// Give a command another name, or none with "". Better use ACL rules.
    rename_command: Vec<Vec<String>> = vec![], "rename-command", Repeated(2, 2, "command new-name"), [FILE_ONLY],
        Honoured;
    /// Who may change guarded directives (dir, dbfilename): no one, everyone, or clients on this machine.
    enable_protected_configs: ProtectedAction = ProtectedAction::No, "enable-protected-configs",
        Enum(ProtectedAction::NAMES), [], Honoured;
    /// Who may use DEBUG: no one, everyone, or clients on this machine.
    enable_debug_command: ProtectedAction = ProtectedAction::No, "enable-debug-command",
        Enum(ProtectedAction::NAMES), [], Honoured;
    /// Who may use MODULE: no one, everyone, or clients on this machine.
    enable_module_command: ProtectedAction = ProtectedAction::No, "enable-module-command",
        Enum(ProtectedAction::NAMES), [], Honoured;
    /// Whose DUMP payloads are checked in depth before RESTORE takes them.
    sanitize_dump_payload: SanitizeDumpPayload = SanitizeDumpPayload::No, "sanitize-dump-payload",
        Enum(SanitizeDumpPayload::NAMES), [MUTABLE],
        Accepted("Every payload is decoded element by element, so it is always checked in depth.");
}

section "Clients" {
    /// How many clients may be connected at once.
    maxclients: u32 = 10000, "maxclients", Integer(1, UINT), [MUTABLE], Honoured;
    /// Memory that all clients together may use for buffers, as a size or as a share of maxmemory; those that use most
    /// are disconnected first. 0 means no limit.
    maxmemory_clients: MemoryOrPercent = MemoryOrPercent::Bytes(0), "maxmemory-clients", Kind::MemoryOrPercent(100),
        [MUTABLE], Honoured;
    /// The longest request that may be buffered for one client before it is disconnected.
    client_query_buffer_limit: u64 = 1 << 30, "client-query-buffer-limit", Memory(1 << 20, LONG), [MUTABLE], Honoured;
    /// Per class of clients (normal, replica, pubsub): disconnect one whose unsent output passes the hard limit at
    /// once, or the soft limit for so many seconds. 0 means no limit.
    client_output_buffer_limit: OutputLimits = OutputLimits::DEFAULT, "client-output-buffer-limit",
        Special("class hard-limit soft-limit soft-seconds ..."), [MUTABLE MULTI], Honoured;
    /// The longest single argument that a client may send.
    proto_max_bulk_len: u64 = 512 << 20, "proto-max-bulk-len", Memory(1 << 20, LONG), [MUTABLE], Honoured;
    /// How many keys the table of client-side caching remembers before it evicts some. 0 means no limit.
    tracking_table_max_keys: u64 = 1_000_000, "tracking-table-max-keys", Integer(0, LONG), [MUTABLE], Honoured;
}

section "Memory" {
    /// The most memory to use for data. 0 means no limit.
    maxmemory: u64 = 0, "maxmemory", Memory(0, ULONG), [MUTABLE], Honoured;
    /// What to remove when memory is full. noeviction refuses commands that need more.
    maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::Noeviction, "maxmemory-policy",
        Enum(MaxmemoryPolicy::NAMES), [MUTABLE], Honoured;
    /// How many keys to compare when choosing one to evict. More is closer to exact and costs more.
    maxmemory_samples: u32 = 5, "maxmemory-samples", Integer(1, INT), [MUTABLE], Honoured;
    /// How hard to try to free memory within one command, 0 to 100.
    maxmemory_eviction_tenacity: u32 = 10, "maxmemory-eviction-tenacity", Integer(0, 100), [MUTABLE], Honoured;
    /// How many accesses saturate the counter of the LFU policies: larger means more.
    lfu_log_factor: u32 = 10, "lfu-log-factor", Integer(0, INT), [MUTABLE], Honoured;
    /// Minutes after which the counter of the LFU policies decays by one. 0 means never.
    lfu_decay_time: u32 = 1, "lfu-decay-time", Integer(0, INT), [MUTABLE], Honoured;
    /// How much time to spend on removing expired keys, 1 to 10.
    active_expire_effort: u32 = 1, "active-expire-effort", Integer(1, 10), [MUTABLE], Honoured;
    /// Spend a little time in the background on growing hash tables.
    activerehashing: bool = true, "activerehashing", Bool, [MUTABLE],
        Accepted("A slot's table is small and grows in bounded steps; there is nothing to do in the background.");
    /// Free evicted values in the background.
    lazyfree_lazy_eviction: bool = false, "lazyfree-lazy-eviction", Bool, [MUTABLE], ALWAYS_LAZY;
    /// Free expired values in the background.
    lazyfree_lazy_expire: bool = false, "lazyfree-lazy-expire", Bool, [MUTABLE], ALWAYS_LAZY;
    /// Free values that a command overwrites in the background.
    lazyfree_lazy_server_del: bool = false, "lazyfree-lazy-server-del", Bool, [MUTABLE], ALWAYS_LAZY;
    /// Let DEL act like UNLINK.
    lazyfree_lazy_user_del: bool = false, "lazyfree-lazy-user-del", Bool, [MUTABLE], Honoured;
    /// Let FLUSHDB, FLUSHALL, SCRIPT FLUSH and FUNCTION FLUSH without a mode act as with ASYNC.
    lazyfree_lazy_user_flush: bool = false, "lazyfree-lazy-user-flush", Bool, [MUTABLE], Honoured;
    /// Let a replica free its old data in the background before a full synchronization.
    replica_lazy_flush: bool = false, "replica-lazy-flush" | "slave-lazy-flush", Bool, [MUTABLE], Accepted("What a replica drops for its primary's copy always goes in the background.");
    /// Adjust the kernel's out-of-memory score of the process: not at all, relative to the value at start, or
    /// absolutely.
    oom_score_adj: OomScoreAdj = OomScoreAdj::No, "oom-score-adj", Enum(OomScoreAdj::NAMES), [MUTABLE], Honoured;
    /// The scores of a primary, a replica and a background child, -2000 to 2000.
    oom_score_adj_values: [i32; 3] = [0, 200, 800], "oom-score-adj-values", Special("primary replica child"),
        [MUTABLE MULTI], Honoured;
}

section "Log" {
    /// Keep every change on disk, in a log for each slot. Cairn's own default is yes. Without a log the data set lives
    /// in memory, and on disk only as far as snapshots are saved.
    appendonly: bool = true, "appendonly", Bool, [MUTABLE NOT_WHILE_LOADING], Honoured;
    /// When changes are safe from the end of the machine: before the reply (always), once a second (everysec), or when
    /// the kernel likes (no). They are safe from the end of the process in any case.
    appendfsync: AppendFsync = AppendFsync::Everysec, "appendfsync", Enum(AppendFsync::NAMES), [MUTABLE], Honoured;
    /// The base name of Redis's append-only files. They are read when the log is empty: once, to move in.
    appendfilename: String = text("appendonly.aof"), "appendfilename",
        Text(TextForm::RequiredBaseName("filename")), [], Honoured;
    /// The directory, inside dir, of Redis's append-only files. The log itself is in cairn-log.
    appenddirname: String = text("appendonlydir"), "appenddirname", Text(TextForm::RequiredBaseName("dirname")), [],
        Honoured;
    /// Cairn's own: the journal is settled into the slots' logs when it has so many bytes, or 30 percent of the live
    /// data if that is more. The disk holds up to four times as much journal while settling is behind.
    log_settle_bytes: u64 = 256 << 20, "log-settle-bytes", Memory(4096, LONG), [MUTABLE], Honoured;
    /// Cairn's own: keep every change for so many seconds, so that the state of any moment since can be rebuilt. 0
    /// keeps what is needed for the state of now.
    log_retention: u32 = 0, "log-retention", Integer(0, INT), [MUTABLE], Honoured;
    /// Do not sync while a save or rewrite runs.
    no_appendfsync_on_rewrite: bool = false, "no-appendfsync-on-rewrite", Bool, [MUTABLE], NO_REWRITE;
    /// Rewrite once the file grew by so many percent.
    auto_aof_rewrite_percentage: u32 = 100, "auto-aof-rewrite-percentage", Integer(0, INT), [MUTABLE], NO_REWRITE;
    /// Do not rewrite a file smaller than this.
    auto_aof_rewrite_min_size: u64 = 64 << 20, "auto-aof-rewrite-min-size", Memory(0, LONG), [MUTABLE], NO_REWRITE;
    /// Load a log, or Redis's append-only file, whose end is torn, and say so. Otherwise refuse to start.
    aof_load_truncated: bool = true, "aof-load-truncated", Bool, [MUTABLE], Honoured;
    /// Begin a rewritten file with a snapshot.
    aof_use_rdb_preamble: bool = true, "aof-use-rdb-preamble", Bool, [MUTABLE], NO_REWRITE;
    /// Write time stamps into the append-only file.
    aof_timestamp_enabled: bool = false, "aof-timestamp-enabled", Bool, [MUTABLE],
        Accepted("Every record of the log bears its time.");
    /// Sync a file being rewritten every few megabytes.
    aof_rewrite_incremental_fsync: bool = true, "aof-rewrite-incremental-fsync", Bool, [MUTABLE], NO_REWRITE;
    /// Keep old append-only files after a rewrite.
    aof_disable_auto_gc: bool = false, "aof-disable-auto-gc", Bool, [MUTABLE HIDDEN], TEST_AID;
}

section "Snapshots" {
    /// Save after so many seconds if there were so many changes; several pairs, each enough on its own. `save ""`
    /// turns it off.
    save: Vec<(u64, u64)> = vec![(3600, 1), (300, 100), (60, 10000)], "save", Special("seconds changes ..., or \"\""),
        [MUTABLE MULTI], Honoured;
    /// Refuse writes after a background save failed.
    stop_writes_on_bgsave_error: bool = true, "stop-writes-on-bgsave-error", Bool, [MUTABLE], Honoured;
    /// Compress strings in snapshots.
    rdbcompression: bool = true, "rdbcompression", Bool, [MUTABLE], Honoured;
    /// End a snapshot with a checksum, and check it when loading.
    rdbchecksum: bool = true, "rdbchecksum", Bool, [], Honoured;
    /// The file name of snapshots, inside dir.
    dbfilename: String = text("dump.rdb"), "dbfilename", Text(TextForm::BaseName), [MUTABLE PROTECTED], Honoured;
    /// Remove files that served only a synchronization.
    rdb_del_sync_files: bool = false, "rdb-del-sync-files", Bool, [MUTABLE], Accepted("Copies for replicas have no name, and so leave nothing to delete.");
    /// Sync a snapshot being written every few megabytes.
    rdb_save_incremental_fsync: bool = true, "rdb-save-incremental-fsync", Bool, [MUTABLE], Honoured;
    /// Wait so many microseconds after each key saved.
    rdb_key_save_delay: i32 = 0, "rdb-key-save-delay", Integer(-INT - 1, INT), [MUTABLE HIDDEN], Honoured;
    /// Wait so many microseconds after each key loaded.
    key_load_delay: i32 = 0, "key-load-delay", Integer(-INT - 1, INT), [MUTABLE HIDDEN], Honoured;
    /// Serve clients after every so many bytes loaded.
    loading_process_events_interval_bytes: u64 = 2 << 20, "loading-process-events-interval-bytes",
        Integer(1024, INT), [MUTABLE HIDDEN], TEST_AID;
}

section "Replication" {
    /// Follow this primary.
    replicaof: Option<(String, u16)> = None, "replicaof" | "slaveof", Special("host port"), [MULTI], Honoured;
    /// The password for the primary.
    masterauth: String = unset(), "masterauth", Text(TextForm::Any), [MUTABLE SENSITIVE EMPTY_IS_UNSET],
        Honoured;
    /// The user name for the primary.
    masteruser: String = unset(), "masteruser", Text(TextForm::Any), [MUTABLE SENSITIVE EMPTY_IS_UNSET],
        Honoured;
    /// Answer from old data while the primary is out of reach.
    replica_serve_stale_data: bool = true, "replica-serve-stale-data" | "slave-serve-stale-data", Bool, [MUTABLE],
        Honoured;
    /// Refuse writes of clients on a replica.
    replica_read_only: bool = true, "replica-read-only" | "slave-read-only", Bool, [MUTABLE], Honoured;
    /// Let a replica not evict by itself: the primary's deletions reach it anyway.
    replica_ignore_maxmemory: bool = true, "replica-ignore-maxmemory" | "slave-ignore-maxmemory", Bool, [MUTABLE],
        Honoured;
    /// The address that a replica tells its primary.
    replica_announce_ip: String = unset(), "replica-announce-ip" | "slave-announce-ip", Text(TextForm::Any),
        [MUTABLE EMPTY_IS_UNSET], Honoured;
    /// The port that a replica tells its primary. 0 means its own.
    replica_announce_port: u16 = 0, "replica-announce-port" | "slave-announce-port", Integer(0, 65535), [MUTABLE],
        Honoured;
    /// Let Sentinel list this replica.
    replica_announced: bool = true, "replica-announced", Bool, [MUTABLE], Honoured;
    /// Sentinel promotes the replica with the lowest value; 0 means never this one.
    replica_priority: u32 = 100, "replica-priority" | "slave-priority", Integer(0, INT), [MUTABLE], Honoured;
    /// Let a replica that cannot write to its disk go on instead of panic.
    replica_ignore_disk_write_errors: bool = false, "replica-ignore-disk-write-errors", Bool, [MUTABLE],
        Accepted("A replica that cannot write its log gives up the link until it can.");
    /// Send a full copy over the socket without writing it to disk first.
    repl_diskless_sync: bool = true, "repl-diskless-sync", Bool, [MUTABLE], Honoured;
    /// Wait so many seconds for more replicas before a full copy is sent.
    repl_diskless_sync_delay: u32 = 5, "repl-diskless-sync-delay", Integer(0, INT), [MUTABLE], Honoured;
    /// Do not wait further once so many replicas are there. 0 means no such number.
    repl_diskless_sync_max_replicas: u32 = 0, "repl-diskless-sync-max-replicas", Integer(0, INT), [MUTABLE],
        Honoured;
    /// How a replica loads a full copy: by way of a file, directly if it is empty, or beside its old data.
    repl_diskless_load: ReplDisklessLoad = ReplDisklessLoad::Disabled, "repl-diskless-load",
        Enum(ReplDisklessLoad::NAMES), [MUTABLE NOT_WHILE_LOADING], Accepted("A copy comes by way of a file: what was there goes only once it is seen to be whole.");
    /// Collect small packets to replicas into larger ones: less traffic, more delay.
    repl_disable_tcp_nodelay: bool = false, "repl-disable-tcp-nodelay", Bool, [MUTABLE], Honoured;
    /// How much of the stream to keep for replicas that come back.
    repl_backlog_size: u64 = 1 << 20, "repl-backlog-size", Memory(1, LONG), [MUTABLE], Honoured;
    /// Drop that memory so many seconds after the last replica left. 0 means never.
    repl_backlog_ttl: u64 = 3600, "repl-backlog-ttl", Integer(0, LONG), [MUTABLE], Honoured;
    /// Give up a replication link after so many silent seconds.
    repl_timeout: u32 = 60, "repl-timeout", Integer(1, INT), [MUTABLE], Honoured;
    /// Ping replicas every so many seconds.
    repl_ping_replica_period: u32 = 10, "repl-ping-replica-period" | "repl-ping-slave-period", Integer(1, INT),
        [MUTABLE], Honoured;
    /// Refuse writes with fewer replicas connected than this. 0 turns it off.
    min_replicas_to_write: u32 = 0, "min-replicas-to-write" | "min-slaves-to-write", Integer(0, INT), [MUTABLE],
        Honoured;
    /// A replica counts for that if it lags at most so many seconds.
    min_replicas_max_lag: u32 = 10, "min-replicas-max-lag" | "min-slaves-max-lag", Integer(0, INT), [MUTABLE],
        Honoured;
    /// What a replica does when a command from its primary fails.
    propagation_error_behavior: PropagationError = PropagationError::Ignore, "propagation-error-behavior",
        Enum(PropagationError::NAMES), [MUTABLE], Accepted("It says so in its log, and goes on.");
}

section "Shutdown" {
    /// Wait up to so many seconds for replicas to catch up before the server ends.
    shutdown_timeout: u32 = 10, "shutdown-timeout", Integer(0, INT), [MUTABLE], NO_WAIT_AT_END;
    /// What SIGINT does, in the words of SHUTDOWN.
    shutdown_on_sigint: ShutdownFlags = ShutdownFlags::default(), "shutdown-on-sigint", EnumSet(ShutdownFlags::NAMES),
        [MUTABLE MULTI], Honoured;
    /// What SIGTERM does, in the words of SHUTDOWN.
    shutdown_on_sigterm: ShutdownFlags = ShutdownFlags::default(), "shutdown-on-sigterm",
        EnumSet(ShutdownFlags::NAMES), [MUTABLE MULTI], Honoured;
}

section "Scripts" {
    /// Milliseconds after which a running script makes the server answer BUSY. 0 or less means never.
    busy_reply_threshold: i64 = 5000, "busy-reply-threshold" | "lua-time-limit", Integer(0, LONG), [MUTABLE],
        Honoured;
    /// Keep functions of old Lua libraries available.
    lua_enable_deprecated_api: bool = false, "lua-enable-deprecated-api", Bool, [HIDDEN], Honoured;
}

section "Cluster" {
    /// Be a node of a cluster.
    cluster_enabled: bool = false, "cluster-enabled", Bool, [], NO_CLUSTER;
    /// The file in which a node keeps what it knows of the cluster. The node writes it; do not edit it.
    cluster_config_file: String = text("nodes.conf"), "cluster-config-file", Text(TextForm::Any), [], NO_CLUSTER;
    /// Milliseconds after which a silent node counts as failed.
    cluster_node_timeout: i64 = 15000, "cluster-node-timeout", Integer(0, LONG), [MUTABLE], NO_CLUSTER;
    /// The port of the cluster bus. 0 means the client port plus 10000.
    cluster_port: u16 = 0, "cluster-port", Integer(0, 65535), [], NO_CLUSTER;
    /// A replica whose data is older than this many node timeouts does not stand for election. 0 means any may.
    cluster_replica_validity_factor: u32 = 10, "cluster-replica-validity-factor" | "cluster-slave-validity-factor",
        Integer(0, INT), [MUTABLE], NO_CLUSTER;
    /// A replica moves to a primary without one only if its own keeps so many.
    cluster_migration_barrier: u32 = 1, "cluster-migration-barrier", Integer(0, INT), [MUTABLE], NO_CLUSTER;
    /// Let replicas move to primaries that have none.
    cluster_allow_replica_migration: bool = true, "cluster-allow-replica-migration", Bool, [MUTABLE], NO_CLUSTER;
    /// Refuse all commands while any slot has no node.
    cluster_require_full_coverage: bool = true, "cluster-require-full-coverage", Bool, [MUTABLE], NO_CLUSTER;
    /// Keep this replica from failing over by itself.
    cluster_replica_no_failover: bool = false, "cluster-replica-no-failover" | "cluster-slave-no-failover", Bool,
        [MUTABLE], NO_CLUSTER;
    /// Answer reads while the cluster is down.
    cluster_allow_reads_when_down: bool = false, "cluster-allow-reads-when-down", Bool, [MUTABLE], NO_CLUSTER;
    /// Serve sharded channels while the cluster is down.
    cluster_allow_pubsubshard_when_down: bool = true, "cluster-allow-pubsubshard-when-down", Bool, [MUTABLE],
        NO_CLUSTER;
    /// The most memory for messages waiting on one bus link. 0 means no limit.
    cluster_link_sendbuf_limit: u64 = 0, "cluster-link-sendbuf-limit", Memory(0, ULONG), [MUTABLE], NO_CLUSTER;
    /// The address to announce, where it differs from the one that peers see.
    cluster_announce_ip: String = unset(), "cluster-announce-ip", Text(TextForm::Any), [MUTABLE EMPTY_IS_UNSET],
        NO_CLUSTER;
    /// The client port to announce. 0 means port.
    cluster_announce_port: u16 = 0, "cluster-announce-port", Integer(0, 65535), [MUTABLE], NO_CLUSTER;
    /// The TLS port to announce. 0 means tls-port.
    cluster_announce_tls_port: u16 = 0, "cluster-announce-tls-port", Integer(0, 65535), [MUTABLE], NO_CLUSTER;
    /// The bus port to announce. 0 means the bus port.
    cluster_announce_bus_port: u16 = 0, "cluster-announce-bus-port", Integer(0, 65535), [MUTABLE], NO_CLUSTER;
    /// The host name to announce.
    cluster_announce_hostname: String = unset(), "cluster-announce-hostname", Text(TextForm::Hostname),
        [MUTABLE EMPTY_IS_UNSET], NO_CLUSTER;
    /// A name for people, shown beside the node's id in logs.
    cluster_announce_human_nodename: String = unset(), "cluster-announce-human-nodename", Text(TextForm::NodeName),
        [MUTABLE EMPTY_IS_UNSET], NO_CLUSTER;
    /// What clients are told to connect to.
    cluster_preferred_endpoint_type: EndpointType = EndpointType::Ip, "cluster-preferred-endpoint-type",
        Enum(EndpointType::NAMES), [MUTABLE], NO_CLUSTER;
    /// Milliseconds between pings on the bus. 0 means the usual rhythm.
    cluster_ping_interval: i64 = 0, "cluster-ping-interval", Integer(0, LONG), [MUTABLE HIDDEN], TEST_AID;
}

section "Observation" {
    /// Remember commands that ran for this many microseconds or more. 0 remembers all, -1 none.
    slowlog_log_slower_than: i64 = 10000, "slowlog-log-slower-than", Integer(-1, LONG), [MUTABLE], Honoured;
    /// How many slow commands to remember.
    slowlog_max_len: u64 = 128, "slowlog-max-len", Integer(0, LONG), [MUTABLE], Honoured;
    /// Sample events that took this many milliseconds or more, for LATENCY. 0 turns it off.
    latency_monitor_threshold: i64 = 0, "latency-monitor-threshold", Integer(0, LONG), [MUTABLE], Honoured;
    /// Keep a histogram of running times per command.
    latency_tracking: bool = true, "latency-tracking", Bool, [MUTABLE], Honoured;
    /// The percentiles of those histograms that INFO latencystats shows.
    latency_tracking_info_percentiles: Vec<f64> = vec![50.0, 99.0, 99.9], "latency-tracking-info-percentiles",
        Special("percentiles, or \"\""), [MUTABLE MULTI], Honoured;
    /// Publish changes of keys: K and E choose the channel, the other letters the events, A most of them. Empty turns
    /// it off.
    notify_keyspace_events: KeyspaceEvents = KeyspaceEvents(0), "notify-keyspace-events",
        Special("letters of Ag$lshzxeKEtmdn"), [MUTABLE], Honoured;
}

section "Encodings" {
    /// A hash with at most this many fields is kept compact.
    hash_max_listpack_entries: u64 = 512, "hash-max-listpack-entries" | "hash-max-ziplist-entries", Integer(0, LONG),
        [MUTABLE], NO_TYPE;
    /// A hash with no field or value longer than this is kept compact.
    hash_max_listpack_value: u64 = 64, "hash-max-listpack-value" | "hash-max-ziplist-value", Memory(0, LONG),
        [MUTABLE], NO_TYPE;
    /// The size of one node of a list: so many elements, or with -1 to -5, 4, 8, 16, 32 or 64 KB.
    list_max_listpack_size: i32 = -2, "list-max-listpack-size" | "list-max-ziplist-size", Integer(-INT - 1, INT),
        [MUTABLE], Honoured;
    /// How many nodes at each end of a list to leave uncompressed. 0 means no compression.
    list_compress_depth: u32 = 0, "list-compress-depth", Integer(0, INT), [MUTABLE], Honoured;
    /// A set of integers with at most this many members is kept compact.
    set_max_intset_entries: u64 = 512, "set-max-intset-entries", Integer(0, LONG), [MUTABLE], Honoured;
    /// A set with at most this many members is kept compact.
    set_max_listpack_entries: u64 = 128, "set-max-listpack-entries", Integer(0, LONG), [MUTABLE], Honoured;
    /// A set with no member longer than this is kept compact.
    set_max_listpack_value: u64 = 64, "set-max-listpack-value", Integer(0, LONG), [MUTABLE], Honoured;
    /// A sorted set with at most this many members is kept compact.
    zset_max_listpack_entries: u64 = 128, "zset-max-listpack-entries" | "zset-max-ziplist-entries",
        Integer(0, LONG), [MUTABLE], Honoured;
    /// A sorted set with no member longer than this is kept compact.
    zset_max_listpack_value: u64 = 64, "zset-max-listpack-value" | "zset-max-ziplist-value", Memory(0, LONG),
        [MUTABLE], Honoured;
    /// A HyperLogLog up to this size keeps its sparse form.
    hll_sparse_max_bytes: u64 = 3000, "hll-sparse-max-bytes", Memory(0, LONG), [MUTABLE], Honoured;
    /// The size of one node of a stream. 0 means no limit.
    stream_node_max_bytes: u64 = 4096, "stream-node-max-bytes", Memory(0, LONG), [MUTABLE], Honoured;
    /// The number of entries in one node of a stream. 0 means no limit.
    stream_node_max_entries: i64 = 100, "stream-node-max-entries", Integer(0, LONG), [MUTABLE], Honoured;
}

section "Defragmentation" {
    /// Move values together to give memory back.
    activedefrag: bool = false, "activedefrag", Bool, [MUTABLE],
        Accepted("As in a Redis without its own allocator, CONFIG SET activedefrag yes is refused.");
    /// Start only with so much memory lost.
    active_defrag_ignore_bytes: u64 = 100 << 20, "active-defrag-ignore-bytes", Memory(1, LONG), [MUTABLE], NO_DEFRAG;
    /// The share of lost memory, in percent, at which to start.
    active_defrag_threshold_lower: u32 = 10, "active-defrag-threshold-lower", Integer(0, 1000), [MUTABLE], NO_DEFRAG;
    /// The share of lost memory, in percent, at which to work hardest.
    active_defrag_threshold_upper: u32 = 100, "active-defrag-threshold-upper", Integer(0, 1000), [MUTABLE], NO_DEFRAG;
    /// The least CPU, in percent, to spend on it.
    active_defrag_cycle_min: u32 = 1, "active-defrag-cycle-min", Integer(1, 99), [MUTABLE], NO_DEFRAG;
    /// The most CPU, in percent, to spend on it.
    active_defrag_cycle_max: u32 = 25, "active-defrag-cycle-max", Integer(1, 99), [MUTABLE], NO_DEFRAG;
    /// Values with more elements than this are done in steps.
    active_defrag_max_scan_fields: u64 = 1000, "active-defrag-max-scan-fields", Integer(1, LONG), [MUTABLE],
        NO_DEFRAG;
}

}

/// Old directives that are read and dropped, as they have long had no effect anywhere. Each takes one argument.
pub const IGNORED: &[&str] = &["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

/// The row of a name or alias, in any case, and the spelling that matched.
pub fn find(name: &str) -> Option<(&'static Row, &'static str)> {
    ROWS.iter().find_map(|row| {
        let mut spellings = std::iter::once(&row.name).chain(row.aliases);
        spellings.find(|spelling| spelling.eq_ignore_ascii_case(name)).map(|spelling| (row, *spelling))
    })
}
