//! Cairn: a Redis-protocol compatible, sharded cache-and-store.
