//! The request that is asked about.

use std::borrow::Cow;

use domain::route_table::{Arrival, HeaderLookup, Scheme, canonical_path};

use crate::failure::Failure;

/// Headers that may be asked about, as many as a person writes.
const MOST_HEADERS: usize = 64;

/// A request: how it arrives, and what rules look at.
#[derive(Debug, Clone)]
pub struct Question {
    pub arrival: Arrival,
    pub method: String,
    /// As it is compared.
    pub path: String,
    pub query: Option<String>,
    pub headers: Headers,
}

/// Names in lower case, and values.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl HeaderLookup for Headers {
    fn joined(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let values = self.0.iter().filter(|(known, _)| known == name);
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| Cow::Owned(values.join(",").into_bytes()))
    }
}

impl Question {
    /// Reads `[http://|https://]HOST[:PORT][/PATH][?QUERY]`.
    ///
    /// # Errors
    /// The text, or a header, is none.
    pub fn parse(url: &str, method: &str, headers: &[String]) -> Result<Self, Failure> {
        let (scheme, rest) = match url.split_once("://") {
            None => (Scheme::Https, url),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some((scheme, _)) => {
                return Err(Failure::usage(
                    format!("{scheme:?} is no scheme of requests through a tunnel"),
                    "write http:// or https://, or none",
                ));
            }
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let arrival = Arrival::new(scheme, authority, None).ok_or_else(|| {
            Failure::usage(
                format!("HOST: Invalid value: {authority:?}: must be a hostname"),
                "write one such as app.example.com, and a path behind it",
            )
        })?;
        let path = canonical_path(path).map_err(|_| {
            Failure::new(
                format!("the path {path:?} can be read in two ways, and is answered with 400"),
                "see docs/routing.md for how paths are compared",
            )
        })?;
        Ok(Self {
            arrival,
            method: method.to_owned(),
            path: path.into_owned(),
            query,
            headers: Headers::parse(headers)?,
        })
    }

    /// The same with the other scheme, at its port.
    pub fn by_other_scheme(&self) -> Self {
        let scheme = match self.arrival.scheme {
            Scheme::Http => Scheme::Https,
            Scheme::Https => Scheme::Http,
        };
        let arrival = Arrival {
            scheme,
            port: scheme.default_port(),
            ..self.arrival.clone()
        };
        Self {
            arrival,
            ..self.clone()
        }
    }
}

impl Headers {
    fn parse(written: &[String]) -> Result<Self, Failure> {
        if written.len() > MOST_HEADERS {
            return Err(Failure::usage(
                format!(
                    "--header: Too many: {}: at most {MOST_HEADERS}",
                    written.len()
                ),
                "leave out those that no rule looks at",
            ));
        }
        let pair = |text: &String| match text.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            }
            _ => Err(Failure::usage(
                format!("--header: Invalid value: {text:?}: must be NAME: VALUE"),
                "such as --header 'x-version: 2'",
            )),
        };
        Ok(Self(written.iter().map(pair).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_a_person_writes_it() {
        for (given, expected) in [
            ("app.example.com", Some((Scheme::Https, 443, "/", None))),
            ("App.example.com//a", Some((Scheme::Https, 443, "/a", None))),
            (
                "http://app.example.com/a?b=c",
                Some((Scheme::Http, 80, "/a", Some("b=c"))),
            ),
            (
                "https://app.example.com:8443",
                Some((Scheme::Https, 8443, "/", None)),
            ),
            ("app.example.com/a/../b", None),
            ("ftp://app.example.com", None),
            ("a b/", None),
            ("", None),
        ] {
            let read = Question::parse(given, "GET", &[]).ok();
            let read = read.as_ref().map(|it| {
                let arrival = &it.arrival;
                (
                    arrival.scheme,
                    arrival.port,
                    it.path.as_str(),
                    it.query.as_deref(),
                )
            });
            assert_eq!(read, expected, "{given}");
        }
    }

    #[test]
    fn headers_of_one_name_are_joined() {
        let written = ["X-A: 1", "x-a:2", "b: c:d"].map(str::to_owned);
        let read = Question::parse("a.b", "GET", &written)
            .expect("a request")
            .headers;
        assert_eq!(read.joined("x-a").as_deref(), Some(&b"1,2"[..]));
        assert_eq!(read.joined("b").as_deref(), Some(&b"c:d"[..]));
        assert_eq!(read.joined("c"), None);
        assert!(Question::parse("a.b", "GET", &["x".to_owned()]).is_err());
    }
}
