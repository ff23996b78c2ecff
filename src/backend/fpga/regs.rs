//! The register map: the one place where an offset or a bit of the core has a name.
//!
//! `hw/PROTOCOL.md` prints the tables that [`tables`] makes, and a test compares the two and the
//! package of the RTL with them; nothing is written twice by hand.

use std::fmt::Write as _;

/// `PORT`: what answers at [`IDENTITY`].
pub const IDENTITY_WORD: u32 = u32::from_le_bytes(*b"PORT");
/// The protocol's major version; another one is another contract.
pub const MAJOR: u32 = 1;
/// The protocol's minor version.
pub const MINOR: u32 = 0;

/// What the core is.
pub const IDENTITY: u16 = 0x000;
/// Version of the protocol.
pub const VERSION: u16 = 0x004;
/// Probes and candidates.
pub const SIZES: u16 = 0x008;
/// Beats of a probe, rows of a packet.
pub const CAPACITY: u16 = 0x00c;
/// Orders.
pub const CONTROL: u16 = 0x010;
/// What it is doing.
pub const STATUS: u16 = 0x014;
/// What went wrong.
pub const ERRORS: u16 = 0x018;
/// Beats of a row.
pub const LAYOUT: u16 = 0x01c;
/// Probes that are searched.
pub const ACTIVE: u16 = 0x020;
/// Where the next words of a probe go.
pub const PROBE_ADDRESS: u16 = 0x024;
/// Four values of a probe.
pub const PROBE_DATA: u16 = 0x028;
/// Clocks of work.
pub const CYCLES_LOW: u16 = 0x030;
/// Their upper half.
pub const CYCLES_HIGH: u16 = 0x034;
/// Beats taken.
pub const BEATS_LOW: u16 = 0x038;
/// Their upper half.
pub const BEATS_HIGH: u16 = 0x03c;
/// Clocks in which a beat had to wait.
pub const STALLS: u16 = 0x040;
/// First fact of probe 0.
pub const PROBE: u16 = 0x200;
/// From one probe's facts to the next.
pub const PROBE_STRIDE: u16 = 0x20;

/// Facts of a probe, from its first: the threshold.
pub const THRESHOLD: u16 = 0x00;
/// Norm of the cold values.
pub const NORM: u16 = 0x04;
/// Class bits, lower half.
pub const CLASS_LOW: u16 = 0x08;
/// Class bits, upper half.
pub const CLASS_HIGH: u16 = 0x0c;
/// The group.
pub const GROUP: u16 = 0x10;
/// Whether every group will do.
pub const GROUP_ANY: u16 = 0x14;
/// Now, lower half.
pub const NOW_LOW: u16 = 0x18;
/// Now, upper half.
pub const NOW_HIGH: u16 = 0x1c;

/// Order: counters and lists to their start.
pub const CLEAR: u32 = 1;
/// Order: forget the probes.
pub const WIPE: u32 = 1 << 1;
/// Order: abandon everything.
pub const RESET: u32 = 1 << 2;

/// Status: something is under way.
pub const BUSY: u32 = 1;
/// Status: an error is set.
pub const FAULTY: u32 = 1 << 1;

/// Error: a packet of unknown kind.
pub const ERROR_KIND: u32 = 1;
/// Error: `tlast` early or late.
pub const ERROR_LENGTH: u32 = 1 << 1;
/// Error: a hot packet of no rows or too many.
pub const ERROR_ROWS: u32 = 1 << 2;
/// Error: a packet without a sound layout.
pub const ERROR_LAYOUT: u32 = 1 << 3;
/// Error: a cold row not above the one before.
pub const ERROR_ORDER: u32 = 1 << 4;
/// Error: an access that the map does not name.
pub const ERROR_ADDRESS: u32 = 1 << 5;
/// Error: a write that needs an idle core.
pub const ERROR_BUSY_WRITE: u32 = 1 << 6;

/// Names of the errors, bit 0 first.
pub const ERROR_NAMES: [&str; 7] =
    ["KIND", "LENGTH", "ROWS", "LAYOUT", "ORDER", "ADDRESS", "BUSY_WRITE"];

/// Who may do what with a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Read,
    /// Read, and cleared by writing ones.
    ReadClear,
    /// Read, and written while the core is idle.
    ReadWriteIdle,
    /// Written; reads as zero.
    Write,
    /// Written while the core is idle; reads as zero.
    WriteIdle,
}

