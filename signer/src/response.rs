//! A statement as an OCSPResponse (RFC 6960 section 4.2.1). ResponseData is encoded once; exactly these octets are
//! signed, and exactly these are sent.

use std::time::Duration;

use der::asn1::{GeneralizedTime, Null, ObjectIdentifier, OctetString};
use der::oid::db::rfc5912::{ID_SHA_1, ID_SHA_256, ID_SHA_384, ID_SHA_512};
use der::oid::db::rfc6960::{ID_PKIX_OCSP_ARCHIVE_CUTOFF, ID_PKIX_OCSP_NONCE};
use der::{Any, Decode, Encode};
use ocsp_wire::{HashAlgorithm, Parameters, Reason, Refusal};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    CertStatus, OcspGeneralizedTime, ResponderId, ResponseData, RevokedInfo, SingleResponse,
    Version,
};

use crate::issuer::Issuer;
use crate::policy::{CertId, Said, Statement};

/// id-pkix-ocsp-extended-revoke (RFC 6960 section 4.4.8).
const EXTENDED_REVOKE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.9");

/// The OBJECT IDENTIFIER id-pkix-ocsp-basic.
const BASIC: [u8; 11] = [
    0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01,
];

/// The complete, signed OCSPResponse as DER.
pub fn signed(statement: &Statement<'_>) -> Result<Vec<u8>, Refusal> {
    let data = response_data(statement)?
        .to_der()
        .map_err(|_| Refusal::TooLarge)?;
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

fn response_data(statement: &Statement<'_>) -> Result<ResponseData, Refusal> {
    let (this_update, next_update) = (time(statement.this_update)?, time(statement.next_update)?);
    let responses = statement
        .singles
        .iter()
        .map(|single| {
            Ok(SingleResponse {
                cert_id: cert_id(statement.issuer, &single.of)?,
                cert_status: cert_status(single.status)?,
                this_update,
                next_update: Some(next_update),
                single_extensions: single.archive_cutoff.map(archive_cutoff).transpose()?,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ResponseData {
        version: Version::V1,
        responder_id: ResponderId::ByKey(
            octet_string(&statement.key.key_hash).ok_or(Refusal::Crypto)?,
        ),
        produced_at: time(statement.produced_at)?,
        responses,
        response_extensions: extensions(statement)?,
    })
}

/// The nonce (RFC 9654: an OCTET STRING within the extension's own) and extended-revoke; none at all when both are absent.
fn extensions(statement: &Statement<'_>) -> Result<Option<Vec<Extension>>, Refusal> {
    let mut extensions = Vec::new();
    if let Some(nonce) = statement.nonce {
        let wrapped = octet_string(nonce)
            .and_then(|nonce| nonce.to_der().ok())
            .ok_or(Refusal::Nonce)?;
        extensions.push(extension(ID_PKIX_OCSP_NONCE, &wrapped)?);
    }
    if statement.extended_revoke {
        extensions.push(extension(EXTENDED_REVOKE, &[0x05, 0x00])?);
    }
    Ok(if extensions.is_empty() {
        None
    } else {
        Some(extensions)
    })
}

/// The archive cutoff (RFC 6960 section 4.4.4), alone in its list.
fn archive_cutoff(seconds: u64) -> Result<Vec<Extension>, Refusal> {
    let value = time(seconds)?.to_der().map_err(|_| Refusal::Crypto)?;
    Ok(vec![extension(ID_PKIX_OCSP_ARCHIVE_CUTOFF, &value)?])
}

fn extension(extn_id: ObjectIdentifier, value: &[u8]) -> Result<Extension, Refusal> {
    let extn_value = octet_string(value).ok_or(Refusal::Crypto)?;
    Ok(Extension {
        extn_id,
        critical: false,
        extn_value,
    })
}

fn octet_string(octets: &[u8]) -> Option<OctetString> {
    OctetString::new(octets).ok()
}

fn time(seconds: u64) -> Result<OcspGeneralizedTime, Refusal> {
    GeneralizedTime::from_unix_duration(Duration::from_secs(seconds))
        .map(OcspGeneralizedTime)
        .map_err(|_| Refusal::RevocationTime)
}

fn cert_status(said: Said) -> Result<CertStatus, Refusal> {
    Ok(match said {
        Said::Good => CertStatus::good(),
        Said::Unknown => CertStatus::unknown(),
        Said::Revoked(revocation) => CertStatus::Revoked(RevokedInfo {
            revocation_time: time(revocation.time)?,
            revocation_reason: revocation.reason.map(crl_reason),
        }),
    })
}

fn crl_reason(reason: Reason) -> CrlReason {
    match reason {
        Reason::KeyCompromise => CrlReason::KeyCompromise,
        Reason::CaCompromise => CrlReason::CaCompromise,
        Reason::AffiliationChanged => CrlReason::AffiliationChanged,
        Reason::Superseded => CrlReason::Superseded,
        Reason::CessationOfOperation => CrlReason::CessationOfOperation,
        Reason::CertificateHold => CrlReason::CertificateHold,
        Reason::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
        Reason::AaCompromise => CrlReason::AaCompromise,
    }
}

fn cert_id(issuer: &Issuer, of: &CertId<'_>) -> Result<x509_ocsp::CertId, Refusal> {
    match of {
        CertId::Ours(hash, parameters, serial) => {
            let hashes = issuer.hashes(*hash);
            fields(oid(*hash), *parameters, &hashes.name, &hashes.key, serial)
                .ok_or(Refusal::Serial)
        }
        CertId::Foreign(foreign) => ObjectIdentifier::from_bytes(&foreign.algorithm)
            .ok()
            .and_then(|algorithm| {
                fields(
                    algorithm,
                    foreign.parameters,
                    &foreign.name_hash,
                    &foreign.key_hash,
                    &foreign.serial,
                )
            })
            .ok_or(Refusal::ForeignMalformed),
    }
}

fn fields(
    oid: ObjectIdentifier,
    parameters: Parameters,
    name: &[u8],
    key: &[u8],
    serial: &[u8],
) -> Option<x509_ocsp::CertId> {
    let parameters = match parameters {
        Parameters::Absent => None,
        Parameters::Null => Some(Any::from(Null)),
    };
    Some(x509_ocsp::CertId {
        hash_algorithm: AlgorithmIdentifierOwned { oid, parameters },
        issuer_name_hash: octet_string(name)?,
        issuer_key_hash: octet_string(key)?,
        // Not SerialNumber::new, which refuses 20 octets whose highest bit is set.
        serial_number: SerialNumber::from_der(&tlv(0x02, &[serial])).ok()?,
    })
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
