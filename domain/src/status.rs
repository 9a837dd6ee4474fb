//! Conditions and reasons, spelled as the Gateway API spells them, and the statuses made of them.
//! Times of transition are the sink's business: a status here is a pure value that can be compared.

mod details;

use crate::gateway::{ParentRef, RouteKind};
use crate::names::{Hostname, ObjectKey, ObjectRef};

pub use details::{
    CertificateCoverage, GatewayDetails, HostnameDetail, HostnameDetails, LISTED_CONNECTORS,
    LISTED_HOSTNAMES, LISTED_OBJECTS, LONGEST_MESSAGE, TunnelDetails,
};

/// `status` of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    /// The API's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

macro_rules! spelled {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The API's spelling.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

spelled! {
    /// `type` of a condition.
    ConditionType {
        /// GatewayClass, Gateway, ListenerSet, listener, route parent.
        Accepted = "Accepted",
        /// GatewayClass: the Gateway API's CRDs are of a release that is served.
        SupportedVersion = "SupportedVersion",
        /// Gateway, ListenerSet, listener: traffic will flow.
        Programmed = "Programmed",
        /// Listener, route parent: every reference resolves.
        ResolvedRefs = "ResolvedRefs",
        /// Listener: conflicts with another.
        Conflicted = "Conflicted",
        /// Listener: True where the hostname overlaps that of another HTTPS listener of its port. No fault: names of one
        /// certificate are often divided so.
        OverlappingTlsConfig = "OverlappingTLSConfig",
        /// Gateway: True where visitors are asked for certificates and nobody is refused for a bad one. Only where that is
        /// True.
        InsecureFrontendValidationMode = "InsecureFrontendValidationMode",
        /// Route parent: True where a part of the route is left out, though it is accepted.
        PartiallyInvalid = "PartiallyInvalid",
        /// Gateway, route parent, our own: the hostnames resolve to the tunnel.
        Dns = "cloudflare-gateway-controller.io/DNS",
        /// Gateway, our own: visitors are shown certificates for every hostname.
        Certificates = "cloudflare-gateway-controller.io/Certificates",
        /// Gateway, our own: every field of its CloudflareGatewayParameters and of `spec.infrastructure` has its
        /// effect. Only on Gateways that name some, or of which something is left out.
        Parameters = "cloudflare-gateway-controller.io/Parameters",
        /// Gateway, our own: Unknown where it has GRPCRoutes behind Cloudflare, which promises nothing for them.
        Grpc = "cloudflare-gateway-controller.io/GRPC",
        /// Route parent, our own: requests can have every header that the route names. Only where that is False.
        Headers = "cloudflare-gateway-controller.io/Headers",
        /// Route parent, our own: True where a BackendTLSPolicy holds for one of its backends (GEP-713). The reason is
        /// Accepted, or says why a backend cannot be spoken to as it asks.
        BackendTlsAffected = "cloudflare-gateway-controller.io/BackendTLSPolicyAffected",
        /// Route parent, our own: sessions are kept where they are asked for. Only where that is False.
        Sessions = "cloudflare-gateway-controller.io/Sessions",
        /// GatewayClass, Gateway, ListenerSet, route parent: the sum of the other conditions, as kstatus and `kubectl wait` read it.
        Ready = "Ready",
        /// GatewayClass, Gateway, ListenerSet: only an edit can help (kstatus: Failed). Only where that is True.
        Stalled = "Stalled",
    }
}

spelled! {
    /// `reason` of a condition.
    Reason {
        /// All types: it is as it should be.
        Accepted = "Accepted",
        Programmed = "Programmed",
        ResolvedRefs = "ResolvedRefs",
        NoConflicts = "NoConflicts",
        SupportedVersion = "SupportedVersion",
        /// GatewayClass SupportedVersion: a CRD of the Gateway API is of another release than those that are served.
        UnsupportedVersion = "UnsupportedVersion",
        /// Gateway GRPC: whether it gets through is not for us to say.
        NotGuaranteed = "NotGuaranteed",
        /// Credentials or parameters are missing or wrong.
        InvalidParameters = "InvalidParameters",
        /// Programmed=False or Unknown: not there yet.
        Pending = "Pending",
        /// Gateway, listener: refused, see the message.
        Invalid = "Invalid",
        /// Gateway, ListenerSet: at least one listener is refused.
        ListenersNotValid = "ListenersNotValid",
        /// Gateway Programmed: an address that it asks for is none that it can have.
        AddressNotUsable = "AddressNotUsable",
        /// ListenerSet: its Gateway takes none of its namespace.
        NotAllowed = "NotAllowed",
        /// ListenerSet: its Gateway is not accepted.
        ParentNotAccepted = "ParentNotAccepted",
        /// ListenerSet: its Gateway is not programmed.
        ParentNotProgrammed = "ParentNotProgrammed",
        /// Listener of a ListenerSet: ListenerSets have as many as they may.
        TooManyListeners = "TooManyListeners",
        /// Gateway: `spec.addresses` cannot be served.
        UnsupportedAddress = "UnsupportedAddress",
        /// Gateway, route: the GatewayClass permits nothing to its namespace.
        NamespaceNotPermitted = "NamespaceNotPermitted",
        /// Gateway: its namespace may have no more, or the broker takes no more of the cluster.
        TooManyGateways = "TooManyGateways",
        /// Listener, route: the GatewayClass does not permit the hostname to its namespace. DNS: the broker does
        /// not permit it to the cluster.
        HostnameNotPermitted = "HostnameNotPermitted",
        /// Listener: Cloudflare takes no requests of its protocol at its port.
        PortUnavailable = "PortUnavailable",
        /// Listener: protocol not served, or it cannot carry the only kind of route that is allowed. Route: a backend cannot be spoken to as its port or its BackendTLSPolicy asks for.
        UnsupportedProtocol = "UnsupportedProtocol",
        /// Listener: HTTP and HTTPS on one port.
        ProtocolConflict = "ProtocolConflict",
        /// Listener of a ListenerSet: both of ProtocolConflict and HostnameConflict.
        ListenerConflict = "ListenerConflict",
        /// Listener: same port and hostname as another. Route: an older route of the other kind (HTTPRoute,
        /// GRPCRoute) has the hostname on the listener; the API leaves the word for that open.
        HostnameConflict = "HostnameConflict",
        /// Listener OverlappingTLSConfig: a hostname of another HTTPS listener overlaps.
        OverlappingHostnames = "OverlappingHostnames",
        /// Listener: a kind in allowedRoutes is not served.
        InvalidRouteKinds = "InvalidRouteKinds",
        /// Listener: one of its filters is not as it must be.
        InvalidListenerFilter = "InvalidListenerFilter",
        /// Listener: a reference of one of its filters does not resolve.
        InvalidListenerFilterRef = "InvalidListenerFilterRef",
        /// Listener: a certificateRef does not resolve.
        InvalidCertificateRef = "InvalidCertificateRef",
        /// Gateway: `spec.tls.backend.clientCertificateRef` does not resolve.
        InvalidClientCertificateRef = "InvalidClientCertificateRef",
        /// Gateway InsecureFrontendValidationMode: `mode` of a validation is AllowInsecureFallback.
        ConfigurationChanged = "ConfigurationChanged",
        /// Listener: a caCertificateRef of its Gateway names a kind that is not served.
        InvalidCaCertificateKind = "InvalidCACertificateKind",
        /// Listener, policy: a caCertificateRef does not resolve.
        InvalidCaCertificateRef = "InvalidCACertificateRef",
        /// Listener, policy: no caCertificateRef resolves.
        NoValidCaCertificate = "NoValidCACertificate",
        /// Policy: none of its targets is there.
        TargetNotFound = "TargetNotFound",
        /// Policy: another one for the same target goes first.
        Conflicted = "Conflicted",
        /// Reference into a namespace that does not permit it.
        RefNotPermitted = "RefNotPermitted",
        /// Route: no listener has that name or port.
        NoMatchingParent = "NoMatchingParent",
        /// Route: namespace or kind is not allowed.
        NotAllowedByListeners = "NotAllowedByListeners",
        /// Route: no hostname in common.
        NoMatchingListenerHostname = "NoMatchingListenerHostname",
        /// Route, listener: a field is valid but not served, or its value is not.
        UnsupportedValue = "UnsupportedValue",
        /// Route: backend kind not served, or a Service of a type that is not.
        InvalidKind = "InvalidKind",
        /// Route: backend not there.
        BackendNotFound = "BackendNotFound",
        /// Route: an endpoint of a backend is where no request may be sent; the API has no word for it.
        EndpointNotAllowed = "EndpointNotAllowed",
        /// Gateway: the API server or the edge cannot be asked for the moment.
        NoResources = "NoResources",
        /// DNS: every hostname has its record.
        Applied = "Applied",
        /// DNS: another installation in the Cloudflare account has the same name.
        NameNotUnique = "NameNotUnique",
        /// DNS: a record that is not ours has the name.
        RecordConflict = "RecordConflict",
        /// DNS: others changed a record of ours, or removed it.
        RecordDrift = "RecordDrift",
        /// DNS of a Gateway: so many names would lose their record that somebody must confirm it.
        HeldBack = "HeldBack",
        /// Certificates: names further down than Cloudflare's Universal certificate reaches.
        NotCovered = "NotCovered",
        /// DNS: the zone is pending, paused, or served by another provider.
        ZoneNotServed = "ZoneNotServed",
        /// DNS, route Accepted: an older claim of another Gateway has the name, or all of them.
        ClaimedByOther = "ClaimedByOther",
        /// DNS: no zone of the account covers the name.
        NoZone = "NoZone",
        /// DNS, Programmed: the API token lacks a permission.
        Forbidden = "Forbidden",
        /// DNS: the edge refuses the record, as at a quota, until something is changed.
        Refused = "Refused",
        /// DNS, Programmed: the edge did not answer; what was there stays.
        EdgeUnavailable = "EdgeUnavailable",
        /// The broker did not answer; what was there stays.
        BrokerUnavailable = "BrokerUnavailable",
        /// DNS: the route has no hostname, so it is reachable by the tunnel's address only.
        NoHostname = "NoHostname",
        /// DNS: managed elsewhere, as the parameters say.
        NotManaged = "NotManaged",
        /// Certificates: one could not be uploaded.
        UploadFailed = "UploadFailed",
        /// Certificates: the broker does not grant it.
        NotAvailable = "NotAvailable",
        /// Ready=True: everything is as it was asked for.
        ReconciliationSucceeded = "ReconciliationSucceeded",
        /// Ready=False, Stalled: something has to be edited.
        ReconciliationFailed = "ReconciliationFailed",
        /// Ready=Unknown: on its way.
        Progressing = "Progressing",
        /// Ready=Unknown: a call failed and is tried again.
        ProgressingWithRetry = "ProgressingWithRetry",
    }
}

spelled! {
    /// `reason` of an Event.
    EventReason {
        /// A Gateway went, and what it had was left.
        Orphaned = "Orphaned",
        /// A Gateway cannot go, because what it has cannot be removed.
        RemovalBlocked = "RemovalBlocked",
        /// Records that others had changed were put right.
        DriftRepaired = "DriftRepaired",
        /// Something was written at the edge.
        EdgeChanged = "EdgeChanged",
    }
}

/// What happened to a Gateway and stands in none of its conditions, or not for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayEvent {
    pub reason: EventReason,
    /// What happened, as a sentence that names the remedy where there is one.
    pub message: String,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub kind: ConditionType,
    pub truth: Truth,
    pub reason: Reason,
    /// Why, as a sentence that names object, field and remedy.
    pub message: String,
    /// Generation of the object that was judged.
    pub generation: i64,
}

