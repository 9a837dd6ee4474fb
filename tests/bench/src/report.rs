//! Figures as Markdown tables.

use std::time::Duration;

use crate::Plan;
use crate::process::find;
use crate::rounds::{Figures, Measured};

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// Least, middle and greatest of some figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |n: usize| sorted.get(n).copied().unwrap_or(f64::NAN);
        Self {
            min: at(0),
            median: at(sorted.len() / 2),
            max: at(sorted.len().saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} / {:.2} / {:.2}", self.min, self.median, self.max)
    }
}

/// Says what the run is about.
pub(crate) fn machine(plan: &Plan) -> anyhow::Result<()> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let count = cpus.lines().filter(|l| l.starts_with("processor")).count();
    println!(
        "{count} processors ({model}); {} rounds of {} s, {} connections, alternating",
        plan.rounds, plan.seconds, plan.connections
    );
    for program in [
        plan.cloudflared.as_path(),
        "nginx".as_ref(),
        "haproxy".as_ref(),
    ] {
        match find(program) {
            Some(file) => println!("- {}: {}", name(&file), version(&file)),
            None => println!("- {}: ABSENT, nothing is compared with it", name(program)),
        }
    }
    load_average()
}

/// Says how busy the machine is.
pub(crate) fn load_average() -> anyhow::Result<()> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let three: Vec<&str> = text.split(' ').take(3).collect();
    println!("\nLoad average (1, 5, 15 minutes): {}", three.join(", "));
    Ok(())
}

fn name(file: &std::path::Path) -> std::borrow::Cow<'_, str> {
    file.file_name().unwrap_or_default().to_string_lossy()
}

fn version(program: &std::path::Path) -> String {
    ["--version", "-v"]
        .into_iter()
        .filter_map(|flag| std::process::Command::new(program).arg(flag).output().ok())
        .filter(|output| output.status.success())
        .map(|output| [output.stdout, output.stderr].concat())
        .find_map(|text| Some(String::from_utf8_lossy(&text).lines().next()?.to_owned()))
        .unwrap_or_default()
}

/// Prints one table.
pub(crate) fn table(title: &str, figures: &[Figures]) {
    println!(
        "\n### {title}\n\n\
         | subject | CPU µs/request | ratio min / median / max | requests/s | p50 ms | p99 ms | RSS MiB idle | after load |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for subject in figures {
        let middle =
            |value: fn(&Measured) -> f64| Spread::of(subject.rounds.iter().map(value)).median;
        println!(
            "| {} | {:.1} | {} | {:.0} | {:.2} | {:.2} | {:.1} | {:.1} |",
            subject.name,
            1e6 * middle(|m| m.cpu),
            cpu_ratio(subject, &figures[subject.against]),
            middle(|m| m.rate),
            middle(|m| millis(m.median)),
            middle(|m| millis(m.p99)),
            subject.resident.0 as f64 / MEGABYTE,
            subject.resident.1 as f64 / MEGABYTE,
        );
    }
}

/// CPU per request against another's of the same round.
pub(crate) fn cpu_ratio(subject: &Figures, other: &Figures) -> Spread {
    let pairs = subject.rounds.iter().zip(&other.rounds);
    Spread::of(pairs.map(|(ours, theirs)| ours.cpu / theirs.cpu))
}

/// Memory after the load against another's.
pub(crate) fn memory_ratio(subject: &Figures, other: &Figures) -> f64 {
    subject.resident.1 as f64 / other.resident.1 as f64
}

/// Says whether a goal is met.
pub(crate) fn goal(what: &str, figure: f64, at_most: f64) {
    let verdict = if figure <= at_most {
        "met".to_owned()
    } else {
        format!("MISSED by {:.2}", figure - at_most)
    };
    println!("\n{what}: {figure:.2}, at most {at_most:.2}: {verdict}");
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
