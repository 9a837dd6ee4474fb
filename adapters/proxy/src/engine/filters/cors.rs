//! CORS (Gateway API, `HTTPCORSFilter`; the Fetch Standard, "HTTP CORS protocol").
//!
//! A preflight request is answered here and goes no further, whatever its origin. Of other requests the answer is changed: what
//! the backend says of CORS is removed, and where the origin is permitted the filter's own words stand in its place.

use domain::gateway::{Cors, NameList};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, COOKIE,
    HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use crate::body::ResponseBody;

/// What an answer may say of CORS.
const WORDS: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// A CORS filter with its answers in the form in which they are sent.
#[derive(Debug)]
pub(crate) struct ReadyCors {
    cors: Cors,
    methods: Names,
    headers: Names,
    exposed: Names,
}

#[derive(Debug)]
enum Names {
    All,
    None,
    These(HeaderValue),
}

/// What a request says of CORS, for its answer.
#[derive(Debug, Default)]
pub(super) enum Asking {
    /// No CORS filter has seen it.
    #[default]
    Unseen,
    From {
        /// If it has one.
        origin: Option<HeaderValue>,
        has_credentials: bool,
    },
    /// It was a preflight request, whose answer says all.
    Preflight,
}

impl ReadyCors {
    pub(super) fn new(cors: &Cors) -> Self {
        Self {
            methods: Names::new(&cors.methods),
            headers: Names::new(&cors.headers),
            exposed: Names::new(&cors.exposed),
            cors: cors.clone(),
        }
    }

    /// The answer, where it is a preflight request.
    pub(super) fn preflight(
        &self,
        head: &Parts,
        asking: &mut Asking,
    ) -> Option<Response<ResponseBody>> {
        let origin = head.headers.get(ORIGIN);
        let method = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
        let is_options = head.method == Method::OPTIONS;
        let (Some(origin), Some(method), true) = (origin, method, is_options) else {
            if let Asking::Unseen = asking {
                *asking = Asking::From {
                    origin: origin.cloned(),
                    has_credentials: has_credentials(&head.headers),
                };
            }
            return None;
        };
        *asking = Asking::Preflight;
        let mut answer = Response::new(ResponseBody::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        self.vary(headers);
        if !self.permit(origin, headers) {
            return Some(answer);
        }
        let permitted = self.methods.asked(|| Some(method.clone()));
        insert(headers, ACCESS_CONTROL_ALLOW_METHODS, permitted);
        let permitted = self.headers.asked(|| requested_headers(&head.headers));
        insert(headers, ACCESS_CONTROL_ALLOW_HEADERS, permitted);
        let exposed = match &self.exposed {
            Names::All if self.cors.credentials => None,
            names => names.asked(|| Some(HeaderValue::from_static("*"))),
        };
        insert(headers, ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        let max_age = HeaderValue::from(self.cors.max_age);
        headers.insert(ACCESS_CONTROL_MAX_AGE, max_age);
        Some(answer)
    }

    /// Changes the answer to any other request.
    pub(super) fn apply_to_answer(&self, asking: &Asking, headers: &mut HeaderMap) {
        let Asking::From {
            origin,
            has_credentials,
        } = asking
        else {
            return;
        };
        for word in &WORDS {
            headers.remove(word);
        }
        self.vary(headers);
        if *has_credentials && !self.cors.credentials {
            // An answer without these words must not be kept for a request without credentials.
            let credentials = HeaderValue::from_static("cookie, authorization");
            let _ = headers.try_append(VARY, credentials);
            return;
        }
        let origin = origin.as_ref();
        if !origin.is_some_and(|origin| self.permit(origin, headers)) {
            return;
        }
        let exposed = match &self.exposed {
            // With credentials `*` is the name of a header (Fetch Standard, "CORS protocol and credentials").
            Names::All if self.cors.credentials => names_of(headers),
            names => names.asked(|| Some(HeaderValue::from_static("*"))),
        };
        insert(headers, ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }

    /// Says that an origin may read the answer; `false` where it may not.
    fn permit(&self, origin: &HeaderValue, headers: &mut HeaderMap) -> bool {
        let text = origin.to_str();
        if !text.is_ok_and(|text| self.cors.permits(text)) {
            return false;
        }
        let said = match self.cors.is_for_all_alike() {
            true => HeaderValue::from_static("*"),
            false => origin.clone(),
        };
        insert(headers, ACCESS_CONTROL_ALLOW_ORIGIN, Some(said));
        if self.cors.credentials {
            let yes = HeaderValue::from_static("true");
            insert(headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, Some(yes));
        }
        true
    }

    /// Says to caches that the answer depends on the origin, also where the request had none.
    fn vary(&self, headers: &mut HeaderMap) {
        if !self.cors.is_for_all_alike() {
            let _ = headers.try_append(VARY, HeaderValue::from_static("origin"));
        }
    }
}

impl Names {
    fn new(list: &NameList) -> Self {
        match list {
            NameList::All => Self::All,
            NameList::These(names) => match HeaderValue::try_from(names.join(", ")) {
                Ok(names) if !names.is_empty() => Self::These(names),
                _ => Self::None,
            },
        }
    }

    /// What to say of them; of all, what was asked for.
    fn asked(&self, asked: impl FnOnce() -> Option<HeaderValue>) -> Option<HeaderValue> {
        match self {
            Self::All => asked(),
            Self::None => None,
            Self::These(names) => Some(names.clone()),
        }
    }
}

/// Whether a request has a cookie, or a username and password (GEP-1767). A token, which a script sets itself, is none of
/// these, and certificates of visitors are not seen here.
fn has_credentials(headers: &HeaderMap) -> bool {
    let has_password = |value: &HeaderValue| {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
        scheme.is_some_and(|scheme| {
            scheme.eq_ignore_ascii_case(b"basic") || scheme.eq_ignore_ascii_case(b"digest")
        })
    };
    headers.contains_key(COOKIE) || headers.get_all(AUTHORIZATION).iter().any(has_password)
}

/// A head that is full keeps what it has.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        let _ = headers.try_insert(name, value);
    }
}

/// The headers that a preflight request asks for, in one line.
fn requested_headers(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let first = lines.next()?.clone();
    let lines: Vec<&[u8]> = std::iter::once(first.as_bytes())
        .chain(lines.map(HeaderValue::as_bytes))
        .collect();
    HeaderValue::from_bytes(&lines.join(&b", "[..])).ok()
}

/// The names of the headers that an answer has.
fn names_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use domain::gateway::OriginPattern;
    use http::Request;

    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn filter(origin: &str, credentials: bool, names: &[&str]) -> ReadyCors {
        let names = match names {
            ["*"] => NameList::All,
            names => NameList::These(names.iter().map(|name| (*name).to_owned()).collect()),
        };
        ReadyCors::new(&Cors {
            origins: vec![OriginPattern::parse(origin).unwrap()],
            credentials,
            methods: names.clone(),
            headers: names.clone(),
            exposed: names,
            max_age: 5,
        })
    }

