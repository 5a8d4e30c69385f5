//! Reads one TOML table key by key, strictly: a value of the wrong kind, a key that nobody asked for, a duration
//! without unit is an error that names file, key, what was found and what was expected.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use ocsp_frontend_settings::Secret;
use toml::value::{Datetime, Offset};
use toml::{Table, Value};

use crate::credential;

/// A sentence that names file and key.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake(pub String);

impl Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One table, while it is being read.
pub struct Reader {
    place: String,
    table: Table,
    known: BTreeSet<&'static str>,
}

#[allow(clippy::wildcard_enum_match_arm)] // every other kind of TOML value is the wrong one
impl Reader {
    /// The whole file.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistake> {
        let table = text.parse::<Table>().map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            let what = error.message().replace('\n', ", ");
            Mistake(format!(
                "{file}: line {line}, column {column}: is no TOML: {what}"
            ))
        })?;
        Ok(Self::new(format!("{file}: "), table))
    }

    fn new(place: String, table: Table) -> Self {
        Self {
            place,
            table,
            known: BTreeSet::new(),
        }
    }

    /// A mistake of a key's value.
    pub fn mistake(&self, key: &str, found: impl Display, expected: impl Display) -> Mistake {
        Mistake(format!(
            "{}key \"{key}\": found {found}, expected {expected}",
            self.place
        ))
    }

    /// Puts a name behind the place, for the errors that follow.
    pub fn named(&mut self, name: &str) {
        self.place = format!("{} ({name:?}): ", self.place.trim_end_matches(": "));
    }

    /// The value of a key, which the table no longer holds afterwards.
    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        self.table.remove(key)
    }

    /// A section, empty when it is not there.
    pub fn section(&mut self, key: &'static str) -> Result<Reader, Mistake> {
        match self.take(key) {
            None => Ok(Self::new(format!("{}[{key}]: ", self.place), Table::new())),
            Some(Value::Table(table)) => Ok(Self::new(format!("{}[{key}]: ", self.place), table)),
            Some(other) => Err(self.mistake(key, shown(&other), format_args!("a section [{key}]"))),
        }
    }

    /// The sections of one name, `[[key]]`, in order.
    pub fn sections(&mut self, key: &'static str) -> Result<Vec<Reader>, Mistake> {
        let expected = format!("sections [[{key}]]");
        let sections = match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(sections)) => sections,
            Some(other) => return Err(self.mistake(key, shown(&other), expected)),
        };
        let tables = sections
            .into_iter()
            .zip(1..)
            .map(|(section, number)| match section {
                Value::Table(table) => Ok(Self::new(
                    format!("{}[[{key}]] {number}: ", self.place),
                    table,
                )),
                other => Err(self.mistake(key, shown(&other), &expected)),
            });
        tables.collect()
    }

    /// A text that may be left out.
    pub fn text(&mut self, key: &'static str, expected: &str) -> Result<Option<String>, Mistake> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.mistake(key, shown(&other), expected)),
        }
    }

    /// A text that must be there.
    pub fn required(&mut self, key: &'static str, expected: &str) -> Result<String, Mistake> {
        self.text(key, expected)?
            .ok_or_else(|| self.mistake(key, "nothing", expected))
    }

    /// The absolute path of a file.
    pub fn path(&mut self, key: &'static str) -> Result<Option<String>, Mistake> {
        let expected = "an absolute path of at most 1024 octets";
        match self.text(key, expected)? {
            Some(path) if !is_path(&path) => {
                Err(self.mistake(key, format_args!("{path:?}"), expected))
            }
            path => Ok(path),
        }
    }

    /// The absolute path of a file, which must be given.
    pub fn required_path(&mut self, key: &'static str) -> Result<String, Mistake> {
        self.path(key)?
            .ok_or_else(|| self.mistake(key, "nothing", "an absolute path"))
    }

    /// Where a secret is: the absolute path of a file, or a systemd credential.
    pub fn secret(&mut self, key: &'static str) -> Result<Option<Secret>, Mistake> {
        let expected = "an absolute path of at most 1024 octets, or \"credential:NAME\" with a name that systemd allows";
        let Some(text) = self.text(key, expected)? else {
            return Ok(None);
        };
        let secret = match text.strip_prefix(credential::PREFIX) {
            Some(name) if credential::is_name(name) => Some(Secret::Credential(name.to_owned())),
            None if is_path(&text) => Some(Secret::File(text.clone())),
            Some(_) | None => None,
        };
        secret
            .map(Some)
            .ok_or_else(|| self.mistake(key, format_args!("{text:?}"), expected))
    }

    /// A list of texts; a single text counts as a list of one.
    pub fn texts(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Result<Option<Vec<String>>, Mistake> {
        let values = match self.take(key) {
            None => return Ok(None),
            Some(Value::Array(values)) => values,
            Some(single) => vec![single],
        };
        let texts = values.into_iter().map(|value| match value {
            Value::String(text) => Ok(text),
            other => Err(self.mistake(key, shown(&other), expected)),
        });
        texts.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// One of a few words.
    pub fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
    ) -> Result<T, Mistake> {
        let expected = words
            .iter()
            .map(|(word, _)| format!("{word:?}"))
            .collect::<Vec<_>>()
            .join(" or ");
        match self.text(key, &expected)? {
            None => Ok(default),
            Some(found) => match words.iter().find(|(word, _)| *word == found) {
                Some((_, value)) => Ok(*value),
                None => Err(self.mistake(key, format_args!("{found:?}"), expected)),
            },
        }
    }

    /// Yes or no; no unless said.
    pub fn flag(&mut self, key: &'static str) -> Result<bool, Mistake> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(flag),
            Some(other) => Err(self.mistake(key, shown(&other), "true or false")),
        }
    }

    /// A moment, in seconds since 1970, that may be left out.
    pub fn moment(&mut self, key: &'static str) -> Result<Option<u64>, Mistake> {
        let expected = "a date and a time in UTC, without quotes, such as 2026-01-31T12:00:00Z";
        match self.take(key) {
            None => Ok(None),
            Some(Value::Datetime(found)) => match seconds(&found) {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(self.mistake(key, found, expected)),
            },
            Some(other) => Err(self.mistake(key, shown(&other), expected)),
        }
    }

    /// A whole number within bounds.
    pub fn number(
        &mut self,
        key: &'static str,
        least: u32,
        most: u32,
        default: u32,
    ) -> Result<u32, Mistake> {
        let expected = format!("a whole number from {least} to {most}");
        match self.take(key) {
            None => Ok(default),
            Some(Value::Integer(number)) if (least.into()..=most.into()).contains(&number) => {
                u32::try_from(number).map_err(|_| self.mistake(key, number, expected))
            }
            Some(other) => Err(self.mistake(key, shown(&other), expected)),
        }
    }

    /// A duration with a unit, within bounds.
    pub fn duration(
        &mut self,
        key: &'static str,
        least: Duration,
        most: Duration,
        default: Duration,
    ) -> Result<Duration, Mistake> {
        let expected = format!(
            "a duration from {} to {}, such as \"{}\"",
            in_words(least),
            in_words(most),
            in_words(default)
        );
        match self.text(key, &expected)? {
            None => Ok(default),
            Some(found) => duration(&found)
                .filter(|duration| (least..=most).contains(duration))
                .ok_or_else(|| self.mistake(key, format_args!("{found:?}"), expected)),
        }
    }

    /// A size with a unit, in octets, within bounds.
    pub fn size(
        &mut self,
        key: &'static str,
        least: u64,
        most: u64,
        default: u64,
    ) -> Result<u64, Mistake> {
        let expected = format!(
            "a size from {} KiB to {} GiB, such as \"256 MiB\"",
            least >> 10,
            most >> 30
        );
        match self.text(key, &expected)? {
            None => Ok(default),
            Some(found) => quantity(&found, &SIZES)
                .filter(|size| (least..=most).contains(size))
                .ok_or_else(|| self.mistake(key, format_args!("{found:?}"), expected)),
        }
    }

    /// A user: a name, or a numeric id as text or number.
    pub fn user(&mut self, key: &'static str, default: &str) -> Result<String, Mistake> {
        match self.take(key) {
            None => Ok(default.to_owned()),
            Some(Value::String(name)) if !name.is_empty() => Ok(name),
            Some(Value::Integer(id)) if (0..=u32::MAX.into()).contains(&id) => Ok(id.to_string()),
            Some(other) => Err(self.mistake(key, shown(&other), "a user's name or numeric id")),
        }
    }

    /// The end: a key that nobody asked for is a mistake.
    pub fn finish(self) -> Result<(), Mistake> {
        self.only(&self.known.iter().copied().collect::<Vec<_>>())
    }

    /// A key that is not among these is a mistake, and the nearest known one is named.
    pub fn only(&self, known: &[&str]) -> Result<(), Mistake> {
        let Some(unknown) = self.table.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        // One that begins like it is nearer than any that is spelled like it.
        let nearest = known
            .iter()
            .map(|known| match known.strip_prefix(unknown.as_str()) {
                Some(_) => (0, known),
                None => (distance(unknown, known), known),
            });
        let nearest = nearest
            .min()
            .filter(|(distance, _)| *distance <= 1 + unknown.len() / 3);
        let hint = nearest
            .map(|(_, nearest)| format!("; the nearest known key is \"{nearest}\""))
            .unwrap_or_default();
        let known = known.join(", ");
        Err(Mistake(format!(
            "{}key \"{unknown}\" is not known{hint} (known are: {known})",
            self.place
        )))
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 1024 && !text.contains('\0')
}

