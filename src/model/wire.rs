//! The wire of a model file, checked before the parser crate sees a byte of it.
//!
//! `rten-onnx` 0.27 reads well-formed protobuf quickly, but trusts it: a length is allocated before
//! it is compared with what is left, a varint of more than ten bytes is read for ever, a negative
//! skip seeks backwards, and graphs inside attributes recurse as deep as the file says. So one walk
//! over the tags (it jumps over weights and costs microseconds) establishes, for every message that
//! the parser will enter:
//! - every varint ends within ten bytes, every length within the message that holds it;
//! - wire types are varint, 64-bit, 32-bit or length-delimited (groups are not ONNX);
//! - messages nest at most [`DEPTH_MAX`] deep;
//! - packed numbers divide into whole numbers;
//! - the graph has at most [`limits::MODEL_NODES_MAX`] nodes and values.
//!
//! Not here: what the fields mean. That is `onnx.rs`.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use crate::limits;

/// Deepest nesting of messages. A graph needs seven (model, graph, value, type, tensor, shape,
/// dimension); a graph inside an attribute four more, so that its operator can be refused by name.
const DEPTH_MAX: usize = 16;

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireFlaw {
    /// More nodes, weights or values than the limit.
    #[error("a graph with more than {most} nodes, weights or declared values")]
    Crowded {
        /// The limit.
        most: usize,
    },
    /// Messages nest deeper than a graph without subgraphs does.
    #[error("messages nest more than {DEPTH_MAX} deep (graphs inside graphs are not carried)")]
    Deep,
    /// A wire type that ONNX does not use.
    #[error("wire type {held}, which ONNX does not use")]
    Kind {
        /// The type found.
        held: u8,
    },
    /// Packed numbers whose bytes do not divide into whole numbers.
    #[error("packed numbers of {bytes} bytes, which is not a whole count")]
    Packed {
        /// Bytes found.
        bytes: usize,
    },
    /// A length that reaches beyond the message that holds it.
    #[error("a field of {needed} bytes where {left} are left: the file is truncated or damaged")]
    Truncated {
        /// Bytes the field claims.
        needed: u64,
        /// Bytes left.
        left: usize,
    },
    /// A number that does not end.
    #[error("a number that does not end within ten bytes")]
    Varint,
}

/// A flaw and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {flaw}")]
pub struct WireError {
    /// Offset in the file.
    pub at: usize,
    /// What is wrong there.
    pub flaw: WireFlaw,
}

/// The messages that the parser enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Attribute,
    Dimension,
    Entry,
    Graph,
    Model,
    Node,
    Opset,
    Sequence,
    Shape,
    Tensor,
    TensorType,
    Type,
    Value,
}

/// How the bytes of a length-delimited field are to be read.
enum Content {
    Message(Message),
    /// Numbers of so many bytes each.
    Fixed(usize),
    Varints,
    /// Text, weights, or a field that the parser skips.
    Bytes,
}

/// The schema of `onnx.proto`, as far as the parser follows it.
fn content(message: Message, field: u64) -> Content {
    use Content::{Bytes, Fixed, Varints};
    match (message, field) {
        (Message::Model, 7) | (Message::Attribute, 6) => Content::Message(Message::Graph),
        (Message::Model, 8) => Content::Message(Message::Opset),
        (Message::Model, 14) | (Message::Tensor, 13) => Content::Message(Message::Entry),
        (Message::Graph, 1) => Content::Message(Message::Node),
        (Message::Graph, 5) | (Message::Attribute, 5) => Content::Message(Message::Tensor),
        (Message::Graph, 11..=13) => Content::Message(Message::Value),
        (Message::Node, 5) => Content::Message(Message::Attribute),
        (Message::Value, 2) | (Message::Sequence, 1) => Content::Message(Message::Type),
        (Message::Type, 1) => Content::Message(Message::TensorType),
        (Message::Type, 4) => Content::Message(Message::Sequence),
        (Message::TensorType, 2) => Content::Message(Message::Shape),
        (Message::Shape, 1) => Content::Message(Message::Dimension),
        (Message::Tensor, 4) => Fixed(4),
        (Message::Tensor, 10) => Fixed(8),
        (Message::Tensor, 5 | 7) => Varints,
        _ => Bytes,
    }
}

/// Checks the whole file.
pub(super) fn check(bytes: &[u8]) -> Result<(), WireError> {
    let mut walk = Walk { bytes, at: 0, entries: 0 };
    walk.message(Message::Model, bytes.len(), 1).map_err(|flaw| WireError { at: walk.at, flaw })
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Nodes, weights and values seen.
    entries: usize,
}

