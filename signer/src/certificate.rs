//! The few fields of a certificate that a proof needs, cut out where they stand. Used on certificates that a frontend
//! hands over: nothing in them is trusted, nothing is re-encoded, and OpenSSL sees only the octets that were signed and
//! the signature. Extensions are not read: who issued a certificate is settled by name, key and signature.

use der::asn1::BitStringRef;
use der::{Reader, SliceReader, Tag, TagNumber};

/// A certificate cut into the octets of its fields (RFC 5280 section 4.1).
pub struct Cut<'a> {
    /// tbsCertificate, which was signed.
    pub tbs: &'a [u8],
    /// signatureAlgorithm; the same octets stand within tbsCertificate.
    pub algorithm: &'a [u8],
    /// The octets of the signature.
    pub signature: &'a [u8],
    /// The content octets of the serial number.
    pub serial: &'a [u8],
    /// The issuer's Name.
    pub issuer: &'a [u8],
    /// The subject's Name.
    pub subject: &'a [u8],
    /// SubjectPublicKeyInfo.
    pub key: &'a [u8],
}

/// Cuts a certificate; none, when the octets are not one certificate from end to end.
pub fn cut(certificate: &[u8]) -> Option<Cut<'_>> {
    let mut outer = SliceReader::new(certificate).ok()?;
    let mut body = inside(outer.tlv_bytes().ok()?)?;
    let (tbs, algorithm) = (body.tlv_bytes().ok()?, body.tlv_bytes().ok()?);
    let signature: BitStringRef<'_> = body.decode().ok()?;
    if !outer.is_finished() || !body.is_finished() {
        return None;
    }

    let mut fields = inside(tbs)?;
    if fields.peek_tag().ok()?
        == (Tag::ContextSpecific {
            constructed: true,
            number: TagNumber::N0,
        })
    {
        fields.tlv_bytes().ok()?; // version
    }
    let serial = content(fields.tlv_bytes().ok()?, Tag::Integer)?;
    let inner_algorithm = fields.tlv_bytes().ok()?;
    let issuer = fields.tlv_bytes().ok()?;
    fields.tlv_bytes().ok()?; // validity
    let subject = fields.tlv_bytes().ok()?;
    let key = fields.tlv_bytes().ok()?;
    if inner_algorithm != algorithm {
        return None;
    }
    Some(Cut {
        tbs,
        algorithm,
        signature: signature.as_bytes()?,
        serial,
        issuer,
        subject,
        key,
    })
}

/// A reader over the content of a SEQUENCE.
fn inside(sequence: &[u8]) -> Option<SliceReader<'_>> {
    SliceReader::new(content(sequence, Tag::Sequence)?).ok()
}

/// The content octets of one value.
fn content(value: &[u8], tag: Tag) -> Option<&[u8]> {
    let reader = SliceReader::new(value).ok()?;
    let header = reader.peek_header().ok()?;
    if header.tag != tag {
        return None;
    }
    let length = usize::try_from(header.length).ok()?;
    value.get(value.len().checked_sub(length)?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_octets_can_panic_it() {
        let whole = include_bytes!("../tests/certificate.der");
        let cut_whole = cut(whole).unwrap();
        assert_eq!(cut_whole.serial.len(), 20);
        for end in 0..whole.len() {
            assert!(cut(&whole[..end]).is_none(), "cut at {end}");
        }
        for at in 0..whole.len() {
            for octet in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.to_vec();
                changed[at] = octet;
                let _ = cut(&changed);
            }
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(cut(&longer).is_none());
    }
}
