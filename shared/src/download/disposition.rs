//! `Content-Disposition` for a download: RFC 6266, with the file name as RFC 8187 (once RFC 5987) encodes it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All characters but the `attr-char` of RFC 8187.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Any file name, for any client: in full in `filename*`, and in ASCII for clients that know only `filename`.
pub fn attachment(file_name: &str) -> String {
    format!("attachment; {}", parameters(file_name))
}

/// The same for what a browser shows.
pub fn inline(file_name: &str) -> String {
    format!("inline; {}", parameters(file_name))
}

fn parameters(file_name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | '(' | ')');
    let ascii: String = file_name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(file_name, ENCODED);
    format!("filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;

    #[test]
    fn quotes_and_line_ends_cannot_inject() {
        let header = attachment("a\"; evil=\"\r\nSet-Cookie: x\\");
        assert!(!header.contains(['\r', '\n', '\\']), "{header}");
        assert_eq!(header.matches('"').count(), 2, "{header}");
        assert_eq!(header.matches(';').count(), 2, "{header}");
    }

    #[test]
    fn any_name_comes_back() {
        for name in [
            "report.pdf",
            "Bericht Ä ß.pdf",
            "証拠📎.png",
            "100%'quoted\"*;\r\n",
            "",
            "e\u{301}",
        ] {
            let header = attachment(name);
            let encoded = header.split("UTF-8''").nth(1).unwrap();
            assert_eq!(percent_decode_str(encoded).decode_utf8().unwrap(), name);
            assert!(header.is_ascii(), "{header}");
        }
    }
}
