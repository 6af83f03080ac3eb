//! The link to this server's primary: connects, asks for the stream, takes a full copy in, and hands the connection over
//! to a worker, where the primary's commands run as a client's do. Comes back when the link breaks.
//!
//! A thread of its own with a runtime: writing and loading a copy may take long, and nobody else waits for it. It acts on
//! the order in `engine::following`, and gives up whatever it does once there is another. What is said on the way, and what
//! the answers mean, is in `replication::replica`.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use super::listener::Acceptor;
use crate::base::clock;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::following::{CopyProgress, Primary, Stage};
use crate::engine::mailbox::Message;
use crate::engine::replicas::copy::nameless_file;
use crate::keeper::service::Service;
use crate::replication::replica::{Handshake, Incoming, Introduction, Next};

/// Between two attempts, and between two acknowledgements.
const PERIOD: Duration = Duration::from_secs(1);
/// How often the primary gets a sign of life while a copy is loaded.
const SIGN_OF_LIFE_MS: u64 = 1000;
/// Longest line that a primary may send ahead of its stream.
const LINE_BYTES_MAX: u64 = 4096;
const BUFFER_BYTES: usize = 64 << 10;

type Socket = tokio::io::BufReader<TcpStream>;

/// Starts the thread. It lives as long as the process.
pub fn start(acceptor: Arc<Acceptor>, service: Arc<Service>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let link = PrimaryLink { engine: acceptor.engine.clone(), acceptor, service };
    std::thread::Builder::new().name("primary-link".into()).spawn(move || runtime.block_on(link.run()))?;
    Ok(())
}

struct PrimaryLink {
    engine: Arc<Engine>,
    acceptor: Arc<Acceptor>,
    service: Arc<Service>,
}

/// An attempt to follow a primary.
struct Attempt<'l> {
    link: &'l PrimaryLink,
    primary: Primary,
    generation: u64,
    config: Arc<Config>,
}

impl PrimaryLink {
    async fn run(self) {
        loop {
            let order = self.engine.following.order();
            let Some(primary) = order.primary else {
                self.engine.following.changed().await;
                continue;
            };
            let config = self.engine.config.load();
            let attempt = Attempt { link: &self, primary, generation: order.generation, config };
            let linked = tokio::select! {
                linked = attempt.run() => linked,
                () = attempt.is_withdrawn() => continue,
            };
            match linked {
                Ok(()) => self.acknowledge().await,
                Err(error) => tracing::warn!("{}: {error}", attempt.name()),
            }
            self.engine.following.enter(attempt.generation, Stage::Waits);
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = attempt.is_withdrawn() => {}
            }
        }
    }

    /// Tells the primary how far this server has come, every now and then while the link stands.
    async fn acknowledge(&self) {
        let following = &self.engine.following;
        let mut watched = None;
        while let Some(link) = following.link() {
            watched = self.watch_disk(watched);
            link.send(&Message::line(self.engine.acknowledgement()));
            let silent_ms = clock::unix_ms().saturating_sub(link.last_active_ms.load(Ordering::Relaxed));
            if silent_ms > u64::from(self.engine.config.load().repl_timeout) * 1000 {
                tracing::warn!("The primary has been silent for too long: the link is given up.");
                link.kill();
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = following.changed() => {}
            }
        }
    }
}

/// The log's ticket that is durable once an offset of the stream is.
#[derive(Clone, Copy)]
struct OnItsWay {
    ticket: u64,
    offset: u64,
}

impl PrimaryLink {
    /// Learns up to which offset the log has the stream on disk.
    fn watch_disk(&self, on_its_way: Option<OnItsWay>) -> Option<OnItsWay> {
        let durable = &self.engine.following.durable;
        let Some(sink) = self.engine.effects() else {
            durable.store(0, Ordering::Relaxed);
            return None;
        };
        // First the offset: the ticket may cover more, never less.
        let offset = self.engine.stream.end();
        match on_its_way {
            Some(waits) if !sink.is_durable(waits.ticket) => return Some(waits),
            Some(arrived) => durable.store(arrived.offset, Ordering::Relaxed),
            None => durable.store(0, Ordering::Relaxed),
        }
        Some(OnItsWay { ticket: sink.ticket(), offset })
    }
}

