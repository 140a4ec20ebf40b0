//! `If-Match`: a change is made on condition of the revision that its caller has seen (RFC 9110, section 13.1.1).

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use signalbox_runtime::Problem;

use crate::problems::invalid;

/// The revisions that a caller accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Any: the header is not there, or says `*`.
    #[default]
    Any,
    /// One of these. An entity tag that is none of ours matches nothing.
    OneOf(Vec<u64>),
}

impl IfMatch {
    /// 412 `revision_mismatch` where the thing is at another revision.
    pub(crate) fn check(&self, revision: u64) -> Result<(), Problem> {
        match self {
            Self::OneOf(known) if !known.contains(&revision) => {
                let detail =
                    format!("it is at revision {revision} now, not at the one that If-Match names: look at it again");
                Err(
                    Problem::new(StatusCode::PRECONDITION_FAILED, "revision_mismatch", detail)
                        .with("revision", revision),
                )
            }
            _ => Ok(()),
        }
    }

    fn read(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let mut known = Vec::new();
        for tag in text.split(',') {
            let tag = tag.trim();
            let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            match inner {
                Some(inner) => known.extend(inner.parse::<u64>().ok()),
                // A weak tag never matches here: the comparison is a strong one.
                None if tag.starts_with("W/\"") && tag.ends_with('"') => {}
                None => {
                    return Err(invalid(
                        "If-Match",
                        "is neither * nor a list of tags such as \"3\": take the header ETag or the field revision",
                    ));
                }
            }
        }
        Ok(Self::OneOf(known))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut all = parts.headers.get_all(header::IF_MATCH).iter();
        let Some(first) = all.next() else { return Ok(Self::Any) };
        let text = first.to_str().map_err(|_| invalid("If-Match", "is not plain text"))?;
        if all.next().is_some() {
            return Err(invalid(
                "If-Match",
                "is given twice: put the tags into one, with commas",
            ));
        }
        Self::read(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_the_rfc_has_them() {
        assert_eq!(IfMatch::read("*").unwrap(), IfMatch::Any);
        assert_eq!(IfMatch::read("\"3\"").unwrap(), IfMatch::OneOf(vec![3]));
        assert_eq!(IfMatch::read(" \"3\" , \"4\"").unwrap(), IfMatch::OneOf(vec![3, 4]));
        assert_eq!(IfMatch::read("W/\"3\"").unwrap(), IfMatch::OneOf(vec![]));
        assert_eq!(IfMatch::read("\"abc\"").unwrap(), IfMatch::OneOf(vec![]));
        for bad in ["3", "", "\"3", "W/3"] {
            assert_eq!(IfMatch::read(bad).unwrap_err().status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }

    #[test]
    fn a_revision_that_is_not_named_is_refused() {
        assert!(IfMatch::Any.check(7).is_ok());
        assert!(IfMatch::OneOf(vec![6, 7]).check(7).is_ok());
        let problem = IfMatch::OneOf(vec![6]).check(7).unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.code), (412, "revision_mismatch"));
        assert!(IfMatch::OneOf(vec![]).check(7).is_err());
    }
}
