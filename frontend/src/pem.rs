//! The first certificate of a file: PEM, with whatever text `openssl ca` puts before it, or DER.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// The certificate's DER; whether that is a certificate is for others to say.
pub fn certificate(octets: &[u8]) -> Option<Vec<u8>> {
    let Some(begin) = position(octets, BEGIN) else {
        return (octets.first() == Some(&0x30)).then(|| octets.to_vec());
    };
    let body = octets.get(begin + BEGIN.len()..)?;
    let body = body.get(..position(body, END)?)?;
    let body: Vec<u8> = body
        .iter()
        .copied()
        .filter(|octet| !octet.is_ascii_whitespace())
        .collect();
    STANDARD.decode(body).ok()
}

fn position(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets
        .windows(wanted.len())
        .position(|window| window == wanted)
}
