//! `[[source]]`: where statuses stand. Read like the rest of the configuration, and handed to the frontend as it is: the
//! launcher opens none of the files, resolves none of the names, and speaks to no database.

use std::time::Duration;

use ocsp_frontend_settings::{Columns, Host, Mysql, Source, SourceKind};

use crate::config::name;
use crate::toml_reader::{Mistake, Reader};

/// How the place of a database is written.
const URL: &str = "mysql://USER@HOST[:PORT][,HOST[:PORT]...]/DATABASE, or mysql://USER@localhost/DATABASE?socket=/PATH";
/// The port of MySQL and MariaDB.
const PORT: u16 = 3306;
/// Hosts of one database.
const MOST_HOSTS: usize = 8;

#[derive(Clone, Copy)]
enum Kind {
    Index,
    Mysql,
}

/// Reads one section.
pub fn source(mut section: Reader) -> Result<Source, Mistake> {
    let name = name(&mut section)?;
    let kind = section.word(
        "kind",
        &[("index", Kind::Index), ("mysql", Kind::Mysql)],
        Kind::Index,
    )?;
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let revalidate = section.duration("revalidate", second, day, 10 * second)?;
    let kind = match kind {
        Kind::Index => SourceKind::Index {
            file: section.required_path("file")?,
            certificates: section.path("certificates")?,
        },
        Kind::Mysql => SourceKind::Mysql(Box::new(mysql(&mut section)?)),
    };
    section.finish()?;
    Ok(Source {
        name,
        revalidate_ms: millis(revalidate),
        kind,
    })
}

fn mysql(section: &mut Reader) -> Result<Mysql, Mistake> {
    let url = section.required("url", URL)?;
    let place = place(&url).map_err(|found| section.mistake("url", found, URL))?;
    let password_file = section.secret("password-file")?;
    let tls_ca = section.path("tls-ca")?;
    let plaintext = section.flag("insecure-plaintext")?;
    if let (Some(_), Some(socket)) = (&tls_ca, &place.socket) {
        let found = format!("a file, with the Unix socket {socket:?}");
        return Err(section.mistake("tls-ca", found, "nothing: no network is between the two"));
    }
    // Over plain TCP whoever answers on that port is given the password, on this machine as well: where the server is down,
    // any user may.
    if tls_ca.is_none() && place.socket.is_none() && !plaintext {
        let found = "nothing, and no Unix socket in \"url\"";
        let expected =
            "the certificates (PEM) that the server's must chain to, or insecure-plaintext = true";
        return Err(section.mistake("tls-ca", found, expected));
    }
    if tls_ca.is_some() && plaintext {
        let expected = "one of \"tls-ca\" and \"insecure-plaintext\"";
        return Err(section.mistake("insecure-plaintext", "true, with \"tls-ca\"", expected));
    }
    let connections = section.number("connections", 1, 64, 4)?;
    let timeout = section.duration(
        "timeout",
        Duration::from_millis(100),
        Duration::from_secs(20),
        Duration::from_secs(2),
    )?;
    let expected = "\"UTC\", an offset such as \"+02:00\", or a name such as \"Europe/Vienna\"";
    Ok(Mysql {
        user: place.user,
        hosts: place.hosts,
        socket: place.socket,
        database: place.database,
        password_file,
        tls_ca,
        time_zone: section
            .text("time-zone", expected)?
            .unwrap_or_else(|| "UTC".to_owned()),
        table: identifier(section, "table", "list_certs")?,
        columns: Columns {
            serial: identifier(section, "column-serial", "cert_num")?,
            status: identifier(section, "column-status", "status")?,
            time: identifier(section, "column-time", "revocation_time")?,
            reason: identifier(section, "column-reason", "revocation_reason")?,
            certificate: identifier(section, "column-certificate", "cert")?,
        },
        connections: u16::try_from(connections)
            .map_err(|_| section.mistake("connections", connections, "at most 64"))?,
        timeout_ms: millis(timeout),
    })
}

/// The name of a table or column: anything that can stand between backticks.
fn identifier(section: &mut Reader, key: &'static str, default: &str) -> Result<String, Mistake> {
    let expected = "a name of 1 to 64 characters, without ` and control characters";
    let name = section.text(key, expected)?;
    let name = name.unwrap_or_else(|| default.to_owned());
    let fits = (1..=64).contains(&name.chars().count());
    if !fits || name.chars().any(|c| c == '`' || c.is_control()) {
        return Err(section.mistake(key, format_args!("{name:?}"), expected));
    }
    Ok(name)
}

struct Place {
    user: String,
    hosts: Vec<Host>,
    socket: Option<String>,
    database: String,
}

