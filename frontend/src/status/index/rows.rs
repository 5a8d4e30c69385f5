//! The rows of an `index.txt`, as they are read and as they are kept: a million of them take 40 MB. While a file is read again
//! its old rows are there as well, but never the file itself.

use std::io::{BufRead, Read};

use ocsp_wire::Reason;

use crate::serial::{self, Serial};
use crate::status::Revocation;

/// Octets of a line, with its end. No certificate has a subject that would make it so long.
const LONGEST_LINE: u64 = 64 << 10;

/// Serials and their revocations.
#[derive(Debug, PartialEq, Eq)]
pub struct Rows(
    /// Sorted by serial, of which each stands here once.
    Vec<Row>,
);

#[derive(Debug, PartialEq, Eq)]
struct Row {
    serial: Serial,
    revoked: Option<Revocation>,
}

impl Rows {
    /// Reads a whole file, line by line; the last line has an end, too. The error says which line is wrong, and how.
    pub fn read(mut file: impl BufRead) -> Result<Self, String> {
        let mut rows = Vec::new();
        let mut octets = Vec::new();
        for number in 1_u64.. {
            octets.clear();
            let length = file
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut octets)
                .map_err(|error| error.to_string())?;
            let line = String::from_utf8_lossy(&octets);
            let Some(line) = line.strip_suffix('\n') else {
                match length as u64 {
                    0 => break,
                    LONGEST_LINE => {
                        return Err(format!(
                            "line {number}: is longer than {LONGEST_LINE} octets"
                        ));
                    }
                    _ => return Err("its last line has no end: it is half written".to_owned()),
                }
            };
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (serial, revoked) = row(line).map_err(|what| format!("line {number}: {what}"))?;
            let serial = Serial::from(&*serial);
            rows.push(Row { serial, revoked });
        }
        // Stable: the lines of one serial stay in their order.
        rows.sort_by(|one: &Row, other| one.serial.cmp(&other.serial));
        rows.dedup_by(|row, kept| {
            // A serial that stands twice: revoked wins.
            let twice = row.serial == kept.serial;
            if twice {
                kept.revoked = kept.revoked.or(row.revoked);
            }
            twice
        });
        rows.shrink_to_fit();
        Ok(Self(rows))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the serial with these content octets has a row, and was revoked according to it.
    pub fn get(&self, serial: &[u8]) -> Option<Option<Revocation>> {
        let serial = Serial::from(serial);
        let place = self.0.binary_search_by(|row| row.serial.cmp(&serial));
        Some(self.0.get(place.ok()?)?.revoked)
    }

    /// All of them: content octets of the serials, and revocations.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<Revocation>)> {
        self.0.iter().map(|row| (&*row.serial, row.revoked))
    }
}

/// Status, expiry, revocation, serial, file name, subject; separated by tabs.
fn row(line: &str) -> Result<(Box<[u8]>, Option<Revocation>), String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[status, expiry, revocation, serial, _, _] = fields.as_slice() else {
        return Err(format!(
            "has {} fields, 6 separated by tabs were expected",
            fields.len()
        ));
    };
    time(expiry).ok_or_else(|| {
        format!("the expiry is {expiry:?}, YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ was expected")
    })?;
    let serial = serial::from_digits(serial)
        .ok_or_else(|| format!("the serial is {serial:?}, hexadecimal was expected"))?;
    let revoked = match (status, revocation) {
        ("V" | "E", "") => None,
        ("V" | "E", _) => {
            return Err(format!(
                "status {status} with a revocation, none was expected"
            ));
        }
        ("R", revocation) => Some(self::revocation(revocation)?),
        (status, _) => return Err(format!("the status is {status:?}, V, R or E was expected")),
    };
    Ok((serial, revoked))
}

