//! To be filled.
pub mod assets;
pub mod pages;
