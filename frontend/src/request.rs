//! An OCSPRequest (RFC 6960 section 4.1) from DER to types: everything that a client can get wrong about its form is
//! found here, and nothing is looked up. Trusts no octet.

use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::oid::db::rfc5912::{ID_SHA_1, ID_SHA_256, ID_SHA_384, ID_SHA_512};
use der::oid::db::rfc6960::{
    ID_PKIX_OCSP_BASIC, ID_PKIX_OCSP_NONCE, ID_PKIX_OCSP_PREF_SIG_ALGS, ID_PKIX_OCSP_RESPONSE,
};
use der::{Decode, Tag, TagNumber};
use ocsp_wire::{HashAlgorithm, Octets, Parameters};
use x509_cert::ext::Extension;
use x509_cert::spki::AlgorithmIdentifierRef;

use crate::issuer::ALGORITHMS;
use crate::tlv::{Reader, context};

/// Certificates in one request.
const MOST: usize = 100;

/// Signature algorithms that a client may prefer, one before the other.
const MOST_PREFERRED: usize = 32;

/// What a client asks.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// At least one certificate.
    pub items: Vec<CertId>,
    /// To be echoed (RFC 9654).
    pub nonce: Option<Octets<128>>,
    /// The signature algorithms that the client prefers, the best first (RFC 6960 section 4.4.7.1): each by the OBJECT
    /// IDENTIFIER of its sigIdentifier, known to us or not. Empty, which takes no memory, where it says nothing of them.
    pub preferred: Vec<ObjectIdentifier>,
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

/// Why a request asks nothing that could be looked up.
#[derive(Debug, PartialEq, Eq)]
pub enum NoQuestion {
    /// The request is not what the standard calls one: the answer is *malformedRequest*.
    Malformed,
    /// It is one, and one of its CertIDs is of no certificate of ours nor of anybody's, and longer than what an answer can
    /// echo: a serial above 21 octets (RFC 5280 section 4.1.2.2: 20, and a sign), hashes above 64, a hash algorithm above
    /// 32, or one that we do not know with parameters. An answer has to speak of each certificate that was asked about
    /// (RFC 6960 section 4.2.2.3), so that the answer to the whole request is *unauthorized*.
    NotOurs,
}

use NoQuestion::{Malformed, NotOurs};

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
pub fn parse(der: &[u8]) -> Result<Question, NoQuestion> {
    let parts = Parts::cut(der).ok_or(Malformed)?;
    let (nonce, preferred) = match parts.extensions {
        None => (None, Vec::new()),
        Some(der) => request_extensions(der)?,
    };
    let mut list = Reader::new(parts.list);
    let (mut items, mut count, mut ours) = (Vec::new(), 0, true);
    while !list.is_finished() {
        count += 1;
        if count > MOST {
            return Err(Malformed);
        }
        match request(&mut list) {
            Ok(id) => items.push(id),
            // What follows may still be malformed.
            Err(NotOurs) => ours = false,
            Err(Malformed) => return Err(Malformed),
        }
    }
    match (ours, items.is_empty()) {
        (false, _) => Err(NotOurs),
        (true, true) => Err(Malformed),
        (true, false) => Ok(Question {
            items,
            nonce,
            preferred,
        }),
    }
}

/// The parts of an OCSPRequest, as they stand. requestorName is passed over, whatever it is: who asks is what a certificate
/// says, where it matters at all (RFC 9919 section 3.1.2), and to decode a name of thousands of parts takes a second.
#[derive(Debug)]
pub struct Parts<'a> {
    /// tbsRequest, header and all: what a signature is made over.
    pub tbs: &'a [u8],
    /// What optionalSignature holds.
    pub signature: Option<&'a [u8]>,
    /// What requestList holds.
    list: &'a [u8],
    /// requestExtensions, header and all.
    extensions: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Cuts a request up that fills `der` from end to end.
    pub fn cut(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut request = outer.inside(Tag::Sequence)?;
        let tbs = request.whole(Tag::Sequence)?;
        let mut signature = None;
        if !request.is_finished() {
            signature = Some(request.content(context(TagNumber::N0))?);
        }
        let mut fields = Reader::new(tbs).inside(Tag::Sequence)?;
        if fields.next_is(context(TagNumber::N0))
            && fields.content(context(TagNumber::N0))? != [0x02, 0x01, 0x00]
        {
            return None;
        }
        if fields.next_is(context(TagNumber::N1)) {
            fields.inside(context(TagNumber::N1))?; // requestorName
        }
        let list = fields.content(Tag::Sequence)?;
        let mut extensions = None;
        if !fields.is_finished() {
            extensions = Some(fields.content(context(TagNumber::N2))?);
        }
        let whole = outer.is_finished() && request.is_finished() && fields.is_finished();
        whole.then_some(Self {
            tbs,
            signature,
            list,
            extensions,
        })
    }
}

/// Extensions, none of which stands twice (RFC 5280 section 4.2).
fn extensions(der: &[u8]) -> Result<Vec<Extension>, NoQuestion> {
    let extensions = Vec::<Extension>::from_der(der).map_err(|_| Malformed)?;
    if extensions.len() > 1 {
        let mut ids: Vec<_> = extensions.iter().map(|one| one.extn_id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(Malformed);
        }
    }
    Ok(extensions)
}

