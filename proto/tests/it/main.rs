//! What travels, to the byte, and between versions.

mod golden;
mod readers;
mod samples;
