//! What random commands look like, a line for each form.

use std::sync::LazyLock;

use super::server_templates::{LISTENING, SCRIPTS, SERVER};
use crate::support::Random;

/// Words in angle brackets are filled in; `A|B` picks one; `{...}` repeats its content none to three times; `[...]` has
/// it or not. Times are either past or so far ahead that no two servers disagree about them while a test runs.
const STRINGS_AND_KEYS: &[&str] = &[
    "GET <key>",
    "SET <key> <value>",
    "SET <key> <value> {NX|XX|GET|KEEPTTL}",
    "SET <key> <value> [NX|XX] [GET] EX|PX|EXAT|PXAT <time>",
    "SET <key> <value> {NX|XX|GET|KEEPTTL} {EX|PX|EXAT|PXAT <time>}",
    "SET <key> <integer>",
    "SETNX <key> <value>",
    "SETEX|PSETEX <key> <time> <value>",
    "GETSET <key> <value>",
    "GETDEL <key>",
    "GETEX <key> [PERSIST]",
    "GETEX <key> {EX|PX|EXAT|PXAT <time>} {PERSIST}",
    "MSET|MSETNX <key> <value> {<key> <value>}",
    "MGET <key> {<key>}",
    "APPEND <key> <value>",
    "STRLEN <key>",
    "INCR|DECR <key>",
    "INCRBY|DECRBY <key> <integer>",
    "INCRBY|DECRBY <key> <integer>",
    "INCRBYFLOAT <key> <float>",
    "GETRANGE|SUBSTR <key> <index> <index>",
    "SETRANGE <key> <offset> <value>",
    "LCS <key> <key> {LEN|IDX|WITHMATCHLEN} {MINMATCHLEN <index>}",
    "LCS <key> <key> IDX [WITHMATCHLEN]",
    "SETBIT <key> <offset> <bit>",
    "GETBIT <key> <offset>",
    "BITCOUNT <key> [<index> <index>]",
    "BITCOUNT <key> <index> <index> [BIT|BYTE]",
    "BITPOS <key> <bit> [<index>]",
    "BITPOS <key> <bit> <index> <index> [BIT|BYTE]",
    "BITOP AND|OR|XOR <key> <key> {<key>}",
    "BITOP NOT <key> <key>",
    "BITFIELD <key> {GET <field> <position>} {SET|INCRBY <field> <position> <integer>}",
    "BITFIELD <key> OVERFLOW WRAP|SAT|FAIL {SET|INCRBY <field> <position> <integer>} {GET <field> <position>}",
    "BITFIELD_RO <key> {GET <field> <position>}",
    "BITFIELD_RO <key> SET|INCRBY <field> <position> <integer>",
    "DEL|UNLINK|EXISTS|TOUCH <key> {<key>}",
    "TYPE <key>",
    "EXPIRE|PEXPIRE|EXPIREAT|PEXPIREAT <key> <time>",
    "EXPIRE|PEXPIRE|EXPIREAT|PEXPIREAT <key> <time> {NX|XX|GT|LT}",
    "TTL|PTTL|EXPIRETIME|PEXPIRETIME <key>",
    "PERSIST <key>",
    "RENAME|RENAMENX <key> <key>",
    "COPY <key> <key> [REPLACE]",
    "COPY <key> <key> {DB <database>} {REPLACE}",
    "MOVE <key> <database>",
    "DUMP <key>",
    "RESTORE <key> <ttl> <payload> {REPLACE|ABSTTL} [IDLETIME <integer>]",
    "RESTORE <key> <ttl> <payload> REPLACE {ABSTTL} {FREQ <integer>}",
    "RESTORE|RESTORE-ASKING <key> <time> <payload> {REPLACE} {ABSTTL} {IDLETIME|FREQ <integer>}",
    "KEYS <pattern>",
    "SCAN 0 COUNT 1000000 {MATCH <pattern>} {TYPE string|list|junk}",
    "SCAN <integer> {COUNT <index>}",
    "RANDOMKEY",
    "DBSIZE",
    "OBJECT ENCODING|REFCOUNT|IDLETIME|FREQ|JUNK <key>",
    "SWAPDB <database> <database>",
    "FLUSHDB [SYNC|ASYNC]",
    "FLUSHALL [SYNC|ASYNC]",
    "SELECT <database>",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH <key> {<key>}",
    "UNWATCH",
    "PING [<value>]",
    "ECHO <value>",
    "TIME <value>",
    "CLIENT GETNAME",
    "CLIENT SETNAME <pattern>",
    "CLIENT ID <value>",
    "CLIENT UNBLOCK <integer> [TIMEOUT|ERROR|JUNK]",
    "CLIENT NO-EVICT ON|OFF|JUNK",
    "CLIENT CACHING YES|NO|JUNK",
    "CLIENT KILL ID -1|0|junk",
    "CLIENT LIST TYPE junk",
    "CLIENT JUNK <value>",
    "COMMAND GETKEYS GET|SET|MSET|BITOP|COPY|EXPIRE|OBJECT|PING|JUNK <value> <value> <value>",
    "COMMAND GETKEYS MGET {<key>}",
    "CONFIG GET databases|timeout|junk",
    "CONFIG SET timeout|hz|databases|maxmemory-policy|junk junk",
    "SLOWLOG LEN|JUNK <value>",
    "MEMORY USAGE <key> {SAMPLES <index>}",
    "JUNK <value> <value>",
    "GETX",
];

