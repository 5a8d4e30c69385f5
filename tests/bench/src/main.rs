//! How fast the daemon is, beside what else a user could pick, in one run: see README.md here.

#[path = "../../harness/mod.rs"]
#[allow(missing_docs)]
mod harness;

mod fixed;
mod interrupt;
mod load;
mod plan;
mod questions;
mod report;
mod scenes;
mod servers;
mod stories;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use harness::{DbServer, Folder, Kind};
use nix::fcntl::{Flock, FlockArg};
use plan::Authority;
use report::Report;
use scenes::{Effort, SCENES, Scene};
use servers::{Cores, Which};
use stories::{STORIES, Story};

/// What the command line says.
struct Arguments {
    scenes: Vec<&'static Scene>,
    stories: Vec<(&'static str, Story)>,
    entries: u64,
    seconds: f64,
    repeats: usize,
    rows: u64,
    cores: Cores,
    out: PathBuf,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut arguments = Self {
            scenes: Vec::new(),
            stories: Vec::new(),
            entries: 100_000,
            seconds: 3.0,
            repeats: 5,
            rows: 1_000_000,
            cores: Cores {
                servers: 0,
                generator: 1,
                shared: false,
            },
            out: PathBuf::from("target/bench"),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let wrong = |text: &str| format!("{word}: {text:?} is no such number");
            match &*word {
                "--seconds" => {
                    let text = value()?;
                    arguments.seconds = text.parse().map_err(|_| wrong(&text))?;
                }
                "--repeats" => {
                    let text = value()?;
                    arguments.repeats = text.parse().map_err(|_| wrong(&text))?;
                }
                "--rows" => {
                    let text = value()?;
                    arguments.rows = text.parse().map_err(|_| wrong(&text))?;
                }
                "--entries" => {
                    let text = value()?;
                    arguments.entries = text.parse().map_err(|_| wrong(&text))?;
                }
                "--cores" => {
                    let text = value()?;
                    let two = text.split_once(',').ok_or_else(|| wrong(&text))?;
                    arguments.cores.servers = two.0.parse().map_err(|_| wrong(&text))?;
                    arguments.cores.generator = two.1.parse().map_err(|_| wrong(&text))?;
                }
                "--out" => arguments.out = PathBuf::from(value()?),
                name => {
                    let scenes = SCENES.iter().filter(|scene| scene.belongs_to(name));
                    let stories = STORIES.iter().filter(|(story, _)| *story == name);
                    let before = arguments.scenes.len() + arguments.stories.len();
                    arguments.scenes.extend(scenes);
                    arguments.stories.extend(stories);
                    if arguments.scenes.len() + arguments.stories.len() == before {
                        let scenes = SCENES.iter().map(|scene| scene.name);
                        let stories = STORIES.iter().map(|(name, _)| *name);
                        let all: Vec<_> = scenes.chain(stories).collect();
                        return Err(format!(
                            "there is no scene {name:?}; there are: {}",
                            all.join(" ")
                        ));
                    }
                }
            }
        }
        if arguments.scenes.is_empty() && arguments.stories.is_empty() {
            arguments.scenes.extend(SCENES);
            arguments.stories.extend(STORIES);
        }
        if !(arguments.seconds > 0.0 && arguments.repeats > 0) {
            return Err("--seconds and --repeats are above 0".to_owned());
        }
        Ok(arguments)
    }
}

impl Scene {
    /// Whether `hot` means it: it is `hot`, or `hot-get`.
    fn belongs_to(&self, name: &str) -> bool {
        let rest = self.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, file] = &words[..]
        && ["fixed", "each"].contains(&&**word)
    {
        fixed::serve(file, word == "each");
    }
    let arguments = Arguments::read().unwrap_or_else(|why| {
        eprintln!("{why}");
        std::process::exit(2);
    });
    let effort = Effort {
        time: Duration::from_secs_f64(arguments.seconds),
        repeats: arguments.repeats,
        cores: arguments.cores,
    };
    let _alone = alone();
    interrupt::watch();
    effort.cores.on_generator();
    let folder = Folder::new();
    let authorities = authorities(&arguments, &effort, &folder);
    let mut report = Report::new(&arguments);
    if let Err(why) = measure(&arguments, &effort, &folder, &authorities, &mut report) {
        eprintln!("FAILED: {why}");
        return ExitCode::FAILURE;
    }
    report.write(&arguments.out);
    ExitCode::SUCCESS
}

/// Waits until nobody else measures on this machine.
fn alone() -> Flock<File> {
    let place = File::open(std::env::temp_dir()).unwrap();
    Flock::lock(place, FlockArg::LockExclusiveNonblock)
        .or_else(|(place, _)| {
            eprintln!("waits for another run to end");
            Flock::lock(place, FlockArg::LockExclusive)
        })
        .unwrap_or_else(|(_, error)| panic!("{}: {error}", std::env::temp_dir().display()))
}

fn measure(
    arguments: &Arguments,
    effort: &Effort,
    folder: &Folder,
    authorities: &BTreeMap<bool, Authority>,
    report: &mut Report,
) -> Result<(), String> {
    for scene in &arguments.scenes {
        let authority = &authorities[&(scene.kind == Kind::Rsa)];
        report.add(scene, effort.play(scene, authority, folder)?);
    }
    for (name, story) in &arguments.stories {
        let authority = &authorities[&(story.kind() == Kind::Rsa)];
        let lines = story.tell(effort, authority, folder, arguments.entries);
        report.add_lines(lines.map_err(|why| format!("{name}: {why}"))?);
    }
    Ok(())
}

/// What the scenes need, and no more, by whether it signs by RSA.
fn authorities(
    arguments: &Arguments,
    effort: &Effort,
    folder: &Folder,
) -> BTreeMap<bool, Authority> {
    let asks = |which: &[Which]| {
        let mut scenes = arguments.scenes.iter();
        scenes.any(|scene| scene.servers.iter().any(|server| which.contains(server)))
    };
    eprintln!("prepares:");
    let server = effort.cores.on_servers(|| {
        let more = ["--skip-log-bin", "--innodb-buffer-pool-size=512M"];
        Arc::new(DbServer::new(&more))
    });
    let mut stories = arguments.stories.iter();
    let index_is_told = stories.any(|(_, story)| *story == Story::Index || story.asks_index());
    let index = index_is_told || asks(&[Which::DaemonIndex, Which::Openssl]);
    let mut found = BTreeMap::new();
    for kind in [Kind::P256, Kind::Rsa] {
        let scenes = arguments.scenes.iter().filter(|scene| scene.kind == kind);
        let stories = arguments.stories.iter().map(|(_, story)| story);
        let stories = stories.filter(|story| story.kind() == kind);
        let asked = scenes.map(|scene| effort.proven(scene)).max();
        let told = |story: &Story| story.proven(effort, arguments.entries);
        let of_index = stories.clone().filter(|story| story.asks_index());
        let of_index = of_index.map(told).max();
        if let Some(proven) = asked.max(stories.map(told).max()) {
            // What the other stories ask about, they ask of the table.
            let index = index.then_some(asked.max(of_index).unwrap_or(1000));
            let authority =
                Authority::new(folder, kind, proven, arguments.rows, Some(&server), index);
            found.insert(kind == Kind::Rsa, authority);
        }
    }
    found
}
