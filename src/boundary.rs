//! `ocsp-server boundary`: looks at every thread of the running processes and prints each claim of the key boundary with
//! its evidence. Facts are read first (`facts`), then judged by functions that read nothing (the other rooms), then
//! printed. It runs as root beside the service, starts nothing, and changes nothing.

use std::path::Path;
use std::time::Duration;

use caps::{CapSet, Capability};
use serde::Serialize;

use crate::exit::{Failure, Reason};
use crate::output::line;
use crate::{privilege, run};

mod claim;
mod confinement;
mod connections;
mod descriptors;
mod executables;
mod facts;
mod keys;
mod processes;

use claim::{Claim, Outcome};
use facts::{Digests, Facts};

/// How often it looks before a claim has failed. A child that is being started is not locked in yet, and one that is
/// leaving has no peer any more: what fails for such a reason holds a moment later.
const LOOKS: u32 = 3;

/// Every claim, in the order in which an auditor would ask: who they are, what they may, what they hold, where the keys
/// are.
fn claims(facts: &Facts) -> Vec<Claim> {
    [
        processes::claims(facts),
        confinement::claims(facts),
        connections::claims(facts),
        descriptors::claims(facts),
        keys::claims(facts),
        executables::claims(facts),
    ]
    .concat()
}

/// Inspects the processes of the one launcher that runs, or of this one.
pub fn boundary(file: &Path, launcher: Option<u32>, json: bool) -> Result<(), Failure> {
    privileged()?;
    let config = run::read(file)?;
    let (mut look, mut digests) = (1, Digests::new());
    let (launcher, claims) = loop {
        let facts = Facts::read(&config, launcher, digests)?;
        let claims = claims(&facts);
        let failed = claims
            .iter()
            .any(|claim| claim.outcome() == Outcome::Failed);
        if !failed || look == LOOKS {
            break (facts.launcher.kin.pid, claims);
        }
        look += 1;
        digests = facts.digests;
        std::thread::sleep(Duration::from_secs(1));
    };
    let count = |outcome| {
        claims
            .iter()
            .filter(|claim| claim.outcome() == outcome)
            .count()
    };
    let report = Report {
        launcher,
        ok: count(Outcome::Ok),
        failed: count(Outcome::Failed),
        not_applicable: count(Outcome::NotApplicable),
        claims: claims.iter().map(Line::from).collect(),
    };
    if json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(Failure::of(Reason::Failed, "the claims as JSON"))?;
        line(text);
    } else {
        report.table();
    }
    if report.failed == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Reason::Failed,
        format_args!(
            "{} of {} claims of the key boundary do not hold",
            report.failed,
            claims.len()
        ),
    ))
}

/// Whether this process may look: nothing of the children is readable to root without these.
fn privileged() -> Result<(), Failure> {
    if !privilege::separated() {
        return Err(Failure::new(
            Reason::Environment,
            "boundary looks into processes of other users: start it as root",
        ));
    }
    let held = caps::read(None, CapSet::Effective)
        .map_err(Failure::environment("capabilities cannot be read"))?;
    for needed in [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH] {
        if !held.contains(&needed) {
            return Err(Failure::new(
                Reason::Environment,
                format_args!("root lacks {needed}, which boundary needs to look into processes"),
            ));
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Report<'a> {
    launcher: u32,
    claims: Vec<Line<'a>>,
    ok: usize,
    failed: usize,
    not_applicable: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    outcome: Outcome,
    claim: &'a str,
    evidence: &'a [String],
}

impl<'a> From<&'a Claim> for Line<'a> {
    fn from(claim: &'a Claim) -> Self {
        Self {
            id: claim.id,
            outcome: claim.outcome(),
            claim: claim.sentence,
            evidence: claim.evidence(),
        }
    }
}

impl Report<'_> {
    /// Result, claim, and under it the evidence.
    fn table(&self) {
        let wide = self.claims.iter().map(|claim| claim.id.len()).max();
        let wide = wide.unwrap_or_default();
        for claim in &self.claims {
            line(format_args!(
                "{:<6}  {:<wide$}  {}",
                claim.outcome.word(),
                claim.id,
                claim.claim
            ));
            for evidence in claim.evidence {
                line(format_args!("{:6}  {:wide$}    {evidence}", "", ""));
            }
        }
        line(format_args!(
            "{} claims about launcher {}: {} ok, {} FAILED, {} n/a",
            self.claims.len(),
            self.launcher,
            self.ok,
            self.failed,
            self.not_applicable
        ));
    }
}
