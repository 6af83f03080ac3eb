//! A worker: one thread, one single-threaded runtime, the connections that were handed to it.
//!
//! What its connections share (the executor, one read buffer, one output buffer) is behind a `RefCell` that a
//! connection borrows while its task is polled and never across an await.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connection::Connection;
use super::stream::Accepted;
use crate::base::process;
use crate::commands::{Executor, Lookup};
use crate::engine::clients::ClientHandle;
use crate::engine::mailbox::Mail;
use crate::engine::{Engine, Worker};

/// What one read may bring. Larger requests are collected in the connection's own buffer.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;

/// A connection on its way to its worker.
pub struct Arrival {
    pub socket: Accepted,
    pub handle: Arc<ClientHandle>,
}

/// The accepting thread's side of a worker.
pub struct WorkerHandle {
    pub inbox: UnboundedSender<Arrival>,
    connections: Arc<AtomicUsize>,
    pub thread: JoinHandle<()>,
}

impl WorkerHandle {
    /// How many connections the worker has or is about to get.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Hands a connection over.
    pub fn hand(&self, arrival: Arrival) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // A worker's inbox closes only when the process ends.
        let _ = self.inbox.send(arrival);
    }
}

/// What a worker's connections share.
pub struct Shared {
    pub executor: Executor,
    pub read_buffer: Box<[u8]>,
    pub output: Vec<u8>,
    /// Messages on their way from a mailbox to a socket.
    pub mail: Mail,
    /// Emptied argument and end vectors, kept for their allocations.
    pub arguments: Vec<&'static [u8]>,
    pub ends: Vec<usize>,
}

pub fn new_read_buffer() -> Box<[u8]> {
    vec![0; READ_BUFFER_BYTES].into_boxed_slice()
}

/// Starts worker `index`, pinned to `cpu` if one is given.
pub fn start(
    engine: Arc<Engine>,
    lookup: Arc<Lookup>,
    index: usize,
    cpu: Option<usize>,
) -> std::io::Result<WorkerHandle> {
    let (inbox, arrivals) = unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        if let Some(cpu) = cpu
            && let Err(error) = process::pin_to_cpu(cpu)
        {
            tracing::warn!("Worker {index} cannot be pinned to CPU {cpu}: {error}");
        }
        let built =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build_local(Default::default());
        let runtime = match built {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let shared = Rc::new(RefCell::new(Shared {
            executor: Executor::new(Worker::new(engine, index), lookup),
            read_buffer: new_read_buffer(),
            output: Vec::with_capacity(READ_BUFFER_BYTES),
            mail: Mail::default(),
            arguments: Vec::with_capacity(256),
            ends: Vec::with_capacity(64),
        }));
        // Whoever starts workers waits for this, or has given up and ends the process.
        let _ = ready.send(Ok(()));
        runtime.block_on(serve(shared, arrivals, counted));
    })?;
    started.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()))?;
    Ok(WorkerHandle { inbox, connections, thread })
}

/// Spawns a task per arrival until the inbox closes.
async fn serve(shared: Rc<RefCell<Shared>>, mut arrivals: UnboundedReceiver<Arrival>, connections: Arc<AtomicUsize>) {
    while let Some(arrival) = arrivals.recv().await {
        let (shared, connections) = (shared.clone(), connections.clone());
        tokio::task::spawn_local(async move {
            let engine = shared.borrow().executor.worker.engine.clone();
            let _place = Place { engine, handle: arrival.handle.clone(), connections };
            match arrival.socket.into_stream() {
                Ok(stream) => Connection::new(stream, arrival.handle, &shared).await,
                Err(error) => tracing::warn!("Error registering a client's socket: {error}"),
            }
        });
    }
}

/// A connection's place among the clients, given up however its task ends.
struct Place {
    engine: Arc<Engine>,
    handle: Arc<ClientHandle>,
    connections: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.engine.clients.remove(&self.handle);
        self.engine.clients.release();
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
