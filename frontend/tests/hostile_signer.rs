//! A signer, or a launcher, that is somebody else's: what it says to a real frontend process, and how the frontend ends
//! or goes on. A frame that the protocol does not allow, and an answer to nothing, end the process, with a line that names
//! the fault and never the octets; the client gets nothing. An answer that is wrong, in whatever it says or in who signed
//! it, goes to nobody: the client gets internalError, the log an alarm, and the process goes on. A signer that only refuses,
//! is slow, or is gone, leaves a frontend that answers what it can.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::sync::Arc;

use der::oid::db::rfc5912::{ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION};
use der::oid::db::rfc8410::ID_ED_25519;
use der::{Decode, Encode};
use harness::*;
use ocsp_frontend::issuer::Issuers;
use ocsp_frontend::response;
use ocsp_frontend_settings::{self as settings, Verify};
use ocsp_wire::*;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_ocsp::{CertStatus, ResponderId, ResponseData, SingleResponse};

/// Stands in whatever is sent, so that a log line that repeats octets can be told.
const MARK: &[u8] = b"HOSTILE-OCTETS";

/// The frontend left because of a violation, said so once, with this fault, and said nothing of the octets.
fn left_for(frontend: Frontend, fault: &str, case: &str) {
    let (code, lines) = frontend.left();
    assert_eq!(code, Some(VIOLATION), "{case}: {lines:#?}");
    // 84: authpriv, warning.
    let security: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("<84>"))
        .collect();
    assert_eq!(security.len(), 1, "{case}: {lines:#?}");
    let wanted = format!("<84>the signer broke the protocol: {fault}");
    assert_eq!(*security[0], wanted, "{case}");
    let all = lines.join("\n");
    for never in ["HOSTILE", "panicked", "484f5354494c45"] {
        assert!(!all.contains(never), "{case}: {all}");
    }
}

/// What comes as answer to the question about [`GOOD`] ends the frontend, and the client gets nothing.
fn ends(
    case: &str,
    fault: &str,
    der: fn(&Authority) -> Vec<u8>,
    answer: impl Fn(&Authority, &SignRequest) -> Vec<u8> + Send + 'static,
) {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let frontend = stage.start(move |asked| answer(&authority, asked));
    let mut client = frontend.client();
    client.send(&post(&der(&stage.authority)));
    client.ends();
    left_for(frontend, fault, case);
}

fn plain(authority: &Authority) -> Vec<u8> {
    authority.ask(GOOD).request()
}

fn with_nonce(authority: &Authority) -> Vec<u8> {
    authority.ask(GOOD).with_nonce(&[7; 32])
}

fn about_revoked(authority: &Authority) -> Vec<u8> {
    authority.ask(REVOKED).request()
}

fn about_two(authority: &Authority) -> Vec<u8> {
    let ids = [GOOD, OTHER].map(|serial| authority.ask(serial).cert_id());
    request(&ids, &[])
}

/// A frame with this payload.
fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_le_bytes(), payload].concat()
}

/// The honest answer's payload.
fn payload(authority: &Authority, asked: &SignRequest) -> Vec<u8> {
    authority.answers(asked)[4..].to_vec()
}

// ---- frames -------------------------------------------------------------------------------------------------------

#[test]
fn a_frame_that_the_protocol_does_not_allow_ends_the_frontend() {
    let cap = FromSigner::MAX;
    ends(
        "one octet above the cap",
        &format!(
            "a frame of {} octets, at most {cap} are allowed",
            FromSigner::MAX + 1
        ),
        plain,
        move |_, _| {
            let length = u32::try_from(cap + 1).unwrap();
            [&length.to_le_bytes(), MARK].concat()
        },
    );
    ends(
        "the largest length there is",
        &format!("a frame of 4294967295 octets, at most {cap} are allowed"),
        plain,
        |_, _| [&[0xff; 4], MARK].concat(),
    );
    ends(
        "trailing octets",
        "14 octets followed the message within its frame",
        plain,
        |authority, asked| framed(&[&payload(authority, asked), MARK].concat()),
    );
    ends(
        "a frame that is too short for its message",
        "a frame ended before its message did",
        plain,
        |authority, asked| {
            let payload = payload(authority, asked);
            framed(&payload[..payload.len() - 1])
        },
    );
    ends(
        "an empty frame",
        "a frame ended before its message did",
        plain,
        |_, _| framed(&[]),
    );
    ends(
        "an unknown variant",
        "a message of an unknown kind, or of the other direction",
        plain,
        |_, _| framed(&[&[9, 0, 0, 0], MARK].concat()),
    );
    ends(
        "an unknown refusal",
        "a message of an unknown kind, or of the other direction",
        plain,
        |_, asked| framed(&[&[2, 0, 0, 0], &asked.id.to_le_bytes()[..], &[99, 0, 0, 0]].concat()),
    );
    ends(
        "a response longer than its field, within a frame that is not",
        "a field is longer than it may be",
        plain,
        |_, asked| {
            let longest = u64::try_from((255 << 10) + 1).unwrap();
            let response = vec![b'H'; (255 << 10) + 1];
            let head = [
                &[1, 0, 0, 0][..],
                &asked.id.to_le_bytes(),
                &longest.to_le_bytes(),
            ];
            framed(&[&head.concat()[..], &response].concat())
        },
    );
}

#[test]
fn a_frame_that_is_cut_by_the_end_ends_the_frontend() {
    for cut in [1, 4, 5, 100] {
        let stage = Stage::new();
        let frontend = stage.mute();
        let mut client = frontend.client();
        client.send(&post(&plain(&stage.authority)));
        let answer = stage.authority.answers(&frontend.asked(0));
        frontend.signer_says(&answer[..cut]);
        frontend.end_boundary();
        client.ends();
        left_for(frontend, "the stream ended within a frame", "cut");
    }
}

