//! The roll of replicas: who follows, how far each has come, and who waits for that.
//!
//! A [`Replica`] is shared: its connection stores, others look. The list and the waiting clients have a small lock each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::copy::Copies;
use crate::engine::Engine;
use crate::engine::clients::{ClientHandle, flag};

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its full copy is not there to be sent yet.
    Waits,
    /// Its full copy is being sent.
    Loads,
    /// It follows the stream.
    Online,
}

impl Phase {
    /// The word in INFO.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Waits => "wait_bgsave",
            Phase::Loads => "send_bulk",
            Phase::Online => "online",
        }
    }
}

/// What a replica said about itself ahead of its first request for the stream (REPLCONF).
#[derive(Clone, Debug, Default)]
pub struct Wants {
    pub listening_port: u16,
    /// The address that it wants to be known by.
    pub address: Option<String>,
    /// It reads a copy that ends with a mark.
    pub reads_marks: bool,
    /// It knows that a history may go on under another id.
    pub follows_ids: bool,
    /// It wants a copy and no stream.
    pub copy_only: bool,
}

pub struct Replica {
    pub client: Arc<ClientHandle>,
    pub wants: Mutex<Wants>,
    phase: AtomicU8,
    /// Whether it acknowledges: those that asked with SYNC do not.
    acknowledges: AtomicBool,
    has_acked: AtomicBool,
    acked: AtomicU64,
    /// What it says to have on its disk.
    acked_durable: AtomicU64,
    acked_ms: AtomicU64,
}

impl Replica {
    pub fn new(client: Arc<ClientHandle>) -> Replica {
        Replica {
            client,
            wants: Mutex::default(),
            phase: AtomicU8::new(Phase::Waits as u8),
            acknowledges: AtomicBool::new(false),
            has_acked: AtomicBool::new(false),
            acked: AtomicU64::new(0),
            acked_durable: AtomicU64::new(0),
            acked_ms: AtomicU64::new(0),
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            phase if phase == Phase::Online as u8 => Phase::Online,
            phase if phase == Phase::Loads as u8 => Phase::Loads,
            _ => Phase::Waits,
        }
    }

    pub fn enter(&self, phase: Phase, now_ms: u64) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.acked_ms.store(now_ms, Ordering::Relaxed);
    }

    pub fn set_acknowledges(&self, acknowledges: bool) {
        self.acknowledges.store(acknowledges, Ordering::Relaxed);
    }

    pub fn acknowledges(&self) -> bool {
        self.acknowledges.load(Ordering::Relaxed)
    }

    /// Takes what the replica says to have. Neither number goes back.
    pub fn note_acked(&self, offset: u64, durable: Option<u64>, now_ms: u64) {
        self.has_acked.store(true, Ordering::Relaxed);
        self.acked.fetch_max(offset, Ordering::Relaxed);
        self.acked_durable.fetch_max(durable.unwrap_or(0), Ordering::Relaxed);
        self.acked_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether it has acknowledged anything.
    pub fn has_acked(&self) -> bool {
        self.has_acked.load(Ordering::Relaxed)
    }

    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    pub fn acked_durable(&self) -> u64 {
        self.acked_durable.load(Ordering::Relaxed)
    }

    /// Milliseconds since it was heard of.
    pub fn silent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.acked_ms.load(Ordering::Relaxed))
    }

    /// The address and port that it is known by.
    pub fn address(&self) -> (String, u16) {
        let wants = self.wants.lock();
        let peer = || {
            let address = self.client.peer.address();
            address.rsplit_once(':').map_or(address.clone(), |(host, _)| host.trim_matches(['[', ']']).to_owned())
        };
        (wants.address.clone().unwrap_or_else(peer), wants.listening_port)
    }
}

#[derive(Default)]
pub struct Replicas {
    all: Mutex<Vec<Arc<Replica>>>,
    count: AtomicUsize,
    /// Clients that wait until replicas have what they wrote.
    waiting: Mutex<Vec<Arc<ClientHandle>>>,
    pub copies: Copies,
    /// When the last one left, in Unix milliseconds.
    left_ms: AtomicU64,
    /// When they were last sent a PING.
    pub pinged_ms: AtomicU64,
}

