//! What was measured, as a table and as a picture.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Arguments;
use crate::scenes::{Outcome, Run, Scene};
use crate::servers::Which;
use crate::stories::Line;

/// All results, in the order of the scenes.
pub struct Report {
    head: String,
    scenes: Vec<(&'static Scene, Vec<Outcome>)>,
    lines: Vec<Line>,
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

impl Outcome {
    fn each(&self, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.runs.iter().map(value).collect()
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self, value: impl Fn(&Run) -> f64) -> f64 {
        median(self.each(value))
    }

    fn best_rate(&self) -> f64 {
        self.each(|run| run.rate).into_iter().fold(0.0, f64::max)
    }

    /// What each process used, where more than one did.
    fn parts(&self) -> String {
        let parts = self.processes.iter().enumerate().map(|(place, name)| {
            let used = self.median(|run| run.used[place]);
            (used >= 0.05).then(|| format!("{name} {used:.1}"))
        });
        let parts: Vec<String> = parts.flatten().collect();
        match parts.len() {
            0 | 1 => String::new(),
            _ => format!(": {}", parts.join(", ")),
        }
    }

    fn latencies(&self) -> String {
        let runs: Vec<[f64; 3]> = self.runs.iter().filter_map(|run| run.latencies).collect();
        if runs.is_empty() {
            return String::new();
        }
        let middle = |place: usize| median(runs.iter().map(|run| run[place]).collect());
        format!("{:.2} / {:.2} / {:.2}", middle(0), middle(1), middle(2))
    }

    /// What its processes have in memory, the database apart.
    fn memory(&self) -> String {
        let (mut own, mut database) = (0, String::new());
        for (name, kib) in self.processes.iter().zip(&self.resident) {
            match *name {
                "MariaDB" => database = format!(", MariaDB {}", kib / 1024),
                _ => own += kib,
            }
        }
        match own {
            0 => String::new(),
            _ => format!("{}{database}", own / 1024),
        }
    }

    /// Whether it was the generator that could do no more.
    fn is_held_back(&self) -> bool {
        self.median(|run| run.generator) > 0.95
    }

    /// How many times as much of the core this server uses for one answer as another: the median of the repeats, each beside
    /// the other's.
    fn times(&self, other: &Self) -> f64 {
        let pairs = self.runs.iter().zip(&other.runs);
        median(
            pairs
                .map(|(mine, other)| mine.total() / other.total())
                .collect(),
        )
    }

    /// Likewise how many times as much as a bare signature, where a certificate was verified for each answer as well, less
    /// that.
    fn less_a_verification(&self, all: &[Self]) -> String {
        let of = |which| all.iter().find(|other| other.which == which);
        let (Some(signature), Some(verification)) = (of(Which::Signature), of(Which::Verification))
        else {
            return String::new();
        };
        let bare = signature.runs.iter().zip(&verification.runs);
        let ratio = |(mine, (signature, verification)): (&Run, (&Run, &Run))| {
            (mine.total() - verification.total()) / signature.total()
        };
        format!(
            "{:.2}",
            median(self.runs.iter().zip(bare).map(ratio).collect())
        )
    }
}

impl Report {
    /// Begins with what was measured on.
    pub fn new(arguments: &Arguments) -> Self {
        let head = format!(
            "{} repeats of {:.1} s each, servers in turns; {} rows; {}; {}; {}\n",
            arguments.repeats,
            arguments.seconds,
            arguments.rows,
            processor(),
            said("uname", &["-sr"]),
            said("openssl", &["version"])
        );
        Self {
            head,
            scenes: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Another scene.
    pub fn add(&mut self, scene: &'static Scene, results: Vec<Outcome>) {
        self.scenes.push((scene, results));
    }

    /// What a story told.
    pub fn add_lines(&mut self, lines: Vec<Line>) {
        self.lines.extend(lines);
    }

    /// Prints the table, and writes it and the picture into a folder.
    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        let mut table = self.head.clone();
        if !self.scenes.is_empty() {
            table = format!("{table}\n{}\n{}", self.summary(), self.table());
        }
        if !self.lines.is_empty() {
            table = format!("{table}\n{}", self.stories());
        }
        fs::write(folder.join("report.md"), &table).unwrap();
        fs::write(folder.join("report.svg"), self.picture()).unwrap();
        print!("\n{table}");
        eprintln!(
            "\nwritten: {0}/report.md and {0}/report.svg",
            folder.display()
        );
    }

    fn stories(&self) -> String {
        let mut text = "| what | found |\n|---|---|\n".to_owned();
        for [what, figures] in &self.lines {
            writeln!(text, "| {what} | {figures} |").unwrap();
        }
        text
    }

    /// One line for each scene and source: the daemon, and its CPU time divided by that of the others.
    fn summary(&self) -> String {
        const OTHERS: [Which; 5] = [
            Which::Hyper,
            Which::HyperMap,
            Which::Nginx,
            Which::Openssl,
            Which::Signature,
        ];
        let mut text = "\
| ocsp-server | answers/s on one core, best repeat | CPU µs for one | ÷ bare hyper | ÷ bare hyper with a map | ÷ nginx | ÷ openssl ocsp | ÷ a bare signature | less a verification |
|---|---|---|---|---|---|---|---|---|
"
        .to_owned();
        for (scene, results) in &self.scenes {
            let ours = [Which::Daemon, Which::DaemonIndex];
            for result in results.iter().filter(|result| ours.contains(&result.which)) {
                let source = match result.which {
                    Which::DaemonIndex => ", index.txt",
                    _ if scene.makes() => ", MariaDB",
                    _ => "",
                };
                let ratios = OTHERS.map(|which| {
                    let other = results.iter().find(|other| other.which == which);
                    other.map_or(String::new(), |other| format!("{:.2}", result.times(other)))
                });
                writeln!(
                    text,
                    "| {}{source} | {}{} | {:.1} | {} | {} |",
                    scene.title,
                    if result.is_held_back() { "≥ " } else { "" },
                    thousands(result.best_rate()),
                    result.median(Run::total),
                    ratios.join(" | "),
                    result.less_a_verification(results),
                )
                .unwrap();
            }
        }
        text
    }

    fn table(&self) -> String {
        let mut text = "\
| scene | server | answers/s: median (best) | CPU µs for one: median (least) | ocsp-server ÷ this | p50 / p99 / p99.9 ms | MiB |
|---|---|---|---|---|---|---|
"
        .to_owned();
        for (scene, results) in &self.scenes {
            let ours = results.iter().find(|result| result.which.is_ours());
            for (place, result) in results.iter().enumerate() {
                let ratio = match ours {
                    Some(ours) if ours.which != result.which => {
                        format!("{:.2}", ours.times(result))
                    }
                    _ => String::new(),
                };
                let title = match place {
                    0 => format!("{}: {}", scene.name, scene.title),
                    _ => String::new(),
                };
                writeln!(
                    text,
                    "| {title} | {} | {}{} ({}) | {:.1} ({:.1}){} | {ratio} | {} | {} |",
                    result.which.name(),
                    if result.is_held_back() { "≥ " } else { "" },
                    thousands(result.median(|run| run.rate)),
                    thousands(result.best_rate()),
                    result.median(Run::total),
                    result.each(Run::total).into_iter().fold(f64::MAX, f64::min),
                    result.parts(),
                    result.latencies(),
                    result.memory(),
                )
                .unwrap();
            }
        }
        let held_back =
            |(_, results): &(_, Vec<Outcome>)| results.iter().any(Outcome::is_held_back);
        if self.scenes.iter().any(held_back) {
            text += "\n≥: the generator's core was full, the server's was not.\n";
        }
        text
    }

    /// Bars of CPU time for one answer: scenes without a signature on one scale, the others on another.
    fn picture(&self) -> String {
        const WIDTH: f64 = 860.0;
        const LEFT: f64 = 190.0;
        const BARS: f64 = 400.0;
        let mut body = String::new();
        let mut y = 28.0;
        let total = |result: &Outcome| result.median(Run::total);
        for (title, signed) in [
            ("Answers from memory", false),
            ("Answers made for the question", true),
        ] {
            let scenes = self
                .scenes
                .iter()
                .filter(|(scene, _)| scene.makes() == signed);
            let scenes: Vec<_> = scenes.collect();
            let results = scenes.iter().flat_map(|(_, results)| results);
            let most = results.map(total).fold(0.0, f64::max);
            if scenes.is_empty() {
                continue;
            }
            writeln!(
                body,
                r#"<text class="head" x="16" y="{y}">{title}: CPU time for one, and the best rate of one core</text>"#
            )
            .unwrap();
            y += 14.0;
            for (scene, results) in scenes {
                y += 16.0;
                writeln!(
                    body,
                    r#"<text class="scene" x="16" y="{y}">{}</text>"#,
                    escaped(scene.title)
                )
                .unwrap();
                y += 6.0;
                for result in results {
                    let used = total(result);
                    let class = if result.which.is_ours() {
                        "ours"
                    } else {
                        "other"
                    };
                    let length = (BARS * used / most).max(1.0);
                    writeln!(
                        body,
                        r#"<text class="name" x="{0}" y="{1}">{2}</text><rect class="{class}" x="{LEFT}" y="{3}" width="{length:.1}" height="12"/><text x="{4:.1}" y="{1}">{used:.1} µs, {5}/s</text>"#,
                        LEFT - 8.0,
                        y + 10.0,
                        result.which.name(),
                        y,
                        LEFT + length + 6.0,
                        thousands(result.best_rate()),
                    )
                    .unwrap();
                    y += 16.0;
                }
            }
            y += 34.0;
        }
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" aria-label="CPU time for one answer, ocsp-server and others">
<style>
rect.back {{ fill: #ffffff; }}
text {{ font: 12px sans-serif; fill: #24292f; }}
text.head {{ font-weight: bold; font-size: 13px; }}
text.scene {{ font-style: italic; }}
text.name {{ text-anchor: end; }}
rect.ours {{ fill: #1f6feb; }}
rect.other {{ fill: #afb8c1; }}
</style>
<rect class="back" width="{WIDTH}" height="{y}"/>
{body}</svg>
"##
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn thousands(value: f64) -> String {
    let text = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in text.chars().enumerate() {
        if place > 0 && (text.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or("a processor", |(_, name)| name).to_owned()
}
