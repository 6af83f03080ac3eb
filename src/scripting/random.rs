//! `math.random` and `math.randomseed`: the same numbers for the same seed on every machine.
//! Source: POSIX, the generator of `lrand48`.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua};

use super::arguments::{Args, Failure, bad_argument, native, nothing, one};

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
const SEED_LOW_BITS: u64 = 0x330E;
/// One more than the largest number drawn.
const RANGE: f64 = 2_147_483_647.0;

fn draw(state: &Cell<u64>) -> f64 {
    state.set(state.get().wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK);
    ((state.get() >> 17) % RANGE as u64) as f64 / RANGE
}

/// `random`, `randomseed`.
pub fn functions(lua: &Lua) -> mlua::Result<(Function, Function)> {
    let state = Rc::new(Cell::new(SEED_LOW_BITS));
    let seeded = state.clone();
    let random = native(lua, move |lua, args| one(lua, number(args, draw(&state))?))?;
    let seed = native(lua, move |_, args| {
        let seed = args.integer("randomseed", 0)? as u32;
        seeded.set((u64::from(seed) << 16) + SEED_LOW_BITS);
        nothing()
    })?;
    Ok((random, seed))
}

fn number(args: &Args<'_>, drawn: f64) -> Result<f64, Failure> {
    let empty = |index| bad_argument("random", index, "interval is empty");
    match args.len() {
        0 => Ok(drawn),
        1 => {
            let upper = args.integer("random", 0)? as f64;
            if upper < 1.0 { Err(empty(0)) } else { Ok((drawn * upper).floor() + 1.0) }
        }
        2 => {
            let (lower, upper) = (args.integer("random", 0)? as f64, args.integer("random", 1)? as f64);
            if lower > upper { Err(empty(1)) } else { Ok((drawn * (upper - lower + 1.0)).floor() + lower) }
        }
        _ => Err("wrong number of arguments".into()),
    }
}
