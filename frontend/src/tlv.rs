//! Cutting DER without decoding it: for what is passed over, or has to stay as it stands.

use der::{Reader, SliceReader, Tag, TagNumber};

/// The tag of a context-specific, constructed value.
pub const fn context(number: TagNumber) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number,
    }
}

/// Takes the next value of `reader`, which must be of this kind: a reader over its content.
pub fn inside<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Option<SliceReader<'a>> {
    let header = reader.peek_header().ok()?;
    let value = reader.tlv_bytes().ok()?;
    let length = usize::try_from(header.length).ok()?;
    let content = value.get(value.len().checked_sub(length)?..)?;
    if header.tag == tag {
        SliceReader::new(content).ok()
    } else {
        None
    }
}

/// Takes the next value of `reader`, which must be of this kind, header and all.
pub fn whole<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Option<&'a [u8]> {
    let value = reader.tlv_bytes().ok()?;
    let found = SliceReader::new(value).ok()?.peek_tag().ok()?;
    (found == tag).then_some(value)
}

/// All that is left of a value's content.
pub fn rest<'a>(mut content: SliceReader<'a>) -> Option<&'a [u8]> {
    content.read_slice(content.remaining_len()).ok()
}
