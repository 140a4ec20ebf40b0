//! The `where` of a subscription: a CEL expression over one event.
//!
//! # What an expression sees
//!
//! One variable, `event`:
//!
//! | Field | Type |
//! | --- | --- |
//! | `id`, `org`, `type`, `source` | string |
//! | `severity` | string: `low`, `medium`, `high` or `critical` |
//! | `time` | timestamp: the producer's, else that of acceptance |
//! | `subject`, `agent_id`, `execution_id` | string; absent where the event has none |
//! | `metadata` | map of strings, maybe empty |
//! | `data` | the event's JSON: whole numbers are `int` (`uint` above 2⁶³ − 1), others `double` |
//!
//! # What it may say
//!
//! CEL's operators, literals (no messages), macros (`has`, `all`, `exists`, `exists_one`, `map`,
//! `filter`) and standard functions: `size`, `contains`, `startsWith`, `endsWith`, `matches`, the
//! conversions, `timestamp`, `duration` and their accessors (`getHours`, … with an optional zone), the
//! optional syntax (`event.data.?rate.orValue(1.0)`) with `optional.of|ofNonZeroValue|none`,
//! `hasValue`, `value`, `or`, `orValue`. `==` and `<` compare `int`, `uint` and `double` as numbers;
//! arithmetic wants one type, so mixed numbers go through `double(…)`. The pattern of `matches` is
//! a string literal, because it is compiled once, with the expression.
//!
//! # What it means
//!
//! `true` matches, `false` does not. Reading what is not there (a field, an element of a list, a
//! field of something without fields, such as `null`) does not match, except where `||`, `&&`,
//! `exists` or `all` have their answer without it, as CEL defines. `has(e.f)` is false where `e` has
//! no field `f`, also where `e` has no fields at all. Everything else that goes wrong is a
//! [`ConditionError`]: it says that the expression is wrong, not that the event is unwanted.
//!
//! # What it may cost
//!
//! The source, the depth of the expression, its nested loops and its patterns are bounded when it
//! is compiled. An evaluation has [`COST_MAX`] units to spend: the expression is rewritten so that
//! each operation whose cost depends on the event pays first, by what it is about to walk or copy.
//! So the bound holds for every expression and event, and a small expression over a large event
//! is not refused for what it never touches.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use cel::{
    Context, ExecutionError, Value,
    common::{types::CelBool, value::CowVal},
    context::VariableResolver,
    parser::{Expression, ParseErrors, Parser},
};

mod meter;
mod order;
mod prepare;
mod view;

use meter::{Meter, Pattern};
pub use order::{KEY_BYTES_MAX, OrderBy};
pub use view::EventView;

/// Longest expression, in characters.
pub const CHARS_MAX: usize = 2_048;
/// Deepest expression, in levels of its tree; parentheses count while it is read.
pub const DEPTH_MAX: usize = 24;
/// Loops (`all`, `exists`, `exists_one`, `map`, `filter`) inside each other.
pub const LOOPS_NESTED_MAX: usize = 2;
/// Longest pattern of `matches`, in characters.
pub const PATTERN_CHARS_MAX: usize = 256;
/// What one evaluation may spend, in units: one step of the expression inside a loop, one value walked
/// or copied, 64 bytes of text; where a pattern searches it 4 bytes of text, 1 or ⅛ by the pattern's size.
pub const COST_MAX: u64 = 100_000;

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Longest name of a field that is not there, in characters.
const ABSENT_CHARS_MAX: usize = 80;

/// The parser descends once for each operator of a chain such as `a + a + …`; with [`CHARS_MAX`] this
/// is several times what the worst text needs.
const COMPILE_STACK_BYTES: usize = 8 * 1024 * 1024;

