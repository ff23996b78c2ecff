//! ISO/IEC 19795 statistics over comparison scores: FMR, FNMR, EER, FPIR, FNIR, the DET curve.
//! Pure.
//!
//! The rules, once and for all:
//! * A comparison is a match when its score is **at or above** the threshold.
//! * FMR and FNMR are the algorithm's: they are shares of completed comparisons. Comparisons that
//!   were lost because a picture gave no template (failure to acquire or to enrol) are counted
//!   apart and enter the system's FAR and FRR; none is ever dropped in silence.
//! * Thresholds are given to four decimals, and every rate is computed at the threshold as given.
//! * A threshold for a rate is offered only where the sample can speak about that rate: at least
//!   3 / rate comparisons (the *rule of 3*: with fewer, even no error at all would leave the rate's
//!   95 % upper bound above it). Where there are fewer than 30 / rate (the *rule of 30*: true rate
//!   within ±30 % at 90 % confidence), the figure is marked as thin.
//! * Intervals are Wilson's, at 95 %. They take comparisons as independent. Comparisons that share
//!   a face are not, so true intervals are wider.
//! * No figure stands without the data set's name and its sizes.
//!
//! Rates of presentation attack detection have a standard of their own: [`presentation`].
//!
//! Absent: bootstrap over subjects, demographic differentials.

pub mod det;
pub mod identification;
pub mod presentation;
pub mod rates;
pub mod report;

pub use identification::Identification;
pub use rates::{Rate, Sample, SampleError, Support};
pub use report::Report;
