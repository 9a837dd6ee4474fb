//! What people and the broker exchange.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use domain::broker::attestation::Attestation;
use domain::broker::audit::checkpoint::Fault;
use domain::broker::audit::{End, Entry};
use domain::broker::cluster::{Cluster, Standing, WhenExpired};
use domain::broker::credential::Slots;
use domain::broker::grant::{Account, Clusters, Grant};
use domain::broker::held::Held;
use domain::broker::role::{Rights, Role};
use domain::broker::{AccountName, ClusterName, GrantName, TenantName};
use domain::{AllowedHostnames, Hostname, ObjectKey, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::openapi::texts::{
    self, ApiToken, CloudflareId, DnsName, Limit, Moment, Number, RoleWord, WhenExpiredWord,
};

use crate::audit::Verified;

/// Body of `POST /admin/v1/sessions`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInDocument {
    pub name: String,
    pub password: String,
    /// Six digits, of an authenticator.
    pub code: String,
}

impl fmt::Debug for SignInDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInDocument")
    }
}

/// Answer to it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedInDocument {
    /// For `Authorization: Bearer …`.
    pub token: String,
    #[schema(value_type = Moment)]
    pub expires: String,
}

impl fmt::Debug for SignedInDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedInDocument({})", self.expires)
    }
}

/// Answer to `GET /admin/v1/sessions/current`: who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfDocument {
    pub name: String,
    #[schema(value_type = BTreeSet<RoleWord>)]
    pub roles: BTreeSet<Role>,
    /// The one tenant that they see; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<texts::TenantName>)]
    pub tenant: Option<TenantName>,
}

impl SelfDocument {
    /// Of somebody with these rights.
    pub fn of(name: &str, rights: &Rights) -> Self {
        Self {
            name: name.to_owned(),
            roles: rights.roles.clone(),
            tenant: rights.tenant.clone(),
        }
    }
}

/// A part of a list, in the order of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListDocument<T> {
    pub items: Vec<T>,
    /// Where the list goes on: `?cursor=…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A list of [`TenantDocument`].
pub type TenantList = ListDocument<TenantDocument>;

/// A list of [`GrantDocument`].
pub type GrantList = ListDocument<GrantDocument>;

/// A list of [`ClusterDocument`].
pub type ClusterList = ListDocument<ClusterDocument>;

/// A list of [`HoldingDocument`].
pub type HoldingList = ListDocument<HoldingDocument>;

/// A list of [`AccountDocument`].
pub type AccountList = ListDocument<AccountDocument>;

/// A list of [`EntryDocument`].
pub type EntryList = ListDocument<EntryDocument>;

impl<T: ToSchema> PartialSchema for ListDocument<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        let next = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "Where the list goes on: `?cursor=…`; absent: that was all.",
            ));
        ObjectBuilder::new()
            .description(Some("A part of a list, in the order of names."))
            .property("items", items)
            .required("items")
            .property("next", next)
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
            .into()
    }
}

impl<T: ToSchema> ToSchema for ListDocument<T> {
    fn name() -> Cow<'static, str> {
        format!("ListOf{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantDocument {
    #[schema(value_type = texts::TenantName)]
    pub name: TenantName,
}

impl TenantDocument {
    /// Of a tenant.
    pub fn of(tenant: &TenantName) -> Self {
        let name = tenant.clone();
        Self { name }
    }
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterDocument {
    #[schema(value_type = texts::ClusterName)]
    pub name: ClusterName,
    #[schema(value_type = texts::TenantName)]
    pub tenant: TenantName,
    pub standing: String,
    /// The thumbprint of its key, once it asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<texts::Thumbprint>)]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>)]
    pub last_contact: Option<String>,
    /// The version of its controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// `live`, `stale` or `expired`, as the broker found it last.
    pub contact: String,
    #[schema(value_type = WhenExpiredWord)]
    pub when_expired: WhenExpired,
    /// By what its sessions are attested; absent: they are not, and its key is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<AttestedByDocument>,
}

/// By what the sessions of a cluster are attested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestedByDocument {
    /// As the cluster's tokens have it.
    pub issuer: String,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    /// The ids of the keys that the cluster signs tokens with.
    pub keys: Vec<String>,
    /// The thumbprint of all of that.
    #[schema(value_type = texts::Thumbprint)]
    pub thumbprint: String,
}

impl AttestedByDocument {
    fn of(attestation: &Attestation) -> Self {
        let keys = attestation.keys.iter();
        Self {
            issuer: attestation.issuer.clone(),
            subject: attestation.subject.to_string(),
            keys: keys.map(|(id, _)| id.to_owned()).collect(),
            thumbprint: attestation.thumbprint().to_string(),
        }
    }
}

impl ClusterDocument {
    /// Of a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            name: cluster.name.clone(),
            tenant: cluster.tenant.clone(),
            standing: standing(&cluster.standing).to_owned(),
            key: cluster.identity().map(|identity| identity.key.to_string()),
            last_contact: cluster.last_contact.map(moment),
            controller: cluster.controller.clone(),
            contact: cluster.contact.as_str().to_owned(),
            when_expired: cluster.when_expired,
            attestation: cluster.attestation.as_ref().map(AttestedByDocument::of),
        }
    }
}

