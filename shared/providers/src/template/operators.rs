//! What operators make of values, and the readings of values that filters share.

use std::cmp::Ordering;

use super::{
    Markup,
    eval::{Budget, Fault},
    tree::{Comparison, Operator},
    value::{ENTRY_BYTES, Text, Value},
};

pub(super) fn too_large() -> Fault {
    Fault::new("a number is too large")
}

/// A value as people read it.
pub(super) fn as_text(value: &Value, budget: &mut Budget) -> Result<Text, Fault> {
    if let Value::Text(text) = value {
        return Ok(text.clone());
    }
    let mut text = String::new();
    value.write(&mut text, budget)?;
    Ok(Text {
        text: text.into(),
        safe: false,
    })
}

pub(super) fn join(
    texts: &[Text],
    between: Option<&Text>,
    markup: Markup,
    budget: &mut Budget,
) -> Result<Value, Fault> {
    let safe = texts.iter().chain(between).any(|text| text.safe);
    let mut out = String::new();
    for (index, text) in texts.iter().enumerate() {
        let parts = between.filter(|_| index > 0).into_iter().chain([text]);
        for part in parts {
            if safe && !part.safe {
                let escaped = markup.escape(&part.text);
                budget.take(escaped.len())?;
                out.push_str(&escaped);
            } else {
                budget.take(part.text.len())?;
                out.push_str(&part.text);
            }
        }
    }
    Ok(Value::Text(Text { text: out.into(), safe }))
}

/// The items of a list, the names of a group of fields, the characters of a text; nothing of what is missing.
pub(super) fn list_items(value: &Value, budget: &mut Budget) -> Result<Vec<Value>, Fault> {
    let count = match value {
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.members.len(),
        Value::Text(text) => text.text.len(),
        _ => 0,
    };
    budget.take(count.saturating_mul(ENTRY_BYTES))?;
    Ok(match value {
        Value::List(list) => list.items.clone(),
        Value::Map(map) => map.members.iter().map(|(name, _)| Value::text(name.clone())).collect(),
        Value::Text(text) => text.text.chars().map(|c| Value::text(c.to_string())).collect(),
        Value::Undefined | Value::Null => Vec::new(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            return Err(Fault::new(format!("{} has no items", value.kind())));
        }
    })
}

pub(super) fn item(of: &Value, key: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    Ok(match (of, key) {
        (Value::List(list), Value::Int(index)) => {
            place(*index, list.items.len()).map_or(Value::Undefined, |index| list.items[index].clone())
        }
        (Value::Map(_), Value::Text(name)) => {
            budget.take(name.text.len())?;
            of.member(&name.text)
        }
        _ => Value::Undefined,
    })
}

/// An index from the front, or with a minus from the back.
fn place(index: i128, length: usize) -> Option<usize> {
    let length = i128::try_from(length).ok()?;
    let index = if index < 0 { index.checked_add(length)? } else { index };
    usize::try_from(index).ok().filter(|_| index < length)
}

pub(super) fn slice(of: &Value, start: Option<i128>, stop: Option<i128>, budget: &mut Budget) -> Result<Value, Fault> {
    let bounds = |length: usize| {
        let all = i128::try_from(length).unwrap_or(i128::MAX);
        let clamp = |bound: i128| {
            let bound = if bound < 0 { bound.saturating_add(all) } else { bound };
            usize::try_from(bound.clamp(0, all)).unwrap_or(length)
        };
        let start = start.map_or(0, clamp);
        (start, stop.map_or(length, clamp).saturating_sub(start))
    };
    match of {
        Value::List(list) => {
            let (start, count) = bounds(list.items.len());
            Value::list(list.items.iter().skip(start).take(count).cloned().collect(), budget)
        }
        Value::Text(text) => {
            budget.take(text.text.len())?;
            let (start, count) = bounds(text.text.chars().count());
            let part: String = text.text.chars().skip(start).take(count).collect();
            budget.take(part.len())?;
            Ok(Value::text(part))
        }
        Value::Undefined | Value::Null => Ok(Value::Undefined),
        other => Err(Fault::new(format!("{} has no slices", other.kind()))),
    }
}

