//! Portcullis: a face matching appliance for airport eGates.

// Layer 0: words.
pub mod limits;
pub mod meter;
pub mod random;
pub mod share;
mod sync;
pub mod time;
pub mod types;

// Layer 1: what is computed. Pure.
pub mod accuracy;
pub mod document;
pub mod face;
pub mod model;
pub mod ops;
pub mod policy;
pub mod profile;

// Layer 2: how. The only unsafe islands.
pub mod audit;
pub mod backend;
pub mod gallery;
pub mod keys;
pub mod register;

// Layer 3: flow.
pub mod capture;
pub mod duty;
pub mod pipeline;
pub mod transaction;
pub mod webhook;

// Layer 4: edges.
pub mod appliance;
pub mod cli;
pub mod command;
pub mod config;
pub mod http;
