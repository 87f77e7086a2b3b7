//! Runs the long campaigns of faults and writes their figures into `docs/dependability.md`, each between marks of its own.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    bench, fuzz,
    process::{Scratch, checkout, run, run_seen},
    setup,
    test::{BIN_DIR_ENV, target_folder},
};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Campaign {
    /// Programs killed at random moments.
    Kills,
    /// Power cuts at random moments.
    Cuts,
    /// System calls that fail.
    Calls,
    /// Flipped bits.
    Damage,
    /// Readers and writers at once.
    Crowd,
    /// Full disks, and file systems that cannot be written.
    Full,
    /// Hostile bytes.
    Fuzz,
}

impl Campaign {
    /// The longest first, so that two lanes end at nearly the same time.
    const ALL: [Self; 7] = [Self::Cuts, Self::Kills, Self::Calls, Self::Damage, Self::Fuzz, Self::Crowd, Self::Full];

    fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Cuts => "cuts",
            Self::Calls => "calls",
            Self::Damage => "damage",
            Self::Crowd => "crowd",
            Self::Full => "full",
            Self::Fuzz => "fuzz",
        }
    }

    /// In how many parts it runs, each with a seed of its own, so that what is done is written down before all is.
    fn parts(self) -> u64 {
        match self {
            Self::Cuts => 8,
            Self::Kills => 4,
            _ => 1,
        }
    }

    /// How many experiments make the long campaign; seconds for a crowd, and for each target of hostile bytes.
    fn count(self) -> u64 {
        match self {
            Self::Kills => 1_000,
            Self::Cuts => 10_000,
            Self::Calls => 4,
            Self::Damage => 20_000,
            Self::Crowd => 60,
            Self::Full => 1,
            Self::Fuzz => 300,
        }
    }
}

const REPORT: &str = "docs/dependability.md";
/// Campaigns that run at once.
const LANES: usize = 2;

/// Writes down what a campaign's program said at an earlier time, on this machine.
pub(crate) fn write_earlier(campaign: Campaign, from: &Path) -> Result<()> {
    let said = fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    let results: Vec<Value> = serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>()?;
    ensure!(results.iter().all(|result| result["campaign"] == campaign.name()), "{} is of another", from.display());
    let result = results.into_iter().reduce(sum).with_context(|| format!("{} holds no figures", from.display()))?;
    write_down(campaign, &result)
}

/// Runs one campaign or all, and writes what they found. One that fails leaves the report as it was, or as its whole parts made it, and
/// keeps no other from running.
pub(crate) fn run_campaigns(only: Option<Campaign>, count: Option<u64>, seed: u64) -> Result<()> {
    let environment = setup::ensure()?;
    println!("Building pakit and what disturbs it ...");
    run(environment.cargo(&["build", "--locked"]).args(["--package", "offchain-store", "--package", "pakit-faults"]))?;
    // A build meanwhile must not change what is tried.
    let programs = Scratch::new()?;
    for name in ["pakit", "pakit-faults", "libpakit_faults_layer.so"] {
        let built = target_folder()?.join("debug");
        let from = [built.join(name), built.join("deps").join(name)].into_iter().find(|path| path.is_file());
        fs::copy(from.with_context(|| format!("{name} was not built"))?, programs.path().join(name))?;
    }
    let waiting: Mutex<Vec<Campaign>> = Mutex::new(Campaign::ALL.into_iter().rev().collect());
    if let Some(only) = only {
        *waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = vec![only];
    }
    let failures = thread::scope(|scope| {
        let lane = || {
            let mut failures = 0;
            loop {
                let next = waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
                let Some(campaign) = next else { return failures };
                let ran = run_parts(campaign, count.unwrap_or(campaign.count()), seed, programs.path());
                if let Err(error) = ran {
                    eprintln!("{}: {error:#}", campaign.name());
                    failures += 1;
                }
            }
        };
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap_or(1)).sum::<u32>()
    });
    ensure!(failures == 0, "{failures} of the campaigns failed");
    Ok(())
}

fn run_parts(campaign: Campaign, count: u64, seed: u64, programs: &Path) -> Result<()> {
    let parts = campaign.parts();
    let mut results: Option<Value> = None;
    for part in 0..parts {
        let result = run_one(campaign, count.div_ceil(parts), seed + part, programs)?;
        let summed = match results {
            Some(before) => sum(before, result),
            None => result,
        };
        write_down(campaign, &summed)?;
        results = Some(summed);
    }
    Ok(())
}

