//! A frontend that is somebody else's: what it sends to a real signer process, and how the signer ends or goes on. A
//! frame that the protocol does not allow ends the process, with a line that names the fault and never the octets. A
//! question that the policy does not allow is answered with a refusal, and the channel goes on.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::collections::BTreeSet;

use harness::*;
use ocsp_wire::*;

const DONE: i32 = 0;
const VIOLATION: i32 = 11;

/// Stands in whatever is sent, so that a log line that repeats octets can be told.
const MARK: &[u8] = b"HOSTILE-OCTETS";

/// Octets by the specification and not by the crate under test, which cannot be brought to encode what it forbids.
#[derive(Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    fn u16(mut self, number: u16) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    /// A length, then so many octets that begin with [`MARK`] where it fits.
    fn octets(mut self, length: usize) -> Self {
        self = self.u64(length.try_into().unwrap());
        self.0
            .extend((0..length).map(|at| *MARK.get(at).unwrap_or(&b'x')));
        self
    }

    fn raw(mut self, octets: &[u8]) -> Self {
        self.0.extend(octets);
        self
    }

    /// As one frame.
    fn framed(self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap();
        [&length.to_le_bytes(), &self.0[..]].concat()
    }
}

/// A question up to where the nonce begins.
fn sign() -> Raw {
    Raw::default().u32(1).u64(7).u16(0).u16(0)
}

/// A question up to the fields of its only item, which is ours or foreign.
fn item(foreign: u32) -> Raw {
    sign().u8(0).u64(1).u32(foreign)
}

fn hello() -> Vec<u8> {
    frame(&ToSigner::Hello(Version::ours())).unwrap()
}

fn legitimate() -> Vec<u8> {
    frame(&ToSigner::Sign(question(vec![unknown(&[5])]))).unwrap()
}

/// The payload of a legitimate question that carries [`MARK`].
fn marked() -> Vec<u8> {
    let evidence = Evidence::Certificate(octets(MARK));
    ToSigner::Sign(question(vec![ours(&[5], Status::Unknown, evidence)]))
        .to_octets()
        .unwrap()
}

struct Row {
    what: &'static str,
    /// Before the octets.
    greeted: bool,
    octets: Vec<u8>,
    /// After the octets.
    end: bool,
    says: &'static str,
}

fn row(what: &'static str, octets: Vec<u8>, says: &'static str) -> Row {
    Row {
        what,
        greeted: true,
        octets,
        end: false,
        says,
    }
}