/// What requestExtensions say: the nonce, and which signature algorithms are preferred. Other extensions are ignored
/// unless they are critical.
fn request_extensions(
    der: &[u8],
) -> Result<(Option<Octets<128>>, Vec<ObjectIdentifier>), NoQuestion> {
    let (mut found, mut preferred) = (None, Vec::new());
    for extension in extensions(der)? {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            ID_PKIX_OCSP_NONCE => found = Some(nonce(value)?),
            ID_PKIX_OCSP_RESPONSE => acceptable(value).ok_or(Malformed)?,
            ID_PKIX_OCSP_PREF_SIG_ALGS => preferred = preference(value).ok_or(Malformed)?,
            _ if extension.critical => return Err(Malformed),
            _ => {}
        }
    }
    Ok((found, preferred))
}

/// A nonce: an OCTET STRING of 1 to 128 octets within the extension's own (RFC 9654 section 2.1).
fn nonce(value: &[u8]) -> Result<Octets<128>, NoQuestion> {
    let octets = OctetStringRef::from_der(value).map_err(|_| Malformed)?;
    let nonce = Octets::new(octets.as_bytes()).map_err(|_| Malformed)?;
    if nonce.is_empty() {
        return Err(Malformed);
    }
    Ok(nonce)
}

/// AcceptableResponses (RFC 6960 section 4.4.3): a list of kinds, with id-pkix-ocsp-basic among them: it is the only kind of
/// ours, and clients must name it.
fn acceptable(value: &[u8]) -> Option<()> {
    let mut outer = Reader::new(value);
    let mut kinds = outer.inside(Tag::Sequence)?;
    let mut basic = false;
    while !kinds.is_finished() {
        basic |= kinds.decode::<ObjectIdentifier>()? == ID_PKIX_OCSP_BASIC;
    }
    (basic && outer.is_finished()).then_some(())
}

/// PreferredSignatureAlgorithms (RFC 6960 section 4.4.7.1): pairs of an algorithm and, where it is said, of a kind of key
/// (an SMIMECapability, which looks like an AlgorithmIdentifier).
fn preference(value: &[u8]) -> Option<Vec<ObjectIdentifier>> {
    let mut outer = Reader::new(value);
    let mut list = outer.inside(Tag::Sequence)?;
    let mut preferred = Vec::new();
    while !list.is_finished() {
        let mut pair = list.inside(Tag::Sequence)?;
        let signature = pair.decode::<AlgorithmIdentifierRef>()?;
        if !pair.is_finished() {
            pair.decode::<AlgorithmIdentifierRef>()?;
        }
        if !pair.is_finished() || preferred.len() == MOST_PREFERRED {
            return None;
        }
        preferred.push(signature.oid);
    }
    outer.is_finished().then_some(preferred)
}

/// A Request: its CertID, and singleRequestExtensions, none of which means anything to us: not the nonce (RFC 9654 has it
/// among requestExtensions), not serviceLocator (we route nothing).
fn request(list: &mut Reader<'_>) -> Result<CertId, NoQuestion> {
    let mut request = list.inside(Tag::Sequence).ok_or(Malformed)?;
    let id = request.inside(Tag::Sequence).ok_or(Malformed)?;
    if !request.is_finished() {
        let explicit = request.content(context(TagNumber::N0)).ok_or(Malformed)?;
        let extensions = extensions(explicit)?;
        if !request.is_finished() || extensions.iter().any(|extension| extension.critical) {
            return Err(Malformed);
        }
    }
    cert_id(id)
}

/// The fields of a CertID, given what it holds.
pub fn cert_id(mut id: Reader<'_>) -> Result<CertId, NoQuestion> {
    let mut next = |tag| id.content(tag).ok_or(Malformed);
    let mut algorithm = Reader::new(next(Tag::Sequence)?);
    let name_hash = next(Tag::OctetString)?;
    let key_hash = next(Tag::OctetString)?;
    let serial = next(Tag::Integer)?;
    let minimal = match serial {
        [] => false,
        [0x00, second, ..] => *second >= 0x80,
        [0xff, second, ..] => *second < 0x80,
        [..] => true,
    };
    if !minimal || !id.is_finished() {
        return Err(Malformed);
    }
    let oid = algorithm.content(Tag::ObjectIdentifier).ok_or(Malformed)?;
    let mut given = None;
    if !algorithm.is_finished() {
        given = Some(algorithm.any().ok_or(Malformed)?);
    }
    if !algorithm.is_finished() {
        return Err(Malformed);
    }
    let hash = hash(oid)?;
    let parameters = match (&hash, parameters(given)) {
        (_, Some(parameters)) => parameters,
        (Hash::Known(_), None) => return Err(Malformed),
        (Hash::Other(_), None) => return Err(NotOurs),
    };
    Ok(CertId {
        hash,
        parameters,
        name_hash: octets(name_hash)?,
        key_hash: octets(key_hash)?,
        serial: octets(serial)?,
    })
}

