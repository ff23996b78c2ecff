//! brainpoolP512r1 (RFC 5639), which no published crate has: its constants, put into the same
//! macros and traits that the published `bp256` and `bp384` are made of.
//!
//! No arithmetic is written here. `primefield` makes the two fields from their moduli, `primeorder`
//! the curve from its equation, `ecdsa` the verification from the curve; those crates carry the
//! tests. What is ours, the constants, is proved by signatures that OpenSSL made and by a test that
//! the generator has the stated order.
//!
//! Absent: signing, making keys, claims about constant time. Verification sees public data alone.

use ecdsa::EcdsaCurve;
use elliptic_curve::{
    Curve, CurveArithmetic, PrimeCurve, PrimeCurveArithmetic,
    array::typenum::U64,
    bigint::{Odd, U512},
    hazmat::FieldArithmetic,
    point::PointCompression,
};
use primeorder::{PrimeCurveParams, mul_backend, point_arithmetic};

use self::{field::FieldElement, scalar::Scalar};

/// The curve. Public because the macros implement public traits in terms of it; its module is not.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, PartialOrd, Ord)]
pub struct BrainpoolP512r1;

impl Curve for BrainpoolP512r1 {
    type FieldBytesSize = U64;
    type Uint = U512;

    const ORDER: Odd<U512> = Odd::<U512>::from_be_hex(scalar::ORDER_HEX);
}

impl PrimeCurve for BrainpoolP512r1 {}

impl PointCompression for BrainpoolP512r1 {
    const COMPRESS_POINTS: bool = false;
}

impl CurveArithmetic for BrainpoolP512r1 {
    type AffinePoint = primeorder::AffinePoint<Self>;
    type ProjectivePoint = primeorder::ProjectivePoint<Self>;
    type Scalar = Scalar;
}

impl FieldArithmetic for BrainpoolP512r1 {
    type FieldElement = FieldElement;
}

impl PrimeCurveArithmetic for BrainpoolP512r1 {
    type CurveGroup = primeorder::ProjectivePoint<Self>;
}

impl PrimeCurveParams for BrainpoolP512r1 {
    type PointArithmetic = point_arithmetic::EquationAIsGeneric;
    type Backend = mul_backend::VariableOnly;

    const EQUATION_A: FieldElement = FieldElement::from_hex_vartime(
        "7830a3318b603b89e2327145ac234cc594cbdd8d3df91610a83441caea9863bc\
         2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94ca",
    );
    const EQUATION_B: FieldElement = FieldElement::from_hex_vartime(
        "3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a7\
         2bf2c7b9e7c1ac4d77fc94cadc083e67984050b75ebae5dd2809bd638016f723",
    );
    const GENERATOR: (FieldElement, FieldElement) = (
        FieldElement::from_hex_vartime(
            "81aee4bdd82ed9645a21322e9c4c6a9385ed9f70b5d916c1b43b62eef4d0098e\
             ff3b1f78e2d0d48d50d1687b93b97d5f7c6d5047406a5e688b352209bcb9f822",
        ),
        FieldElement::from_hex_vartime(
            "7dde385d566332ecc0eabfa9cf7822fdf209f70024a57b1aa000c55b881f8111\
             b2dcde494a5f485e5bca4bd88a2763aed1ca2b2fa8f0540678cd1e0f3ad80892",
        ),
    );
}

impl EcdsaCurve for BrainpoolP512r1 {
    const NORMALIZE_S: bool = false;
}

/// The field that the points' coordinates are in.
mod field {
    use elliptic_curve::{
        bigint::U512,
        ff::PrimeField,
        ops::BatchInvert,
        subtle::{Choice, ConstantTimeEq, CtOption},
    };

    const MODULUS_HEX: &str = "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330871\
                               7d4d9b009bc66842aecda12ae6a380e62881ff2f2d82c68528aa6056583a48f3";

    primefield::monty_field_params! {
        name: FieldParams,
        modulus: MODULUS_HEX,
        uint: U512,
        byte_order: primefield::ByteOrder::BigEndian,
        multiplicative_generator: 2,
        doc: "Montgomery parameters of the field of brainpoolP512r1"
    }

    primefield::monty_field_element! {
        name: FieldElement,
        params: FieldParams,
        uint: U512,
        doc: "Element of the field of brainpoolP512r1"
    }

    primefield::monty_field_arithmetic! {
        name: FieldElement,
        params: FieldParams,
        uint: U512
    }

    impl BatchInvert for FieldElement {}
}

/// Integers modulo the order of the generator.
mod scalar {
    use elliptic_curve::{
        Curve,
        bigint::U512,
        ff::PrimeField,
        scalar::{FromUintUnchecked, IsHigh},
        subtle::{Choice, ConstantTimeEq, ConstantTimeGreater, CtOption},
    };
    use primeorder::wnaf;

    use super::BrainpoolP512r1;

    pub(super) const ORDER_HEX: &str = "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330870\
         553e5c414ca92619418661197fac10471db1d381085ddaddb58796829ca90069";

    primefield::monty_field_params! {
        name: ScalarParams,
        modulus: ORDER_HEX,
        uint: U512,
        byte_order: primefield::ByteOrder::BigEndian,
        multiplicative_generator: 7,
        doc: "Montgomery parameters modulo the order of brainpoolP512r1"
    }

    primefield::monty_field_element! {
        name: Scalar,
        params: ScalarParams,
        uint: U512,
        doc: "Integer modulo the order of brainpoolP512r1"
    }

    primefield::monty_field_arithmetic! {
        name: Scalar,
        params: ScalarParams,
        uint: U512
    }

    primefield::monty_field_reduce! {
        name: Scalar,
        params: ScalarParams,
        uint: U512,
    }

    elliptic_curve::scalar_impls!(BrainpoolP512r1, Scalar);

    wnaf::impl_wnaf_size_for_scalar!(Scalar);

    impl AsRef<Scalar> for Scalar {
        fn as_ref(&self) -> &Scalar {
            self
        }
    }

    impl FromUintUnchecked for Scalar {
        type Uint = U512;

        fn from_uint_unchecked(uint: U512) -> Self {
            Self::from_uint_unchecked(uint)
        }
    }

    impl IsHigh for Scalar {
        fn is_high(&self) -> Choice {
            self.to_canonical().ct_gt(&BrainpoolP512r1::ORDER.as_ref().shr_vartime(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use elliptic_curve::{
        ff::{Field, PrimeField},
        group::Group,
    };

    use super::*;

    #[test]
    fn the_generator_has_the_stated_order() {
        let generator = primeorder::ProjectivePoint::<BrainpoolP512r1>::GENERATOR;
        let last = generator * (-Scalar::ONE);
        assert_eq!(last, -generator, "(n - 1) G = -G, so n G is nothing");
        assert!(bool::from((last + generator).is_identity()));
    }

    #[test]
    fn the_generators_of_the_fields_are_no_squares() {
        assert!(bool::from(FieldElement::MULTIPLICATIVE_GENERATOR.sqrt().is_none()));
        assert!(bool::from(Scalar::MULTIPLICATIVE_GENERATOR.sqrt().is_none()));
    }
}
