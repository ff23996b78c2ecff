//! `gallery`: the encrypted gallery on this machine's disk, each figure beside the ceiling that was
//! measured in the same run: the disk's own sync, the cipher over the same bytes, one scan.
//!
//! The file is made in `--folder`, on the file system that is to be judged, and removed at the end.
//! What is called a scan is the CPU backend's with one probe over the whole gallery.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use clap::Args;
use portcullis::{
    backend::{Backend, Tiles, cpu::Cpu},
    gallery::{
        Enrolment, FileMedia, Gallery, Means, Newcomer, Residency, Settings,
    },
    keys::{
        aead,
        custodian::{Custodian, FileCustodian},
        memory::LockedBytes,
    },
    limits::TILE_ROWS,
    ops::{
        search::Probe,
        tile::{TileLayout, TilePart},
    },
    random::SystemEntropy,
    time::SystemClock,
    types::{Hash256, Score, SubjectId, Template, TemplateKind},
};

use crate::spent::{Measured, nanoseconds};