impl Replicas {
    pub fn add(&self, replica: Arc<Replica>, now_ms: u64) {
        let mut all = self.all.lock();
        if all.is_empty() {
            // The first has just heard of us.
            self.pinged_ms.store(now_ms, Ordering::Relaxed);
        }
        replica.client.set_flag(flag::REPLICA, true);
        all.push(replica);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    pub fn remove(&self, client: &ClientHandle, now_ms: u64) {
        let mut all = self.all.lock();
        all.retain(|replica| replica.client.id != client.id);
        self.count.store(all.len(), Ordering::Relaxed);
        self.left_ms.store(now_ms, Ordering::Relaxed);
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn all(&self) -> Vec<Arc<Replica>> {
        self.all.lock().clone()
    }

    pub fn left_ms(&self) -> u64 {
        self.left_ms.load(Ordering::Relaxed)
    }

    fn count_online(&self, fits: impl Fn(&Replica) -> bool) -> usize {
        if self.count() == 0 {
            return 0;
        }
        self.all.lock().iter().filter(|replica| replica.phase() == Phase::Online && fits(replica)).count()
    }

    /// How many have everything up to an offset.
    pub fn count_with(&self, offset: u64) -> usize {
        self.count_online(|replica| replica.acked() >= offset)
    }

    /// How many have it on their disks.
    pub fn count_durable(&self, offset: u64) -> usize {
        self.count_online(|replica| replica.acked_durable() >= offset && offset > 0)
    }

    /// How many were heard of within so many seconds.
    pub fn count_good(&self, now_ms: u64, lag_max_s: u64) -> usize {
        self.count_online(|replica| replica.silent_ms(now_ms) / 1000 <= lag_max_s)
    }

    /// What their connections hold for them.
    fn buffered_bytes(&self) -> usize {
        if self.count() == 0 {
            return 0;
        }
        let of = |client: &ClientHandle| {
            client.output_bytes.load(Ordering::Relaxed) + client.output_free_bytes.load(Ordering::Relaxed)
        };
        self.all.lock().iter().map(|replica| of(&replica.client)).sum()
    }

    // ---- clients that wait ----------------------------------------------------------------------------------------

    /// Has a client woken at the next acknowledgement. It looks once more afterwards, so that none is missed.
    pub fn wait(&self, client: &Arc<ClientHandle>) {
        let mut waiting = self.waiting.lock();
        if waiting.iter().all(|known| known.id != client.id) {
            waiting.push(client.clone());
        }
    }

    /// Told of each acknowledgement.
    pub fn wake_waiting(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.iter().for_each(|client| client.wake());
    }
}

impl Engine {
    /// Memory that slow replicas take, beside the backlog.
    pub fn replicas_bytes(&self) -> u64 {
        self.stream.surplus_bytes() + self.replicas.buffered_bytes() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clients::Peer;

    #[test]
    fn acknowledgements_are_counted() {
        let replicas = Replicas::default();
        let replica = |id: u64| {
            let address = format!("[::{id}]:7000").parse().unwrap();
            let peer = Peer::Tcp { peer: address, local: address };
            Arc::new(Replica::new(Arc::new(ClientHandle::new(id, peer, 0, 0, 0))))
        };
        let (one, other) = (replica(1), replica(2));
        [&one, &other].into_iter().for_each(|replica| replicas.add(replica.clone(), 0));
        assert_eq!((replicas.count(), replicas.count_with(0), replicas.count_good(0, 10)), (2, 0, 0));
        one.enter(Phase::Online, 1000);
        other.enter(Phase::Online, 1000);
        one.note_acked(50, None, 5000);
        one.note_acked(40, Some(20), 6000);
        assert_eq!((replicas.count_with(50), replicas.count_with(51), replicas.count_with(0)), (1, 0, 2));
        assert_eq!((replicas.count_durable(20), replicas.count_durable(21)), (1, 0));
        assert_eq!((replicas.count_good(12_000, 10), replicas.count_good(12_000, 11)), (1, 2));
        assert_eq!(one.address(), ("::1".to_owned(), 0));
        other.wants.lock().address = Some("host".into());
        assert_eq!(other.address().0, "host");
        replicas.remove(&one.client, 7);
        assert_eq!((replicas.count(), replicas.left_ms()), (1, 7));
    }
}
