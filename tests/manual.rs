//! The manual cannot drift from the code: what the command line and the parser of the configuration know is read from
//! them, what the manual pages and the README's table say is read from those, and both have to be the same. A default that
//! is stated is a default when writing it down changes nothing. The sample configuration is read as well.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ocsp_frontend_settings::{Secret, SourceKind};
use ocsp_server::command;
use ocsp_server::config::{Address, Config};
use ocsp_server::listen::DEFAULT;

const COMMANDS: &str = "systemd/man/ocsp-server.8";
const CONFIGURATION: &str = "systemd/man/ocsp-server.toml.5";
/// The configuration that the package installs.
const SAMPLE: &str = "systemd/config.toml";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Text with one space between words, and none of the marks by which Markdown and help texts show code.
fn flat(text: &str) -> String {
    let text = text.replace('`', "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

// ---- what the manual says -------------------------------------------------------------------------------------------

/// A line of mdoc without escapes; a quotation mark that is printed, and does not only enclose, is the character 1.
fn unescaped(line: &str) -> String {
    let line = line.replace("\\(dq", "\u{1}").replace("\\-", "-");
    line.replace("\\&", "").replace("\\e", "\\")
}

/// The words of a line of mdoc, without its macros.
fn words(line: &str) -> String {
    let line = unescaped(line);
    let Some(call) = line.strip_prefix('.') else {
        return line.replace('\u{1}', "\"");
    };
    let mut said = Vec::new();
    let mut option = false;
    for word in call.split(' ') {
        let macro_name = word.len() == 2
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.ends_with(|c: char| c.is_ascii_lowercase());
        if macro_name {
            option = word == "Fl";
        } else {
            let word = word.replace('"', "");
            said.push(if option { format!("-{word}") } else { word });
            option = false;
        }
    }
    let mut said = said.join(" ").replace('\u{1}', "\"");
    for mark in [".", ",", ";", ":", ")"] {
        said = said.replace(&format!(" {mark}"), mark);
    }
    said
}

/// The part of a page below `.Sh NAME`.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let heading = format!("\n.Sh {name}\n");
    let (_, rest) = page
        .split_once(&heading)
        .unwrap_or_else(|| panic!("a section {name} was expected"));
    rest.split("\n.Sh ").next().unwrap()
}

/// Parts of a page by their `.Ss`.
fn subsections(part: &str) -> Vec<(String, String)> {
    let part = format!("\n{part}");
    let parts = part.split("\n.Ss ").skip(1);
    parts
        .map(|part| {
            let (name, rest) = part.split_once('\n').unwrap();
            (words(name), rest.to_owned())
        })
        .collect()
}

/// The entries of lists whose heads begin with `.It MACRO `: the rest of the head, and the lines below.
fn entries(part: &str, macro_name: &str) -> Vec<(String, Vec<String>)> {
    let head = format!(".It {macro_name} ");
    let mut entries: Vec<(String, Vec<String>)> = Vec::new();
    let mut within = false;
    for line in part.lines() {
        if line.starts_with(".It ") || line.starts_with(".El") || line.starts_with(".Ss ") {
            within = line.starts_with(&head);
            if let Some(rest) = line.strip_prefix(&head) {
                entries.push((rest.to_owned(), Vec::new()));
            }
        } else if within {
            entries.last_mut().unwrap().1.push(line.to_owned());
        }
    }
    entries
}

fn text(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| words(line)).collect();
    flat(&lines.join(" "))
}

/// The literal blocks of a part.
fn blocks(part: &str) -> Vec<String> {
    let blocks = part.split("\n.Bd -literal").skip(1);
    blocks
        .map(|block| {
            let (_, block) = block.split_once('\n').unwrap();
            let block = block.split("\n.Ed").next().unwrap();
            block.lines().map(words).collect::<Vec<_>>().join("\n") + "\n"
        })
        .collect()
}

// ---- the configuration ----------------------------------------------------------------------------------------------

