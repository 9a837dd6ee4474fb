//! Text to documents.

use serde_json::Value;

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// Position in the file, from 1. Documents without content do not count.
    pub(crate) position: usize,
    /// Line of its first content, from 1.
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// Why a text is not YAML.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Line in the file, from 1.
    pub(crate) line: usize,
    /// What is wrong there. Quotes nothing of a text in which a Secret may stand.
    pub(crate) message: String,
}

/// Reads the documents of a file one after the other: a parsed document takes many times the memory of its
/// text, so a file of thousands is never held as a whole. After an error nothing more comes.
pub(crate) fn documents(text: &str) -> impl Iterator<Item = Result<Document, Malformed>> {
    let secret = may_hold_secret(text);
    let read = parts(text).into_iter().filter_map(move |part| {
        let line = part.content_line();
        let value = parse(&part, secret).transpose()?;
        Some(value.map(|value| (line, value)))
    });
    let mut failed = false;
    read.take_while(move |read| !std::mem::replace(&mut failed, read.is_err()))
        .zip(1..)
        .map(|(read, position)| {
            read.map(|(line, value)| Document {
                position,
                line,
                value,
            })
        })
}

/// The text of one document with its marker.
struct Part<'t> {
    /// Line of the part's first character, from 1.
    line: usize,
    text: &'t str,
}

impl Part<'_> {
    fn content_line(&self) -> usize {
        let before = self.text.lines().take_while(|line| !is_content(line));
        self.line + before.count()
    }
}

/// Cuts a text at its document markers. They stand at the start of a line, where no other content of a
/// document may look like them (YAML 1.2, 9.1.2).
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut open = Part { line: 1, text: "" };
    let mut start = 0;
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let end = offset + line.len();
        // Directives stand before the marker and belong to the document after it.
        let before = &text[start..offset];
        let leading = !before
            .lines()
            .any(|line| is_content(line) || is_marker(line, "---"));
        if is_marker(line, "---") && !leading {
            open.text = &text[start..offset];
            parts.push(std::mem::replace(
                &mut open,
                Part {
                    line: index + 1,
                    text: "",
                },
            ));
            start = offset;
        } else if is_marker(line, "...") {
            open.text = &text[start..end];
            parts.push(std::mem::replace(
                &mut open,
                Part {
                    line: index + 2,
                    text: "",
                },
            ));
            start = end;
        }
        offset = end;
    }
    open.text = &text[start..];
    parts.push(open);
    parts.retain(|part| part.text.lines().any(is_content));
    parts
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether a line says something: no comment, directive, or bare marker.
fn is_content(line: &str) -> bool {
    let rest = match ["---", "..."]
        .into_iter()
        .find(|marker| is_marker(line, marker))
    {
        Some(marker) => line[marker.len()..].trim(),
        None => line.trim_start_matches('\u{feff}').trim(),
    };
    !rest.is_empty() && !rest.starts_with('#') && !line.starts_with('%')
}

fn parse(part: &Part<'_>, secret: bool) -> Result<Option<Value>, Malformed> {
    // A snippet would quote the file.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options::<Option<Value>>(part.text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let line = usize::try_from(line).unwrap_or(1).max(1);
        let message = if secret {
            "the details are withheld because a Secret may stand here".to_owned()
        } else {
            error.without_snippet().to_string()
        };
        Malformed {
            line: part.line + line - 1,
            message,
        }
    })
}

/// Whether a parser's message about this text could quote a Secret's value, e.g. `*pass` as an alias.
fn may_hold_secret(text: &str) -> bool {
    ["Secret", "stringData"]
        .iter()
        .any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Result<Vec<Document>, Malformed> {
        documents(text).collect()
    }

    fn lines(text: &str) -> Vec<(usize, usize)> {
        let documents = all(text).unwrap();
        documents.iter().map(|d| (d.position, d.line)).collect()
    }

    #[test]
    fn documents_are_counted_by_content_and_know_their_line() {
        for (given, expected) in [
            ("", vec![]),
            ("# only a comment\n", vec![]),
            ("---\n---\n", vec![]),
            ("a: 1\n", vec![(1, 1)]),
            ("a: 1\n---\nb: 2", vec![(1, 1), (2, 3)]),
            ("---\na: 1\n---\n# why\n\nb: 2\n---\n", vec![(1, 2), (2, 6)]),
            ("a: 1\n---\n# empty\n---\nb: 2", vec![(1, 1), (2, 5)]),
            ("%YAML 1.2\n---\na: 1\n", vec![(1, 3)]),
            ("a: 1\n...\nb: 2\n", vec![(1, 1), (2, 3)]),
            ("--- {a: 1}\n--- {b: 2}\n", vec![(1, 1), (2, 2)]),
            ("\u{feff}a: 1\r\n---\r\nb: 2\r\n", vec![(1, 1), (2, 3)]),
            ("a: |\n  ---\n  x\n---\nb: 2\n", vec![(1, 1), (2, 5)]),
            ("a: \"---x\"\n---x: 1\n", vec![(1, 1)]),
        ] {
            assert_eq!(lines(given), expected, "{given:?}");
        }
    }

    #[test]
    fn an_error_names_the_line_in_the_file() {
        let error = all("a: 1\n---\nb: 2\nc: [1, 2\n---\nd: 1\n").unwrap_err();
        assert!((4..=5).contains(&error.line), "{error:?}");
        let error = all("a: 1\n---\nb: 2\nb: 3\n").unwrap_err();
        assert_eq!(error.line, 4, "{error:?}");
        assert!(error.message.contains('b'), "{error:?}");
    }

    #[test]
    fn an_error_beside_a_secret_quotes_nothing() {
        let error = all("kind: Secret\nstringData:\n  TOKEN: *canary-value\n").unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }

    /// Lines that make trouble, in any order.
    fn troublesome() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            Just("---"),
            Just("..."),
            Just("--- {a: 1}"),
            Just("%YAML 1.2"),
            Just("# why"),
            Just(""),
            Just("a: 1"),
            Just("b: [1, 2"),
            Just("  c: |"),
            Just("\td: 1"),
            Just("- x"),
            Just("*x"),
            Just("&x y: *x"),
            Just("\u{feff}"),
            Just("\"open"),
            Just("kind: Secret"),
            Just("stringData: {K: *canary}"),
            Just("? [complex]"),
            Just("!!binary x"),
        ];
        let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
        proptest::collection::vec((line, end), 0..12).prop_map(|lines| {
            lines
                .into_iter()
                .map(|(line, end)| format!("{line}{end}"))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn any_text_is_documents_or_malformed_but_never_a_panic(text in "\\PC{0,120}") {
            let _ = all(&text);
        }

        #[test]
        fn troublesome_text_names_a_line_that_it_has_and_quotes_no_secret(text in troublesome()) {
            let last = text.split('\n').flat_map(|line| line.split('\r')).count() + 1;
            match all(&text) {
                Ok(documents) => {
                    let positions: Vec<_> = documents.iter().map(|d| d.position).collect();
                    prop_assert_eq!(&positions, &(1..=documents.len()).collect::<Vec<_>>());
                    prop_assert!(documents.is_sorted_by(|a, b| a.line < b.line));
                    prop_assert!(documents.iter().all(|d| (1..=last).contains(&d.line)));
                }
                Err(malformed) => {
                    prop_assert!((1..=last).contains(&malformed.line), "{:?}", malformed);
                    prop_assert!(!malformed.message.contains("canary"), "{:?}", malformed);
                }
            }
        }
    }
}
