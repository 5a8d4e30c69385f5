//! What a frontend leaves to the next one, and what that makes of it: the test carries the octets from one to the other, and may
//! change them on the way. The questions that reach the signer are counted.

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
use ocsp_frontend_settings::SourceKind;
use ocsp_wire::*;

/// How long it may take to leave what it leaves.
const IDLE_MS: u32 = 20_000;

/// A stage whose frontends have both pipes.
fn stage() -> Stage {
    let mut stage = Stage::new();
    (stage.settings.bequeaths, stage.settings.inherits) = (true, true);
    stage
}

/// What a frontend leaves that is told to retire.
fn retired(frontend: &mut Frontend) -> Vec<u8> {
    frontend.order(&FrontendOrder::Retire { idle_ms: IDLE_MS });
    frontend.leaves()
}

/// What a frontend that was asked these leaves, and what it has answered.
fn left(stage: &Stage, asks: &[Ask]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut frontend = stage.honest();
    let answers = asks.iter().map(|ask| frontend.post(&ask.request()));
    let answers = answers.collect();
    let octets = retired(&mut frontend);
    assert_eq!(frontend.left().0, Some(DONE));
    (octets, answers)
}

#[test]
fn what_was_signed_is_served_by_the_next_frontend_in_the_same_octets() {
    let stage = stage();
    let authority = &stage.authority;
    let mut asks = [GOOD, OTHER, REVOKED]
        .map(|serial| authority.ask(serial))
        .to_vec();
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        for parameters in [Parameters::Absent, Parameters::Null] {
            asks.push(authority.ask_by(hash, parameters, GOOD));
        }
    }
    let (octets, answers) = left(&stage, &asks);
    let mut next = stage.honest();
    next.inherits(&octets);
    for _ in 0..2 {
        for (ask, answer) in asks.iter().zip(&answers) {
            assert_eq!(next.post(&ask.request()), *answer);
        }
    }
    assert_eq!(next.count(), 0);
    // And by the one behind that, whether it was asked for in between or not.
    let mut before = stage.honest();
    before.inherits(&octets);
    before.post(&asks[0].request());
    let octets = retired(&mut before);
    let mut next = stage.honest();
    next.inherits(&octets);
    for (ask, answer) in asks.iter().zip(&answers) {
        assert_eq!(next.post(&ask.request()), *answer);
    }
    assert_eq!(next.count() + before.count(), 0);
}

