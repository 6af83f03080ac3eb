//! A killed server loses nothing that it acknowledged, and nothing is there by half.
//!
//! Writers change a data set that goes on from kill to kill; the server is killed at random moments, while it serves,
//! saves, settles, compacts, shuts down or loads. The seed that is printed fixes what the writers send, not the moments.
//!
//! CAIRN_KILL_SEED replays a stream of changes, CAIRN_KILLS says how many kills there are.

mod model;
mod writer;

use std::time::Duration;

use self::writer::{WRITERS, Writer, now_ms};
use crate::support::{Client, DataDirectory, Random, Server, dataset, seed_from_environment};

const KILLS: usize = 100;
const DATABASES: usize = 1 + 2 * WRITERS;
const LONGEST_LIFE_MS: usize = 250;
/// Of a server that is killed before it has loaded.
const LONGEST_START_MS: usize = 60;

/// Asks for work in the background again and again until the connection ends.
fn disturb(client: &mut Client, random: &mut Random) {
    loop {
        let command = random.pick(&["BGSAVE", "BGREWRITEAOF"]);
        let Some(reply) = client.try_command(&[command]) else {
            return;
        };
        if reply.is_error() {
            let text = reply.error();
            let busy = text.contains("in progress") || text.contains("is active");
            assert!(busy, "{command} => {text}");
        }
        // Not a wait for anything: how long the server is left alone decides what the kill falls on.
        std::thread::sleep(Duration::from_millis(random.below(60) as u64));
    }
}

#[test]
fn kills_at_random_moments_lose_nothing() {
    let seed = seed_from_environment("CAIRN_KILL_SEED");
    let kills = std::env::var("CAIRN_KILLS").map_or(KILLS, |text| text.parse().expect("CAIRN_KILLS is a number"));
    println!("CAIRN_KILL_SEED={seed}");
    let mut random = Random::new(seed);
    let directory = DataDirectory::new();
    let mut writers: Vec<Writer> = (0..WRITERS).map(|number| Writer::new(number, random.next())).collect();
    let mut ended_ms = now_ms();
    let mut killed = 0;
    let mut rescued = 0;
    while killed < kills {
        let threads = random.pick(&["1", "2", "3"]);
        let policy = random.pick(&["everysec", "always", "no"]);
        let settle_bytes = random.pick(&["64kb", "1mb", "8mb"]);
        let arguments = ["--io-threads", threads, "--appendfsync", policy, "--log-settle-bytes", settle_bytes];
        while killed < kills && random.chance(15) {
            let mut server = Server::loading_on(&directory, &arguments);
            std::thread::sleep(Duration::from_millis(random.below(LONGEST_START_MS) as u64));
            server.kill();
            killed += 1;
        }

        let mut server = Server::on(&directory, &arguments);
        let began_ms = now_ms();
        let found = dataset(&mut server.client(), 0..DATABASES);
        let read_between_ms = (began_ms, now_ms());
        for writer in &mut writers {
            match writer.settle(&found, ended_ms, read_between_ms) {
                Ok(taken) => rescued += taken,
                Err(text) => panic!("seed {seed}, after {killed} kills, {arguments:?}: {text}"),
            }
        }

        let mut clients: Vec<Client> = (0..WRITERS).map(|_| server.client()).collect();
        let mut disturber = server.client();
        let disturbed = random.chance(60).then(|| Random::new(random.next()));
        let politely = random.chance(5);
        let mut ended_by_itself = true;
        let life = Duration::from_millis(random.below(LONGEST_LIFE_MS) as u64);
        std::thread::scope(|scope| {
            for (writer, client) in writers.iter_mut().zip(&mut clients) {
                scope.spawn(|| writer.run(client));
            }
            if let Some(mut random) = disturbed {
                scope.spawn(move || disturb(&mut disturber, &mut random));
            }
            std::thread::sleep(life);
            if politely {
                server.signal("TERM");
                ended_by_itself = server.ends_in_time();
            }
            // Whatever happens the writers must see an end.
            server.kill();
            killed += 1;
        });
        assert!(ended_by_itself, "the server went on after SIGTERM");
        ended_ms = now_ms();
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged_count).sum();
    println!("{acknowledged} changes acknowledged, {rescued} more had taken effect unacknowledged");
    assert!(acknowledged > 0, "no change was ever acknowledged");
}
