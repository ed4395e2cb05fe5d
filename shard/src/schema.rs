//! What the `person` table has to look like. The one place in this crate that knows its columns, beside the SQL.

use crate::fault::Fault;

/// What a column can hold, as far as Sluice cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    BigInt,
    /// Something else, by the engine's own name.
    Other(String),
}

/// A column that was found.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Its place in the primary key, if it is in it.
    pub(crate) key: Option<i64>,
    /// Whether a row that does not name the column can be stored: it has a default, may be null, or
    /// is generated.
    pub(crate) filled: bool,
}

fn columns(customer: &str) -> [(&str, Kind); 4] {
    [(customer, Kind::Text), ("id", Kind::BigInt), ("name", Kind::Text), ("address", Kind::Text)]
}

/// Says which column of `person` is not as Sluice needs it.
///
/// The table may have been made by somebody else, with columns of their own. These stay theirs:
/// each has to fill itself, as no row that is stored names it.
pub(crate) fn check_person(found: &[Column], customer: &str) -> Result<(), Fault> {
    let columns = columns(customer);
    // First the names: where one is missing, the table is another one, whatever its other columns are.
    if let Some((name, _)) = columns.iter().find(|(name, _)| found.iter().all(|column| column.name != *name)) {
        return Err(Fault::configuration(format!("the table person lacks the column {name}")));
    }
    let mut others = found.iter().filter(|column| columns.iter().all(|(name, _)| column.name != *name));
    if let Some(Column { name, .. }) = others.find(|column| !column.filled) {
        return Err(Fault::configuration(format!(
            "the table person has a column {name} that is not Sluice's, may not be null and has no default: no row could be \
             stored. Give it a default, or let it be null"
        )));
    }
    for (name, kind) in &columns {
        if let Some(Column { kind: is, .. }) = found.iter().find(|column| column.name == *name && column.kind != *kind)
        {
            return Err(Fault::configuration(format!("the column {name} of person is {is:?}, not {kind:?}")));
        }
    }
    let mut key: Vec<_> = found.iter().filter_map(|c| Some((c.key?, c.name.as_str()))).collect();
    key.sort_unstable();
    if !key.iter().map(|(_, name)| *name).eq([customer, "id"]) {
        return Err(Fault::configuration(format!("the primary key of person is not ({customer}, id)")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    fn ours() -> Vec<Column> {
        let key = |name| ["tenant_id", "id"].iter().position(|k| *k == name).map(|at| at as i64);
        columns("tenant_id")
            .map(|(name, kind)| Column { name: name.into(), kind, key: key(name), filled: false })
            .into()
    }

    fn complaint(columns: &[Column]) -> String {
        let fault = check_person(columns, "tenant_id").unwrap_err();
        assert_eq!(fault.class, Class::Configuration);
        fault.source.to_string()
    }

    #[test]
    fn the_column_that_is_wrong_is_named() {
        check_person(&ours(), "tenant_id").unwrap();
        assert!(check_person(&ours(), "customer_id").unwrap_err().source.to_string().contains("customer_id"));
        assert!(complaint(&ours()[..3]).contains("address"));
        let mut columns = ours();
        columns[1].kind = Kind::Other("int4".into());
        assert!(complaint(&columns).contains("column id"));
        let mut columns = ours();
        columns.push(Column { name: "age".into(), kind: Kind::BigInt, key: None, filled: false });
        assert!(complaint(&columns).contains("age"));
    }

    #[test]
    fn a_column_of_somebody_elses_that_fills_itself_is_no_hindrance() {
        let mut columns = ours();
        columns.push(Column { name: "age".into(), kind: Kind::Other("int4".into()), key: None, filled: true });
        check_person(&columns, "tenant_id").unwrap();
    }

    #[test]
    fn a_person_table_with_another_key_is_refused() {
        let mut columns = ours();
        columns[0].key = None;
        assert!(complaint(&columns).contains("primary key"));
        let mut swapped = ours();
        (swapped[0].key, swapped[1].key) = (swapped[1].key, swapped[0].key);
        assert!(complaint(&swapped).contains("primary key"));
    }
}
