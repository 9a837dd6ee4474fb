//! Why a proxy could not be made to run or to stop.

use domain::ports::{PortError, PortErrorKind};

use crate::failure::port_error;

/// Why a proxy could not be made to run or to stop. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WorkloadError {
    /// An object has the name of one of ours and is not ours.
    #[error("{0} exists and was made by somebody else, so it is left alone; rename or remove it")]
    Foreign(String),
    /// An object is being deleted, or belongs to an earlier Gateway of the same name, with which it goes.
    #[error("{0} is still being removed; it is made anew once it is gone")]
    Going(String),
    /// The Gateway itself is not there.
    #[error("Gateway {0} does not exist any more")]
    NoGateway(String),
    /// The controller has no certificate authority yet.
    #[error("the controller's certificate authority is not there yet")]
    NoAuthority,
    /// Pods were told to stop and have not yet.
    #[error("waiting for {0} to finish its requests and stop")]
    Stopping(String),
    /// The API server refused or did not answer.
    #[error(transparent)]
    Api(PortError),
}

impl WorkloadError {
    /// A call that failed.
    pub(super) fn api(doing: &str, what: &str, error: &kube::Error) -> Self {
        Self::Api(port_error(format!("{doing} {what}"), error))
    }

    /// The API server does not take what was sent.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(self, Self::Api(error) if error.kind == PortErrorKind::Invalid)
    }

    /// The cluster does not know the kind, does not take the object, or does not let it be written: until somebody acts
    /// there is no use in trying again.
    pub(super) fn is_refusal(&self) -> bool {
        use PortErrorKind::{Forbidden, Invalid, NotFound};
        let refused = |kind| matches!(kind, Forbidden | Invalid | NotFound);
        match self {
            Self::Api(error) => refused(error.kind),
            Self::Foreign(_) => true,
            _ => false,
        }
    }
}

impl From<WorkloadError> for PortError {
    fn from(error: WorkloadError) -> Self {
        let kind = match error {
            WorkloadError::Api(error) => return error,
            WorkloadError::Foreign(_) => PortErrorKind::Conflict,
            WorkloadError::NoGateway(_) => PortErrorKind::NotFound,
            WorkloadError::Going(_) | WorkloadError::NoAuthority | WorkloadError::Stopping(_) => {
                PortErrorKind::Unavailable
            }
        };
        Self::new(kind, error.to_string())
    }
}
