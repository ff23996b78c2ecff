//! The codestream of JPEG 2000: a walk over its markers that settles, before a decoder runs, what
//! decoding may cost.
//!
//! ```text
//! FF4F SOC │ FF51 SIZ │ COD QCD [COC QCC RGN COM TLM CRG …] │ SOT … SOD data │ SOT … │ FFD9 EOC
//! ```
//! A few bytes can ask for a lot: 60,000 × 60,000 samples; a million tiles, precincts or code
//! blocks, each of which is a record in the decoder; layers for each block; bit planes that are
//! visited although no data are left for them. Each has a limit in [`crate::limits`], held against
//! every header that can change it, those of tile-parts too. With all of them the decoder holds
//! less than 64 MiB at once.
//!
//! Refused by name, as no portrait needs them and each is a way to ask for more: changes of the
//! progression order, packed packet headers, high-throughput coding, signed samples.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use super::{
    image::{ImageError, ImageKind, check_size},
    jpeg2000::damaged,
};
use crate::limits::{
    FRAME_EDGE_PX_MAX, JPEG2000_BLOCKS_MAX, JPEG2000_LAYERS_MAX, JPEG2000_LEVELS_MAX,
    JPEG2000_PLANE_SAMPLES_MAX, JPEG2000_TILES_MAX,
};

/// How components relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    /// One component.
    Grey,
    /// Three of equal size.
    Colour,
    /// Three, of which the second and the third have half the size in one direction or both.
    SmallChroma,
}

/// What the walk found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codestream {
    /// Width and height.
    pub(super) size_px: (u32, u32),
    /// Its components.
    pub(super) sampling: Sampling,
    /// Bytes from SOC to EOC, both included.
    pub(super) length: usize,
}

/// Walks from SOC to EOC; `base` is where the codestream begins in its file.
pub(super) fn walk(bytes: &[u8], base: usize) -> Result<Codestream, ImageError> {
    let mut markers = Markers { bytes, at: 2, base };
    if !bytes.starts_with(&super::jpeg2000::CODESTREAM_SIGNATURE) {
        return Err(damaged("its codestream does not begin with a size"));
    }
    let size = Size::read(markers.segment()?.body)?;
    let mut cost = Cost::NONE;
    let mut segment = markers.segment()?;
    while segment.marker != SOT {
        cost.see(&segment, &size)?;
        segment = markers.segment()?;
    }
    if !(cost.coding && cost.quantisation) {
        return Err(damaged("a header that its decoder needs is missing"));
    }
    loop {
        match segment.marker {
            SOT => tile_part(&mut markers, &segment, &size, &mut cost)?,
            EOC => {
                cost.check(&size)?;
                let (size_px, sampling) = (size.size_px, size.sampling);
                return Ok(Codestream { size_px, sampling, length: markers.at });
            }
            _ => return Err(damaged("something stands between its tile-parts")),
        }
        segment = markers.segment()?;
    }
}

const EOC: u8 = 0xd9;
const SOT: u8 = 0x90;
const SOD: u8 = 0x93;

/// From behind SOT to the end of the tile-part's data.
fn tile_part(
    markers: &mut Markers<'_>,
    start: &Segment<'_>,
    size: &Size,
    cost: &mut Cost,
) -> Result<(), ImageError> {
    let Some(&[tile1, tile0, p3, p2, p1, p0, _, _]) = start.body.first_chunk() else {
        return Err(damaged("the header of a tile-part is too short"));
    };
    if u32::from(u16::from_be_bytes([tile1, tile0])) >= size.tiles {
        return Err(damaged("a tile-part belongs to no tile"));
    }
    let length = u32::from_be_bytes([p3, p2, p1, p0]) as usize;
    loop {
        let segment = markers.segment()?;
        if segment.marker == SOD {
            break;
        }
        cost.see(&segment, size)?;
    }
    let end = match length {
        // The last one may reach to the end of the codestream.
        0 => markers.bytes.len().saturating_sub(2),
        length => start.at.saturating_add(length),
    };
    if end > markers.bytes.len() {
        return Err(markers.truncated());
    }
    if end < markers.at {
        return Err(damaged("a tile-part is shorter than its header"));
    }
    markers.at = end;
    Ok(())
}