/// By what a cluster is attested, in a table.
pub fn attested(by: Option<(&str, &str)>) -> String {
    match by {
        Some((subject, issuer)) => format!("{subject} of {issuer}"),
        None => "no".to_owned(),
    }
}

/// Where a cluster stands, in one or two words.
pub fn standing(standing: &Standing) -> &'static str {
    match standing {
        Standing::Invited => "invited",
        Standing::Asking(_) => "asking",
        Standing::Admitted(_) => "admitted",
        Standing::Revoked(_) => "revoked",
        Standing::Quarantined(_) => "quarantined",
        Standing::Tombstoned(_) => "given up",
        Standing::Released(_) => "released",
    }
}

/// Body of `POST /admin/v1/clusters/{name}/invitation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationRequest {
    #[schema(value_type = texts::TenantName)]
    pub tenant: TenantName,
    #[serde(default)]
    #[schema(value_type = WhenExpiredWord)]
    pub when_expired: WhenExpired,
}

/// Answer to it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationDocument {
    /// Good once. It is told here and nowhere else.
    pub code: String,
    #[schema(value_type = Moment)]
    pub expires: String,
}

impl fmt::Debug for InvitationDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvitationDocument({})", self.expires)
    }
}

/// Body of `POST /admin/v1/clusters/{name}/acceptance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptanceDocument {
    /// The thumbprint that the cluster's controller logs.
    #[schema(value_type = texts::Thumbprint)]
    pub key: String,
    /// The thumbprint that the controller logs of its issuer, its ServiceAccount and its keys: from its next session on the cluster is
    /// attested by these, in place of what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<texts::Thumbprint>)]
    pub attest_anew: Option<String>,
}

/// Body of `POST /admin/v1/clusters/{name}/removal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemovalDocument {
    /// The name of the cluster once more.
    #[schema(value_type = texts::ClusterName)]
    pub confirm: String,
}

/// Body of `PUT /admin/v1/clusters/{name}/when-expired`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhenExpiredDocument {
    #[schema(value_type = WhenExpiredWord)]
    pub when_expired: WhenExpired,
}

impl WhenExpiredDocument {
    /// Of a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        let when_expired = cluster.when_expired;
        Self { when_expired }
    }
}

/// What one Gateway of a cluster has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldingDocument {
    /// Namespace and name.
    pub gateway: String,
    /// Where its tunnel is, and where something of it may be left.
    #[schema(value_type = Vec<texts::AccountName>)]
    pub accounts: Vec<AccountName>,
    /// Hostnames that it has records of, or may have.
    #[schema(value_type = Vec<DnsName>)]
    pub hostnames: Vec<Hostname>,
    /// When it was compared with Cloudflare last; absent: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>)]
    pub done_at: Option<String>,
    /// Why that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl HoldingDocument {
    /// Of a Gateway.
    pub fn of(gateway: &ObjectKey, held: &Held) -> Self {
        let done = held.done.as_ref();
        let error = done.and_then(|done| done.outcome.as_ref().err());
        Self {
            gateway: gateway.to_string(),
            accounts: held.everywhere().into_iter().cloned().collect(),
            hostnames: held.names.iter().cloned().collect(),
            done_at: done.map(|done| moment(done.at)),
            error: error.map(|error| error.message.clone()),
        }
    }
}

/// A Cloudflare account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountDocument {
    #[schema(value_type = texts::AccountName)]
    pub name: AccountName,
    #[schema(value_type = texts::TenantName)]
    pub tenant: TenantName,
    /// Its id at Cloudflare: 32 hexadecimal digits.
    #[schema(value_type = CloudflareId)]
    pub cloudflare: String,
    /// Whether grants of other tenants may name it.
    #[serde(default)]
    pub shared: bool,
    /// What is known of it. Passed over when an account is put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AccountState>,
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountState {
    /// Zones that its token sees; absent: it may not list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub zones: Option<BTreeSet<String>>,
    /// The version of the token in use; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Limit>)]
    pub token: Option<u32>,
    /// Whether that is an earlier one, because Cloudflare refuses the newest.
    pub fell_back: bool,
    /// Until when the token before can be fallen back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<String>,
}

impl AccountDocument {
    /// Of an account and its tokens.
    pub fn of(account: &Account, slots: &Slots) -> Self {
        Self {
            name: account.name.clone(),
            tenant: account.tenant.clone(),
            cloudflare: account.cloudflare.to_string(),
            shared: account.shared,
            state: Some(AccountState {
                zones: account.zones.clone(),
                token: slots.in_use().map(|version| version.0),
                fell_back: slots.fell_back,
                previous_until: slots.previous.map(|(_, until)| moment(until)),
            }),
        }
    }
}

/// Body of `PUT /admin/v1/accounts/{name}/token`. It is told to nobody again.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiTokenDocument {
    #[schema(value_type = ApiToken)]
    pub token: String,
}

