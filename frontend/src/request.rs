//! An OCSPRequest (RFC 6960 section 4.1) from DER to types: everything that a client can get wrong about its form is
//! found here, and nothing is looked up. Trusts no octet.

use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::oid::db::rfc5912::{ID_SHA_1, ID_SHA_256, ID_SHA_384, ID_SHA_512};
use der::oid::db::rfc6960::ID_PKIX_OCSP_NONCE;
use der::{Any, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use ocsp_wire::{HashAlgorithm, Octets, Parameters};
use x509_cert::ext::Extension;
use x509_ocsp::Request;

use crate::tlv::{context, inside};

/// Certificates in one request.
const MOST: usize = 100;

/// What a client asks.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// At least one certificate.
    pub items: Vec<CertId>,
    /// To be echoed (RFC 9654).
    pub nonce: Option<Octets<128>>,
}

/// A CertID, all of whose octets can be echoed.
#[derive(Debug, PartialEq, Eq)]
pub struct CertId {
    /// The hash algorithm.
    pub hash: Hash,
    /// The form of its parameters.
    pub parameters: Parameters,
    /// issuerNameHash
    pub name_hash: Octets<64>,
    /// issuerKeyHash
    pub key_hash: Octets<64>,
    /// The content octets of the serial's INTEGER.
    pub serial: Octets<21>,
}

/// The hash algorithm of a CertID.
#[derive(Debug, PartialEq, Eq)]
pub enum Hash {
    /// One that we answer.
    Known(HashAlgorithm),
    /// Any other, as the content octets of its OBJECT IDENTIFIER.
    Other(Octets<32>),
}

/// The request is not what the standard calls one: the answer is *malformedRequest*.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Octets of an OCSPRequest, header included.
pub const LARGEST: usize = 64 << 10;

/// How long the SEQUENCE is that begins with some octets, its header included.
#[derive(Debug, PartialEq, Eq)]
pub enum Length {
    /// So many octets, at most [`LARGEST`].
    Known(usize),
    /// The header is not complete.
    Short,
    /// No request begins like this.
    Impossible,
}

