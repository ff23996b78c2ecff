//! Writes the files of a passport chip: data group 2 in both encodings, with any lengths, so that
//! wrong files can be written as easily as right ones.

#![allow(dead_code, reason = "every test binary uses its own part of this module")]
#![allow(unreachable_pub, reason = "a module of several binaries")]

/// One element: tag as its bytes stand, shortest length, contents.
pub fn element(tag: u32, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let mut out = head(tag);
    out.extend(length(value.len()));
    out.extend(value);
    out
}

/// The bytes of a tag.
pub fn head(tag: u32) -> Vec<u8> {
    tag.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect()
}

/// The shortest length.
pub fn length(length: usize) -> Vec<u8> {
    match length {
        0..=0x7f => vec![length as u8],
        0x80..=0xff => vec![0x81, length as u8],
        0x100..=0xffff => [&[0x82][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[0x83][..], &(length as u32).to_be_bytes()[1..]].concat(),
    }
}

/// Which standard a data group's records follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Iso19794,
    Iso39794,
}

pub const ENCODINGS: [Encoding; 2] = [Encoding::Iso19794, Encoding::Iso39794];

/// A data group 2 with one instance per image.
pub fn dg2(encoding: Encoding, images: &[&[u8]]) -> Vec<u8> {
    let records: Vec<Vec<u8>> = images.iter().map(|image| block(encoding, image)).collect();
    wrapped(images.len() as u8, &format_header(encoding), &records)
}

/// A data group 2 that states `count` instances and holds `blocks`.
pub fn wrapped(count: u8, header: &[u8], blocks: &[Vec<u8>]) -> Vec<u8> {
    let instances: Vec<u8> =
        blocks.iter().flat_map(|block| element(0x7f60, &[header, block])).collect();
    let group = element(0x7f61, &[&element(0x02, &[&[count]]), &instances]);
    element(0x75, &[&group])
}

/// A biometric header with the fields that are required.
pub fn format_header(encoding: Encoding) -> Vec<u8> {
    let format: &[u8] = match encoding {
        Encoding::Iso19794 => &[0x00, 0x08],
        Encoding::Iso39794 => &[0x00, 0x2a],
    };
    element(0xa1, &[&element(0x87, &[&[1, 1]]), &element(0x88, &[format])])
}

/// A biometric data block with one image.
pub fn block(encoding: Encoding, image: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Iso19794 => element(0x5f2e, &[&Fac::new(&[image]).record()]),
        Encoding::Iso39794 => element(0x7f2e, &[&iso39794(image, &[])]),
    }
}

/// A record of ISO/IEC 19794-5 under construction.
#[derive(Debug, Clone)]
pub struct Fac<'a> {
    pub images: Vec<&'a [u8]>,
    pub version: &'a [u8; 3],
    /// Feature points per image.
    pub points: u16,
    /// Added to the record's length.
    pub record_length: i64,
    /// Added to every block's length.
    pub block_length: i64,
    /// Said instead of the number of images.
    pub count: Option<u16>,
    /// What the record says of its images: kind, width, height.
    pub stated: (u8, u16, u16),
}

impl<'a> Fac<'a> {
    pub fn new(images: &[&'a [u8]]) -> Self {
        Self {
            images: images.to_vec(),
            version: b"010",
            points: 0,
            record_length: 0,
            block_length: 0,
            count: None,
            stated: (0, 413, 531),
        }
    }

    pub fn record(&self) -> Vec<u8> {
        let blocks: Vec<u8> = self.images.iter().flat_map(|image| self.block(image)).collect();
        let extra: &[u8] = if self.version == b"030" { &[0, 0, 1] } else { &[] };
        let length = (14 + extra.len() + blocks.len()) as i64 + self.record_length;
        let count = self.count.unwrap_or(self.images.len() as u16);
        [
            b"FAC\0",
            self.version.as_slice(),
            &[0],
            &(length as u32).to_be_bytes(),
            &count.to_be_bytes(),
            extra,
            &blocks,
        ]
        .concat()
    }

    fn block(&self, image: &[u8]) -> Vec<u8> {
        let points = vec![1; usize::from(self.points) * 8];
        let length = (32 + points.len() + image.len()) as i64 + self.block_length;
        let (kind, width, height) = self.stated;
        [
            &(length as u32).to_be_bytes()[..],
            &self.points.to_be_bytes(),
            &[0; 14],
            &points,
            &[1, kind],
            &width.to_be_bytes(),
            &height.to_be_bytes(),
            &[1, 2, 0, 0, 0, 0],
            image,
        ]
        .concat()
    }
}

/// A record of ISO/IEC 39794-5, from its `A1`; `about` replaces the image information block's
/// contents where it is not empty.
pub fn iso39794(image: &[u8], about: &[u8]) -> Vec<u8> {
    let jpeg = element(0xa0, &[&element(0x80, &[&[2]])]);
    let about = element(0xa1, &[if about.is_empty() { &jpeg } else { about }]);
    let picture = element(0xa0, &[&element(0x80, &[image]), &about]);
    let representation = element(0xa1, &[&element(0xa0, &[&picture])]);
    let block = element(0x30, &[&element(0x80, &[&[0]]), &representation]);
    let version = element(0xa0, &[&element(0x80, &[&[3]]), &element(0x81, &[&[0x07, 0xe3]])]);
    let face = element(0x65, &[&version, &element(0xa1, &[&block])]);
    element(0xa1, &[&face])
}
