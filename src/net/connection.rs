//! One client's connection: a future that reads, runs and answers until either side ends it.
//!
//! A poll reads into the worker's shared buffer, runs every complete request in it, and sends all replies with one
//! write. What is left over is kept: an incomplete request in `input`, unsent replies in `unsent`. A client that sends
//! whole requests and reads its replies therefore owns no buffers at all.
//! With unsent replies the connection still reads and runs, as Redis does; the output limits bound what piles up.

mod beside;
mod feed;
mod unsent;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::Sleep;

use self::feed::Feed;
use self::unsent::Unsent;
use super::stream::Stream;
use super::worker::Shared;
use crate::acl::Users;
use crate::base::clock;
use crate::commands::dispatch::{BATCH_REQUESTS_MAX, Hold, TURN_NS};
use crate::commands::{Batch, Executor};
use crate::config::choices::AppendFsync;
use crate::config::special::OutputLimit;
use crate::engine::blocking::End as WaitEnd;
use crate::engine::clients::{ClientHandle, flag};
use crate::engine::session::{Fate, ReplyMode, Waiting};
use crate::engine::{Session, Worker};
use crate::resp::parser::{self, Limits, Parsed, Partial, ProtocolError};
use crate::resp::{Reply, ReplyError};
use crate::store::waiters::WaitedKey;

/// Replies are sent once this many bytes have gathered, even if more requests wait.
const SEND_BYTES: usize = 64 * 1024;
/// An empty input buffer larger than this is given back.
const KEPT_INPUT_BYTES_MAX: usize = 32 * 1024;
/// Room for so many arguments is kept from one batch to the next.
const KEPT_ARGUMENTS_MAX: usize = 8 * 1024;
/// What an input buffer grows by at once, unless it is much larger.
const INPUT_GROWTH_BYTES_MAX: usize = 16 << 20;
/// Of an argument of this size that comes in part, what precedes it is not counted as waiting input.
const LARGE_ARGUMENT_BYTES: usize = 32 * 1024;
/// Unsent replies that a client may pile up before it has authenticated.
const UNAUTHENTICATED_UNSENT_BYTES_MAX: u64 = 1024;
/// Room for what a client sends while it waits.
const READ_AHEAD_BYTES: usize = 1024;
/// Between two looks at a deadline that has not quite come.
const TIMER_STEP: Duration = Duration::from_millis(1);
/// Reads and runs of one poll before other connections get their turn.
const ROUNDS_PER_POLL_MAX: usize = 16;

pub struct Connection {
    stream: Stream,
    session: Session,
    handle: Arc<ClientHandle>,
    shared: Rc<RefCell<Shared>>,
    /// The front of a request whose rest has not come, or requests held back by a pause.
    input: Vec<u8>,
    /// Bytes that `input` must hold before it is worth parsing again.
    needed: usize,
    /// Where in `input` the argument begins whose rest has not come; 0 if that is not known.
    argument_at: usize,
    /// How far the request at the front of `input` was read.
    partial: Partial,
    unsent: Unsent,
    /// Set while requests are held back.
    delayed: Option<Delay>,
    /// The replies kept in `unsent` may go once this ticket of the log is durable.
    held_for: Option<u64>,
    /// Ends what the session waits for.
    wait_timer: Option<Pin<Box<Sleep>>>,
    waker_known: bool,
    /// What is sent beside replies, once the client is a replica.
    feed: Option<Feed>,
    /// The other connections of the worker go first.
    is_turn_over: bool,
}

/// What holds requests back.
enum Delay {
    /// Only time.
    Throttle(Pin<Box<Sleep>>),
    /// CLIENT PAUSE, which may be lifted.
    Pause(Pin<Box<Sleep>>),
    /// Keys on their way, until this generation of departures ends.
    Departure(u64),
}

/// How a connection ends.
enum End {
    /// The client or the socket is gone, or nothing more is owed to it.
    Closed,
}

/// What became of the bytes given to [`Connection::run`].
struct Ran {
    consumed: usize,
    /// For what is left: bytes needed before it can be parsed, counted from `consumed`.
    needed: usize,
    /// Where the argument begins whose rest has not come, counted alike; 0 if that is not known.
    argument_at: usize,
    hold: Option<Hold>,
}

impl Ran {
    fn all_of(data: &[u8]) -> Ran {
        Ran { consumed: data.len(), needed: 0, argument_at: 0, hold: None }
    }
}

