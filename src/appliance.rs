//! The composition root: the only file that names every layer.
