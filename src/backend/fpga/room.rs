//! Which beats of a card's memory are taken. First fit, with neighbours joined when given back.

use std::{collections::BTreeMap, ops::Range};

/// The free runs: first beat and number.
pub(super) struct Room(BTreeMap<u32, u32>);

impl Room {
    /// A memory of `beats` beats, all free.
    pub(super) fn new(beats: u32) -> Self {
        Self((beats > 0).then_some((0, beats)).into_iter().collect())
    }

    /// Takes a run, if there is one as long.
    pub(super) fn take(&mut self, beats: u32) -> Option<Range<u32>> {
        let (&at, &held) = self.0.iter().find(|&(_, &held)| held >= beats)?;
        self.0.remove(&at);
        if held > beats {
            self.0.insert(at + beats, held - beats);
        }
        Some(at..at + beats)
    }

    /// Gives a run back.
    pub(super) fn give(&mut self, place: Range<u32>) {
        let (mut from, mut to) = (place.start, place.end);
        if let Some((&at, &held)) = self.0.range(..from).next_back()
            && at + held == from
        {
            self.0.remove(&at);
            from = at;
        }
        if let Some(held) = self.0.remove(&to) {
            to += held;
        }
        if from < to {
            self.0.insert(from, to - from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_whole_again_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut room = Room::new(10);
            let places = [3, 3, 4].map(|beats| room.take(beats).expect("ten in all"));
            assert_eq!(places, [0..3, 3..6, 6..10]);
            assert_eq!(room.take(1), None);
            for at in order {
                room.give(places[at].clone());
            }
            assert_eq!(room.take(10), Some(0..10), "{order:?}");
        }
        assert_eq!(Room::new(0).take(1), None);
    }
}
