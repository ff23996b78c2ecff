//! Which scan a search takes, and how it is divided: memory-bound for few probes, on tensor cores
//! for many.
//!
//! Any choice gives the same answer; only its time differs. kernels/README.md has the sizes, a test
//! compares them.

use crate::backend::{
    cuda::{
        driver::launch::Extent,
        kernels::{Few, Kernel, Machine, Many},
    },
    gpu::pack::SlotShape,
};

/// Threads of a block of every kernel of the search.
pub(super) const THREADS: u32 = 256;
/// Shared memory of a block of the merge.
pub(in crate::backend::cuda) const MERGE_BYTES: u32 = 8_448;
/// Keys of a list that a block of either scan writes.
const FEW_PITCH: usize = 768;
const MANY_PITCH: usize = 384;
/// Rows that a block of either scan takes at a time.
const FEW_ROWS: usize = 512;
const MANY_ROWS: usize = 128;
/// Shared memory of a scan beside its probes, and for each of them beside its hot values.
const FEW_BYTES: [usize; 2] = [8_208, 64];
const MANY_BYTES: [usize; 2] = [54_032, 80];
/// Probes up to which the memory-bound scan is taken.
const FEW_MAX: usize = 4;
/// Bytes of all lists of a search at most.
const LISTS_BYTES_MAX: usize = 256 << 20;
/// Bytes of a key.
pub(super) const KEY: usize = 8;

/// Numbers of probes that lead to every scan that there is for templates of any usual length.
pub(super) fn beforehand() -> impl Iterator<Item = usize> {
    Few::ALL.map(Few::probes).into_iter().chain(Many::ALL.map(Many::probes))
}

/// A way to scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) kernel: Kernel,
    /// Probes a pass.
    pub(super) probes: usize,
    pub(super) shared_bytes: u32,
    /// Keys of a list.
    pub(super) pitch: usize,
    /// Rows that a block takes at a time.
    rows: usize,
}

impl Choice {
    /// For `probes` probes over slots of `shape`.
    pub(super) fn of(probes: usize, shape: SlotShape, machine: Machine) -> Self {
        let quads = shape.hot_quads();
        let fits = |choice: &Self| choice.shared_bytes <= machine.shared_bytes_max;
        let many = Many::ALL.into_iter().rev().map(|many| Self::many(many, quads));
        // The largest that the probes fill, else the smallest.
        let mut many = many
            .filter(fits)
            .filter(|choice| choice.probes <= probes.max(Many::ThirtyTwo.probes()));
        match many.next() {
            Some(choice) if probes > FEW_MAX => choice,
            _ => {
                let enough = Few::ALL.into_iter().find(|few| few.probes() >= probes);
                let few = enough.unwrap_or(Few::Eight);
                Self::few(few, quads)
            }
        }
    }

    fn few(few: Few, quads: usize) -> Self {
        let [fixed, each] = FEW_BYTES;
        let bytes = fixed + few.probes() * (each + 16 * quads);
        Self {
            kernel: Kernel::Scan(few),
            probes: few.probes(),
            shared_bytes: u32::try_from(bytes).expect("templates are bounded"),
            pitch: FEW_PITCH,
            rows: FEW_ROWS,
        }
    }

    fn many(many: Many, quads: usize) -> Self {
        let [fixed, each] = MANY_BYTES;
        let bytes = fixed + many.probes() * (each + 16 * quads.next_multiple_of(2));
        Self {
            kernel: Kernel::Matrix(many),
            probes: many.probes(),
            shared_bytes: u32::try_from(bytes).expect("templates are bounded"),
            pitch: MANY_PITCH,
            rows: MANY_ROWS,
        }
    }

    /// Blocks on x, and so lists of each probe: as many as run at once, where `resident` run on a
    /// multiprocessor, and as there is work for.
    pub(super) fn blocks(
        &self,
        probes: usize,
        (pieces, slot_rows): (usize, usize),
        machine: Machine,
        resident: usize,
    ) -> usize {
        let passes = probes.div_ceil(self.probes).max(1);
        let at_once = (machine.multiprocessors * resident.max(1)).div_ceil(passes);
        let work = pieces * slot_rows.div_ceil(self.rows);
        let most = LISTS_BYTES_MAX / (probes.max(1) * self.pitch * KEY);
        at_once.min(work).min(most).max(1)
    }

