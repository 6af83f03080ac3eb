//! Black-box tests: each starts the real server and talks to it over sockets. `support` holds what they share, every
//! other module one subject.

mod bitmaps;
mod connection;
mod generic;
mod introspection;
mod strings;
mod support;
mod transactions;
