//! Rows of a database. *Good* is only what a row says that is *Valid*, of no contradiction, and shows the certificate of this
//! issuer and serial; no row of the issuer's that says *Revoked* is overlooked; the order of rows decides nothing. And of
//! serials: every spelling is read as what was spelled.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use jiff::tz::TimeZone;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use ocsp_frontend::certificate::Certificate;
use ocsp_frontend::issuer::Issuer;
use ocsp_frontend::status::mysql::row::{Reading, Row, Time, judge, serial_of, spellings, zone};
use ocsp_frontend::status::{NoAnswer, Proof, Record};
use ocsp_frontend::{pem, serial};
use ocsp_fuzz::{Authority, Scene};

/// With the proof needed, and without.
static SCENES: LazyLock<[Scene; 2]> = LazyLock::new(|| [true, false].map(Scene::new));
static ZONES: LazyLock<[TimeZone; 4]> = LazyLock::new(|| {
    let summer = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    [zone("UTC"), zone("+14:00"), zone("-09:30"), Ok(summer)].map(|zone| zone.unwrap())
});
/// Of the issuer, the serial that is mostly asked for and another one; and of another issuer.
static CERTIFICATES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    [one.issue(SERIAL), one.issue(&[9]), two.issue(SERIAL)]
});
const SERIAL: &[u8] = &[0x5a, 1];

fuzz_target!(|octets: &[u8]| {
    spelled(octets);
    let mut octets = Unstructured::new(octets);
    let _ = rows(&mut octets);
});

/// Takes rows and a way to read them from octets, and sees what is made of them.
fn rows(octets: &mut Unstructured<'_>) -> Result<()> {
    let scene = octets.choose(&*SCENES)?;
    let issuer = scene.issuers.at(0).unwrap();
    let reading = Reading {
        issuer,
        alone: octets.arbitrary()?,
        zone: octets.choose(&*ZONES)?,
        now: 1_800_000_000,
    };
    let serial = match octets.ratio(7, 8)? {
        true => SERIAL.to_vec(),
        false => octets.arbitrary()?,
    };
    let mut rows = Vec::new();
    for _ in 0..octets.int_in_range(0..=4)? {
        rows.push(row(octets)?);
    }
    let verdict = judge(&rows, &serial, &reading, |_, complaint| {
        assert!(!complaint.to_string().is_empty());
    });
    let revoked = rows
        .iter()
        .any(|row| row.status.as_deref() == Some(b"Revoked") && is_of(row, issuer));
    match &verdict {
        Ok(Some(record)) => {
            let evidence = record.evidence();
            record.status();
            if record.revoked.is_none() {
                assert!(!revoked);
                assert!(evidence.is_ok() || record.proof != Proof::None);
                assert!(rows.iter().any(|row| vouches(row, record, &serial, issuer)));
            } else {
                let says = |row: &Row| row.status.as_deref() == Some(b"Revoked");
                assert!(rows.iter().any(says));
            }
        }
        Ok(None) | Err(NoAnswer::Broken | NoAnswer::Unavailable) => assert!(!revoked),
    }
    rows.reverse();
    let turned = judge(&rows, &serial, &reading, |_, _| {});
    assert_eq!(outline(&turned), outline(&verdict));
    Ok(())
}

fn row(octets: &mut Unstructured<'_>) -> Result<Row> {
    let one_of = |octets: &mut Unstructured<'_>, words: &[&str]| -> Result<Option<Vec<u8>>> {
        Ok(match octets.int_in_range(0..=7)? {
            0 => None,
            1 => Some(octets.arbitrary()?),
            _ => Some(octets.choose(words)?.as_bytes().to_vec()),
        })
    };
    let status = one_of(octets, &["Valid", "Revoked"])?;
    let time = match octets.int_in_range(0..=4)? {
        0 => Time::At(
            octets.arbitrary()?,
            octets.arbitrary()?,
            octets.arbitrary()?,
            octets.arbitrary()?,
            octets.arbitrary()?,
            octets.arbitrary()?,
        ),
        1 => Time::At(
            octets.int_in_range(0..=9999)?,
            octets.int_in_range(0..=12)?,
            octets.int_in_range(0..=31)?,
            octets.int_in_range(0..=24)?,
            octets.int_in_range(0..=60)?,
            octets.int_in_range(0..=60)?,
        ),
        2 => Time::Strange,
        _ => Time::Null,
    };
    let reason = match octets.arbitrary()? {
        true => None,
        false => one_of(
            octets,
            &[
                "unspecified",
                "key_compromise",
                "ca_compromise",
                "affiliation_changed",
                "superseded",
                "cessation_of_operation",
                "certificate_hold",
                "privilege_withdrawn",
                "aa_compromise",
            ],
        )?,
    };
    let certificate: Vec<u8> = match octets.int_in_range(0..=7)? {
        0 => Vec::new(),
        1 => octets.arbitrary()?,
        2 => {
            let mut changed = octets.choose(&*CERTIFICATES)?.clone();
            let place = octets.choose_index(changed.len())?;
            changed[place] = octets.arbitrary()?;
            changed
        }
        _ => octets.choose(&*CERTIFICATES)?.clone(),
    };
    let certificate = Bytes::from(certificate);
    Ok(Row {
        serial: Vec::new(), // whose rows these are was settled before
        status,
        time,
        reason,
        certificate,
    })
}

/// Whether a row shows a certificate of this issuer.
fn is_of(row: &Row, issuer: &Issuer) -> bool {
    let der = pem::certificate(&row.certificate);
    let certificate = der.as_deref().and_then(Certificate::from_der);
    certificate.is_some_and(|certificate| certificate.issuer == &*issuer.subject)
}

/// Whether a row says *good* as a record does.
fn vouches(row: &Row, record: &Record, serial: &[u8], issuer: &Issuer) -> bool {
    let consistent = row.time == Time::Null && row.reason.is_none();
    let proves = match &record.proof {
        Proof::Certificate(der) => {
            let certificate = Certificate::from_der(der).unwrap();
            certificate.serial == serial && is_of(row, issuer)
        }
        Proof::None => !issuer.proof_needed && row.certificate.is_empty(),
        Proof::File(_) => false,
    };
    row.status.as_deref() == Some(b"Valid") && consistent && proves
}

/// A verdict but for what the order of rows may decide: which of several proofs, or of several reasons at one time.
fn outline(
    verdict: &std::result::Result<Option<Record>, NoAnswer>,
) -> impl PartialEq + std::fmt::Debug {
    let record = verdict.as_ref().map_err(|error| *error);
    record.map(|record| {
        record.as_ref().map(|record| {
            let proven = matches!(record.proof, Proof::Certificate(_));
            (record.revoked.map(|revoked| revoked.time), proven)
        })
    })
}

/// Serials, from a column and to the spellings that are looked for.
fn spelled(octets: &[u8]) {
    let Some(number) = serial_of(octets) else {
        return;
    };
    assert_eq!(
        serial::from_digits(&serial::digits(&number)).as_ref(),
        Some(&number)
    );
    if serial::is_issuable(&number) {
        let spellings = spellings(&number);
        for spelling in &spellings {
            assert_eq!(serial_of(spelling.as_bytes()).as_ref(), Some(&number));
        }
        // What writers have is among them: whole octets, and no leading zero.
        let digits = serial::digits(&number);
        let minimal = digits.trim_start_matches('0').to_ascii_lowercase();
        assert!(spellings.contains(&format!("0x{digits}")));
        assert!(spellings.contains(&format!("0x{minimal}")));
    }
}
