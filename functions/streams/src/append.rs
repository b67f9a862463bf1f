//! `POST /v1/stream/{path}`: appends to a stream, closes it, or both at once (sections 5.2 and 5.3).

use crate::{
    Log,
    body::payload,
    header::{
        self, PRODUCER_EPOCH, PRODUCER_RECEIVED_SEQ, PRODUCER_SEQ, STREAM_CLOSED, STREAM_NEXT_OFFSET, STREAM_SEQ, TRUE,
        value,
    },
    media_type,
    offset::Token,
    path::StreamPath,
    problem, producer,
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use shared::{
    body::Buffered,
    deadline::Deadline,
    parameters::Path,
    problem::{Problem, ProblemType},
    streams::{Append, Appended, Form, Stored},
};

pub const PROBLEMS: &[ProblemType] = &[
    problem::INVALID_HEADER,
    problem::EMPTY_APPEND,
    problem::PRODUCER_EPOCH_START,
    problem::PRODUCER_FENCED,
    problem::STREAM_NOT_FOUND,
    problem::CLOSED,
    problem::CONTENT_TYPE_DIFFERS,
    problem::PRODUCER_GAP,
    problem::STREAM_SEQ_REGRESSION,
    problem::STREAM_DELETED,
    problem::TOO_MANY_PRODUCERS,
];

/// The longest `Stream-Seq`, in bytes.
const LONGEST_SEQ: usize = 256;

/// Appends to a stream, closes it, or both.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = crate::PATH, operation_id = "appendToStream", tag = "durable",
    params(
        ("path" = String, Path, description = "The path of the stream: segments, separated by `/`.", example = "examples/1"),
        ("Stream-Closed" = Option<String>, Header, description = "`true`: the stream is closed, in the same step."),
        ("Producer-Id" = Option<String>, Header, description = "Who appends. A repetition is stored once."),
        ("Producer-Epoch" = Option<u64>, Header, description = "Grows whenever the producer starts anew."),
        ("Producer-Seq" = Option<u64>, Header, description = "From 0 in each epoch, one more for each request."),
        ("Stream-Seq" = Option<String>, Header, description = "Greater than that of the append before, byte by byte."),
    ),
    request_body(content((Vec<u8> = "application/octet-stream"), (serde_json::Value = "application/json", example = json!({"type": "opened"}))),
        description = "The data, of the type of the stream. Empty only where the stream is closed."),
    responses(
        (status = 204, description = "It is done; of a producer: it was done before.", headers(("Stream-Next-Offset" = String, description = "The offset of the end."), ("Stream-Closed" = Option<String>, description = "`true` once the stream takes no more data."))),
        (status = 200, description = "The data of a producer is stored.", headers(("Stream-Next-Offset" = String, description = "The offset of the end."), ("Stream-Closed" = Option<String>, description = "`true` once the stream takes no more data."))),
    ),
))]
pub async fn append(
    State(log): State<Log>,
    Path(path): Path<StreamPath>,
    headers: HeaderMap,
    deadline: Deadline,
    body: Buffered,
) -> Result<Response, Problem> {
    let close = header::closes(&headers);
    let mut append = Append {
        path: path.as_str().to_owned(),
        form: Form::Record,
        close,
        producer: producer::from_headers(&headers)?,
        seq: stream_seq(&headers)?,
        ..Append::default()
    };
    let is_empty = body.is_empty();
    if !is_empty {
        let content_type = media_type::from_headers(&headers)?;
        let content_type = content_type.ok_or_else(|| problem::invalid_header(&CONTENT_TYPE, "it is missing"))?;
        append.data = Some(payload(content_type, body)?);
        append.content_type = Some(content_type.to_owned());
    }
    if append.data.as_ref().is_none_or(|data| data.is_empty()) && !(close && is_empty) {
        return Err(Problem::new(&problem::EMPTY_APPEND));
    }
    let (is_data, seq) = (
        append.data.is_some(),
        append.producer.as_ref().map(|producer| producer.seq),
    );
    let appended = log.streams.append(&deadline, append).await;
    let appended = appended.map_err(|error| with_received(problem::of(error), seq))?;
    Ok(answer(&appended, is_data))
}

/// The sequence number of a writer, which is compared byte by byte.
fn stream_seq(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let seq = header::text(headers, &STREAM_SEQ)?;
    match seq {
        Some(seq) if seq.is_empty() || seq.len() > LONGEST_SEQ => {
            let why = format!("it must have 1 to {LONGEST_SEQ} bytes");
            Err(problem::invalid_header(&STREAM_SEQ, &why))
        }
        seq => Ok(seq.map(str::to_owned)),
    }
}

fn with_received(problem: Problem, seq: Option<i64>) -> Problem {
    match seq {
        Some(seq) if problem.slug() == Some(problem::PRODUCER_GAP.slug) => {
            problem.header(PRODUCER_RECEIVED_SEQ, seq.into())
        }
        _ => problem,
    }
}

/// 200 says to a producer that its data is new; everything else that is done is 204.
fn answer(appended: &Appended, is_data: bool) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(STREAM_NEXT_OFFSET, value(Token(appended.tail)));
    if appended.closed {
        headers.insert(STREAM_CLOSED, TRUE);
    }
    let mut status = StatusCode::NO_CONTENT;
    if let Some((epoch, seq)) = appended.producer {
        headers.insert(PRODUCER_EPOCH, epoch.into());
        headers.insert(PRODUCER_SEQ, seq.into());
        if is_data && appended.stored == Stored::New {
            status = StatusCode::OK;
        }
    }
    (status, headers).into_response()
}
