//! Secrets that the launcher hands over, and keys with a passphrase: systemd's part is played by a folder that only the
//! launcher can enter, and its variable.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::process::Command;

use harness::*;
use nix::sys::signal::Signal;

const NAME: &str = "responder.key";

/// A CA whose key is a credential, a configuration that says so, and the folder that systemd would have made.
struct Unit {
    folder: Folder,
    ca: Ca,
    config: String,
}

impl Unit {
    fn new() -> Self {
        let folder = Folder::new();
        let ca = Ca::of_three(&folder, Kind::P256, By::Delegate);
        let config = usual(&ca).replace(
            &format!("key = {:?}", ca.key()),
            &format!("key = \"credential:{NAME}\""),
        );
        assert!(config.contains("credential:"));
        let unit = Self { folder, ca, config };
        fs::create_dir(unit.path("")).unwrap();
        set_mode(unit.path(""), 0o700);
        unit.put(NAME, fs::read(unit.ca.key()).unwrap());
        // Nothing but the credential can have been used.
        fs::remove_file(unit.ca.key()).unwrap();
        unit
    }

    /// In the folder of credentials.
    fn path(&self, name: &str) -> String {
        self.folder.path(&format!("credentials/{name}"))
    }

    fn put(&self, name: &str, octets: impl AsRef<[u8]>) {
        let path = self.folder.file(&format!("credentials/{name}"), octets);
        set_mode(path, 0o400);
    }

