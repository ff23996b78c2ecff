//! A value of the register: nonce ‖ tag ‖ ciphertext, bound to the place where it lies.

use zeroize::Zeroizing;

use crate::{
    keys::{
        Key,
        aead::{self, NONCE_BYTES, TAG_BYTES},
    },
    random::Entropy,
};

/// Where a value lies.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) key: &'a [u8],
}

impl Place<'_> {
    fn bound(self) -> Vec<u8> {
        [self.table.as_bytes(), b"\n", self.key].concat()
    }
}

/// Seals `text`. Nonces are random: 96 bits, far fewer than 2³² values under one key.
pub(super) fn seal(
    key: &Key,
    place: Place<'_>,
    text: impl Into<Zeroizing<Vec<u8>>>,
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let mut text = text.into();
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce);
    let tag = aead::seal(key.expose(), &nonce, &place.bound(), &mut text);
    [&nonce[..], &tag[..], &text[..]].concat()
}

/// Opens a value; `None` where it was changed, or lay somewhere else when it was sealed.
pub(super) fn open(key: &Key, place: Place<'_>, value: Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = value.split_first_chunk::<NONCE_BYTES>()?;
    let (tag, ciphertext) = rest.split_first_chunk::<TAG_BYTES>()?;
    let mut text = Zeroizing::new(ciphertext.to_vec());
    aead::open(key.expose(), nonce, &place.bound(), &mut text, tag).ok()?;
    Some(text)
}
