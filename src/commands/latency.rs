//! Handlers of LATENCY: slow events by kind, and how long commands take.

use std::sync::Arc;

use super::command::write_help;
use super::context::{Cx, Outcome};
use super::registry::{self, Command};
use crate::config::Config;
use crate::metrics::WorkerStats;
use crate::metrics::histogram::Summary;
use crate::metrics::latency::Series;
use crate::resp::ReplyError;

const GRAPH_COLUMNS: usize = 80;
const GRAPH_ROWS: usize = 4;
/// The marks of one row of a graph, lowest first.
const GRAPH_MARKS: [char; 3] = ['_', 'o', '#'];

/// LATENCY LATEST
pub fn latest(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let events = cx.engine().latency.all();
    cx.reply.array(events.len());
    for (event, series) in &events {
        let (seconds, latency_ms) = series.samples.back().map_or((0, 0), |last| (last.unix_seconds, last.latency_ms));
        cx.reply.array(4);
        cx.reply.bulk_text(event);
        for number in [seconds, latency_ms, series.max_ms] {
            cx.reply.integer(number as i64);
        }
    }
    Ok(())
}

/// LATENCY HISTORY event
pub fn history(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let samples = cx.engine().latency.series(args[2]).unwrap_or_default().samples;
    cx.reply.array(samples.len());
    for sample in &samples {
        cx.reply.array(2);
        cx.reply.integer(sample.unix_seconds as i64);
        cx.reply.integer(sample.latency_ms as i64);
    }
    Ok(())
}

/// LATENCY RESET [event ...]
pub fn reset(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let latency = &cx.engine().latency;
    let forgotten: usize = match &args[2..] {
        [] => latency.reset(None),
        events => events.iter().map(|event| latency.reset(Some(event))).sum(),
    };
    cx.reply.integer(forgotten as i64);
    Ok(())
}

// ---- histograms --------------------------------------------------------------------------------------------------

/// LATENCY HISTOGRAM [command ...]
pub fn histogram(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let commands: Vec<&'static Command> = match &args[2..] {
        [] => registry::all().iter().collect(),
        names => {
            let found = names.iter().filter_map(|name| cx.lookup.by_full_name(name));
            found.flat_map(|command| std::iter::once(command).chain(command.subcommands())).collect()
        }
    };
    let measured: Vec<(&Command, Summary)> = commands
        .into_iter()
        .map(|command| (command, summary(&cx.engine().workers, command)))
        .filter(|(_, summary)| summary.total() > 0)
        .collect();
    cx.reply.map(measured.len());
    for (command, summary) in &measured {
        cx.reply.bulk_text(&command.full_name);
        cx.reply.map(2);
        cx.reply.bulk_text("calls");
        cx.reply.integer(summary.total() as i64);
        cx.reply.bulk_text("histogram_usec");
        let powers = summary.cumulative_by_power_us();
        cx.reply.map(powers.len());
        for (power_us, count) in powers {
            // What the usual histogram, with two digits of precision, gives as the end of this power of 1024 ns.
            cx.reply.integer(((power_us * 1032 - 1) / 1000) as i64);
            cx.reply.integer(count as i64);
        }
    }
    Ok(())
}

/// How long a command took on all workers.
pub fn summary(workers: &[Arc<WorkerStats>], command: &Command) -> Summary {
    Summary::of(workers.iter().filter_map(|worker| worker.commands[command.id.index()].histogram()))
}

// ---- for people --------------------------------------------------------------------------------------------------

/// LATENCY GRAPH event
pub fn graph(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let event = String::from_utf8_lossy(args[2]);
    let Some(series) = cx.engine().latency.series(args[2]) else {
        return Err(ReplyError::quoting("ERR No samples available for event '", args[2], "'"));
    };
    let drawing = draw(&event, &series, cx.space.now_ms / 1000);
    cx.reply.verbatim("txt", &drawing);
    Ok(())
}

