//! What `ocsp-server check` wants to know of a database: whether each of its hosts lets us in, and whether the table, its
//! columns and the account's grants are as expected. Changes nothing there.

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Conn};
use ocsp_frontend_settings as settings;
use tokio::time::timeout;

use super::link::{self, end};
use super::{Mysql, Shared, statement};

/// What is well or could be better, and what is not well.
#[derive(Default)]
struct Findings {
    notes: Vec<String>,
    faults: Vec<String>,
}

impl Mysql {
    /// Looks at every host. Notes and warnings, and faults, a sentence each.
    pub async fn examine(&self) -> (Vec<String>, Vec<String>) {
        let shared = &self.shared;
        let mut findings = Findings::default();
        for host in 0..shared.hosts.count() {
            if let Err(fault) = shared.examine(host, &mut findings).await {
                findings
                    .faults
                    .push(format!("source {:?}: {fault}", shared.name));
            }
        }
        (findings.notes, findings.faults)
    }
}

impl Shared {
    async fn examine(&self, host: usize, findings: &mut Findings) -> Result<(), String> {
        let mut conn = self.hosts.connect_to(host).await?;
        let looked = timeout(self.patience * 2, look(&mut conn, &self.settings)).await;
        let looked = looked.unwrap_or_else(|_| {
            Err(format!(
                "the table was not answered about within {:?}",
                self.patience * 2
            ))
        });
        let name = self.hosts.name(host);
        let warnings = looked.map_err(|fault| format!("{name}: {fault}"))?;
        let table = &self.settings.table;
        findings.notes.push(format!(
            "source {:?}: {name}: the table {table:?} can be read by {:?}",
            self.name, self.settings.user
        ));
        let warnings = warnings.into_iter();
        findings.notes.extend(
            warnings.map(|warning| format!("warning: source {:?}: {name}: {warning}", self.name)),
        );
        end(conn).await;
        Ok(())
    }
}

/// Columns whose values come as octets.
const TEXTS: [ColumnType; 8] = [
    ColumnType::MYSQL_TYPE_STRING,
    ColumnType::MYSQL_TYPE_VAR_STRING,
    ColumnType::MYSQL_TYPE_VARCHAR,
    ColumnType::MYSQL_TYPE_ENUM,
    ColumnType::MYSQL_TYPE_TINY_BLOB,
    ColumnType::MYSQL_TYPE_BLOB,
    ColumnType::MYSQL_TYPE_MEDIUM_BLOB,
    ColumnType::MYSQL_TYPE_LONG_BLOB,
];

/// Warnings about a database that will do; the error is why it will not.
async fn look(conn: &mut Conn, settings: &settings::Mysql) -> Result<Vec<String>, String> {
    let failed = |error: mysql_async::Error| link::sentence(&error);
    let prepared = conn.prep(statement(settings, 1)).await.map_err(failed)?;
    let mut warnings = Vec::new();
    let (table, of) = (&settings.table, &settings.columns);
    let wanted = [
        (&of.serial, "text"),
        (&of.status, "text"),
        (&of.time, "a DATETIME"),
        (&of.reason, "text"),
        (&of.certificate, "a BLOB or text"),
    ];
    for (column, (name, expected)) in prepared.columns().iter().zip(wanted) {
        let found = column.column_type();
        let fits = match expected {
            "a DATETIME" => [
                ColumnType::MYSQL_TYPE_DATETIME,
                ColumnType::MYSQL_TYPE_TIMESTAMP,
            ]
            .contains(&found),
            _ => TEXTS.contains(&found),
        };
        if !fits {
            return Err(format!(
                "the column {name:?} of {table:?} is {found:?}, {expected} was expected"
            ));
        }
    }
    let timestamp = |column: &Column| column.column_type() == ColumnType::MYSQL_TYPE_TIMESTAMP;
    if settings.time_zone != "UTC" && prepared.columns().get(2).is_some_and(timestamp) {
        let (column, zone) = (&of.time, &settings.time_zone);
        warnings.push(format!(
            "the column {column:?} of {table:?} is a TIMESTAMP, which comes in UTC, and is read as {zone:?}"
        ));
    }
    let keys =
        ColumnFlags::PRI_KEY_FLAG | ColumnFlags::UNIQUE_KEY_FLAG | ColumnFlags::MULTIPLE_KEY_FLAG;
    if let Some(serial) = prepared.columns().first()
        && !serial.flags().intersects(keys)
    {
        let column = &of.serial;
        warnings.push(format!(
            "the column {column:?} of {table:?} has no index: every look-up reads the whole table"
        ));
    }
    // The table may be one that the account can see and not read.
    let rows: Vec<mysql_async::Row> = conn.exec(&prepared, ("0x00",)).await.map_err(failed)?;
    drop(rows);
    let grants: Vec<String> = conn.query("SHOW GRANTS").await.map_err(failed)?;
    warnings.extend(grants.iter().filter_map(|grant| too_much(grant, settings)));
    Ok(warnings)
}

