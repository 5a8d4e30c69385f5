//! Locks the frontend in, after it has read its files and before it has a second thread.

use ocsp_child::Identity;
use ocsp_child::confine::NotConfined;
use ocsp_frontend_settings::Settings;

/// Ids read back, capabilities dropped, no_new_privs set, each tried to undo.
pub fn lock_in(settings: &Settings) -> Result<(), NotConfined> {
    ocsp_child::lock_in(Identity {
        uid: settings.uid,
        gid: settings.gid,
        separated: settings.separated,
    })
}
