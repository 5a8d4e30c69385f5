//! What several targets share: certification authorities that are the same in every run, a signer that holds their keys, and
//! the frontend's view of them. Not for the outside: the keys are constants.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ocsp_frontend::issuer::Issuers;
use ocsp_frontend::request::{self, CertId, Hash, Question};
use ocsp_frontend::serial::is_issuable;
use ocsp_frontend_settings as settings;
use ocsp_signer::policy::{No, Policy};
use ocsp_signer::{issuer, response};
use ocsp_wire::{
    Digest, Evidence, Foreign, GoodPolicy, HashAlgorithm, IssuerSettings, Item, KeySettings, List,
    Mode, Octets, Ours, Padding, Parameters, Preset, Reason, Refusal, Secret, SignRequest,
    SignerSettings, Status, Text,
};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::x509::{X509, X509Name};

/// Two issuers that both sides of the boundary know; the first one's word for *good* needs no proof.
pub struct Scene {
    /// As the frontend knows them.
    pub issuers: Issuers,
    policy: Policy,
}

impl Scene {
    /// The issuers, with `proof_needed` at the frontend.
    pub fn new(proof_needed: bool) -> Self {
        let folder = Folder::new();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for name in ["one", "two"] {
            let authority = Authority::new(name);
            let certificate = folder.file(name, &authority.certificate);
            let key = authority.key.private_key_to_pem_pkcs8().unwrap();
            let key = folder.file(&format!("{name}.key"), &key);
            theirs.push(settings::Issuer {
                name: name.to_owned(),
                certificate: certificate.clone(),
                source: 0,
                unknown: settings::NoRecord::Revoked,
                proof_needed,
                compromised: None,
                keys: vec![settings::Key {
                    responder: None,
                    digest: 256,
                    pss: false,
                }],
                clients: None,
                nonce: settings::Nonce::Echo,
                nonce_overload: settings::NonceOverload::TryLater,
                archive_cutoff: None,
                validity: 3600,
                least_validity: 0,
                signed_by: String::new(),
            });
            ours.push(IssuerSettings {
                name: Text::new(name).unwrap(),
                certificate: Text::new(certificate).unwrap(),
                keys: List::new([KeySettings {
                    key: Secret::File(Text::new(key).unwrap()),
                    passphrase: None,
                    responder: None,
                    digest: Digest::Sha256,
                    padding: Padding::Pkcs1,
                }])
                .unwrap(),
                validity: 259_200,
                backdate: 0,
                good: GoodPolicy::Status,
                never_issued: true,
                policy: Preset::Private,
                archive_cutoff: None,
            });
        }
        let ours = SignerSettings {
            mode: Mode::Serve,
            uid: 0,
            gid: 0,
            separated: false,
            threads: 1,
            remember_revoked: 0,
            require_mlock: false,
            credentials: None,
            issuers: List::new(ours).unwrap(),
        };
        let (ours, _notes) = issuer::open_all(&ours, Vec::new()).unwrap();
        Self {
            issuers: Issuers::open(&theirs, settings::Verify::Sample).unwrap(),
            policy: Policy::new(ours, 0),
        }
    }

    /// What the frontend asks the signer where a client asks this, and whatever a source may say of each serial: here that
    /// depends on its last octet. None where no certificate is of an issuer of ours.
    pub fn ask(&self, question: &Question) -> Option<SignRequest> {
        let mut ids = question.items.iter();
        let (place, _) = ids.find_map(|id| self.issuers.find(id))?;
        let items = question.items.iter().map(|id| match id.hash {
            Hash::Known(hash)
                if self
                    .issuers
                    .find(id)
                    .is_some_and(|(found, _)| found == place) =>
            {
                Item::Ours(Ours {
                    hash,
                    parameters: id.parameters,
                    serial: id.serial.clone(),
                    status: status(&id.serial),
                    evidence: Evidence::None,
                })
            }
            Hash::Known(_) | Hash::Other(_) => Item::Foreign(foreign(id)),
        });
        Some(SignRequest {
            id: 1,
            issuer: place,
            key: 0,
            nonce: question.nonce.clone(),
            items: List::new(items.collect::<Vec<_>>()).unwrap(),
        })
    }

    /// What the signer answers.
    pub fn sign(&self, asked: &SignRequest) -> Result<Vec<u8>, Refusal> {
        match self.policy.allow(asked) {
            Ok(statement) => response::signed(&statement),
            Err(No::Refused(refusal)) => Err(refusal),
            Err(No::ClockMoved { seconds }) => panic!("the clock was moved by {seconds} s"),
        }
    }
}

fn foreign(id: &CertId) -> Foreign {
    Foreign {
        algorithm: request::oid(&id.hash),
        parameters: id.parameters,
        name_hash: id.name_hash.clone(),
        key_hash: id.key_hash.clone(),
        serial: id.serial.clone(),
    }
}

