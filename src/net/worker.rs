//! A worker: one thread, one single-threaded runtime, the connections that were handed to it.
//!
//! What its connections share (the executor, one read buffer, one output buffer) is behind a `RefCell` that a
//! connection borrows while its task is polled and never across an await.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connection::{Connection, Conversation};
use super::courier::Post;
use super::stream::Accepted;
use crate::base::process;
use crate::commands::{Executor, Lookup};
use crate::engine::clients::ClientHandle;
use crate::engine::mailbox::Mail;
use crate::engine::{Engine, Worker};

/// What one read may bring. Larger requests are collected in the connection's own buffer.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;

/// A worker's stack. Values that scripts build may be nested a thousandfold.
const STACK_BYTES: usize = 8 << 20;

/// A connection on its way to its worker.
pub struct Arrival {
    pub socket: Accepted,
    pub handle: Arc<ClientHandle>,
    /// What has come already from the primary, if the other side is that.
    pub from_primary: Option<Vec<u8>>,
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
    let thread =
        std::thread::Builder::new().name(format!("worker-{index}")).stack_size(STACK_BYTES).spawn(move || {
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
                executor: Executor::new(Worker::new(engine.clone(), index), lookup.clone()),
                read_buffer: new_read_buffer(),
                output: Vec::with_capacity(READ_BUFFER_BYTES),
                mail: Mail::default(),
                arguments: Vec::with_capacity(256),
                ends: Vec::with_capacity(64),
            }));
            // Whoever starts workers waits for this, or has given up and ends the process.
            let _ = ready.send(Ok(()));
            // The first worker to come says it for all.
            let _ = engine.running.meanwhile.set(Box::new(serve_beside_script));
            let _ = engine.courier.set(Box::new(Post::default()));
            let desk = Rc::new(Desk {
                beside: RefCell::new(Executor::beside_script(Worker::new(engine.clone(), index), lookup)),
                engine,
                shared,
                arrivals: RefCell::new(arrivals),
                counted,
                connections: RefCell::default(),
            });
            DESK.set(Some(desk.clone()));
            runtime.block_on(serve(desk));
        })?;
    started.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()))?;
    Ok(WorkerHandle { inbox, connections, thread })
}

/// What a worker's thread serves.
struct Desk {
    engine: Arc<Engine>,
    shared: Rc<RefCell<Shared>>,
    arrivals: RefCell<UnboundedReceiver<Arrival>>,
    counted: Arc<AtomicUsize>,
    /// Those that are served, and some that are gone.
    connections: RefCell<Vec<Weak<RefCell<Connection>>>>,
    /// Runs what may be run while a late script of this thread has the other executor.
    beside: RefCell<Executor>,
}

thread_local! {
    /// The desk of a worker's thread.
    static DESK: RefCell<Option<Rc<Desk>>> = const { RefCell::new(None) };
}

/// Spawns a task per arrival until the inbox closes.
async fn serve(desk: Rc<Desk>) {
    while let Some(arrival) = std::future::poll_fn(|cx| desk.arrivals.borrow_mut().poll_recv(cx)).await {
        desk.seat(arrival);
    }
}

/// Runs `work` with the executor of the calling worker's thread, beside its commands.
pub fn with_executor<R>(work: impl FnOnce(&mut Executor) -> R) -> Option<R> {
    let desk = DESK.with_borrow(Clone::clone)?;
    let mut shared = desk.shared.borrow_mut();
    Some(work(&mut shared.executor))
}

/// Serves the other connections of this thread, whose worker a late script keeps.
fn serve_beside_script() {
    let Some(desk) = DESK.with_borrow(Clone::clone) else { return };
    loop {
        let arrival = desk.arrivals.borrow_mut().try_recv();
        match arrival {
            Ok(arrival) => desk.seat(arrival),
            Err(_) => break,
        }
    }
    let connections: Vec<_> = desk.connections.borrow().iter().filter_map(Weak::upgrade).collect();
    for connection in connections {
        // The one whose script runs is in use.
        if let Ok(mut connection) = connection.try_borrow_mut() {
            connection.serve_beside_script(&mut desk.beside.borrow_mut());
        }
    }
}

impl Desk {
    /// Begins to serve a connection.
    fn seat(&self, arrival: Arrival) {
        let place =
            Place { engine: self.engine.clone(), handle: arrival.handle.clone(), connections: self.counted.clone() };
        match arrival.socket.into_stream() {
            Ok(stream) => {
                let connection = match arrival.from_primary {
                    None => Connection::new(stream, arrival.handle, &self.shared, &self.engine.users),
                    Some(front) => Connection::to_primary(stream, arrival.handle, &self.shared, front),
                };
                let connection = Rc::new(RefCell::new(connection));
                let mut connections = self.connections.borrow_mut();
                if connections.len() == connections.capacity() {
                    connections.retain(|connection| connection.strong_count() > 0);
                }
                connections.push(Rc::downgrade(&connection));
                tokio::task::spawn_local(async move {
                    let _place = place;
                    Conversation(connection).await;
                });
            }
            Err(error) => {
                tracing::warn!("Error registering a client's socket: {error}");
                self.engine.lose_link(&place.handle);
            }
        }
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