/// `date[,reason[,argument]]`
fn revocation(field: &str) -> Result<Revocation, String> {
    let mut parts = field.splitn(3, ',');
    let date = parts.next().unwrap_or_default();
    let time = time(date).ok_or_else(|| {
        format!("revoked at {date:?}, YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ was expected")
    })?;
    let reason = match parts.next() {
        // removeFromCRL belongs into delta CRLs: the row says revoked, so it is, without that reason.
        None | Some("unspecified" | "removeFromCRL") => None,
        Some("keyCompromise" | "keyTime") => Some(Reason::KeyCompromise),
        Some("CACompromise" | "CAkeyTime") => Some(Reason::CaCompromise),
        Some("affiliationChanged") => Some(Reason::AffiliationChanged),
        Some("superseded") => Some(Reason::Superseded),
        Some("cessationOfOperation") => Some(Reason::CessationOfOperation),
        Some("certificateHold" | "holdInstruction") => Some(Reason::CertificateHold),
        Some("privilegeWithdrawn") => Some(Reason::PrivilegeWithdrawn),
        Some("AACompromise") => Some(Reason::AaCompromise),
        Some(other) => {
            return Err(format!(
                "the reason is {other:?}, one of RFC 5280 was expected"
            ));
        }
    };
    Ok(Revocation { time, reason })
}