/// Why a condition has no answer. Messages name types and positions, never values of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// More than [`CHARS_MAX`] characters.
    #[error("the condition has {0} characters, more than {CHARS_MAX}")]
    Long(usize),
    /// Not an expression.
    #[error("the condition cannot be read: {0}")]
    Syntax(String),
    /// A name, function or form that conditions do not have.
    #[error("the condition uses {0}")]
    Unsupported(String),
    /// More than [`DEPTH_MAX`] levels.
    #[error("the condition is nested deeper than {DEPTH_MAX} levels")]
    Deep,
    /// More than [`LOOPS_NESTED_MAX`] loops inside each other.
    #[error("the condition has more than {LOOPS_NESTED_MAX} loops inside each other")]
    Loops,
    /// A pattern of `matches` that is not a valid regular expression or too large.
    #[error("the pattern of matches() cannot be used: {0}")]
    Pattern(String),
    /// The event's data is not JSON that can be read.
    #[error("the condition cannot read the event's data: {0}")]
    Data(String),
    /// An operation that the values do not have.
    #[error("the condition fails: {0}")]
    Evaluation(String),
    /// A result that is neither true nor false.
    #[error("the condition results in {0}, not in true or false")]
    NotBool(String),
    /// More than [`COST_MAX`] units.
    #[error("the condition costs too much on this event, more than {COST_MAX} units")]
    Cost,
    /// An `order_by` that results in something which is no key.
    #[error("order_by results in {0}, not in a text, a number or true or false")]
    NotKey(String),
    /// A key that is too long.
    #[error("order_by results in a text of {0} bytes, more than {KEY_BYTES_MAX}")]
    LongKey(usize),
    /// A fault of the evaluator, not of the condition.
    #[error("the condition stopped its evaluator")]
    Internal,
}

/// What a condition says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It matches.
    True,
    /// It does not.
    False,
    /// It does not, because it reads what is not there: the name of the field, where the evaluator tells it.
    Absent(Option<String>),
}

/// A compiled `where`.
#[derive(Debug)]
pub struct Condition {
    expression: Expression,
    patterns: Arc<[Pattern]>,
}

impl Condition {
    /// Reads an expression and checks everything that does not depend on an event.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        let chars = source.chars().count();
        if chars > CHARS_MAX {
            return Err(ConditionError::Long(chars));
        }
        // A thread of its own: its stack is large enough for any text, whatever the caller has left,
        // and a panic of the parser ends there.
        let source = source.to_owned();
        thread::Builder::new()
            .name("condition".into())
            .stack_size(COMPILE_STACK_BYTES)
            .spawn(move || parse(&source))
            .map_err(|_| ConditionError::Internal)?
            .join()
            .map_err(|_| ConditionError::Internal)?
    }

    /// Whether the condition holds for an event.
    pub fn holds(&self, event: &EventView<'_>) -> Result<bool, ConditionError> {
        self.answer(event).map(|answer| answer == Answer::True)
    }

    /// What the condition says of an event, and of a reading of nothing where.
    pub fn answer(&self, event: &EventView<'_>) -> Result<Answer, ConditionError> {
        let read = |value: &CowVal<'_, '_>| {
            value
                .downcast_ref::<CelBool>()
                .map(|holds| if *holds.inner() { Answer::True } else { Answer::False })
                .ok_or_else(|| ConditionError::NotBool(value.get_type().name().to_owned()))
        };
        Ok(self.evaluate(event, read)?.unwrap_or_else(Answer::Absent))
    }

    /// What the expression results in, read by the caller; `Err` inside where it reads what is not there.
    pub(crate) fn evaluate<T>(
        &self,
        event: &EventView<'_>,
        read: impl Fn(&CowVal<'_, '_>) -> Result<T, ConditionError>,
    ) -> Result<Result<T, Option<String>>, ConditionError> {
        let meter = Meter::new(COST_MAX, Arc::clone(&self.patterns));
        let variables = Variables { event, meter: &meter };
        // Resolved here, so that unreadable data is an error of its own.
        event.value()?;
        let mut context = Context::with_env(meter::env());
        context.set_variable_resolver(&variables);
        // No state outlives a panic: the context and the meter are dropped, the view is only read.
        let result = catch_unwind(AssertUnwindSafe(|| {
            Value::resolve_val(&self.expression, &context).map(|value| read(&value))
        }))
        .map_err(|_| ConditionError::Internal)?;
        // Before the result: `||` may have swallowed the refusal.
        if meter.is_spent() {
            return Err(ConditionError::Cost);
        }
        match result {
            Ok(read) => read.map(Ok),
            Err(error) if reads_nothing(&error) => Ok(Err(absent(&error))),
            Err(error) => Err(ConditionError::Evaluation(cut(&explain(&error)))),
        }
    }
}

