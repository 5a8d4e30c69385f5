//! A signer in somebody else's hands, for tests: a real launcher starts it in the signer's place, with the real keys. How it
//! deceives its frontend stands in the file `lie` beside its first issuer's certificate. It is locked in by the real
//! signer's code.

use std::process::ExitCode;

use ocsp_child::{Descriptor, boundary, control, exit, log};
use ocsp_signer::policy::Policy;
use ocsp_signer::{issuer, response, sandbox};
use ocsp_wire::{
    Evidence, FromSigner, Item, List, Octets, Ours, Refusal, Report, Response, SignRequest,
    SignerControlEnd, SignerEnd, SignerOrder, Status, ToSigner, Version, frame,
};

type Fails = Box<dyn std::error::Error>;
type Frontend = SignerEnd<Descriptor>;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some() {
        eprintln!("hostile-signer is for tests only");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(format_args!("hostile-signer: {error}"));
            ExitCode::from(13)
        }
    }
}

fn run() -> Result<(), Fails> {
    ocsp_child::begin(c"ocsp-signer")?;
    let launcher = SignerControlEnd::new(control(), control());
    launcher.greet()?;
    let Some(SignerOrder::Settings(settings)) = launcher.receive()? else {
        return Ok(());
    };
    let first = settings.issuers.first().ok_or("no issuer")?;
    let file = std::path::Path::new(&*first.certificate).with_file_name("lie");
    let lie = std::fs::read_to_string(file)?.trim().to_owned();
    let (issuers, _) =
        issuer::open_all(&settings, Vec::new()).map_err(|faults| faults.join("; "))?;
    let locked_in = sandbox::lock_in(&settings)?;
    let policy = Policy::new(issuers, settings.remember_revoked);
    ocsp_child::thread("lie", None, move || {
        let frontend = SignerEnd::new(boundary(), boundary());
        if let Err(error) = deceive(&lie, &policy, &frontend) {
            log::info(format_args!("lie {lie}: {error}"));
        }
        exit::leave(exit::DONE)
    })?;
    let _ = sandbox::enter_service(locked_in, false)?;
    launcher.send(&Report::Ready(List::empty()))?;
    while let Some(order) = launcher.receive()? {
        if let SignerOrder::Ping(number) = order {
            launcher.send(&Report::Pong(number))?;
        }
    }
    Ok(())
}

/// Answers every question with this lie, until the frontend is gone.
fn deceive(lie: &str, policy: &Policy, frontend: &Frontend) -> Result<(), Fails> {
    frontend.greet()?;
    while let Some(asked) = frontend.receive()? {
        let ToSigner::Sign(asked) = asked else {
            return Err("a second greeting".into());
        };
        let id = asked.id;
        match lie {
            "truth" => frontend.send(&signed(policy, id, asked)?)?,
            "garbage" => frontend.send(&said(id, &[0xa5; 300])?)?,
            "nothing" => frontend.send(&said(id, &[])?)?,
            "deep DER" => frontend.send(&said(id, &[0x30, 0x80].repeat(60_000))?)?,
            "a length of 2^32 - 1" => {
                frontend.send(&said(id, &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1])?)?
            }
            "an unsigned error" => frontend.send(&said(id, &[0x30, 3, 0x0a, 1, 6])?)?,
            "another serial" => {
                let asked = with(asked, |ours| {
                    ours.serial = Octets::new([0x66]).unwrap_or(Octets::empty())
                })?;
                frontend.send(&signed(policy, id, asked)?)?;
            }
            "another status" => {
                let asked = with(asked, |ours| {
                    (ours.status, ours.evidence) = (Status::Unknown, Evidence::None);
                })?;
                frontend.send(&signed(policy, id, asked)?)?;
            }
            "another hash" => {
                let asked = with(asked, |ours| ours.hash = ocsp_wire::HashAlgorithm::Sha512)?;
                frontend.send(&signed(policy, id, asked)?)?;
            }
            "another nonce" => {
                let nonce = Octets::new([7; 32]).ok();
                frontend.send(&signed(policy, id, SignRequest { nonce, ..asked })?)?;
            }
            "a certificate too many" => {
                let mut items = asked.items.to_vec();
                items.extend(asked.items.first().cloned());
                let items = List::new(items)?;
                frontend.send(&signed(policy, id, SignRequest { items, ..asked })?)?;
            }
            "another's id" => frontend.send(&signed(policy, id ^ (1 << 40), asked)?)?,
            "twice" => {
                let answer = signed(policy, id, asked)?;
                frontend.send(&answer)?;
                frontend.send(&answer)?;
            }
            "a refusal" => frontend.send(&FromSigner::Refused {
                id,
                refusal: Refusal::Crypto,
            })?,
            "withdrawn, of an item that is not there" => {
                let withdrawn = ocsp_wire::Withdrawn {
                    item: 9999,
                    time: u64::MAX,
                    reason: None,
                };
                frontend.send(&FromSigner::Refused {
                    id,
                    refusal: Refusal::Withdrawn(withdrawn),
                })?;
            }
            "a second greeting" => frontend.send(&FromSigner::Hello(Version::ours()))?,
            "a frame too large" => raw(&u32::MAX.to_le_bytes())?,
            "no message" => raw(&[4, 0, 0, 0, 9, 9, 9, 9])?,
            "half a frame" => raw(frame(&signed(policy, id, asked)?)?
                .get(..40)
                .unwrap_or_default())?,
            "silence" => loop {
                std::thread::park();
            },
            "a flood" => {
                let answer = frame(&signed(policy, id, asked)?)?.repeat(100);
                loop {
                    raw(&answer)?;
                }
            }
            _ => return Err("not known".into()),
        }
    }
    Ok(())
}

fn raw(octets: &[u8]) -> std::io::Result<()> {
    std::io::Write::write_all(&mut boundary(), octets)
}

fn said(id: u64, octets: &[u8]) -> Result<FromSigner, Fails> {
    Ok(FromSigner::Signed {
        id,
        response: Response::new(octets)?,
    })
}

/// Signed by the real key, as the policy of the real signer would.
fn signed(policy: &Policy, id: u64, asked: SignRequest) -> Result<FromSigner, Fails> {
    let refused = |refusal| FromSigner::Refused { id, refusal };
    let Ok(statement) = policy.allow(&asked) else {
        return Ok(refused(Refusal::Crypto));
    };
    match response::signed(&statement) {
        Ok(octets) => said(id, &octets),
        Err(refusal) => Ok(refused(refusal)),
    }
}

/// The question with something else in its first certificate's place. What proved the first proves nothing of it: so it is
/// asked as revoked.
fn with(asked: SignRequest, change: impl FnOnce(&mut Ours)) -> Result<SignRequest, Fails> {
    let mut items = asked.items.to_vec();
    if let Some(Item::Ours(ours)) = items.first_mut() {
        let before = ours.serial.clone();
        change(ours);
        if ours.serial != before && ours.status == Status::Good {
            ours.status = Status::Revoked {
                time: 0,
                reason: None,
            };
        }
    }
    Ok(SignRequest {
        items: List::new(items)?,
        ..asked
    })
}
