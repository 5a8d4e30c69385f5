//! What both targets of frames do with octets: as one message, and as a stream in pieces.

use std::fmt::Debug;
use std::io::{self, Read, Write};

use ocsp_wire::{End, Fault, Frames, Message, Version, frame};

/// Whatever is decoded has one encoding; and whatever way a stream is read, and in whichever pieces it comes, it holds the same
/// messages and ends by the same fault. The first octet says how large the pieces are, and whether the stream has been opened.
pub fn read<M: Message + PartialEq + Debug>(octets: &[u8]) {
    let Some((shape, octets)) = octets.split_first() else {
        return;
    };
    if let Ok(message) = M::from_octets(octets) {
        assert_eq!(message.to_octets().as_deref(), Ok(octets));
    }
    let mut stream = Vec::new();
    if shape & 1 == 0 {
        stream = frame(&M::hello(Version::ours())).unwrap();
    }
    stream.extend_from_slice(octets);
    let size = 1 + usize::from(shape >> 1);

    let blocking = blocking::<M>(&stream, size);
    assert_eq!(incremental::<M>(&stream, size), blocking);
    assert_eq!(incremental::<M>(&stream, stream.len().max(1)), blocking);
    // A message that came out is, as a frame, what stood in the stream.
    let (messages, _) = blocking;
    let frames: Vec<u8> = messages
        .iter()
        .flat_map(|message| frame(message).unwrap())
        .collect();
    let hello = frame(&M::hello(Version::ours())).unwrap();
    if !messages.is_empty() {
        assert!(stream.starts_with(&[hello, frames].concat()));
    }
}

type Seen<M> = (Vec<M>, Option<Fault>);

/// As the frontend and the launcher read.
fn incremental<M: Message>(stream: &[u8], size: usize) -> Seen<M> {
    let (mut frames, mut messages) = (Frames::new(), Vec::new());
    for piece in stream.chunks(size) {
        frames.extend(piece);
        loop {
            match frames.next::<M>() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(fault) => {
                    // Once more, it is the same.
                    assert_eq!(frames.next::<M>().err().as_ref(), Some(&fault));
                    assert!(!fault.to_string().is_empty());
                    return (messages, Some(fault));
                }
            }
        }
    }
    let fault = frames.within_frame().then_some(Fault::EndWithinFrame);
    (messages, fault)
}

/// As the signer reads.
fn blocking<M: Message>(stream: &[u8], size: usize) -> Seen<M> {
    let pieces = |octets| Pieces { octets, size };
    let end = End::<M, M, _>::new(pieces(stream), pieces(&[]));
    let mut messages = Vec::new();
    loop {
        match end.receive() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(fault) => return (messages, Some(fault)),
        }
    }
}

/// A stream that gives so many octets at a time.
struct Pieces<'a> {
    octets: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.size.min(buffer.len());
        (&mut self.octets).take(size as u64).read(buffer)
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