const LISTS: &[&str] = &[
    "LPUSH|RPUSH|LPUSHX|RPUSHX <list> <member> {<member>}",
    "RPUSH <list> <member> <member> <member> <member> {<member>}",
    "LPOP|RPOP <list> [<count>]",
    "LLEN <list>",
    "LRANGE|LTRIM <list> <index> <index>",
    "LRANGE <list> 0 -1",
    "LINDEX <list> <index>",
    "LSET <list> <index> <member>",
    "LINSERT <list> BEFORE|AFTER|JUNK <member> <member>",
    "LREM <list> <count> <member>",
    "LPOS <list> <member> {RANK|COUNT|MAXLEN <count>}",
    "LMOVE <list> <list> LEFT|RIGHT|JUNK LEFT|RIGHT|JUNK",
    "RPOPLPUSH <list> <list>",
    "LMPOP <numkeys> <list> [<list>] LEFT|RIGHT|JUNK {COUNT <count>}",
    "BLPOP|BRPOP <list> {<list>} <timeout>",
    "BLMOVE <list> <list> LEFT|RIGHT|JUNK LEFT|RIGHT|JUNK <timeout>",
    "BRPOPLPUSH <list> <list> <timeout>",
    "BLMPOP <timeout> <numkeys> <list> [<list>] LEFT|RIGHT|JUNK {COUNT <count>}",
    "LPOS <list> <member> RANK <count> COUNT <count> MAXLEN <count>",
    "SORT|SORT_RO <list> {BY w_*|h_*->f|h_*->|junk_*} {LIMIT <index> <index>} {GET #|w_*|h_*->f|<pattern>} {ASC|DESC}",
    "SORT|SORT_RO <list> {ALPHA|DESC|ASC} {LIMIT <index> <index>} {GET #|w_*|h_*->f|<pattern>}",
    "SORT|SORT_RO <list>|<set>|<zset> BY w_* ALPHA {DESC} {LIMIT <index> <index>} GET w_*",
    "SORT|SORT_RO <list>|<set>|<zset> BY h_*->f ALPHA {DESC} {LIMIT <index> <index>} GET h_*->f",
    "SORT <list>|<set>|<zset> {BY w_*} [DESC] {LIMIT <index> <index>} {GET #|w_*} STORE <list>",
    "SORT <list>|<set>|<zset> ALPHA {DESC} {LIMIT <index> <index>} {GET #|w_*} STORE <list>",
    "SORT_RO <list> STORE <list>",
    "SET <weight> <float>|<member>",
    "HSET <weighing> f <float>",
    "DEL|UNLINK|EXISTS|TOUCH|TYPE|PERSIST <list>",
    "OBJECT ENCODING <list>",
    "COPY|RENAME|RENAMENX <list> <list>",
    "COPY <list> <list> REPLACE",
    "EXPIRE <list> <time>",
    "CONFIG SET list-max-listpack-size -1|-2|1|4",
];

