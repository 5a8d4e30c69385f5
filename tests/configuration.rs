//! What an operator can get wrong, and what the daemon says then: one sentence and a documented exit code.

// A test file as a whole: clippy exempts only the functions marked #[test].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use harness::*;
use ocsp_server::config::Config;

#[test]
fn a_mistake_is_exit_code_3_and_one_sentence_that_names_file_key_found_and_expected() {
    let scene = Draft::new();
    let (frontend, signer) = users();
    let issuer = |more: &str| scene.config.clone() + more;
    let listen = |more: &str| scene.with("[listen]\n", &format!("[listen]\n{more}\n"));
    let source = |more: &str| scene.with("[[source]]\n", &format!("[[source]]\n{more}\n"));
    let key = format!("key = {:?}", scene.ca.key());
    let certificates = format!("certificates = {:?}\n", scene.ca.path("newcerts"));
    let mut mistakes = vec![
        (
            issuer("validty = \"3d\""),
            "[[issuer]] 1 (\"ca\"): key \"validty\" is not known; the nearest known key is \"validity\"",
        ),
        (
            listen("drian = \"3s\""),
            "[listen]: key \"drian\" is not known; the nearest known key is \"drain\"",
        ),
        (
            "[lisen]\n".to_owned() + &scene.config,
            "key \"lisen\" is not known; the nearest known key is \"listen\"",
        ),
        (
            issuer("validity = 3"),
            "[[issuer]] 1 (\"ca\"): key \"validity\": found the number 3, expected a duration",
        ),
        (
            issuer("validity = \"3\""),
            "[[issuer]] 1 (\"ca\"): key \"validity\": found \"3\", expected a duration from 1m",
        ),
        (
            issuer("validity = \"1s\""),
            "[[issuer]] 1 (\"ca\"): key \"validity\": found \"1s\", expected a duration from 1m",
        ),
        (
            issuer("unknown = \"good\""),
            "[[issuer]] 1 (\"ca\"): key \"unknown\": found \"good\", expected \"unauthorized\" or \"unknown\" or \"revoked\"",
        ),
        (
            issuer("padding = \"oaep\""),
            "[[issuer]] 1 (\"ca\"): key \"padding\": found \"oaep\", expected \"pkcs1\" or \"pss\"",
        ),
        (
            issuer("policy = \"public\""),
            "[[issuer]] 1 (\"ca\"): key \"policy\": found \"public\", expected \"private\" or \"cabf\" or",
        ),
        (
            issuer("policy = \"cabf\"\nunknown = \"unknown\""),
            "[[issuer]] 1 (\"ca\"): key \"policy\": found \"cabf\" with unknown = \"unknown\", expected \"unauthorized\" or \
             \"revoked\", as no assigned serial may be unknown (BR 4.9.9)",
        ),
        (
            issuer("policy = \"mozilla\"\n[cache]\nmax-stale = \"1d\""),
            "[[issuer]] 1 (\"ca\"): key \"policy\": found \"mozilla\" with revalidate = 1s of its source and max-stale = 86400s, \
             expected less than 24h together, after which a revocation has to be seen (BR 4.9.9)",
        ),
        (
            issuer("digest = \"sha1\""),
            "[[issuer]] 1 (\"ca\"): key \"digest\": found \"sha1\", expected \"sha256\" or \"sha384\" or \"sha512\"",
        ),
        (
            scene.with(&key, "key = \"credential:\""),
            "[[issuer]] 1 (\"ca\"): key \"key\": found \"credential:\", expected an absolute path of at most 1024 octets, \
             or \"credential:NAME\" with a name that systemd allows",
        ),
        (
            scene.with(&key, "key = \"credential:../key\""),
            "[[issuer]] 1 (\"ca\"): key \"key\": found \"credential:../key\", expected an absolute path",
        ),
        (
            scene.with(&key, "key = \"responder.key\""),
            "[[issuer]] 1 (\"ca\"): key \"key\": found \"responder.key\", expected an absolute path",
        ),
        (
            scene.with(&key, ""),
            "[[issuer]] 1 (\"ca\"): key \"key\": found nothing, expected an absolute path, or \"credential:NAME\"",
        ),
        (
            issuer("passphrase-file = \"credential:a:b\""),
            "[[issuer]] 1 (\"ca\"): key \"passphrase-file\": found \"credential:a:b\", expected an absolute path",
        ),
        (
            issuer("[cache]\nmemory = 5"),
            "[cache]: key \"memory\": found the number 5, expected a size",
        ),
        (
            issuer("[cache]\nmemory = \"256\""),
            "[cache]: key \"memory\": found \"256\", expected a size",
        ),
        (
            issuer("[log]\nto = \"file\""),
            "[log]: key \"to\": found \"file\", expected \"stderr\" or \"syslog\"",
        ),
        (
            issuer("[frontend]\nverify = \"never\""),
            "[frontend]: key \"verify\": found \"never\", expected \"sample\" or \"always\"",
        ),
        (
            listen("connections = \"many\""),
            "[listen]: key \"connections\": found \"many\", expected a whole number from 1",
        ),
        (
            listen("connections = 0"),
            "[listen]: key \"connections\": found the number 0, expected a whole number from 1",
        ),
        (
            listen("proxies = [\"10.0.0.1/8\"]"),
            "[listen]: key \"proxies\": found \"10.0.0.1/8\", expected addresses, networks or \"unix\", such as",
        ),
        (
            listen("proxies = 10"),
            "[listen]: key \"proxies\": found the number 10, expected addresses, networks or \"unix\"",
        ),
        (
            source("kind = 1").replace("kind = \"index\"\n", ""),
            "[[source]] 1 (\"ca\"): key \"kind\": found the number 1, expected \"index\"",
        ),
        (
            scene.with("127.0.0.1:0", "localhost"),
            "[listen]: key \"http\": found \"localhost\", expected addresses such as",
        ),
        (
            scene.with(&key, "key = \"key.pem\""),
            "[[issuer]] 1 (\"ca\"): key \"key\": found \"key.pem\", expected an absolute path",
        ),
        (
            scene.with(&key, ""),
            "[[issuer]] 1 (\"ca\"): key \"key\": found nothing, expected an absolute path",
        ),
        (
            scene.with("source = \"ca\"", "source = \"cb\""),
            "[[issuer]] 1 (\"ca\"): key \"source\": found \"cb\", expected the name of a source (\"ca\")",
        ),
        (
            issuer(&scene.ca.issuer("")),
            "key \"issuer\": found the name \"ca\" twice, expected different names",
        ),
        (
            issuer(&scene.ca.source("")),
            "key \"source\": found the name \"ca\" twice, expected different names",
        ),
        (
            scene.with(&certificates, ""),
            "[[issuer]] 1 (\"ca\"): key \"good\": found \"certificate\" with the source \"ca\", which has no certificates, expected",
        ),
        (
            head("") + &scene.ca.source(""),
            "key \"issuer\": found nothing, expected at least one section [[issuer]]",
        ),
        (
            issuer("validity = \"2m\"\nbackdate = \"90s\""),
            "[[issuer]] 1 (\"ca\"): key \"backdate\": found 90s, expected at most half of the validity",
        ),
        (
            scene.with(
                &format!("frontend = {frontend}"),
                "frontend = \"no-such-user\"",
            ),
            "[users]: key \"frontend\": found \"no-such-user\", expected a user of this machine",
        ),
        (
            "[users\n".to_owned() + &scene.config,
            "line 1, column 7: is no TOML: unclosed table, expected `]`",
        ),
    ];
    // A database's section in the place of the index's.
    let mysql = |lines: &str| {
        let section = format!("[[source]]\nname = \"ca\"\nkind = \"mysql\"\n{lines}\n");
        head("") + &section + &scene.ca.issuer("")
    };
    let socket = "url = \"mysql://cert@localhost/certs?socket=/run/s\"\n";
    let place = "[[source]] 1 (\"ca\"): ";
    let database = |lines: &str, sentence: &str| (mysql(lines), format!("{place}{sentence}"));
    let databases = [
        (
            mysql(&format!("{socket}timeout = \"5s\"")) + "policy = \"microsoft\"\n",
            "[[issuer]] 1 (\"ca\"): key \"policy\": found \"microsoft\" with timeout = 5000 ms of its source, expected at most \
             4s, as an answer may take 10 s (BR 4.10.2)"
                .to_owned(),
        ),
        database("", "key \"url\": found nothing, expected mysql://USER@HOST"),
        database(
            "url = \"mysql://cert:hunter2@localhost/certs\"",
            "key \"url\": found a password, which belongs into a file named by \"password-file\", expected mysql://",
        ),
        database(
            "url = \"mysql://cert@localhost/certs\"",
            "key \"tls-ca\": found nothing, and no Unix socket in \"url\", expected the certificates",
        ),
        database(
            "url = \"mysql://cert@db/certs\"\ninsecure-plaintext = true\ntls-ca = \"/ca\"",
            "key \"insecure-plaintext\": found true, with \"tls-ca\", expected one of",
        ),
        database(
            &format!("{socket}tls-ca = \"/ca\""),
            "key \"tls-ca\": found a file, with the Unix socket \"/run/s\", expected nothing",
        ),
        database(
            &format!("{socket}insecure-plaintext = 1"),
            "key \"insecure-plaintext\": found the number 1, expected true or false",
        ),
        database(
            &format!("{socket}password = \"hunter2\""),
            "key \"password\" is not known; the nearest known key is \"password-file\"",
        ),
        database(
            &format!("{socket}table = \"a`b\""),
            "key \"table\": found \"a`b\", expected a name of 1 to 64 characters",
        ),
        database(
            &format!("{socket}connections = 65"),
            "key \"connections\": found the number 65, expected a whole number from 1 to 64",
        ),
        database(
            &format!("{socket}timeout = \"1m\""),
            "key \"timeout\": found \"1m\", expected a duration from 100ms to 20s",
        ),
        database(
            &format!("{socket}file = \"/index.txt\""),
            "key \"file\" is not known",
        ),
    ];
    mistakes.extend(
        databases
            .iter()
            .map(|(config, sentence)| (config.clone(), sentence.as_str())),
    );
    if root_for("mistakes in [users]") {
        let (frontend, signer) = (
            format!("frontend = {frontend}"),
            format!("signer = {signer}"),
        );
        mistakes.extend([
            (scene.with(&frontend, "frontend = \"root\""), "[users]: key \"frontend\": found \"root\", which is root, expected a user of its own"),
            (scene.with(&signer, "signer = 0"), "[users]: key \"signer\": found \"0\", which is root, expected a user of its own"),
            (scene.with(&signer, &frontend.replace("frontend", "signer")), "[users]: key \"signer\": found \"61801\" and \"61801\", which share an id, expected two users"),
        ]);
    }
    for (config, sentence) in mistakes {
        for words in [&["run"][..], &["check"], &[]] {
            let (code, said, error) = scene.command(words, &config);
            let expected = format!(
                "ocsp-server: {}: {sentence}",
                scene.folder.path("config.toml")
            );
            assert!(
                error.starts_with(&expected),
                "{expected:?} was expected, not:\n{error}"
            );
            assert_eq!((code, &*said), (3, ""), "{sentence}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let folder = Folder::new();
    let missing = folder.path("missing.toml");
    let words = [launcher().to_str().unwrap(), "--config", &missing];
    let output = output("/", &words, &[]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with(&format!(
            "ocsp-server: {missing}: the configuration cannot be read: "
        )),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let scene = Draft::new();
    for mode in [0o440, 0o404, 0o640] {
        set_mode(scene.ca.key(), mode);
        let (code, said) = Server::fails(&scene.folder, &scene.config);
        assert_eq!(code, 5, "{said}");
        let sentence = format!(
            "{}: mode {mode:04o} is open to group or others, 0400 was expected",
            scene.ca.key()
        );
        assert!(said.contains(&sentence), "{said}");
        assert!(
            said.lines()
                .last()
                .unwrap()
                .starts_with("ocsp-server: ocsp-signer refuses to serve: issuer \"ca\": "),
            "{said}"
        );
        let (code, listed, _) = scene.command(&["check"], &scene.config);
        assert_eq!(code, 1, "{listed}");
        assert!(
            listed.contains(&format!("FAILED  ocsp-signer: issuer \"ca\": {sentence}")),
            "{listed}"
        );
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let scene = Draft::new();
    scene
        .ca
        .give_to_signer(&scene.ca.path("private/person.key"));
    let (code, said) = Server::fails(&scene.folder, &scene.config);
    assert_eq!(code, 5, "{said}");
    let sentence = format!(
        "{}: is not the key of the certificate {}",
        scene.ca.key(),
        scene.ca.path("responder.crt")
    );
    assert!(said.contains(&sentence), "{said}");
    let (code, listed, error) = scene.command(&["check"], &scene.config);
    assert_eq!(code, 1);
    assert!(
        listed.contains("FAILED  ocsp-signer: ") && listed.contains(&sentence),
        "{listed}"
    );
    assert!(
        error.contains("the check found what has to be mended"),
        "{error}"
    );
}

#[test]
fn a_delegate_of_another_ca_is_refused() {
    let scene = Draft::new();
    let other = Ca::new(&scene.folder, "other", Kind::P256, By::Delegate);
    let responder = format!("responder = {:?}", scene.ca.path("responder.crt"));
    let theirs = format!("responder = {:?}", other.path("responder.crt"));
    let (code, said) = Server::fails(&scene.folder, &scene.with(&responder, &theirs));
    assert_eq!(code, 5, "{said}");
    assert!(said.contains(&other.path("responder.crt")), "{said}");
}

/// All that `check` could change: every file below a folder.
fn files(folder: &Path, found: &mut BTreeMap<PathBuf, (u64, i64, i64, i64, i64, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        let times = (
            about.mtime(),
            about.mtime_nsec(),
            about.ctime(),
            about.ctime_nsec(),
        );
        found.insert(
            path.clone(),
            (
                about.len(),
                times.0,
                times.1,
                times.2,
                times.3,
                about.mode(),
            ),
        );
        if about.is_dir() {
            files(&path, found);
        }
    }
}

#[test]
fn check_says_what_is_well_and_changes_nothing() {
    let scene = Draft::new();
    // The address is taken: whoever bound it would fail.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = scene.with("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    scene.folder.file("config.toml", &config);
    let all = || {
        let mut found = BTreeMap::new();
        files(Path::new(&scene.folder.path("")), &mut found);
        found
    };
    let before = all();
    let file = scene.folder.path("config.toml");
    let words = [launcher().to_str().unwrap(), "check", "--config", &file];
    let output = output("/", &words, &[]);
    let said = without_limits(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(all(), before);
    for expected in [
        format!("ok      {file}: the configuration can be read"),
        format!(
            "ok      ocsp-frontend: source \"ca\": {}: 2 certificates",
            scene.ca.path("index.txt")
        ),
        format!(
            "ok      ocsp-signer: issuer \"ca\": key {} (256 bits, ecdsa-with-SHA256) belongs to {}",
            scene.ca.key(),
            scene.ca.path("responder.crt")
        ),
        "ok      ocsp-frontend: locked in as ocsp-frontend[".to_owned(),
        "ok      ocsp-signer: locked in as ocsp-signer[".to_owned(),
    ] {
        assert!(
            said.contains(&expected),
            "{expected:?} was expected in:\n{said}"
        );
    }
    // Where both children are the caller, the frontend can read what is the caller's, and that is said.
    let private = format!(
        "WARNING ocsp-frontend: {}: the frontend's user can read it",
        scene.ca.path("private")
    );
    let others = said
        .lines()
        .filter(|line| !line.starts_with("ok      ") && !line.starts_with(&private));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
    assert_eq!(said.contains("WARNING"), !is_root(), "{said}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn check_fails_where_the_index_cannot_be_read() {
    let scene = Draft::new();
    for (text, sentence) in [
        ("V\tbroken\n", "line 1: has 2 fields"),
        ("V\tx", "half written"),
    ] {
        scene.ca.set_index(text);
        let (code, said, _) = scene.command(&["check"], &scene.config);
        assert_eq!(code, 1, "{said}");
        let line = said
            .lines()
            .find(|line| line.starts_with("FAILED  ocsp-frontend: "))
            .unwrap();
        assert!(
            line.contains(sentence) && line.contains(&scene.ca.path("index.txt")),
            "{said}"
        );
    }
}

/// conformance 57, 45: what breaks a policy is found before it is served.
#[test]
fn check_prints_each_clause_that_the_configuration_breaks() {
    let scene = Draft::new();
    let broken = "policy = \"cabf\"\nvalidity = \"1h\"\ngood = \"status\"\n";
    let (code, said, _) = scene.command(&["check"], &(scene.config.clone() + broken));
    assert_eq!(code, 1, "{said}");
    for sentence in [
        "the validity is less than 8h (BR 4.9.9)",
        "good = \"status\" does not see to it that an unassigned serial is never good (BR 4.9.9)",
    ] {
        let line = format!("FAILED  ocsp-signer: issuer \"ca\": {sentence}\n");
        assert!(said.contains(&line), "{said}");
    }
    let obeyed = scene.config.clone() + "policy = \"cabf\"\n";
    let (code, said, _) = scene.command(&["check"], &obeyed);
    assert_eq!(code, 0, "{said}");
}

/// conformance 43: where nonces are ignored and the validity is long, `check` and a start say so; where either is otherwise,
/// they say nothing.
#[test]
fn nonces_that_are_ignored_beside_a_long_validity_are_a_warning() {
    let scene = Draft::new();
    let sentence = "issuer \"ca\": nonces are ignored, so that only the validity, 192 h, bounds how long an old answer can be \
                    replayed: a validity of 7d at most, or nonce = \"echo\" (RFC 9654 3.1)";
    let warning = format!("WARNING ocsp-frontend: {sentence}\n");
    let long = scene.config.clone() + "nonce = \"ignore\"\nvalidity = \"8d\"\n";
    let (code, said, _) = scene.command(&["check"], &long);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&warning), "{said}");
    for silent in [
        "nonce = \"ignore\"\nvalidity = \"7d\"\n",
        "nonce = \"ignore\"\n",
        "nonce = \"echo\"\nvalidity = \"8d\"\n",
    ] {
        let (code, said, _) = scene.command(&["check"], &(scene.config.clone() + silent));
        assert_eq!(code, 0, "{said}");
        lacks(&said, &["nonces are ignored"]);
    }
    let server = Server::new(&scene.folder, &long);
    let line = server.says("nonces are ignored");
    let who = format!("ocsp-frontend[{}]", server.generation().frontend);
    assert!(line.contains(&format!("{who} says: {sentence}")), "{line}");
}

#[test]
fn check_warns_when_the_frontend_could_read_the_private_folder() {
    let scene = Draft::new();
    if !root_for("the warning that the frontend's user can read private/") {
        return;
    }
    set_mode(scene.ca.path("private"), 0o755);
    let (code, said, _) = scene.command(&["check"], &scene.config);
    assert_eq!(code, 0, "{said}");
    let warning = format!(
        "WARNING ocsp-frontend: {}: the frontend's user can read it",
        scene.ca.path("private")
    );
    assert!(said.contains(&warning), "{said}");
}

#[test]
fn help_lists_commands_and_exit_codes() {
    let words = [launcher().to_str().unwrap(), "--help"];
    let output = output("/", &words, &[]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "run ",
        "check ",
        "demo ",
        "--config",
        "/etc/ocsp-server/config.toml",
        "--version",
        "Exit codes: 0 ended as asked; 1 ",
        "; 2 command line; 3 configuration; 4 ",
        "; 5 ",
    ] {
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            flat.contains(expected),
            "{expected:?} was expected in:\n{said}"
        );
    }
}

#[test]
fn a_command_line_that_is_none_is_exit_code_2() {
    for words in [
        &["--confg", "x"][..],
        &["serve"],
        &["run", "extra"],
        &["demo", "--listen", "here"],
    ] {
        let words = [&[launcher().to_str().unwrap()], words].concat();
        let output = output("/", &words, &[]);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn the_configurations_in_the_readme_can_be_read() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&readme).unwrap_or_default();
    let blocks: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(
        !blocks.is_empty(),
        "{}: a ```toml block was expected",
        readme.display()
    );
    for block in blocks {
        // The accounts may not exist here: numbers stand for them.
        let mut section = "";
        let lines = block.lines().map(|line| {
            if line.trim_start().starts_with('[') {
                section = line.trim();
            }
            let key = line.split('=').next().unwrap().trim();
            match (section.starts_with("[users]"), key) {
                (true, "frontend") => "frontend = 61801\n".to_owned(),
                (true, "signer") => "signer = 61802\n".to_owned(),
                _ => format!("{line}\n"),
            }
        });
        let block: String = lines.collect();
        // Without a section [users], the defaults are accounts as well.
        let block = if block.contains("[users]") {
            block
        } else {
            block + "\n[users]\nfrontend = 61801\nsigner = 61802\n"
        };
        if let Err(mistake) = Config::parse("README.md", &block) {
            panic!("{mistake}, in\n{block}");
        }
    }
}

#[test]
fn a_child_is_handed_as_many_credentials_as_one_message_carries() {
    let scene = Draft::new();
    let (before, issuer) = scene.config.split_once("[[issuer]]").unwrap();
    let parse = |count: usize| {
        let issuers = (0..count).map(|number| {
            let key = format!(
                "key = \"credential:key-{number}\"\npassphrase-file = \"credential:phrase\""
            );
            let issuer = issuer.replace(&format!("key = {:?}", scene.ca.key()), &key);
            "[[issuer]]".to_owned()
                + &issuer.replace("name = \"ca\"", &format!("name = \"{number}\""))
        });
        Config::parse(
            "config.toml",
            &(before.to_owned() + &issuers.collect::<String>()),
        )
    };
    let config = parse(90).unwrap();
    let secrets: Vec<_> = config.issuers[1]
        .secrets()
        .map(ToString::to_string)
        .collect();
    assert_eq!(secrets, ["credential:key-1", "credential:phrase"]);
    let expected = "config.toml: key \"issuer\": found 182 credentials, expected at most 180, and files for the others";
    assert_eq!(parse(91).unwrap_err().0, expected);
}

#[test]
fn memory_that_cannot_be_locked_is_a_warning_or_a_refusal_where_so_configured() {
    let scene = Draft::new();
    let required = format!("[signer]\nrequire-mlock = true\n{}", scene.config);
    let check = |config: &str, limit: Option<&str>| {
        let file = scene.folder.file("config.toml", config);
        let check = [launcher().to_str().unwrap(), "check", "--config", &file];
        let words = match limit {
            // The hard limit: an ordinary user does not raise it again, and neither does root without its capability.
            Some(limit) => {
                let without = ["setpriv", "--bounding-set", "-sys_resource"];
                let without = if is_root() { &without[..] } else { &[] };
                [without, &["prlimit", limit], &check].concat()
            }
            None => check.to_vec(),
        };
        let output = output("/", &words, &[]);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), said)
    };
    let sentence = "its memory cannot be kept from the disk: ENOMEM: Out of memory: RLIMIT_MEMLOCK has to be unlimited (LimitMEMLOCK=infinity)";
    let (code, said) = check(&scene.config, Some("--memlock=4194304"));
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(&format!("WARNING ocsp-signer: {sentence}\n")),
        "{said}"
    );
    let (code, said) = check(&required, Some("--memlock=4194304"));
    assert_eq!(code, 1, "{said}");
    let refused = format!("FAILED  ocsp-signer: the process is not confined: {sentence}\n");
    assert!(said.contains(&refused), "{said}");
    // With what this machine allows: one or the other.
    let (code, said) = check(&required, None);
    assert_eq!(
        code == 0,
        said.contains("system calls, memory locked"),
        "{said}"
    );
    assert_eq!(code != 0, said.contains(&refused), "{said}");
}
