//! Presentation attack detection: the stage over scripted networks; real networks over photographs
//! and over simulated prints and replays of them.

#![allow(clippy::print_stdout, reason = "measured figures, shown by --nocapture")]

mod common;
#[path = "common/places.rs"]
mod places;
#[path = "common/png.rs"]
mod png;
#[path = "attack/presented.rs"]
mod presented;
mod scene;
#[path = "attack/simulation.rs"]
mod simulation;
#[path = "attack/stage.rs"]
mod stage;