#[test]
fn what_was_used_most_is_left_first() {
    let stage = stage();
    let mut frontend = stage.honest();
    let [good, other] = [GOOD, OTHER].map(|serial| stage.authority.ask(serial));
    let mut client = frontend.client();
    for (ask, times) in [(&good, 20), (&other, 200)] {
        for _ in 0..times {
            client.post(&ask.request());
        }
    }
    let answers = [&other, &good].map(|ask| client.post(&ask.request()).body);
    drop(client);
    let octets = retired(&mut frontend);
    let places = answers.map(|answer| {
        let mut windows = octets.windows(answer.len());
        windows
            .position(|window| window == answer)
            .expect("it is not left")
    });
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn nothing_is_read_before_it_is_known_who_inherits_and_nothing_younger_is_replaced() {
    let stage = stage();
    let good = stage.authority.ask(GOOD);
    let (octets, answers) = left(&stage, std::slice::from_ref(&good));
    let mut next = stage.honest();
    let younger = next.post(&good.request());
    assert_ne!(younger, answers[0]);
    next.inherits(&octets);
    assert_eq!(next.post(&good.request()), younger);
    assert_eq!(next.count(), 1);
}

#[test]
fn an_answer_whose_signature_is_broken_is_signed_anew() {
    let stage = stage();
    let good = stage.authority.ask(GOOD);
    let (mut octets, answers) = left(&stage, std::slice::from_ref(&good));
    *octets.last_mut().unwrap() ^= 1;
    let mut next = stage.honest();
    // What the signer signs is verified first, so that a sample of signatures would not look at the next one.
    assert!(is_good(&next.post(&stage.authority.ask(OTHER).request())));
    next.inherits(&octets);
    let answer = next.post(&good.request());
    assert!(is_good(&answer));
    assert_ne!(
        answer[..answer.len() - 1],
        answers[0][..answer.len().min(answers[0].len()) - 1]
    );
    assert_eq!(next.count(), 2);
    next.logs("whose signature is not right, is signed anew");
}

#[test]
fn an_answer_that_the_source_does_not_confirm_is_not_served() {
    let stage = stage();
    let asks = [GOOD, OTHER, REVOKED].map(|serial| stage.authority.ask(serial));
    let (octets, _) = left(&stage, &asks);
    // Revoked meanwhile, gone, and no longer revoked.
    stage.index(&[REVOKED], &[GOOD]);
    let mut next = stage.honest();
    next.inherits(&octets);
    let [good, other, revoked] = asks.map(|ask| next.post(&ask.request()));
    assert!(is_revoked(&good));
    assert_eq!(other, UNAUTHORIZED);
    assert!(is_good(&revoked));
    assert_eq!(next.count(), 2);
}

/// No answer that another has left is served on the word of that one alone, for however long `max-stale` is.
#[test]
fn nothing_is_served_while_the_source_does_not_answer() {
    let stage = stage();
    let asks = [GOOD, REVOKED].map(|serial| stage.authority.ask(serial));
    let (octets, answers) = left(&stage, &asks);
    std::fs::remove_file(stage.folder.path("index.txt")).unwrap();
    let mut next = stage.honest();
    next.inherits(&octets);
    for _ in 0..2 {
        for ask in &asks {
            assert_eq!(next.post(&ask.request()), TRY_LATER);
        }
    }
    stage.index(&[GOOD], &[REVOKED]);
    until("the index is read", || {
        next.post(&asks[0].request()) != TRY_LATER
    });
    for (ask, answer) in asks.iter().zip(&answers) {
        assert_eq!(next.post(&ask.request()), *answer);
    }
    assert_eq!(next.count(), 0);
}

#[test]
fn what_had_to_be_renewed_or_has_expired_is_signed_anew() {
    let stage = stage();
    let authority = Arc::clone(&stage.authority);
    // Made when half of it was over, and made for two seconds.
    let mut frontend = stage.start(move |asked| {
        let when = match &asked.items[0] {
            Item::Ours(ours) if *ours.serial == *GOOD => When::around(600, 590),
            Item::Ours(_) | Item::Foreign(_) => When::lasting(2),
        };
        authority.answers_at(asked, when)
    });
    let asks = [GOOD, OTHER].map(|serial| stage.authority.ask(serial).request());
    let answers = asks.each_ref().map(|ask| frontend.post(ask));
    assert_eq!(frontend.post(&asks[0]), answers[0]);
    let octets = retired(&mut frontend);
    let mut next = stage.honest();
    next.inherits(&octets);
    sleep_ms(2100);
    for (ask, answer) in asks.iter().zip(&answers) {
        assert_ne!(next.post(ask), *answer);
    }
    assert_eq!(next.count(), 2);
}

/// What was signed by other settings might not be signed by these.
#[test]
fn nothing_is_inherited_by_another_key_or_by_other_settings() {
    let stage = stage();
    let ask = stage.authority.ask(GOOD).request();
    let (octets, _) = left(&stage, &[stage.authority.ask(GOOD)]);
    let mut others = stage.settings.clone();
    others.issuers[0].signed_by = "another validity".to_owned();
    let settings = std::mem::replace(&mut others, stage.settings.clone());
    let mut stage = Stage { settings, ..stage };
    let mut next = stage.honest();
    next.inherits(&octets);
    next.logs("inherits 0 answers of the generation before");
    assert!(is_good(&next.post(&ask)));
    assert_eq!(next.count(), 1);
    // The same settings, and another key.
    stage.settings = others;
    stage.authority = Arc::new(Authority::new("authority"));
    stage.folder.file("ca.crt", stage.authority.pem());
    let mut next = stage.honest();
    next.inherits(&octets);
    next.logs("inherits 0 answers of the generation before");
    assert!(is_good(&next.post(&stage.authority.ask(GOOD).request())));
    assert_eq!(next.count(), 1);
}

#[test]
fn a_serial_that_was_answered_revoked_here_is_good_only_if_the_signer_says_so() {
    let stage = stage();
    let [sha1, sha256] = [HashAlgorithm::Sha1, HashAlgorithm::Sha256]
        .map(|hash| stage.authority.ask_by(hash, Parameters::Null, GOOD));
    let (octets, _) = left(&stage, &[sha1.clone(), sha256.clone()]);
    for inherited_before in [true, false] {
        stage.index(&[], &[GOOD]);
        let mut next = stage.honest();
        if inherited_before {
            next.inherits(&octets);
        }
        assert!(is_revoked(&next.post(&sha1.request())));
        // The file is looked at once a second; what it said first was no line.
        stage.index(&[GOOD], &[]);
        next.logs("<5>source \"ca\": ");
        if !inherited_before {
            next.inherits(&octets);
        }
        next.post(&sha256.request());
        assert_eq!(next.count(), 2, "{inherited_before}");
    }
}

/// Also where the new answer did not come to be.
#[test]
fn whoever_learns_of_a_revocation_forgets_what_was_left_by_whichever_hash() {
    let stage = stage();
    let [sha1, sha256] = [HashAlgorithm::Sha1, HashAlgorithm::Sha256]
        .map(|hash| stage.authority.ask_by(hash, Parameters::Null, GOOD));
    let (octets, answers) = left(&stage, &[sha1.clone(), sha256.clone()]);
    stage.index(&[], &[GOOD]);
    let authority = Arc::clone(&stage.authority);
    let mut next = stage.start(move |asked| match &asked.items[0] {
        Item::Ours(ours) if ours.status == Status::Good => authority.answers(asked),
        Item::Ours(_) | Item::Foreign(_) => refused(asked.id, Refusal::Crypto),
    });
    next.inherits(&octets);
    assert_eq!(next.post(&sha1.request()), INTERNAL_ERROR);
    stage.index(&[GOOD], &[]);
    next.logs("<5>source \"ca\": ");
    assert_ne!(next.post(&sha256.request()), answers[1]);
    assert_eq!(next.count(), 2);
}

#[test]
fn an_answer_that_had_another_proof_is_signed_anew() {
    let mut stage = stage();
    let good = stage.authority.ask(GOOD);
    let (octets, answers) = left(&stage, std::slice::from_ref(&good));
    let folder = stage.folder.path("newcerts");
    std::fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o755);
    stage.folder.file("newcerts/10.pem", stage.authority.pem());
    stage.settings.sources[0].kind = SourceKind::Index {
        file: stage.folder.path("index.txt"),
        certificates: Some(folder),
    };
    let mut next = stage.honest();
    next.inherits(&octets);
    next.logs("inherits 1 answers of the generation before");
    assert_ne!(next.post(&good.request()), answers[0]);
    assert_eq!(next.count(), 1);
}