pub(super) fn arithmetic(operator: Operator, left: &Value, right: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    match (operator, left, right) {
        // What is missing stays missing, so that `default` can speak for the whole.
        (_, Value::Undefined, _) | (_, _, Value::Undefined) => return Ok(Value::Undefined),
        (Operator::Add, Value::Text(left), Value::Text(right)) => {
            return join(&[left.clone(), right.clone()], None, Markup::Plain, budget);
        }
        (Operator::Add, Value::List(left), Value::List(right)) => {
            return Value::list(left.items.iter().chain(&right.items).cloned().collect(), budget);
        }
        (Operator::Mul, Value::Text(text), Value::Int(times))
        | (Operator::Mul, Value::Int(times), Value::Text(text)) => {
            let times = usize::try_from((*times).max(0)).unwrap_or(usize::MAX);
            budget.take(text.text.len().saturating_mul(times))?;
            let repeated = text.text.repeat(if text.text.is_empty() { 0 } else { times });
            return Ok(Value::Text(Text {
                text: repeated.into(),
                safe: text.safe,
            }));
        }
        _ => {}
    }
    if let (Value::Int(left), Value::Int(right)) = (left, right)
        && operator != Operator::Div
    {
        return whole(operator, *left, *right);
    }
    let (Some(a), Some(b)) = (left.as_number(), right.as_number()) else {
        let sign = operator.sign();
        let message = format!("`{sign}` does not take {} and {}", left.kind(), right.kind());
        return Err(Fault::new(message));
    };
    let number = match operator {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mul => a * b,
        Operator::Div | Operator::FloorDiv | Operator::Rem if b == 0.0 => return Err(Fault::new("divides by 0")),
        Operator::Div => a / b,
        Operator::FloorDiv => (a / b).floor(),
        Operator::Rem => a - b * (a / b).floor(),
        Operator::Pow => a.powf(b),
    };
    if number.is_finite() {
        Ok(Value::Float(number))
    } else {
        Err(too_large())
    }
}

fn whole(operator: Operator, left: i128, right: i128) -> Result<Value, Fault> {
    let floor = |left: i128, right: i128| {
        let (quotient, rest) = (left.checked_div(right)?, left.checked_rem(right)?);
        let below = rest != 0 && (rest < 0) != (right < 0);
        Some((quotient - i128::from(below), if below { rest + right } else { rest }))
    };
    let divided = || {
        if right == 0 {
            return Err(Fault::new("divides by 0"));
        }
        floor(left, right).ok_or_else(too_large)
    };
    let number = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Sub => left.checked_sub(right),
        Operator::Mul => left.checked_mul(right),
        Operator::FloorDiv => Some(divided()?.0),
        Operator::Rem => Some(divided()?.1),
        Operator::Pow if right >= 0 => u32::try_from(right).ok().and_then(|right| left.checked_pow(right)),
        Operator::Pow | Operator::Div => None,
    };
    number.map(Value::Int).ok_or_else(too_large)
}

impl Operator {
    const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::FloorDiv => "//",
            Self::Rem => "%",
            Self::Pow => "**",
        }
    }
}

/// Whether a comparison holds. Of what is missing only equality can.
pub(super) fn compare(comparison: Comparison, left: &Value, right: &Value, budget: &mut Budget) -> Result<bool, Fault> {
    let wanted: fn(Ordering) -> bool = match comparison {
        Comparison::Eq => return left.same(right, budget),
        Comparison::Ne => return left.same(right, budget).map(|same| !same),
        Comparison::In => return contains(right, left, budget),
        Comparison::NotIn => return contains(right, left, budget).map(|found| !found),
        Comparison::Lt => Ordering::is_lt,
        Comparison::Lte => Ordering::is_le,
        Comparison::Gt => Ordering::is_gt,
        Comparison::Gte => Ordering::is_ge,
    };
    if matches!(left, Value::Undefined | Value::Null) || matches!(right, Value::Undefined | Value::Null) {
        return Ok(false);
    }
    order(left, right, budget).map(wanted)
}

/// The order of two numbers or two texts.
pub(super) fn order(left: &Value, right: &Value, budget: &mut Budget) -> Result<Ordering, Fault> {
    budget.step()?;
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Ok(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => {
            budget.take(left.text.len().min(right.text.len()))?;
            Ok(left.text.cmp(&right.text))
        }
        _ => match (left.as_number(), right.as_number()) {
            (Some(left), Some(right)) => Ok(left.total_cmp(&right)),
            _ => {
                let message = format!("cannot compare {} with {}", left.kind(), right.kind());
                Err(Fault::new(message))
            }
        },
    }
}

fn contains(container: &Value, wanted: &Value, budget: &mut Budget) -> Result<bool, Fault> {
    match container {
        Value::Undefined | Value::Null => Ok(false),
        Value::Text(text) => {
            let wanted = as_text(wanted, budget)?;
            budget.take(text.text.len())?;
            Ok(text.text.contains(&*wanted.text))
        }
        Value::List(list) => {
            for item in &list.items {
                if item.same(wanted, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => match wanted {
            Value::Text(name) => {
                budget.take(name.text.len())?;
                Ok(map.get(&name.text).is_some())
            }
            _ => Ok(false),
        },
        other => Err(Fault::new(format!("`in` does not take {}", other.kind()))),
    }
}
