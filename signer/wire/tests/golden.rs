//! The octets of every message, committed in `tests/golden/`: a change of the encoding cannot happen unnoticed, and
//! somebody who implements the protocol anew has something to compare with. Each file is one message variant; each line
//! of it is `name: octets in hex`.
//!
//! When the protocol was changed on purpose (and `PROTOCOL` with it), write the files anew and read the difference:
//!
//! ```text
//! OCSP_WIRE_BLESS=1 cargo test -p ocsp-wire --test golden && git diff signer/wire/tests/golden
//! ```

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::path::PathBuf;

use ocsp_wire::*;

/// One message with its place in `tests/golden/`.
struct Golden {
    file: &'static str,
    line: String,
    octets: Vec<u8>,
    decodes: Decodes,
}

/// Decodes octets, and says whether they are one certain message.
type Decodes = Box<dyn Fn(&[u8]) -> Result<bool, Fault>>;

#[derive(Default)]
struct All(Vec<Golden>);

impl All {
    fn add<M: Message + PartialEq + Debug + 'static>(
        &mut self,
        file: &'static str,
        line: impl Into<String>,
        message: M,
    ) {
        self.0.push(Golden {
            file,
            line: line.into(),
            octets: message.to_octets().unwrap(),
            decodes: Box::new(move |octets| Ok(M::from_octets(octets)? == message)),
        });
    }

    /// Adds one message for each variant of an enum, in order, and makes sure that no variant was left out: the
    /// messages differ first in the variant's tag, the tags count from 0, and the tag after the last is unknown.
    fn add_variants<M: Message + PartialEq + Debug + 'static>(
        &mut self,
        of: &str,
        messages: Vec<(&'static str, &str, M)>,
    ) {
        let octets = messages
            .iter()
            .map(|(_, _, message)| message.to_octets().unwrap())
            .collect::<Vec<_>>();
        let tag_at = octets[0]
            .iter()
            .zip(&octets[1])
            .position(|(one, other)| one != other)
            .unwrap();
        for (number, octets) in octets.iter().enumerate() {
            let tag = octets[tag_at..tag_at + 4].try_into().unwrap();
            assert_eq!(u32::from_le_bytes(tag) as usize, number, "{of}");
        }
        let mut after_the_last = octets[octets.len() - 1].clone();
        after_the_last[tag_at] += 1;
        assert_eq!(
            M::from_octets(&after_the_last),
            Err(Fault::UnknownVariant),
            "{of} has a variant more than the golden files"
        );
        for (file, line, message) in messages {
            self.add(file, format!("{of} {line}"), message);
        }
    }
}

/// Not the version of this build: a release changes no golden file.
fn version() -> Version {
    Version {
        package: text("1.2.3"),
        protocol: 0x0102,
    }
}

