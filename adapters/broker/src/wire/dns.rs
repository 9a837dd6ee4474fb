//! The parts of the documents that are about records. Ids of zones and adoptions are not among them: at a broker they are
//! up to its owner.

use std::collections::BTreeSet;

use domain::edge::objects::ZoneState;
use domain::edge::{HeldBack, ZoneStatus};
use domain::gateway::{DnsPolicy, DnsSelection, DriftPolicy, LONGEST_CODE, RecordSettings};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Malformed, hostname};
use crate::openapi::texts::DnsName;

/// Entries of each list of a policy, at most; the parameters take fewer.
const MOST_NAMES: usize = 256;

/// The schema of such a list.
enum NamesDocument {}

impl PartialSchema for NamesDocument {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(Ref::from_schema_name(DnsName::name()))
            .max_items(Some(MOST_NAMES))
            .into()
    }
}

impl ToSchema for NamesDocument {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((DnsName::name().into_owned(), DnsName::schema()));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum DnsDocument {
    All,
    #[schema(value_type = NamesDocument)]
    Below(Vec<String>),
    Selected(SelectionDocument),
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SelectionDocument {
    #[schema(value_type = NamesDocument)]
    zones: Vec<String>,
    #[schema(value_type = NamesDocument)]
    include: Vec<String>,
    #[schema(value_type = NamesDocument)]
    exclude: Vec<String>,
}

fn written<'n, N: ToString + 'n>(names: impl IntoIterator<Item = &'n N>) -> Vec<String> {
    names.into_iter().map(ToString::to_string).collect()
}

fn names<C: FromIterator<domain::Hostname>>(names: &[String]) -> Result<C, Malformed> {
    if names.len() > MOST_NAMES {
        let found = names.len();
        let problem = format!("dns: Too many: {found}: must have at most {MOST_NAMES} items");
        return Err(Malformed(problem));
    }
    names.iter().map(|name| hostname(name)).collect()
}

impl DnsDocument {
    pub(super) fn of(policy: &DnsPolicy) -> Self {
        match policy {
            DnsPolicy::All => Self::All,
            DnsPolicy::Off => Self::Off,
            DnsPolicy::Below(zones) => Self::Below(written(zones)),
            DnsPolicy::Selected(selection) => Self::Selected(SelectionDocument {
                zones: written(&selection.zones),
                include: written(selection.include.iter()),
                exclude: written(selection.exclude.iter()),
            }),
        }
    }

