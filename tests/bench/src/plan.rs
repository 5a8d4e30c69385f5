//! What stands behind the servers: authorities with a table and an `index.txt` of many rows, some of which have a certificate
//! that proves them.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

use crate::harness::*;

/// Serials of 20 octets: a kind, zeros, and a number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Serials {
    /// Issued, with a certificate.
    Proven = 0x21,
    /// In the table and the index to make them long; nobody asks about them.
    Filler = 0x11,
    /// Nobody's.
    Unknown = 0x31,
}

/// A serial.
pub fn serial(kind: Serials, number: u64) -> [u8; 20] {
    let mut octets = [0; 20];
    octets[0] = kind as u8;
    octets[12..].copy_from_slice(&number.to_be_bytes());
    octets
}

/// In hexadecimal digits, of lower case.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

/// A CA whose own key signs its answers, and what it has issued.
pub struct Authority {
    /// Its files.
    pub ca: Ca,
    /// Its table, if one is needed.
    pub database: Option<Database>,
    /// How many serials are proven.
    pub proven: u64,
    /// A request about serial 0 of the proven ones, and one with a nonce.
    pub request: Vec<u8>,
    /// Likewise.
    pub nonce_request: Vec<u8>,
    /// Rows of the table, and lines of the index.
    pub rows: u64,
}

impl Authority {
    /// One that says it has issued `rows` certificates, and has issued `proven`, of which `newcerts/` has so many as `index`
    /// says.
    pub fn new(
        folder: &Folder,
        kind: Kind,
        proven: u64,
        rows: u64,
        server: Option<&Arc<DbServer>>,
        index: Option<u64>,
    ) -> Self {
        let begun = Instant::now();
        let name = match kind {
            Kind::Rsa => "rsa",
            Kind::P256 => "p256",
        };
        let ca = Ca::new(folder, name, kind, By::Itself);
        ca.issue_with_serial("pattern", &hex(&serial(Serials::Proven, 0)));
        let authority = Self {
            request: ca.request("-no_nonce -cert pattern.crt"),
            nonce_request: ca.request("-cert pattern.crt"),
            database: server.map(|server| Database::on_called(Arc::clone(server), name)),
            ca,
            proven,
            rows: rows.max(proven),
        };
        if let Some(database) = &authority.database {
            authority.fill_table(database);
        }
        if index.is_some() {
            authority.fill_index();
        }
        authority.prove(index.unwrap_or(0));
        eprintln!(
            "  {name}: {} rows, {proven} certificates{}{}: {:.0} s",
            authority.rows,
            if server.is_some() { ", a table" } else { "" },
            if index.is_some() {
                ", an index.txt"
            } else {
                ""
            },
            begun.elapsed().as_secs_f64()
        );
        authority
    }

    fn fill_table(&self, database: &Database) {
        database.sql("CREATE TABLE digits (d int); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);");
        let number = "a.d + 10*b.d + 100*c.d + 1000*d.d + 10000*e.d + 100000*f.d + 1000000*g.d";
        let prefix = hex(&serial(Serials::Filler, 0)[..12]);
        let rows = self.rows - self.proven;
        database.sql(&format!(
            "SET unique_checks = 0; INSERT INTO list_certs (cert_num, cert) SELECT \
             CONCAT('0x{prefix}', LPAD(LOWER(HEX({number})), 16, '0')), '' FROM \
             digits a, digits b, digits c, digits d, digits e, digits f, digits g WHERE {number} < {rows}; DROP TABLE digits;"
        ));
    }

    /// `index.txt`, as `openssl ca` writes it and `openssl ocsp` reads it.
    fn fill_index(&self) {
        let path = self.ca.folder.join("index.txt");
        let mut file = BufWriter::new(fs::File::create(&path).unwrap());
        let filler = (0..self.rows - self.proven).map(|number| serial(Serials::Filler, number));
        let proven = (0..self.proven).map(|number| serial(Serials::Proven, number));
        for serial in filler.chain(proven) {
            let serial = hex(&serial).to_uppercase();
            writeln!(file, "V\t491231235959Z\t\t{serial}\tunknown\t/CN=pattern").unwrap();
        }
        file.flush().unwrap();
        set_mode(path, 0o644);
        fs::write(
            self.ca.folder.join("index.txt.attr"),
            "unique_subject = no\n",
        )
        .unwrap();
    }

