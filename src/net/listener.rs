//! Listening sockets, and the choice of a worker for each connection. Runs on the main thread's runtime.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::stream::Accepted;
use super::worker::{Arrival, WorkerHandle};
use crate::base::clock;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::clients::{ClientHandle, Peer, flag};

/// How long accepting rests after it failed for want of file descriptors or memory.
const ACCEPT_REST_MS: u64 = 100;

const PROTECTED_MODE_ERROR: &[u8] =
    b"-DENIED Cairn is running in protected mode because protected mode is enabled and no password is set for the \
default user. In this mode connections are only accepted from the loopback interface. To accept connections from \
other machines set a password for the default user (directive 'requirepass'), or, where the network is trusted, \
turn protected mode off with 'CONFIG SET protected-mode no' from this machine or with the directive \
'protected-mode no'.\r\n";
const MAX_CLIENTS_ERROR: &[u8] = b"-ERR max number of clients reached\r\n";

/// The TCP listeners in force, and the tasks that accept from them.
pub struct TcpListening {
    runtime: Handle,
    bound: Mutex<Vec<Bound>>,
}

struct Bound {
    address: String,
    port: u16,
    task: AbortHandle,
}

impl TcpListening {
    /// `runtime` is the one that accepts.
    pub fn new(runtime: Handle) -> TcpListening {
        TcpListening { runtime, bound: Mutex::default() }
    }

    /// Listens nowhere any more, once the runtime has run what was under way.
    pub fn close(&self) {
        self.bound.lock().drain(..).for_each(|bound| bound.task.abort());
    }

