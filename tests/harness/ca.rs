//! Certification authorities as `openssl ca` keeps them.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use super::*;

/// What kind of key signs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rsa,
    P256,
}

impl Kind {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Rsa => &["-newkey", "rsa:2048"],
            Self::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        }
    }
}

/// Whose key signs the answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The CA's own.
    Itself,
    /// A delegated responder's.
    Delegate,
}

/// A moment so many seconds from now, as `openssl ca` wants it.
fn utc(from_now: i64) -> String {
    let date = format!("--date=@{}", now() + from_now);
    let said = must("/", &["date", "--utc", &date, "+%Y%m%d%H%M%SZ"]);
    said.trim().to_owned()
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs().try_into().unwrap()
}

/// A CA folder: `ca.crt`, `index.txt`, `newcerts/`, `private/` (nobody's but ours), and `keys/`, whose one key is the
/// signer's.
pub struct Ca {
    pub folder: PathBuf,
    pub name: String,
    by: By,
}

const OPENSSL_CNF: &str = "\
[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = newcerts
certificate = ca.crt
private_key = private/ca.key
serial = serial
default_days = 45
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
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[req]
distinguished_name = name
prompt = no
[name]
";

impl Ca {
    /// Makes one in a folder of its own, called `name`.
    pub fn new(folder: &Folder, name: &str, kind: Kind, by: By) -> Self {
        let ca = Self {
            folder: PathBuf::from(folder.path(name)),
            name: name.to_owned(),
            by,
        };
        fs::create_dir(&ca.folder).unwrap();
        set_mode(&ca.folder, 0o755);
        for (name, mode) in [("newcerts", 0o755), ("private", 0o700), ("keys", 0o711)] {
            fs::create_dir(ca.folder.join(name)).unwrap();
            set_mode(ca.folder.join(name), mode);
        }
        ca.write("openssl.cnf", OPENSSL_CNF);
        ca.write("index.txt", "");
        ca.write("serial", "1000\n");
        let mut make = vec!["openssl", "req", "-x509", "-nodes", "-days", "60"];
        make.extend(kind.arguments());
        make.extend(["-keyout", "private/ca.key", "-out", "ca.crt", "-subj"]);
        let subject = format!("/CN={name}");
        make.extend([&*subject, "-addext", "basicConstraints=critical,CA:TRUE"]);
        let usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature";
        must(&ca.folder, &[&make[..], &["-addext", usage]].concat());
        let person = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out private/person.key";
        ca.run(person);
        if by == By::Delegate {
            let mut make = vec!["openssl", "req", "-new", "-nodes", "-config", "openssl.cnf"];
            make.extend(kind.arguments());
            make.extend(["-keyout", "private/responder.key", "-out", "responder.csr"]);
            must(
                &ca.folder,
                &[&make[..], &["-subj", "/CN=responder"]].concat(),
            );
            ca.run("openssl ca -batch -config openssl.cnf -extensions responder -in responder.csr -out responder.crt");
        }
        let key = if by == By::Delegate {
            "responder"
        } else {
            "ca"
        };
        ca.give_to_signer(&ca.path(&format!("private/{key}.key")));
        ca
    }

    /// With `good.crt`, `revoked.crt` (index.txt: R), and `unlisted.crt`, which it signed and does not list.
    pub fn of_three(folder: &Folder, kind: Kind, by: By) -> Self {
        let ca = Self::new(folder, "ca", kind, by);
        ca.issue("good").issue("revoked").sign_unlisted("unlisted");
        ca.set_row("revoked", "R", "240102030405Z,keyCompromise");
        ca
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, words: &str) -> String {
        must(&self.folder, &words.split(' ').collect::<Vec<_>>())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
        set_mode(self.folder.join(name), 0o644);
    }

    /// The key that the signer uses: only the signer can read it.
    pub fn key(&self) -> String {
        self.path("keys/signing.key")
    }

    /// Makes a copy of this key file the signer's key.
    pub fn give_to_signer(&self, key: &str) {
        let octets = fs::read(key).unwrap();
        let _ = fs::remove_file(self.key()); // there is none the first time
        fs::write(self.key(), octets).unwrap();
        set_mode(self.key(), 0o400);
        chown(self.key(), Some(users().1), Some(signer_group())).unwrap();
    }

    /// Makes a delegated responder beside the first: `NAME.crt`, valid from and until these moments, and `keys/NAME.key`, the
    /// signer's. Its section `[[issuer.keys]]`.
    pub fn delegate(&self, name: &str, kind: Kind, from_until: [i64; 2]) -> String {
        let mut make = vec!["openssl", "req", "-new", "-nodes", "-config", "openssl.cnf"];
        make.extend(kind.arguments());
        let (key, csr, subject) = (
            self.path(&format!("keys/{name}.key")),
            format!("{name}.csr"),
            format!("/CN={name}"),
        );
        make.extend(["-keyout", &key, "-out", &csr, "-subj", &subject]);
        must(&self.folder, &make);
        let [from, until] = from_until.map(utc);
        self.run(&format!(
            "openssl ca -batch -config openssl.cnf -extensions responder -startdate {from} -enddate {until} -in {csr} -out {name}.crt"
        ));
        set_mode(&key, 0o400);
        chown(&key, Some(users().1), Some(signer_group())).unwrap();
        self.section(&key, &format!("{name}.crt"))
    }

