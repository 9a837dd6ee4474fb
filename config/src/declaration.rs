//! Declares a group of settings once: type, default and documentation of each key.

use figment::value::Value;
use serde::Serialize;

/// One key of the reference page.
pub(crate) struct Key {
    /// `section.key`.
    pub(crate) path: String,
    pub(crate) default: String,
    pub(crate) doc: String,
}

/// A group of settings that can list its keys.
pub(crate) trait Described {
    /// Appends the keys; `prefix` is empty or ends with a dot.
    fn describe(prefix: &str, keys: &mut Vec<Key>);
}

impl Key {
    pub(crate) fn new(prefix: &str, name: &str, default: &impl Serialize, doc: &[&str]) -> Self {
        let lines: Vec<_> = doc.iter().map(|line| line.trim()).collect();
        Self {
            path: format!("{prefix}{name}"),
            default: Value::serialize(default).map(text_of).unwrap_or_default(),
            doc: lines.join(" "),
        }
    }
}

/// Defaults are texts, numbers or nothing.
fn text_of(value: Value) -> String {
    match value {
        Value::String(_, text) => text,
        Value::Num(_, number) => number.to_u128().map(|n| n.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A struct of settings whose keys have a default and a doc comment each, and which refuses unknown keys.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr, )*
            $( section $(#[doc = $section_doc:literal])+ $section:ident: $section_type:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $key: $type, )*
            $( $(#[doc = $section_doc])+ pub $section: $section_type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $key: $default, )*
                    $( $section: <$section_type>::default(), )*
                }
            }
        }

        impl $crate::declaration::Described for $name {
            fn describe(prefix: &str, keys: &mut Vec<$crate::declaration::Key>) {
                $({
                    let default: $type = $default;
                    let doc = [$($doc),+];
                    keys.push($crate::declaration::Key::new(prefix, stringify!($key), &default, &doc));
                })*
                $({
                    let prefix = format!("{prefix}{}.", stringify!($section));
                    <$section_type as $crate::declaration::Described>::describe(&prefix, keys);
                })*
            }
        }
    };
}

pub(crate) use settings;
