//! `cfgw broker` as a process, with files of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use adapter_broker::{BrokerEdge, ClientSettings};
use domain::InstanceId;
use secrecy::SecretString;
use tempfile::TempDir;

use crate::process::{Cfgw, free_address};
use crate::world::{ACCOUNT, World};

/// A cluster with its bearer token.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// Its bearer token.
    pub token: &'static str,
    /// `sha256sum` of the token.
    pub sha256: &'static str,
    /// When the token expires.
    pub expires: Option<&'static str>,
}

/// A cluster.
pub const EAST: Member = Member {
    name: "east",
    token: "token-of-cluster-east",
    sha256: "79f8b83b16cc33ee7d91ff76971d382a132b3b04b964a829c519ab9b0e7fce30",
    expires: None,
};

/// Another one.
pub const WEST: Member = Member {
    name: "west",
    token: "token-of-cluster-west",
    sha256: "78ab779be25c4f33c4bcdd4a91b5556e1817cfcbc2d558e65492778d97472a46",
    expires: Some("2999-01-01T00:00:00Z"),
};

/// One whose token has expired.
pub const GONE: Member = Member {
    name: "gone",
    token: "token-of-cluster-gone",
    sha256: "0b0a4bb97dd81c07d943883bb372873dee2fbe61822a863f2b98b3b50214b623",
    expires: Some("2020-01-01T00:00:00Z"),
};

/// A broker; killed when dropped.
pub struct Broker {
    process: Option<Cfgw>,
    address: SocketAddr,
    files: TempDir,
    environment: Vec<(String, String)>,
}

impl Broker {
    /// Starts one that serves [`EAST`], [`WEST`] and [`GONE`] with the world's API token.
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, &[]).await
    }

    /// The same with settings of its own, by their environment variables.
    pub async fn start_with(world: &World, environment: &[(&str, String)]) -> Self {
        let files = TempDir::new().expect("a temporary folder");
        let token = files.path().join("cloudflare-token");
        std::fs::write(&token, &world.token).expect("a new file");
        let mut settings = format!(
            "credentials: {{account: '{ACCOUNT}', token_file: {token:?}}}
cloudflare: {{base_url: {}}}
clusters:
",
            world.standin.api_url()
        );
        for member in [EAST, WEST, GONE] {
            let Member { name, sha256, .. } = member;
            let expires = member.expires.map(|at| format!(", expires: {at:?}"));
            let expires = expires.unwrap_or_default();
            let line = format!("- {{name: {name}, token_sha256: {sha256}{expires}}}");
            writeln!(settings, "{line}").expect("a text takes more");
        }
        std::fs::write(files.path().join("broker.yaml"), settings).expect("a new file");
        let mut broker = Self {
            process: None,
            address: free_address(),
            files,
            environment: environment
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        };
        broker.restart().await;
        broker
    }

    /// Kills it, as a machine that fails would.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Kills it if it runs and starts it again at the same address.
    pub async fn restart(&mut self) {
        self.kill().await;
        let settings = self.files.path().join("broker.yaml");
        let process = Cfgw::broker(&settings, self.address, &self.environment);
        process.ready(Duration::from_secs(20)).await;
        self.process = Some(process);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The client of a cluster.
    pub fn client(&self, member: Member) -> BrokerEdge {
        self.client_of(member, 1)
    }

    /// The client of one of the clusters that show a cluster's token.
    pub fn client_of(&self, member: Member, instance: u8) -> BrokerEdge {
        let settings = ClientSettings {
            base_url: self.url(),
            token: SecretString::from(member.token),
            instance: InstanceId::from_bytes([instance; 16]),
            extra_roots: Vec::new(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
        };
        BrokerEdge::new(&settings).expect("a client of this machine")
    }
}
