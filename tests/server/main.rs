//! Black-box tests: each starts the real server and talks to it over sockets. `support` holds what they share, every
//! other module one subject.

mod bitmaps;
mod generic;
mod strings;
mod support;
mod transactions;