    pub(super) fn read(self) -> Result<DnsPolicy, Malformed> {
        Ok(match self {
            Self::All => DnsPolicy::All,
            Self::Off => DnsPolicy::Off,
            Self::Below(zones) => DnsPolicy::Below(names(&zones)?),
            Self::Selected(selection) => DnsPolicy::Selected(Box::new(DnsSelection {
                zones: names(&selection.zones)?,
                include: names(&selection.include)?,
                exclude: names(&selection.exclude)?,
            })),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordsDocument {
    drift: DriftDocument,
    /// The code of a removal that was held back and is to go on.
    #[schema(max_length = 64)]
    confirmed_removal: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DriftDocument {
    Repair,
    Report,
    Pause,
}

impl RecordsDocument {
    pub(super) fn of(settings: &RecordSettings) -> Self {
        Self {
            drift: match settings.drift {
                DriftPolicy::Repair => DriftDocument::Repair,
                DriftPolicy::Report => DriftDocument::Report,
                DriftPolicy::Pause => DriftDocument::Pause,
            },
            confirmed_removal: settings.confirmed_removal.clone(),
        }
    }

    pub(super) fn read(self) -> Result<RecordSettings, Malformed> {
        let code = self.confirmed_removal;
        if code
            .as_ref()
            .is_some_and(|code| code.chars().count() > LONGEST_CODE)
        {
            let problem = format!("confirmed_removal: must have at most {LONGEST_CODE} characters");
            return Err(Malformed(problem));
        }
        Ok(RecordSettings {
            drift: match self.drift {
                DriftDocument::Repair => DriftPolicy::Repair,
                DriftDocument::Report => DriftPolicy::Report,
                DriftDocument::Pause => DriftPolicy::Pause,
            },
            confirmed_removal: code,
            ..RecordSettings::default()
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ZoneDocument {
    name: String,
    state: StateDocument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StateDocument {
    Active,
    Pending,
    Paused,
    Partial,
    Unseen,
}

impl ZoneDocument {
    pub(super) fn of(zone: &ZoneStatus) -> Self {
        Self {
            name: zone.name.clone(),
            state: match zone.state {
                ZoneState::Active => StateDocument::Active,
                ZoneState::Pending => StateDocument::Pending,
                ZoneState::Paused => StateDocument::Paused,
                ZoneState::Partial => StateDocument::Partial,
                ZoneState::Unseen => StateDocument::Unseen,
            },
        }
    }

    pub(super) fn read(self) -> ZoneStatus {
        ZoneStatus {
            name: self.name,
            state: match self.state {
                StateDocument::Active => ZoneState::Active,
                StateDocument::Pending => ZoneState::Pending,
                StateDocument::Paused => ZoneState::Paused,
                StateDocument::Partial => ZoneState::Partial,
                StateDocument::Unseen => ZoneState::Unseen,
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HeldBackDocument {
    names: BTreeSet<String>,
    of: usize,
    code: String,
}

impl HeldBackDocument {
    pub(super) fn of(held: &HeldBack) -> Self {
        Self {
            names: held.names.iter().map(ToString::to_string).collect(),
            of: held.of,
            code: held.code.clone(),
        }
    }

    pub(super) fn read(self) -> Result<HeldBack, Malformed> {
        let names = self.names.iter().map(|name| hostname(name));
        Ok(HeldBack {
            names: names.collect::<Result<_, _>>()?,
            of: self.of,
            code: self.code,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_again<D: Serialize + for<'de> Deserialize<'de>>(document: &D) -> D {
        let written = serde_json::to_string(document).unwrap();
        serde_json::from_str(&written).unwrap()
    }

    #[test]
    fn what_is_said_of_records_is_read_as_it_was_written() {
        let host = |name: &str| hostname(name).unwrap();
        for drift in [DriftPolicy::Repair, DriftPolicy::Report, DriftPolicy::Pause] {
            for confirmed_removal in [None, Some("c0de".to_owned())] {
                let settings = RecordSettings {
                    drift,
                    confirmed_removal,
                    ..RecordSettings::default()
                };
                let document = read_again(&RecordsDocument::of(&settings));
                assert_eq!(document.read(), Ok(settings));
            }
        }
        let policy = DnsPolicy::Selected(Box::new(DnsSelection {
            zones: vec![host("a.com")],
            include: [host("*.b.com")].into_iter().collect(),
            exclude: [host("c.com")].into_iter().collect(),
        }));
        assert_eq!(read_again(&DnsDocument::of(&policy)).read(), Ok(policy));
        for state in [
            ZoneState::Active,
            ZoneState::Pending,
            ZoneState::Paused,
            ZoneState::Partial,
            ZoneState::Unseen,
        ] {
            let name = "a.com".to_owned();
            let zone = ZoneStatus { name, state };
            assert_eq!(read_again(&ZoneDocument::of(&zone)).read(), zone);
        }
        let held = HeldBack {
            names: [host("a.com")].into(),
            of: 9,
            code: "c0de".to_owned(),
        };
        assert_eq!(read_again(&HeldBackDocument::of(&held)).read(), Ok(held));
    }

    #[test]
    fn what_is_longer_than_its_limit_is_refused() {
        let drift = DriftDocument::Repair;
        let confirmed_removal = Some("c".repeat(LONGEST_CODE + 1));
        let records = RecordsDocument {
            drift,
            confirmed_removal,
        };
        assert!(records.read().is_err());
        let many = vec!["a.com".to_owned(); MOST_NAMES + 1];
        assert!(DnsDocument::Below(many).read().is_err());
    }
}
