//! Calls to the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use adapter_gateway_api::{Kind, Scope};
use adapter_kubernetes::{Client, Config};
use domain::certificate::TrustBundle;
use domain::gateway::{CONTROLLER_NAME, GATEWAY_GROUP};
use domain::snapshot::{ClusterSnapshot, Reading, SecretFacts};
use domain::{ObjectKey, ObjectRef};
use kube::api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::objects::{
    CustomResourceDefinition, Deployment, Gateway, GatewayClass, GatewayStatus, Lease, List,
    Version,
};

/// Under which name the API server notes what was written.
const FIELD_MANAGER: &str = "cfgwctl";

/// Objects in one answer of a list.
const PAGE: u32 = 500;

/// Answers of one list: 100,000 objects, more than the controller is made for.
const PAGES: usize = 200;

/// Annotation of the CRDs of the Gateway API.
const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

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

    /// The client, for what the adapter of clusters reads itself.
    pub fn client(&self) -> Client {
        self.client.clone()
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
        let found: Option<Gateway> = self.get(Kind::Gateway, key).await?;
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

    /// The Gateways of our controller, in one namespace or in all. Who may not read classes gets those of others too.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn gateways(&self, namespace: Option<&str>) -> Result<Vec<Gateway>, Failure> {
        let gateways: Option<Vec<Gateway>> = self.list(Kind::Gateway, namespace).await?;
        let mut gateways = gateways.unwrap_or_default();
        let classes: Result<Option<Vec<GatewayClass>>, _> =
            self.list(Kind::GatewayClass, None).await;
        if let Ok(classes) = classes {
            let classes = classes.unwrap_or_default().into_iter();
            let ours = classes.filter(|class| class.spec.controller_name == CONTROLLER_NAME);
            let ours: BTreeSet<String> = ours.map(|class| class.metadata.name).collect();
            gateways.retain(|gateway| ours.contains(&gateway.spec.gateway_class_name));
        }
        Ok(gateways)
    }

    /// What the controller tells of a Gateway, once it has.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn gateway_status(&self, key: &ObjectKey) -> Result<Option<GatewayStatus>, Failure> {
        self.get(Kind::GatewayStatus, key).await
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
        self.send::<Value>(request).await.map(|_| ())
    }

    /// Makes an object.
    ///
    /// # Errors
    /// The API server refuses it, as where one of that name is there.
    pub async fn create(&self, kind: Kind, key: &ObjectKey, object: &Value) -> Result<(), Failure> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = Request::new(collection(kind, &key.namespace));
        let request = request.create(&params, object.to_string().into_bytes());
        let request = request.map_err(kube::Error::BuildRequest)?;
        match self.client.request::<Value>(request).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Err(Failure::new(
                format!("{} {key}: it exists already", kind.as_str()),
                "edit it, or delete it first",
            )),
            answer => Ok(answer.map(|_| ())?),
        }
    }

    /// Deletes an object. One that is gone already is no failure.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn delete(&self, kind: Kind, key: &ObjectKey) -> Result<(), Failure> {
        let request = Request::new(collection(kind, &key.namespace));
        let request = request.delete(&key.name, &DeleteParams::default());
        self.found::<Value>(request).await.map(|_| ())
    }

    /// The Deployments of our controllers, in every namespace.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn controllers(&self) -> Result<Vec<Deployment>, Failure> {
        let params = ListParams::default().limit(PAGE).labels(CONTROLLERS);
        let request = Request::new("/apis/apps/v1/deployments").list(&params);
        Ok(self.send::<List<Deployment>>(request).await?.items)
    }

    /// The Lease of a controller, which has the name of its Deployment.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn lease(&self, controller: &ObjectKey) -> Result<Option<Lease>, Failure> {
        let ObjectKey { namespace, name } = controller;
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        self.found(Request::new(path).get(name, &GetParams::default()))
            .await
    }

    /// The version of the API server, and its time as the answer's `Date` gives it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn version(&self) -> Result<(String, Option<String>), Failure> {
        let request = http::Request::get("/version").body(Body::empty());
        let request = request.map_err(kube::Error::HttpError)?;
        let answer = self.client.send(request).await?;
        let date = answer.headers().get("date");
        let date = date.and_then(|date| date.to_str().ok()).map(str::to_owned);
        let request = http::Request::get("/version").body(Vec::new());
        let request = request.map_err(kube::Error::HttpError)?;
        let version: Version = self.client.request(request).await?;
        Ok((version.git_version, date))
    }

    /// Whether the API server has objects of a plural in a version of a group.
    ///
    /// # Errors
    /// It does not say.
    pub async fn serves(&self, api_version: &str, plural: &str) -> Result<bool, Failure> {
        let request = http::Request::get(format!("/apis/{api_version}")).body(Vec::new());
        let found: Option<Value> = self
            .found(request.map_err(kube::core::request::Error::BuildRequest))
            .await?;
        let resources = found
            .as_ref()
            .and_then(|found| found["resources"].as_array());
        let mut resources = resources.into_iter().flatten();
        Ok(resources.any(|resource| resource["name"] == plural))
    }

    /// The release of the Gateway API whose CRDs are installed, as they name it.
    ///
    /// # Errors
    /// Its CRDs cannot be read.
    pub async fn gateway_api_bundle(&self) -> Result<Option<String>, Failure> {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let name = format!("{}.{GATEWAY_GROUP}", Kind::Gateway.plural());
        let request = Request::new(path).get(&name, &GetParams::default());
        let found: Option<CustomResourceDefinition> = self.found(request).await?;
        Ok(found.and_then(|mut found| found.metadata.annotations.remove(BUNDLE_VERSION)))
    }

    /// Whether this user may do something with a kind in every namespace.
    ///
    /// # Errors
    /// The API server does not say.
    pub async fn may(&self, verb: &str, kind: Kind) -> Result<bool, Failure> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": verb, "group": kind.group(), "resource": kind.plural(),
            }},
        });
        let request = Request::new("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
        let request = request.create(&PostParams::default(), review.to_string().into_bytes());
        let answer: Value = self.send(request).await?;
        Ok(answer["status"]["allowed"] == true)
    }

    /// Everything that the domain looks at, but for Secrets.
    pub async fn snapshot(&self) -> ClusterSnapshot {
        adapter_kubernetes::snapshot_once(&self.client).await
    }

    /// What may be known of these Secrets.
    pub async fn secrets(
        &self,
        wanted: &BTreeSet<ObjectRef>,
    ) -> BTreeMap<ObjectRef, Reading<SecretFacts>> {
        adapter_kubernetes::secrets_once(&self.client, wanted).await
    }

    /// The certificate authorities in these ConfigMaps and Secrets.
    pub async fn trust(
        &self,
        wanted: &BTreeSet<ObjectRef>,
    ) -> BTreeMap<ObjectRef, Reading<TrustBundle>> {
        adapter_kubernetes::trust_once(&self.client, wanted).await
    }

    /// The objects of a kind, in one namespace or in all; `None` where there is no such kind.
    ///
    /// # Errors
    /// They cannot be listed, or are more than 200 pages of 500 objects.
    pub async fn list<T: DeserializeOwned>(
        &self,
        kind: Kind,
        namespace: Option<&str>,
    ) -> Result<Option<Vec<T>>, Failure> {
        let path = collection(kind, namespace.unwrap_or_default());
        let mut params = ListParams::default().limit(PAGE);
        let mut items = Vec::new();
        for _ in 0..PAGES {
            let request = Request::new(&path).list(&params);
            let Some(page) = self.found::<List<T>>(request).await? else {
                return Ok(None);
            };
            items.extend(page.items);
            if page.metadata.r#continue.is_empty() {
                return Ok(Some(items));
            }
            params = params.continue_token(&page.metadata.r#continue);
        }
        Err(Failure::new(
            format!("there are more than {} {}", items.len(), kind.plural()),
            "choose a namespace with --namespace",
        ))
    }

    /// The objects of a path, with these labels, as they are.
    ///
    /// # Errors
    /// They cannot be listed, or are more than 200 pages of 500 objects.
    pub async fn list_at(&self, path: &str, labels: Option<&str>) -> Result<Vec<Value>, Failure> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = labels.map(str::to_owned);
        let mut items = Vec::new();
        for _ in 0..PAGES {
            let page: List<Value> = self.send(Request::new(path).list(&params)).await?;
            items.extend(page.items);
            if page.metadata.r#continue.is_empty() {
                return Ok(items);
            }
            params = params.continue_token(&page.metadata.r#continue);
        }
        Err(Failure::new(
            format!("there are more than {} objects", items.len()),
            "",
        ))
    }

    /// The text at a path, such as a log.
    ///
    /// # Errors
    /// The API server refuses it, or cannot reach what it asks for it.
    pub async fn text_at(&self, path: &str) -> Result<String, Failure> {
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(kube::Error::HttpError)?;
        Ok(self.client.request_text(request).await?)
    }

    /// An object; `None` where there is none, or not even its kind.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn get<T: DeserializeOwned>(
        &self,
        kind: Kind,
        key: &ObjectKey,
    ) -> Result<Option<T>, Failure> {
        let request = Request::new(collection(kind, &key.namespace));
        self.found(request.get(&key.name, &GetParams::default()))
            .await
    }

    /// The answer, `None` where it is that there is nothing.
    async fn found<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Option<T>, Failure> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        match self.client.request(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, Failure> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        Ok(self.client.request(request).await?)
    }
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
