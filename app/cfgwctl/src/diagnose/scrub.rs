//! Texts without what looks like a secret.
//!
//! Known are the forms of Cloudflare's API tokens and keys, of connector tokens, of JSON Web Tokens and of private keys, and
//! whatever follows a word that announces a secret. Hashes in hexadecimal, UUIDs and names of pods stay: reports need them.

/// What stands in the place of a secret.
pub const REMOVED: &str = "(removed)";

/// Beginnings of tokens that say what they are.
const PREFIXES: [&str; 4] = ["cfut_", "cfat_", "cfk_", "v1.0-"];

/// Words that announce a secret, in lower case.
const ANNOUNCING: [&str; 8] = [
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "bearer",
    "api_key",
    "apikey",
];

/// Fewest characters of a word of letters in both cases and digits that counts as a secret.
const SHORTEST_MIXED: usize = 30;

/// Fewest characters of a word of small letters and digits that does.
const SHORTEST_SMALL: usize = 32;

/// Characters of a Global API Key, which is hexadecimal.
const GLOBAL_KEY: usize = 37;

/// Fewest characters of what is announced.
const SHORTEST_ANNOUNCED: usize = 8;

/// The text without it.
pub fn scrub(text: &str) -> String {
    let text = without_pem(text);
    let mut shown = String::with_capacity(text.len());
    let mut announced = false;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if !word.is_empty() {
            let is_value = announced && is_announced(word);
            shown.push_str(&cleaned(word, is_value));
            announced = announces(word);
            rest = after;
            continue;
        }
        let mut characters = rest.chars();
        let Some(separator) = characters.next() else {
            break;
        };
        // What is announced follows in the same line, behind `=`, `:`, quotes or spaces.
        announced &= matches!(separator, ' ' | ':' | '"' | '\'' | '\t' | '\\' | '(' | '`');
        shown.push(separator);
        rest = characters.as_str();
    }
    shown
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '=' | '.' | '~')
}

fn announces(word: &str) -> bool {
    let lower = word.trim_end_matches('=').to_ascii_lowercase();
    ANNOUNCING.iter().any(|known| lower.ends_with(known))
}

fn is_announced(word: &str) -> bool {
    // `name=value` is looked at by itself.
    let word = word.trim_end_matches('=');
    let has_digit = word.bytes().any(|b| b.is_ascii_digit());
    let is_one = has_digit && !word.contains('=') && !is_hexadecimal(word);
    is_one && word.len() >= SHORTEST_ANNOUNCED
}

/// A word, or what may be shown of it. `name=value` is two words, and a path is several.
fn cleaned(word: &str, is_value: bool) -> String {
    if is_value || is_secret(word) {
        return REMOVED.to_owned();
    }
    if let Some((name, value)) = word.split_once('=')
        && !value.trim_matches('=').is_empty()
    {
        let is_value = announces(name) && value.len() >= SHORTEST_ANNOUNCED;
        return format!("{}={}", cleaned(name, false), cleaned(value, is_value));
    }
    if !word.contains('/') {
        return word.to_owned();
    }
    let parts = word.split('/');
    let parts = parts.map(|part| match is_secret(part) {
        true => REMOVED,
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn is_secret(word: &str) -> bool {
    let word = word.trim_matches(['.', '=', '-']);
    let has = |is: fn(&u8) -> bool| word.bytes().any(|b| is(&b));
    let (lower, upper, digit) = (
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
        has(u8::is_ascii_digit),
    );
    let is_alphanumeric = word.bytes().all(|b| b.is_ascii_alphanumeric());
    let long = word.len();
    PREFIXES
        .iter()
        .any(|prefix| word.starts_with(prefix) && long > prefix.len() + 8)
        || (word.starts_with("eyJ") && long >= 20)
        || (long >= SHORTEST_MIXED
            && lower
            && upper
            && digit
            && !word.contains('/')
            && !word.contains('.'))
        || (long >= SHORTEST_SMALL && is_alphanumeric && digit && !is_hexadecimal(word))
        || (long == GLOBAL_KEY && is_hexadecimal(word))
}

fn is_hexadecimal(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Blocks of PEM go as a whole, also one whose end is not there.
fn without_pem(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN") {
        shown.push_str(&rest[..start]);
        shown.push_str(REMOVED);
        let block = &rest[start..];
        let end = block.find("-----END").and_then(|end| {
            let after = end + "-----END".len();
            Some(after + block[after..].find("-----")? + "-----".len())
        });
        rest = end.map_or("", |end| &block[end..]);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_removed() {
        for text in [
            "Zx81_kLmN0pQrStUvWxYz-2345678901AbCdEfGh",
            "cfut_abcdefghijklmnop",
            "eyJhIjoiYWNjb3VudCIsInMiOiJjMlZqY21WMCIsInQiOiI2ZmY0In0=",
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl",
            "0123456789abcdef0123456789abcdef01234",
            "q0w1e2r3t4y5u6i7o8p9a0s1d2f3g4h5",
            "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nMIGH and no end",
        ] {
            for around in [
                "{}",
                "a {} b",
                "token=\"{}\"",
                "https://h/{}/x",
                "{\"k\":\"{}\"}",
                "k={}",
            ] {
                let scrubbed = scrub(&around.replace("{}", text));
                assert!(!scrubbed.contains(text), "{around} {scrubbed}");
                assert!(scrubbed.contains(REMOVED), "{around} {scrubbed}");
            }
        }
    }

    #[test]
    fn what_is_announced_is_removed() {
        for text in [
            "token=hunter2hunter2",
            "password: hunter2hunter2",
            "Authorization: Bearer hunter2hunter2",
            "{\"api_token\":\"hunter2hunter2\"}",
            "CLOUDFLARE_API_TOKEN=hunter2hunter2",
            "the secret 'hunter2hunter2'",
        ] {
            assert!(!scrub(text).contains("hunter2"), "{}", scrub(text));
        }
    }

    #[test]
    fn what_a_report_needs_stays() {
        for text in [
            "4f23cf4b-a04f-4810-a7e5-7c6825739ea9.cfargotunnel.com",
            "cfgw1 6d48ce810a707def eb59a63f7da35fed 240d821b2f8da4bc",
            "token sha256=5b9fb70a2a6c",
            "gateway-my-gateway-public-7d9c5b6f48-x2x9z",
            "0c1e6f3d9a470c1e6f3d9a470c1e6f3d9a470c1e6f3d9a470c1e6f3d9a470c1e",
            "CloudflareGatewayParameters default/web: spec.secretRef",
            "cloudflare-gateway-controller.io/clusters/home/instances/4f23cf4b-a04f-4810-a7e5-7c6825739ea9",
            "the token is refused; replace it",
            "2026-01-31T12:00:00.123456Z INFO app::passes",
        ] {
            assert_eq!(scrub(text), text);
        }
    }
}
