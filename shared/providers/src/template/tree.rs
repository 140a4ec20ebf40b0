//! From the source of a template to the tree that is walked for each delivery.
//!
//! The syntax is read by minijinja. What a target's text does not need is refused here by name, so that an owner hears
//! of it when the template is written and not when an event comes.

use std::{num::NonZeroU32, sync::Arc};

use minijinja::{
    Error,
    machinery::{Span, ast, parse},
    syntax::SyntaxConfig,
};

use super::{
    checks::{self, Check},
    eval::Fault,
    filters::{self, Filter},
    value::Value,
};

/// Deepest nesting of blocks and expressions.
const DEPTH_MAX: u32 = 100;
/// Sources beyond this are read on a stack of their own: what they nest or chain is only known once they are read.
const SMALL_BYTES_MAX: usize = 1_024;
/// The stack for these. The longest chain that a source can hold needs about a third of it in a debug build.
const STACK_BYTES: usize = 64 * 1024 * 1024;

pub(super) type Line = Option<NonZeroU32>;

/// One step of a template.
#[derive(Debug)]
pub(super) enum Node {
    Raw(Box<str>),
    Emit(Expr),
    If {
        branches: Vec<(Expr, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    For(Box<For>),
    Set(Target, Expr),
    With(Vec<(Target, Expr)>, Vec<Node>),
}

#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) over: Expr,
    pub(super) only_if: Option<Expr>,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// The names that a value is given to: one, or one for each part of a list.
#[derive(Debug)]
pub(super) enum Target {
    Name(Arc<str>),
    Parts(Line, Vec<Arc<str>>),
}

#[derive(Debug)]
pub(super) struct Expr {
    pub(super) line: Line,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Const(Value),
    Name(Arc<str>),
    Member(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Option<Box<Expr>>, Option<Box<Expr>>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Arithmetic(Operator, Box<Expr>, Box<Expr>),
    /// A chain of `~`, in order.
    Concat(Vec<Expr>),
    /// `a < b < c`: each with the one before.
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    Either(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    Filter(&'static Filter, Box<Expr>, Arguments),
    Test(&'static Check, Box<Expr>, Arguments),
    Range(Arguments),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    NotIn,
}

/// What a filter, a test or a function is given besides its value.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) placed: Vec<Expr>,
    pub(super) named: Vec<(Box<str>, Expr)>,
}

/// Reads a template. The message says the line and what is wrong there.
pub(super) fn read(source: &str) -> Result<Vec<Node>, String> {
    if source.len() <= SMALL_BYTES_MAX {
        return read_here(source);
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || read_here(source))
            .map_err(|error| format!("cannot be read now: {error}"))?
            .join()
            .unwrap_or_else(|_| Err("cannot be read".to_owned()))
    })
}

fn read_here(source: &str) -> Result<Vec<Node>, String> {
    let tree = parse(source, "template", SyntaxConfig::default()).map_err(|error| in_words(&error))?;
    let ast::Stmt::Template(template) = &tree else {
        return Err("is no template".to_owned());
    };
    nodes(&template.children, 0).map_err(|fault| fault.to_string())
}

/// What the parser says, with its line.
fn in_words(error: &Error) -> String {
    let words = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    match error.line() {
        Some(line) => format!("line {line}: {words}"),
        None => words,
    }
}

fn line(span: Span) -> Line {
    NonZeroU32::new(u32::from(span.start_line))
}

fn refuse<T>(span: Span, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::new(message).at(line(span)))
}

fn deeper(depth: u32, span: Span) -> Result<u32, Fault> {
    if depth >= DEPTH_MAX {
        return refuse(span, format!("is nested or chained deeper than {DEPTH_MAX} levels"));
    }
    Ok(depth + 1)
}

fn nodes(statements: &[ast::Stmt<'_>], depth: u32) -> Result<Vec<Node>, Fault> {
    statements.iter().map(|statement| node(statement, depth)).collect()
}

fn node(statement: &ast::Stmt<'_>, depth: u32) -> Result<Node, Fault> {
    Ok(match statement {
        ast::Stmt::Template(template) => return refuse(template.span(), "is a template in a template"),
        ast::Stmt::EmitRaw(raw) => Node::Raw(raw.raw.into()),
        ast::Stmt::EmitExpr(emit) => Node::Emit(expr(&emit.expr, depth)?),
        ast::Stmt::IfCond(cond) => {
            let depth = deeper(depth, cond.span())?;
            let mut branches = vec![(expr(&cond.expr, depth)?, nodes(&cond.true_body, depth)?)];
            let mut rest = &cond.false_body;
            // `elif` comes as an `if` alone in an `else`.
            while let [ast::Stmt::IfCond(next)] = rest.as_slice() {
                branches.push((expr(&next.expr, depth)?, nodes(&next.true_body, depth)?));
                rest = &next.false_body;
            }
            Node::If {
                branches,
                otherwise: nodes(rest, depth)?,
            }
        }
        ast::Stmt::ForLoop(each) => {
            let depth = deeper(depth, each.span())?;
            if each.recursive {
                return refuse(each.span(), "`recursive` is not taken");
            }
            Node::For(Box::new(For {
                target: target(&each.target)?,
                over: expr(&each.iter, depth)?,
                only_if: each.filter_expr.as_ref().map(|only| expr(only, depth)).transpose()?,
                body: nodes(&each.body, depth)?,
                otherwise: nodes(&each.else_body, depth)?,
            }))
        }
        ast::Stmt::Set(set) => Node::Set(target(&set.target)?, expr(&set.expr, depth)?),
        ast::Stmt::WithBlock(with) => {
            let depth = deeper(depth, with.span())?;
            let mut given = Vec::with_capacity(with.assignments.len());
            for (name, value) in &with.assignments {
                given.push((target(name)?, expr(value, depth)?));
            }
            Node::With(given, nodes(&with.body, depth)?)
        }
        ast::Stmt::SetBlock(set) => {
            return refuse(set.span(), "`set` takes a value here: write {% set name = value %}");
        }
        ast::Stmt::FilterBlock(filter) => {
            return refuse(filter.span(), "`filter` blocks are not taken: write {{ value|filter }}");
        }
        ast::Stmt::AutoEscape(escape) => {
            return refuse(
                escape.span(),
                "`autoescape` is not taken: write {{ value|safe }} where a value is markup",
            );
        }
        ast::Stmt::Do(call) => return refuse(call.span(), "`do` is not taken"),
    })
}

fn target(given: &ast::Expr<'_>) -> Result<Target, Fault> {
    match given {
        ast::Expr::Var(var) => Ok(Target::Name(var.id.into())),
        ast::Expr::List(list) => {
            let names: Result<Vec<Arc<str>>, Fault> = list
                .items
                .iter()
                .map(|part| match part {
                    ast::Expr::Var(var) => Ok(var.id.into()),
                    other => refuse(other.span(), "takes a name here"),
                })
                .collect();
            Ok(Target::Parts(line(list.span()), names?))
        }
        other => refuse(other.span(), "a value is given to a name, not to a part of something"),
    }
}

fn boxed(given: &ast::Expr<'_>, depth: u32) -> Result<Box<Expr>, Fault> {
    expr(given, depth).map(Box::new)
}

fn expr(given: &ast::Expr<'_>, depth: u32) -> Result<Expr, Fault> {
    let span = given.span();
    let depth = deeper(depth, span)?;
    let all = |list: &[ast::Expr<'_>]| list.iter().map(|item| expr(item, depth)).collect::<Result<Vec<_>, _>>();
    let kind = match given {
        ast::Expr::Var(var) => match var.id {
            "self" => return refuse(span, "`self` is not taken"),
            name => Kind::Name(name.into()),
        },
        ast::Expr::Const(constant) => Kind::Const(literal(&constant.value).map_err(|fault| fault.at(line(span)))?),
        ast::Expr::Slice(slice) => {
            if slice.step.is_some() {
                return refuse(span, "a slice takes no step here");
            }
            let bound = |bound: &Option<ast::Expr<'_>>| bound.as_ref().map(|bound| boxed(bound, depth)).transpose();
            Kind::Slice(boxed(&slice.expr, depth)?, bound(&slice.start)?, bound(&slice.stop)?)
        }
        ast::Expr::UnaryOp(operation) => {
            let value = boxed(&operation.expr, depth)?;
            match operation.op {
                ast::UnaryOpKind::Not => Kind::Not(value),
                ast::UnaryOpKind::Neg => Kind::Negative(value),
            }
        }
        ast::Expr::BinOp(operation) => binary(operation, depth)?,
        ast::Expr::Compare(compare) => {
            let mut others = Vec::with_capacity(compare.ops.len());
            for other in &compare.ops {
                let comparison = match other.op {
                    ast::CompareOpKind::Eq => Comparison::Eq,
                    ast::CompareOpKind::Ne => Comparison::Ne,
                    ast::CompareOpKind::Lt => Comparison::Lt,
                    ast::CompareOpKind::Lte => Comparison::Lte,
                    ast::CompareOpKind::Gt => Comparison::Gt,
                    ast::CompareOpKind::Gte => Comparison::Gte,
                    ast::CompareOpKind::In => Comparison::In,
                    ast::CompareOpKind::NotIn => Comparison::NotIn,
                };
                others.push((comparison, expr(&other.expr, depth)?));
            }
            Kind::Compare(boxed(&compare.expr, depth)?, others)
        }
        ast::Expr::IfExpr(choice) => Kind::Either(
            boxed(&choice.test_expr, depth)?,
            boxed(&choice.true_expr, depth)?,
            choice
                .false_expr
                .as_ref()
                .map(|other| boxed(other, depth))
                .transpose()?,
        ),
        ast::Expr::Filter(filter) => {
            let Some(value) = &filter.expr else {
                return refuse(span, format!("the filter `{}` has no value", filter.name));
            };
            let found = filters::find(filter.name)
                .ok_or_else(|| Fault::new(unknown("filter", filter.name, &filters::names())).at(line(span)))?;
            Kind::Filter(found, boxed(value, depth)?, arguments(&filter.args, span, depth)?)
        }
        ast::Expr::Test(test) => {
            let found = checks::find(test.name)
                .ok_or_else(|| Fault::new(unknown("test", test.name, &checks::names())).at(line(span)))?;
            Kind::Test(found, boxed(&test.expr, depth)?, arguments(&test.args, span, depth)?)
        }
        ast::Expr::GetAttr(member) => Kind::Member(boxed(&member.expr, depth)?, member.name.into()),
        ast::Expr::GetItem(item) => Kind::Item(boxed(&item.expr, depth)?, boxed(&item.subscript_expr, depth)?),
        ast::Expr::Call(call) => match call.identify_call() {
            ast::CallType::Function("range") => Kind::Range(arguments(&call.args, span, depth)?),
            ast::CallType::Function(name) => return refuse(span, unknown("function", name, &["range"])),
            ast::CallType::Method(_, name) => {
                return refuse(
                    span,
                    format!("methods such as .{name}() are not taken: use a filter, value|{name}"),
                );
            }
            ast::CallType::Object(_) => return refuse(span, "only functions can be called"),
        },
        ast::Expr::List(list) => Kind::List(all(&list.items)?),
        ast::Expr::Tuple(tuple) => Kind::List(all(&tuple.items)?),
        ast::Expr::Map(map) => {
            let keys = all(&map.keys)?;
            Kind::Map(keys.into_iter().zip(all(&map.values)?).collect())
        }
    };
    Ok(Expr { line: line(span), kind })
}

fn binary(operation: &ast::BinOp<'_>, depth: u32) -> Result<Kind, Fault> {
    if matches!(operation.op, ast::BinOpKind::Concat) {
        return concat(operation, depth);
    }
    let (left, right) = (boxed(&operation.left, depth)?, boxed(&operation.right, depth)?);
    let compare = |comparison, left, right: Box<Expr>| Kind::Compare(left, vec![(comparison, *right)]);
    Ok(match operation.op {
        ast::BinOpKind::ScAnd => Kind::And(left, right),
        ast::BinOpKind::ScOr => Kind::Or(left, right),
        ast::BinOpKind::Eq => compare(Comparison::Eq, left, right),
        ast::BinOpKind::Ne => compare(Comparison::Ne, left, right),
        ast::BinOpKind::Lt => compare(Comparison::Lt, left, right),
        ast::BinOpKind::Lte => compare(Comparison::Lte, left, right),
        ast::BinOpKind::Gt => compare(Comparison::Gt, left, right),
        ast::BinOpKind::Gte => compare(Comparison::Gte, left, right),
        ast::BinOpKind::In => compare(Comparison::In, left, right),
        ast::BinOpKind::Concat => Kind::Concat(vec![*left, *right]),
        ast::BinOpKind::Add => Kind::Arithmetic(Operator::Add, left, right),
        ast::BinOpKind::Sub => Kind::Arithmetic(Operator::Sub, left, right),
        ast::BinOpKind::Mul => Kind::Arithmetic(Operator::Mul, left, right),
        ast::BinOpKind::Div => Kind::Arithmetic(Operator::Div, left, right),
        ast::BinOpKind::FloorDiv => Kind::Arithmetic(Operator::FloorDiv, left, right),
        ast::BinOpKind::Rem => Kind::Arithmetic(Operator::Rem, left, right),
        ast::BinOpKind::Pow => Kind::Arithmetic(Operator::Pow, left, right),
    })
}

/// A chain of `~` leans to the left: it is walked down without recursion.
fn concat(operation: &ast::BinOp<'_>, depth: u32) -> Result<Kind, Fault> {
    let mut parts = vec![expr(&operation.right, depth)?];
    let mut left = &operation.left;
    while let ast::Expr::BinOp(next) = left
        && matches!(next.op, ast::BinOpKind::Concat)
    {
        parts.push(expr(&next.right, depth)?);
        left = &next.left;
    }
    parts.push(expr(left, depth)?);
    parts.reverse();
    Ok(Kind::Concat(parts))
}

fn arguments(given: &[ast::CallArg<'_>], span: Span, depth: u32) -> Result<Arguments, Fault> {
    let mut arguments = Arguments::default();
    for argument in given {
        match argument {
            ast::CallArg::Pos(value) => arguments.placed.push(expr(value, depth)?),
            ast::CallArg::Kwarg(name, value) => arguments.named.push(((*name).into(), expr(value, depth)?)),
            ast::CallArg::PosSplat(_) | ast::CallArg::KwargSplat(_) => {
                return refuse(span, "`*` and `**` before an argument are not taken");
            }
        }
    }
    Ok(arguments)
}

fn literal(value: &minijinja::Value) -> Result<Value, Fault> {
    if let Some(text) = value.as_str() {
        return Ok(Value::text(text));
    }
    let number = || Fault::new("this number is too large");
    Ok(match value.kind() {
        minijinja::value::ValueKind::Undefined => Value::Undefined,
        minijinja::value::ValueKind::None => Value::Null,
        minijinja::value::ValueKind::Bool => Value::Bool(value.is_true()),
        minijinja::value::ValueKind::Number if value.is_integer() => {
            Value::Int(i128::try_from(value.clone()).map_err(|_| number())?)
        }
        minijinja::value::ValueKind::Number => Value::Float(f64::try_from(value.clone()).map_err(|_| number())?),
        other => return Err(Fault::new(format!("a constant of the kind {other} is not taken"))),
    })
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match crate::wording::nearest(name, known) {
        Some(near) => format!("there is no {what} `{name}`: did you mean {near}?"),
        None => format!("there is no {what} `{name}`: there are {}", known.join(", ")),
    }
}