impl Connection {
    pub fn new(stream: Stream, handle: Arc<ClientHandle>, shared: &Rc<RefCell<Shared>>, users: &Users) -> Connection {
        let session = Session::new(handle.clone(), users);
        Connection::with(stream, session, shared, Vec::new())
    }

    /// The connection on which the primary sends its stream, of which `front` has come.
    pub fn to_primary(
        stream: Stream,
        handle: Arc<ClientHandle>,
        shared: &Rc<RefCell<Shared>>,
        front: Vec<u8>,
    ) -> Connection {
        let mut session = Session::trusted(handle);
        session.relay = Some(Vec::new());
        session.reply_mode = ReplyMode::Off;
        session.select(shared.borrow().executor.worker.engine.following.selected.load(Ordering::Relaxed));
        Connection::with(stream, session, shared, front)
    }

    fn with(stream: Stream, session: Session, shared: &Rc<RefCell<Shared>>, input: Vec<u8>) -> Connection {
        Connection {
            stream,
            handle: session.handle.clone(),
            session,
            shared: shared.clone(),
            input,
            needed: 0,
            argument_at: 0,
            partial: Partial::default(),
            unsent: Unsent::default(),
            delayed: None,
            held_for: None,
            wait_timer: None,
            waker_known: false,
            feed: None,
            is_turn_over: false,
        }
    }

    /// Goes on until nothing more can be done now. An error ends the connection.
    fn advance(&mut self, cx: &mut Context<'_>, shared: &mut Shared) -> Poll<End> {
        if !self.waker_known {
            self.handle.set_waker(cx.waker().clone());
            self.waker_known = true;
        }
        let began = clock::ticks();
        for _ in 0..ROUNDS_PER_POLL_MAX {
            if self.take_mail(cx, shared) {
                return Poll::Ready(End::Closed);
            }
            if self.held_for.is_some() {
                match self.poll_durable(cx, shared) {
                    Poll::Pending => return Poll::Pending,
                    // What became of the writes is unknown, and so it is for a client whose connection ends.
                    Poll::Ready(false) => return Poll::Ready(End::Closed),
                    Poll::Ready(true) => {}
                }
            }
            if self.unsent.len() > 0 {
                if self.send_unsent(cx).is_err() {
                    return Poll::Ready(End::Closed);
                }
                self.publish_output(shared);
            }
            if self.feed.is_some() && self.feed_replica(cx, shared) {
                return Poll::Ready(End::Closed);
            }
            if self.over_output_limit(shared) || self.handle.has_flag(flag::CLOSE_ASAP) {
                return Poll::Ready(End::Closed);
            }
            if self.session.fate == Fate::CloseAfterReply {
                return if self.unsent.len() == 0 { Poll::Ready(End::Closed) } else { Poll::Pending };
            }
            if self.is_delayed(cx, shared) {
                return Poll::Pending;
            }
            if self.is_waiting(cx, shared) {
                return self.read_ahead(cx, shared);
            }
            match ready!(self.read_and_run(cx, shared)) {
                Ok(true) => {}
                Ok(false) | Err(_) => {
                    // The client sends no more. What it asked for it still gets.
                    self.session.fate = Fate::CloseAfterReply;
                }
            }
            if self.handle.has_flag(flag::CLOSE_ASAP) {
                return Poll::Ready(End::Closed);
            }
            if std::mem::take(&mut self.is_turn_over) || clock::ticks().nanos_since(began) > TURN_NS {
                break;
            }
        }
        end_turn(cx);
        Poll::Pending
    }

