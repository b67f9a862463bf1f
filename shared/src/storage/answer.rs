//! A stored object as an answer.

use super::{Error, Kind, Object, ObjectId, Storage};
use crate::{
    download::{Download, DownloadRequest, Selected},
    problem::{self, Problem},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use std::io;

impl Storage {
    /// The object as an answer with its type, its length and its entity tag, or the range of it that the request asks for:
    /// `storage.download(&request, &key).await`. The object is read as the client takes it.
    ///
    /// The smoke test takes a 404 only where the API document names it: its route declares `.problems(&[problem::NOT_FOUND])`.
    ///
    /// # Errors
    /// [`problem::NOT_FOUND`], [`problem::PRECONDITION_FAILED`], [`problem::RANGE_NOT_SATISFIABLE`], [`problem::UNAVAILABLE`] or
    /// [`problem::INTERNAL`]; the log has the cause.
    pub async fn download(
        &self,
        request: &DownloadRequest,
        object: impl Into<ObjectId<'_>>,
    ) -> Result<Download, Problem> {
        let id = object.into();
        if request.takes_all() {
            return self.whole(request, id).await;
        }
        let object = self.head(id).await.map_err(missing)?;
        let selected = request.select(object.size, object.etag.as_deref())?;
        if request.is_head() || selected == Selected::NotModified {
            return Ok(answer(&object, selected, Body::empty()));
        }
        let range = Some(selected.range(object.size)).filter(|_| selected != Selected::Whole);
        match self.get(id, range).await {
            Ok((opened, pieces)) if (opened.size, &opened.etag) == (object.size, &object.etag) => {
                Ok(answer(&opened, selected, request.content(logged(pieces))))
            }
            Err(error) if error.kind != Kind::InvalidRange => Err(missing(error)),
            // The object was replaced in between. All of the new one is right, except where the old one was asked for.
            _ => self.whole(request, id).await,
        }
    }

    async fn whole(&self, request: &DownloadRequest, id: ObjectId<'_>) -> Result<Download, Problem> {
        let (object, pieces) = self.get(id, None).await.map_err(missing)?;
        request.check_match(object.etag.as_deref())?;
        Ok(answer(&object, Selected::Whole, request.content(logged(pieces))))
    }
}

fn answer(object: &Object, selected: Selected, content: Body) -> Download {
    let download = Download::selected(selected, object.size, object.etag.as_deref(), content);
    match &object.content_type {
        Some(media_type) => download.content_type(media_type),
        None => download,
    }
}

/// Errors with their causes: the log has the `Display` of an error only.
fn logged(pieces: impl Stream<Item = Result<Bytes, Error>>) -> impl Stream<Item = io::Result<Bytes>> {
    pieces.map_err(|error| io::Error::other(error.chain()))
}

fn missing(error: Error) -> Problem {
    match error.kind {
        Kind::NotFound => Problem::new(&problem::NOT_FOUND).detail("There is no such object."),
        _ => error.into(),
    }
}
