//! Every object of a small volume is flipped, cut and deleted.
