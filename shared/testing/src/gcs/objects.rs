//! The bucket: objects, uploads in parts, and what requests do to them.

use super::{
    Answer, XmlError,
    content::{check_content, crc32c, described, value, within},
    decoded, flipped, parameter, response,
    uploads::{Upload, no_such_upload},
    xml_error,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode, header, http::request::Parts};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::SystemTime,
};

#[derive(Default)]
pub struct Objects {
    objects: BTreeMap<String, Object>,
    /// Object Versioning is on: a delete without a generation, and a put, only make the live version noncurrent.
    pub versioned: bool,
    noncurrent: Vec<(String, Object)>,
    /// The keys under an object hold, which protects a version from being deleted.
    pub held: HashSet<String>,
    pub uploads: HashMap<String, Upload>,
    pub generation: u64,
}

#[derive(Clone)]
struct Object {
    content: Bytes,
    crc32c: u32,
    described: HeaderMap,
    generation: u64,
    modified: SystemTime,
}

pub type Outcome = Result<Answer, XmlError>;

impl Objects {
    pub fn contents(&self) -> (Vec<String>, usize) {
        let begun = self.uploads.values().filter(|upload| !upload.parts.is_empty());
        let noncurrent = self.noncurrent.iter().map(|(key, _)| key);
        (self.objects.keys().chain(noncurrent).cloned().collect(), begun.count())
    }

    pub fn rot(&mut self, key: &str) {
        let object = self.objects.get_mut(key).expect("it was put");
        object.content = flipped(&object.content);
    }