fn run_one(campaign: Campaign, count: u64, seed: u64, programs: &Path) -> Result<Value> {
    println!("{}: {count}, seed {seed} ...", campaign.name());
    if campaign == Campaign::Fuzz {
        return fuzz::campaign(count, seed);
    }
    let mut command = Command::new(programs.join("pakit-faults"));
    command.arg(campaign.name()).arg(count.to_string()).args(["--seed", &seed.to_string()]);
    command.env(BIN_DIR_ENV, programs);
    let mut said = String::new();
    run_seen(&mut command, |line| said.push_str(line))?;
    serde_json::from_str(&said).with_context(|| format!("{} said {said:?}", campaign.name()))
}

/// The sums of the figures of two runs. Greatest values stay greatest ones, and lists are of the same things.
fn sum(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Object(mut left), Value::Object(right)) => {
            for (name, value) in right {
                let summed = match left.remove(&name) {
                    Some(before) if name == "seed" => Value::from(before.as_u64().max(value.as_u64())),
                    Some(before) if name.starts_with("bits_in") || name.starts_with("slowest") => {
                        Value::from(before.as_u64().max(value.as_u64()))
                    }
                    Some(before) => sum(before, value),
                    None => value,
                };
                left.insert(name, summed);
            }
            Value::Object(left)
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.into_iter().zip(right).map(|(left, right)| sum(left, right)).collect()
        }
        (left, right) => match (left.as_u64(), right.as_u64()) {
            (Some(left), Some(right)) => Value::from(left + right),
            _ => left,
        },
    }
}

static REPORT_LOCK: Mutex<()> = Mutex::new(());

/// Puts a campaign's figures between its marks.
fn write_down(campaign: Campaign, result: &Value) -> Result<()> {
    let _guard = REPORT_LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path: PathBuf = checkout().join(REPORT);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {REPORT}"))?;
    let section = section(result)?;
    fs::write(&path, replaced(&text, campaign.name(), &section)?)?;
    println!("{}: written to {REPORT}", campaign.name());
    Ok(())
}

fn replaced(text: &str, name: &str, section: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- campaign {name}: written by cargo xtask faults -->\n"), "<!-- end -->");
    let (before, rest) = text.split_once(&begin).with_context(|| format!("{REPORT} has no place for {name}"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("the place for {name} has no end"))?;
    Ok(format!("{before}{begin}{section}{end}{after}"))
}

/// A table of the figures, one a row, and of lists by name one row an item.
fn section(result: &Value) -> Result<String> {
    // Without the load, which is another one when an earlier run is written down.
    let machine = bench::machine();
    let machine = machine.split(", load").next().unwrap_or_default();
    let mut text = format!(
        "\n{machine}.\n\nSeeds up to {}, {} s in all.\n\n| figure | value |\n|---|---|\n",
        result["seed"], result["seconds"]
    );
    let figures = result["figures"].as_object().context("a campaign has figures")?;
    ensure!(!figures.is_empty(), "a campaign has figures");
    for (name, value) in figures {
        let name = name.replace('_', " ");
        match value {
            Value::Object(items) => {
                for (item, value) in items {
                    writeln!(text, "| {name}: {item} | {} |", plain(value))?;
                }
            }
            value => writeln!(text, "| {name} | {} |", plain(value))?,
        }
    }
    text.push('\n');
    Ok(text)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_campaign_replaces_its_own_figures_and_no_others() {
        let place = |name: &str, old: &str| {
            format!("# {name}\n<!-- campaign {name}: written by cargo xtask faults -->\n{old}<!-- end -->\nafter\n")
        };
        let text = place("kills", "old\n") + &place("cuts", "old\n");
        let replaced = replaced(&text, "cuts", "new\n").unwrap();
        assert_eq!(replaced, place("kills", "old\n") + &place("cuts", "new\n"));
        assert!(super::replaced(&text, "crowd", "new\n").is_err());
    }

    #[test]
    fn the_report_has_a_place_for_each_campaign() {
        let text = fs::read_to_string(checkout().join(REPORT)).unwrap();
        for campaign in Campaign::ALL {
            assert!(replaced(&text, campaign.name(), "").is_ok(), "{campaign:?}");
        }
    }

    #[test]
    fn figures_of_several_runs_are_added_up() {
        let run = |seed: u64, kills: u64| {
            serde_json::json!({"campaign": "kills", "seed": seed, "figures": {"kills": kills, "slowest_ms": kills,
                "by_table": {"blocks": [kills, 1]}}})
        };
        let summed = serde_json::json!({"campaign": "kills", "seed": 2, "figures": {"kills": 7, "slowest_ms": 4,
            "by_table": {"blocks": [7, 2]}}});
        assert_eq!(sum(run(1, 3), run(2, 4)), summed);
    }

    #[test]
    fn figures_become_rows() {
        let result = serde_json::json!({"seed": 1, "seconds": 2, "figures": {"by_operation": {"put": 3}, "kills": 4}});
        let section = section(&result).unwrap();
        assert!(section.ends_with("| by operation: put | 3 |\n| kills | 4 |\n\n"), "{section}");
    }
}
