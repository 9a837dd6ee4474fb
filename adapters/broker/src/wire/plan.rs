//! What would come of a statement.

use domain::broker::plan::Planned;
use domain::edge::rehearsal::{Difference, Sign};
use domain::edge::{EdgeIntent, EdgeStatus};
use domain::ports::PortError;
use domain::{AccountId, ObjectKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GatewayDocument, IntentDocument, Malformed, StatusDocument};
use crate::problem::FailureDocument;

/// Body of `POST …/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// What would be stated; `null` for a removal.
    intent: Option<IntentDocument>,
}

impl PlanRequest {
    /// The document of what would be stated.
    pub fn of(intent: Option<&EdgeIntent>) -> Self {
        Self {
            intent: intent.map(IntentDocument::of),
        }
    }

    /// What would be stated of a Gateway.
    pub fn read(self, gateway: &ObjectKey) -> Result<Option<EdgeIntent>, Malformed> {
        let intent = self.intent.map(|intent| intent.read(gateway.clone()));
        intent.transpose()
    }
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// What would be made, changed and removed at Cloudflare.
    changes: Vec<ChangeDocument>,
    /// Calls that would change something, those that cancel each other out among them.
    writes: usize,
    /// What would be answered, where the statement could be carried out: names that are refused are in it.
    status: Option<StatusDocument>,
    /// Why it could not.
    failure: Option<FailureDocument>,
}

/// An object at Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeDocument {
    sign: SignDocument,
    what: WhatDocument,
    name: String,
    /// What it says, or what is otherwise than it was.
    told: String,
    /// `null` where it is not known whose it is.
    gateway: Option<GatewayDocument>,
    why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SignDocument {
    Add,
    Change,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WhatDocument {
    Tunnel,
    Rules,
    Record,
    Certificate,
}

impl PlanDocument {
    /// The document of a plan, without the account, which is not for clusters.
    pub fn of(planned: Planned) -> Self {
        let (status, failure) = match planned.outcome {
            Ok(status) => (Some(StatusDocument::of(status)), None),
            Err(error) => (None, Some(FailureDocument::of(&error))),
        };
        Self {
            changes: planned.differences.iter().map(ChangeDocument::of).collect(),
            writes: planned.writes,
            status,
            failure,
        }
    }

    /// The plan. Its account is not known.
    pub fn read(self) -> Result<Planned, Malformed> {
        let outcome: Result<EdgeStatus, PortError> = match (self.status, self.failure) {
            (Some(status), None) => Ok(status.read()?),
            (None, Some(failure)) => Err(failure.read()),
            _ => {
                let problem = "a plan has either a status or a failure";
                return Err(Malformed(problem.to_owned()));
            }
        };
        let differences = self.changes.into_iter().map(ChangeDocument::read);
        Ok(Planned {
            differences: differences.collect::<Result<_, _>>()?,
            writes: self.writes,
            outcome,
        })
    }
}

impl ChangeDocument {
    fn of(one: &Difference) -> Self {
        Self {
            sign: match one.sign {
                Sign::Add => SignDocument::Add,
                Sign::Change => SignDocument::Change,
                Sign::Remove => SignDocument::Remove,
            },
            what: match one.what {
                "tunnel" => WhatDocument::Tunnel,
                "rules" => WhatDocument::Rules,
                "certificate" => WhatDocument::Certificate,
                _ => WhatDocument::Record,
            },
            name: one.name.clone(),
            told: one.told.clone(),
            gateway: one.gateway.as_ref().map(GatewayDocument::of),
            why: one.why.clone(),
        }
    }

    fn read(self) -> Result<Difference, Malformed> {
        Ok(Difference {
            what: match self.what {
                WhatDocument::Tunnel => "tunnel",
                WhatDocument::Rules => "rules",
                WhatDocument::Record => "record",
                WhatDocument::Certificate => "certificate",
            },
            name: self.name,
            sign: match self.sign {
                SignDocument::Add => Sign::Add,
                SignDocument::Change => Sign::Change,
                SignDocument::Remove => Sign::Remove,
            },
            told: self.told,
            gateway: self.gateway.map(GatewayDocument::read).transpose()?,
            why: self.why,
            account: AccountId::new("behind the broker"),
        })
    }
}
