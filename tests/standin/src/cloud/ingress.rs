//! The rules that a tunnel's configuration document keeps.

use serde_json::{Value, json};

/// Rules in one document. Cloudflare documentation: "Account limits" of Cloudflare One.
pub const MAX_RULES: usize = 1_000;

/// Which rule a document breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfiguration {
    /// Not an object, or a part of the wrong type.
    #[error("{0} has the wrong type")]
    WrongType(String),
    /// Too many rules.
    #[error("too many ingress rules: {0} of at most {MAX_RULES}")]
    TooMany(usize),
    /// The last rule must match everything.
    #[error(
        "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)"
    )]
    LastNotCatchAll,
    /// A rule that is not the last matches everything.
    #[error(
        "Rule #{0} is matching the hostname '', but this will match every hostname, meaning the rules which follow it will never be triggered."
    )]
    EarlyCatchAll(usize),
    /// A hostname with a port or a misplaced star.
    #[error("Rule #{0} has a hostname that is not valid")]
    Hostname(usize),
    /// A service that no connector understands.
    #[error("Rule #{0} has a service that is not valid")]
    Service(usize),
}

/// Checks a document as Cloudflare and cloudflared do. One without rules gets a 404 for everything.
pub(super) fn check(mut document: Value) -> Result<Value, BadConfiguration> {
    let wrong = |part: &str| BadConfiguration::WrongType(part.to_owned());
    let fields = document.as_object_mut().ok_or_else(|| wrong("config"))?;
    for part in ["originRequest", "warp-routing"] {
        if fields
            .get(part)
            .is_some_and(|v| !v.is_object() && !v.is_null())
        {
            return Err(wrong(part));
        }
    }
    let rules = fields
        .entry("ingress")
        .or_insert_with(|| json!([{ "service": "http_status:404" }]));
    let rules = rules.as_array().ok_or_else(|| wrong("ingress"))?;
    if rules.len() > MAX_RULES {
        return Err(BadConfiguration::TooMany(rules.len()));
    }
    for (index, rule) in rules.iter().enumerate() {
        check_rule(index + 1, rule, index + 1 == rules.len())?;
    }
    Ok(document)
}

fn check_rule(number: usize, rule: &Value, last: bool) -> Result<(), BadConfiguration> {
    let wrong = |part: &str| BadConfiguration::WrongType(format!("rule #{number}: {part}"));
    let rule = rule.as_object().ok_or_else(|| wrong("rule"))?;
    let text = |part: &str| match rule.get(part) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(wrong(part)),
    };
    let (hostname, path, service) = (text("hostname")?, text("path")?, text("service")?);
    let all = matches!(hostname, "" | "*") && path.is_empty();
    match (all, last) {
        (false, true) => return Err(BadConfiguration::LastNotCatchAll),
        (true, false) => return Err(BadConfiguration::EarlyCatchAll(number)),
        _ => {}
    }
    let starless = hostname.strip_prefix('*').unwrap_or(hostname);
    if hostname.contains(':') || starless.contains('*') {
        return Err(BadConfiguration::Hostname(number));
    }
    let valid = ["hello_world", "hello-world", "bastion", "socks-proxy"].contains(&service)
        || service.starts_with("unix:")
        || service.starts_with("http_status:")
        || service
            .split_once("://")
            .is_some_and(|(_, rest)| !rest.is_empty());
    if valid {
        Ok(())
    } else {
        Err(BadConfiguration::Service(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_taken_or_refused_as_cloudflared_does() {
        let end = json!({"service": "http_status:404"});
        let app = json!({"hostname": "app.example.com", "service": "http://app:80"});
        for (rules, expected) in [
            (json!([app, end]), Ok(())),
            (json!([end]), Ok(())),
            (json!([app]), Err(BadConfiguration::LastNotCatchAll)),
            (json!([end, end]), Err(BadConfiguration::EarlyCatchAll(1))),
            (
                json!({}),
                Err(BadConfiguration::WrongType("ingress".into())),
            ),
            (
                json!([{"hostname": "app.example.com:80", "service": "http://a"}, end]),
                Err(BadConfiguration::Hostname(1)),
            ),
            (
                json!([{"hostname": "a.*.com", "service": "http://a"}, end]),
                Err(BadConfiguration::Hostname(1)),
            ),
            (
                json!([{"hostname": "a.com", "service": "app:80"}, end]),
                Err(BadConfiguration::Service(1)),
            ),
            (
                json!([{"hostname": 1, "service": "http://a"}, end]),
                Err(BadConfiguration::WrongType("rule #1: hostname".into())),
            ),
        ] {
            let document = json!({ "ingress": rules });
            assert_eq!(check(document.clone()).map(|_| ()), expected, "{document}");
        }
    }

    #[test]
    fn a_thousand_rules_fit_and_one_more_does_not() {
        for (count, fits) in [(MAX_RULES, true), (MAX_RULES + 1, false)] {
            let mut rules: Vec<Value> = (1..count)
                .map(|i| json!({"hostname": format!("h{i}.example.com"), "service": "http://a"}))
                .collect();
            rules.push(json!({"service": "http_status:404"}));
            assert_eq!(check(json!({ "ingress": rules })).is_ok(), fits, "{count}");
        }
    }
}
