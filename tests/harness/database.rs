//! Throwaway databases: a server of our own in a temporary folder, with a socket and a port of its own. A system's database
//! is left alone. Which server is tested: the system's `mariadbd`, or that of a Debian root whose folder the environment
//! variable OCSP_SERVER_DATABASE names (`tests/databases` makes such roots), run under chroot.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use nix::sys::signal::Signal;

use super::*;

/// The table as published.
pub const LIST_CERTS: &str = include_str!("../../frontend/sql/list_certs.sql");

/// What brings the server's programs.
struct Root {
    folder: Option<PathBuf>,
    is_mysql: bool,
}

impl Root {
    fn here() -> Self {
        let folder = std::env::var_os("OCSP_SERVER_DATABASE").map(PathBuf::from);
        let inside = folder.clone().unwrap_or_else(|| PathBuf::from("/"));
        let is_mysql = !inside.join("usr/sbin/mariadbd").exists();
        let server = inside.join("usr/sbin/mysqld");
        assert!(
            !is_mysql || (server.exists() && folder.is_some()),
            "{}: neither mariadbd nor mysqld: the Debian packages mariadb-server-core and mariadb-client-core are needed",
            inside.display()
        );
        Self { folder, is_mysql }
    }

    fn command(&self, program: &str) -> Command {
        match &self.folder {
            None => Command::new(program),
            Some(folder) => {
                let mut command = Command::new("chroot");
                command.arg(folder).arg(program);
                command
            }
        }
    }

    /// A path as the server sees it.
    fn inside(&self, path: &Path) -> String {
        let path = match &self.folder {
            None => path,
            Some(folder) => &Path::new("/").join(path.strip_prefix(folder).unwrap()),
        };
        path.to_str().unwrap().to_owned()
    }
}

/// Whether the server that is tested is MySQL, not MariaDB.
pub fn is_mysql() -> bool {
    Root::here().is_mysql
}

/// A database server.
pub struct DbServer {
    root: Root,
    folder: PathBuf,
    process: Mutex<Option<Child>>,
    arguments: Vec<String>,
    /// The port on 127.0.0.1.
    pub port: u16,
}

impl DbServer {
    /// One that nobody else uses, with more arguments. It runs.
    pub fn new(more: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let root = Root::here();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ocsp-db-{}-{number}", std::process::id());
        let folder = match &root.folder {
            None => std::env::temp_dir().join(name),
            Some(root) => root.join("tmp").join(name),
        };
        fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o755);
        fs::create_dir(folder.join("tmp")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let port = free.unwrap().port();
        let inside = |name: &str| root.inside(&folder.join(name));
        let mut arguments = vec![
            "--no-defaults".to_owned(),
            format!("--datadir={}", inside("data")),
            // Of its own: servers that share one take each other's temporary tables away.
            format!("--tmpdir={}", inside("tmp")),
            format!("--socket={}", inside("sock")),
            format!("--pid-file={}", inside("pid")),
            format!("--log-error={}", inside("log.err")),
            format!("--port={port}"),
            format!("--ssl-ca={}", inside("ca.pem")),
            format!("--ssl-cert={}", inside("server.pem")),
            format!("--ssl-key={}", inside("server.key")),
        ];
        let fixed = [
            "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=256M",
            "--innodb-flush-log-at-trx-commit=0",
            "--server-id=1",
            "--log-bin=bin",
            "--skip-name-resolve",
            "--max-connect-errors=100000",
        ];
        arguments.extend(fixed.map(str::to_owned));
        if root.is_mysql {
            arguments.extend(["--mysqlx=OFF", "--secure-file-priv="].map(str::to_owned));
        }
        if is_root() {
            arguments.push("--user=root".to_owned());
        }
        arguments.extend(more.iter().map(|more| (*more).to_owned()));
        certificates(&folder);
        let server = Self {
            root,
            folder,
            process: Mutex::new(None),
            arguments,
            port,
        };
        server.initialize();
        server.start();
        server
    }

