//! The launcher of `ocsp-server`: the process that starts as root, and the reason why the others need not.
//!
//! It reads the configuration ([`config`], [`source`]; what rule books ask of it: `preset`), binds the listening sockets or takes
//! them over from systemd ([`listen`], [`service`]), gives up what it does not need ([`privilege`]), denies itself and its
//! children what none of them needs (`deny`),
//! starts a frontend and a signer as one [`generation`], with the [`credential`]s they need, and supervises them
//! ([`supervise`]): start, reload and recovery are one mechanism. It carries their log lines ([`log`]), and has more commands,
//! [`check`], [`demo`] and [`boundary`], which judges what [`proc`] and [`unix_diag`] show of the running processes. [`run`] is
//! the order in which all this happens.
//!
//! It never parses an octet that came from the network, reads no key, links no crypto, and speaks to no database. It
//! can become either child's user, so it belongs to the trusted base; that is why it is small. The one file that may
//! hold unsafe code is `sys`.

pub mod boundary;
pub mod check;
pub mod command;
pub mod config;
pub mod credential;
pub mod demo;
mod deny;
pub mod executable;
pub mod exit;
pub mod generation;
pub mod listen;
pub mod log;
pub mod output;
mod preset;
pub mod privilege;
pub mod proc;
pub mod run;
pub mod service;
pub mod settings;
pub mod source;
pub mod supervise;
mod sys;
mod toml_reader;
pub mod unix_diag;
