//! What a broker keeps, and how it is sealed. Each call that changes something is one transaction, the [`Event`] that tells of
//! it included: what is not in the audit did not happen.
//!
//! A [`StoreError::Refused`] changed nothing. After any other error it is not known whether something was changed, and
//! each call can be made again.

mod checkpoints;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use secrecy::{SecretSlice, SecretString};

use super::attestation::{Attestation, Attested, Shown};
use super::audit::checkpoint::KeyId;
use super::audit::{End, Entry, Event};
use super::budget::{Budget, Spending, Spent};
use super::cluster::{Cluster, Identity, Thumbprint, WhenExpired};
use super::contact::Contact;
use super::credential::{Slots, Version};
use super::grant::{Account, Grant};
use super::held::{Held, Place, Stated, Statement};
use super::lease::Versions;
use super::names::{AccountName, ClusterName, PersonName, TenantName};
use super::notice;
use super::oidc::{SignedIn, Vouched};
use super::refusal::Refusal;
use super::role::Person;
use super::settle::Settled;
#[allow(unused_imports, reason = "named in documentation")]
use super::sign_in::Attempts;
#[allow(unused_imports, reason = "named in documentation")]
use super::work::Queue;
use super::work::{Holder, Taken};
use crate::certificate::Fingerprint;
use crate::edge::EdgeStatus;
use crate::edge::ports::Edge;
use crate::edge::rehearsal::RehearsedAccounts;
use crate::error::{PortError, PortErrorKind};
use crate::names::{Hostname, InstanceId, ObjectKey, Timestamp};
use crate::secret::TokenHash;

pub use checkpoints::{Checkpoints, SigningKey};

/// Why a store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database does not answer, or what is in it cannot be read.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// Tenants and their clusters.
#[async_trait]
pub trait Clusters: Send + Sync {
    async fn tenants(&self) -> Result<Vec<TenantName>, StoreError>;

    /// Writes nothing where it is there already.
    async fn put_tenant(&self, tenant: &TenantName, event: Event) -> Result<(), StoreError>;

    /// Refused while it has clusters, accounts, grants or people.
    async fn remove_tenant(&self, tenant: &TenantName, event: Event) -> Result<(), StoreError>;

    /// All clusters, or those of a tenant.
    async fn clusters(&self, tenant: Option<&TenantName>) -> Result<Vec<Cluster>, StoreError>;

    async fn cluster(&self, name: &ClusterName) -> Result<Cluster, StoreError>;

    /// Makes the cluster where there is none, and gives out a code in any case; earlier codes and keys end. Refused while
    /// something is left of one that was given up.
    async fn invite(&self, invitation: Invitation, event: Event) -> Result<Cluster, StoreError>;

    /// Redeems a code. `now` decides whether it is too old.
    async fn redeem(
        &self,
        code: &Digest,
        identity: Identity,
        attestation: Option<Attestation>,
        public_key: &str,
        now: Timestamp,
        event: Event,
    ) -> Result<Cluster, StoreError>;

    /// Changes where a cluster stands, and leaves the work that its Gateways have for that.
    async fn turn(
        &self,
        name: &ClusterName,
        turn: Turn,
        event: Event,
    ) -> Result<Cluster, StoreError>;

    /// What was found of the contact of a cluster, unless it was turned away or heard of since `last`. What follows is left as
    /// work. Whether it is news; else nothing is written.
    async fn note_contact(
        &self,
        name: &ClusterName,
        last: Option<Timestamp>,
        contact: Contact,
        event: Event,
    ) -> Result<bool, StoreError>;

    /// It was heard of, from a controller of this version. Refused where it is not served any more. `event` is for what is news:
    /// that it was not heard of for long, or another version.
    async fn hear(
        &self,
        name: &ClusterName,
        controller: &str,
        event: Event,
    ) -> Result<Cluster, StoreError>;

    /// A session for whoever proved that they have this key, and shows this ([`Cluster::attest`]): that of the cluster that it is
    /// of, which was heard of then. `event` gets its name, and is of the time that tokens must be valid at.
    async fn open_session(
        &self,
        session: Session,
        identity: &Identity,
        shown: Option<&Shown>,
        event: Event,
    ) -> Result<(Cluster, Attested), StoreError>;

    /// The cluster of a session that is not over. Refused in the same words whatever is wrong with it.
    async fn session(
        &self,
        token: &Digest,
        now: Timestamp,
    ) -> Result<(Cluster, Thumbprint), StoreError>;

    /// A controller of the cluster begins to lead. The new term. Refused where the cluster is not served any more.
    async fn begin_term(&self, name: &ClusterName, event: Event) -> Result<u64, StoreError>;
}