#[test]
fn octets_that_no_frontend_leaves_are_a_line_in_the_log_and_nothing_else() {
    let stage = stage();
    let good = stage.authority.ask(GOOD).request();
    let (octets, answers) = left(&stage, &[stage.authority.ask(GOOD)]);
    let opening = &octets[..25];
    assert!(opening.ends_with(b"\n"));
    let long = [opening, &[0xff; 4]].concat();
    let noise: Vec<u8> = (0..300_000_u32)
        .map(|number| (number.wrapping_mul(number) >> 7) as u8)
        .collect();
    let after = [&octets[..], &noise].concat();
    for (octets, inherits) in [(&noise, false), (&long, false), (&after, true)] {
        let mut next = stage.honest();
        next.inherits(octets);
        next.logs("makes no sense: the rest of it is not read");
        let answer = next.post(&good);
        assert!(is_good(&answer));
        // What came before it is judged by itself.
        assert_eq!(answer == answers[0], inherits);
        assert!(next.lives());
    }
    // One that ends in the middle was ended, which is no fault of its.
    for end in [0, 10, 100, octets.len() - 1] {
        let mut next = stage.honest();
        next.inherits(&octets[..end]);
        assert!(is_good(&next.post(&good)));
        assert!(!next.logged().iter().any(|line| line.contains("no sense")));
    }
}

#[test]
fn no_more_is_inherited_than_there_is_room_for() {
    let mut stage = stage();
    let serials: Vec<_> = (0x1000_u16..0x1400).map(u16::to_be_bytes).collect();
    let serials: Vec<&[u8]> = serials.iter().map(|serial| &serial[..]).collect();
    stage.index(&serials, &[]);
    let asks: Vec<_> = serials
        .iter()
        .map(|serial| stage.authority.ask(serial))
        .collect();
    let mut frontend = stage.honest();
    let mut client = frontend.client();
    for ask in &asks {
        client.post(&ask.request());
    }
    drop(client);
    let octets = retired(&mut frontend);
    stage.settings.cache_memory = 3 << 18;
    let mut next = stage.honest();
    next.inherits(&octets);
    let line = next
        .logged()
        .into_iter()
        .find(|line| line.contains("inherits"));
    let line = line.unwrap();
    let taken = line
        .split_once("inherits ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap();
    let taken: u32 = taken.parse().unwrap();
    assert!((700..1000).contains(&taken), "{line}");
    assert!(is_good(&next.post(&asks[0].request())));
}

#[test]
fn who_leaves_does_not_wait_for_a_reader_that_never_reads_or_is_gone() {
    let mut stage = stage();
    stage.settings.inherits = false;
    let serials: Vec<_> = (0x1000_u16..0x1200).map(u16::to_be_bytes).collect();
    let serials: Vec<&[u8]> = serials.iter().map(|serial| &serial[..]).collect();
    stage.index(&serials, &[]);
    // More than the pipe holds: with a reader it leaves when idle connections would have to, without one at once.
    for (is_read, idle_ms) in [(true, 300), (false, u32::MAX)] {
        let mut frontend = stage.honest();
        let mut client = frontend.client();
        for serial in &serials {
            client.post(&stage.authority.ask(serial).request());
        }
        drop(client);
        if !is_read {
            frontend.has_no_heir();
        }
        frontend.order(&FrontendOrder::Retire { idle_ms });
        assert_eq!(frontend.left().0, Some(DONE));
    }
}