    /// One that tests share; each has a database of its own there.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<DbServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poison| poison.into_inner());
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::new(&[]));
        *shared = Arc::downgrade(&server);
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its Unix socket.
    pub fn socket(&self) -> String {
        self.path("sock").to_str().unwrap().to_owned()
    }

    /// The certificate that its own chains to.
    pub fn ca(&self) -> String {
        self.path("ca.pem").to_str().unwrap().to_owned()
    }

    fn initialize(&self) {
        let data = self.root.inside(&self.path("data"));
        let mut command = if self.root.is_mysql {
            let mut command = self.root.command("mysqld");
            command.args(["--no-defaults", "--initialize-insecure"]);
            command
        } else {
            let mut command = self.root.command("mariadb-install-db");
            command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
            command.args(["--skip-test-db", "--skip-name-resolve", "--force"]);
            command
        };
        command.arg(format!("--datadir={data}"));
        command.env("TMPDIR", self.root.inside(&self.path("tmp")));
        if is_root() {
            command.arg("--user=root");
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command:?}: {said}");
    }

    /// Starts it, and waits until it answers.
    pub fn start(&self) {
        let program = if self.root.is_mysql {
            "mysqld"
        } else {
            "mariadbd"
        };
        let mut command = self.root.command(program);
        command.args(&self.arguments);
        let out = File::create(self.path("out")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        let child = command.spawn().unwrap();
        *self.process.lock().unwrap() = Some(child);
        until_after(Duration::from_secs(60), "the database answers", || {
            let ended = self.process.lock().unwrap().as_mut()?.try_wait().unwrap();
            assert!(ended.is_none(), "the database ended:\n{}", self.log());
            self.try_sql("", "SELECT 1").ok()
        });
    }

    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        read("log.err") + &read("out")
    }

    pub fn pid(&self) -> u32 {
        self.process.lock().unwrap().as_ref().unwrap().id()
    }

    /// Stops it as an operator does, and waits until it is gone.
    pub fn stop(&self) {
        self.end(Signal::SIGTERM);
    }

    /// Ends it as a power cut does.
    pub fn kill(&self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&self, signal: Signal) {
        send(self.pid(), signal);
        let mut child = self.process.lock().unwrap().take().unwrap();
        until_after(Duration::from_secs(60), "the database ends", || {
            child.try_wait().unwrap()
        });
    }

    /// Has it hang, or go on.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Runs SQL as the server's root; what comes back are tab-separated lines.
    pub fn sql(&self, database: &str, text: &str) -> String {
        self.try_sql(database, text)
            .unwrap_or_else(|said| panic!("{}: {said}", text.chars().take(300).collect::<String>()))
    }

    pub fn try_sql(&self, database: &str, text: &str) -> std::result::Result<String, String> {
        let client = if self.root.is_mysql {
            "mysql"
        } else {
            "mariadb"
        };
        let mut command = self.root.command(client);
        command.args([
            "--no-defaults",
            "--user=root",
            "--batch",
            "--skip-column-names",
        ]);
        command.args([
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=512M",
        ]);
        command.arg(format!("--socket={}", self.root.inside(&self.path("sock"))));
        if !database.is_empty() {
            command.arg(format!("--database={database}"));
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(text.as_bytes()); // a client that ends early says why
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// A counter of the server's.
    pub fn counter(&self, name: &str) -> u64 {
        let line = self.sql("", &format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        line.trim().split('\t').nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for DbServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("The database's log:\n{}", self.log());
        }
        if let Some(mut child) = self
            .process
            .lock()
            .unwrap_or_else(|p| p.into_inner())
            .take()
        {
            let _ = child.kill(); // it may be gone
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder); // of a failed test at worst
    }
}

/// A CA, and the server's certificate, for localhost and no other name.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let words = format!(
        "openssl req -x509 {key} -days 30 -keyout ca.key -out ca.pem -subj /CN=database-CA \
         -addext basicConstraints=critical,CA:TRUE"
    );
    must(folder, &words.split_whitespace().collect::<Vec<_>>());
    let words = format!(
        "openssl req -x509 {key} -days 30 -keyout server.key -out server.pem -subj /CN=localhost \
         -CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE \
         -addext subjectAltName=DNS:localhost"
    );
    must(folder, &words.split_whitespace().collect::<Vec<_>>());
}

/// A database with the table, and an account that may read it.
pub struct Database {
    pub server: Arc<DbServer>,
    pub name: String,
    folder: Folder,
}

/// The account's password: what has a meaning in SQL, in shells and in URLs must have none here.
pub const PASSWORD: &str = "p'a\"s$s%4w:o/r@d ü";

