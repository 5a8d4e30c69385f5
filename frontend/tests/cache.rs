//! What a real frontend process keeps, for how long, and what it asks its signer for: the questions that reach the signer
//! are counted. An answer is kept by everything that shapes it; the signature and the status behind it age apart.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::sync::Arc;

use harness::*;
use ocsp_frontend_settings::{NoRecord, SourceKind};
use ocsp_wire::*;
use x509_ocsp::CertStatus;

const ALGORITHMS: [HashAlgorithm; 4] = [
    HashAlgorithm::Sha1,
    HashAlgorithm::Sha256,
    HashAlgorithm::Sha384,
    HashAlgorithm::Sha512,
];

// ---- what is kept, and by what ------------------------------------------------------------------------------------

#[test]
fn the_same_question_is_signed_once() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let (good, revoked) = (stage.authority.ask(GOOD), stage.authority.ask(REVOKED));
    let first = frontend.post(&good.request());
    for _ in 0..5 {
        assert_eq!(frontend.post(&good.request()), first);
        assert_eq!(frontend.client().get(&good.request()).body, first);
        let mut raw = frontend.client();
        raw.send(&good.request());
        assert_eq!(raw.der(), first);
    }
    assert_eq!(frontend.count(), 1);
    assert!(is_revoked(&frontend.post(&revoked.request())));
    assert!(is_revoked(&frontend.post(&revoked.request())));
    assert_eq!(frontend.count(), 2);
}

#[test]
fn each_hash_algorithm_and_form_of_its_parameters_has_its_own_answer() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let mut client = frontend.client();
    for _ in 0..2 {
        for hash in ALGORITHMS {
            for parameters in [Parameters::Absent, Parameters::Null] {
                let ask = stage.authority.ask_by(hash, parameters, GOOD);
                let body = client.post(&ask.request()).body;
                assert!(is_good(&body));
                // It echoes the CertID octet by octet.
                let id = ask.cert_id();
                assert!(body.windows(id.len()).any(|window| window == id));
            }
        }
        assert_eq!(frontend.count(), 8);
    }
}

/// conformance 41: an answer with a nonce is given to nobody else.
#[test]
fn an_answer_with_a_nonce_is_never_kept() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let ask = stage.authority.ask(GOOD);
    for asked in 1..=3 {
        let body = frontend.post(&ask.with_nonce(&[7; 32]));
        assert_eq!(told(&body).nonce.as_deref(), Some(&[7; 32][..]));
        assert_eq!(frontend.count(), asked);
    }
    // Nor is it given to who asks without, or the other way round.
    for _ in 0..2 {
        assert_eq!(told(&frontend.post(&ask.request())).nonce, None);
        assert_eq!(frontend.count(), 4);
    }
    let body = frontend.post(&ask.with_nonce(&[8; 1]));
    assert_eq!(told(&body).nonce.as_deref(), Some(&[8; 1][..]));
    assert_eq!(frontend.count(), 5);
}

#[test]
fn an_answer_to_several_certificates_is_not_kept() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let ids = [GOOD, OTHER].map(|serial| stage.authority.ask(serial).cert_id());
    for asked in 1..=2 {
        assert_eq!(all_told(&frontend.post(&request(&ids, &[]))).len(), 2);
        assert_eq!(frontend.count(), asked);
    }
    assert!(is_good(
        &frontend.post(&stage.authority.ask(GOOD).request())
    ));
    assert_eq!(frontend.count(), 3);
}

#[test]
fn what_is_without_record_is_never_kept() {
    for unknown in [NoRecord::Unknown, NoRecord::Revoked] {
        let mut stage = Stage::new();
        stage.settings.issuers[0].unknown = unknown;
        let frontend = stage.honest();
        for asked in 1..=3 {
            let told = told(&frontend.post(&stage.authority.ask(NOBODY).request()));
            let is_unknown = told.status == CertStatus::unknown();
            assert_eq!(is_unknown, unknown == NoRecord::Unknown);
            assert_eq!(frontend.count(), asked);
        }
    }
}

#[test]
fn an_error_is_never_kept() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let mut refusals = vec![Refusal::Crypto, Refusal::ClockBehind];
    let frontend = stage.start(move |asked| match refusals.pop() {
        Some(refusal) => refused(asked.id, refusal),
        None => authority.answers(asked),
    });
    let der = stage.authority.ask(GOOD).request();
    assert_eq!(frontend.post(&der), TRY_LATER);
    assert_eq!(frontend.post(&der), INTERNAL_ERROR);
    assert!(is_good(&frontend.post(&der)));
    assert!(is_good(&frontend.post(&der)));
    assert_eq!(frontend.count(), 3);
}