const DURATIONS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
const SIZES: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A whole number and its unit.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A whole number and a unit of time.
pub fn duration(text: &str) -> Option<Duration> {
    quantity(text, &DURATIONS).map(Duration::from_millis)
}

/// A duration in the largest unit that divides it.
pub fn in_words(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = DURATIONS
        .iter()
        .rev()
        .find(|(_, factor)| millis.is_multiple_of(*factor) && millis >= *factor);
    unit.map_or_else(
        || "0s".to_owned(),
        |(name, factor)| format!("{}{name}", millis / factor),
    )
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(time) => format!("the time {time}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a section".to_owned(),
    }
}

/// Levenshtein's distance, for the nearest key.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), i + 1);
        let mut left_of = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.chars()) {
            let value = (diagonal + usize::from(a != b))
                .min(*cell + 1)
                .min(left_of + 1);
            diagonal = std::mem::replace(cell, value);
            left_of = value;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Seconds since 1970 of a moment in UTC that is not before it.
fn seconds(moment: &Datetime) -> Option<u64> {
    let (date, time) = (moment.date?, moment.time?);
    if moment.offset != Some(Offset::Z) || date.year < 1970 {
        return None;
    }
    let year = u64::from(date.year);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let month = usize::from(date.month.checked_sub(1)?);
    let mut days = (1970..year)
        .map(|year| 365 + u64::from(leap(year)))
        .sum::<u64>();
    days += before.get(month)? + u64::from(date.day.checked_sub(1)?);
    days += u64::from(leap(year) && date.month > 2);
    let second = u64::from(time.second.unwrap_or(0));
    Some(days * 86_400 + u64::from(time.hour) * 3600 + u64::from(time.minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_need_a_number_and_a_known_unit() {
        assert_eq!(quantity("3d", &DURATIONS), Some(259_200_000));
        assert_eq!(quantity("500ms", &DURATIONS), Some(500));
        assert_eq!(quantity("256 MiB", &SIZES), Some(256 << 20));
        for wrong in [
            "",
            "3",
            "d",
            "3 days",
            "-1s",
            "1.5h",
            "99999999999999999999d",
            "9999999999999999d",
        ] {
            assert_eq!(quantity(wrong, &DURATIONS), None, "{wrong}");
        }
        assert_eq!(in_words(Duration::from_secs(259_200)), "3d");
        assert_eq!(in_words(Duration::from_secs(90)), "90s");
    }

    #[test]
    fn the_nearest_key_is_the_one_a_person_meant() {
        assert_eq!(distance("validty", "validity"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_moment_is_counted_as_others_count_it() {
        let of = |text: &str| seconds(&text.parse().unwrap());
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:34:56Z", Some(951_827_696)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-11-24T22:40:00Z", Some(1_795_560_000)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00+01:00", None),
            ("2026-01-01", None),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
