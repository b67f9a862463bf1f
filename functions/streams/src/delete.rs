//! `DELETE /v1/stream/{path}`: deletes a stream; its data stays while forks read it (section 5.4).

use crate::{Api, path::StreamPath, problem};
use axum::{extract::State, http::StatusCode};
use shared::{
    deadline::Deadline,
    parameters::Path,
    problem::{Problem, ProblemType},
};

pub const PROBLEMS: &[ProblemType] = &[problem::STREAM_NOT_FOUND, problem::STREAM_DELETED];

/// Deletes a stream.
pub async fn delete(
    State(api): State<Api>,
    Path(path): Path<StreamPath>,
    deadline: Deadline,
) -> Result<StatusCode, Problem> {
    api.streams
        .delete(&deadline, path.as_str())
        .await
        .map_err(problem::of)?;
    Ok(StatusCode::NO_CONTENT)
}
