//! Calls about zones and their records: `/zones` (developers.cloudflare.com/api, "Zones", "DNS / Records").

use async_trait::async_trait;
use domain::ZoneId;
use domain::edge::objects::{DnsRecord, RecordBatch, Zone};
use domain::ports::{BATCH_LIMIT, DnsApi, PortError, PortErrorKind};
use reqwest::Method;

use crate::call::{Call, Permission};
use crate::client::AccountClient;
use crate::error::Failure;
use crate::wire::{WireBatch, WireRecord, WireZone};

/// The most that the API takes.
const ZONES_PER_PAGE: &str = "50";

/// Far below what the API takes (5,000,000), so that a page comes within the time of a request.
const RECORDS_PER_PAGE: &str = "1000";

#[async_trait]
impl DnsApi for AccountClient {
    async fn zones(&self) -> Result<Vec<Zone>, PortError> {
        let call = Call::new("list zones", Permission::Zones, Method::GET, &["zones"])
            .query("account.id", self.account())
            .query("per_page", ZONES_PER_PAGE);
        let zones: Vec<WireZone> = self.list(&call).await?;
        Ok(zones.into_iter().map(Zone::from).collect())
    }

    async fn zone_named(&self, name: &str) -> Result<Option<Zone>, PortError> {
        let call = Call::new("look up zone", Permission::Zones, Method::GET, &["zones"])
            .query("account.id", self.account())
            .query("name", name);
        let zones: Vec<WireZone> = self.list(&call).await?;
        let mut zones = zones.into_iter().map(Zone::from);
        Ok(zones.find(|zone| zone.name == name))
    }

    async fn records(&self, zone: &ZoneId) -> Result<Vec<DnsRecord>, PortError> {
        let path = ["zones", zone.as_str(), "dns_records"];
        let call = Call::new("list DNS records", Permission::Dns, Method::GET, &path)
            .query("per_page", RECORDS_PER_PAGE);
        let records: Vec<WireRecord> = self.list(&call).await?;
        Ok(records.into_iter().map(DnsRecord::from).collect())
    }

    async fn change_records(&self, zone: &ZoneId, batch: &RecordBatch) -> Result<(), PortError> {
        if batch.is_empty() {
            return Ok(());
        }
        let path = ["zones", zone.as_str(), "dns_records", "batch"];
        let call = Call::new("change DNS records", Permission::Dns, Method::POST, &path);
        if batch.len() > BATCH_LIMIT {
            let reason = format!(
                "{} operations, at most {BATCH_LIMIT} in one batch",
                batch.len()
            );
            return Err(self.explain(Failure::Broken(PortErrorKind::Invalid, reason), &call));
        }
        self.command(call.json(&WireBatch::from(batch))).await
    }
}
