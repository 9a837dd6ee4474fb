//! Columns as values.

use std::collections::BTreeSet;
use std::fmt::Display;

use domain::broker::AccountName;
use domain::broker::ports::StoreError;
use domain::{Hostname, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::{failed, malformed};

/// A row whose columns are known by name.
pub(crate) struct Columns<'r>(pub(crate) &'r AnyRow);

impl Columns<'_> {
    pub(crate) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.0.try_get(column).map_err(failed)
    }

    pub(crate) fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.0.try_get(column).map_err(failed)
    }

    /// A text that is a value of the domain.
    pub(crate) fn parsed<T, E: Display>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        parse(&text).map_err(|error| StoreError::Failed(format!("{column} in the store: {error}")))
    }

    /// A text that is JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        self.parsed(column, |text| serde_json::from_str(text))
    }

    pub(crate) fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        self.0.try_get(column).map_err(failed)
    }

    /// The accounts of a Gateway, and those of before.
    pub(crate) fn accounts(
        &self,
    ) -> Result<(BTreeSet<AccountName>, BTreeSet<AccountName>), StoreError> {
        Ok((self.json("accounts")?, self.json("former")?))
    }

    pub(crate) fn digest(&self, column: &str) -> Result<[u8; 32], StoreError> {
        self.bytes(column)?
            .try_into()
            .map_err(|_| malformed("a digest"))
    }

    pub(crate) fn number(&self, column: &str) -> Result<i64, StoreError> {
        self.0.try_get(column).map_err(failed)
    }

    pub(crate) fn count(&self, column: &str) -> Result<u64, StoreError> {
        u64::try_from(self.number(column)?).map_err(|_| malformed("a count"))
    }

    pub(crate) fn moment(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.number(column).map(Timestamp)
    }

    pub(crate) fn optional_moment(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let number: Option<i64> = self.0.try_get(column).map_err(failed)?;
        Ok(number.map(Timestamp))
    }

    pub(crate) fn hostname(&self, column: &str) -> Result<Hostname, StoreError> {
        self.parsed(column, Hostname::parse)
    }
}

/// A count as a column takes it.
pub(crate) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
