//! The `order_by` of an integration: the same language as a `where`, resulting in a key.

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelString, CelUInt},
    value::CowVal,
};

use super::{Condition, ConditionError, EventView};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;

/// A compiled `order_by`.
#[derive(Debug)]
pub struct OrderBy(Condition);

impl OrderBy {
    /// Reads an expression and checks everything that does not depend on an event.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        Condition::compile(source).map(Self)
    }

    /// The key of an event; `None` where the expression reads what is not there: such an event has no
    /// others to keep an order with. Texts, numbers and truth values have keys of their own each.
    pub fn key(&self, event: &EventView<'_>) -> Result<Option<String>, ConditionError> {
        Ok(self.0.evaluate(event, read)?.ok())
    }
}

fn read(value: &CowVal<'_, '_>) -> Result<String, ConditionError> {
    let key = if let Some(text) = value.downcast_ref::<CelString>() {
        format!("text {}", text.inner())
    } else if let Some(number) = value.downcast_ref::<CelInt>() {
        format!("number {}", number.inner())
    } else if let Some(number) = value.downcast_ref::<CelUInt>() {
        format!("number {}", number.inner())
    } else if let Some(number) = value.downcast_ref::<CelDouble>() {
        format!("number {}", number.inner())
    } else if let Some(flag) = value.downcast_ref::<CelBool>() {
        format!("flag {}", flag.inner())
    } else {
        return Err(ConditionError::NotKey(value.get_type().name().to_owned()));
    };
    if key.len() > KEY_BYTES_MAX {
        return Err(ConditionError::LongKey(key.len()));
    }
    Ok(key)
}

#[cfg(test)]
mod tests;
