//! What a reference or a probe arrives as: an encoded image, later a data group of a passport.