/// A grant that is more than SELECT on our table, without what may stand behind it about passwords.
fn too_much(grant: &str, settings: &settings::Mysql) -> Option<String> {
    let passes_on = grant.ends_with(" WITH GRANT OPTION");
    let grant = grant.split(" TO ").next().unwrap_or(grant);
    // A role is granted on nothing.
    let (granted, on) = grant
        .strip_prefix("GRANT ")?
        .rsplit_once(" ON ")
        .unwrap_or((grant, ""));
    let ours = format!("`{}`.`{}`", settings.database, settings.table);
    let reads = granted == "SELECT"
        || granted
            .strip_prefix("SELECT (")
            .is_some_and(|columns| columns.find(')') == Some(columns.len() - 1));
    // An underscore of a database's name is a wild card there, and may stand escaped.
    let needed = granted == "USAGE" || (reads && on.replace('\\', "") == ours);
    let more = if passes_on { ", and pass that on" } else { "" };
    (passes_on || !needed)
        .then(|| format!("the account may do more than it needs, SELECT on {ours}: {grant}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_of_more_than_select_on_the_table_is_too_much() {
        let settings = settings::Mysql {
            database: "certs_db".to_owned(),
            table: "list_certs".to_owned(),
            ..crate::status::mysql::tests::settings()
        };
        let too_much = |grant: &str| too_much(grant, &settings);
        for fine in [
            "GRANT USAGE ON *.* TO `cert`@`localhost` IDENTIFIED BY PASSWORD '*ABCDEF'",
            "GRANT SELECT ON `certs_db`.`list_certs` TO `cert`@`localhost`",
            "GRANT SELECT ON `certs\\_db`.`list_certs` TO `cert`@`localhost`",
            "GRANT SELECT (`cert`, `status`) ON `certs_db`.`list_certs` TO `cert`@`localhost`",
        ] {
            assert_eq!(too_much(fine), None, "{fine}");
        }
        for more in [
            "GRANT `everything` TO `cert`@`localhost`",
            "GRANT SELECT ON `certs_db`.* TO `cert`@`localhost`",
            "GRANT SELECT, INSERT ON `certs_db`.`list_certs` TO `cert`@`localhost`",
            "GRANT SELECT (`cert`), UPDATE (`cert`) ON `certs_db`.`list_certs` TO `cert`@`localhost`",
            "GRANT SELECT ON `certs_db`.`list_certs` TO `cert`@`localhost` WITH GRANT OPTION",
            "GRANT ALL PRIVILEGES ON *.* TO `cert`@`localhost` IDENTIFIED BY PASSWORD '*ABCDEF' WITH GRANT OPTION",
        ] {
            let said = too_much(more).unwrap();
            assert!(!said.contains("ABCDEF"), "{said}");
        }
    }
}
