//! How much of something that is scarce each may hold at a time, so that nobody takes all of it from
//! the others. It does not know what it is, nor how much there is.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// What each holder holds, of what they may.
#[derive(Debug)]
pub struct Shares<H> {
    most: usize,
    // Whoever holds nothing is not in it, so it is never larger than what is held.
    held: Mutex<HashMap<H, usize>>,
}

/// What a holder holds, until it is dropped.
#[derive(Debug)]
pub struct Share<H: Eq + Hash> {
    shares: Arc<Shares<H>>,
    holder: H,
    amount: usize,
}

impl<H: Clone + Eq + Hash> Shares<H> {
    /// Shares of at most `most` for each holder.
    #[must_use]
    pub fn of_at_most(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// `amount` for `holder`, unless that makes it more than it may hold.
    #[must_use]
    pub fn take(self: &Arc<Self>, holder: &H, amount: usize) -> Option<Share<H>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.get(holder).copied().unwrap_or_default();
        let after = before.checked_add(amount).filter(|after| *after <= self.most)?;
        held.insert(holder.clone(), after);
        Some(Share { shares: Arc::clone(self), holder: holder.clone(), amount })
    }
}

impl<H: Eq + Hash> Drop for Share<H> {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(amount) = held.get_mut(&self.holder) {
            *amount -= self.amount;
            if *amount == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_more_than_their_share_and_everybody_has_one() {
        let shares = Shares::of_at_most(10);

        let first = shares.take(&"acme", 6).unwrap();
        assert!(shares.take(&"acme", 5).is_none());
        let second = shares.take(&"acme", 4).unwrap();
        assert!(shares.take(&"acme", 1).is_none());
        assert!(shares.take(&"globex", 10).is_some());
        drop(first);

        assert!(shares.take(&"acme", 7).is_none());
        assert!(shares.take(&"acme", 6).is_some());
        drop(second);
        assert!(shares.held.lock().unwrap().is_empty());
        assert!(shares.take(&"acme", usize::MAX).is_none());
    }
}
