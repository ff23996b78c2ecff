//! A small JPEG encoder for tests: 8 bits, no subsampling, quantisation by 1 (so that what comes
//! back is within rounding of what went in), baseline or progressive. Codes are of one length each,
//! which wastes bytes and needs no tables.

#![allow(dead_code, reason = "every test binary uses its own part of this module")]
#![allow(unreachable_pub, reason = "a module of several binaries")]

use std::f64::consts::PI;

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct Jpeg {
    pub width: usize,
    pub height: usize,
    /// 1 grey, 3 YCbCr, 4 CMYK.
    pub components: usize,
    /// DC first, then one scan of AC per component.
    pub progressive: bool,
    /// EXIF orientation, where one is written.
    pub orientation: Option<u16>,
    /// Blocks between restart markers; 0 for none. Baseline only.
    pub restart: usize,
}

impl Jpeg {
    pub fn colour(width: usize, height: usize) -> Self {
        let (components, progressive, orientation, restart) = (3, false, None, 0);
        Self { width, height, components, progressive, orientation, restart }
    }

    /// Encodes `samples(x, y, component)`, already in the file's colour space.
    pub fn encode(&self, sample: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        if let Some(value) = self.orientation {
            segment(&mut out, 0xe1, &[b"Exif\0\0".as_slice(), &exif(value)].concat());
        }
        segment(&mut out, 0xdb, &[vec![0], vec![1; 64]].concat());
        self.frame(&mut out);
        segment(&mut out, 0xc4, &table(0x00, 4, 0..12));
        // Run in the high half of a byte, size in the low one; 176 codes of eight bits.
        segment(&mut out, 0xc4, &table(0x10, 8, (0..176).map(|i| (i / 11) << 4 | (i % 11))));
        let blocks = self.blocks(sample);
        let all: Vec<usize> = (0..self.components).collect();
        if self.progressive {
            self.scan(&mut out, &all, 0..1, &blocks);
            all.iter().for_each(|&one| self.scan(&mut out, &[one], 1..64, &blocks));
        } else {
            self.scan(&mut out, &all, 0..64, &blocks);
        }
        out.extend([0xff, 0xd9]);
        out
    }

    fn frame(&self, out: &mut Vec<u8>) {
        let [h1, h0] = (self.height as u16).to_be_bytes();
        let [w1, w0] = (self.width as u16).to_be_bytes();
        let mut frame = vec![8, h1, h0, w1, w0, self.components as u8];
        (1..=self.components as u8).for_each(|id| frame.extend([id, 0x11, 0]));
        segment(out, if self.progressive { 0xc2 } else { 0xc0 }, &frame);
        if self.restart > 0 {
            segment(out, 0xdd, &(self.restart as u16).to_be_bytes());
        }
    }

    /// Coefficients in zigzag order, `[block][component]`.
    fn blocks(&self, sample: impl Fn(usize, usize, usize) -> u8) -> Vec<Vec<[i32; 64]>> {
        let (right, bottom) = (self.width - 1, self.height - 1);
        let mut blocks = Vec::new();
        for top in (0..self.height).step_by(8) {
            for left in (0..self.width).step_by(8) {
                let at = |component: usize| {
                    transform(|x, y| {
                        let (x, y) = ((left + x).min(right), (top + y).min(bottom));
                        f64::from(sample(x, y, component)) - 128.0
                    })
                };
                blocks.push((0..self.components).map(at).collect());
            }
        }
        blocks
    }

    fn scan(
        &self,
        out: &mut Vec<u8>,
        components: &[usize],
        band: std::ops::Range<usize>,
        blocks: &[Vec<[i32; 64]>],
    ) {
        let mut head = vec![components.len() as u8];
        components.iter().for_each(|&component| head.extend([component as u8 + 1, 0x00]));
        head.extend([band.start as u8, band.end as u8 - 1, 0]);
        segment(out, 0xda, &head);
        let mut bits = Bits::default();
        let mut before = [0; 4];
        for (i, block) in blocks.iter().enumerate() {
            if self.restart > 0 && i > 0 && i % self.restart == 0 {
                bits.finish(out);
                bits = Bits::default();
                before = [0; 4];
                out.extend([0xff, 0xd0 + ((i / self.restart - 1) % 8) as u8]);
            }
            for &component in components {
                let values = &block[component];
                if band.start == 0 {
                    let difference = values[0] - before[component];
                    before[component] = values[0];
                    bits.push(size(difference), 4);
                    bits.value(difference);
                }
                if band.end > 1 {
                    alternating(&mut bits, &values[1..]);
                }
            }
        }
        bits.finish(out);
    }
}

fn alternating(bits: &mut Bits, values: &[i32]) {
    let mut run = 0;
    for &value in values {
        if value == 0 {
            run += 1;
            continue;
        }
        while run > 15 {
            bits.push(15 * 11, 8);
            run -= 16;
        }
        bits.push(run * 11 + size(value), 8);
        bits.value(value);
        run = 0;
    }
    if run > 0 {
        bits.push(0, 8);
    }
}

/// A TIFF block with one entry: the orientation.
pub fn exif(orientation: u16) -> Vec<u8> {
    let mut block = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
    block.extend(orientation.to_be_bytes());
    block.extend([0, 0, 0, 0, 0, 0]);
    block
}

pub fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend(body);
}

fn table(id: u8, length: usize, symbols: impl Iterator<Item = u8>) -> Vec<u8> {
    let symbols: Vec<u8> = symbols.collect();
    let mut body = vec![id];
    body.extend((1..=16).map(|bits| if bits == length { symbols.len() as u8 } else { 0 }));
    body.extend(symbols);
    body
}

/// The 8 × 8 discrete cosine transform, rounded, in zigzag order.
fn transform(sample: impl Fn(usize, usize) -> f64) -> [i32; 64] {
    let wave = |at: usize, frequency: usize| {
        let norm = if frequency == 0 { (0.5_f64).sqrt() } else { 1.0 };
        norm * ((2 * at + 1) as f64 * frequency as f64 * PI / 16.0).cos() / 2.0
    };
    zigzag().map(|(u, v)| {
        let mut sum = 0.0;
        for y in 0..8 {
            for x in 0..8 {
                sum += sample(x, y) * wave(x, u) * wave(y, v);
            }
        }
        (sum.round() as i32).clamp(-1023, 1023)
    })
}

fn zigzag() -> [(usize, usize); 64] {
    let mut order = [(0, 0); 64];
    let mut at = 0;
    for diagonal in 0..15_usize {
        let steps = diagonal.saturating_sub(7)..=diagonal.min(7);
        let mut cells: Vec<(usize, usize)> = steps.map(|v| (diagonal - v, v)).collect();
        if diagonal % 2 == 0 {
            cells.reverse();
        }
        for cell in cells {
            order[at] = cell;
            at += 1;
        }
    }
    order
}

fn size(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

#[derive(Default)]
struct Bits {
    bits: Vec<bool>,
}

impl Bits {
    fn push(&mut self, value: u32, length: u32) {
        (0..length).rev().for_each(|bit| self.bits.push(value >> bit & 1 == 1));
    }

    /// The bits of a difference or coefficient: negative ones are written minus one.
    fn value(&mut self, value: i32) {
        let written = if value < 0 { value - 1 } else { value };
        self.push(written as u32, size(value));
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        while !self.bits.len().is_multiple_of(8) {
            self.bits.push(true);
        }
        for byte in self.bits.chunks(8) {
            let byte = byte.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
            out.push(byte);
            if byte == 0xff {
                out.push(0);
            }
        }
    }
}
