//! The active integrations, found by the org and type of an event.
//!
//! Patterns share one trie: an org is a root, each token an edge, `*` and `>` tokens of their own.
//! Tokens and nodes are numbers and all edges are in one map, so that a pattern costs about a
//! hundred bytes and an event as many look-ups as its type has tokens, however many integrations
//! there are. The conditions of a filter are asked of those alone whose patterns fit.

use std::{collections::HashMap, sync::Arc};

use signalbox_proto::{
    Integration, Name, Severity,
    event::{Accepted, Event},
    integration::Status,
    pattern::{InvalidPattern, Pattern, Token},
};

use crate::condition::{Condition, ConditionError, EventView, OrderBy};

/// An integration that an event concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which.
    pub target: Arc<Target>,
    /// `Err` where its `where` or its `order_by` could not be answered: the owner is told, and nothing
    /// is delivered.
    pub result: Result<(), ConditionError>,
    /// The key of its `order_by` for this event.
    pub key: Option<String>,
}

/// What routing needs to know of an integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A UUIDv7.
    pub id: Arc<str>,
    /// The kind of target.
    pub provider: Name,
    /// The tenant.
    pub org: Name,
    /// The integration's revision that matched.
    pub revision: u64,
    /// Whether its events go as digests.
    pub batches: bool,
}

/// All active integrations.
#[derive(Debug, Default)]
pub struct Index {
    slots: Slab<Entry>,
    by_id: HashMap<Arc<str>, u32>,
    orgs: HashMap<Name, Org>,
    /// Providers with the number of their integrations.
    providers: HashMap<Name, usize>,
    tokens: HashMap<Arc<str>, u32>,
    token_uses: Slab<TokenUse>,
    nodes: Slab<Node>,
    /// Child by parent and token.
    edges: HashMap<(u32, u32), u32>,
}

#[derive(Debug)]
struct Entry {
    target: Arc<Target>,
    /// Where its patterns end, each once.
    ends: Box<[u32]>,
    filter: Option<Box<Filter>>,
    order: Option<Box<Result<OrderBy, ConditionError>>>,
}

/// The conditions of a subscription, ready to be asked. [`mod@crate::explain`] asks the same.
#[derive(Debug)]
pub(crate) struct Filter {
    agent_ids: Box<[Box<str>]>,
    min_severity: Severity,
    pub(crate) condition: Option<Result<Condition, ConditionError>>,
}

#[derive(Debug)]
struct Org {
    root: u32,
    integrations: usize,
}

#[derive(Debug)]
struct TokenUse {
    text: Arc<str>,
    edges: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// The edge that leads here; `None` for the root of an org.
    edge: Option<(u32, u32)>,
    children: u32,
    /// Slots of the integrations with a pattern that ends here.
    slots: Vec<u32>,
}

/// `*` and `>` among the numbers of tokens; texts have the others.
const ONE: u32 = u32::MAX;
const REST: u32 = u32::MAX - 1;

impl Index {
    /// An index without integrations.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many integrations are active.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no integration is active.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Takes an integration as it is now; one that is not active is removed.
    ///
    /// A `where` that cannot be compiled is kept as an error of each event that otherwise matches. A
    /// pattern that is none, which only a newer version can have stored, covers nothing and is
    /// answered, for the caller to report.
    pub fn upsert(&mut self, integration: &Integration) -> Vec<InvalidPattern> {
        self.remove(&integration.id);
        if integration.status != Status::Active {
            return Vec::new();
        }
        let subscription = &integration.subscription;
        let (patterns, invalid) = read_patterns(&subscription.events);
        let id: Arc<str> = integration.id.as_str().into();
        let (org, root) = self.join_org(&integration.org);
        let target = Target {
            id: Arc::clone(&id),
            provider: self.join_provider(&integration.provider),
            org,
            revision: integration.revision,
            batches: integration.flow.batch.is_some(),
        };
        let mut ends: Vec<u32> = patterns.iter().map(|pattern| self.insert(root, pattern)).collect();
        ends.sort_unstable();
        ends.dedup();
        let filter = Filter::of(&subscription.filter).map(Box::new);
        let order = integration.flow.order_by.as_deref().map(OrderBy::compile).map(Box::new);
        let slot = self.slots.put(Entry {
            target: Arc::new(target),
            ends: ends.clone().into(),
            filter,
            order,
        });
        for end in ends {
            if let Some(node) = self.nodes.get_mut(end) {
                node.slots.push(slot);
            }
        }
        self.by_id.insert(id, slot);
        invalid
    }