    /// One read, and everything it makes possible. `Ok(false)`: the client has ended its side.
    fn read_and_run(&mut self, cx: &mut Context<'_>, shared: &mut Shared) -> Poll<io::Result<bool>> {
        if self.input.len() >= self.needed && !self.input.is_empty() {
            // Requests that a pause, or a full output, held back.
            self.run_kept(cx, shared);
            return Poll::Ready(Ok(true));
        }
        if self.input.is_empty() {
            let mut buffer = std::mem::take(&mut shared.read_buffer);
            if buffer.is_empty() {
                // A task that panicked took it along.
                buffer = super::worker::new_read_buffer();
            }
            let mut read = ReadBuf::new(&mut buffer);
            let result = self.stream.poll_read(cx, &mut read);
            let count = read.filled().len();
            if let Poll::Ready(Ok(())) = result
                && count > 0
            {
                self.count_input(shared, count);
                self.run_fresh(cx, shared, &buffer[..count]);
            }
            shared.read_buffer = buffer;
            return result.map_ok(|()| count > 0);
        }
        // The rest of a request that came in part: read where it is kept.
        let missing = self.needed.saturating_sub(self.input.len());
        // A large argument gets a buffer of just its size, and one of unusual size grows as it comes.
        let step = missing.min(INPUT_GROWTH_BYTES_MAX.max(self.input.len() / 4));
        if self.input.capacity() - self.input.len() >= missing {
            // There is room.
        } else if step > super::worker::READ_BUFFER_BYTES {
            self.input.reserve_exact(step);
        } else {
            self.input.reserve_exact(super::worker::READ_BUFFER_BYTES.max(self.input.len() / 4));
        }
        let result = self.stream.poll_read_behind(cx, &mut self.input);
        if let Poll::Ready(Ok(count)) = result
            && count > 0
        {
            self.count_input(shared, count);
            self.publish(shared);
            if self.input.len() >= self.needed && !self.handle.has_flag(flag::CLOSE_ASAP) {
                self.run_kept(cx, shared);
            }
            self.check_query_buffer(shared);
        }
        result.map_ok(|count| count > 0)
    }

    fn count_input(&self, shared: &Shared, count: usize) {
        let stats = &shared.executor.worker.stats;
        stats.net_input_bytes.add(count as u64);
        stats.reads_processed.add(1);
        self.handle
            .input_bytes_total
            .store(self.handle.input_bytes_total.load(Ordering::Relaxed) + count as u64, Ordering::Relaxed);
    }

    /// Runs the requests in `fresh` bytes, sends the replies, and keeps what could not be run yet.
    fn run_fresh(&mut self, cx: &mut Context<'_>, shared: &mut Shared, fresh: &[u8]) {
        let ran = self.run(cx, shared, fresh, false);
        if self.session.fate == Fate::Stay {
            self.input.extend_from_slice(&fresh[ran.consumed..]);
        }
        self.after_run(shared, &ran);
    }

    /// The same with the bytes that were kept.
    fn run_kept(&mut self, cx: &mut Context<'_>, shared: &mut Shared) {
        let mut input = std::mem::take(&mut self.input);
        let ran = self.run(cx, shared, &input, true);
        if self.session.fate == Fate::Stay && ran.consumed < input.len() {
            input.drain(..ran.consumed);
            self.input = input;
        } else if input.capacity() <= KEPT_INPUT_BYTES_MAX {
            input.clear();
            self.input = input;
        }
        self.after_run(shared, &ran);
    }

    fn after_run(&mut self, shared: &Shared, ran: &Ran) {
        self.needed = ran.needed;
        self.argument_at = ran.argument_at;
        self.is_turn_over = ran.hold == Some(Hold::Turn);
        let timer = |wait_ms| Box::pin(tokio::time::sleep(Duration::from_millis(wait_ms)));
        self.delayed = match ran.hold {
            Some(Hold::Pause { until_ms }) => {
                Some(Delay::Pause(timer(until_ms.saturating_sub(shared.executor.worker.now_ms).max(1))))
            }
            Some(Hold::Throttle { delay_ms } | Hold::Held { delay_ms }) => Some(Delay::Throttle(timer(delay_ms))),
            Some(Hold::Departure { generation }) => Some(Delay::Departure(generation)),
            Some(Hold::Waiting | Hold::Turn) | None => None,
        };
        if self.delayed.is_some() || ran.hold == Some(Hold::Waiting) {
            self.handle.set_flag(flag::BLOCKED, true);
        }
        self.publish(shared);
    }

