//! Text in, configuration out; unknown keys are refused.
