//! What other threads send to a connection: messages to write, and orders.
//!
//! ```text
//! sender:      lock -> append the message -> unlock -> [first letter since the owner looked] wake, at once or later
//! connection:  arrived? -> lock -> take everything -> unlock -> one write
//! ```
//! A short message is copied behind the others, which is cheaper than a reference to it; a long one is shared by all who
//! get it. Whoever puts the first letter into an empty mailbox owes the owner a wake, and may pay it at the end of a
//! batch: so a connection that gets a hundred messages is woken once and writes once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use bytes::Bytes;
use parking_lot::Mutex;

use super::clients::ClientHandle;
use crate::resp::Protocol;

/// Messages up to this length are copied.
const COPIED_BYTES_MAX: usize = 1024;
/// An emptied mailbox keeps a buffer up to this size.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// A message for any number of clients, encoded once. The protocols differ in its first byte only: an array in RESP2, an
/// out-of-band message in RESP3.
#[derive(Clone, Debug)]
pub struct Message {
    kinds: [u8; 2],
    rest: Bytes,
}

impl Message {
    /// A message of this many elements, which `write` writes.
    pub fn of(elements: usize, write: impl FnOnce(&mut crate::resp::Reply<'_>)) -> Message {
        let mut encoded = Vec::with_capacity(128);
        let mut reply = crate::resp::Reply::new(&mut encoded, Protocol::Resp2);
        reply.array(elements);
        write(&mut reply);
        Message { kinds: *b"*>", rest: Bytes::from(encoded).slice(1..) }
    }

    /// Bytes that read the same in both protocols.
    pub fn line(text: impl Into<Bytes>) -> Message {
        let text = text.into();
        let kind = text.first().copied().unwrap_or(b'+');
        Message { kinds: [kind; 2], rest: text.slice(text.len().min(1)..) }
    }

    fn kind(&self, protocol: Protocol) -> u8 {
        self.kinds[usize::from(protocol == Protocol::Resp3)]
    }
}

/// Bytes to write, in order.
#[derive(Debug, Default)]
pub struct Mail {
    copied: Vec<u8>,
    /// Long messages, each with the place in `copied` that it stands before.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
}

impl Mail {
    fn add(&mut self, kind: u8, rest: &Bytes) {
        self.copied.push(kind);
        if rest.len() <= COPIED_BYTES_MAX {
            self.copied.extend_from_slice(rest);
        } else {
            self.shared.push((self.copied.len(), rest.clone()));
            self.shared_bytes += rest.len();
        }
    }

    pub fn len(&self) -> usize {
        self.copied.len() + self.shared_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.copied.is_empty()
    }

    /// The bytes, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.shared.iter().map(|(at, _)| *at));
        let ends = self.shared.iter().map(|(at, _)| *at).chain([self.copied.len()]);
        let long = self.shared.iter().map(|(_, message)| &message[..]).chain([&[][..]]);
        let pairs = starts.zip(ends).map(|(start, end)| &self.copied[start..end]).zip(long);
        pairs.flat_map(|(copied, long)| [copied, long]).filter(|piece| !piece.is_empty())
    }

    /// Empties it, keeping a small buffer.
    pub fn clear(&mut self) {
        self.copied.clear();
        self.copied.shrink_to(KEPT_BYTES_MAX);
        self.shared.clear();
        self.shared_bytes = 0;
    }
}

#[derive(Default)]
pub struct Mailbox {
    /// Raised with every letter, so that an idle connection pays one load.
    arrived: AtomicBool,
    letters: Mutex<Letters>,
    waker: OnceLock<Waker>,
}

/// What a connection is to do.
#[derive(Debug, Default)]
pub struct Orders {
    /// To close, unsent output or not.
    pub kill: bool,
    /// To send this reply to the command that the client waits in.
    pub answer: Option<Vec<u8>>,
    /// To look at the keys that the client waits for: one changed, and nobody served those who wait for it.
    pub look_again: bool,
}

#[derive(Default)]
struct Letters {
    mail: Mail,
    orders: Orders,
}