#[test]
fn a_certificate_that_cannot_be_read_is_an_internal_error_until_it_can() {
    let mut stage = Stage::new();
    let folder = stage.folder.path("newcerts");
    std::fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o755);
    stage.settings.sources[0].kind = SourceKind::Index {
        file: stage.folder.path("index.txt"),
        certificates: Some(folder),
    };
    let frontend = stage.honest();
    let der = stage.authority.ask(GOOD).request();
    assert_eq!(frontend.post(&der), INTERNAL_ERROR);
    stage.folder.file("newcerts/10.pem", b"no certificate");
    assert_eq!(frontend.post(&der), INTERNAL_ERROR);
    // Revoked needs no proof.
    let revoked = stage.authority.ask(REVOKED).request();
    assert!(is_revoked(&frontend.post(&revoked)));
    stage.folder.file("newcerts/10.pem", stage.authority.pem());
    assert!(is_good(&frontend.post(&der)));
    let evidence = |place: usize| match frontend.asked(place).items[0].clone() {
        Item::Ours(ours) => ours.evidence,
        Item::Foreign(_) => panic!("asked about somebody else's certificate"),
    };
    assert_eq!(evidence(0), Evidence::None);
    assert!(matches!(evidence(1), Evidence::Certificate(_)));
    assert_eq!(frontend.count(), 2);
}

#[test]
fn a_question_with_anothers_hashes_does_not_poison_the_answer() {
    let stage = Stage::new();
    let frontend = stage.honest();
    let truth = stage.authority.ask(GOOD);
    let other = Authority::new("somebody else").ask(GOOD);
    let bogus = [
        Ask {
            key_hash: vec![0xbb; 20],
            ..truth.clone()
        },
        Ask {
            name_hash: vec![0xaa; 20],
            ..truth.clone()
        },
        Ask {
            key_hash: Vec::new(),
            name_hash: Vec::new(),
            ..truth.clone()
        },
        // Hashes of the issuer by another algorithm than the one that is named.
        Ask {
            hash: HashAlgorithm::Sha256,
            ..truth.clone()
        },
        other,
    ];
    for _ in 0..2 {
        for ask in &bogus {
            assert_eq!(frontend.post(&ask.request()), UNAUTHORIZED);
        }
        assert!(is_good(&frontend.post(&truth.request())));
        assert_eq!(frontend.count(), 1);
    }
}

#[test]
fn two_issuers_with_the_same_serial_have_their_own_answers() {
    let mut stage = Stage::new();
    let second = Authority::new("second");
    let mut issuer = stage.settings.issuers[0].clone();
    issuer.name = "second".to_owned();
    issuer.certificate = stage.folder.file("second.crt", second.pem());
    issuer.source = 1;
    let index = stage.folder.file(
        "second.txt",
        b"R\t491231235959Z\t240102030405Z\t10\tunknown\t/CN=a\n",
    );
    let mut source = stage.settings.sources[0].clone();
    source.name = "second".to_owned();
    source.kind = SourceKind::Index {
        file: index,
        certificates: None,
    };
    stage.settings.issuers.push(issuer);
    stage.settings.sources.push(source);
    let (first, asks) = (Arc::clone(&stage.authority), second.ask(GOOD));
    let frontend = stage.start(move |asked| match asked.issuer {
        0 => first.answers(asked),
        _ => second.answers(asked),
    });
    for _ in 0..2 {
        assert!(is_good(
            &frontend.post(&stage.authority.ask(GOOD).request())
        ));
        assert!(is_revoked(&frontend.post(&asks.request())));
        assert_eq!(frontend.count(), 2);
    }
}

#[test]
fn many_clients_that_ask_for_one_new_serial_wait_for_one_signature() {
    let stage = Stage::new();
    let frontend = stage.mute();
    let der = stage.authority.ask(GOOD).request();
    let mut clients: Vec<_> = (0..64).map(|_| frontend.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        match number % 3 {
            0 => client.send(&post(&der)),
            1 => client.send(&get("GET", &der)),
            _ => client.send(&der),
        }
    }
    let question = frontend.asked(0);
    sleep_ms(500); // until all of them have been read
    frontend.signer_says(&stage.authority.answers(&question));
    for (number, client) in clients.iter_mut().enumerate() {
        let body = match number % 3 {
            0 | 1 => client.response().body,
            _ => client.der(),
        };
        assert!(is_good(&body));
    }
    assert_eq!(frontend.count(), 1);
}

