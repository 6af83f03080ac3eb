//! Bytes in, bytes out: the request parser, the reply writer (RESP2 and RESP3), and the catalogue of error texts.

pub mod error;
pub mod parser;
pub mod reply;

pub use error::ReplyError;
pub use reply::{Protocol, Reply, push_request};
