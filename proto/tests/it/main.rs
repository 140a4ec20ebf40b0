//! What travels, to the byte, and between versions.

mod golden;
mod older;
mod readers;
mod samples;
