//! Pages put together to a list that is complete, or an error.
//!
//! What is not in a list may be deleted, so the list must be complete: a page that is missing, short or
//! of another state of the list than its neighbours is never papered over.

use std::collections::HashSet;

use crate::envelope::{Answer, ResultInfo};

/// Something with an id that no other item of its list has.
pub(crate) trait Identified {
    fn id(&self) -> &str;
}

/// A list that is being read.
pub(crate) struct Listing<T> {
    items: Vec<T>,
    ids: HashSet<String>,
    total: Option<u64>,
    page: u64,
}

/// What to do after a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Complete,
}

impl<T: Identified> Listing<T> {
    pub(crate) fn new() -> Self {
        Self {
            items: Vec::new(),
            ids: HashSet::new(),
            total: None,
            page: 1,
        }
    }

    /// Number of the page to read next, counted from 1.
    pub(crate) fn next_page(&self) -> u64 {
        self.page
    }

    pub(crate) fn into_items(self) -> Vec<T> {
        self.items
    }

    /// Takes the page that was read; an error says what does not fit.
    pub(crate) fn add(&mut self, answer: Answer<Vec<T>>) -> Result<Progress, String> {
        let page = self.page;
        let items = answer.result.unwrap_or_default();
        let total = self.check(answer.result_info, items.len() as u64)?;
        for item in items {
            if !self.ids.insert(item.id().to_owned()) {
                return Err(format!(
                    "page {page} repeats {}; the list changed while it was read",
                    item.id()
                ));
            }
            self.items.push(item);
        }
        let read = self.items.len() as u64;
        if read > total {
            return Err(format!("{read} items were read of {total}"));
        }
        self.page += 1;
        Ok(if read == total {
            Progress::Complete
        } else {
            Progress::More
        })
    }

    /// The total number of items, if the page is where and what it says it is.
    fn check(&mut self, info: Option<ResultInfo>, found: u64) -> Result<u64, String> {
        let page = self.page;
        let info = info.unwrap_or_default();
        let Some(total) = info.total_count else {
            return Err(format!("page {page} does not say how many items there are"));
        };
        if let Some(other) = info.page.filter(|other| *other != page) {
            return Err(format!("page {page} was asked for, page {other} came"));
        }
        if let Some(count) = info.count.filter(|count| *count != found) {
            return Err(format!("page {page} says {count} items and has {found}"));
        }
        if let Some(before) = self.total.replace(total).filter(|before| *before != total) {
            return Err(format!(
                "there were {before} items, then {total}; the list changed while it was read"
            ));
        }
        let read = self.items.len() as u64;
        if found == 0 && read < total {
            return Err(format!(
                "page {page} is empty after {read} of {total} items"
            ));
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Identified for String {
        fn id(&self) -> &str {
            self
        }
    }

    /// Reads the pages that are given; returns the ids, or what does not fit.
    fn read(pages: &[&str]) -> Result<String, String> {
        let mut listing = Listing::new();
        for page in pages {
            let answer: Answer<Vec<String>> = serde_json::from_str(page).unwrap();
            if listing.add(answer)? == Progress::Complete {
                return Ok(listing.into_items().join(" "));
            }
        }
        Ok(format!("wants page {}", listing.next_page()))
    }

    #[test]
    fn only_pages_that_fit_together_make_a_list() {
        let ab = r#"{"result":["a","b"],"result_info":{"page":1,"count":2,"total_count":3}}"#;
        for (pages, expected) in [
            (
                vec![r#"{"result":[],"result_info":{"page":1,"count":0,"total_count":0}}"#],
                Ok(""),
            ),
            (
                vec![r#"{"result":null,"result_info":{"total_count":0}}"#],
                Ok(""),
            ),
            (
                vec![r#"{"result":["a"],"result_info":{"total_count":1}}"#],
                Ok("a"),
            ),
            (vec![ab], Ok("wants page 2")),
            (
                vec![
                    ab,
                    r#"{"result":["c"],"result_info":{"page":2,"count":1,"total_count":3}}"#,
                ],
                Ok("a b c"),
            ),
            (
                vec![r#"{"result":["a"]}"#],
                Err("page 1 does not say how many items there are"),
            ),
            (
                vec![r#"{"result":["a"],"result_info":{"count":2,"total_count":2}}"#],
                Err("page 1 says 2 items and has 1"),
            ),
            (vec![ab, ab], Err("page 2 was asked for, page 1 came")),
            (
                vec![
                    ab,
                    r#"{"result":[],"result_info":{"page":2,"count":0,"total_count":3}}"#,
                ],
                Err("page 2 is empty after 2 of 3 items"),
            ),
            (
                vec![
                    ab,
                    r#"{"result":[],"result_info":{"page":2,"count":0,"total_count":2}}"#,
                ],
                Err("there were 3 items, then 2; the list changed while it was read"),
            ),
            (
                vec![
                    ab,
                    r#"{"result":["b"],"result_info":{"page":2,"count":1,"total_count":3}}"#,
                ],
                Err("page 2 repeats b; the list changed while it was read"),
            ),
            (
                vec![r#"{"result":["a","b"],"result_info":{"total_count":1}}"#],
                Err("2 items were read of 1"),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(read(&pages), expected, "{pages:?}");
        }
    }
}