fn octets<const MAX: usize>(octets: &[u8]) -> Result<Octets<MAX>, NoQuestion> {
    Octets::new(octets).map_err(|_| NotOurs)
}

fn hash(oid: &[u8]) -> Result<Hash, NoQuestion> {
    let mut algorithms = ALGORITHMS.into_iter();
    if let Some(ours) = algorithms.find(|algorithm| known_oid(*algorithm).as_bytes() == oid) {
        return Ok(Hash::Known(ours));
    }
    let echoed = octets(oid)?;
    ObjectIdentifier::from_bytes(oid).map_err(|_| Malformed)?;
    Ok(Hash::Other(echoed))
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
fn parameters(parameters: Option<&[u8]>) -> Option<Parameters> {
    match parameters {
        None => Some(Parameters::Absent),
        Some([0x05, 0x00]) => Some(Parameters::Null),
        Some(_) => None,
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
    fn preferred_algorithms_come_out_in_order_and_at_most_32_of_them() {
        let id: &[u8] = &[6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 8];
        let algorithm = |last: u8, null: &[u8]| tlv(0x30, &[&[6, 3, 0x2a, 3, last], null]);
        let preferred = |value: &[u8]| {
            let extension = tlv(0x30, &[id, &tlv(4, &[value])]);
            let question = parse(&request(&[SHA1, NULL], &[1], &[&extension]))?;
            let ids = question.preferred.iter().map(|id| id.as_bytes()[2]);
            Ok(ids.collect::<Vec<_>>())
        };
        let pair = |parts: &[&[u8]]| tlv(0x30, parts);
        let one = pair(&[&algorithm(1, NULL)]);
        let two = pair(&[&algorithm(2, &[]), &algorithm(9, &[])]);
        assert_eq!(preferred(&tlv(0x30, &[])), Ok(vec![]));
        assert_eq!(preferred(&tlv(0x30, &[&one, &two])), Ok(vec![1, 2]));
        assert_eq!(
            preferred(&tlv(0x30, &[&two, &one, &two])),
            Ok(vec![2, 1, 2])
        );
        let short = pair(&[&algorithm(3, &[])]);
        let many = |count| long(0x30, &short.repeat(count));
        let long_extension = |count| {
            let extension = long(0x30, &[id, &long(4, &many(count))].concat());
            let whole = request(&[SHA1, NULL], &[1], &[]);
            let list = &whole[4..];
            let extensions = long(0xa2, &long(0x30, &extension));
            let tbs = long(0x30, &[list, &extensions].concat());
            parse(&long(0x30, &tbs)).map(|question| question.preferred.len())
        };
        assert_eq!(long_extension(32), Ok(32));
        assert_eq!(long_extension(33), Err(Malformed));
        for wrong in [
            &[][..],
            &[5, 0],
            &tlv(0x30, &[&algorithm(1, NULL)]),
            &tlv(0x30, &[&pair(&[])]),
            &tlv(0x30, &[&pair(&[&algorithm(1, &[]).repeat(3)])]),
            &[&tlv(0x30, &[&one])[..], &[0]].concat(),
        ] {
            assert_eq!(preferred(wrong), Err(Malformed), "{wrong:02x?}");
        }
    }

    /// Like `tlv`, of any length.
    fn long(tag: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let header = match content.len() {
            0..=0x7f => vec![tag, low],
            0x80..=0xff => vec![tag, 0x81, low],
            _ => vec![tag, 0x82, high, low],
        };
        [&header, content].concat()
    }

    #[test]
    fn what_no_answer_can_echo_is_not_ours_and_what_is_malformed_beside_it_stays_so() {
        let serial = |octets: &[u8]| parse(&request(&[SHA1, NULL], octets, &[])).map(drop);
        assert_eq!(serial(&[0x7f; 21]), Ok(()));
        assert_eq!(serial(&[0x7f; 22]), Err(NotOurs));
        assert_eq!(serial(&[0x80; 22]), Err(NotOurs));
        let zeros = [&[0, 0x7f][..], &[1; 20]].concat();
        assert_eq!(serial(&zeros), Err(Malformed), "not minimal");
        assert_eq!(serial(&[]), Err(Malformed));
        assert_eq!(serial(&[0xff, 0x80]), Err(Malformed));
        let md5: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5];
        let of = |algorithm: &[&[u8]]| parse(&request(algorithm, &[1], &[])).map(drop);
        assert_eq!(of(&[md5, NULL]), Ok(()));
        assert_eq!(of(&[md5, &[0x30, 0]]), Err(NotOurs));
        assert_eq!(of(&[md5, NULL, NULL]), Err(Malformed));
        assert_eq!(of(&[&tlv(6, &[&[0x2a; 33]])]), Err(NotOurs));
        assert_eq!(of(&[&tlv(6, &[&[0x2a, 0x80]])]), Err(Malformed));
        let critical = tlv(
            0x30,
            &[&[6, 3, 0x2a, 3, 4, 1, 1, 0xff], &tlv(4, &[&[5, 0]])],
        );
        let both = request(&[SHA1, NULL], &[0x7f; 22], &[&critical]);
        assert_eq!(parse(&both), Err(Malformed));
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
