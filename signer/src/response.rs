//! A statement as an OCSPResponse (RFC 6960 section 4.2.1). ResponseData is encoded once; exactly these octets are
//! signed, and exactly these are sent.

use std::time::Duration;

use der::asn1::{GeneralizedTime, IntRef, ObjectIdentifier};
use der::oid::db::rfc5912::{ID_SHA_1, ID_SHA_256, ID_SHA_384, ID_SHA_512};
use der::oid::db::rfc6960::{ID_PKIX_OCSP_ARCHIVE_CUTOFF, ID_PKIX_OCSP_NONCE};
use der::{Decode, Encode};
use ocsp_wire::{HashAlgorithm, Parameters, Reason, Refusal};

use crate::issuer::Issuer;
use crate::policy::{CertId, Said, Single, Statement};

/// id-pkix-ocsp-extended-revoke (RFC 6960 section 4.4.8).
const EXTENDED_REVOKE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.9");

/// The OBJECT IDENTIFIER id-pkix-ocsp-basic.
const BASIC: [u8; 11] = [
    0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01,
];

/// The complete, signed OCSPResponse as DER.
pub fn signed(statement: &Statement<'_>) -> Result<Vec<u8>, Refusal> {
    let data = response_data(statement)?;
    let signature = statement
        .key
        .signing
        .sign(&data)
        .map_err(|_| Refusal::Crypto)?;
    let certificates = match &statement.key.certificate {
        Some(certificate) => tlv(0xa0, &[&tlv(0x30, &[certificate])]),
        None => Vec::new(),
    };
    let basic = tlv(
        0x30,
        &[
            &data,
            statement.key.signing.algorithm(),
            &tlv(0x03, &[&[0], &signature]),
            &certificates,
        ],
    );
    let octets = tlv(0x30, &[&BASIC, &tlv(0x04, &[&basic])]);
    Ok(tlv(0x30, &[&[0x0a, 0x01, 0x00], &tlv(0xa0, &[&octets])]))
}

/// One DER value: tag, length, parts.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut octets = Vec::with_capacity(length + 6);
    octets.push(tag);
    let length_octets = length.to_be_bytes();
    let significant = length_octets.iter().skip_while(|octet| **octet == 0);
    if length < 0x80 {
        octets.extend(significant.chain([0].iter().filter(|_| length == 0)));
    } else {
        octets.push(0x80 | u8::try_from(significant.clone().count()).unwrap_or(0));
        octets.extend(significant);
    }
    for part in parts {
        octets.extend_from_slice(part);
    }
    octets
}

/// ResponseData: its version is the default, which DER leaves out.
fn response_data(statement: &Statement<'_>) -> Result<Vec<u8>, Refusal> {
    let this_update = time(statement.this_update)?;
    let next_update = tlv(0xa0, &[&time(statement.next_update)?]);
    let mut responses = Vec::new();
    for single in &statement.singles {
        responses.extend(tlv(
            0x30,
            &[
                &cert_id(statement.issuer, &single.of)?,
                &cert_status(single.status)?,
                &this_update,
                &next_update,
                &archive_cutoff(single)?,
            ],
        ));
    }
    let by_key = tlv(0xa2, &[&tlv(0x04, &[&statement.key.key_hash])]);
    Ok(tlv(
        0x30,
        &[
            &by_key,
            &time(statement.produced_at)?,
            &tlv(0x30, &[&responses]),
            &extensions(statement),
        ],
    ))
}

/// The nonce (RFC 9654: an OCTET STRING within the extension's own) and extended-revoke; none at all when both are absent.
fn extensions(statement: &Statement<'_>) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(nonce) = statement.nonce {
        extensions.extend(extension(ID_PKIX_OCSP_NONCE, &tlv(0x04, &[nonce])));
    }
    if statement.extended_revoke {
        extensions.extend(extension(EXTENDED_REVOKE, &[0x05, 0x00]));
    }
    if extensions.is_empty() {
        return extensions;
    }
    tlv(0xa1, &[&tlv(0x30, &[&extensions])])
}

