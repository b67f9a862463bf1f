//! JSON as an API document describes it: a struct is an object. serde_json reads an array as a struct, too, by the order of
//! its fields, and calls some values that do not fit an enum a mistake in the JSON.

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
};
use std::fmt;

/// A deserializer of JSON and, at each depth, what passes between it and a value.
pub struct Strict<T>(pub T);

macro_rules! deserialize {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Strict(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(EnumVisitor(visitor))
    }

    deserialize! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_identifier();
        deserialize_ignored_any();
    }
}

macro_rules! visit {
    ($($method:ident($($value:ident: $type:ty)?);)*) => {$(
        fn $method<E: Error>(self, $($value: $type)?) -> Result<V::Value, E> {
            self.0.$method($($value)?)
        }
    )*};
}

/// Has what serde_json calls; the others end there by default.
impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(value: bool);
        visit_i64(value: i64);
        visit_i128(value: i128);
        visit_u64(value: u64);
        visit_u128(value: u128);
        visit_f64(value: f64);
        visit_str(value: &str);
        visit_borrowed_str(value: &'de str);
        visit_bytes(value: &[u8]);
        visit_borrowed_bytes(value: &'de [u8]);
        visit_none();
        visit_unit();
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(members))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(value))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }
}

/// Of an enum: a variant is a text, or the only member of an object, which gives its value a place in the path of an error.
struct EnumVisitor<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for EnumVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        self.0.visit_enum(StrDeserializer::new(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<V::Value, A::Error> {
        let value = self.0.visit_enum(MapAccessDeserializer::new(Strict(&mut members)))?;
        match members.next_key::<IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(A::Error::custom("more than one variant")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, de::DeserializeOwned};
    use std::collections::BTreeMap;

    fn read<T: DeserializeOwned>(json: &str) -> Result<T, String> {
        let mut parser = serde_json::Deserializer::from_str(json);
        let value = T::deserialize(Strict(&mut parser));
        value.map_err(|error| format!("{:?}: {error}", error.classify()))
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Point {
        x: i32,
        y: i32,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    enum Step {
        Stay,
        Turn(Point),
        Jump(Point, Point),
        Walk { to: Point },
    }

    #[test]
    fn an_array_is_no_struct_wherever_it_stands() {
        #[derive(Debug, Deserialize)]
        struct Wrapped(#[allow(dead_code)] Point);
        fn refused<T: DeserializeOwned + std::fmt::Debug>(json: &str, expected: &str) {
            let control = serde_json::from_str::<T>(json);
            assert!(control.is_ok(), "{control:?}");
            let error = read::<T>(json).unwrap_err();
            let message = format!("Data: invalid type: sequence, expected {expected} at line");
            assert!(error.starts_with(&message), "{json}: {error}");
        }
        refused::<Point>("[1,2]", "struct Point");
        refused::<Vec<Point>>(r#"[{"x":1,"y":2},[1,2]]"#, "struct Point");
        refused::<Option<Point>>("[1,2]", "struct Point");
        refused::<Wrapped>("[1,2]", "struct Point");
        refused::<(u8, Point)>("[1,[1,2]]", "struct Point");
        refused::<BTreeMap<u8, Point>>(r#"{"1":[1,2]}"#, "struct Point");
        refused::<Step>(r#"{"Turn":[1,2]}"#, "struct Point");
        refused::<Step>(r#"{"Jump":[{"x":1,"y":2},[1,2]]}"#, "struct Point");
        refused::<Step>(r#"{"Walk":[{"x":1,"y":2}]}"#, "struct variant Step::Walk");
        refused::<Step>(r#"{"Walk":{"to":[1,2]}}"#, "struct Point");
    }

    #[test]
    fn what_does_not_fit_an_enum_is_no_mistake_in_the_json() {
        for json in [
            "7",
            "null",
            "[\"Stay\"]",
            "{}",
            "\"Turn\"",
            "\"Away\"",
            "{\"Stay\":1}",
            "{\"Stay\":null,\"Turn\":1}",
        ] {
            let error = read::<Step>(json).unwrap_err();
            assert!(error.starts_with("Data: "), "{json}: {error}");
        }
        for json in ["{\"Stay\":null", "{\"Stay\":null,}", "{\"Stay\" 1}", "Stay", ""] {
            let error = read::<Step>(json).unwrap_err();
            assert!(!error.starts_with("Data: "), "{json}: {error}");
        }
    }

    #[test]
    fn any_other_value_is_what_serde_json_reads() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct All {
            numbers: (i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, f32, f64),
            texts: (char, String, Box<str>, bool),
            units: ((), Unit, Option<u8>, Option<u8>),
            steps: Vec<Step>,
            map: BTreeMap<i64, Pair>,
            any: serde_json::Value,
            #[serde(with = "bytes")]
            bytes: Vec<u8>,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        struct Unit;
        #[derive(Debug, Deserialize, PartialEq)]
        struct Pair(u8, u8);
        mod bytes {
            pub fn deserialize<'de, D: serde::Deserializer<'de>>(bytes: D) -> Result<Vec<u8>, D::Error> {
                struct Bytes;
                impl serde::de::Visitor<'_> for Bytes {
                    type Value = Vec<u8>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("bytes")
                    }

                    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                        Ok(bytes.to_vec())
                    }
                }
                bytes.deserialize_bytes(Bytes)
            }
        }
        let json = r#"{
            "numbers": [-1, -2, -3, -4, -170141183460469231731687303715884105728, 1, 2, 3, 18446744073709551615,
                340282366920938463463374607431768211455, 1.5, 1e300],
            "texts": ["ü", "\u00fc\n", "plain", true],
            "units": [null, null, null, 7],
            "steps": ["Stay", {"Stay": null}, {"Turn": {"x": 1, "y": 2}}, {"Jump": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]},
                {"Walk": {"to": {"x": 1, "y": 2}}}],
            "map": {"-1": [1, 2]},
            "any": [1, -1, 1.5, true, null, "\u00e4", {"b": {}}],
            "bytes": "\u00fc!",
            "unknown": [[{}]]
        }"#;
        assert_eq!(read::<All>(json).unwrap(), serde_json::from_str(json).unwrap());
    }

    /// Serde keeps these in a tree of its own, which it reads as serde_json reads text.
    #[test]
    fn what_serde_buffers_takes_an_array_still() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Flat {
            #[serde(flatten)]
            inner: Inner,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        struct Inner {
            point: Point,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        #[serde(untagged)]
        enum Untagged {
            Point(Point),
        }
        #[derive(Debug, Deserialize, PartialEq)]
        #[serde(tag = "kind")]
        enum Tagged {
            Point(Point),
        }
        let point = Point { x: 1, y: 2 };
        let inner = Inner { point };
        assert_eq!(read(r#"{"point":[1,2]}"#), Ok(Flat { inner }));
        assert_eq!(read("[1,2]"), Ok(Untagged::Point(Point { x: 1, y: 2 })));
        assert_eq!(read(r#"["Point",1,2]"#), Ok(Tagged::Point(Point { x: 1, y: 2 })));
        assert!(read::<Flat>("[[1,2]]").is_err());
    }
}
