//! An S3 server (`s3s-fs`, which others wrote) in this process. The server checks signatures.

use super::loopback;
use hyper::{Method, Request, body::Incoming, header::IF_NONE_MATCH, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    s3_error,
    service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Mutex;

/// The access key of a user with every right.
pub const ACCESS_KEY: &str = "hostile-key";
/// The access key of a user that may not list the bucket: S3 answers it `AccessDenied` instead of `NoSuchKey`.
pub const ACCESS_KEY_WITHOUT_LIST: &str = "hostile-key-without-list";
/// The secret key of both users.
pub const SECRET_KEY: &str = "right-secret";

/// The bucket in which every request is denied.
pub const CLOSED_BUCKET: &str = "closed";

/// S3 says `NoSuchBucket` to the reader of a missing bucket; the server alone says `NoSuchKey`.
struct BucketAccess {
    bucket: String,
    root: PathBuf,
}

#[async_trait::async_trait]
impl S3Access for BucketAccess {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        match context.s3_path().get_bucket_name() {
            _ if context.credentials().is_none() || self.is_hidden(context) => Err(s3_error!(AccessDenied)),
            Some(CLOSED_BUCKET) => Err(s3_error!(AccessDenied)),
            Some(bucket) if bucket != self.bucket => Err(s3_error!(NoSuchBucket)),
            _ => Ok(()),
        }
    }
}

impl BucketAccess {
    /// A read of a key that does not exist, by somebody who may not know that.
    fn is_hidden(&self, context: &S3AccessContext<'_>) -> bool {
        let reader = context.credentials().map(|credentials| credentials.access_key.as_str());
        let object = context.s3_path().as_object();
        reader == Some(ACCESS_KEY_WITHOUT_LIST)
            && [Method::GET, Method::HEAD].contains(context.method())
            && object.is_none_or(|(bucket, key)| !self.root.join(bucket).join(key).exists())
    }
}

/// A server with one bucket. Dropping it ends the server.
pub struct S3Server {
    /// The value for `AWS_ENDPOINT_URL_S3`.
    pub url: String,
    root: tempfile::TempDir,
}

impl S3Server {
    /// Listens on a free port.
    pub async fn start(bucket: &str) -> Self {
        let root = tempfile::tempdir().expect("there is a folder for temporary files");
        std::fs::create_dir(root.path().join(bucket)).expect("it is new");
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root.path()).expect("it is a folder"));
        let mut auth = SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY);
        auth.register(ACCESS_KEY_WITHOUT_LIST.to_owned(), SECRET_KEY.into());
        builder.set_auth(auth);
        builder.set_access(BucketAccess {
            bucket: bucket.to_owned(),
            root: root.path().to_owned(),
        });
        let service = builder.build();
        let (listener, url) = loopback().await;
        let conditional = Arc::new(Mutex::new(()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, conditional) = (service.clone(), Arc::clone(&conditional));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (service, conditional) = (service.clone(), Arc::clone(&conditional));
                    async move {
                        // The server looks and then writes; S3 does both at once.
                        let _alone = if request.headers().contains_key(IF_NONE_MATCH) {
                            Some(conditional.lock().await)
                        } else {
                            None
                        };
                        service.call(request.map(s3s::Body::from)).await
                    }
                });
                tokio::spawn(async move {
                    let http = auto::Builder::new(TokioExecutor::new());
                    http.serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        Self { url, root }
    }

    /// The files behind the bucket: objects, and parts that nobody has put together.
    pub fn root(&self) -> &std::path::Path {
        self.root.path()
    }
}
