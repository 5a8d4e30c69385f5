//! The language of the key boundary, owned by the signer: what may be asked of a key, what may be answered, and how
//! both travel. Three processes link this crate, and it trusts none of them: every frame is bounded before it is read,
//! decoded whole, and one octet too many or too few is a [`Fault`] that ends the process which saw it.
//!
//! - [`message`]: the message types, their limits, and their octets (the one file that names bincode);
//! - [`mod@frame`]: a length, then a message: cutting a stream of octets into messages;
//! - [`channel`]: a blocking end of a channel, typed by direction.
//!
//! `PROTOCOL.md` beside this crate is the specification; `tests/golden/` holds the octets of every message.
//! There is no DER here, no configuration file, no runtime, and no key.

pub mod channel;
pub mod frame;
pub mod message;

pub use channel::{End, SignerControlEnd, SignerEnd};
pub use frame::{Fault, Frames, frame};
pub use message::{
    ArchiveCutoff, Certificate, Digest, Evidence, Foreign, FromSigner, FrontendOrder, GoodPolicy,
    HashAlgorithm, IssuerSettings, Item, KeySettings, List, Message, Mode, Octets, Ours, PROTOCOL,
    Padding, Parameters, Preset, Reason, Refusal, Report, Response, Secret, SignRequest,
    SignerOrder, SignerSettings, Status, Text, ToSigner, TooLong, Version, Withdrawn,
};
