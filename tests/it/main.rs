//! The product driven from outside, and the rules that hold for the tree as a whole.

mod layers;