#[test]
fn a_signer_of_another_build_ends_the_frontend() {
    let build = |package: &str, protocol| Version {
        package: Text::new(package).unwrap(),
        protocol,
    };
    let ours = Version::ours();
    for (theirs, said) in [
        (
            build(&ours.package, PROTOCOL + 1),
            format!("{} (protocol {})", &*ours.package, PROTOCOL + 1),
        ),
        (
            build("0.0.0\n<84>x", PROTOCOL),
            format!("0.0.084x (protocol {PROTOCOL})"),
        ),
    ] {
        let stage = Stage::new();
        let frontend = Frontend::told(&stage.settings);
        frontend.signer_says(&frame(&FromSigner::Hello(theirs)).unwrap());
        let fault = format!("the peer is version {said}, this is {ours}: restart the service");
        left_for(frontend, &fault, "another version");
    }
}

#[test]
fn a_signer_that_does_not_greet_first_or_greets_twice_ends_the_frontend() {
    let fault = "a message at a place where it must not stand";
    let stage = Stage::new();
    let frontend = Frontend::told(&stage.settings);
    frontend.signer_says(&refused(1, Refusal::Crypto));
    left_for(frontend, fault, "no greeting");

    ends("a second greeting", fault, plain, |_, _| {
        frame(&FromSigner::Hello(Version::ours())).unwrap()
    });
}

#[test]
fn a_message_of_the_other_direction_ends_the_frontend() {
    // A question: as a message from the signer it is cut short, too long, or of an unknown kind, whatever it holds.
    let stage = Stage::new();
    let frontend = stage.start(|asked| frame(&ToSigner::Sign(asked.clone())).unwrap());
    let mut client = frontend.client();
    client.send(&post(&plain(&stage.authority)));
    client.ends();
    let (code, lines) = frontend.left();
    assert_eq!(code, Some(VIOLATION), "{lines:#?}");
    let fault = "<84>the signer broke the protocol: ";
    assert_eq!(
        lines.iter().filter(|line| line.contains(fault)).count(),
        1,
        "{lines:#?}"
    );
}

// ---- answers to nothing -------------------------------------------------------------------------------------------

#[test]
fn an_answer_to_nothing_ends_the_frontend() {
    ends(
        "another id",
        "an answer to question 77, which was not asked",
        plain,
        |authority, asked| {
            let other = SignRequest {
                id: 77,
                ..asked.clone()
            };
            authority.answers(&other)
        },
    );
    ends(
        "a refusal of another id",
        "an answer to question 18446744073709551615, which was not asked",
        plain,
        |_, _| refused(u64::MAX, Refusal::Crypto),
    );

    // Before anything was asked.
    let stage = Stage::new();
    let frontend = stage.mute();
    frontend.signer_says(&refused(0, Refusal::Crypto));
    left_for(
        frontend,
        "an answer to question 0, which was not asked",
        "unasked",
    );
}

#[test]
fn a_second_answer_to_one_question_ends_the_frontend() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let frontend = stage.start(move |asked| authority.answers(asked).repeat(2));
    // Whether the first answer gets out is a race, and no matter.
    let mut client = frontend.client();
    client.send(&post(&plain(&stage.authority)));
    let asked = frontend.asked(0).id;
    let fault = format!("an answer to question {asked}, which was not asked");
    left_for(frontend, &fault, "twice");
}

#[test]
fn a_flood_of_answers_to_nothing_ends_the_frontend_at_the_first() {
    let stage = Stage::new();
    let frontend = stage.mute();
    let mut client = frontend.client();
    client.send(&post(&plain(&stage.authority)));
    let asked = frontend.asked(0);
    let other = SignRequest {
        id: asked.id + 1,
        ..asked
    };
    let fault = format!("an answer to question {}, which was not asked", other.id);
    frontend.signer_says(&stage.authority.answers(&other).repeat(5000));
    client.ends();
    left_for(frontend, &fault, "flood");
}

// ---- wrong answers ------------------------------------------------------------------------------------------------

/// How many answers were withheld.
fn withheld(frontend: &Frontend) -> u64 {
    frontend.metric("ocsp_withheld_total")
}

/// An answer that comes first is withheld, with an alarm that names what is wrong and none of the octets; what comes next,
/// of the honest signer, is served by the same process.
fn withholds(
    case: &str,
    what: &str,
    der: fn(&Authority) -> Vec<u8>,
    wrong: impl Fn(&Authority, &SignRequest) -> Vec<u8> + Send + 'static,
) {
    withholds_on(
        &Stage::watched(),
        case,
        what,
        der,
        wrong,
        |authority, asked| authority.seal(authority.data(asked, When::lasting(3600))),
    );
}

