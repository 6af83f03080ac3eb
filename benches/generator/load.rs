//! `cairn-load`: the load generator of `make bench`. One thread, N connections, a closed loop of batches.
//!
//! Every connection sends a batch of `--pipeline` commands, reads all its replies, notes the batch's latency and goes
//! on, until the operations or the seconds are used up. Nothing is shared between threads: the runtime is a local
//! one, tasks share the run's state through an `Rc`, and all reads go through one buffer.
//!
//! It speaks with the harness over its standard streams so that only the measured part is counted:
//! connect, warm up, print `READY`, wait for a line, run, print one line of JSON, wait for the end of input. While it
//! runs, each further line ends a phase, and the last phase's end is the run's: what happens to the server meanwhile is
//! so told apart from what came before.

mod histogram;
mod scanner;
mod series;
mod workload;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, BufRead, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use histogram::Histogram;
use scanner::Scanner;
use series::Series;
use workload::{Order, ValueKind, Workload, value_of};

const READ_BUFFER_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderArgument {
    Random,
    Sequential,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ValueArgument {
    Text,
    Digits,
}

/// Closed-loop load for a RESP server on this machine.
#[derive(Debug, Parser)]
#[command(name = "cairn-load")]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    #[arg(long)]
    port: u16,
    #[arg(long, default_value_t = 50)]
    clients: usize,
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Commands and weights, by the names of `workload::FORMS`; for example get:4,set:1
    #[arg(long, default_value = "get")]
    mix: String,
    /// The key space; each key has 16 bytes
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// The first four bytes of every key, for example {s}: for one slot
    #[arg(long, default_value = "key:")]
    prefix: String,
    #[arg(long, value_enum, default_value = "random")]
    order: OrderArgument,
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
    #[arg(long, value_enum, default_value = "text")]
    value_kind: ValueArgument,
    /// Stop after so many operations (0: no such bound)
    #[arg(long, default_value_t = 0)]
    operations: u64,
    /// Stop after so many seconds
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Operations sent before READY, not measured
    #[arg(long, default_value_t = 0)]
    warmup_operations: u64,
    /// Connections that subscribe to the channel that `publish` publishes on, and read what comes
    #[arg(long, default_value_t = 0)]
    subscribers: usize,
    /// One more connection that measures PING and GET, one at a time
    #[arg(long)]
    probe: bool,
    /// How many phases the run has
    #[arg(long, default_value_t = 1)]
    phases: usize,
    /// Report the latencies of every so many milliseconds (0: do not)
    #[arg(long, default_value_t = 0)]
    series_ms: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One measured (or warm-up) stretch, shared by its connections.
struct Run {
    workload: Workload,
    pipeline: usize,
    /// Operations not yet handed out.
    remaining: Cell<u64>,
    /// Connections still sending; the probe stops with the last of them.
    active: Cell<usize>,
    deadline: Instant,
    sent: Cell<u64>,
    /// How many phases were told to end.
    ended: Arc<AtomicUsize>,
    /// One for each phase.
    histograms: RefCell<Vec<Histogram>>,
    /// Of all connections, the probe's too.
    series: Option<RefCell<Series>>,
    buffer: Rc<RefCell<Vec<u8>>>,
}

impl Run {
    /// The size of the next batch; 0 when the run is over.
    fn take(&self, most: usize, now: Instant) -> usize {
        if now >= self.deadline || self.is_over() {
            return 0;
        }
        let commands = self.remaining.get().min(most as u64);
        self.remaining.set(self.remaining.get() - commands);
        self.sent.set(self.sent.get() + commands);
        commands as usize
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed) >= self.histograms.borrow().len()
    }

    /// Notes a latency in its phase's histogram, and in the series.
    fn note(&self, histograms: &mut [Histogram], start: Instant, now: Instant) {
        let phase = self.ended.load(Ordering::Relaxed).min(histograms.len() - 1);
        let latency_ns = (now - start).as_nanos() as u64;
        histograms[phase].record(latency_ns);
        if let Some(series) = &self.series {
            series.borrow_mut().record(now, latency_ns);
        }
    }
}

struct Connection {
    stream: TcpStream,
    scanner: Scanner,
    request: Vec<u8>,
}

