//! The YAML documents of one file.

use serde_json::Value;

/// A document, or why there is none.
#[derive(Debug)]
pub(crate) struct Document {
    /// Line in the file, from 1: where the document starts, or where it breaks.
    pub(crate) line: u64,
    /// What it says. The error is a sentence about YAML and holds no value of the file.
    pub(crate) value: Result<Value, String>,
}

/// Takes a file apart. Each document is parsed by itself, so that a broken one spoils no other: a line
/// that starts with `---` ends a document wherever it stands, quotes and blocks included (YAML 1.2,
/// production 206, `c-forbidden`). Documents that say nothing are left out.
pub(crate) fn documents(text: &str) -> Vec<Document> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    chunks(text)
        .into_iter()
        .flat_map(|(first_line, chunk)| parse(first_line, chunk))
        .collect()
}

/// Parts of the text from marker to marker, with the number of their first lines.
fn chunks(text: &str) -> Vec<(u64, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut first_line, mut offset) = (0, 1, 0);
    for (line_number, line) in (1_u64..).zip(text.split_inclusive('\n')) {
        if is_marker(line) && offset > start {
            chunks.push((first_line, &text[start..offset]));
            (start, first_line) = (offset, line_number);
        }
        offset += line.len();
    }
    chunks.push((first_line, &text[start..]));
    chunks.retain(|(_, chunk)| chunk.lines().any(says_something));
    chunks
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether a line is more than a comment, a marker or a directive.
fn says_something(line: &str) -> bool {
    let line = line.strip_prefix("---").unwrap_or(line).trim();
    !(line.is_empty() || line.starts_with(['#', '%']))
}

fn parse(first_line: u64, chunk: &str) -> Vec<Document> {
    let options = serde_saphyr::options! { with_snippet: false };
    let start = (first_line..)
        .zip(chunk.lines())
        .find(|(_, line)| says_something(line))
        .map_or(first_line, |(line, _)| line);
    match serde_saphyr::from_multiple_with_options::<Value>(chunk, options) {
        Ok(values) => values
            .into_iter()
            .filter(|value| !value.is_null())
            .map(|value| Document {
                line: start,
                value: Ok(value),
            })
            .collect(),
        Err(error) => {
            let error = error.without_snippet();
            let line = error
                .location()
                .map_or(start, |location| first_line + location.line().max(1) - 1);
            vec![Document {
                line,
                value: Err(error.to_string()),
            }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(text: &str) -> Vec<String> {
        documents(text)
            .into_iter()
            .map(|document| match document.value {
                Ok(value) => format!("{} {value}", document.line),
                Err(_) => format!("{} broken", document.line),
            })
            .collect()
    }

    #[test]
    fn documents_are_parted_by_markers_and_keep_their_lines() {
        for (text, expected) in [
            ("", vec![]),
            ("# nothing\n---\n# still nothing\n", vec![]),
            ("a: 1\n", vec!["1 {\"a\":1}"]),
            ("\u{feff}a: 1", vec!["1 {\"a\":1}"]),
            (
                "---\na: 1\n---\n\n# b\nb: 2\n",
                vec!["2 {\"a\":1}", "6 {\"b\":2}"],
            ),
            (
                "--- {a: 1}\n--- # b\nb: 2\n",
                vec!["1 {\"a\":1}", "3 {\"b\":2}"],
            ),
            ("%YAML 1.2\n---\na: 1\n...\n", vec!["3 {\"a\":1}"]),
            (
                "a: 1\r\n---\r\nb: 2\r\n",
                vec!["1 {\"a\":1}", "3 {\"b\":2}"],
            ),
            ("a: |\n  ---\n  text\n", vec!["1 {\"a\":\"---\\ntext\\n\"}"]),
            ("---\n---\n---\na: 1\n", vec!["4 {\"a\":1}"]),
            ("---more: 1\n", vec!["1 {\"---more\":1}"]),
        ] {
            assert_eq!(summary(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_broken_document_spoils_no_other_and_names_its_line() {
        assert_eq!(
            summary("a: 1\n---\nb: \"never closed\nc: 2\n---\nd: 4\n").len(),
            3
        );
        assert_eq!(
            summary("a: 1\n---\nb:\n  - c\n d: [\n---\ne: 5\n")[2],
            "7 {\"e\":5}"
        );
        assert_eq!(summary("a: 1\n---\nb: [1\nc: 2\n")[0], "1 {\"a\":1}");
        let [_, broken] = &documents("x: 1\n---\na: 1\n  b: 2\n")[..] else {
            panic!("two documents were expected");
        };
        assert!(broken.value.is_err());
        assert_eq!(broken.line, 4);
    }

    #[test]
    fn an_error_repeats_no_value() {
        for text in [
            "token: \"hush",
            "token: hush: hush",
            "token: [hush",
            "token: hush\ntoken: hush2",
            "token: &hush hush\nb: *a",
            "token: !!int hush",
            "token: !!binary hush",
            "token: 'hush' hush",
            "<<: hush",
            "- hush\ntoken: a",
            "token: \"\\hush\"",
        ] {
            for document in documents(text) {
                let shown = format!("{:?}", document.value.as_ref().err());
                assert!(!shown.contains("hush"), "{text:?}: {shown}");
            }
        }
    }
}