fn withholds_on(
    stage: &Stage,
    case: &str,
    what: &str,
    der: fn(&Authority) -> Vec<u8>,
    wrong: impl Fn(&Authority, &SignRequest) -> Vec<u8> + Send + 'static,
    honest: impl Fn(&Authority, &SignRequest) -> Vec<u8> + Send + 'static,
) {
    let authority = Arc::clone(&stage.authority);
    let mut answered = 0;
    let mut frontend = stage.start(move |asked| {
        answered += 1;
        let answer = if answered == 1 {
            wrong(&authority, asked)
        } else {
            honest(&authority, asked)
        };
        signed(asked.id, &answer)
    });
    let question = der(&stage.authority);
    let response = frontend.client().post(&question);
    assert_eq!(
        (response.status, &*response.body),
        (200, INTERNAL_ERROR),
        "{case}"
    );
    assert_eq!(response.header("cache-control"), Some("no-store"), "{case}");
    let alarm = format!(
        "<84>the signer gave an answer whose {what} is wrong: internalError is answered instead (issuer \"ca\")"
    );
    until(&format!("{case}: {alarm}"), || {
        frontend.logged().contains(&alarm)
    });
    assert_eq!(withheld(&frontend), 1, "{case}");
    // It was not kept: the same question goes to the signer again, and its answer to the client.
    assert!(!all_told(&frontend.post(&question)).is_empty(), "{case}");
    assert_eq!(frontend.count(), 2, "{case}");
    assert_eq!(withheld(&frontend), 1, "{case}");
    let lines = frontend.logged();
    let alarms = lines.iter().filter(|line| line.starts_with("<84>"));
    assert_eq!(alarms.count(), 1, "{case}: {lines:#?}");
    for never in ["HOSTILE", "panicked", "484f5354494c45"] {
        assert!(!lines.join("\n").contains(never), "{case}: {lines:#?}");
    }
    assert!(frontend.lives(), "{case}");
}

/// An answer that differs from the honest one in one thing, and is signed, is withheld.
fn lies(
    case: &str,
    what: &str,
    der: fn(&Authority) -> Vec<u8>,
    lie: impl Fn(&mut ResponseData) + Send + 'static,
) {
    withholds(case, what, der, move |authority, asked| {
        let mut data = authority.data(asked, When::lasting(3600));
        lie(&mut data);
        authority.seal(data)
    });
}

/// What an honest signer says and signs, to be changed afterwards.
fn sealed(authority: &Authority, asked: &SignRequest) -> Sealed {
    let data = authority.data(asked, When::lasting(3600));
    authority.sign(data.to_der().unwrap())
}

fn first(data: &mut ResponseData) -> &mut SingleResponse {
    &mut data.responses[0]
}

#[test]
fn an_answer_about_another_certificate_is_withheld() {
    let what = "certificate";
    lies("another serial", what, plain, |data| {
        first(data).cert_id.serial_number = serial_number(OTHER);
    });
    lies("a serial with more octets", what, plain, |data| {
        first(data).cert_id.serial_number = serial_number(&[GOOD, &[0]].concat());
    });
    lies("another issuer's name", what, plain, |data| {
        first(data).cert_id.issuer_name_hash = octet_string(&[7; 20]);
    });
    lies("another issuer's key", what, plain, |data| {
        first(data).cert_id.issuer_key_hash = octet_string(&[7; 20]);
    });
    lies("another issuer", what, plain, |data| {
        let other = Authority::new("other").ask(GOOD);
        first(data).cert_id.issuer_name_hash = octet_string(&other.name_hash);
        first(data).cert_id.issuer_key_hash = octet_string(&other.key_hash);
    });
    lies("another hash algorithm", what, plain, |data| {
        first(data).cert_id.hash_algorithm.oid = oid(HashAlgorithm::Sha256);
    });
    lies("no parameters", what, plain, |data| {
        first(data).cert_id.hash_algorithm.parameters = None;
    });
    lies("in another order", what, about_two, |data| {
        data.responses.swap(0, 1);
    });
    lies("twice the same", what, about_two, |data| {
        data.responses[1] = data.responses[0].clone();
    });
    let absent = |authority: &Authority| {
        let ask = authority.ask_by(HashAlgorithm::Sha256, Parameters::Absent, GOOD);
        ask.request()
    };
    lies("parameters NULL", what, absent, |data| {
        let null = der::Any::from(der::asn1::Null);
        first(data).cert_id.hash_algorithm.parameters = Some(null);
    });
}

#[test]
fn another_number_of_answers_is_withheld() {
    let what = "number of certificates";
    lies("two where one was asked", what, plain, |data| {
        let mut more = data.responses[0].clone();
        more.cert_id.serial_number = serial_number(OTHER);
        data.responses.push(more);
    });
    lies("the same twice", what, plain, |data| {
        data.responses.push(data.responses[0].clone());
    });
    lies("none", what, plain, |data| data.responses.clear());
    lies("one where two were asked", what, about_two, |data| {
        data.responses.truncate(1);
    });
}

#[test]
fn another_status_is_withheld() {
    let what = "status";
    let reason = Some(CrlReason::KeyCompromise);
    for (case, der, status) in [
        (
            "good for revoked",
            about_revoked as fn(&_) -> _,
            CertStatus::good(),
        ),
        ("unknown for revoked", about_revoked, CertStatus::unknown()),
        ("revoked for good", plain, revoked(REVOKED_AT, reason)),
        ("unknown for good", plain, CertStatus::unknown()),
        (
            "revoked later",
            about_revoked,
            revoked(REVOKED_AT + 1, reason),
        ),
        (
            "revoked earlier",
            about_revoked,
            revoked(REVOKED_AT - 1, reason),
        ),
        (
            "revoked without its reason",
            about_revoked,
            revoked(REVOKED_AT, None),
        ),
        (
            "revoked for another reason",
            about_revoked,
            revoked(REVOKED_AT, Some(CrlReason::RemoveFromCRL)),
        ),
    ] {
        lies(case, what, der, move |data| {
            first(data).cert_status = status;
        });
    }
}

#[test]
fn another_nonce_is_withheld() {
    let what = "nonce";
    lies("another", what, with_nonce, |data| {
        data.response_extensions = Some(vec![nonce_extension(&[8; 32])]);
    });
    lies("a longer one", what, with_nonce, |data| {
        data.response_extensions = Some(vec![nonce_extension(&[7; 33])]);
    });
    lies("one that is not wrapped", what, with_nonce, |data| {
        let mut bare = nonce_extension(&[7; 32]);
        bare.extn_value = octet_string(&[7; 32]);
        data.response_extensions = Some(vec![bare]);
    });
    lies("none", what, with_nonce, |data| {
        data.response_extensions = None;
    });
    lies("one where none was asked", what, plain, |data| {
        data.response_extensions = Some(vec![nonce_extension(&[7; 32])]);
    });
}

