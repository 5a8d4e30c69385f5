//! Frames towards a child: what the frontend says to the signer, and the launcher to both. The first octet says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ocsp_fuzz::frames::read;
use ocsp_wire::{FrontendOrder, SignerOrder, ToSigner};

fuzz_target!(|octets: &[u8]| {
    let Some((direction, octets)) = octets.split_first() else {
        return;
    };
    match direction % 4 {
        0 | 1 => read::<ToSigner>(octets),
        2 => read::<SignerOrder>(octets),
        _ => read::<FrontendOrder>(octets),
    }
});
