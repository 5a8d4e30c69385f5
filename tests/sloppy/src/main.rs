//! Under the name of a child, beside a copy of the launcher, this executable serves as that child: it greets, says that it
//! is ready, and answers pings, but no client. It breaks what the file `sloppy` beside it names, for `ocsp-server boundary`
//! to find. It is no part of the service, and is never installed.

// A program for tests: it may end wherever something is not as it expects.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm
)]

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::UdpSocket;
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::Duration;

use nix::sys::prctl;
use ocsp_child::{Control, Descriptor, boundary};
use ocsp_wire::{
    End, FromSigner, FrontendOrder, List, Message, Report, Secret, SignerOrder, SignerSettings,
    ToSigner,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

fn main() {
    let name = std::env::args().next().unwrap();
    let own = std::env::current_exe().unwrap();
    let ways = std::fs::read_to_string(own.with_file_name("sloppy")).unwrap();
    let ways: Vec<_> = ways.split_whitespace().collect();
    if name == "ocsp-signer" {
        ocsp_child::begin(c"ocsp-signer").unwrap();
        serve::<SignerOrder, ToSigner, FromSigner>(&ways, |order| match order {
            SignerOrder::Hello(_) => panic!("hello comes once"),
            SignerOrder::Settings(settings) => Heard::Settings(Some(settings)),
            SignerOrder::Ping(number) => Heard::Ping(number),
        });
    } else {
        ocsp_child::begin(c"ocsp-frontend").unwrap();
        serve::<FrontendOrder, FromSigner, ToSigner>(&ways, |order| match order {
            FrontendOrder::Hello(_) => panic!("hello comes once"),
            FrontendOrder::Settings(_) => Heard::Settings(None),
            FrontendOrder::Ping(number) => Heard::Ping(number),
            FrontendOrder::Retire { .. } => Heard::Retire,
            FrontendOrder::Inherit => Heard::Inherit,
        });
    }
}

/// An order, to whichever of the two.
enum Heard {
    Settings(Option<SignerSettings>),
    Ping(u64),
    Retire,
    Inherit,
}

fn serve<Order: Message, In: Message, Out: Message>(ways: &[&str], heard: impl Fn(Order) -> Heard) {
    let control = Control::take_over();
    let launcher: End<Order, Report, Control> = End::new(control.clone(), control.clone());
    launcher.greet().unwrap();
    let mut kept: Vec<Kept> = Vec::new();
    while let Some(order) = launcher.receive().unwrap() {
        match heard(order) {
            Heard::Settings(settings) => {
                if settings.is_none() {
                    kept.push(Box::new(control.handed())); // as a frontend does
                }
                for way in ways {
                    break_in(way, settings.as_ref(), &mut kept);
                }
                let other: End<In, Out, Descriptor> = End::new(boundary(), boundary());
                other.greet().unwrap();
                launcher.send(&Report::Ready(List::empty())).unwrap();
            }
            Heard::Ping(number) => launcher.send(&Report::Pong(number)).unwrap(),
            Heard::Retire => exit(0),
            Heard::Inherit => {}
        }
    }
}

/// What it keeps open as long as it lives.
type Kept = Box<dyn Any>;

fn break_in(way: &str, settings: Option<&SignerSettings>, kept: &mut Vec<Kept>) {
    match way {
        "file" => kept.push(Box::new(File::open("/proc/self/exe").unwrap())),
        "network" => kept.push(Box::new(UdpSocket::bind("127.0.0.1:0").unwrap())),
        "key" => {
            let keys = settings.and_then(|settings| settings.issuers.first()?.keys.first());
            let Secret::File(path) = &keys.unwrap().key else {
                panic!("a key in a file was expected");
            };
            kept.push(Box::new(File::open(&**path).unwrap()));
        }
        // It inherits the boundary as its standard output.
        "process" => {
            let mut command = Command::new("/bin/sleep");
            command.arg("15").stdin(Stdio::null()).stderr(Stdio::null());
            kept.push(Box::new(command.spawn().unwrap()));
        }
        "dumpable" => prctl::set_dumpable(true).unwrap(),
        // One thread that no filter of this process is on.
        "thread" => {
            let started = thread::Builder::new().spawn(|| thread::sleep(Duration::from_secs(600)));
            started.unwrap();
            let filter = SeccompFilter::new(
                BTreeMap::from([(u32::MAX.into(), Vec::new())]),
                SeccompAction::Allow,
                SeccompAction::KillProcess,
                std::env::consts::ARCH.try_into().unwrap(),
            );
            apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
        }
        _ => panic!("the way {way:?} is not known"),
    }
}