#[test]
fn a_flight_whose_client_is_gone_goes_on_for_who_waits() {
    let stage = Stage::new();
    let mut frontend = stage.mute();
    let der = stage.authority.ask(GOOD).request();
    let mut gone = frontend.client();
    gone.send(&post(&der));
    let first = frontend.asked(0);
    let mut waiting = [frontend.client(), frontend.client()];
    for client in &mut waiting {
        client.send(&post(&der));
    }
    sleep_ms(300); // until they wait
    drop(gone);
    sleep_ms(300); // until that could be seen
    frontend.signer_says(&stage.authority.answers(&first));
    for client in &mut waiting {
        assert!(is_good(&client.response().body));
    }
    assert!(is_good(&frontend.post(&der)));
    assert_eq!(frontend.count(), 1);
    assert!(frontend.lives());
}

#[test]
fn the_cache_is_bounded_in_octets() {
    let serials: Vec<[u8; 3]> = (0..2000u16)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            [1, high, low]
        })
        .collect();
    let all: Vec<&[u8]> = serials.iter().map(|serial| &serial[..]).collect();
    // Room for some 60 answers, and room for all.
    for (memory, kept) in [(64 << 10, false), (64 << 20, true)] {
        let mut stage = Stage::new();
        stage.settings.cache_memory = memory;
        stage.index(&all, &[]);
        let frontend = stage.honest();
        let mut client = frontend.client();
        for _ in 0..2 {
            for serial in &all {
                let body = client.post(&stage.authority.ask(serial).request()).body;
                assert_eq!(told(&body).serial, *serial);
            }
        }
        let signed = frontend.count();
        if kept {
            assert_eq!(signed, all.len());
        } else {
            assert!(signed >= 2 * all.len() - 2 * 80, "{signed} signatures");
            // What was asked for just now is there.
            let last = stage.authority.ask(all[all.len() - 1]).request();
            client.post(&last);
            let before = frontend.count();
            client.post(&last);
            assert_eq!(frontend.count(), before);
        }
    }
}

#[test]
fn questions_that_are_not_kept_take_no_memory() {
    let mut stage = Stage::new();
    stage.settings.issuers[0].unknown = NoRecord::Unknown;
    let frontend = stage.honest();
    let mut client = frontend.client();
    let mut ask = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let serial = [&[0x33][..], &number.to_be_bytes()].concat();
            let body = client.post(&stage.authority.ask(&serial).request()).body;
            assert_eq!(told(&body).status, CertStatus::unknown());
        }
    };
    ask(0..1000);
    let before = frontend.resident();
    ask(1000..4000);
    // 3000 of a thousand octets each would be 3 MB.
    let grown = frontend.resident().saturating_sub(before);
    assert!(grown < 2_000_000, "{grown} octets");
}

// ---- the status ages ----------------------------------------------------------------------------------------------

/// Statuses are believed for a second.
fn brief() -> Stage {
    let mut stage = Stage::new();
    stage.settings.sources[0].revalidate_ms = 1000;
    stage
}

/// Waits until the frontend has read the index anew.
fn has_read(frontend: &Frontend) {
    frontend.logs("<5>source \"ca\": ");
}

#[test]
fn a_status_that_is_read_again_and_unchanged_costs_no_signature() {
    let stage = brief();
    let frontend = stage.honest();
    let asks = [GOOD, REVOKED].map(|serial| stage.authority.ask(serial).request());
    let first = asks.each_ref().map(|der| frontend.post(der));
    // The same in a new file: it is read, and says nothing new.
    stage.index(&[GOOD, OTHER], &[REVOKED]);
    has_read(&frontend);
    for _ in 0..2 {
        sleep_ms(1100);
        assert_eq!(asks.each_ref().map(|der| frontend.post(der)), first);
    }
    assert_eq!(frontend.count(), 2);
}

#[test]
fn a_revocation_is_served_once_the_status_is_read_again_and_nothing_else_changes() {
    let stage = brief();
    let frontend = stage.honest();
    let [good, other] = [GOOD, OTHER].map(|serial| stage.authority.ask(serial).request());
    let first = [&good, &other].map(|der| frontend.post(der));
    assert!(first.iter().all(|body| is_good(body)));
    stage.index(&[OTHER], &[GOOD, REVOKED]);
    has_read(&frontend);
    sleep_ms(1100);
    let revoked = frontend.post(&good);
    assert!(is_revoked(&revoked));
    assert_eq!(frontend.post(&other), first[1]);
    assert_eq!(frontend.post(&good), revoked);
    assert_eq!(frontend.count(), 3);
}

