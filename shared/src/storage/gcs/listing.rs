//! XML of GCS, parsed here because `object_store` refuses a listing with a name such as `a//b`, and shortens other
//! names.

use crate::storage::{Error, Key, Kind, Object, Page};
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use std::time::SystemTime;

/// `ListBucketResult`: <https://cloud.google.com/storage/docs/xml-api/get-bucket-list>.
pub fn parse(xml: &str) -> Result<Page, Error> {
    let malformed = |error| Error::new(Kind::Unreachable, error);
    if !xml.trim_end().ends_with("</ListBucketResult>") {
        return Err(malformed(XmlDecodeError::custom("the listing does not end")));
    }
    let mut page = Page {
        objects: Vec::new(),
        next: None,
    };
    let mut document = Document::new(xml);
    let mut root = document.root_element().map_err(malformed)?;
    while let Some(mut tag) = root.next_tag() {
        match tag.start_el().local() {
            "Contents" => page.objects.push(object(&mut tag).map_err(malformed)?),
            "NextContinuationToken" => page.next = Some(try_data(&mut tag).map_err(malformed)?.into_owned()),
            _ => {}
        }
    }
    Ok(page)
}

fn object(contents: &mut ScopedDecoder<'_, '_>) -> Result<Object, XmlDecodeError> {
    let (mut key, mut size, mut modified, mut etag) = (None, None, None, None);
    while let Some(mut tag) = contents.next_tag() {
        let field = match tag.start_el().local() {
            "Key" => &mut key,
            "Size" => &mut size,
            "LastModified" => &mut modified,
            "ETag" => &mut etag,
            _ => continue,
        };
        *field = Some(try_data(&mut tag)?.into_owned());
    }
    let missing = || XmlDecodeError::custom("an object without a key or a size");
    let modified = modified.and_then(|text| humantime::parse_rfc3339(&text).ok());
    Ok(Object {
        key: Key::listed(&key.ok_or_else(missing)?),
        version: None,
        size: size.and_then(|text| text.parse().ok()).ok_or_else(missing)?,
        etag,
        modified: modified.unwrap_or(SystemTime::UNIX_EPOCH),
        content_type: None,
        sha256: None,
        crc32c: None,
        upload: None,
    })
}

/// The code in `<Error><Code>...</Code>...</Error>`.
pub fn error_code(xml: &str) -> Option<String> {
    let mut document = Document::new(xml);
    let mut root = document.root_element().ok()?;
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().matches("Code") {
            return try_data(&mut tag).ok().map(std::borrow::Cow::into_owned);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_unchanged_whatever_they_contain() {
        let names = [
            "a",
            "b//c",
            "x/../y",
            "uploads/",
            "/abs",
            " a ",
            "&lt;Key&gt;",
            "..",
            "&#x1;",
        ];
        let contents = names.map(|name| format!("<Contents><Key>{name}</Key><Size>1</Size></Contents>"));
        let page = parse(&format!("<ListBucketResult>{}</ListBucketResult>", contents.concat())).unwrap();
        let found: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(
            found,
            ["a", "b//c", "x/../y", "uploads/", "/abs", " a ", "<Key>", "..", "\u{1}"]
        );
    }

    #[test]
    fn a_listing_that_is_cut_short_is_not_taken_for_a_short_one() {
        let whole = "<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>";
        assert_eq!(parse(whole).unwrap().objects.len(), 1);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]).unwrap_err().kind, Kind::Unreachable, "{length}");
        }
    }

    #[test]
    fn an_error_code_is_the_one_of_the_store_and_of_no_name() {
        let error = "<Error><Code>NoSuchKey</Code><Details>&lt;Code&gt;NoSuchBucket</Details></Error>";
        assert_eq!(error_code(error).as_deref(), Some("NoSuchKey"));
        for text in ["", "NoSuchBucket", "<Code>NoSuchBucket</Code>", "<html><b>"] {
            assert_eq!(error_code(text), None, "{text}");
        }
    }
}
