//! The texts that are compiled in: one file per legal source, each with its table of cases.

/// One legal source.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Name of its file, without the ending.
    pub name: &'static str,
    /// The rules.
    pub text: &'static str,
    /// The table of cases that the rules must decide as it says.
    pub cases: &'static str,
}

macro_rules! sources {
    ($($name:literal),+ $(,)?) => {
        /// Every legal source, in the order in which their reasons are told.
        pub const SOURCES: &[Source] = &[$(Source {
            name: $name,
            text: include_str!(concat!("../../policies/", $name, ".cedar")),
            cases: include_str!(concat!("../../policies/", $name, ".cases.toml")),
        }),+];
    };
}

sources![
    "people",
    "gdpr",
    "ap-guidance",
    "datatilsynet-2009",
    "spc-provisions",
    "cac-measures",
    "imy-clearview",
    "residential-access",
    "edpb-11-2024",
    "edpb-05-2022",
    "ai-act",
    "bsi-tr-03121",
];

/// What the rules may ask about.
pub(super) const SCHEMA: &str = include_str!("../../policies/schema.cedarschema");

/// What is asked of the appliance, row by row.
pub(super) const ROWS: &str = include_str!("../../policies/rows.toml");

/// What carries each duty out.
pub(super) const DUTIES: &str = include_str!("../../policies/duties.toml");

/// The sentence of each reason, in every language.
pub(super) const REASONS: &str = include_str!("../../policies/reasons.toml");
