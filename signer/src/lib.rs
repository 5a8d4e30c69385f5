//! `ocsp-signer`: the process that holds the keys. Started by the launcher under its own user, it knows three
//! descriptors (control socket, boundary, log), opens its keys itself (or is handed them, where only root can open them), locks itself in, and signs what `policy` allows.
//! It trusts its settings, which root wrote, and the files these name; it trusts no frame of the boundary.
//!
//! The rooms: [`serve`] receives, answers and sends; [`policy`] decides what the key will say; [`response`] turns that
//! into DER; [`issuer`] holds an issuer with its [`key`]s, which [`secret`] reads; [`preset`] says what rule books ask of
//! them; [`certificate`] takes proofs apart; [`clock`] and [`memory`] are what the policy remembers; [`sandbox`] locks in.

pub mod certificate;
pub mod clock;
pub mod issuer;
pub mod key;
pub mod memory;
pub mod policy;
pub mod preset;
pub mod response;
pub mod sandbox;
pub mod secret;
pub mod serve;