/// Seconds since 1970 of YYMMDDHHMMSSZ (1950 to 2049) or YYYYMMDDHHMMSSZ.
fn time(text: &str) -> Option<u64> {
    let digits = text
        .strip_suffix('Z')
        .filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()))?;
    let (year, rest) = match digits.len() {
        12 => {
            let year: u16 = digits.get(..2)?.parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                digits.get(2..)?,
            )
        }
        14 => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse().ok();
    let date = der::DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?).ok()?;
    Some(date.unix_duration().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serials and times of revocation.
    fn read(text: impl AsRef<[u8]>) -> Result<Vec<(String, Option<u64>)>, String> {
        let rows = Rows::read(text.as_ref())?;
        let time = |revoked: Option<Revocation>| revoked.map(|revoked| revoked.time);
        for (serial, revoked) in rows.iter() {
            assert_eq!(rows.get(serial), Some(revoked));
        }
        Ok(rows
            .iter()
            .map(|(serial, revoked)| (serial::digits(serial), time(revoked)))
            .collect())
    }

    fn valid(serial: &str) -> String {
        format!("V\t271231235959Z\t\t{serial}\tunknown\t/CN=a\n")
    }

    fn revoked(serial: &str, second: u64) -> String {
        format!("R\t271231235959Z\t7001010000{second:02}Z\t{serial}\tunknown\t/CN=a\n")
    }

    #[test]
    fn a_serial_that_stands_twice_is_revoked_by_its_first_revocation() {
        let of = |lines: &[String]| read(lines.concat()).unwrap();
        let one = |time| vec![("01".to_owned(), time)];
        let (v, r1, r2) = (valid("01"), revoked("01", 1), revoked("1", 2));
        assert_eq!(of(&[v.clone(), v.clone()]), one(None));
        assert_eq!(of(&[v.clone(), r1.clone()]), one(Some(1)));
        assert_eq!(of(&[r1.clone(), v.clone()]), one(Some(1)));
        assert_eq!(of(&[v.clone(), r1.clone(), r2.clone()]), one(Some(1)));
        assert_eq!(of(&[r2.clone(), v.clone(), r1.clone()]), one(Some(2)));

        // So many that they are sorted in parts, and from every side.
        let mut lines: Vec<String> = (0x100..0x1000)
            .flat_map(|number| {
                let serial = format!("{number:X}");
                [revoked(&serial, 7), valid(&serial), revoked(&serial, 8)]
            })
            .collect();
        let upwards = of(&lines);
        assert_eq!(upwards.len(), 0xf00);
        assert!(upwards.iter().all(|(_, time)| *time == Some(7)));
        lines.reverse();
        let downwards = of(&lines);
        assert_eq!(downwards.len(), 0xf00);
        assert!(downwards.iter().all(|(_, time)| *time == Some(8)));
        let half = lines.len() / 2;
        lines.rotate_left(half);
        assert_eq!(of(&lines), downwards);
    }

    #[test]
    fn serials_of_every_length_are_found_in_whichever_order_they_stand() {
        let serials: Vec<String> = (1..=20)
            .flat_map(|length| {
                ["01", "7F", "80", "FF"].map(|first| format!("{first}{}", "00".repeat(length - 1)))
            })
            .collect();
        for step in [1, 3, 7, 79] {
            let lines = (0..serials.len()).map(|place| valid(&serials[place * step % 80]));
            let found = read(lines.collect::<String>()).unwrap();
            let found: Vec<String> = found.into_iter().map(|(serial, _)| serial).collect();
            assert_eq!(found, serials, "{step}");
        }
        let rows = Rows::read(valid("80").as_bytes()).unwrap();
        for other in [&[][..], &[0], &[0x80], &[0x7f], &[0, 0x80, 0], &[1; 21]] {
            assert_eq!(rows.get(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_serial_that_no_certificate_can_carry_is_a_row_as_well() {
        let long = "F".repeat(42);
        let text = revoked(&"F".repeat(128), 1) + &valid(&long) + &valid("01");
        let rows = [
            ("01".to_owned(), None),
            (long, None),
            ("F".repeat(128), Some(1)),
        ];
        assert_eq!(read(text), Ok(rows.into()));
    }

    #[test]
    fn lines_are_read_one_by_one_to_the_end() {
        assert_eq!(read(""), Ok(Vec::new()));
        assert_eq!(read("\n\r\n# text\n"), Ok(Vec::new()));
        let rows = vec![("01".to_owned(), None), ("02".to_owned(), None)];
        let text = valid("01") + &valid("02");
        assert_eq!(read(&text), Ok(rows.clone()));
        assert_eq!(read(text.replace('\n', "\r\n")), Ok(rows.clone()));
        // A subject in Latin-1.
        let latin = text.replace("/CN=a", "/CN=?").into_bytes();
        let latin = latin.into_iter().map(|octet| match octet {
            b'?' => 0xe9,
            octet => octet,
        });
        assert_eq!(read(latin.collect::<Vec<u8>>()), Ok(rows.clone()));
        for half in [&text[..text.len() - 1], "V", "# text", "\n\r"] {
            let said = "its last line has no end: it is half written".to_owned();
            assert_eq!(read(half), Err(said));
        }
        let said = read(format!("{text}\n#\nV\n")).unwrap_err();
        assert!(said.starts_with("line 5: has 1 fields"), "{said}");

        let with = |subject| text.replace("/CN=a", &"a".repeat(subject));
        let longest = (64 << 10) - valid("01").len() + "/CN=a".len();
        assert_eq!(read(with(longest)), Ok(rows));
        let said = "line 1: is longer than 65536 octets".to_owned();
        assert_eq!(read(with(longest + 1)), Err(said));
    }

    #[test]
    fn rows_are_read_as_openssl_writes_them() {
        let row = |line: &str| row(line).map(|(_, revoked)| revoked);
        assert_eq!(row("V\t271231235959Z\t\t01\tunknown\t/CN=a"), Ok(None));
        assert_eq!(row("E\t20491231235959Z\t\t01\tunknown\t/CN=a"), Ok(None));
        let revoked = |time, reason| Ok(Some(Revocation { time, reason }));
        assert_eq!(
            row("R\t271231235959Z\t240102030405Z\t01\tunknown\t/CN=a"),
            revoked(1_704_164_645, None)
        );
        assert_eq!(
            row("R\t271231235959Z\t20240102030405Z,keyTime,20240101000000Z\t01\tunknown\t/CN=a"),
            revoked(1_704_164_645, Some(Reason::KeyCompromise))
        );
        for broken in [
            "V\t271231235959Z\t\t01\tunknown",
            "V\t271231235959Z\t240102030405Z\t01\tunknown\t/CN=a",
            "R\t271231235959Z\t\t01\tunknown\t/CN=a",
            "R\t271231235959Z\t249902030405Z\t01\tunknown\t/CN=a",
            "R\t271231235959Z\t240102030405Z,because\t01\tunknown\t/CN=a",
            "X\t271231235959Z\t\t01\tunknown\t/CN=a",
            "V\tsoon\t\t01\tunknown\t/CN=a",
            "V\t271231235959Z\t\tgg\tunknown\t/CN=a",
        ] {
            assert!(row(broken).is_err(), "{broken}");
        }
    }
}
