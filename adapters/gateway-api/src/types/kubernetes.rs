use super::api_type;

api_type! {
    /// `Service.spec`, as far as routing looks at it.
    ServiceSpec {
        ports: Vec<ServicePort>,
        r#type: Option<String>,
        load_balancer_class: Option<String>,
        #[serde(rename = "clusterIP")]
        cluster_ip: Option<String>,
        external_name: Option<String>,
    }
}

api_type! {
    /// `ServiceImport.spec`, alike.
    ServiceImportSpec {
        ports: Vec<ServicePort>,
        ips: Vec<String>,
        r#type: Option<String>,
    }
}

api_type! {
    /// One of `Service.spec.ports`.
    ServicePort {
        name: Option<String>,
        port: i64,
        protocol: Option<String>,
        app_protocol: Option<String>,
    }
}

api_type! {
    /// One of `EndpointSlice.endpoints`.
    Endpoint {
        addresses: Vec<String>,
        conditions: EndpointConditions,
    }
}

api_type! {
    EndpointConditions {
        ready: Option<bool>,
        serving: Option<bool>,
    }
}

api_type! {
    /// One of `EndpointSlice.ports`.
    EndpointPort {
        name: Option<String>,
        port: Option<i64>,
        protocol: Option<String>,
    }
}