impl Database {
    /// One on the server that tests share.
    pub fn new() -> Self {
        Self::on(DbServer::shared())
    }

    pub fn on(server: Arc<DbServer>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::on_called(server, &format!("certs_{number}"))
    }

    /// One with this name, which is that of the account as well.
    pub fn on_called(server: Arc<DbServer>, name: &str) -> Self {
        let database = Self {
            server,
            name: name.to_owned(),
            folder: Folder::new(),
        };
        let name = &database.name;
        database.server.sql("", &format!("CREATE DATABASE {name}"));
        database.sql(LIST_CERTS);
        // By name at `%` as well as at `localhost`: over TCP and over the Unix socket.
        for host in ["%", "localhost"] {
            database.sql(&format!(
                "CREATE USER {name}@'{host}' IDENTIFIED BY '{}'; GRANT SELECT ON {name}.list_certs TO {name}@'{host}';",
                PASSWORD.replace('\'', "''")
            ));
        }
        database.password_file(PASSWORD);
        database
    }

    /// The file of the password, which is the frontend's.
    pub fn password_file(&self, password: &str) -> String {
        let path = self.folder.file("password", format!("{password}\n"));
        set_mode(&path, 0o400);
        std::os::unix::fs::chown(&path, Some(users().0), None).unwrap();
        path
    }

    pub fn sql(&self, text: &str) -> String {
        self.server.sql(&self.name, text)
    }

    /// The beginning of a `[[source]]` that reaches it by its Unix socket, with more lines.
    pub fn source(&self, name: &str, more: &str) -> String {
        let url = format!(
            "mysql://{0}@localhost/{0}?socket={1}",
            self.name,
            self.server.socket()
        );
        self.source_at(name, &url, more)
    }

    /// Likewise, by TCP.
    pub fn source_by_tcp(&self, name: &str, more: &str) -> String {
        let url = format!("mysql://{0}@127.0.0.1:{1}/{0}", self.name, self.server.port);
        self.source_at(name, &url, &format!("insecure-plaintext = true\n{more}"))
    }

    pub fn source_at(&self, name: &str, url: &str, more: &str) -> String {
        let password = self.folder.path("password");
        format!(
            "[[source]]\nname = {name:?}\nkind = \"mysql\"\nurl = {url:?}\npassword-file = {password:?}\n{more}\n"
        )
    }

    /// A row, with a certificate as it is given; SQL for what is in the other columns.
    pub fn insert(&self, number: &str, certificate: &[u8], status: &str, time: &str, reason: &str) {
        let hex: String = certificate
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        self.sql(&format!(
            "INSERT INTO list_certs (cert_num, revocation_time, revocation_reason, cert, status) \
             VALUES ('{number}', {time}, {reason}, X'{hex}', '{status}')"
        ));
    }

    /// The row of `NAME.crt` as a CA writes it when it has issued it, as PEM.
    pub fn issued(&self, ca: &Ca, name: &str) {
        let pem = fs::read(ca.folder.join(format!("{name}.crt"))).unwrap();
        self.insert(&number(ca, name), &pem, "Valid", "NULL", "NULL");
    }

    /// Changes the row of `NAME.crt` as a CA does when it revokes it.
    pub fn revoke(&self, ca: &Ca, name: &str, reason: &str) {
        self.set(
            &number(ca, name),
            &format!("status = 'Revoked', revocation_time = UTC_TIMESTAMP(), revocation_reason = '{reason}'"),
        );
    }

    /// Changes a row.
    pub fn set(&self, number: &str, what: &str) {
        self.sql(&format!(
            "UPDATE list_certs SET {what} WHERE cert_num = '{number}'"
        ));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Of a server that a test has stopped there is nothing left to take away.
        let name = &self.name;
        let _ = self.server.try_sql(
            "",
            &format!("DROP DATABASE {name}; DROP USER {name}@'%'; DROP USER {name}@localhost;"),
        );
    }
}

/// How a CA writes the serial of `NAME.crt` into the table: without leading zeros, in lower case.
pub fn number(ca: &Ca, name: &str) -> String {
    let serial = ca.serial(name).to_ascii_lowercase();
    format!("0x{}", serial.trim_start_matches('0'))
}
