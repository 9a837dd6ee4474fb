//! The Cloudflare API, version 4: a typed thin client.
//!
//! [`CloudflareClient`] opens one client per set of credentials; each makes one HTTP request per call
//! (one per page for lists) and answers in domain values or an [`PortError`].
//!
//! - [`call`](mod@call): what one call asks for; `client`: how it is sent.
//! - `envelope`: what Cloudflare wraps around every answer; `error`: what it means when it says no.
//! - `listing`: pages put together, complete or not at all.
//! - [`budget`]: how many requests a set of credentials may cost; `budgets`: which budget is whose.
//! - `tunnels`, `dns`, `custom_certificates`, `tokens`: the calls themselves; `wire`: their JSON.
//! - [`metrics`]: what calls are counted as; `settings`: how a client is made.

pub mod budget;
mod budgets;
pub mod call;
mod client;
mod custom_certificates;
mod dns;
mod envelope;
mod error;
#[cfg(test)]
mod fields;
mod listing;
pub mod metrics;
mod settings;
mod tokens;
mod tunnels;
mod wire;

use std::fmt;
use std::sync::Arc;

use domain::ports::{CloudflareAccounts, CloudflareApi, PortError};
use domain::secret::CloudflareCredentials;

pub use crate::metrics::Metrics;
pub use crate::settings::{ClientError, ClientSettings, DEFAULT_BASE_URL};

use crate::budgets::Budgets;
use crate::call::{CallHook, CallReport, RayHook, WriteGuard};
use crate::client::{AccountClient, Transport};

/// Opens the Cloudflare API for sets of credentials. Clients that are opened with the same token for the same account
/// share one budget.
pub struct CloudflareClient {
    transport: Transport,
    budgets: Arc<Budgets>,
    on_call: Option<CallHook>,
    on_ray: Option<RayHook>,
    /// Of whoever the calls are made for.
    meter: Option<CallHook>,
    may_write: Option<WriteGuard>,
}

impl CloudflareClient {
    /// A client for these settings. No call is made.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        Ok(Self {
            transport: Transport::new(settings)?,
            budgets: Arc::new(Budgets::new(settings.requests_per_window)),
            on_call: None,
            on_ray: None,
            meter: None,
            may_write: None,
        })
    }

    /// Calls `hook` for every request once its outcome is known; set before the first
    /// [`open`](CloudflareAccounts::open).
    #[must_use]
    pub fn on_call(mut self, hook: impl Fn(&CallReport) + Send + Sync + 'static) -> Self {
        self.on_call = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` with Cloudflare's ray id of every request that could change something or failed, as far as it was answered;
    /// set before the first [`open`](CloudflareAccounts::open). It is called where the call is made.
    #[must_use]
    pub fn on_ray(mut self, hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_ray = Some(Arc::new(hook));
        self
    }

    /// Asks before every request that could change something, once it is its turn, whether it may be sent; set before the first
    /// [`open`](CloudflareAccounts::open). It is asked where the call is made.
    #[must_use]
    pub fn guarded(mut self, may_write: fn() -> Result<(), PortError>) -> Self {
        self.may_write = Some(may_write);
        self
    }

    /// The same client, with the same connections and budgets, that also calls `meter` for every request that was sent.
    #[must_use]
    pub fn metered(&self, meter: impl Fn(&CallReport) + Send + Sync + 'static) -> Self {
        Self {
            transport: self.transport.clone(),
            budgets: self.budgets.clone(),
            on_call: self.on_call.clone(),
            on_ray: self.on_ray.clone(),
            meter: Some(Arc::new(meter)),
            may_write: self.may_write,
        }
    }
}

impl CloudflareAccounts for CloudflareClient {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        Arc::new(AccountClient::new(
            self.transport.clone(),
            credentials.clone(),
            self.budgets.of(credentials),
            [self.on_call.clone(), self.meter.clone()],
            self.on_ray.clone(),
            self.may_write,
        ))
    }
}

impl fmt::Debug for CloudflareClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudflareClient")
            .field("transport", &self.transport)
            .field("requests_per_window", &self.budgets.requests_per_window())
            .finish_non_exhaustive()
    }
}
