//! Calls to the API server.

use std::path::PathBuf;

use adapter_gateway_api::{Kind, Scope};
use adapter_kubernetes::{Client, Config};
use domain::ObjectKey;
use domain::gateway::CONTROLLER_NAME;
use kube::api::{GetParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::objects::{Deployment, Gateway, GatewayClass, GatewayStatus, List};

/// Under which name the API server notes what was written.
const FIELD_MANAGER: &str = "cfgwctl";

/// Objects in one answer of a list.
const PAGE: u32 = 500;

/// Labels of the controller's Deployments, as the chart sets them.
const CONTROLLERS: &str = "app.kubernetes.io/name=cfgw-controller";

/// Which cluster is meant.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: Option<String>,
}

/// A cluster, and the namespace that is meant where none is written.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    pub namespace: String,
}

impl Cluster {
    /// The cluster that is chosen, found as kubectl finds it. No call is made yet.
    ///
    /// # Errors
    /// None is configured, or the configuration cannot be used.
    pub async fn connect(choice: &Choice) -> Result<Self, Failure> {
        let config = configuration(choice).await.map_err(|why| {
            Failure::new(
                format!("no cluster is configured: {why}"),
                "name one with --kubeconfig or --context, or set KUBECONFIG",
            )
        })?;
        let clients = adapter_kubernetes::connect_to(&config)
            .map_err(|error| Failure::new(error, "correct the kubeconfig"))?;
        let namespace = choice.namespace.clone();
        Ok(Self::new(
            clients.calls,
            namespace.unwrap_or(config.default_namespace),
        ))
    }

    /// The cluster behind a client.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        Self {
            client,
            namespace: namespace.into(),
        }
    }

    /// An object of a name in the namespace that is meant.
    pub fn key(&self, name: &str) -> ObjectKey {
        ObjectKey::new(&self.namespace, name)
    }

    /// A Gateway of our controller.
    ///
    /// # Errors
    /// It cannot be read, is not there, or is another controller's.
    pub async fn gateway(&self, key: &ObjectKey) -> Result<Gateway, Failure> {
        let found: Option<Gateway> = self.get(Kind::Gateway, key).await.map_err(failed)?;
        let found = found.ok_or_else(|| {
            Failure::new(
                format!("Gateway {key}: Not found"),
                "see kubectl get gateways --all-namespaces, and choose the namespace with --namespace",
            )
        })?;
        let class = ObjectKey::new("", &found.spec.gateway_class_name);
        // Who may not read classes is spared the check.
        let class: Option<GatewayClass> = self
            .get(Kind::GatewayClass, &class)
            .await
            .unwrap_or_default();
        match class.map(|class| class.spec.controller_name) {
            Some(other) if other != CONTROLLER_NAME => Err(Failure::new(
                format!(
                    "Gateway {key}: spec.gatewayClassName: Invalid value: {:?}: must be a GatewayClass of {CONTROLLER_NAME}, and is one of {other}",
                    found.spec.gateway_class_name
                ),
                "name another Gateway",
            )),
            _ => Ok(found),
        }
    }

    /// What the controller tells of a Gateway, once it has.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn gateway_status(&self, key: &ObjectKey) -> Result<Option<GatewayStatus>, Failure> {
        self.get(Kind::GatewayStatus, key).await.map_err(failed)
    }

    /// Sets annotations of a Gateway, in one write that touches nothing else.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn annotate(
        &self,
        gateway: &ObjectKey,
        annotations: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let annotations: Map<String, Value> = annotations
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        let patch = json!({ "metadata": { "annotations": annotations } });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(collection(Kind::Gateway, &gateway.namespace));
        let request = request.patch_metadata(&gateway.name, &params, &Patch::Merge(&patch));
        let request = request.map_err(kube::Error::BuildRequest).map_err(failed)?;
        let written: Result<Value, kube::Error> = self.client.request(request).await;
        written.map(|_| ()).map_err(failed)
    }

    /// The Deployments of our controllers, in every namespace.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn controllers(&self) -> Result<Vec<Deployment>, Failure> {
        let params = ListParams::default().limit(PAGE).labels(CONTROLLERS);
        let request = Request::new("/apis/apps/v1/deployments").list(&params);
        let request = request.map_err(kube::Error::BuildRequest).map_err(failed)?;
        let list: List<Deployment> = self.client.request(request).await.map_err(failed)?;
        Ok(list.items)
    }

    /// An object; `None` where there is none, or not even its kind.
    async fn get<T: DeserializeOwned>(
        &self,
        kind: Kind,
        key: &ObjectKey,
    ) -> Result<Option<T>, kube::Error> {
        let request = Request::new(collection(kind, &key.namespace));
        let request = request.get(&key.name, &GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        match self.client.request(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn failed(error: kube::Error) -> Failure {
    Failure::of_call(&error)
}

/// Path of the objects of a kind, in a namespace where it has any.
fn collection(kind: Kind, namespace: &str) -> String {
    let (version, plural) = (kind.api_version(), kind.plural());
    let root = match version.contains('/') {
        true => "/apis",
        false => "/api",
    };
    match kind.scope() {
        Scope::Namespaced if !namespace.is_empty() => {
            format!("{root}/{version}/namespaces/{namespace}/{plural}")
        }
        _ => format!("{root}/{version}/{plural}"),
    }
}

async fn configuration(choice: &Choice) -> Result<Config, String> {
    let options = KubeConfigOptions {
        context: choice.context.clone(),
        ..KubeConfigOptions::default()
    };
    let told = |error: kube::config::KubeconfigError| error.to_string();
    match (&choice.kubeconfig, &choice.context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).map_err(told)?;
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(told)
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(told),
        (None, None) => Config::infer().await.map_err(|error| error.to_string()),
    }
}
