//! Settings of `cfgw controller`.

use figment::Figment;

use crate::declaration::settings;
use crate::error::SettingsError;
use crate::layers::{self, ProgramSettings};
use crate::sections::{
    AdminSettings, CloudflareSettings, EdgeSettings, LogSettings, RequestSettings, TunnelSettings,
    fixed,
};
use crate::values::{
    Address, AddressRanges, HostPort, Image, Label, Names, ObjectName, Period, Switch,
};

settings! {
    /// Settings of `cfgw controller`, which serves the Gateways of a Kubernetes cluster.
    pub struct ControllerSettings {
        /// Name of this installation: 1 to 63 of a-z, 0-9 and inner `-`. Needed. It is part of every tunnel name and
        /// ownership mark, so that no two in one account may be alike, and a rebuilt one keeps its own. A changed name
        /// leaves the old tunnels behind. Behind a broker the cluster's name there counts.
        installation: Option<Label> = None,
        /// Namespace in which the controller runs and keeps its Lease and its certificate authority.
        namespace: ObjectName = fixed("cfgw-system"),
        /// Name of this replica, unique among those that run: the name of its pod.
        replica: ObjectName = fixed("cfgw-controller"),
        /// Name of the Secret in the controller's namespace that names the Gateways which leave what they have when they
        /// go. It is made where it is needed.
        orphans: ObjectName = fixed("cfgw-controller-orphans"),
        /// Name of the Secret in the controller's namespace that holds the key by which a broker knows the cluster. It is made
        /// where it is missing; for the backend `broker` only.
        broker_key: ObjectName = fixed("cfgw-controller-broker-key"),
        /// Name of the Deployment in the controller's namespace that runs the controller. The Lease and the certificate
        /// authority are deleted by Kubernetes once it is gone. Without a name they stay.
        deployment: Option<ObjectName> = None,
        /// How often everything is compared with Cloudflare when nothing changes.
        resync_interval: Period = Period::seconds(600),
        section /// Which replica leads.
        lease: LeaseSettings,
        section /// How proxies get their routes.
        stream: StreamSettings,
        section /// The proxies that the controller runs for Gateways.
        proxies: ProxiesSettings,
        section /// Where Gateways are served.
        watch: WatchSettings,
        section /// Which Secrets are read.
        secrets: SecretsSettings,
        section /// What holds for Gateways whose parameters do not say otherwise.
        defaults: GatewayDefaults,
        section /// Where backends may be.
        endpoints: EndpointSettings,
        section /// Who makes tunnels and records.
        edge: EdgeSettings,
        section /// How the Cloudflare API is reached; for the backend `direct` only.
        cloudflare: CloudflareSettings,
        section /// How the proxies' tunnels connect to Cloudflare's edge.
        tunnel: TunnelSettings,
        section /// What proxies take of visitors, and how long they wait for them and for endpoints.
        requests: RequestSettings,
        section /// The program's own HTTP server.
        admin: AdminSettings,
        section /// What is logged.
        log: LogSettings,
    }
}

settings! {
    /// Which replica leads.
    pub struct LeaseSettings {
        /// Name of the Lease in the controller's namespace.
        name: ObjectName = fixed("cfgw-controller"),
        /// How long a leader that is not heard of is waited for.
        duration: Period = Period::seconds(15),
        /// How often the leader renews the Lease. At most a third of `duration`.
        renew_interval: Period = Period::seconds(4),
    }
}

settings! {
    /// How proxies get their routes.
    pub struct StreamSettings {
        /// Where this replica serves proxies.
        listen: Address = fixed("0.0.0.0:8443"),
        /// Where proxies reach this very replica: the address of its pod. Needed.
        advertise: Option<HostPort> = None,
        /// Where proxies reach any replica: the controller's Service.
        service: HostPort = fixed("cfgw-controller.cfgw-system.svc:8443"),
        /// Audience of the tokens that proxies show.
        audience: HostPort = fixed("cfgw-controller.cfgw-system.svc:8443"),
        /// Name of the Secret in the controller's namespace that holds its certificate authority. It is
        /// made where it is missing.
        authority: ObjectName = fixed("cfgw-controller-authority"),
    }
}

