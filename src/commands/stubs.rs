//! Stand-ins for the handlers that are not written yet; a handler's file takes its module's place.

macro_rules! stubs {
    ($($module:ident: $($name:ident)*;)*) => {$(
        pub mod $module {
            $(pub fn $name(_: &mut super::super::Cx<'_>, _: &[&[u8]]) -> Result<(), crate::resp::ReplyError> {
                Ok(())
            })*
        }
    )*};
}

stubs! {
    client: caching getname getredir help id info kill list no_evict no_touch pause reply setinfo setname tracking trackinginfo unblock unpause;
    config: get help resetstat rewrite set;
    connection: auth echo hello ping quit reset select;
    debug: debug;
    latency: doctor graph help histogram history latest reset;
    memory: doctor help malloc_stats purge stats usage;
    server: info lastsave lolwut monitor shutdown time;
    slowlog: get help len reset;
}