/// The SHA-256 of a code or token of 32 unpredictable bytes. The text itself is kept nowhere.
pub type Digest = [u8; 32];

/// A code that is given out.
#[derive(Debug, Clone)]
pub struct Invitation {
    pub cluster: ClusterName,
    pub tenant: TenantName,
    pub when_expired: WhenExpired,
    pub code: Digest,
    pub expires: Timestamp,
}

/// What whoever runs the broker does with a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    Accept {
        key: Thumbprint,
        /// What it is attested by from its next session on, in place of what it was.
        attest_anew: Option<Thumbprint>,
    },
    Revoke,
    /// Its connectors are shut out as well.
    Quarantine,
    /// Everything that it has is removed.
    GiveUp,
    /// Everything that it has stays, and its statements and claims are forgotten.
    Release,
    /// What becomes of it once it has expired, in place of what was seen.
    WhenExpired {
        seen: WhenExpired,
        then: WhenExpired,
    },
}

/// A session of a cluster or a person.
#[derive(Debug, Clone)]
pub struct Session {
    pub token: Digest,
    pub expires: Timestamp,
}

/// Cloudflare accounts and the tokens for them.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// All of them, or those of a tenant and those that are shared.
    async fn accounts(&self, tenant: Option<&TenantName>) -> Result<Vec<Account>, StoreError>;

    async fn account(&self, name: &AccountName) -> Result<Account, StoreError>;

    /// Puts an account in the place of the one of its name that was seen, if any was. Refused where there is another one by now,
    /// and where one of this name is of another Cloudflare account or tenant. One that is there already is not written.
    async fn put_account(
        &self,
        account: &Account,
        seen: Option<&Account>,
        event: Event,
    ) -> Result<(), StoreError>;

    /// Removes an account as it was seen. Refused where it is another one by now, and while a Gateway has its tunnel there.
    async fn remove_account(&self, seen: &Account, event: Event) -> Result<(), StoreError>;

    /// The slots of an account, and their change.
    async fn slots(&self, name: &AccountName) -> Result<Slots, StoreError>;

    /// Puts a sealed token into the next slot. Refused unless `expected` is the version that it gets, which is what it was
    /// sealed under.
    async fn offer(
        &self,
        name: &AccountName,
        sealed: Sealed,
        expected: Version,
        event: Event,
    ) -> Result<(), StoreError>;

    /// What came of trying a token, or of a call that was made with it. Versions that are not kept are wiped.
    async fn judge(
        &self,
        name: &AccountName,
        judgement: Judgement,
        now: Timestamp,
        event: Event,
    ) -> Result<Slots, StoreError>;

    async fn sealed(&self, name: &AccountName, version: Version) -> Result<Sealed, StoreError>;
}

/// Everything that is sealed, whatever it is for.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Secrets whose data key is wrapped by another key than this one, at most `limit` of them.
    async fn wrapped_otherwise(
        &self,
        key: &str,
        limit: usize,
    ) -> Result<Vec<(SecretId, Sealed)>, StoreError>;

    /// Replaces the wrapping of a data key, if the secret is still sealed as `before`.
    async fn wrap_again(
        &self,
        secret: &SecretId,
        before: &Sealed,
        after: &Sealed,
    ) -> Result<(), StoreError>;
}

/// By what the store knows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretId {
    /// `account main`, `person ada`, `signing key 0123…`.
    pub owner: String,
    pub version: Version,
}

impl SecretId {
    /// That of an account's token.
    pub fn token(account: &AccountName, version: Version) -> Self {
        Self {
            owner: format!("account {account}"),
            version,
        }
    }

    /// That of what a person's one-time codes come from.
    pub fn one_time_codes(person: &PersonName) -> Self {
        Self {
            owner: format!("person {person}"),
            version: Version(1),
        }
    }

    /// That of a certificate of a Gateway with its key.
    pub fn pair(cluster: &ClusterName, gateway: &ObjectKey, fingerprint: &Fingerprint) -> Self {
        Self {
            owner: format!("certificate {cluster} {gateway} {fingerprint}"),
            version: Version(1),
        }
    }

    /// That of the private half of a key that the audit is signed with.
    pub fn signing_key(key: &KeyId) -> Self {
        Self {
            owner: format!("signing key {key}"),
            version: Version(1),
        }
    }
}

/// People who have a password at the broker, and everybody who is signed in.
#[async_trait]
pub trait People: Send + Sync {
    async fn people(&self) -> Result<Vec<Person>, StoreError>;

