//! The path of a GET. What is found is a request of exactly its own length; it is what a look at every tail finds that
//! takes no shortcut; and it is found again in the spellings that clients have for it.
#![no_main]

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use libfuzzer_sys::{Corpus, fuzz_target};
use ocsp_frontend::http::target;
use ocsp_frontend::request::{Length, length};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Less digits are not looked at: no request is so short.
const SHORTEST: usize = 8;

fuzz_target!(|octets: &[u8]| -> Corpus {
    let Ok(path) = std::str::from_utf8(octets) else {
        return Corpus::Reject;
    };
    let found = target(path);
    let plain = unescaped(octets);
    // Of a path with more slashes than that, not every tail is looked at.
    if plain.iter().filter(|octet| **octet == b'/').count() <= 16 {
        assert_eq!(found.as_ref().ok(), slowly(&plain).as_ref());
    }
    let Ok(der) = found else {
        return Corpus::Keep;
    };
    assert_eq!(length(&der), Length::Known(der.len()));
    let digits = LENIENT.encode(&der);
    let escaped = digits
        .replace('+', "%2B")
        .replace('/', "%2f")
        .replace('=', "%3D");
    let bare = digits.trim_end_matches('=');
    for prefix in ["/", "//", "/ocsp/", "/a/b//"] {
        for digits in [&digits, &escaped, bare] {
            if digits.len() >= SHORTEST {
                assert_eq!(target(&format!("{prefix}{digits}")).as_ref(), Ok(&der));
            }
        }
    }
    Corpus::Keep
});

/// The longest tail that is a whole request in base64.
fn slowly(path: &[u8]) -> Option<Vec<u8>> {
    let slashes = path.iter().enumerate().filter(|(_, octet)| **octet == b'/');
    let mut tails = slashes.map(|(place, _)| &path[place + 1..]);
    tails.find_map(|tail| {
        let der = LENIENT.decode(tail).ok()?;
        (tail.len() >= SHORTEST && length(&der) == Length::Known(der.len())).then_some(der)
    })
}

fn unescaped(path: &[u8]) -> Vec<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    match path {
        [] => Vec::new(),
        _ => {
            let (mut octets, mut place) = (Vec::new(), 0);
            while let Some(octet) = path.get(place) {
                let value = |high: u8, low: u8| Some(digit(high)? * 16 + digit(low)?);
                match path[place..] {
                    [b'%', high, low, ..] if value(high, low).is_some() => {
                        octets.extend(value(high, low).and_then(|value| u8::try_from(value).ok()));
                        place += 3;
                    }
                    _ => {
                        octets.push(*octet);
                        place += 1;
                    }
                }
            }
            octets
        }
    }
}
