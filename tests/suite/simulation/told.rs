//! What users read in the statuses and answer: codes that confirm something.

use std::collections::BTreeMap;

use domain::gateway::CONFIRM_REMOVAL;
use domain::status::StatusUpdate;
use domain::{Hostname, ObjectKey};

/// The codes that statuses told last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Of removals that are held back.
    pub(crate) removals: BTreeMap<ObjectKey, String>,
    /// Of adoptions, by the name whose records are adopted.
    pub(crate) adoptions: BTreeMap<Hostname, String>,
}

impl Told {
    pub(crate) fn read(&mut self, updates: &[StatusUpdate]) {
        let parts = updates.iter().flat_map(|update| &update.parts);
        for condition in parts.flat_map(|part| &part.conditions) {
            let message = condition.message.as_str();
            self.removals.extend(removal(message));
            let adoptions = message.split("set confirm: ").skip(1);
            self.adoptions.extend(adoptions.filter_map(adoption));
        }
    }
}

/// `kubectl annotate gateway -n <namespace> <name> --overwrite <annotation>=<code>`
fn removal(message: &str) -> Option<(ObjectKey, String)> {
    let (_, command) = message.split_once("kubectl annotate gateway -n ")?;
    let mut words = command.split(' ');
    let gateway = ObjectKey::new(words.next()?, words.next()?);
    let (_, code) = command.split_once(&format!("{CONFIRM_REMOVAL}="))?;
    Some((gateway, first_word(code)))
}

/// `<code> at <hostname> in …`
fn adoption(message: &str) -> Option<(Hostname, String)> {
    let (code, rest) = message.split_once(" at ")?;
    Some((Hostname::parse(&first_word(rest)).ok()?, code.to_owned()))
}

fn first_word(text: &str) -> String {
    let is_code = |c: &char| !c.is_whitespace() && *c != ';' && *c != ',';
    text.chars().take_while(is_code).collect()
}