impl Attempt<'_> {
    fn name(&self) -> String {
        format!("Primary {}:{}", self.primary.host, self.primary.port)
    }

    fn enter(&self, stage: Stage) {
        self.link.engine.following.enter(self.generation, stage);
    }

    fn is_current(&self) -> bool {
        self.link.engine.following.is_current(self.generation)
    }

    async fn is_withdrawn(&self) {
        while self.is_current() {
            self.link.engine.following.changed().await;
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(u64::from(self.config.repl_timeout))
    }

    /// From nothing to a link that stands.
    async fn run(&self) -> Result<(), String> {
        self.enter(Stage::Connects);
        tracing::info!("Connecting to primary {}:{}", self.primary.host, self.primary.port);
        let mut socket = self.connect().await?;
        self.enter(Stage::Greets);
        match self.greet(&mut socket).await? {
            Next::Continue { id } => {
                tracing::info!("Successful partial resynchronization with primary.");
                self.link.engine.continue_relay(id.as_deref());
            }
            Next::Copy { id, offset } => {
                tracing::info!("Full resync from primary: {id}:{offset}");
                self.enter(Stage::Copies);
                self.take_copy(&mut socket, &id, offset).await?;
            }
            Next::Say(_) => {}
        }
        let front = socket.buffer().to_vec();
        let socket = socket.into_inner().into_std().map_err(|error| error.to_string())?;
        self.link.acceptor.take_in_primary(self.generation, socket, front).map_err(|error| error.to_string())
    }

    async fn connect(&self) -> Result<Socket, String> {
        let failed = |error: io::Error| format!("Unable to connect: {error}");
        let Primary { host, port } = &self.primary;
        let connecting = async {
            let mut last = io::Error::from(io::ErrorKind::NotFound);
            for address in lookup_host((host.as_str(), *port)).await? {
                match self.connect_to(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        let stream = timeout(self.patience(), connecting).await.map_err(|_| "Timeout connecting")?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(tokio::io::BufReader::with_capacity(BUFFER_BYTES, stream))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if !self.config.bind_source_addr.is_empty() {
            let source: IpAddr = self.config.bind_source_addr.parse().map_err(io::Error::other)?;
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(address).await
    }

    /// Asks for the stream; gives the primary's offer.
    async fn greet(&self, socket: &mut Socket) -> Result<Next, String> {
        let (mut handshake, mut said) = Handshake::begin(self.introduction());
        loop {
            self.say(socket, &said).await?;
            match handshake.hear(&self.hear(socket).await?)? {
                Next::Say(more) => said = more,
                offer => return Ok(offer),
            }
        }
    }

    fn introduction(&self) -> Introduction {
        let (config, engine) = (&self.config, &self.link.engine);
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Introduction {
            user: some(&config.masteruser),
            password: some(&config.masterauth),
            listening_port: if config.replica_announce_port > 0 { config.replica_announce_port } else { config.port },
            address: some(&config.replica_announce_ip),
            id: engine.history.lock().id.clone(),
            offset: engine.stream.end(),
        }
    }

    async fn say(&self, socket: &mut Socket, bytes: &[u8]) -> Result<(), String> {
        let sent = timeout(self.patience(), socket.write_all(bytes)).await;
        sent.map_err(|_| "Timeout sending")?.map_err(|error| format!("Error sending: {error}"))
    }

    /// Hears a line; gives it without its end.
    async fn hear(&self, socket: &mut Socket) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        let mut limited = socket.take(LINE_BYTES_MAX);
        let heard = timeout(self.patience(), limited.read_until(b'\n', &mut line)).await;
        heard.map_err(|_| "Timeout waiting for an answer")?.map_err(|error| format!("Error reading: {error}"))?;
        let line = line.strip_suffix(b"\n").ok_or("the connection ended, or the line is too long")?;
        Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
    }

    /// Takes a full copy in and makes it the data set.
    async fn take_copy(&self, socket: &mut Socket, id: &str, offset: u64) -> Result<(), String> {
        let mut incoming = loop {
            if let Some(incoming) = Incoming::announced(&self.hear(socket).await?)? {
                break incoming;
            }
        };
        let path = PathBuf::from(format!("temp-primary-{}.rdb", std::process::id()));
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let mut file = nameless_file(&path).map_err(failed)?;
        while !incoming.is_whole() {
            let filled = timeout(self.patience(), socket.fill_buf()).await;
            let bytes = filled.map_err(|_| "Timeout receiving the copy")?.map_err(|error| error.to_string())?;
            if bytes.is_empty() {
                return Err("the connection ended within the copy".into());
            }
            let count = incoming.take(bytes);
            file.write_all(&bytes[..count]).map_err(failed)?;
            socket.consume(count);
            let (total_bytes, read_bytes) = (incoming.total_bytes, incoming.read_bytes);
            let progress = CopyProgress { total_bytes, read_bytes, last_read_ms: clock::unix_ms() };
            self.link.engine.following.note_copy(self.generation, progress);
        }
        tracing::info!("The primary's copy is here: {} bytes", incoming.read_bytes);
        let open = || {
            let mut file = file.try_clone()?;
            file.seek(SeekFrom::Start(0))?;
            Ok(Watched {
                file: BufReader::with_capacity(1 << 20, file),
                attempt: self,
                socket: socket.get_ref(),
                signed_ms: 0,
            })
        };
        let selected = self.link.service.load_copy(self.generation, incoming.read_bytes, open)?;
        let engine = &self.link.engine;
        engine.following.selected.store(selected, Ordering::Relaxed);
        if engine.begin_relay(self.generation, id, offset) { Ok(()) } else { Err("another order is in force".into()) }
    }
}

/// The file of a copy while it is loaded: the primary is to know that the link lives.
struct Watched<'a> {
    file: BufReader<File>,
    attempt: &'a Attempt<'a>,
    socket: &'a TcpStream,
    signed_ms: u64,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let now_ms = clock::unix_ms();
        if now_ms >= self.signed_ms + SIGN_OF_LIFE_MS {
            self.signed_ms = now_ms;
            if !self.attempt.is_current() {
                return Err(io::Error::other("another order is in force"));
            }
            // A socket that takes nothing now has not read the last one.
            let _ = self.socket.try_write(b"\n");
        }
        self.file.read(into)
    }
}