/// Columns of samples, oldest on the left, each above how long ago it was, written downwards.
fn draw(event: &str, series: &Series, now_seconds: u64) -> String {
    let latencies = || series.samples.iter().map(|sample| sample.latency_ms);
    let (low, high) = (latencies().min().unwrap_or(0), latencies().max().unwrap_or(0));
    let mut drawing = format!("{event} - high {high} ms, low {low} ms (all time high {} ms)\n", series.max_ms);
    drawing.push_str(&"-".repeat(GRAPH_COLUMNS));
    drawing.push('\n');
    let steps = GRAPH_ROWS * GRAPH_MARKS.len();
    let step_of = |latency_ms: u64| ((latency_ms - low) as usize * steps / (high - low).max(1) as usize).min(steps - 1);
    let columns: Vec<(usize, String)> = series
        .samples
        .iter()
        .map(|sample| (step_of(sample.latency_ms), age(now_seconds.saturating_sub(sample.unix_seconds))))
        .collect();
    for (part, columns) in columns.chunks(GRAPH_COLUMNS).enumerate() {
        if part > 0 {
            drawing.push('\n');
        }
        for row in (0..GRAPH_ROWS).rev() {
            let floor = row * GRAPH_MARKS.len();
            drawing.extend(columns.iter().map(|(step, _)| match step.checked_sub(floor) {
                None => ' ',
                Some(above) => *GRAPH_MARKS.get(above).unwrap_or(&'|'),
            }));
            drawing.push('\n');
        }
        drawing.push('\n');
        let longest = columns.iter().map(|(_, label)| label.len()).max().unwrap_or(0);
        for at in 0..longest {
            drawing.extend(columns.iter().map(|(_, label)| label.chars().nth(at).unwrap_or(' ')));
            drawing.push('\n');
        }
    }
    drawing
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// LATENCY DOCTOR
pub fn doctor(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let report = diagnose(&cx.engine().latency.all(), cx.config(), cx.space.now_ms / 1000);
    cx.reply.verbatim("txt", &report);
    Ok(())
}

fn diagnose(events: &[(&'static str, Series)], config: &Config, now_seconds: u64) -> String {
    if events.is_empty() {
        return if config.latency_monitor_threshold == 0 {
            "Latency is not being watched. Turn that on with CONFIG SET latency-monitor-threshold <milliseconds>, wait \
             for a slow moment, and ask again.\n"
                .to_owned()
        } else {
            "Nothing slow has happened since the server started, or since LATENCY RESET.\n".to_owned()
        };
    }
    let mut report = "Slow moments by kind of event:\n\n".to_owned();
    let mut advice: Vec<String> = Vec::new();
    for (number, (event, series)) in events.iter().enumerate() {
        let count = series.samples.len().max(1) as u64;
        let average_ms = series.samples.iter().map(|sample| sample.latency_ms).sum::<u64>() / count;
        let deviation_ms =
            series.samples.iter().map(|sample| sample.latency_ms.abs_diff(average_ms)).sum::<u64>() / count;
        let oldest_seconds = series.samples.front().map_or(now_seconds, |sample| sample.unix_seconds);
        let period_seconds = now_seconds.saturating_sub(oldest_seconds).max(1) as f64 / count as f64;
        report.push_str(&format!(
            "{}. {event}: {count} latency spikes (average {average_ms}ms, mean deviation {deviation_ms}ms, period \
             {period_seconds:.2} sec). Worst all time event {}ms.\n",
            number + 1,
            series.max_ms
        ));
        advice.extend(advice_for(event, config));
    }
    if advice.is_empty() {
        report.push_str("\nThere is no simple advice for these.\n");
        return report;
    }
    report.push_str("\nWhat may help:\n\n");
    advice.iter().for_each(|line| report.push_str(&format!("- {line}\n")));
    report
}

fn advice_for(event: &str, config: &Config) -> Vec<String> {
    let threshold_us = config.latency_monitor_threshold * 1000;
    match event {
        "command" => {
            let mut advice = Vec::new();
            if config.slowlog_log_slower_than < 0 || config.slowlog_log_slower_than > threshold_us {
                advice.push(format!(
                    "The slow log does not catch commands this short: CONFIG SET slowlog-log-slower-than {threshold_us}"
                ));
            }
            advice.push("SLOWLOG GET tells which commands were slow; look for large values and many keys.".into());
            advice
        }
        "fast-command" => vec![
            "Commands that do little work took long, so the process did not get the processor: lower the machine's load, \
             look for noisy neighbours, pin the workers with server_cpulist."
                .into(),
        ],
        "expire-cycle" => vec![
            "Many keys expire at the same moment: spread their times to live, or lower active-expire-effort.".into(),
        ],
        _ => Vec::new(),
    }
}

/// LATENCY HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "LATENCY",
        &[
            "DOCTOR",
            "    Explain the slow moments that were recorded.",
            "GRAPH <event>",
            "    Draw the slow moments of an event.",
            "HISTOGRAM [<command> ...]",
            "    Tell how long these commands take, or all that ran: cumulative counts by powers of two.",
            "HISTORY <event>",
            "    List the slow moments of an event.",
            "LATEST",
            "    Tell each event's latest slow moment and its worst one.",
            "RESET [<event> ...]",
            "    Forget the slow moments of these events, or of all.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::TestServer;
    use crate::metrics::latency::Sample;

    #[test]
    fn events() {
        let mut server = TestServer::with_config(|config| config.latency_monitor_threshold = 5);
        server.engine.latency.record("command", 20, 100);
        server.engine.latency.record("command", 10, 101);
        server.engine.latency.record("expire-cycle", 7, 101);
        server.expect(&[
            (
                "LATENCY LATEST",
                "*2\r\n*4\r\n$7\r\ncommand\r\n:101\r\n:10\r\n:20\r\n*4\r\n$12\r\nexpire-cycle\r\n:101\r\n:7\r\n:7\r\n",
            ),
            ("LATENCY HISTORY command", "*2\r\n*2\r\n:100\r\n:20\r\n*2\r\n:101\r\n:10\r\n"),
            ("LATENCY HISTORY none", "*0\r\n"),
            ("LATENCY GRAPH none", "-ERR No samples available for event 'none'\r\n"),
        ]);
        assert!(
            server.run("LATENCY GRAPH command").contains("command - high 20 ms, low 10 ms (all time high 20 ms)\n----")
        );
        let report = server.run("LATENCY DOCTOR");
        assert!(report.contains("1. command: 2 latency spikes (average 15ms, mean deviation 5ms"), "{report}");
        assert!(report.contains("slowlog-log-slower-than 5000") && report.contains("active-expire-effort"), "{report}");
        server.expect(&[
            ("LATENCY RESET none command", ":1\r\n"),
            ("LATENCY RESET", ":1\r\n"),
            ("LATENCY LATEST", "*0\r\n"),
        ]);
        assert!(server.run("LATENCY DOCTOR").contains("Nothing slow"));
        server.run("CONFIG SET latency-monitor-threshold 0");
        assert!(server.run("LATENCY DOCTOR").contains("not being watched"));
        assert!(server.run("LATENCY HELP").starts_with("*15\r\n+LATENCY "));
    }

    #[test]
    fn histograms() {
        let mut server = TestServer::new();
        server.run("SET k v");
        server.run("CONFIG GET hz");
        let reply = server.run("LATENCY HISTOGRAM set nosuch config");
        assert!(
            reply.starts_with("*4\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:"),
            "{reply}"
        );
        assert!(reply.contains("config|get\r\n*4\r\n$5\r\ncalls\r\n:1\r\n"), "{reply}");
        server.run("HELLO 3");
        assert!(server.run("LATENCY HISTOGRAM").contains("$3\r\nset\r\n%2\r\n"));
        assert_eq!(server.run("LATENCY HISTOGRAM get"), "%0\r\n");
    }

    #[test]
    fn drawing() {
        let samples = [(1000, 10), (1030, 50), (1060, 100)];
        let samples = samples.map(|(unix_seconds, latency_ms)| Sample { unix_seconds, latency_ms });
        let series = Series { samples: samples.into(), max_ms: 200 };
        let expected = format!(
            "e - high 100 ms, low 10 ms (all time high 200 ms)\n{}\n  #\n  |\n #|\n_||\n\n130\nm0s\n s \n",
            "-".repeat(GRAPH_COLUMNS)
        );
        assert_eq!(draw("e", &series, 1060), expected);
    }
}