fn violations() -> Vec<Row> {
    const ORDER: &str = "a message at a place where it must not stand";
    const OVER_LONG: &str = "a field is longer than it may be";
    const UNKNOWN: &str = "a message of an unknown kind, or of the other direction";
    const SHORT: &str = "a frame ended before its message did";
    let version = |package: &str, protocol| {
        frame(&ToSigner::Hello(Version {
            package: text(package),
            protocol,
        }))
        .unwrap()
    };
    let ours = Version::ours();
    let ungreeted = |row| Row {
        greeted: false,
        ..row
    };
    let ended = |row| Row { end: true, ..row };
    let whole = Raw::default().raw(&marked()).framed();
    vec![
        row(
            "a frame of one octet more than the cap",
            [&((1_u32 << 20) + 1).to_le_bytes(), &marked()[..]].concat(),
            "a frame of 1048577 octets, at most 1048576 are allowed",
        ),
        row(
            "the largest length there is",
            [&u32::MAX.to_le_bytes(), &marked()[..]].concat(),
            "a frame of 4294967295 octets, at most 1048576 are allowed",
        ),
        row("an empty frame", Raw::default().framed(), SHORT),
        row(
            "a frame that ends before its message",
            Raw::default().raw(&marked()[..marked().len() - 1]).framed(),
            SHORT,
        ),
        row(
            "a frame that goes on after its message",
            Raw::default().raw(&marked()).raw(MARK).framed(),
            "14 octets followed the message within its frame",
        ),
        ungreeted(row(
            "a greeting of another protocol",
            version(&ours.package, ours.protocol + 1),
            "the peer is version ",
        )),
        ungreeted(row(
            "a greeting of another package",
            version("0.0.0\n<0>#", ours.protocol),
            "the peer is version 0.0.00 (protocol ",
        )),
        ungreeted(row("a message before the greeting", whole.clone(), ORDER)),
        row("a second greeting", hello(), ORDER),
        row(
            "an answer, which has the other direction",
            frame(&FromSigner::Signed {
                id: 7,
                response: octets(&[&[0x30, 0x0e], MARK].concat()),
            })
            .unwrap(),
            OVER_LONG, // an answer's length, read as a question's number of items
        ),
        row(
            "a refusal, which has the other direction",
            frame(&FromSigner::Refused {
                id: 7,
                refusal: Refusal::Serial,
            })
            .unwrap(),
            UNKNOWN,
        ),
        row(
            "a message of an unknown kind",
            Raw::default().u32(99).raw(MARK).framed(),
            UNKNOWN,
        ),
        row(
            "an item of an unknown kind",
            item(99).raw(MARK).framed(),
            UNKNOWN,
        ),
        row(
            "a nonce that is neither there nor absent",
            sign().u8(2).raw(MARK).framed(),
            UNKNOWN,
        ),
        ended(row(
            "an end within the length of a frame",
            whole[..3].to_vec(),
            "the stream ended within a frame",
        )),
        ended(row(
            "an end within a frame",
            whole[..whole.len() - 1].to_vec(),
            "the stream ended within a frame",
        )),
        row(
            "101 items",
            (0..101)
                .fold(sign().u8(0).u64(101), |raw, _| {
                    raw.u32(0).u32(0).u32(0).octets(20).u32(2).u32(0)
                })
                .framed(),
            OVER_LONG,
        ),
        row(
            "a nonce of 129 octets",
            sign().u8(1).octets(129).u64(0).framed(),
            OVER_LONG,
        ),
        row(
            "a serial of 22 octets",
            item(0).u32(0).u32(0).octets(22).u32(2).u32(0).framed(),
            OVER_LONG,
        ),
        row(
            "evidence of 65537 octets",
            item(0)
                .u32(0)
                .u32(0)
                .octets(20)
                .u32(2)
                .u32(1)
                .octets(65_537)
                .framed(),
            OVER_LONG,
        ),
        row(
            "a foreign algorithm of 33 octets",
            item(1)
                .octets(33)
                .u32(0)
                .octets(20)
                .octets(20)
                .octets(20)
                .framed(),
            OVER_LONG,
        ),
        row(
            "a foreign name hash of 65 octets",
            item(1)
                .octets(5)
                .u32(0)
                .octets(65)
                .octets(20)
                .octets(20)
                .framed(),
            OVER_LONG,
        ),
        row(
            "a foreign key hash of 65 octets",
            item(1)
                .octets(5)
                .u32(0)
                .octets(20)
                .octets(65)
                .octets(20)
                .framed(),
            OVER_LONG,
        ),
        row(
            "a foreign serial of 22 octets",
            item(1)
                .octets(5)
                .u32(0)
                .octets(20)
                .octets(20)
                .octets(22)
                .framed(),
            OVER_LONG,
        ),
        row(
            "2^63 - 1 items",
            sign().u8(0).u64(i64::MAX.unsigned_abs()).raw(MARK).framed(),
            OVER_LONG,
        ),
        row(
            "a nonce of 2^63 - 1 octets",
            sign().u8(1).u64(i64::MAX.unsigned_abs()).raw(MARK).framed(),
            OVER_LONG,
        ),
        row(
            "evidence of 2^64 - 1 octets",
            item(0)
                .u32(0)
                .u32(0)
                .octets(20)
                .u32(2)
                .u32(1)
                .u64(u64::MAX)
                .raw(MARK)
                .framed(),
            OVER_LONG,
        ),
        row(
            "a nonce of 3 MiB that is not there",
            sign().u8(1).u64(3 << 20).raw(MARK).framed(),
            SHORT,
        ),
    ]
}

#[test]
fn a_frame_that_the_protocol_does_not_allow_ends_the_signer_and_is_never_repeated_in_its_log() {
    let (folder, authority) = (Folder::new(), Authority::new("Hostile CA"));
    let settings = settings(&folder, &authority);
    for row in violations() {
        let mut signer = Signer::ready(settings.clone());
        if row.greeted {
            signer.send(&hello());
            signer.send(&legitimate());
            let answer = signer.answer();
            assert!(
                matches!(answer, Some(FromSigner::Signed { .. })),
                "{}: {answer:?}",
                row.what
            );
        }
        signer.send(&row.octets);
        if row.end {
            signer.end_boundary();
        } else {
            // Never resynchronised: what follows is not answered, however well formed.
            signer.send(&legitimate());
        }
        assert_eq!(signer.answer(), None, "{}", row.what);
        let (code, log) = signer.left();
        assert_eq!(code, Some(VIOLATION), "{}: {log:#?}", row.what);
        let line = format!("<84>the frontend broke the protocol: {}", row.says);
        assert!(
            log.iter().any(|logged| logged.starts_with(&line)),
            "{}: {log:#?}",
            row.what
        );
        let log = log.join("\n");
        for mark in [
            String::from_utf8(MARK.to_vec()).unwrap(),
            hex(MARK),
            hex(MARK).to_uppercase(),
            format!("{MARK:?}"),
        ] {
            assert!(!log.contains(&mark), "{}: {log}", row.what);
        }
    }
}

