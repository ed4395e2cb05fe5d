//! The fields of a shard's definition: checked before anything is tried.

use std::path::Path;

use axum::http::StatusCode;
use secrecy::ExposeSecret;
use sluice_service::Problem;
use sluice_shard::Flavor;

use crate::api::{NewShard, ShardChange};

/// The longest name of a shard.
const NAME_BYTES: usize = 63;
/// The greatest weight; the least is 1.
const MAX_WEIGHT: u16 = 1_000;

/// Checks the fields of a request and fills in what the engine implies.
///
/// # Errors
/// 422 that names the first bad field.
pub fn validate(mut new: NewShard) -> Result<NewShard, Problem> {
    let name = new.name.as_bytes();
    let first_fits = name.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let rest_fits = name.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if !first_fits || !rest_fits || name.len() > NAME_BYTES {
        return Err(bad("name", "a shard's name is [a-z0-9][a-z0-9_-]{0,62}"));
    }
    let (host, user, database) = (Some(&new.host), Some(&new.user), Some(&new.database));
    check_texts(&[("host", host), ("user", user), ("database", database)])?;
    if new.database.is_empty() {
        return Err(bad("database", "it is missing"));
    }
    check_weight(new.weight)?;
    let given = !new.password.expose_secret().is_empty();
    check_password_file(new.password_file.as_deref(), given)?;
    match new.flavor {
        Flavor::Sqlite => {
            let none = NO_SERVER;
            let all = [
                ("host", !new.host.is_empty()),
                ("port", new.port != 0),
                ("user", !new.user.is_empty()),
                ("password", given),
                ("password_file", new.password_file.is_some()),
            ];
            if let Some((field, _)) = all.iter().find(|(_, given)| *given) {
                return Err(bad(field, none));
            }
            check_absolute(&new.database)?;
        }
        Flavor::Postgres | Flavor::Mysql => {
            for (field, text) in [("host", &new.host), ("user", &new.user)] {
                if text.is_empty() {
                    return Err(bad(field, "a shard on a database server needs it"));
                }
            }
            if new.port == 0 {
                new.port = if new.flavor == Flavor::Mysql { 3_306 } else { 5_432 };
            }
        }
    }
    Ok(new)
}

/// Checks the fields of a change.
///
/// # Errors
/// 422 that names the first bad field.
pub fn validate_change(flavor: Flavor, change: &ShardChange) -> Result<(), Problem> {
    let ShardChange { state: _, weight, host, port, user, password, password_file, database } = change;
    let texts = [("host", host.as_ref()), ("user", user.as_ref()), ("database", database.as_ref())];
    check_texts(&texts)?;
    if let Some((field, _)) = texts.iter().find(|(_, text)| text.is_some_and(String::is_empty)) {
        return Err(bad(field, "it is empty"));
    }
    if *port == Some(0) {
        return Err(bad("port", "no server has the port 0"));
    }
    weight.map_or(Ok(()), check_weight)?;
    check_password_file(password_file.as_deref(), password.is_some())?;
    if flavor == Flavor::Sqlite {
        let all = [
            ("host", host.is_some()),
            ("port", port.is_some()),
            ("user", user.is_some()),
            ("password", password.is_some()),
            ("password_file", password_file.is_some()),
        ];
        if let Some((field, _)) = all.iter().find(|(_, given)| *given) {
            return Err(bad(field, NO_SERVER));
        }
        database.as_deref().map_or(Ok(()), check_absolute)?;
    }
    Ok(())
}

const NO_SERVER: &str = "a SQLite shard has none: it is a file, named by `database`";

fn check_texts(texts: &[(&str, Option<&String>)]) -> Result<(), Problem> {
    let controls = |text: &&String| text.chars().any(char::is_control);
    match texts.iter().find(|(_, text)| text.as_ref().is_some_and(controls)) {
        Some((field, _)) => Err(bad(field, "it holds a control character")),
        None => Ok(()),
    }
}

fn check_weight(weight: u16) -> Result<(), Problem> {
    if (1..=MAX_WEIGHT).contains(&weight) { Ok(()) } else { Err(bad("weight", "a weight is from 1 to 1000")) }
}

fn check_absolute(path: &str) -> Result<(), Problem> {
    if Path::new(path).is_absolute() {
        return Ok(());
    }
    Err(bad("database", "the path of a SQLite file has to be absolute: others run elsewhere"))
}

