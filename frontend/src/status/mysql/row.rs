//! What the rows of a table say of one serial of one issuer, and what is wrong with them. Pure: octets in, a verdict and
//! complaints out. Trusts nothing in a row; what it does not understand is never *good*.

use std::fmt;

use bytes::Bytes;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use mysql_async::Value;
use ocsp_wire::Reason;

use super::super::{NoAnswer, Proof, Record, Revocation};
use crate::certificate::Certificate;
use crate::issuer::Issuer;
use crate::{pem, serial};

/// A row as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The column of the serial.
    pub serial: Vec<u8>,
    /// The column of the status.
    pub status: Option<Vec<u8>>,
    /// The column of the revocation time.
    pub time: Time,
    /// The column of the revocation reason.
    pub reason: Option<Vec<u8>>,
    /// The column of the certificate.
    pub certificate: Bytes,
}

/// A revocation time as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Time {
    /// NULL
    #[default]
    Null,
    /// Year, month, day, hour, minute, second; the zero date is all zeros.
    At(u16, u8, u8, u8, u8, u8),
    /// What is no DATETIME.
    Strange,
}

/// The columns of a row, in the order in which a statement asks for them.
pub fn row_of(row: mysql_async::Row) -> Row {
    let mut values = row
        .unwrap_raw()
        .into_iter()
        .map(|value| value.unwrap_or(Value::NULL));
    let mut next = || values.next().unwrap_or(Value::NULL);
    Row {
        serial: octets(next()).unwrap_or_default(),
        status: octets(next()),
        time: match next() {
            Value::NULL => Time::Null,
            Value::Date(year, month, day, hour, minute, second, _) => {
                Time::At(year, month, day, hour, minute, second)
            }
            Value::Bytes(_)
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Time(..) => Time::Strange,
        },
        reason: octets(next()),
        certificate: Bytes::from(octets(next()).unwrap_or_default()),
    }
}

/// The octets of a text or a blob. What is neither becomes a text that says nothing.
fn octets(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(octets) => Some(octets),
        Value::Int(_)
        | Value::UInt(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..) => Some(Vec::new()),
    }
}

/// What is wrong with a row; the answer that it leads to is in [`judge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Complaint {
    /// The status is neither of the two.
    Status,
    /// *Valid* has a revocation time or reason.
    Contradiction,
    /// *Revoked* has a time that is none.
    Time,
    /// *Revoked* has a time in the future.
    Future,
    /// *Revoked* has a reason that is none.
    Reason,
    /// The certificate cannot be read.
    Unreadable,
    /// There is no certificate.
    NoCertificate,
    /// The certificate has another serial.
    OtherSerial,
    /// Several rows for one certificate.
    Several,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => {
                "the status is neither Valid nor Revoked: internalError is answered, unless revoked was before"
            }
            Self::Contradiction => {
                "Valid, with a revocation time or reason: internalError is answered, unless revoked was before"
            }
            Self::Time => {
                "Revoked, with a time that is none: revoked is answered, since the certificate's notBefore"
            }
            Self::Future => "Revoked, at a time in the future: revoked is answered, since now",
            Self::Reason => {
                "Revoked, with a reason that is none of RFC 5280: revoked is answered, without reason"
            }
            Self::Unreadable => "the certificate is neither PEM nor DER of a certificate",
            Self::NoCertificate => "there is no certificate",
            Self::OtherSerial => "the certificate has another serial",
            Self::Several => "one of several rows for one certificate: a Revoked one wins",
        })
    }
}

/// Whose rows, and how they are to be read.
pub struct Reading<'a> {
    /// The issuer that was asked about.
    pub issuer: &'a Issuer,
    /// Whether its source serves no other: then a row whose certificate cannot be read can only be its own.
    pub alone: bool,
    /// In which revocation times are.
    pub zone: &'a TimeZone,
    /// Seconds since 1970.
    pub now: u64,
}

/// What a row of the issuer says.
enum Word {
    Good(Proof),
    Revoked(Revocation),
    /// Nothing that could be answered.
    Broken,
}

/// The verdict of all rows of a serial: any *Revoked* wins, then any that cannot be understood, then *Valid*. Each complaint
/// is about the row at a place.
pub fn judge(
    rows: &[Row],
    serial: &[u8],
    reading: &Reading<'_>,
    mut complain: impl FnMut(&Row, Complaint),
) -> Result<Option<Record>, NoAnswer> {
    let words: Vec<(&Row, Word)> = rows
        .iter()
        .filter_map(|row| {
            let word = reading.word(row, serial, &mut |complaint| complain(row, complaint))?;
            Some((row, word))
        })
        .collect();
    if let [(row, _), _, ..] = words.as_slice() {
        complain(row, Complaint::Several);
    }
    let revocations = words.iter().filter_map(|(_, word)| match word {
        Word::Revoked(revocation) => Some(*revocation),
        Word::Good(_) | Word::Broken => None,
    });
    // Of several the earliest; of those at one time, one that names a reason.
    if let Some(first) =
        revocations.min_by_key(|revocation| (revocation.time, revocation.reason.is_none()))
    {
        return Ok(Some(Record {
            revoked: Some(first),
            proof: Proof::None,
        }));
    }
    let mut proven = None;
    for (_, word) in words {
        match word {
            Word::Good(Proof::None) => drop(proven.get_or_insert(Proof::None)),
            Word::Good(proof) => proven = Some(proof),
            Word::Revoked(_) | Word::Broken => return Err(NoAnswer::Broken),
        }
    }
    Ok(proven.map(|proof| Record {
        revoked: None,
        proof,
    }))
}

