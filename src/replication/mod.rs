//! Replication as pure steps: what one side sends next, given what it knows. Sockets are in `net/`, the stream and the
//! roll of replicas in `engine/`, the making of full copies in `keeper/`.

pub mod primary;
pub mod replica;
