//! `ocsp-server run`: the order of a start, as design and kernel force it.

use std::path::Path;

use nix::unistd::Uid;
use ocsp_frontend_settings::Purpose;

use crate::config::Config;
use crate::exit::{Failure, Reason};
use crate::log::{Log, Priority};
use crate::supervise::Supervisor;
use crate::{listen, privilege, service};

/// Serves until told to stop.
pub fn run(file: &Path) -> Result<(), Failure> {
    let handed = service::take_over()?;
    privilege::shed()?;
    let config = read(file)?;
    let mut log = Log::new(config.log);
    let listening = listen::all(&config.listen, handed)?;
    privilege::shed_binding()?;
    for listening in &listening {
        let address = &listening.listener.address;
        let what = match listening.listener.purpose {
            Purpose::Ocsp => "listening on",
            Purpose::Admin => "metrics on",
        };
        log.own(Priority::NOTICE, format_args!("{what} {address}"));
    }
    // Beside connections: sockets, files of the source, the runtime's own.
    let (descriptors, connections) = (privilege::descriptors(), config.listen.connections);
    if descriptors < u64::from(connections) + 64 {
        let text = format!(
            "[listen] connections = {connections} is more than {descriptors} descriptors allow (RLIMIT_NOFILE)"
        );
        log.own(Priority::WARNING, text);
    }
    if !privilege::separated() {
        log.own(
            Priority::WARNING,
            "not started as root: USER SEPARATION IS OFF, frontend and signer run as the same user",
        );
    }
    Supervisor::new(file, config, listening, log).run()
}

/// The configuration, when it checks and this user may serve it.
pub fn read(file: &Path) -> Result<Config, Failure> {
    let config =
        Config::read(file).map_err(|mistake| Failure::new(Reason::Configuration, mistake))?;
    let caller = Uid::effective().as_raw();
    for user in [&config.users.frontend, &config.users.signer] {
        if !privilege::separated() && user.uid != caller {
            return Err(Failure::new(
                Reason::Environment,
                format_args!(
                    "started as user {caller}, which cannot become user {:?}: start it as root, or (for development) set \
                     both users of [users] to {caller}",
                    user.name
                ),
            ));
        }
    }
    Ok(config)
}