impl Reading<'_> {
    /// What a row says, if it is of this issuer.
    fn word(&self, row: &Row, serial: &[u8], complain: &mut dyn FnMut(Complaint)) -> Option<Word> {
        let der = pem::certificate(&row.certificate).map(Bytes::from);
        let certificate = der.as_deref().and_then(Certificate::from_der);
        match &certificate {
            Some(certificate) if certificate.issuer != &*self.issuer.subject => return None,
            Some(certificate) if certificate.serial != serial => complain(Complaint::OtherSerial),
            Some(_) => {}
            None if row.certificate.is_empty() => {
                if self.issuer.proof_needed || !self.alone {
                    complain(Complaint::NoCertificate);
                }
            }
            None => complain(Complaint::Unreadable),
        }
        let proves = certificate.is_some_and(|certificate| certificate.serial == serial);
        match row.status.as_deref() {
            // It may be anybody's.
            _ if certificate.is_none() && !self.alone => Some(Word::Broken),
            Some(b"Revoked") => {
                let since = certificate.map_or(self.issuer.not_before, |found| found.not_before);
                Some(Word::Revoked(Revocation {
                    time: self.time(row.time, since, complain),
                    reason: reason(row.reason.as_deref(), complain),
                }))
            }
            Some(b"Valid") if row.time != Time::Null || row.reason.is_some() => {
                complain(Complaint::Contradiction);
                Some(Word::Broken)
            }
            Some(b"Valid") => match der {
                Some(der) if proves => Some(Word::Good(Proof::Certificate(der))),
                None if row.certificate.is_empty() && !self.issuer.proof_needed => {
                    Some(Word::Good(Proof::None))
                }
                Some(_) | None => Some(Word::Broken),
            },
            Some(_) | None => {
                complain(Complaint::Status);
                Some(Word::Broken)
            }
        }
    }

    /// Seconds since 1970 of a revocation time; without one, those of `since`.
    fn time(&self, time: Time, since: u64, complain: &mut dyn FnMut(Complaint)) -> u64 {
        let seconds = match time {
            Time::Null => return since,
            Time::At(year, month, day, hour, minute, second) => seconds(
                [year.into(), month.into(), day.into()],
                [hour, minute, second],
                self.zone,
            ),
            Time::Strange => None,
        };
        match seconds {
            Some(seconds) => {
                if seconds > self.now {
                    complain(Complaint::Future);
                }
                seconds
            }
            None => {
                complain(Complaint::Time);
                since
            }
        }
    }
}

/// Of a local time that comes twice a year, the earlier one: nobody is told of a revocation too late.
fn seconds(date: [i32; 3], time: [u8; 3], zone: &TimeZone) -> Option<u64> {
    let [year, month, day] = date.map(|part| i16::try_from(part).ok());
    let [hour, minute, second] = time.map(|part| i8::try_from(part).ok());
    let narrow = |part: Option<i16>| i8::try_from(part?).ok();
    let civil = DateTime::new(
        year?,
        narrow(month)?,
        narrow(day)?,
        hour?,
        minute?,
        second?,
        0,
    )
    .ok()?;
    let moment = zone.to_ambiguous_timestamp(civil).earlier().ok()?;
    u64::try_from(moment.as_second()).ok()
}

fn reason(text: Option<&[u8]>, complain: &mut dyn FnMut(Complaint)) -> Option<Reason> {
    Some(match text? {
        b"unspecified" => return None,
        b"key_compromise" => Reason::KeyCompromise,
        b"ca_compromise" => Reason::CaCompromise,
        b"affiliation_changed" => Reason::AffiliationChanged,
        b"superseded" => Reason::Superseded,
        b"cessation_of_operation" => Reason::CessationOfOperation,
        b"certificate_hold" => Reason::CertificateHold,
        b"privilege_withdrawn" => Reason::PrivilegeWithdrawn,
        b"aa_compromise" => Reason::AaCompromise,
        _ => {
            complain(Complaint::Reason);
            return None;
        }
    })
}

