//! The files of a passport chip: what is read, what is refused and by which code, and that no bytes
//! whatever panic or take memory without bound.

mod common;
#[path = "common/dg2.rs"]
mod dg2;
#[path = "common/jpeg.rs"]
mod jpeg;
#[path = "common/jpeg2000.rs"]
mod jpeg2000;
#[path = "document/memory.rs"]
mod memory;
#[path = "document/pictures.rs"]
mod pictures;
#[path = "common/places.rs"]
mod places;
#[path = "document/shared.rs"]
mod shared;
#[path = "document/storm.rs"]
mod storm;
#[path = "document/structure.rs"]
mod structure;
#[path = "document/zone.rs"]
mod zone;