#[test]
fn a_frame_of_exactly_the_cap_is_a_question_like_any_other() {
    let (folder, authority) = (Folder::new(), Authority::new("Full CA"));
    let mut signer = Signer::serving(settings(&folder, &authority));
    let item = |length: usize| {
        let evidence = Evidence::Certificate(octets(&vec![7; length]));
        ours(&[5], Status::Unknown, evidence)
    };
    let full = |last: usize| {
        let mut items = vec![item(65_536); 15];
        items.push(item(last));
        question(items)
    };
    let rest = (1 << 20) - ToSigner::Sign(full(0)).to_octets().unwrap().len();
    assert_eq!(
        ToSigner::Sign(full(rest)).to_octets().unwrap().len(),
        1 << 20
    );
    signer.signs(full(rest));
    signer.signs(question(vec![unknown(&[5])]));
}

#[test]
fn an_end_between_frames_is_an_ordinary_end() {
    let (folder, authority) = (Folder::new(), Authority::new("Quiet CA"));
    let mut signer = Signer::serving(settings(&folder, &authority));
    signer.signs(question(vec![unknown(&[5])]));
    signer.end_boundary();
    let (code, log) = signer.left();
    assert_eq!((code, log), (Some(DONE), Vec::new()));
}

#[test]
fn a_launcher_that_closes_the_control_socket_ends_its_signer() {
    let (folder, authority) = (Folder::new(), Authority::new("Orphan CA"));
    let mut signer = Signer::serving(settings(&folder, &authority));
    signer.order(&SignerOrder::Ping(42));
    assert_eq!(signer.report(), Some(Report::Pong(42)));
    signer.signs(question(vec![unknown(&[5])]));
    signer.end_control();
    let (code, log) = signer.left();
    assert_eq!((code, log), (Some(DONE), Vec::new()));
}