    /// Makes a person, or gives another password, other codes and other roles to one. Whoever is signed in as that
    /// person is not any more, and failures are forgotten.
    async fn put_person(
        &self,
        person: &Person,
        password: PasswordHash,
        codes: Sealed,
        event: Event,
    ) -> Result<(), StoreError>;

    async fn remove_person(&self, name: &PersonName, event: Event) -> Result<(), StoreError>;

    /// An attempt to sign in begins ([`Attempts::begin`]): what it is compared with. `None` where there is no such person.
    async fn begin_sign_in(
        &self,
        name: &PersonName,
        now: Timestamp,
    ) -> Result<Option<Credentials>, StoreError>;

    /// It was good ([`Attempts::succeed`]), with the one-time code of this time step.
    async fn sign_in(
        &self,
        name: &PersonName,
        step: u64,
        session: Session,
        event: Event,
    ) -> Result<(), StoreError>;

    /// Whose a session is that is not over. Refused in the same words whatever is wrong with it.
    async fn signed_in(&self, token: &Digest, now: Timestamp) -> Result<SignedIn, StoreError>;

    /// Somebody whom a provider vouched for signs in. Refused where the token that showed it was used already.
    async fn sign_in_vouched(
        &self,
        vouched: &Vouched,
        used: UsedToken,
        session: Session,
        event: Event,
    ) -> Result<(), StoreError>;

    async fn sign_out(&self, token: &Digest, event: Event) -> Result<(), StoreError>;

    /// Ends every session of somebody. How many there were.
    async fn sign_out_everywhere(&self, whom: &Whom, event: Event) -> Result<u64, StoreError>;
}

/// Somebody who may be signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// With a password.
    Person(PersonName),
    /// By a provider's word.
    Vouched {
        /// The URL of the provider, as its tokens have it.
        issuer: String,
        /// Their subject there.
        id: String,
    },
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(name) => name.fmt(f),
            Self::Vouched { issuer, id } => write!(f, "({issuer} {id})"),
        }
    }
}

/// A token of a provider that is good once.
#[derive(Debug, Clone)]
pub struct UsedToken {
    /// The SHA-256 of what its signature is over: the signature itself has several forms.
    pub token: Digest,
    /// It has to be remembered until then.
    pub until: Timestamp,
}

/// A hash of a password from which it cannot be guessed at a bearable cost, in the form of its algorithm (PHC string).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

/// What somebody who signs in has to know and to have.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub person: Person,
    pub password: PasswordHash,
    /// What the one-time codes come from.
    pub codes: Sealed,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It does all that is needed, and sees these zones; `None` where it may not list them.
    Works {
        version: Version,
        zones: Option<BTreeSet<String>>,
    },
    /// It cannot be used.
    Fails(Version),
    /// A call that was made with it was not let in.
    Refused(Version),
    /// Time has passed.
    Expire,
}

/// A secret as it is stored: enciphered with a data key of its own, which is wrapped by another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key that wraps the data key.
    pub key: String,
    pub wrapped: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

/// A data key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The id of the key that wrapped it.
    pub key: String,
    pub bytes: Vec<u8>,
}

/// Keys that wrap data keys: in a file, in a module, at a service. No error names what a tenant must not know: where a
/// service is, what it said.
#[async_trait]
pub trait KeyWrap: Send + Sync {
    /// The id of the key that data keys are wrapped by now.
    async fn current(&self) -> Result<String, PortError>;

    /// Whether a key of this id is one of these.
    fn has(&self, key: &str) -> bool;

    async fn wrap(&self, data_key: &SecretSlice<u8>) -> Result<Wrapped, PortError>;

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<SecretSlice<u8>, PortError>;
}