    /// Runs what is complete in `data`. `kept`: these are bytes that were kept, and perhaps read in part, before.
    fn run(&mut self, cx: &mut Context<'_>, shared: &mut Shared, data: &[u8], kept: bool) -> Ran {
        let Shared { executor, output, arguments: kept_arguments, ends, .. } = shared;
        let mut arguments: Vec<&[u8]> = std::mem::take(kept_arguments);
        // Empty, unless a task panicked: one client's replies must never reach another.
        output.clear();
        let mut consumed = 0;
        let ran = loop {
            arguments.clear();
            ends.clear();
            let partial = if kept && consumed == 0 { Some(&mut self.partial) } else { None };
            let parsed = parse_batch(&data[consumed..], &self.session, executor, partial, &mut arguments, ends);
            let mut at = consumed;
            if !ends.is_empty() {
                let source = Some((&data[consumed..], &parsed.request_ends[..]));
                let batch = Batch { arguments: &arguments, ends, source };
                let progress = executor.run(&mut self.session, &batch, output);
                at += parsed.request_ends[..progress.requests].last().copied().unwrap_or(0);
                let stopped = progress.requests < ends.len() || progress.hold.is_some();
                consumed = at;
                if self.ends_over_limit(output, &executor.worker) {
                    break Ran::all_of(data);
                }
                let is_limited = self.output_limit(&executor.worker).hard_bytes > 0;
                if output.len() >= SEND_BYTES && !is_limited || stopped {
                    self.send(cx, output, executor);
                }
                if self.session.fate != Fate::Stay {
                    break Ran::all_of(data);
                }
                if progress.hold.is_some() || self.unsent.len() > 0 && stopped {
                    break Ran { consumed, needed: 0, argument_at: 0, hold: progress.hold };
                }
                if stopped {
                    continue;
                }
            }
            match parsed.then {
                Then::More => {
                    if consumed == data.len() {
                        break Ran::all_of(data);
                    }
                }
                Then::Inline { end, arguments: inline } => {
                    let arguments: Vec<&[u8]> = inline.iter().map(Vec::as_slice).collect();
                    let source = Some((&data[consumed..], &[end][..]));
                    let batch = Batch { arguments: &arguments, ends: &[arguments.len()], source };
                    let progress = executor.run(&mut self.session, &batch, output);
                    if progress.requests > 0 {
                        consumed += end;
                    }
                    if self.ends_over_limit(output, &executor.worker) {
                        break Ran::all_of(data);
                    }
                    if progress.hold.is_some() {
                        break Ran { consumed, needed: 0, argument_at: 0, hold: progress.hold };
                    }
                    if self.session.fate != Fate::Stay {
                        break Ran::all_of(data);
                    }
                }
                Then::Wait { needed, argument_at } => break Ran { consumed, needed, argument_at, hold: None },
                Then::Refuse(error) => {
                    let text = [b"ERR Protocol error: ", &error.text()[..]].concat();
                    tracing::debug!(
                        "Protocol error from client {}: {}",
                        self.handle.id,
                        String::from_utf8_lossy(&text)
                    );
                    Reply::new(output, self.session.protocol).error_bytes(&text);
                    executor.worker.engine.count_error("ERR");
                    self.session.fate = Fate::CloseAfterReply;
                    break Ran::all_of(data);
                }
            }
        };
        self.send(cx, output, executor);
        *kept_arguments = recycle(arguments);
        ran
    }

    /// Sends the messages that others put into the mailbox. Tells whether the connection is to close.
    #[inline]
    fn take_mail(&mut self, cx: &mut Context<'_>, shared: &mut Shared) -> bool {
        // Empty, unless a task panicked.
        shared.mail.clear();
        let orders = self.handle.take_mail(&mut shared.mail);
        if orders.kill {
            return true;
        }
        // A reply goes ahead of messages about what was done for it.
        if let Some(answer) = orders.answer {
            self.take_answer(shared, &answer);
        } else if orders.look_again {
            self.look_again(shared);
        }
        for piece in shared.mail.pieces() {
            self.send_bytes(cx, piece, &shared.executor);
        }
        false
    }

    /// Sends what is in `output`, behind what is unsent, and empties it.
    fn send(&mut self, cx: &mut Context<'_>, output: &mut Vec<u8>, executor: &Executor) {
        if output.is_empty() {
            return;
        }
        self.hold_if_changed(&executor.worker);
        self.send_bytes(cx, output, executor);
        output.clear();
        // A reply of many megabytes should not leave every worker with a buffer of its size.
        output.shrink_to(2 * SEND_BYTES);
    }

    fn send_bytes(&mut self, cx: &mut Context<'_>, output: &[u8], executor: &Executor) {
        let stats = &executor.worker.stats;
        stats.net_output_bytes.add(output.len() as u64);
        stats.writes_processed.add(1);
        self.handle
            .output_bytes_total
            .store(self.handle.output_bytes_total.load(Ordering::Relaxed) + output.len() as u64, Ordering::Relaxed);
        let mut sent = 0;
        if self.unsent.len() == 0 && self.held_for.is_none() {
            while sent < output.len() {
                match self.stream.poll_write(cx, &output[sent..]) {
                    Poll::Ready(Ok(count)) if count > 0 => sent += count,
                    Poll::Ready(_) => {
                        self.handle.set_flag(flag::CLOSE_ASAP, true);
                        sent = output.len();
                    }
                    Poll::Pending => break,
                }
            }
        }
        self.unsent.push(&output[sent..]);
    }

