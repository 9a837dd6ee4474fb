//! What is sealed, and by which key.

use domain::broker::credential::Version;
use domain::broker::grant::Account;
use domain::broker::{AccountName, ClusterName, PersonName, TenantName};
use domain::certificate::Fingerprint;
use domain::{AccountId, ObjectKey};

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::ring::KeyRing;
use super::written::WrittenKeys;
use super::*;

struct Counting(std::sync::atomic::AtomicU8);

impl Entropy for Counting {
    fn secret(&self) -> [u8; 32] {
        [self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed); 32]
    }
}

pub(super) fn line(id: &str, byte: u8) -> String {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    format!("{id} {key}\n")
}

fn envelopes(lines: &str) -> Envelopes {
    let keys = WrittenKeys::parse(&SecretString::from(lines)).unwrap();
    Envelopes::new(Arc::new(keys), Arc::new(Counting(0.into())))
}

fn account(name: &str, tenant: &str) -> Account {
    Account {
        name: AccountName::parse(name).unwrap(),
        tenant: TenantName::parse(tenant).unwrap(),
        cloudflare: AccountId::new("id"),
        shared: false,
        zones: None,
    }
}

#[tokio::test]
async fn a_token_is_opened_as_what_it_was_sealed_as_and_as_nothing_else() {
    let seal = envelopes(&line("one", 1));
    let (own, token) = (account("main", "acme"), SecretString::from("canary"));
    let sealed = seal
        .seal(Purpose::Token(&own, Version(1)), &token)
        .await
        .unwrap();
    assert!(!sealed.ciphertext.windows(6).any(|six| six == b"canary"));
    let opened = seal
        .open(Purpose::Token(&own, Version(1)), &sealed)
        .await
        .unwrap();
    assert_eq!(opened.expose_secret(), "canary");

    let again = seal
        .seal(Purpose::Token(&own, Version(1)), &token)
        .await
        .unwrap();
    assert_ne!(again, sealed);
    let mut changed = sealed.clone();
    *changed.ciphertext.last_mut().unwrap() ^= 1;
    let swapped = Sealed {
        wrapped: again.wrapped,
        ..sealed.clone()
    };
    let cut = Sealed {
        ciphertext: vec![0; 3],
        ..sealed.clone()
    };
    for (purpose, sealed) in [
        (
            Purpose::Token(&account("main", "other"), Version(1)),
            &sealed,
        ),
        (
            Purpose::Token(&account("second", "acme"), Version(1)),
            &sealed,
        ),
        (Purpose::Token(&own, Version(2)), &sealed),
        (
            Purpose::OneTimeCodes(&PersonName::parse("main").unwrap()),
            &sealed,
        ),
        (Purpose::Token(&own, Version(1)), &changed),
        (Purpose::Token(&own, Version(1)), &swapped),
        (Purpose::Token(&own, Version(1)), &cut),
    ] {
        let refused = seal.open(purpose, sealed).await;
        assert_eq!(refused.unwrap_err(), not_ours(), "{purpose:?}");
    }
}

#[tokio::test]
async fn a_certificates_key_is_opened_as_that_of_its_tenant_gateway_and_chain_alone() {
    let seal = envelopes(&line("one", 1));
    let tenant = |text: &str| TenantName::parse(text).unwrap();
    let cluster = |text: &str| ClusterName::parse(text).unwrap();
    let gateway = |text: &str| ObjectKey::new("default", text);
    let own = (
        tenant("acme"),
        cluster("east"),
        gateway("one"),
        Fingerprint::of(b"chain"),
    );
    let sealed = seal
        .seal(pair(&own), &SecretString::from("canary"))
        .await
        .unwrap();
    for (other, opens) in [
        (own.clone(), true),
        (
            (tenant("other"), own.1.clone(), own.2.clone(), own.3.clone()),
            false,
        ),
        (
            (own.0.clone(), cluster("west"), own.2.clone(), own.3.clone()),
            false,
        ),
        (
            (own.0.clone(), own.1.clone(), gateway("two"), own.3.clone()),
            false,
        ),
        (
            (
                own.0.clone(),
                own.1.clone(),
                own.2.clone(),
                Fingerprint::of(b"other"),
            ),
            false,
        ),
    ] {
        let opened = seal.open(pair(&other), &sealed).await;
        assert_eq!(opened.is_ok(), opens, "{other:?}");
    }
}