impl Mailbox {
    /// Told once by the connection's task, before it looks for the first time.
    pub fn set_waker(&self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Puts a message in. Tells whether the caller owes the owner a wake.
    #[inline]
    pub fn put(&self, message: &Message, protocol: Protocol) -> bool {
        let mut letters = self.letters.lock();
        letters.mail.add(message.kind(protocol), &message.rest);
        !self.arrived.swap(true, Ordering::AcqRel)
    }

    /// Leaves an order, and wakes the owner.
    pub fn order(&self, give: impl FnOnce(&mut Orders)) {
        give(&mut self.letters.lock().orders);
        self.arrived.store(true, Ordering::Release);
        self.wake();
    }

    /// Moves the messages that arrived into `mail`, which is empty, and gives the orders. Cheap when nothing arrived.
    #[inline]
    pub fn take(&self, mail: &mut Mail) -> Orders {
        if !self.arrived.load(Ordering::Acquire) {
            return Orders::default();
        }
        let mut letters = self.letters.lock();
        self.arrived.store(false, Ordering::Release);
        // The buffers change places, so neither side allocates anew each time.
        std::mem::swap(&mut letters.mail, mail);
        std::mem::take(&mut letters.orders)
    }

    /// Moves the messages alone. The mailbox counts as not looked at, so that the orders are not missed.
    pub fn take_messages(&self, mail: &mut Mail) {
        if self.arrived.load(Ordering::Acquire) {
            std::mem::swap(&mut self.letters.lock().mail, mail);
        }
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        if !self.arrived.load(Ordering::Acquire) {
            return 0;
        }
        self.letters.lock().mail.len()
    }
}

/// Wakes that are owed to connections; paid when it is dropped at the latest.
#[derive(Default)]
pub struct Wakes(Vec<Arc<ClientHandle>>);

impl Wakes {
    /// Sends a message to a client. The wake it may need is put off.
    #[inline]
    pub fn send(&mut self, client: &Arc<ClientHandle>, message: &Message) {
        if client.put(message) {
            self.0.push(client.clone());
        }
    }

    /// Wakes everyone who is owed it.
    #[inline]
    pub fn pay(&mut self) {
        self.0.drain(..).for_each(|client| client.wake());
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.pay();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(mail: &Mail) -> String {
        String::from_utf8(mail.pieces().collect::<Vec<_>>().concat()).unwrap()
    }

    #[test]
    fn messages_keep_their_order_short_or_long() {
        let mailbox = Mailbox::default();
        let long = "x".repeat(COPIED_BYTES_MAX + 1);
        let message = |text: &str| Message::of(1, |reply| reply.bulk(text.as_bytes()));
        let mut expected = String::new();
        for (number, word) in ["a", &long, &long, "b", "", &long].into_iter().enumerate() {
            let protocol = if number % 2 == 0 { Protocol::Resp2 } else { Protocol::Resp3 };
            assert_eq!(mailbox.put(&message(word), protocol), number == 0, "only the first needs a wake");
            expected += &format!("{}1\r\n${}\r\n{word}\r\n", if number % 2 == 0 { '*' } else { '>' }, word.len());
        }
        assert_eq!(mailbox.waiting_bytes(), expected.len());
        let mut mail = Mail::default();
        assert!(!mailbox.take(&mut mail).kill);
        assert_eq!((text(&mail), mail.len()), (expected.clone(), expected.len()));
        mail.clear();
        mailbox.order(|orders| orders.kill = true);
        mailbox.take_messages(&mut mail);
        assert!(mailbox.take(&mut mail).kill && mail.is_empty());
        assert!(mailbox.put(&message("c"), Protocol::Resp2), "it was looked at since");
    }

    #[test]
    fn lines() {
        let mailbox = Mailbox::default();
        mailbox.put(&Message::line("+abc\r\n"), Protocol::Resp3);
        let mut mail = Mail::default();
        mailbox.take(&mut mail);
        assert_eq!(text(&mail), "+abc\r\n");
    }
}
