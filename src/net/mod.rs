//! The only sockets: listeners, workers, connections.
//!
//! ```text
//! main thread: accept -> choose the worker with the fewest connections -> its inbox
//! worker:      own runtime, a task per connection: read -> parse -> run -> one write
//! ```
//! A connection lives and dies on one worker; its task runs a command where its bytes arrived.

pub mod connection;
pub mod courier;
pub mod listener;
pub mod primary_link;
pub mod stream;
pub mod worker;
