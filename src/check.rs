//! `ocsp-server check`: starts both children in check mode, under their users and confinement, and prints what they
//! find. Nothing is bound, nothing is changed, and a running service is not touched.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollTimeout, poll};
use ocsp_frontend_settings::{Needed, Secret, Source};
use ocsp_wire::Mode;

use crate::config::Config;
use crate::exit::{Failure, Reason};
use crate::generation::{Child, Event, Generation, ending};
use crate::log::Log;
use crate::output::line;
use crate::{credential, privilege, run, service, settings};

/// Checks the configuration and everything it names; for a `reload` a database that is not as it should be is a warning, since
/// what serves then serves on without it as well.
pub fn check(file: &Path, reload: bool) -> Result<(), Failure> {
    service::take_over()?; // nothing of it: no socket is needed
    privilege::shed()?;
    let config = run::read(file)?;
    privilege::shed_binding()?;
    line(format_args!(
        "ok      {}: the configuration can be read",
        file.display()
    ));
    if reload && !credentials_open(&config)? {
        line(
            "WARNING keys and passwords are not checked here: systemd gives credentials to the service alone, which checks all as \
             it reloads, and goes on as before where something is wrong",
        );
        return Ok(());
    }
    let needed = if reload {
        Needed::Files
    } else {
        Needed::Everything
    };
    let mut log = Log::new(crate::config::LogTo::Stderr);
    let mut generation = Generation::start(1, &config, &[], Mode::Check, needed, None)?;
    let until = Instant::now() + Duration::from_secs(60);
    let mut all_well = true;
    while !generation.gone() {
        let mut polled: Vec<_> = [&generation.frontend, &generation.signer]
            .into_iter()
            .flat_map(Child::polled)
            .map(|(fd, flags)| PollFd::new(fd, flags))
            .collect();
        // Deaths are not polled for: a child's end closes its sockets, and is reaped a moment later.
        let _ = poll(&mut polled, PollTimeout::from(50u8));
        for child in generation.children() {
            for event in child.pump(&mut log) {
                all_well &= print(child, event);
            }
        }
        if Instant::now() > until {
            generation.kill();
            return Err(Failure::new(
                Reason::Failed,
                "the check was not done within 60 s",
            ));
        }
    }
    if all_well {
        Ok(())
    } else {
        Err(Failure::new(
            Reason::Failed,
            "the check found what has to be mended",
        ))
    }
}

/// Whether the credentials that the configuration names can be had, if it names any. What systemd runs for `ExecReload=` cannot:
/// it finds the folder closed (systemd 252), or is told of none (257).
fn credentials_open(config: &Config) -> Result<bool, Failure> {
    let for_signer = settings::for_signer(config, Mode::Check)?;
    let passwords = config.sources.iter().filter_map(Source::password);
    let names = for_signer
        .credentials()
        .chain(passwords.filter_map(Secret::credential));
    Ok(credential::open_all(names).is_ok())
}

fn print(child: &mut Child, event: Event) -> bool {
    let name = child.role.name();
    match event {
        Event::Ready(notes) => {
            for note in notes {
                match note.strip_prefix("warning: ") {
                    Some(warning) => line(format_args!("WARNING {name}: {warning}")),
                    None => line(format_args!("ok      {name}: {note}")),
                }
            }
            line(format_args!("ok      {name}: locked in as {}", child.who()));
            child.dismiss();
            true
        }
        Event::Refused(reasons) => {
            for reason in reasons {
                line(format_args!("FAILED  {name}: {reason}"));
            }
            false
        }
        // Of a frontend that serves only.
        Event::Renewal { .. } => true,
        Event::Violated(fault) => {
            line(format_args!("FAILED  {name}: {fault}"));
            child.kill();
            false
        }
        Event::Ended(status) if status.success() => true,
        Event::Ended(status) => {
            line(format_args!("FAILED  {name}: {}", ending(status)));
            false
        }
    }
}
