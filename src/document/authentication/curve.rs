//! The six curves that are accepted, by name and by parameters.
//!
//! 160 of the 164 elliptic CSCA keys of a national master list spell their curve out instead of
//! naming it. Arbitrary parameters are an attack (CVE-2020-0601: a chosen generator makes a private
//! key for anybody's public key), so spelled-out parameters are never computed with: every field is
//! compared with the six curves below, and what equals none of them is refused.
//!
//! The seed, where one is given, is not compared: it tells how `b` was found and takes part in no
//! computation.

use der::{Tag, asn1::ObjectIdentifier};

use super::asn1::{Element, Malformed, Walk};

/// A curve that keys may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    Brainpool256,
    Brainpool384,
    Brainpool512,
}

/// Domain parameters, as lower-case hexadecimal numbers without leading zeros.
struct Parameters {
    curve: Curve,
    identifier: ObjectIdentifier,
    field_bytes: usize,
    prime: &'static str,
    a: &'static str,
    b: &'static str,
    x: &'static str,
    y: &'static str,
    order: &'static str,
}

const PRIME_FIELD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.1.1");

const TABLE: [Parameters; 6] = [
    Parameters {
        curve: Curve::P256,
        identifier: ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        field_bytes: 32,
        prime: "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        a: "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
        b: "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
        x: "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        y: "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        order: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    },
    Parameters {
        curve: Curve::P384,
        identifier: ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        field_bytes: 48,
        prime: "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000\
                000000000000ffffffff",
        a: "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000\
            000000000000fffffffc",
        b: "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2e\
            d19d2a85c8edd3ec2aef",
        x: "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55\
            296c3a545e3872760ab7",
        y: "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e\
            819d7a431d7c90ea0e5f",
        order: "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0\
                a77aecec196accc52973",
    },
    Parameters {
        curve: Curve::P521,
        identifier: ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        field_bytes: 66,
        prime: "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
                fffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        a: "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
            ffffffffffffffffffffffffffffffffffffffffffffffffffffffc",
        b: "51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec\
            7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
        x: "c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77ef\
            e75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
        y: "11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995\
            ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
        order: "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783b\
                f2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
    },
    Parameters {
        curve: Curve::Brainpool256,
        identifier: ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.7"),
        field_bytes: 32,
        prime: "a9fb57dba1eea9bc3e660a909d838d726e3bf623d52620282013481d1f6e5377",
        a: "7d5a0975fc2c3057eef67530417affe7fb8055c126dc5c6ce94a4b44f330b5d9",
        b: "26dc5c6ce94a4b44f330b5d9bbd77cbf958416295cf7e1ce6bccdc18ff8c07b6",
        x: "8bd2aeb9cb7e57cb2c4b482ffc81b7afb9de27e1e3bd23c23a4453bd9ace3262",
        y: "547ef835c3dac4fd97f8461a14611dc9c27745132ded8e545c1d54c72f046997",
        order: "a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7",
    },
    Parameters {
        curve: Curve::Brainpool384,
        identifier: ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.11"),
        field_bytes: 48,
        prime: "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b412b1da197fb71123acd3a729901d\
                1a71874700133107ec53",
        a: "7bc382c63d8c150c3c72080ace05afa0c2bea28e4fb22787139165efba91f90f8aa5814a503a\
            d4eb04a8c7dd22ce2826",
        b: "4a8c7dd22ce28268b39b55416f0447c2fb77de107dcd2a62e880ea53eeb62d57cb4390295dbc\
            9943ab78696fa504c11",
        x: "1d1c64f068cf45ffa2a63a81b7c13f6b8847a3e77ef14fe3db7fcafe0cbd10e8e826e03436d6\
            46aaef87b2e247d4af1e",
        y: "8abe1d7520f9c2a45cb1eb8e95cfd55262b70b29feec5864e19c054ff99129280e4646217791\
            811142820341263c5315",
        order: "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b31f166e6cac0425a7cf3ab6af6b7f\
                c3103b883202e9046565",
    },
    Parameters {
        curve: Curve::Brainpool512,
        identifier: ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.13"),
        field_bytes: 64,
        prime: "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca703308717d4d9b009bc6\
                6842aecda12ae6a380e62881ff2f2d82c68528aa6056583a48f3",
        a: "7830a3318b603b89e2327145ac234cc594cbdd8d3df91610a83441caea9863bc2ded5d5aa825\
            3aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94ca",
        b: "3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1\
            ac4d77fc94cadc083e67984050b75ebae5dd2809bd638016f723",
        x: "81aee4bdd82ed9645a21322e9c4c6a9385ed9f70b5d916c1b43b62eef4d0098eff3b1f78e2d0\
            d48d50d1687b93b97d5f7c6d5047406a5e688b352209bcb9f822",
        y: "7dde385d566332ecc0eabfa9cf7822fdf209f70024a57b1aa000c55b881f8111b2dcde494a5f\
            485e5bca4bd88a2763aed1ca2b2fa8f0540678cd1e0f3ad80892",
        order: "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330870553e5c414ca9\
                2619418661197fac10471db1d381085ddaddb58796829ca90069",
    },
];

