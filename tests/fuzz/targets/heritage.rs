//! What a frontend leaves to the next: read in one piece and octet by octet it is the same, and what is read is written in the
//! same octets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ocsp_frontend::heritage::{Left, OPENING, Senseless, Stream};

fuzz_target!(|octets: &[u8]| {
    let whole = read(octets.chunks(octets.len().max(1)));
    assert_eq!(whole, read(octets.chunks(1)));
    let (all, _) = whole;
    let mut written = OPENING.to_vec();
    for left in &all {
        left.write(&mut written);
    }
    assert!(all.is_empty() || octets.starts_with(&written));
});

/// All that comes out, and how it ends.
fn read<'a>(parts: impl Iterator<Item = &'a [u8]>) -> (Vec<Left>, Result<(), Senseless>) {
    let (mut stream, mut all) = (Stream::default(), Vec::new());
    for part in parts {
        stream.extend(part);
        loop {
            match stream.left() {
                Ok(Some(left)) => all.push(left),
                Ok(None) => break,
                Err(senseless) => return (all, Err(senseless)),
            }
        }
    }
    (all, Ok(()))
}