/// What a document says of a key.
struct Key {
    /// The section's name, without brackets.
    section: String,
    /// Of a source's key: the one kind that knows it.
    kind: Option<String>,
    name: String,
    /// None where it says that the key is required.
    default: Option<String>,
    /// What else it says.
    text: String,
}

/// `[listen]`, or `[[source]] of the kind "mysql"`.
fn place(heading: &str) -> (String, Option<String>) {
    let (section, kind) = match heading.split_once(" of the kind ") {
        Some((section, kind)) => (section, Some(kind.trim_matches('"').to_owned())),
        None => (heading, None),
    };
    (section.trim_matches(['[', ']']).to_owned(), kind)
}

fn keys_of_the_manual() -> Vec<Key> {
    let page = read(CONFIGURATION);
    let mut keys = Vec::new();
    for (heading, part) in subsections(section(&page, "SECTIONS")) {
        let (section, kind) = place(&heading);
        for (name, lines) in entries(&part, "Cm") {
            let required = lines.iter().any(|line| line == "Required.");
            let default = lines.iter().find_map(|line| line.strip_prefix("Default: "));
            assert!(
                required != default.is_some(),
                "{CONFIGURATION}: {heading} {name}: one line \"Default: ...\" or \"Required.\" was expected"
            );
            keys.push(Key {
                section: section.clone(),
                kind: kind.clone(),
                name,
                default: default.map(|default| default.trim_end_matches('.').to_owned()),
                text: text(&lines),
            });
        }
    }
    keys
}