fn octets<const MAX: usize>(octets: &[u8]) -> Octets<MAX> {
    Octets::new(octets).unwrap()
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

fn list<T: ocsp_wire::message::Element, const MAX: usize>(items: Vec<T>) -> List<T, MAX> {
    List::new(items).unwrap()
}

const ID: u64 = 0x0807_0605_0403_0201;
const TIME: u64 = 1_700_000_000;

fn question(items: Vec<Item>) -> ToSigner {
    ToSigner::Sign(SignRequest {
        id: ID,
        issuer: 0x1211,
        key: 0x1413,
        nonce: None,
        items: list(items),
    })
}

fn ours() -> Ours {
    Ours {
        hash: HashAlgorithm::Sha1,
        parameters: Parameters::Absent,
        serial: octets(&[0x00, 0x94, 0xe3]),
        status: Status::Good,
        evidence: Evidence::None,
    }
}

fn foreign() -> Foreign {
    Foreign {
        algorithm: octets(&[0x2b, 0x0e, 0x03, 0x02, 0x1a]),
        parameters: Parameters::Null,
        name_hash: octets(&[0xaa; 20]),
        key_hash: octets(&[0xbb; 20]),
        serial: octets(&[0x01]),
    }
}

fn asked(ours: Ours) -> ToSigner {
    question(vec![Item::Ours(ours)])
}

fn refused(refusal: Refusal) -> FromSigner {
    FromSigner::Refused { id: ID, refusal }
}

const REASONS: [(&str, Reason); 8] = [
    ("KeyCompromise", Reason::KeyCompromise),
    ("CaCompromise", Reason::CaCompromise),
    ("AffiliationChanged", Reason::AffiliationChanged),
    ("Superseded", Reason::Superseded),
    ("CessationOfOperation", Reason::CessationOfOperation),
    ("CertificateHold", Reason::CertificateHold),
    ("PrivilegeWithdrawn", Reason::PrivilegeWithdrawn),
    ("AaCompromise", Reason::AaCompromise),
];

fn settings() -> SignerSettings {
    SignerSettings {
        mode: Mode::Serve,
        uid: 0x0403_0201,
        gid: 0x0807_0605,
        separated: true,
        threads: 4,
        remember_revoked: 1_000_000,
        require_mlock: true,
        credentials: None,
        issuers: list(vec![issuer()]),
    }
}

fn issuer() -> IssuerSettings {
    IssuerSettings {
        name: text("Example CA"),
        certificate: text("/ca.crt"),
        keys: list(vec![key()]),
        validity: 259_200,
        backdate: 300,
        good: GoodPolicy::Certificate,
        never_issued: false,
        policy: Preset::Private,
        archive_cutoff: None,
    }
}

fn key() -> KeySettings {
    KeySettings {
        key: Secret::File(text("/ca.key")),
        passphrase: None,
        responder: None,
        digest: Digest::Sha256,
        padding: Padding::Pkcs1,
    }
}

fn with_issuer(issuer: IssuerSettings) -> SignerOrder {
    SignerOrder::Settings(SignerSettings {
        issuers: list(vec![issuer]),
        ..settings()
    })
}

fn with_key(key: KeySettings) -> SignerOrder {
    with_issuer(IssuerSettings {
        keys: list(vec![key]),
        ..issuer()
    })
}

fn all() -> Vec<Golden> {
    let mut all = All::default();
    to_signer(&mut all);
    from_signer(&mut all);
    control(&mut all);
    all.0
}

fn to_signer(all: &mut All) {
    const HELLO: &str = "to_signer-hello";
    const SIGN: &str = "to_signer-sign";
    all.add_variants(
        "ToSigner",
        vec![
            (HELLO, "Hello", ToSigner::Hello(version())),
            (SIGN, "Sign", asked(ours())),
        ],
    );
    all.add(SIGN, "no items", question(vec![]));
    all.add(
        SIGN,
        "a nonce, two items",
        ToSigner::Sign(SignRequest {
            id: ID,
            issuer: 0,
            key: 0,
            nonce: Some(octets(b"0123456789abcdef")),
            items: list(vec![Item::Ours(ours()), Item::Foreign(foreign())]),
        }),
    );
    all.add_variants(
        "Item",
        vec![
            (SIGN, "Ours", asked(ours())),
            (SIGN, "Foreign", question(vec![Item::Foreign(foreign())])),
        ],
    );
    let hash = |hash| asked(Ours { hash, ..ours() });
    all.add_variants(
        "HashAlgorithm",
        vec![
            (SIGN, "Sha1", hash(HashAlgorithm::Sha1)),
            (SIGN, "Sha256", hash(HashAlgorithm::Sha256)),
            (SIGN, "Sha384", hash(HashAlgorithm::Sha384)),
            (SIGN, "Sha512", hash(HashAlgorithm::Sha512)),
        ],
    );
    let parameters = |parameters| {
        asked(Ours {
            parameters,
            ..ours()
        })
    };
    all.add_variants(
        "Parameters",
        vec![
            (SIGN, "Absent", parameters(Parameters::Absent)),
            (SIGN, "Null", parameters(Parameters::Null)),
        ],
    );
    let status = |status| asked(Ours { status, ..ours() });
    let revoked = |reason| status(Status::Revoked { time: TIME, reason });
    all.add_variants(
        "Status",
        vec![
            (SIGN, "Good", status(Status::Good)),
            (SIGN, "Revoked", revoked(None)),
            (SIGN, "Unknown", status(Status::Unknown)),
            (SIGN, "NeverIssued", status(Status::NeverIssued)),
        ],
    );
    all.add_variants(
        "Reason",
        REASONS
            .map(|(name, reason)| (SIGN, name, revoked(Some(reason))))
            .into(),
    );
    let evidence = |evidence| asked(Ours { evidence, ..ours() });
    let certificate = Evidence::Certificate(octets(&[0x30, 0x03, 0x02, 0x01, 0x05]));
    all.add_variants(
        "Evidence",
        vec![
            (SIGN, "None", evidence(Evidence::None)),
            (SIGN, "Certificate", evidence(certificate)),
        ],
    );
}

fn from_signer(all: &mut All) {
    const REFUSED: &str = "from_signer-refused";
    let signed = FromSigner::Signed {
        id: ID,
        response: octets(&[0x30, 0x03, 0x0a, 0x01, 0x00]),
    };
    all.add_variants(
        "FromSigner",
        vec![
            ("from_signer-hello", "Hello", FromSigner::Hello(version())),
            ("from_signer-signed", "Signed", signed),
            (REFUSED, "Refused", refused(Refusal::Issuer)),
        ],
    );
    let withdrawn = |reason| {
        Refusal::Withdrawn(Withdrawn {
            item: 0x0201,
            time: TIME,
            reason,
        })
    };
    all.add_variants(
        "Refusal",
        [
            ("Issuer", Refusal::Issuer),
            ("Key", Refusal::Key),
            ("Serial", Refusal::Serial),
            ("Nonce", Refusal::Nonce),
            ("NothingOurs", Refusal::NothingOurs),
            ("ForeignIsOurs", Refusal::ForeignIsOurs),
            ("ForeignMalformed", Refusal::ForeignMalformed),
            ("NoEvidence", Refusal::NoEvidence),
            ("EvidenceUnreadable", Refusal::EvidenceUnreadable),
            ("EvidenceIssuer", Refusal::EvidenceIssuer),
            ("EvidenceSerial", Refusal::EvidenceSerial),
            ("EvidenceSignature", Refusal::EvidenceSignature),
            ("Withdrawn", withdrawn(None)),
            ("NeverIssued", Refusal::NeverIssued),
            ("RevocationTime", Refusal::RevocationTime),
            ("ClockBehind", Refusal::ClockBehind),
            ("SignerNotValid", Refusal::SignerNotValid),
            ("TooLarge", Refusal::TooLarge),
            ("Crypto", Refusal::Crypto),
            ("Hold", Refusal::Hold),
            ("SignerEndsSoon", Refusal::SignerEndsSoon),
        ]
        .map(|(name, refusal)| (REFUSED, name, refused(refusal)))
        .into(),
    );
    all.add_variants(
        "Withdrawn Reason",
        REASONS
            .map(|(name, reason)| (REFUSED, name, refused(withdrawn(Some(reason)))))
            .into(),
    );
}

fn control(all: &mut All) {
    const SETTINGS: &str = "signer_order-settings";
    all.add_variants(
        "SignerOrder",
        vec![
            ("signer_order-hello", "Hello", SignerOrder::Hello(version())),
            (SETTINGS, "Settings", SignerOrder::Settings(settings())),
            ("signer_order-ping", "Ping", SignerOrder::Ping(ID)),
        ],
    );
    let mode = |mode| SignerOrder::Settings(SignerSettings { mode, ..settings() });
    all.add_variants(
        "Mode",
        vec![
            (SETTINGS, "Serve", mode(Mode::Serve)),
            (SETTINGS, "Check", mode(Mode::Check)),
        ],
    );
    let good = |good| with_issuer(IssuerSettings { good, ..issuer() });
    all.add_variants(
        "GoodPolicy",
        vec![
            (SETTINGS, "Certificate", good(GoodPolicy::Certificate)),
            (SETTINGS, "Status", good(GoodPolicy::Status)),
        ],
    );
    let policy = |policy| with_issuer(IssuerSettings { policy, ..issuer() });
    all.add_variants(
        "Preset",
        vec![
            (SETTINGS, "Private", policy(Preset::Private)),
            (SETTINGS, "Cabf", policy(Preset::Cabf)),
            (SETTINGS, "Mozilla", policy(Preset::Mozilla)),
            (SETTINGS, "Microsoft", policy(Preset::Microsoft)),
            (SETTINGS, "Etsi", policy(Preset::Etsi)),
        ],
    );
    let cutoff = |archive_cutoff| {
        with_issuer(IssuerSettings {
            archive_cutoff: Some(archive_cutoff),
            ..issuer()
        })
    };
    all.add_variants(
        "ArchiveCutoff",
        vec![
            (SETTINGS, "Issuer", cutoff(ArchiveCutoff::Issuer)),
            (
                SETTINGS,
                "Retained",
                cutoff(ArchiveCutoff::Retained(315_360_000)),
            ),
        ],
    );
    let digest = |digest| with_key(KeySettings { digest, ..key() });
    all.add_variants(
        "Digest",
        vec![
            (SETTINGS, "Sha256", digest(Digest::Sha256)),
            (SETTINGS, "Sha384", digest(Digest::Sha384)),
            (SETTINGS, "Sha512", digest(Digest::Sha512)),
        ],
    );
    let padding = |padding| with_key(KeySettings { padding, ..key() });
    all.add_variants(
        "Padding",
        vec![
            (SETTINGS, "Pkcs1", padding(Padding::Pkcs1)),
            (SETTINGS, "Pss", padding(Padding::Pss)),
        ],
    );
    let secret = |key| with_key(KeySettings { key, ..self::key() });
    all.add_variants(
        "Secret",
        vec![
            (SETTINGS, "File", secret(Secret::File(text("ca.key")))),
            (
                SETTINGS,
                "Credential",
                secret(Secret::Credential(text("ca.key"))),
            ),
        ],
    );
    all.add(
        SETTINGS,
        "a passphrase, and a folder of credentials",
        SignerOrder::Settings(SignerSettings {
            credentials: Some(text("/run/credentials")),
            issuers: list(vec![IssuerSettings {
                keys: list(vec![KeySettings {
                    passphrase: Some(Secret::Credential(text("ca.pass"))),
                    ..key()
                }]),
                ..issuer()
            }]),
            ..settings()
        }),
    );
    all.add(
        SETTINGS,
        "a responder's certificate",
        with_key(KeySettings {
            responder: Some(text("/ocsp.crt")),
            ..key()
        }),
    );
    all.add(
        SETTINGS,
        "never issued, not separated, two issuers",
        SignerOrder::Settings(SignerSettings {
            separated: false,
            issuers: list(vec![
                IssuerSettings {
                    never_issued: true,
                    ..issuer()
                },
                IssuerSettings {
                    keys: list(vec![]),
                    ..issuer()
                },
            ]),
            ..settings()
        }),
    );

    all.add_variants(
        "FrontendOrder",
        vec![
            (
                "frontend_order-hello",
                "Hello",
                FrontendOrder::Hello(version()),
            ),
            (
                "frontend_order-settings",
                "Settings",
                FrontendOrder::Settings(octets(b"cache = 1\n")),
            ),
            ("frontend_order-ping", "Ping", FrontendOrder::Ping(ID)),
            (
                "frontend_order-retire",
                "Retire",
                FrontendOrder::Retire {
                    idle_ms: 0x0403_0201,
                },
            ),
            ("frontend_order-inherit", "Inherit", FrontendOrder::Inherit),
        ],
    );
    all.add_variants(
        "Report",
        vec![
            ("report-hello", "Hello", Report::Hello(version())),
            (
                "report-ready",
                "Ready",
                Report::Ready(list(vec![text("a note"), text("another: ü")])),
            ),
            (
                "report-refused",
                "Refused",
                Report::Refused(list(vec![text("a reason")])),
            ),
            ("report-pong", "Pong", Report::Pong(ID)),
            (
                "report-renew",
                "Renew",
                Report::Renew {
                    source: 2,
                    reason: text("a reason"),
                },
            ),
        ],
    );
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut hex, octet| {
        write!(hex, "{octet:02x}").unwrap();
        hex
    })
}

