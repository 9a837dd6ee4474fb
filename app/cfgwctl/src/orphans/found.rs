//! What there is of Gateways that are gone.

use std::collections::{BTreeMap, BTreeSet};

use domain::ObjectKey;
use domain::edge::rehearsal::{Difference, Sign};
use serde::Serialize;

use crate::failure::Failure;
use crate::plan::stage::Staged;
use crate::screen::{Screen, Tone, table};

/// Lines that are shown to people; the others are counted. `-o json` has all.
const SHOWN: usize = 1000;

/// The answer. Its written form is that of `-o json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Orphans {
    pub orphans: Vec<Orphan>,
    /// What could not be looked at. Where there is any, there may be more.
    pub problems: Vec<String>,
}

/// What one Gateway left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// `namespace/name`; absent for records that lead to no tunnel of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Whether it stays until somebody acts; otherwise the controller removes it at its next resync.
    pub stays: bool,
    pub things: Vec<Thing>,
}

/// One object at Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Thing {
    pub what: &'static str,
    pub name: String,
    pub told: String,
    pub account: String,
}

/// Finds it: all that would be removed if nothing were meant to stay.
pub async fn find(staged: &Staged) -> Orphans {
    let rehearsed = staged.rehearse_with(Ok(BTreeSet::new())).await;
    let gateways = staged.snapshot().gateways.items().iter();
    let there: BTreeSet<&ObjectKey> = gateways.map(|gateway| &gateway.key).collect();
    let mut problems: Vec<String> = rehearsed.withheld.into_iter().collect();
    problems.extend(rehearsed.problems.iter().map(ToString::to_string));
    let kept = match &staged.orphans {
        Ok(kept) => kept.clone(),
        Err(error) => {
            problems.push(format!(
                "which of them are meant to stay is not known: {error}"
            ));
            BTreeSet::new()
        }
    };
    let mut of: BTreeMap<Option<ObjectKey>, Vec<Thing>> = BTreeMap::new();
    // One of which nothing is found is told of too: its name is still on the list.
    of.extend(
        kept.iter()
            .filter(|it| !there.contains(it))
            .map(|it| (Some(it.clone()), Vec::new())),
    );
    for gone in rehearsed
        .differences
        .iter()
        .filter(|it| it.sign == Sign::Remove)
    {
        let is_orphan = match &gone.gateway {
            Some(gateway) => !there.contains(gateway),
            None => gone.what == "record" && gone.is_of_nobody(),
        };
        if is_orphan {
            of.entry(gone.gateway.clone())
                .or_default()
                .push(Thing::of(gone));
        }
    }
    // What the controller does by itself.
    let planned = staged.rehearse().await.differences.into_iter();
    let planned = planned.filter(|it| it.sign == Sign::Remove);
    let goes: BTreeSet<(&str, String)> = planned.map(|it| (it.what, it.name)).collect();
    let orphans = of.into_iter().map(|(gateway, things)| Orphan {
        stays: !things
            .iter()
            .any(|it| goes.contains(&(it.what, it.name.clone()))),
        gateway: gateway.map(|gateway| gateway.to_string()),
        things,
    });
    Orphans {
        orphans: orphans.collect(),
        problems,
    }
}

impl Thing {
    fn of(one: &Difference) -> Self {
        Self {
            what: one.what,
            name: one.name.clone(),
            told: one.told.clone(),
            account: one.account.to_string(),
        }
    }
}

impl Orphans {
    /// What a Gateway left.
    pub fn of(&self, gateway: &ObjectKey) -> Option<&Orphan> {
        let name = gateway.to_string();
        let mut orphans = self.orphans.iter();
        orphans.find(|orphan| orphan.gateway.as_ref() == Some(&name))
    }

    /// The answer for people.
    pub fn text(&self, screen: &Screen<'_>) -> String {
        let mut text = match self.orphans.is_empty() {
            true => "Nothing at Cloudflare belongs to no Gateway\n".to_owned(),
            false => self.table(),
        };
        let mut lines = self.orphans.iter().flat_map(Orphan::lines);
        let shown: Vec<String> = lines.by_ref().take(SHOWN).collect();
        if !shown.is_empty() {
            text.push('\n');
        }
        shown.iter().for_each(|line| text.push_str(line));
        let more = lines.count();
        if more > 0 {
            text.push_str(&format!("and {more} more; -o json has all\n"));
        }
        for problem in &self.problems {
            let label = screen.paint(Tone::Bad, "problem");
            text.push_str(&format!("{label} {problem}\n"));
        }
        text
    }

    fn table(&self) -> String {
        let row = |cells: [String; 4]| cells.to_vec();
        let header = ["GATEWAY", "TUNNELS", "RECORDS", "STAYS"].map(str::to_owned);
        let rows = self.orphans.iter().map(|orphan| {
            let count = |what: &str| {
                let found = orphan.things.iter().filter(|it| it.what == what);
                found.count().to_string()
            };
            let stays = match orphan.stays {
                true => "until somebody acts",
                false => "until the controller's next resync",
            };
            row([
                orphan
                    .gateway
                    .clone()
                    .unwrap_or_else(|| "<none>".to_owned()),
                count("tunnel"),
                count("record"),
                stays.to_owned(),
            ])
        });
        let rows: Vec<_> = [row(header)].into_iter().chain(rows).collect();
        table(&rows)
    }

    /// Whether all was looked at.
    ///
    /// # Errors
    /// Something was not.
    pub fn verdict(&self) -> Result<(), Failure> {
        match self.problems.len() {
            0 => Ok(()),
            number => Err(Failure::new(
                format!("not all could be looked at: {number} problems"),
                "see the lines above",
            )),
        }
    }
}

impl Orphan {
    /// A line for each thing.
    pub fn lines(&self) -> Vec<String> {
        let gateway = self.gateway.as_deref().unwrap_or("no Gateway");
        let things = self.things.iter();
        things
            .map(
                |Thing {
                     what, name, told, ..
                 }| format!("{what} {name} {told} ({gateway})\n"),
            )
            .collect()
    }
}
