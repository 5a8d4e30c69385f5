//! The text of an `index.txt`. What is read is read again from its own spelling; of what stops at a line's end, nothing is
//! there that is not in the whole; and in whichever order the lines stand, the same certificates are revoked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ocsp_frontend::serial;
use ocsp_frontend::status::index::rows::Rows;
use ocsp_wire::Reason;

fuzz_target!(|octets: &[u8]| {
    let Ok(read) = Rows::read(octets) else {
        return;
    };
    assert_eq!(Rows::read(written(&read).as_bytes()).as_ref(), Ok(&read));

    let lines: Vec<&[u8]> = octets.split_inclusive(|octet| *octet == b'\n').collect();
    let begun = Rows::read(&*lines[..lines.len() / 2].concat()).unwrap();
    for (serial, revoked) in begun.iter() {
        assert!(revoked.is_none() || read.get(serial).unwrap().is_some());
    }
    let mut turned = lines;
    turned.reverse();
    let turned = Rows::read(&*turned.concat()).unwrap();
    assert_eq!(turned.len(), read.len());
    for (serial, revoked) in turned.iter() {
        assert_eq!(revoked.is_some(), read.get(serial).unwrap().is_some());
    }
});

fn written(rows: &Rows) -> String {
    let mut text = String::new();
    for (serial, revoked) in rows.iter() {
        let (status, revoked) = match revoked {
            None => ("V", String::new()),
            Some(revocation) => {
                let date = der::DateTime::from_unix_duration(std::time::Duration::from_secs(
                    revocation.time,
                ))
                .unwrap();
                let time = format!(
                    "{:04}{:02}{:02}{:02}{:02}{:02}Z",
                    date.year(),
                    date.month(),
                    date.day(),
                    date.hour(),
                    date.minutes(),
                    date.seconds()
                );
                ("R", format!("{time}{}", reason(revocation.reason)))
            }
        };
        let serial = serial::digits(serial);
        text += &format!("{status}\t491231235959Z\t{revoked}\t{serial}\tunknown\t/CN=a\n");
    }
    text
}

fn reason(reason: Option<Reason>) -> &'static str {
    match reason {
        None => "",
        Some(Reason::KeyCompromise) => ",keyCompromise",
        Some(Reason::CaCompromise) => ",CACompromise",
        Some(Reason::AffiliationChanged) => ",affiliationChanged",
        Some(Reason::Superseded) => ",superseded",
        Some(Reason::CessationOfOperation) => ",cessationOfOperation",
        Some(Reason::CertificateHold) => ",certificateHold",
        Some(Reason::PrivilegeWithdrawn) => ",privilegeWithdrawn",
        Some(Reason::AaCompromise) => ",AACompromise",
    }
}