    /// Forgets an integration; whether it was known.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(entry) = self
            .by_id
            .remove(id)
            .and_then(|slot| self.slots.take(slot).map(|entry| (slot, entry)))
        else {
            return false;
        };
        let (slot, Entry { target, ends, .. }) = entry;
        for end in ends {
            if let Some(node) = self.nodes.get_mut(end)
                && let Some(at) = node.slots.iter().position(|other| *other == slot)
            {
                node.slots.swap_remove(at);
                if node.slots.is_empty() {
                    node.slots = Vec::new();
                }
            }
            self.prune(end);
        }
        self.leave_org(&target.org);
        self.leave_provider(&target.provider);
        true
    }

    /// Appends the integrations that an event concerns, in the order of their ids, each once.
    pub fn matches(&self, event: &Accepted, out: &mut Vec<Match>) {
        let mut slots = self.covering(&event.event);
        slots.sort_unstable();
        slots.dedup();
        let view = EventView::new(event);
        let begin = out.len();
        out.extend(
            slots
                .into_iter()
                .filter_map(|slot| self.slots.get(slot)?.asked(&view, &event.event)),
        );
        if let Some(added) = out.get_mut(begin..) {
            added.sort_unstable_by(|a, b| a.target.id.cmp(&b.target.id));
        }
    }

    /// Slots of the integrations with a pattern that covers an event; a slot once for each pattern.
    fn covering(&self, event: &Event) -> Vec<u32> {
        let mut slots = Vec::new();
        let Some(org) = self.orgs.get(event.org.as_str()) else {
            return slots;
        };
        let mut reached = vec![org.root];
        let mut next = Vec::new();
        for token in event.event_type.tokens() {
            let literal = self.tokens.get(token);
            for parent in reached.drain(..) {
                if let Some(rest) = self.edges.get(&(parent, REST)) {
                    slots.extend(self.ending(*rest));
                }
                next.extend(self.edges.get(&(parent, ONE)));
                next.extend(literal.and_then(|literal| self.edges.get(&(parent, *literal))));
            }
            std::mem::swap(&mut reached, &mut next);
        }
        slots.extend(reached.into_iter().flat_map(|node| self.ending(node)));
        slots
    }

    fn ending(&self, node: u32) -> impl Iterator<Item = u32> {
        self.nodes
            .get(node)
            .into_iter()
            .flat_map(|node| node.slots.iter().copied())
    }

    /// The node where a pattern ends.
    fn insert(&mut self, root: u32, pattern: &Pattern) -> u32 {
        let mut parent = root;
        for token in pattern.tokens() {
            let token = match token {
                Token::One => ONE,
                Token::Rest => REST,
                Token::Literal(text) => self.token(text),
            };
            parent = match self.edges.get(&(parent, token)) {
                Some(child) => *child,
                None => self.grow(parent, token),
            };
        }
        parent
    }

    fn grow(&mut self, parent: u32, token: u32) -> u32 {
        let child = self.nodes.put(Node {
            edge: Some((parent, token)),
            ..Node::default()
        });
        self.edges.insert((parent, token), child);
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children += 1;
        }
        if let Some(used) = self.token_uses.get_mut(token) {
            used.edges += 1;
        }
        child
    }

    /// The number of a text, which may be new and without edges as yet.
    fn token(&mut self, text: &str) -> u32 {
        if let Some(token) = self.tokens.get(text) {
            return *token;
        }
        let text: Arc<str> = text.into();
        let token = self.token_uses.put(TokenUse {
            text: Arc::clone(&text),
            edges: 0,
        });
        self.tokens.insert(text, token);
        token
    }

    /// Removes a node that nothing needs any more, and those above it.
    fn prune(&mut self, mut node: u32) {
        while let Some(Node {
            edge: Some((parent, token)),
            children: 0,
            slots,
        }) = self.nodes.get(node)
            && slots.is_empty()
        {
            let (parent, token) = (*parent, *token);
            self.nodes.take(node);
            self.edges.remove(&(parent, token));
            if let Some(parent) = self.nodes.get_mut(parent) {
                parent.children -= 1;
            }
            if let Some(used) = self.token_uses.get_mut(token) {
                used.edges -= 1;
                if used.edges == 0
                    && let Some(unused) = self.token_uses.take(token)
                {
                    self.tokens.remove(&unused.text);
                }
            }
            node = parent;
        }
    }

    /// Counts an integration of an org; answers the one copy of its name, and its root.
    fn join_org(&mut self, name: &Name) -> (Name, u32) {
        if let Some((name, org)) = self
            .orgs
            .get_key_value(name)
            .map(|(name, org)| (name.clone(), org.root))
        {
            if let Some(org) = self.orgs.get_mut(&name) {
                org.integrations += 1;
            }
            return (name, org);
        }
        let root = self.nodes.put(Node::default());
        self.orgs.insert(name.clone(), Org { root, integrations: 1 });
        (name.clone(), root)
    }

    fn leave_org(&mut self, name: &Name) {
        if let Some(org) = self.orgs.get_mut(name) {
            org.integrations -= 1;
            if org.integrations == 0 {
                self.nodes.take(org.root);
                self.orgs.remove(name);
            }
        }
    }

    /// Counts an integration of a provider; answers the one copy of its name.
    fn join_provider(&mut self, name: &Name) -> Name {
        let name = self
            .providers
            .get_key_value(name)
            .map_or(name, |(name, _)| name)
            .clone();
        *self.providers.entry(name.clone()).or_default() += 1;
        name
    }

    fn leave_provider(&mut self, name: &Name) {
        if let Some(integrations) = self.providers.get_mut(name) {
            *integrations -= 1;
            if *integrations == 0 {
                self.providers.remove(name);
            }
        }
    }
}

