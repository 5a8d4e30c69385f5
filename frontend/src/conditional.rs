//! Conditional requests (RFC 9110 section 13): whether a client has what it asks for already. Looked at for GET and HEAD
//! only, and only where the answer is one that others may be given as well: errors, *unknown* and answers with a nonce
//! have nothing to compare. What a client sends is compared and never kept.

use std::time::{Duration, SystemTime};

use hyper::header::{
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
};

/// What an answer is compared by.
pub struct Validators<'a> {
    /// Its entity tag, a strong one, with its quotes.
    pub tag: &'a [u8],
    /// Its Last-Modified, in seconds since 1970.
    pub last_modified: u64,
    /// Whether that date may stand for the answer. A second is too coarse to tell *revoked* from the *good* just before it,
    /// so that a client that goes by dates alone is given *revoked* whole.
    pub dated: bool,
}

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer.
    Whole,
    /// 304: it has the answer.
    NotModified,
    /// 412: it wanted another one, or none.
    Failed,
}

/// Whether there is anything to evaluate; without it nothing else here needs to be known.
pub fn is_conditional(headers: &HeaderMap) -> bool {
    const CONDITIONS: [HeaderName; 4] = [
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_MATCH,
        IF_UNMODIFIED_SINCE,
    ];
    headers.keys().any(|name| CONDITIONS.contains(name))
}

/// Evaluates the conditions in the order of RFC 9110 section 13.2.2. A condition that cannot be read is none.
pub fn evaluate(headers: &HeaderMap, validators: &Validators) -> Outcome {
    let fails = match matches(headers, &IF_MATCH, validators.tag, Comparison::Strong) {
        Some(matched) => !matched,
        None if headers.contains_key(IF_MATCH) => false,
        None => date(headers, &IF_UNMODIFIED_SINCE)
            .is_some_and(|since| since < validators.last_modified),
    };
    if fails {
        return Outcome::Failed;
    }
    let has = match matches(headers, &IF_NONE_MATCH, validators.tag, Comparison::Weak) {
        Some(matched) => matched,
        None if headers.contains_key(IF_NONE_MATCH) => false,
        None => {
            validators.dated
                && date(headers, &IF_MODIFIED_SINCE)
                    .is_some_and(|since| validators.last_modified <= since)
        }
    };
    if has {
        Outcome::NotModified
    } else {
        Outcome::Whole
    }
}

/// How entity tags are compared (RFC 9110 section 8.8.3.2). Ours are strong, so that only the client's may be weak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags, in one header line or several, names this one; none where it is absent or cannot be read.
fn matches(
    headers: &HeaderMap,
    name: &HeaderName,
    tag: &[u8],
    comparison: Comparison,
) -> Option<bool> {
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let first = lines.next()?;
    let others: Vec<_> = lines.collect();
    if first.trim_ascii() == b"*" {
        return others.is_empty().then_some(true);
    }
    let (mut listed, mut matched) = (false, false);
    for line in [first].into_iter().chain(others) {
        let mut rest = line;
        loop {
            // A list may hold empty elements (RFC 9110 section 5.6.1.2).
            rest = trimmed(rest);
            let Some(octet) = rest.first() else { break };
            if *octet == b',' {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let (weak, opaque, behind) = entity_tag(rest)?;
            listed = true;
            matched |= opaque == tag && (!weak || comparison == Comparison::Weak);
            rest = trimmed(behind);
            if !matches!(rest.first(), None | Some(b',')) {
                return None;
            }
        }
    }
    listed.then_some(matched)
}

/// The entity tag that octets begin with: whether it is weak, its quoted part, and what stands behind it.
fn entity_tag(octets: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (weak, quoted) = match octets.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, octets),
    };
    let opaque = quoted.strip_prefix(b"\"")?;
    let end = opaque.iter().position(|octet| *octet == b'"')?;
    let is_etagc = |octet: &u8| matches!(octet, 0x21 | 0x23..=0x7e | 0x80..);
    if !opaque.get(..end)?.iter().all(is_etagc) {
        return None;
    }
    let (quoted, behind) = quoted.split_at_checked(end + 2)?;
    Some((weak, quoted, behind))
}

/// A date in any of the three forms that recipients understand, as seconds since 1970; none where it is absent, cannot be
/// read, or stands there more than once.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let date = httpdate::parse_http_date(line.to_str().ok()?.trim()).ok()?;
    let since = date.duration_since(SystemTime::UNIX_EPOCH);
    Some(since.unwrap_or(Duration::ZERO).as_secs())
}

