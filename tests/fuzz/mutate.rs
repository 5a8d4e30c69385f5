//! Changes DER as DER: a value is taken out, doubled, emptied, changed within, or put where another one stands, and all lengths
//! around it are right again. By octets alone, hardly any change gets past the outermost length.

use libfuzzer_sys::fuzzer_mutate;

use crate::tlv;

/// Changes the first `size` octets of `data`, which may become `most`; every other time as libFuzzer itself does. Comes back with
/// their new number.
pub fn der(data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut chance = Chance(u64::from(seed) << 1 | 1);
    if chance.below(2) == 0
        && let Some(mut values) = values(&data[..size], 0)
    {
        for _ in 0..=chance.below(3) {
            change(&mut values, &mut chance);
        }
        let octets = written(&values);
        if octets.len() <= most {
            data[..octets.len()].copy_from_slice(&octets);
            return octets.len();
        }
    }
    fuzzer_mutate(data, size, most)
}

/// A value and its tag.
#[derive(Clone)]
struct Value(u8, Content);

#[derive(Clone)]
enum Content {
    Octets(Vec<u8>),
    /// Values, behind as many zeros as a BIT STRING begins with.
    Values(usize, Vec<Value>),
}

/// What fills `octets` from end to end; strings are looked into as well, since extensions and answers are in such.
fn values(mut octets: &[u8], depth: u8) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while let [tag, length, rest @ ..] = octets {
        let (length, rest) = match (length, rest) {
            (0..=0x7f, _) => (usize::from(*length), rest),
            (0x81, [low, rest @ ..]) => (usize::from(*low), rest),
            (0x82, [high, low, rest @ ..]) => {
                (usize::from(u16::from_be_bytes([*high, *low])), rest)
            }
            (_, _) => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let zeros = usize::from(*tag == 3);
        let within = match content.get(zeros..) {
            Some(within)
                if !within.is_empty()
                    && depth < 12
                    && (tag & 0x20 != 0 || [3, 4].contains(tag)) =>
            {
                self::values(within, depth + 1)
            }
            Some(_) | None => None,
        };
        let content = match within {
            Some(values) => Content::Values(zeros, values),
            None => Content::Octets(content.to_vec()),
        };
        values.push(Value(*tag, content));
        octets = rest;
    }
    octets.is_empty().then_some(values)
}

fn written(values: &[Value]) -> Vec<u8> {
    let value = |Value(tag, content): &Value| match content {
        Content::Octets(octets) => tlv(*tag, &[octets]),
        Content::Values(zeros, values) => tlv(*tag, &[&vec![0; *zeros], &written(values)]),
    };
    values.iter().flat_map(value).collect()
}

/// Makes one change at a place that chance decides.
fn change(values: &mut Vec<Value>, chance: &mut Chance) {
    let all = flat(values);
    let other = chance.of(&all).cloned();
    let mut place = chance.below(all.len().max(1));
    let (Some(other), Some((siblings, at))) = (other, find(values, &mut place)) else {
        return;
    };
    match chance.below(8) {
        0 => drop(siblings.remove(at)),
        1 => siblings.insert(at, siblings[at].clone()),
        2 => siblings[at].1 = Content::Octets(Vec::new()),
        3 => siblings[at] = other,
        4 => siblings.insert(at, other),
        5 => siblings[at].0 = other.0,
        _ => {
            let mut octets = match &siblings[at].1 {
                Content::Octets(octets) => octets.clone(),
                Content::Values(zeros, values) => [vec![0; *zeros], written(values)].concat(),
            };
            let (size, most) = (octets.len(), octets.len() + 24);
            octets.resize(most, 0);
            let size = fuzzer_mutate(&mut octets, size, most);
            octets.truncate(size);
            siblings[at].1 = Content::Octets(octets);
        }
    }
}

/// Every value, each before those within it.
fn flat(values: &[Value]) -> Vec<&Value> {
    let mut all = Vec::new();
    for value in values {
        all.push(value);
        if let Value(_, Content::Values(_, within)) = value {
            all.extend(flat(within));
        }
    }
    all
}

/// The value that so many come before, as a place among its siblings.
fn find<'a>(values: &'a mut Vec<Value>, before: &mut usize) -> Option<(&'a mut Vec<Value>, usize)> {
    for at in 0..values.len() {
        if *before == 0 {
            return Some((values, at));
        }
        *before -= 1;
        let Value(_, Content::Values(_, within)) = &values[at] else {
            continue;
        };
        let inside = flat(within).len();
        if *before >= inside {
            *before -= inside;
            continue;
        }
        return match &mut values[at].1 {
            Content::Values(_, within) => find(within, before),
            Content::Octets(_) => None,
        };
    }
    None
}

/// Numbers that a seed decides (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 32) % (end as u64)).unwrap()
    }

    fn of<'a, T>(&mut self, all: &[&'a T]) -> Option<&'a T> {
        let place = self.below(all.len().max(1));
        all.get(place).copied()
    }
}
