//! The HTTP proxy through which APIs are called, as the environment names it. The HTTP clients read the variables
//! themselves, and go without a proxy where they cannot read one: here that is an error.

use http::Uri;

/// Variables that HTTPS clients take a proxy from, and the order in which they look.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Checks the proxy that the environment names, and logs where it is.
///
/// # Errors
/// Its URL cannot be used. It is not repeated, as it may hold a password.
pub(crate) fn check_proxy(read: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    for name in VARIABLES {
        let Some(value) = read(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let place = place(&value).ok_or_else(|| {
            anyhow::anyhow!("{name}: Invalid value: must be a URL such as http://proxy.example.com:3128; it is not repeated here, because it may hold a password")
        })?;
        tracing::info!(
            proxy = place,
            variable = name,
            "APIs are called through a proxy"
        );
        return Ok(());
    }
    Ok(())
}

/// Host and port of a proxy, without what it is entered with.
fn place(url: &str) -> Option<String> {
    let url: Uri = match url.contains("://") {
        true => url.parse().ok()?,
        false => format!("http://{url}").parse().ok()?,
    };
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let host = url.host().filter(|host| is_http && !host.is_empty())?;
    Some(match url.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_proxy_is_told_and_what_it_is_entered_with_is_not() {
        for (url, expected) in [
            (
                "http://proxy.example.com:3128",
                Some("proxy.example.com:3128"),
            ),
            (
                "https://user:canary@proxy.example.com",
                Some("proxy.example.com"),
            ),
            ("user:canary@10.0.0.1:3128", Some("10.0.0.1:3128")),
            ("http://[fd00::1]:3128/", Some("[fd00::1]:3128")),
            ("socks5://user:canary@proxy.example.com:1080", None),
            ("http://user:canary@", None),
            ("http://a canary", None),
        ] {
            assert_eq!(place(url).as_deref(), expected, "{url}");
            let read = |name: &str| (name == "https_proxy").then(|| url.to_owned());
            let told = check_proxy(read).map_err(|error| format!("{error:?}"));
            assert_eq!(told.is_ok(), expected.is_some(), "{url}");
            assert!(!told.is_err_and(|told| told.contains("canary")), "{url}");
        }
        assert!(check_proxy(|_| Some(String::new())).is_ok());
    }
}