/// Without white space in front.
fn trimmed(octets: &[u8]) -> &[u8] {
    let blank = octets.iter().take_while(|octet| b" \t".contains(octet));
    octets.get(blank.count()..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &[u8] = b"\"4711\"";
    const MODIFIED: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT

    /// What these header lines lead to.
    fn outcome(lines: &[(HeaderName, &[u8])], dated: bool) -> Outcome {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(is_conditional(&headers), !lines.is_empty());
        let validators = Validators {
            tag: TAG,
            last_modified: MODIFIED,
            dated,
        };
        evaluate(&headers, &validators)
    }

    #[test]
    fn a_list_of_entity_tags_is_compared_weakly() {
        for same in [
            &b"\"4711\""[..],
            b"W/\"4711\"",
            b"*",
            b" * ",
            b"\"a\", \"4711\"",
            b"\"a\",W/\"4711\"",
            b",, ,\"4711\",,",
            b"\"a,b\" , \"4711\"",
            b"\"\",\"\xff\",\"4711\"",
        ] {
            let name = String::from_utf8_lossy(same);
            assert_eq!(
                outcome(&[(IF_NONE_MATCH, same)], true),
                Outcome::NotModified,
                "{name}"
            );
        }
        for other in [
            &b"\"4712\""[..],
            b"\"a,\\\"4711\\\"\"",
            b"W/\"\"",
            b"\"4711",
            b"4711",
            b"w/\"4711\"",
            b"W/ \"4711\"",
            b"\"4711\" \"4711\"",
            b"\"4711\"x",
            b"\"4711\", x",
            b"\"47 11\", \"4711\"",
            b"*, \"4711\"",
            b"\"4711\", *",
            b"**",
            b"",
            b",",
        ] {
            let name = String::from_utf8_lossy(other);
            assert_eq!(
                outcome(&[(IF_NONE_MATCH, other)], true),
                Outcome::Whole,
                "{name}"
            );
        }
        // Several lines are one list, and a `*` stands alone.
        let lines = [(IF_NONE_MATCH, &b"\"a\""[..]), (IF_NONE_MATCH, b"\"4711\"")];
        assert_eq!(outcome(&lines, true), Outcome::NotModified);
        let lines = [(IF_NONE_MATCH, &b"*"[..]), (IF_NONE_MATCH, b"\"4711\"")];
        assert_eq!(outcome(&lines, true), Outcome::Whole);
        let lines = [(IF_NONE_MATCH, &b"\"4711\""[..]), (IF_NONE_MATCH, b"*")];
        assert_eq!(outcome(&lines, true), Outcome::Whole);
        let lines = [(IF_NONE_MATCH, &b"\"4711\""[..]), (IF_NONE_MATCH, b"x")];
        assert_eq!(outcome(&lines, true), Outcome::Whole);
    }

    #[test]
    fn a_date_counts_where_there_is_no_list_of_entity_tags() {
        for same in [
            &b"Sun, 06 Nov 1994 08:49:37 GMT"[..],
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
            b"Sun, 06 Nov 1994 08:49:38 GMT",
        ] {
            let lines = [(IF_MODIFIED_SINCE, same)];
            assert_eq!(outcome(&lines, true), Outcome::NotModified);
            assert_eq!(outcome(&lines, false), Outcome::Whole);
            // However it is written, a list of entity tags is what counts.
            for list in [&b"\"a\""[..], b"x", b""] {
                let lines = [(IF_NONE_MATCH, list), (IF_MODIFIED_SINCE, same)];
                assert_eq!(outcome(&lines, true), Outcome::Whole);
            }
        }
        for other in [
            &b"Sun, 06 Nov 1994 08:49:36 GMT"[..],
            b"Sun, 06 Nov 1994 08:49:37 CET",
            b"784111777",
            b"",
            b"now",
            b"\xff",
        ] {
            let lines = [(IF_MODIFIED_SINCE, other)];
            assert_eq!(outcome(&lines, true), Outcome::Whole);
        }
        let line = (IF_MODIFIED_SINCE, &b"Sun, 06 Nov 1994 08:49:38 GMT"[..]);
        assert_eq!(outcome(&[line.clone(), line], true), Outcome::Whole);
        // The tag decides, not the date.
        let early = (IF_MODIFIED_SINCE, &b"Sun, 06 Nov 1994 08:49:36 GMT"[..]);
        let lines = [(IF_NONE_MATCH, TAG), early];
        assert_eq!(outcome(&lines, false), Outcome::NotModified);
    }

    #[test]
    fn who_wants_what_is_not_there_is_told_so() {
        for (list, expected) in [
            (TAG, Outcome::Whole),
            (b"*", Outcome::Whole),
            (b"\"a\", \"4711\"", Outcome::Whole),
            (b"\"a\"", Outcome::Failed),
            (b"W/\"4711\"", Outcome::Failed),
            (b"x", Outcome::Whole),
        ] {
            assert_eq!(outcome(&[(IF_MATCH, list)], true), expected);
        }
        let early = (IF_UNMODIFIED_SINCE, &b"Sun, 06 Nov 1994 08:49:36 GMT"[..]);
        let late = (IF_UNMODIFIED_SINCE, &b"Sun, 06 Nov 1994 08:49:37 GMT"[..]);
        assert_eq!(outcome(std::slice::from_ref(&early), true), Outcome::Failed);
        assert_eq!(outcome(&[late], true), Outcome::Whole);
        // It does not count beside a list, and comes before what a client has.
        assert_eq!(
            outcome(&[(IF_MATCH, TAG), early.clone()], true),
            Outcome::Whole
        );
        assert_eq!(
            outcome(&[early, (IF_NONE_MATCH, TAG)], true),
            Outcome::Failed
        );
        let both = [(IF_MATCH, TAG), (IF_NONE_MATCH, TAG)];
        assert_eq!(outcome(&both, true), Outcome::NotModified);
        assert_eq!(outcome(&[], true), Outcome::Whole);
    }
}
