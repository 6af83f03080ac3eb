//! What clients' buffers take, and which clients go when all of them together take too much (`maxmemory-clients`).
//!
//! Each connection counts its own bytes when they change; the sum is kept, so that the limit costs one load. Clients that
//! may not be evicted are not counted, nor are those that are about to close.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::clients::{ClientHandle, Clients, flag};
use crate::config::Config;
use crate::metrics::SharedStats;

impl Clients {
    /// Counts what a client's buffers take now.
    #[inline]
    pub fn count_memory(&self, client: &ClientHandle) {
        let bytes = if client.has_flag(flag::NO_EVICT | flag::CLOSE_ASAP | flag::REPLICA | flag::PRIMARY) {
            0
        } else {
            client.memory_bytes()
        };
        if client.counted_bytes.load(Ordering::Relaxed) != bytes {
            self.recount(client, bytes);
        }
    }

    pub(super) fn recount(&self, client: &ClientHandle, bytes: usize) {
        let before = client.counted_bytes.swap(bytes, Ordering::Relaxed);
        self.memory_bytes.fetch_add(bytes as i64 - before as i64, Ordering::Relaxed);
    }

    /// Bytes that will be free once the clients that were evicted are gone.
    pub fn closing_bytes(&self) -> u64 {
        self.closing_bytes.load(Ordering::Relaxed)
    }

    /// Closes the clients that take most, until all together take no more than they may.
    #[inline]
    pub fn keep_within(&self, config: &Config, stats: &SharedStats) {
        let limit = config.maxmemory_clients.bytes(config.maxmemory);
        if limit > 0 && self.memory_bytes.load(Ordering::Relaxed) > limit as i64 {
            self.evict(limit, stats);
        }
    }

    #[cold]
    fn evict(&self, limit: u64, stats: &SharedStats) {
        let mut largest: Vec<(usize, Arc<ClientHandle>)> = Vec::new();
        for client in self.all() {
            let bytes = client.counted_bytes.load(Ordering::Relaxed);
            if bytes > 0 {
                largest.push((bytes, client));
            }
        }
        largest.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, client) in largest {
            if self.memory_bytes.load(Ordering::Relaxed) <= limit as i64 {
                break;
            }
            if client.has_flag(flag::CLOSE_ASAP) {
                continue;
            }
            tracing::info!("Evicting client id={} addr={} tot-mem={bytes}", client.id, client.peer.address());
            self.closing_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            client.closing_bytes.store(bytes, Ordering::Relaxed);
            client.kill();
            self.count_memory(&client);
            stats.evicted_clients.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::special::MemoryOrPercent;
    use crate::engine::clients::Peer;

    #[test]
    fn the_largest_go_first() {
        let clients = Clients::default();
        let add = |id: u64, bytes: usize| {
            let handle = Arc::new(ClientHandle::new(id, Peer::Unix { path: String::new() }, 0, 0, 0));
            handle.query_buffer_bytes.store(bytes, Ordering::Relaxed);
            clients.add(handle.clone());
            clients.count_memory(&handle);
            handle
        };
        let sizes = [100_000, 300_000, 200_000, 500_000];
        let handles: Vec<_> = sizes.iter().zip(1..).map(|(bytes, id)| add(id, *bytes)).collect();
        handles[3].set_flag(flag::NO_EVICT, true);
        clients.count_memory(&handles[3]);
        let (stats, mut config) = (SharedStats::default(), Config::default());
        let mut closed = |limit: u64| {
            config.maxmemory_clients = MemoryOrPercent::Bytes(limit);
            clients.keep_within(&config, &stats);
            handles
                .iter()
                .filter(|handle| handle.has_flag(flag::CLOSE_ASAP))
                .map(|handle| handle.id)
                .collect::<Vec<_>>()
        };
        assert!(closed(0).is_empty());
        assert!(closed(610_000).is_empty());
        assert_eq!(closed(400_000), [2]);
        assert_eq!(closed(1), [1, 2, 3]);
        assert_eq!(stats.evicted_clients.get(), 3);
        handles.iter().for_each(|handle| clients.remove(handle));
        assert_eq!((clients.memory_bytes.load(Ordering::Relaxed), clients.closing_bytes()), (0, 0));
    }
}
