//! Where a store is, and with what its connections are made.

use std::str::FromStr as _;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::any::AnyConnectOptions;
use url::{Host, Url};

use crate::OpenError;
use crate::schema::Dialect;

/// An address that names all that a connection needs. It may hold a password.
#[derive(Clone)]
pub(crate) struct Address(SecretString);

impl Address {
    /// Of a store at `written`. A file of SQLite is made where it is missing. PostgreSQL gets the password, and TLS that checks its
    /// name (`sslmode=verify-full`) unless the address has an `sslmode` or names this machine.
    pub(crate) fn new(
        dialect: Dialect,
        written: &str,
        password: Option<&SecretString>,
    ) -> Result<Self, OpenError> {
        if dialect == Dialect::Sqlite {
            return Ok(Self(format!("{written}?mode=rwc").into()));
        }
        let mut url = Url::parse(written).map_err(|_| OpenError::Address)?;
        if let Some(password) = password {
            // All other signs that mean something there are encoded by it.
            let password = password.expose_secret().replace('%', "%25");
            let set = url.set_password(Some(&password));
            set.map_err(|()| OpenError::Address)?;
        }
        let says_how = url
            .query_pairs()
            .any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode"));
        if !says_how && !is_of_this_machine(&url) {
            url.query_pairs_mut().append_pair("sslmode", "verify-full");
        }
        Ok(Self(String::from(url).into()))
    }

    pub(crate) fn options(&self) -> Result<AnyConnectOptions, OpenError> {
        AnyConnectOptions::from_str(self.expose()).map_err(|_| OpenError::Address)
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Whether a connection leaves this machine not: by a socket in a folder, or to itself.
fn is_of_this_machine(url: &Url) -> bool {
    let socket = url
        .query_pairs()
        .any(|(name, value)| name == "host" && value.starts_with('/'));
    let named = match url.host() {
        None => true,
        // The host of a URL whose scheme is not one of the web is not parsed further.
        Some(Host::Domain(name)) => {
            let address = name.parse::<std::net::IpAddr>();
            name.eq_ignore_ascii_case("localhost")
                || name.to_ascii_lowercase().starts_with("%2f")
                || address.is_ok_and(|address| address.is_loopback())
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    socket || named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(written: &str, password: Option<&str>) -> String {
        let dialect = Dialect::of(written).expect("a dialect");
        let password = password.map(SecretString::from);
        let address = Address::new(dialect, written, password.as_ref());
        address.expect("an address").expose().to_owned()
    }

    #[test]
    fn another_machine_is_reached_with_tls_unless_the_address_says_otherwise() {
        for (written, expected) in [
            ("sqlite:/data/broker.db", "sqlite:/data/broker.db?mode=rwc"),
            (
                "postgres://u@db.example.com/b",
                "postgres://u@db.example.com/b?sslmode=verify-full",
            ),
            (
                "postgres://u@10.0.0.7/b?application_name=x",
                "postgres://u@10.0.0.7/b?application_name=x&sslmode=verify-full",
            ),
            (
                "postgres://u@db.example.com/b?sslmode=disable",
                "postgres://u@db.example.com/b?sslmode=disable",
            ),
            ("postgres://u@localhost/b", "postgres://u@localhost/b"),
            (
                "postgres://u@127.0.0.1:6432/b",
                "postgres://u@127.0.0.1:6432/b",
            ),
            ("postgres://u@[::1]/b", "postgres://u@[::1]/b"),
            (
                "postgres://u@%2Frun%2Fpostgresql/b",
                "postgres://u@%2Frun%2Fpostgresql/b",
            ),
            (
                "postgres:///b?host=/run/postgresql",
                "postgres:///b?host=/run/postgresql",
            ),
        ] {
            assert_eq!(complete(written, None), expected);
        }
    }

    #[test]
    fn a_password_of_any_signs_is_taken_as_it_is() {
        let password = "p@ss:w/rd %?#é";
        let complete = complete("postgres://u@localhost/b", Some(password));
        let options = sqlx::postgres::PgConnectOptions::from_str(&complete).expect("options");
        let told = sqlx::ConnectOptions::to_url_lossy(&options);
        let decoded = told.password().map(str::to_owned).expect("a password");
        assert_eq!(decoded, "p%40ss%3Aw%2Frd%20%25%3F%23%C3%A9");
    }
}
