//! `ocsp-server demo`: a throwaway CA, made with the `openssl` command, served through all three processes, and asked.
//! Everything lives in one temporary folder and goes with it; no account of the machine is made or changed: as root, the
//! two users are numbers without an account.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, Uid, mkdtemp};

use crate::exit::{Failure, Reason};
use crate::output::line;
use crate::privilege;

/// Numbers that Debian gives to nobody.
const FRONTEND: u32 = 61_801;
const SIGNER: u32 = 61_802;

/// Makes the CA, serves it, asks, and serves on until interrupted, or not (`once`).
pub fn demo(once: bool, listen: SocketAddr) -> Result<(), Failure> {
    let mut interrupts = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD] {
        interrupts.add(signal);
    }
    interrupts
        .thread_block()
        .map_err(Failure::environment("signals cannot be blocked"))?;
    let (frontend, signer) = if privilege::separated() {
        (FRONTEND, SIGNER)
    } else {
        line(format_args!(
            "Not root: the demo runs without user separation."
        ));
        (Uid::effective().as_raw(), Uid::effective().as_raw())
    };
    let folder = Folder::new()?;
    line(format_args!("A throwaway CA in {}:", folder.0.display()));
    let ca = Ca::make(&folder.0)?;
    let config = ca.configure(listen, frontend, signer)?;
    line(format_args!(
        "  good.crt (index.txt: V), revoked.crt (index.txt: R), unknown.crt (signed, but not in index.txt)\n"
    ));

    line(format_args!(
        "$ ocsp-server run --config {}",
        config.display()
    ));
    let mut server = Server::start(&config)?;
    let url = format!("http://{}/", server.address);
    processes(&server)?;
    let mut answers = Vec::new();
    for (certificate, expected) in [
        ("good", "good"),
        ("revoked", "revoked"),
        ("unknown", "unknown"),
    ] {
        let ask = ca.ask(certificate, &url);
        line(format_args!("\n$ {}", ask.join(" ")));
        let said = text(&run(&folder.0, &ask)?);
        line(said.trim_end());
        answers.push(
            said.contains(&format!("{certificate}.crt: {expected}"))
                && said.contains("Response verify OK"),
        );
    }
    if answers.contains(&false) {
        return Err(Failure::new(
            Reason::Failed,
            "an answer was not the one expected",
        ));
    }
    line(format_args!(
        "\nThree questions, three signed answers, as expected."
    ));
    if once {
        return server.stop();
    }
    line(format_args!(
        "Serving until interrupted (Ctrl-C); the commands above can be repeated in another terminal."
    ));
    loop {
        match interrupts.wait() {
            Ok(Signal::SIGCHLD) if server.ended() => {
                return Err(Failure::new(Reason::Failed, "the server left by itself"));
            }
            Ok(Signal::SIGCHLD) => {}
            Ok(_) | Err(_) => return server.stop(),
        }
    }
}

/// `ps` of the three.
fn processes(server: &Server) -> Result<(), Failure> {
    let parent = server.process.id().to_string();
    let ask = [
        "ps",
        "-o",
        "user,pid,ppid,args",
        "--pid",
        &parent,
        "--ppid",
        &parent,
    ]
    .map(str::to_owned);
    line(format_args!("\n$ {}", ask.join(" ")));
    line(text(&run(Path::new("/"), &ask)?).trim_end());
    Ok(())
}

/// A temporary folder that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let template = std::env::temp_dir().join("ocsp-server-demo.XXXXXX");
        let folder = mkdtemp(&template).map_err(Failure::environment(template.display()))?;
        // The children's users have to get in; what they may read there is a matter of the files.
        fs::set_permissions(&folder, Permissions::from_mode(0o755))
            .map_err(Failure::environment(folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a folder left in /tmp is no failure
    }
}

/// A CA as `openssl ca` keeps it, with a delegated responder.
struct Ca<'a> {
    folder: &'a Path,
}

const OPENSSL_CNF: &str = "\
[ca]
default_ca = demo
[demo]
database = index.txt
new_certs_dir = newcerts
certificate = ca.crt
private_key = private/ca.key
rand_serial = yes
default_days = 30
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[responder]
keyUsage = critical, digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
authorityKeyIdentifier = keyid
[req]
distinguished_name = name
prompt = no
[name]
";

