//! What an evaluation may spend, and the functions that pay before they work.
//!
//! Their names begin with `@`, which no expression can write: only [`super::prepare`] calls them,
//! with [`VARIABLE`] as the first argument.

use std::{
    any::Any,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use cel::{
    Env, ExecutionError,
    common::{
        functions::Function,
        types::{CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelOptional, CelString, DYN_TYPE, Type},
        value::{CowVal, StaticVal, Val},
    },
};
use regex::Regex;

/// The variable that carries the [`Meter`].
pub(super) const VARIABLE: &str = "@meter";
/// `@deep(meter, value)`: the value; pays for all that it holds.
pub(super) const DEEP: &str = "@deep";
/// `@flat(meter, value)`: the value; pays for its text, or one unit.
pub(super) const FLAT: &str = "@flat";
/// `@key(meter, value)`: as `@deep`, but refuses a fraction.
pub(super) const KEY: &str = "@key";
/// `@each(meter, cost, value)`: the value; pays for a loop over it whose turn has a cost.
pub(super) const EACH: &str = "@each";
/// `@eq(meter, left, right)`: `left == right`, paid as it goes.
pub(super) const EQ: &str = "@eq";
/// `@ne(meter, left, right)`: `left != right`, paid as it goes.
pub(super) const NE: &str = "@ne";
/// `@within(meter, value, container)`: `value in container`, paid as it goes.
pub(super) const WITHIN: &str = "@within";
/// `@has(meter, value, field)`: whether the value has the field.
pub(super) const HAS: &str = "@has";
/// `@matches(meter, index, text)`: whether the pattern of this index is found in the text.
pub(super) const MATCHES: &str = "@matches";

/// Bytes of text that one unit walks.
const UNIT_BYTES: usize = 64;
/// Bytes of text that the units of a [`Pattern`] search.
const SEARCH_BYTES: usize = 8;

static METER_TYPE: Type = Type::new_unspecified_type(VARIABLE);

/// A compiled pattern of `matches`.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// What searching 8 bytes of text costs.
    pub(super) units: u64,
}

/// What is left to spend, and the patterns of the expression.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    // Shared, because the evaluator may copy any value.
    left: Arc<AtomicU64>,
    patterns: Arc<[Pattern]>,
}

/// Nothing is left.
struct Spent;

impl Meter {
    pub(super) fn new(units: u64, patterns: Arc<[Pattern]>) -> Self {
        Self {
            left: Arc::new(AtomicU64::new(units)),
            patterns,
        }
    }

    /// Whether something was refused. What is left never stays at zero otherwise.
    pub(super) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// One evaluation is on one thread, so a load and a store are enough.
    fn pay(&self, units: u64) -> Result<(), Spent> {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(units);
        self.left.store(left, Ordering::Relaxed);
        if left == 0 { Err(Spent) } else { Ok(()) }
    }

    fn pay_text(&self, bytes: usize) -> Result<(), Spent> {
        self.pay(1 + (bytes / UNIT_BYTES) as u64)
    }

    fn pay_flat(&self, value: &dyn Val) -> Result<(), Spent> {
        if let Some(text) = value.downcast_ref::<CelString>() {
            self.pay_text(text.inner().len())
        } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
            self.pay_text(bytes.inner().len())
        } else {
            self.pay(1)
        }
    }

    /// The depth of values is bounded by that of JSON and of expressions.
    fn pay_deep(&self, value: &dyn Val) -> Result<(), Spent> {
        self.pay_flat(value)?;
        if let Some(list) = value.downcast_ref::<CelList>() {
            list.iter().try_for_each(|item| self.pay_deep(item.as_ref()))
        } else if let Some(map) = value.downcast_ref::<CelMap>() {
            map.iter().try_for_each(|(key, item)| {
                self.pay_flat(key.inner())?;
                self.pay_deep(item.as_ref())
            })
        } else if let Some(inner) = value
            .downcast_ref::<CelOptional>()
            .and_then(|optional| optional.option())
        {
            self.pay_deep(inner)
        } else {
            Ok(())
        }
    }

    /// `left == right` as the evaluator defines it, one pair of values at a time.
    fn equal(&self, left: &dyn Val, right: &dyn Val) -> Result<bool, Spent> {
        if let (Some(left), Some(right)) = (left.downcast_ref::<CelList>(), right.downcast_ref::<CelList>()) {
            self.pay(1)?;
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                if !self.equal(left.as_ref(), right.as_ref())? {
                    return Ok(false);
                }
            }
            Ok(true)
        } else if let (Some(left), Some(other)) = (left.downcast_ref::<CelMap>(), right.downcast_ref::<CelMap>()) {
            self.pay(1)?;
            if left.len() != other.len() {
                return Ok(false);
            }
            for (key, left) in left.iter() {
                self.pay_flat(key.inner())?;
                let right = right.as_indexer().and_then(|right| right.get(key.inner()).ok());
                match right {
                    Some(right) if self.equal(left.as_ref(), right.as_ref())? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        } else {
            self.pay_deep(left)?;
            Ok(left.equals(right))
        }
    }
}

