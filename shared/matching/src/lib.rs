//! Which integrations an event concerns: pure decisions over the contract of `proto`.
//!
//! [`Index`] finds the active integrations whose subscription covers an event, at a cost that hardly
//! grows with their number. [`Condition`] is the `where` of a subscription, a CEL expression with a
//! bound on what it may cost; whoever takes integrations in compiles it there, to refuse a bad one
//! with its reason, and the index compiles it again to use it.
//!
//! Nothing here does I/O or looks at a clock.

pub mod condition;
pub mod index;

pub use condition::{Condition, ConditionError, EventView};
pub use index::{Index, Match, Target};
