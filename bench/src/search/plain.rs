//! A generation in plaintext, as a source of tiles: what the oracle scans, and what peers are
//! given.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use bytemuck::Zeroable;
use portcullis::{
    ops::{
        score::rest_norm,
        tile::{Common, Row, TileError, TileLayout, TilePart, TileRef, TileSet, TileSource},
    },
    types::TemplateKind,
};

use super::crowd::Crowd;
use crate::fail::Failure;

struct Tile {
    /// Values and norms.
    hot: Box<[u8]>,
    cold: Box<[u8]>,
}

/// The rows of a crowd.
pub(crate) struct Plain {
    set: TileSet,
    tiles: Vec<Tile>,
}

impl Plain {
    /// Draws `rows` rows, and writes them to `npy` as well where it is given.
    pub(crate) fn draw(crowd: &Crowd, rows: usize, npy: Option<&Path>) -> Result<Self, Failure> {
        let layout = crowd.calibration.layout();
        let mut file = npy.map(|path| Npy::create(path, [rows, layout.dims])).transpose()?;
        let mut tiles = Vec::with_capacity(rows.div_ceil(layout.rows));
        let mut held: Vec<i8> = Vec::new();
        crowd.rows(rows, &mut |block| {
            if let Some(file) = &mut file {
                file.write(block)?;
            }
            held.extend_from_slice(block);
            let tile = layout.rows * layout.dims;
            let whole = held.len() / tile * tile;
            tiles.extend(held[..whole].chunks_exact(tile).map(|rows| Tile::of(rows, layout)));
            held.drain(..whole);
            Ok(())
        })?;
        if !held.is_empty() {
            tiles.push(Tile::of(&held, layout));
        }
        if let Some(file) = file {
            file.finish()?;
        }
        let set = set(crowd.calibration.kind(), layout, rows);
        Ok(Self { set, tiles })
    }
}

fn set(kind: TemplateKind, layout: TileLayout, rows: usize) -> TileSet {
    let common = Common::of(&[row(0)]);
    let tiles = (0..rows.div_ceil(layout.rows)).map(|tile| TileRef {
        rows: layout.rows.min(rows - tile * layout.rows),
        content: tile as u64,
        common,
    });
    TileSet { generation: 1, kind, layout, tiles: tiles.collect() }
}

/// Row `number` of everybody: in the first class, valid always.
fn row(number: u64) -> Row {
    let mut subject = [0; 16];
    subject[..8].copy_from_slice(&number.to_le_bytes());
    let always = Row { not_before_s: i64::MIN, expiry_s: i64::MAX, ..Row::zeroed() };
    Row { subject, class_bits: 1, ..always }
}

impl Tile {
    fn of(rows: &[i8], layout: TileLayout) -> Self {
        let count = rows.len() / layout.dims;
        let mut hot = Vec::with_capacity(layout.part_bytes(TilePart::Hot, count));
        let mut cold = Vec::with_capacity(layout.part_bytes(TilePart::Cold, count));
        for values in rows.chunks_exact(layout.dims) {
            let (first, rest) = values.split_at(layout.hot_dims);
            hot.extend_from_slice(bytemuck::cast_slice(first));
            cold.extend_from_slice(bytemuck::cast_slice(rest));
        }
        for values in rows.chunks_exact(layout.dims) {
            let norm = rest_norm(&values[layout.hot_dims..]);
            hot.extend(u16::try_from(norm).unwrap_or(u16::MAX).to_le_bytes());
        }
        Self { hot: hot.into(), cold: cold.into() }
    }
}

impl TileSource for Plain {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        let (tiles, generation) = (self.set.tiles.len(), self.set.generation);
        let Some(named) = self.set.tiles.get(tile) else {
            return Err(TileError::Absent { tile, generation, tiles });
        };
        let (needed, held) = (self.set.layout.part_bytes(part, named.rows), scratch.len());
        if needed != held {
            return Err(TileError::Scratch { tile, part, needed, held });
        }
        match part {
            TilePart::Hot => scratch.copy_from_slice(&self.tiles[tile].hot),
            TilePart::Cold => scratch.copy_from_slice(&self.tiles[tile].cold),
            TilePart::Rows => {
                let first = tile * self.set.layout.rows;
                for (at, bytes) in scratch.chunks_exact_mut(size_of::<Row>()).enumerate() {
                    bytes.copy_from_slice(bytemuck::bytes_of(&row((first + at) as u64)));
                }
            }
        }
        Ok(())
    }
}

/// A matrix of int8 in NumPy's own file format, version 1.
pub(super) struct Npy(BufWriter<File>, std::path::PathBuf);

impl Npy {
    pub(super) fn create(path: &Path, [rows, dims]: [usize; 2]) -> Result<Self, Failure> {
        let failed = |error| Failure::File(path.to_owned(), error);
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        let mut header =
            format!("{{'descr': '|i1', 'fortran_order': False, 'shape': ({rows}, {dims}), }}");
        // The values begin at a multiple of 64 bytes, behind ten bytes and a line's end.
        let end = (header.len() + 11).next_multiple_of(64) - 11;
        header.extend(std::iter::repeat_n(' ', end - header.len()));
        header.push('\n');
        let len = u16::try_from(header.len()).unwrap_or(u16::MAX).to_le_bytes();
        file.write_all(&[b"\x93NUMPY\x01\x00", &len[..], header.as_bytes()].concat())
            .map_err(failed)?;
        Ok(Self(file, path.to_owned()))
    }

    pub(super) fn write(&mut self, values: &[i8]) -> Result<(), Failure> {
        let written = self.0.write_all(bytemuck::cast_slice(values));
        written.map_err(|error| Failure::File(self.1.clone(), error))
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.0.flush().map_err(|error| Failure::File(self.1.clone(), error))
    }
}
