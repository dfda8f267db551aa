//! How many durable batches a second, beside what the disk can do and beside PostgreSQL?
//!
//! Floor: a loop that appends as many bytes as a batch has and calls fdatasync; and the same loop within a file that is
//! already as long as it gets, which spares the file system its own journal, and which the engines do too. Beside it, in the same run and in turns,
//! both embedded engines and PostgreSQL with `fsync=on` and `synchronous_commit=on`, which inserts single rows of the
//! same size over as many connections as there are writers. The aim is to be at least as fast as PostgreSQL with 64.
//!
//! ```text
//! cargo bench --bench store
//! ```

#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

use gatehouse_store::{Batch, Config, EngineName, Key, Store, Table};
use gatehouse_testkit::{Durability, Postgres};
use std::{
    error::Error,
    fs::File,
    io::{Seek, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

const ROWS: Table = Table::new("bench");
const VALUE_BYTES: usize = 256;
const WRITERS: [u64; 3] = [1, 16, 64];
/// More than a turn of the floor writes.
const FLOOR_BYTES: usize = 32 << 20;
const TURN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
/// With 64 writers, how many times PostgreSQL's rate the default engine has to reach.
const ACCEPTED: f64 = 1.0;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<ExitCode, Failure> {
    // `cargo test --benches` runs this with `--test`: then it only has to work.
    let (turn, rounds) = if std::env::args().any(|argument| argument == "--test") { (TURN / 20, 1) } else { (TURN, ROUNDS) };
    let directory = tempfile::tempdir()?;
    let postgres = Postgres::start(Durability::On, Some(directory.path()))?;
    if let Some(postgres) = &postgres {
        postgres.sql("create table rows (id bigserial primary key, value bytea not null)")?;
    }
    println!("median of {rounds} turns of {turn:?} each; values of {VALUE_BYTES} bytes; a batch is one value");
    println!(
        "| writers | append and fdatasync, 1/s | overwrite and fdatasync, 1/s | fjall, batches/s | sled, batches/s | PostgreSQL, inserts/s | fjall : overwrite | fjall : PostgreSQL |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut last = f64::INFINITY;
    for writers in WRITERS {
        let mut rates: [Vec<f64>; 5] = Default::default();
        for round in 0..rounds {
            let place = directory.path().join(format!("{writers}-{round}"));
            // Nothing is removed before the end: a disk that is told of free blocks is slow for a while.
            std::fs::create_dir(&place)?;
            rates[0].push(floor(&place, false, turn)?);
            rates[1].push(floor(&place, true, turn)?);
            rates[2].push(store(&place, EngineName::Fjall, writers, turn)?);
            rates[3].push(store(&place, EngineName::Sled, writers, turn)?);
            if let Some(postgres) = &postgres {
                rates[4].push(inserts(postgres, writers, turn)?);
            }
        }
        let [append, overwrite, fjall, sled, inserts] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
        });
        last = fjall / inserts;
        println!(
            "| {writers} | {append:.0} | {overwrite:.0} | {fjall:.0} | {sled:.0} | {inserts:.0} | {:.2} | {last:.2} |",
            fjall / overwrite
        );
    }
    if rounds > 1 && last < ACCEPTED {
        println!("below the {ACCEPTED:.2} times PostgreSQL that are accepted");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the disk can do: write, wait, again. The file is written in full beforehand if it shall not grow.
fn floor(place: &Path, written_before: bool, turn: Duration) -> Result<f64, Failure> {
    let mut file = File::create(place.join("floor"))?;
    if written_before {
        file.write_all(&vec![0; FLOOR_BYTES])?;
        file.sync_all()?;
        file.rewind()?;
    }
    let (started, mut syncs) = (Instant::now(), 0u32);
    while started.elapsed() < turn {
        file.write_all(&[7; VALUE_BYTES])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / started.elapsed().as_secs_f64())
}

fn store(place: &Path, engine: EngineName, writers: u64, turn: Duration) -> Result<f64, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(&Config::new(place.join(engine.name())).engine(engine)).await?;
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..writers {
            let store = store.clone();
            tasks.spawn(async move {
                let mut written = 0u32;
                while started.elapsed() < turn {
                    let key = Key::new().number(writer).number(u64::from(written));
                    store.commit(Batch::new().require_absent(ROWS, key.clone()).put(ROWS, key, [7; VALUE_BYTES])).await?;
                    written += 1;
                }
                Ok::<_, Failure>(written)
            });
        }
        let mut written = 0;
        while let Some(count) = tasks.join_next().await {
            written += count??;
        }
        Ok(f64::from(written) / started.elapsed().as_secs_f64())
    })
}

/// Single-row inserts by `pgbench`, which is PostgreSQL's own measure.
fn inserts(postgres: &Postgres, connections: u64, turn: Duration) -> Result<f64, Failure> {
    let script = postgres.socket_directory().join("insert.sql");
    std::fs::write(&script, format!("insert into rows (value) values (decode(repeat('07', {VALUE_BYTES}), 'hex'));\n"))?;
    let connections = connections.to_string();
    let seconds = turn.as_secs().max(1).to_string();
    let mut pgbench = postgres.tool("pgbench");
    pgbench.args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1", "--client", &connections, "--time", &seconds, "--file"]);
    let output = pgbench.arg(&script).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.ok_or_else(|| format!("pgbench: {said}{}", String::from_utf8_lossy(&output.stderr)).into())
}