    fn head(method: &str, lines: Pairs<'_>) -> Parts {
        let request = Request::builder().method(method);
        let request = lines.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.body(()).unwrap().into_parts().0
    }

    fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn a_preflight_request_is_answered_with_what_is_permitted() {
        const ORIGIN: (&str, &str) = ("access-control-allow-origin", "https://a.example");
        const ALL: (&str, &str) = ("access-control-allow-origin", "*");
        const CREDENTIALS: (&str, &str) = ("access-control-allow-credentials", "true");
        const AGE: (&str, &str) = ("access-control-max-age", "5");
        const VARY: (&str, &str) = ("vary", "origin");
        let asked = [
            ("origin", "https://a.example"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-a"),
            ("access-control-request-headers", "x-b"),
        ];
        let rows: [(ReadyCors, Pairs<'_>, Pairs<'_>); 6] = [
            (
                filter("https://a.example", true, &["GET", "x"]),
                &asked,
                &[
                    CREDENTIALS,
                    ("access-control-allow-headers", "GET, x"),
                    ("access-control-allow-methods", "GET, x"),
                    ORIGIN,
                    ("access-control-expose-headers", "GET, x"),
                    AGE,
                    VARY,
                ],
            ),
            (
                filter("*", true, &["*"]),
                &asked,
                &[
                    CREDENTIALS,
                    ("access-control-allow-headers", "x-a, x-b"),
                    ("access-control-allow-methods", "PUT"),
                    ORIGIN,
                    AGE,
                    VARY,
                ],
            ),
            (
                filter("*", false, &["*"]),
                &asked[..2],
                &[
                    ("access-control-allow-methods", "PUT"),
                    ALL,
                    ("access-control-expose-headers", "*"),
                    AGE,
                ],
            ),
            (filter("*", false, &[]), &asked, &[ALL, AGE]),
            (filter("https://b.example", true, &["*"]), &asked, &[VARY]),
            (
                filter("https://a.example", false, &[]),
                &asked,
                &[ORIGIN, AGE, VARY],
            ),
        ];
        for (filter, asked, said) in rows {
            let mut asking = Asking::Unseen;
            let answer = filter
                .preflight(&head("OPTIONS", asked), &mut asking)
                .unwrap();
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
            assert_eq!(lines(answer.headers()), said, "{filter:?}");
            let mut headers = answer.headers().clone();
            filter.apply_to_answer(&asking, &mut headers);
            assert_eq!(&headers, answer.headers(), "it is not changed once more");
        }
    }

    #[test]
    fn only_options_with_an_origin_and_a_method_is_a_preflight_request() {
        let filter = filter("*", true, &["*"]);
        let origin = ("origin", "https://a.example");
        let method = ("access-control-request-method", "PUT");
        for (verb, lines) in [
            ("GET", &[origin, method][..]),
            ("OPTIONS", &[origin]),
            ("OPTIONS", &[method]),
            ("OPTIONS", &[]),
        ] {
            let answer = filter.preflight(&head(verb, lines), &mut Asking::Unseen);
            assert!(answer.is_none(), "{verb} {lines:?}");
        }
    }

    #[test]
    fn an_answer_says_what_the_filter_says_and_not_what_the_backend_does() {
        let backend = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-secret"),
            ("vary", "accept"),
            ("x-own", "1"),
        ];
        const OWN: [(&str, &str); 2] = [("vary", "accept"), ("x-own", "1")];
        const VARY: (&str, &str) = ("vary", "origin");
        const ORIGIN: (&str, &str) = ("access-control-allow-origin", "https://a.example");
        const CREDENTIALS: (&str, &str) = ("access-control-allow-credentials", "true");
        let exposed = |names| ("access-control-expose-headers", names);
        let rows: [(ReadyCors, Option<&str>, Pairs<'_>); 6] = [
            (
                filter("https://*.example", true, &["x-a", "x-b"]),
                Some("https://a.example"),
                &[
                    CREDENTIALS,
                    ORIGIN,
                    exposed("x-a, x-b"),
                    OWN[0],
                    VARY,
                    OWN[1],
                ],
            ),
            (
                filter("https://*.example", false, &[]),
                Some("https://evil"),
                &[OWN[0], VARY, OWN[1]],
            ),
            (
                filter("https://*.example", false, &[]),
                None,
                &[OWN[0], VARY, OWN[1]],
            ),
            (
                filter("*", false, &["*"]),
                Some("https://a.example"),
                &[
                    ("access-control-allow-origin", "*"),
                    exposed("*"),
                    OWN[0],
                    OWN[1],
                ],
            ),
            (
                filter("*", true, &["*"]),
                Some("https://a.example"),
                &[
                    CREDENTIALS,
                    ORIGIN,
                    exposed(
                        "vary, x-own, access-control-allow-origin, access-control-allow-credentials",
                    ),
                    OWN[0],
                    VARY,
                    OWN[1],
                ],
            ),
            (filter("*", false, &["*"]), None, &OWN),
        ];
        for (filter, origin, said) in rows {
            let mut asking = Asking::Unseen;
            let asked: Vec<_> = origin
                .map(|origin| ("origin", origin))
                .into_iter()
                .collect();
            assert!(
                filter
                    .preflight(&head("GET", &asked), &mut asking)
                    .is_none()
            );
            let mut headers = head("GET", &backend).headers;
            filter.apply_to_answer(&asking, &mut headers);
            assert_eq!(lines(&headers), said, "{filter:?} {origin:?}");
        }
    }

    #[test]
    fn a_request_with_credentials_gets_no_word_of_cors_where_they_are_not_allowed() {
        const COOKIE: (&str, &str) = ("cookie", "a=b");
        const BASIC: (&str, &str) = ("authorization", "basic dTpw");
        const TOKEN: (&str, &str) = ("authorization", "Bearer basic");
        const VARY: (&str, &str) = ("vary", "cookie, authorization");
        const ALL: (&str, &str) = ("access-control-allow-origin", "*");
        const ORIGIN: (&str, &str) = ("access-control-allow-origin", "https://a.example");
        const CREDENTIALS: (&str, &str) = ("access-control-allow-credentials", "true");
        const BY_ORIGIN: (&str, &str) = ("vary", "origin");
        let origin = ("origin", "https://a.example");
        let rows: [(&str, bool, Pairs<'_>, Pairs<'_>); 7] = [
            ("*", false, &[origin, COOKIE], &[VARY]),
            ("*", false, &[origin, BASIC], &[VARY]),
            ("*", false, &[origin, TOKEN], &[ALL]),
            ("*", false, &[origin], &[ALL]),
            (
                "*",
                true,
                &[origin, COOKIE],
                &[CREDENTIALS, ORIGIN, BY_ORIGIN],
            ),
            (
                "https://a.example",
                false,
                &[origin, COOKIE],
                &[VARY, BY_ORIGIN],
            ),
            (
                "https://a.example",
                false,
                &[origin, TOKEN],
                &[ORIGIN, BY_ORIGIN],
            ),
        ];
        for (permitted, credentials, asked, said) in rows {
            let filter = filter(permitted, credentials, &[]);
            let mut asking = Asking::Unseen;
            let answer = filter.preflight(&head("GET", asked), &mut asking);
            assert!(answer.is_none());
            let mut headers = HeaderMap::new();
            filter.apply_to_answer(&asking, &mut headers);
            assert_eq!(lines(&headers), said, "{permitted} {credentials} {asked:?}");
        }
    }
}
