//! Lists and events as the API server writes them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::raw::RawObject;
use super::news::News;
use super::trouble::Failure;

/// The text is not that of a list or an event.
const MALFORMED: Failure = Failure::Answer("the API server's answer is not a list or an event");

/// A page of a list, its objects read.
#[derive(Debug)]
pub(in super::super) struct Page<T> {
    pub(in super::super) items: Vec<T>,
    pub(in super::super) version: String,
    /// Where the next page begins; empty at the end.
    pub(in super::super) token: String,
}

#[derive(Deserialize)]
struct WrittenPage<'a> {
    #[serde(default)]
    metadata: PageHead,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageHead {
    resource_version: String,
    r#continue: String,
}

/// An event. There is no news where only the version is another one.
#[derive(Debug)]
pub(in super::super) struct Event<T> {
    pub(in super::super) version: String,
    pub(in super::super) news: Option<News<T>>,
}

#[derive(Deserialize)]
struct WrittenEvent<'a> {
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What an event says that is about the watch itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl<T> Page<T> {
    pub(in super::super) fn read(
        text: &str,
        reader: &dyn Fn(&RawObject<'_>) -> T,
    ) -> Result<Self, Failure> {
        let written: WrittenPage<'_> = serde_json::from_str(text).map_err(|_| MALFORMED)?;
        let items = written.items.unwrap_or_default().into_iter();
        let items = items.map(|item| Ok(reader(&RawObject::of(item.get()).ok_or(MALFORMED)?)));
        Ok(Self {
            items: items.collect::<Result<_, Failure>>()?,
            version: written.metadata.resource_version,
            token: written.metadata.r#continue,
        })
    }
}

impl<T> Event<T> {
    pub(in super::super) fn read(
        line: &[u8],
        reader: &dyn Fn(&RawObject<'_>) -> T,
    ) -> Result<Self, Failure> {
        let line = String::from_utf8_lossy(line);
        let written: WrittenEvent<'_> = serde_json::from_str(&line).map_err(|_| MALFORMED)?;
        if written.r#type == "ERROR" {
            let status: Status = serde_json::from_str(written.object.get()).unwrap_or_default();
            return Err(match status.code {
                410 => Failure::Expired,
                _ => Failure::Answer("the API server ends the watch with an error"),
            });
        }
        let object = RawObject::of(written.object.get()).ok_or(MALFORMED)?;
        let news = match &*written.r#type {
            "ADDED" | "MODIFIED" => Some(News::Put(reader(&object))),
            "DELETED" => Some(News::Gone(object.head.key())),
            _ => None,
        };
        Ok(Self {
            version: object.head.resource_version,
            news,
        })
    }
}