/// conformance 15: an answer has a nextUpdate.
#[test]
fn times_that_do_not_fit_are_withheld() {
    lies("no nextUpdate", "nextUpdate", plain, |data| {
        first(data).next_update = None;
    });
    lies("thisUpdate after producedAt", "time", plain, |data| {
        data.produced_at = time(now() - 60);
    });
    lies("nextUpdate at producedAt", "time", plain, |data| {
        let produced_at = data.produced_at;
        first(data).next_update = Some(produced_at);
    });
    lies("nextUpdate before thisUpdate", "time", plain, |data| {
        first(data).next_update = Some(time(now() - 3600));
    });
    lies("two thisUpdates", "time", about_two, |data| {
        data.responses[1].this_update = time(now() - 60);
    });
    lies("two nextUpdates", "time", about_two, |data| {
        data.responses[1].next_update = Some(time(now() + 60));
    });
    // Each by itself, they fit: an answer of long ago, and one that is to come.
    for (case, produced_at) in [("old", now() - 7200), ("to come", now() + 7200)] {
        lies(case, "time", plain, move |data| {
            data.produced_at = time(produced_at);
            first(data).this_update = time(produced_at);
            first(data).next_update = Some(time(produced_at + 3600));
        });
    }
}

/// conformance 1: an answer is a BasicOCSPResponse in an OCSPResponse, and nothing else leaves.
#[test]
fn what_is_no_signed_answer_is_withheld() {
    type Make = fn(&Authority, &SignRequest) -> Vec<u8>;
    fn honest(authority: &Authority, asked: &SignRequest) -> Vec<u8> {
        authority.seal(authority.data(asked, When::lasting(3600)))
    }
    let cases: [(&str, &str, Make); 6] = [
        ("garbage", "form", |_, _| MARK.repeat(9)),
        ("nothing", "form", |_, _| Vec::new()),
        ("the error internalError", "form", |_, _| {
            INTERNAL_ERROR.to_vec()
        }),
        ("one octet more", "form", |authority, asked| {
            [honest(authority, asked), vec![0]].concat()
        }),
        (
            "tryLater that carries an answer",
            "kind",
            |authority, asked| {
                let mut der = honest(authority, asked);
                let status = der.windows(3).position(|three| three == [0x0a, 1, 0]);
                der[status.unwrap() + 2] = 3;
                der
            },
        ),
        ("another type of response", "kind", |authority, asked| {
            let mut der = honest(authority, asked);
            let basic = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
            let oid = der.windows(9).position(|nine| nine == basic);
            der[oid.unwrap() + 8] = 4;
            der
        }),
    ];
    for (case, what, make) in cases {
        withholds(case, what, plain, make);
    }
}

/// How many octets the header of a DER value has, and how many its content.
fn lengths(value: &[u8]) -> (usize, usize) {
    match value[1] {
        0x82 => (4, usize::from(u16::from_be_bytes([value[2], value[3]]))),
        0x81 => (3, usize::from(value[2])),
        length => (2, usize::from(length)),
    }
}

/// The value, and each value within it, with one fault: one value more behind its content, or a longer length than it needs.
fn faults(value: &[u8]) -> Vec<Vec<u8>> {
    let (tag, content) = (value[0], &value[lengths(value).0..]);
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut found = vec![
        tlv(tag, &[content, &[5, 0]].concat()),
        [&[tag, 0x83, 0, high, low], content].concat(),
    ];
    let mut place = 0;
    while tag & 0x20 != 0 && place < content.len() {
        let (header, length) = lengths(&content[place..]);
        let end = place + header + length;
        for fault in faults(&content[place..end]) {
            let content = [&content[..place], &fault, &content[end..]].concat();
            found.push(tlv(tag, &content));
        }
        place = end;
    }
    found
}

#[test]
fn one_value_more_or_a_length_that_der_does_not_allow_is_found_wherever_it_stands() {
    let stage = Stage::new();
    let issuers = Issuers::open(&stage.settings.issuers, Verify::Always).unwrap();
    let check = |data: Vec<u8>, asked: &SignRequest| {
        let answer = stage.authority.sign(data).der();
        response::check(&answer, asked, issuers.at(0).unwrap())
    };
    let good = (Status::Good, None);
    let time = REVOKED_AT;
    let reason = Some(Reason::KeyCompromise);
    let revoked = Status::Revoked { time, reason };
    let with_nonce = (revoked, Some(Octets::new([7; 32]).unwrap()));
    for (status, nonce) in [good, with_nonce] {
        let item = Item::Ours(Ours {
            hash: HashAlgorithm::Sha1,
            parameters: Parameters::Null,
            serial: Octets::new(GOOD).unwrap(),
            status,
            evidence: Evidence::None,
        });
        let asked = SignRequest {
            id: 1,
            issuer: 0,
            key: 0,
            nonce,
            items: List::new([item]).unwrap(),
        };
        let data = stage.authority.data(&asked, When::lasting(3600));
        let data = data.to_der().unwrap();
        assert!(check(data.clone(), &asked).is_ok());
        for fault in faults(&data) {
            assert!(check(fault.clone(), &asked).is_err(), "{fault:02x?}");
        }
    }
}