fn status(serial: &[u8]) -> Status {
    let revoked = |reason| Status::Revoked {
        time: 1_700_000_000,
        reason,
    };
    match serial.last() {
        Some(last) if is_issuable(serial) => match last & 7 {
            0 | 1 => Status::Good,
            2 => revoked(None),
            3 => revoked(Some(Reason::KeyCompromise)),
            4 => revoked(Some(Reason::AaCompromise)),
            5 => Status::Revoked {
                time: 253_402_300_799,
                reason: None,
            },
            6 => Status::NeverIssued,
            _ => Status::Unknown,
        },
        Some(_) | None => Status::Unknown,
    }
}

/// A certification authority, the same whenever it is made.
pub struct Authority {
    key: PKey<Private>,
    name: X509Name,
    /// Its own certificate, as DER.
    pub certificate: Vec<u8>,
}

impl Authority {
    /// The one of this name.
    pub fn new(name: &str) -> Self {
        let mut seed = [7; 32];
        seed.iter_mut()
            .zip(name.bytes())
            .for_each(|(seed, octet)| *seed = octet);
        let key = PKey::private_key_from_raw_bytes(&seed, Id::ED25519).unwrap();
        let mut subject = X509Name::builder().unwrap();
        subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        let mut authority = Self {
            key,
            name: subject.build(),
            certificate: Vec::new(),
        };
        authority.certificate = authority.issue(&[1]);
        authority
    }

    /// A certificate of the authority's own key and name, with this positive serial, as DER.
    pub fn issue(&self, serial: &[u8]) -> Vec<u8> {
        let serial = BigNum::from_slice(serial).unwrap();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        certificate
            .set_serial_number(&serial.to_asn1_integer().unwrap())
            .unwrap();
        certificate.set_subject_name(&self.name).unwrap();
        certificate.set_issuer_name(&self.name).unwrap();
        certificate.set_pubkey(&self.key).unwrap();
        let time = |text| Asn1Time::from_str(text).unwrap();
        certificate
            .set_not_before(&time("20200101000000Z"))
            .unwrap();
        certificate.set_not_after(&time("99991231235959Z")).unwrap();
        certificate.sign(&self.key, MessageDigest::null()).unwrap();
        certificate.build().to_der().unwrap()
    }
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ocsp-fuzz.{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A file that nobody else may read.
    fn file(&self, name: &str, octets: &[u8]) -> String {
        let path = self.0.join(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&path)
            .unwrap();
        file.write_all(octets).unwrap();
        text(&path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// One DER value.
pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|octet| *octet == 0).collect();
    let header = match content.len() {
        0..0x80 => vec![tag, u8::try_from(content.len()).unwrap()],
        _ => [
            &[tag, 0x80 | u8::try_from(significant.len()).unwrap()],
            &significant[..],
        ]
        .concat(),
    };
    [header, content].concat()
}

/// Questions of which no two have an answer in common: each kind of status, of item, of parameters and of nonce.
pub fn questions() -> Vec<SignRequest> {
    let ours = |serial: u8, status| {
        Item::Ours(Ours {
            hash: HashAlgorithm::Sha256,
            parameters: Parameters::Null,
            serial: Octets::new([serial]).unwrap(),
            status,
            evidence: Evidence::None,
        })
    };
    let foreign = Item::Foreign(Foreign {
        algorithm: Octets::new([0x2a, 3, 4]).unwrap(),
        parameters: Parameters::Absent,
        name_hash: Octets::new([1; 20]).unwrap(),
        key_hash: Octets::new([2; 20]).unwrap(),
        serial: Octets::new([3]).unwrap(),
    });
    let revoked = |reason| Status::Revoked {
        time: 1_600_000_000,
        reason,
    };
    let cases = [
        (0, None, vec![ours(1, Status::Good)]),
        (1, None, vec![ours(1, Status::Good)]),
        (0, None, vec![ours(2, Status::Good)]),
        (0, None, vec![ours(1, Status::Unknown)]),
        (0, None, vec![ours(1, Status::NeverIssued)]),
        (0, None, vec![ours(1, revoked(None))]),
        (0, None, vec![ours(1, revoked(Some(Reason::Superseded)))]),
        (0, Some(&[7; 32][..]), vec![ours(1, Status::Good)]),
        (0, Some(&[8]), vec![ours(1, Status::Good)]),
        (0, None, vec![ours(1, Status::Good), foreign.clone()]),
        (0, None, vec![foreign, ours(1, Status::Good)]),
    ];
    let question = |(issuer, nonce, items): (u16, Option<&[u8]>, Vec<Item>)| SignRequest {
        id: 1,
        issuer,
        key: 0,
        nonce: nonce.map(|nonce| Octets::new(nonce).unwrap()),
        items: List::new(items).unwrap(),
    };
    cases.map(question).into()
}
