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

    // Field by field, each of its own kind: an issuer's key signs CRLs, too, which begin much alike.
    let mut fields = inside(tbs)?;
    if fields.peek_tag().ok()? == VERSION {
        fields.tlv_bytes().ok()?;
    }
    let serial = content(fields.tlv_bytes().ok()?, Tag::Integer)?;
    let inner_algorithm = sequence(&mut fields)?;
    let issuer = sequence(&mut fields)?;
    let validity = sequence(&mut fields)?;
    let subject = sequence(&mut fields)?;
    let key = sequence(&mut fields)?;
    if inner_algorithm != algorithm || !is_validity(validity) || !is_key(key) {
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

const VERSION: Tag = Tag::ContextSpecific {
    constructed: true,
    number: TagNumber::N0,
};

/// The next value, which is a SEQUENCE.
fn sequence<'a>(fields: &mut SliceReader<'a>) -> Option<&'a [u8]> {
    let value = fields.tlv_bytes().ok()?;
    content(value, Tag::Sequence).map(|_| value)
}

/// Two times.
fn is_validity(validity: &[u8]) -> bool {
    let is_time = |tag| matches!(tag, Tag::UtcTime | Tag::GeneralizedTime);
    tags(validity).is_some_and(|tags| tags.len() == 2 && tags.into_iter().all(is_time))
}

/// An algorithm and a BIT STRING.
fn is_key(key: &[u8]) -> bool {
    tags(key).is_some_and(|tags| tags == [Tag::Sequence, Tag::BitString])
}

/// The kinds of the values within a SEQUENCE.
fn tags(sequence: &[u8]) -> Option<Vec<Tag>> {
    let mut values = inside(sequence)?;
    let mut tags = Vec::new();
    while !values.is_finished() {
        tags.push(values.peek_tag().ok()?);
        values.tlv_bytes().ok()?;
    }
    Some(tags)
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
