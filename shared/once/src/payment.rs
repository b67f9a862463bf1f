//! A payment: a row, and an answer of the kind that the request asks for.

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;
use shared::{
    body::Json,
    database::{Reason, Transaction, violation},
    problem::{Problem, ProblemType},
};
use std::{io, time::Duration};
use tokio::time::sleep;

#[derive(Clone, Debug, Deserialize)]
pub struct Payment {
    amount: i64,
    /// How long it takes after the row is inserted, and after it is committed.
    #[serde(default)]
    within_ms: u64,
    #[serde(default)]
    after_ms: u64,
    #[serde(default)]
    answer: Kind,
}

impl Default for Payment {
    fn default() -> Self {
        Self {
            amount: 1,
            within_ms: 0,
            after_ms: 0,
            answer: Kind::Created,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Created,
    /// An answer of 402, which is final.
    Declined,
    /// An error of 409, which is not.
    SoldOut,
    BadGateway,
    Panics,
    Huge,
    Stream,
}

impl Payment {
    /// Inserts its row, and returns the row's id.
    pub async fn take(&self, transaction: &mut Transaction, account: &str) -> Result<i64, Refused> {
        let insert = sqlx::query_scalar("INSERT INTO payments (account, amount) VALUES ($1, $2) RETURNING id");
        let id = insert.bind(account).bind(self.amount).fetch_one(transaction).await;
        let id = id.map_err(violation("payments_positive", Refused::NotPositive))?;
        sleep(Duration::from_millis(self.within_ms)).await;
        Ok(id)
    }

    pub fn answer(&self, id: i64) -> Result<Response, Refused> {
        Ok(match self.answer {
            Kind::Created => created(id),
            Kind::Declined => Problem::new(&DECLINED).member("id", id).into_response(),
            Kind::SoldOut => return Err(Refused::SoldOut),
            Kind::BadGateway => StatusCode::BAD_GATEWAY.into_response(),
            Kind::Panics => panic!("after the row was inserted"),
            Kind::Huge => vec![b'x'; (256 << 10) + 1].into_response(),
            Kind::Stream => Body::from_stream(stream::iter([Ok::<_, io::Error>(Bytes::from("x"))])).into_response(),
        })
    }

    pub fn pause_after_the_commit(&self) -> Duration {
        Duration::from_millis(self.after_ms)
    }
}

fn created(id: i64) -> Response {
    let location = [(header::LOCATION, format!("/payments/{id}"))];
    (StatusCode::CREATED, location, Json(serde_json::json!({"id": id}))).into_response()
}

#[derive(Debug)]
pub enum Refused {
    NotPositive,
    SoldOut,
    Database(Reason),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Reason::from(&error))
    }
}

const DECLINED: ProblemType = ProblemType {
    slug: "declined",
    status: StatusCode::PAYMENT_REQUIRED,
    title: "Declined",
    detail: "The payment was declined, for good.",
};
const SOLD_OUT: ProblemType = ProblemType {
    slug: "sold-out",
    status: StatusCode::CONFLICT,
    title: "Sold Out",
    detail: "Nothing is left for now.",
};
const NOT_POSITIVE: ProblemType = ProblemType {
    slug: "not-positive",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    title: "Not Positive",
    detail: "A payment is positive.",
};
const UNAVAILABLE: ProblemType = ProblemType {
    slug: "unavailable",
    status: StatusCode::SERVICE_UNAVAILABLE,
    title: "Unavailable",
    detail: "Payments cannot be taken for now.",
};

pub const PROBLEMS: &[ProblemType] = &[DECLINED, SOLD_OUT, NOT_POSITIVE, UNAVAILABLE];

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotPositive => Self::new(&NOT_POSITIVE),
            Refused::SoldOut => Self::new(&SOLD_OUT),
            Refused::Database(reason) => Self::new(&UNAVAILABLE).member("reason", reason),
        }
    }
}
