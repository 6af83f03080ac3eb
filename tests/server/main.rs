//! Black-box tests: each starts the real server and talks to it over sockets. `support` holds what they share, every
//! other module one subject.

mod bitmaps;
mod configuration;
mod connection;
mod connections;
mod damage;
mod data_versions;
mod differential;
mod durability;
mod following;
mod full_disk;
mod generic;
mod growth;
mod introspection;
mod lists;
mod memory_limit;
mod migrate;
mod model;
mod moving_in;
mod protocol;
mod pubsub;
mod rdb;
mod replication;
mod restart;
mod scan;
mod sets;
mod sorted_sets;
mod strings;
mod support;
mod tool;
mod transactions;