struct Variables<'a, 'e> {
    event: &'a EventView<'e>,
    meter: &'a Meter,
}

impl VariableResolver for Variables<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "event" => self.event.value().ok().map(|value| CowVal::Borrowed(value)),
            meter::VARIABLE => Some(CowVal::Borrowed(self.meter)),
            _ => None,
        }
    }
}

fn parse(source: &str) -> Result<Condition, ConditionError> {
    let depth = u16::try_from(DEPTH_MAX).map_err(|_| ConditionError::Deep)?;
    let mut expression = Parser::default()
        .enable_optional_syntax(true)
        .max_recursion_depth(depth)
        .parse(source)
        .map_err(|errors| syntax(&errors))?;
    let patterns = prepare::prepare(&mut expression)?;
    Ok(Condition {
        expression,
        patterns: patterns.into(),
    })
}

fn syntax(errors: &ParseErrors) -> ConditionError {
    let Some(first) = errors.errors.first() else {
        return ConditionError::Syntax("it is not an expression".into());
    };
    if errors.errors.iter().any(|error| error.msg.contains("Recursion limit")) {
        return ConditionError::Deep;
    }
    let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
    // The parser counts columns from 1 and gives (0, 0) where it knows no place.
    let place = match first.pos {
        (line, column) if line > 0 && column > 0 => format!("line {line}, column {column}: "),
        _ => String::new(),
    };
    ConditionError::Syntax(cut(&format!("{place}{message}")))
}

/// Whether an error says that something read is not there.
fn reads_nothing(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => true,
        // A field of a value without fields, and a key of `null`, are as absent as a missing field.
        ExecutionError::NoSuchOverload(overload) => match overload.function() {
            "_._" => true,
            "_[_]" => overload
                .argument_types()
                .first()
                .is_some_and(|kind| kind == "null_type"),
            _ => false,
        },
        _ => false,
    }
}

/// The field or key that is not there. A key may come out of the event, so it is cut.
fn absent(error: &ExecutionError) -> Option<String> {
    match error {
        ExecutionError::NoSuchKey(key) => Some(key.chars().take(ABSENT_CHARS_MAX).collect()),
        _ => None,
    }
}

/// Says what went wrong by types, so that no value of an event gets into messages and their groups.
fn explain(error: &ExecutionError) -> String {
    let kind = |value: &Value| value.type_of().to_string();
    match error {
        ExecutionError::NoSuchOverload(overload) => {
            let function = match overload.function() {
                "@in" => "in",
                other => other.trim_matches('_'),
            };
            format!("{function} does not take {}", overload.argument_types().join(" and "))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} and {} cannot be compared", kind(left), kind(right))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("{operator} does not take {} and {}", kind(left), kind(right))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".into(),
        ExecutionError::Overflow(operator, ..) => format!("{operator} leaves the range of its type"),
        ExecutionError::UnexpectedType { got, want } => format!("{got} where {want} is wanted"),
        ExecutionError::UndeclaredReference(name) => format!("{name} is not known"),
        ExecutionError::FunctionError { function, .. } => format!("{function}() does not take this value"),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments, not {actual}")
        }
        ExecutionError::UnsupportedKeyType(key) => format!("{} cannot be a key", kind(key)),
        ExecutionError::UnsupportedIndex(index, value) => {
            format!("{} cannot be the index of {}", kind(index), kind(value))
        }
        ExecutionError::DuplicateKey(_) => "a map repeats a key".into(),
        _ => "an operation does not take these values".into(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
