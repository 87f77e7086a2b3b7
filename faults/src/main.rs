//! The long campaign, a kind of fault at a time: figures as JSON, one line each, for `cargo xtask faults`.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use offchain_store::{StorageEngine, config::Overrides, engine::Access};
use pakit_faults::{calls, crowd, cuts, damage, full, fuzz, kills};
use serde::Serialize;
use std::{
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

#[derive(Parser)]
#[command(name = "pakit-faults")]
struct Cli {
    #[command(subcommand)]
    campaign: Campaign,
}

#[derive(clap::Args)]
struct Scale {
    /// How many experiments.
    count: u64,
    /// What chooses them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the operation of this name.
    #[arg(long)]
    only: Option<String>,
}

#[derive(Subcommand)]
enum Campaign {
    /// Programs killed at random moments.
    Kills(Scale),
    /// Power cuts at random moments.
    Cuts(Scale),
    /// System calls that fail, so many at most for each operation and kind of fault.
    Calls(Scale),
    /// Flipped bits of a small repository's database.
    Damage(Scale),
    /// Readers and writers at once, for so many seconds.
    Crowd(Scale),
    /// Full disks and file systems that cannot be written; the count means nothing.
    Full(Scale),
    /// Not a campaign: writes the sound inputs of all targets into their corpora.
    #[command(hide = true)]
    FuzzCorpora,
    /// Not a campaign: what the one of full disks does in a mount namespace of its own.
    #[command(hide = true)]
    FullInside { seed: u64, folder: PathBuf },
    /// Not a campaign: a program that puts contents through one handle and goes on after errors.
    #[command(hide = true)]
    Handle { repository: PathBuf, count: u32 },
}

fn main() -> Result<()> {
    match Cli::parse().campaign {
        Campaign::Kills(scale) => {
            tell("kills", &scale, |scale| kills::campaign(scale.count, scale.seed, scale.only.as_deref()))
        }
        Campaign::Cuts(scale) => {
            tell("cuts", &scale, |scale| cuts::campaign(scale.count, scale.seed, scale.only.as_deref()))
        }
        Campaign::Calls(scale) => {
            tell("calls", &scale, |scale| calls::campaign(scale.count, scale.seed, scale.only.as_deref()))
        }
        Campaign::Damage(scale) => tell("damage", &scale, |scale| damage::campaign(scale.count, scale.seed)),
        Campaign::Crowd(scale) => {
            tell("crowd", &scale, |scale| crowd::campaign(Duration::from_secs(scale.count), scale.seed))
        }
        Campaign::Full(scale) => tell("full", &scale, |scale| full::campaign(scale.seed)),
        Campaign::FuzzCorpora => fuzz::write_corpora(),
        Campaign::FullInside { seed, folder } => {
            println!("{}", serde_json::to_string(&full::in_namespace(seed, &folder)?)?);
            Ok(())
        }
        Campaign::Handle { repository, count } => handle(&repository, count),
    }
}

fn tell<T: Serialize>(name: &str, scale: &Scale, campaign: impl FnOnce(&Scale) -> Result<T>) -> Result<()> {
    let start = Instant::now();
    let figures = campaign(scale).with_context(|| format!("{name}, seed {}", scale.seed))?;
    let line = serde_json::json!({
        "campaign": name,
        "seed": scale.seed,
        "seconds": start.elapsed().as_secs(),
        "figures": figures,
    });
    println!("{line}");
    Ok(())
}

/// Puts contents one by one, each in a commit of its own, and says like `pakit` what was stored. An error ends nothing but the
/// content that it was about.
fn handle(repository: &std::path::Path, count: u32) -> Result<()> {
    let engine = match StorageEngine::open(repository, Access::Write, &Overrides::default()) {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("pakit: {error}");
            std::process::exit(3);
        }
    };
    let mut out = std::io::stdout();
    for number in 0..count {
        let content = format!("content {number} ").repeat(1 + 40 * (number as usize % 13));
        match engine.store(std::io::Cursor::new(content.into_bytes()), None) {
            Ok(item) => writeln!(
                out,
                "{}",
                serde_json::json!({"block": item.block.block_hash().to_string(), "leaf_index": item.block.leaf_index()})
            )?,
            Err(error) => eprintln!("pakit: {error}"),
        }
    }
    Ok(())
}
