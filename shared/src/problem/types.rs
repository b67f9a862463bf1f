//! The problems that the runtime itself answers.

/// Declares a constant for each problem, by its status, slug, title and detail, and a list of all of them.
#[macro_export]
macro_rules! problem_types {
    ($(#[$doc:meta])* $all:ident: $($name:ident = $status:ident, $slug:literal, $title:literal, $detail:literal;)*) => {
        $(
            #[doc = concat!("`", $slug, "`: ", $detail)]
            pub const $name: $crate::problem::ProblemType = $crate::problem::ProblemType {
                slug: $slug,
                status: $crate::problem::StatusCode::$status,
                title: $title,
                detail: $detail,
            };
        )*

        $(#[$doc])*
        pub const $all: &[$crate::problem::ProblemType] = &[$($name),*];
    };
}

problem_types! {
    /// All of them, for the API document.
    RUNTIME:
    NOT_FOUND = NOT_FOUND, "not-found", "Not Found",
        "Nothing is here: no function answers on this path, or what it names does not exist.";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method-not-allowed", "Method Not Allowed",
        "This path does not take this method; Allow names those it takes.";
    MALFORMED = BAD_REQUEST, "malformed", "Bad Request",
        "The method, the path, the query, a header or the body is not one that HTTP has.";
    UNEXPECTED_BODY = BAD_REQUEST, "unexpected-body", "Unexpected Body",
        "This path takes no request body.";
    MALFORMED_JSON = BAD_REQUEST, "malformed-json", "Malformed JSON",
        "The body is not JSON.";
    INVALID_PARAMETER = BAD_REQUEST, "invalid-parameter", "Invalid Parameter",
        "A parameter of the path or of the query does not fit; errors says which.";
    REQUEST_TIMEOUT = REQUEST_TIMEOUT, "request-timeout", "Request Timeout",
        "The request did not end in time.";
    PRECONDITION_FAILED = PRECONDITION_FAILED, "precondition-failed", "Precondition Failed",
        "The content is not, or is no longer, what If-Match names.";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body-too-large", "Body Too Large",
        "The body is larger than this path takes.";
    UNSUPPORTED_BODY = UNSUPPORTED_MEDIA_TYPE, "unsupported-body", "Unsupported Body",
        "This path does not take a body of this type or coding.";
    RANGE_NOT_SATISFIABLE = RANGE_NOT_SATISFIABLE, "range-not-satisfiable", "Range Not Satisfiable",
        "The content has no byte in the range that was asked for; Content-Range has its length.";
    INVALID_BODY = UNPROCESSABLE_ENTITY, "invalid-body", "Invalid Body",
        "A value of the body does not fit; errors says which.";
    UNSTORABLE_VALUE = UNPROCESSABLE_ENTITY, "unstorable-value", "Unstorable Value",
        "A text of the request is longer than the database can store, or has a character that it cannot, such as U+0000.";
    INTERNAL = INTERNAL_SERVER_ERROR, "internal", "Internal Server Error",
        "The function failed; its log has the cause under this request's x-request-id.";
    UNSUPPORTED_CODING = NOT_IMPLEMENTED, "unsupported-coding", "Unsupported Coding",
        "The body has a transfer coding other than chunked, which is the only one that this server reads.";
    UNAVAILABLE = SERVICE_UNAVAILABLE, "unavailable", "Unavailable",
        "Something that this function needs does not answer. Try again after Retry-After.";
    OVERLOADED = SERVICE_UNAVAILABLE, "overloaded", "Overloaded",
        "Too much is being sent at once. Try again after Retry-After.";
}