/// Spelled-out domain parameters, as magnitudes.
struct Explicit<'a> {
    prime: &'a [u8],
    a: &'a [u8],
    b: &'a [u8],
    base: &'a [u8],
    order: &'a [u8],
    cofactor: Option<&'a [u8]>,
}

impl Curve {
    /// The curve that the parameters of an `id-ecPublicKey` name or spell out; `None` where it is
    /// none of the six. `implicitCurve` (NULL) names none.
    pub(super) fn read(parameters: Element<'_>) -> Result<Option<Self>, Malformed> {
        match parameters.tag {
            Tag::ObjectIdentifier => {
                let identifier = parameters.identifier()?;
                Ok(TABLE.iter().find(|held| held.identifier == identifier).map(|held| held.curve))
            }
            Tag::Sequence => {
                let explicit = explicit(parameters.walk(Tag::Sequence)?)?;
                Ok(explicit.and_then(|found| {
                    TABLE.iter().find(|held| is(held, &found)).map(|held| held.curve)
                }))
            }
            _ => Ok(None),
        }
    }
}

/// `SpecifiedECDomain` (X9.62, SEC 1); `None` over another kind of field than a prime one.
fn explicit(mut walk: Walk<'_>) -> Result<Option<Explicit<'_>>, Malformed> {
    let version = walk.next()?.small()?;
    let mut field = walk.sequence()?;
    if field.identifier()? != PRIME_FIELD || !(1..=3).contains(&version) {
        return Ok(None);
    }
    let prime = field.next()?.unsigned()?;
    field.end()?;
    let mut coefficients = walk.sequence()?;
    let (a, b) = (coefficients.next()?.octets()?, coefficients.next()?.octets()?);
    coefficients.optional(Tag::BitString)?;
    coefficients.end()?;
    let base = walk.next()?.octets()?;
    let order = walk.next()?.unsigned()?;
    let cofactor = walk.optional(Tag::Integer)?.map(|held| held.unsigned()).transpose()?;
    walk.end()?;
    Ok(Some(Explicit { prime, a, b, base, order, cofactor }))
}

/// Whether every field is that of `known`. The base point may be compressed: its first octet then
/// says whether y is odd.
fn is(known: &Parameters, found: &Explicit<'_>) -> bool {
    let base = match found.base.split_first() {
        Some((4, point)) if point.len() == 2 * known.field_bytes => {
            let (x, y) = point.split_at(known.field_bytes);
            equals(known.x, x) && equals(known.y, y)
        }
        Some((&first @ (2 | 3), x)) if x.len() == known.field_bytes => {
            let odd = known.y.ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']);
            equals(known.x, x) && odd == (first == 3)
        }
        _ => false,
    };
    base && equals(known.prime, found.prime)
        && equals(known.a, found.a)
        && equals(known.b, found.b)
        && equals(known.order, found.order)
        && found.cofactor.is_none_or(|cofactor| cofactor == [1])
}

/// Whether big-endian `bytes`, leading zeros aside, are the number `hex`.
fn equals(hex: &str, bytes: &[u8]) -> bool {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = nibbles.skip_while(|&nibble| nibble == 0);
    digits.eq(hex.bytes().map(|digit| if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_without_leading_zeros() {
        assert!(equals("1a", &[0x1a]) && equals("1a", &[0, 0, 0x1a]) && equals("a", &[0x0a]));
        assert!(!equals("1a", &[0x1b]) && !equals("1a", &[]) && !equals("1a", &[0x1a, 0]));
        assert!(!equals("1a", &[1, 0x1a]));
    }

    #[test]
    fn the_table_is_sound() {
        for held in &TABLE {
            let whole = |hex: &str| hex.bytes().all(|b| b.is_ascii_hexdigit()) && hex.len() > 50;
            let numbers = [held.prime, held.a, held.b, held.x, held.y, held.order];
            assert!(numbers.iter().all(|hex| whole(hex)), "{:?}", held.curve);
            assert!(held.prime.len().div_ceil(2) == held.field_bytes, "{:?}", held.curve);
        }
    }
}
