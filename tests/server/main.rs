//! Black-box tests: each starts the real server and talks to it over sockets. `support` holds what they share, every
//! other module one subject.

mod bitmaps;
mod configuration;
mod connection;
mod connections;
mod differential;
mod durability;
mod generic;
mod growth;
mod introspection;
mod memory_limit;
mod model;
mod protocol;
mod rdb;
mod scan;
mod strings;
mod support;
mod transactions;
