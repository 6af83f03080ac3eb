//! The whole of keeping data against a disk that crashes, fails and fills up: seeded lives of a server without a network,
//! each ended by a loss of power, a kill or a shutdown, and what recovery makes of them held against what was told.
//!
//! ```text
//! random requests -> executors -> engine -> recorder -> journal -> simulated disk
//!                                             |   settling, cuts, pinned versions, expiry beside them
//!                                             v
//!                                   past: every slot's effects, and its digest after them
//! ```
//! What must hold after every life:
//! - of each slot a prefix of its past is there, which reaches as far as was durable; after a kill all of it;
//! - of a transaction all parts are there or none;
//! - the slot's content is the one that it had in memory at that change, and the one that its effects lead to;
//! - no fault but damage refuses a slot or a start.
//!
//! `CAIRN_SIM_SEEDS=1000` runs so many seeds, or fewer with `CAIRN_SIM_SECONDS=60`; `CAIRN_SIM_SEED=7` runs that one
//! alone. What a seed fixes are the choices; threads and clocks stay what they are, so a failure may need some tries.

mod clients;
mod commands;
mod life;
mod past;
mod run;
mod server;