impl Access {
    fn words(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadClear => "read, write 1 to clear",
            Self::ReadWriteIdle => "read, write idle",
            Self::Write => "write",
            Self::WriteIdle => "write idle",
        }
    }
}

/// One register as the tables name it.
#[derive(Debug, Clone, Copy)]
pub struct Register {
    /// Where it is; of a probe's fact, from the probe's first.
    pub offset: u16,
    /// Its name.
    pub name: &'static str,
    /// Who may do what.
    pub access: Access,
    /// Its bits.
    pub bits: &'static str,
}

const fn register(offset: u16, name: &'static str, access: Access, bits: &'static str) -> Register {
    Register { offset, name, access, bits }
}

/// The core's own registers.
pub const CORE: &[Register] = &[
    register(IDENTITY, "IDENTITY", Access::Read, "0x54524F50 (`PORT`)"),
    register(VERSION, "VERSION", Access::Read, "[31:16] major = 1, [15:0] minor = 0"),
    register(SIZES, "SIZES", Access::Read, "[7:0] P, [31:16] K"),
    register(CAPACITY, "CAPACITY", Access::Read, "[15:0] `PROBE_BEATS`, [31:16] `TILE_ROWS`"),
    register(
        CONTROL,
        "CONTROL",
        Access::Write,
        "[0] `CLEAR` (idle): counters, lists, row order, `CYCLES`, `BEATS`, `STALLS` to their \
         start; [1] `WIPE` (idle): zeroes the values and the eight facts of every probe, `ACTIVE`, \
         `LAYOUT`, `PROBE_ADDRESS`, and clears the lists; `BUSY` until done; [2] `RESET`: always \
         taken: abandons what is under way, empties both streams, then as `WIPE` and `CLEAR`, and \
         zeroes `ERRORS`",
    ),
    register(
        STATUS,
        "STATUS",
        Access::Read,
        "[0] `BUSY`: a packet begun and not ended, a row in a pipeline, a result not taken, or a \
         wipe; [1] some bit of `ERRORS` is set",
    ),
    register(ERRORS, "ERRORS", Access::ReadClear, "sticky, see below"),
    register(
        LAYOUT,
        "LAYOUT",
        Access::ReadWriteIdle,
        "[7:0] `HOT_BEATS`: beats of a row's hot values, 1 and more; [15:8] `COLD_BEATS`: of its \
         cold values, 0 and more; together at most `PROBE_BEATS`",
    ),
    register(
        ACTIVE,
        "ACTIVE",
        Access::ReadWriteIdle,
        "[P−1:0] probes that are searched; the others count nothing and survive nowhere",
    ),
    register(
        PROBE_ADDRESS,
        "PROBE_ADDRESS",
        Access::ReadWriteIdle,
        "[7:0] beat, [11:8] probe: where the next 16 words of `PROBE_DATA` go; the beat then \
         grows by one",
    ),
    register(
        PROBE_DATA,
        "PROBE_DATA",
        Access::WriteIdle,
        "four int8 values, the first in [7:0]; every sixteenth word completes a beat and stores \
         it. Writing `PROBE_ADDRESS` begins a beat anew",
    ),
    register(
        CYCLES_LOW,
        "CYCLES_LOW",
        Access::Read,
        "clocks with `BUSY` since `CLEAR`; reading latches `CYCLES_HIGH`",
    ),
    register(CYCLES_HIGH, "CYCLES_HIGH", Access::Read, ""),
    register(
        BEATS_LOW,
        "BEATS_LOW",
        Access::Read,
        "packet beats taken since `CLEAR`; reading latches `BEATS_HIGH`",
    ),
    register(BEATS_HIGH, "BEATS_HIGH", Access::Read, ""),
    register(
        STALLS,
        "STALLS",
        Access::Read,
        "clocks since `CLEAR` with a packet beat offered and not taken, saturating",
    ),
];

