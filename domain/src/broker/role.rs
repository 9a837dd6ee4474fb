//! What people may do.

use std::collections::BTreeSet;

use super::names::{PersonName, TenantName};

/// What a person is there for. No role includes another one but [`Role::Viewer`], which all of them include.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Role {
    /// Looks, and changes nothing.
    Viewer,
    /// Enrols, revokes and cleans up clusters, and grants hostnames.
    Operator,
    /// Puts in and replaces API tokens. Nobody can read them.
    CredentialAdmin,
    /// Reads and verifies the audit.
    Auditor,
}

/// What a request of the admin plane needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    Read,
    Operate,
    Credentials,
    Audit,
}

impl Role {
    /// Each once.
    pub const ALL: [Self; 4] = [
        Self::Viewer,
        Self::Operator,
        Self::CredentialAdmin,
        Self::Auditor,
    ];

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::CredentialAdmin => "credential-admin",
            Self::Auditor => "auditor",
        }
    }

    /// Reads what [`Role::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    fn permits(self, permission: Permission) -> bool {
        match permission {
            Permission::Read => true,
            Permission::Operate => self == Self::Operator,
            Permission::Credentials => self == Self::CredentialAdmin,
            Permission::Audit => self == Self::Auditor,
        }
    }
}

/// Somebody who signs in with a password of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: PersonName,
    pub rights: Rights,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    pub roles: BTreeSet<Role>,
    /// The one tenant that they may see; `None` for all of them.
    pub tenant: Option<TenantName>,
}

impl Rights {
    /// Whether they see what belongs to `tenant`.
    pub fn sees(&self, tenant: Option<&TenantName>) -> bool {
        match &self.tenant {
            None => true,
            Some(own) => tenant == Some(own),
        }
    }

    /// Whether they may do something to what belongs to `tenant`; `None` is what belongs to no tenant: the list of
    /// tenants, people, keys.
    pub fn may(&self, permission: Permission, tenant: Option<&TenantName>) -> bool {
        self.sees(tenant) && self.roles.iter().any(|role| role.permits(permission))
    }
}

#[cfg(test)]
mod tests {
    use super::Permission::{Audit, Credentials, Operate, Read};
    use super::*;

    #[test]
    fn a_role_permits_what_it_is_there_for_and_looking() {
        for (role, permitted) in [
            (Role::Viewer, vec![Read]),
            (Role::Operator, vec![Read, Operate]),
            (Role::CredentialAdmin, vec![Read, Credentials]),
            (Role::Auditor, vec![Read, Audit]),
        ] {
            for permission in [Read, Operate, Credentials, Audit] {
                let expected = permitted.contains(&permission);
                assert_eq!(
                    role.permits(permission),
                    expected,
                    "{role:?} {permission:?}"
                );
            }
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
    }

    #[test]
    fn somebody_of_a_tenant_sees_that_tenant_alone() {
        let tenant = |name| TenantName::parse(name).unwrap();
        let of = |own: Option<TenantName>| Rights {
            roles: BTreeSet::from([Role::Operator]),
            tenant: own,
        };
        let (acme, other) = (tenant("acme"), tenant("other"));
        for (own, asked, may) in [
            (None, None, true),
            (None, Some(&acme), true),
            (Some(acme.clone()), Some(&acme), true),
            (Some(acme.clone()), Some(&other), false),
            (Some(acme.clone()), None, false),
        ] {
            assert_eq!(
                of(own.clone()).may(Operate, asked),
                may,
                "{own:?} {asked:?}"
            );
        }
    }
}