/// Takes a URL apart. The error is what was found; it never repeats a password that somebody has put there.
fn place(url: &str) -> Result<Place, String> {
    let rest = url
        .strip_prefix("mysql://")
        .ok_or("what does not begin with mysql://")?;
    let (account, rest) = rest
        .rsplit_once('@')
        .ok_or_else(|| format!("{url:?}, without a user"))?;
    if account.contains(':') {
        return Err("a password, which belongs into a file named by \"password-file\"".to_owned());
    }
    let found = |what: &str| format!("{url:?}, where {what}");
    let user = decoded(account).ok_or_else(|| found("the user cannot be read"))?;
    let (hosts, rest) = rest
        .split_once('/')
        .ok_or_else(|| found("no database is named"))?;
    let (database, query) = match rest.split_once('?') {
        Some((database, query)) => (database, Some(query)),
        None => (rest, None),
    };
    let database = decoded(database).ok_or_else(|| found("the database cannot be read"))?;
    if user.is_empty() || database.is_empty() || user.len() > 128 || database.len() > 64 {
        return Err(found("user or database is empty or too long"));
    }
    let hosts: Vec<Host> = hosts
        .split(',')
        .map(|text| host(text).ok_or_else(|| found(&format!("{text:?} is no host"))))
        .collect::<Result<_, _>>()?;
    if hosts.len() > MOST_HOSTS {
        return Err(found(&format!("more than {MOST_HOSTS} hosts are named")));
    }
    let socket = match query.map(|query| query.split_once('=')) {
        None => None,
        Some(Some(("socket", path))) => {
            let path = decoded(path).filter(|path| path.starts_with('/') && path.len() < 108);
            let path = path.ok_or_else(|| found("the socket is no absolute path"))?;
            if !matches!(&*hosts, [only] if only.name == "localhost") {
                return Err(found(
                    "the host of a socket is something else than localhost",
                ));
            }
            Some(path)
        }
        Some(_) => return Err(found("something else than \"socket=/PATH\" follows \"?\"")),
    };
    Ok(Place {
        user,
        hosts,
        socket,
        database,
    })
}

/// A host with or without port; IPv6 addresses stand in brackets.
fn host(text: &str) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
            let named = !name.is_empty() && name.len() <= 253 && name.chars().all(plain);
            (named.then_some(name)?, port)
        }
    };
    let port = match port {
        "" => PORT,
        port => port
            .strip_prefix(':')?
            .parse()
            .ok()
            .filter(|port| *port > 0)?,
    };
    Some(Host {
        name: name.to_owned(),
        port,
    })
}

/// Undoes percent-encoding (RFC 3986 section 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            octet => octet,
        });
    }
    let text = String::from_utf8(octets).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let told = |url: &str| {
            let place = place(url).unwrap();
            let hosts = place.hosts.iter().map(|host| (&*host.name, host.port));
            let hosts: Vec<_> = hosts.collect();
            format!(
                "{} {hosts:?} {:?} {}",
                place.user, place.socket, place.database
            )
        };
        let cases = [
            (
                "mysql://cert@localhost/certs?socket=/run/mysqld/mysqld.sock",
                r#"cert [("localhost", 3306)] Some("/run/mysqld/mysqld.sock") certs"#,
            ),
            (
                "mysql://a%40b@db1.example,db2.example:3307,[2001:db8::1]:1,[::1]/c%2Fd",
                r#"a@b [("db1.example", 3306), ("db2.example", 3307), ("2001:db8::1", 1), ("::1", 3306)] None c/d"#,
            ),
        ];
        for (url, expected) in cases {
            assert_eq!(told(url), expected);
        }
        for wrong in [
            "",
            "postgres://cert@localhost/certs",
            "mysql://localhost/certs",
            "mysql://cert@localhost",
            "mysql://cert@localhost/",
            "mysql://@localhost/certs",
            "mysql://cert@/certs",
            "mysql://cert@local host/certs",
            "mysql://cert@localhost:0/certs",
            "mysql://cert@localhost:70000/certs",
            "mysql://cert@::1/certs",
            "mysql://cert@[::1/certs",
            "mysql://cert@[db]/certs",
            "mysql://cert@localhost,/certs",
            "mysql://cert@localhost/certs?socket=relative",
            "mysql://cert@db/certs?socket=/s",
            "mysql://cert@localhost/certs?ssl=1",
            "mysql://cert@localhost/certs?",
            "mysql://ce%zzrt@localhost/certs",
            "mysql://ce%0art@localhost/certs",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let found = place("mysql://cert:hunter2@localhost/certs").err().unwrap();
        assert!(
            found.contains("password-file") && !found.contains("hunter2"),
            "{found}"
        );
    }
}
