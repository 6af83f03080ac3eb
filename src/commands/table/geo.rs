//! Rows: places.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, geo};
use category::GEO;

const PER_SEARCH: &str = "O(N+log(M)), N: members in the cells that cover the area, M: members of the set";

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Geo, name, arity, flags, GEO, handler)
}

/// A destination after a word.
const fn stored_at(word: &'static str, start_from: i16) -> KeySpec {
    KeySpec { begin: BeginSearch::Keyword { word, start_from }, ..key_at(0, OW | UPDATE) }
}

/// The key of GEORADIUS and GEORADIUSBYMEMBER, and the destination that comes last.
fn georadius_keys(args: &[&[u8]], out: &mut KeyRefs) {
    const FIRST_OPTION: usize = 5;
    let (mut at, mut destination) = (FIRST_OPTION, None);
    while at + 1 < args.len() {
        if [&b"STORE"[..], b"STOREDIST"].iter().any(|word| args[at].eq_ignore_ascii_case(word)) {
            destination = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    out.push(KeyRef { index: 1, flags: RO | ACCESS });
    out.extend(destination.map(|index| KeyRef { index: index as u32, flags: OW | UPDATE }));
}

const UNITS: &[ArgSpec] = &[word("m", "m"), word("km", "km"), word("ft", "ft"), word("mi", "mi")];
const UNIT: ArgSpec = one_of("unit", UNITS);
const WITH_PLACE: ArgSpec = word("withcoord", "WITHCOORD").optional();
const WITH_DISTANCE: ArgSpec = word("withdist", "WITHDIST").optional();
const WITH_SCORE: ArgSpec = word("withhash", "WITHHASH").optional();
const ORDER: ArgSpec = one_of("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional();
const COUNT: ArgSpec =
    block("count-block", &[integer("count").token("COUNT"), word("any", "ANY").optional()]).optional();
const COUNT_OF_RADIUS: ArgSpec =
    block("count-block", &[integer("count").token("COUNT"), word("any", "ANY").since("6.2.0").optional()]).optional();
const STORE: ArgSpec = one_of(
    "store",
    &[key("storekey", 1).display("key").token("STORE"), key("storedistkey", 2).display("key").token("STOREDIST")],
)
.optional();
const FROM: ArgSpec = one_of(
    "from",
    &[
        string("member").token("FROMMEMBER"),
        block("fromlonlat", &[double("longitude"), double("latitude")]).token("FROMLONLAT"),
    ],
);
const BY: ArgSpec = one_of(
    "by",
    &[
        block("circle", &[double("radius").token("BYRADIUS"), UNIT]),
        block("box", &[double("width").token("BYBOX"), double("height"), UNIT]),
    ],
);

const RADIUS_HISTORY: &[(&str, &str)] =
    &[("6.2.0", "Takes `ANY` with `COUNT`."), ("7.0.0", "Takes unit names in upper case.")];
const SEARCH_HISTORY: &[(&str, &str)] = &[("7.0.0", "Takes unit names in upper case.")];

const AROUND_PLACE: &[ArgSpec] = &[
    key("key", 0),
    double("longitude"),
    double("latitude"),
    double("radius"),
    UNIT,
    WITH_PLACE,
    WITH_DISTANCE,
    WITH_SCORE,
    COUNT_OF_RADIUS,
    ORDER,
    STORE,
];
const AROUND_MEMBER: &[ArgSpec] = &[
    key("key", 0),
    string("member"),
    double("radius"),
    UNIT,
    WITH_PLACE,
    WITH_DISTANCE,
    WITH_SCORE,
    COUNT_OF_RADIUS,
    ORDER,
    STORE,
];

/// The same for the commands that do not store.
const fn without_last(args: &'static [ArgSpec]) -> &'static [ArgSpec] {
    args.split_at(args.len() - 1).0
}

pub static ROWS: &[CommandSpec] = &[
    row("geoadd", -5, WRITE | DENYOOM, geo::geoadd)
        .doc("3.2.0", "Adds members with their places.", "O(log(N)) for each member, N: members of the set")
        .keys(&[key_at(1, RW | UPDATE)])
        .history(&[("6.2.0", "Takes the `CH`, `NX` and `XX` options.")])
        .args(&[
            key("key", 0),
            one_of("condition", &[word("nx", "NX"), word("xx", "XX")]).since("6.2.0").optional(),
            word("change", "CH").since("6.2.0").optional(),
            block("data", &[double("longitude"), double("latitude"), string("member")]).multiple(),
        ]),
    row("geodist", -4, READONLY, geo::geodist)
        .doc("3.2.0", "Tells the distance between two members.", "O(1)")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), string("member1"), string("member2"), UNIT.optional()]),
    row("geohash", -2, READONLY, geo::geohash)
        .doc("3.2.0", "Tells the geohashes of members.", "O(1) for each member")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), string("member").optional().multiple()]),
    row("geopos", -2, READONLY, geo::geopos)
        .doc("3.2.0", "Tells the longitudes and latitudes of members.", "O(1) for each member")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), string("member").optional().multiple()]),
    row("georadius", -6, WRITE | DENYOOM, geo::georadius)
        .doc("3.2.0", "Finds the members around a place, and may store them.", PER_SEARCH)
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")
        .keys(&[key_at(1, RO | ACCESS), stored_at("STORE", 6), stored_at("STOREDIST", 6)])
        .find_keys_with(georadius_keys)
        .history(RADIUS_HISTORY)
        .args(AROUND_PLACE),
    row("georadius_ro", -6, READONLY, geo::georadius_ro)
        .doc("3.2.10", "Finds the members around a place.", PER_SEARCH)
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")
        .keys(&[key_at(1, RO | ACCESS)])
        .history(RADIUS_HISTORY)
        .args(without_last(AROUND_PLACE)),
    row("georadiusbymember", -5, WRITE | DENYOOM, geo::georadiusbymember)
        .doc("3.2.0", "Finds the members around a member, and may store them.", PER_SEARCH)
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .keys(&[key_at(1, RO | ACCESS), stored_at("STORE", 5), stored_at("STOREDIST", 5)])
        .find_keys_with(georadius_keys)
        .history(RADIUS_HISTORY)
        .args(AROUND_MEMBER),
    row("georadiusbymember_ro", -5, READONLY, geo::georadiusbymember_ro)
        .doc("3.2.10", "Finds the members around a member.", PER_SEARCH)
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .keys(&[key_at(1, RO | ACCESS)])
        .history(RADIUS_HISTORY)
        .args(without_last(AROUND_MEMBER)),
    row("geosearch", -7, READONLY, geo::geosearch)
        .doc("6.2.0", "Finds the members inside a circle or a box.", PER_SEARCH)
        .keys(&[key_at(1, RO | ACCESS)])
        .history(SEARCH_HISTORY)
        .args(&[key("key", 0), FROM, BY, ORDER, COUNT, WITH_PLACE, WITH_DISTANCE, WITH_SCORE]),
    row("geosearchstore", -8, WRITE | DENYOOM, geo::geosearchstore)
        .doc("6.2.0", "Finds the members inside a circle or a box and stores them.", PER_SEARCH)
        .keys(&[key_at(1, OW | UPDATE), key_at(2, RO | ACCESS)])
        .history(SEARCH_HISTORY)
        .args(&[
            key("destination", 0),
            key("source", 1),
            FROM,
            BY,
            ORDER,
            COUNT,
            word("storedist", "STOREDIST").optional(),
        ]),
];
