//! Cutting DER (X.690 section 10) without decoding it: of most values a request or an answer is made of, no more is asked
//! than where they end. What has to be understood is decoded by the library, one value at a time.

use der::{Decode, Tag, TagNumber};

/// The tag of a context-specific, constructed value.
pub const fn context(number: TagNumber) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number,
    }
}

/// Values one behind the other. None of what it gives reaches beyond its octets.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The values that `octets` are to be.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// Whether nothing is left.
    pub const fn is_finished(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the next value is of this kind.
    pub fn next_is(&self, tag: Tag) -> bool {
        self.0.first() == Some(&tag.octet())
    }

    /// Takes the next value, header and all, of whichever kind.
    pub fn any(&mut self) -> Option<&'a [u8]> {
        Some(self.take()?.0)
    }

    /// Takes the next value, and decodes it.
    pub fn decode<T: Decode<'a>>(&mut self) -> Option<T> {
        T::from_der(self.any()?).ok()
    }

    /// Takes the next value, which must be of this kind, header and all.
    pub fn whole(&mut self, tag: Tag) -> Option<&'a [u8]> {
        let is_one = self.next_is(tag);
        let value = self.any()?;
        is_one.then_some(value)
    }

    /// Takes the next value, which must be of this kind: its content.
    pub fn content(&mut self, tag: Tag) -> Option<&'a [u8]> {
        let is_one = self.next_is(tag);
        let (_, content) = self.take()?;
        is_one.then_some(content)
    }

    /// Takes the next value, which must be of this kind: a reader over its content.
    pub fn inside(&mut self, tag: Tag) -> Option<Self> {
        self.content(tag).map(Self)
    }

    /// Takes the next value, which must be a BIT STRING of whole octets: these.
    pub fn bits(&mut self) -> Option<&'a [u8]> {
        self.content(Tag::BitString)?.strip_prefix(&[0])
    }

    /// Takes the next value: the whole of it, and its content.
    fn take(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (header, length) = match *self.0 {
            // Of a tag in several octets, this is the first.
            [tag, ..] if tag & 0x1f == 0x1f => return None,
            [_, length @ ..=0x7f, ..] => (2, usize::from(length)),
            [_, 0x81, length @ 0x80..=0xff, ..] => (3, usize::from(length)),
            [_, 0x82, high @ 1..=0xff, low, ..] => {
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            [_, 0x83, high @ 1..=0xff, middle, low, ..] => {
                let length = u32::from_be_bytes([0, high, middle, low]);
                (5, usize::try_from(length).ok()?)
            }
            // Longer, in more octets than it needs, or without a length.
            _ => return None,
        };
        let (value, rest) = self.0.split_at_checked(header + length)?;
        self.0 = rest;
        Some((value, value.get(header..)?))
    }
}

#[cfg(test)]
mod tests {
    use der::asn1::AnyRef;
    use der::{Reader as _, SliceReader};

    use super::*;

    /// A value of so many octets, with a header of its own making.
    fn value(header: &[u8], length: usize) -> Vec<u8> {
        [header, &vec![5; length]].concat()
    }

    #[test]
    fn it_ends_where_the_library_says_it_does() {
        let mut cases = Vec::new();
        for tag in [0x02, 0x04, 0x30, 0x80, 0xa0, 0xbe, 0x1f, 0xbf] {
            for (header, length) in [
                (&[0][..], 0),
                (&[1], 1),
                (&[0x7f], 0x7f),
                (&[0x80], 0x80),
                (&[0x81], 0),
                (&[0x81, 0x7f], 0x7f),
                (&[0x81, 0x80], 0x80),
                (&[0x81, 0xff], 0xff),
                (&[0x82, 0], 0),
                (&[0x82, 0, 0xff], 0xff),
                (&[0x82, 1, 0], 0x100),
                (&[0x82, 0xff, 0xff], 0xffff),
                (&[0x83, 0, 0xff, 0xff], 0xffff),
                (&[0x83, 1, 0, 0], 0x1_0000),
                (&[0x84, 0, 1, 0, 0], 0x1_0000),
                (&[0x85, 0, 0, 0, 0, 1], 1),
                (&[0xff], 0),
            ] {
                let whole = value(&[&[tag], header].concat(), length);
                let cuts = [whole.len() - 1, whole.len()];
                cases.extend(cuts.map(|cut| whole[..cut].to_vec()));
                cases.push([&whole[..], &[0x30, 0]].concat());
            }
        }
        let mut taken = 0;
        for octets in cases {
            let mut library = SliceReader::new(&octets).unwrap();
            let expected = library.tlv_bytes().ok();
            let mut ours = Reader::new(&octets);
            assert_eq!(
                ours.any(),
                expected,
                "{:x?}",
                &octets[..octets.len().min(8)]
            );
            if let Some(expected) = expected {
                taken += 1;
                assert_eq!(ours.0.len() + expected.len(), octets.len());
                let content = AnyRef::from_der(expected).unwrap().value();
                assert_eq!(Reader::new(expected).take(), Some((expected, content)));
            }
        }
        assert!(taken > 50, "{taken}");
    }

    #[test]
    fn another_kind_is_none_and_bits_are_whole_octets() {
        let octets = [4, 1, 9, 3, 2, 0, 7, 3, 2, 1, 6];
        let mut reader = Reader::new(&octets);
        assert!(reader.next_is(Tag::OctetString));
        assert_eq!(reader.clone().content(Tag::Integer), None);
        assert_eq!(reader.clone().whole(Tag::Integer), None);
        assert_eq!(reader.whole(Tag::OctetString), Some(&octets[..3]));
        assert_eq!(reader.bits(), Some(&[7][..]));
        assert_eq!(reader.bits(), None);
        assert!(reader.is_finished());
    }
}