impl fmt::Debug for ApiTokenDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiTokenDocument")
    }
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantDocument {
    #[schema(value_type = texts::GrantName)]
    pub name: GrantName,
    /// Absent: all clusters of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<texts::ClusterName>>)]
    pub clusters: Option<BTreeSet<ClusterName>>,
    /// Names, and wildcards for every name below; `*` is every name.
    #[schema(value_type = Vec<texts::GrantedName>)]
    pub hostnames: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<DnsName>)]
    pub except: Vec<Hostname>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<texts::AccountName>)]
    pub account: Option<AccountName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Limit>)]
    pub max_hostnames: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Limit>)]
    pub max_gateways: Option<u32>,
    /// Whether certificates for these names may be uploaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certificates: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Moment>)]
    pub expires: Option<String>,
}

/// Why a document is not a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    #[error(transparent)]
    Hostname(#[from] domain::names::MalformedName),
    #[error(
        "expires: Invalid value: {0:?}: must be a moment in RFC 3339, such as 2027-01-31T12:00:00Z"
    )]
    Expires(String),
}

impl GrantDocument {
    /// Of a grant.
    pub fn of(grant: &Grant) -> Self {
        Self {
            name: grant.name.clone(),
            clusters: match &grant.clusters {
                Clusters::All => None,
                Clusters::Named(names) => Some(names.clone()),
            },
            hostnames: match &grant.hostnames {
                AllowedHostnames::Any => vec!["*".to_owned()],
                AllowedHostnames::Listed(patterns) => {
                    patterns.iter().map(ToString::to_string).collect()
                }
            },
            except: grant.except.iter().cloned().collect(),
            account: grant.account.clone(),
            max_hostnames: grant.max_hostnames,
            max_gateways: grant.max_gateways,
            certificates: grant.certificates,
            expires: grant.expires.map(moment),
        }
    }

    /// The grant of a tenant.
    pub fn read(self, tenant: &TenantName) -> Result<Grant, GrantError> {
        let expires = self.expires.map(|text| {
            let at = text.parse::<jiff::Timestamp>();
            at.map_err(|_| GrantError::Expires(text))
        });
        Ok(Grant {
            clusters: self.clusters.map_or(Clusters::All, Clusters::Named),
            hostnames: hostnames(&self.hostnames)?,
            except: self.except.into_iter().collect(),
            account: self.account,
            max_hostnames: self.max_hostnames,
            max_gateways: self.max_gateways,
            certificates: self.certificates,
            expires: expires.transpose()?.map(|at| Timestamp(at.as_second())),
            name: self.name,
            tenant: tenant.clone(),
        })
    }
}

fn hostnames(texts: &[String]) -> Result<AllowedHostnames, domain::names::MalformedName> {
    if texts.iter().any(|text| text == "*") {
        return Ok(AllowedHostnames::Any);
    }
    let names = texts.iter().map(|text| Hostname::parse(text));
    let names: Vec<Hostname> = names.collect::<Result<_, _>>()?;
    Ok(AllowedHostnames::listed(names))
}

/// An entry of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryDocument {
    #[schema(value_type = Number)]
    pub sequence: u64,
    #[schema(value_type = Moment)]
    pub at: String,
    pub actor: String,
    pub source: String,
    pub action: String,
    pub object: String,
    pub result: String,
    pub detail: String,
    pub ray: String,
    /// The hash of this entry and all before.
    pub hash: String,
}

impl EntryDocument {
    /// Of an entry.
    pub fn of(entry: Entry) -> Self {
        let Entry {
            sequence,
            event,
            link,
        } = entry;
        Self {
            sequence,
            at: moment(event.at),
            actor: event.actor,
            source: event.source,
            action: event.action,
            object: event.object,
            result: event.result,
            detail: event.detail,
            ray: event.ray,
            hash: link.to_string(),
        }
    }
}

/// Answer to `GET /admin/v1/audit/verification`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationDocument {
    /// The first entry that is in the store. Those before it were cut.
    #[schema(value_type = Number)]
    pub first: u64,
    /// Up to this one they follow from each other.
    #[schema(value_type = Number)]
    pub entries: u64,
    /// The hash of that one.
    pub hash: String,
    /// Up to this one they are signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Number>)]
    pub signed: Option<u64>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl VerificationDocument {
    /// Of an audit that holds.
    pub fn of(found: &Verified) -> Self {
        let signed = found.signed.as_ref();
        Self {
            first: found.first,
            entries: found.end.sequence,
            hash: found.end.link.to_string(),
            signed: signed.map(|signed| signed.statement.end.sequence),
            fault: None,
        }
    }

    /// Of one that holds so far.
    pub fn faulty(end: End, fault: &Fault) -> Self {
        Self {
            first: 0,
            entries: end.sequence,
            hash: end.link.to_string(),
            signed: None,
            fault: Some(fault.to_string()),
        }
    }
}

/// A moment in RFC 3339.
pub fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}
