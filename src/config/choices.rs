//! Directives whose value is one word of a fixed list. Each enum here is that list: its words, in the order in which an
//! error message names them.

/// One word of a fixed list.
pub trait Choice: Copy + PartialEq + Sized + 'static {
    /// Every word with its meaning. A meaning with two words is shown as the first.
    const WORDS: &'static [(&'static str, Self)];

    /// Every word.
    const NAMES: &'static [&'static str];

    fn from_word(word: &str) -> Option<Self> {
        let mut words = Self::WORDS.iter();
        words.find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, value)| *value)
    }

    fn word(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words.find(|(_, value)| *value == self).map_or("unknown", |(name, _)| name)
    }
}

macro_rules! choices {
    ($( $(#[doc = $doc:literal])+ $name:ident { $( $variant:ident = $($word:literal)|+ ),+ $(,)? } )+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $name { $( $variant, )+ }

            impl Choice for $name {
                const WORDS: &'static [(&'static str, Self)] = &[ $( $( ($word, $name::$variant), )+ )+ ];
                const NAMES: &'static [&'static str] = &[ $( $( $word, )+ )+ ];
            }
        )+
    };
}

choices! {
    /// Which lines the log keeps: this level and those after it.
    LogLevel {
        Debug = "debug", Verbose = "verbose", Notice = "notice", Warning = "warning", Nothing = "nothing",
    }
    /// The form of a log line.
    LogFormat { Redis = "redis", Json = "json" }
    /// Which process supervisor to report readiness to.
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no" }
    /// The facility that messages to syslog carry.
    SyslogFacility {
        User = "user", Local0 = "local0", Local1 = "local1", Local2 = "local2", Local3 = "local3",
        Local4 = "local4", Local5 = "local5", Local6 = "local6", Local7 = "local7",
    }
    /// What to remove when memory is full.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru", VolatileLfu = "volatile-lfu", VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl", AllkeysLru = "allkeys-lru", AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random", Noeviction = "noeviction",
    }
    /// When the log reaches the disk.
    AppendFsync { Everysec = "everysec", Always = "always", No = "no" }
    /// How a replica loads a full copy that arrives over the socket.
    ReplDisklessLoad { Disabled = "disabled", OnEmptyDb = "on-empty-db", Swapdb = "swapdb" }
    /// Whether TLS clients must show a certificate.
    TlsAuthClients { No = "no", Yes = "yes", Optional = "optional" }
    /// Whether and how to adjust the kernel's out-of-memory score.
    OomScoreAdj { No = "no", Relative = "yes" | "relative", Absolute = "absolute" }
    /// The channels that a new user may use.
    AclPubsubDefault { Allchannels = "allchannels", Resetchannels = "resetchannels" }
    /// Whose DUMP payloads get the deep check.
    SanitizeDumpPayload { No = "no", Yes = "yes", Clients = "clients" }
    /// Who may use a guarded command or directive.
    ProtectedAction { No = "no", Yes = "yes", Local = "local" }
    /// How a cluster node names its peers to clients.
    EndpointType { Ip = "ip", Hostname = "hostname", UnknownEndpoint = "unknown-endpoint" }
    /// What to do when a replicated command fails.
    PropagationError { Ignore = "ignore", Panic = "panic", PanicOnReplicas = "panic-on-replicas" }
}

impl ProtectedAction {
    /// Whether a connection may do the guarded thing; `is_local` says that it comes from this machine.
    pub fn allows(self, is_local: bool) -> bool {
        match self {
            ProtectedAction::No => false,
            ProtectedAction::Yes => true,
            ProtectedAction::Local => is_local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_ignore_case() {
        assert_eq!(LogLevel::from_word("NOTICE"), Some(LogLevel::Notice));
        assert_eq!(LogLevel::from_word("loud"), None);
        assert_eq!(LogLevel::Verbose.word(), "verbose");
        assert_eq!(OomScoreAdj::from_word("relative"), Some(OomScoreAdj::Relative));
        assert_eq!(OomScoreAdj::Relative.word(), "yes");
    }

    #[test]
    fn protected_actions() {
        assert!(!ProtectedAction::No.allows(true));
        assert!(ProtectedAction::Local.allows(true));
        assert!(!ProtectedAction::Local.allows(false));
        assert!(ProtectedAction::Yes.allows(false));
    }
}