/// conformance 6: version v1 is left out.
#[test]
fn an_answer_of_another_version_or_responder_is_withheld() {
    withholds("a version", "version", plain, |authority, asked| {
        let data = authority.data(asked, When::lasting(3600)).to_der().unwrap();
        // The version there is by default, spelled out, as DER does not allow.
        let header = if data[1] == 0x81 { 3 } else { 2 };
        let spelled = [&[0xa0, 3, 2, 1, 0], &data[header..]].concat();
        authority.sign(tlv(0x30, &spelled)).der()
    });
    let what = "responder ID";
    lies("another key's", what, plain, |data| {
        data.responder_id = ResponderId::ByKey(octet_string(&[7; 20]));
    });
    lies("one octet more", what, plain, |data| {
        if let ResponderId::ByKey(hash) = &data.responder_id {
            let longer = [hash.as_bytes(), &[0]].concat();
            data.responder_id = ResponderId::ByKey(octet_string(&longer));
        }
    });
    withholds("a name", what, plain, |authority, asked| {
        let read = x509_cert::Certificate::from_der(&authority.certificate()).unwrap();
        let mut data = authority.data(asked, When::lasting(3600));
        data.responder_id = ResponderId::ByName(read.tbs_certificate.subject);
        authority.seal(data)
    });
}

#[test]
fn an_extension_that_the_signer_does_not_make_is_withheld() {
    let what = "list of extensions";
    fn extension(critical: bool) -> Extension {
        Extension {
            extn_id: EXTENDED_REVOKE,
            critical,
            extn_value: octet_string(&[5, 0]),
        }
    }
    for critical in [false, true] {
        lies("extended-revoke", what, plain, move |data| {
            data.response_extensions = Some(vec![extension(critical)]);
        });
    }
    lies("beside the nonce", what, with_nonce, |data| {
        data.response_extensions
            .as_mut()
            .unwrap()
            .push(extension(false));
    });
    lies("the nonce twice", what, with_nonce, |data| {
        let twice = data.response_extensions.as_mut().unwrap();
        twice.push(twice[0].clone());
    });
    lies("an empty list", what, plain, |data| {
        data.response_extensions = Some(Vec::new());
    });
    lies("of a certificate", what, plain, |data| {
        first(data).single_extensions = Some(vec![extension(false)]);
    });
    lies("a critical nonce", "nonce", with_nonce, |data| {
        data.response_extensions.as_mut().unwrap()[0].critical = true;
    });
}

#[test]
fn a_signature_that_is_not_the_keys_is_withheld() {
    let what = "signature";
    withholds("another key's", what, plain, |authority, asked| {
        let data = authority.data(asked, When::lasting(3600));
        Authority::new("authority").seal(data)
    });
    withholds("a flipped bit", what, plain, |authority, asked| {
        let mut sealed = sealed(authority, asked);
        *sealed.signature.last_mut().unwrap() ^= 1;
        sealed.der()
    });
    withholds("of something else", what, with_nonce, |authority, asked| {
        let mut sealed = sealed(authority, asked);
        let earlier = authority.data(asked, When::around(60, 3600));
        sealed.data = earlier.to_der().unwrap();
        sealed.der()
    });
    withholds("none", what, plain, |authority, asked| {
        let mut sealed = sealed(authority, asked);
        sealed.signature.clear();
        sealed.der()
    });
    withholds("of another digest", what, plain, |authority, asked| {
        let mut sealed = sealed(authority, asked);
        sealed.algorithm = tlv(0x30, &tlv(6, ECDSA_WITH_SHA_384.as_bytes()));
        sealed.der()
    });
    let what = "signature algorithm";
    let null = [5, 0];
    for (case, algorithm) in [
        ("of another kind of key", tlv(6, ID_ED_25519.as_bytes())),
        (
            "RSA's",
            [&tlv(6, SHA_256_WITH_RSA_ENCRYPTION.as_bytes())[..], &null].concat(),
        ),
        (
            "with parameters",
            [&tlv(6, ECDSA_WITH_SHA_256.as_bytes())[..], &null].concat(),
        ),
        ("by SHA-1", tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1])),
    ] {
        withholds(case, what, plain, move |authority, asked| {
            let mut sealed = sealed(authority, asked);
            sealed.algorithm = tlv(0x30, &algorithm);
            sealed.der()
        });
    }
}

#[test]
fn a_certificate_that_is_not_the_delegated_ones_is_withheld() {
    let what = "certificate of the responder";
    withholds("the issuer's own", what, plain, |authority, asked| {
        let mut sealed = sealed(authority, asked);
        sealed.certificates.push(authority.certificate());
        sealed.der()
    });

    type Change = fn(&mut Sealed, &Authority);
    let changes: [(&str, &str, Change); 5] = [
        ("none", what, |sealed, _| sealed.certificates.clear()),
        ("one more", what, |sealed, authority| {
            sealed.certificates.push(authority.certificate());
        }),
        ("twice", what, |sealed, _| {
            sealed.certificates.push(sealed.certificates[0].clone());
        }),
        ("another", what, |sealed, authority| {
            sealed.certificates = vec![authority.certificate()];
        }),
        (
            "the issuer's signature",
            "signature",
            |sealed, authority| {
                sealed.signature = authority.sign(sealed.data.clone()).signature;
            },
        ),
    ];
    for (case, what, change) in changes {
        let mut stage = Stage::watched();
        let responder = Arc::new(Authority::new("responder"));
        let path = stage.folder.file("responder.crt", responder.pem());
        stage.settings.issuers[0].keys[0].responder = Some(path);
        let delegated = move |authority: &Authority, asked: &SignRequest| {
            let mut data = authority.data(asked, When::lasting(3600));
            data.responder_id = ResponderId::ByKey(octet_string(&responder.key_hash()));
            let mut sealed = responder.sign(data.to_der().unwrap());
            sealed.certificates.push(responder.certificate());
            sealed
        };
        let honest = delegated.clone();
        withholds_on(
            &stage,
            case,
            what,
            plain,
            move |authority, asked| {
                let mut sealed = delegated(authority, asked);
                change(&mut sealed, authority);
                sealed.der()
            },
            move |authority, asked| honest(authority, asked).der(),
        );
    }
}

