//! Brings keys to other servers: MIGRATE's side of the network.
//!
//! A delivery is one conversation: AUTH if there is a login, SELECT if the connection is in another database, a RESTORE
//! for each key, all sent ahead of the replies, which are a line each. A worker's deliveries are tasks of its runtime, beside
//! its connections; one for a script or transaction, which cannot wait, gets a thread and a runtime for itself.
//!
//! Connections are kept for the next delivery with the same login for some seconds. One that breaks before the first reply
//! may have been closed by the other side long ago, so that the delivery is tried once more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::worker::with_executor;
use crate::base::clock::{self, Ticks};
use crate::base::number::Decimal;
use crate::engine::departure::{Courier, Delivery, Departure, Login, Parcel, Receipt};
use crate::resp::push_request;

/// Connections that are kept at most.
const KEPT_MAX: usize = 64;
const KEPT_FOR: Duration = Duration::from_secs(10);
/// What is sent at once, or larger parcels.
const CHUNK_BYTES: usize = 64 * 1024;
/// A longer line is no reply to what is sent.
const LINE_BYTES_MAX: u64 = 1024;

/// Whom a connection is to, and who is logged in on it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Address {
    host: Vec<u8>,
    port: Vec<u8>,
    login: Option<Login>,
}

/// A connection of its own to another server.
struct Link {
    stream: BufReader<TcpStream>,
    /// The database it is in, as far as that is known.
    db: Option<i64>,
}

/// A connection that waits for a delivery, known to no runtime.
struct Kept {
    stream: std::net::TcpStream,
    db: Option<i64>,
    since: Ticks,
}

/// The connections that are kept. Clones are the same.
#[derive(Clone, Default)]
pub struct Post {
    kept: Arc<Mutex<HashMap<Address, Kept>>>,
}

/// How a conversation broke off.
struct Broken {
    /// The other side kept silent for too long; else the socket failed.
    is_silence: bool,
    doing: &'static str,
}

fn failed(doing: &str) -> Receipt {
    Receipt { taken: Vec::new(), error: Some(format!("IOERR error or timeout {doing}")) }
}

impl Courier for Post {
    fn send(&self, mut departure: Departure) {
        let post = self.clone();
        tokio::task::spawn_local(async move {
            loop {
                let receipt = post.deliver(&departure.delivery).await;
                match with_executor(|executor| executor.finish_departure(departure, receipt)) {
                    Some(Some(again)) => departure = again,
                    Some(None) | None => break,
                }
            }
        });
    }

    fn bring(&self, delivery: &Delivery) -> Receipt {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let work = || runtime().map(|runtime| runtime.block_on(self.deliver(delivery)));
        // A runtime does not run inside another one.
        let done = std::thread::scope(|scope| scope.spawn(work).join());
        done.ok().and_then(Result::ok).unwrap_or_else(|| failed("connecting to the client"))
    }

    fn kept_connections(&self) -> usize {
        self.kept.lock().len()
    }

    fn close_idle(&self) {
        let now = clock::ticks();
        self.kept.lock().retain(|_, kept| now.nanos_since(kept.since) < KEPT_FOR.as_nanos() as u64);
    }
}

impl Post {
    async fn deliver(&self, delivery: &Delivery) -> Receipt {
        let address =
            Address { host: delivery.host.clone(), port: delivery.port.clone(), login: delivery.login.clone() };
        let mut may_retry = true;
        loop {
            let Some(mut link) = self.link(&address, delivery.patience).await else {
                return failed("connecting to the client");
            };
            let mut receipt = Receipt::default();
            match link.converse(delivery, &mut receipt).await {
                Ok(()) => {
                    link.db = receipt.error.is_none().then_some(delivery.db);
                    self.keep(address, link);
                    return receipt;
                }
                Err(broken)
                    if may_retry && !broken.is_silence && receipt.taken.is_empty() && receipt.error.is_none() =>
                {
                    may_retry = false;
                }
                Err(broken) => {
                    receipt.error = receipt.error.or(failed(&format!("{} to target instance", broken.doing)).error);
                    return receipt;
                }
            }
        }
    }