    /// A section `[[issuer.keys]]`.
    pub fn section(&self, key: &str, responder: &str) -> String {
        let responder = self.path(responder);
        format!("[[issuer.keys]]\nkey = {key:?}\nresponder = {responder:?}\n")
    }

    /// Its `[[issuer]]` with these sections.
    pub fn issuer_with(&self, more: &str, keys: &[&str]) -> String {
        format!(
            "[[issuer]]\nname = {0:?}\nsource = {0:?}\ncertificate = {1:?}\n{more}\n{2}",
            self.name,
            self.path("ca.crt"),
            keys.concat()
        )
    }

    /// Issues `NAME.crt`, as `openssl ca` does.
    pub fn issue(&self, name: &str) -> &Self {
        self.run(&format!(
            "openssl req -new -config openssl.cnf -key private/person.key -subj /CN={name} -out {name}.csr"
        ));
        self.run(&format!(
            "openssl ca -batch -config openssl.cnf -in {name}.csr -out {name}.crt"
        ));
        self
    }

    /// Issues `NAME.crt`, valid from and until these moments.
    pub fn issue_for(&self, name: &str, from_until: [i64; 2]) -> &Self {
        let [from, until] = from_until.map(utc);
        self.run(&format!(
            "openssl req -new -config openssl.cnf -key private/person.key -subj /CN={name} -out {name}.csr"
        ));
        self.run(&format!(
            "openssl ca -batch -config openssl.cnf -startdate {from} -enddate {until} -in {name}.csr -out {name}.crt"
        ));
        self
    }

    /// Issues the certificate of another CA, which is its own no longer: `NAME.crt` here, and `ca.crt` there.
    pub fn certify(&self, other: &Self) -> &Self {
        let name = &other.name;
        let key = other.path("private/ca.key");
        self.run(&format!(
            "openssl req -new -config openssl.cnf -key {key} -subj /CN={name} -out {name}.csr"
        ));
        self.run(&format!(
            "openssl ca -batch -config openssl.cnf -extensions authority -in {name}.csr -out {name}.crt"
        ));
        fs::copy(self.path(&format!("{name}.crt")), other.path("ca.crt")).unwrap();
        self
    }

    /// Lists its own certificate among those it has issued.
    pub fn list_itself(&self) -> &Self {
        let serial = self.serial("ca");
        let listed = format!("newcerts/{serial}.pem");
        fs::copy(self.path("ca.crt"), self.folder.join(&listed)).unwrap();
        let until = utc(60 * 86_400);
        let row = format!("V\t{until}\t\t{serial}\tunknown\t/CN={}\n", self.name);
        self.set_index(&(self.index() + &row));
        self
    }

    /// Issues it with this serial, in hexadecimal.
    pub fn issue_with_serial(&self, name: &str, serial: &str) -> &Self {
        let next = fs::read_to_string(self.folder.join("serial")).unwrap();
        self.write("serial", &format!("{serial}\n"));
        self.issue(name);
        self.write("serial", &next);
        self
    }

    /// Signs `NAME.crt` past `index.txt` and `newcerts/`.
    pub fn sign_unlisted(&self, name: &str) -> &Self {
        self.run(&format!(
            "openssl req -new -config openssl.cnf -key private/person.key -subj /CN={name} -out {name}.csr"
        ));
        self.run(&format!(
            "openssl x509 -req -in {name}.csr -CA ca.crt -CAkey private/ca.key -set_serial 0x7777 -days 30 -out {name}.crt"
        ));
        self
    }

    /// Revokes `NAME.crt`, as `openssl ca` does.
    pub fn revoke(&self, name: &str, reason: &str) -> &Self {
        self.run(&format!(
            "openssl ca -batch -config openssl.cnf -revoke {name}.crt -crl_reason {reason}"
        ));
        self
    }

    /// The serial of `NAME.crt`, as `index.txt` and `newcerts/` spell it.
    pub fn serial(&self, name: &str) -> String {
        let said = self.run(&format!("openssl x509 -in {name}.crt -noout -serial"));
        said.trim().strip_prefix("serial=").unwrap().to_owned()
    }

    /// Where `newcerts/` has `NAME.crt`.
    pub fn listed(&self, name: &str) -> PathBuf {
        self.folder
            .join(format!("newcerts/{}.pem", self.serial(name)))
    }

    pub fn index(&self) -> String {
        fs::read_to_string(self.folder.join("index.txt")).unwrap()
    }

    /// Writes `index.txt` anew, at once.
    pub fn set_index(&self, text: &str) {
        self.write("index.txt.test", text);
        fs::rename(
            self.folder.join("index.txt.test"),
            self.folder.join("index.txt"),
        )
        .unwrap();
    }