    /// The certificates of the proven serials, each signed by the CA, into the table and into `newcerts/`.
    fn prove(&self, files: u64) {
        let words = ["openssl", "x509", "-in", "pattern.crt", "-outform", "DER"];
        let pattern = Pattern::new(output(&self.ca.folder, &words, &[]).stdout);
        let key = fs::read(self.ca.folder.join("private/ca.key")).unwrap();
        let key = PKey::private_key_from_pem(&key).unwrap();
        let mut rows = String::new();
        for number in 0..self.proven {
            let serial = serial(Serials::Proven, number);
            let certificate = pattern.signed(&serial, &key);
            let name = hex(&serial);
            if number < files {
                fs::write(self.file(number), pem(&certificate)).unwrap();
            }
            let Some(database) = &self.database else {
                continue;
            };
            let begin = if rows.is_empty() {
                "INSERT INTO list_certs (cert_num, cert) VALUES "
            } else {
                ","
            };
            write!(rows, "{begin}('0x{name}',X'{}')", hex(&certificate)).unwrap();
            if number % 5000 == 4999 || number == self.proven - 1 {
                database.sql(&rows);
                rows.clear();
            }
        }
    }

    /// Where `newcerts/` has the certificate of a proven serial.
    fn file(&self, number: u64) -> PathBuf {
        let name = hex(&serial(Serials::Proven, number)).to_uppercase();
        self.ca.folder.join(format!("newcerts/{name}.pem"))
    }

    /// Has these certificates of `newcerts/` in memory, as MariaDB has its table: some systems free what was not read for
    /// seconds, and who reads first would wait for the disk.
    pub fn warm(&self, numbers: Range<u64>) {
        for number in numbers {
            fs::read(self.file(number)).unwrap();
        }
    }

    /// The `[[source]]` and `[[issuer]]` of its table or its index.
    pub fn sections(&self, index: bool) -> String {
        let source = match &self.database {
            Some(database) if !index => database.source(&self.ca.name, ""),
            _ => self.ca.source(""),
        };
        source + &self.ca.issuer("")
    }
}

/// A certificate whose serial is to be replaced.
struct Pattern {
    tbs: Vec<u8>,
    serial: usize,
    algorithm: Vec<u8>,
}

impl Pattern {
    fn new(certificate: Vec<u8>) -> Self {
        let outer = content(&certificate, 0).start;
        let tbs = outer..content(&certificate, outer).end;
        let algorithm = tbs.end..content(&certificate, tbs.end).end;
        let tbs = certificate[tbs].to_vec();
        Self {
            serial: place(&tbs, &serial(Serials::Proven, 0)),
            tbs,
            algorithm: certificate[algorithm].to_vec(),
        }
    }

    fn signed(&self, serial: &[u8; 20], key: &PKey<Private>) -> Vec<u8> {
        let mut tbs = self.tbs.clone();
        tbs[self.serial..self.serial + 20].copy_from_slice(serial);
        let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
        let signature = signer.sign_oneshot_to_vec(&tbs).unwrap();
        let bits = value(3, &[&[0], &signature[..]].concat());
        value(0x30, &[&tbs, &self.algorithm, &bits[..]].concat())
    }
}

/// A DER value of less than 64 KiB.
fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, 0..128) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// Where the content is of the DER value that begins at a place.
fn content(der: &[u8], at: usize) -> std::ops::Range<usize> {
    let (start, length) = match der[at + 1] {
        0x82 => {
            let length = u16::from_be_bytes([der[at + 2], der[at + 3]]);
            (at + 4, usize::from(length))
        }
        0x81 => (at + 3, usize::from(der[at + 2])),
        length => (at + 2, usize::from(length)),
    };
    start..start + length
}

/// Where these octets stand.
pub fn place(octets: &[u8], wanted: &[u8]) -> usize {
    memchr::memmem::find(octets, wanted).unwrap()
}

fn pem(certificate: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in base64(certificate).as_bytes().chunks(64) {
        text += std::str::from_utf8(line).unwrap();
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}
