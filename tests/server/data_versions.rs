//! Data directories of every format version that there was: the tool finds them sound and the server serves what is in
//! them. `tests/fixtures/make` made them.

use std::fs;
use std::path::Path;

use cairn::tool::Status;
use cairn::tool::check::check;
use cairn::tool::progress::Progress;

use crate::support::check as converse;
use crate::tool::{Directory, cairn};

/// A copy that a server may change.
fn copy(version: &str, directory: &Directory) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version).join("cairn-log");
    let into = directory.path("data/cairn-log");
    fs::create_dir_all(&into).unwrap();
    for entry in fs::read_dir(&from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let file = entry.unwrap().path();
        fs::copy(&file, into.join(file.file_name().unwrap())).unwrap();
    }
}

const VERSION_1: &str = r#"
    DBSIZE => :10
    GET greeting => "hello world"
    STRLEN {long}first => :6000
    GETRANGE {long}first 5998 -1 => "xx"
    STRLEN {long}second => :3000
    GET expiring => "later"
    PEXPIRETIME expiring => :4000000000000
    EXISTS gone => :0
    GET counter => "42"
    EXISTS sealed => :0
    GET moved => "yes"
    MGET one two three four => ["1" "2" "3" "4"]
    SELECT 3
    DBSIZE => :2
    GET greeting => "third"
    GET five => "5"
    PEXPIRETIME five => :4000000000001
    SELECT 15
    DBSIZE => :1
    GETBIT bits 100 => :1
    STRLEN bits => :13
"#;

#[test]
fn version_1_is_read() {
    let directory = Directory::new();
    copy("data-v1", &directory);
    let report = check(&directory.path("data/cairn-log"), false, &mut Progress::new("Checking", 0)).unwrap();
    assert_eq!(report.status(), Status::Sound, "{:?}", report.problems);
    assert_eq!((report.slots, report.settled_records, report.journal_records), (13, 9, 10));
    let data = directory.text("data");
    let slots = cairn(&["log", &data, "--key", "four"]);
    slots.expect(0, "db0 1/2 \"SET\" \"four\" \"4\"\n");
    let server = directory.serve("data", &[]);
    converse(&mut server.client(), VERSION_1);
    drop(server);
    // And what the server made of it at its start.
    let server = directory.serve("data", &[]);
    converse(&mut server.client(), VERSION_1);
}
