//! A small JPEG 2000 encoder for tests: 8 bits, one tile, no wavelet, one layer, lossless. What
//! comes back is what went in, to the last bit, so that a photograph can be put into a document and
//! be compared as if it had never been in one. Written from ISO/IEC 15444-1: Annex C (the
//! arithmetic coder), Annex D (bit planes), Annex B (packets), Annex A (markers), Annex I (the
//! file).

#![allow(dead_code, reason = "every test binary uses its own part of this module")]
#![allow(unreachable_pub, reason = "a module of several binaries")]

/// Edge of a code block.
const BLOCK: usize = 64;
const PLANES: usize = 8;
const PASSES: usize = 3 * PLANES - 2;

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct Jpeg2000 {
    pub width: usize,
    pub height: usize,
    /// 1 grey, 3 RGB.
    pub components: usize,
    /// Stated instead of what is written: decomposition levels, layers, guard bits and exponent,
    /// and code-block exponents, for headers that ask too much.
    pub levels: u8,
    pub layers: u16,
    pub quantisation: (u8, u8),
    pub block: (u8, u8),
}

impl Jpeg2000 {
    pub fn colour(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            components: 3,
            levels: 0,
            layers: 1,
            quantisation: (1 << 5, 8 << 3),
            block: (4, 4),
        }
    }

    pub fn grey(width: usize, height: usize) -> Self {
        Self { components: 1, ..Self::colour(width, height) }
    }

    /// A JP2 file of `sample(x, y, component)`.
    pub fn file(&self, sample: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
        file(self, if self.components == 1 { 17 } else { 16 }, &self.codestream(sample))
    }

    /// The bare codestream.
    pub fn codestream(&self, sample: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
        let data: Vec<u8> = (0..self.components)
            .flat_map(|component| self.packet(|x, y| sample(x, y, component)))
            .collect();
        let mut out = self.main_header();
        let length = (12 + 2 + data.len()) as u32;
        segment(&mut out, 0x90, &[&[0, 0][..], &length.to_be_bytes(), &[0, 1]].concat());
        out.extend([0xff, 0x93]);
        out.extend(data);
        out.extend([0xff, 0xd9]);
        out
    }

    /// Everything before the first tile-part.
    pub fn main_header(&self) -> Vec<u8> {
        let (width, height) = (self.width as u32, self.height as u32);
        let mut out = vec![0xff, 0x4f];
        let mut size = vec![0, 0];
        for value in [width, height, 0, 0, width, height, 0, 0] {
            size.extend(value.to_be_bytes());
        }
        size.extend((self.components as u16).to_be_bytes());
        size.extend([7, 1, 1].repeat(self.components));
        segment(&mut out, 0x51, &size);
        let [layers1, layers0] = self.layers.to_be_bytes();
        let (xcb, ycb) = self.block;
        segment(&mut out, 0x52, &[0, 0, layers1, layers0, 0, self.levels, xcb, ycb, 0, 1]);
        let (style, exponent) = self.quantisation;
        let bands = 1 + 3 * usize::from(self.levels);
        segment(&mut out, 0x5c, &[vec![style], vec![exponent; bands]].concat());
        out
    }

    fn packet(&self, sample: impl Fn(usize, usize) -> u8) -> Vec<u8> {
        let (across, down) = (self.width.div_ceil(BLOCK), self.height.div_ceil(BLOCK));
        let mut bits = Bits::default();
        let mut body = Vec::new();
        let mut trees = [Tree::new(across, down), Tree::new(across, down)];
        bits.put(1, 1);
        for (row, column) in (0..down).flat_map(|row| (0..across).map(move |column| (row, column)))
        {
            let (left, top) = (column * BLOCK, row * BLOCK);
            let width = BLOCK.min(self.width - left);
            let height = BLOCK.min(self.height - top);
            let coded =
                Block::new(width, height, |x, y| i32::from(sample(left + x, top + y)) - 128)
                    .encode();
            // In the first layer, with no empty bit plane: every value in both trees is 0.
            trees.iter_mut().for_each(|tree| tree.visit(column, row, &mut bits));
            bits.put(0b1111, 4);
            bits.put(PASSES - 6, 5);
            let least = 3 + PASSES.ilog2() as usize;
            let needed = (usize::BITS - coded.len().leading_zeros()) as usize;
            let more = needed.saturating_sub(least);
            (0..more).for_each(|_| bits.put(1, 1));
            bits.put(0, 1);
            bits.put(coded.len(), least + more);
            body.extend(coded);
        }
        [bits.end(), body].concat()
    }
}

