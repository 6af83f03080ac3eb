//! Black-box tests: each starts the real server and talks to it over sockets. `support` holds what they share, every
//! other module one subject.

mod bitmaps;
mod configuration;
mod connection;
mod connections;
mod generic;
mod introspection;
mod protocol;
mod strings;
mod support;
mod transactions;