    fn send_unsent(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.unsent.len() > 0 {
            match self.stream.poll_write(cx, self.unsent.next()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.unsent.pass(count),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        // What is left in the stream may be over the limit still.
        self.unsent.over_soft_limit_since_ms = self.unsent.over_soft_limit_since_ms.filter(|_| self.feed.is_some());
        Ok(())
    }

    /// Whether the unsent replies exceed what the client's class may pile up.
    fn over_output_limit(&mut self, shared: &mut Shared) -> bool {
        let bytes = self.unsent.len() as u64 + self.feed.as_ref().map_or(0, Feed::waiting_bytes);
        if bytes == 0 {
            self.unsent.over_soft_limit_since_ms = None;
            return false;
        }
        let worker = &mut shared.executor.worker;
        worker.refresh();
        let limit = self.output_limit(worker);
        let now_ms = worker.now_ms;
        let over_soft = limit.soft_bytes > 0 && bytes > limit.soft_bytes;
        let since_ms = match (over_soft, self.unsent.over_soft_limit_since_ms) {
            (false, _) => None,
            (true, since) => Some(since.unwrap_or(now_ms)),
        };
        self.unsent.over_soft_limit_since_ms = since_ms;
        let soft_too_long =
            since_ms.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) > limit.soft_seconds * 1000);
        let over_hard = limit.hard_bytes > 0 && bytes > limit.hard_bytes;
        // One that has not authenticated gets short errors only: what it leaves unread is abuse.
        let unasked = self.session.must_log_in() && bytes > UNAUTHENTICATED_UNSENT_BYTES_MAX;
        let over = over_hard || soft_too_long || unasked;
        if over {
            self.note_over_limit(&shared.executor.worker);
        }
        over
    }

    /// Whether unsent replies and these exceed the hard limit: then nothing of them is sent, and the connection ends. All
    /// that one read asked for counts, though the socket might take some of it.
    fn ends_over_limit(&self, output: &mut Vec<u8>, worker: &Worker) -> bool {
        let hard_bytes = self.output_limit(worker).hard_bytes;
        let over = hard_bytes > 0 && (self.unsent.len() + output.len()) as u64 > hard_bytes;
        if over {
            self.note_over_limit(worker);
            self.handle.set_flag(flag::CLOSE_ASAP, true);
            output.clear();
            output.shrink_to(super::worker::READ_BUFFER_BYTES);
        }
        over
    }

    /// What the client may pile up unsent, by its class.
    fn output_limit(&self, worker: &Worker) -> OutputLimit {
        let limits = &worker.config().client_output_buffer_limit;
        if self.feed.is_some() {
            Feed::limit(limits.replica, worker.config())
        } else if self.session.monitor {
            limits.replica
        } else if self.session.subscriptions().is_some() {
            limits.pubsub
        } else {
            limits.normal
        }
    }

    fn note_over_limit(&self, worker: &Worker) {
        tracing::warn!(
            "Client id={} addr={} closed for overcoming of output buffer limits.",
            self.handle.id,
            self.handle.peer.address()
        );
        worker.engine.stats.output_buffer_limit_disconnections.add(1);
    }

    fn check_query_buffer(&mut self, shared: &Shared) {
        let worker = &shared.executor.worker;
        if self.input.len() as u64 > worker.config().client_query_buffer_limit && self.session.relay.is_none() {
            tracing::warn!(
                "Closing client that reached max query buffer length: id={} addr={} qbuf={}",
                self.handle.id,
                self.handle.peer.address(),
                self.input.len()
            );
            worker.engine.stats.query_buffer_limit_disconnections.add(1);
            self.handle.set_flag(flag::CLOSE_ASAP, true);
        }
    }

    fn is_delayed(&mut self, cx: &mut Context<'_>, shared: &mut Shared) -> bool {
        let Some(delay) = &mut self.delayed else { return false };
        let worker = &mut shared.executor.worker;
        worker.refresh();
        let over = match delay {
            Delay::Throttle(timer) => timer.as_mut().poll(cx).is_ready(),
            Delay::Pause(timer) => {
                timer.as_mut().poll(cx).is_ready() || worker.engine.pause.now(worker.now_ms).is_none()
            }
            Delay::Departure(generation) => !worker.engine.departures.is_generation(*generation),
        };
        if over {
            self.delayed = None;
            self.handle.set_flag(flag::BLOCKED, false);
            return false;
        }
        true
    }

