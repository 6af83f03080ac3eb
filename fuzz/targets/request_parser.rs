//! Fuzz target: the request parser, fed with anything that a socket may bring.
//!
//! What must hold of every input:
//! - no panic, and no more consumed than there is;
//! - split at any byte, the first part gives the requests that the whole gives, as far as it reaches, and an error
//!   only where the whole has the same one: a connection may parse whatever has arrived;
//! - `needed` of an incomplete request promises too little at worst: no request ends before it;
//! - a request written again in canonical form reads as the same arguments.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The parser's own files rather than the whole crate: its dependencies would take minutes to build with these flags.
#[path = "../../src"]
#[allow(dead_code)]
mod base {
    #[path = "base/number.rs"]
    pub mod number;
    #[path = "base/quoting.rs"]
    pub mod quoting;
}
#[path = "../../src/resp/parser.rs"]
#[allow(dead_code)]
mod parser;

use parser::{Limits, Parsed, Partial, ProtocolError, parse, parse_kept};

/// Splits tried on one input; a longer input has them spread evenly.
const SPLITS_MAX: usize = 192;

/// How a reading of some bytes ended, and where.
#[derive(Debug, PartialEq)]
enum End {
    /// All bytes taken, or the rest is part of a request that needs at least this many bytes of its own.
    Incomplete {
        at: usize,
        needed: usize,
    },
    Malformed {
        at: usize,
        error: ProtocolError,
    },
}

/// A request with its place in the input.
#[derive(Debug, PartialEq)]
struct Request {
    start: usize,
    end: usize,
    arguments: Vec<Vec<u8>>,
}

fn read_all(input: &[u8], limits: Limits) -> (Vec<Request>, End) {
    let mut requests = Vec::new();
    let mut at = 0;
    loop {
        let rest = &input[at..];
        let mut borrowed = Vec::new();
        let (consumed, arguments) = match parse(rest, limits, &mut borrowed) {
            Parsed::Complete { consumed } => (consumed, borrowed.into_iter().map(<[u8]>::to_vec).collect()),
            Parsed::Inline { consumed, arguments } => (consumed, arguments),
            Parsed::Incomplete { needed, .. } => {
                assert!(needed > rest.len(), "needs {needed} bytes, has {}", rest.len());
                return (requests, End::Incomplete { at, needed });
            }
            Parsed::Malformed(error) => return (requests, End::Malformed { at, error }),
        };
        assert!(consumed > 0 && consumed <= rest.len(), "consumed {consumed} of {}", rest.len());
        requests.push(Request { start: at, end: at + consumed, arguments });
        at += consumed;
    }
}

/// The first `cut` bytes must tell the same story as the whole, as far as they go.
fn check_split(input: &[u8], cut: usize, limits: Limits, whole: &[Request], whole_end: &End) {
    let (requests, end) = read_all(&input[..cut], limits);
    assert!(requests.len() <= whole.len(), "cut at {cut}: more requests than in the whole");
    assert_eq!(requests, whole[..requests.len()], "cut at {cut}");
    match end {
        End::Malformed { .. } => assert_eq!((requests.len(), &end), (whole.len(), whole_end), "cut at {cut}"),
        End::Incomplete { at, needed } => {
            if let Some(next) = whole.get(requests.len()) {
                assert_eq!(next.start, at, "cut at {cut}");
                assert!(next.end > cut, "cut at {cut}: a whole request was left lying");
                assert!(next.end - next.start >= needed, "cut at {cut}: a request ended before {needed} bytes");
            }
        }
    }
}

/// A first request that comes in parts, read on from where each part left it, must be the one that is read whole.
fn check_kept(input: &[u8], step: usize, limits: Limits, whole: &[Request], whole_end: &End) {
    let mut partial = Partial::default();
    for came in (0..input.len()).step_by(step).chain([input.len()]) {
        let mut arguments = Vec::new();
        match parse_kept(&input[..came], limits, &mut partial, &mut arguments) {
            Parsed::Complete { consumed } => {
                let arguments: Vec<_> = arguments.into_iter().map(<[u8]>::to_vec).collect();
                assert_eq!((consumed, &arguments), (whole[0].end, &whole[0].arguments), "at {came}");
                return;
            }
            Parsed::Inline { consumed, .. } => return assert_eq!(consumed, whole[0].end, "at {came}"),
            Parsed::Malformed(error) => {
                return assert_eq!((&End::Malformed { at: 0, error }, whole.len()), (whole_end, 0), "at {came}");
            }
            Parsed::Incomplete { needed, argument_at } => assert!(needed > came && argument_at <= came),
        }
    }
}

/// The same arguments as an array of bulk strings.
fn written(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    // The first byte picks the limits, the rest is what the socket brought.
    let Some((&choice, input)) = data.split_first() else { return };
    let bulk_bytes_max = if choice & 2 == 0 { 512 * 1024 * 1024 } else { 64 };
    let limits = Limits { bulk_bytes_max, authenticated: choice & 1 == 0 };

    let (requests, end) = read_all(input, limits);
    let step = input.len() / SPLITS_MAX + 1;
    for cut in (0..input.len()).step_by(step) {
        check_split(input, cut, limits, &requests, &end);
    }
    check_kept(input, step, limits, &requests, &end);
    let wide = Limits { bulk_bytes_max: 512 * 1024 * 1024, authenticated: true };
    for request in requests {
        let (again, end) = read_all(&written(&request.arguments), wide);
        assert_eq!(again.len(), 1, "written again: {again:?}, {end:?}");
        assert_eq!(again[0].arguments, request.arguments);
    }
});
