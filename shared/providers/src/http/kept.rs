//! A bounded map that forgets what was used longest ago.

use std::{collections::HashMap, convert::Infallible, fmt, hash::Hash};

/// At most so many values by key. A value that is forgotten lives on with whoever has a clone of it.
pub(crate) struct Kept<K, V> {
    most: usize,
    uses: u64,
    entries: HashMap<K, (u64, V)>,
}

impl<K: Clone + Eq + Hash, V: Clone> Kept<K, V> {
    /// An empty one; `most` is at least 1.
    pub(crate) fn at_most(most: usize) -> Self {
        Self {
            most,
            uses: 0,
            entries: HashMap::new(),
        }
    }

    /// The value of a key, made where it is not there.
    pub(crate) fn get_or(&mut self, key: K, make: impl FnOnce() -> V) -> V {
        match self.get_or_try(key, || Ok::<_, Infallible>(make())) {
            Ok(value) => value,
        }
    }

    /// The value of a key, made where it is not there. Nothing is kept of what could not be made.
    pub(super) fn get_or_try<E>(&mut self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        self.uses += 1;
        if let Some((used, value)) = self.entries.get_mut(&key) {
            *used = self.uses;
            return Ok(value.clone());
        }
        let value = make()?;
        if self.entries.len() >= self.most {
            self.forget_oldest();
        }
        self.entries.insert(key, (self.uses, value.clone()));
        Ok(value)
    }

    /// Looks through all of them: rare, as it takes more different keys than are kept.
    fn forget_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// How many there are: what they hold may be secret.
impl<K, V> fmt::Debug for Kept<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} of {})", self.entries.len(), self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(kept: &mut Kept<u32, u32>, key: u32, made: &mut Vec<u32>) {
        let value = kept.get_or_try(key, || {
            made.push(key);
            Ok::<_, Infallible>(key * 10)
        });
        assert_eq!(value, Ok(key * 10));
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let (mut kept, mut made) = (Kept::at_most(2), Vec::new());
        for key in [1, 2, 1, 3, 1, 2] {
            get(&mut kept, key, &mut made);
        }
        assert_eq!(made, [1, 2, 3, 2], "2 gave way to 3, as 1 had been used since");
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn nothing_is_kept_of_what_could_not_be_made() {
        let mut kept: Kept<u32, u32> = Kept::at_most(2);
        assert_eq!(kept.get_or_try(1, || Err("no")), Err("no"));
        assert_eq!(kept.get_or_try(1, || Ok::<_, &str>(5)), Ok(5));
    }
}