    /// The launch over `blocks` blocks on x.
    pub(super) fn extent(&self, probes: usize, blocks: usize) -> Extent {
        let word = |value: usize| u32::try_from(value).expect("counts were bounded");
        Extent {
            blocks: [word(blocks), word(probes.div_ceil(self.probes)), 1],
            threads: [THREADS, 1],
            shared_bytes: self.shared_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tile::TileLayout;

    const LARGE: Machine = Machine { multiprocessors: 132, shared_bytes_max: 232_448, stages: 4 };
    const SMALL: Machine = Machine { multiprocessors: 20, shared_bytes_max: 65_536, stages: 2 };

    fn shape(hot_dims: usize) -> SlotShape {
        SlotShape::of(TileLayout { dims: 512, hot_dims, rows: 1024 }, false)
    }

    #[test]
    fn few_probes_stream_and_many_fill_the_tensor_cores() {
        let kernel = |probes| Choice::of(probes, shape(128), LARGE).kernel;
        assert_eq!(kernel(1), Kernel::Scan(Few::One));
        assert_eq!([2, 3, 4].map(kernel), [Few::Two, Few::Four, Few::Four].map(Kernel::Scan));
        assert_eq!([5, 32, 63].map(kernel), [Kernel::Matrix(Many::ThirtyTwo); 3]);
        assert_eq!([64, 127].map(kernel), [Kernel::Matrix(Many::SixtyFour); 2]);
        assert_eq!([128, 4096].map(kernel), [Kernel::Matrix(Many::Hundred28); 2]);
    }

    #[test]
    fn what_does_not_fit_a_block_is_not_chosen() {
        // All of a long template in the hot plane.
        for probes in [5, 64, 1000] {
            let choice = Choice::of(probes, shape(512), SMALL);
            assert_eq!(choice.kernel, Kernel::Scan(Few::Eight));
        }
        for probes in [1, 5, 64, 1000] {
            for hot_dims in [0, 16, 128, 512] {
                for machine in [SMALL, LARGE] {
                    let choice = Choice::of(probes, shape(hot_dims), machine);
                    assert!(choice.shared_bytes <= machine.shared_bytes_max, "{choice:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_run_beforehand_is_what_a_search_will_take() {
        for machine in [SMALL, LARGE] {
            for hot_dims in [16, 128] {
                let kernel = |probes| Choice::of(probes, shape(hot_dims), machine).kernel;
                let ran: Vec<Kernel> = beforehand().map(kernel).collect();
                for probes in 1..=300 {
                    let kernel = kernel(probes);
                    assert!(ran.contains(&kernel), "{kernel:?} of {probes} probes");
                    assert!(Kernel::of_search().any(|one| one == kernel), "{kernel:?}");
                }
            }
        }
    }

    #[test]
    fn blocks_are_as_many_as_run_at_once_and_find_work() {
        let one = Choice::of(1, shape(128), LARGE);
        assert_eq!(one.blocks(1, (1000, 1024), LARGE, 4), 528);
        assert_eq!(one.blocks(1, (3, 1024), LARGE, 4), 6);
        assert_eq!(one.blocks(1, (0, 1024), LARGE, 4), 1);
        let many = Choice::of(1024, shape(128), LARGE);
        let blocks = many.blocks(1024, (1000, 1024), LARGE, 1);
        assert_eq!((blocks, many.extent(1024, blocks).blocks), (17, [17, 8, 1]));
        // Lists never take more than their bound, however many probes there are.
        let blocks = many.blocks(1 << 16, (1 << 20, 1024), LARGE, 1);
        assert!(blocks * (1 << 16) * many.pitch * KEY <= LISTS_BYTES_MAX || blocks == 1);
    }

    #[test]
    fn the_kernels_say_the_same_of_their_memory() {
        let told = include_str!("../../../../kernels/README.md");
        let grouped = |bytes: usize| {
            let digits = bytes.to_string();
            match digits.len() {
                0..=3 => digits,
                long => format!("{},{}", &digits[..long - 3], &digits[long - 3..]),
            }
        };
        let few = format!("{} + P · ({} + 16 · hot_quads)", grouped(FEW_BYTES[0]), FEW_BYTES[1]);
        let many =
            format!("{} + N · ({} + 16 · even(hot_quads))", grouped(MANY_BYTES[0]), MANY_BYTES[1]);
        let pitches =
            format!("{FEW_PITCH} for `search_scan_*`, {MANY_PITCH} for `search_matrix_*`");
        for held in [few, many, pitches, grouped(MERGE_BYTES as usize)] {
            assert!(told.contains(&held), "kernels/README.md does not say `{held}`");
        }
    }
}