    /// Changes the row of `NAME.crt`: its status, and its revocation.
    pub fn set_row(&self, name: &str, status: &str, revocation: &str) {
        let serial = self.serial(name);
        let row = |line: &str| {
            let mut fields: Vec<&str> = line.split('\t').collect();
            if fields[3] == serial {
                (fields[0], fields[2]) = (status, revocation);
            }
            fields.join("\t") + "\n"
        };
        self.set_index(&self.index().lines().map(row).collect::<String>());
    }

    /// Its `[[source]]`, with more lines.
    pub fn source(&self, more: &str) -> String {
        format!(
            "[[source]]\nname = {:?}\nkind = \"index\"\nfile = {:?}\ncertificates = {:?}\n{more}\n",
            self.name,
            self.path("index.txt"),
            self.path("newcerts")
        )
    }

    /// Its `[[issuer]]`, with more lines.
    pub fn issuer(&self, more: &str) -> String {
        let responder = match self.by {
            By::Itself => String::new(),
            By::Delegate => format!("responder = {:?}\n", self.path("responder.crt")),
        };
        format!(
            "[[issuer]]\nname = {0:?}\nsource = {0:?}\ncertificate = {1:?}\nkey = {2:?}\n{responder}{more}\n",
            self.name,
            self.path("ca.crt"),
            self.key()
        )
    }

    /// A request by `openssl ocsp` about `arguments`, such as `-cert good.crt`.
    pub fn request(&self, arguments: &str) -> Vec<u8> {
        let words = format!("openssl ocsp -issuer ca.crt {arguments} -reqout /dev/stdout");
        let words: Vec<&str> = words.split(' ').collect();
        let output = output(&self.folder, &words, &[]);
        assert!(output.status.success() && output.stdout.starts_with(&[0x30]));
        output.stdout
    }

    /// What `openssl ocsp` reads in an answer, verified.
    pub fn reads(&self, answer: &[u8]) -> String {
        let words = [
            "openssl",
            "ocsp",
            "-respin",
            "/dev/stdin",
            "-resp_text",
            "-CAfile",
            "ca.crt",
            "-issuer",
            "ca.crt",
        ];
        let output = output(&self.folder, &words, answer);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("Response verify OK"), "{said}");
        said
    }
}

/// The shape of DER, by `openssl asn1parse`: depth, kind and tag of every element, with names for identifiers.
pub fn shape(der: &[u8]) -> Vec<(u32, String)> {
    parsed(der, &[])
        .iter()
        .map(|line| {
            let depth = line.split_once(":d=").unwrap().1;
            let (depth, rest) = depth.split_once(' ').unwrap();
            let (_, kind) = rest.split_once("= ").unwrap();
            let (_, kind) = kind.trim_start().split_once(' ').unwrap();
            let kind = match kind.split_once("OBJECT") {
                Some(_) => kind,
                None => kind.split_once(" :").map_or(kind, |(kind, _)| kind),
            };
            let kind = kind.split("[HEX DUMP]").next().unwrap().trim();
            (depth.parse().unwrap(), kind.to_owned())
        })
        .collect()
}

/// The lines of `openssl asn1parse`.
pub fn parsed(der: &[u8], more: &[&str]) -> Vec<String> {
    let words = [&["openssl", "asn1parse", "-inform", "DER"], more].concat();
    let output = output(Path::new("/"), &words, der);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

/// The BasicOCSPResponse within an OCSPResponse.
pub fn basic(answer: &[u8]) -> Vec<u8> {
    let lines = parsed(answer, &[]);
    let line = lines
        .iter()
        .find(|line| line.contains("OCTET STRING"))
        .unwrap();
    let number = |after: &str| -> usize {
        let (_, rest) = line.split_once(after).unwrap();
        let digits = rest
            .trim_start()
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap();
        digits.parse().unwrap()
    };
    let start: usize = line.split_once(':').unwrap().0.trim().parse().unwrap();
    let content = start + number("hl=");
    answer[content..content + number("l= ").min(answer.len() - content)].to_vec()
}

/// The times of a DER structure, in order, as `YYYYMMDDHHMMSSZ`.
pub fn times(der: &[u8]) -> Vec<String> {
    let lines = parsed(der, &[]);
    let times = lines
        .iter()
        .filter_map(|line| line.split_once("GENERALIZEDTIME   :"));
    times.map(|(_, time)| time.trim().to_owned()).collect()
}

/// Seconds since 1970 of `YYYYMMDDHHMMSSZ`.
pub fn seconds(time: &str) -> i64 {
    let two = |at: usize| -> i64 { time[at..at + 2].parse().unwrap() };
    let (mut year, month, day) = (two(0) * 100 + two(2), two(4), two(6));
    // Days from civil: March is the first month, so that leap days come last.
    year -= i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    days * 86_400 + two(8) * 3600 + two(10) * 60 + two(12)
}
