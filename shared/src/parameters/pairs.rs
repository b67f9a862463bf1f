//! The pairs of a query as serde reads them: the values of a name that comes several times are a list, as OpenAPI has it
//! (`style: form`, `explode: true`).

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{Error, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use std::{borrow::Cow, collections::BTreeMap};

/// The values of each name.
pub type Pairs<'a> = BTreeMap<Cow<'a, str>, Values<'a>>;

/// A deserializer of a map or a struct.
pub fn deserializer(query: &str) -> MapDeserializer<'_, <Pairs<'_> as IntoIterator>::IntoIter, Error> {
    let mut pairs = Pairs::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        pairs.entry(name).or_default().0.push(value);
    }
    MapDeserializer::new(pairs.into_iter())
}

/// One or more values: a text, what is parsed from it, or a list.
#[derive(Default)]
pub struct Values<'a>(Vec<Cow<'a, str>>);

impl<'a> Values<'a> {
    fn only(self) -> Result<Cow<'a, str>, Error> {
        let only = <[Cow<'a, str>; 1]>::try_from(self.0).map(|[value]| value);
        only.map_err(|_| Error::invalid_type(Unexpected::Seq, &"one value"))
    }
}

impl<'a> IntoDeserializer<'_, Error> for Values<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parse {
    ($($method:ident: $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let value: $type = self.only()?.parse().map_err(Error::custom)?;
            value.into_deserializer().deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.len() {
            1 => self.only()?.into_deserializer().deserialize_any(visitor),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let values = self.0.into_iter().map(|value| Values(vec![value]));
        SeqDeserializer::new(values).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.only()?
            .into_deserializer()
            .deserialize_enum(name, variants, visitor)
    }

    parse! {
        deserialize_bool: bool;
        deserialize_i8: i8;
        deserialize_i16: i16;
        deserialize_i32: i32;
        deserialize_i64: i64;
        deserialize_u8: u8;
        deserialize_u16: u16;
        deserialize_u32: u32;
        deserialize_u64: u64;
        deserialize_f32: f32;
        deserialize_f64: f64;
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}