settings! {
    /// The proxies that the controller runs for Gateways.
    pub struct ProxiesSettings {
        /// Image of the proxies' pods. Needed.
        image: Option<Image> = None,
        /// Names of the pull secrets for that image, with commas between them. They must be in the namespaces
        /// of the Gateways.
        pull_secrets: Names = Names::default(),
        /// Whether each Gateway gets a NetworkPolicy by which its proxies reach name servers, the controller, the edge,
        /// pods and `endpoint_ranges`, and nothing else, and are reached by nobody but for probes and metrics.
        network_policy: Switch = Switch::OFF,
        /// Where endpoints are that are no pods, for that NetworkPolicy: `address/prefix`, at most 64, with commas
        /// between them.
        endpoint_ranges: AddressRanges = AddressRanges::default(),
    }
}

settings! {
    /// Where Gateways are served.
    pub struct WatchSettings {
        /// Namespaces that are watched, at most 16, with commas between them; all where none is named. Gateways,
        /// routes, Services and all else in other namespaces are not seen, and what Gateways there have stays as it is.
        /// They must include those of the parameters that GatewayClasses name.
        namespaces: Names = Names::default(),
    }
}

settings! {
    /// Which Secrets are read.
    pub struct SecretsSettings {
        /// Namespaces whose Secrets may be read, at most 16, with commas between them; all where none is named.
        /// They must include those of all Gateways and of the credentials. A Secret elsewhere is refused where
        /// somebody names it.
        namespaces: Names = Names::default(),
    }
}

/// Namespaces that may be named in `watch.namespaces` and in `secrets.namespaces`: each kind in each is watched over a
/// connection of its own.
pub(crate) const MAX_NAMESPACES: usize = 16;

settings! {
    /// What holds for Gateways whose parameters do not say otherwise.
    pub struct GatewayDefaults {
        /// Whether DNS records are made for the hostnames of routes.
        dns: Switch = Switch::ON,
        /// Whether the certificates of HTTPS listeners are uploaded to Cloudflare. Custom certificates need
        /// a paid plan.
        upload_certificates: Switch = Switch::OFF,
    }
}

settings! {
    /// Where backends may be.
    pub struct EndpointSettings {
        /// Whether EndpointSlices of type FQDN are served. Whoever may write one has the proxies connect to any host that
        /// they reach, so it is off where several teams share a cluster.
        names: Switch = Switch::OFF,
        /// Whether hosts outside of the cluster may be backends, as XBackends and Services of type ExternalName: those that
        /// `spec.externalHosts` of the parameters of a GatewayClass permits, at addresses of the internet.
        external_hosts: Switch = Switch::OFF,
        /// Addresses of the cluster's nodes, pods and Services that are addresses of the internet, which no such host may
        /// have: `address/prefix`, at most 64, with commas between them.
        cluster_ranges: AddressRanges = AddressRanges::default(),
    }
}

impl ControllerSettings {
    /// Name of this installation.
    ///
    /// # Errors
    /// It is not set.
    pub fn installation_name(&self) -> Result<&Label, SettingsError> {
        layers::installation_name(self.installation.as_ref())
    }
}

impl ProgramSettings for ControllerSettings {
    fn check(&self, figment: &Figment) -> Result<(), SettingsError> {
        self.installation_name()?;
        self.edge.check(figment)?;
        let why = "proxies find the leader by it";
        let advertise = self.stream.advertise.is_some();
        layers::needed("stream.advertise", advertise, why)?;
        let why = "the proxies run it";
        layers::needed("proxies.image", self.proxies.image.is_some(), why)?;
        for (setting, names) in [
            ("watch.namespaces", &self.watch.namespaces),
            ("secrets.namespaces", &self.secrets.namespaces),
        ] {
            let count = names.names().len();
            if count > MAX_NAMESPACES {
                let problem = format!(
                    "{count} namespaces are more than {MAX_NAMESPACES}; name none, so that all are read"
                );
                return Err(layers::wrong(figment, setting, problem));
            }
        }
        if self.lease.renew_interval.get() * 3 > self.lease.duration.get() {
            let problem = "it is longer than a third of lease.duration, so that one lost answer would cost the lead";
            return Err(layers::wrong(
                figment,
                "lease.renew_interval",
                problem.to_owned(),
            ));
        }
        layers::check_files(
            figment,
            &[
                ("cloudflare.ca_file", self.cloudflare.ca_file.as_deref()),
                ("tunnel.ca_file", self.tunnel.ca_file.as_deref()),
            ],
        )
    }
}