/// A JP2 file around a codestream, in the enumerated colour space `space`.
pub fn file(stated: &Jpeg2000, space: u32, codestream: &[u8]) -> Vec<u8> {
    let size = [(stated.height as u32).to_be_bytes(), (stated.width as u32).to_be_bytes()].concat();
    let image = [&size[..], &(stated.components as u16).to_be_bytes(), &[7, 7, 0, 0]].concat();
    let colour = [&[1, 0, 0][..], &space.to_be_bytes()].concat();
    let header = [boxed(b"ihdr", &image), boxed(b"colr", &colour)].concat();
    [
        boxed(b"jP  ", b"\r\n\x87\n"),
        boxed(b"ftyp", b"jp2 \0\0\0\0jp2 "),
        boxed(b"jp2h", &header),
        boxed(b"jp2c", codestream),
    ]
    .concat()
}

/// A box of a JP2 file.
pub fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&((body.len() + 8) as u32).to_be_bytes()[..], name, body].concat()
}

/// A marker segment.
pub fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    out.extend([0xff, marker]);
    out.extend(((body.len() + 2) as u16).to_be_bytes());
    out.extend(body);
}

/// The bits of a packet header: after a byte FF the next has seven.
#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    byte: u8,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: usize, count: usize) {
        for at in (0..count).rev() {
            let room = if self.out.last() == Some(&0xff) { 7 } else { 8 };
            self.byte = self.byte << 1 | (value >> at & 1) as u8;
            self.used += 1;
            if self.used == room {
                self.out.push(self.byte);
                (self.byte, self.used) = (0, 0);
            }
        }
    }

    fn end(mut self) -> Vec<u8> {
        while self.used > 0 {
            self.put(0, 1);
        }
        if self.out.last() == Some(&0xff) {
            self.out.push(0);
        }
        self.out
    }
}

/// A tag tree whose values are all 0: a node says so, with one bit, when it is first passed.
struct Tree(Vec<(usize, Vec<bool>)>);

impl Tree {
    fn new(mut across: usize, mut down: usize) -> Self {
        let mut levels = vec![(across, vec![false; across * down])];
        while across * down > 1 {
            (across, down) = (across.div_ceil(2), down.div_ceil(2));
            levels.push((across, vec![false; across * down]));
        }
        Self(levels)
    }

    fn visit(&mut self, x: usize, y: usize, bits: &mut Bits) {
        for (level, (across, seen)) in self.0.iter_mut().enumerate().rev() {
            let node = &mut seen[(y >> level) * *across + (x >> level)];
            if !std::mem::replace(node, true) {
                bits.put(1, 1);
            }
        }
    }
}

/// One code block, with a border of zeros so that every sample has eight neighbours.
struct Block {
    width: usize,
    height: usize,
    magnitude: Vec<u32>,
    negative: Vec<bool>,
    significant: Vec<bool>,
    visited: Vec<bool>,
    refined: Vec<bool>,
    coder: Coder,
}

impl Block {
    fn new(width: usize, height: usize, value: impl Fn(usize, usize) -> i32) -> Self {
        let size = (width + 2) * (height + 2);
        let mut block = Self {
            width,
            height,
            magnitude: vec![0; size],
            negative: vec![false; size],
            significant: vec![false; size],
            visited: vec![false; size],
            refined: vec![false; size],
            coder: Coder::new(),
        };
        for y in 0..height {
            for x in 0..width {
                let at = block.at(x, y);
                block.magnitude[at] = value(x, y).unsigned_abs();
                block.negative[at] = value(x, y) < 0;
            }
        }
        block
    }

    fn at(&self, x: usize, y: usize) -> usize {
        (y + 1) * (self.width + 2) + x + 1
    }