    /// Keeps replies back until what their requests changed is durable, if that was asked for.
    #[inline]
    fn hold_if_changed(&mut self, worker: &Worker) {
        if worker.take_changed()
            && worker.config().appendfsync == AppendFsync::Always
            && let Some(sink) = worker.effects()
        {
            self.held_for = Some(sink.ticket());
        }
    }

    /// Whether the replies that were held may go; `false` when the log failed before they could.
    fn poll_durable(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<bool> {
        let (Some(ticket), Some(sink)) = (self.held_for, shared.executor.worker.effects()) else {
            self.held_for = None;
            return Poll::Ready(true);
        };
        if sink.is_durable(ticket) {
            self.held_for = None;
            return Poll::Ready(true);
        }
        if sink.has_failed() {
            return Poll::Ready(false);
        }
        sink.wake_when_durable(ticket, cx.waker());
        Poll::Pending
    }

    /// Whether the client still waits for what its last command asked for; writes the reply when it does not.
    fn is_waiting(&mut self, cx: &mut Context<'_>, shared: &mut Shared) -> bool {
        if let Some(Waiting::Stream(_)) = self.session.waiting {
            self.become_replica(cx, shared);
            return false;
        }
        let Some(waiting) = &self.session.waiting else { return false };
        shared.executor.worker.refresh();
        let worker = &shared.executor.worker;
        let mut text = Vec::new();
        let mut reply = Reply::new(&mut text, self.session.protocol);
        let exhausted = self.handle.patience.exhausted();
        match *waiting {
            _ if exhausted == Some(true) => {
                tell_unblocked(worker, self.handle.last_command.load(Ordering::Relaxed), &mut reply);
            }
            Waiting::Departure { .. } => return true,
            // Answered above.
            Waiting::Stream(_) => return false,
            Waiting::Replicas { wanted, offset, until_ms } => {
                let replicas = &worker.engine.replicas;
                replicas.wait(&self.handle);
                let found = replicas.count_with(offset);
                let over = exhausted.is_some() || found >= wanted;
                if !over && until_ms.is_none_or(|until_ms| worker.now_ms < until_ms) {
                    wait_until(&mut self.wait_timer, cx, until_ms, worker.now_ms);
                    return true;
                }
                reply.integer(found as i64);
            }
            Waiting::ProcessEnd(ref failure) => {
                if !failure.load(Ordering::Acquire) {
                    return true;
                }
                reply.error(&ReplyError::of("ERR Errors trying to SHUTDOWN. Check logs."));
            }
            Waiting::Job(ref outcome) => match *outcome.lock() {
                None => return true,
                Some(true) => reply.ok(),
                Some(false) => reply.error(&ReplyError::of("ERR")),
            },
            Waiting::Durable { ticket, locally, replicas, offset, until_ms } => {
                worker.engine.replicas.wait(&self.handle);
                let found = worker.engine.replicas.count_durable(offset);
                let durable = worker.effects().is_some_and(|sink| sink.is_durable(ticket));
                let over = exhausted.is_some() || until_ms.is_some_and(|until_ms| until_ms <= worker.now_ms);
                if !over && (locally && !durable || found < replicas) {
                    if let Some(sink) = worker.effects().filter(|_| locally && !durable) {
                        sink.wake_when_durable(ticket, cx.waker());
                    }
                    wait_until(&mut self.wait_timer, cx, until_ms, worker.now_ms);
                    return true;
                }
                reply.array(2);
                reply.integer(i64::from(durable));
                reply.integer(found as i64);
            }
            Waiting::Keys(ref waiter) => {
                let Some(end) = waiter.poll(worker.now_ms, &worker.engine.keyspace) else {
                    wait_until(&mut self.wait_timer, cx, waiter.wait.until_ms, worker.now_ms);
                    return true;
                };
                match end {
                    _ if waiter.wait.silent => {}
                    WaitEnd::TimedOut => reply.null_array(),
                    WaitEnd::Unblocked => tell_unblocked(worker, waiter.wait.command, &mut reply),
                    WaitEnd::Dismissed => {
                        reply.error(&ReplyError::of(
                            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
                        ));
                        self.session.fate = Fate::CloseAfterReply;
                    }
                }
            }
        }
        if self.session.reply_mode == ReplyMode::Off {
            text.clear();
        }
        self.end_wait(&text);
        // It goes out with the next round.
        cx.waker().wake_by_ref();
        false
    }

    /// Takes the answer to the command that the client waits in.
    fn take_answer(&mut self, shared: &Shared, answer: &[u8]) {
        let silent = match &self.session.waiting {
            Some(Waiting::Keys(waiter)) => waiter.wait.silent,
            Some(Waiting::Departure { silent }) => *silent,
            _ => return,
        };
        let worker = &shared.executor.worker;
        if worker.config().appendfsync == AppendFsync::Always
            && let Some(sink) = worker.effects()
        {
            // What answered it was appended before.
            self.held_for = Some(sink.ticket());
        }
        self.end_wait(if silent { &[] } else { answer });
    }

    /// Has the keys looked at again that the client waits for.
    fn look_again(&self, shared: &mut Shared) {
        let Some(Waiting::Keys(waiter)) = &self.session.waiting else { return };
        let db = waiter.wait.db;
        let keys = waiter.wait.keys.iter().map(|key| WaitedKey { db, key: key[..].into() }).collect();
        shared.executor.serve_waiters(keys);
    }

    /// The next request may run, once this reply is on its way.
    fn end_wait(&mut self, reply: &[u8]) {
        self.session.waiting = None;
        self.handle.patience.end();
        self.wait_timer = None;
        self.handle.set_flag(flag::BLOCKED, false);
        self.unsent.push(reply);
    }

    /// Reads on while the client waits for keys, so that its end is noticed. What it sends is kept.
    fn read_ahead(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<End> {
        if !matches!(self.session.waiting, Some(Waiting::Keys(_))) {
            return Poll::Pending;
        }
        loop {
            self.input.reserve(READ_AHEAD_BYTES);
            match ready!(self.stream.poll_read_behind(cx, &mut self.input)) {
                Ok(count) if count > 0 => self.count_input(shared, count),
                _ => return Poll::Ready(End::Closed),
            }
            self.check_query_buffer(shared);
            if self.handle.has_flag(flag::CLOSE_ASAP) {
                return Poll::Ready(End::Closed);
            }
        }
    }

    /// Stores what CLIENT LIST shows.
    fn publish(&self, shared: &Shared) {
        let handle = &self.handle;
        handle.last_active_ms.store(shared.executor.worker.now_ms, Ordering::Relaxed);
        let is_large = self.needed.saturating_sub(self.argument_at) >= LARGE_ARGUMENT_BYTES;
        let waiting = self.input.len().saturating_sub(if is_large { self.argument_at } else { 0 });
        handle.query_buffer_bytes.store(waiting, Ordering::Relaxed);
        handle.query_buffer_free_bytes.store(self.input.capacity() - self.input.len(), Ordering::Relaxed);
        self.publish_output(shared);
    }

    /// The same of the output.
    fn publish_output(&self, shared: &Shared) {
        let (unsent, handle) = (&self.unsent, &self.handle);
        handle.output_bytes.store(unsent.len(), Ordering::Relaxed);
        handle.output_free_bytes.store(unsent.free_bytes(), Ordering::Relaxed);
        self.limit_memory(shared);
    }

    /// Counts the memory of the buffers, and closes clients where all of them take too much.
    fn limit_memory(&self, shared: &Shared) {
        let worker = &shared.executor.worker;
        let clients = &worker.engine.clients;
        clients.count_memory(&self.handle);
        clients.keep_within(worker.config(), &worker.engine.stats);
    }
}

/// A connection as its task holds it. The worker may look at it between polls.
pub struct Conversation(pub Rc<RefCell<Connection>>);

impl Future for Conversation {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut connection = self.0.borrow_mut();
        let shared = connection.shared.clone();
        let end = connection.advance(cx, &mut shared.borrow_mut());
        end.map(|End::Closed| ())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let engine = self.shared.borrow().executor.worker.engine.clone();
        if let Some(feed) = self.feed.take() {
            // Ahead of the entry in the roll, by which it is known to be a replica's.
            self.unsent = Unsent::default();
            feed.end(&engine);
        }
        if let Some(Waiting::Keys(waiter)) = &self.session.waiting {
            waiter.forget(&engine.keyspace);
        }
        if self.session.relay.is_some() {
            engine.lose_link(&self.handle);
        }
        self.session.unwatch(|id, work| work(&mut engine.keyspace.lock(id)));
        self.session.stop_listening(&engine);
    }
}

/// Answers a command that CLIENT UNBLOCK ended with an error.
fn tell_unblocked(worker: &Worker, command: u16, reply: &mut Reply<'_>) {
    let error = ReplyError::of("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    worker.engine.count_error(error.code());
    worker.stats.commands[usize::from(command)].failed_calls.add(1);
    reply.error(&error);
}

/// Has the task polled again once the worker has looked for what came on other connections. A plain wake would have it
/// polled dozens of times before that.
fn end_turn(cx: &mut Context<'_>) {
    let ended = std::pin::pin!(tokio::task::yield_now()).poll(cx);
    debug_assert!(ended.is_pending());
}

/// Has the task polled again at this Unix time in milliseconds, if one is given.
fn wait_until(timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>, until_ms: Option<u64>, now_ms: u64) {
    let Some(until_ms) = until_ms else { return };
    let left = Duration::from_millis(until_ms.saturating_sub(now_ms));
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
    if timer.as_mut().poll(cx).is_ready() {
        // The two clocks may differ by a moment.
        timer.as_mut().reset(tokio::time::Instant::now() + left.max(TIMER_STEP));
        cx.waker().wake_by_ref();
    }
}

/// What follows the requests of a parsed batch.
enum Then {
    /// The batch is full, or the bytes are used up.
    More,
    /// An inline request that ends `end` bytes on.
    Inline {
        end: usize,
        arguments: Vec<Vec<u8>>,
    },
    /// The rest is the front of a request that needs so many bytes in all.
    Wait {
        needed: usize,
        argument_at: usize,
    },
    Refuse(ProtocolError),
}

struct ParsedBatch {
    /// Where each request ends, in bytes.
    request_ends: smallvec::SmallVec<[usize; BATCH_REQUESTS_MAX]>,
    then: Then,
}

/// What bounds a client's requests.
fn parse_limits(session: &Session, executor: &Executor) -> Limits {
    // A primary's limit may be another one.
    let own_max = executor.worker.config().proto_max_bulk_len as i64;
    let bulk_bytes_max = if session.relay.is_some() { i64::MAX } else { own_max };
    Limits { bulk_bytes_max, authenticated: !session.must_log_in() }
}

/// Parses as many requests as make a batch.
#[inline]
fn parse_batch<'a>(
    data: &'a [u8],
    session: &Session,
    executor: &Executor,
    mut partial: Option<&mut Partial>,
    arguments: &mut Vec<&'a [u8]>,
    ends: &mut Vec<usize>,
) -> ParsedBatch {
    let limits = parse_limits(session, executor);
    // What AUTH changes holds for the very next request.
    let requests_max = if !session.must_log_in() { BATCH_REQUESTS_MAX } else { 1 };
    let mut request_ends = smallvec::SmallVec::new();
    let mut at = 0;
    while ends.len() < requests_max && at < data.len() {
        let outcome = match partial.take() {
            Some(partial) => parser::parse_kept(data, limits, partial, arguments),
            _ => parser::parse(&data[at..], limits, arguments),
        };
        let then = match outcome {
            Parsed::Complete { consumed } => {
                at += consumed;
                ends.push(arguments.len());
                request_ends.push(at);
                continue;
            }
            Parsed::Inline { consumed, arguments: inline } if ends.is_empty() => {
                Then::Inline { end: consumed, arguments: inline }
            }
            // It is parsed again once the requests before it have run.
            Parsed::Inline { .. } => Then::More,
            Parsed::Incomplete { needed, argument_at } => Then::Wait { needed, argument_at },
            Parsed::Malformed(error) => Then::Refuse(error),
        };
        arguments.truncate(ends.last().copied().unwrap_or(0));
        return ParsedBatch { request_ends, then };
    }
    ParsedBatch { request_ends, then: Then::More }
}

/// An empty vector with the allocation of `arguments`, for borrows of another lifetime.
fn recycle(mut arguments: Vec<&[u8]>) -> Vec<&'static [u8]> {
    arguments.clear();
    arguments.shrink_to(KEPT_ARGUMENTS_MAX);
    arguments.into_iter().map(|_| -> &'static [u8] { &[] }).collect()
}