    /// Listens where `config` says and nowhere else; gives the number of listeners. Addresses that stay are left
    /// alone. If one cannot be bound, everything stays as it was. An address with a leading `-` may be missing.
    pub fn change(&self, config: &Config, acceptor: &Arc<Acceptor>) -> io::Result<usize> {
        let mut bound = self.bound.lock();
        let wanted: &[String] = if config.port == 0 { &[] } else { &config.bind };
        let stays = |known: &Bound| known.port == config.port && wanted.contains(&known.address);
        let mut fresh = Vec::new();
        for entry in wanted {
            if bound.iter().any(|known| known.port == config.port && known.address == *entry) {
                continue;
            }
            let (optional, address) = match entry.strip_prefix('-') {
                Some(address) => (true, address),
                None => (false, entry.as_str()),
            };
            match bind_address(address, config.port, config.tcp_backlog) {
                Ok(listener) => fresh.push((entry.clone(), listener)),
                Err(error) if optional && is_unavailable(&error) => {}
                Err(error) => {
                    let text =
                        format!("Could not create server TCP listening socket {address}:{}: {error}", config.port);
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        let _entered = self.runtime.enter();
        let mut added = Vec::new();
        for (address, listener) in fresh {
            let task = self.runtime.spawn(acceptor.clone().serve_tcp(TcpListener::from_std(listener)?));
            added.push(Bound { address, port: config.port, task: task.abort_handle() });
        }
        for gone in bound.extract_if(.., |known| !stays(known)) {
            gone.task.abort();
        }
        bound.append(&mut added);
        Ok(bound.len())
    }
}

fn is_unavailable(error: &io::Error) -> bool {
    let codes = [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::EPFNOSUPPORT, libc::ENOPROTOOPT];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn bind_address(address: &str, port: u16, backlog: u32) -> io::Result<std::net::TcpListener> {
    let address = match address {
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        name => resolve(name)?,
    };
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(address, port).into())?;
    socket.listen(backlog as i32)?;
    Ok(socket.into())
}

fn resolve(name: &str) -> io::Result<IpAddr> {
    use std::net::ToSocketAddrs;
    let mut found = (name, 0).to_socket_addrs()?;
    found.next().map(|address| address.ip()).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such address"))
}

/// Binds the unix socket, replacing a file that a former server left.
pub fn bind_unix(config: &Config) -> io::Result<Option<UnixListener>> {
    use std::os::unix::fs::PermissionsExt;
    if config.unixsocket.is_empty() {
        return Ok(None);
    }
    let path = Path::new(&config.unixsocket);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    if config.unixsocketperm != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(config.unixsocketperm))?;
    }
    socket.listen(config.tcp_backlog as i32)?;
    UnixListener::from_std(socket.into()).map(Some)
}

/// Takes connections in and hands them to workers.
pub struct Acceptor {
    pub engine: Arc<Engine>,
    pub workers: Vec<WorkerHandle>,
}

impl Acceptor {
    pub async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let local = stream.local_addr().unwrap_or(peer);
                    match stream.into_std() {
                        Ok(stream) => {
                            self.set_options(&stream);
                            self.take_in(Accepted::Tcp(stream), Peer::Tcp { peer, local });
                        }
                        Err(error) => tracing::debug!("Accepting client connection: {error}"),
                    }
                }
                Err(error) => rest_after(error).await,
            }
        }
    }

    pub async fn serve_unix(self: Arc<Self>, listener: UnixListener, path: String) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => match stream.into_std() {
                    Ok(stream) => self.take_in(Accepted::Unix(stream), Peer::Unix { path: path.clone() }),
                    Err(error) => tracing::debug!("Accepting client connection: {error}"),
                },
                Err(error) => rest_after(error).await,
            }
        }
    }

    fn set_options(&self, stream: &std::net::TcpStream) {
        let config = self.engine.config.load();
        // Options that a socket refuses cost speed or patience, not correctness.
        let _ = stream.set_nodelay(true);
        if config.tcp_keepalive > 0 {
            let idle = Duration::from_secs(u64::from(config.tcp_keepalive));
            let interval = Duration::from_secs(u64::from((config.tcp_keepalive / 3).max(1)));
            let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3);
            let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
        }
    }

    /// Admits a connection or turns it away with the reason.
    fn take_in(&self, socket: Accepted, peer: Peer) {
        let config = self.engine.config.load();
        if config.protected_mode && !peer.is_local() && self.engine.users.default_user().is_open() {
            self.engine.stats.rejected_connections.add(1);
            return turn_away(socket, PROTECTED_MODE_ERROR);
        }
        if !self.engine.clients.reserve(config.maxclients as usize) {
            self.engine.stats.rejected_connections.add(1);
            return turn_away(socket, MAX_CLIENTS_ERROR);
        }
        self.engine.stats.connections_received.add(1);
        let handle = self.describe(&socket, peer);
        self.seat(Arrival { socket, handle, from_primary: None });
    }

    /// Takes the connection to the primary in, of whose stream `front` has come. It takes no client's place. Given up if
    /// another order is in force.
    pub fn take_in_primary(&self, generation: u64, socket: std::net::TcpStream, front: Vec<u8>) -> io::Result<()> {
        let peer = Peer::Tcp { peer: socket.peer_addr()?, local: socket.local_addr()? };
        self.set_options(&socket);
        let socket = Accepted::Tcp(socket);
        let handle = self.describe(&socket, peer);
        handle.set_flag(flag::PRIMARY, true);
        self.engine.clients.reserve(usize::MAX);
        if self.engine.take_link(generation, &handle) {
            self.seat(Arrival { socket, handle, from_primary: Some(front) });
        } else {
            self.engine.clients.release();
        }
        Ok(())
    }

    /// What others see of a connection, which goes to the worker that has the fewest.
    fn describe(&self, socket: &Accepted, peer: Peer) -> Arc<ClientHandle> {
        let fewest = self.workers.iter().enumerate().min_by_key(|(_, worker)| worker.connections());
        let index = fewest.map_or(0, |(index, _)| index);
        let id = self.engine.clients.next_id();
        Arc::new(ClientHandle::new(id, peer, socket.file_descriptor(), index, clock::unix_ms()))
    }

    fn seat(&self, arrival: Arrival) {
        self.engine.clients.add(arrival.handle.clone());
        self.workers[arrival.handle.worker].hand(arrival);
    }
}

/// Sends a last word, as far as the socket takes it at once, and closes.
fn turn_away(socket: Accepted, reason: &[u8]) {
    use std::io::Write;
    let _ = match socket {
        Accepted::Tcp(mut stream) => stream.write(reason),
        Accepted::Unix(mut stream) => stream.write(reason),
    };
}

async fn rest_after(error: io::Error) {
    tracing::warn!("Accepting client connection: {error}");
    tokio::time::sleep(Duration::from_millis(ACCEPT_REST_MS)).await;
}