/// Seals secrets and opens them again. What is opened as something else than it was sealed as is refused: rows cannot be
/// swapped.
#[async_trait]
pub trait Seal: Send + Sync {
    async fn seal(&self, purpose: Purpose<'_>, secret: &SecretString) -> Result<Sealed, PortError>;

    async fn open(&self, purpose: Purpose<'_>, sealed: &Sealed) -> Result<SecretString, PortError>;
}

/// What a secret is.
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'s> {
    /// An API token of an account.
    Token(&'s Account, Version),
    /// What the one-time codes of a person come from.
    OneTimeCodes(&'s PersonName),
    /// A certificate of a Gateway with its key.
    Pair {
        tenant: &'s TenantName,
        cluster: &'s ClusterName,
        gateway: &'s ObjectKey,
        fingerprint: &'s Fingerprint,
    },
    /// The private half of a key that the audit is signed with.
    SigningKey(&'s KeyId),
}

/// Grants.
#[async_trait]
pub trait Grants: Send + Sync {
    async fn grants(&self, tenant: &TenantName) -> Result<Vec<Grant>, StoreError>;

    /// Puts a grant in the place of the one of its name that was seen, if any was. Refused where there is another one by now. One
    /// that is there already is not written; else every Gateway of the tenant has work.
    async fn put_grant(
        &self,
        grant: &Grant,
        seen: Option<&Grant>,
        event: Event,
    ) -> Result<(), StoreError>;

    /// Removes a grant as it was seen. Refused where it is another one by now.
    async fn remove_grant(&self, seen: &Grant, event: Event) -> Result<(), StoreError>;
}

/// What clusters state, whose hostnames are, and what came of it.
#[async_trait]
pub trait Intents: Send + Sync {
    /// Which Gateways a cluster has, and where.
    async fn placed(&self, cluster: &ClusterName) -> Result<Placed, StoreError>;

    /// The Gateways of a cluster of which something was stated, with their versions ([`Held::version`]).
    async fn versions(&self, cluster: &ClusterName) -> Result<Versions, StoreError>;

    /// One Gateway; `None` where nothing was ever stated of it, or nothing is left.
    async fn held(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
    ) -> Result<Option<Held>, StoreError>;

    /// Takes a statement ([`Held::state`]) in the newest term of the cluster, and leaves work where it is needed. Of one that
    /// is true already nothing is written, its place neither. Refused where the cluster is not served any more.
    async fn state(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        statement: Statement,
        place: Place,
        if_match: Option<u64>,
        event: Event,
    ) -> Result<(Stated, Held), StoreError>;

    /// Why certificates of a cluster may not be shown ([`super::certificates::decide`]), by their Secrets, each with its names; nothing
    /// of those that may.
    async fn refused_certificates(
        &self,
        cluster: &ClusterName,
        wanted: &BTreeMap<ObjectKey, BTreeSet<Hostname>>,
        now: Timestamp,
    ) -> Result<BTreeMap<ObjectKey, Refusal>, StoreError>;

    /// Chain and key of a certificate, while they are kept ([`Held::pairs`]).
    async fn sealed_pair(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Sealed>, StoreError>;

    /// Notes which tokens are replaced ([`Held::note_tokens`]), and gives those that are. Fails where somebody else has the work
    /// since, or nobody.
    async fn note_tokens(
        &self,
        taken: &Taken,
        found: BTreeSet<TokenHash>,
    ) -> Result<BTreeSet<TokenHash>, StoreError>;

    /// Decides which hostnames a Gateway gets ([`super::settle`](mod@super::settle)), claims them, and writes that
    /// down ([`Held::place`]). `keeps`: whether it keeps accounts in which it wants no name any more. Fails where somebody else
    /// has the work since, or nobody.
    async fn settle(
        &self,
        taken: &Taken,
        wanted: &BTreeSet<Hostname>,
        keeps: bool,
        now: Timestamp,
    ) -> Result<Settled, StoreError>;

    /// The same decision without a claim: nothing is written.
    async fn would_settle(
        &self,
        cluster: &ClusterName,
        gateway: &ObjectKey,
        wanted: &BTreeSet<Hostname>,
        keeps: bool,
        now: Timestamp,
    ) -> Result<Settled, StoreError>;

    /// A piece of work came to an end ([`Held::finish`]). Claims end of names that no Gateway of the cluster may have any
    /// more, and a Gateway of which nothing is left is forgotten. The cluster is told what it does not wait for ([`Held::notice`]). Where something is still to be done, there is work again
    /// after `again`, or at once where there is a reason since. `event` is for what is news. Of work that somebody else has since, or
    /// nobody, nothing is written but that the Gateway is to be looked at again: what was done late at Cloudflare is put right.
    async fn finish(
        &self,
        taken: &Taken,
        finished: Finished,
        again: Duration,
        event: Option<Event>,
    ) -> Result<(), StoreError>;
}

/// The Gateways of a cluster of which something was stated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placed {
    pub gateways: BTreeSet<ObjectKey>,
    /// Where something of them may be.
    pub accounts: BTreeSet<AccountName>,
}

/// What came of a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Of the statement that it was for.
    pub version: u64,
    /// The hostnames that it was for.
    pub permitted: BTreeSet<Hostname>,
    pub outcome: Result<EdgeStatus, PortError>,
    pub at: Timestamp,
    /// What was spent meanwhile, for it and for others.
    pub spent: Spent,
}

/// What clusters are told. Each notice is written by the call that it is of: a grant, a token, where a cluster stands, a piece of work.
#[async_trait]
pub trait Notices: Send + Sync {
    /// The sequences of the last notices of all clusters.
    async fn last_notices(&self) -> Result<BTreeMap<ClusterName, u64>, StoreError>;

    /// Those of a cluster after a sequence that are kept, in order.
    async fn notices(
        &self,
        cluster: &ClusterName,
        since: u64,
        now: Timestamp,
    ) -> Result<notice::Notices, StoreError>;
}

/// What is to be done.
#[async_trait]
pub trait WorkQueue: Send + Sync {
    /// A broker begins to work. Where one broker alone can use the store, it may take what was under way before.
    async fn begin(&self) -> Result<(), StoreError>;

    /// The next piece of work ([`Queue::next`]), which is this holder's alone until `until`. Each account has this budget.
    async fn take(
        &self,
        holder: Holder,
        budget: Budget,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Taken>, StoreError>;

    /// It takes longer. `false` where somebody else has it since, or nobody; then the Gateway is to be looked at again.
    async fn hold(&self, taken: &Taken, until: Timestamp) -> Result<bool, StoreError>;

    /// Every Gateway that nothing was done for since then has work.
    async fn look_again(&self, since: Timestamp, now: Timestamp) -> Result<(), StoreError>;

    /// Ends when anything was written since it was asked for, by whichever broker. A change by another broker may be missed
    /// while the connection to the database is lost, so nobody waits for it for ever.
    fn changed(&self) -> BoxFuture<'static, ()>;

    /// The time of the store, which all brokers over it go by, in milliseconds since 1970. `None` where one broker alone can use
    /// the store, and goes by its own.
    async fn time(&self) -> Result<Option<i64>, StoreError>;
}

/// What clusters spend of the budgets of accounts, over all brokers.
#[async_trait]
pub trait Budgets: Send + Sync {
    async fn spending(&self, account: &AccountName) -> Result<Spending, StoreError>;

    /// Writes down what was spent ([`Spending::add`]).
    async fn spend(&self, spent: Spent, now: Timestamp) -> Result<(), StoreError>;
}

/// The audit.
#[async_trait]
pub trait Audit: Send + Sync {
    /// For what no other call tells: what was refused, what was read.
    async fn append(&self, event: Event) -> Result<(), StoreError>;

    /// Entries after a sequence, at most `limit` of them, in order.
    async fn after(&self, sequence: u64, limit: usize) -> Result<Vec<Entry>, StoreError>;

    async fn end(&self) -> Result<End, StoreError>;
}

/// What a piece of work needs of a store.
pub trait WorkStore: Clusters + Intents + Budgets {}

impl<S> WorkStore for S where S: Clusters + Intents + Budgets {}

/// All of it in one place.
pub trait Store:
    WorkStore + Accounts + Secrets + People + Grants + Notices + WorkQueue + Audit + Checkpoints
{
}

impl<S> Store for S where
    S: Clusters
        + Accounts
        + Secrets
        + People
        + Grants
        + Intents
        + Notices
        + WorkQueue
        + Budgets
        + Audit
        + Checkpoints
{
}

/// An edge over which nothing is written, and what would have been.
pub struct Rehearsal {
    pub edge: Arc<dyn Edge>,
    pub accounts: Arc<RehearsedAccounts>,
}

/// The edges of a broker.
#[async_trait]
pub trait AccountEdges: Send + Sync {
    /// The edge of one cluster in one account, with the token that is in use now. Nothing is asked of Cloudflare. An error of kind
    /// [`RateLimited`](crate::error::PortErrorKind::RateLimited) where Cloudflare wants no call.
    async fn of(
        &self,
        cluster: &ClusterName,
        instance: InstanceId,
        account: &AccountName,
    ) -> Result<Arc<dyn Edge>, PortError>;

    /// The same for a plan: nothing that is asked of it changes anything at Cloudflare.
    async fn rehearsal(
        &self,
        _cluster: &ClusterName,
        _instance: InstanceId,
        account: &AccountName,
    ) -> Result<Rehearsal, PortError> {
        let message = format!("nothing can be planned in account {account}");
        Err(PortError::new(PortErrorKind::Invalid, message))
    }

    /// Cloudflare did not let a call in that was made with the account's token. Whether there is another one to try.
    async fn refused(&self, account: &AccountName) -> Result<bool, StoreError>;

    /// The budget of each account.
    fn budget(&self) -> Budget;

    /// What was spent since this was asked last, by all clusters in all accounts.
    fn spent(&self) -> Spent;
}
