//! `cairn-load`: the load generator of `make bench`. One thread, N connections, a closed loop of batches.
//!
//! Every connection sends a batch of `--pipeline` commands, reads all its replies, notes the batch's latency and goes
//! on, until the operations or the seconds are used up. Nothing is shared between threads: the runtime is a local
//! one, tasks share the run's state through an `Rc`, and all reads go through one buffer.
//!
//! It speaks with the harness over its standard streams so that only the measured part is counted:
//! connect, warm up, print `READY`, wait for a line, run, print one line of JSON, wait for the end of input.

mod histogram;
mod scanner;
mod workload;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, BufRead, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use histogram::Histogram;
use scanner::Scanner;
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
    /// Commands and weights: get, set, incr, mget10, ping; for example get:4,set:1
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
    /// One more connection that measures PING and GET, one at a time
    #[arg(long)]
    probe: bool,
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
    histogram: RefCell<Histogram>,
    buffer: Rc<RefCell<Vec<u8>>>,
}

impl Run {
    /// The size of the next batch; 0 when the run is over.
    fn take(&self, most: usize, now: Instant) -> usize {
        if now >= self.deadline {
            return 0;
        }
        let commands = self.remaining.get().min(most as u64);
        self.remaining.set(self.remaining.get() - commands);
        self.sent.set(self.sent.get() + commands);
        commands as usize
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
            run.histogram.borrow_mut().record((now - start).as_nanos() as u64);
        }
    }

    /// PING and GET in turn until the loaders are done (or, without any, until the deadline).
    async fn probe(mut self, run: Rc<Run>, workload: Workload, alone: bool) -> io::Result<(Self, Histogram)> {
        let mut histogram = Histogram::new();
        loop {
            self.request.clear();
            workload.append_batch(&mut self.request, 1);
            let start = Instant::now();
            self.exchange(1, &run.buffer).await?;
            let now = Instant::now();
            histogram.record((now - start).as_nanos() as u64);
            let over = if alone { now >= run.deadline } else { run.active.get() == 0 };
            if over {
                return Ok((self, histogram));
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
    if arguments.pipeline == 0 || (arguments.clients == 0 && !arguments.probe) {
        return Err(io::Error::other("nothing to send: no pipeline or no clients"));
    }
    let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
    let buffer = Rc::new(RefCell::new(vec![0; READ_BUFFER_BYTES]));
    let mut connections = Vec::new();
    let mut probe = None;
    runtime.block_on(async {
        for _ in 0..arguments.clients {
            connections.push(Connection::open(&arguments.host, arguments.port).await?);
        }
        if arguments.probe {
            probe = Some(Connection::open(&arguments.host, arguments.port).await?);
        }
        io::Result::Ok(())
    })?;

    if arguments.warmup_operations > 0 {
        let run = new_run(arguments, arguments.warmup_operations, arguments.seed ^ 0x5eed, &buffer)?;
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
    let run = Rc::new(new_run(arguments, operations, arguments.seed, &buffer)?);
    let start = Instant::now();
    let (connections, probed) = play(&runtime, connections, probe, arguments, run.clone())?;
    let elapsed = start.elapsed();
    println!("{}", summary(&run, elapsed, &connections, probed.as_ref()));
    io::stdout().flush()?;
    // The harness reads the server's counters before the connections go away.
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn new_run(arguments: &Arguments, operations: u64, seed: u64, buffer: &Rc<RefCell<Vec<u8>>>) -> io::Result<Run> {
    Ok(Run {
        workload: new_workload(arguments, &arguments.mix, seed)?,
        pipeline: arguments.pipeline,
        remaining: Cell::new(operations),
        active: Cell::new(arguments.clients),
        deadline: Instant::now() + Duration::from_secs_f64(arguments.seconds),
        sent: Cell::new(0),
        histogram: RefCell::new(Histogram::new()),
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

type Played = (Vec<Connection>, Option<(Connection, Histogram)>);

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

fn summary(
    run: &Run,
    elapsed: Duration,
    connections: &[Connection],
    probed: Option<&(Connection, Histogram)>,
) -> String {
    let scanners = || {
        let probe = probed.iter().map(|(connection, _)| connection);
        connections.iter().chain(probe).map(|connection| &connection.scanner)
    };
    // Misses of the loaders only: the probe may ask for a key that is not loaded yet.
    let misses: u64 = connections.iter().map(|connection| connection.scanner.misses).sum();
    let errors: u64 = scanners().map(|scanner| scanner.errors).sum();
    let first_error = scanners().find_map(|scanner| scanner.first_error.clone()).unwrap_or_default();
    let probe = probed.map_or("null".to_owned(), |(_, histogram)| histogram.to_json());
    let seconds = elapsed.as_secs_f64();
    format!(
        "{{\"operations\":{},\"seconds\":{:.6},\"throughput\":{:.1},\"misses\":{},\"errors\":{},\"first_error\":\"{}\",\"latency_us\":{},\"probe_us\":{}}}",
        run.sent.get(),
        seconds,
        run.sent.get() as f64 / seconds,
        misses,
        errors,
        first_error.escape_default().to_string().replace("\\'", "'"),
        run.histogram.borrow().to_json(),
        probe,
    )
}