const SETS: &[&str] = &[
    "SADD <set> <member> {<member>}",
    "SADD <set> <member> <member> <member> {<member>}",
    "SREM <set> <member> {<member>}",
    "SMOVE <set> <set> <member>",
    "SISMEMBER <set> <member>",
    "SMISMEMBER <set> <member> {<member>}",
    "SCARD|SMEMBERS <set>",
    "SRANDMEMBER <set> [<few>]",
    "SINTER|SUNION|SDIFF <set> {<set>}",
    "SINTERSTORE|SUNIONSTORE|SDIFFSTORE <set> <set> {<set>}",
    "SINTERCARD <numkeys> <set> [<set>] {LIMIT <count>}",
    "SPOP <set> 1000|1000|1000|0|-1|x|",
    "SADD <lone> only",
    "SREM|SISMEMBER|SMISMEMBER <lone> only",
    "SPOP <lone> [<count>]",
    "SRANDMEMBER <lone> [<few>]",
    "SRANDMEMBER <set> x||0|1000|-9223372036854775808|9223372036854775807|9223372036854775808",
    "SET|RPUSH <lone> <member>",
    "DEL <lone>",
    "SSCAN <set> 0 COUNT 1000000 {MATCH <pattern>}",
    "SSCAN <set> 0 COUNT 0|-1|x|1e3",
    "SSCAN <set> x|1x",
    "SSCAN <set> 0 JUNK|TYPE <member> {<member>}",
    "SORT|SORT_RO <set> {ALPHA} {DESC} {LIMIT <index> <index>}",
    "SORT|SORT_RO <set> BY w_*|h_*->f {DESC} {LIMIT <index> <index>} {GET #|w_*}",
    "SET <weight> <float>|<member>",
    "HSET <weighing> f <float>",
    "DEL|UNLINK|EXISTS|TOUCH|TYPE|PERSIST <set>",
    "OBJECT ENCODING <set>",
    "COPY|RENAME|RENAMENX <set> <set>",
    "COPY <set> <set> REPLACE",
    "EXPIRE <set> <time>",
    "DUMP <set>",
    // A command that names more members than that makes a large set for 7.2, and for 7.0 only if they differ.
    "CONFIG SET set-max-intset-entries 12|512",
];

