//! Bytes of a row that are not copied.

use bytes::Bytes;
use sqlx::{
    Decode, Postgres, Type, Value, ValueRef,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValue, PgValueFormat, PgValueRef},
};

/// A `bytea` in the memory of its row, which stays for as long as somebody has the bytes: for large values, of which a row has
/// one.
#[derive(Debug)]
pub(crate) struct Bytea(pub Bytes);

struct Owner(PgValue);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_bytes().unwrap_or_default()
    }
}

impl Type<Postgres> for Bytea {
    fn type_info() -> PgTypeInfo {
        <[u8] as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Bytea {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => Ok(Self(Bytes::from_owner(Owner(ValueRef::to_owned(&value))))),
            PgValueFormat::Text => Ok(Self(Vec::decode(value)?.into())),
        }
    }
}
