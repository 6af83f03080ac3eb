//! A whole data set of strings as a value, so that one comparison serves restarts, moves and damage.

use std::collections::BTreeMap;

use super::client::Client;
use super::reply::Reply;
use super::script::{encode_command, escape};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub value: Vec<u8>,
    /// Milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
}

/// By database and key.
pub type Dataset = BTreeMap<(usize, Vec<u8>), Stored>;

/// Keys that are asked for with one write; small enough that neither side waits for the other to read.
const BATCH: usize = 100;

/// What these databases hold. A key that expires meanwhile is left out.
pub fn dataset(client: &mut Client, databases: impl IntoIterator<Item = usize>) -> Dataset {
    let mut found = Dataset::new();
    for database in databases {
        assert_eq!(client.command(&["SELECT", &database.to_string()]), Reply::ok());
        let keys: Vec<Vec<u8>> = client.run("KEYS *").items().iter().map(|key| key.bytes().to_vec()).collect();
        for batch in keys.chunks(BATCH) {
            let ask = |key: &Vec<u8>| {
                [encode_command(&[b"GET".as_slice(), key]), encode_command(&[b"PEXPIRETIME".as_slice(), key])].concat()
            };
            client.send(&batch.iter().flat_map(ask).collect::<Vec<u8>>());
            for key in batch {
                let (value, expiry) = (client.reply(), client.reply().integer());
                match value {
                    Reply::Bulk(value) => {
                        let expires_at_ms = (expiry != -1).then_some(expiry);
                        if expiry != -2 {
                            found.insert((database, key.clone()), Stored { value, expires_at_ms });
                        }
                    }
                    Reply::Null => {}
                    other => panic!("GET {} => {other:?}", escape(key)),
                }
            }
        }
    }
    assert_eq!(client.run("SELECT 0"), Reply::ok());
    found
}

/// Asserts that two data sets are equal and names the first keys that are not.
pub fn assert_same(what: &str, expected: &Dataset, found: &Dataset) {
    const SHOWN: usize = 5;
    let mut differences = Vec::new();
    for (place, value) in expected {
        match found.get(place) {
            Some(other) if other == value => {}
            other => differences.push((place, Some(value), other)),
        }
    }
    differences
        .extend(found.iter().filter(|(place, _)| !expected.contains_key(place)).map(|(p, v)| (p, None, Some(v))));
    if differences.is_empty() {
        return;
    }
    let show = |stored: Option<&Stored>| match stored {
        Some(stored) => format!("\"{}\" {:?}", escape(&stored.value), stored.expires_at_ms),
        None => "nothing".to_owned(),
    };
    let lines: Vec<String> = differences
        .iter()
        .take(SHOWN)
        .map(|((database, key), one, other)| {
            format!("  database {database}, {}: expected {}, found {}", escape(key), show(*one), show(*other))
        })
        .collect();
    panic!("{what}: {} of {} keys differ:\n{}", differences.len(), expected.len(), lines.join("\n"));
}