#[test]
fn a_serial_that_loses_its_record_loses_its_answer() {
    let stage = brief();
    let frontend = stage.honest();
    let good = stage.authority.ask(GOOD).request();
    let first = frontend.post(&good);
    assert!(is_good(&first));
    stage.index(&[OTHER], &[]);
    has_read(&frontend);
    sleep_ms(1100);
    assert_eq!(frontend.post(&good), UNAUTHORIZED);
    assert_eq!(frontend.post(&good), UNAUTHORIZED);
    assert_eq!(frontend.count(), 1);
}

#[test]
fn a_renewed_signature_does_not_make_the_status_younger() {
    let mut stage = Stage::new();
    stage.settings.sources[0].revalidate_ms = 4500;
    let authority = Arc::clone(&stage.authority);
    // Always due for renewal.
    let frontend = stage.start(move |asked| authority.answers_at(asked, When::around(100, 100)));
    let good = stage.authority.ask(GOOD).request();
    assert!(is_good(&frontend.post(&good)));
    let read = std::time::Instant::now();
    stage.index(&[OTHER], &[GOOD]);
    has_read(&frontend);
    // Within the time for which the status is believed: its signature is renewed, its status is not.
    frontend.post(&good);
    frontend.asked(1);
    let left = std::time::Duration::from_millis(4600).saturating_sub(read.elapsed());
    std::thread::sleep(left);
    assert!(is_revoked(&frontend.post(&good)));
}

// ---- the signature ages -------------------------------------------------------------------------------------------

/// conformance 58: renewed in the first half of its life.
#[test]
fn a_signature_past_half_its_life_is_renewed_once_by_the_next_hit() {
    let stage = Stage::new();
    let frontend = stage.mute();
    let good = stage.authority.ask(GOOD).request();
    let mut client = frontend.client();
    client.send(&post(&good));
    let question = frontend.asked(0);
    let old = stage
        .authority
        .answers_at(&question, When::around(100, 100));
    frontend.signer_says(&old);
    let first = client.response().body;
    assert_eq!(frontend.count(), 1, "nobody has asked for it since");
    // The old answer is served while the new one is made, and one is made.
    for _ in 0..10 {
        assert_eq!(client.post(&good).body, first);
        assert_eq!(frontend.post(&good), first);
    }
    let renewal = frontend.asked(1);
    assert_eq!(renewal.items, question.items);
    assert_eq!(frontend.count(), 2);
    frontend.signer_says(&stage.authority.answers(&renewal));
    let mut second = Vec::new();
    until("the renewed answer", || {
        second = client.post(&good).body;
        second != first
    });
    assert!(told(&second).next_update > told(&first).next_update);
    for _ in 0..5 {
        assert_eq!(client.post(&good).body, second);
    }
    assert_eq!(frontend.count(), 2);
}

#[test]
fn a_renewal_that_fails_leaves_the_old_answer_and_is_tried_again() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let mut answered = 0;
    let frontend = stage.start(move |asked| {
        answered += 1;
        match answered {
            1 => authority.answers_at(asked, When::around(100, 100)),
            2 => refused(asked.id, Refusal::Crypto),
            _ => authority.answers(asked),
        }
    });
    let good = stage.authority.ask(GOOD).request();
    let first = frontend.post(&good);
    assert!(is_good(&first));
    until("the renewed answer", || {
        let body = frontend.post(&good);
        assert!(is_good(&body));
        body != first
    });
    assert_eq!(frontend.count(), 3);
}

#[test]
fn a_signature_with_half_its_life_ahead_is_not_renewed() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    // At most a tenth earlier than half: 1800 s of 3600, less 180.
    let frontend = stage.start(move |asked| authority.answers_at(asked, When::around(1500, 2100)));
    let good = stage.authority.ask(GOOD).request();
    let first = frontend.post(&good);
    for _ in 0..10 {
        assert_eq!(frontend.post(&good), first);
    }
    sleep_ms(200);
    assert_eq!(frontend.count(), 1);
}

/// Answers of this age and with so much ahead; the first of them is past its limit in a second or two, later ones are new.
fn first_ends(
    stage: &Stage,
    (ago, ahead): (u64, u64),
    mut second: impl FnMut(&SignRequest) -> Vec<u8> + Send + 'static,
) -> Frontend {
    let authority = Arc::clone(&stage.authority);
    let mut first = true;
    stage.start(move |asked| {
        if std::mem::take(&mut first) {
            authority.answers_at(asked, When::around(ago, ahead))
        } else {
            second(asked)
        }
    })
}