impl Connection {
    async fn open(host: &str, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, scanner: Scanner::new(), request: Vec::new() })
    }

    /// Sends the rendered request and reads `replies` replies.
    async fn exchange(&mut self, replies: usize, buffer: &RefCell<Vec<u8>>) -> io::Result<()> {
        self.stream.write_all(&self.request).await?;
        let mut seen = 0;
        while seen < replies {
            let stream = &mut self.stream;
            let scanner = &mut self.scanner;
            seen += poll_fn(|context| {
                let mut bytes = buffer.borrow_mut();
                let mut read = ReadBuf::new(&mut bytes);
                ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
                if read.filled().is_empty() {
                    return Poll::Ready(Err(io::Error::other("the server closed a connection")));
                }
                Poll::Ready(scanner.feed(read.filled()).map_err(io::Error::other))
            })
            .await?;
        }
        if seen > replies {
            return Err(io::Error::other("more replies than requests"));
        }
        Ok(())
    }

    async fn load(mut self, run: Rc<Run>) -> io::Result<Self> {
        let mut now = Instant::now();
        loop {
            let commands = run.take(run.pipeline, now);
            if commands == 0 {
                run.active.set(run.active.get() - 1);
                return Ok(self);
            }
            self.request.clear();
            run.workload.append_batch(&mut self.request, commands);
            let start = Instant::now();
            self.exchange(commands, &run.buffer).await?;
            now = Instant::now();
            run.note(&mut run.histograms.borrow_mut(), start, now);
        }
    }

    /// PING and GET in turn until the loaders are done (or, without any, until the deadline).
    async fn probe(mut self, run: Rc<Run>, workload: Workload, alone: bool) -> io::Result<Probed> {
        let mut histograms = vec![Histogram::new(); run.histograms.borrow().len()];
        loop {
            self.request.clear();
            workload.append_batch(&mut self.request, 1);
            let start = Instant::now();
            self.exchange(1, &run.buffer).await?;
            let now = Instant::now();
            run.note(&mut histograms, start, now);
            let over = if alone { now >= run.deadline || run.is_over() } else { run.active.get() == 0 };
            if over {
                return Ok((self, histograms));
            }
        }
    }
}

fn main() {
    let arguments = Arguments::parse();
    if let Err(error) = drive(&arguments) {
        eprintln!("cairn-load: {error}");
        std::process::exit(1);
    }
}

fn drive(arguments: &Arguments) -> io::Result<()> {
    if arguments.phases == 0 || arguments.pipeline == 0 || (arguments.clients == 0 && !arguments.probe) {
        return Err(io::Error::other("nothing to send: no phase, no pipeline or no clients"));
    }
    let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
    let buffer = Rc::new(RefCell::new(vec![0; READ_BUFFER_BYTES]));
    let mut connections = Vec::new();
    let (mut probe, mut subscribers) = (None, Vec::new());
    runtime.block_on(async {
        for _ in 0..arguments.clients {
            connections.push(Connection::open(&arguments.host, arguments.port).await?);
        }
        for _ in 0..arguments.subscribers {
            let mut subscriber = Connection::open(&arguments.host, arguments.port).await?;
            subscriber.request.extend_from_slice(b"SUBSCRIBE channel\r\n");
            subscriber.exchange(1, &buffer).await?;
            subscribers.push(subscriber.stream);
        }
        if arguments.probe {
            probe = Some(Connection::open(&arguments.host, arguments.port).await?);
        }
        io::Result::Ok(())
    })?;
    if !subscribers.is_empty() {
        std::thread::spawn(move || drain(subscribers));
    }

    if arguments.warmup_operations > 0 {
        let run = new_run(arguments, arguments.warmup_operations, arguments.seed ^ 0x5eed, &buffer, Arc::default())?;
        (connections, _) = play(&runtime, connections, None, arguments, Rc::new(run))?;
    }
    println!("READY");
    io::stdout().flush()?;
    if io::stdin().lock().read_line(&mut String::new())? == 0 {
        return Ok(());
    }

    let operations = match arguments.operations {
        0 => u64::MAX,
        bound => bound,
    };
    let (ended, listener) = listen();
    let run = Rc::new(new_run(arguments, operations, arguments.seed, &buffer, ended)?);
    let start = Instant::now();
    let (connections, probed) = play(&runtime, connections, probe, arguments, run.clone())?;
    let elapsed = start.elapsed();
    println!("{}", summary(&run, elapsed, &connections, probed.as_ref()));
    io::stdout().flush()?;
    // The harness reads the server's counters before the connections go away.
    listener.join().map_err(|_| io::Error::other("the listener panicked"))?
}

/// Reads what subscribers are sent, and drops it. On a thread of its own: it must not slow those who publish.
fn drain(subscribers: Vec<TcpStream>) {
    let streams = subscribers.into_iter().map(TcpStream::into_std);
    let Ok(streams) = streams.collect::<io::Result<Vec<_>>>() else { return };
    let Ok(runtime) = Builder::new_current_thread().enable_io().build_local(LocalOptions::default()) else { return };
    runtime.block_on(async {
        let readers: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                tokio::task::spawn_local(async move {
                    let mut stream = TcpStream::from_std(stream)?;
                    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
                })
            })
            .collect();
        for reader in readers {
            // The server ends the connections when it ends.
            let _ = reader.await;
        }
    });
}

