//! Downloads from sources of every kind. Those that last log when their source is dropped.

use crate::streams::held;
use axum::{body::Bytes, extract::State};
use futures_util::{StreamExt, stream};
use shared::{
    download::{Download, DownloadRequest},
    problem::Problem,
    runtime::Route,
    storage::{Key, Storage},
};
use std::{future::ready, io, time::Duration};
use tokio::time::sleep;

pub fn routes(storage: Storage) -> [Route; 8] {
    [
        Route::get("/downloads/picture", picture),
        Route::get("/downloads/object", object).with_state(storage),
        Route::get("/downloads/report", async |request: DownloadRequest| report(&request)),
        Route::get("/downloads/fails", async |request: DownloadRequest| fails(&request)),
        Route::get("/downloads/hides", async |request: DownloadRequest| {
            hides(&request, Some(10))
        }),
        Route::get("/downloads/hides-all", async |request: DownloadRequest| {
            hides(&request, None)
        }),
        Route::get("/downloads/slow", async |request: DownloadRequest| slow(&request)),
        Route::get("/downloads/eager", async |request: DownloadRequest| eager(&request)),
    ]
}

/// Every byte once.
async fn picture(request: DownloadRequest) -> Result<Download, Problem> {
    let bytes: Vec<u8> = (0..=255).collect();
    let picture = Download::bytes(&request, Some("\"v1\""), bytes)?;
    Ok(picture.content_type("image/png").attachment("Bild \"Ä\".png"))
}

async fn object(State(storage): State<Storage>, request: DownloadRequest) -> Result<Download, Problem> {
    let key: Key = "file".parse().expect("a key");
    Ok(storage.download(&request, &key).await?.inline("file.txt"))
}

/// Of unknown length.
fn report(request: &DownloadRequest) -> Download {
    let lines = stream::iter(["a,b\n", "1,2\n"]).map(Ok::<_, io::Error>);
    Download::stream(request, None, lines).content_type("text/csv")
}

fn fails(request: &DownloadRequest) -> Download {
    let pieces = stream::iter([Ok("first"), Err(io::Error::other("it broke")), Ok("later")]);
    Download::stream(request, Some(10), pieces)
}

/// Ends where it fails, as no source should: only a `Content-Length` shows that something is missing.
fn hides(request: &DownloadRequest, size: Option<u64>) -> Download {
    let pieces = stream::iter([Ok("first"), Err(io::Error::other("it broke")), Ok("later")]);
    Download::stream(request, size, pieces.take_while(|piece| ready(piece.is_ok())))
}

/// 100 bytes, one every 100 ms.
fn slow(request: &DownloadRequest) -> Download {
    let pieces = stream::iter(0..100).then(async |_| {
        sleep(Duration::from_millis(100)).await;
        io::Result::Ok("x")
    });
    Download::stream(request, Some(100), held("slow", pieces))
}

/// Always has a piece, of 64 KiB, and never ends.
fn eager(request: &DownloadRequest) -> Download {
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    Download::stream(request, None, held("eager", stream::repeat(piece).map(io::Result::Ok)))
}