impl Entry {
    /// The match of an event that a pattern covers, unless the filter holds it back.
    fn asked(&self, view: &EventView<'_>, event: &Event) -> Option<Match> {
        let result = match &self.filter {
            None => Ok(()),
            Some(filter) if !filter.covers(event) => return None,
            Some(filter) => match &filter.condition {
                None => Ok(()),
                Some(Err(error)) => Err(error.clone()),
                Some(Ok(condition)) => match condition.holds(view) {
                    Ok(true) => Ok(()),
                    Ok(false) => return None,
                    Err(error) => Err(error),
                },
            },
        };
        let (result, key) = match (result, self.order.as_deref()) {
            (Ok(()), Some(Ok(order))) => match order.key(view) {
                Ok(key) => (Ok(()), key),
                Err(error) => (Err(error), None),
            },
            (Ok(()), Some(Err(error))) => (Err(error.clone()), None),
            (result, _) => (result, None),
        };
        Some(Match {
            target: Arc::clone(&self.target),
            result,
            key,
        })
    }
}

impl Filter {
    /// `None` where nothing is held back.
    pub(crate) fn of(filter: &signalbox_proto::integration::Filter) -> Option<Self> {
        let min_severity = filter.min_severity.unwrap_or_default();
        if filter.agent_ids.is_empty() && min_severity == Severity::Low && filter.condition.is_none() {
            return None;
        }
        Some(Self {
            agent_ids: filter.agent_ids.iter().map(|id| id.as_str().into()).collect(),
            min_severity,
            condition: filter.condition.as_deref().map(Condition::compile),
        })
    }

    /// Whether all but the `where` holds.
    fn covers(&self, event: &Event) -> bool {
        self.wants_agent(event) && self.wants_severity(event)
    }

    /// An event without an agent is not held back.
    pub(crate) fn wants_agent(&self, event: &Event) -> bool {
        match event.agent_id.as_deref() {
            Some(agent) => self.agent_ids.is_empty() || self.agent_ids.iter().any(|id| **id == *agent),
            None => true,
        }
    }

    pub(crate) fn wants_severity(&self, event: &Event) -> bool {
        event.severity >= self.min_severity
    }
}

pub(crate) fn read_patterns(texts: &[String]) -> (Vec<Pattern>, Vec<InvalidPattern>) {
    let (mut patterns, mut invalid) = (Vec::new(), Vec::new());
    for text in texts {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => invalid.push(error),
        }
    }
    (patterns, invalid)
}

/// Values under small numbers; a number is used again after its value is taken.
#[derive(Debug)]
struct Slab<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    fn put(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop()
            && let Some(place) = self.values.get_mut(number as usize)
        {
            *place = Some(value);
            return number;
        }
        let number = u32::try_from(self.values.len()).expect("memory ends long before four billion values");
        self.values.push(Some(value));
        number
    }

    fn get(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.values.get_mut(number as usize)?.as_mut()
    }

    fn take(&mut self, number: u32) -> Option<T> {
        let taken = self.values.get_mut(number as usize)?.take();
        if taken.is_some() {
            self.free.push(number);
        }
        taken
    }
}

#[cfg(test)]
mod tests;