fn check_password_file(path: Option<&Path>, password: bool) -> Result<(), Problem> {
    match path {
        Some(_) if password => Err(bad("password_file", "there is a password as well: one of the two is wanted")),
        Some(path) if !path.is_absolute() => Err(bad("password_file", "its path has to be absolute")),
        _ => Ok(()),
    }
}

fn bad(field: &str, what: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", format_args!("{field}: {what}"))
        .at(format!("/{field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(change: impl FnOnce(&mut serde_json::Value)) -> Result<NewShard, String> {
        let mut json =
            serde_json::json!({"name": "a", "flavor": "postgres", "host": "h", "user": "u", "database": "d"});
        change(&mut json);
        let new = crate::api::parse(json.to_string().as_bytes()).expect("the test's JSON fits the type");
        validate(new).map_err(|problem| problem.pointer.unwrap())
    }

    #[test]
    fn the_first_bad_field_is_named() {
        let long = "a".repeat(64);
        for name in ["", "A", "-a", "_a", "a.b", "a b", "ä", long.as_str()] {
            assert_eq!(verdict(|json| json["name"] = name.into()).unwrap_err(), "/name", "{name:?} was taken");
        }
        for (field, value) in [("host", ""), ("user", ""), ("database", ""), ("host", "a\nb"), ("database", "a\0")] {
            assert_eq!(verdict(|json| json[field] = value.into()).unwrap_err(), format!("/{field}"));
        }
        assert_eq!(verdict(|_| {}).unwrap().port, 5_432);
        assert_eq!(verdict(|json| json["flavor"] = "mariadb".into()).unwrap().port, 3_306);
        assert_eq!(verdict(|json| json["port"] = 7.into()).unwrap().port, 7);
        for weight in [0, 1_001] {
            assert_eq!(verdict(|json| json["weight"] = weight.into()).unwrap_err(), "/weight");
        }
        assert_eq!(verdict(|json| json["password_file"] = "pw".into()).unwrap_err(), "/password_file");
        let both = |json: &mut serde_json::Value| {
            (json["password"], json["password_file"]) = ("p".into(), "/pw".into());
        };
        assert_eq!(verdict(both).unwrap_err(), "/password_file");
    }

    #[test]
    fn a_sqlite_shard_is_an_absolute_path_and_nothing_else() {
        let sqlite = |field: &str, value: serde_json::Value| {
            verdict(|json| {
                *json = serde_json::json!({"name": "a", "flavor": "sqlite", "database": "/a.db"});
                json[field] = value;
            })
        };
        assert!(sqlite("database", "/var/a.db".into()).is_ok());
        assert_eq!(sqlite("database", "a.db".into()).unwrap_err(), "/database");
        for (field, value) in [("host", "h".into()), ("port", 1.into()), ("user", "u".into()), ("password", "p".into())]
        {
            assert_eq!(sqlite(field, value).unwrap_err(), format!("/{field}"));
        }
        assert_eq!(sqlite("password_file", "/pw".into()).unwrap_err(), "/password_file");
    }

    #[test]
    fn a_change_is_checked_as_a_definition_is() {
        let verdict = |flavor, json: serde_json::Value| {
            let change = crate::api::parse(json.to_string().as_bytes()).expect("the test's JSON fits the type");
            validate_change(flavor, &change).map_err(|problem| problem.pointer.unwrap())
        };
        let change = |field: &str, value: serde_json::Value| serde_json::json!({ field: value });
        for (field, value) in [
            ("host", "".into()),
            ("user", "a\nb".into()),
            ("port", 0.into()),
            ("weight", 0.into()),
            ("password_file", "relative".into()),
        ] {
            assert_eq!(verdict(Flavor::Postgres, change(field, value)).unwrap_err(), format!("/{field}"));
        }
        for field in ["host", "user", "password", "password_file"] {
            assert_eq!(verdict(Flavor::Sqlite, change(field, "/x".into())).unwrap_err(), format!("/{field}"));
        }
        assert_eq!(verdict(Flavor::Sqlite, change("database", "relative.db".into())).unwrap_err(), "/database");
        assert!(verdict(Flavor::Sqlite, serde_json::json!({"state": "closed", "weight": 5})).is_ok());
    }
}
