//! The first certificate of a file: PEM, with whatever text `openssl ca` puts before it, or DER.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// The certificate's DER; whether that is a certificate is for others to say.
pub fn certificate(octets: &[u8]) -> Option<Vec<u8>> {
    // No text has this behind a 0, so that nobody need look for another beginning.
    if let [0x30, 0x81..=0x84, ..] = octets {
        return Some(octets.to_vec());
    }
    let Some(begin) = memmem::find(octets, BEGIN) else {
        return (octets.first() == Some(&0x30)).then(|| octets.to_vec());
    };
    let body = octets.get(begin + BEGIN.len()..)?;
    let body = body.get(..memmem::find(body, END)?)?;
    let mut digits = Vec::with_capacity(body.len());
    for line in body.split(u8::is_ascii_whitespace) {
        digits.extend_from_slice(line);
    }
    STANDARD.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_as_der_is_der_whatever_stands_in_it() {
        let pem = [BEGIN, b"\nAAEC\n", END].concat();
        let der = [&[0x30, 0x82, 0, 60][..], &pem].concat();
        assert_eq!(certificate(&der), Some(der));
        assert_eq!(certificate(&pem), Some(vec![0, 1, 2]));
        let text = [b"0 is its serial\n", &pem[..]].concat();
        assert_eq!(certificate(&text), Some(vec![0, 1, 2]));
        assert_eq!(
            certificate(b"0 is its serial"),
            Some(b"0 is its serial".to_vec())
        );
        assert_eq!(certificate(b"no certificate"), None);
    }
}
