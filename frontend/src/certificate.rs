//! A certificate (RFC 5280 section 4.1) as far as the frontend looks into one: cut into its fields, none of which is decoded
//! further than it is needed. Trusts no octet; whether the issuer signed it is for the signer to say.

use der::{Tag, TagNumber};
use x509_cert::time::Time;

use crate::tlv::{Reader, context};

/// Parts of a certificate, as they stand: names are compared and hashed by their octets, and to decode a name may reorder
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The content octets of the serial's INTEGER.
    pub serial: &'a [u8],
    /// The issuer's name, as DER.
    pub issuer: &'a [u8],
    /// notBefore, in seconds since 1970.
    pub not_before: u64,
    /// notAfter likewise, inclusive.
    pub not_after: u64,
    /// The subject's name, as DER.
    pub subject: &'a [u8],
    /// The octets of the subjectPublicKey BIT STRING: what issuerKeyHash is about.
    pub key: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Cuts one up that fills `der` from end to end.
    pub fn from_der(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut whole = outer.inside(Tag::Sequence)?;
        let mut fields = whole.inside(Tag::Sequence)?;
        if fields.next_is(context(TagNumber::N0)) {
            fields.any()?;
        }
        let serial = fields.content(Tag::Integer)?;
        fields.inside(Tag::Sequence)?; // the signature's algorithm
        let issuer = fields.whole(Tag::Sequence)?;
        let mut validity = fields.inside(Tag::Sequence)?;
        let not_before = validity.decode::<Time>()?.to_unix_duration();
        let not_after = validity.decode::<Time>()?.to_unix_duration();
        let subject = fields.whole(Tag::Sequence)?;
        let mut key = fields.inside(Tag::Sequence)?;
        key.inside(Tag::Sequence)?; // its algorithm
        let key = key.bits()?;
        whole.inside(Tag::Sequence)?;
        whole.inside(Tag::BitString)?;
        (outer.is_finished() && whole.is_finished()).then_some(Self {
            serial,
            issuer,
            not_before: not_before.as_secs(),
            not_after: not_after.as_secs(),
            subject,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).unwrap()][..], &content].concat()
    }

    #[test]
    fn a_name_stays_as_it_stands_even_where_der_would_order_it_otherwise() {
        let attribute = |name: u8| tlv(0x30, &[&[6, 3, 0x55, 4, name], &tlv(0x0c, &[b"a"])]);
        // Of one RDN, the attribute with the larger type first.
        let name = tlv(0x30, &[&tlv(0x31, &[&attribute(10), &attribute(3)])]);
        let time = tlv(0x17, &[b"240102030405Z"]);
        for version in [&[][..], &[0xa0, 3, 2, 1, 2]] {
            let tbs = tlv(
                0x30,
                &[
                    version,
                    &[2, 2, 0, 0x80, 0x30, 0],
                    &name,
                    &tlv(0x30, &[&time, &time]),
                    &name,
                    &tlv(0x30, &[&[0x30, 0, 3, 2, 0, 7]]),
                ],
            );
            let der = tlv(0x30, &[&tbs, &[0x30, 0, 3, 1, 0]]);
            let certificate = Certificate::from_der(&der).unwrap();
            let expected = Certificate {
                serial: &[0, 0x80],
                issuer: &name,
                not_before: 1_704_164_645,
                not_after: 1_704_164_645,
                subject: &name,
                key: &[7],
            };
            assert_eq!(certificate, expected);
            for cut in 0..der.len() {
                assert_eq!(Certificate::from_der(&der[..cut]), None, "{cut}");
            }
            assert_eq!(Certificate::from_der(&[&der[..], &[0]].concat()), None);
        }
    }
}