/// The limits: 8 h before nextUpdate, 4 days after thisUpdate, half of a short validity. Each is two seconds away.
const ENDS: [(u64, u64); 3] = [
    (16 * 3600 - 2, 8 * 3600 + 2),
    (96 * 3600 - 2, 144 * 3600 + 2),
    (58, 61),
];

/// conformance 58: a new answer is there 8 h before nextUpdate and 4 days after thisUpdate; of one valid for less than 16 h,
/// before half of that is left.
#[test]
fn an_answer_past_its_limit_is_not_served_before_it_is_renewed() {
    for (ago, ahead) in ENDS {
        let stage = Stage::new();
        let authority = Arc::clone(&stage.authority);
        let frontend = first_ends(&stage, (ago, ahead), move |asked| {
            sleep_ms(100); // long enough to be overtaken by a hit that does not wait
            authority.answers(asked)
        });
        let good = stage.authority.ask(GOOD).request();
        let first = told(&frontend.post(&good));
        let limit = first.this_update + ago + 2;
        until("the limit", || now() >= limit);
        for _ in 0..3 {
            let told = told(&frontend.post(&good));
            assert!(told.this_update >= limit, "{told:?}, {limit}");
        }
        assert_eq!(frontend.count(), 2);
    }
}

/// conformance 58, 62: where it cannot be renewed it is served as long as it holds, and nobody may keep it.
#[test]
fn an_answer_past_its_limit_that_cannot_be_renewed_is_served_while_it_holds() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let mut refusals = 2;
    let frontend = first_ends(&stage, ENDS[2], move |asked| {
        if refusals == 0 {
            return authority.answers(asked);
        }
        refusals -= 1;
        refused(asked.id, Refusal::Crypto)
    });
    let good = stage.authority.ask(GOOD).request();
    let mut client = frontend.client();
    let first = client.get(&good).body;
    let limit = told(&first).this_update + ENDS[2].0 + 2;
    until("the limit", || now() >= limit);
    let (mut kept, mut asked) = (0, frontend.count());
    until("the renewed answer", || {
        let response = client.get(&good);
        let renewed = response.body != first;
        if !renewed {
            let control = response.header("cache-control").unwrap();
            assert!(control.starts_with("max-age=0, "), "{control}");
            kept += 1;
            asked = frontend.count();
        }
        renewed
    });
    // Not with every hit is it tried again.
    assert!(kept > 10, "{kept}");
    assert_eq!((asked, frontend.count()), (3, 4));

    // Nor without a signer.
    let frontend = first_ends(&stage, ENDS[2], |_| Vec::new());
    let first = frontend.post(&good);
    frontend.end_boundary();
    frontend.logs("<4>the signer is gone");
    let limit = told(&first).this_update + ENDS[2].0 + 2;
    until("the limit", || now() >= limit);
    for _ in 0..3 {
        assert_eq!(frontend.post(&good), first);
    }
}

#[test]
fn an_answer_whose_next_update_has_passed_is_never_served() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let frontend = stage.start(move |asked| authority.answers_at(asked, When::lasting(2)));
    let good = stage.authority.ask(GOOD).request();
    let first = told(&frontend.post(&good));
    let mut last = first.clone();
    while last == first {
        let before = now();
        last = told(&frontend.post(&good));
        assert!(before < last.next_update, "it was over already");
        sleep_ms(50);
    }
    // Without a signer there is no new one.
    frontend.end_boundary();
    frontend.logs("<4>the signer is gone");
    until("its end", || now() >= last.next_update);
    assert_eq!(frontend.post(&good), TRY_LATER);
}

#[test]
fn an_answer_that_is_over_when_it_is_signed_is_not_served() {
    let stage = Stage::new();
    let authority = Arc::clone(&stage.authority);
    let times = |from: i64, to: i64| {
        let after = |seconds| now().checked_add_signed(seconds).unwrap();
        When {
            produced_at: after(from),
            this_update: after(from),
            next_update: after(to),
        }
    };
    let mut answered = 0;
    let frontend = stage.start(move |asked| {
        answered += 1;
        let when = if answered % 2 == 1 {
            times(-1000, -500)
        } else {
            times(500, 1000)
        };
        authority.answers_at(asked, when)
    });
    let ask = stage.authority.ask(GOOD);
    let two = [GOOD, OTHER].map(|serial| stage.authority.ask(serial).cert_id());
    for der in [ask.request(), ask.with_nonce(&[1; 16]), request(&two, &[])] {
        for _ in 0..2 {
            assert_eq!(frontend.post(&der), INTERNAL_ERROR);
        }
    }
    assert_eq!(frontend.count(), 6);
}
