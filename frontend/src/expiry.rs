//! Watches the certificates that keys sign under: says in the log when an issuer comes near the time at which no key of its can
//! sign any more. A successor that is configured and takes over in time is no reason to say anything.

use std::sync::Arc;
use std::time::Duration;

use ocsp_child::log;

use crate::answer::{Responder, now};

const DAY: u64 = 86_400;
/// Before the end, in days: what is said once each.
const MARKS: [u64; 3] = [30, 7, 1];
/// Between two looks.
const EVERY: Duration = Duration::from_secs(60);

/// Looks for as long as the process lives.
pub async fn watch(responder: Arc<Responder>) {
    let mut said = Vec::new();
    loop {
        for (issuer, until) in responder.signing_until(now()) {
            let Some(until) = until else { continue }; // said with each question
            let left = until.saturating_sub(now());
            let Some(mark) = mark(left) else { continue };
            if said.contains(&(issuer.to_owned(), mark)) {
                continue;
            }
            log::warning(format_args!(
                "issuer {issuer:?}: in less than {mark} days, at {}, no key of its can sign any more: no certificate is valid then, or for as long as answers must be",
                httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(until))
            ));
            said.push((issuer.to_owned(), mark));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The nearest mark that so many seconds lie behind.
fn mark(left: u64) -> Option<u64> {
    MARKS.into_iter().rev().find(|days| left < days * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mark_is_what_is_said() {
        assert_eq!(mark(31 * DAY), None);
        assert_eq!(mark(30 * DAY), None);
        assert_eq!(mark(30 * DAY - 1), Some(30));
        assert_eq!(mark(7 * DAY - 1), Some(7));
        assert_eq!(mark(DAY), Some(7));
        assert_eq!(mark(0), Some(1));
    }
}