    /// The key, encrypted by this passphrase, as `openssl` writes it.
    fn encrypted(&self, phrase: &str, arguments: &str) -> Vec<u8> {
        let key = self.path(NAME);
        let words = format!("openssl {arguments} -in {key} -passout pass:{phrase}");
        let words: Vec<_> = words.split(' ').collect();
        let output = output("/", &words, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        output.stdout
    }

    /// The configuration, with more lines in its `[[issuer]]`.
    fn with(&self, more: &str) -> String {
        format!("{}{more}\n", self.config)
    }

    fn command(&self, word: &str, config: &str) -> (Command, String) {
        let file = self.folder.file("config.toml", config);
        let mut command = Command::new(launcher());
        command.args([word, "--config", &file]);
        command.env("CREDENTIALS_DIRECTORY", self.folder.path("credentials"));
        (command, file)
    }

    fn serves(&self, config: &str) -> Server {
        let (command, file) = self.command("run", config);
        Server::started(command, &file)
    }

    #[track_caller]
    fn fails(&self, config: &str, code: i32, parts: &[&str]) {
        let (command, file) = self.command("run", config);
        let (found, said) = Server::begun(command, &file).fails_itself();
        assert_eq!(found, code, "{said}");
        contains(&said, parts);
    }

    #[track_caller]
    fn answers(&self, server: &Server) {
        let said = server.ask(&self.ca, "-cert good.crt");
        contains(&said, &["Response verify OK", "good.crt: good"]);
    }
}

/// What a process has open beside 0, 1 and 2, where the test may look.
fn open(pid: u32) -> Vec<String> {
    let folder = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = folder.map(|folder| folder.map(|entry| entry.unwrap().path()).collect());
    let entries: Vec<std::path::PathBuf> = entries.unwrap_or_default();
    let links = entries.iter().filter_map(|entry| fs::read_link(entry).ok());
    let open: Vec<_> = links.map(|link| link.display().to_string()).collect();
    assert!(!is_root() || open.len() > 2, "{open:?}");
    open
}

#[test]
fn a_key_by_credential_serves_and_is_taken_up_anew_on_reload() {
    let unit = Unit::new();
    let server = unit.serves(&unit.config);
    unit.answers(&server);
    let first = server.generation();
    for pid in [server.pid(), first.frontend, first.signer] {
        let open = open(pid);
        assert!(
            !open.iter().any(|to| to.contains("credentials")),
            "{open:?}"
        );
    }
    server.signal(Signal::SIGHUP);
    let second = server.next_generation(first.number);
    assert_ne!(second.signer, first.signer);
    unit.answers(&server);

    // Gone: the next generation does not come to be, and this one goes on; so does a signer's successor, later.
    fs::rename(unit.path(NAME), unit.path("elsewhere")).unwrap();
    let mark = server.mark();
    server.signal(Signal::SIGHUP);
    let line = server.says_after(mark, "cannot be opened");
    contains(&line, &["error:", NAME, "CREDENTIALS_DIRECTORY"]);
    unit.answers(&server);
    assert_eq!(server.generation(), second);

    fs::rename(unit.path("elsewhere"), unit.path(NAME)).unwrap();
    send(second.signer, Signal::SIGKILL);
    server.next_generation(second.number);
    unit.answers(&server);
}

#[test]
fn a_key_with_a_passphrase_serves() {
    let unit = Unit::new();
    let plain = fs::read(unit.path(NAME)).unwrap();
    let forms = ["pkcs8 -topk8 -v2 aes-256-cbc", "ec -aes256"];
    for (form, begins) in forms
        .into_iter()
        .zip(["BEGIN ENCRYPTED PRIVATE", "BEGIN EC PRIVATE"])
    {
        let key = unit.encrypted("phrase", form);
        contains(&String::from_utf8_lossy(&key), &[begins, "ENCRYPTED"]);
        unit.put(NAME, key);
        // By credential, and by a file of the signer's.
        unit.put("phrase", "phrase\n");
        let by_credential = unit.with("passphrase-file = \"credential:phrase\"");
        unit.answers(&unit.serves(&by_credential));
        let own = unit.folder.file("phrase", "phrase\nand more\n");
        set_mode(&own, 0o400);
        chown(&own, Some(users().1), Some(signer_group())).unwrap();
        let by_file = unit.with(&format!("passphrase-file = {own:?}"));
        let server = unit.serves(&by_file);
        unit.answers(&server);
        server.signal(Signal::SIGHUP);
        server.next_generation(1);
        unit.answers(&server);
        drop(server);

        let needed =
            "credential:responder.key: the key is encrypted, and there is no passphrase-file";
        unit.fails(&unit.config, 5, &[needed]);
        unit.put("phrase", "another\n");
        let wrong =
            "credential:responder.key: the passphrase of credential:phrase does not open the key";
        unit.fails(&by_credential, 5, &[wrong]);
        unit.put("phrase", "\n");
        let empty =
            "credential:phrase: a passphrase of 1 to 1024 octets was expected in its first line";
        unit.fails(&by_credential, 5, &[empty]);
        set_mode(&own, 0o440);
        unit.fails(&by_file, 5, &[&own, "mode 0440 is open to group or others"]);
        unit.put(NAME, &plain);
    }
    unit.put("phrase", "phrase\n");
    let server = unit.serves(&unit.with("passphrase-file = \"credential:phrase\""));
    server.says("the key is not encrypted, the passphrase of credential:phrase is of no use");
    unit.answers(&server);
}

#[test]
fn what_is_wrong_with_a_credential_is_said() {
    let unit = Unit::new();
    let file = unit.folder.file("config.toml", &unit.config);
    let mut command = Command::new(launcher());
    command.args(["run", "--config", &file]);
    command.env_remove("CREDENTIALS_DIRECTORY");
    let (code, said) = Server::begun(command, &file).fails_itself();
    assert_eq!(code, 4, "{said}");
    let expected = "the credential \"responder.key\": CREDENTIALS_DIRECTORY names no folder, \
                    expected LoadCredential=responder.key:/PATH in the unit, and a restart";
    contains(&said, &[expected]);

    let path = unit.path(NAME);
    for (mode, part) in [(0o440, "mode 0440"), (0o404, "mode 0404")] {
        set_mode(&path, mode);
        let part = format!("{part} is open to group or others, 0400 was expected");
        unit.fails(&unit.config, 5, &["credential:responder.key: ", &part]);
    }
    set_mode(&path, 0o400);
    if is_root() {
        chown(&path, Some(STRANGER), None).unwrap();
        // The launcher has given up what lets root pass over owners and modes.
        let parts = [
            "the credential \"responder.key\": ",
            &path,
            "Permission denied",
        ];
        unit.fails(&unit.config, 4, &parts);
        chown(&path, Some(0), None).unwrap();
    }
    unit.put(NAME, "no key");
    let parts = ["credential:responder.key: a private key in PEM was expected"];
    unit.fails(&unit.config, 5, &parts);
    fs::remove_file(&path).unwrap();
    let parts = [
        "the credential \"responder.key\": ",
        &path,
        "(CREDENTIALS_DIRECTORY)",
        "No such file",
    ];
    unit.fails(&unit.config, 4, &parts);
    symlink("/dev/null", &path).unwrap();
    unit.fails(&unit.config, 4, &["Too many levels of symbolic links"]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    unit.fails(
        &unit.config,
        5,
        &["credential:responder.key: is not a regular file"],
    );
}

#[test]
fn check_looks_at_credentials() {
    let unit = Unit::new();
    let checks = || {
        let (mut command, _) = unit.command("check", &unit.config);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = checks();
    assert_eq!(code, Some(0), "{said}");
    contains(
        &said,
        &["ok      ocsp-signer: issuer \"ca\": key credential:responder.key (256 bits"],
    );
    set_mode(unit.path(NAME), 0o444);
    let (code, said) = checks();
    assert_eq!(code, Some(1), "{said}");
    contains(
        &said,
        &["FAILED  ocsp-signer: issuer \"ca\": credential:responder.key: mode 0444"],
    );
}

#[test]
fn passwords_by_credential_reach_their_sources_in_order() {
    let unit = Unit::new();
    let two = Ca::new(&unit.folder, "two", Kind::P256, By::Delegate);
    two.issue("good");
    let (one, other) = (Database::new(), Database::new());
    one.issued(&unit.ca, "good");
    other.issued(&two, "good");
    for (database, password) in [(&one, "first"), (&other, "second")] {
        let name = &database.name;
        database.sql(&format!(
            "ALTER USER {name}@localhost IDENTIFIED BY '{password}'"
        ));
    }
    let source = |ca: &Ca, database: &Database, credential: &str| {
        let by_file = database.source(&ca.name, "");
        let line = by_file
            .lines()
            .find(|line| line.starts_with("password-file"))
            .unwrap();
        by_file.replace(
            line,
            &format!("password-file = \"credential:{credential}\""),
        )
    };
    let key = format!("key = {:?}", unit.ca.key());
    let config = head("")
        + &source(&unit.ca, &one, "zeroth")
        + &source(&two, &other, "another")
        + &unit
            .ca
            .issuer("")
            .replace(&key, &format!("key = \"credential:{NAME}\""))
        + &two.issuer("");
    unit.put("zeroth", "first\n");
    unit.put("another", "second\n");
    let server = unit.serves(&config);
    for ca in [&unit.ca, &two] {
        until("both sources answer", || {
            let said = server.ask(ca, "-cert good.crt");
            said.contains("good.crt: good").then_some(())
        });
    }
    let generation = server.generation();
    for pid in [server.pid(), generation.frontend, generation.signer] {
        let open = open(pid);
        assert!(
            !open.iter().any(|to| to.contains("credentials")),
            "{open:?}"
        );
    }
    drop(server);
    let checks = || {
        let output = unit.command("check", &config).0.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = checks();
    assert_eq!(code, Some(0), "{said}");
    unit.put("another", "wrong\n");
    let (code, said) = checks();
    assert_eq!(code, Some(1), "{said}");
    contains(
        &said,
        &[
            "FAILED  ocsp-frontend: source \"two\": ",
            "with the password of \"password-file\"",
        ],
    );
    unit.put("another", "two\nlines\n");
    contains(
        &checks().1,
        &["source \"two\": credential:another: a password in one line"],
    );
    set_mode(unit.path("another"), 0o404);
    let part =
        "source \"two\": credential:another: has mode 0404, so that others can read the password";
    contains(&checks().1, &[part]);
    fs::remove_file(unit.path("another")).unwrap();
    let (code, said) = checks();
    assert_eq!(code, Some(4), "{said}");
    contains(&said, &["the credential \"another\": ", "No such file"]);
    fs::create_dir(unit.path("another")).unwrap();
    contains(
        &checks().1,
        &["source \"two\": credential:another: is not a regular file"],
    );
}
