//! A lane's transactions: opened, followed, ended.

use std::fmt;

use super::{ReferenceSource, Scope};
use crate::types::{GalleryId, TransactionId};
pub use crate::{
    transaction::{
        Display, Ended, RegisterError, Standing,
        display::{DisplayText, texts as display_texts},
    },
    types::AtLane,
};

/// What the traveller at a lane is held against.
#[derive(Debug)]
pub enum Against {
    /// 1:1, with each of 1 to [`crate::limits::REFERENCES_MAX`] references.
    References(Vec<ReferenceSource>),
    /// 1:N.
    Gallery {
        /// Where.
        gallery: GalleryId,
        /// Among whom.
        scope: Scope,
    },
}

/// Told how a transaction stands, once at the beginning and whenever that changes, until it answers
/// false. Called while others wait: it is quick, and never blocks.
pub struct Listener(pub Box<dyn Fn(&Standing) -> bool + Send>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// What is done with a transaction of a lane.
#[derive(Debug)]
pub enum LaneCommand {
    /// Judge the traveller at the lane; carried out when that is decided. The same id again gives
    /// the same transaction or its stored outcome.
    Open {
        /// Against what.
        against: Against,
        /// At a border: the traveller is a third-country national.
        third_country: bool,
        /// The traveller's earlier attempt, which ended with Retry.
        retry_of: Option<TransactionId>,
        /// Who hears that it is open, before it is decided.
        listener: Option<Listener>,
    },
    /// Tell how it stands.
    Read,
    /// Tell how it stands now and from now on.
    Watch(Listener),
    /// End it: the gate does not need it any more.
    Cancel,
    /// End it: nobody stands there any more.
    Left,
    /// Let the traveller in on a person's word, although the machine referred; never the reverse.
    Override,
}
