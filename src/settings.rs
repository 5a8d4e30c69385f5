//! The configuration as each child is told it: a signer hears of keys and nothing of sources or sockets, a frontend
//! hears of those and of keys nothing but the certificates they belong to.

use std::time::Duration;

use ocsp_frontend_settings as frontend;
use ocsp_wire::{
    ArchiveCutoff, Digest, FrontendOrder, GoodPolicy, IssuerSettings, KeySettings, List, Mode,
    Octets, Padding, Secret, SignerSettings, Text, TooLong,
};

use crate::config::{Config, Issuer, Key};
use crate::credential;
use crate::exit::{Failure, Reason};
use crate::listen::Listening;
use crate::privilege;

/// What a signer is told.
pub fn for_signer(config: &Config, mode: Mode) -> Result<SignerSettings, Failure> {
    let too_long = |error: TooLong| {
        Failure::new(
            Reason::Configuration,
            format_args!("the settings: a value {error}"),
        )
    };
    let issuers = config
        .issuers
        .iter()
        .map(signer_issuer)
        .collect::<Result<Vec<_>, _>>()
        .map_err(too_long)?;
    let credentials = credential::folder().map(Text::new).transpose();
    Ok(SignerSettings {
        mode,
        uid: config.users.signer.uid,
        gid: config.users.signer.gid,
        separated: privilege::separated(),
        threads: config.signer_threads,
        remember_revoked: config.remember_revoked,
        require_mlock: config.require_mlock,
        credentials: credentials.map_err(too_long)?,
        issuers: List::new(issuers).map_err(too_long)?,
    })
}

fn signer_issuer(issuer: &Issuer) -> Result<IssuerSettings, TooLong> {
    Ok(IssuerSettings {
        name: Text::new(issuer.name.as_str())?,
        certificate: Text::new(issuer.certificate.as_str())?,
        keys: List::new(
            issuer
                .keys
                .iter()
                .map(signer_key)
                .collect::<Result<Vec<_>, _>>()?,
        )?,
        validity: whole_seconds(issuer.validity),
        backdate: whole_seconds(issuer.backdate),
        good: issuer.good,
        never_issued: issuer.unknown == frontend::NoRecord::Revoked,
        policy: issuer.policy,
        archive_cutoff: issuer.archive_cutoff,
    })
}

fn signer_key(key: &Key) -> Result<KeySettings, TooLong> {
    Ok(KeySettings {
        key: secret(&key.key)?,
        passphrase: key.passphrase.as_ref().map(secret).transpose()?,
        responder: key.responder.as_deref().map(Text::new).transpose()?,
        digest: key.digest,
        padding: key.padding,
    })
}

fn secret(secret: &frontend::Secret) -> Result<Secret, TooLong> {
    Ok(match secret {
        frontend::Secret::File(path) => Secret::File(Text::new(path.as_str())?),
        frontend::Secret::Credential(name) => Secret::Credential(Text::new(name.as_str())?),
    })
}

/// Which pipes between generations a frontend is handed.
#[derive(Debug, Clone, Copy)]
pub struct Pipes {
    /// To the next one.
    pub bequeaths: bool,
    /// From the one before.
    pub inherits: bool,
}

/// What a frontend is told.
pub fn for_frontend(
    config: &Config,
    listening: &[Listening],
    mode: Mode,
    needed: frontend::Needed,
    pipes: Pipes,
) -> Result<FrontendOrder, Failure> {
    let settings = frontend::Settings {
        check: mode == Mode::Check,
        needed,
        uid: config.users.frontend.uid,
        gid: config.users.frontend.gid,
        separated: privilege::separated(),
        threads: config.frontend_threads,
        cache_memory: config.cache.memory,
        max_age: config.cache.max_age.as_secs(),
        max_stale: config.cache.max_stale.as_secs(),
        verify: config.verify,
        bequeaths: pipes.bequeaths,
        inherits: pipes.inherits,
        credentials: credential::folder(),
        limits: frontend::Limits {
            connections: config.listen.connections,
            connections_per_address: config.listen.connections_per_address,
            header_ms: millis(config.listen.header_timeout),
            body_ms: millis(config.listen.body_timeout),
            proxies: config.listen.proxies.clone(),
        },
        listeners: listening
            .iter()
            .map(|listening| listening.listener.clone())
            .collect(),
        sources: config.sources.clone(),
        issuers: config
            .issuers
            .iter()
            .map(|issuer| frontend::Issuer {
                name: issuer.name.clone(),
                certificate: issuer.certificate.clone(),
                source: issuer.source,
                unknown: issuer.unknown,
                proof_needed: issuer.good == GoodPolicy::Certificate,
                compromised: issuer.compromised,
                keys: issuer.keys.iter().map(frontend_key).collect(),
                clients: issuer.clients.clone(),
                nonce: issuer.nonce,
                nonce_overload: issuer.nonce_overload,
                archive_cutoff: issuer.archive_cutoff.map(|cutoff| match cutoff {
                    ArchiveCutoff::Issuer => frontend::ArchiveCutoff::Issuer,
                    ArchiveCutoff::Retained(seconds) => frontend::ArchiveCutoff::Retained(seconds),
                }),
                validity: whole_seconds(issuer.validity),
                least_validity: issuer.policy.least_validity(),
                signed_by: format!(
                    "{:?}",
                    (issuer.validity, issuer.backdate, issuer.good, issuer.policy)
                ),
            })
            .collect(),
    };
    let text = settings
        .to_text()
        .map_err(Failure::of(Reason::Configuration, "the settings"))?;
    let octets = Octets::new(text).map_err(Failure::of(Reason::Configuration, "the settings"))?;
    Ok(FrontendOrder::Settings(octets))
}

fn frontend_key(key: &Key) -> frontend::Key {
    frontend::Key {
        responder: key.responder.clone(),
        digest: match key.digest {
            Digest::Sha256 => 256,
            Digest::Sha384 => 384,
            Digest::Sha512 => 512,
        },
        pss: key.padding == Padding::Pss,
    }
}

/// The configuration bounds durations far below what would not fit.
fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
