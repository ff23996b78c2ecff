//! Bytes of pictures and documents as they arrived.

use std::fmt;

/// An encoded picture as it arrived. Its bytes cannot be printed; the process allocator wipes them.
pub struct EncodedImage(Vec<u8>);

impl EncodedImage {
    /// Takes the bytes of a JPEG, JPEG 2000 or PNG file.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, handed on.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for EncodedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedImage({} bytes)", self.0.len())
    }
}

/// A file of a passport chip as it arrived. Its bytes cannot be printed; the process allocator
/// wipes them.
pub struct EncodedFile(Vec<u8>);

impl EncodedFile {
    /// Takes the bytes of the file.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EncodedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedFile({} bytes)", self.0.len())
    }
}