const SORTED_SETS: &[&str] = &[
    "ZADD <zset> <score> <member> {<score> <member>}",
    "ZADD <zset> <score> <member> <score> <member> <score> <member>",
    "ZADD <zset> {NX|XX|GT|LT|CH|INCR} <score> <member> [<score> <member>]",
    "ZINCRBY <zset> <score> <member>",
    "ZREM <zset> <member> {<member>}",
    "ZCARD <zset>",
    "ZSCORE <zset> <member>",
    "ZMSCORE <zset> <member> {<member>}",
    "ZRANK|ZREVRANK <zset> <member>",
    "ZCOUNT <zset> <border> <border>",
    "ZRANGE <zset> <index> <index> {REV|WITHSCORES|LIMIT}",
    "ZRANGE <zset> 0 -1 WITHSCORES",
    "ZRANGE <zset> <border> <border> BYSCORE {REV} {LIMIT <count> <count>} {WITHSCORES}",
    "ZREVRANGE <zset> <index> <index> {WITHSCORES}",
    "ZRANGEBYSCORE|ZREVRANGEBYSCORE <zset> <border> <border> {WITHSCORES} {LIMIT <count> <count>}",
    "ZREMRANGEBYRANK <zset> <index> <index>",
    "ZREMRANGEBYSCORE <zset> <border> <border>",
    "ZPOPMIN|ZPOPMAX <zset> [<count>]",
    "ZMPOP <numkeys> <zset> [<zset>] MIN|MAX|JUNK {COUNT <count>}",
    "BZPOPMIN|BZPOPMAX <zset> {<zset>} <timeout>",
    "BZMPOP <timeout> <numkeys> <zset> [<zset>] MIN|MAX|JUNK {COUNT <count>}",
    "ZUNION|ZINTER <numkeys> <zset> [<zset>|<set>] {WEIGHTS <score> [<score>]} {AGGREGATE SUM|MIN|MAX|JUNK} {WITHSCORES}",
    "ZDIFF <numkeys> <zset> [<zset>|<set>] {WITHSCORES}",
    "ZUNIONSTORE|ZINTERSTORE <zset> <numkeys> <zset> [<zset>|<set>] {WEIGHTS <score> [<score>]} {AGGREGATE SUM|MIN|MAX}",
    "ZDIFFSTORE <zset> <numkeys> <zset> [<zset>|<set>]",
    "ZINTERCARD <numkeys> <zset> [<zset>] {LIMIT <count>}",
    "ZRANDMEMBER <zset> [<few>] [WITHSCORES]",
    "ZSCAN <zset> 0 COUNT 1000000 {MATCH <pattern>}",
    "ZRANGESTORE <zset> <zset> <index> <index> {REV}",
    "ZRANGESTORE <zset> <zset> <border> <border> BYSCORE {REV} {LIMIT <count> <count>}",
    "ZRANGESTORE <zset> <zset> <border> <border> {REV} {LIMIT <count> <count>} {WITHSCORES}",
    "ZINTER|ZUNION 3 <zset> <zset>|<set> <zset> {WEIGHTS <score> <score> <score>} {AGGREGATE SUM|MIN|MAX} {WITHSCORES}",
    "ZRANDMEMBER <zset> x||0|-9223372036854775808|9223372036854775807|9223372036854775808 [WITHSCORES|JUNK]",
    "ZSCAN <zset> 0 COUNT 0|-1|x|1e3",
    "ZSCAN <zset> x|1x",
    "SORT|SORT_RO <zset> {ALPHA} {DESC} {LIMIT <index> <index>}",
    "ZADD <lexical> {NX|XX|GT|LT|CH} 0 <member> {0 <member>}",
    "ZADD <lexical> 0 <member> 0 <member> 0 <member> 0 <member>",
    "ZREM|ZSCORE|ZRANK|ZREVRANK <lexical> <member>",
    "ZLEXCOUNT|ZREMRANGEBYLEX <lexical> <lex> <lex>",
    "ZRANGEBYLEX|ZREVRANGEBYLEX <lexical> <lex> <lex> {LIMIT <count> <count>} {WITHSCORES}",
    "ZRANGE <lexical> <lex> <lex> BYLEX {REV} {LIMIT <count> <count>}",
    "ZRANGE <lexical> <lex>|<border> <lex>|<border> BYLEX|BYSCORE {BYLEX|BYSCORE|REV|WITHSCORES} {LIMIT <count> <count>}",
    "ZRANGESTORE <lexical>|<zset> <lexical> <lex> <lex> BYLEX {REV} {LIMIT <count> <count>}",
    "ZUNIONSTORE|ZINTERSTORE <lexical> 2 <lexical> <lexical> {WEIGHTS <score> <score>} {AGGREGATE SUM|MIN|MAX}",
    "ZDIFFSTORE <lexical> 2 <lexical> <lexical>",
    "ZPOPMIN|ZPOPMAX <lexical> [<count>]",
    "SORT|SORT_RO <lexical> BY nosort|# {ALPHA} {DESC} {LIMIT <index> <index>} {GET #}",
    "SORT <lexical> BY nosort STORE <list>",
    "SET|RPUSH|DEL <lexical> <member>",
    "DEL <lexical>",
    "DEL|UNLINK|EXISTS|TOUCH|TYPE|PERSIST <zset>",
    "OBJECT ENCODING <zset>|<lexical>",
    "COPY|RENAME|RENAMENX <zset> <zset>",
    "COPY <zset> <zset> REPLACE",
    "COPY <lexical> <lexical>|<zset>",
    "EXPIRE <zset> <time>",
    "DUMP <zset>",
    "CONFIG SET zset-max-listpack-entries 3|128",
];

