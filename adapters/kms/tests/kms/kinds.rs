//! Secrets go from one kind of key to another.

use std::sync::{Arc, Mutex};

use adapter_broker::seal::Envelopes;
use adapter_broker::seal::ring::KeyRing;
use adapter_broker::seal::written::WrittenKeys;
use adapter_kms::{Pkcs11Keys, VaultKeys};
use async_trait::async_trait;
use domain::broker::PersonName;
use domain::broker::ports::{KeyWrap, Purpose, Seal, Sealed, SecretId, Secrets, StoreError};
use secrecy::{ExposeSecret, SecretString};

use crate::Counting;
use crate::softhsm::with_token;
use crate::transit::Vault;

/// A secret on its way.
struct One(Mutex<Sealed>);

impl One {
    fn id() -> SecretId {
        SecretId::one_time_codes(&ada())
    }

    fn sealed(&self) -> Sealed {
        self.0.lock().unwrap().clone()
    }
}

fn ada() -> PersonName {
    PersonName::parse("ada").unwrap()
}

#[async_trait]
impl Secrets for One {
    async fn wrapped_otherwise(
        &self,
        key: &str,
        _limit: usize,
    ) -> Result<Vec<(SecretId, Sealed)>, StoreError> {
        let sealed = self.sealed();
        Ok(Vec::from_iter(
            (sealed.key != key).then(|| (Self::id(), sealed)),
        ))
    }

    async fn wrap_again(
        &self,
        _secret: &SecretId,
        _before: &Sealed,
        after: &Sealed,
    ) -> Result<(), StoreError> {
        *self.0.lock().unwrap() = after.clone();
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_goes_from_a_file_to_a_token_to_vault_and_back() {
    let name = "kinds::a_secret_goes_from_a_file_to_a_token_to_vault_and_back";
    let Some(token) = with_token(name) else {
        return;
    };
    token.make_key("cfgw");
    let vault = Vault::double().await;
    let written = SecretString::from("first MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let file: Arc<dyn KeyWrap> = Arc::new(WrittenKeys::parse(&written).unwrap());
    let module = Pkcs11Keys::new(token.settings("cfgw"), Arc::new(Counting::default()));
    let module: Arc<dyn KeyWrap> = Arc::new(module.unwrap());
    let service: Arc<dyn KeyWrap> = Arc::new(VaultKeys::new(vault.settings()).unwrap());
    let sealing = |seals: &Arc<dyn KeyWrap>| {
        let others = vec![file.clone(), module.clone(), service.clone()];
        let ring = KeyRing::new(seals.clone(), others);
        Envelopes::new(Arc::new(ring), Arc::new(Counting::default()))
    };
    let (name, secret) = (ada(), SecretString::from("canary"));
    let purpose = Purpose::OneTimeCodes(&name);
    let one = One(Mutex::new(
        sealing(&file).seal(purpose, &secret).await.unwrap(),
    ));
    for (seals, key) in [
        (&module, "pkcs11:cfgw"),
        (&service, "vault:transit/cfgw:v1"),
        (&module, "pkcs11:cfgw"),
        (&file, "first"),
        (&service, "vault:transit/cfgw:v1"),
        (&file, "first"),
    ] {
        let envelopes = sealing(seals);
        assert_eq!(envelopes.wrap_again(&one).await, Ok(1), "{key}");
        assert_eq!(one.sealed().key, key);
        let opened = sealing(seals).open(purpose, &one.sealed()).await.unwrap();
        assert_eq!(opened.expose_secret(), "canary", "{key}");
    }
    // The next version of a key at Vault is another key.
    sealing(&service).wrap_again(&one).await.unwrap();
    vault.rotate().await;
    assert_eq!(sealing(&service).wrap_again(&one).await, Ok(1));
    assert_eq!(one.sealed().key, "vault:transit/cfgw:v2");
}
