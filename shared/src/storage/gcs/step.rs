//! What a request of `object_store` is for.

use hyper::{Method, Uri};
use object_store::client::HttpRequest;

const IAM: &str = "iamcredentials.googleapis.com";

/// What a request is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Step {
    /// A token from the metadata server or from OAuth.
    Token,
    /// A signature from IAM.
    Sign,
    /// A page of names.
    List,
    /// An object.
    #[default]
    Object,
}

impl Step {
    pub fn new(request: &HttpRequest) -> Self {
        let (uri, query) = (request.uri(), request.uri().query().unwrap_or_default());
        if uri.host() == Some(IAM) {
            Self::Sign
        } else if is_token(request.method(), uri) {
            Self::Token
        } else if request.method() == Method::GET && query.split('&').any(|pair| pair == "list-type=2") {
            Self::List
        } else {
            Self::Object
        }
    }
}

/// A POST that is not part of a multipart upload, or a GET at the metadata server or at OAuth's `tokeninfo`. No object
/// has the path of the metadata server: a path begins with the name of the bucket, which has no capital letter.
fn is_token(method: &Method, uri: &Uri) -> bool {
    let is_upload = uri.query().is_some_and(|query| query.starts_with("upload"));
    let is_metadata = uri.path().starts_with("/computeMetadata/");
    method == Method::POST && !is_upload || is_metadata || uri.host() == Some("oauth2.googleapis.com")
}