#[test]
fn a_question_that_policy_refuses_is_answered_and_the_channel_goes_on() {
    let (folder, authority) = (Folder::new(), Authority::new("Strict CA"));
    let certificate = authority.issue(&[0x12, 0x34]);
    let of_another_key = Authority::new("Strict CA").issue(&[0x12, 0x34]);
    let of_another_name = Authority::new("Other CA").issue(&[0x12, 0x34]);
    let of_the_key_under_another_name =
        Authority::with_key("Other CA", authority.key.clone()).issue(&[0x12, 0x34]);
    let mut forged = certificate.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut changed = certificate.clone();
    let name = changed.windows(6).position(|at| at == b"person").unwrap();
    changed[name] ^= 1;
    let of_ours = Foreign {
        name_hash: octets(&openssl::sha::sha1(
            &authority.certificate.subject_name().to_der().unwrap(),
        )),
        key_hash: octets(&key_hash(&authority)),
        ..foreign()
    };
    let item = |item| question(vec![item]);
    let serial = |serial: &[u8]| item(revoked(serial, 0, None));
    let proof = |certificate: &[u8]| item(good(&[0x12, 0x34], certificate));
    let never_issued = ours(&[5], Status::NeverIssued, Evidence::None);
    let no_evidence = ours(&[0x12, 0x34], Status::Good, Evidence::None);

    #[rustfmt::skip]
    let rows = [
        (Refusal::Issuer, SignRequest { issuer: 1, ..item(unknown(&[5])) }),
        (Refusal::Issuer, SignRequest { issuer: u16::MAX, ..item(unknown(&[5])) }),
        (Refusal::Key, SignRequest { key: 1, ..item(unknown(&[5])) }),
        (Refusal::Nonce, SignRequest { nonce: Some(octets(&[])), ..item(unknown(&[5])) }),
        (Refusal::NothingOurs, question(vec![])),
        (Refusal::NothingOurs, item(Item::Foreign(foreign()))),
        (Refusal::ForeignIsOurs, question(vec![unknown(&[5]), Item::Foreign(of_ours)])),
        (Refusal::ForeignMalformed, question(vec![unknown(&[5]), Item::Foreign(Foreign { algorithm: octets(&[]), ..foreign() })])),
        (Refusal::ForeignMalformed, question(vec![unknown(&[5]), Item::Foreign(Foreign { serial: octets(&[]), ..foreign() })])),
        (Refusal::Serial, serial(&[])),
        (Refusal::Serial, serial(&[0])),
        (Refusal::Serial, serial(&[0x80])),
        (Refusal::Serial, serial(&[0xff; 20])),
        (Refusal::Serial, serial(&[1; 21])),
        (Refusal::Serial, serial(&[0, 1])),
        (Refusal::Serial, serial(&[0, 0, 0x80])),
        (Refusal::Serial, item(good(&[0], &certificate))),
        (Refusal::Serial, item(unknown(&[]))),
        (Refusal::Serial, item(unknown(&[0, 1]))),
        (Refusal::NoEvidence, item(no_evidence)),
        (Refusal::EvidenceUnreadable, proof(&[])),
        (Refusal::EvidenceUnreadable, proof(b"-----BEGIN CERTIFICATE-----")),
        (Refusal::EvidenceUnreadable, proof(&certificate[..certificate.len() - 1])),
        (Refusal::EvidenceUnreadable, proof(&[&certificate[..], &[0]].concat())),
        (Refusal::EvidenceSignature, proof(&of_another_key)),
        (Refusal::EvidenceIssuer, proof(&of_another_name)),
        (Refusal::EvidenceIssuer, proof(&of_the_key_under_another_name)),
        (Refusal::EvidenceSerial, item(good(&[0x12, 0x35], &certificate))),
        (Refusal::EvidenceSignature, proof(&forged)),
        (Refusal::EvidenceSignature, proof(&changed)),
        (Refusal::NeverIssued, item(never_issued)),
        (Refusal::RevocationTime, item(revoked(&[5], 253_402_300_800, None))),
        (Refusal::RevocationTime, item(revoked(&[5], u64::MAX, None))),
    ];
    let mut signer = Signer::serving(settings(&folder, &authority));
    let mut sentences = BTreeSet::new();
    for (number, (refusal, question)) in rows.into_iter().enumerate() {
        sentences.insert(refusal.sentence());
        assert_eq!(signer.refuses(question), refusal, "row {number}");
        signer.signs(item(unknown(&[5])));
    }
    // Proven, it is remembered, and still proves its own serial only.
    signer.signs(proof(&certificate));
    signer.signs(proof(&certificate));
    let another = item(good(&[0x12, 0x35], &certificate));
    assert_eq!(signer.refuses(another), Refusal::EvidenceSerial);
    signer.signs(proof(&certificate));

    // Each reason once, though most were given several times.
    signer.end_boundary();
    let (code, log) = signer.left();
    assert_eq!(code, Some(DONE));
    assert_eq!(log.len(), sentences.len(), "{log:#?}");
    for sentence in sentences {
        let line = format!("<84>refused to sign: {sentence} (issuer ");
        assert!(log.iter().any(|logged| logged.starts_with(&line)), "{line}");
    }
}

/// conformance 51: no suspension under the Baseline Requirements; RFC 6960's *never issued* is none.
#[test]
fn a_hold_is_not_signed_where_the_policy_knows_none() {
    let authority = Authority::new("Hold CA");
    let hold = question(vec![revoked(&[5], 1, Some(Reason::CertificateHold))]);
    let never = question(vec![ours(&[5], Status::NeverIssued, Evidence::None)]);
    let other = question(vec![revoked(&[6], 1, Some(Reason::Superseded))]);
    let signer = |policy| {
        let folder = Folder::new();
        Signer::serving(settings_for(vec![IssuerSettings {
            policy,
            never_issued: true,
            ..issuer(&folder, "ca", &authority)
        }]))
    };
    for policy in [Preset::Cabf, Preset::Mozilla, Preset::Microsoft] {
        let mut signer = signer(policy);
        assert_eq!(signer.refuses(hold.clone()), Refusal::Hold);
        signer.signs(never.clone());
        signer.signs(other.clone());
        signer.end_boundary();
        let (_, log) = signer.left();
        let line = "<84>refused to sign: certificateHold was asked for, and the issuer's policy knows none (BR 4.9.13) (issuer ";
        assert!(log.len() == 1 && log[0].starts_with(line), "{log:?}");
    }
    signer(Preset::Private).signs(hold);
}

