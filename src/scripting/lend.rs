//! Lends what lives for one call to functions that live as long as a Lua state.
//!
//! The natives of a state are made once, while each run has a host of its own, on its caller's stack. [`Lent::during`]
//! puts the host in reach for the time of the run; [`Lent::with`] hands it out to one user at a time.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::NonNull;

use crate::engine::script::ScriptHost;

type Pointer = NonNull<dyn ScriptHost>;

#[derive(Default)]
pub struct Lent(Cell<Option<Pointer>>);

/// Puts back what was there before, however the scope ends.
struct Restore<'l>(&'l Lent, Option<Pointer>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.1);
    }
}

impl Lent {
    /// Runs `work` with `host` in reach.
    pub fn during<R>(&self, host: &mut dyn ScriptHost, work: impl FnOnce() -> R) -> R {
        let pointer: NonNull<dyn ScriptHost + '_> = NonNull::from(host);
        // SAFETY: only the lifetime changes. The pointer is used by `with` alone, and it is taken away again before this
        // function ends, so before the borrow does. Tested by every script that calls a command.
        let pointer = unsafe { std::mem::transmute::<NonNull<dyn ScriptHost + '_>, Pointer>(pointer) };
        let _restore = Restore(self, self.0.replace(Some(pointer)));
        work()
    }

    /// Runs `work` with the host, if there is one and nobody uses it.
    pub fn with<R>(&self, work: impl FnOnce(&mut dyn ScriptHost) -> R) -> Option<R> {
        let mut pointer = self.0.take()?;
        let _restore = Restore(self, Some(pointer));
        // SAFETY: `during` holds the unique borrow behind the pointer for as long as the pointer is here, and taking it
        // out keeps everybody else from making a second reference meanwhile.
        Some(work(unsafe { pointer.as_mut() }))
    }
}