/// What to report on one object of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusUpdate {
    pub object: ObjectRef,
    /// Of a Gateway: tunnel addresses (`<tunnel-id>.cfargotunnel.com`), or the hostnames that it asks for.
    pub addresses: Vec<String>,
    /// Of a CloudflareGatewayStatus.
    pub details: Option<Box<GatewayDetails>>,
    /// In the order in which they are written. A route without a parent of ours has none, which removes our entries.
    pub parts: Vec<StatusPart>,
}

/// Conditions of an object or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPart {
    pub part: Part,
    /// The Gateway whose route table keeps what the conditions promise; `None` where they promise no traffic. Not
    /// written.
    pub gateway: Option<ObjectKey>,
    /// Empty where what was written before stays as it is.
    pub conditions: Vec<Condition>,
}

/// What conditions are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Object,
    /// One of `status.listeners`.
    Listener {
        name: String,
        /// Route kinds that it takes.
        supported_kinds: Vec<RouteKind>,
        /// Routes with Accepted=True on it.
        attached_routes: u32,
    },
    /// `status.attachedListenerSets` of a Gateway. Without conditions.
    ListenerSets {
        attached: u32,
    },
    /// One of `status.parents`: the reference as its author wrote it.
    Parent(ParentRef),
    /// `status.loadBalancer` of a Service: hostnames that lead to it. Without conditions.
    LoadBalancer {
        hostnames: Vec<Hostname>,
    },
}

impl Part {
    /// Whether both are about the same, whatever else is said of it.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Listener { name, .. }, Self::Listener { name: other, .. }) => name == other,
            (Self::LoadBalancer { .. }, Self::LoadBalancer { .. })
            | (Self::ListenerSets { .. }, Self::ListenerSets { .. }) => true,
            _ => self == other,
        }
    }
}

impl StatusUpdate {
    /// Conditions of all parts.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.parts.iter().flat_map(|part| &part.conditions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truth_is_spelled_as_the_api_spells_it() {
        let spelled = [Truth::True, Truth::False, Truth::Unknown].map(Truth::as_str);
        assert_eq!(spelled, ["True", "False", "Unknown"]);
    }
}