/// A signer that signs by the right key where the script says so, and by another where not; each question is one of its own.
/// What was withheld, in the same order.
fn withheld_of(verify: Verify, script: &[bool]) -> Vec<bool> {
    let mut stage = Stage::watched();
    stage.settings.verify = verify;
    let authority = Arc::clone(&stage.authority);
    let (other, mut right) = (Authority::new("authority"), script.to_vec());
    let frontend = stage.start(move |asked| {
        let data = authority.data(asked, When::lasting(3600));
        let key = if right.remove(0) { &authority } else { &other };
        signed(asked.id, &key.seal(data))
    });
    let mut client = frontend.client();
    let ask = stage.authority.ask(GOOD);
    let withheld_here: Vec<_> = (0..script.len())
        .map(|number| {
            let nonce = u64::try_from(number).unwrap().to_le_bytes();
            client.post(&ask.with_nonce(&nonce)).body == INTERNAL_ERROR
        })
        .collect();
    let count = withheld_here.iter().filter(|withheld| **withheld).count();
    assert_eq!(withheld(&frontend), u64::try_from(count).unwrap());
    let lines = frontend.logged();
    let alarms = lines.iter().filter(|line| line.starts_with("<84>"));
    assert_eq!(alarms.count(), 1, "one a minute: {lines:#?}");
    withheld_here
}

#[test]
fn always_finds_each_wrong_signature_and_a_sample_the_first_and_one_in_64() {
    let script: Vec<_> = (0..100).map(|number| number % 3 == 0).collect();
    let wrong: Vec<_> = script.iter().map(|right| !right).collect();
    assert_eq!(withheld_of(Verify::Always, &script), wrong);

    // The first, and the next ones until one is right; 63 are passed over, and the next is looked at again.
    let script: Vec<_> = (0..200).map(|number| number == 3 || number == 70).collect();
    let mut expected = vec![true, true, true, false];
    expected.extend([false; 63]); // among them wrong ones, from the 4th to the 66th
    expected.extend([true, true, true, false]); // the 67th to the 70th
    expected.extend([false; 63]);
    expected.resize(200, true);
    assert_eq!(withheld_of(Verify::Sample, &script), expected);
}

#[test]
fn a_renewal_that_is_wrong_leaves_the_answer_there_is() {
    let stage = Stage::watched();
    let authority = Arc::clone(&stage.authority);
    let mut answered = 0;
    let frontend = stage.start(move |asked| {
        answered += 1;
        // The first is past half of its life.
        let mut data = authority.data(asked, When::around(100, 100));
        if answered > 1 {
            first(&mut data).cert_status = CertStatus::unknown();
        }
        signed(asked.id, &authority.seal(data))
    });
    let der = plain(&stage.authority);
    let kept = frontend.post(&der);
    assert!(is_good(&kept));
    until("a renewal", || {
        assert_eq!(frontend.post(&der), kept);
        withheld(&frontend) > 0
    });
    assert_eq!(frontend.post(&der), kept);
    frontend.logs("<84>the signer gave an answer whose status is wrong");
}

#[test]
fn a_responder_that_cannot_be_read_is_refused_in_a_sentence() {
    let mut stage = Stage::new();
    let no_certificate = stage.folder.file("garbage", b"0garbage");
    for (path, fault) in [
        (
            stage.folder.path("absent"),
            "cannot be read by the frontend's user",
        ),
        (no_certificate, "its key cannot be used"),
    ] {
        stage.settings.issuers[0].keys[0].responder = Some(path.clone());
        let mut frontend = Frontend::told(&stage.settings);
        match frontend.report() {
            Some(Report::Refused(faults)) => {
                let wanted = format!("issuer \"ca\": {path}: {fault}");
                assert!(faults[0].starts_with(&wanted), "{faults:?}");
            }
            other => panic!("a refusal was expected: {other:?}"),
        }
    }
}

// ---- a signer that is slow, gone, or refuses ----------------------------------------------------------------------

/// conformance 87: tryLater is HTTP 200, no-store, with Retry-After.
/// conformance 61: within ten seconds there is an answer, if only tryLater.
/// conformance 4: tryLater where we cannot say for now.
#[test]
fn a_signer_that_stalls_costs_a_try_later_and_its_late_answer_is_no_violation() {
    let stage = Stage::new();
    let mut frontend = stage.mute();
    // One answer, which is cached.
    let cached = stage.authority.ask(GOOD).request();
    let mut client = frontend.client();
    client.send(&post(&cached));
    frontend.signer_says(&stage.authority.answers(&frontend.asked(0)));
    let first = client.response().body;
    // From now on it says nothing.
    let stalled = stage.authority.ask(OTHER);
    let mut waiting = [frontend.client(), frontend.client()];
    waiting[0].send(&post(&stalled.request()));
    waiting[1].send(&post(&stalled.with_nonce(&[1; 16])));
    let questions = [frontend.asked(1), frontend.asked(2)];
    assert_eq!(client.post(&cached).body, first);
    for client in &mut waiting {
        let response = client.response();
        assert_eq!((response.status, &*response.body), (200, TRY_LATER));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let after: u32 = response.header("retry-after").unwrap().parse().unwrap();
        assert!(after > 0);
    }
    assert_eq!(client.post(&cached).body, first);
    // Too late: nobody waits, and nothing is wrong with it, not even that it lies.
    frontend.signer_says(&stage.authority.answers(&questions[0]));
    frontend.signer_says(&refused(questions[1].id, Refusal::Crypto));
    let mut client = frontend.client();
    client.send(&post(&stalled.request()));
    frontend.signer_says(&stage.authority.answers(&frontend.asked(3)));
    assert!(is_good(&client.response().body));
    assert!(frontend.lives());
}

