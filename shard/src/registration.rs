//! Making a database a shard: schema, identity, and one position row per partition.

use crate::{CustomerColumn, Identity, StoredPosition, engine::Engine, fault::Fault, schema};

/// Identity and positions in one transaction, so that a database is a whole shard or none.
pub(crate) async fn register(
    engine: &mut Engine,
    identity: &Identity,
    positions: &[StoredPosition],
    customer: &CustomerColumn,
) -> Result<(), Fault> {
    engine.begin_registration().await?;
    schema::check_person(&engine.person_columns().await?, customer.as_str())?;
    let found = engine.identities().await?;
    if found.is_empty() {
        engine.write_identity(identity).await?;
    } else {
        expect(&found, identity)?;
    }
    engine.add_positions(positions).await?;
    engine.commit().await
}

/// The journal of the shard of that name, if it is this one.
pub(crate) fn journal_of(found: &[Identity], shard: &str) -> Result<String, Fault> {
    match found {
        [one] if one.shard == shard => Ok(one.journal_id.clone()),
        [one] => Err(Fault::configuration(format!("the database is shard {:?}, not shard {shard:?}", one.shard))),
        other => Err(not_one(other)),
    }
}

/// Two entries that reach the same database, or an address that reaches another one, are found here.
pub(crate) fn expect(found: &[Identity], expected: &Identity) -> Result<(), Fault> {
    match found {
        [one] if one == expected => Ok(()),
        [one] => Err(Fault::configuration(format!(
            "the database is shard {:?} of journal {:?}, not shard {:?} of journal {:?}",
            one.shard, one.journal_id, expected.shard, expected.journal_id
        ))),
        other => Err(not_one(other)),
    }
}

fn not_one(found: &[Identity]) -> Fault {
    match found.len() {
        0 => Fault::configuration("the database has no identity: it was never registered as a shard"),
        many => Fault::configuration(format!("the table sluice_shard has {many} rows instead of one")),
    }
}