impl Val for Meter {
    fn get_type(&self) -> &Type {
        &METER_TYPE
    }

    fn cel_type() -> &'static Type {
        &METER_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Meter {}

/// The functions that an expression may call, and those here.
pub(super) fn env() -> Arc<Env> {
    static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib();
        let functions: [(&str, usize, Function); 9] = [
            (DEEP, 2, deep),
            (FLAT, 2, flat),
            (KEY, 2, key),
            (EACH, 3, each),
            (EQ, 3, eq),
            (NE, 3, ne),
            (WITHIN, 3, within),
            (HAS, 3, has),
            (MATCHES, 3, matches),
        ];
        for (name, arguments, function) in functions {
            env.add_overload(name, name, (0..arguments).map(|_| DYN_TYPE).collect(), function)
                .expect("no standard function has a name that begins with @");
        }
        Arc::new(env)
    });
    Arc::clone(&ENV)
}

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

impl From<Spent> for ExecutionError {
    fn from(_: Spent) -> Self {
        Self::InternalError("nothing left to spend".into())
    }
}

/// Takes a call with N arguments after the meter apart.
fn call<'b, 'v, const N: usize>(
    arguments: Arguments<'b, 'v>,
    function: impl FnOnce(&Meter, [CowVal<'b, 'v>; N]) -> Answer<'b, 'v>,
) -> Answer<'b, 'v> {
    let wrong = || ExecutionError::InternalError("a metered function was called wrongly".into());
    let mut arguments = arguments.into_iter();
    let meter = arguments.next().ok_or_else(wrong)?;
    let meter = meter.downcast_ref::<Meter>().ok_or_else(wrong)?;
    let rest = arguments.collect::<Vec<_>>().try_into().map_err(|_| wrong())?;
    function(meter, rest)
}

fn bool<'b, 'v>(value: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(value))
}

fn deep<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [value]| {
        meter.pay_deep(value.as_ref())?;
        Ok(value)
    })
}

fn flat<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [value]| {
        meter.pay_flat(value.as_ref())?;
        Ok(value)
    })
}

fn key<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [value]| {
        meter.pay_deep(value.as_ref())?;
        // The evaluator would copy the whole container into its error.
        match value.downcast_ref::<CelDouble>() {
            Some(number) if number.inner().fract() != 0.0 => Err(ExecutionError::UnexpectedType {
                got: "a fraction".to_owned(),
                want: "a key or an index".to_owned(),
            }),
            _ => Ok(value),
        }
    })
}

fn each<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [cost, value]| {
        let turns = value.as_sizer().map_or(0, |sizer| *sizer.size().inner()).unsigned_abs();
        let cost = cost
            .downcast_ref::<CelInt>()
            .map_or(1, |cost| cost.inner().unsigned_abs());
        meter.pay(turns.saturating_mul(cost))?;
        // Each element is copied into the loop's variable.
        meter.pay_deep(value.as_ref())?;
        Ok(value)
    })
}

fn eq<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [left, right]| {
        Ok(bool(meter.equal(left.as_ref(), right.as_ref())?))
    })
}

fn ne<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [left, right]| {
        Ok(bool(!meter.equal(left.as_ref(), right.as_ref())?))
    })
}

fn within<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [value, container]| {
        if let Some(list) = container.downcast_ref::<CelList>() {
            for item in list.iter() {
                if meter.equal(item.as_ref(), value.as_ref())? {
                    return Ok(bool(true));
                }
            }
            return Ok(bool(false));
        }
        meter.pay_flat(value.as_ref())?;
        let unsupported = || {
            let types = [&value, &container].map(|argument| argument.get_type().name().to_owned());
            ExecutionError::no_such_overload("@in", types.into())
        };
        let found = container
            .as_container()
            .ok_or_else(unsupported)?
            .contains(value.as_ref());
        found.map(bool).map_err(|_| unsupported())
    })
}

fn has<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [value, field]| {
        meter.pay(1)?;
        let value = match value.downcast_ref::<CelOptional>() {
            Some(optional) => optional.option(),
            None => Some(value.as_ref()),
        };
        Ok(bool(
            value
                .and_then(|value| value.as_indexer())
                .is_some_and(|fields| fields.get(field.as_ref()).is_ok()),
        ))
    })
}

fn matches<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    call(arguments, |meter, [index, text]| {
        let index = index
            .downcast_ref::<CelInt>()
            .and_then(|index| usize::try_from(*index.inner()).ok());
        let pattern = index
            .and_then(|index| meter.patterns.get(index))
            .ok_or_else(|| ExecutionError::InternalError("a pattern is missing".into()))?;
        let text = text.downcast_ref::<CelString>().ok_or_else(|| {
            ExecutionError::no_such_overload("matches", vec![text.get_type().name().to_owned(), "string".to_owned()])
        })?;
        let parts = 1 + (text.inner().len() / SEARCH_BYTES) as u64;
        meter.pay(parts.saturating_mul(pattern.units))?;
        Ok(bool(pattern.regex.is_match(text.inner())))
    })
}
