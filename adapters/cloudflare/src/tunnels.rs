//! Calls about tunnels: `/accounts/{account}/cfd_tunnel` (developers.cloudflare.com/api, "Zero Trust /
//! Tunnels / Cloudflared").

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::TunnelId;
use domain::edge::objects::{Connector, IngressDocument, Tunnel};
use domain::ports::{PortError, TunnelApi};
use domain::secret::ConnectorToken;
use reqwest::Method;

use crate::call::{Call, Permission};
use crate::client::AccountClient;
use crate::wire::{ChangedTunnel, NewTunnel, REMOTE, WireConfiguration, WireConnector, WireTunnel};

/// The most that the API takes.
const TUNNELS_PER_PAGE: &str = "1000";

#[async_trait]
impl TunnelApi for AccountClient {
    async fn tunnels(&self, name_prefix: &str) -> Result<Vec<Tunnel>, PortError> {
        let mut call = self
            .tunnels_call("list tunnels", Method::GET, &[])
            .query("is_deleted", "false")
            .query("per_page", TUNNELS_PER_PAGE);
        if !name_prefix.is_empty() {
            call = call.query("include_prefix", name_prefix);
        }
        let tunnels: Vec<WireTunnel> = self.list(&call).await?;
        let read = |tunnel: WireTunnel| {
            tunnel
                .into_domain()
                .ok_or_else(|| self.unreadable(&call, "a tunnel id is not a UUID"))
        };
        let mut tunnels = tunnels
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        // Whether the API minds the case is not documented.
        let prefix = name_prefix.to_ascii_lowercase();
        tunnels.retain(|tunnel| tunnel.name.to_ascii_lowercase().starts_with(&prefix));
        Ok(tunnels)
    }

    async fn create_tunnel(&self, name: &str) -> Result<Tunnel, PortError> {
        let call = self
            .tunnels_call("create tunnel", Method::POST, &[])
            .json(&NewTunnel {
                name,
                config_src: REMOTE,
            });
        let tunnel: WireTunnel = self.fetch(&call).await?;
        tunnel
            .into_domain()
            .ok_or_else(|| self.unreadable(&call, "the tunnel id is not a UUID"))
    }

    async fn delete_tunnel(&self, tunnel: TunnelId) -> Result<(), PortError> {
        let call = self.tunnel_call("delete tunnel", Method::DELETE, tunnel, &[]);
        self.command(call).await
    }

    async fn connectors(&self, tunnel: TunnelId) -> Result<Vec<Connector>, PortError> {
        let call = self.tunnel_call("list connections", Method::GET, tunnel, &["connections"]);
        let connectors: Vec<WireConnector> = self.ask(&call).await?.unwrap_or_default();
        Ok(connectors
            .into_iter()
            .map(WireConnector::into_domain)
            .collect())
    }

    async fn disconnect(&self, tunnel: TunnelId) -> Result<(), PortError> {
        let call = self.tunnel_call(
            "close connections",
            Method::DELETE,
            tunnel,
            &["connections"],
        );
        self.command(call).await
    }

    async fn tunnel_token(&self, tunnel: TunnelId) -> Result<ConnectorToken, PortError> {
        let call = self.tunnel_call("get connector token", Method::GET, tunnel, &["token"]);
        Ok(ConnectorToken::new(self.fetch::<String>(&call).await?))
    }

    async fn set_tunnel_secret(&self, tunnel: TunnelId, secret: [u8; 32]) -> Result<(), PortError> {
        self.patch_tunnel("replace tunnel secret", tunnel, None, secret)
            .await
    }

    async fn adopt_tunnel(
        &self,
        tunnel: TunnelId,
        name: &str,
        secret: [u8; 32],
    ) -> Result<(), PortError> {
        self.patch_tunnel("adopt tunnel", tunnel, Some(name), secret)
            .await
    }

    async fn configuration(&self, tunnel: TunnelId) -> Result<Option<IngressDocument>, PortError> {
        let call = self.tunnel_call(
            "get ingress rules",
            Method::GET,
            tunnel,
            &["configurations"],
        );
        let configuration: Option<WireConfiguration> = self.ask(&call).await?;
        Ok(configuration.and_then(WireConfiguration::into_domain))
    }

    async fn configure(
        &self,
        tunnel: TunnelId,
        document: &IngressDocument,
    ) -> Result<(), PortError> {
        let call = self
            .tunnel_call(
                "put ingress rules",
                Method::PUT,
                tunnel,
                &["configurations"],
            )
            .json(&WireConfiguration::from(document));
        self.command(call).await
    }
}

impl AccountClient {
    async fn patch_tunnel(
        &self,
        call: &'static str,
        tunnel: TunnelId,
        name: Option<&str>,
        secret: [u8; 32],
    ) -> Result<(), PortError> {
        let text = STANDARD.encode(secret);
        let call = self
            .tunnel_call(call, Method::PATCH, tunnel, &[])
            .json(&ChangedTunnel {
                name,
                tunnel_secret: &text,
            })
            .hiding(text);
        self.command(call).await
    }

    fn tunnels_call(&self, name: &'static str, method: Method, rest: &[&str]) -> Call {
        let mut path = vec!["accounts", self.account(), "cfd_tunnel"];
        path.extend_from_slice(rest);
        Call::new(name, Permission::Tunnels, method, &path)
    }

    fn tunnel_call(
        &self,
        name: &'static str,
        method: Method,
        tunnel: TunnelId,
        rest: &[&str],
    ) -> Call {
        let id = tunnel.to_string();
        let mut path = vec![id.as_str()];
        path.extend_from_slice(rest);
        self.tunnels_call(name, method, &path)
    }
}