/// Looks at a request's header.
pub fn length(octets: &[u8]) -> Length {
    let length = match octets {
        [] | [0x30] | [0x30, 0x81] | [0x30, 0x82] | [0x30, 0x82, _] => return Length::Short,
        [0x30, length @ 0..=0x7f, ..] => 2 + usize::from(*length),
        [0x30, 0x81, length, ..] => 3 + usize::from(*length),
        [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Length::Impossible,
    };
    if length > LARGEST {
        Length::Impossible
    } else {
        Length::Known(length)
    }
}

/// Reads a request that fills `der` from end to end.
pub fn parse(der: &[u8]) -> Result<Question, Malformed> {
    let (list, extensions) = cut(der).ok_or(Malformed)?;
    let list = Vec::<Request>::from_der(list).map_err(|_| Malformed)?;
    if list.is_empty() || list.len() > MOST {
        return Err(Malformed);
    }
    let extensions = match extensions {
        None => Vec::new(),
        Some(extensions) => Vec::<Extension>::from_der(extensions).map_err(|_| Malformed)?,
    };
    let nonce = nonce(&extensions)?;
    let items = list
        .into_iter()
        .map(|request| {
            if request
                .single_request_extensions
                .iter()
                .flatten()
                .any(|extension| extension.critical)
            {
                return Err(Malformed);
            }
            cert_id(request.req_cert)
        })
        .collect::<Result<_, _>>()?;
    Ok(Question { items, nonce })
}

/// The two parts of a request that we read, requestList and requestExtensions. requestorName and the signature are passed
/// over as they stand: we do not ask who asks (RFC 9919 section 3.1.2), and to decode a name of thousands of parts takes a
/// second.
fn cut(der: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut outer = SliceReader::new(der).ok()?;
    let mut request = inside(&mut outer, Tag::Sequence)?;
    let mut fields = inside(&mut request, Tag::Sequence)?;
    if !request.is_finished() {
        inside(&mut request, context(TagNumber::N0))?; // optionalSignature
    }
    if fields.peek_tag().ok()? == context(TagNumber::N0) {
        let version = inside(&mut fields, context(TagNumber::N0))?
            .tlv_bytes()
            .ok()?;
        if version != [0x02, 0x01, 0x00] {
            return None;
        }
    }
    if fields.peek_tag().ok()? == context(TagNumber::N1) {
        inside(&mut fields, context(TagNumber::N1))?; // requestorName
    }
    let list = fields.tlv_bytes().ok()?;
    let extensions = if fields.is_finished() {
        None
    } else {
        let mut explicit = inside(&mut fields, context(TagNumber::N2))?;
        let extensions = explicit.tlv_bytes().ok()?;
        explicit.is_finished().then_some(Some(extensions))?
    };
    let whole = outer.is_finished() && request.is_finished() && fields.is_finished();
    whole.then_some((list, extensions))
}

/// The nonce, which stands at most once and is an OCTET STRING of 1 to 128 octets within the extension's own. Other
/// extensions are ignored unless they are critical.
fn nonce(extensions: &[Extension]) -> Result<Option<Octets<128>>, Malformed> {
    let mut found = None;
    for extension in extensions {
        if extension.extn_id == ID_PKIX_OCSP_NONCE {
            let octets =
                OctetStringRef::from_der(extension.extn_value.as_bytes()).map_err(|_| Malformed)?;
            let nonce = Octets::new(octets.as_bytes()).map_err(|_| Malformed)?;
            if nonce.is_empty() || found.replace(nonce).is_some() {
                return Err(Malformed);
            }
        } else if extension.critical {
            return Err(Malformed);
        }
    }
    Ok(found)
}

fn cert_id(id: x509_ocsp::CertId) -> Result<CertId, Malformed> {
    Ok(CertId {
        hash: hash(&id.hash_algorithm.oid)?,
        parameters: parameters(id.hash_algorithm.parameters.as_ref())?,
        name_hash: octets(id.issuer_name_hash.as_bytes())?,
        key_hash: octets(id.issuer_key_hash.as_bytes())?,
        serial: octets(id.serial_number.as_bytes())?,
    })
}

fn octets<const MAX: usize>(octets: &[u8]) -> Result<Octets<MAX>, Malformed> {
    Octets::new(octets).map_err(|_| Malformed)
}

fn hash(oid: &ObjectIdentifier) -> Result<Hash, Malformed> {
    Ok(match *oid {
        ID_SHA_1 => Hash::Known(HashAlgorithm::Sha1),
        ID_SHA_256 => Hash::Known(HashAlgorithm::Sha256),
        ID_SHA_384 => Hash::Known(HashAlgorithm::Sha384),
        ID_SHA_512 => Hash::Known(HashAlgorithm::Sha512),
        other => Hash::Other(octets(other.as_bytes())?),
    })
}

/// The content octets of a hash algorithm's OBJECT IDENTIFIER.
pub fn oid(hash: &Hash) -> Octets<32> {
    match hash {
        Hash::Known(algorithm) => {
            Octets::new(known_oid(*algorithm).as_bytes()).unwrap_or_else(|_| Octets::empty())
        }
        Hash::Other(octets) => octets.clone(),
    }
}

/// The OBJECT IDENTIFIER of a hash algorithm that we answer.
pub fn known_oid(algorithm: HashAlgorithm) -> ObjectIdentifier {
    match algorithm {
        HashAlgorithm::Sha1 => ID_SHA_1,
        HashAlgorithm::Sha256 => ID_SHA_256,
        HashAlgorithm::Sha384 => ID_SHA_384,
        HashAlgorithm::Sha512 => ID_SHA_512,
    }
}

/// Hash functions have no parameters: NULL and nothing are both in use (RFC 5754 section 2), anything else is not.
pub fn parameters(parameters: Option<&Any>) -> Result<Parameters, Malformed> {
    match parameters {
        None => Ok(Parameters::Absent),
        Some(any) if any.tag() == Tag::Null && any.value().is_empty() => Ok(Parameters::Null),
        Some(_) => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let length = u8::try_from(body.len()).unwrap();
        let header = if length < 128 {
            vec![tag, length]
        } else {
            vec![tag, 0x81, length]
        };
        [header, body].concat()
    }

    const SHA1: &[u8] = &[6, 5, 0x2b, 0x0e, 3, 2, 0x1a];
    const NULL: &[u8] = &[5, 0];

    fn request(algorithm: &[&[u8]], serial: &[u8], extensions: &[&[u8]]) -> Vec<u8> {
        let id = tlv(
            0x30,
            &[
                &tlv(0x30, algorithm),
                &tlv(4, &[&[1; 20]]),
                &tlv(4, &[&[2; 20]]),
                &tlv(2, &[serial]),
            ],
        );
        let list = tlv(0x30, &[&tlv(0x30, &[&id])]);
        let extensions = if extensions.is_empty() {
            vec![]
        } else {
            tlv(0xa2, &[&tlv(0x30, extensions)])
        };
        tlv(0x30, &[&tlv(0x30, &[&list, &extensions])])
    }

    fn nonce_of(octets: &[u8]) -> Vec<u8> {
        let oid = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2];
        tlv(0x30, &[&oid, &tlv(4, &[&tlv(4, &[octets])])])
    }

    #[test]
    fn serial_octets_come_out_as_they_stand() {
        let twenty = [[0].as_slice(), &[0xff; 20]].concat();
        for serial in [
            &[1][..],
            &[0x7f, 1],
            &[0, 0x80],
            &[0],
            &[0x80],
            &[0xff, 0x7f],
            &twenty,
        ] {
            let question = parse(&request(&[SHA1, NULL], serial, &[])).unwrap();
            assert_eq!(&*question.items[0].serial, serial);
        }
    }

    #[test]
    fn both_forms_of_parameters_are_kept_apart_and_others_refused() {
        let parameters = |algorithm: &[&[u8]]| {
            parse(&request(algorithm, &[1], &[])).map(|q| q.items[0].parameters)
        };
        assert_eq!(parameters(&[SHA1, NULL]), Ok(Parameters::Null));
        assert_eq!(parameters(&[SHA1]), Ok(Parameters::Absent));
        assert_eq!(parameters(&[SHA1, &[2, 1, 1]]), Err(Malformed));
    }

    #[test]
    fn a_nonce_stands_once_wrapped_and_has_1_to_128_octets() {
        let nonce = |extensions: &[&[u8]]| {
            parse(&request(&[SHA1, NULL], &[1], extensions))
                .map(|question| question.nonce.map(|nonce| nonce.len()))
        };
        assert_eq!(nonce(&[]), Ok(None));
        assert_eq!(nonce(&[&nonce_of(&[7; 1])]), Ok(Some(1)));
        assert_eq!(nonce(&[&nonce_of(&[7; 32])]), Ok(Some(32)));
        assert_eq!(nonce(&[&nonce_of(&[])]), Err(Malformed));
        assert_eq!(
            nonce(&[&nonce_of(&[7; 32]), &nonce_of(&[7; 32])]),
            Err(Malformed)
        );
        let bare = tlv(
            0x30,
            &[
                &[6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2],
                &tlv(4, &[&[7; 16]]),
            ],
        );
        assert_eq!(nonce(&[&bare]), Err(Malformed));
        let long = [7; 40];
        assert_eq!(nonce(&[&nonce_of(&long)]), Ok(Some(40)));
    }

    #[test]
    fn only_critical_extensions_that_are_not_known_are_refused() {
        let other =
            |critical: &[u8]| tlv(0x30, &[&[6, 3, 0x2a, 3, 4], critical, &tlv(4, &[&[5, 0]])]);
        assert!(parse(&request(&[SHA1, NULL], &[1], &[&other(&[])])).is_ok());
        assert_eq!(
            parse(&request(&[SHA1, NULL], &[1], &[&other(&[1, 1, 0xff])])),
            Err(Malformed)
        );
    }

    #[test]
    fn who_asks_is_passed_over_whatever_it_is_and_nothing_else_is() {
        let whole = request(&[SHA1, NULL], &[1], &[]);
        let list = &whole[4..]; // within two headers
        let with = |before: &[u8], after: &[u8]| {
            let tbs = tlv(0x30, &[before, list]);
            parse(&tlv(0x30, &[&tbs, after])).is_ok()
        };
        assert!(with(&[], &[]));
        let (version, name) = (&[0xa0, 3, 2, 1, 0][..], &[0xa1, 4, 0x30, 2, 5, 0][..]);
        assert!(with(version, &[]) && with(name, &[]) && with(&[version, name].concat(), &[]));
        assert!(with(name, &[0xa0, 2, 5, 0]));
        assert!(!with(&[0xa0, 3, 2, 1, 1], &[]), "another version");
        assert!(!with(&[name, version].concat(), &[]), "another order");
        assert!(!with(&[0xa1, 9, 0x30], &[]), "a length beyond the end");
        assert!(!with(&[], &[0xa1, 0]), "something behind it");
        assert!(!with(&[], &[0xa0, 0, 0xa0, 0]), "two signatures");
    }

    #[test]
    fn every_prefix_and_every_trailing_octet_is_malformed_and_no_change_panics() {
        let whole = request(&[SHA1, NULL], &[1, 2, 3], &[&nonce_of(&[7; 16])]);
        assert!(parse(&whole).is_ok());
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), Err(Malformed));
        }
        assert_eq!(parse(&[whole.as_slice(), &[0]].concat()), Err(Malformed));
        for at in 0..whole.len() {
            for octet in 0..=255 {
                let mut changed = whole.clone();
                changed[at] = octet;
                let _ = parse(&changed);
            }
        }
    }
}
