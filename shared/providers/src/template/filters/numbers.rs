//! Filters that make numbers.

use super::{Args, lists::attribute_of};
use crate::template::{
    eval::{Budget, Fault, Run},
    operators::list_items,
    value::Value,
};

/// Most digits behind the point that `round` keeps.
const DIGITS_MAX: i128 = 15;

fn number(value: &Value, budget: &mut Budget) -> Result<Option<Value>, Fault> {
    Ok(match value {
        Value::Int(_) | Value::Float(_) => Some(value.clone()),
        Value::Bool(flag) => Some(Value::Int(i128::from(*flag))),
        Value::Text(text) => {
            budget.take(text.text.len())?;
            let text = text.text.trim();
            let whole = text.parse().ok().map(Value::Int);
            whole.or_else(|| {
                text.parse()
                    .ok()
                    .filter(|number: &f64| number.is_finite())
                    .map(Value::Float)
            })
        }
        _ => None,
    })
}

pub(super) fn int(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let other = args.take("default").unwrap_or(Value::Int(0));
    args.end()?;
    Ok(match number(&value, &mut run.budget)? {
        Some(Value::Int(number)) => Value::Int(number),
        // A float that does not fit becomes the nearest that does.
        Some(Value::Float(number)) => Value::Int(number as i128),
        _ => other,
    })
}

pub(super) fn float(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let other = args.take("default").unwrap_or(Value::Float(0.0));
    args.end()?;
    Ok(number(&value, &mut run.budget)?
        .and_then(|number| number.as_number())
        .map_or(other, Value::Float))
}

pub(super) fn round(value: Value, mut args: Args, _run: &mut Run<'_>) -> Result<Value, Fault> {
    let digits = match args.take("precision") {
        None => 0,
        Some(Value::Int(digits)) if (0..=DIGITS_MAX).contains(&digits) => i32::try_from(digits).unwrap_or_default(),
        Some(_) => return Err(args.wrong("precision", &format!("a number from 0 to {DIGITS_MAX}"))),
    };
    args.end()?;
    match value {
        Value::Float(number) => {
            let scale = 10_f64.powi(digits);
            let rounded = (number * scale).round() / scale;
            Ok(Value::Float(if rounded.is_finite() { rounded } else { number }))
        }
        Value::Int(_) | Value::Undefined | Value::Null => Ok(value),
        other => Err(Fault::new(format!("`round` takes a number, not {}", other.kind()))),
    }
}

pub(super) fn abs(value: Value, args: Args, _run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    match value {
        Value::Int(number) => Ok(Value::Int(number.saturating_abs())),
        Value::Float(number) => Ok(Value::Float(number.abs())),
        Value::Undefined | Value::Null => Ok(value),
        other => Err(Fault::new(format!("`abs` takes a number, not {}", other.kind()))),
    }
}

pub(super) fn sum(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let attribute = args.text("attribute", &mut run.budget)?;
    args.end()?;
    let (mut whole, mut total, mut exact) = (0_i128, 0.0_f64, true);
    for item in list_items(&value, &mut run.budget)? {
        let item = match &attribute {
            Some(path) => attribute_of(&item, &path.text, &mut run.budget)?,
            None => item,
        };
        match item {
            Value::Int(number) => {
                whole = whole
                    .checked_add(number)
                    .ok_or_else(|| Fault::new("a number is too large"))?;
            }
            Value::Float(number) => {
                exact = false;
                total += number;
            }
            Value::Undefined | Value::Null => {}
            other => return Err(Fault::new(format!("`sum` takes numbers, not {}", other.kind()))),
        }
    }
    Ok(if exact {
        Value::Int(whole)
    } else {
        Value::Float(total + whole as f64)
    })
}