/// The eight facts of a probe.
pub const FACTS: &[Register] = &[
    register(THRESHOLD, "THRESHOLD", Access::ReadWriteIdle, "i32"),
    register(
        NORM,
        "NORM",
        Access::ReadWriteIdle,
        "[15:0] norm of the probe's cold values, rounded up",
    ),
    register(CLASS_LOW, "CLASS_LOW", Access::ReadWriteIdle, "class bits looked for"),
    register(CLASS_HIGH, "CLASS_HIGH", Access::ReadWriteIdle, ""),
    register(GROUP, "GROUP", Access::ReadWriteIdle, "u32"),
    register(
        GROUP_ANY,
        "GROUP_ANY",
        Access::ReadWriteIdle,
        "[0] every group; `GROUP` is then not asked",
    ),
    register(NOW_LOW, "NOW_LOW", Access::ReadWriteIdle, "i64, seconds"),
    register(NOW_HIGH, "NOW_HIGH", Access::ReadWriteIdle, ""),
];

/// The tables as `hw/PROTOCOL.md` prints them.
#[must_use]
pub fn tables() -> String {
    let mut text = "| offset | name | access | bits |\n|---|---|---|---|\n".to_owned();
    let mut row = |offset: &str, register: &Register| {
        let Register { name, access, bits, .. } = register;
        let bits = if bits.is_empty() { String::new() } else { format!(" {bits}") };
        let _ = writeln!(text, "| {offset} | `{name}` | {} |{bits} |", access.words());
    };
    for register in CORE {
        row(&format!("0x{:03X}", register.offset), register);
    }
    for register in FACTS {
        let offset = PROBE + register.offset;
        row(&format!("0x{offset:03X} + 0x{PROBE_STRIDE:02X}·p"), register);
    }
    text.push_str("\n| bit of `ERRORS` | name |\n|---|---|\n");
    for (bit, name) in ERROR_NAMES.iter().enumerate() {
        let _ = writeln!(text, "| {bit} | `{name}` |");
    }
    text
}

/// The names of the errors that are set.
#[must_use]
pub fn error_names(errors: u32) -> String {
    let named = ERROR_NAMES.iter().enumerate().filter(|(bit, _)| errors >> bit & 1 == 1);
    let mut names: Vec<&str> = named.map(|(_, &name)| name).collect();
    if errors >> ERROR_NAMES.len() != 0 {
        names.push("bits without a name");
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_prints_the_map() {
        let page = include_str!("../../../hw/PROTOCOL.md");
        let printed = page
            .split_once("<!-- registers: made by regs.rs -->\n")
            .and_then(|(_, rest)| rest.split_once("<!-- end -->"))
            .map(|(printed, _)| printed);
        assert_eq!(printed, Some(tables().as_str()), "print this instead:\n{}", tables());
    }

    /// What the RTL says of itself, against the map: no register more, none less.
    #[test]
    fn the_rtl_has_the_same_map() {
        let registers = include_str!("../../../hw/rtl/pc_registers.sv");
        for register in CORE {
            let Register { offset, name, .. } = register;
            let line = format!("localparam logic [11:0] {name} = 12'h{offset:03X};");
            assert!(registers.contains(&line), "pc_registers.sv has no `{line}`");
        }
        let known = registers.matches("localparam logic [11:0] ").count();
        assert_eq!(known, CORE.len(), "a register that the map does not have");
        let package = include_str!("../../../hw/rtl/pc_pkg.sv");
        for (bit, name) in ERROR_NAMES.iter().enumerate() {
            let line = format!("ERROR_{name} = {bit};");
            assert!(package.contains(&line), "pc_pkg.sv has no `{line}`");
        }
        let count = format!("ERRORS_COUNT = {};", ERROR_NAMES.len());
        assert!(package.contains(&count), "pc_pkg.sv has no `{count}`");
    }

    #[test]
    fn offsets_ascend_and_no_two_are_one() {
        for map in [CORE, FACTS] {
            assert!(map.windows(2).all(|pair| pair[0].offset < pair[1].offset));
            assert!(map.iter().all(|register| register.offset % 4 == 0));
        }
        assert!(CORE.iter().all(|register| register.offset < PROBE));
        assert!(FACTS.iter().all(|register| register.offset < PROBE_STRIDE));
    }

    #[test]
    fn errors_have_names() {
        assert_eq!(error_names(0), "");
        assert_eq!(error_names(ERROR_KIND | ERROR_BUSY_WRITE), "KIND, BUSY_WRITE");
        assert_eq!(error_names(1 << 31), "bits without a name");
    }
}
