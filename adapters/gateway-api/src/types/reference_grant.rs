use super::api_type;

api_type! {
    /// `ReferenceGrant.spec`.
    ReferenceGrantSpec {
        from: Vec<ReferenceGrantFrom>,
        to: Vec<ReferenceGrantTo>,
    }
}

api_type! {
    /// One of `spec.from`.
    ReferenceGrantFrom {
        group: String,
        kind: String,
        namespace: String,
    }
}

api_type! {
    /// One of `spec.to`.
    ReferenceGrantTo {
        group: String,
        kind: String,
        name: Option<String>,
    }
}
