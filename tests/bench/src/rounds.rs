//! Subjects loaded in turn, round after round.

use std::time::Duration;

use crate::Plan;
use crate::load::{Load, Until};
use crate::process::Process;

/// Something that serves requests.
pub(crate) struct Subject {
    /// For people.
    pub(crate) name: String,
    /// Position of the subject that this one's ratios are against, and of itself where there is none.
    pub(crate) against: usize,
    /// Whose time and memory is counted.
    pub(crate) processes: Vec<Process>,
    pub(crate) load: Load,
}

/// What one subject did in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Seconds on a processor per request.
    pub(crate) cpu: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

/// A subject's figures over all rounds.
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) against: usize,
    /// Bytes before the first request and after the last.
    pub(crate) resident: (u64, u64),
    pub(crate) rounds: Vec<Measured>,
}

/// Measures all subjects. Each round begins with another one, after a round that only warms up.
pub(crate) async fn measure(plan: &Plan, subjects: &[Subject]) -> anyhow::Result<Vec<Figures>> {
    for subject in subjects {
        subject.load.ready(Duration::from_secs(60)).await?;
    }
    let mut figures = Vec::new();
    for subject in subjects {
        figures.push(Figures {
            name: subject.name.clone(),
            against: subject.against,
            resident: (resident(subject)?, 0),
            rounds: Vec::new(),
        });
    }
    for round in 0..=plan.rounds {
        for turn in 0..subjects.len() {
            let at = (round + turn) % subjects.len();
            let measured = load(plan, &subjects[at]).await?;
            if round > 0 {
                figures[at].rounds.push(measured);
            }
        }
    }
    for (figures, subject) in figures.iter_mut().zip(subjects) {
        figures.resident.1 = resident(subject)?;
    }
    Ok(figures)
}

async fn load(plan: &Plan, subject: &Subject) -> anyhow::Result<Measured> {
    let before = cpu(subject)?;
    let until = Until::Elapsed(Duration::from_secs_f64(plan.seconds));
    let seen = subject.load.run(plan.connections, until).await?;
    let used = cpu(subject)?.saturating_sub(before);
    let requests = seen.requests() as f64;
    Ok(Measured {
        cpu: used.as_secs_f64() / requests,
        rate: requests / seen.elapsed.as_secs_f64(),
        median: seen.quantile(0.5),
        p99: seen.quantile(0.99),
    })
}

fn cpu(subject: &Subject) -> anyhow::Result<Duration> {
    subject.processes.iter().map(Process::cpu).sum()
}

fn resident(subject: &Subject) -> anyhow::Result<u64> {
    subject.processes.iter().map(Process::resident).sum()
}
