//! How far loading is, in the server's log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock;
use crate::engine::Engine;

/// How often it looks whether loading is over.
const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// How often it says something.
const PROGRESS_PERIOD_MS: u64 = 2000;

/// Says in the server's log how far loading is, for as long as it lives.
pub struct ProgressWatch(Arc<AtomicBool>);

impl ProgressWatch {
    pub fn start(engine: &Arc<Engine>) -> ProgressWatch {
        let over = Arc::new(AtomicBool::new(false));
        let (engine, seen) = (engine.clone(), over.clone());
        let watch = move || {
            let mut told_ms = clock::unix_ms();
            while !seen.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK_PERIOD);
                let now_ms = clock::unix_ms();
                if now_ms >= told_ms + PROGRESS_PERIOD_MS {
                    told_ms = now_ms;
                    let loading = &engine.persistence.loading;
                    let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
                    let (loaded, total) = (load(&loading.loaded_bytes), load(&loading.total_bytes));
                    tracing::info!("Loading: {loaded} of {total} bytes, {} %", loaded * 100 / total.max(1));
                }
            }
        };
        // Without the thread nothing is said, and nothing else is missing.
        let _ = std::thread::Builder::new().name("progress".into()).spawn(watch);
        ProgressWatch(over)
    }
}

impl Drop for ProgressWatch {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