/// A time zone by what the configuration calls it: `UTC`, an offset such as `+02:00`, or a name of the machine's database.
/// The error says what was found.
pub fn zone(text: &str) -> Result<TimeZone, String> {
    if text == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if text.starts_with(['+', '-']) {
        let offset = offset(text).map(|seconds| Offset::from_seconds(seconds).map(TimeZone::fixed));
        return match offset {
            Some(Ok(zone)) => Ok(zone),
            Some(Err(_)) | None => Err(format!(
                "{text:?} is no offset from UTC, such as \"+02:00\""
            )),
        };
    }
    TimeZone::get(text).map_err(|error| {
        format!(
            "{text:?} is not in the machine's time zone database (Debian package tzdata): {error}"
        )
    })
}

/// Seconds of `+hh:mm`.
fn offset(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let two = |digits: &str, most: i32| {
        let plain = digits.len() == 2 && digits.bytes().all(|octet| octet.is_ascii_digit());
        let value: i32 = digits.parse().ok()?;
        (plain && value <= most).then_some(value)
    };
    Some(sign * (two(hours, 14)? * 3600 + two(minutes, 59)? * 60))
}

/// Every way in which writers spell a serial in the table: whole octets, without a leading zero nibble, and as DER has it,
/// with `00` before a high bit; in lower case, in upper case, and in upper case with its `0X`. Where the column compares
/// without case, some of these are the same to the server, and cost nothing.
pub fn spellings(number: &[u8]) -> Vec<String> {
    let whole = serial::digits(number);
    let mut forms = vec![whole.clone()];
    match (whole.strip_prefix('0'), number) {
        (Some(minimal), _) => forms.push(minimal.to_owned()),
        (None, [0, _, ..]) => forms.push(format!("00{whole}")),
        (None, _) => {}
    }
    let mut spelled = Vec::with_capacity(3 * forms.len());
    for upper in forms {
        let lower = upper.to_ascii_lowercase();
        spelled.push(format!("0X{upper}"));
        if lower != upper {
            spelled.push(format!("0x{lower}"));
        }
        spelled.push(format!("0x{upper}"));
    }
    spelled
}

/// The serial that a row is about, from its column; other spaces than the server overlooks are not overlooked.
pub fn serial_of(column: &[u8]) -> Option<Box<[u8]>> {
    let text = std::str::from_utf8(column).ok()?.trim_end_matches(' ');
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))?;
    serial::from_digits(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_spelled_in_every_way_that_writers_have() {
        let of = |serial: &[u8]| spellings(serial);
        assert_eq!(of(&[0x12, 0x34]), ["0X1234", "0x1234"]);
        assert_eq!(of(&[0x5a]), ["0X5A", "0x5a", "0x5A"]);
        assert_eq!(
            of(&[0x0a, 0xbc]),
            ["0X0ABC", "0x0abc", "0x0ABC", "0XABC", "0xabc", "0xABC"]
        );
        assert_eq!(
            of(&[0, 0xfe]),
            ["0XFE", "0xfe", "0xFE", "0X00FE", "0x00fe", "0x00FE"]
        );
        assert_eq!(of(&[0]), ["0X00", "0x00", "0X0", "0x0"]);
        for serial in [&[1][..], &[0x7f], &[0, 0x80], &[9, 0x4e, 0x31]] {
            for spelled in spellings(serial) {
                assert_eq!(serial_of(spelled.as_bytes()).as_deref(), Some(serial));
            }
        }
        for wrong in ["", "0x", "12", "x12", "0x 12", "0x12\t", "0xgg", "-0x12"] {
            assert_eq!(serial_of(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(serial_of(b"0x12  ").as_deref(), Some(&[0x12][..]));
        assert_eq!(serial_of(&[0x30, 0x78, 0xff]), None);
    }

    #[test]
    fn a_zone_is_utc_an_offset_or_a_name() {
        let at = |text: &str| {
            let zone = zone(text).unwrap();
            seconds([2024, 1, 2], [3, 4, 5], &zone).unwrap()
        };
        assert_eq!(at("UTC"), 1_704_164_645);
        assert_eq!(at("+02:00"), 1_704_164_645 - 7200);
        assert_eq!(at("-09:30"), 1_704_164_645 + 34_200);
        for wrong in [
            "",
            "+2:00",
            "+02",
            "+02:60",
            "+15:00",
            "02:00",
            "Europe/Nowhere",
            "+0a:00",
        ] {
            assert!(zone(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_date_that_is_none_has_no_seconds() {
        let utc = TimeZone::UTC;
        for (date, time) in [
            ([0, 0, 0], [0, 0, 0]),
            ([2024, 2, 30], [0, 0, 0]),
            ([2024, 1, 0], [0, 0, 0]),
            ([2024, 1, 1], [24, 0, 0]),
            ([1969, 12, 31], [23, 59, 59]),
            ([70_000, 1, 1], [0, 0, 0]),
        ] {
            assert_eq!(seconds(date, time, &utc), None, "{date:?} {time:?}");
        }
        assert_eq!(seconds([1970, 1, 1], [0, 0, 1], &utc), Some(1));
        assert!(seconds([9999, 12, 30], [12, 0, 0], &utc).is_some());
    }
}
