//! What rule books ask of the configuration that no signer hears of: of the source, of the cache, and of serials without
//! record. Clause by clause, as in the signer's `preset`, which has the others.

use std::time::Duration;

use ocsp_frontend_settings::{NoRecord, Source, SourceKind};
use ocsp_wire::Preset;

use crate::config::Issuer;
use crate::toml_reader::{Mistake, Reader};

/// A revocation has to be seen so much later at most.
const DAY: Duration = Duration::from_secs(86_400);

/// Of the ten seconds that an answer may take, what the signer and the way leave to a look-up.
const LOOK_UP: u64 = 4000;

/// Whether an issuer obeys the clauses of its policy; the error names the first that it breaks.
pub fn obeyed(
    section: &Reader,
    issuer: &Issuer,
    source: &Source,
    max_stale: Duration,
) -> Result<(), Mistake> {
    let policy = match issuer.policy {
        Preset::Private => return Ok(()),
        Preset::Cabf => "cabf",
        Preset::Mozilla => "mozilla",
        Preset::Microsoft => "microsoft",
        Preset::Etsi => "etsi",
    };
    let found = |found: String| format!("{policy:?} with {found}");
    let public_tls = issuer.policy != Preset::Etsi;
    if public_tls && issuer.unknown == NoRecord::Unknown {
        let expected =
            "\"unauthorized\" or \"revoked\", as no assigned serial may be unknown (BR 4.9.9)";
        return Err(section.mistake("policy", found("unknown = \"unknown\"".into()), expected));
    }
    let revalidate = Duration::from_millis(source.revalidate_ms);
    if revalidate + max_stale >= DAY {
        let these =
            format!("revalidate = {revalidate:?} of its source and max-stale = {max_stale:?}");
        let clause = if public_tls {
            "BR 4.9.9"
        } else {
            "EN 319 411-1 6.2.4"
        };
        let expected =
            format!("less than 24h together, after which a revocation has to be seen ({clause})");
        return Err(section.mistake("policy", found(these), expected));
    }
    if let SourceKind::Mysql(mysql) = &source.kind
        && public_tls
        && mysql.timeout_ms > LOOK_UP
    {
        let these = format!("timeout = {} ms of its source", mysql.timeout_ms);
        let expected = "at most 4s, as an answer may take 10 s (BR 4.10.2)";
        return Err(section.mistake("policy", found(these), expected));
    }
    Ok(())
}
