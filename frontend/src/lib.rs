//! `ocsp-frontend`: the process that the network reaches. It parses requests, asks status sources, keeps answers, and has
//! new ones signed by the signer on the other side of the boundary. It holds no key and trusts nobody: not its clients,
//! not its sources' form, not its signer.
//!
//! The way of a request, each room once: [`listener`] accepts (from a [`proxy`] with the address that it carries), [`http`] or
//! [`raw`] cut out the octets, [`request`] makes them a typed question, [`requestor`] says who asks where that matters,
//! [`choice`] by which key it is signed, [`answer`] finds the answer, in the [`cache`], from a source of [`status`], or from
//! the [`signer`], whose words [`response`] compares with the question, and whose signatures [`verify`] verifies. By
//! [`conditional`] nobody over HTTP is sent what it has; what it is sent has the header [`fields`] of its answer. What is kept
//! goes on to the next frontend as its [`heritage`].

pub mod admin;
pub mod answer;
pub mod cache;
pub mod certificate;
pub mod choice;
pub mod conditional;
pub mod control;
pub mod counts;
pub mod digest;
pub mod expiry;
pub mod fields;
pub mod heritage;
pub mod http;
pub mod issuer;
pub mod listener;
pub mod pem;
pub mod proxy;
pub mod raw;
pub mod request;
pub mod requestor;
pub mod response;
pub mod sandbox;
pub mod seldom;
pub mod sent;
pub mod serial;
pub mod signer;
pub mod silence;
pub mod status;
pub mod tlv;
pub mod verify;
