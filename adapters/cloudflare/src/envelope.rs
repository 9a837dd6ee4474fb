//! What Cloudflare wraps around every answer: `success`, `errors`, `result` and, for lists, `result_info`
//! (developers.cloudflare.com/fundamentals/api/how-to/make-api-calls). None of these types has a `Debug`:
//! a result may be a secret.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One thing that Cloudflare complains about.
#[derive(Deserialize)]
pub(crate) struct Complaint {
    #[serde(default)]
    pub(crate) code: i64,
    #[serde(default)]
    pub(crate) message: String,
    /// What led to it, e.g. the rule that a DNS record broke under the code of the whole request.
    #[serde(default)]
    error_chain: Option<Vec<Complaint>>,
}

/// Whether the call succeeded, and what Cloudflare complains about.
#[derive(Deserialize)]
pub(crate) struct Head {
    success: bool,
    #[serde(default)]
    errors: Option<Vec<Complaint>>,
}

/// The part of an answer that holds what was asked for.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(crate) struct Answer<T> {
    #[serde(default = "Option::default")]
    pub(crate) result: Option<T>,
    #[serde(default)]
    pub(crate) result_info: Option<ResultInfo>,
}

/// Where a page stands in its list.
#[derive(Deserialize, Clone, Copy, Default)]
pub(crate) struct ResultInfo {
    pub(crate) page: Option<u64>,
    pub(crate) count: Option<u64>,
    pub(crate) total_count: Option<u64>,
}

/// What a body turned out to be.
pub(crate) enum Envelope<T> {
    Yes(Answer<T>),
    No(Vec<Complaint>),
    /// Not what the API's description says. The text names the place, never the content: that may be a secret.
    Unreadable(String),
}

/// Reads a body. Complaints are flattened, causes after effects.
pub(crate) fn open<T: DeserializeOwned>(body: &[u8]) -> Envelope<T> {
    let head: Head = match serde_json::from_slice(body) {
        Ok(head) => head,
        Err(error) => return Envelope::Unreadable(place_of(&error)),
    };
    if !head.success {
        return Envelope::No(flatten(head.errors.unwrap_or_default()));
    }
    match serde_json::from_slice(body) {
        Ok(answer) => Envelope::Yes(answer),
        Err(error) => Envelope::Unreadable(place_of(&error)),
    }
}

fn flatten(complaints: Vec<Complaint>) -> Vec<Complaint> {
    let mut flat = Vec::new();
    for mut complaint in complaints {
        let causes = complaint.error_chain.take().unwrap_or_default();
        flat.push(complaint);
        flat.extend(flatten(causes));
    }
    flat
}

/// serde's own message would quote the value that it did not expect.
fn place_of(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the JSON ends too early",
        serde_json::error::Category::Data => "the JSON has another form than documented",
        _ => "it is not JSON",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        for (body, expected) in [
            (r#"{"success":true,"errors":[],"result":"x"}"#, "yes x"),
            (
                r#"{"success":true,"errors":null,"messages":null,"result":null}"#,
                "yes",
            ),
            (r#"{"success":true}"#, "yes"),
            (
                r#"{"success":false,"errors":[{"code":1004,"message":"a","error_chain":[{"code":9005,"message":"b"}]},{"code":7,"message":"c"}],"result":{}}"#,
                "no 1004 9005 7",
            ),
            (r#"{"success":false,"errors":null}"#, "no"),
            (
                r#"{"success":true,"result":{"canary":1}}"#,
                "the JSON has another form than documented",
            ),
            (r#"{"success":tr"#, "the JSON ends too early"),
            ("<html>canary</html>", "it is not JSON"),
            (
                r#"{"result":"canary"}"#,
                "the JSON has another form than documented",
            ),
        ] {
            let found = match open::<String>(body.as_bytes()) {
                Envelope::Yes(answer) => format!("yes {}", answer.result.unwrap_or_default()),
                Envelope::No(complaints) => {
                    complaints.iter().fold("no".to_owned(), |text, complaint| {
                        format!("{text} {}", complaint.code)
                    })
                }
                Envelope::Unreadable(reason) => reason,
            };
            let found = found.split(" (line ").next().unwrap_or_default();
            assert_eq!(found.trim_end(), expected, "{body}");
        }
    }
}