/// The SIZ segment.
struct Size {
    size_px: (u32, u32),
    /// Of the largest tile, in samples of a full component.
    tile_px: (u32, u32),
    tiles: u32,
    components: u64,
    sampling: Sampling,
}

impl Size {
    fn read(body: &[u8]) -> Result<Self, ImageError> {
        let short = || damaged("its size is too short");
        let (capabilities, rest) = body.split_first_chunk().ok_or_else(short)?;
        // Part 15 announces itself in bit 14.
        if u16::from_be_bytes(*capabilities) & 0x4000 != 0 {
            return Err(coding("high-throughput coding"));
        }
        let (grid, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let (count, components) = rest.split_first_chunk().ok_or_else(short)?;
        let mut fields = [0; 8];
        let (chunks, _) = grid.as_chunks();
        fields
            .iter_mut()
            .zip(chunks)
            .for_each(|(field, chunk)| *field = u32::from_be_bytes(*chunk));
        let [right, bottom, left, top, tile_width, tile_height, tile_left, tile_top] = fields;
        let kind = ImageKind::Jpeg2000;
        let (Some(width_px), Some(height_px)) = (right.checked_sub(left), bottom.checked_sub(top))
        else {
            return Err(ImageError::NoArea { kind, width_px: right, height_px: bottom });
        };
        check_size(kind, (width_px, height_px))?;
        if right.max(bottom) > FRAME_EDGE_PX_MAX {
            return Err(coding("an origin far away from its picture"));
        }
        // The first tile must hold a part of the picture, and tiles must cover it.
        let across = Tiling { size: tile_width, from: tile_left }.count(left, right)?;
        let down = Tiling { size: tile_height, from: tile_top }.count(top, bottom)?;
        let tiles = across.saturating_mul(down);
        if tiles > JPEG2000_TILES_MAX {
            return Err(coding("more tiles than a portrait needs"));
        }
        let (components, sampling) = sampling(u16::from_be_bytes(*count), components)?;
        let tile_px = (tile_width.min(width_px), tile_height.min(height_px));
        Ok(Self { size_px: (width_px, height_px), tile_px, tiles, components, sampling })
    }
}

/// Tiles along one axis.
struct Tiling {
    size: u32,
    from: u32,
}

impl Tiling {
    fn count(&self, first: u32, end: u32) -> Result<u32, ImageError> {
        let covers = self.from <= first && self.from.saturating_add(self.size) > first;
        let tiles = end.saturating_sub(self.from).checked_add(self.size.saturating_sub(1));
        let tiles = tiles.and_then(|reach| reach.checked_div(self.size)).filter(|_| covers);
        tiles.ok_or_else(|| damaged("its tiles do not cover it"))
    }
}

fn sampling(count: u16, components: &[u8]) -> Result<(u64, Sampling), ImageError> {
    let kind = ImageKind::Jpeg2000;
    let (rows, _) = components.as_chunks::<3>();
    if rows.len() != usize::from(count) {
        return Err(damaged("its size is too short"));
    }
    let depth = rows.first().map_or(0, |row| row[0]);
    if rows.iter().any(|row| row[0] != depth) {
        return Err(coding("components of different depths"));
    }
    // The sign, then the depth less one.
    match depth {
        7..=15 => {}
        0x80.. => return Err(coding("signed samples")),
        0..7 => return Err(coding("samples of less than 8 bits")),
        _ => return Err(coding("samples of more than 16 bits")),
    }
    let ratios =
        [rows.first(), rows.get(1), rows.get(2)].map(|row| row.map(|row| (row[1], row[2])));
    match (count, ratios) {
        (1, [Some((1, 1)), None, None]) => Ok((1, Sampling::Grey)),
        (3, [Some((1, 1)), Some((1, 1)), Some((1, 1))]) => Ok((3, Sampling::Colour)),
        (3, [Some((1, 1)), Some(blue @ ((1..=2), (1..=2))), Some(red)]) if blue == red => {
            Ok((3, Sampling::SmallChroma))
        }
        (1 | 3, _) => Err(coding("components of unusual sizes")),
        _ => {
            let colour = "neither greyscale nor of three colours";
            Err(ImageError::ColourUnsupported { kind, colour })
        }
    }
}

/// What the headers seen so far ask of a decoder, at most.
struct Cost {
    coding: bool,
    quantisation: bool,
    layers: u64,
    /// Precincts, and code blocks, of one component in the largest tile.
    precincts: u64,
    blocks: u64,
    /// Bit planes of a code block, those of a region of interest included.
    planes: u64,
    region_planes: u64,
}

impl Cost {
    const NONE: Self = Self {
        coding: false,
        quantisation: false,
        layers: 1,
        precincts: 0,
        blocks: 0,
        planes: 0,
        region_planes: 0,
    };