const HASHES: &[&str] = &[
    "HSET|HMSET <hash> <member> <member> {<member> <member>}",
    "HSET <hash> <member> <member> <member> <member> <member> <member>",
    "HSETNX <hash> <member> <member>",
    "HGET|HSTRLEN|HEXISTS <hash> <member>",
    "HMGET|HDEL <hash> <member> {<member>}",
    "HLEN|HGETALL|HKEYS|HVALS <hash>",
    "HINCRBY <hash> <member> <integer>",
    "HINCRBYFLOAT <hash> <member> <float>",
    "HRANDFIELD <hash> [<few>] [WITHVALUES]",
    "HRANDFIELD <hash> x||0|-9223372036854775808|9223372036854775807|9223372036854775808 [WITHVALUES|JUNK]",
    "HSCAN <hash> 0 COUNT 1000000 {MATCH <pattern>}",
];

const STREAMS: &[&str] = &[
    "XADD <stream> <id> <member> <member> {<member> <member>}",
    "XADD <stream> <id> a <member> b <member>",
    "XADD <stream> {NOMKSTREAM} {MAXLEN|MINID {=|~} <count> {LIMIT <count>}} <id> <member> <member>",
    "XLEN <stream>",
    "XRANGE|XREVRANGE <stream> <id> <id> {COUNT <count>}",
    "XRANGE <stream> - +",
    "XDEL <stream> <id> {<id>}",
    "XTRIM <stream> MAXLEN|MINID|JUNK {=} <count> {LIMIT <count>}",
    "XREAD {COUNT <count>} STREAMS <stream> [<stream>] <id> [<id>]",
    "XREAD {BLOCK 1} {COUNT <count>} STREAMS <stream> <id>",
    "XGROUP CREATE <stream> g1|g2 <id>|$ {MKSTREAM} {ENTRIESREAD <count>}",
    "XGROUP CREATE <stream> g1|g2 0 MKSTREAM",
    "XGROUP SETID <stream> g1|g2 <id>|$ {ENTRIESREAD <count>}",
    "XGROUP DESTROY <stream> g1|g2",
    "XGROUP CREATECONSUMER|DELCONSUMER <stream> g1|g2 alice|bob",
    "XREADGROUP GROUP g1|g2 alice|bob {COUNT <count>} {NOACK} STREAMS <stream> >",
    "XREADGROUP GROUP g1|g2 alice|bob {COUNT <count>} {NOACK} STREAMS <stream> [<stream>] <id>|> [<id>|>]",
    "XACK <stream> g1|g2 <id> {<id>}",
    "XPENDING <stream> g1|g2",
    "XPENDING <stream> g1|g2 {IDLE 0} <id> <id> <count> [alice|bob]",
    "XCLAIM <stream> g1|g2 alice|bob 0 <id> {<id>} {IDLE 0} {RETRYCOUNT <count>} {FORCE} {JUSTID} {LASTID <id>}",
    "XAUTOCLAIM <stream> g1|g2 alice|bob 0|x|-1 <id> {COUNT <count>} {JUSTID}",
    "XSETID <stream> <id> {ENTRIESADDED <count>} {MAXDELETEDID <id>}",
    "XINFO STREAM|GROUPS <stream>",
    "XINFO CONSUMERS <stream> g1|g2",
    "XINFO STREAM <stream> FULL {COUNT <count>}",
    "XINFO|XGROUP JUNK <stream> g1",
    "CONFIG SET stream-node-max-entries|stream-node-max-bytes 4|100|4096",
];

