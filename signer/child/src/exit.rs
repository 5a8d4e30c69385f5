//! How both children end, and the exit codes by which the launcher tells why.

use std::sync::{Mutex, PoisonError};

/// The launcher or the peer closed its socket: an ordinary end.
pub const DONE: i32 = 0;
/// The child refused to serve; its report says why.
pub const REFUSED: i32 = 10;
/// A frame that the protocol does not allow was seen. The launcher ends the peer as well.
pub const VIOLATION: i32 = 11;
/// The clock moved against the time since boot; a new generation starts with a fresh reading.
pub const CLOCK: i32 = 12;
/// A channel or the runtime broke.
pub const BROKEN: i32 = 13;
/// Not started by the launcher.
pub const USAGE: i32 = 2;

/// Ends the process at once, whichever thread asks. One that asks while another one is at it waits here: the standard
/// library would let it wait by a system call that is not on the list.
pub fn leave(code: i32) -> ! {
    static LEAVING: Mutex<()> = Mutex::new(());
    let _first = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
    std::process::exit(code)
}
