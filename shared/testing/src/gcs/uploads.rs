//! Uploads in parts: <https://cloud.google.com/storage/docs/multipart-uploads>.

use super::{
    Answer, XmlError,
    content::{check_content, crc32c, described, value},
    objects::{Objects, Outcome},
    parameter, response, xml_error,
};
use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header, http::request::Parts};
use std::collections::BTreeMap;

pub struct Upload {
    key: String,
    described: HeaderMap,
    pub parts: BTreeMap<usize, Bytes>,
}

impl Objects {
    pub fn begin(&mut self, headers: &HeaderMap, key: &str) -> Answer {
        self.generation += 1;
        let id = format!("upload-{}", self.generation);
        let upload = Upload {
            key: key.to_owned(),
            described: described(headers),
            parts: BTreeMap::new(),
        };
        self.uploads.insert(id.clone(), upload);
        let xml = format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>");
        response(StatusCode::OK, xml)
    }

    pub fn part(&mut self, request: &Parts, id: &str, content: &Bytes) -> Outcome {
        check_content(&request.headers, content)?;
        let number = parameter(request, "partNumber").and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| xml_error(StatusCode::BAD_REQUEST, "InvalidArgument"))?;
        let upload = self.uploads.get_mut(id).ok_or_else(no_such_upload)?;
        upload.parts.insert(number, content.clone());
        let mut answer = response(StatusCode::OK, "");
        let etag = format!("\"{:08x}\"", crc32c(content));
        answer.headers_mut().insert(header::ETAG, value(&etag));
        Ok(answer)
    }

    /// No preconditions here: GCS has none.
    pub fn complete(&mut self, id: &str, xml: &str) -> Outcome {
        let upload = self.uploads.get(id).ok_or_else(no_such_upload)?;
        let named = xml
            .split("<PartNumber>")
            .skip(1)
            .filter_map(|rest| rest.split('<').next()?.parse().ok());
        let named: Vec<usize> = named.collect();
        if named != upload.parts.keys().copied().collect::<Vec<_>>() {
            return Err(xml_error(StatusCode::BAD_REQUEST, "InvalidPart"));
        }
        let smallest = upload.parts.values().rev().skip(1).map(Bytes::len).min();
        if smallest.is_some_and(|size| size < 5 << 20) {
            return Err(xml_error(StatusCode::BAD_REQUEST, "EntityTooSmall"));
        }
        let upload = self.uploads.remove(id).ok_or_else(no_such_upload)?;
        let content: Vec<u8> = upload.parts.into_values().flatten().collect();
        let mut answer = self.store(&upload.key, content.into(), upload.described);
        let etag = answer.headers()[header::ETAG].to_str().unwrap_or_default().to_owned();
        let xml = format!("<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>");
        *answer.body_mut() = response(StatusCode::OK, xml).into_body();
        Ok(answer)
    }
}

pub fn no_such_upload() -> XmlError {
    xml_error(StatusCode::NOT_FOUND, "NoSuchUpload")
}
