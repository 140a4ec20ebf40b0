//! Why a store has not answered.

use crate::http;

/// A request without a complete answer. What each case means for a delivery is decided by [`super::by_error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was sent, or could not be.
    #[error(transparent)]
    Http(http::Error),
    /// It was not made: the credentials sign nothing.
    #[error("the request could not be signed with these credentials")]
    Unsigned,
}
