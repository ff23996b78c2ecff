//! Frame slots.

/// A frame in its slot.
pub struct Captured;
