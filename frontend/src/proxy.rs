//! Connections that a proxy passes on: they begin with a header of the PROXY protocol, version 2, which says where the client
//! is. It is read from those alone that the configuration names, since whoever sends it is believed. What it says counts for
//! the bound of connections per address, and for nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Octets of a whole header. Addresses take 36 at most; the rest is for TLVs, which are passed over.
const LONGEST: usize = 536;
/// Octets of its part that is always there.
const FIXED: usize = 16;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a connection does not say whose it is.
#[derive(Debug, PartialEq, Eq)]
pub enum NoClient {
    /// It ended first: a proxy that looks whether somebody is there.
    Ended,
    /// What came is no such header; in words, behind "the PROXY header".
    Wrong(&'static str),
}

/// Reads the header that a connection begins with, and nothing behind it: the client's address, or none where the proxy
/// speaks for itself or does not know.
pub async fn client(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, NoClient> {
    let mut fixed = [0; FIXED];
    read(stream, &mut fixed).await?;
    let length = length(&fixed).map_err(NoClient::Wrong)?;
    let mut rest = [0; LONGEST - FIXED];
    let rest = rest.get_mut(..length).unwrap_or_default();
    read(stream, rest).await?;
    source(&fixed, rest).map_err(NoClient::Wrong)
}

async fn read(stream: &mut (impl AsyncRead + Unpin), octets: &mut [u8]) -> Result<(), NoClient> {
    let read = stream.read_exact(octets).await;
    read.map(|_| ()).map_err(|_| NoClient::Ended)
}

/// How many octets follow the fixed part.
fn length(fixed: &[u8; FIXED]) -> Result<usize, &'static str> {
    let Some((signature, [version, _, high, low])) = fixed.split_first_chunk() else {
        return Err("is too short");
    };
    if signature != SIGNATURE {
        return Err("of version 2 was expected");
    }
    if version >> 4 != 2 {
        return Err("is of another version than 2");
    }
    match usize::from(u16::from_be_bytes([*high, *low])) {
        length if length <= LONGEST - FIXED => Ok(length),
        _ => Err("is longer than 536 octets"),
    }
}

/// The client's address, by command and family.
fn source(fixed: &[u8; FIXED], rest: &[u8]) -> Result<Option<IpAddr>, &'static str> {
    let [.., version, family, _, _] = fixed;
    match (version & 15, family) {
        // LOCAL: the proxy's own connection, whatever else stands there. UNSPEC: it does not say.
        (0, _) | (1, 0x00) => Ok(None),
        // TCP over IPv4: two addresses and two ports.
        (1, 0x11) => match rest.first_chunk::<12>() {
            Some([a, b, c, d, ..]) => Ok(Some(Ipv4Addr::new(*a, *b, *c, *d).into())),
            None => Err("is too short for its addresses"),
        },
        // TCP over IPv6 likewise.
        (1, 0x21) => match rest.first_chunk::<36>().and_then(|all| all.first_chunk()) {
            Some(source) => Ok(Some(IpAddr::from(Ipv6Addr::from(*source)).to_canonical())),
            None => Err("is too short for its addresses"),
        },
        (1, _) => Err("is about something else than TCP"),
        (_, _) => Err("has a command that is neither LOCAL nor PROXY"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it; how many octets behind it are left.
    fn read_all(mut octets: &[u8]) -> (Result<Option<IpAddr>, NoClient>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let read = runtime.unwrap().block_on(client(&mut octets));
        (read, octets.len())
    }

    fn header(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0xd4, 0x31, 0x23, 0x28];

    fn v6() -> Vec<u8> {
        let (source, to) = ("2001:db8::1", "2001:db8::2");
        let [source, to] = [source, to].map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
        [&source[..], &to, &[0xd4, 0x31, 0x23, 0x28]].concat()
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_header_says_where_the_client_is() {
        let tlvs = [3, 0, 4, 1, 2, 3, 4, 0x20, 0xff, 0xff];
        let mapped = [&[0; 10][..], &[0xff; 2], &[192, 0, 2, 9], &[0; 20]].concat();
        for (version, family, rest, client) in [
            (0x21, 0x11, V4.to_vec(), address("192.0.2.1")),
            (0x21, 0x11, [&V4[..], &tlvs].concat(), address("192.0.2.1")),
            (0x21, 0x21, v6(), address("2001:db8::1")),
            (
                0x21,
                0x21,
                [&v6()[..], &tlvs].concat(),
                address("2001:db8::1"),
            ),
            (0x21, 0x21, mapped, address("192.0.2.9")),
            (0x21, 0x00, Vec::new(), None),
            (0x21, 0x00, tlvs.to_vec(), None),
            (0x20, 0x00, Vec::new(), None),
            // What LOCAL says beside is passed over.
            (0x20, 0x11, V4.to_vec(), None),
            (0x20, 0x11, vec![1], None),
            (0x20, 0xff, vec![0; LONGEST - FIXED], None),
        ] {
            let der = [&header(version, family, &rest)[..], b"0\x03\x02\x01\x07"].concat();
            assert_eq!(read_all(&der), (Ok(client), 5), "{version:x} {family:x}");
        }
    }

    #[test]
    fn what_is_no_such_header_is_told() {
        let wrong = |octets: &[u8]| match read_all(octets).0 {
            Err(NoClient::Wrong(what)) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            wrong(b"PROXY TCP4 192.0.2.1 198.51.100.7 54321 9000\r\n"),
            "of version 2 was expected"
        );
        assert_eq!(
            wrong(b"GET / HTTP/1.1\r\n\r\n"),
            "of version 2 was expected"
        );
        for (version, family, rest, what) in [
            (0x11, 0x11, &V4[..], "is of another version than 2"),
            (0x31, 0x11, &V4, "is of another version than 2"),
            (
                0x22,
                0x11,
                &V4,
                "has a command that is neither LOCAL nor PROXY",
            ),
            (
                0x2f,
                0x00,
                &[],
                "has a command that is neither LOCAL nor PROXY",
            ),
            (0x21, 0x12, &V4, "is about something else than TCP"),
            (0x21, 0x31, &[0; 216], "is about something else than TCP"),
            (0x21, 0x01, &[], "is about something else than TCP"),
            (0x21, 0x11, &V4[..11], "is too short for its addresses"),
            (0x21, 0x21, &[0; 35], "is too short for its addresses"),
            (
                0x21,
                0x11,
                &[0; LONGEST - FIXED + 1],
                "is longer than 536 octets",
            ),
        ] {
            assert_eq!(wrong(&header(version, family, rest)), what);
        }
    }

    #[test]
    fn every_prefix_ends_and_every_length_is_read_as_it_says() {
        let whole = header(0x21, 0x21, &[&v6()[..], &[4; 100]].concat());
        for end in 0..whole.len() {
            assert_eq!(read_all(&whole[..end]).0, Err(NoClient::Ended), "{end}");
        }
        for length in 0..=u16::MAX {
            let mut octets = header(0x21, 0x11, &V4);
            octets.splice(14..16, length.to_be_bytes());
            octets.resize(FIXED + 600, 0);
            let (read, left) = read_all(&octets);
            let length = usize::from(length);
            match read {
                Ok(client) => {
                    assert!((12..=LONGEST - FIXED).contains(&length));
                    assert_eq!((client, left), (address("192.0.2.1"), 600 - length));
                }
                Err(NoClient::Wrong(_)) => {
                    assert!(!(12..=LONGEST - FIXED).contains(&length));
                    assert!(left >= 600 - 11, "it read what it was told not to be there");
                }
                Err(NoClient::Ended) => panic!("it waited for more"),
            }
        }
    }

    #[test]
    fn whatever_octet_is_changed_it_reads_no_more_than_the_header() {
        let whole = header(0x21, 0x11, &[&V4[..], &[4; 60]].concat());
        for place in 0..whole.len() {
            for octet in 0..=u8::MAX {
                let mut octets = whole.clone();
                octets[place] = octet;
                octets.resize(2 * LONGEST, 0x30);
                let (read, left) = read_all(&octets);
                assert!(left >= LONGEST, "{place} {octet}");
                let is_header = place > 15 || octet == whole[place];
                assert!(!is_header || read.is_ok(), "{place} {octet}: {read:?}");
            }
        }
    }
}
