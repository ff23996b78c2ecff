//! Enrolled subjects, row by row, in immutable generations.