/// conformance 57, 60: nextUpdate is not past notAfter, and an answer that would be too short then is none.
#[test]
fn an_answer_is_not_shorter_than_the_policy_allows() {
    for (ends, policy, signed) in [
        (28_700, Preset::Cabf, false),
        (28_700, Preset::Private, true),
        (28_900, Preset::Cabf, true),
    ] {
        let folder = Folder::new();
        let authority = Authority::valid("Late CA", p256(), (-60, ends));
        let mut signer = Signer::serving(settings_for(vec![IssuerSettings {
            policy,
            ..issuer(&folder, "ca", &authority)
        }]));
        if signed {
            signer.signs(question(vec![unknown(&[5])]));
        } else {
            let refusal = signer.refuses(question(vec![unknown(&[5])]));
            assert_eq!(refusal, Refusal::SignerEndsSoon);
        }
    }
}

fn key_hash(authority: &Authority) -> [u8; 20] {
    let der = authority.certificate.to_der().unwrap();
    let certificate: x509_cert::Certificate = der::Decode::from_der(&der).unwrap();
    let key = certificate.tbs_certificate.subject_public_key_info;
    openssl::sha::sha1(key.subject_public_key.raw_bytes())
}

/// What else an issuer's key signs begins like a certificate: a CRL of version 2 is INTEGER 1, algorithm, issuer, times.
#[test]
fn what_an_issuer_signed_that_is_no_certificate_proves_nothing() {
    let (folder, authority) = (Folder::new(), Authority::new("List CA"));
    let mut signer = Signer::serving(settings(&folder, &authority));
    let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let subject = authority.certificate.subject_name().to_der().unwrap();
    let time = tlv(0x17, &[b"260101000000Z"]);
    let entry = tlv(0x30, &[&tlv(2, &[&[5]]), &time]);
    let revoked = tlv(0x30, &[&entry]);
    let mut signed = |tbs: Vec<u8>| {
        let mut by =
            openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &authority.key)
                .unwrap();
        let signature = tlv(3, &[&[0], &by.sign_oneshot_to_vec(&tbs).unwrap()]);
        let list = tlv(0x30, &[&tbs, &algorithm, &signature]);
        signer.refuses(question(vec![good(&[1], &list)]))
    };
    let list = [&[2, 1, 1][..], &algorithm, &subject, &time, &time, &revoked].concat();
    assert_eq!(signed(tlv(0x30, &[&list])), Refusal::EvidenceUnreadable);
    // The same without its version would be a list of version 1; with a name where the times are, nothing known.
    let list = [
        &[2, 1, 1][..],
        &algorithm,
        &subject,
        &subject,
        &subject,
        &revoked,
    ]
    .concat();
    assert_eq!(signed(tlv(0x30, &[&list])), Refusal::EvidenceUnreadable);
}

/// One DER value of less than 128 octets, or of less than 64 KiB.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = if content.len() < 128 {
        vec![tag, length[1]]
    } else {
        vec![tag, 0x82, length[0], length[1]]
    };
    let header = match header[..] {
        [tag, 0x82, 0, low] => vec![tag, 0x81, low],
        _ => header,
    };
    [header, content].concat()
}

#[test]
fn the_first_frame_is_the_opening_one_however_many_questions_wait() {
    let (folder, authority) = (Folder::new(), Authority::new("Busy CA"));
    let certificate = authority.issue(&[5]);
    let settings = SignerSettings {
        threads: 16,
        ..settings(&folder, &authority)
    };
    let waiting: Vec<u8> = (0..40)
        .flat_map(|_| frame(&ToSigner::Sign(question(vec![good(&[5], &certificate)]))).unwrap())
        .collect();
    for _ in 0..3 {
        let mut signer = Signer::silent(None);
        signer.send(&frame(&ToSigner::Hello(Version::ours())).unwrap());
        signer.send(&waiting);
        signer.order(&SignerOrder::Hello(Version::ours()));
        signer.order(&SignerOrder::Settings(settings.clone()));
        assert!(matches!(signer.report(), Some(Report::Ready(_))));
        for _ in 0..40 {
            assert!(matches!(signer.answer(), Some(FromSigner::Signed { .. })));
        }
    }
}