/// The archive cutoff (RFC 6960 section 4.4.4), alone in its list; none at all where there is none to be said.
fn archive_cutoff(single: &Single<'_>) -> Result<Vec<u8>, Refusal> {
    let Some(seconds) = single.archive_cutoff else {
        return Ok(Vec::new());
    };
    let extension = extension(ID_PKIX_OCSP_ARCHIVE_CUTOFF, &time(seconds)?);
    Ok(tlv(0xa1, &[&tlv(0x30, &[&extension])]))
}

fn extension(id: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x06, &[id.as_bytes()]), &tlv(0x04, &[value])])
}

fn time(seconds: u64) -> Result<Vec<u8>, Refusal> {
    GeneralizedTime::from_unix_duration(Duration::from_secs(seconds))
        .and_then(|time| time.to_der())
        .map_err(|_| Refusal::RevocationTime)
}

fn cert_status(said: Said) -> Result<Vec<u8>, Refusal> {
    Ok(match said {
        Said::Good => tlv(0x80, &[]),
        Said::Unknown => tlv(0x82, &[]),
        Said::Revoked(revocation) => {
            let reason = revocation.reason.map_or_else(Vec::new, |reason| {
                tlv(0xa0, &[&tlv(0x0a, &[&[crl_reason(reason)]])])
            });
            tlv(0xa1, &[&time(revocation.time)?, &reason])
        }
    })
}

/// CRLReason (RFC 5280 section 5.3.1).
fn crl_reason(reason: Reason) -> u8 {
    match reason {
        Reason::KeyCompromise => 1,
        Reason::CaCompromise => 2,
        Reason::AffiliationChanged => 3,
        Reason::Superseded => 4,
        Reason::CessationOfOperation => 5,
        Reason::CertificateHold => 6,
        Reason::PrivilegeWithdrawn => 9,
        Reason::AaCompromise => 10,
    }
}

fn cert_id(issuer: &Issuer, of: &CertId<'_>) -> Result<Vec<u8>, Refusal> {
    match of {
        CertId::Ours(hash, parameters, serial) => {
            let hashes = issuer.hashes(*hash);
            let oid = oid(*hash);
            fields(
                oid.as_bytes(),
                *parameters,
                &hashes.name,
                &hashes.key,
                serial,
            )
            .ok_or(Refusal::Serial)
        }
        CertId::Foreign(foreign) => fields(
            &foreign.algorithm,
            foreign.parameters,
            &foreign.name_hash,
            &foreign.key_hash,
            &foreign.serial,
        )
        .ok_or(Refusal::ForeignMalformed),
    }
}

/// None, where the octets of the algorithm or of the serial are none of an OBJECT IDENTIFIER or an INTEGER.
fn fields(
    algorithm: &[u8],
    parameters: Parameters,
    name: &[u8],
    key: &[u8],
    serial: &[u8],
) -> Option<Vec<u8>> {
    ObjectIdentifier::from_bytes(algorithm).ok()?;
    let serial = tlv(0x02, &[serial]);
    IntRef::from_der(&serial).ok()?;
    let parameters: &[u8] = match parameters {
        Parameters::Absent => &[],
        Parameters::Null => &[0x05, 0x00],
    };
    Some(tlv(
        0x30,
        &[
            &tlv(0x30, &[&tlv(0x06, &[algorithm]), parameters]),
            &tlv(0x04, &[name]),
            &tlv(0x04, &[key]),
            &serial,
        ],
    ))
}

/// The OBJECT IDENTIFIER of a hash algorithm.
pub fn oid(hash: HashAlgorithm) -> ObjectIdentifier {
    match hash {
        HashAlgorithm::Sha1 => ID_SHA_1,
        HashAlgorithm::Sha256 => ID_SHA_256,
        HashAlgorithm::Sha384 => ID_SHA_384,
        HashAlgorithm::Sha512 => ID_SHA_512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal() {
        for (length, header) in [
            (0, &[4, 0][..]),
            (1, &[4, 1]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let value = tlv(4, &[&vec![7; length]]);
            assert_eq!(value[..header.len()], *header);
            assert_eq!(value.len(), header.len() + length);
        }
    }
}