fn pair(of: &(TenantName, ClusterName, ObjectKey, Fingerprint)) -> Purpose<'_> {
    let (tenant, cluster, gateway, fingerprint) = of;
    Purpose::Pair {
        tenant,
        cluster,
        gateway,
        fingerprint,
    }
}

#[tokio::test]
async fn a_new_key_wraps_and_the_one_before_still_opens() {
    let (own, token) = (account("main", "acme"), SecretString::from("canary"));
    let before = envelopes(&line("one", 1));
    let sealed = before
        .seal(Purpose::Token(&own, Version(1)), &token)
        .await
        .unwrap();
    let both = envelopes(&(line("two", 2) + &line("one", 1)));
    let again = both
        .wrapped_again(&SecretId::token(&own.name, Version(1)), &sealed)
        .await
        .unwrap();
    assert_eq!(again.key, "two");
    let after = envelopes(&line("two", 2));
    let opened = after
        .open(Purpose::Token(&own, Version(1)), &again)
        .await
        .unwrap();
    assert_eq!(opened.expose_secret(), "canary");
    let lost = after
        .open(Purpose::Token(&own, Version(1)), &sealed)
        .await
        .unwrap_err();
    assert!(lost.message.contains("the key one is not there"), "{lost}");
    let other = envelopes(&line("two", 3));
    assert!(
        other
            .open(Purpose::Token(&own, Version(1)), &again)
            .await
            .is_err()
    );
}

/// Keys at a service: it is asked again for each, and may be away.
struct Service {
    name: &'static str,
    asked: AtomicUsize,
    /// After so many calls it is away.
    patience: AtomicUsize,
}

impl Service {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            asked: AtomicUsize::new(0),
            patience: AtomicUsize::new(usize::MAX),
        })
    }

    fn answer(&self, bytes: &[u8]) -> Result<Vec<u8>, PortError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        match asked < self.patience.load(Ordering::Relaxed) {
            true => Ok(bytes.iter().map(|byte| byte ^ 0x55).collect()),
            false => Err(PortError::unavailable("away")),
        }
    }

    fn goes_after(&self, calls: usize) {
        let asked = self.asked.load(Ordering::Relaxed);
        self.patience.store(asked + calls, Ordering::Relaxed);
    }

    fn comes_back(&self) {
        self.patience.store(usize::MAX, Ordering::Relaxed);
    }
}

#[async_trait]
impl KeyWrap for Service {
    async fn current(&self) -> Result<String, PortError> {
        Ok(self.name.to_owned())
    }

    fn has(&self, key: &str) -> bool {
        key == self.name
    }

    async fn wrap(&self, data_key: &SecretSlice<u8>) -> Result<Wrapped, PortError> {
        Ok(Wrapped {
            key: self.name.to_owned(),
            bytes: self.answer(data_key.expose_secret())?,
        })
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<SecretSlice<u8>, PortError> {
        self.answer(&wrapped.bytes).map(SecretSlice::from)
    }
}

#[tokio::test]
async fn what_was_opened_once_is_opened_while_the_keys_are_away_and_nothing_new_is_sealed() {
    let service = Service::new("service");
    let broker = || Envelopes::new(service.clone(), Arc::new(Counting(0.into())));
    let (own, token) = (account("main", "acme"), SecretString::from("canary"));
    let purpose = Purpose::Token(&own, Version(1));
    let (one, another) = (broker(), broker());
    let sealed = one.seal(purpose, &token).await.unwrap();
    another.open(purpose, &sealed).await.unwrap();
    service.goes_after(0);
    for seal in [&one, &another] {
        let opened = seal.open(purpose, &sealed).await.unwrap();
        assert_eq!(opened.expose_secret(), "canary");
    }
    let unavailable = PortError::unavailable("away");
    let begun = broker().open(purpose, &sealed).await;
    assert_eq!(begun.unwrap_err(), unavailable, "a broker that starts");
    assert_eq!(one.seal(purpose, &token).await, Err(unavailable));
    // What is in memory opens nothing else.
    let other = account("other", "acme");
    let swapped = one.open(Purpose::Token(&other, Version(1)), &sealed).await;
    assert_eq!(swapped.unwrap_err(), not_ours());
    service.comes_back();
    broker().open(purpose, &sealed).await.unwrap();
}

/// Secrets of which nothing but the wrapping counts.
#[derive(Default)]
struct Shelf(Mutex<Vec<(SecretId, Sealed)>>);

#[async_trait]
impl Secrets for Shelf {
    async fn wrapped_otherwise(
        &self,
        key: &str,
        limit: usize,
    ) -> Result<Vec<(SecretId, Sealed)>, StoreError> {
        let all = self.0.lock();
        let others = all.iter().filter(|(_, sealed)| sealed.key != key);
        Ok(others.take(limit).cloned().collect())
    }