    /// Takes one segment of a main or tile-part header into account.
    fn see(&mut self, segment: &Segment<'_>, size: &Size) -> Result<(), ImageError> {
        match segment.marker {
            // COD: style, progression, layers, transform of components; then as COC.
            0x52 => {
                let Some((&[style, _, layers1, layers0, _], rest)) =
                    segment.body.split_first_chunk()
                else {
                    return Err(damaged("a coding style is too short"));
                };
                let layers = u16::from_be_bytes([layers1, layers0]);
                if !(1..=JPEG2000_LAYERS_MAX).contains(&layers) {
                    return Err(coding("more quality layers than a portrait needs, or none"));
                }
                self.layers = self.layers.max(layers.into());
                self.coding = true;
                self.see_blocks(style, rest, size)
            }
            // COC: component, style, then the same.
            0x53 => {
                let Some((&[_, style], rest)) = segment.body.split_first_chunk() else {
                    return Err(damaged("a coding style is too short"));
                };
                self.see_blocks(style, rest, size)
            }
            0x5c => {
                self.quantisation = true;
                self.see_planes(segment.body)
            }
            0x5d => self.see_planes(segment.body.get(1..).unwrap_or_default()),
            // RGN: component, style, shift.
            0x5e => {
                let shift = segment.body.get(2).copied().unwrap_or(0);
                self.region_planes = self.region_planes.max(shift.into());
                Ok(())
            }
            // TLM, PLM, PLT, CRG, COM: for readers in a hurry, and for people.
            0x55 | 0x57 | 0x58 | 0x63 | 0x64 => Ok(()),
            0x5f => Err(coding("changes of its progression order")),
            0x60 | 0x61 => Err(coding("packed packet headers")),
            0x50 => Err(coding("high-throughput coding")),
            _ => Err(damaged("a marker in a header is not known")),
        }
    }

    /// The part that COD and COC share.
    fn see_blocks(&mut self, style: u8, rest: &[u8], size: &Size) -> Result<(), ImageError> {
        let Some((&[levels, width, height, block_style, _], precincts)) = rest.split_first_chunk()
        else {
            return Err(damaged("a coding style is too short"));
        };
        if levels > JPEG2000_LEVELS_MAX {
            return Err(coding("more decomposition levels than a portrait needs"));
        }
        if block_style & 0x40 != 0 {
            return Err(coding("high-throughput coding"));
        }
        if width > 8 || height > 8 || width.saturating_add(height) > 8 {
            return Err(damaged("its code blocks are larger than the standard allows"));
        }
        let block = (u32::from(width).saturating_add(2), u32::from(height).saturating_add(2));
        let (mut precincts_sum, mut blocks_sum) = (0_u64, 0_u64);
        for resolution in 0..=levels {
            let precinct = match (style & 1, precincts.get(usize::from(resolution))) {
                (0, _) => (15, 15),
                (_, Some(&sizes)) => (u32::from(sizes & 0x0f), u32::from(sizes >> 4)),
                (_, None) => return Err(damaged("a precinct size is missing")),
            };
            let (precincts, blocks) =
                resolution_cost(size.tile_px, levels, resolution, precinct, block)?;
            precincts_sum = precincts_sum.saturating_add(precincts);
            blocks_sum = blocks_sum.saturating_add(blocks);
        }
        self.precincts = self.precincts.max(precincts_sum);
        self.blocks = self.blocks.max(blocks_sum);
        Ok(())
    }

    /// Quantisation: guard bits and exponents say how many bit planes a block may have.
    fn see_planes(&mut self, body: &[u8]) -> Result<(), ImageError> {
        let Some((&style, steps)) = body.split_first() else {
            return Err(damaged("a quantisation is too short"));
        };
        let exponent = match style & 0x1f {
            0 => steps.iter().map(|step| step >> 3).max(),
            1 | 2 => steps.as_chunks::<2>().0.iter().map(|step| step[0] >> 3).max(),
            _ => return Err(damaged("its quantisation is of no known kind")),
        };
        let exponent = exponent.ok_or_else(|| damaged("a quantisation is too short"))?;
        let planes = u64::from(style >> 5).saturating_add(exponent.into()).saturating_sub(1);
        self.planes = self.planes.max(planes);
        Ok(())
    }