/// Counts lines on standard input until its end.
fn listen() -> (Arc<AtomicUsize>, JoinHandle<io::Result<()>>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let listener = std::thread::spawn(move || {
        while io::stdin().lock().read_line(&mut String::new())? > 0 {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    (ended, listener)
}

fn new_run(
    arguments: &Arguments,
    operations: u64,
    seed: u64,
    buffer: &Rc<RefCell<Vec<u8>>>,
    ended: Arc<AtomicUsize>,
) -> io::Result<Run> {
    let now = Instant::now();
    let series = (arguments.series_ms > 0).then(|| Series::new(now, Duration::from_millis(arguments.series_ms)));
    Ok(Run {
        workload: new_workload(arguments, &arguments.mix, seed)?,
        pipeline: arguments.pipeline,
        remaining: Cell::new(operations),
        active: Cell::new(arguments.clients),
        deadline: now + Duration::from_secs_f64(arguments.seconds),
        sent: Cell::new(0),
        ended,
        histograms: RefCell::new(vec![Histogram::new(); arguments.phases]),
        series: series.map(RefCell::new),
        buffer: buffer.clone(),
    })
}

fn new_workload(arguments: &Arguments, mix: &str, seed: u64) -> io::Result<Workload> {
    let order = match arguments.order {
        OrderArgument::Random => Order::Random,
        OrderArgument::Sequential => Order::Sequential,
    };
    let kind = match arguments.value_kind {
        ValueArgument::Text => ValueKind::Text,
        ValueArgument::Digits => ValueKind::Digits,
    };
    let value = value_of(arguments.value_bytes, kind);
    Workload::new(mix, &arguments.prefix, arguments.keys, order, &value, seed).map_err(io::Error::other)
}

/// The probe's connection, and its latencies by phase.
type Probed = (Connection, Vec<Histogram>);
type Played = (Vec<Connection>, Option<Probed>);

fn play(
    runtime: &LocalRuntime,
    connections: Vec<Connection>,
    probe: Option<Connection>,
    arguments: &Arguments,
    run: Rc<Run>,
) -> io::Result<Played> {
    let alone = connections.is_empty();
    let probe_workload = new_workload(arguments, "ping,get", arguments.seed ^ 0x9106)?;
    runtime.block_on(async {
        let prober =
            probe.map(|connection| tokio::task::spawn_local(connection.probe(run.clone(), probe_workload, alone)));
        let loaders: Vec<_> =
            connections.into_iter().map(|connection| tokio::task::spawn_local(connection.load(run.clone()))).collect();
        let mut finished = Vec::with_capacity(loaders.len());
        for loader in loaders {
            finished.push(loader.await.map_err(io::Error::other)??);
        }
        let probed = match prober {
            Some(task) => Some(task.await.map_err(io::Error::other)??),
            None => None,
        };
        Ok((finished, probed))
    })
}

fn summary(run: &Run, elapsed: Duration, connections: &[Connection], probed: Option<&Probed>) -> String {
    let scanners = || {
        let probe = probed.iter().map(|(connection, _)| connection);
        connections.iter().chain(probe).map(|connection| &connection.scanner)
    };
    // Misses of the loaders only: the probe may ask for a key that is not loaded yet.
    let misses: u64 = connections.iter().map(|connection| connection.scanner.misses).sum();
    let errors: u64 = scanners().map(|scanner| scanner.errors).sum();
    let first_error = scanners().find_map(|scanner| scanner.first_error.clone()).unwrap_or_default();
    let histograms = run.histograms.borrow();
    let probes = probed.map_or(&[][..], |(_, histograms)| histograms);
    let optional = |histogram: Option<Histogram>| histogram.map_or("null".to_owned(), |one| one.json());
    let phases: Vec<String> = histograms
        .iter()
        .enumerate()
        .map(|(phase, loaders)| {
            format!("{{\"loaders\":{},\"probe\":{}}}", loaders.json(), optional(probes.get(phase).cloned()))
        })
        .collect();
    let seconds = elapsed.as_secs_f64();
    format!(
        "{{\"operations\":{},\"seconds\":{:.6},\"throughput\":{:.1},\"misses\":{},\"errors\":{},\"first_error\":\"{}\",\"latency_us\":{},\"probe_us\":{},\"phases\":[{}],\"series\":{}}}",
        run.sent.get(),
        seconds,
        run.sent.get() as f64 / seconds,
        misses,
        errors,
        first_error.escape_default().to_string().replace("\\'", "'"),
        Histogram::sum(&histograms).json(),
        optional(probed.map(|_| Histogram::sum(probes))),
        phases.join(","),
        run.series.as_ref().map_or("null".to_owned(), |series| series.borrow_mut().json()),
    )
}
