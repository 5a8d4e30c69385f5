//! What the two children of the launcher do alike, before and while they differ: take over the descriptors they were
//! started with, write log lines, and lock themselves in. Runs in the signer and in the frontend; trusts only the
//! kernel, and what it was told by the launcher as far as it can see it confirmed.

pub mod attempt;
pub mod calls;
pub mod confine;
pub mod descriptor;
pub mod exit;
pub mod handed;
pub mod log;
pub mod reach;

pub use confine::{Bounds, Identity, LockedIn, begin, lock_in, only_three, thread};
pub use descriptor::{Descriptor, boundary, control};
pub use handed::Control;
pub use reach::Reach;
