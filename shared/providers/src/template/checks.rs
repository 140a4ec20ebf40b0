//! The tests: `value is name`.

use super::{
    eval::{Budget, Fault, Given},
    operators::{as_text, compare},
    tree::Comparison,
    value::Value,
};

/// One test.
#[derive(Debug)]
pub(super) struct Check {
    name: &'static str,
    holds: Holds,
}

#[derive(Clone, Copy, Debug)]
enum Holds {
    /// By what the value is.
    Alone(fn(&Value) -> bool),
    /// By the value and another.
    Against(Comparison),
    /// By two texts.
    Texts(fn(&str, &str) -> bool),
    /// By a whole number and a divisor; `None` where the divisor is an argument.
    Divides(Option<i128>, i128),
}

impl Check {
    pub(super) fn holds(&self, value: &Value, given: Given, budget: &mut Budget) -> Result<bool, Fault> {
        let wanted = match self.holds {
            Holds::Alone(_) | Holds::Divides(Some(_), _) => 0,
            Holds::Against(_) | Holds::Texts(_) | Holds::Divides(None, _) => 1,
        };
        if given.placed.len() != wanted || !given.named.is_empty() {
            return Err(Fault::new(format!("the test `{}` takes {wanted} arguments", self.name)));
        }
        let other = given.placed.into_iter().next().unwrap_or(Value::Undefined);
        match self.holds {
            Holds::Alone(holds) => Ok(holds(value)),
            Holds::Against(comparison) => compare(comparison, value, &other, budget),
            Holds::Texts(holds) => {
                let (text, other) = (as_text(value, budget)?, as_text(&other, budget)?);
                budget.take(other.text.len())?;
                Ok(holds(&text.text, &other.text))
            }
            Holds::Divides(by, rest) => {
                let by = match (by, other) {
                    (Some(by), _) | (None, Value::Int(by)) if by != 0 => by,
                    _ => {
                        return Err(Fault::new(format!(
                            "the test `{}` takes a whole number other than 0",
                            self.name
                        )));
                    }
                };
                Ok(
                    matches!(value, Value::Int(number) if number.checked_rem(by).is_some_and(|found| found.abs() == rest)),
                )
            }
        }
    }
}

const fn of(name: &'static str, holds: Holds) -> Check {
    Check { name, holds }
}

const fn alone(name: &'static str, holds: fn(&Value) -> bool) -> Check {
    of(name, Holds::Alone(holds))
}

/// All tests, by name.
static CHECKS: &[Check] = &[
    of("!=", Holds::Against(Comparison::Ne)),
    of("<", Holds::Against(Comparison::Lt)),
    of("<=", Holds::Against(Comparison::Lte)),
    of("==", Holds::Against(Comparison::Eq)),
    of(">", Holds::Against(Comparison::Gt)),
    of(">=", Holds::Against(Comparison::Gte)),
    alone("boolean", |value| matches!(value, Value::Bool(_))),
    alone("defined", |value| !matches!(value, Value::Undefined)),
    of("divisibleby", Holds::Divides(None, 0)),
    of("endingwith", Holds::Texts(|text, end| text.ends_with(end))),
    of("eq", Holds::Against(Comparison::Eq)),
    of("equalto", Holds::Against(Comparison::Eq)),
    of("even", Holds::Divides(Some(2), 0)),
    alone("false", |value| matches!(value, Value::Bool(false))),
    alone("float", |value| matches!(value, Value::Float(_))),
    of("ge", Holds::Against(Comparison::Gte)),
    of("gt", Holds::Against(Comparison::Gt)),
    of("in", Holds::Against(Comparison::In)),
    alone("integer", |value| matches!(value, Value::Int(_))),
    alone("iterable", |value| {
        matches!(value, Value::List(_) | Value::Map(_) | Value::Text(_))
    }),
    of("le", Holds::Against(Comparison::Lte)),
    of("lt", Holds::Against(Comparison::Lt)),
    alone("mapping", |value| matches!(value, Value::Map(_))),
    of("ne", Holds::Against(Comparison::Ne)),
    alone("none", |value| matches!(value, Value::Null)),
    alone("number", |value| matches!(value, Value::Int(_) | Value::Float(_))),
    of("odd", Holds::Divides(Some(2), 1)),
    alone("sequence", |value| matches!(value, Value::List(_))),
    of("startingwith", Holds::Texts(|text, start| text.starts_with(start))),
    alone("string", |value| matches!(value, Value::Text(_))),
    alone("true", |value| matches!(value, Value::Bool(true))),
    alone("undefined", |value| matches!(value, Value::Undefined)),
];

/// The test of this name.
pub(super) fn find(name: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.name == name)
}

pub(super) fn names() -> Vec<&'static str> {
    CHECKS.iter().map(|check| check.name).collect()
}