#[test]
fn revoked_stays_revoked_unless_it_was_a_hold() {
    let (folder, authority) = (Folder::new(), Authority::new("Firm CA"));
    let serial = [0x12, 0x34];
    let certificate = authority.issue(&serial);
    let item = |item| question(vec![item]);
    let good = || item(good(&serial, &certificate));
    let mut signer = Signer::serving(settings(&folder, &authority));

    signer.signs(good());
    let hold = Some(Reason::CertificateHold);
    signer.signs(item(revoked(&serial, 1_600_000_000, hold)));
    signer.signs(good());

    let stolen = Some(Reason::KeyCompromise);
    signer.signs(item(revoked(&serial, 1_700_000_000, stolen)));
    let withdrawn = |item| {
        Refusal::Withdrawn(Withdrawn {
            item,
            time: 1_700_000_000,
            reason: stolen,
        })
    };
    assert_eq!(signer.refuses(good()), withdrawn(0));
    // Neither a hold nor *unknown* nor another spelling of the question makes it forget.
    signer.signs(item(revoked(&serial, 1_600_000_000, hold)));
    signer.signs(item(unknown(&serial)));
    let mut third = vec![unknown(&[5]), unknown(&[6])];
    third.extend(good().items.iter().cloned());
    assert_eq!(signer.refuses(question(third)), withdrawn(2));

    // A question that was refused has said nothing: its revocation is not remembered, whenever it was refused.
    let other = [0x56];
    let other_certificate = authority.issue(&other);
    let no_certificate_id = Foreign {
        serial: octets(&[]),
        ..foreign()
    };
    for (refusal, second) in [
        (Refusal::Serial, revoked(&[0], 0, None)),
        (Refusal::ForeignMalformed, Item::Foreign(no_certificate_id)),
    ] {
        let both = question(vec![revoked(&other, 1_700_000_000, None), second]);
        assert_eq!(signer.refuses(both), refusal);
    }
    // Nor does one answer say both of one serial, in either order.
    let (dead, alive) = (
        revoked(&other, 1_700_000_000, stolen),
        harness::good(&other, &other_certificate),
    );
    let both = vec![alive.clone(), dead.clone()];
    assert_eq!(signer.refuses(question(both)), withdrawn(0));
    let both = vec![dead, alive];
    assert_eq!(signer.refuses(question(both)), withdrawn(1));
    signer.signs(item(harness::good(&other, &other_certificate)));
}

#[test]
fn a_signer_that_forgets_revocations_says_so() {
    let (folder, authority) = (Folder::new(), Authority::new("Old CA"));
    let certificate = authority.issue(&[1, 1]);
    let mut signer = Signer::serving(SignerSettings {
        remember_revoked: 2,
        ..settings(&folder, &authority)
    });
    for serial in 1..=3 {
        signer.signs(question(vec![revoked(&[1, serial], 1_700_000_000, None)]));
    }
    signer.signs(question(vec![good(&[1, 1], &certificate)]));
    signer.end_boundary();
    let (_, log) = signer.left();
    assert!(
        log.len() == 1 && log[0].contains("the oldest are forgotten"),
        "{log:#?}"
    );
}

#[test]
fn an_issuers_certificate_proves_nothing_of_another_issuer() {
    let folder = Folder::new();
    let (one, two) = (Authority::new("One"), Authority::new("Two"));
    let certificate = one.issue(&[7]);
    let mut signer = Signer::serving(settings_for(vec![
        issuer(&folder, "one", &one),
        issuer(&folder, "two", &two),
    ]));
    let of = |issuer| SignRequest {
        issuer,
        ..question(vec![good(&[7], &certificate)])
    };
    signer.signs(of(0));
    assert_eq!(signer.refuses(of(1)), Refusal::EvidenceIssuer);
    // Nor does a revocation of one bind the other.
    signer.signs(SignRequest {
        issuer: 1,
        ..question(vec![revoked(&[7], 1, None)])
    });
    signer.signs(of(0));
}

#[test]
fn pipelined_questions_are_all_answered_and_each_once() {
    let (folder, authority) = (Folder::new(), Authority::new("Busy CA"));
    let mut signer = Signer::serving(settings(&folder, &authority));
    let stream = (0..200).flat_map(|id| {
        let question = SignRequest {
            id,
            ..question(vec![unknown(&[5])])
        };
        frame(&ToSigner::Sign(question)).unwrap()
    });
    signer.send(&stream.collect::<Vec<_>>());
    let mut answered = (0..200)
        .map(|_| match signer.answer() {
            Some(FromSigner::Signed { id, .. }) => id,
            other => panic!("{other:?}"),
        })
        .collect::<Vec<_>>();
    answered.sort_unstable();
    assert_eq!(answered, (0..200).collect::<Vec<_>>());
}