/// The cells of a row of a table; a bar within code is none between cells.
fn cells(row: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut code = false;
    for c in row.trim_matches('|').chars() {
        code ^= c == '`';
        if cells.is_empty() || (c == '|' && !code) {
            cells.push(String::new());
        }
        if c != '|' || code {
            cells.last_mut().unwrap().push(c);
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn keys_of_the_readme() -> Vec<Key> {
    let readme = read("README.md");
    let (_, table) = readme
        .split_once("| section, key | default | meaning |\n|---|---|---|\n")
        .expect("README.md: the table of the configuration");
    let (mut section, mut kind) = (String::new(), None);
    let mut keys = Vec::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let cells = cells(row);
        let [key, default, _] = cells.as_slice() else {
            panic!("README.md: {row}: three columns were expected");
        };
        let marked: Vec<&str> = key.split('`').skip(1).step_by(2).collect();
        for mark in &marked {
            if mark.starts_with('[') {
                (section, _) = place(mark);
                kind = None;
            } else if mark.starts_with('"') {
                kind = Some(mark.trim_matches('"').to_owned());
            }
        }
        let default = default.trim_matches('`');
        keys.push(Key {
            section: section.clone(),
            kind: kind.clone(),
            name: (*marked.last().unwrap()).to_owned(),
            default: (!default.is_empty()).then(|| default.to_owned()),
            text: row.to_owned(),
        });
    }
    keys
}

/// A configuration as sections with their keys, the least that the parser takes.
#[derive(Clone)]
struct Draft(Vec<(&'static str, BTreeMap<String, String>)>);

impl Draft {
    /// With one source, of this kind.
    fn least(kind: &str) -> Self {
        let keys = |keys: &[(&str, &str)]| {
            let keys = keys.iter();
            keys.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let mut source = keys(&[("name", "'ca'"), ("kind", &format!("{kind:?}"))]);
        let mut issuer = keys(&[
            ("name", "'ca'"),
            ("certificate", "'/ca.crt'"),
            ("key", "'/ca.key'"),
        ]);
        match kind {
            "index" => {
                source.extend(keys(&[("file", "'/ca/index.txt'")]));
                // Without certificates.
                issuer.extend(keys(&[("good", "'status'")]));
            }
            "mysql" => source.extend(keys(&[("url", "'mysql://a@localhost/b?socket=/s'")])),
            other => panic!("a source of the kind {other:?} is new: what does it need?"),
        }
        // Numbers, as the accounts may not exist here.
        let users = keys(&[("frontend", "61801"), ("signer", "61802")]);
        Self(vec![
            ("users", users),
            ("source", source),
            ("issuer", issuer),
        ])
    }

    fn with(&self, section: &str, key: &str, value: &str) -> String {
        let mut draft = self.clone();
        let known = draft.0.iter_mut().find(|(name, _)| *name == section);
        if let Some((_, keys)) = known {
            keys.insert(key.to_owned(), value.to_owned());
            draft.text()
        } else {
            format!("{}[{section}]\n{key} = {value}\n", draft.text())
        }
    }

    fn without(&self, section: &str, key: &str) -> String {
        let mut draft = self.clone();
        for (name, keys) in &mut draft.0 {
            if *name == section {
                keys.remove(key);
            }
        }
        draft.text()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.0 {
            text += &match *section {
                "source" | "issuer" => format!("[[{section}]]\n"),
                section => format!("[{section}]\n"),
            };
            for (key, value) in keys {
                text += &format!("{key} = {value}\n");
            }
        }
        text
    }
}

fn parse(text: &str) -> Result<Config, String> {
    let mut config = Config::parse("config.toml", text).map_err(|mistake| mistake.to_string())?;
    // Whether it is written makes a difference where systemd hands over a socket; its value is the default all the same.
    let default = || vec![Address::Tcp(DEFAULT)];
    config.listen.http.get_or_insert_with(default);
    Ok(config)
}

fn refused(text: &str) -> String {
    parse(text).expect_err("the parser was expected to refuse this")
}

/// The keys that the parser knows in one place: it lists them when it is given one that it does not know. It refuses
/// every key that it has not asked for, so that none can be missing from the list but one that it asks for only where
/// something else is said: what decides about that has to be a kind.
fn known(text: &str) -> BTreeSet<String> {
    let mistake = refused(text);
    let (_, list) = mistake
        .split_once("(known are: ")
        .unwrap_or_else(|| panic!("a list of known keys was expected: {mistake}"));
    let list = list.trim_end_matches(')').split(", ");
    list.map(str::to_owned).collect()
}

/// The kinds of sources.
fn kinds() -> Vec<String> {
    let mistake = refused(&Draft::least("index").with("source", "kind", "'none'"));
    let (_, words) = mistake.split_once(", expected ").unwrap();
    let words = words.split(" or ");
    words
        .map(|word| word.trim_matches('"').to_owned())
        .collect()
}

/// What the parser expects of a key, in the words of its mistakes, without examples.
fn expected(draft: &Draft, key: &Key) -> String {
    let mistake = refused(&draft.with(&key.section, &key.name, "[[]]"));
    let beginning = format!("key \"{}\": found a list, expected ", key.name);
    let (_, expected) = mistake
        .split_once(&beginning)
        .unwrap_or_else(|| panic!("{beginning:?} was expected: {mistake}"));
    let expected = expected.split(" such as").next().unwrap();
    expected.trim_end_matches(',').to_owned()
}

/// Compares what a document says of the keys with the parser.
fn compare(document: &str, keys: &[Key]) {
    let told = |section: &str, kind: Option<&str>| -> BTreeSet<String> {
        let keys = keys.iter().filter(|key| {
            key.section == section && (key.kind.is_none() || key.kind.as_deref() == kind)
        });
        keys.map(|key| key.name.clone()).collect()
    };
    let sections: BTreeSet<String> = keys.iter().map(|key| key.section.clone()).collect();
    assert_eq!(
        sections,
        known("no-such-section = 1"),
        "{document}: sections"
    );
    let kinds = kinds();
    for key in keys {
        assert!(
            key.kind.iter().all(|kind| kinds.contains(kind)),
            "{document}: {}: no source is of this kind",
            key.text
        );
    }
    for section in &sections {
        for kind in &kinds {
            let text = Draft::least(kind).with(section, "no-such-key", "1");
            assert_eq!(
                told(section, Some(kind)),
                known(&text),
                "{document}: keys of [{section}], with a source of the kind {kind:?}"
            );
        }
    }
    let mut seen = BTreeSet::new();
    for key in keys {
        let name = format!("{document}: [{}] {}", key.section, key.name);
        assert!(
            seen.insert((&key.section, &key.kind, &key.name)),
            "{name}: stands there twice"
        );
        compare_default(&name, key);
    }
}

fn compare_default(name: &str, key: &Key) {
    let draft = draft_for(key);
    let without = parse(&draft.without(&key.section, &key.name));
    let nothing = format!("key \"{}\": found nothing", key.name);
    let Some(default) = &key.default else {
        let mistake = without.expect_err(name);
        assert!(mistake.contains(&nothing), "{name}: {mistake}");
        return;
    };
    let value = match default.as_str() {
        "none" => return compare_none(name, key, &draft, &without.expect(name)),
        "cores" | "the number of cores" => std::thread::available_parallelism()
            .unwrap()
            .get()
            .to_string(),
        "the only one" => "'ca'".to_owned(),
        value => value.to_owned(),
    };
    // Written down, it changes nothing. (An account that does not exist here is named in the mistake.)
    let with = parse(&draft.with(&key.section, &key.name, &value));
    assert_eq!(with, without, "{name}: is {default} its default?");
    match with {
        Ok(_) => {}
        Err(mistake) => assert!(
            key.section == "users" && mistake.contains(&format!("found {value}, expected a user")),
            "{name}: {mistake}"
        ),
    }
}

/// Where a document says "none", nothing is there until the key is written.
fn compare_none(name: &str, key: &Key, draft: &Draft, without: &Config) {
    let written = [
        "'/probe'",
        "'127.0.0.1:1'",
        "2026-01-01T00:00:00Z",
        "'3650d'",
    ]
    .map(|value| parse(&draft.with(&key.section, &key.name, value)));
    if let Some(with) = written.iter().flatten().next() {
        let (with, without) = (format!("{with:?}"), format!("{without:?}"));
        let same = with.bytes().zip(without.bytes());
        let same = same.take_while(|(one, other)| one == other).count();
        let instead = &without[same..];
        assert!(
            instead.starts_with("None") || instead.starts_with(']'),
            "{name}: none was expected, not {instead}"
        );
    } else {
        // A key that has no place beside the others of the least configuration, or that is sections.
        let [mistake, ..] = written.map(|written| written.unwrap_err());
        let expected = [", expected nothing", ", expected sections [["];
        assert!(
            expected.iter().any(|expected| mistake.contains(expected)),
            "{name}: {mistake}"
        );
    }
}

/// A configuration in which a key may be left out or stand, and nothing else decides about it.
fn draft_for(key: &Key) -> Draft {
    match (&key.kind, key.section.as_str()) {
        (Some(kind), _) => Draft::least(kind),
        (None, "source") => Draft::least("index"),
        (None, _) => Draft::least("mysql"),
    }
}

#[test]
fn the_manual_knows_each_key_of_the_configuration_and_its_default() {
    compare(CONFIGURATION, &keys_of_the_manual());
}

#[test]
fn the_readme_knows_each_key_of_the_configuration_and_its_default() {
    compare("README.md", &keys_of_the_readme());
}

#[test]
fn the_manual_says_which_values_a_key_takes() {
    let mut ranges = 0;
    for key in keys_of_the_manual() {
        let expected = expected(&draft_for(&key), &key);
        // Numbers, durations and sizes with their bounds, and words to choose from.
        let exact =
            expected.contains(" from ") || expected.starts_with('"') || expected == "true or false";
        if exact {
            ranges += 1;
            let expected = expected.trim_start_matches("a ");
            assert!(
                key.text.contains(expected),
                "{CONFIGURATION}: [{}] {}: {expected:?} was expected in: {}",
                key.section,
                key.name,
                key.text
            );
        }
    }
    assert!(ranges > 20, "{ranges}");
}

/// A configuration whose users are numbers, as the accounts may not exist here.
fn with_users(text: &str) -> String {
    assert!(!text.contains("[users]"), "{text}");
    format!("[users]\nfrontend = 61801\nsigner = 61802\n{text}")
}

#[test]
fn the_examples_of_the_manual_can_be_read() {
    let page = read(CONFIGURATION);
    let examples = blocks(section(&page, "EXAMPLES"));
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        if let Err(mistake) = parse(&with_users(&example)) {
            panic!("{CONFIGURATION}: {mistake}, in\n{example}");
        }
    }
}

#[test]
fn the_sample_as_it_stands_says_what_is_missing() {
    let sample = read(SAMPLE);
    let lines = sample.lines();
    let active: Vec<&str> = lines
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    assert_eq!(
        active, [""; 0],
        "{SAMPLE}: everything in it is to be edited first"
    );
    assert_eq!(
        refused(&with_users(&sample)),
        "config.toml: key \"issuer\": found nothing, expected at least one section [[issuer]]"
    );
}

#[test]
fn the_sample_is_a_configuration_for_the_usual_case() {
    // Without the marks of lines that are no sentences.
    let sample = read(SAMPLE);
    let lines = sample.lines().map(|line| match line.strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
        Some(_) | None => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let config = parse(&with_users(&text))
        .unwrap_or_else(|mistake| panic!("{SAMPLE}: {mistake}, in\n{text}"));
    let least = parse(&Draft::least("mysql").text()).unwrap();
    assert_eq!(
        config.listen, least.listen,
        "{SAMPLE}: [listen] is the socket units'"
    );
    let ([source], [issuer]) = (&config.sources[..], &config.issuers[..]) else {
        panic!("{SAMPLE}: one source and one issuer were expected");
    };
    let SourceKind::Mysql(database) = &source.kind else {
        panic!("{SAMPLE}: a database was expected");
    };
    assert!(database.socket.is_some() && database.password_file.is_some());
    // The account that the shipped SQL creates, and what it may read.
    let account = include_str!("../frontend/sql/account.sql");
    let grant = format!(
        "GRANT SELECT ON `{}`.`{}` TO '{}'@'localhost';",
        database.database, database.table, database.user
    );
    assert!(account.contains(&grant), "{SAMPLE}: {grant}");
    let [key] = &issuer.keys[..] else {
        panic!("{SAMPLE}: one key was expected");
    };
    assert!(matches!(&key.key, Secret::File(path) if path.starts_with("/etc/ocsp-server/keys/")));
    for certificate in [Some(&issuer.certificate), key.responder.as_ref()] {
        assert!(
            certificate
                .unwrap()
                .starts_with("/etc/ocsp-server/issuers/")
        );
    }
}

// ---- the command line -----------------------------------------------------------------------------------------------

/// What a document says of options: `--pid LAUNCHER`, and the sentences below.
fn options_of_the_manual(part: &str) -> BTreeMap<String, String> {
    let entries = entries(part, "Fl").into_iter();
    let entries = entries.map(|(head, lines)| {
        let head = words(&format!(".Fl {head}"));
        (head, text(&lines))
    });
    entries.collect()
}

/// An option as the manual's list has it.
fn head(option: &clap::Arg) -> String {
    let short = option.get_short().map(|short| format!("-{short}"));
    let long = option.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let values = option.get_action().takes_values();
    let values = option.get_value_names().filter(|_| values);
    let values = values.into_iter().flatten();
    let values: String = values.map(|value| format!(" {value}")).collect();
    names.join(", ") + &values
}

fn compare_options(of: &str, command: &clap::Command, told: &BTreeMap<String, String>) {
    // Help is described once.
    let own = |option: &&clap::Arg| of.is_empty() || option.get_id() != "help";
    let options: Vec<&clap::Arg> = command.get_arguments().filter(own).collect();
    let known: BTreeSet<String> = options.iter().map(|option| head(option)).collect();
    let manual: BTreeSet<String> = told.keys().cloned().collect();
    assert_eq!(manual, known, "{COMMANDS}: options of {of:?}");
    for option in options {
        let name = head(option);
        let told = &told[&name];
        // Of help it says the same in its own words: that what is printed can be longer.
        let help = option.get_help().unwrap().to_string();
        let help = flat(help.split(" (see ").next().unwrap());
        assert!(
            told.contains(&help),
            "{of} {name}: {help:?} was expected in: {told}"
        );
        if !option.get_action().takes_values() {
            continue;
        }
        for default in option.get_default_values() {
            let default = format!("Default: {}.", default.to_string_lossy());
            assert!(
                told.contains(&default),
                "{of} {name}: {default:?} was expected in: {told}"
            );
        }
    }
}

#[test]
fn the_manual_knows_each_command_and_option() {
    let page = read(COMMANDS);
    let mut grammar = command::grammar();
    grammar.build();
    compare_options(
        "",
        &grammar,
        &options_of_the_manual(section(&page, "OPTIONS")),
    );
    let told: BTreeMap<String, String> = subsections(section(&page, "COMMANDS"))
        .into_iter()
        .collect();
    let commands: BTreeMap<&str, &clap::Command> = grammar
        .get_subcommands()
        .map(|command| (command.get_name(), command))
        .collect();
    assert_eq!(
        told.keys().map(String::as_str).collect::<Vec<_>>(),
        commands.keys().copied().collect::<Vec<_>>(),
        "{COMMANDS}: commands"
    );
    let synopsis = flat(
        &section(&page, "SYNOPSIS")
            .lines()
            .map(words)
            .collect::<Vec<_>>()
            .join(" "),
    );
    for (name, command) in commands {
        if name != "help" {
            compare_options(name, command, &options_of_the_manual(&told[name]));
        }
        let lines: Vec<String> = told[name].lines().map(str::to_owned).collect();
        let text = text(&lines);
        let about = command.get_long_about().or_else(|| command.get_about());
        for sentence in flat(&about.unwrap().to_string()).split(". ") {
            let sentence = sentence.trim_end_matches('.');
            assert!(
                text.contains(sentence),
                "{COMMANDS}: {name}: {sentence:?} was expected in: {text}"
            );
        }
        assert!(synopsis.contains(name), "{COMMANDS}: SYNOPSIS: {name}");
        for option in command
            .get_arguments()
            .filter(|option| option.get_id() != "help")
        {
            // The name that help takes is none that begins with a hyphen.
            let option = head(option);
            assert!(
                name == "help" || synopsis.contains(&option),
                "{COMMANDS}: SYNOPSIS: {option}"
            );
        }
    }
}

#[test]
fn the_manual_the_readme_and_the_help_have_the_same_exit_codes() {
    let about = command::grammar().get_long_about().unwrap().to_string();
    let about = flat(&about);
    let sentence = about
        .split_once("Exit codes: ")
        .unwrap()
        .1
        .trim_end_matches('.');
    let readme = flat(&read("README.md"));
    assert!(
        readme.contains(&format!("Exit codes: {sentence}.")),
        "README.md: {sentence}"
    );
    let help: BTreeMap<&str, &str> = sentence
        .split("; ")
        .map(|code| code.split_once(' ').unwrap())
        .collect();
    // The numbers of `Reason`, and success.
    let reasons = include_str!("../src/exit.rs").lines();
    let reasons = reasons
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "))
        .map(|(_, code)| code);
    let reasons: BTreeSet<&str> = reasons.chain(["0"]).collect();
    assert_eq!(help.keys().copied().collect::<BTreeSet<_>>(), reasons);
    let page = read(COMMANDS);
    let told = entries(section(&page, "EXIT STATUS"), "Li");
    let told: BTreeMap<&str, String> = told
        .iter()
        .map(|(code, lines)| (code.as_str(), text(lines)))
        .collect();
    assert_eq!(
        told.keys().collect::<Vec<_>>(),
        help.keys().collect::<Vec<_>>(),
        "{COMMANDS}: EXIT STATUS"
    );
    for (code, words) in help {
        assert!(
            told[code].starts_with(words),
            "{COMMANDS}: exit code {code}: {words:?} was expected: {}",
            told[code]
        );
    }
}

#[test]
fn the_manual_knows_each_metric() {
    let page = read(COMMANDS);
    let heads = entries(section(&page, "THE ADMIN LISTENER"), "Va");
    let told: BTreeSet<&str> = heads
        .iter()
        .flat_map(|(head, _)| head.split(" , "))
        .collect();
    let texts = include_str!("../frontend/src/admin.rs").split('"');
    let made: BTreeSet<&str> = texts.filter(|text| text.starts_with("ocsp_")).collect();
    assert_eq!(told, made, "{COMMANDS}: metrics");
}

#[test]
fn the_manual_knows_each_unit_and_drop_in() {
    let page = read(COMMANDS);
    let told: BTreeSet<String> = entries(section(&page, "SYSTEMD"), "Pa")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let files = ["systemd", "systemd/drop-ins"].map(|folder| fs::read_dir(path(folder)).unwrap());
    let names = files.into_iter().flatten();
    let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
    let shipped: BTreeSet<String> = names
        .filter(|name| {
            [".service", ".socket", ".conf"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .collect();
    assert_eq!(told, shipped, "{COMMANDS}: SYSTEMD");
}

/// The texts of the programs' sources, with their line breaks undone.
fn sources() -> String {
    let mut folders: Vec<PathBuf> = ["src", "frontend", "signer"].map(path).into();
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // What a test expects is not yet said.
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all += &fs::read_to_string(path).unwrap();
            }
        }
    }
    flat(&all.replace("\\\n", " ").replace("\\\"", "\""))
}

#[test]
fn the_sentences_that_the_manual_explains_are_said_by_the_programs() {
    let page = read(COMMANDS);
    let sources = sources();
    let sentences = entries(section(&page, "DIAGNOSTICS"), "Sy");
    for (sentence, _) in &sentences {
        // Three dots stand for what differs.
        for part in words(&format!(".Sy {sentence}")).split("...") {
            let part = flat(part);
            assert!(
                sources.contains(&part),
                "{COMMANDS}: {sentence}: no program says {part:?}"
            );
        }
    }
    assert!(sentences.len() > 30, "{sentences:?}");
}

// ---- the pages ------------------------------------------------------------------------------------------------------

#[test]
fn the_formatters_have_nothing_to_say_about_the_pages() {
    let pages = fs::read_dir(path("systemd/man")).unwrap();
    let pages: Vec<PathBuf> = pages.map(|page| page.unwrap().path()).collect();
    assert!(!pages.is_empty());
    for page in pages {
        for formatter in [
            &["mandoc", "-T", "lint", "-W", "warning"][..],
            &["man", "--warnings", "-E", "UTF-8", "-l"],
        ] {
            let output = Command::new(formatter[0])
                .args(&formatter[1..])
                .arg(&page)
                .env("LC_ALL", "C.UTF-8")
                .env("MANWIDTH", "80")
                .output()
                .unwrap_or_else(|error| {
                    panic!("{} (Debian packages mandoc, man-db): {error}", formatter[0])
                });
            let lint = String::from_utf8_lossy(&output.stdout);
            let lint = if formatter[0] == "mandoc" { &*lint } else { "" };
            let warnings = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{formatter:?}: {lint}{warnings}");
            assert_eq!((lint, &*warnings), ("", ""), "{formatter:?}");
        }
    }
}
