//! ISO/IEC 19795 statistics over comparison scores: FMR, FNMR, EER, FPIR, FNIR, the DET curve. Pure.
