//! The Cloudflare API, version 4: a typed thin client.
//!
//! [`CloudflareClient`] opens one client per set of credentials; each makes one HTTP request per call
//! (one per page for lists) and answers in domain values or an [`EdgeError`](domain::edge::EdgeError).
//!
//! - [`call`](mod@call): what one call asks for; `client`: how it is sent.
//! - `envelope`: what Cloudflare wraps around every answer; `error`: what it means when it says no.
//! - `listing`: pages put together, complete or not at all.
//! - [`budget`]: how many requests an account may cost.
//! - `tunnels`, `dns`, `custom_certificates`, `tokens`: the calls themselves; `wire`: their JSON.
//! - [`metrics`]: what calls are counted as; `settings`: how a client is made.

pub mod budget;
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

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use domain::AccountId;
use domain::ports::{CloudflareAccounts, CloudflareApi};
use domain::secret::CloudflareCredentials;

pub use crate::metrics::Metrics;
pub use crate::settings::{ClientError, ClientSettings, DEFAULT_BASE_URL};

use crate::budget::Budget;
use crate::call::{CallHook, CallReport};
use crate::client::{AccountClient, Transport};

/// Opens the Cloudflare API for sets of credentials.
///
/// Cloudflare counts requests per user or token (developers.cloudflare.com/fundamentals/api/reference/limits).
/// The tokens of one account mostly belong to one user, so all clients opened for an account share one
/// budget, however many tokens they use.
pub struct CloudflareClient {
    transport: Transport,
    requests_per_window: u32,
    budgets: Mutex<HashMap<AccountId, Arc<Budget>>>,
    on_call: Option<CallHook>,
}

impl CloudflareClient {
    /// A client for these settings. No call is made.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        Ok(Self {
            transport: Transport::new(settings)?,
            requests_per_window: settings.requests_per_window,
            budgets: Mutex::default(),
            on_call: None,
        })
    }

    /// Tells `hook` of every request once its outcome is known; set before the first
    /// [`open`](CloudflareAccounts::open).
    #[must_use]
    pub fn on_call(mut self, hook: impl Fn(&CallReport) + Send + Sync + 'static) -> Self {
        self.on_call = Some(Arc::new(hook));
        self
    }

    fn budget_of(&self, account: &AccountId) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets
            .entry(account.clone())
            .or_insert_with(|| Arc::new(Budget::new(self.requests_per_window)));
        Arc::clone(budget)
    }
}

impl CloudflareAccounts for CloudflareClient {
    fn open(&self, credentials: &CloudflareCredentials) -> Arc<dyn CloudflareApi> {
        Arc::new(AccountClient::new(
            self.transport.clone(),
            credentials.clone(),
            self.budget_of(&credentials.account),
            self.on_call.clone(),
        ))
    }
}

impl fmt::Debug for CloudflareClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudflareClient")
            .field("transport", &self.transport)
            .field("requests_per_window", &self.requests_per_window)
            .finish_non_exhaustive()
    }
}