fn octets_of(hex: &str) -> Vec<u8> {
    assert!(hex.is_ascii() && hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// What is committed: file and line to octets.
fn committed() -> BTreeMap<(String, String), Vec<u8>> {
    let mut committed = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let file = file
            .strip_suffix(".hex")
            .unwrap_or_else(|| panic!("{file}: is no .hex file"));
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let (name, hex) = line
                .split_once(": ")
                .unwrap_or_else(|| panic!("{file}: no name: {line}"));
            let before = committed.insert((file.to_owned(), name.to_owned()), octets_of(hex));
            assert_eq!(before, None, "{file}: {name} stands there twice");
        }
    }
    committed
}

fn write_anew() {
    let mut files = BTreeMap::<_, String>::new();
    for golden in all() {
        let text = files.entry(golden.file).or_default();
        writeln!(text, "{}: {}", golden.line, hex(&golden.octets)).unwrap();
    }
    for entry in std::fs::read_dir(folder()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for (file, text) in files {
        std::fs::write(folder().join(file).with_extension("hex"), text).unwrap();
    }
}

#[test]
fn every_message_has_the_octets_that_are_committed_and_no_others_are() {
    if std::env::var_os("OCSP_WIRE_BLESS").is_some_and(|bless| bless == "1") {
        write_anew();
    }
    let mut committed = committed();
    for golden in all() {
        let place = (golden.file.to_owned(), golden.line.clone());
        let octets = committed
            .remove(&place)
            .unwrap_or_else(|| panic!("{place:?} is not in tests/golden/"));
        assert_eq!(
            hex(&golden.octets),
            hex(&octets),
            "{place:?}: the encoding has changed"
        );
        assert_eq!((golden.decodes)(&octets), Ok(true), "{place:?}");
    }
    assert!(
        committed.is_empty(),
        "no test covers {:?}",
        committed.keys()
    );
}

#[test]
fn every_message_that_was_cut_short_is_a_fault() {
    for golden in all() {
        for end in 0..golden.octets.len() {
            assert_eq!(
                (golden.decodes)(&golden.octets[..end]),
                Err(Fault::Short),
                "{} {}: cut at {end}",
                golden.file,
                golden.line
            );
        }
    }
}

#[test]
fn one_octet_more_than_a_message_is_a_fault() {
    for golden in all() {
        for octet in [0x00, 0xff] {
            assert_eq!(
                (golden.decodes)(&[&golden.octets[..], &[octet]].concat()),
                Err(Fault::Trailing { octets: 1 }),
                "{} {}",
                golden.file,
                golden.line
            );
        }
    }
}

#[test]
fn no_octet_can_be_changed_without_changing_the_message() {
    // Canonical: whatever decodes, encodes to the same octets again. So no two encodings mean one message.
    for golden in all() {
        for at in 0..golden.octets.len() {
            for bit in 0..8 {
                let mut changed = golden.octets.clone();
                changed[at] ^= 1 << bit;
                assert_ne!(
                    (golden.decodes)(&changed),
                    Ok(true),
                    "{} {}: octet {at}",
                    golden.file,
                    golden.line
                );
            }
        }
    }
}

/// A decoder that counted memory against its limit in the wrong unit would refuse what the fields allow.
#[test]
fn the_longest_messages_that_the_fields_allow_fit() {
    let notes = Report::Ready(list(vec![text(&"x".repeat(1000)); 4000]));
    assert_eq!(Report::from_octets(&notes.to_octets().unwrap()), Ok(notes));
    let settings = FrontendOrder::Settings(octets(&vec![7; (4 << 20) - 64]));
    assert_eq!(
        FrontendOrder::from_octets(&settings.to_octets().unwrap()),
        Ok(settings)
    );
    let response = FromSigner::Signed {
        id: ID,
        response: octets(&vec![7; 255 << 10]),
    };
    assert_eq!(
        FromSigner::from_octets(&response.to_octets().unwrap()),
        Ok(response)
    );
    let items = question(vec![Item::Foreign(foreign()); 100]);
    assert_eq!(
        ToSigner::from_octets(&items.to_octets().unwrap()),
        Ok(items)
    );
    let issuers = SignerOrder::Settings(SignerSettings {
        issuers: list(vec![issuer(); 4096]),
        ..self::settings()
    });
    assert_eq!(
        SignerOrder::from_octets(&issuers.to_octets().unwrap()),
        Ok(issuers)
    );
}