impl<'a> Ca<'a> {
    fn make(folder: &'a Path) -> Result<Self, Failure> {
        let ca = Self { folder };
        for (name, mode) in [("newcerts", 0o755), ("private", 0o700), ("keys", 0o711)] {
            let path = folder.join(name);
            fs::create_dir(&path).map_err(Failure::environment(path.display()))?;
            fs::set_permissions(&path, Permissions::from_mode(mode))
                .map_err(Failure::environment(path.display()))?;
        }
        ca.write("openssl.cnf", OPENSSL_CNF)?;
        ca.write("index.txt", "")?;
        ca.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout private/ca.key -out ca.crt -days 60 \
             -subj /CN=Demo-CA -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign",
        )?;
        for name in ["good", "revoked", "unknown", "responder"] {
            ca.openssl(&format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout private/{name}.key -out {name}.csr \
                 -config openssl.cnf -subj /CN={name}"
            ))?;
        }
        ca.openssl("ca -batch -config openssl.cnf -in good.csr -out good.crt")?;
        ca.openssl("ca -batch -config openssl.cnf -in revoked.csr -out revoked.crt")?;
        ca.openssl("ca -batch -config openssl.cnf -revoke revoked.crt -crl_reason keyCompromise")?;
        ca.openssl("ca -batch -config openssl.cnf -extensions responder -in responder.csr -out responder.crt")?;
        ca.openssl(
            "x509 -req -in unknown.csr -CA ca.crt -CAkey private/ca.key -days 30 -out unknown.crt",
        )?;
        Ok(ca)
    }

    /// The configuration, and the key where the signer can read it and nobody else.
    fn configure(
        &self,
        listen: SocketAddr,
        frontend: u32,
        signer: u32,
    ) -> Result<PathBuf, Failure> {
        let key = self.folder.join("keys/responder.key");
        let failed = || Failure::environment::<std::io::Error>(key.display());
        fs::rename(self.folder.join("private/responder.key"), &key).map_err(failed())?;
        fs::set_permissions(&key, Permissions::from_mode(0o400)).map_err(failed())?;
        chown(&key, Some(signer), Some(signer)).map_err(failed())?;
        let folder = self.folder.display();
        self.write(
            "config.toml",
            &format!(
                r#"[listen]
http = ["{listen}"]

[users]
frontend = {frontend}
signer   = {signer}

[[source]]
name         = "ca"
kind         = "index"
file         = "{folder}/index.txt"
certificates = "{folder}/newcerts"

[[issuer]]
name        = "Demo CA"
certificate = "{folder}/ca.crt"
key         = "{folder}/keys/responder.key"
responder   = "{folder}/responder.crt"
unknown     = "unknown"
"#
            ),
        )?;
        Ok(self.folder.join("config.toml"))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(Failure::environment(path.display()))
    }

    fn openssl(&self, arguments: &str) -> Result<(), Failure> {
        let words = ["openssl"]
            .into_iter()
            .chain(arguments.split_whitespace())
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let output = run(self.folder, &words)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(
            Reason::Failed,
            format_args!("{}: failed:\n{}", words.join(" "), text(&output)),
        ))
    }

    /// The command that asks about a certificate.
    fn ask(&self, certificate: &str, url: &str) -> Vec<String> {
        let folder = self.folder.display();
        format!("openssl ocsp -CAfile {folder}/ca.crt -issuer {folder}/ca.crt -cert {folder}/{certificate}.crt -url {url}")
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }
}

fn run(folder: &Path, words: &[String]) -> Result<Output, Failure> {
    let [program, arguments @ ..] = words else {
        return Err(Failure::new(Reason::Failed, "no command"));
    };
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::environment(format_args!(
            "the command {program:?} is needed"
        )))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// The launcher, as a process of its own.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts it, shows its log, and waits until it serves.
    fn start(config: &Path) -> Result<Self, Failure> {
        let own = std::env::current_exe().map_err(Failure::environment("/proc/self/exe"))?;
        let mut process = Command::new(own)
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Failure::environment("the server cannot be started"))?;
        let (lines, log) = mpsc::channel();
        if let Some(stderr) = process.stderr.take() {
            std::thread::spawn(move || {
                for logged in BufReader::new(stderr).lines().map_while(Result::ok) {
                    line(&logged);
                    let _ = lines.send(logged); // nobody listens any more once it serves
                }
            });
        }
        let mut server = Self {
            process,
            address: String::new(),
        };
        loop {
            let line = log
                .recv_timeout(Duration::from_secs(30))
                .map_err(|_| Failure::new(Reason::Failed, "the server did not come to serve"))?;
            if let Some((_, address)) = line.split_once("listening on ") {
                server.address = address.to_owned();
            }
            if line.contains("serves: frontend") {
                return Ok(server);
            }
        }
    }

    fn ended(&mut self) -> bool {
        self.process.try_wait().ok().flatten().is_some()
    }

    fn stop(&mut self) -> Result<(), Failure> {
        if !self.ended() {
            let pid = i32::try_from(self.process.id())
                .map(Pid::from_raw)
                .map_err(Failure::environment("the server's pid"))?;
            kill(pid, Signal::SIGTERM)
                .map_err(Failure::environment("the server cannot be stopped"))?;
        }
        let status = self
            .process
            .wait()
            .map_err(Failure::environment("the server"))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(
                Reason::Failed,
                format_args!("the server: {status}"),
            ))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop(); // on the way out after a failure that is reported already
    }
}