    fn encode(mut self) -> Vec<u8> {
        for plane in (0..PLANES).rev() {
            if plane + 1 < PLANES {
                self.scan(|block, at| block.propagate(at, plane));
                self.scan(|block, at| block.refine(at, plane));
            }
            self.clean_up(plane);
            self.visited.fill(false);
        }
        self.coder.end()
    }

    /// Stripes of four rows, column by column.
    fn scan(&mut self, mut step: impl FnMut(&mut Self, usize)) {
        for top in (0..self.height).step_by(4) {
            for x in 0..self.width {
                for y in top..self.height.min(top + 4) {
                    let at = self.at(x, y);
                    step(self, at);
                }
            }
        }
    }

    fn propagate(&mut self, at: usize, plane: usize) {
        if !self.significant[at] && self.zero_context(at) > 0 {
            self.visited[at] = true;
            self.code_zero(at, plane);
        }
    }

    fn refine(&mut self, at: usize, plane: usize) {
        if self.significant[at] && !self.visited[at] {
            let context = match (self.refined[at], self.zero_context(at)) {
                (true, _) => 16,
                (false, 0) => 14,
                (false, _) => 15,
            };
            self.refined[at] = true;
            self.coder.put(context, self.magnitude[at] >> plane & 1 == 1);
        }
    }

    fn clean_up(&mut self, plane: usize) {
        for top in (0..self.height).step_by(4) {
            for x in 0..self.width {
                let column: Vec<usize> =
                    (top..self.height.min(top + 4)).map(|y| self.at(x, y)).collect();
                let quiet = |&at: &usize| {
                    !self.significant[at] && !self.visited[at] && self.zero_context(at) == 0
                };
                let mut begin = 0;
                if column.len() == 4 && column.iter().all(quiet) {
                    let first = column.iter().position(|&at| self.magnitude[at] >> plane & 1 == 1);
                    self.coder.put(17, first.is_some());
                    let Some(first) = first else { continue };
                    self.coder.put(18, first >> 1 == 1);
                    self.coder.put(18, first & 1 == 1);
                    self.become_significant(column[first]);
                    begin = first + 1;
                }
                for &at in &column[begin..] {
                    if !self.significant[at] && !self.visited[at] {
                        self.code_zero(at, plane);
                    }
                }
            }
        }
    }

    fn code_zero(&mut self, at: usize, plane: usize) {
        let one = self.magnitude[at] >> plane & 1 == 1;
        self.coder.put(self.zero_context(at), one);
        if one {
            self.become_significant(at);
        }
    }

    fn become_significant(&mut self, at: usize) {
        let row = self.width + 2;
        let sign = |at: usize| match (self.significant[at], self.negative[at]) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => -1,
        };
        let across = (sign(at - 1) + sign(at + 1)).clamp(-1, 1);
        let down = (sign(at - row) + sign(at + row)).clamp(-1, 1);
        let (context, flipped) = match (across, down) {
            (1, 1) => (13, false),
            (1, 0) => (12, false),
            (1, _) => (11, false),
            (0, 1) => (10, false),
            (0, 0) => (9, false),
            (0, _) => (10, true),
            (_, 1) => (11, true),
            (_, 0) => (12, true),
            _ => (13, true),
        };
        self.coder.put(context, self.negative[at] != flipped);
        self.significant[at] = true;
    }

    /// Context of a zero, for the band LL.
    fn zero_context(&self, at: usize) -> usize {
        let row = self.width + 2;
        let count = |places: [usize; 2]| places.iter().filter(|&&at| self.significant[at]).count();
        let across = count([at - 1, at + 1]);
        let down = count([at - row, at + row]);
        let diagonal = count([at - row - 1, at - row + 1]) + count([at + row - 1, at + row + 1]);
        match (across, down, diagonal) {
            (2, ..) => 8,
            (1, 1.., _) => 7,
            (1, 0, 1..) => 6,
            (1, 0, 0) => 5,
            (_, 2, _) => 4,
            (_, 1, _) => 3,
            (_, _, diagonal) => diagonal.min(2),
        }
    }
}

/// The arithmetic coder of Annex C.
struct Coder {
    /// Begins with one byte that is not part of the output.
    out: Vec<u8>,
    a: u32,
    c: u32,
    count: u32,
    /// Row of [`STATES`] and more probable symbol, per context.
    contexts: [(usize, bool); 19],
}

