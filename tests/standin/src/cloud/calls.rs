//! The log of API calls.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::Cloud;

/// One call of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Counts from 1, in order of arrival.
    pub n: u64,
    /// When it arrived.
    pub time: Timestamp,
    /// Like `POST`.
    pub method: String,
    /// Below `/client/v4`, like `/zones/…/dns_records`.
    pub path: String,
    /// Without the question mark; empty where there is none.
    pub query: String,
    /// What was answered; absent while under way and when the connection was cut.
    pub status: Option<u16>,
    /// Id of the token, never its value; absent when no known token was sent.
    pub token: Option<String>,
    /// Whether its method can change something.
    pub write: bool,
}

#[derive(Default)]
pub(super) struct CallLog(Mutex<Vec<Call>>);

impl CallLog {
    fn with<R>(&self, use_it: impl FnOnce(&mut Vec<Call>) -> R) -> R {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cloud {
    /// Every call since the start or the last [`forget_calls`](Self::forget_calls), oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.with(|calls| calls.clone())
    }

    /// Calls that can change something, oldest first.
    pub fn writes(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.write);
        calls
    }

    /// Empties the log. Numbers start again at 1.
    pub fn forget_calls(&self) {
        self.shared.calls.with(Vec::clear);
    }

    /// Notes the arrival of a call and returns its number.
    pub(crate) fn call_arrived(&self, mut call: Call) -> u64 {
        self.shared.calls.with(|calls| {
            call.n = calls.len() as u64 + 1;
            let n = call.n;
            calls.push(call);
            n
        })
    }

    /// Notes how a call was answered. `arrived` tells it from one with the same number before the log
    /// was emptied.
    pub(crate) fn call_answered(&self, n: u64, arrived: Timestamp, status: u16) {
        self.shared.calls.with(|calls| {
            let index = usize::try_from(n - 1).unwrap_or(usize::MAX);
            if let Some(call) = calls.get_mut(index).filter(|c| c.time == arrived) {
                call.status = Some(status);
            }
        });
    }
}