#[test]
fn a_signer_that_leaves_leaves_the_cached_answers() {
    let stage = Stage::new();
    let mut frontend = stage.honest();
    let cached = stage.authority.ask(GOOD).request();
    let first = frontend.post(&cached);
    assert!(is_good(&first));
    frontend.end_boundary();
    frontend.logs("<4>the signer is gone");
    for _ in 0..3 {
        assert_eq!(frontend.post(&cached), first);
        assert_eq!(
            frontend.post(&stage.authority.ask(OTHER).request()),
            TRY_LATER
        );
        let with_nonce = stage.authority.ask(GOOD).with_nonce(&[1; 16]);
        assert_eq!(frontend.post(&with_nonce), TRY_LATER);
    }
    assert!(frontend.lives());
}

#[test]
fn a_signer_that_leaves_with_questions_open_costs_a_try_later_at_once() {
    let stage = Stage::new();
    let mut frontend = stage.mute();
    let mut waiting = [frontend.client(), frontend.client()];
    for (client, serial) in waiting.iter_mut().zip([GOOD, OTHER]) {
        client.send(&post(&stage.authority.ask(serial).request()));
    }
    frontend.asked(1);
    frontend.end_boundary();
    for client in &mut waiting {
        assert_eq!(client.response().body, TRY_LATER);
    }
    assert!(frontend.lives());
}

/// conformance 4: internalError where what we know contradicts itself, tryLater where we cannot say for now.
#[test]
fn a_refusal_is_an_internal_error_and_a_late_clock_try_later() {
    let refusals = [
        Refusal::Issuer,
        Refusal::Key,
        Refusal::Serial,
        Refusal::Nonce,
        Refusal::NothingOurs,
        Refusal::ForeignIsOurs,
        Refusal::ForeignMalformed,
        Refusal::NoEvidence,
        Refusal::EvidenceUnreadable,
        Refusal::EvidenceIssuer,
        Refusal::EvidenceSerial,
        Refusal::EvidenceSignature,
        Refusal::NeverIssued,
        Refusal::RevocationTime,
        Refusal::ClockBehind,
        Refusal::SignerNotValid,
        Refusal::TooLarge,
        Refusal::Crypto,
    ];
    let stage = Stage::new();
    let mut left = refusals.to_vec();
    let mut frontend = stage.start(move |asked| refused(asked.id, left.remove(0)));
    let mut client = frontend.client();
    for refusal in refusals {
        let response = client.post(&stage.authority.ask(GOOD).request());
        let expected = if refusal == Refusal::ClockBehind {
            TRY_LATER
        } else {
            INTERNAL_ERROR
        };
        assert_eq!(response.body, expected, "{refusal:?}");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    // Each was asked anew: no refusal is kept.
    assert_eq!(frontend.count(), refusals.len());
    assert!(frontend.lives());
}

#[test]
fn a_withdrawn_revocation_is_served_as_the_signer_remembers_it_and_logged() {
    let (time, reason) = (REVOKED_AT, Some(Reason::CaCompromise));
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let frontend = stage.start(move |asked| {
        let withdrawn = asked.items.iter().position(
            |item| matches!(item, Item::Ours(ours) if ours.status == Status::Good && *ours.serial == *GOOD),
        );
        match withdrawn {
            None => authority.answers(asked),
            Some(item) => {
                let item = u16::try_from(item).unwrap();
                let withdrawn = Withdrawn { item, time, reason };
                refused(asked.id, Refusal::Withdrawn(withdrawn))
            }
        }
    });
    let expected = revoked(time, Some(CrlReason::CaCompromise));
    let one = told(&frontend.post(&stage.authority.ask(GOOD).request()));
    assert_eq!(one.status, expected);
    let [first, second] =
        [frontend.asked(0), frontend.asked(1)].map(|asked| asked.items[0].clone());
    assert!(matches!(first, Item::Ours(ours) if ours.status == Status::Good));
    let Item::Ours(second) = second else {
        panic!("asked about somebody else's certificate");
    };
    assert_eq!(second.status, Status::Revoked { time, reason });
    assert_eq!(second.evidence, Evidence::None);
    frontend.logs("<84>source \"ca\" has withdrawn a revocation");
    // It is kept like any other.
    assert_eq!(
        told(&frontend.post(&stage.authority.ask(GOOD).request())),
        one
    );
    assert_eq!(frontend.count(), 2);
    // Among others, and with a nonce.
    let ids = [OTHER, GOOD].map(|serial| stage.authority.ask(serial).cert_id());
    let several = all_told(&frontend.post(&request(&ids, &[nonce(&[3; 9])])));
    let statuses: Vec<_> = several.iter().map(|told| told.status).collect();
    assert_eq!(statuses, [CertStatus::good(), expected]);
    assert_eq!(several[0].nonce.as_deref(), Some(&[3; 9][..]));
}

#[test]
fn a_signer_that_calls_everything_withdrawn_costs_an_internal_error_and_no_more() {
    for item in [0, 1, u16::MAX] {
        let withdrawn = Withdrawn {
            item,
            time: REVOKED_AT,
            reason: None,
        };
        let stage = Stage::new();
        let mut frontend =
            stage.start(move |asked| refused(asked.id, Refusal::Withdrawn(withdrawn)));
        let answer = frontend.post(&stage.authority.ask(GOOD).request());
        assert_eq!(answer, INTERNAL_ERROR);
        assert!(frontend.count() <= 2, "it asks on and on");
        assert!(frontend.lives());
    }
}

// ---- the launcher -------------------------------------------------------------------------------------------------

#[test]
fn a_launcher_that_leaves_ends_the_frontend_in_order() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut client = frontend.client();
    assert!(is_good(&client.post(&plain(&stage.authority)).body));
    frontend.end_control();
    let (code, lines) = frontend.left();
    assert_eq!(code, Some(DONE), "{lines:#?}");

    // Before it has told anything, or only half of it.
    for sockets in [None, Some(1)] {
        let mut frontend = Frontend::untold(&stage.settings);
        if let Some(sockets) = sockets {
            frontend.hand_over(sockets);
        }
        frontend.end_orders();
        let (code, lines) = frontend.left();
        assert_eq!(code, Some(DONE), "{lines:#?}");
    }
}

