//! A cluster that is known by tokens of its ServiceAccount too.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapter_broker::identity::key::ClusterKey;
use adapter_broker::{BrokerEdge, ClientSettings};
use adapter_kubernetes::Config;
use app::attestor::Projected;
use app::system::{SystemClock, SystemEntropy};
use domain::broker::ports::{Audit, Clusters};
use domain::broker::{ClusterName, cluster::Thumbprint};
use domain::ports::{Clock, Edge};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;
use tests::broker::{Broker, EAST, Enrolled, client_settings};
use tests::world::World;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const ISSUER: &str = "https://kubernetes.default.svc";

const OWN: &str = "system:serviceaccount:cfgw-system:cfgw";

/// A key that a cluster signs tokens with.
struct Signing {
    id: &'static str,
    key: EncodingKey,
}

impl Signing {
    fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { id, key }
    }

    fn public(&self) -> Jwk {
        let mut public = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        public.common.key_id = Some(self.id.to_owned());
        public
    }

    /// A token as the kubelet gets it.
    fn token(&self, subject: &str) -> String {
        let now = SystemClock.now().0;
        let said = json!({
            "aud": ["cloudflare-gateway-broker"],
            "iss": ISSUER,
            "sub": subject,
            "iat": now,
            "nbf": now,
            "exp": now + 600,
        });
        let header = Header {
            typ: None,
            kid: Some(self.id.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        encode(&header, &said, &self.key).unwrap()
    }
}

/// An API server that publishes its keys, and the volume of a pod.
struct Kubernetes {
    api: MockServer,
    volume: TempDir,
}

impl Kubernetes {
    async fn start() -> Self {
        Self {
            api: MockServer::start().await,
            volume: tempfile::tempdir().unwrap(),
        }
    }

    async fn answers(&self, answer: ResponseTemplate) {
        self.api.reset().await;
        Mock::given(method("GET"))
            .and(path("/openid/v1/jwks"))
            .respond_with(answer)
            .mount(&self.api)
            .await;
    }

    /// The kubelet has written a token, and these keys are published.
    async fn signs(&self, by: &Signing, subject: &str, published: &[&Signing]) -> String {
        let keys: Vec<Jwk> = published.iter().map(|one| one.public()).collect();
        let set = json!({ "keys": keys }).to_string();
        let answer = ResponseTemplate::new(200).set_body_raw(set, "application/jwk-set+json");
        self.answers(answer).await;
        let token = by.token(subject);
        std::fs::write(self.file(), &token).unwrap();
        token
    }

    fn file(&self) -> PathBuf {
        self.volume.path().join("token")
    }

    fn attestor(&self) -> Projected {
        let config = Config::new(self.api.uri().parse().unwrap());
        let clients = adapter_kubernetes::connect_to(&config).unwrap();
        Projected::new(self.file(), clients.calls)
    }
}

/// Whoever has the key of the cluster: each call opens a session of its own.
struct Caller {
    settings: ClientSettings,
}

impl Caller {
    fn new(broker: &Broker, key: &ClusterKey) -> Self {
        let instance = Enrolled::of(EAST).instance;
        Self {
            settings: client_settings(broker.url(), key.clone(), instance),
        }
    }

    fn within(mut self, kubernetes: &Kubernetes) -> Self {
        self.settings.attestor = Some(Arc::new(kubernetes.attestor()));
        self
    }

    fn with_code(mut self, code: String) -> Self {
        self.settings.code = Some(SecretString::from(code));
        self
    }

    async fn call(&self) -> Result<(), String> {
        let entropy = Arc::new(SystemEntropy::default());
        let edge = BrokerEdge::new(&self.settings, Arc::new(SystemClock), entropy);
        let owned = edge.unwrap().owned().await;
        owned.map(|_| ()).map_err(|partial| partial.error.message)
    }

    /// Redeems its code, and calls until it is accepted.
    async fn enrol(&self) {
        for _ in 0..200 {
            if self.call().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?}", self.call().await);
    }
}

/// The thumbprint that the command in a message ends with.
fn thumbprint(message: &str) -> &str {
    let (_, rest) = message.split_once("--attest-anew ").expect(message);
    let print = rest.split('`').next().unwrap();
    Thumbprint::parse(print).expect(message);
    print
}

fn assert_refused(result: Result<(), String>, why: &str) -> String {
    let message = result.expect_err(why);
    assert!(message.contains(why), "{message}");
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_key_alone_opens_no_session_of_a_cluster_that_is_attested() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let kubernetes = Kubernetes::start().await;
    let (one, two, three) = (
        Signing::new("one"),
        Signing::new("two"),
        Signing::new("three"),
    );
    let key = ClusterKey::generate();
    let mut tokens = vec![kubernetes.signs(&one, OWN, &[&one]).await];
    let code = broker.invite(EAST).await;
    let controller = Caller::new(&broker, &key)
        .within(&kubernetes)
        .with_code(code);
    controller.enrol().await;
    let shown = broker.command(&["clusters"]).await;
    assert!(shown.contains(&format!("{OWN} of {ISSUER}")), "{shown}");

    let thief = Caller::new(&broker, &key);
    assert_refused(thief.call().await, "a session needs a token");
    // Another pod of the cluster, and the thief's own cluster.
    let default = "system:serviceaccount:cfgw-system:default";
    tokens.push(kubernetes.signs(&one, default, &[&one]).await);
    assert_refused(controller.call().await, "cfgw-system:default");
    let own = Kubernetes::start().await;
    let forged = Signing::new("one");
    tokens.push(own.signs(&forged, OWN, &[&forged]).await);
    let elsewhere = Caller::new(&broker, &key).within(&own);
    assert_refused(elsewhere.call().await, "not signed by a key of the cluster");

    // Old and new keys are published side by side.
    for (by, published) in [(&one, vec![&one, &two]), (&two, vec![&two])] {
        tokens.push(kubernetes.signs(by, OWN, &published).await);
        assert_eq!(controller.call().await, Ok(()), "{}", by.id);
    }
    tokens.push(kubernetes.signs(&one, OWN, &[&one]).await);
    assert_refused(
        controller.call().await,
        "not signed by a key of the cluster",
    );

    // It missed a rotation: whoever runs the broker consents.
    tokens.push(kubernetes.signs(&three, OWN, &[&three]).await);
    let message = assert_refused(controller.call().await, "--attest-anew");
    let print = thumbprint(&message);
    let its_key = key.thumbprint().as_str();
    let words = ["accept", "east", "--key", its_key, "--attest-anew", print];
    broker.command(&words).await;
    assert_eq!(controller.call().await, Ok(()));
    assert_refused(thief.call().await, "a session needs a token");

    let entries = broker.store.after(0, 1000).await.unwrap();
    let told = format!("{entries:?}");
    for word in [
        "attestation_required",
        "attestation_refused",
        "other keys of the cluster",
        "attested anew",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let signature = |token: &String| token.rsplit('.').next().unwrap().to_owned();
    for secret in tokens.iter().map(signature) {
        assert!(!told.contains(&secret) && !message.contains(&secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_not_attested_begins_it_by_consent_alone() {
    let world = World::start().await;
    let broker = Broker::start(&world).await;
    let (kubernetes, thiefs) = (Kubernetes::start().await, Kubernetes::start().await);
    let (one, two) = (Signing::new("one"), Signing::new("two"));
    kubernetes.signs(&one, OWN, &[&one]).await;
    thiefs.signs(&two, OWN, &[&two]).await;
    // The keys cannot be read.
    kubernetes.answers(ResponseTemplate::new(403)).await;
    let key = ClusterKey::generate();
    let code = broker.invite(EAST).await;
    let controller = Caller::new(&broker, &key)
        .within(&kubernetes)
        .with_code(code);
    controller.enrol().await;
    let attestation = async || {
        let name = ClusterName::parse(EAST.0).unwrap();
        let cluster = broker.store.cluster(&name).await.unwrap();
        cluster.attestation.map(|it| it.thumbprint().to_string())
    };
    let shown = broker.command(&["clusters"]).await;
    assert!(shown.trim_end().ends_with(" no"), "{shown}");

    let thief = Caller::new(&broker, &key).within(&thiefs);
    assert_eq!(thief.call().await, Ok(()));
    assert_eq!(attestation().await, None, "keys of a thief bind nothing");

    kubernetes.signs(&one, OWN, &[&one]).await;
    assert_eq!(controller.call().await, Ok(()));
    assert_eq!(attestation().await, None);
    let keys = serde_json::to_vec(&json!({ "keys": [one.public()] })).unwrap();
    let token = SecretString::from(one.token(OWN));
    let of_controller = domain::broker::attestation::Shown {
        token: Box::new(adapter_broker::attestation::ServiceAccountToken::new(token)),
        keys: adapter_broker::attestation::read_key_set(&keys).ok(),
    };
    let offered = of_controller.offered(SystemClock.now()).unwrap();
    let print = offered.thumbprint();
    let its_key = key.thumbprint().as_str();
    let anew = print.as_str();
    let words = ["accept", "east", "--key", its_key, "--attest-anew", anew];
    broker.command(&words).await;
    // The thief is first, and it helps nothing.
    assert_eq!(thief.call().await, Ok(()));
    assert_eq!(attestation().await, None);
    assert_eq!(controller.call().await, Ok(()));
    assert_eq!(attestation().await.as_deref(), Some(anew));
    assert_refused(thief.call().await, "not signed by a key of the cluster");
    let alone = Caller::new(&broker, &key);
    assert_refused(alone.call().await, "a session needs a token");
}
