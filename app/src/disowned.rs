//! Gateways of which the edge says that there is no such tunnel, or that the token is not its. An edge pass can mend
//! that, so it wakes one; but where it cannot, the edge says so again and again, and Cloudflare must not be asked
//! each time.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::names::ObjectKey;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// For this long after a pass was woken for a Gateway, no other is woken for it; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause. A Gateway of which nothing was said for so long begins anew.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Gateways that an edge pass is to look at.
#[derive(Default)]
pub struct Disowned {
    reports: Mutex<BTreeMap<ObjectKey, Report>>,
    due: Notify,
}

/// What the edge said of one Gateway.
struct Report {
    /// Whether a pass is to be woken for it.
    is_due: bool,
    pause: Duration,
    woken: Instant,
}

impl Disowned {
    /// The edge has said so of this Gateway.
    pub fn tell(&self, gateway: &ObjectKey) {
        let now = Instant::now();
        let mut reports = self.reports.lock();
        reports
            .retain(|_, report| report.is_due || now < report.woken + report.pause + LONGEST_PAUSE);
        match reports.get_mut(gateway) {
            Some(report) if report.is_due || now < report.woken + report.pause => return,
            Some(report) => {
                report.is_due = true;
                report.pause = (report.pause * 2).min(LONGEST_PAUSE);
                report.woken = now;
            }
            None => {
                let new = Report {
                    is_due: true,
                    pause: FIRST_PAUSE,
                    woken: now,
                };
                reports.insert(gateway.clone(), new);
            }
        }
        self.due.notify_one();
    }

    /// Waits until there are Gateways to look at, and takes them.
    pub async fn due(&self) -> Vec<ObjectKey> {
        loop {
            self.due.notified().await;
            let mut reports = self.reports.lock();
            let due = reports.iter_mut().filter_map(|(gateway, report)| {
                std::mem::take(&mut report.is_due).then(|| gateway.clone())
            });
            let due: Vec<_> = due.collect();
            if !due.is_empty() {
                return due;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn gateway(name: &str) -> ObjectKey {
        ObjectKey::new("infra", name)
    }

    /// What is due at once.
    async fn due(disowned: &Disowned) -> Vec<ObjectKey> {
        let due = tokio::time::timeout(Duration::ZERO, disowned.due()).await;
        due.unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_edge_says_again_and_again_wakes_a_pass_less_and_less_often() {
        let disowned = Disowned::default();
        let mut woken = Vec::new();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3600) {
            disowned.tell(&gateway("web"));
            if !due(&disowned).await.is_empty() {
                woken.push(began.elapsed().as_secs());
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(
            woken,
            [0, 5, 15, 35, 75, 155, 315, 635, 1235, 1835, 2435, 3035]
        );

        tokio::time::advance(2 * LONGEST_PAUSE).await;
        disowned.tell(&gateway("web"));
        due(&disowned).await;
        tokio::time::advance(FIRST_PAUSE).await;
        disowned.tell(&gateway("web"));
        assert_eq!(due(&disowned).await, [gateway("web")], "it began anew");
    }

    #[tokio::test(start_paused = true)]
    async fn one_gateway_does_not_wait_for_another() {
        let disowned = Disowned::default();
        disowned.tell(&gateway("web"));
        assert_eq!(due(&disowned).await, [gateway("web")]);
        disowned.tell(&gateway("web"));
        disowned.tell(&gateway("api"));
        assert_eq!(due(&disowned).await, [gateway("api")]);
    }
}