#[test]
fn settings_that_cannot_be_read_are_not_followed() {
    let stage = Stage::new();
    let text = stage.settings.to_text().unwrap();
    for garbage in [
        b"HOSTILE-OCTETS".to_vec(),
        vec![0xff; 10],
        Vec::new(),
        format!("insecure = true\n{text}").into_bytes(),
        text.replace("max_age = 3600", "max_age = \"long\"")
            .into_bytes(),
    ] {
        let mut frontend = Frontend::untold(&stage.settings);
        frontend.hand_over(1);
        frontend.order(&FrontendOrder::Settings(Octets::new(garbage).unwrap()));
        let (code, lines) = frontend.left();
        assert_eq!(code, Some(USAGE), "{lines:#?}");
        assert!(!lines.join("\n").contains("HOSTILE"), "{lines:#?}");
    }
}

#[test]
fn another_number_of_sockets_than_was_told_is_not_followed() {
    let mut stage = Stage::new();
    let listener = stage.settings.listeners[0].clone();
    stage.settings.listeners.push(listener);
    let text = stage.settings.to_text().unwrap();
    for sockets in [0, 1] {
        let mut frontend = Frontend::untold(&stage.settings);
        frontend.hand_over(sockets);
        frontend.order(&FrontendOrder::Settings(Octets::new(text.clone()).unwrap()));
        let (code, lines) = frontend.left();
        assert_eq!(code, Some(USAGE), "{lines:#?}");
    }
    stage.settings.listeners.pop();
    let text = stage.settings.to_text().unwrap();
    stage
        .settings
        .listeners
        .push(stage.settings.listeners[0].clone());
    let mut frontend = Frontend::untold(&stage.settings);
    frontend.hand_over(2);
    frontend.order(&FrontendOrder::Settings(Octets::new(text).unwrap()));
    let (code, lines) = frontend.left();
    assert_eq!(code, Some(USAGE), "{lines:#?}");

    // A password that is a credential comes as one more.
    let mut with_password = stage.settings.clone();
    with_password.listeners.pop();
    with_password.sources.push(database());
    let text = with_password.to_text().unwrap();
    for sockets in [1, 3] {
        stage.settings.listeners.truncate(1);
        let listener = stage.settings.listeners[0].clone();
        stage.settings.listeners.resize(sockets, listener);
        let mut frontend = Frontend::untold(&stage.settings);
        frontend.hand_over(sockets);
        frontend.order(&FrontendOrder::Settings(Octets::new(text.clone()).unwrap()));
        let (code, lines) = frontend.left();
        assert_eq!(code, Some(USAGE), "{lines:#?}");
        let fault = format!("found {sockets} descriptors handed over, expected 2");
        assert!(lines.join("\n").contains(&fault), "{lines:#?}");
    }
}

/// A database whose password is a credential.
fn database() -> settings::Source {
    let name = str::to_owned;
    settings::Source {
        name: name("database"),
        revalidate_ms: 1000,
        kind: settings::SourceKind::Mysql(Box::new(settings::Mysql {
            user: name("cert"),
            hosts: Vec::new(),
            socket: Some(name("/run/mysqld/mysqld.sock")),
            database: name("certs"),
            password_file: Some(settings::Secret::Credential(name("password"))),
            tls_ca: None,
            time_zone: name("UTC"),
            table: name("list_certs"),
            columns: settings::Columns {
                serial: name("cert_num"),
                status: name("status"),
                time: name("revocation_time"),
                reason: name("revocation_reason"),
                certificate: name("cert"),
            },
            connections: 4,
            timeout_ms: 2000,
        })),
    }
}

#[test]
fn orders_out_of_order_are_not_followed() {
    let stage = Stage::new();
    let text = stage.settings.to_text().unwrap();
    let settings = FrontendOrder::Settings(Octets::new(text).unwrap());

    let mut frontend = Frontend::untold(&stage.settings);
    frontend.hand_over(1);
    frontend.order(&FrontendOrder::Ping(1));
    assert_eq!(frontend.left().0, Some(USAGE));

    let mut frontend = Frontend::untold(&stage.settings);
    frontend.order(&settings);
    assert_eq!(frontend.left().0, Some(USAGE));

    // Serving, it follows no second settings, and nothing that is no order.
    for wrong in [frame(&settings).unwrap(), framed(&[9, 0, 0, 0])] {
        let mut frontend = stage.honest();
        frontend.say(&wrong);
        let (code, lines) = frontend.left();
        assert_ne!(code, Some(DONE), "{lines:#?}");
        assert!(code.is_some(), "it was killed");
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("<3>the control socket: "))
        );
    }
}

#[test]
fn pings_are_answered_while_the_signer_stalls() {
    let stage = Stage::new();
    let mut frontend = stage.mute();
    let mut client = frontend.client();
    client.send(&post(&plain(&stage.authority)));
    frontend.asked(0);
    for number in [1, 2, u64::MAX] {
        frontend.order(&FrontendOrder::Ping(number));
        assert_eq!(frontend.report(), Some(Report::Pong(number)));
    }
}
