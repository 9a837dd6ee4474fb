//! What the client reads is what `tests/judges/fields.json` says, to the field. The judges hold that list
//! against the official libraries; what is sent is held against it where the calls are tested.
//!
//! A type tells serde the names and types of its fields while it is being read. So it is read from a
//! document that has every field which is asked for, and notes each.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Visitor,
};
use serde_json::Value;

use crate::envelope::{Answer, Head};
use crate::wire::{
    WireCertificate, WireCertificateId, WireConfiguration, WireConnector, WireRecord,
    WireTokenStatus, WireTunnel, WireZone,
};

/// Call, field, type.
type Field = (String, String, String);

const LIST: &str = include_str!("../../../tests/judges/fields.json");

/// A document that has every field, at one place in it.
struct Everything<'a> {
    path: String,
    found: &'a RefCell<BTreeSet<(String, &'static str)>>,
}

impl Everything<'_> {
    fn note(&self, kind: &'static str) {
        self.found.borrow_mut().insert((self.path.clone(), kind));
    }

    fn at(&self, path: String) -> Self {
        Self {
            path,
            found: self.found,
        }
    }
}

/// The fields of an object, one by one.
struct Fields<'a> {
    object: Everything<'a>,
    names: std::slice::Iter<'static, &'static str>,
    name: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.names.next() else {
            return Ok(None);
        };
        self.name = name;
        let key: StrDeserializer<'static, Error> = name.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let path = match self.object.path.as_str() {
            "" => self.name.to_owned(),
            path => format!("{path}.{}", self.name),
        };
        seed.deserialize(self.object.at(path))
    }
}

/// One item; none where a type holds itself.
struct Items<'a>(Option<Everything<'a>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|item| seed.deserialize(item)).transpose()
    }
}

impl<'de> Deserializer<'de> for Everything<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom(format!(
            "{} has a type that is not listed here",
            self.path
        )))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("boolean");
        visitor.visit_bool(true)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("integer");
        visitor.visit_u64(1)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("string");
        visitor.visit_str("text")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note("array");
        let holds_itself = self.path.ends_with("error_chain");
        let item = (!holds_itself).then(|| self.at(format!("{}[]", self.path)));
        visitor.visit_seq(Items(item))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note("object");
        visitor.visit_map(Fields {
            object: self,
            names: names.iter(),
            name: "",
        })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// What a type reads, for this call, where it stands at this path of an answer. The document itself and the
/// items of its lists are no fields.
fn read<T: DeserializeOwned>(call: &str, path: &str) -> BTreeSet<Field> {
    let found = RefCell::default();
    let everything = Everything {
        path: path.to_owned(),
        found: &found,
    };
    T::deserialize(everything).unwrap_or_else(|error| panic!("{call}: {error}"));
    let envelope = ["", "result", "result_info", "errors"];
    found
        .into_inner()
        .into_iter()
        .filter(|(path, kind)| {
            let is_container = matches!(*kind, "array" | "object");
            !(is_container && (path.ends_with("[]") || envelope.contains(&path.as_str())))
        })
        .map(|(path, kind)| (call.to_owned(), path, kind.to_owned()))
        .collect()
}

#[test]
fn every_field_that_is_read_is_one_that_the_judges_know_and_the_other_way_round() {
    let list: Vec<Value> = serde_json::from_str(LIST).unwrap();
    let text = |field: &Value, key: &str| field[key].as_str().unwrap().to_owned();
    let listed: BTreeSet<Field> = list
        .iter()
        .filter(|field| field["direction"] == "read")
        .map(|field| {
            (
                text(field, "call"),
                text(field, "path"),
                text(field, "type"),
            )
        })
        .collect();
    let found: BTreeSet<Field> = [
        read::<Head>("any call", ""),
        read::<Answer<Vec<WireTunnel>>>("list tunnels", ""),
        read::<WireTunnel>("create tunnel", "result"),
        read::<String>("get connector token", "result"),
        read::<Vec<WireConnector>>("list connections", "result"),
        read::<WireConfiguration>("get ingress rules", "result"),
        read::<Answer<Vec<WireZone>>>("list zones", ""),
        read::<Answer<Vec<WireZone>>>("look up zone", ""),
        read::<Answer<Vec<WireRecord>>>("list DNS records", ""),
        read::<Answer<Vec<WireCertificate>>>("list custom certificates", ""),
        read::<WireCertificateId>("upload custom certificate", "result"),
        read::<WireCertificateId>("replace custom certificate", "result"),
        read::<WireTokenStatus>("verify API token of a user", "result"),
        read::<WireTokenStatus>("verify API token of an account", "result"),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(found, listed);
}
