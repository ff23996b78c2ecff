//! What is answered about lanes.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{command::Taken, types::LaneId};

/// A frame that a lane has.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FrameTakenAnswer {
    /// The lane.
    pub lane: String,
    /// The frame's number on the lane, from 1.
    pub sequence: u64,
    /// Whether it is kept for a traveller; without one it is let go at once.
    pub kept: bool,
}

impl FrameTakenAnswer {
    pub(in crate::http) fn new(lane: &LaneId, taken: Taken) -> Self {
        Self { lane: lane.to_string(), sequence: taken.sequence, kept: taken.kept }
    }
}
