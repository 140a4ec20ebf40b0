//! Which integrations an event concerns: pure decisions over the contract of `proto`.
//!
//! [`Index`] finds the active integrations whose subscription covers an event, at a cost that hardly
//! grows with their number. [`Condition`] is the `where` of a subscription, a CEL expression with a
//! bound on what it may cost; whoever takes integrations in compiles it there, to refuse a bad one
//! with its reason, and the index compiles it again to use it.
//!
//! [`Schema`] is the JSON Schema of an event type: the API compiles it when it is registered, ingest to check
//! events. It is here because both need the same bounds.
//!
//! Nothing here does I/O or looks at a clock.

pub mod condition;
pub mod explain;
pub mod index;
pub mod past;
pub mod schema;

pub use condition::{Condition, ConditionError, EventView, OrderBy};
pub use explain::{Verdict, explain, explain_view};
pub use index::{Index, Match, Target};
pub use past::{Choice, Past};
pub use schema::Schema;
