//! A small PNG writer for tests: any header, any chunks, unfiltered and uncompressed rows, so that
//! wrong files can be written as easily as right ones.

#![allow(dead_code, reason = "every test binary uses its own part of this module")]
#![allow(unreachable_pub, reason = "a module of several binaries")]

pub const GREY: u8 = 0;
pub const RGB: u8 = 2;
pub const PALETTE: u8 = 3;
pub const GREY_ALPHA: u8 = 4;
pub const RGBA: u8 = 6;

/// A PNG under construction; `end` closes it.
pub struct Png(Vec<u8>);

impl Png {
    pub fn new(width: u32, height: u32, depth: u8, colour: u8, interlaced: bool) -> Self {
        let png = Self(b"\x89PNG\r\n\x1a\n".to_vec());
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        header.extend([depth, colour, 0, 0, u8::from(interlaced)]);
        png.chunk(b"IHDR", &header)
    }

    pub fn chunk(mut self, name: &[u8; 4], body: &[u8]) -> Self {
        let named = [name.as_slice(), body].concat();
        self.0.extend((body.len() as u32).to_be_bytes());
        self.0.extend(&named);
        self.0.extend(crc(&named).to_be_bytes());
        self
    }

    /// Rows without their filter bytes.
    pub fn rows(self, rows: &[Vec<u8>]) -> Self {
        let raw: Vec<u8> = rows.iter().flat_map(|row| [vec![0], row.clone()].concat()).collect();
        self.chunk(b"IDAT", &deflate_stored(&raw))
    }

    /// Rows of one picture in the order of Adam7, `bytes` per pixel.
    pub fn interlaced(self, rows: &[Vec<u8>], bytes: usize) -> Self {
        const PASSES: [(usize, usize, usize, usize); 7] = [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ];
        let mut passes = Vec::new();
        for (left, top, across, down) in PASSES {
            for row in rows.iter().skip(top).step_by(down) {
                let pixels: Vec<u8> =
                    row.chunks(bytes).skip(left).step_by(across).flatten().copied().collect();
                if !pixels.is_empty() {
                    passes.push(pixels);
                }
            }
        }
        self.rows(&passes)
    }

    pub fn end(self) -> Vec<u8> {
        self.chunk(b"IEND", &[]).0
    }

    pub fn unfinished(self) -> Vec<u8> {
        self.0
    }
}

/// A zlib stream of stored blocks.
pub fn deflate_stored(raw: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks: Vec<&[u8]> = raw.chunks(65_535).collect();
    for (i, block) in blocks.iter().enumerate() {
        out.push(u8::from(i + 1 == blocks.len()));
        out.extend((block.len() as u16).to_le_bytes());
        out.extend((!(block.len() as u16)).to_le_bytes());
        out.extend(*block);
    }
    let (a, b) = raw.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}
