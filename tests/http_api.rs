//! The API over raw sockets: every byte that is sent stands here, so that nothing between a test
//! and the server repairs a request.

#![allow(clippy::disallowed_methods, reason = "real sockets are slow when a test makes them slow")]

#[path = "http_api/authenticity.rs"]
mod authenticity;
#[path = "http_api/bodies.rs"]
mod bodies;

mod common;
#[path = "http_api/decide.rs"]
mod decide;
#[path = "http_api/deploy.rs"]
mod deploy;
#[path = "common/dg2.rs"]
mod dg2;
#[path = "http_api/documents.rs"]
mod documents;
#[path = "http_api/door.rs"]
mod door;
#[path = "http_api/drawn.rs"]
mod drawn;
#[path = "http_api/ends.rs"]
mod ends;
#[path = "http_api/entries.rs"]
mod entries;
#[path = "http_api/filled.rs"]
mod filled;
#[path = "http_api/galleries.rs"]
mod galleries;
#[path = "http_api/gates.rs"]
mod gates;
#[path = "http_api/harness.rs"]
mod harness;
#[path = "http_api/hits.rs"]
mod hits;
#[path = "http_api/holders.rs"]
mod holders;
#[path = "common/issuer.rs"]
mod issuer;
#[path = "common/jpeg2000.rs"]
mod jpeg2000;
#[path = "http_api/keeping.rs"]
mod keeping;
#[path = "http_api/lanes.rs"]
mod lanes;
#[path = "http_api/law.rs"]
mod law;
#[path = "http_api/pictures.rs"]
mod pictures;
#[path = "common/places.rs"]
mod places;
#[path = "common/png.rs"]
mod png;
#[path = "http_api/profiles.rs"]
mod profiles;
#[path = "http_api/real.rs"]
mod real;
#[path = "http_api/restart.rs"]
mod restart;
#[path = "http_api/rights.rs"]
mod rights;
#[path = "scene/mod.rs"]
mod scene;
#[path = "http_api/sequences.rs"]
mod sequences;
#[path = "http_api/site.rs"]
mod site;
#[path = "http_api/steady.rs"]
mod steady;
#[path = "http_api/struck.rs"]
mod struck;
#[path = "http_api/telemetry.rs"]
mod telemetry;
