//! Why a command did not do what it was asked for, as kubectl says it, and the exit code that follows.

use std::fmt;

use kube::Error;

/// What the exit code tells a script. 0 is done; clap ends with [`Exit::Usage`] itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was not done, or what was looked at is not as it should be.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// It did not come about in time.
    TimedOut = 3,
}

/// Why a command ends without having done what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// What is wrong, with the beginning that kubectl gives it.
    message: String,
    /// What helps; empty where nothing is known.
    remedy: String,
}

impl Failure {
    /// Something is not as the command needs it.
    pub fn new(message: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: format!("error: {message}"),
            remedy: remedy.into(),
        }
    }

    /// The command line asks for something that there is not.
    pub fn usage(message: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::new(message, remedy)
        }
    }

    /// What was waited for did not come about.
    pub fn timed_out(message: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self {
            exit: Exit::TimedOut,
            message: format!("error: timed out: {message}"),
            remedy: remedy.into(),
        }
    }

    /// A call to the API server failed.
    fn of_call(error: &Error) -> Self {
        let told = adapter_kubernetes::told(error);
        let (message, remedy) = match error {
            Error::Api(status) => (
                format!("Error from server ({}): {told}", status.reason),
                remedy(status.code),
            ),
            Error::SerdeError(_) => (
                format!("error: {told}"),
                "use a cfgwctl of the controller's version",
            ),
            _ => (
                format!("Unable to connect to the server: {told}"),
                "check that the cluster runs, and name it with --context or --kubeconfig",
            ),
        };
        Self {
            exit: Exit::Failed,
            message,
            remedy: remedy.to_owned(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of_call(&error)
    }
}

/// What helps against an answer with this code.
fn remedy(code: u16) -> &'static str {
    match code {
        401 => "log in to the cluster again",
        403 => "ask for that permission, or use another --context",
        404 => "install the chart of cloudflare-gateway-controller and the CRDs of the Gateway API",
        409 => "run the command again",
        _ => "",
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.remedy.is_empty() {
            true => Ok(()),
            false => write!(f, "; {}", self.remedy),
        }
    }
}
