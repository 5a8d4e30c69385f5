//! Serial numbers: the content octets of their INTEGER, and the hexadecimal digits that people and tables write.

use std::ops::Deref;

/// Octets that stand in a [`Serial`] itself: as many as a certificate's can have.
const IN_PLACE: usize = 21;

/// The content octets of a serial's INTEGER. Those that a certificate can carry need no memory elsewhere. The order is that of
/// numbers as long as none is longer than that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Place);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    /// So many octets, and zeros.
    Here(u8, [u8; IN_PLACE]),
    /// More than fit.
    Elsewhere(Box<[u8]>),
}

impl From<&[u8]> for Serial {
    fn from(serial: &[u8]) -> Self {
        let mut octets = [0; IN_PLACE];
        let place = u8::try_from(serial.len())
            .ok()
            .zip(octets.get_mut(..serial.len()));
        Self(match place {
            Some((length, place)) => {
                place.copy_from_slice(serial);
                Place::Here(length, octets)
            }
            None => Place::Elsewhere(serial.into()),
        })
    }
}

impl Deref for Serial {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Here(length, octets) => octets.get(..(*length).into()).unwrap_or_default(),
            Place::Elsewhere(octets) => octets,
        }
    }
}

/// Whether a certificate could carry this serial (RFC 5280 section 4.1.2.2): only of such a one can there be a record, and
/// only of such a one can it be said that it was never issued.
pub fn is_issuable(serial: &[u8]) -> bool {
    match serial {
        [] | [0] => false,
        [first, ..] if *first >= 0x80 => false,
        [0, magnitude @ ..] => magnitude.len() <= 20,
        magnitude => magnitude.len() <= 20,
    }
}

/// The content octets of a serial's INTEGER, from its hexadecimal digits, however many zeros they begin with.
pub fn from_digits(digits: &str) -> Option<Box<[u8]>> {
    if digits.is_empty()
        || digits.len() > 128
        || !digits.bytes().all(|octet| octet.is_ascii_hexdigit())
    {
        return None;
    }
    let even = if digits.len().is_multiple_of(2) {
        digits.to_owned()
    } else {
        format!("0{digits}")
    };
    let mut octets = vec![0]; // the sign
    for pair in even.as_bytes().chunks(2) {
        octets.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
    }
    let minimal = octets
        .windows(2)
        .position(|pair| !matches!(pair, [0, 0..=0x7f]))
        .unwrap_or(octets.len() - 1);
    Some(octets.split_off(minimal).into())
}

/// The whole octets of a serial without its sign, in upper case: how `openssl` writes it, and `openssl ca` names the
/// certificate in `newcerts/`.
pub fn digits(serial: &[u8]) -> String {
    let magnitude = match serial {
        [0, magnitude @ ..] if !magnitude.is_empty() => magnitude,
        all => all,
    };
    let mut digits = String::with_capacity(2 * magnitude.len());
    for nibble in magnitude.iter().flat_map(|octet| [octet >> 4, octet & 0xf]) {
        digits.extend(char::from_digit(nibble.into(), 16).map(|digit| digit.to_ascii_uppercase()));
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_minimal_integers_however_they_are_spelled() {
        let cases: [(&str, &[u8]); 7] = [
            ("01", &[1]),
            ("1", &[1]),
            ("00", &[0]),
            ("7F", &[0x7f]),
            ("80", &[0, 0x80]),
            ("0080", &[0, 0x80]),
            ("094e315f", &[0x09, 0x4e, 0x31, 0x5f]),
        ];
        for (digits, octets) in cases {
            assert_eq!(*from_digits(digits).unwrap(), *octets, "{digits}");
        }
        for wrong in ["", "-01", "0x01", "zz", "1 2"] {
            assert_eq!(from_digits(wrong), None, "{wrong}");
        }
        assert_eq!(digits(&[0, 0x80]), "80");
        assert_eq!(digits(&[0x09, 0x4e]), "094E");
        assert_eq!(digits(&[0]), "00");
    }

    #[test]
    fn only_a_positive_serial_of_at_most_20_octets_can_be_issued() {
        let long = |first: &[u8], more| [first, &vec![0xff; more]].concat();
        for issuable in [
            vec![1],
            vec![0x7f],
            vec![0, 0x80],
            long(&[1], 19),
            long(&[0], 20),
        ] {
            assert!(is_issuable(&issuable), "{issuable:?}");
        }
        for not in [
            vec![],
            vec![0],
            vec![0x80],
            vec![0xff, 1],
            long(&[1], 20),
            long(&[0], 21),
        ] {
            assert!(!is_issuable(&not), "{not:?}");
        }
    }
}