    fn check(&self, size: &Size) -> Result<(), ImageError> {
        let records = self.blocks.saturating_mul(self.layers.saturating_add(1));
        let records = records.saturating_add(self.precincts).saturating_mul(size.components);
        if records > JPEG2000_BLOCKS_MAX {
            return Err(coding("more code blocks, precincts or layers than a portrait needs"));
        }
        let (width, height) = size.size_px;
        let samples = u64::from(width).saturating_mul(height.into());
        let samples = samples.saturating_mul(size.components);
        let planes = self.planes.saturating_add(self.region_planes);
        if samples.saturating_mul(planes) > JPEG2000_PLANE_SAMPLES_MAX {
            return Err(coding("more bit planes than a portrait needs"));
        }
        Ok(())
    }
}

/// Precincts and code blocks of one resolution of one component in a tile of `tile_px`, rounded up:
/// a tile need not begin where a precinct does, and a precinct not where a block does.
fn resolution_cost(
    tile_px: (u32, u32),
    levels: u8,
    resolution: u8,
    precinct: (u32, u32),
    block: (u32, u32),
) -> Result<(u64, u64), ImageError> {
    let reduced = u32::from(levels.saturating_sub(resolution));
    // Every resolution but the lowest has three bands, of half its size.
    let (bands, half) = if resolution == 0 { (1, 0) } else { (3, 1) };
    let along = |edge_px: u32, precinct: u32, block: u32| {
        let edge = u64::from(edge_px).checked_shr(reduced).unwrap_or(0).saturating_add(1);
        let precincts = edge.checked_shr(precinct).unwrap_or(0).saturating_add(2);
        let band = edge.checked_shr(half).unwrap_or(0).saturating_add(1);
        let block = block.min(precinct.saturating_sub(half));
        let blocks = band.checked_shr(block).unwrap_or(0).saturating_add(2);
        // A precinct border may split a block in two, never more often than there are precincts.
        (precincts, blocks.max(precincts))
    };
    if half > precinct.0.min(precinct.1) {
        return Err(damaged("a precinct is smaller than the standard allows"));
    }
    let (precincts_x, blocks_x) = along(tile_px.0, precinct.0, block.0);
    let (precincts_y, blocks_y) = along(tile_px.1, precinct.1, block.1);
    let precincts = precincts_x.saturating_mul(precincts_y).saturating_mul(bands);
    Ok((precincts, blocks_x.saturating_mul(blocks_y).saturating_mul(bands)))
}

fn coding(coding: &'static str) -> ImageError {
    ImageError::CodingUnsupported { kind: ImageKind::Jpeg2000, coding }
}

/// One marker with what belongs to it.
struct Segment<'a> {
    /// Its second byte; the first is FF.
    marker: u8,
    /// Where its FF stands.
    at: usize,
    /// Without marker and length.
    body: &'a [u8],
}

struct Markers<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
}

impl<'a> Markers<'a> {
    fn truncated(&self) -> ImageError {
        let at = self.base.saturating_add(self.bytes.len());
        ImageError::Truncated { kind: ImageKind::Jpeg2000, at }
    }

    fn segment(&mut self) -> Result<Segment<'a>, ImageError> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        let (&[prefix, marker], tail) = rest.split_first_chunk().ok_or_else(|| self.truncated())?;
        if prefix != 0xff || marker < 0x4f {
            let at = self.base.saturating_add(at);
            return Err(damaged(&format!("byte {at} should begin a marker")));
        }
        // These two stand alone; every other marker is followed by its length.
        if matches!(marker, SOD | EOC) {
            self.at = at.saturating_add(2);
            return Ok(Segment { marker, at, body: &[] });
        }
        let (length, _) = tail.split_first_chunk().ok_or_else(|| self.truncated())?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length < 2 {
            return Err(damaged("a marker segment is shorter than its length"));
        }
        let body = tail.get(2..length).ok_or_else(|| self.truncated())?;
        self.at = at.saturating_add(2).saturating_add(length);
        Ok(Segment { marker, at, body })
    }
}