const OTHERS: &[&str] = &[
    "PFADD <log> {<member>}",
    "PFCOUNT <log> {<log>}",
    "PFMERGE <log> {<log>}",
    "PFDEBUG GETREG|DECODE|ENCODING|TODENSE|JUNK <log>",
    "GEOADD <geo> {NX|XX|CH} <longitude> <latitude> <member> {<longitude> <latitude> <member>}",
    "GEODIST <geo> <member> <member> [m|km|ft|mi|junk]",
    "GEOHASH|GEOPOS <geo> <member> {<member>}",
    "GEOSEARCH <geo> FROMMEMBER <member> BYRADIUS <distance> m|km|mi {ASC|DESC} {COUNT <count> {ANY}} {WITHCOORD|WITHDIST|WITHHASH}",
    "GEOSEARCH <geo> FROMLONLAT <longitude> <latitude> BYBOX <distance> <distance> km {ASC|DESC} {COUNT <count>} {WITHDIST}",
    "GEOSEARCHSTORE <geo> <geo> FROMMEMBER <member> BYRADIUS <distance> km {STOREDIST}",
    "GEORADIUS|GEORADIUS_RO <geo> <longitude> <latitude> <distance> km {ASC} {COUNT <count>} {WITHDIST}",
    "GEORADIUSBYMEMBER|GEORADIUSBYMEMBER_RO <geo> <member> <distance> km {DESC} {WITHCOORD}",
    "OBJECT ENCODING <list>|<set>|<zset>|<hash>|<stream>",
    "TYPE <list>|<set>|<zset>|<hash>|<stream>",
    "DEL|UNLINK|EXISTS|TOUCH <list>|<set> <zset>|<hash> {<stream>}",
    "COPY <list>|<set>|<zset>|<hash>|<stream> <list>|<set>|<zset>|<hash>|<stream> {REPLACE}",
    "RENAME|RENAMENX <list>|<set>|<zset>|<hash>|<stream> <list>|<set>|<zset>|<hash>|<stream>",
    "DUMP <list>|<zset>",
    "EXPIRE <list>|<set>|<zset>|<hash> <time>",
    "CONFIG SET list-max-listpack-size 4|-2",
    "CONFIG SET hash-max-listpack-entries|zset-max-listpack-entries 3|128|512",
    // Fewer than what one SADD adds: 7.2 makes a set for as many members as the command names.
    "CONFIG SET set-max-intset-entries 12|512",
];

/// A name that CAIRN_DIFF_FAMILIES knows, and the forms.
type Family = (&'static str, &'static [&'static str]);

const FAMILIES_OF_VALUES: &[Family] = &[
    ("keys", STRINGS_AND_KEYS),
    ("lists", LISTS),
    ("sets", SETS),
    ("zsets", SORTED_SETS),
    ("hashes", HASHES),
    ("streams", STREAMS),
    ("others", OTHERS),
];
const OTHER_FAMILIES: &[Family] = &[("scripts", SCRIPTS), ("server", SERVER)];
/// What runs when nothing else is asked for.
const USUAL: &str = "all";

/// The families that are asked for: all of them by `all`.
static CHOSEN: LazyLock<Vec<Family>> = LazyLock::new(|| {
    let asked = std::env::var("CAIRN_DIFF_FAMILIES").unwrap_or(USUAL.into());
    let is_asked = |name: &str| asked == "all" || asked.split(',').any(|word| word == name);
    let chosen: Vec<Family> = families().filter(|(name, _)| is_asked(name)).collect();
    assert!(!chosen.is_empty(), "CAIRN_DIFF_FAMILIES names no family");
    chosen
});

fn families() -> impl Iterator<Item = Family> {
    FAMILIES_OF_VALUES.iter().chain(OTHER_FAMILIES).copied()
}

pub fn is_chosen(family: &str) -> bool {
    CHOSEN.iter().any(|(name, _)| *name == family)
}

/// The forms that a command has in all families, and for connections that listen.
pub fn forms_of(name: &str) -> Vec<&'static str> {
    let is_of = |form: &str| {
        let names = form.split(' ').next().unwrap_or_default();
        names.split('|').any(|word| word.eq_ignore_ascii_case(name))
    };
    families().flat_map(|(_, forms)| forms).chain(LISTENING).copied().filter(|form| is_of(form)).collect()
}

/// A form of any family that is about values, whatever is asked for.
pub fn pick_of_values(random: &mut Random) -> &'static str {
    let (_, forms) = random.pick(FAMILIES_OF_VALUES);
    random.pick(forms)
}

/// A form of one of the families.
pub fn pick(random: &mut Random) -> &'static str {
    let (_, forms) = random.pick(&CHOSEN);
    random.pick(forms)
}