    async fn wrap_again(
        &self,
        secret: &SecretId,
        before: &Sealed,
        after: &Sealed,
    ) -> Result<(), StoreError> {
        let mut all = self.0.lock();
        let known = all
            .iter_mut()
            .find(|(id, sealed)| id == secret && sealed == before);
        if let Some((_, sealed)) = known {
            *sealed = after.clone();
        }
        Ok(())
    }
}

#[tokio::test]
async fn wrapping_again_goes_to_any_kind_of_key_and_can_be_interrupted_anywhere() {
    let entropy: Arc<dyn Entropy> = Arc::new(Counting(0.into()));
    let file = |id: &str| -> Arc<dyn KeyWrap> {
        Arc::new(WrittenKeys::parse(&SecretString::from(line(id, 1))).unwrap())
    };
    let (one, other) = (Service::new("one"), Service::new("other"));
    let shelf = Shelf::default();
    let names: Vec<_> = ["ada", "bob", "eve"]
        .map(|name| PersonName::parse(name).unwrap())
        .into();
    let before = Envelopes::new(file("written"), entropy.clone());
    for name in &names {
        let secret = SecretString::from(format!("canary of {name}"));
        let sealed = before
            .seal(Purpose::OneTimeCodes(name), &secret)
            .await
            .unwrap();
        shelf
            .0
            .lock()
            .push((SecretId::one_time_codes(name), sealed));
    }
    /// What seals from then on, what did before, and which of the two ends in between.
    type Step<'s> = (Arc<dyn KeyWrap>, Arc<dyn KeyWrap>, &'s Service);
    let steps: [Step<'_>; 4] = [
        (one.clone(), file("written"), &one),
        (other.clone(), one.clone(), &other),
        (file("another"), other.clone(), &other),
        (one.clone(), file("another"), &one),
    ];
    for (to, from, interrupted) in steps {
        let key = to.current().await.unwrap();
        let ring = Arc::new(KeyRing::new(to, vec![from]));
        for calls in 0..2 {
            interrupted.goes_after(calls);
            let envelopes = Envelopes::new(ring.clone(), entropy.clone());
            assert!(envelopes.wrap_again(&shelf).await.is_err(), "{key} {calls}");
            interrupted.comes_back();
            assert_eq!(opened(&ring, &shelf, &names).await, 3, "{key} {calls}");
        }
        let envelopes = Envelopes::new(ring.clone(), entropy.clone());
        envelopes.wrap_again(&shelf).await.unwrap();
        assert_eq!(envelopes.wrap_again(&shelf).await, Ok(0), "{key}");
        assert!(shelf.0.lock().iter().all(|(_, sealed)| sealed.key == key));
        assert_eq!(opened(&ring, &shelf, &names).await, 3, "{key}");
    }
}

/// How many of the secrets are what they were.
async fn opened(ring: &Arc<KeyRing>, shelf: &Shelf, names: &[PersonName]) -> usize {
    let envelopes = Envelopes::new(ring.clone(), Arc::new(Counting(0.into())));
    let all = shelf.0.lock().clone();
    let mut count = 0;
    for (name, (_, sealed)) in names.iter().zip(&all) {
        let opened = envelopes.open(Purpose::OneTimeCodes(name), sealed).await;
        let opened = opened.unwrap();
        count += usize::from(opened.expose_secret() == format!("canary of {name}"));
    }
    count
}