    /// A connection that was kept, or another one.
    async fn link(&self, address: &Address, patience: Duration) -> Option<Link> {
        let kept = self.kept.lock().remove(address);
        if let Some(kept) = kept {
            let stream = TcpStream::from_std(kept.stream).ok()?;
            return Some(Link { stream: BufReader::new(stream), db: kept.db });
        }
        let host = std::str::from_utf8(&address.host).ok()?;
        let port = std::str::from_utf8(&address.port).ok()?.parse::<u16>().ok()?;
        let stream = timeout(patience, TcpStream::connect((host, port))).await.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Link { stream: BufReader::new(stream), db: None })
    }

    /// Keeps a connection on which nothing is owed.
    fn keep(&self, address: Address, link: Link) {
        let is_quiet = link.stream.buffer().is_empty();
        if let Ok(stream) = link.stream.into_inner().into_std()
            && is_quiet
        {
            let mut kept = self.kept.lock();
            if kept.len() >= KEPT_MAX
                && let Some(any) = kept.keys().next().cloned()
            {
                kept.remove(&any);
            }
            kept.insert(address, Kept { stream, db: link.db, since: clock::ticks() });
        }
    }
}

impl Link {
    /// Sends the keys and hears what became of each. Where it breaks off, the receipt tells how far it came.
    async fn converse(&mut self, delivery: &Delivery, receipt: &mut Receipt) -> Result<(), Broken> {
        let patience = delivery.patience;
        let mut request = Vec::new();
        if let Some(login) = &delivery.login {
            let words = [Some(&b"AUTH"[..]), login.user.as_deref(), Some(&login.password)];
            push_request(&mut request, &words.into_iter().flatten().collect::<Vec<_>>());
        }
        let mut awaited = usize::from(delivery.login.is_some());
        if self.db != Some(delivery.db) {
            push_request(&mut request, &[b"SELECT", Decimal::new(delivery.db).as_bytes()]);
            self.send(&mut request, patience).await?;
            // No key may get into another database: it is selected before any is sent.
            for _ in 0..=std::mem::take(&mut awaited) {
                self.hear(patience, receipt).await?;
            }
            if receipt.error.is_some() {
                return Ok(());
            }
        }
        for parcel in &delivery.parcels {
            push_restore(&mut request, parcel, delivery.replace);
            if request.len() >= CHUNK_BYTES {
                self.send(&mut request, patience).await?;
            }
        }
        self.send(&mut request, patience).await?;
        for _ in 0..awaited {
            self.hear(patience, receipt).await?;
        }
        let is_let_in = receipt.error.is_none();
        for _ in &delivery.parcels {
            let is_taken = self.hear(patience, receipt).await?;
            receipt.taken.push(is_taken && is_let_in);
        }
        Ok(())
    }

    /// Sends what `request` holds, and empties it.
    async fn send(&mut self, request: &mut Vec<u8>, patience: Duration) -> Result<(), Broken> {
        for chunk in request.chunks(CHUNK_BYTES) {
            let sent = timeout(patience, self.stream.write_all(chunk)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return Err(Broken { is_silence: sent.is_err(), doing: "writing" });
            }
        }
        request.clear();
        Ok(())
    }

    /// Hears one reply: whether it is none of an error. The first error is noted.
    async fn hear(&mut self, patience: Duration, receipt: &mut Receipt) -> Result<bool, Broken> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_BYTES_MAX);
        let heard = timeout(patience, limited.read_until(b'\n', &mut line)).await;
        if !line.ends_with(b"\n") {
            return Err(Broken { is_silence: heard.is_err(), doing: "reading" });
        }
        let Some(error) = line.strip_prefix(b"-") else { return Ok(true) };
        if receipt.error.is_none() {
            let error = String::from_utf8_lossy(error.trim_ascii_end());
            receipt.error = Some(format!("ERR Target instance replied with error: {error}"));
        }
        Ok(false)
    }
}

fn push_restore(request: &mut Vec<u8>, parcel: &Parcel, replace: bool) {
    // The clocks of the two servers may differ, so the time that is left is told. Nothing of it would be for ever.
    let left_ms = parcel.expiry_ms.map_or(0, |expiry_ms| expiry_ms.saturating_sub(clock::unix_ms()).max(1));
    let left = Decimal::new(left_ms as i64);
    let words: [&[u8]; 5] = [b"RESTORE", &parcel.key, left.as_bytes(), &parcel.payload, b"REPLACE"];
    push_request(request, &words[..if replace { 5 } else { 4 }]);
}
