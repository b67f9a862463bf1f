//! `DELETE /v1/stream/{path}`: deletes a stream; its data stays while forks read it (section 5.4).

use crate::{Log, path::StreamPath, problem};
use axum::{extract::State, http::StatusCode};
use shared::{
    deadline::Deadline,
    parameters::Path,
    problem::{Problem, ProblemType},
};

pub const PROBLEMS: &[ProblemType] = &[problem::STREAM_NOT_FOUND, problem::STREAM_DELETED];

/// Deletes a stream.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = crate::PATH, operation_id = "deleteStream", tag = "durable",
    params(
        ("path" = String, Path, description = "The path of the stream: segments, separated by `/`.", example = "examples/1"),
    ),
    responses((status = 204, description = "It is deleted. Forks of it keep its data.")),
))]
pub async fn delete(
    State(log): State<Log>,
    Path(path): Path<StreamPath>,
    deadline: Deadline,
) -> Result<StatusCode, Problem> {
    log.streams
        .delete(&deadline, path.as_str())
        .await
        .map_err(problem::of)?;
    Ok(StatusCode::NO_CONTENT)
}
