//! Duties that the law attaches to what was done, as state machines without I/O: what ends when
//! ([`schedule`]), who must confirm what ([`confirmation`]), who was turned away ([`strangers`]).
//! The appliance turns them, carries out what they say, and has it in the audit.
//!
//! Invariant: time comes in by argument; a duty is reported done only after it was; one that failed
//! is due again.

pub mod confirmation;
pub mod schedule;
pub mod strangers;
