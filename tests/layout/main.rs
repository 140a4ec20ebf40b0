//! Holds the code to the shape that ARCHITECTURE.md describes: who may import whom, what lies where.
//!
//! A failure names the rule, the place and the way out. A rule that is wrong is changed here, with its reason.

mod files;
mod imports;
mod providers;
mod secrets;
mod settings;
mod subjects;
mod tree;
