//! Handlers of commands that only a node of a cluster knows an answer to.

use super::context::{Cx, Outcome};
use crate::resp::ReplyError;

/// ASKING, READONLY, READWRITE, CLUSTER
pub fn disabled(_: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    Err(ReplyError::of("ERR This instance has cluster support disabled"))
}