    pub fn answer(&mut self, request: &Parts, key: &str, body: &Bytes) -> Outcome {
        let headers = &request.headers;
        let upload = parameter(request, "uploadId");
        let generation = parameter(request, "generation");
        match (&request.method, upload) {
            (&Method::GET, _) if key.is_empty() => self.list(request),
            (&Method::GET, None) => self.get(headers, key, generation),
            (&Method::HEAD, None) => self.get(headers, key, generation).map(|answer| answer.map(|_| empty())),
            (&Method::DELETE, Some(id)) => self
                .uploads
                .remove(&id)
                .map(|_| no_content())
                .ok_or_else(no_such_upload),
            (&Method::DELETE, None) => self.delete(key, generation),
            (&Method::POST, Some(id)) => self.complete(&id, &String::from_utf8_lossy(body)),
            (&Method::POST, None) => Ok(self.begin(headers, key)),
            (&Method::PUT, Some(id)) => self.part(request, &id, body),
            (&Method::PUT, None) if headers.contains_key("x-goog-copy-source") => self.copy(headers, key),
            (&Method::PUT, None) => self.put(headers, key, body),
            _ => Err(xml_error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")),
        }
    }

    fn put(&mut self, headers: &HeaderMap, key: &str, content: &Bytes) -> Outcome {
        check_content(headers, content)?;
        self.check_generation(headers, key)?;
        Ok(self.store(key, content.clone(), described(headers)))
    }

    fn copy(&mut self, headers: &HeaderMap, key: &str) -> Outcome {
        let source = headers["x-goog-copy-source"].to_str().unwrap_or_default();
        let source = decoded(source.split_once('/').unwrap_or_default().1);
        let generation = headers.get("x-goog-copy-source-generation");
        let generation = generation.map(|value| value.to_str().unwrap_or_default().to_owned());
        let source = self.find(&source, generation).cloned().ok_or_else(no_such_key)?;
        self.check_generation(headers, key)?;
        let replaced = headers
            .get("x-goog-metadata-directive")
            .is_some_and(|directive| directive == "REPLACE");
        let described = if replaced { described(headers) } else { source.described };
        Ok(self.store(key, source.content, described))
    }

    pub fn store(&mut self, key: &str, content: Bytes, described: HeaderMap) -> Answer {
        self.generation += 1;
        let object = Object {
            crc32c: crc32c(&content),
            content,
            described,
            generation: self.generation,
            modified: SystemTime::now(),
        };
        let mut answer = response(StatusCode::OK, "");
        *answer.headers_mut() = object.headers();
        let replaced = self.objects.insert(key.to_owned(), object);
        self.retire(key, replaced);
        answer
    }

    fn delete(&mut self, key: &str, generation: Option<String>) -> Outcome {
        let object = self.find(key, generation.clone()).ok_or_else(no_such_key)?;
        let (doomed, is_final) = (object.generation, generation.is_some() || !self.versioned);
        if is_final && self.held.contains(key) {
            return Err(xml_error(StatusCode::FORBIDDEN, "ObjectUnderActiveHold"));
        }
        self.noncurrent.retain(|(_, object)| object.generation != doomed);
        if self.objects.get(key).is_some_and(|object| object.generation == doomed) {
            let deleted = self.objects.remove(key);
            self.retire(key, deleted.filter(|_| !is_final));
        }
        Ok(no_content())
    }

    fn retire(&mut self, key: &str, object: Option<Object>) {
        let retired = object.filter(|_| self.versioned);
        self.noncurrent.extend(retired.map(|object| (key.to_owned(), object)));
    }

    fn find(&self, key: &str, generation: Option<String>) -> Option<&Object> {
        let noncurrent = self.noncurrent.iter().filter(|(name, _)| name == key);
        match generation {
            None => self.objects.get(key),
            Some(generation) => noncurrent
                .map(|(_, object)| object)
                .chain(self.objects.get(key))
                .find(|object| object.generation.to_string() == generation),
        }
    }

    fn get(&self, headers: &HeaderMap, key: &str, generation: Option<String>) -> Outcome {
        let object = self.find(key, generation).ok_or_else(no_such_key)?;
        if headers.get(header::IF_MATCH).is_some_and(|etag| *etag != object.etag()) {
            return Err(xml_error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
        }
        let mut answer = match headers
            .get(header::RANGE)
            .map(|range| within(range, object.content.len()))
        {
            None => response(StatusCode::OK, object.content.clone()),
            Some(None) => return Err(xml_error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange")),
            Some(Some((first, last))) => {
                let mut answer = response(StatusCode::PARTIAL_CONTENT, object.content.slice(first..=last));
                let range = format!("bytes {first}-{last}/{}", object.content.len());
                answer.headers_mut().insert(header::CONTENT_RANGE, value(&range));
                answer
            }
        };
        let length = hyper::body::Body::size_hint(answer.body()).exact().unwrap_or_default();
        answer.headers_mut().extend(object.headers());
        answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        Ok(answer)
    }

    fn list(&self, request: &Parts) -> Outcome {
        let prefix = parameter(request, "prefix").unwrap_or_default();
        let after = parameter(request, "continuation-token").unwrap_or_default();
        let limit = parameter(request, "max-keys")
            .and_then(|text| text.parse().ok())
            .unwrap_or(1000);
        let keys = self
            .objects
            .keys()
            .filter(|key| key.starts_with(&prefix) && **key > after);
        let found: Vec<&String> = keys.take(limit + 1).collect();
        let mut xml = "<ListBucketResult>".to_owned();
        for key in found.iter().take(limit) {
            let object = &self.objects[*key];
            xml += &format!(
                "<Contents><Key>{}</Key><Size>{}</Size><ETag>{}</ETag><LastModified>{}</LastModified></Contents>",
                escaped(key),
                object.content.len(),
                object.etag(),
                humantime::format_rfc3339_millis(object.modified)
            );
        }
        if found.len() > limit {
            let token = escaped(found[limit - 1]);
            xml += &format!("<NextContinuationToken>{token}</NextContinuationToken>");
        }
        Ok(response(StatusCode::OK, xml + "</ListBucketResult>"))
    }

    fn check_generation(&self, headers: &HeaderMap, key: &str) -> Result<(), XmlError> {
        let wanted = headers
            .get("x-goog-if-generation-match")
            .map(|value| value.to_str().unwrap_or_default());
        let found = self.objects.get(key).map_or(0, |object| object.generation).to_string();
        if wanted.is_some_and(|wanted| wanted != found) {
            return Err(xml_error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
        }
        Ok(())
    }
}

impl Object {
    fn etag(&self) -> String {
        format!("\"{:x}-{:08x}\"", self.generation, self.crc32c)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = self.described.clone();
        headers.insert(header::ETAG, value(&self.etag()));
        headers.insert(header::LAST_MODIFIED, value(&httpdate::fmt_http_date(self.modified)));
        headers.insert("x-goog-generation", self.generation.into());
        let hash = BASE64_STANDARD.encode(self.crc32c.to_be_bytes());
        headers.insert("x-goog-hash", value(&format!("crc32c={hash}")));
        headers
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn empty() -> http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error> {
    response(StatusCode::OK, "").into_body()
}

fn no_content() -> Answer {
    response(StatusCode::NO_CONTENT, "")
}

fn no_such_key() -> XmlError {
    xml_error(StatusCode::NOT_FOUND, "NoSuchKey")
}
