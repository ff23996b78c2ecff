//! The encrypted gallery under everything that can happen to it: power cuts, failing and full
//! disks, kills, flipped bits, mixed-up files, and random operations beside a plain map.
//!
//! What is not here: what it leaves in memory (`gallery_sweep`), and threads (`shuttle_gallery`).

#![allow(unreachable_pub, reason = "`pub` marks what a module's siblings may use")]

#[path = "gallery/crash.rs"]
mod crash;
#[path = "gallery/disk.rs"]
mod disk;
#[path = "gallery/faults.rs"]
mod faults;
#[path = "gallery/flips.rs"]
mod flips;
#[path = "gallery/kill.rs"]
mod kill;
#[path = "gallery/model.rs"]
mod model;
#[path = "gallery/people.rs"]
#[allow(dead_code, reason = "shared with the sweep; each uses its part")]
mod people;
#[path = "gallery/site.rs"]
#[allow(dead_code, reason = "shared with the sweep; each uses its part")]
mod site;