impl Coder {
    fn new() -> Self {
        let mut contexts = [(0, false); 19];
        (contexts[0].0, contexts[17].0, contexts[18].0) = (4, 3, 46);
        Self { out: vec![0], a: 0x8000, c: 0, count: 12, contexts }
    }

    fn put(&mut self, context: usize, bit: bool) {
        let (state, likely) = self.contexts[context];
        let (estimate, next_likely, next_unlikely, exchange) = STATES[state];
        self.a -= estimate;
        if bit == likely {
            if self.a & 0x8000 != 0 {
                self.c += estimate;
                return;
            }
            if self.a < estimate {
                self.a = estimate
            } else {
                self.c += estimate
            }
            self.contexts[context].0 = next_likely;
        } else {
            if self.a < estimate {
                self.c += estimate
            } else {
                self.a = estimate
            }
            self.contexts[context] = (next_unlikely, likely != (exchange == 1));
        }
        while self.a & 0x8000 == 0 {
            self.a <<= 1;
            self.c <<= 1;
            self.count -= 1;
            if self.count == 0 {
                self.byte_out();
            }
        }
    }

    fn byte_out(&mut self) {
        let last = self.out.len() - 1;
        if self.out[last] != 0xff && self.c >= 0x800_0000 {
            self.out[last] += 1;
            self.c &= 0x7ff_ffff;
        }
        let shift = if self.out[last] == 0xff { 20 } else { 19 };
        self.out.push((self.c >> shift) as u8);
        self.c &= (1 << shift) - 1;
        self.count = if shift == 20 { 7 } else { 8 };
    }

    fn end(mut self) -> Vec<u8> {
        let top = self.c + self.a;
        self.c |= 0xffff;
        if self.c >= top {
            self.c -= 0x8000;
        }
        for _ in 0..2 {
            self.c <<= self.count;
            self.byte_out();
        }
        if self.out.last() == Some(&0xff) {
            self.out.pop();
        }
        self.out.split_off(1)
    }
}

/// Table C.2: estimate, next row if likely, next row if not, whether to exchange.
const STATES: [(u32, usize, usize, u8); 47] = [
    (0x5601, 1, 1, 1),
    (0x3401, 2, 6, 0),
    (0x1801, 3, 9, 0),
    (0x0ac1, 4, 12, 0),
    (0x0521, 5, 29, 0),
    (0x0221, 38, 33, 0),
    (0x5601, 7, 6, 1),
    (0x5401, 8, 14, 0),
    (0x4801, 9, 14, 0),
    (0x3801, 10, 14, 0),
    (0x3001, 11, 17, 0),
    (0x2401, 12, 18, 0),
    (0x1c01, 13, 20, 0),
    (0x1601, 29, 21, 0),
    (0x5601, 15, 14, 1),
    (0x5401, 16, 14, 0),
    (0x5101, 17, 15, 0),
    (0x4801, 18, 16, 0),
    (0x3801, 19, 17, 0),
    (0x3401, 20, 18, 0),
    (0x3001, 21, 19, 0),
    (0x2801, 22, 19, 0),
    (0x2401, 23, 20, 0),
    (0x2201, 24, 21, 0),
    (0x1c01, 25, 22, 0),
    (0x1801, 26, 23, 0),
    (0x1601, 27, 24, 0),
    (0x1401, 28, 25, 0),
    (0x1201, 29, 26, 0),
    (0x1101, 30, 27, 0),
    (0x0ac1, 31, 28, 0),
    (0x09c1, 32, 29, 0),
    (0x08a1, 33, 30, 0),
    (0x0521, 34, 31, 0),
    (0x0441, 35, 32, 0),
    (0x02a1, 36, 33, 0),
    (0x0221, 37, 34, 0),
    (0x0141, 38, 35, 0),
    (0x0111, 39, 36, 0),
    (0x0085, 40, 37, 0),
    (0x0049, 41, 38, 0),
    (0x0025, 42, 39, 0),
    (0x0015, 43, 40, 0),
    (0x0009, 44, 41, 0),
    (0x0005, 45, 42, 0),
    (0x0001, 45, 43, 0),
    (0x5601, 46, 46, 0),
];
