//! What the targets share. Each target is one file in `targets/`, about one parser: it feeds octets, and what the parser takes
//! must then hold. `run` builds and runs them.

pub mod frames;
pub mod mutate;
mod scene;

pub use scene::{Authority, Scene, questions, tlv};