impl Walk<'_> {
    /// Walks the fields of a message that ends at `end`, which lies within the file.
    fn message(&mut self, message: Message, end: usize, depth: usize) -> Result<(), WireFlaw> {
        if depth > DEPTH_MAX {
            return Err(WireFlaw::Deep);
        }
        while self.at < end {
            let tag = self.varint(end)?;
            match tag & 7 {
                0 => {
                    self.varint(end)?;
                }
                1 => self.skip(8, end)?,
                2 => {
                    let field_end = self.field_end(end)?;
                    self.count(message, tag >> 3)?;
                    self.content(content(message, tag >> 3), field_end, depth)?;
                }
                5 => self.skip(4, end)?,
                held => return Err(WireFlaw::Kind { held: u8::try_from(held).unwrap_or(u8::MAX) }),
            }
        }
        Ok(())
    }

    /// Counts what makes up a graph.
    fn count(&mut self, message: Message, field: u64) -> Result<(), WireFlaw> {
        if message == Message::Graph && matches!(field, 1 | 5 | 11..=13) {
            self.entries = self.entries.saturating_add(1);
        }
        // Each node brings at most a handful of weights, each with its value.
        let most = limits::MODEL_NODES_MAX.saturating_mul(8);
        if self.entries > most { Err(WireFlaw::Crowded { most }) } else { Ok(()) }
    }

    fn content(&mut self, content: Content, end: usize, depth: usize) -> Result<(), WireFlaw> {
        match content {
            Content::Message(message) => self.message(message, end, depth.saturating_add(1))?,
            Content::Fixed(size) => {
                let bytes = end.saturating_sub(self.at);
                if bytes.checked_rem(size) != Some(0) {
                    return Err(WireFlaw::Packed { bytes });
                }
            }
            Content::Varints => {
                while self.at < end {
                    self.varint(end)?;
                }
            }
            Content::Bytes => {}
        }
        self.at = end;
        Ok(())
    }

    /// Reads a length and gives the offset at which the field ends.
    fn field_end(&mut self, end: usize) -> Result<usize, WireFlaw> {
        let needed = self.varint(end)?;
        let left = end.saturating_sub(self.at);
        let fits = usize::try_from(needed).ok().filter(|&length| length <= left);
        match fits.and_then(|length| self.at.checked_add(length)) {
            Some(field_end) => Ok(field_end),
            None => Err(WireFlaw::Truncated { needed, left }),
        }
    }

    fn skip(&mut self, length: usize, end: usize) -> Result<(), WireFlaw> {
        let left = end.saturating_sub(self.at);
        if length > left {
            return Err(WireFlaw::Truncated { needed: length as u64, left });
        }
        self.at = self.at.saturating_add(length);
        Ok(())
    }

    fn varint(&mut self, end: usize) -> Result<u64, WireFlaw> {
        let rest = self.bytes.get(self.at..end).unwrap_or_default();
        let mut value = 0_u64;
        for (index, &byte) in rest.iter().take(10).enumerate() {
            // Of the tenth byte, one bit belongs to a 64-bit number.
            if index == 9 && byte > 1 {
                return Err(WireFlaw::Varint);
            }
            let shift = u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(7);
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                self.at = self.at.saturating_add(index).saturating_add(1);
                return Ok(value);
            }
        }
        if rest.len() < 10 {
            Err(WireFlaw::Truncated {
                needed: rest.len().saturating_add(1) as u64,
                left: rest.len(),
            })
        } else {
            Err(WireFlaw::Varint)
        }
    }
}

#[cfg(test)]
mod tests {
    use rten_onnx::protobuf::varint::{MAX_VARINT_LEN, encode_varint};

    use super::*;

    fn flaw(bytes: &[u8]) -> WireFlaw {
        check(bytes).expect_err("flawed bytes").flaw
    }

    #[test]
    fn an_endless_number_is_refused() {
        assert_eq!(flaw(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), {
            WireFlaw::Varint
        });
        assert_eq!(flaw(&[0x08, 0x80]), WireFlaw::Truncated { needed: 2, left: 1 });
    }

    #[test]
    fn a_length_beyond_its_message_is_refused_before_anything_is_allocated() {
        // A graph of two bytes that holds a node of 2^40 bytes.
        let bytes = [0x3a, 0x07, 0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
        assert_eq!(flaw(&bytes), WireFlaw::Truncated { needed: 1 << 40, left: 0 });
        assert_eq!(check(&bytes).expect_err("flawed").at, 9);
    }

    #[test]
    fn graphs_in_attributes_do_not_nest_for_ever() {
        let mut bytes = Vec::new();
        for _ in 0..20 {
            // An attribute with a graph, in a node, in a graph; innermost first.
            for tag in [0x32, 0x2a, 0x0a] {
                let length = u8::try_from(bytes.len()).expect("short");
                bytes.splice(0..0, [tag, length]);
            }
        }
        let length = u8::try_from(bytes.len()).expect("short");
        bytes.splice(0..0, [0x3a, length]);
        assert_eq!(flaw(&bytes), WireFlaw::Deep);
    }

    #[test]
    fn groups_and_half_numbers_are_refused() {
        assert_eq!(flaw(&[0x0b]), WireFlaw::Kind { held: 3 });
        // graph { initializer { float_data: three bytes } }
        assert_eq!(flaw(&[0x3a, 7, 0x2a, 5, 0x22, 3, 0, 0, 0]), WireFlaw::Packed { bytes: 3 });
    }

    #[test]
    fn the_node_limit_holds_before_parsing() {
        let nodes = limits::MODEL_NODES_MAX.saturating_mul(8).saturating_add(1);
        let node = [0x0a, 0x00];
        let length = (nodes as u64).saturating_mul(2);
        let mut bytes = vec![0x3a];
        bytes.extend(encode_varint(length, &mut [0; MAX_VARINT_LEN]));
        bytes.extend(node.iter().cycle().take(nodes.saturating_mul(2)));
        assert!(matches!(flaw(&bytes), WireFlaw::Crowded { .. }));
    }
}
