//! Frames from a child: what the signer says to the frontend, and both to the launcher. The first octet says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ocsp_fuzz::frames::read;
use ocsp_wire::{FromSigner, Report};

fuzz_target!(|octets: &[u8]| {
    match octets.split_first() {
        Some((direction, octets)) if direction % 2 == 0 => read::<FromSigner>(octets),
        Some((_, octets)) => read::<Report>(octets),
        None => {}
    }
});
