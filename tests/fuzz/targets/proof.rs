//! A certificate as proof. Only what an issuer signed verifies; the frontend, the signer and OpenSSL find the same serial and
//! the same issuer in it, where they find any; and of a PEM file, the DER is the same once it is written anew.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use ocsp_frontend::certificate::Certificate;
use ocsp_frontend::pem;
use ocsp_fuzz::mutate;
use ocsp_signer::certificate::{Cut, cut};
use ocsp_signer::key::PublicKey;
use openssl::bn::BigNum;
use openssl::x509::X509;

/// Certificates of issuers that signed themselves, one for each kind of key.
const SIGNED: [&[u8]; 4] = [
    include_bytes!("../seeds/proof/rsa.der"),
    include_bytes!("../seeds/proof/p256.der"),
    include_bytes!("../seeds/proof/ed25519.der"),
    include_bytes!("../seeds/proof/ed448.der"),
];

static ISSUERS: LazyLock<[(PublicKey, Cut<'static>); 4]> = LazyLock::new(|| {
    SIGNED.map(|certificate| {
        let cut = cut(certificate).unwrap();
        let key = PublicKey::new(cut.key).unwrap();
        assert!(key.verify(cut.algorithm, cut.tbs, cut.signature));
        (key, cut)
    })
});

fuzz_target!(|octets: &[u8]| {
    let found = pem::certificate(octets);
    if let Some(der) = &found {
        let text = format!(
            "text\n-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(der)
        );
        assert_eq!(pem::certificate(text.as_bytes()).as_ref(), Some(der));
    }
    let der = found.as_deref().unwrap_or(octets);
    let theirs = Certificate::from_der(der);
    let Some(ours) = cut(der) else {
        return;
    };
    if let Some(theirs) = theirs {
        let (theirs, ours) = (
            (theirs.serial, theirs.issuer, theirs.subject),
            (ours.serial, ours.issuer, ours.subject),
        );
        assert_eq!(theirs, ours);
    }
    for (key, signed) in &*ISSUERS {
        if key.verify(ours.algorithm, ours.tbs, ours.signature) {
            assert_eq!(ours.tbs, signed.tbs);
        }
    }
    if let Ok(read) = X509::from_der(der) {
        let positive = ours.serial.first().is_some_and(|first| *first < 0x80);
        if positive {
            let serial = read.serial_number().to_bn().unwrap();
            assert_eq!(serial, BigNum::from_slice(ours.serial).unwrap());
        }
        assert_eq!(read.issuer_name().to_der().unwrap(), ours.issuer);
    }
    if let Ok(key) = PublicKey::new(ours.key) {
        key.verify(ours.algorithm, ours.tbs, ours.signature);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    mutate::der(data, size, most, seed)
});
