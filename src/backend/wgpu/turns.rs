//! How often the loops of a shader turn.
//!
//! Mesa's simulated device ends a lane after 65,535 turns of all its loops together, without a
//! word: the lane then holds half a sum. Steps of a network are therefore counted when it is loaded
//! ([`super::plan`]), frames when they are fed ([`super::feed`]), and the search takes few pieces
//! at a time ([`super::search`]), which the tests here hold it to.
//!
//! Invariant: counts are never too small. The device's compiler may unroll a loop and so turn less
//! often.

use super::{layout::Job, plan::CONV_DEPTH, shaders::Shader};

/// Turns after which a lane of Mesa's simulated device ends.
pub(super) const SIMULATED_TURNS_MAX: u64 = 65_535;

/// Positions that a lane of conv2d.wgsl fetches and finishes, four channels at a time.
const CONV_FETCHED: u64 = 8;
const CONV_FINISHED: u64 = 4 * 4;
/// Lanes of dense.wgsl that divide the inputs, and turns in which they add up their shares.
const DENSE_SHARES: u64 = 32;
const DENSE_REACHES: u64 = 5;

/// Turns of the loops of one lane of `shader`, of a network's step that is told `job`.
pub(super) fn of_step(shader: Shader, job: &Job) -> u64 {
    let product = |factors: [u32; 3]| {
        factors.into_iter().fold(1_u64, |product, factor| product.saturating_mul(factor.into()))
    };
    match shader {
        Shader::Conv2d { .. } => {
            let depth = product([job.kernel_h, job.kernel_w, job.in_c]);
            let step = 1 + CONV_FETCHED + CONV_DEPTH as u64;
            let steps = depth.div_ceil(CONV_DEPTH as u64).saturating_mul(step);
            steps.saturating_add(CONV_FETCHED + CONV_FINISHED)
        }
        Shader::Dense { .. } => {
            product([job.in_h, job.in_w, job.in_c]).div_ceil(DENSE_SHARES) + DENSE_REACHES
        }
        Shader::Depthwise | Shader::MaxPool => {
            u64::from(job.kernel_h).saturating_mul(u64::from(job.kernel_w) + 1)
        }
        Shader::GlobalAverage => product([job.in_h, job.in_w, 1]),
        Shader::Softmax => product([3, job.out_c, 1]),
        Shader::Add
        | Shader::Affine
        | Shader::Concat
        | Shader::Fit { .. }
        | Shader::Merge(_)
        | Shader::Scale
        | Shader::Scan(_)
        | Shader::Upsample
        | Shader::Warp => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        backend::wgpu::{
            search::{PASS_PIECES_SIMULATED, PIECE_ROWS_MAX},
            shaders::{Lists, SEARCH_LANES},
        },
        limits::{CANDIDATES_MAX, DIMS_MAX},
    };

    /// The lists that the search chooses, with the most entries that each is asked for.
    fn variants() -> [(Lists, usize); 4] {
        [(8, 64), (1, 64), (4, CANDIDATES_MAX), (1, CANDIDATES_MAX)]
            .map(|(probes, best)| (Lists::of(probes, best), best))
    }

    /// Turns of `order` in search.wgsl, for a list of `many` entries.
    fn of_order(lists: Lists, many: usize) -> usize {
        (lists.kept + SEARCH_LANES).div_ceil(SEARCH_LANES) * (many + 2)
    }

    /// Turns of `weed` that finds nothing to do.
    fn of_weed(lists: Lists) -> usize {
        2 * lists.probes
    }

    #[test]
    fn a_scan_ends_before_its_lanes_are_ended() {
        for (lists, _) in variants() {
            let listed = lists.kept + SEARCH_LANES;
            let quads = DIMS_MAX.div_ceil(16) + 1;
            let weeded = of_weed(lists) + lists.probes * of_order(lists, listed);
            // Hot values of all probes together, cold ones probe by probe: `quads` are both.
            let round = quads * (1 + lists.probes) + lists.probes + weeded;
            let written = lists.probes * (2 + listed.div_ceil(SEARCH_LANES));
            let all = PIECE_ROWS_MAX.div_ceil(SEARCH_LANES) * (1 + round) + weeded + written;
            assert!((all as u64) < SIMULATED_TURNS_MAX, "{lists:?}: {all}");
        }
    }

    /// Turns of `merge` in search.wgsl over one round of pieces, whose lists hold distinct `ranks`,
    /// the best (the smallest) first, after a result that is as long as it gets.
    fn of_merge(lists: Lists, best: usize, ranks: &[Vec<u32>]) -> usize {
        let listed = lists.kept + SEARCH_LANES;
        let mut turns = of_order(lists, listed) + lists.kept.div_ceil(SEARCH_LANES) + 1;
        let (mut held, mut last): (Vec<u32>, Option<u32>) = (Vec::new(), None);
        let order = |held: &mut Vec<u32>, last: &mut Option<u32>, turns: &mut usize| {
            *turns += of_order(lists, held.len());
            held.sort_unstable();
            held.truncate(best);
            *last = (held.len() == best).then(|| held[best - 1]);
        };
        let mut waiting: Vec<&[u32]> = ranks.iter().map(Vec::as_slice).collect();
        loop {
            let before = held.len();
            for waits in &mut waiting {
                match waits.split_first() {
                    Some((&rank, rest)) if last.is_none_or(|last| rank < last) => {
                        held.push(rank);
                        *waits = rest;
                    }
                    _ => *waits = &[],
                }
            }
            let many = held.len() - before;
            turns += 1;
            if many == 0 {
                break;
            }
            assert!(held.len() <= listed, "a hit finds no room");
            turns += of_weed(lists);
            if held.len() > listed - many {
                order(&mut held, &mut last, &mut turns);
            }
        }
        turns += 2 * of_weed(lists) + lists.kept.div_ceil(SEARCH_LANES);
        order(&mut held, &mut last, &mut turns);
        order(&mut held, &mut last, &mut turns);
        turns
    }

    /// Lists of `length` ranks each for every piece of a pass, drawn in turns that `next` names.
    fn dealt(length: usize, mut next: impl FnMut(&[Vec<u32>]) -> usize) -> Vec<Vec<u32>> {
        let mut lists = vec![Vec::new(); PASS_PIECES_SIMULATED];
        for rank in 0..(PASS_PIECES_SIMULATED * length) as u32 {
            let wished = next(&lists) % PASS_PIECES_SIMULATED;
            let open = (wished..).map(|at| at % PASS_PIECES_SIMULATED);
            let at = open.take(PASS_PIECES_SIMULATED).find(|&at| lists[at].len() < length);
            lists[at.expect("as many ranks as places")].push(rank);
        }
        lists
    }

    fn assert_merge_ends(ranks: &[Vec<u32>]) {
        for (lists, best) in variants() {
            let cut: Vec<Vec<u32>> =
                ranks.iter().map(|list| list[..best.min(list.len())].to_vec()).collect();
            let turns = of_merge(lists, best, &cut) as u64;
            assert!(turns < SIMULATED_TURNS_MAX, "{lists:?}: {turns}");
        }
    }

    #[test]
    fn a_merge_ends_before_its_lanes_are_ended() {
        // One list wholly better than the next; in turn; and each a little longer than the next
        // among the best, so that as many as can be stay in play for as long as can be.
        assert_merge_ends(&dealt(CANDIDATES_MAX, |_| 0));
        let mut turn = 0;
        assert_merge_ends(&dealt(CANDIDATES_MAX, |_| {
            turn += 1;
            turn - 1
        }));
        for backwards in [false, true] {
            assert_merge_ends(&dealt(CANDIDATES_MAX, |lists| {
                let share = |at: usize| (1 + lists[at].len()) * (1 + at);
                let least = (0..lists.len()).min_by_key(|&at| share(at)).expect("there are lists");
                if backwards { lists.len() - 1 - least } else { least }
            }));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_merge_ends_however_the_hits_lie(seed: u64, steepness in 0_u32..8) {
            let mut state = seed | 1;
            assert_merge_ends(&dealt(CANDIDATES_MAX, |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let wide = (state >> 33) as usize % PASS_PIECES_SIMULATED;
                wide >> ((state >> 60) & u64::from(steepness))
            }));
        }
    }

    #[test]
    fn a_step_counts_what_its_loops_do() {
        let job = Job { in_h: 257, in_w: 256, in_c: 9, kernel_h: 3, kernel_w: 2, ..Job::default() };
        assert_eq!(of_step(Shader::GlobalAverage, &job), 257 * 256);
        assert_eq!(of_step(Shader::MaxPool, &job), 3 * 3);
        assert_eq!(of_step(Shader::Dense { halved: false }, &job), 257 * 8 * 9 + 5);
        assert_eq!(of_step(Shader::Conv2d { pointwise: false }, &job), 4 * 25 + 24);
        let huge = Job { kernel_h: u32::MAX, kernel_w: u32::MAX, in_c: u32::MAX, ..job };
        assert!(of_step(Shader::Conv2d { pointwise: false }, &huge) > SIMULATED_TURNS_MAX);
    }
}
