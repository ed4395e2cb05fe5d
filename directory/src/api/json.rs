//! Reads JSON so that a wrong field is named.

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use sluice_model::message::BYTE_ORDER_MARK;
use sluice_service::{Problem, problem::without_type_names};

/// Reads a request's JSON; a problem names the field that is wrong.
///
/// # Errors
/// 400 where it is no JSON, 422 where it is not the wanted JSON.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (pointer, inner) = (pointer(error.path()), error.inner());
        if inner.is_data() {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", without_type_names(&inner.to_string()))
                .at(pointer)
        } else {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format_args!("the body is not JSON: {inner}"))
        }
    })?;
    json.end().map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format_args!("after the JSON: {error}"))
    })?;
    Ok(value)
}

/// A path of serde's as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("{pointer}/{variant}"),
        Segment::Unknown => format!("{pointer}/?"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WriteQuestions;

    #[test]
    fn a_bad_field_is_named_by_its_json_pointer() {
        let cases: [(&[u8], &str, &str); 6] = [
            (br#"{"customers":[{"customer":"1"},{"customer":"a.b"}]}"#, "/customers/1/customer", "not a customer id"),
            (br#"{"customers":[{"customer":"1","at":9007199254740992}]}"#, "/customers/0/at", "not a position"),
            (br#"{"customers":[{"customer":"1","at":"7"}]}"#, "/customers/0/at", "string"),
            (br#"{"customers":[{"customer":"1","when":7}]}"#, "/customers/0/when", "unknown field `when`"),
            (br#"{"customers":[{"at":7}]}"#, "/customers/0", "missing field `customer`"),
            (br#"{"shard":"a"}"#, "/shard", "unknown field `shard`"),
        ];
        for (body, pointer, detail) in cases {
            let problem = parse::<WriteQuestions>(body).unwrap_err();
            assert_eq!((problem.status, problem.pointer.as_deref()), (422, Some(pointer)), "{problem}");
            assert!(problem.detail.contains(detail), "{problem}");
        }
        for body in [&b"[]"[..], b"7", br#"{"customers":[7]}"#, br#"{"customers":[[]]}"#, br#"{"customers":{}}"#] {
            let problem = parse::<WriteQuestions>(body).unwrap_err();
            assert!(problem.status == 422 && !problem.detail.contains("Question"), "{problem}");
        }
        assert!(parse::<WriteQuestions>(b"\xEF\xBB\xBF{\"customers\":[]}").is_ok());
        for body in [&b""[..], b"{", b"{\"customers\":[]} x"] {
            assert_eq!(parse::<WriteQuestions>(body).unwrap_err().status, 400);
        }
    }
}
